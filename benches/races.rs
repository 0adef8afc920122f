//! What it takes to judge and to explore threads that race.
//!
//! - `judge / porcupine-rs`: the time that the judge takes for a history, over that of porcupine-rs for the same one, with
//!   the same model; and the time itself.
//! - with the feature `explored`, how many schedules of programs of 12 steps a second are run and judged, on one core.

#[path = "../tests/histories/mod.rs"]
mod histories;

use std::hint::black_box;
use std::time::Instant;

use buflock::judge::linearize::{Linearization, linearize};
use buflock::program::generate::{self, Schedules, Shape};
use buflock::program::{Program, Step};
use buflock::subject::{Model, Version};
use histories::{History, history, operations};
use porcupine_rs::check_operations;

const STEPS: usize = 32;
const THREADS: u8 = 4;
const HISTORIES: usize = 400;
/// How often each history is judged, of which the shortest time counts.
const TIMES: usize = 7;
/// More than any of them takes.
const BUDGET: usize = 1_000_000;

/// As in the worker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    judge();
    #[cfg(feature = "explored")]
    explored::schedules();
}

/// Steps of so many threads, each of which does some.
fn races(steps: usize, threads: u8) -> impl Iterator<Item = Program> {
    let shape = Shape { steps: 2 * steps, schedules: Schedules::Concurrent, ..Shape::default() };
    let all = (0..).map(move |index| generate::nth(13, index, shape));
    all.filter_map(move |mut program| {
        program.steps.truncate(steps);
        let is_there = |thread| program.steps.iter().any(|step: &Step| step.thread == Some(thread));
        (program.steps.len() == steps && program.threads() == threads && (0..threads).all(is_there))
            .then_some(program)
    })
}

/// The shortest time of several, in microseconds.
fn microseconds(mut act: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        act();
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..TIMES).map(time).fold(f64::INFINITY, f64::min)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn judge() {
    for (spoiled, label) in [(false, "explained"), (true, "spoiled")] {
        let histories =
            races(STEPS, THREADS).zip(0..).map(|(program, index)| history(index, program.steps, spoiled));
        let (mut ours, mut theirs, mut ratios, mut explained) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for history in histories.take(HISTORIES) {
            let operations = operations(&history);
            let own = linearize_all(&history);
            explained += usize::from(own);
            assert_eq!(own, check_operations(&operations), "both judges say the same");
            let own = microseconds(|| {
                black_box(linearize_all(&history));
            });
            let other = microseconds(|| {
                black_box(check_operations(&operations));
            });
            ours.push(own);
            theirs.push(other);
            ratios.push(other / own);
        }
        println!(
            "{label}: {STEPS} steps on {THREADS} threads, {explained} of {HISTORIES} have an order: judged in {:.1} us, by porcupine-rs in {:.1} us",
            median(ours),
            median(theirs)
        );
        println!("porcupine-rs / judge: {:.1}", median(ratios));
    }
}

fn linearize_all(history: &History) -> bool {
    matches!(linearize(Model::new(Version::NEWEST), history, BUDGET), Linearization::Explained(_))
}

#[cfg(feature = "explored")]
mod explored {
    use std::time::Instant;

    use buflock::check::Check;
    use buflock::hunt::WAYS;
    use buflock::judge::Verdict;
    use buflock::subject::Version;

    use super::{median, races};

    const STEPS: usize = 12;
    const THREADS: u8 = 3;
    const PROGRAMS: usize = 300;

    /// How many schedules a second are run and judged, each on exporters of its own, beside how many of a run that does
    /// nothing but as many compare-exchanges.
    pub fn schedules() {
        let programs: Vec<_> = races(STEPS, THREADS).take(PROGRAMS).collect();
        let mut check = Check::native(Version::NEWEST);
        let (mut own, mut bare) = (Vec::new(), Vec::new());
        for seed in 0..5 {
            let start = Instant::now();
            for program in &programs {
                let (_, verdict) = check.explore(program, WAYS, seed);
                assert!(!matches!(verdict, Verdict::Diverge(_)), "{verdict:?}");
            }
            let schedules = (PROGRAMS * WAYS as usize) as f64;
            own.push(schedules / start.elapsed().as_secs_f64());
            let start = Instant::now();
            compare_exchanges(PROGRAMS * WAYS as usize);
            bare.push(schedules / start.elapsed().as_secs_f64());
        }
        println!("explored: {:.0} schedules of {STEPS} steps on {THREADS} threads a second", median(own));
        println!("bare shuttle: {:.0}", median(bare));
    }

    /// So many runs of three threads with four compare-exchanges each.
    fn compare_exchanges(runs: usize) {
        use shuttle::sync::Arc;
        use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        shuttle::check_random(
            || {
                let word = Arc::new(AtomicUsize::new(0));
                let thread = |_| {
                    let word = Arc::clone(&word);
                    shuttle::thread::spawn(move || {
                        for value in 0..STEPS / usize::from(THREADS) {
                            let _ = word.compare_exchange(value, value + 1, SeqCst, SeqCst);
                        }
                    })
                };
                let threads: Vec<_> = (0..THREADS).map(thread).collect();
                threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
            },
            runs,
        );
    }
}
