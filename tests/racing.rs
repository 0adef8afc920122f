//! Threads that race on the native exporters, judged by the model.

mod planting;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use buflock::check::Check;
use buflock::exporter::{Fault, Needs};
use buflock::history::Raced;
use buflock::hunt;
use buflock::judge::Verdict;
use buflock::program::Program;
use buflock::program::parse::parse;
use buflock::schedule::NoHost;
use buflock::schedule::concurrent::Crew;
use buflock::subject::{Native, Subject, Version};
use planting::Planted;

fn programs(seed: u64) -> impl Iterator<Item = (u64, Arc<Program>)> {
    hunt::racing(seed).map(|(index, program)| (index, Arc::new(program)))
}

#[test]
fn what_racing_threads_see_has_an_order() {
    let _turn = Planted::new(None);
    let mut check = Check::native(Version::NEWEST);
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for (index, program) in programs(1).take(1_000) {
        let label = match check.run(&program) {
            Verdict::Agree => "agree",
            Verdict::Inconclusive(_) => "inconclusive",
            verdict => panic!("program {index}: {verdict:?}\n{program}"),
        };
        *verdicts.entry(label).or_default() += 1;
    }
    println!("{verdicts:?}");
    assert!(verdicts["agree"] > 800, "{verdicts:?}");
}

/// Runs these lines, at most so often, until threads were in steps of them at once: whether they were.
fn meet(lines: &str, runs: u32) -> bool {
    let text = format!("# buflock program 1\n# schedule concurrent\n{lines}");
    let program = Arc::new(parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}")));
    let mut crew = Crew::new(Arc::new(NoHost));
    let mut check = Check::native(Version::NEWEST);
    (0..runs).any(|seed| {
        assert_eq!(check.run(&program), Verdict::Agree, "{program}");
        let mut native = Native::new(Version::NEWEST);
        let before = program.steps.iter().filter(|step| step.thread.is_none());
        before.for_each(|step| drop(native.step(step)));
        let hands = native.forks(program.threads()).expect("threads share native exporters");
        let (seen, _) = crew.run(&program, hands, &Arc::default(), seed.into());
        let overlap = |one: &Raced, other: &Raced| {
            one.thread != other.thread && one.begun < other.ended && other.begun < one.ended
        };
        seen.iter().any(|one| seen.iter().any(|other| overlap(one, other)))
    })
}

#[test]
fn what_is_under_one_lock_or_at_a_barrier_runs_beside_nothing() {
    let _turn = Planted::new(None);
    let lines = |guard: &str| -> String {
        let line =
            |number| format!("T{}: {guard}b0.find(b\"no\")\nT{0}: {guard}b0[0] = {number}\n", number % 4);
        format!("b0 = bytearray(4096)\n{}", (0..12).map(line).collect::<String>())
    };
    assert!(meet(&lines(""), 10_000));
    assert!(!meet(&lines("with m0: "), 60));
    assert!(!meet(&lines("barrier: "), 60));
}

#[test]
fn racing_threads_find_every_fault() {
    // No program that races has hooks.
    for fault in Fault::that_need(Needs::Steps).filter(|&fault| fault != Fault::LockHeldOverCallback) {
        let _planted = Planted::new(Some(fault));
        let mut check = Check::native(Version::NEWEST);
        // What a fault makes of lengths may break what the subject takes for granted: that is seen as well.
        let mut shows = |program: &Arc<Program>| {
            let verdict = catch_unwind(AssertUnwindSafe(|| check.run(program)));
            verdict.map_or(true, |verdict| matches!(verdict, Verdict::Diverge(_)))
        };
        let found = programs(3).take(4_000).find(|(_, program)| shows(program));
        println!("{fault}: {:?}", found.as_ref().map(|(index, _)| index));
        assert!(found.is_some(), "{fault}");
    }
}
