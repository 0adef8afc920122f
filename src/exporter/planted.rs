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

use std::fmt;
use std::str::FromStr;

use crate::sync::{AtomicU8, Ordering};

/// The planted fault: its place in [`Fault::ALL`] plus one, or zero.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// A mistake in an exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// An export is given out and not counted (G1).
    ExportNotCounted,
    /// A resize goes ahead although exports exist (S1).
    ResizeIgnoresExports,
    /// A resize that is refused shortens the object by one byte all the same (S2).
    RefusedResizeChangesLength,
    /// A slice of a view lacks its last item (M4).
    OffByOneSlice,
    /// A release takes two off the count, though never below zero (R1).
    ReleaseCountedTwice,
    /// After a resize the object answers the length from before it (S1, D3).
    StaleLengthAfterResize,
    /// A consumer that fails after it acquired keeps the export (R3).
    MissingReleaseOnErrorPath,
    /// The release of one view frees the exporter although other views share its managed buffer (M4).
    ViewOutlivesExporter,
    /// A request for writing is met with read-only memory (G5).
    ReadOnlyLentForWriting,
    /// A view whose items have gaps between them is lent to whoever asks for no strides (G5).
    GapsLentAsBlock,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 10] = [
        Self::ExportNotCounted,
        Self::ResizeIgnoresExports,
        Self::RefusedResizeChangesLength,
        Self::OffByOneSlice,
        Self::ReleaseCountedTwice,
        Self::StaleLengthAfterResize,
        Self::MissingReleaseOnErrorPath,
        Self::ViewOutlivesExporter,
        Self::ReadOnlyLentForWriting,
        Self::GapsLentAsBlock,
    ];

    /// Its name in kebab case, as the command line takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExportNotCounted => "export-not-counted",
            Self::ResizeIgnoresExports => "resize-ignores-exports",
            Self::RefusedResizeChangesLength => "refused-resize-changes-length",
            Self::OffByOneSlice => "off-by-one-slice",
            Self::ReleaseCountedTwice => "release-counted-twice",
            Self::StaleLengthAfterResize => "stale-length-after-resize",
            Self::MissingReleaseOnErrorPath => "missing-release-on-error-path",
            Self::ViewOutlivesExporter => "view-outlives-exporter",
            Self::ReadOnlyLentForWriting => "read-only-lent-for-writing",
            Self::GapsLentAsBlock => "gaps-lent-as-block",
        }
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
        Self::ALL.into_iter().find(|fault| fault.name() == name).ok_or(UnknownFault)
    }
}

/// Plants a fault in the whole process in place of the one that was planted; `None` plants none. Objects
/// created before any was planted stay free of it.
pub fn plant(fault: Option<Fault>) {
    PLANTED.store(fault.map_or(0, |fault| fault as u8 + 1), Ordering::Relaxed);
}

/// Is this fault planted? True does not say that the object at hand is stained.
#[inline]
pub fn planted(fault: Fault) -> bool {
    PLANTED.load(Ordering::Relaxed) == fault as u8 + 1
}

/// Is any fault planted, so that an object created at this moment is stained?
#[inline]
pub(super) fn any_planted() -> bool {
    PLANTED.load(Ordering::Relaxed) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    // Planting is the business of the whole process, so what faults do is tested in a process of its own.

    #[test]
    fn every_fault_is_found_by_its_name() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, place);
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!("".parse::<Fault>(), Err(UnknownFault));
    }

    #[test]
    fn nothing_is_planted_unless_asked() {
        assert!(!any_planted());
        assert!(Fault::ALL.into_iter().all(|fault| !planted(fault)));
    }
}
