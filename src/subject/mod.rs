//! What programs run on.
//!
//! A [`Subject`] runs steps and can be looked at; it judges nothing. The [`model`] is the law,
//! every other subject is the accused.

pub mod errand;
pub mod heap;
pub mod index;
mod item;
mod meaning;
pub mod model;
pub mod native;
mod printf;
mod repr;
mod search;
mod slots;
pub mod trace;

use std::fmt;

pub use heap::{Flavour, Version};
pub use model::Model;
pub use native::Native;
pub use slots::Slots;
pub use trace::Trace;

use crate::exporter::Layout;
use crate::history::{Nested, Outcome};
use crate::program::{Program, Slot, Step};

/// Something that programs run on.
///
/// The thread that runs a step is the thread of the program; a subject may be sent between threads but is never used by
/// two at once. Threads that race have a [fork](Subject::forks) each.
pub trait Subject: Send {
    /// What reports call it.
    fn name(&self) -> &str;

    /// Whether it can run a program at all. What it cannot is not run on it, rather than run in part.
    fn takes(&self, _program: &Program) -> bool {
        true
    }

    /// Runs one step without hooks, of which all slots are filled.
    fn step(&mut self, step: &Step) -> Outcome;

    /// Says that of the step that runs next, the allocation after so many others is to fail, where that can be done to it.
    /// The step has its outcome then, or raises a `MemoryError`, and leaves its objects as they were or not.
    fn starve(&mut self, _after: usize) {}

    /// Runs one step with hooks, and tells what happened while it converted them. Of the steps of hooks it runs those that
    /// the model has run.
    fn hooked_step(&mut self, step: &Step, expected: &[Nested]) -> (Outcome, Vec<Nested>);

    /// The message of the last error that a step raised, if there is one. Recorded, never compared.
    fn message(&self) -> Option<String> {
        None
    }

    /// The first slot that holds something else than the model's. It says what comparing
    /// [`Subject::look`] with [`trace::State::picture`] for every slot would, but it runs after every step:
    /// memory is compared where it is.
    fn different_slot(&mut self, expected: trace::State<'_>) -> Option<Slot>;

    /// Whether a slot is filled.
    fn holds(&self, slot: Slot) -> bool;

    /// So many hands on the same objects, for threads of their own: their slots hold what these hold. `None` if threads
    /// cannot share them.
    fn forks(&mut self, _count: u8) -> Option<Vec<Box<dyn Subject>>> {
        None
    }

    /// What `slot` holds.
    fn look(&self, slot: Slot) -> Picture;

    /// The hash that a `bytes` of these contents has here.
    fn hash_of(&self, bytes: &[u8]) -> Option<i128>;

    /// Ends a run: empties all slots, and tells the first thing that is not as it was before the
    /// run (clause R3).
    fn rest(&mut self) -> Option<Unrest>;

    /// How many blocks of memory there are more than at any call before, which is cheap to know; or, without garbage,
    /// more than at the last call for that, if they are to be `swept`. None where nobody counts.
    fn grown(&mut self, _swept: bool) -> usize {
        0
    }
}

/// What a slot holds, as far as it can be looked at; borrowed from the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing.
    Empty,
    /// An exporter.
    Exporter {
        /// Which.
        flavour: Flavour,
        /// What it holds.
        bytes: &'a [u8],
        /// Where it stands; 0 if it has no cursor.
        cursor: usize,
    },
    /// A map or a stream that was closed.
    Closed(Flavour),
    /// A view whose items are there.
    View(&'a Layout),
    /// A view that was released.
    ReleasedView,
    /// An export, held or released.
    Export {
        /// Whether it is held still.
        held: bool,
    },
    /// An iterator. What is left of it is seen by asking it.
    Iterator,
}

/// What a slot was seen to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// Nothing.
    Empty,
    /// An exporter.
    Exporter {
        /// Which.
        flavour: Flavour,
        /// What it holds.
        bytes: Vec<u8>,
        /// Where it stands; 0 if it has no cursor.
        cursor: usize,
    },
    /// A map or a stream that was closed.
    Closed(Flavour),
    /// A view.
    View(ViewPicture),
    /// A view that was released.
    ReleasedView,
    /// An export, held or released.
    Export {
        /// Whether it is held still.
        held: bool,
    },
    /// An iterator.
    Iterator,
}

/// Everything that can be seen of a view without reading its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewPicture {
    /// From the memory of the exporter to the first item, in bytes (clause G4).
    pub offset: isize,
    /// As written.
    pub format: String,
    /// Bytes per item.
    pub itemsize: usize,
    /// Bytes in all items.
    pub nbytes: usize,
    /// Items per dimension.
    pub shape: Vec<isize>,
    /// Bytes from item to item per dimension.
    pub strides: Vec<isize>,
    /// Whether writes are refused.
    pub readonly: bool,
    /// Whether the items lie side by side in C order.
    pub c_contiguous: bool,
    /// Whether the items lie side by side in Fortran order.
    pub f_contiguous: bool,
}

impl From<&Layout> for ViewPicture {
    fn from(layout: &Layout) -> ViewPicture {
        ViewPicture {
            offset: layout.offset,
            format: layout.format.to_string(),
            itemsize: layout.itemsize(),
            nbytes: layout.nbytes(),
            shape: layout.shape.to_vec(),
            strides: layout.strides.to_vec(),
            readonly: layout.readonly,
            c_contiguous: layout.is_c_contiguous(),
            f_contiguous: layout.is_f_contiguous(),
        }
    }
}

impl From<&Shown<'_>> for Picture {
    fn from(shown: &Shown<'_>) -> Picture {
        match *shown {
            Shown::Empty => Picture::Empty,
            Shown::Exporter { flavour, bytes, cursor } => {
                Picture::Exporter { flavour, bytes: bytes.to_vec(), cursor }
            }
            Shown::Closed(flavour) => Picture::Closed(flavour),
            Shown::View(layout) => Picture::View(layout.into()),
            Shown::ReleasedView => Picture::ReleasedView,
            Shown::Export { held } => Picture::Export { held },
            Shown::Iterator => Picture::Iterator,
        }
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::program::text::write_bytes;
        match self {
            Picture::Empty => f.write_str("nothing"),
            Picture::Exporter { flavour: Flavour::Bytes, bytes, .. } => write_bytes(f, bytes),
            Picture::Exporter { flavour, bytes, cursor } => {
                write!(f, "{}(", flavour.class().name())?;
                if let Flavour::Array(code) = flavour {
                    write!(f, "\"{}\", ", code.name())?;
                }
                write_bytes(f, bytes)?;
                if let Flavour::CArray(code) = flavour {
                    write!(f, ", \"{code}\"")?;
                }
                f.write_str(")")?;
                match flavour {
                    Flavour::Mmap(_) | Flavour::Stream => write!(f, " at {cursor}"),
                    _ => Ok(()),
                }
            }
            Picture::Closed(flavour) => write!(f, "a closed {}", flavour.class().name()),
            Picture::View(view) => view.fmt(f),
            Picture::ReleasedView => f.write_str("a released memoryview"),
            Picture::Export { held: true } => f.write_str("a held export"),
            Picture::Export { held: false } => f.write_str("a released export"),
            Picture::Iterator => f.write_str("an iterator"),
        }
    }
}

impl ViewPicture {
    /// Each thing that can be seen, in words.
    fn facts(&self) -> [String; 9] {
        let either = |is: bool, yes: &str, no: &str| if is { yes } else { no }.to_owned();
        [
            format!("at +{}", self.offset),
            format!("format {:?}", self.format),
            format!("itemsize {}", self.itemsize),
            format!("nbytes {}", self.nbytes),
            format!("shape {:?}", self.shape),
            format!("strides {:?}", self.strides),
            either(self.readonly, "read-only", "writable"),
            either(self.c_contiguous, "C-contiguous", "not C-contiguous"),
            either(self.f_contiguous, "F-contiguous", "not F-contiguous"),
        ]
    }
}

impl fmt::Display for ViewPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memoryview({})", self.facts().join(", "))
    }
}

impl Picture {
    /// Whether what was seen is what this says, as far as it can be seen: not of how a map was mapped. Without `bytes`,
    /// any will do, if there are as many.
    pub fn admits(&self, seen: &Picture, bytes: bool) -> bool {
        match (self, seen) {
            (
                Picture::Exporter { flavour, bytes: expected, cursor },
                Picture::Exporter { flavour: other, bytes: found, cursor: place },
            ) => {
                flavour.class() == other.class()
                    && cursor == place
                    && if bytes { expected == found } else { expected.len() == found.len() }
            }
            (Picture::Closed(flavour), Picture::Closed(other)) => flavour.class() == other.class(),
            _ => self == seen,
        }
    }

    /// Two pictures that differ, in words; of two views, only what differs.
    pub fn contrast(&self, other: &Picture) -> (String, String) {
        let (Picture::View(one), Picture::View(two)) = (self, other) else {
            return (self.to_string(), other.to_string());
        };
        let differing = std::iter::zip(one.facts(), two.facts()).filter(|(one, two)| one != two);
        let (one, two): (Vec<_>, Vec<_>) = differing.unzip();
        (format!("memoryview({})", one.join(", ")), format!("memoryview({})", two.join(", ")))
    }
}

/// Something that a run left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrest {
    /// With all views and exports gone, the exporter in this slot still refuses to resize.
    StillExported(Slot),
    /// The object in this slot has references that nothing holds, or lacks some.
    References {
        /// Which.
        slot: Slot,
        /// How many references it should have.
        expected: isize,
        /// How many it has.
        found: isize,
    },
    /// An object that the whole interpreter shares was changed.
    SharedObject(String),
    /// The interpreter printed an error that it could not raise.
    Complaint(String),
    /// So many blocks of memory stay each time that the program runs.
    Leak(usize),
}

impl fmt::Display for Unrest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unrest::StillExported(slot) => {
                write!(f, "{slot} is still exported after every view and export is gone")
            }
            Unrest::References { slot, expected, found } => {
                write!(f, "{slot} has {found} references at rest, not {expected}")
            }
            Unrest::Leak(1) => write!(f, "a block of memory stays each time that this runs"),
            Unrest::Leak(blocks) => write!(f, "{blocks} blocks of memory stay each time that this runs"),
            Unrest::Complaint(text) => write!(f, "the interpreter complained: {text}"),
            Unrest::SharedObject(what) => {
                write!(f, "an object that the interpreter shares was changed: {what}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_views_only_what_differs_is_told() {
        let view = |layout: &Layout| Picture::View(layout.into());
        let bytes = Layout::bytes(8, false);
        let (one, two) = view(&bytes).contrast(&view(&bytes.slice(0, 4, 2)));
        assert_eq!(one, "memoryview(nbytes 8, shape [8], strides [1], C-contiguous, F-contiguous)");
        assert_eq!(two, "memoryview(nbytes 4, shape [4], strides [2], not C-contiguous, not F-contiguous)");
        let (one, two) = view(&bytes).contrast(&Picture::ReleasedView);
        assert!(one.contains("format \"B\"") && one.contains("writable"), "{one}");
        assert_eq!(two, "a released memoryview");
    }
}
