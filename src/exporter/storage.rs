//! Memory that operations of its object may move: what `bytearray`, `array` and `mmap` have in common.
//!
//! Every operation of the object runs while an [`Operation`] holds the lock word. It may move the memory only through
//! [`Operation::exclusive`], which gives out the block itself, and gives it out only if no export exists: so a
//! refused resize cannot have changed anything.
//!
//! # Who may touch what
//! | | holds | pointer and length | bytes |
//! | --- | --- | --- | --- |
//! | an operation, no exports | LOCKED | writes | plainly, if nobody else can reach them ([`Block::ALONE`]) |
//! | an operation, exports exist | LOCKED | reads | atomically: views are using them |
//! | an acquire, a view | an export | reads | atomically |
//! | the closing of an object without exports, the last release of a closed object | nobody else can have anything | frees | not at all |
//!
//! The last row ends the others: an object that has been closed begins no operation and gives out no export.
//!
//! A stained object (see [`planted`](super::planted)) may be miscounted. There the second and the third row hold at
//! all times, pointer and length are read under LOCKED alone, and a resize leaves the old memory behind and moves to
//! a copy.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ptr::{self, NonNull};
use std::slice;

use super::export::{load_bytes, store_bytes};
use super::planted::Fault;
use super::{Closed, Closing, ExportCount, Exported, Locked, RawExport};

/// One block of bytes that an object owns and can replace.
///
/// # Safety
/// `base` gives the first of `len` bytes that are valid for reads, and for writes unless the block is `readonly`,
/// until the block is dropped or a unique reference to it is used for anything but `base`; to move the block itself
/// leaves them in place. `base` and `len` do not panic.
pub unsafe trait Block: Send + Sync {
    /// What Python calls the type of object that owns such a block; messages use it.
    const NAME: &'static str;
    /// Only this object and its exports reach the bytes. What a file is mapped to, others reach as well.
    const ALONE: bool;

    /// The first byte; dangling if there is none.
    fn base(&mut self) -> NonNull<u8>;

    /// The number of bytes.
    fn len(&self) -> usize;

    /// Would writing be undefined behaviour?
    fn readonly(&self) -> bool;

    /// The block changes its length by multiples of this.
    fn unit(&self) -> usize;

    /// A block of the same kind, elsewhere, that holds these bytes, as many as this one has.
    fn replacement(&self, bytes: Vec<u8>) -> Self;
}

// SAFETY: a vector keeps its elements where they are until it is changed or dropped. `as_mut_ptr` invalidates no
// pointer that it has given out.
unsafe impl Block for Vec<u8> {
    const NAME: &'static str = "bytearray";
    const ALONE: bool = true;

    #[inline]
    fn base(&mut self) -> NonNull<u8> {
        NonNull::new(self.as_mut_ptr()).expect("the pointer of a vector is never null")
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn readonly(&self) -> bool {
        false
    }

    #[inline]
    fn unit(&self) -> usize {
        1
    }

    fn replacement(&self, bytes: Vec<u8>) -> Self {
        bytes
    }
}

/// A block of memory, and the lock word that guards it.
pub(super) struct Storage<M: Block> {
    count: ExportCount,
    memory: UnsafeCell<Memory<M>>,
}

struct Memory<M> {
    /// Dropped by hand, because a closed object has no memory any more and a stained one leaks it.
    block: ManuallyDrop<M>,
    /// Where the bytes are, as a pointer that may be written through: a block gives that out to a unique reference
    /// only, and there is none while exports exist.
    base: NonNull<u8>,
    /// A wrong length that is shown instead of the true one. Stained objects only.
    lie: Option<usize>,
}

// SAFETY: `memory` is touched as the table above says. The lock word keeps those who write it away from all others
// and makes what they wrote visible to the next (`export_count` argues the orderings); bytes that threads use at the
// same time are accessed atomically. A block may be used and dropped on any thread: `Block` asks for it.
unsafe impl<M: Block> Sync for Storage<M> {}
// SAFETY: `base` points into `block`, which may be dropped on any thread.
unsafe impl<M: Block> Send for Storage<M> {}

impl<M: Block> Memory<M> {
    /// The length that is shown.
    #[inline]
    fn shown(&self) -> usize {
        self.lie.unwrap_or(self.block.len())
    }

    /// What an export gets. A lie does not reach past the true end.
    #[inline]
    fn lent(&self) -> RawExport {
        let len = self.shown().min(self.block.len());
        RawExport { ptr: self.base, len, readonly: self.block.readonly(), constant: false }
    }
}

impl<M: Block> Storage<M> {
    /// The memory of a new object.
    pub(super) fn new(mut block: M) -> Self {
        let base = block.base();
        let memory = Memory { base, block: ManuallyDrop::new(block), lie: None };
        Self { count: ExportCount::of_new_object(), memory: UnsafeCell::new(memory) }
    }

    /// Exports and locks at this moment.
    #[inline]
    pub(super) fn exports(&self) -> usize {
        self.count.exports()
    }

    #[inline]
    pub(super) fn is_stained(&self) -> bool {
        self.count.is_stained()
    }

    /// Has the object been closed?
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.count.is_closed()
    }

    /// Runs one operation of the object, atomic with respect to all others.
    ///
    /// # Errors
    /// If the object has been closed.
    #[inline]
    pub(super) fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_, M>) -> R) -> Result<R, Closed> {
        let locked = self.count.lock();
        if locked.is_closed() {
            return Err(Closed);
        }
        Ok(f(&mut Operation { locked, owner: self, moved: Cell::new(false) }))
    }

    /// Adds one export and gives out the block (G1, G3).
    ///
    /// # Errors
    /// If the object has been closed. Then no export has been added.
    #[inline]
    pub(super) fn acquire_raw(&self) -> Result<RawExport, Closed> {
        self.count.acquire_with(|| {
            // SAFETY: `acquire_with` runs this while the object can be neither resized nor closed, so no unique
            // reference to `memory` exists before it returns.
            unsafe { &*self.memory.get() }.lent()
        })
    }

    /// Takes one export away (R1), and frees the memory if it was the last one of a closed object. Aborts if there
    /// is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub(super) unsafe fn release_raw(&self) {
        if self.count.release(M::NAME).is_end() {
            // SAFETY: `is_end` is true once, and not if a closing has freed the memory.
            unsafe { self.free() };
        }
    }

    /// Closes the object, and frees its memory unless exports exist; if they do, `closing` says what happens. To
    /// close a closed object does nothing.
    ///
    /// # Errors
    /// If exports exist and `closing` refuses then. Nothing is changed.
    pub(super) fn close(&self, closing: Closing) -> Result<(), Exported> {
        let locked = self.count.lock();
        if locked.is_closed() {
            return Ok(());
        }
        // Zero stays zero, and whatever exports `close` finds below leave a release to come.
        let exports = locked.exports();
        if exports != 0 && closing == Closing::Refuse && !self.count.commits(Fault::ResizeIgnoresExports) {
            return Err(Exported(exports));
        }
        if locked.close() {
            // SAFETY: `close` answers so once, and then no release is left to do it.
            unsafe { self.free() };
        }
        Ok(())
    }

    /// Frees the memory of a closed object.
    ///
    /// # Safety
    /// It is called once, by whoever has found that the object is closed and has no exports.
    #[cold]
    unsafe fn free(&self) {
        if !self.count.is_stained() {
            // SAFETY: a closed object begins no operation and gives out no export, and none of either is left:
            // nobody has a reference to `memory` or a pointer into it, and nobody gets one. `drop` below looks at
            // CLOSED, so this is the only time that the block is dropped.
            unsafe { ManuallyDrop::drop(&mut (*self.memory.get()).block) };
        }
    }
}

/// One operation of an object in flight: of a [`ByteArray`](super::ByteArray), unless said otherwise.
pub struct Operation<'a, M: Block = Vec<u8>> {
    locked: Locked<'a>,
    owner: &'a Storage<M>,
    /// The block has been given out, so that `base` may be out of date. If so, no counted exports exist. A cell,
    /// because an operation belongs to one thread at a time.
    moved: Cell<bool>,
}

impl<M: Block> Operation<'_, M> {
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
    ///
    /// # Panics
    /// If the memory is read-only.
    #[inline]
    pub fn write(&mut self, start: usize, step: isize, bytes: &[u8]) -> Option<()> {
        assert!(!self.memory().block.readonly(), "write to read-only memory");
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
            // SAFETY: these are the bytes of the block, which nobody else can reach during the comparison.
            return unsafe { slice::from_raw_parts(self.base().as_ptr(), self.true_len()) } == bytes;
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

    /// The block itself, to be changed at will; what it is at the end of the operation is what the object has.
    ///
    /// # Errors
    /// If exports exist (S1). Then nothing is changed (S2).
    #[inline]
    pub(super) fn exclusive(&mut self) -> Result<&mut M, Exported> {
        if self.owner.count.is_stained() {
            return self.exclusive_stained();
        }
        match self.exports() {
            0 => {
                self.moved.set(true);
                // SAFETY: the object is locked and has no exports, and neither can change before the operation
                // ends; so whoever reads `memory` waits, and nobody points to the bytes. The unique reference
                // borrows `self`, so this thread cannot reach `memory` by another way either.
                Ok(unsafe { &mut (*self.owner.memory.get()).block })
            }
            exports => Err(Exported(exports)),
        }
    }

    #[cold]
    fn exclusive_stained(&mut self) -> Result<&mut M, Exported> {
        let (shown, unit) = (self.len(), self.memory().block.unit());
        let ignore = self.owner.count.commits(Fault::ResizeIgnoresExports);
        let exports = self.exports();
        if exports != 0 && !ignore {
            if self.owner.count.commits(Fault::RefusedResizeChangesLength) {
                // SAFETY: a stained object's `memory` is reached under the lock alone, which this operation holds;
                // no reference to it outlives a statement.
                unsafe { (*self.owner.memory.get()).lie = Some(shown.saturating_sub(unit)) };
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
        let copy = memory.block.replacement(copy);
        mem::forget(mem::replace(&mut *memory.block, copy));
        Ok(&mut memory.block)
    }

    #[inline]
    pub(super) fn block(&self) -> &M {
        &self.memory().block
    }

    #[inline]
    fn memory(&self) -> &Memory<M> {
        // SAFETY: `memory` changes only through the unique reference of `exclusive`, which borrows its operation, and
        // this operation is the only one as long as it holds the lock.
        unsafe { &*self.owner.memory.get() }
    }

    #[inline]
    fn true_len(&self) -> usize {
        self.memory().block.len()
    }

    /// Where the bytes are.
    #[inline]
    fn base(&self) -> NonNull<u8> {
        if self.moved.replace(false) {
            // SAFETY: since the resize no exports exist, or they were not counted; these do not read `memory`
            // without the lock, and this thread has no reference to it here.
            let memory = unsafe { &mut *self.owner.memory.get() };
            memory.base = memory.block.base();
        }
        self.memory().base
    }

    /// Can nobody but this operation reach the bytes?
    #[inline]
    fn is_exclusive(&self) -> bool {
        M::ALONE && self.exports() == 0 && !self.owner.count.is_stained()
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
            // come from `exclusive` and borrows the operation uniquely, so `bytes` is elsewhere.
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

impl<M: Block> Drop for Operation<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // The lock is given up after this, when the fields are dropped.
        self.base();
    }
}

impl<M: Block> Drop for Storage<M> {
    fn drop(&mut self) {
        self.count.check_at_death(M::NAME);
        if !self.count.is_stained() && !self.count.is_closed() {
            // SAFETY: the object dies here, so this is done once and nothing uses `block` after it. The count is
            // right and zero, so no export points to the memory; the object was open, so `free` has not run.
            unsafe { ManuallyDrop::drop(&mut self.memory.get_mut().block) };
        }
    }
}

impl<M: Block> fmt::Debug for Storage<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.count, f)
    }
}

impl<M: Block> fmt::Debug for Operation<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("len", &self.len()).field("exports", &self.exports()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::sync::Arc;

    const ROUNDS: usize = if cfg!(miri) { 20 } else { 2_000 };

    /// Bytes that count how often they were freed.
    struct Probe {
        bytes: Vec<u8>,
        freed: Arc<AtomicUsize>,
    }

    impl Drop for Probe {
        fn drop(&mut self) {
            self.freed.fetch_add(1, Ordering::Relaxed);
        }
    }

    // SAFETY: as for the vector.
    unsafe impl Block for Probe {
        const NAME: &'static str = "probe";
        const ALONE: bool = true;

        fn base(&mut self) -> NonNull<u8> {
            self.bytes.base()
        }

        fn len(&self) -> usize {
            self.bytes.len()
        }

        fn readonly(&self) -> bool {
            false
        }

        fn unit(&self) -> usize {
            1
        }

        fn replacement(&self, bytes: Vec<u8>) -> Self {
            Self { bytes, freed: Arc::clone(&self.freed) }
        }
    }

    fn probe() -> (Storage<Probe>, impl Fn() -> usize) {
        let freed = Arc::new(AtomicUsize::new(0));
        let storage = Storage::new(Probe { bytes: vec![7; 4], freed: Arc::clone(&freed) });
        (storage, move || freed.load(Ordering::Relaxed))
    }

    #[test]
    fn an_object_without_exports_is_freed_when_it_is_closed_and_never_again() {
        for closing in [Closing::Refuse, Closing::Wait] {
            let (storage, freed) = probe();
            storage.close(closing).unwrap();
            assert_eq!(freed(), 1);
            storage.close(closing).unwrap();
            assert_eq!(storage.operate(|_| ()), Err(Closed));
            assert_eq!(storage.acquire_raw().err(), Some(Closed));
            drop(storage);
            assert_eq!(freed(), 1);
        }
    }

    #[test]
    fn a_refused_closing_changes_nothing() {
        let (storage, freed) = probe();
        storage.acquire_raw().unwrap();
        assert_eq!(storage.close(Closing::Refuse), Err(Exported(1)));
        assert!(!storage.is_closed());
        assert_eq!(storage.operate(|op| op.get(3)), Ok(Some(7)));
        // SAFETY: the export from above.
        unsafe { storage.release_raw() };
        assert_eq!((storage.exports(), freed()), (0, 0));
        storage.close(Closing::Refuse).unwrap();
        assert_eq!(freed(), 1);
    }

    #[test]
    fn a_closing_that_waits_lets_the_last_release_free() {
        let (storage, freed) = probe();
        let raw = storage.acquire_raw().unwrap();
        storage.acquire_raw().unwrap();
        storage.close(Closing::Wait).unwrap();
        assert_eq!(storage.operate(|_| ()), Err(Closed));
        assert_eq!(storage.acquire_raw().err(), Some(Closed));
        assert_eq!(storage.close(Closing::Refuse), Ok(()));
        // SAFETY: the export keeps the memory where it is, and after it one of the two is given back.
        unsafe {
            assert_eq!(raw.ptr.add(3).read(), 7);
            storage.release_raw();
            assert_eq!(raw.ptr.read(), 7);
        }
        assert_eq!((storage.exports(), freed()), (1, 0));
        // SAFETY: the other one, whose memory is used no more.
        unsafe { storage.release_raw() };
        assert_eq!(freed(), 1);
        drop(storage);
        assert_eq!(freed(), 1);
    }

    #[test]
    fn racing_releases_and_closings_free_once_and_after_the_last_access() {
        for round in 0..ROUNDS {
            let (storage, freed) = probe();
            let closing = if round % 2 == 0 { Closing::Wait } else { Closing::Refuse };
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            let Ok(raw) = storage.acquire_raw() else { return };
                            // SAFETY: the export is given back after the last use of its memory.
                            unsafe {
                                load_bytes(raw.ptr, &mut [0; 4]);
                                store_bytes(raw.ptr, &[8; 4]);
                                storage.release_raw();
                            }
                        }
                    });
                }
                scope.spawn(|| (0..20).all(|_| storage.operate(|op| op.set(0, 9)).is_ok()));
                scope.spawn(|| {
                    while storage.close(closing).is_err() {
                        std::thread::yield_now();
                    }
                });
            });
            assert_eq!((freed(), storage.exports()), (1, 0));
        }
    }

    #[test]
    fn memory_that_others_reach_is_compared_all_the_same() {
        let (storage, _) = probe();
        for _export in [None, Some(storage.acquire_raw())] {
            storage
                .operate(|op| {
                    assert!(op.equals(&[7; 4]));
                    assert!(!op.equals(&[7; 3]) && !op.equals(&[7, 7, 7, 8]));
                })
                .unwrap();
        }
        // SAFETY: the export of the second round.
        unsafe { storage.release_raw() };
    }
}
