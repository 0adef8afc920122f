//! Tests that plant faults take turns: a fault is planted in the whole process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use buflock::exporter::{Fault, plant};

static TURN: Mutex<()> = Mutex::new(());

/// A turn, with a fault or without. The fault goes with it.
pub struct Planted(#[expect(dead_code, reason = "held until the turn is over")] MutexGuard<'static, ()>);

impl Planted {
    /// Waits for a turn.
    pub fn new(fault: Option<Fault>) -> Planted {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        plant(fault);
        Planted(turn)
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        plant(None);
    }
}
