//! The mistakes that can be planted in an exporter are found through Python as well: by CPython's own memoryview, and by
//! whoever else in C uses the memory of the classes.
//!
//! A fault is planted in the whole process, so there is one test.

use std::sync::Arc;

use buflock::exporter::{Fault, Needs, plant};
use buflock::judge::{Divergence, Verdict};
use buflock::program::generate::{self, Shape};
use buflock_oracle::{attached, check, interpreter};

/// The most programs that it may take.
const PROGRAMS: u64 = 2_000;

/// The mistakes of our own memoryview and of what it answers to requests, which are not CPython's. They are met where a
/// class leaves an operation to its meaning, which is no promise. A lock over hooks is one, since none are run there.
const OF_VIEWS: [Fault; 9] = [
    Fault::OffByOneSlice,
    Fault::SliceForgetsItsExport,
    Fault::CastCountsTwice,
    Fault::ReleasedTwiceOnErrorPath,
    Fault::LockHeldOverCallback,
    Fault::ViewOutlivesExporter,
    Fault::MissingReleaseOnErrorPath,
    Fault::ReadOnlyLentForWriting,
    Fault::GapsLentAsBlock,
];

#[test]
fn faults_of_the_exporters_are_found_by_the_consumers_of_cpython() {
    let interpreter = interpreter::start().unwrap();
    attached(|| {
        let find = |fault: Option<Fault>| -> Option<(u64, Divergence)> {
            let mut check = check(&interpreter, &["pynative".to_owned()]).unwrap();
            plant(fault);
            let found = (0..PROGRAMS).find_map(|index| {
                let program = Arc::new(generate::nth(3, index, Shape::default()));
                match check.run(&program) {
                    Verdict::Diverge(divergence) if !check.knows(&divergence) => Some((index, divergence)),
                    _ => None,
                }
            });
            plant(None);
            found
        };
        for fault in Fault::that_need(Needs::Steps) {
            let found = find(Some(fault));
            println!("{fault}: {:?}", found.as_ref().map(|(index, found)| (index, &found.signature)));
            assert!(found.is_some() || OF_VIEWS.contains(&fault), "{fault} is not found");
        }
        assert_eq!(find(None), None);
    });
}
