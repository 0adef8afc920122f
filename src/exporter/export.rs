//! One outstanding export, as a value that gives it back.
//!
//! A `Py_buffer` is given back by hand: forgetting it locks the exporter for ever, doing it twice frees memory
//! under somebody. [`RawExport`] is as plain as that, for a layer that must behave like a C type. [`Export`] is
//! built on it and can do neither: it owns one count of its exporter, keeps the exporter alive, and gives both
//! back when it is dropped.

use std::fmt;
use std::ptr::{self, NonNull};

use super::planted::Fault;
use super::{
    Answer, Array, ByteArray, Bytes, CArray, Layout, Lender, Lent, Mmap, NotExported, Refused, Request,
    Stream, Text, View,
};
use crate::sync::{AtomicBool, AtomicU8, Ordering};

/// What an exporter gives out: one block of memory, valid until the export is released (G4, L1).
#[derive(Debug, Clone, Copy)]
pub struct RawExport {
    /// The base of the block; dangling if the block is empty.
    pub ptr: NonNull<u8>,
    /// The length of the block in bytes.
    pub len: usize,
    /// Writing to it would be undefined behaviour.
    pub readonly: bool,
    /// Nobody ever writes it. If it is not constant, others may write it at any time, and every access must be atomic.
    pub constant: bool,
}

// SAFETY: these are an address and two numbers. Whoever dereferences the address answers for it in unsafe code,
// and the memory behind it belongs to no thread.
unsafe impl Send for RawExport {}
// SAFETY: as above; a shared reference gives no more than a copy does.
unsafe impl Sync for RawExport {}

impl RawExport {
    /// The address of `len` bytes from `offset` on.
    ///
    /// # Panics
    /// If they are not all in the block.
    #[inline]
    fn at(&self, offset: isize, len: usize) -> NonNull<u8> {
        let inside =
            usize::try_from(offset).is_ok_and(|offset| offset <= self.len && len <= self.len - offset);
        assert!(inside, "{len} bytes at {offset} are outside of a block of {}", self.len);
        // SAFETY: `offset` is at most `self.len`, so the sum stays in the block or is one past its end.
        unsafe { self.ptr.offset(offset) }
    }
}

/// Copies out memory that others may be writing: the value of each byte is one that was written to it (D1).
///
/// # Safety
/// `from` is valid for reads of `out.len()` bytes, and all concurrent writes of them are atomic.
#[inline]
pub(super) unsafe fn load_bytes(from: NonNull<u8>, out: &mut [u8]) {
    for (i, byte) in out.iter_mut().enumerate() {
        // SAFETY: the caller gives `out.len()` bytes, none of which is written other than atomically. They may be
        // read-only memory: a relaxed load of a byte writes nothing ("Atomic accesses to read-only memory" in
        // `std::sync::atomic`), which is why this is a reference to the atomic and not `AtomicU8::from_ptr`.
        *byte = unsafe { from.add(i).cast::<AtomicU8>().as_ref() }.load(Ordering::Relaxed);
    }
}

/// Whether memory that others may be writing holds these bytes, each at the moment in which it is looked at.
///
/// # Safety
/// `at` is valid for reads of `bytes.len()` bytes, and all concurrent writes of them are atomic.
#[inline]
pub(super) unsafe fn holds_bytes(at: NonNull<u8>, bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    // SAFETY: both indices are below `bytes.len()`, and the caller vouches for so many bytes, as for `load_bytes`.
    let load = |i: usize| unsafe { at.add(i).cast::<AtomicU8>().as_ref() }.load(Ordering::Relaxed);
    for (number, word) in words.iter().enumerate() {
        let differing = (0..8).fold(0, |bits, i| bits | load(number * 8 + i) ^ word[i]);
        if differing != 0 {
            return false;
        }
    }
    rest.iter().enumerate().all(|(i, &byte)| load(words.len() * 8 + i) == byte)
}

/// Copies into memory that others may be reading and writing.
///
/// # Safety
/// `to` is valid for reads and writes of `bytes.len()` bytes, and all concurrent accesses of them are atomic.
#[inline]
pub(super) unsafe fn store_bytes(to: NonNull<u8>, bytes: &[u8]) {
    for (i, &byte) in bytes.iter().enumerate() {
        // SAFETY: the caller gives `bytes.len()` bytes, none of which is accessed other than atomically.
        unsafe { AtomicU8::from_ptr(to.as_ptr().add(i)) }.store(byte, Ordering::Relaxed);
    }
}

/// Anything that exports, as a handle to it.
#[derive(Debug, Clone)]
pub enum Provider {
    /// Immutable bytes.
    Bytes(Bytes),
    /// Resizable bytes.
    ByteArray(ByteArray),
    /// Resizable items.
    Array(Array),
    /// Pages of the system.
    Mmap(Mmap),
    /// A file in memory.
    Stream(Stream),
    /// Bytes of a type in C.
    CArray(CArray),
    /// Immutable characters, which are locked and not exported.
    Text(Text),
    /// A memoryview.
    View(View),
    /// An object of a class with `__buffer__`.
    Lender(Lender),
    /// What a consumer of such an object holds. It gives nothing to anyone else.
    Lent(Lent),
}

impl Provider {
    /// What Python calls the type; messages use it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bytes(_) => Bytes::NAME,
            Self::ByteArray(_) => ByteArray::NAME,
            Self::Array(_) => Array::NAME,
            Self::Mmap(_) => Mmap::NAME,
            Self::Stream(_) => Stream::NAME,
            Self::CArray(_) => CArray::NAME,
            Self::Text(_) => Text::NAME,
            Self::View(_) => View::NAME,
            Self::Lender(_) => Lender::NAME,
            Self::Lent(_) => Lent::NAME,
        }
    }

    /// Acquires an export of it.
    ///
    /// # Errors
    /// If it is a view that has been released, a map that has been closed, or text.
    pub fn export(&self) -> Result<Export, NotExported> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.export()),
            Self::ByteArray(array) => Ok(array.export()),
            Self::Array(array) => Ok(array.export()),
            Self::Mmap(map) => Ok(map.export()?),
            Self::Stream(stream) => Ok(stream.export()?),
            Self::CArray(array) => Ok(array.export()),
            Self::Text(_) | Self::Lent(_) => Err(NotExported::NoBuffer),
            Self::View(view) => Ok(view.export()?),
            Self::Lender(lender) => lender.export(),
        }
    }

    /// Its exports at this moment.
    pub fn exports(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.exports(),
            Self::ByteArray(array) => array.exports(),
            Self::Array(array) => array.exports(),
            Self::Mmap(map) => map.exports(),
            Self::Stream(stream) => stream.exports(),
            Self::CArray(array) => array.exports(),
            Self::Text(text) => text.exports(),
            Self::View(view) => view.exports(),
            Self::Lender(lender) => lender.exports(),
            Self::Lent(lent) => lent.exports(),
        }
    }

    /// Are these handles to the same object?
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(a), Self::Bytes(b)) => a.same(b),
            (Self::ByteArray(a), Self::ByteArray(b)) => a.same(b),
            (Self::Array(a), Self::Array(b)) => a.same(b),
            (Self::Mmap(a), Self::Mmap(b)) => a.same(b),
            (Self::Stream(a), Self::Stream(b)) => a.same(b),
            (Self::CArray(a), Self::CArray(b)) => a.same(b),
            (Self::Text(a), Self::Text(b)) => a.same(b),
            (Self::View(a), Self::View(b)) => a.same(b),
            (Self::Lender(a), Self::Lender(b)) => a.same(b),
            (Self::Lent(a), Self::Lent(b)) => a.same(b),
            _ => false,
        }
    }

    /// May its counts be wrong because of a planted fault?
    pub(super) fn is_stained(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_stained(),
            Self::ByteArray(array) => array.is_stained(),
            Self::Array(array) => array.is_stained(),
            Self::Mmap(map) => map.is_stained(),
            Self::Stream(stream) => stream.is_stained(),
            Self::CArray(array) => array.is_stained(),
            Self::Text(text) => text.is_stained(),
            Self::View(view) => view.is_stained(),
            // It has no count of its own.
            Self::Lender(_) => false,
            Self::Lent(lent) => lent.is_stained(),
        }
    }

    /// Takes one export away that somebody else gives back as well: only a planted fault does so.
    #[cold]
    pub(super) fn release_once_more(&self) {
        if self.is_stained() {
            // SAFETY: this is no one's to give back, which a stained exporter bears: its count does not go below zero,
            // and it leaks all that it would free or move.
            unsafe { self.release_raw() };
        }
    }

    /// What an operation of this exporter keeps while it converts its arguments: nothing, unless a fault is planted.
    pub fn held_over_callbacks(&self) -> Option<Export> {
        let holds = super::planted(Fault::LockHeldOverCallback) && self.is_stained();
        holds.then(|| self.export().ok()).flatten()
    }

    /// # Safety
    /// As for `release_raw` of the exporters.
    pub(super) unsafe fn release_raw(&self) {
        // SAFETY: the caller gives back an export of this very object.
        unsafe {
            match self {
                Self::Bytes(bytes) => bytes.release_raw(),
                Self::ByteArray(array) => array.release_raw(),
                Self::Array(array) => array.release_raw(),
                Self::Mmap(map) => map.release_raw(),
                Self::Stream(stream) => stream.release_raw(),
                Self::CArray(array) => array.release_raw(),
                Self::Text(text) => text.release_raw(),
                Self::View(view) => view.release_raw(),
                Self::Lender(_) => unreachable!("what it gives out is lent"),
                Self::Lent(lent) => lent.release_raw(),
            }
        }
    }
}

/// Each exporter is one of them.
macro_rules! providers {
    ($($exporter:ident)*) => {
        $(impl From<$exporter> for Provider {
            fn from(exporter: $exporter) -> Self {
                Self::$exporter(exporter)
            }
        })*
    };
}

providers! { Bytes ByteArray Array Mmap Stream CArray Text View Lender }

/// One outstanding export. It keeps the exporter alive and its memory where it is, and is released when dropped.
pub struct Export {
    raw: RawExport,
    layout: Layout,
    /// The count has been given back already, or never will be. Only a planted fault sets it before the drop.
    spent: AtomicBool,
    provider: Provider,
}

impl Export {
    /// # Safety
    /// `raw` comes from `acquire_raw` of `provider` and is given back by nobody else.
    #[inline]
    pub(super) unsafe fn from_raw(provider: Provider, raw: RawExport, layout: Layout) -> Self {
        Self { raw, layout, spent: AtomicBool::new(false), provider }
    }

    /// Where the items are.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What a consumer is told that asked with these flags (G5).
    ///
    /// # Errors
    /// If they cannot be met. The export is then to be given back.
    pub fn answer(&self, request: Request) -> Result<Answer, Refused> {
        let spoiled = |fault| self.commits(fault);
        let request = if spoiled(Fault::ReadOnlyLentForWriting) { request.to_read() } else { request };
        match self.provider {
            Provider::View(_) | Provider::Lent(_) if !spoiled(Fault::GapsLentAsBlock) => {
                self.layout.lend_again(request)
            }
            Provider::CArray(_) => Ok(self.layout.lend_as_it_is()),
            _ => self.layout.lend(request),
        }
    }

    /// Is writing refused?
    #[inline]
    pub fn readonly(&self) -> bool {
        self.layout.readonly
    }

    /// The object that was asked: `obj` of a `Py_buffer` (G1, G7).
    #[inline]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The address of the base of the block. It does not change while the export lives (G4).
    #[inline]
    pub fn address(&self) -> usize {
        self.raw.ptr.addr().get()
    }

    /// The length of the block in bytes; the items of the layout may be fewer.
    #[inline]
    pub fn block_len(&self) -> usize {
        self.raw.len
    }

    /// The block as a C consumer gets it, valid while this export lives.
    #[inline]
    pub fn raw(&self) -> RawExport {
        self.raw
    }

    /// Copies the bytes from `offset` on, counted from the base of the block. Bytes that others write meanwhile
    /// come out old or new, each for itself (D1).
    ///
    /// # Panics
    /// If they are not all in the block.
    #[inline]
    pub fn read(&self, offset: isize, out: &mut [u8]) {
        let from = self.raw.at(offset, out.len());
        if self.raw.constant {
            // SAFETY: `from` is the start of `out.len()` bytes of the block, which this export keeps where it is.
            // Nobody writes it, and `out` is a unique reference, so it is elsewhere.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), out.as_mut_ptr(), out.len()) };
        } else {
            // SAFETY: the same bytes; while this export lives, everyone accesses them atomically.
            unsafe { load_bytes(from, out) };
        }
    }

    /// Copies `bytes` to `offset`, counted from the base of the block.
    ///
    /// # Panics
    /// If they do not all fit into the block, or if the export is read-only.
    #[inline]
    pub fn write(&self, offset: isize, bytes: &[u8]) {
        assert!(!self.raw.readonly && !self.layout.readonly, "write to a read-only export");
        let to = self.raw.at(offset, bytes.len());
        // SAFETY: `to` is the start of `bytes.len()` bytes of the block, which this export keeps where it is and
        // which is not read-only memory; while this export lives, everyone accesses them atomically.
        unsafe { store_bytes(to, bytes) };
    }

    /// Gives the export back on the path of an error: a consumer has acquired it and then failed (R3).
    pub fn abandon(self) {
        if self.commits(Fault::MissingReleaseOnErrorPath) {
            self.forget();
        } else if self.commits(Fault::ReleasedTwiceOnErrorPath) {
            self.provider.release_once_more();
        }
    }

    /// Gives the export back as if it had never been, as when a request is refused for what it would lend: whoever lends by
    /// `__buffer__` is not told, since it is the view that it made that refuses.
    pub fn retract(self) {
        if let Provider::Lent(lent) = &self.provider {
            lent.take_back();
        }
        self.abandon();
    }

    #[inline]
    fn commits(&self, fault: Fault) -> bool {
        super::planted(fault) && self.provider.is_stained()
    }

    /// Leaves the export with its exporter for ever: only a planted fault does so.
    pub(super) fn forget(&self) {
        debug_assert!(self.provider.is_stained());
        self.spent.store(true, Ordering::Relaxed);
    }

    /// The same memory, as an export that is not counted: only a planted fault makes one.
    #[cold]
    pub(super) fn uncounted(&self) -> Self {
        debug_assert!(self.provider.is_stained());
        let (provider, layout) = (self.provider.clone(), self.layout.clone());
        Self { raw: self.raw, layout, spent: AtomicBool::new(true), provider }
    }

    /// Gives the count back while the export still stands: only a planted fault does so.
    #[cold]
    pub(super) fn release_too_early(&self) {
        debug_assert!(self.provider.is_stained());
        if !self.spent.swap(true, Ordering::AcqRel) {
            self.provider.release_once_more();
        }
    }
}

impl Drop for Export {
    #[inline]
    fn drop(&mut self) {
        // `Relaxed` suffices: whoever drops a value has seen all that happened to it.
        if !self.spent.load(Ordering::Relaxed) {
            // SAFETY: `from_raw` took over one export of this provider, and `spent` says that it was not given
            // back. Nothing uses the memory after this, because `self` ends here.
            unsafe { self.provider.release_raw() };
        }
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("provider", &self.provider)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_or_abandoning_an_export_releases_it_once() {
        let array = ByteArray::new(vec![0; 4]);
        let (first, second) = (array.export(), array.export());
        assert_eq!(array.exports(), 2);
        drop(first);
        assert_eq!(array.exports(), 1);
        second.abandon();
        assert_eq!(array.exports(), 0);
    }

    #[test]
    fn an_export_keeps_its_exporter_alive() {
        let export = ByteArray::new(b"abc".to_vec()).export();
        let mut out = [0; 2];
        export.read(1, &mut out);
        assert_eq!(&out, b"bc");
        assert_eq!(export.provider().name(), "bytearray");
        assert_eq!(export.provider().exports(), 1);
    }

    #[test]
    fn an_export_of_bytes_is_read_only() {
        let bytes = Bytes::new(b"abc");
        let export = bytes.export();
        assert!(export.readonly());
        assert!(export.provider().same(&Provider::Bytes(bytes)));
        let mut out = [0; 3];
        export.read(0, &mut out);
        assert_eq!(&out, b"abc");
    }

    #[test]
    fn nothing_at_the_end_of_the_block_is_inside() {
        let export = ByteArray::new(Vec::new()).export();
        export.read(0, &mut []);
        export.write(0, &[]);
        assert_eq!(export.block_len(), 0);
    }

    #[test]
    #[should_panic(expected = "2 bytes at 3 are outside of a block of 4")]
    fn reading_past_the_block_panics() {
        ByteArray::new(vec![0; 4]).export().read(3, &mut [0; 2]);
    }

    #[test]
    #[should_panic(expected = "1 bytes at -1 are outside")]
    fn writing_before_the_block_panics() {
        ByteArray::new(vec![0; 4]).export().write(-1, &[0]);
    }

    #[test]
    #[should_panic(expected = "read-only")]
    fn writing_to_bytes_panics() {
        Bytes::new(b"abc").export().write(0, b"x");
    }
}
