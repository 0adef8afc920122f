//! The locked buffer interface of PEP 298, which no Python ever shipped.
//!
//! An object is asked for its one block of memory, for reading or for writing, and is locked until it is told that
//! the block is no longer used. There is no request, no shape and no format: pointer and size are all.
//!
//! It has two faces. [`LockedBuffer`] is a value that unlocks when it is dropped. [`LockedProcs`] is the table of
//! functions that a type has in C, where nothing but the caller's care ties a release to an acquire.
//!
//! A lock is an export: [`ExportCount`](super::ExportCount) counts both, because both promise the same (G4, L5), and an
//! object that is asked "may I move?" must look at one word. So a release too many is found when the count has run
//! out, and not while exports of the other kind are left to be taken away.
//!
//! | clause | kept by |
//! | --- | --- |
//! | L1 | [`Provider::lock`] acquires the block of [`RawExport`], of which there is one |
//! | L2 | whatever can refuse does so before anything is counted; `procs::hand_out` |
//! | L3 | [`ExportCount::release`](super::ExportCount::release) answers, does not wait and has no error |
//! | L4 | the same stops the process |
//! | L5 | `Operation::exclusive` and `Storage::close` look at the one count |
//! | L6 | the functions of [`LockedProcs`] are optional, and [`release_locked`] does nothing where there is none |
//! | L7 | neither the bytes nor a release are behind LOCKED |
//! | L8 | [`Provider::locked_procs`] |
//! | L9 | sizes are `usize` from the system to the caller |

use std::fmt;

use super::{Closed, Export, Layout, Provider, RawExport};

mod procs;
#[cfg(test)]
mod tests;

pub use procs::{
    AcquireRead, AcquireWrite, Exposed, LockedProcs, Object, Release, acquire_locked_read,
    acquire_locked_write, raise, release_locked, take_error,
};

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `bf_acquirelockedreadbuffer`. Others may be writing all the same.
    Read,
    /// `bf_acquirelockedwritebuffer`.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading",
            Self::Write => "writing",
        })
    }
}

/// Why an object was not locked (L2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LockError {
    /// Objects of its type do not offer this at all: `TypeError` in Python.
    Absent(Access),
    /// The type offers writing, but this object is read-only: `TypeError` in Python.
    ReadOnly,
    /// The object has been closed: `ValueError` in Python.
    Closed,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(access) => write!(f, "objects of this type cannot be locked for {access}"),
            Self::ReadOnly => f.write_str("the object is read-only"),
            Self::Closed => f.write_str("the object has been closed"),
        }
    }
}

impl std::error::Error for LockError {}

impl Provider {
    /// Locks the object and gives access to its memory (L1).
    ///
    /// # Errors
    /// If it does not offer that, or not at this moment. Then nothing is locked.
    pub fn lock(&self, access: Access) -> Result<LockedBuffer, LockError> {
        let raw = self.acquire_locked(access)?;
        let layout = Layout::bytes(raw.len, access == Access::Read);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        Ok(LockedBuffer(unsafe { Export::from_raw(self.clone(), raw, layout) }))
    }

    /// The block, locked. Nothing is counted before everything that can refuse has been asked: a count that is taken
    /// back could be seen by a resize.
    fn acquire_locked(&self, access: Access) -> Result<RawExport, LockError> {
        if !self.locked_procs().is_some_and(|procs| procs.offer(access)) {
            return Err(LockError::Absent(access));
        }
        match self {
            Self::Bytes(bytes) => Ok(bytes.acquire_raw()),
            Self::ByteArray(array) => Ok(array.acquire_raw()),
            Self::Array(array) => Ok(array.acquire_raw()),
            Self::Text(text) => Ok(text.acquire_raw()),
            Self::Mmap(map) if access == Access::Write && map.mapping().readonly => {
                Err(if map.is_closed() { LockError::Closed } else { LockError::ReadOnly })
            }
            Self::Mmap(map) => map.acquire_raw().map_err(|Closed| LockError::Closed),
            Self::View(_) | Self::Stream(_) | Self::CArray(_) | Self::Lender(_) | Self::Lent(_) => {
                Err(LockError::Absent(access))
            }
        }
    }
}

/// The memory of an object that is locked until this is dropped. It may be sent to another thread and used there.
#[derive(Debug)]
#[must_use = "the object is unlocked when this is dropped"]
pub struct LockedBuffer(Export);

impl LockedBuffer {
    /// The size of the block in bytes (L9).
    #[inline]
    pub fn len(&self) -> usize {
        self.0.block_len()
    }

    /// Has the block no bytes?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Was the object locked for reading only?
    #[inline]
    pub fn readonly(&self) -> bool {
        self.0.readonly()
    }

    /// The object that is locked.
    #[inline]
    pub fn provider(&self) -> &Provider {
        self.0.provider()
    }

    /// The address of the block. It does not change while the object is locked (L5).
    #[inline]
    pub fn address(&self) -> usize {
        self.0.address()
    }

    /// Copies the bytes from `offset` on. Bytes that others write meanwhile come out old or new, each for itself
    /// (D1).
    ///
    /// # Panics
    /// If they are not all in the block.
    #[inline]
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        self.0.read(signed(offset), out);
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Panics
    /// If they do not all fit into the block, or if the object was locked for reading.
    #[inline]
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        self.0.write(signed(offset), bytes);
    }
}

/// What is too large for an offset is outside of every block, as a negative one is.
#[inline]
fn signed(offset: usize) -> isize {
    isize::try_from(offset).unwrap_or(-1)
}
