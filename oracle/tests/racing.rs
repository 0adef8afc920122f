//! Threads that race on the installed CPython: what they see has an order that the model explains.

use std::collections::BTreeMap;
use std::sync::Arc;

use buflock::judge::Verdict;
use buflock::program::Schedule;
use buflock::program::generate::{self, Schedules, Shape};
use buflock_oracle::{attached, check, interpreter};

#[test]
fn threads_that_race_on_cpython_see_what_has_an_order() {
    let interpreter = interpreter::start().unwrap();
    let shape = Shape { schedules: Schedules::Concurrent, ..Shape::default() };
    attached(|| {
        let mut check = check(&interpreter, &["cpython".to_owned()]).unwrap();
        let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
        let programs = (0..).map(|index| Arc::new(generate::nth(4, index, shape)));
        for program in programs.filter(|program| program.schedule == Schedule::Concurrent).take(1_000) {
            let label = match check.run(&program) {
                Verdict::Agree => "agree",
                Verdict::Inconclusive(_) => "inconclusive",
                Verdict::Diverge(divergence) if check.knows(&divergence) => "known",
                verdict => panic!("{verdict:?}\n{program}"),
            };
            *verdicts.entry(label).or_default() += 1;
        }
        println!("{verdicts:?}");
        assert!(verdicts["agree"] > 800, "{verdicts:?}");
    });
}
