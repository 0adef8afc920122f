//! Where an interpreter gets its memory from while it runs a program.
//!
//! Most memory faults leave no trace with the allocator that CPython uses: freed memory keeps its bytes until someone
//! gets it again. A share of the programs therefore runs where a stale access is seen on any build, without a sanitizer.

use serde::{Deserialize, Serialize};

/// Where the interpreter of a worker gets its memory from: `# allocator guarded`. The process of a test or of a fuzzer
/// has one already, and pays no attention to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allocator {
    /// From the allocator that it has anyway.
    #[default]
    Usual,
    /// From CPython's own allocator for debugging (`PYTHONMALLOC=debug`): memory that is freed or was never written is
    /// filled with a pattern, so that a stale read shows other bytes than the model, and a write behind a block is seen
    /// when that is freed.
    Debug,
    /// Each block from pages of its own, which cannot be touched once it is freed, nor can the page behind it: a stale
    /// access ends the process there and then. A Python without the GIL knows its objects by where they lie, and has
    /// [`Allocator::Debug`] instead.
    Guarded,
}

/// How many programs of a sequence run with one allocator before the next is asked for.
pub const SPAN: u64 = 1024;
/// One span in so many runs with each of the two that are not the usual one.
const SELDOM: u64 = 32;

impl Allocator {
    /// All of them.
    pub const ALL: [Allocator; 3] = [Allocator::Usual, Allocator::Debug, Allocator::Guarded];

    /// That of the program number `index` of any sequence.
    pub fn of(index: u64) -> Allocator {
        match index / SPAN % SELDOM {
            1 => Allocator::Debug,
            2 => Allocator::Guarded,
            _ => Allocator::Usual,
        }
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Allocator::Usual => "usual",
            Allocator::Debug => "debug",
            Allocator::Guarded => "guarded",
        }
    }

    /// The allocator of this name.
    pub fn of_name(name: &str) -> Option<Allocator> {
        Self::ALL.into_iter().find(|allocator| allocator.name() == name)
    }

    /// What it does with memory, for reports; nothing of the usual one.
    pub fn words(self) -> Option<&'static str> {
        match self {
            Allocator::Usual => None,
            Allocator::Debug => Some("freed and unwritten memory is filled with a pattern"),
            Allocator::Guarded => Some("each block has pages of its own, which go when it is freed"),
        }
    }

    /// What `PYTHONMALLOC` says to an interpreter, if anything.
    pub fn variable(self) -> Option<&'static str> {
        (self != Allocator::Usual).then_some("debug")
    }
}
