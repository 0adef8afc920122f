//! Looks for whatever is wrong with the native exporters, until something is: with a fault planted, that fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::check::Check;
use crate::judge::{Divergence, Verdict};
use crate::program::generate::{self, Schedules, Shape};
use crate::program::{Program, Schedule};
use crate::subject::Version;

/// In how many ways a program is explored.
pub const WAYS: u32 = 8;

/// What a hunt came to.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// How many programs were run.
    pub programs: u64,
    /// What the last of them showed.
    pub found: Option<Found>,
}

/// A program that shows something, and what.
#[derive(Debug, Clone)]
pub struct Found {
    /// With the turns that were taken, if there were any and the run came to its end.
    pub program: Arc<Program>,
    /// What differs from the model, or how the run ended.
    pub what: What,
}

/// How a program shows that something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// By what a step saw, or what was left.
    Diverges(Box<Divergence>),
    /// By a panic: the exporters contradict themselves, or threads wait for each other for ever.
    Panics(String),
}

/// The programs of a seed whose threads race, each with its number.
pub fn racing(seed: u64) -> impl Iterator<Item = (u64, Program)> {
    let shape = Shape { schedules: Schedules::Concurrent, ..Shape::default() };
    let all = (0..).map(move |index| (index, generate::nth(seed, index, shape)));
    all.filter(|(_, program)| program.schedule == Schedule::Concurrent)
}

/// Runs programs one step after the other, until one shows something or `goes_on` says no.
pub fn lockstep(seed: u64, goes_on: impl Fn(u64) -> bool) -> Hunt {
    let programs = (0..).map(|index| (index, generate::nth(seed, index, Shape::default())));
    hunt(programs, goes_on, |check, _, program| {
        let program = Arc::new(program.clone());
        let verdict = check.run(&program);
        (program, verdict)
    })
}

/// Explores the schedules of programs, until one shows something or `goes_on` says no.
#[cfg(all(feature = "explored", not(loom)))]
pub fn explored(seed: u64, goes_on: impl Fn(u64) -> bool) -> Hunt {
    hunt(racing(seed), goes_on, |check, index, program| check.explore(program, WAYS, index))
}

/// `goes_on` is asked before each program, with how many were run.
fn hunt(
    programs: impl Iterator<Item = (u64, Program)>,
    goes_on: impl Fn(u64) -> bool,
    run: impl Fn(&mut Check, u64, &Program) -> (Arc<Program>, Verdict),
) -> Hunt {
    let mut check = Check::native(Version::NEWEST);
    let mut count = 0;
    for (index, program) in programs {
        if !goes_on(count) {
            break;
        }
        count += 1;
        let found = match catch_unwind(AssertUnwindSafe(|| run(&mut check, index, &program))) {
            Ok((program, Verdict::Diverge(divergence))) => {
                Found { program, what: What::Diverges(Box::new(divergence)) }
            }
            Ok(_) => continue,
            Err(payload) => {
                let said = payload.downcast_ref::<String>().cloned();
                let said = said.or_else(|| payload.downcast_ref::<&str>().map(|said| (*said).to_owned()));
                Found { program: Arc::new(program), what: What::Panics(said.unwrap_or_default()) }
            }
        };
        return Hunt { programs: count, found: Some(found) };
    }
    Hunt { programs: count, found: None }
}
