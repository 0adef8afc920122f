//! loom's types, of which any ordering can be taken away, to show that loom would see it.

use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Mutex as Lock;

use loom::cell::UnsafeCell;
use loom::sync::atomic;
use loom::thread::yield_now;

pub use loom::sync::{Arc, MutexGuard};

use super::Ordering;

/// What an operation is told of others by its ordering, at one place of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The file, as the compiler names it.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u32,
    /// `Acquire` or `Release`; an `AcqRel` is two edges.
    pub half: Half,
}

/// What can be taken from an ordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// It sees what others did.
    Acquire,
    /// It shows what was done.
    Release,
}

/// The edges that were used.
static USED: Lock<BTreeSet<Edge>> = Lock::new(BTreeSet::new());
/// The edge that is missing.
static MISSING: Lock<Option<Edge>> = Lock::new(None);

/// All edges that have been used so far.
#[cfg(test)]
pub fn used() -> BTreeSet<Edge> {
    USED.lock().expect("nobody panics with it").clone()
}

/// Takes one edge away in the whole process, in place of the one that was; `None` takes none.
#[cfg(test)]
pub fn take_away(edge: Option<Edge>) {
    *MISSING.lock().expect("nobody panics with it") = edge;
}

/// What is left of an ordering at a place.
fn left(place: &Location<'static>, ordering: Ordering) -> Ordering {
    let edge = |half| {
        let edge = Edge { file: place.file(), line: place.line(), half };
        USED.lock().expect("nobody panics with it").insert(edge);
        *MISSING.lock().expect("nobody panics with it") != Some(edge)
    };
    match ordering {
        Ordering::Acquire if !edge(Half::Acquire) => Ordering::Relaxed,
        Ordering::Release if !edge(Half::Release) => Ordering::Relaxed,
        Ordering::AcqRel => match (edge(Half::Acquire), edge(Half::Release)) {
            (true, true) => Ordering::AcqRel,
            (true, false) => Ordering::Acquire,
            (false, true) => Ordering::Release,
            (false, false) => unreachable!("one edge is taken away at a time"),
        },
        other => other,
    }
}

macro_rules! atomics {
    ($($name:ident($value:ty) { $($method:ident($($arg:ident),*) -> $out:ty;)* })*) => {
        $(
            /// loom's.
            #[derive(Debug, Default)]
            pub struct $name(atomic::$name);

            impl $name {
                /// As `std`'s, though at run time.
                #[track_caller]
                pub fn new(value: $value) -> Self {
                    Self(atomic::$name::new(value))
                }

                $(
                    /// As `std`'s.
                    #[track_caller]
                    pub fn $method(&self, $($arg: $value,)* ordering: Ordering) -> $out {
                        self.0.$method($($arg,)* left(Location::caller(), ordering))
                    }
                )*
            }
        )*
    };
}

atomics! {
    AtomicBool(bool) {
        load() -> bool;
        store(value) -> ();
        swap(value) -> bool;
    }
    AtomicUsize(usize) {
        load() -> usize;
        fetch_add(value) -> usize;
        fetch_sub(value) -> usize;
        fetch_and(value) -> usize;
        fetch_or(value) -> usize;
    }
}

impl AtomicUsize {
    /// As `std`'s, but as a read-modify-write. loom lets a store come before a read-modify-write that has read from an
    /// earlier store, which nothing may do (the two would have something between them), and so would lose an unlock
    /// beside a lock. What loom cannot show for it is that a store ends a release sequence.
    #[track_caller]
    pub fn store(&self, value: usize, ordering: Ordering) {
        self.0.swap(value, left(Location::caller(), ordering));
    }

    /// As `std`'s, though it fails only if the value is another one.
    #[track_caller]
    pub fn compare_exchange_weak(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        let success = left(Location::caller(), success);
        self.0.compare_exchange_weak(current, new, success, failure)
    }
}

/// What a lock word guards. Whoever reaches for it says how, which is held against how others do.
#[derive(Debug)]
pub struct Guarded<T> {
    checked: UnsafeCell<()>,
    value: std::cell::UnsafeCell<T>,
}

impl<T> Guarded<T> {
    /// Guards a value.
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self { checked: UnsafeCell::new(()), value: std::cell::UnsafeCell::new(value) }
    }

    /// To be read, by several threads at once.
    #[track_caller]
    pub fn shared(&self) -> *const T {
        self.checked.with(|_| ());
        self.value.get()
    }

    /// To be written, by one thread while nobody reads.
    #[track_caller]
    pub fn unique(&self) -> *mut T {
        self.checked.with_mut(|_| ());
        self.value.get()
    }

    /// To be done with at will.
    #[track_caller]
    pub fn get_mut(&mut self) -> &mut T {
        self.checked.with_mut(|_| ());
        self.value.get_mut()
    }
}

/// Waits for another thread to finish an operation. Whoever waits again and again only looks again, so that what follows
/// a second wait follows a first one as well, and is explored there.
pub fn wait_a_moment(round: u32) {
    if round > 0 {
        loom::skip_branch();
    }
    yield_now();
}

/// loom's, which no panic poisons.
#[derive(Debug, Default)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// Not locked.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits for it and locks it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a panic ends the exploration")
    }
}
