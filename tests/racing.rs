//! Threads that race on the native exporters, judged by the model.

mod planting;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use buflock::check::Check;
use buflock::exporter::{Fault, Needs};
use buflock::hunt;
use buflock::judge::Verdict;
use buflock::program::Program;
use buflock::subject::Version;
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
