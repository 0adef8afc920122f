//! Pages of the system: Python's `mmap.mmap`, the exporter that can be closed.
//!
//! A map is memory that is not ours: it belongs to a file, or to the system, until it is unmapped. So there is one
//! more way to take it away from those who use it, and PEP 298 leaves open what happens then: [`Closing`] has both
//! answers (S4). A map that has been closed gives out nothing and does nothing, and its pages are unmapped once: by
//! the closing, if nobody uses them, else by the last release.
//!
//! The bytes of a file may be reached by other maps of it and by other processes. Therefore no access here is ever
//! plain, whether exports exist or not.
//!
//! Nobody can keep a file from being shortened under a map. The system answers an access behind its new end with
//! SIGBUS, which stops the process; it is not checked for, because the check and the access could not be one.

use std::fmt;
use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{self, MapFlags, MremapFlags, MsyncFlags, ProtFlags};

use super::storage::{Block, Storage};
use super::stream::Cursor;
use super::{Closed, Closing, Export, Exported, Layout, Operation, Provider, RawExport};
use crate::sync::Arc;

/// Who sees what is written to a map, and whether it can be written at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Writes reach the file, and all other maps of it; without a file, the processes that are forked. Otherwise the
    /// first write to a page copies it.
    pub shared: bool,
    /// Nothing is written through this map.
    pub readonly: bool,
    /// The map keeps its length.
    pub fixed: bool,
}

impl Mapping {
    /// Shared and writable: `ACCESS_WRITE` in Python, and what it does without being told.
    pub const WRITE: Self = Self { shared: true, readonly: false, fixed: false };
    /// Shared and read-only: `ACCESS_READ`.
    pub const READ: Self = Self { shared: true, readonly: true, fixed: true };
    /// Private and writable: `ACCESS_COPY`.
    pub const COPY: Self = Self { shared: false, readonly: false, fixed: true };
    /// Private and writable, as the system has it: `MAP_PRIVATE`.
    pub const PRIVATE: Self = Self { shared: false, readonly: false, fixed: false };

    fn prot(self) -> ProtFlags {
        if self.readonly { ProtFlags::READ } else { ProtFlags::READ | ProtFlags::WRITE }
    }

    fn flags(self) -> MapFlags {
        if self.shared { MapFlags::SHARED } else { MapFlags::PRIVATE }
    }
}

/// Why a map was not made, resized or flushed. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapError {
    /// The map has been closed: `ValueError` in Python.
    Closed,
    /// Exports exist (S1): `BufferError`.
    Exported(Exported),
    /// A map of no bytes. Python has a `ValueError` for an empty file, else the system's `EINVAL`, an `OSError`.
    Empty,
    /// The file ends before the map does: `ValueError`.
    BeyondFile,
    /// No number of bytes or no place in the map: `ValueError`.
    OutOfRange,
    /// Only a map whose writes are kept can be resized, not a read-only one or the copy of a file: `TypeError`.
    NotResizable,
    /// Shared memory without a file cannot grow beyond its last page: the system would map pages to nothing, and
    /// answer each access to them with SIGBUS. `ValueError` in the Pythons that check, even within the page.
    CannotGrow,
    /// What the system says, by its number: `OSError`.
    System(i32),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => Closed.fmt(f),
            Self::Exported(exported) => exported.fmt(f),
            Self::Empty => f.write_str("a map has at least one byte"),
            Self::BeyondFile => f.write_str("the file ends before the map does"),
            Self::OutOfRange => f.write_str("the range is not in the map"),
            Self::NotResizable => f.write_str("the map is read-only or a copy of a file"),
            Self::CannotGrow => f.write_str("shared memory without a file cannot grow beyond its last page"),
            Self::System(number) => io::Error::from_raw_os_error(*number).fmt(f),
        }
    }
}

impl std::error::Error for MapError {}

impl From<Closed> for MapError {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<Exported> for MapError {
    fn from(exported: Exported) -> Self {
        Self::Exported(exported)
    }
}

impl From<Errno> for MapError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.raw_os_error())
    }
}

impl From<io::Error> for MapError {
    fn from(error: io::Error) -> Self {
        Self::System(error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()))
    }
}

/// A handle to a map; a clone is another handle to the same one.
#[derive(Clone)]
pub struct Mmap(Arc<Inner>);

struct Inner {
    mapping: Mapping,
    cursor: Cursor,
    storage: Storage<Map>,
}

impl Mmap {
    /// The name of the type in Python.
    pub const NAME: &'static str = Map::NAME;

    /// A map of `len` bytes that are zero and belong to no file.
    ///
    /// # Errors
    /// If `len` is zero, or the system refuses.
    pub fn anonymous(len: usize, mapping: Mapping) -> Result<Self, MapError> {
        Self::new(Map::new(len, mapping, None)?)
    }

    /// A map of `len` bytes of a file from `offset` on; all the rest of it if `len` is `None`. The file stays open as
    /// long as the map.
    ///
    /// # Errors
    /// If there are no such bytes in the file, or the system refuses: `offset` must be a multiple of the size of a
    /// page, and the file open for reading, and for writing if the map is shared and not read-only.
    pub fn of_file(file: &File, offset: u64, len: Option<usize>, mapping: Mapping) -> Result<Self, MapError> {
        let metadata = file.metadata()?;
        let len = if metadata.is_file() {
            let rest = metadata.len().checked_sub(offset).ok_or(MapError::BeyondFile)?;
            let rest = usize::try_from(rest).map_err(|_| MapError::OutOfRange)?;
            match len {
                Some(len) if len > rest => return Err(MapError::BeyondFile),
                Some(len) => len,
                None => rest,
            }
        } else {
            len.ok_or(MapError::Empty)?
        };
        Self::new(Map::new(len, mapping, Some(Backing { file: file.try_clone()?, offset }))?)
    }

    fn new(map: Map) -> Result<Self, MapError> {
        Ok(Self(Arc::new(Inner {
            mapping: map.mapping,
            cursor: Cursor::default(),
            storage: Storage::new(map),
        })))
    }

    /// How it was mapped.
    #[inline]
    pub fn mapping(&self) -> Mapping {
        self.0.mapping
    }

    /// `tell`: where reads and writes go on.
    #[inline]
    pub fn cursor(&self) -> usize {
        self.0.cursor.get()
    }

    /// `seek`: moves the map there.
    #[inline]
    pub fn set_cursor(&self, place: usize) {
        self.0.cursor.set(place);
    }

    /// Exports and locks at this moment.
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.storage.exports()
    }

    /// `mmap.closed`.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.0.storage.is_closed()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Runs one operation of the map, as [`ByteArray::operate`](super::ByteArray::operate) does.
    ///
    /// # Errors
    /// If the map has been closed.
    #[inline]
    pub fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_, Map>) -> R) -> Result<R, Closed> {
        self.0.storage.operate(f)
    }

    /// Closes the map (S4). To close a closed one does nothing.
    ///
    /// # Errors
    /// If it has exports, and `closing` refuses then. Nothing is changed.
    pub fn close(&self, closing: Closing) -> Result<(), Exported> {
        self.0.storage.close(closing)
    }

    /// Acquires an export of all the bytes.
    ///
    /// # Errors
    /// If the map has been closed.
    pub fn export(&self) -> Result<Export, Closed> {
        let raw = self.acquire_raw()?;
        let layout = Layout::bytes(raw.len, raw.readonly);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        Ok(unsafe { Export::from_raw(Provider::Mmap(self.clone()), raw, layout) })
    }

    /// What `bf_getbuffer` does in C: adds one export and fills in the block (G1, G3).
    ///
    /// # Errors
    /// If the map has been closed. Then no export has been added.
    #[inline]
    pub fn acquire_raw(&self) -> Result<RawExport, Closed> {
        self.0.storage.acquire_raw()
    }

    /// What `bf_releasebuffer` does in C: takes one export away (R1). The last one of a closed map unmaps it (S4).
    /// Aborts if there is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        // SAFETY: the caller gives back an export of this very object.
        unsafe { self.0.storage.release_raw() };
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.storage.is_stained()
    }
}

impl fmt::Debug for Mmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mmap")
            .field("mapping", &self.0.mapping)
            .field("count", &self.0.storage)
            .finish_non_exhaustive()
    }
}

/// What only a map does. To write to a read-only one panics: ask [`Mmap::mapping`] before.
impl Operation<'_, Map> {
    /// Changes the length of the map, and of its file, if it has one: the file then ends with the map. What is kept
    /// keeps its bytes; what is new is zero or, without a file, whatever was in the rest of the last page. The map
    /// may move.
    ///
    /// # Errors
    /// If exports exist (S1), the map has to stay as it is, `len` is not possible, or the system refuses. Then
    /// nothing is changed (S2).
    pub fn remap(&mut self, len: usize) -> Result<(), MapError> {
        // Exports that are not counted may still look at pages that a shorter file would not have.
        let file_may_shrink = !self.is_stained();
        self.exclusive()?.resize(len, file_may_shrink)
    }

    /// Finds out whether the map could be resized at this moment (S1), and leaves it as it is.
    ///
    /// # Errors
    /// If exports exist.
    pub fn check_alone(&mut self) -> Result<(), Exported> {
        self.exclusive().map(drop)
    }

    /// Writes what was changed in `len` bytes from `start` on back to the file, and waits for it. The writes to a map
    /// that is read-only or a copy have no file to go to.
    ///
    /// # Errors
    /// If these bytes are not in the map, or the system refuses: `start` must be a multiple of the size of a page.
    pub fn flush(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        if start.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(MapError::OutOfRange);
        }
        self.block().flush(start, len)
    }

    /// The length of the file, or of the map if it has none: `mmap.size`, which Python asks of files alone.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn size(&self) -> Result<u64, MapError> {
        self.file_length().unwrap_or(Ok(self.len() as u64))
    }

    /// The length of the file, if there is one.
    pub fn file_length(&self) -> Option<Result<u64, MapError>> {
        let backing = self.block().backing.as_ref()?;
        Some(backing.file.metadata().map(|metadata| metadata.len()).map_err(MapError::from))
    }

    /// Gives the file another length and leaves the map as it is, exports or not, as whoever else has opened the file may
    /// at any moment. `None` if there is no file. In the page in which the file ends, what is behind its end is zero until
    /// it is written, and never gets into the file; an access to a page behind that one is SIGBUS.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn truncate_file(&self, len: u64) -> Option<Result<(), MapError>> {
        let backing = self.block().backing.as_ref()?;
        Some(backing.file.set_len(len).map_err(MapError::from))
    }
}

/// Pages that this object has mapped.
#[derive(Debug)]
pub struct Map {
    base: NonNull<u8>,
    /// In bytes; not zero.
    len: usize,
    mapping: Mapping,
    backing: Option<Backing>,
}

#[derive(Debug)]
struct Backing {
    file: File,
    /// Where in the file the map begins.
    offset: u64,
}

// SAFETY: pages belong to the process and to none of its threads; `base` is an address.
unsafe impl Send for Map {}
// SAFETY: as above. Nothing of a map changes through a shared reference.
unsafe impl Sync for Map {}

impl Map {
    fn new(len: usize, mapping: Mapping, backing: Option<Backing>) -> Result<Self, MapError> {
        check_len(len, backing.as_ref())?;
        let (prot, flags, anywhere) = (mapping.prot(), mapping.flags(), ptr::null_mut());
        let base = match &backing {
            // SAFETY: the system chooses a place where nothing is mapped.
            Some(Backing { file, offset }) => unsafe { mm::mmap(anywhere, len, prot, flags, file, *offset) },
            // SAFETY: as above.
            None => unsafe { mm::mmap_anonymous(anywhere, len, prot, flags) },
        }?;
        Ok(Self { base: not_null(base.cast()), len, mapping, backing })
    }

    fn resize(&mut self, len: usize, file_may_shrink: bool) -> Result<(), MapError> {
        if self.mapping.fixed || self.mapping.readonly || (!self.mapping.shared && self.backing.is_some()) {
            return Err(MapError::NotResizable);
        }
        check_len(len, self.backing.as_ref())?;
        let mapped = self.len.next_multiple_of(rustix::param::page_size());
        if self.backing.is_none() && self.mapping.shared && len > mapped {
            return Err(MapError::CannotGrow);
        }
        let Some(Backing { file, offset }) = &self.backing else {
            return self.remap(len);
        };
        let file = file.try_clone()?;
        // The sum was checked with the length.
        let (before, after) = (file.metadata()?.len(), offset + len as u64);
        let after = if file_may_shrink { after } else { after.max(before) };
        // The file is never shorter than the map: it grows before and shrinks after. If the second half fails, the
        // first is undone; there is nothing left to be done if that fails too.
        let old = self.len;
        if len > old {
            file.set_len(after)?;
            self.remap(len).inspect_err(|_| {
                let _ = file.set_len(before);
            })
        } else {
            self.remap(len)?;
            Ok(file.set_len(after).inspect_err(|_| {
                let _ = self.remap(old);
            })?)
        }
    }

    fn remap(&mut self, len: usize) -> Result<(), MapError> {
        // SAFETY: these are all the pages of this map, and the unique reference shows that nobody uses them; where
        // they were before, nobody looks again, because `base` is replaced.
        let base = unsafe { mm::mremap(self.base.as_ptr().cast(), self.len, len, MremapFlags::MAYMOVE) }?;
        self.base = not_null(base.cast());
        self.len = len;
        Ok(())
    }

    fn flush(&self, start: usize, len: usize) -> Result<(), MapError> {
        if self.mapping.readonly || !self.mapping.shared {
            return Ok(());
        }
        // A lie may show more than there is.
        let len = len.min(self.len.saturating_sub(start));
        // SAFETY: `start` is in the map or at its end, and so are the bytes. The system reads them as another process
        // would, and no byte changes.
        Ok(unsafe { mm::msync(self.base.as_ptr().wrapping_add(start).cast(), len, MsyncFlags::SYNC) }?)
    }
}

/// A length that a map can have: `isize::MAX` bytes at most, and their place in the file a number.
fn check_len(len: usize, backing: Option<&Backing>) -> Result<(), MapError> {
    let end = backing.map_or(0, |backing| backing.offset).checked_add(len as u64);
    match len {
        0 => Err(MapError::Empty),
        _ if isize::try_from(len).is_ok() && end.is_some_and(|end| i64::try_from(end).is_ok()) => Ok(()),
        _ => Err(MapError::OutOfRange),
    }
}

fn not_null(base: *mut u8) -> NonNull<u8> {
    NonNull::new(base).expect("the system maps nothing to the null address unless asked")
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: these are all the pages of this map, which ends here; its owner has seen to it that nobody uses
        // them.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()), "pages that are mapped can be unmapped");
    }
}

// SAFETY: pages stay where they are until they are mapped elsewhere or unmapped; they can be written unless the
// mapping is read-only.
unsafe impl Block for Map {
    const NAME: &'static str = "mmap.mmap";
    const ALONE: bool = false;

    #[inline]
    fn base(&mut self) -> NonNull<u8> {
        self.base
    }

    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn readonly(&self) -> bool {
        self.mapping.readonly
    }

    #[inline]
    fn unit(&self) -> usize {
        1
    }

    /// The pages of a file that are mapped again have its bytes already.
    fn replacement(&self, bytes: Vec<u8>) -> Self {
        let backing = self.backing.as_ref().map(|Backing { file, offset }| Backing {
            file: file.try_clone().expect("the file can be opened once more"),
            offset: *offset,
        });
        let of_file = backing.is_some();
        let map = Self::new(self.len, self.mapping, backing).expect("a second map of the same kind");
        if !of_file && !self.mapping.readonly {
            // SAFETY: the new map has as many bytes, can be written, and is known to nobody.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), map.base.as_ptr(), bytes.len()) };
        }
        map
    }
}

#[cfg(all(test, not(miri)))]
mod tests;
