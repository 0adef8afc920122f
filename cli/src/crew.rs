//! The workers of one thread of the command: one for each allocator that its programs asked for.

use buflock::program::Allocator;

use super::error::Failure;
use super::worker::{Recipe, Worker};

/// Workers that wait for a request; more are started when they are needed.
#[derive(Debug)]
pub struct Crew<'a> {
    recipe: &'a Recipe,
    number: usize,
    core: Option<usize>,
    idle: Vec<Worker>,
}

impl<'a> Crew<'a> {
    /// Number `number`, on a core of its own if there is one for it, with a worker that is there already or none.
    pub fn new(recipe: &'a Recipe, number: usize, core: Option<usize>, worker: Option<Worker>) -> Crew<'a> {
        Crew { recipe, number, core, idle: worker.into_iter().collect() }
    }

    /// A worker whose interpreter has its memory from there, which is given back unless it is of no more use.
    pub fn take(&mut self, allocator: Allocator) -> Result<Worker, Failure> {
        match self.idle.iter().position(|worker| worker.allocator() == allocator) {
            Some(place) => Ok(self.idle.swap_remove(place)),
            None => Worker::start(self.recipe, self.number, self.core, allocator),
        }
    }

    /// A worker that has answered.
    pub fn give_back(&mut self, worker: Worker) {
        self.idle.push(worker);
    }

    /// Ends all of them.
    pub fn dismiss(&mut self) {
        self.idle.clear();
    }
}
