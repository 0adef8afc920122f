//! What keeps the steps of threads apart where they race: the program's own locks, and barriers.
//!
//! A lock of this kind is no object that steps are about, as those of PEP 298 are, but what a program in Python has
//! `with lock:` for. A thread holds it over steps of its own that follow each other, and the others wait: so what they do
//! to memory is exact (clause D2). What is under one lock is a matter of the list, in the order of which lockstep never has
//! to wait: it ends where the thread does something else, where another thread takes the lock, and at a barrier. No thread
//! has two of them, and none waits at a barrier with one: so each step is done in the end, whatever the schedule.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Step, limits};

/// What a step of a thread is done beside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Guard {
    /// Whatever other threads do.
    #[default]
    None,
    /// Anything but steps with the same lock: `T0: with m0: b0.clear()`.
    Lock(u8),
    /// Nothing: all threads have done what stands before it in the list, and wait for it: `T0: barrier: b0.clear()`.
    Barrier,
}

/// What stands before the statement of a step.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Guard::None => Ok(()),
            Guard::Lock(lock) => write!(f, "with m{lock}: "),
            Guard::Barrier => f.write_str("barrier: "),
        }
    }
}

/// What a thread does around a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passage {
    /// Takes this lock before it.
    pub takes: Option<u8>,
    /// Leaves this lock after it.
    pub leaves: Option<u8>,
}

/// What threads do around each step of a list.
pub fn passages(steps: &[Step]) -> Vec<Passage> {
    let mut passages = vec![Passage::default(); steps.len()];
    // Who has each lock, and the place of the last step under it.
    let mut held: [Option<(u8, usize)>; limits::LOCKS as usize] = Default::default();
    for (place, step) in steps.iter().enumerate() {
        let Some(thread) = step.thread else { continue };
        for (lock, holder) in held.iter_mut().enumerate() {
            let Some((owner, last)) = *holder else { continue };
            let wants = step.guard == Guard::Lock(lock as u8);
            let ends = if owner == thread { !wants } else { wants || step.guard == Guard::Barrier };
            if ends {
                passages[last].leaves = Some(lock as u8);
                *holder = None;
            }
        }
        if let Guard::Lock(lock) = step.guard {
            let holder = &mut held[usize::from(lock)];
            if holder.is_none() {
                passages[place].takes = Some(lock);
            }
            *holder = Some((thread, place));
        }
    }
    for (lock, holder) in held.iter().enumerate() {
        if let Some((_, last)) = *holder {
            passages[last].leaves = Some(lock as u8);
        }
    }
    passages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse::parse;

    /// `+0` where a lock is taken, `-0` where it is left.
    fn around(lines: &str) -> Vec<String> {
        let program = parse(&format!("# buflock program 1\n# schedule concurrent\n{lines}")).unwrap();
        let told = |passage: &Passage| {
            let taken = passage.takes.map(|lock| format!("+{lock}"));
            let left = passage.leaves.map(|lock| format!("-{lock}"));
            taken.into_iter().chain(left).collect()
        };
        passages(&program.steps).iter().map(told).collect()
    }

    #[test]
    fn a_lock_is_held_over_the_steps_of_a_thread_that_follow_each_other() {
        let lines = "b0 = bytearray(2)\nT0: with m0: b0.append(1)\nT1: len(b0)\nT0: with m0: b0.append(2)\nT0: len(b0)\n";
        assert_eq!(around(lines), ["", "+0", "", "-0", ""]);
    }

    #[test]
    fn a_lock_is_left_where_another_thread_takes_it_and_at_a_barrier_and_for_another_lock() {
        let two = "b0 = bytearray(2)\nT0: with m0: len(b0)\nT1: with m0: len(b0)\nT0: with m0: len(b0)\n";
        assert_eq!(around(two), ["", "+0-0", "+0-0", "+0-0"]);
        let barrier = "b0 = bytearray(2)\nT0: with m0: len(b0)\nT1: barrier: len(b0)\nT0: with m0: len(b0)\n";
        assert_eq!(around(barrier), ["", "+0-0", "", "+0-0"]);
        let other = "b0 = bytearray(2)\nT0: with m0: len(b0)\nT0: with m1: len(b0)\n";
        assert_eq!(around(other), ["", "+0-0", "+1-1"]);
    }
}
