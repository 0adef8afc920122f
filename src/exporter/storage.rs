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
//! The last row ends the others: an object that has been closed begins no operation and gives out no export. Only
//! [`Storage::renew`] begins anew: it is an operation without exports that may find no memory and leaves some.
//!
//! A stained object (see [`planted`](super::planted)) may be miscounted. There the second and the third row hold at
//! all times, pointer and length are read under LOCKED alone, and a resize leaves the old memory behind and moves to
//! a copy.

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::planted::Fault;
use super::{Closed, Closing, ExportCount, Exported, RawExport};
use crate::sync::Guarded;

mod operation;
#[cfg(test)]
mod tests;

pub use operation::Operation;

/// One block of bytes that an object owns and can replace.
///
/// # Safety
/// `base` gives the first of `len` bytes that are valid for reads, and for writes unless the block is `readonly`,
/// until the block is dropped or a unique reference to it is used for anything but `base`; to move the block itself
/// leaves them in place. `base` and `len` do not panic.
#[expect(clippy::len_without_is_empty, reason = "a block is asked for its length alone")]
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
    memory: Guarded<Memory<M>>,
}

struct Memory<M> {
    /// Dropped by hand, because a closed object has no memory and a stained one leaks it.
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
        Self { count: ExportCount::of_new_object(), memory: Guarded::new(memory) }
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

    /// Is the object closed?
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
        Ok(f(&mut Operation::new(locked, self)))
    }

    /// Adds one export and gives out the block (G1, G3).
    ///
    /// # Errors
    /// If the object has been closed. Then no export has been added.
    #[inline]
    pub(super) fn acquire_raw(&self) -> Result<RawExport, Closed> {
        let first = Cell::new(None);
        self.count.acquire_with(|| {
            // SAFETY: `acquire_with` runs this while the object can be neither resized nor closed, so no unique
            // reference to `memory` exists before it returns.
            let mut lent = unsafe { &*self.memory.shared() }.lent();
            if self.count.commits(Fault::AddressRereadAfterUnlock) {
                lent.len = first.replace(Some(lent.len)).unwrap_or(lent.len).min(lent.len);
            }
            lent
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
            // SAFETY: `is_end` is true once, and not if a closing has freed the memory. An object that was closed
            // while it had this export is never opened again.
            unsafe { self.free() };
        }
    }

    /// Closes the object, and frees its memory unless exports exist; if they do, `closing` says what happens. To
    /// close a closed object does nothing.
    ///
    /// # Errors
    /// If exports exist and `closing` refuses then. Nothing is changed.
    pub(super) fn close(&self, closing: Closing) -> Result<(), Exported> {
        let stale = self.count.commits(Fault::CheckThenLockThenClose).then(|| self.count.exports());
        let locked = self.count.lock();
        if locked.is_closed() {
            return Ok(());
        }
        // Zero stays zero, and whatever exports `close` finds below leave a release to come.
        let exports = stale.unwrap_or_else(|| locked.exports());
        if exports != 0 && closing == Closing::Refuse && !self.count.commits(Fault::ResizeIgnoresExports) {
            return Err(Exported(exports));
        }
        if locked.close() {
            // SAFETY: `close` answers so once until the object is opened again, which waits for the lock, and then no
            // release is left to do it.
            unsafe { self.free() };
        }
        Ok(())
    }

    /// Gives the object this memory in place of what it has. One that was closed is open again.
    ///
    /// # Errors
    /// If exports exist (S1). Nothing is changed (S2).
    ///
    /// # Safety
    /// Every closing of this object refuses while exports exist ([`Closing::Refuse`]).
    pub(super) unsafe fn renew(&self, mut block: M) -> Result<(), Exported> {
        let locked = self.count.lock();
        let exports = locked.exports();
        if exports != 0 && !self.count.commits(Fault::ResizeIgnoresExports) {
            return Err(Exported(exports));
        }
        let base = block.base();
        // SAFETY: the object is locked and has no exports, so whoever reads `memory` waits and nobody points into it.
        // Whoever closed it did so without exports and freed its memory under the lock: nobody is about to. Of a
        // stained object `memory` is reached under the lock alone.
        let memory = unsafe { &mut *self.memory.unique() };
        if !locked.is_closed() && !self.count.is_stained() {
            // SAFETY: an open object has its block, which is replaced below.
            unsafe { ManuallyDrop::drop(&mut memory.block) };
        }
        *memory = Memory { base, block: ManuallyDrop::new(block), lie: None };
        locked.reopen();
        Ok(())
    }

    /// Frees the memory of a closed object.
    ///
    /// # Safety
    /// It is called once after each closing, by whoever has found that the object is closed and has no exports.
    #[cold]
    unsafe fn free(&self) {
        if !self.count.is_stained() {
            // SAFETY: a closed object begins no operation and gives out no export, and none of either is left:
            // nobody has a reference to `memory` or a pointer into it, and nobody gets one before it has a block
            // again. `drop` below looks at CLOSED, so this is the only time that the block is dropped.
            unsafe { ManuallyDrop::drop(&mut (*self.memory.unique()).block) };
        }
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
