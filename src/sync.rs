//! The one facade over `std`'s synchronization.
//!
//! Whatever decides the outcome of a race is imported from here, so that a model checker can stand in
//! for `std` by a switch in this file alone, and the exporters that it explores are the ones that ship.

pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One byte of memory. It is `std`'s under every switch: exported memory is laid out as bytes, which the
/// atomics of a model checker are not, and the order of racing bytes is nobody's promise (clause D1).
pub use std::sync::atomic::AtomicU8;

/// Rounds that spin before the first one that yields: an operation in flight is shorter than a switch of
/// threads, unless its thread has lost the processor.
const SPINS: u32 = 16;

/// Waits for another thread to finish an operation that is short. `round` counts the waits so far.
#[inline]
pub fn wait_a_moment(round: u32) {
    if round < SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
