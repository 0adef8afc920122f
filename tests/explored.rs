//! Threads that take turns on the native exporters, judged by the model.
#![cfg(all(feature = "explored", not(loom)))]

mod planting;

use std::sync::Arc;

use buflock::check::Check;
use buflock::exporter::{Fault, Needs};
use buflock::fuzz;
use buflock::hunt::{self, WAYS, What, racing as programs};
use buflock::judge::Verdict;
use buflock::program::{Program, Schedule, parse};
use buflock::shrink::shrink;
use buflock::subject::Version;
use planting::Planted;

fn read(text: &str) -> Arc<Program> {
    Arc::new(parse::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// What each step of a program came to.
fn outcomes(program: &Arc<Program>) -> Vec<String> {
    let (verdict, seen) = Check::native(Version::NEWEST).record(program);
    assert_eq!(verdict, Verdict::Agree);
    seen.iter().map(|observation| observation.subjects[0].0.to_string()).collect()
}

#[test]
fn what_explored_threads_see_has_an_order() {
    let _turn = Planted::new(None);
    let mut check = Check::native(Version::NEWEST);
    let mut agreed = 0;
    for (index, program) in programs(1).take(300) {
        match check.explore(&program, WAYS, index) {
            (_, Verdict::Agree) => agreed += 1,
            (_, Verdict::Inconclusive(_)) => {}
            (program, verdict) => panic!("program {index}: {verdict:?}\n{program}"),
        }
    }
    println!("{agreed} of 300 agree");
    assert!(agreed > 240, "{agreed}");
}

#[test]
fn every_fault_is_found_and_its_file_shows_it_100_times_of_100() {
    // No program that races has hooks, and what a kernel has to show no program does.
    let shown = |fault: &Fault| fault.needs() != Needs::Kernels && *fault != Fault::LockHeldOverCallback;
    for fault in Fault::ALL.iter().copied().filter(shown) {
        let _planted = Planted::new(Some(fault));
        let in_turns = fault.needs() == Needs::Turns;
        let most = if in_turns { 20_000 } else { 4_000 };
        let hunt = hunt::explored(3, |count| count < most);
        let found = hunt.found.unwrap_or_else(|| panic!("{fault} is not found"));
        let What::Diverges(divergence) = found.what else {
            assert!(in_turns, "{fault}: {:?}", found.what);
            println!("{fault}: {} programs, {:?}", hunt.programs, found.what);
            continue;
        };
        println!("{fault}: {} programs, {}", hunt.programs, divergence.signature);
        let file = found.program.to_string();
        let mut check = Check::native(Version::NEWEST);
        for _ in 0..100 {
            let verdict = check.run(&read(&file));
            assert_eq!(verdict, Verdict::Diverge((*divergence).clone()), "{fault}\n{file}");
        }
    }
}

#[test]
fn the_same_turns_are_the_same_run_and_others_another() {
    let _turn = Planted::new(None);
    let program = |turns: &str| {
        read(&format!(
            "# buflock program 1\n# schedule explored{turns}\nb0 = bytearray(b\"abc\")\nT0: v4 = memoryview(b0)\nT0: v4.release()\nT1: b0.clear()\n"
        ))
    };
    // T0 goes on to its end, and then T1.
    let first = outcomes(&program(""));
    assert_eq!(first[3], "None");
    // T1 goes first.
    assert_eq!(outcomes(&program(" 01"))[3], "None");
    // Somewhere between, the array is exported.
    let all: Vec<_> =
        (0..40u8).map(|stays| outcomes(&program(&format!(" {:02x}", stays << 2 | 1)))).collect();
    assert!(all.iter().any(|seen| seen[3] == "BufferError"), "{all:?}");
    for (stays, seen) in (0..40u8).zip(&all) {
        assert_eq!(&outcomes(&program(&format!(" {:02x}", stays << 2 | 1))), seen);
    }
}

#[test]
fn who_is_given_a_lender_holds_what_it_lends() {
    let _turn = Planted::new(None);
    // Between the turns, `replace` holds an export of `b0`, which it does not name.
    let program = read(
        "# buflock program 1\n# schedule explored 0225\nb0 = bytearray(8)\nv0 = memoryview(b\"b\")\nx0 = Lender(b0, \"silent\")\nb1 = bytearray()\nT0: b0.pop(6)\nT2: v0[-1:0:-2] = 99\nT2: b1.replace(b\"bad\", x0)\n",
    );
    assert_eq!(outcomes(&program)[4], "BufferError");
}

#[test]
fn a_finding_shrinks_with_its_turns() {
    let _planted = Planted::new(Some(Fault::ResizeIgnoresExports));
    let mut check = Check::native(Version::NEWEST);
    let (program, signature) = programs(3)
        .find_map(|(index, program)| match check.explore(&program, WAYS, index) {
            (program, Verdict::Diverge(divergence)) => Some((program, divergence.signature)),
            _ => None,
        })
        .expect("the fault is found");
    let mut finds = |program: &Program| {
        let verdict = check.run(&Arc::new(program.clone()));
        matches!(verdict, Verdict::Diverge(found) if found.signature == signature)
    };
    let small = shrink(&program, &mut finds);
    println!("{small}");
    assert!(small.steps.len() <= 6, "{small}");
    assert!(matches!(&small.schedule, Schedule::Explored(turns) if turns.0.len() <= 4), "{small}");
    assert!(finds(&small));
}

/// The first input that fails of those that a fuzzing engine would make, if it kept each, and what is said of it.
fn fuzz_for(inputs: u32) -> Option<(u32, String)> {
    let (mut data, mut size) = (vec![0; 4096], 0);
    (0..inputs).find_map(|seed| {
        if let Some(mutated) = fuzz::mutate_explored(&mut data, size, 4096, seed) {
            size = mutated;
        }
        let said = std::panic::catch_unwind(|| fuzz::native_explored(&data[..size])).err()?;
        Some((seed, said.downcast_ref::<String>().cloned().unwrap_or_default()))
    })
}

#[test]
fn the_fuzz_target_finds_faults_and_nothing_else() {
    {
        let _turn = Planted::new(None);
        assert_eq!(fuzz_for(3_000), None);
    }
    for fault in [Fault::ExportNotCounted, Fault::ResizeIgnoresExports, Fault::StaleLengthAfterResize] {
        let _planted = Planted::new(Some(fault));
        let (seed, said) = fuzz_for(3_000).unwrap_or_else(|| panic!("{fault} is not found"));
        println!("{fault}: input {seed}");
        assert!(said.contains("native breaks") && said.contains("# schedule explored"), "{said}");
    }
}
