//! What an operation of an object does with its memory. The module above says who may touch what.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr::{self, NonNull};
use std::slice;

use super::{Block, Memory, Storage};
use crate::exporter::export::{holds_bytes, load_bytes, store_bytes};
use crate::exporter::planted::Fault;
use crate::exporter::{Exported, Locked, same_bytes};

/// One operation of an object in flight: of a [`ByteArray`](crate::exporter::ByteArray), unless said otherwise.
pub struct Operation<'a, M: Block = Vec<u8>> {
    locked: Locked<'a>,
    owner: &'a Storage<M>,
    /// The block has been given out, so that `base` may be out of date. If so, no counted exports exist. A cell,
    /// because an operation belongs to one thread at a time.
    moved: Cell<bool>,
}

impl<'a, M: Block> Operation<'a, M> {
    /// The operation of an object that is locked and has memory.
    #[inline]
    pub(super) fn new(locked: Locked<'a>, owner: &'a Storage<M>) -> Self {
        Self { locked, owner, moved: Cell::new(false) }
    }

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

    /// The address of the first byte; what an export of this moment would have.
    #[inline]
    pub fn address(&self) -> usize {
        self.base().addr().get()
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
        let len = self.len();
        if len != bytes.len() {
            return false;
        }
        if len > self.true_len() {
            return self.equals_slowly(bytes);
        }
        if self.is_exclusive() {
            // SAFETY: these are bytes of the block, which nobody else can reach during the comparison.
            return same_bytes(unsafe { slice::from_raw_parts(self.base().as_ptr(), len) }, bytes);
        }
        // SAFETY: the bytes exist, and while exports do, everyone accesses them atomically.
        unsafe { holds_bytes(self.base(), bytes) }
    }

    /// The same of a length that lies.
    #[cold]
    fn equals_slowly(&self, bytes: &[u8]) -> bool {
        let mut own = vec![0; bytes.len()];
        self.read(0, 1, &mut own).is_some() && own == bytes
    }

    /// May the count be wrong because of a planted fault?
    pub(in crate::exporter) fn is_stained(&self) -> bool {
        self.owner.is_stained()
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
    pub(in crate::exporter) fn exclusive(&mut self) -> Result<&mut M, Exported> {
        if self.owner.count.is_stained() {
            return self.exclusive_stained();
        }
        match self.exports() {
            0 => {
                self.moved.set(true);
                // SAFETY: the object is locked and has no exports, and neither can change before the operation
                // ends; so whoever reads `memory` waits, and nobody points to the bytes. The unique reference
                // borrows `self`, so this thread cannot reach `memory` by another way either.
                Ok(unsafe { &mut (*self.owner.memory.unique()).block })
            }
            exports => Err(Exported(exports)),
        }
    }

    #[cold]
    fn exclusive_stained(&mut self) -> Result<&mut M, Exported> {
        let (shown, unit) = (self.len(), self.memory().block.unit());
        let ignore = self.owner.count.commits(Fault::ResizeIgnoresExports);
        let exports = self.exports();
        if self.owner.count.commits(Fault::CheckThenLockThenResize) {
            // Whoever comes in between finds the memory where it is.
            self.base();
            self.locked.pause();
        }
        if exports != 0 && !ignore {
            if self.owner.count.commits(Fault::RefusedResizeChangesLength) {
                // SAFETY: a stained object's `memory` is reached under the lock alone, which this operation holds;
                // no reference to it outlives a statement.
                unsafe { (*self.owner.memory.unique()).lie = Some(shown.saturating_sub(unit)) };
            }
            return Err(Exported(exports));
        }
        let mut copy = vec![0; self.true_len()];
        // SAFETY: the bytes exist. Uncounted exports may be using them, so they are loaded atomically.
        unsafe { load_bytes(self.base(), &mut copy) };
        self.moved.set(true);
        // SAFETY: as above, the lock suffices. The reference that is given out borrows `self`.
        let memory = unsafe { &mut *self.owner.memory.unique() };
        let stale = self.owner.count.commits(Fault::StaleLengthAfterResize);
        memory.lie = stale.then_some(shown);
        // Whoever points to the old memory may go on: it is never freed.
        let copy = memory.block.replacement(copy);
        mem::forget(mem::replace(&mut *memory.block, copy));
        Ok(&mut memory.block)
    }

    #[inline]
    pub(in crate::exporter) fn block(&self) -> &M {
        &self.memory().block
    }

    #[inline]
    fn memory(&self) -> &Memory<M> {
        // SAFETY: `memory` changes only through the unique reference of `exclusive`, which borrows its operation, and
        // this operation is the only one as long as it holds the lock.
        unsafe { &*self.owner.memory.shared() }
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
            let memory = unsafe { &mut *self.owner.memory.unique() };
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

impl<M: Block> fmt::Debug for Operation<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("len", &self.len()).field("exports", &self.exports()).finish()
    }
}
