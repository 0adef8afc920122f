//! The lock word: how many exports an object has, whether an operation of the object itself is in flight, and whether
//! the object has been closed.
//!
//! ```text
//!    bit  63       62       61 ..                             .. 0
//!       +--------+--------+----------------------------------------+
//!       | LOCKED | CLOSED |                exports                 |
//!       +--------+--------+----------------------------------------+
//!           |        |                      |
//!           |        |    +1 acquire: only while LOCKED is clear, else it waits;
//!           |        |       refused while CLOSED is set
//!           |        |    -1 release: at any time, without waiting
//!           |        `-- set by close, cleared by reopen, both under LOCKED
//!           `-- set and cleared by lock, which leaves the exports as they are
//! ```
//!
//! They live in one word because rule S1 is about both the lock and the exports: "no exports exist, and none appears
//! until the memory has moved" is one fact, and with two words there would be a moment between the two halves of it.
//! LOCKED is what the critical section of an object is to CPython. An operation that does not resize takes it as
//! well, so that each operation of an object is atomic with respect to the others, whether or not it moves memory.
//!
//! An object that is closed while exports exist is cleaned up by the last release (S4). "The last one" and "closed"
//! are one fact for the same reason: the subtraction that leaves CLOSED over a count of zero happens once, because
//! nothing adds to the count any more (R2); and the closing that finds zero itself leaves no release to come.
//!
//! Most objects stay closed. One whose closings all refuse while exports exist may be given new memory and be opened
//! again: then no release ever meets CLOSED, whoever closes has cleaned up before it gives up LOCKED, and so whoever
//! finds CLOSED under LOCKED is alone with an object that has neither exports nor memory. To everybody else, what it
//! does until it gives up LOCKED is a resize like any other.
//!
//! A release must not wait: it cannot fail (R1), and it may come from a thread that holds other locks. Hence
//! exports may vanish under LOCKED but never appear, and a count of zero read under LOCKED stays zero.
//!
//! # What protects the memory
//! An operation changes pointer and length only if it holds LOCKED *and* has read a count of zero. Everyone else
//! reads them while holding LOCKED or an export. Either keeps the writer away, so there is never a reader beside a
//! writer, provided that each side also *sees* what the other did:
//!
//! # Which `Release` each `Acquire` pairs with
//! Every change of the word but one is a read-modify-write. So whatever is stored after a `Release` continues its
//! release sequence, and an `Acquire` that reads *any* later value synchronizes with *every* earlier `Release`.
//! Therefore no step below depends on being the very next one. The exception is the `unlock` of an object without
//! exports, a plain store. It ends the sequences before it, but the `Acquire` load that found no exports has
//! synchronized with all of them, so that the store's own `Release` passes on what they had to tell.
//!
//! | `Acquire` | pairs with `Release` | therefore |
//! | --- | --- | --- |
//! | the +1 of `acquire` | `unlock` | the writes of a resize happen before an exporter reads pointer and length to fill in a later export (G4, no torn pair: D3) |
//! | `lock` | `unlock` | operations of one object happen one after the other |
//! | `lock`, or the count read under it | the -1 of `release` | all that a consumer did with the memory happens before a resize that frees it (S1, D3) |
//! | the -1 of `release` that leaves zero | the -1 of the others | whoever cleans up at zero has seen the last access of every consumer; one release alone leaves zero, so it is done once (R2) |
//! | the same | `close` | the release that cleans up has seen what all operations did with the memory |
//! | `close` | the -1 of `release` | a closing that finds no exports has seen the last access of every consumer |
//! | `settle` | `unlock` | who finds no operation in flight sees all that finished ones did |
//!
//! The +1 needs no `Release`: an export that has only been acquired has done nothing that others must see, and
//! being counted is enough to keep a writer away. In `lock` no `Release` is needed either, because nothing precedes
//! it that `unlock` would not publish.
//!
//! # What shows it
//! | | runs | shows | cannot show |
//! | --- | --- | --- | --- |
//! | loom (`exporter/proof.rs`) | kernels of two and three threads, in every order, or in every one with two or three interruptions where there are too many; each load reads every store that it may | that the table above suffices for what the word guards; that each half of each ordering is missed by some kernel, but for three, which are named there with the reason | bytes, in whose place a cell stands; that the store in `unlock` ends the release sequences, since it is a read-modify-write there; `SeqCst` and reorderings within a thread (there are none to be had: everything is one word); a weak exchange that fails for no reason; a third wait for the same lock |
//! | shuttle (`schedule/explored.rs`) | whole programs of up to four threads, by turns that a fuzzer or a strategy chooses, one switch at each access of what threads share | that what the threads saw has an order; a schedule that shows otherwise, again and again | weak memory: each access sees all that came before it; all orders: it draws some; switches in the midst of bytes; CPython |
//! | Miri (`cargo +nightly miri test exporter::`) | the unit tests, in one order a seed, with stale loads drawn at random | undefined behaviour in the memory itself: bytes used after they were freed, data races on them, pointers that may not be used so | all orders; maps of files, processes, Python |
//! | ThreadSanitizer (`.ci/run`) | the real machine code, at speed, on real threads | data races on bytes, pointer and length in orders that occur, also beside a foreign consumer that is built for it | what does not occur in a run; orderings that the processor gives for nothing: on x86-64 a load is an acquire and a store a release |
//!
//! The count stops the process at half its range, long before it could run into CLOSED: only a loop that forgets
//! its exports counts so far.

use std::fmt;
use std::mem;

use super::Closed;
use super::planted::{Fault, Stain};
use crate::sync::{AtomicUsize, Ordering, wait_a_moment};

/// An operation of the object itself is in flight.
const LOCKED: usize = !(usize::MAX >> 1);
/// The object gives out nothing any more.
const CLOSED: usize = LOCKED >> 1;
/// The bits that count.
const EXPORTS: usize = CLOSED - 1;
/// No object has as many exports as this.
const TOO_MANY: usize = CLOSED >> 1;

/// The number of exports of an object, and the lock of its operations.
pub struct ExportCount {
    word: AtomicUsize,
    /// Faults may take hold in the object: see [`planted`](super::planted).
    stain: Stain,
}

mod stained;

impl ExportCount {
    /// No exports, not locked.
    pub fn new() -> Self {
        Self::stained_if(false)
    }

    /// The count of an object that can carry a planted fault if `stained`.
    pub(super) fn stained_if(stained: bool) -> Self {
        Self { word: AtomicUsize::new(0), stain: Stain::new(stained) }
    }

    /// The count of a new root of memory, in which the fault takes hold that is planted at this moment, if any.
    pub(super) fn of_new_object() -> Self {
        Self { word: AtomicUsize::new(0), stain: Stain::of_new_object() }
    }

    /// May the counts of this object be wrong?
    #[inline]
    pub(super) fn is_stained(&self) -> bool {
        self.stain.is_there()
    }

    /// Is this fault to be committed by this object?
    #[inline]
    pub(super) fn commits(&self, fault: Fault) -> bool {
        self.stain.commits(fault)
    }

    /// Adds one export (G3). Waits while an operation of the object is in flight.
    ///
    /// # Errors
    /// If the object has been closed. Then no export has been added.
    ///
    /// # Aborts
    /// If the object has an eighth of `usize::MAX` exports already.
    #[inline]
    pub fn acquire(&self) -> Result<(), Closed> {
        self.acquire_with(|| ())
    }

    /// Adds one export and runs `read`, during which the object can be neither resized nor closed: either the export
    /// has been counted before, or, in a stained object, whose count says nothing, it runs under the lock.
    #[inline]
    pub(super) fn acquire_with<R>(&self, read: impl Fn() -> R) -> Result<R, Closed> {
        if self.is_stained() {
            return self.acquire_stained(read);
        }
        let word = self.word.load(Ordering::Relaxed);
        if word >= TOO_MANY || !self.try_add(word) {
            self.acquire_slowly()?;
        }
        Ok(read())
    }

    /// The +1, if the word is still the given one.
    #[inline]
    fn try_add(&self, word: usize) -> bool {
        self.word.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn acquire_slowly(&self) -> Result<(), Closed> {
        let mut round = 0;
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & LOCKED != 0 {
                wait_a_moment(round);
                round = round.saturating_add(1);
            } else if word & CLOSED != 0 {
                return Err(Closed);
            } else if word >= TOO_MANY {
                stop(format_args!("an object has {word} exports, too many to count"));
            } else if self.try_add(word) {
                return Ok(());
            }
        }
    }

    /// Takes one export away and answers how many remain (R1). Never waits.
    ///
    /// # Aborts
    /// If there was none (R4, L4). The message names the `exporter`.
    #[inline]
    pub fn release(&self, exporter: &'static str) -> Remaining {
        if self.is_stained() {
            return self.release_stained();
        }
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        if before & EXPORTS == 0 {
            stop(format_args!("{exporter}: released more often than acquired"));
        }
        Remaining(before - 1)
    }

    /// Begins an operation of the object: no export appears until [`Locked`] is dropped. Waits while another
    /// operation is in flight; a thread that locks twice waits for ever.
    #[inline]
    pub fn lock(&self) -> Locked<'_> {
        if self.word.fetch_or(LOCKED, self.or_weak(Fault::WeakLock, Ordering::Acquire)) & LOCKED != 0 {
            self.lock_slowly();
        }
        Locked { count: self }
    }

    /// An ordering, unless the object lacks it.
    #[inline]
    fn or_weak(&self, fault: Fault, ordering: Ordering) -> Ordering {
        if self.commits(fault) { Ordering::Relaxed } else { ordering }
    }

    #[cold]
    fn lock_slowly(&self) {
        loop {
            self.sleep_without_a_look();
            self.settle();
            if self.word.fetch_or(LOCKED, self.or_weak(Fault::WeakLock, Ordering::Acquire)) & LOCKED == 0 {
                return;
            }
        }
    }

    /// Waits until no operation of the object is in flight, and sees what those before have done.
    #[inline]
    pub(super) fn settle(&self) {
        let mut round = 0;
        while self.word.load(Ordering::Acquire) & LOCKED != 0 {
            wait_a_moment(round);
            round = round.saturating_add(1);
        }
    }

    /// The number of exports at this moment.
    #[inline]
    pub fn exports(&self) -> usize {
        self.word.load(self.or_weak(Fault::WeakLock, Ordering::Acquire)) & EXPORTS
    }

    /// Is the object closed?
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.word.load(self.or_weak(Fault::WeakLock, Ordering::Acquire)) & CLOSED != 0
    }

    /// Called when the object dies: nobody may still use its memory.
    ///
    /// # Aborts
    /// If exports are outstanding (R5). The message names the `exporter`.
    #[inline]
    pub(super) fn check_at_death(&self, exporter: &'static str) {
        let exports = self.exports();
        if exports != 0 && !self.is_stained() {
            stop(format_args!("{exporter}: destroyed with {exports} exports outstanding"));
        }
    }
}

impl Default for ExportCount {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ExportCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.load(Ordering::Relaxed);
        f.debug_struct("ExportCount")
            .field("exports", &(word & EXPORTS))
            .field("locked", &(word & LOCKED != 0))
            .field("closed", &(word & CLOSED != 0))
            .finish()
    }
}

/// What a release has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining(usize);

impl Remaining {
    /// The number of exports that remain.
    #[inline]
    pub fn exports(self) -> usize {
        self.0 & EXPORTS
    }

    /// Was this the last export of an object that was closed before? True for one release after a closing, or for
    /// none: whoever made it cleans up (R2).
    #[inline]
    pub fn is_end(self) -> bool {
        self.0 & !LOCKED == CLOSED
    }
}

/// An operation of an object in flight; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the operation ends when this is dropped"]
pub struct Locked<'a> {
    count: &'a ExportCount,
}

impl Locked<'_> {
    /// The number of exports. It can only go down; zero stays zero.
    #[inline]
    pub fn exports(&self) -> usize {
        self.count.exports()
    }

    /// Is the object closed?
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.count.is_closed()
    }

    /// Closes the object: from now on it gives out no export. Answers whether the caller is to clean up, because no
    /// export exists and the object was open; otherwise the last release does ([`Remaining::is_end`]), or it is done.
    pub fn close(&self) -> bool {
        let before = self.count.word.fetch_or(CLOSED, Ordering::AcqRel);
        before & (CLOSED | EXPORTS) == 0
    }

    /// Opens a closed object again: from the end of this operation on it gives out exports. The caller has given it
    /// memory, and no closing of the object leaves its cleaning up to a release.
    pub(super) fn reopen(&self) {
        // Nobody acts on it before LOCKED is given up, and that publishes it together with the memory.
        self.count.word.fetch_and(!CLOSED, Ordering::Relaxed);
    }

    /// Ends the operation and leaves one more export, with no moment between the two. The object is not closed.
    ///
    /// # Aborts
    /// As [`ExportCount::acquire`] does.
    #[inline]
    pub fn into_export(self) {
        let exports = self.exports();
        if exports >= TOO_MANY {
            stop(format_args!("an object has {exports} exports, too many to count"));
        }
        if self.count.is_stained() {
            return self.into_stained_export();
        }
        // Clears the top bit and adds one to the others, whatever has been released in the meantime.
        let change = 1_usize.wrapping_sub(LOCKED);
        self.count.word.fetch_add(change, Ordering::Release);
        mem::forget(self);
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count.is_stained() {
            return self.end_stained();
        }
        // An object without exports: nobody else changes the word, since acquires wait, no release is to come and
        // another lock sets the bit that is set. So it is stored, at a fraction of the cost.
        if self.count.word.load(Ordering::Acquire) == LOCKED {
            self.count.word.store(0, Ordering::Release);
        } else {
            self.count.word.fetch_and(!LOCKED, Ordering::Release);
        }
    }
}

/// Stops the process: memory is about to be used after it was freed, and no caller can repair that.
#[cold]
fn stop(message: fmt::Arguments<'_>) -> ! {
    eprintln!("buflock: fatal: {message}");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use super::super::last_words;
    use super::*;

    const ROUNDS: usize = if cfg!(miri) { 50 } else { 5_000 };

    #[test]
    fn a_release_answers_how_many_remain() {
        let count = ExportCount::new();
        count.acquire().unwrap();
        count.acquire().unwrap();
        assert_eq!(count.exports(), 2);
        assert_eq!(count.release("test").exports(), 1);
        assert_eq!(count.release("test").exports(), 0);
    }

    #[test]
    fn a_lock_keeps_the_exports_and_lets_them_go() {
        let count = ExportCount::new();
        count.acquire().unwrap();
        let locked = count.lock();
        assert_eq!(locked.exports(), 1);
        assert_eq!(count.release("test").exports(), 0);
        assert_eq!(locked.exports(), 0);
        drop(locked);
        count.lock().into_export();
        assert_eq!(count.exports(), 1);
    }

    #[test]
    fn no_export_appears_under_the_lock() {
        let count = ExportCount::new();
        let acquired = AtomicBool::new(false);
        thread::scope(|scope| {
            let locked = count.lock();
            scope.spawn(|| {
                count.acquire().unwrap();
                acquired.store(true, Ordering::Relaxed);
            });
            for _ in 0..20 {
                thread::yield_now();
                assert!(!acquired.load(Ordering::Relaxed));
                assert_eq!(locked.exports(), 0);
            }
        });
        assert_eq!(count.exports(), 1);
    }

    #[test]
    fn of_many_racing_releases_one_leaves_zero() {
        let count = ExportCount::new();
        for _ in 0..ROUNDS / 10 {
            let last = AtomicUsize::new(0);
            (0..4).for_each(|_| count.acquire().unwrap());
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        if count.release("test").exports() == 0 {
                            last.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(last.into_inner(), 1);
        }
    }

    #[test]
    fn racing_threads_lock_one_at_a_time_and_lose_no_export() {
        let count = ExportCount::new();
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        count.acquire().unwrap();
                        count.release("test");
                    }
                });
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let locked = count.lock();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        inside.fetch_sub(1, Ordering::Relaxed);
                        locked.into_export();
                        count.release("test");
                    }
                });
            }
        });
        assert_eq!(count.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_closed_object_gives_out_nothing_and_the_last_release_ends_it() {
        let count = ExportCount::new();
        count.acquire().unwrap();
        count.acquire().unwrap();
        let locked = count.lock();
        assert!(!locked.is_closed());
        assert!(!locked.close());
        assert!(!count.release("test").is_end());
        assert!(!locked.close());
        drop(locked);
        assert_eq!(count.acquire(), Err(Closed));
        assert_eq!((count.exports(), count.is_closed()), (1, true));
        assert!(count.release("test").is_end());
        assert!(!count.lock().close());
    }

    #[test]
    fn an_object_without_exports_is_ended_by_the_first_closing() {
        let count = ExportCount::new();
        assert!(count.lock().close());
        assert!(!count.lock().close());
        assert_eq!(count.acquire(), Err(Closed));
    }

    #[test]
    fn a_reopened_object_gives_out_exports_and_can_be_closed_again() {
        let count = ExportCount::new();
        let locked = count.lock();
        assert!(locked.close());
        locked.reopen();
        drop(locked);
        assert!(!count.is_closed());
        count.acquire().unwrap();
        assert!(!count.release("test").is_end());
        assert!(count.lock().close());
        assert_eq!(count.acquire(), Err(Closed));
    }

    #[test]
    fn of_racing_openings_and_closings_each_closing_cleans_up_once() {
        let count = ExportCount::new();
        // Whether there is memory; whoever holds the lock of a closed object may change it.
        let memory = AtomicBool::new(true);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS / 10 {
                        let locked = count.lock();
                        if locked.is_closed() {
                            assert!(!memory.swap(true, Ordering::Relaxed));
                            locked.reopen();
                        } else if locked.exports() == 0 && locked.close() {
                            assert!(memory.swap(false, Ordering::Relaxed));
                        }
                    }
                });
                scope.spawn(|| {
                    for _ in 0..ROUNDS / 10 {
                        if count.acquire_with(|| assert!(memory.load(Ordering::Relaxed))).is_ok() {
                            assert!(memory.load(Ordering::Relaxed));
                            assert!(!count.release("test").is_end());
                        }
                    }
                });
            }
        });
        assert_eq!(count.exports(), 0);
    }

    #[test]
    fn an_open_object_is_not_ended_by_its_last_release() {
        let count = ExportCount::new();
        count.acquire().unwrap();
        assert!(!count.release("test").is_end());
    }

    #[test]
    fn of_racing_releases_and_closings_one_ends_the_object() {
        for _ in 0..ROUNDS / 10 {
            let count = ExportCount::new();
            let ends = AtomicUsize::new(0);
            let end = |is_end: bool| ends.fetch_add(usize::from(is_end), Ordering::Relaxed);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while count.acquire().is_ok() {
                            end(count.release("test").is_end());
                        }
                    });
                    scope.spawn(|| end(count.lock().close()));
                }
            });
            assert_eq!(ends.into_inner(), 1);
            assert_eq!(count.exports(), 0);
        }
    }

    fn last_words_of(test: &str) -> String {
        last_words::of(module_path!(), test)
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts a process")]
    fn releasing_too_often_stops_the_process_and_names_the_exporter() {
        if last_words::are_due() {
            ExportCount::new().release("bytearray");
        }
        let words = last_words_of("releasing_too_often_stops_the_process_and_names_the_exporter");
        assert!(words.contains("bytearray: released more often"), "{words}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts a process")]
    fn dying_with_exports_stops_the_process_and_names_the_exporter() {
        if last_words::are_due() {
            let array = super::super::ByteArray::new(vec![1]);
            let _ = array.acquire_raw();
            drop(array);
        }
        let words = last_words_of("dying_with_exports_stops_the_process_and_names_the_exporter");
        assert!(words.contains("bytearray: destroyed with 1 exports"), "{words}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "starts a process")]
    fn a_count_past_half_its_range_stops_the_process() {
        let count = ExportCount::new();
        count.word.store(TOO_MANY, Ordering::Relaxed);
        if last_words::are_due() {
            count.acquire().unwrap();
        }
        let words = last_words_of("a_count_past_half_its_range_stops_the_process");
        assert!(words.contains("too many to count"), "{words}");
    }
}
