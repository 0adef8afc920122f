//! Exporters of memory that threads share: the buffer protocol of Python without Python.
//!
//! An exporter owns memory and lends it out. While any export is outstanding the memory stays where it is and as
//! long as it is; so an operation that would move it is refused and changes nothing. These types keep that
//! promise on any number of threads without a global lock, and with it they show what a correct exporter answers.
//!
//! # The contract
//! What each exporter promises, by the clauses of `PROTOCOL.md`:
//!
//! | clause | promise | kept by |
//! | --- | --- | --- |
//! | G1, G3 | an export is counted once, atomically, on any thread | [`ExportCount::acquire`] |
//! | G4 | address and length are fixed while an export lives | the lock word, [`Operation::resize`] |
//! | G7 | a view re-exports: `obj` is the view; the lock holds all the way down | [`View::export`] |
//! | R1, R2 | a release takes one away, cannot fail, does not wait; one alone reaches zero | [`ExportCount::release`] |
//! | R3 | after the last release the exporter is free | [`Export`]'s drop |
//! | R4, R5 | releasing too often and dying with exports stop the process, by name | [`ExportCount`] |
//! | S1 | the check for exports is one with the operation | [`ByteArray::operate`] |
//! | S2 | a refused resize has changed nothing | [`Operation::resize`] gives out no memory to change |
//! | M1-M4 | a view's layout is fixed, its release is idempotent, and the managed buffer is shared | [`View`] |
//! | D1 | bytes in a race are old or new, each for itself | relaxed atomics, wherever exports may exist |
//! | D3 | nothing is accessed outside of the block or after it was freed | bounds checks, exports, locks |
//!
//! M5 gives leave that is not used: when [`View::release`] returns, no operation on that view is in flight.
//!
//! # The flavours
//! | type | Python | memory |
//! | --- | --- | --- |
//! | [`Bytes`] | `bytes` | immutable, never moves |
//! | [`ByteArray`] | `bytearray` | writable, moves on resize |
//! | [`Array`] | `array.array` | writable, moves on resize, in whole items |
//! | [`Mmap`] | `mmap.mmap` | a file's or the system's, can be closed |
//! | [`Stream`] | `io.BytesIO` | writable, moves on resize, can be closed; lent out by `getbuffer` alone |
//! | [`CArray`] | `ctypes.c_int * n` | writable, never moves |
//! | [`Text`] | `str` | immutable, never moves; locked only |
//! | [`View`] | `memoryview` | another exporter's, held through one shared managed buffer |
//!
//! Each has two faces. `acquire_raw` and `release_raw` are what a C type fills its slots with: nothing ties one to
//! the other but the caller's care. [`Export`] is built on them and is safe to use.
//!
//! An operation in flight keeps the other operations of its object waiting. So no foreign code may run inside one:
//! a thread that comes back to the same object there waits for itself for ever.

use std::fmt;

mod array;
mod byte_array;
mod bytes;
mod c_array;
mod dims;
mod export;
mod export_count;
mod format;
#[cfg(test)]
mod last_words;
mod layout;
mod lender;
mod locked;
mod mmap;
pub mod planted;
#[cfg(all(test, loom))]
mod proof;
mod request;
mod same;
mod storage;
mod stream;
mod text;
mod view;

pub use array::{Array, Items, TypeCode};
pub use byte_array::ByteArray;
pub use bytes::Bytes;
pub use c_array::CArray;
pub use dims::{Dims, MAX_NDIM};
pub use export::{Export, Provider, RawExport};
pub use export_count::{ExportCount, Locked, Remaining};
pub use format::{ByteOrder, Code, Format};
pub use layout::{CastError, ItemOrder, Layout, Offsets, PlaceError};
pub use lender::{Body, Lender, Lent};
pub use locked::{
    Access, AcquireRead, AcquireWrite, Exposed, LockError, LockedBuffer, LockedProcs, Object, Release,
    acquire_locked_read, acquire_locked_write, raise, release_locked, take_error,
};
pub use mmap::{Map, MapError, Mapping, Mmap};
pub use planted::{Fault, Needs, plant, planted};
pub use request::{Answer, Refused, Request};
pub use same::same_bytes;
pub use storage::{Block, Operation};
pub use stream::Stream;
pub use text::Text;
pub use view::{View, ViewError};

/// Refused, because the object has this many exports: `BufferError` in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exported(pub usize);

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "the object has {} export{plural}", self.0)
    }
}

impl std::error::Error for Exported {}

/// The view has been released: `ValueError` in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Released;

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the view has been released")
    }
}

impl std::error::Error for Released {}

/// No export was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotExported {
    /// The view has been released: `ValueError` in Python.
    Released,
    /// The map has been closed: `ValueError` in Python.
    Closed,
    /// Objects of this type have locks only, or what they gave was no view: `TypeError` in Python.
    NoBuffer,
    /// A `__buffer__` raised an error of its own, which programs make an `EOFError`.
    Raised,
}

impl fmt::Display for NotExported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => Released.fmt(f),
            Self::Closed => Closed.fmt(f),
            Self::NoBuffer => f.write_str("objects of this type have no buffer"),
            Self::Raised => f.write_str("the object raised an error"),
        }
    }
}

impl std::error::Error for NotExported {}

impl From<Released> for NotExported {
    fn from(Released: Released) -> Self {
        Self::Released
    }
}

impl From<Closed> for NotExported {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

/// What happens to a request to close an object that has exports, which PEP 298 leaves open (S4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closing {
    /// It is refused, as CPython does.
    Refuse,
    /// The object is closed: it begins no operation and gives out no export. Those that exist go on, and the last
    /// release frees the memory.
    Wait,
}

/// The object has been closed: `ValueError` in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object has been closed")
    }
}

impl std::error::Error for Closed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_fragments() {
        assert_eq!(Exported(1).to_string(), "the object has 1 export");
        assert_eq!(Exported(2).to_string(), "the object has 2 exports");
        assert_eq!(Released.to_string(), "the view has been released");
    }

    #[test]
    fn everything_that_exports_crosses_threads() {
        fn crosses<T: Send + Sync>() {}
        crosses::<Bytes>();
        crosses::<ByteArray>();
        crosses::<Array>();
        crosses::<Mmap>();
        crosses::<Stream>();
        crosses::<CArray>();
        crosses::<Text>();
        crosses::<LockedBuffer>();
        crosses::<Exposed>();
        crosses::<View>();
        crosses::<Export>();
        crosses::<Provider>();
    }
}
