//! Where a worker is, kept in a file that outlives it.
//!
//! The file is 16 bytes: the number of the program and the number of the step, both little-endian
//! `u64`. It is mapped into the worker's memory, so that telling where it is costs two stores, and
//! so that the system keeps the last of them however the worker dies.

use std::io;
use std::path::Path;
use std::sync::Arc;

use buflock::check::Watch;

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
}

impl Watch for Page {
    fn at(&self, step: usize) {
        self.0.store(1, step as u64);
    }
}
