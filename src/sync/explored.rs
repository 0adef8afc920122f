//! `std`'s types, with a choice before each of their operations while a schedule is explored: which thread goes on.
//!
//! Outside of that they are what they are in a plain build, but for the question.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic;
use std::time::Duration;

use super::wait_for_the_machine;

pub use parking_lot::MutexGuard;

/// Is the caller a thread of an exploration? One that unwinds is none any more: it only cleans up.
#[inline]
fn is_explored() -> bool {
    shuttle::current::try_get_current_task().is_some() && !std::thread::panicking()
}

/// An atomic, of which each use is a place to switch threads at.
#[derive(Default)]
pub struct Chosen<A>(A);

/// `std`'s, explored.
pub type AtomicBool = Chosen<atomic::AtomicBool>;
/// `std`'s, explored.
pub type AtomicUsize = Chosen<atomic::AtomicUsize>;

impl AtomicBool {
    /// As `std`'s.
    pub const fn new(value: bool) -> Self {
        Self(atomic::AtomicBool::new(value))
    }
}

impl AtomicUsize {
    /// As `std`'s.
    pub const fn new(value: usize) -> Self {
        Self(atomic::AtomicUsize::new(value))
    }
}

impl<A> Deref for Chosen<A> {
    type Target = A;

    #[inline]
    fn deref(&self) -> &A {
        if is_explored() {
            // To shuttle, no time passes: it is a switch and nothing else.
            shuttle::thread::sleep(Duration::ZERO);
        }
        &self.0
    }
}

impl<A: fmt::Debug> fmt::Debug for Chosen<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Waits for another thread to finish an operation that is short. `round` counts the waits so far.
#[inline]
pub fn wait_a_moment(round: u32) {
    if is_explored() {
        shuttle::thread::yield_now();
    } else {
        wait_for_the_machine(round);
    }
}

/// A lock that a thread of an exploration waits for without keeping the others from going on, which are on the same
/// thread of the machine.
#[derive(Debug, Default)]
pub struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    /// Not locked.
    pub const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    /// Waits for it and locks it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if !is_explored() {
            return self.0.lock();
        }
        shuttle::thread::sleep(Duration::ZERO);
        loop {
            match self.0.try_lock() {
                Some(guard) => return guard,
                None => shuttle::thread::yield_now(),
            }
        }
    }
}
