//! Which thread does which step when.

pub mod concurrent;
#[cfg(all(feature = "explored", not(loom)))]
pub mod explored;
pub mod lockstep;
mod meeting;
pub mod place;

use parking_lot::{Condvar, Mutex};

use crate::history::{Event, Outcome, Raced, Skip};
use crate::program::{Guard, Op, Program};
use crate::subject::Subject;
use meeting::Meeting;

/// How a thread passes its time.
struct Pace<'a> {
    /// What time it is.
    now: &'a dyn Fn() -> u64,
    /// Called before each step.
    pause: &'a mut dyn FnMut(),
    /// Waits a moment for another thread, and is told how often it has.
    wait: &'a mut dyn FnMut(u32),
}

/// Runs the steps of one thread of a program on its hand, and gives what it saw. `known` are operations that are left
/// out. Threads have gathered so often before.
fn run_own(
    thread: u8,
    program: &Program,
    hand: &mut dyn Subject,
    known: &[Op],
    (meeting, gathered): (&Meeting, usize),
    pace: Pace<'_>,
) -> Vec<Raced> {
    let Pace { now, pause, wait } = pace;
    let mut raced = Vec::with_capacity(program.steps.len());
    let mut gathered = gathered;
    let mut gather = |wait: &mut dyn FnMut(u32)| {
        meeting.gather(gathered, wait);
        gathered += 1;
    };
    for (place, step) in program.steps.iter().enumerate() {
        let is_barrier = step.guard == Guard::Barrier;
        if is_barrier {
            gather(wait);
        }
        if step.thread == Some(thread) {
            pause();
            meeting.enter(place, wait);
            let begun = now();
            let seen = match step.find_needed(|slot| !hand.holds(slot)) {
                _ if known.contains(&step.op) => Outcome::Skipped(Skip::Known),
                Some(slot) => Outcome::Skipped(Skip::Empty(slot)),
                None => place::at(place, || hand.step(step)),
            };
            raced.push(Event { thread, begun, ended: now(), call: place, seen });
            meeting.leave(place);
        }
        if is_barrier {
            gather(wait);
        }
    }
    raced
}

/// What must be done around the work of a thread: attaching it to an interpreter.
pub trait Host: Send + Sync + 'static {
    /// Runs the whole life of a thread, attached.
    fn attached(&self, life: &mut dyn FnMut()) {
        life();
    }

    /// Runs a wait of an attached thread, detached.
    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        wait();
    }

    /// Runs what such a thread does for one program. A host that has what its threads own counted by them lets them be
    /// there for that alone, and so has all of it settled when the program is over.
    fn visited(&self, work: &mut dyn FnMut()) {
        work();
    }

    /// Runs the wait of such a thread for the next program.
    fn between(&self, wait: &mut (dyn FnMut() + Send)) {
        self.detached(wait);
    }
}

/// No interpreter.
#[derive(Debug, Clone, Copy)]
pub struct NoHost;

impl Host for NoHost {}

/// Where a thread waits for what another one hands over. The lock is not that of the standard library, because
/// ThreadSanitizer sees only what was compiled for it.
#[derive(Debug)]
struct Mailbox<T> {
    content: Mutex<Letter<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
enum Letter<T> {
    None,
    Some(T),
    /// There will be none any more.
    Farewell,
}

impl<T> Mailbox<T> {
    fn new() -> Mailbox<T> {
        Mailbox { content: Mutex::new(Letter::None), arrived: Condvar::new() }
    }

    /// Hands over.
    fn put(&self, content: T) {
        self.set(Letter::Some(content));
    }

    /// Says that nothing will come any more.
    fn close(&self) {
        self.set(Letter::Farewell);
    }

    fn set(&self, letter: Letter<T>) {
        *self.content.lock() = letter;
        self.arrived.notify_one();
    }

    /// Waits for what is handed over, or for the end.
    fn take(&self) -> Option<T> {
        let mut letter = self.content.lock();
        loop {
            match std::mem::replace(&mut *letter, Letter::None) {
                Letter::Some(content) => return Some(content),
                Letter::Farewell => return None,
                Letter::None => self.arrived.wait(&mut letter),
            }
        }
    }
}
