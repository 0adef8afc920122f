//! The wish of the user to end, by Ctrl-C or a signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Failure;

/// Whether the user wants the command to end. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens to signals. The first ends with what there is, the second at once.
    pub fn listen() -> Result<Stop, Failure> {
        let stop = Stop::default();
        let own = stop.clone();
        let handle = move || {
            if own.0.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        ctrlc::set_handler(handle).map_err(|error| {
            Failure::environment(format!("failed to listen to signals: {error}"), "run it in a terminal")
        })?;
        Ok(stop)
    }

    /// Whether it is so.
    pub fn wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends it as the user would.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
