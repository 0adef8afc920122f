//! Faults that can be switched on, to show that each of them would be found.
//!
//! A tool that reports nothing may be right or may be blind. Each [`Fault`] is a mistake that real exporters
//! have made, put at the place where it is made; a check that runs with it must report it.
//!
//! A fault spoils results and never the process. It takes hold only in objects *created while some fault is
//! planted*. Such an object is *stained* for the rest of its life: it leaks memory that it would free or
//! move, it touches pointer and length only under its lock, it treats its bytes as shared at all times, and
//! it does not stop the process when its count is wrong. So a wrong count can make it give wrong answers,
//! yet a stale pointer still points to memory. Objects that are not stained carry no fault, whatever is
//! planted during their lives, so switching is safe at any time and on any thread.
//!
//! Faults are in builds with debug assertions or with the feature `faults`. In all others `Stain` is empty, no object
//! is stained, and what asks for faults is compiled to nothing.

use std::fmt;
use std::str::FromStr;

use crate::sync::{AtomicU8, AtomicUsize, Ordering};

/// The test that runs each kernel of loom's, in builds with `--cfg loom`.
pub const PROOF: &str = "exporter::proof::a_child_runs_all_kernels";
/// The variable that names the fault, or the ordering, without which it runs them.
pub const WITHOUT: &str = "BUFLOCK_PROOF_WITHOUT";

/// Whether this build has faults.
pub const PLANTABLE: bool = cfg!(any(debug_assertions, feature = "faults"));

/// The planted fault: its place in [`Fault::ALL`] plus one, or zero.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// What it takes to show a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Needs {
    /// One thread that does the right thing.
    Steps,
    /// A switch between threads at the wrong moment.
    Turns,
    /// A model checker that knows who touches memory when, and what a thread need not see of others: no step sees it.
    Kernels,
}

macro_rules! faults {
    ($($fault:ident $name:literal $needs:ident $text:literal)*) => {
        /// A mistake in an exporter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Fault { $(#[doc = $text] $fault,)* }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$fault,)*];

            /// Its name in kebab case, as the command line takes it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)* }
            }

            /// What it takes to show it.
            pub const fn needs(self) -> Needs {
                match self { $(Self::$fault => Needs::$needs,)* }
            }
        }
    };
}

faults! {
    ExportNotCounted "export-not-counted" Steps
        "an export is given out and not counted (G1)"
    ResizeIgnoresExports "resize-ignores-exports" Steps
        "a resize goes ahead although exports exist (S1)"
    RefusedResizeChangesLength "refused-resize-changes-length" Steps
        "a resize that is refused shortens the object by one byte all the same (S2)"
    OffByOneSlice "off-by-one-slice" Steps
        "a slice of a view lacks its last item (M4)"
    ReleaseCountedTwice "release-counted-twice" Steps
        "a release takes two off the count, though never below zero (R1)"
    StaleLengthAfterResize "stale-length-after-resize" Steps
        "after a resize the object answers the length from before it (S1, D3)"
    MissingReleaseOnErrorPath "missing-release-on-error-path" Steps
        "a consumer that fails after it acquired keeps the export (R3)"
    ReleasedTwiceOnErrorPath "released-twice-on-error-path" Steps
        "a consumer that fails after it acquired gives the export back twice (R1)"
    ViewOutlivesExporter "view-outlives-exporter" Steps
        "the release of one view frees the exporter although other views share its managed buffer (M4)"
    SliceForgetsItsExport "slice-forgets-its-export" Steps
        "a view made of another one does not share its managed buffer: without that, the exporter is free (M4)"
    CastCountsTwice "cast-counts-twice" Steps
        "a cast adds an export of the exporter, which nobody gives back (M4, R3)"
    LockHeldOverCallback "lock-held-over-callback" Steps
        "an operation holds an export of its object while it converts its arguments (H2)"
    ReadOnlyLentForWriting "read-only-lent-for-writing" Steps
        "a request for writing is met with read-only memory (G5)"
    GapsLentAsBlock "gaps-lent-as-block" Steps
        "a view whose items have gaps between them is lent to whoever asks for no strides (G5)"
    CountByLoadAndStore "count-by-load-and-store" Turns
        "an acquire loads the count and stores one more: what others did in between is lost (G3)"
    ReleaseByLoadAndStore "release-by-load-and-store" Turns
        "a release loads the count and stores one less: what others did in between is lost (R1)"
    UnlockByLoadAndStore "unlock-by-load-and-store" Turns
        "an operation ends by storing the count that it has loaded: a release in between is lost (R1, R3)"
    CheckThenLockThenResize "check-then-lock-then-resize" Turns
        "a resize looks at the exports before it takes the lock under which it moves the memory (S1)"
    CheckThenLockThenClose "check-then-lock-then-close" Turns
        "a closing looks at the exports before it takes the lock under which it closes (S4)"
    OpenThenLockThenExport "open-then-lock-then-export" Turns
        "an acquire looks whether the object is open before it takes the lock under which it counts (G2)"
    ExportUnderTheLock "export-under-the-lock" Turns
        "an acquire does not wait for an operation in flight (G3, S1)"
    StaleLengthBeforeRetain "stale-length-before-retain" Turns
        "an acquire reads pointer and length, and then counts (G4)"
    AddressRereadAfterUnlock "address-reread-after-unlock" Turns
        "an acquire reads the length, gives up the lock, and reads the address under another one (D3)"
    MissingWakeUp "missing-wake-up" Turns
        "who waits for a lock that is given up before it sleeps is not woken (G3)"
    ReleasedBeforeLetGo "released-before-let-go" Turns
        "a view is released before it gives back its export: a resize after that is refused (R3)"
    DoubleCleanUp "double-clean-up" Turns
        "two threads that release one view both give its export back (R2)"
    ViewReleasedWhileExported "view-released-while-exported" Kernels
        "a view looks at its exports before it takes the lock under which it is released (M3)"
    AccessOutlivesRelease "access-outlives-release" Turns
        "an access to a view keeps the export beyond the release of the view (R3)"
    LastShareMiscounted "last-share-miscounted" Turns
        "of two views of one managed buffer that are released at once, neither is the last (R2, R3)"
    WeakLastRelease "weak-last-release" Kernels
        "a release is relaxed: who resizes after the last one need not see what its consumer did (S1, D3)"
    WeakUnlock "weak-unlock" Kernels
        "an operation ends relaxed: who acquires after it need not see where the memory is (G4, D3)"
    WeakLock "weak-lock" Kernels
        "an operation begins relaxed, and looks at the word so: it need not see what those before it did (S1, D3)"
}

impl Fault {
    /// Those that it takes no more to show than is needed here.
    pub fn that_need(needs: Needs) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |fault| fault.needs() == needs)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No fault has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFault;

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown fault")
    }
}

impl std::error::Error for UnknownFault {}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name).ok_or(UnknownFault)
    }
}

/// Plants a fault in the whole process in place of the one that was planted; `None` plants none. Objects
/// created before any was planted stay free of it.
///
/// # Panics
/// If this build has no faults ([`PLANTABLE`]).
pub fn plant(fault: Option<Fault>) {
    assert!(PLANTABLE || fault.is_none(), "faults are in builds with the feature `faults` alone");
    PLANTED.store(fault.map_or(0, |fault| fault as u8 + 1), Ordering::Relaxed);
}

/// The variable that names the fault of a process that [`plant_named`] asks for.
pub const NAMED: &str = "BUFLOCK_PLANT";

/// Plants the fault that the environment names, if it names one.
///
/// # Errors
/// If there is no such fault, or if this build has none.
pub fn plant_named() -> Result<(), String> {
    let Ok(name) = std::env::var(NAMED) else { return Ok(()) };
    let fault = name.parse().map_err(|_| format!("there is no fault {name:?} to plant"))?;
    if !PLANTABLE {
        return Err("faults are in builds with the feature `faults` alone".to_owned());
    }
    plant(Some(fault));
    Ok(())
}

/// Is this fault planted? True does not say that the object at hand is stained.
#[inline]
pub fn planted(fault: Fault) -> bool {
    PLANTABLE && PLANTED.load(Ordering::Relaxed) == fault as u8 + 1
}

/// Whether faults may take hold in an object; nothing in a build without faults.
#[derive(Debug)]
pub(super) struct Stain {
    #[cfg(any(debug_assertions, feature = "faults"))]
    is_there: bool,
    #[cfg(any(debug_assertions, feature = "faults"))]
    ended: AtomicUsize,
}

#[cfg(any(debug_assertions, feature = "faults"))]
impl Stain {
    /// That of an object which is stained or not.
    pub(super) fn new(is_there: bool) -> Self {
        Self { is_there, ended: AtomicUsize::new(0) }
    }

    /// Is the object stained?
    #[inline]
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// How many operations of it have ended.
    pub(super) fn ended(&self) -> &AtomicUsize {
        &self.ended
    }
}

#[cfg(not(any(debug_assertions, feature = "faults")))]
impl Stain {
    pub(super) fn new(_: bool) -> Self {
        Self {}
    }

    #[inline]
    pub(super) fn is_there(&self) -> bool {
        false
    }

    pub(super) fn ended(&self) -> &AtomicUsize {
        unreachable!("no object is stained")
    }
}

impl Stain {
    /// That of an object which is created at this moment.
    #[inline]
    pub(super) fn of_new_object() -> Self {
        Self::new(PLANTABLE && PLANTED.load(Ordering::Relaxed) != 0)
    }

    /// Is this fault to be committed by the object?
    #[inline]
    pub(super) fn commits(&self, fault: Fault) -> bool {
        self.is_there() && planted(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Planting is the business of the whole process, so what faults do is tested in a process of its own.

    #[test]
    fn every_fault_is_found_by_its_name() {
        for (place, &fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(fault as usize, place);
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!("".parse::<Fault>(), Err(UnknownFault));
    }

    #[test]
    fn nothing_is_planted_unless_asked() {
        assert!(!Stain::of_new_object().is_there());
        assert!(Fault::ALL.iter().all(|&fault| !planted(fault)));
    }
}
