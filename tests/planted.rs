//! Each planted fault is felt, the process survives it, and random programs find it.
//!
//! A fault is planted in the whole process, so these tests take turns.

mod planting;

use std::collections::BTreeMap;
use std::sync::Arc;

use buflock::check::Check;
use buflock::exporter::{ByteArray, Bytes, Exported, Fault, Layout, Needs, Request, View, plant};
use buflock::hunt::{self, What};
use buflock::judge::{Divergence, Verdict};
use buflock::program::Program;
use buflock::program::generate::{self, Shape};
use buflock::shrink::shrink;
use buflock::subject::Version;
use planting::Planted;

fn with(fault: Fault) -> Planted {
    Planted::new(Some(fault))
}

fn array() -> ByteArray {
    ByteArray::new(b"abcdefgh".to_vec())
}

fn len(array: &ByteArray) -> usize {
    array.operate(|operation| operation.len())
}

fn resize(array: &ByteArray, length: usize) -> Result<(), Exported> {
    array.operate(|operation| operation.resize().map(|bytes| bytes.resize(length, 0)))
}

#[test]
fn an_export_that_is_not_counted_lets_a_resize_through() {
    let _planted = with(Fault::ExportNotCounted);
    let array = array();
    let view = View::new(array.export());
    assert_eq!(array.exports(), 0);
    assert_eq!(resize(&array, 1), Ok(()));
    view.write(7, b"x").unwrap();
    let inner = View::new(view.export().unwrap());
    view.release().unwrap();
    drop((view, array));
    let mut out = [0; 8];
    inner.read(0, &mut out).unwrap();
    assert_eq!(&out, b"abcdefgx");
}

#[test]
fn an_export_of_bytes_that_is_not_counted_still_has_memory() {
    let _planted = with(Fault::ExportNotCounted);
    let bytes = Bytes::new(b"xyz");
    let view = View::new(bytes.export());
    let export = view.export().unwrap();
    view.release().unwrap();
    drop(bytes);
    let mut out = [0; 3];
    export.read(0, &mut out);
    assert_eq!(&out, b"xyz");
}

#[test]
fn a_resize_that_ignores_exports_moves() {
    let _planted = with(Fault::ResizeIgnoresExports);
    let array = array();
    let view = View::new(array.export());
    assert_eq!(resize(&array, 100), Ok(()));
    assert_eq!(len(&array), 100);
    view.write(0, b"z").unwrap();
    assert_eq!(array.operate(|operation| operation.get(0)), Some(b'a'));
}

#[test]
fn a_refused_resize_shortens() {
    let _planted = with(Fault::RefusedResizeChangesLength);
    let array = array();
    let export = array.export();
    assert!(resize(&array, 100).is_err());
    assert_eq!((len(&array), array.export().block_len(), export.block_len()), (7, 7, 8));
    drop(export);
    assert!(resize(&array, 3).is_ok());
    assert_eq!(len(&array), 3);
}

#[test]
fn a_slice_lacks_an_item() {
    let _planted = with(Fault::OffByOneSlice);
    let view = View::new(array().export());
    let layout = view.layout().unwrap();
    assert_eq!(view.derive(layout.clone()).unwrap().layout(), Ok(layout));
    assert_eq!(view.derive(layout.slice(1, 4, 1)).unwrap().layout().unwrap().items(), 3);
}

#[test]
fn a_release_counts_twice() {
    let _planted = with(Fault::ReleaseCountedTwice);
    let array = array();
    let (first, second, third) = (array.export(), array.export(), array.export());
    drop(first);
    assert_eq!(array.exports(), 1);
    drop(second);
    assert_eq!(array.exports(), 0);
    resize(&array, 0).unwrap();
    third.write(0, b"!");
    plant(None);
    drop(third);
    assert_eq!(array.exports(), 0);
}

#[test]
fn a_length_is_stale() {
    let _planted = with(Fault::StaleLengthAfterResize);
    let array = array();
    resize(&array, 2).unwrap();
    assert_eq!((len(&array), array.export().block_len()), (8, 2));
    let mut out = Vec::new();
    array.operate(|operation| {
        operation.copy_to(&mut out);
        operation.write(0, 1, b"12345678").unwrap();
        operation.set(7, 1).unwrap();
    });
    assert_eq!(out, b"ab\0\0\0\0\0\0");
    resize(&array, 20).unwrap();
    assert_eq!(len(&array), 8);
}

#[test]
fn an_abandoned_export_stays() {
    let _planted = with(Fault::MissingReleaseOnErrorPath);
    let stained = array();
    stained.export().abandon();
    assert_eq!(stained.exports(), 1);
    plant(None);
    let clean = array();
    plant(Some(Fault::MissingReleaseOnErrorPath));
    clean.export().abandon();
    assert_eq!(clean.exports(), 0);
}

#[test]
fn a_view_outlives_its_exporter() {
    let _planted = with(Fault::ViewOutlivesExporter);
    let array = array();
    let view = View::new(array.export());
    let slice = view.derive(view.layout().unwrap().slice(0, 2, 1)).unwrap();
    slice.release().unwrap();
    assert_eq!(array.exports(), 0);
    resize(&array, 0).unwrap();
    view.write(7, b"x").unwrap();
    view.release().unwrap();
    assert_eq!(array.exports(), 0);
}

#[test]
fn read_only_memory_is_lent_for_writing() {
    let _planted = with(Fault::ReadOnlyLentForWriting);
    assert!(Bytes::new(b"abc").export().answer(Request::FULL).is_ok_and(|answer| answer.readonly));
    plant(None);
    let clean = Bytes::new(b"abc");
    plant(Some(Fault::ReadOnlyLentForWriting));
    assert!(clean.export().answer(Request::FULL).is_err());
}

#[test]
fn gaps_are_lent_as_a_block() {
    let _planted = with(Fault::GapsLentAsBlock);
    let view = View::new(array().export());
    let gaps = view.derive(view.layout().unwrap().slice(0, 4, 2)).unwrap();
    assert!(gaps.export().unwrap().answer(Request::SIMPLE).is_ok_and(|answer| answer.strides.is_none()));
}

#[test]
fn racing_threads_survive_every_fault() {
    // Who is not woken waits for ever.
    for &fault in Fault::ALL.iter().filter(|&&fault| fault != Fault::MissingWakeUp) {
        let _planted = with(fault);
        let array = array();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let array = &array;
                scope.spawn(move || (0..2_000).for_each(|round| race(array, thread, round)));
            }
        });
    }
}

fn race(array: &ByteArray, thread: u8, round: usize) {
    let export = array.export();
    let length = export.block_len();
    export.write(0, &vec![thread; length]);
    let view = View::new(export);
    if let Ok(slice) = view.derive(Layout::bytes(length, false).slice(0, length as isize / 2, 1)) {
        let inner = slice.export().unwrap();
        // With some faults the one is refused, with others it is not.
        let _ = slice.release();
        let _ = view.release();
        inner.read(0, &mut vec![0; length]);
    }
    let _ = resize(array, 8 + round % 5);
    array.operate(|operation| {
        let length = operation.len();
        operation.write(0, 1, &vec![9; length]).unwrap();
    });
}

/// As many programs find every fault on every seed.
const PROGRAMS: u64 = 2_000;
const SEEDS: std::ops::Range<u64> = 0..5;

/// What the first program that finds anything finds, and how many programs it took.
fn find(seed: u64, programs: u64) -> Option<(u64, Arc<Program>, Divergence)> {
    let hunt = hunt::lockstep(seed, |count| count < programs);
    hunt.found.map(|found| match found.what {
        What::Diverges(divergence) => (hunt.programs, found.program, *divergence),
        What::Panics(said) => panic!("{said}"),
    })
}

#[test]
fn random_programs_find_every_fault_on_every_seed() {
    let mut missed = Vec::new();
    for fault in Fault::that_need(Needs::Steps) {
        let mut took = BTreeMap::new();
        for seed in SEEDS {
            let _planted = with(fault);
            match find(seed, PROGRAMS) {
                Some((programs, _, divergence)) => drop(took.insert(seed, (programs, divergence.signature))),
                None => missed.push((fault, seed)),
            }
        }
        println!("{fault}: {took:?}");
    }
    assert_eq!(missed, [], "missed within {PROGRAMS} programs");
}

#[test]
fn at_a_stretch_programs_come_to_the_verdicts_that_each_comes_to_alone() {
    for fault in [Fault::OffByOneSlice, Fault::ExportNotCounted] {
        let _planted = with(fault);
        // Half of them have one thread, and run at a stretch.
        let programs: Vec<_> =
            (0..400).map(|index| Arc::new(generate::nth(3, index, Shape::default()))).collect();
        let mut alone = Check::native(Version::NEWEST);
        let expected: Vec<_> = programs.iter().map(|program| alone.run(program)).collect();
        let mut together = Check::native(Version::NEWEST);
        let mut found = Vec::new();
        together.run_all(&programs, |place, verdict| {
            assert_eq!(place, found.len());
            found.push(verdict);
        });
        assert_eq!(found, expected);
        assert!(expected.iter().filter(|verdict| **verdict != Verdict::Agree).count() > 3, "{fault}");
        assert_eq!(together.take_tally(), alone.take_tally());
    }
}

#[test]
fn without_a_fault_nothing_is_found() {
    let _turn = Planted::new(None);
    let found = find(0, 5_000);
    assert!(found.is_none(), "{found:?}");
}

#[test]
fn a_finding_shrinks_to_a_few_steps() {
    for fault in Fault::that_need(Needs::Steps) {
        for seed in SEEDS {
            let _planted = with(fault);
            let (_, program, divergence) = find(seed, PROGRAMS).expect("every fault is found");
            let finds = |program: &Program| {
                let mut check = Check::native(Version::NEWEST);
                let verdict = check.run(&Arc::new(program.clone()));
                matches!(verdict, Verdict::Diverge(found) if found.signature == divergence.signature)
            };
            let small = shrink(&program, finds);
            println!("{fault}, {}:\n{small}", divergence.signature);
            assert!(small.steps.len() <= 6, "{fault} on seed {seed}, {}:\n{small}", divergence.signature);
        }
    }
}
