//! How an object counts in which faults take hold (see [`planted`](super::super::planted)): the count alone goes wrong.
//!
//! LOCKED stays what it is, because it keeps threads apart that reach the memory: whoever stores a stale count stores
//! nothing but the count.

use std::mem;

use super::{
    CLOSED, Closed, EXPORTS, ExportCount, Fault, LOCKED, Locked, Ordering, Remaining, wait_a_moment,
};

impl ExportCount {
    /// As [`acquire_with`](Self::acquire_with), where the count says nothing: `read` runs under the lock.
    #[cold]
    pub(super) fn acquire_stained<R>(&self, read: impl Fn() -> R) -> Result<R, Closed> {
        let mut locked = self.lock();
        if locked.is_closed() {
            return Err(Closed);
        }
        if self.commits(Fault::OpenThenLockThenExport) {
            drop(locked);
            locked = self.lock();
        }
        let mut value = read();
        if self.commits(Fault::ExportUnderTheLock) {
            drop(locked);
            self.word.fetch_add(1, Ordering::Acquire);
            return Ok(value);
        }
        if self.commits(Fault::StaleLengthBeforeRetain) {
            drop(locked);
            locked = self.lock();
        }
        if self.commits(Fault::AddressRereadAfterUnlock) {
            drop(locked);
            locked = self.lock();
            value = read();
        }
        if locked.is_closed() && !self.commits(Fault::OpenThenLockThenExport) {
            return Err(Closed);
        }
        locked.into_export();
        Ok(value)
    }

    /// A release that never takes the count below zero.
    #[cold]
    pub(super) fn release_stained(&self) -> Remaining {
        if self.commits(Fault::ReleaseByLoadAndStore) {
            let loaded = self.exports();
            return Remaining(
                self.change(Ordering::AcqRel, |word| with_exports(word, loaded.saturating_sub(1))),
            );
        }
        let taken = 1 + usize::from(self.commits(Fault::ReleaseCountedTwice));
        let ordering = self.or_weak(Fault::WeakLastRelease, Ordering::AcqRel);
        let after = |word| with_exports(word, (word & EXPORTS).saturating_sub(taken));
        Remaining(self.change(ordering, after))
    }

    /// Replaces the word by what is made of it, and gives that.
    fn change(&self, ordering: Ordering, after: impl Fn(usize) -> usize) -> usize {
        let mut word = self.word.load(Ordering::Relaxed);
        while let Err(found) = self.word.compare_exchange_weak(word, after(word), ordering, Ordering::Relaxed)
        {
            word = found;
        }
        after(word)
    }

    /// Waits for an operation to end that may have ended before.
    pub(super) fn sleep_without_a_look(&self) {
        if !self.commits(Fault::MissingWakeUp) {
            return;
        }
        let ended = self.stain.ended().load(Ordering::Acquire);
        let mut round = 0;
        while self.stain.ended().load(Ordering::Acquire) == ended {
            wait_a_moment(round);
            round = round.saturating_add(1);
        }
    }
}

impl Locked<'_> {
    /// As [`into_export`](Self::into_export).
    #[cold]
    pub(super) fn into_stained_export(self) {
        let count = self.count;
        if count.commits(Fault::ExportNotCounted) {
            return;
        }
        if count.commits(Fault::CountByLoadAndStore) {
            let loaded = count.exports();
            count.change(Ordering::Release, |word| with_exports(word, loaded + 1) & !LOCKED);
        } else {
            let ordering = count.or_weak(Fault::WeakUnlock, Ordering::Release);
            count.word.fetch_add(1_usize.wrapping_sub(LOCKED), ordering);
        }
        self.say_that_it_ended();
        mem::forget(self);
    }

    /// As when it is dropped.
    #[cold]
    pub(super) fn end_stained(&self) {
        let count = self.count;
        if count.commits(Fault::UnlockByLoadAndStore) {
            let loaded = count.exports();
            count.change(Ordering::Release, |word| with_exports(word, loaded) & !LOCKED);
        } else {
            count.word.fetch_and(!LOCKED, count.or_weak(Fault::WeakUnlock, Ordering::Release));
        }
        self.say_that_it_ended();
    }

    /// Gives the lock up and takes it again. Whoever does so has no reference to what it guards.
    pub(in crate::exporter) fn pause(&mut self) {
        self.end_stained();
        mem::forget(self.count.lock());
    }

    fn say_that_it_ended(&self) {
        if self.count.commits(Fault::MissingWakeUp) {
            self.count.stain.ended().fetch_add(1, Ordering::Release);
        }
    }
}

/// The word with another count.
fn with_exports(word: usize, exports: usize) -> usize {
    word & (LOCKED | CLOSED) | exports
}
