//! Where threads that race wait for each other because the program says so ([`guard`](crate::program::guard)).

use crate::program::guard::{Passage, passages};
use crate::program::{Program, limits};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// The program's locks, and the place where its threads gather.
#[derive(Debug)]
pub(super) struct Meeting {
    passages: Vec<Passage>,
    locks: [AtomicBool; limits::LOCKS as usize],
    /// How often a thread has come.
    came: AtomicUsize,
    threads: usize,
}

impl Meeting {
    pub(super) fn new(program: &Program, threads: usize) -> Meeting {
        let locks = std::array::from_fn(|_| AtomicBool::new(false));
        Meeting { passages: passages(&program.steps), locks, came: AtomicUsize::new(0), threads }
    }

    /// Waits until all threads have come here for this time, of which the first is 0. `wait` waits a moment, and is told
    /// how often it has.
    pub(super) fn gather(&self, time: usize, wait: &mut dyn FnMut(u32)) {
        self.came.fetch_add(1, Ordering::AcqRel);
        let mut round = 0;
        while self.came.load(Ordering::Acquire) < (time + 1) * self.threads {
            wait(round);
            round += 1;
        }
    }

    /// Takes the lock that the step at this place begins with.
    pub(super) fn enter(&self, place: usize, wait: &mut dyn FnMut(u32)) {
        let Some(lock) = self.passages[place].takes else { return };
        let mut round = 0;
        while self.locks[usize::from(lock)].swap(true, Ordering::Acquire) {
            wait(round);
            round += 1;
        }
    }

    /// Leaves the one that it ends with.
    pub(super) fn leave(&self, place: usize) {
        if let Some(lock) = self.passages[place].leaves {
            self.locks[usize::from(lock)].store(false, Ordering::Release);
        }
    }
}
