//! Explored: a scheduler says which thread goes on, each time that one is about to touch what threads of the Rust exporters
//! share.
//!
//! The threads are shuttle's: they take turns on one thread of the machine, so that the outcome is a function of the program
//! and of its [`Turns`]. These come with the program ([`Chooser::given`]), or a strategy of shuttle's chooses them ([`Strategy`]);
//! either way they are written down, and given again they lead to the same run.
//!
//! shuttle knows no weak memory: each operation sees all that came before it. What the orderings of the lock word are for is
//! shown by loom (`exporter/export_count.rs`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shuttle::scheduler::{PctScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::meeting::Meeting;
use super::{Pace, run_own};
use crate::history::Raced;
use crate::program::generate::{Choices, choices};
use crate::program::turns::Log;
use crate::program::{Program, Turns, limits};
use crate::subject::Subject;
use crate::sync::wait_a_moment;

/// The stack of a thread, in bytes.
const STACK: usize = 1 << 20;
/// So many turns are more than any program takes: its threads wait for each other.
const TOO_MANY: usize = 1 << 20;
/// The thread that starts the others and waits for them. It takes no turns.
const STARTER: usize = 0;

/// How shuttle chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The thread of the highest priority goes on; priorities are drawn, and change so often (Burckhardt et al., 2010).
    Pct(usize),
    /// Any thread goes on.
    Random,
}

/// Who chooses. What it learns of one run counts in the next ones.
pub struct Chooser(Arc<Mutex<dyn Scheduler + Send>>);

impl std::fmt::Debug for Chooser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chooser").finish_non_exhaustive()
    }
}

impl Chooser {
    /// One that chooses by a strategy, and draws from what the seed names.
    pub fn new(strategy: Strategy, seed: u64) -> Chooser {
        match strategy {
            Strategy::Pct(depth) => {
                Chooser(Arc::new(Mutex::new(PctScheduler::new_from_seed(seed, depth, usize::MAX))))
            }
            Strategy::Random => Chooser(Arc::new(Mutex::new(Drawn(choices(seed))))),
        }
    }

    /// One that takes these turns, and when they end lets each thread go on.
    pub fn given(turns: &Turns) -> Chooser {
        let places: Vec<usize> = turns.places().take(turns.0.len() << 6).collect();
        Chooser(Arc::new(Mutex::new(Given(places.into_iter()))))
    }
}

/// Turns that are drawn. shuttle's own takes a run that is not its last for one that has failed, and says so.
struct Drawn<C>(C);

impl<C: Choices> Scheduler for Drawn<C> {
    fn new_execution(&mut self) -> Option<Schedule> {
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, tasks: &[&Task], _: Option<TaskId>, _: bool) -> Option<TaskId> {
        Some(tasks[self.0.below(tasks.len() as u32) as usize].id())
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("no thread asks for a number")
    }
}

/// Turns that are given.
struct Given(std::vec::IntoIter<usize>);

impl Scheduler for Given {
    fn new_execution(&mut self) -> Option<Schedule> {
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, tasks: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let row = row(tasks, current, is_yielding);
        Some(row[self.0.next().unwrap_or(0) % row.len()])
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("no thread asks for a number")
    }
}

/// The threads that could go on: the one that runs, unless it waits, and then the others from it on and around.
fn row(tasks: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Vec<TaskId> {
    let current = current.map_or(0, usize::from) + usize::from(is_yielding);
    let mut row: Vec<TaskId> = tasks.iter().map(|task| task.id()).collect();
    row.sort_by_key(|&id| (usize::from(id) < current, usize::from(id)));
    row
}

/// Asks who chooses where there is a choice, for one run, and writes it down.
struct Scribe {
    chooser: Arc<Mutex<dyn Scheduler + Send>>,
    log: Arc<Mutex<Log>>,
    is_over: bool,
}

impl Scheduler for Scribe {
    fn new_execution(&mut self) -> Option<Schedule> {
        if std::mem::replace(&mut self.is_over, true) { None } else { lock(&self.chooser).new_execution() }
    }

    fn next_task(&mut self, tasks: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        if let Some(only) = tasks.iter().find(|task| tasks.len() == 1 || usize::from(task.id()) == STARTER) {
            return Some(only.id());
        }
        let next = lock(&self.chooser).next_task(tasks, current, is_yielding)?;
        let place = row(tasks, current, is_yielding).iter().position(|&id| id == next);
        lock(&self.log).push(place.expect("one of those that could go on"));
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        lock(&self.chooser).next_u64()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a run of threads came to.
pub struct Explored {
    /// What they saw, those of each thread in its order. Times are counted in beginnings and ends of steps.
    pub seen: Vec<Raced>,
    /// The hands: what a thread has bound is there until they go.
    pub hands: Vec<Box<dyn Subject>>,
    /// The turns that were taken.
    pub turns: Turns,
}

impl std::fmt::Debug for Explored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explored")
            .field("seen", &self.seen)
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

/// Runs the steps of all threads of a program, each on its own hand, in the order that `chooser` gives.
///
/// # Panics
/// If a thread does, or if they wait for each other for ever.
pub fn run(program: &Arc<Program>, hands: Vec<Box<dyn Subject>>, chooser: &Chooser) -> Explored {
    assert!(hands.len() <= usize::from(limits::THREADS));
    let log = Arc::new(Mutex::new(Log::default()));
    let scribe = Scribe { chooser: Arc::clone(&chooser.0), log: Arc::clone(&log), is_over: false };
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(TOO_MANY);
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let (table, clock) = (Arc::new(Mutex::new((Vec::new(), hands))), Arc::new(AtomicU64::new(0)));
    let meeting = Arc::new(Meeting::new(program, lock(&table).1.len()));
    let (inside, program) = (Arc::clone(&table), Arc::clone(program));
    Runner::new(scribe, config).run(move || {
        let hands = std::mem::take(&mut lock(&inside).1);
        let start = |(mut hand, thread): (Box<dyn Subject>, u8)| {
            let (program, clock, meeting) = (Arc::clone(&program), Arc::clone(&clock), Arc::clone(&meeting));
            shuttle::thread::spawn(move || {
                let now = || clock.fetch_add(1, Ordering::Relaxed);
                let pace = Pace { now: &now, pause: &mut || (), wait: &mut wait_a_moment };
                (run_own(thread, &program, &mut *hand, &[], (&meeting, 0), pace), hand)
            })
        };
        let threads: Vec<_> = hands.into_iter().zip(0..).map(start).collect();
        for thread in threads {
            let (seen, hand) = thread.join().expect("a thread that panics ends the run");
            let mut table = lock(&inside);
            table.0.extend(seen);
            table.1.push(hand);
        }
    });
    let (seen, hands) = std::mem::take(&mut *lock(&table));
    let turns = lock(&log).turns();
    Explored { seen, hands, turns }
}
