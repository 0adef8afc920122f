//! The one facade over threads that meet.
//!
//! Whatever decides the outcome of a race is imported from here, so that a switch in this file alone puts a model checker
//! in the place of `std`, and the exporters that it explores are the ones that ship:
//!
//! | build | who decides which thread goes on |
//! | --- | --- |
//! | plain | the machine |
//! | with the feature `explored` | the machine, and while a schedule is explored, shuttle |
//! | with `--cfg loom` | loom, in all ways, and which store a load reads as well |

pub use std::sync::atomic::Ordering;

/// One byte of memory. It is `std`'s under every switch: exported memory is laid out as bytes, which the
/// atomics of a model checker are not, and the order of racing bytes is nobody's promise (clause D1).
pub use std::sync::atomic::AtomicU8;

#[cfg(all(feature = "explored", not(loom)))]
mod explored;
#[cfg(not(loom))]
mod guarded;
#[cfg(loom)]
pub mod loom;

#[cfg(all(feature = "explored", not(loom)))]
pub use self::explored::{AtomicBool, AtomicUsize, Mutex, MutexGuard, wait_a_moment};
#[cfg(not(loom))]
pub use self::guarded::Guarded;
#[cfg(loom)]
pub use self::loom::{Arc, AtomicBool, AtomicUsize, Guarded, Mutex, MutexGuard, wait_a_moment};
#[cfg(not(any(feature = "explored", loom)))]
pub use parking_lot::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub use std::sync::Arc;
#[cfg(not(any(feature = "explored", loom)))]
pub use std::sync::atomic::{AtomicBool, AtomicUsize};

#[cfg(not(any(feature = "explored", loom)))]
pub use self::wait_for_the_machine as wait_a_moment;

/// Rounds that spin before the first one that yields: an operation in flight is shorter than a switch of
/// threads, unless its thread has lost the processor.
#[cfg(not(loom))]
const SPINS: u32 = 16;

/// Waits for another thread to finish an operation that is short. `round` counts the waits so far.
#[cfg(not(loom))]
#[inline]
pub fn wait_for_the_machine(round: u32) {
    if round < SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
