//! Where a worker is, kept in a file that outlives it.
//!
//! The file is 24 bytes, three little-endian `u64`: the number of the program, the number of the step, and the number
//! of the first program that has no verdict yet, since several are under way at once. It is mapped into the worker's
//! memory, so that telling where it is costs a store or two, and so that the system keeps the last of them however the
//! worker dies.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::raw_buffer::SharedWords;

/// The page of one worker. Clones share it.
#[derive(Debug, Clone)]
pub struct Page(Arc<SharedWords>);

impl Page {
    /// Maps the file at `path`, made anew.
    ///
    /// # Errors
    /// If the file cannot be made or mapped.
    pub fn create(path: &Path) -> io::Result<Page> {
        Ok(Page(Arc::new(SharedWords::create(path)?)))
    }

    /// The program of this number is next.
    pub fn program(&self, number: u64) {
        self.0.store(1, 0);
        self.0.store(0, number);
    }

    /// The step at this place is next.
    pub fn step(&self, step: usize) {
        self.0.store(1, step as u64);
    }

    /// All programs before that of this number have a verdict.
    pub fn judged(&self, number: u64) {
        self.0.store(2, number);
    }
}
