//! Resizable bytes: Python's `bytearray`, the exporter in which S1 and S2 can be broken.
//!
//! Every operation of the object runs inside [`ByteArray::operate`], which holds the lock word. An operation may
//! resize only through [`Operation::resize`], which gives out the vector itself, and gives it out only if no export
//! exists: so a refused resize cannot have changed anything.
//!
//! # Who may touch what
//! | | holds | pointer and length | bytes |
//! | --- | --- | --- | --- |
//! | an operation, no exports | LOCKED | writes | plainly: nobody else can reach them |
//! | an operation, exports exist | LOCKED | reads | atomically: views are using them |
//! | an acquire, a view | an export | reads | atomically |
//!
//! A stained object (see [`planted`](super::planted)) may be miscounted. There the last two rows hold at all times,
//! pointer and length are read under LOCKED alone, and a resize leaves the old memory behind and moves to a copy.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ptr::{self, NonNull};

use super::export::{load_bytes, store_bytes};
use super::planted::Fault;
use super::{Export, ExportCount, Exported, Layout, Locked, Provider, RawExport};
use crate::sync::Arc;

/// A handle to resizable bytes; a clone is another handle to the same object.
#[derive(Clone)]
pub struct ByteArray(Arc<Inner>);

struct Inner {
    count: ExportCount,
    memory: UnsafeCell<Memory>,
}

struct Memory {
    /// Dropped by hand, because a stained object leaks it.
    bytes: ManuallyDrop<Vec<u8>>,
    /// Where the bytes are, as a pointer that may be written through: `Vec` gives that out to a unique reference
    /// only, and there is none while exports exist.
    base: NonNull<u8>,
    /// A wrong length that is shown instead of the true one. Stained objects only.
    lie: Option<usize>,
}

// SAFETY: `memory` is touched as the table above says. The lock word keeps those who write it away from all others
// and makes what they wrote visible to the next (`export_count` argues the orderings); bytes that threads use at the
// same time are accessed atomically. Nothing in it belongs to one thread.
unsafe impl Sync for Inner {}
// SAFETY: `base` points into `bytes`, which may be dropped on any thread.
unsafe impl Send for Inner {}

impl Memory {
    fn new(mut bytes: Vec<u8>) -> Self {
        Self { base: base(&mut bytes), bytes: ManuallyDrop::new(bytes), lie: None }
    }

    /// The length that is shown.
    #[inline]
    fn shown(&self) -> usize {
        self.lie.unwrap_or(self.bytes.len())
    }

    /// The block that an export gets. A lie does not reach past the true end.
    #[inline]
    fn block(&self) -> RawExport {
        RawExport { ptr: self.base, len: self.shown().min(self.bytes.len()), readonly: false }
    }
}

#[inline]
fn base(bytes: &mut Vec<u8>) -> NonNull<u8> {
    NonNull::new(bytes.as_mut_ptr()).expect("the pointer of a vector is never null")
}

impl ByteArray {
    /// The name of the type in Python.
    pub const NAME: &'static str = "bytearray";

    /// A new object with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Inner {
            count: ExportCount::of_new_object(),
            memory: UnsafeCell::new(Memory::new(bytes)),
        }))
    }

    /// Exports at this moment. To act upon it, ask inside of [`operate`](Self::operate).
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.count.exports()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Runs one operation of the object, atomic with respect to all others: no other operation runs and no export
    /// appears before `f` returns. Exports may be released meanwhile.
    ///
    /// `f` must not operate on or export the same object again, which would wait for itself for ever.
    #[inline]
    pub fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_>) -> R) -> R {
        f(&mut Operation { locked: self.0.count.lock(), owner: &self.0, moved: Cell::new(false) })
    }

    /// Acquires an export of all the bytes, writable.
    pub fn export(&self) -> Export {
        let raw = self.acquire_raw();
        let layout = Layout::bytes(raw.len, raw.readonly);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        unsafe { Export::from_raw(Provider::ByteArray(self.clone()), raw, layout) }
    }

    /// What `bf_getbuffer` does in C: adds one export and fills in the block (G1, G3).
    #[inline]
    pub fn acquire_raw(&self) -> RawExport {
        self.0.count.acquire_with(|| {
            // SAFETY: `acquire_with` runs this while the object cannot be resized, so no unique reference to
            // `memory` exists before it returns.
            unsafe { &*self.0.memory.get() }.block()
        })
    }

    /// What `bf_releasebuffer` does in C: takes one export away (R1). Aborts if there is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        self.0.count.release(Self::NAME);
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.count.is_stained()
    }
}

/// One operation of a [`ByteArray`] in flight.
pub struct Operation<'a> {
    locked: Locked<'a>,
    owner: &'a Inner,
    /// The vector has been given out, so that `base` may be out of date. If so, no counted exports exist. A cell,
    /// because an operation belongs to one thread at a time.
    moved: Cell<bool>,
}

impl Operation<'_> {
    /// The number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.memory().shown()
    }

    /// Are there none?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of exports. During the operation it only goes down; zero stays zero.
    #[inline]
    pub fn exports(&self) -> usize {
        self.locked.exports()
    }

    /// The byte at `i`, if there is one.
    #[inline]
    pub fn get(&self, i: usize) -> Option<u8> {
        let mut out = [0];
        self.read(i, 1, &mut out).map(|()| out[0])
    }

    /// Replaces the byte at `i`, if there is one.
    #[inline]
    pub fn set(&mut self, i: usize, byte: u8) -> Option<()> {
        self.write(i, 1, &[byte])
    }

    /// Copies out the bytes at `start`, `start + step`, and so on. `None` if one of them does not exist; then `out`
    /// is untouched.
    #[inline]
    pub fn read(&self, start: usize, step: isize, out: &mut [u8]) -> Option<()> {
        self.check_reach(start, step, out.len())?;
        let from = self.base();
        if step == 1 && start.saturating_add(out.len()) <= self.true_len() {
            // SAFETY: the comparison shows that the bytes exist, and the operation keeps them where they are.
            unsafe { self.load(from.add(start), out) };
            return Some(());
        }
        for (i, byte) in out.iter_mut().enumerate() {
            let at = nth(start, step, i);
            // What only a lie shows reads as zero.
            *byte = 0;
            if at < self.true_len() {
                // SAFETY: the byte exists, and the operation keeps it where it is.
                unsafe { load_bytes(from.add(at), std::slice::from_mut(byte)) };
            }
        }
        Some(())
    }

    /// Copies `bytes` to `start`, `start + step`, and so on. `None` if one of these does not exist; then nothing is
    /// changed.
    #[inline]
    pub fn write(&mut self, start: usize, step: isize, bytes: &[u8]) -> Option<()> {
        self.check_reach(start, step, bytes.len())?;
        let to = self.base();
        if step == 1 && start.saturating_add(bytes.len()) <= self.true_len() {
            // SAFETY: the comparison shows that the bytes exist, and the operation keeps them where they are.
            unsafe { self.store(to.add(start), bytes) };
            return Some(());
        }
        for (i, byte) in bytes.iter().enumerate() {
            let at = nth(start, step, i);
            if at < self.true_len() {
                // SAFETY: the byte exists, and the operation keeps it where it is.
                unsafe { store_bytes(to.add(at), std::slice::from_ref(byte)) };
            }
        }
        Some(())
    }

    /// Whether all the bytes are these.
    #[inline]
    pub fn equals(&self, bytes: &[u8]) -> bool {
        if self.is_exclusive() && self.len() == self.true_len() {
            return *self.memory().bytes == *bytes;
        }
        let mut own = [0; 64];
        self.len() == bytes.len()
            && bytes.chunks(own.len()).enumerate().all(|(number, chunk)| {
                let own = &mut own[..chunk.len()];
                self.read(number * 64, 1, own).is_some() && own == chunk
            })
    }

    /// Appends all the bytes to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        let before = out.len();
        out.resize(before + self.len(), 0);
        self.read(0, 1, &mut out[before..]).expect("as many bytes as there are");
    }

    /// The memory itself, to be resized at will; what it holds at the end of the operation is what the object holds.
    ///
    /// # Errors
    /// If exports exist (S1). Then nothing is changed (S2).
    pub fn resize(&mut self) -> Result<&mut Vec<u8>, Exported> {
        if self.owner.count.is_stained() {
            return self.resize_stained();
        }
        match self.exports() {
            0 => {
                self.moved.set(true);
                // SAFETY: the object is locked and has no exports, and neither can change before the operation
                // ends; so whoever reads `memory` waits, and nobody points to the bytes. The unique reference
                // borrows `self`, so this thread cannot reach `memory` by another way either.
                Ok(unsafe { &mut (*self.owner.memory.get()).bytes })
            }
            exports => Err(Exported(exports)),
        }
    }

    #[cold]
    fn resize_stained(&mut self) -> Result<&mut Vec<u8>, Exported> {
        let shown = self.len();
        let ignore = self.owner.count.commits(Fault::ResizeIgnoresExports);
        let exports = self.exports();
        if exports != 0 && !ignore {
            if self.owner.count.commits(Fault::RefusedResizeChangesLength) {
                // SAFETY: a stained object's `memory` is reached under the lock alone, which this operation holds;
                // no reference to it outlives a statement.
                unsafe { (*self.owner.memory.get()).lie = Some(shown.saturating_sub(1)) };
            }
            return Err(Exported(exports));
        }
        let mut copy = vec![0; self.true_len()];
        // SAFETY: the bytes exist. Uncounted exports may be using them, so they are loaded atomically.
        unsafe { load_bytes(self.base(), &mut copy) };
        self.moved.set(true);
        // SAFETY: as above, the lock suffices. The reference that is given out borrows `self`.
        let memory = unsafe { &mut *self.owner.memory.get() };
        let stale = self.owner.count.commits(Fault::StaleLengthAfterResize);
        memory.lie = stale.then_some(shown);
        // Whoever points to the old memory may go on: it is never freed.
        mem::forget(mem::replace(&mut *memory.bytes, copy));
        Ok(&mut memory.bytes)
    }

    #[inline]
    fn memory(&self) -> &Memory {
        // SAFETY: `memory` changes only through the unique reference of `resize`, which borrows its operation, and
        // this operation is the only one as long as it holds the lock.
        unsafe { &*self.owner.memory.get() }
    }

    #[inline]
    fn true_len(&self) -> usize {
        self.memory().bytes.len()
    }

    /// Where the bytes are.
    #[inline]
    fn base(&self) -> NonNull<u8> {
        if self.moved.replace(false) {
            // SAFETY: since the resize no exports exist, or they were not counted; these do not read `memory`
            // without the lock, and this thread has no reference to it here.
            let memory = unsafe { &mut *self.owner.memory.get() };
            memory.base = base(&mut memory.bytes);
        }
        self.memory().base
    }

    /// Can nobody but this operation reach the bytes?
    #[inline]
    fn is_exclusive(&self) -> bool {
        self.exports() == 0 && !self.owner.count.is_stained()
    }

    /// # Safety
    /// `from` is the first of `out.len()` bytes of this object.
    #[inline]
    unsafe fn load(&self, from: NonNull<u8>, out: &mut [u8]) {
        if out.len() > 1 && self.is_exclusive() {
            // SAFETY: nobody else reaches the bytes, and `out` is a unique reference, so it is elsewhere.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), out.as_mut_ptr(), out.len()) };
        } else {
            // SAFETY: the bytes exist, and while exports do, everyone accesses them atomically.
            unsafe { load_bytes(from, out) };
        }
    }

    /// # Safety
    /// `to` is the first of `bytes.len()` bytes of this object.
    #[inline]
    unsafe fn store(&self, to: NonNull<u8>, bytes: &[u8]) {
        if bytes.len() > 1 && self.is_exclusive() {
            // SAFETY: nobody else reaches the bytes; a safe reference to them, such as `bytes` would be, can only
            // come from `resize` and borrows the operation uniquely, so `bytes` is elsewhere.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        } else {
            // SAFETY: the bytes exist, and while exports do, everyone accesses them atomically.
            unsafe { store_bytes(to, bytes) };
        }
    }

    /// Does each of `count` places exist, from `start` on and `step` apart? The first and the last stand for all.
    #[inline]
    fn check_reach(&self, start: usize, step: isize, count: usize) -> Option<()> {
        let Some(gaps) = count.checked_sub(1) else {
            return Some(());
        };
        let span = isize::try_from(gaps).ok()?.checked_mul(step)?;
        let last = start.checked_add_signed(span)?;
        (start.max(last) < self.len()).then_some(())
    }
}

/// The place `i` steps after `start`, which `check_reach` has found to exist.
#[inline]
fn nth(start: usize, step: isize, i: usize) -> usize {
    start.wrapping_add_signed(step.wrapping_mul(i as isize))
}

impl Drop for Operation<'_> {
    #[inline]
    fn drop(&mut self) {
        // The lock is given up after this, when the fields are dropped.
        self.base();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.count.check_at_death(ByteArray::NAME);
        if !self.count.is_stained() {
            // SAFETY: the object dies here, so this is done once and nothing uses `bytes` after it. The count is
            // right and zero, so no export points to the memory.
            unsafe { ManuallyDrop::drop(&mut self.memory.get_mut().bytes) };
        }
    }
}

impl fmt::Debug for ByteArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteArray").field("count", &self.0.count).finish_non_exhaustive()
    }
}

impl fmt::Debug for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("len", &self.len()).field("exports", &self.exports()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: usize = if cfg!(miri) { 50 } else { 4_000 };

    fn contents(array: &ByteArray) -> Vec<u8> {
        let mut out = Vec::new();
        array.operate(|op| op.copy_to(&mut out));
        out
    }

    #[test]
    fn a_refused_resize_changes_nothing() {
        let array = ByteArray::new(b"abc".to_vec());
        let exports = [array.export(), array.export()];
        assert_eq!(array.operate(|op| op.resize().err()), Some(Exported(2)));
        assert_eq!(contents(&array), b"abc");
        assert_eq!(array.exports(), 2);
        drop(exports);
        array.operate(|op| op.resize().unwrap().push(b'd'));
        assert_eq!(contents(&array), b"abcd");
    }

    #[test]
    fn a_resize_is_seen_by_the_rest_of_its_operation_and_by_the_next_export() {
        let array = ByteArray::new(Vec::new());
        array.operate(|op| {
            op.resize().unwrap().extend([7; 100]);
            assert_eq!((op.len(), op.get(99)), (100, Some(7)));
            op.set(99, 8).unwrap();
        });
        let mut out = [0; 2];
        array.export().read(98, &mut out);
        assert_eq!(out, [7, 8]);
    }

    #[test]
    fn strides_run_both_ways_and_stay_inside() {
        let array = ByteArray::new((0..8).collect());
        for _export in [None, Some(array.export())] {
            array.operate(|op| {
                let mut out = [0; 3];
                assert_eq!(op.read(6, -3, &mut out), Some(()));
                assert_eq!(out, [6, 3, 0]);
                assert_eq!(op.read(5, -3, &mut out), None);
                assert_eq!(op.read(6, 1, &mut out), None);
                assert_eq!(op.read(usize::MAX, isize::MIN, &mut out), None);
                assert_eq!(out, [6, 3, 0]);
                assert_eq!(op.read(99, 1, &mut []), Some(()));
                assert_eq!(op.write(7, -1, &[9; 9]), None);
                assert_eq!(op.write(1, 3, &[1, 4, 7]), Some(()));
                assert_eq!(op.set(8, 0), None);
                assert_eq!(op.get(8), None);
            });
            assert_eq!(contents(&array), (0..8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_operation_that_panics_leaves_the_object_usable() {
        let array = ByteArray::new(vec![0; 4]);
        let other = array.clone();
        std::thread::spawn(move || {
            other.operate(|op| {
                op.resize().unwrap().resize(1000, 1);
                panic!("as planned");
            })
        })
        .join()
        .unwrap_err();
        assert_eq!(array.export().block_len(), 1000);
        assert_eq!(array.operate(|op| op.get(999)), Some(1));
    }

    #[test]
    fn racing_exports_never_see_memory_move() {
        let array = ByteArray::new(vec![0; 16]);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let export = array.export();
                        let len = export.block_len();
                        let mut out = vec![0; len];
                        export.read(0, &mut out);
                        // Every operation leaves `len` equal bytes that spell `len`.
                        assert!(out.iter().all(|&byte| usize::from(byte) == len % 16));
                        export.write(0, &out);
                        assert_eq!(array.operate(|op| op.len()), len);
                    }
                });
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let _ = array.operate(|op| {
                            let bytes = op.resize()?;
                            let len = 16 + round * 37 % 2000;
                            *bytes = Vec::new();
                            bytes.resize(len, (len % 16) as u8);
                            Ok::<_, Exported>(())
                        });
                    }
                });
            }
        });
        assert_eq!(array.exports(), 0);
        array.operate(|op| op.resize().map(Vec::clear)).unwrap();
        assert_eq!(contents(&array), Vec::<u8>::new());
    }

    #[test]
    fn operations_are_atomic_with_respect_to_each_other() {
        let array = ByteArray::new(vec![0; 2]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        array.operate(|op| {
                            let (low, high) = (op.get(0).unwrap(), op.get(1).unwrap());
                            let sum = u16::from_le_bytes([low, high]).wrapping_add(1);
                            op.write(0, 1, &sum.to_le_bytes()).unwrap();
                        });
                    }
                });
            }
        });
        let sum = (4 * ROUNDS) as u16;
        assert_eq!(contents(&array), sum.to_le_bytes());
    }
}
