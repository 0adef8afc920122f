//! loom's proof of what the lock word and each exporter do beside each other.
//!
//! A kernel is what two or three threads do with one object. loom runs it in every order in which the threads can do it,
//! and lets each load read every store that it may read. After each run nothing may be out of order: what a lock word
//! guards was never written beside another use ([`Guarded`](crate::sync::Guarded)), no assertion failed, and no handle is
//! left over.
//!
//! loom knows nothing of bytes. In their place stands a [`Memory`](threads::Memory), which a consumer uses where it would read bytes, and
//! which whoever moves or frees them moves.
//!
//! That the kernels say something is shown by taking something away: each half of each ordering
//! ([`Edge`]), and each [`Fault`] that has to do with threads. Without it, some kernel must fail.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Counter, Ordering::Relaxed};

use loom::model::Builder;

use self::threads::{
    Object, Word, closes, consumes, ends, gives_back, lends, map, opens, operates, releases, resizes, shuts,
    together, tries, uses_and_releases, viewed,
};
use super::planted::{PROOF, WITHOUT};
use super::{Array, ByteArray, Bytes, CArray, Code, Fault, Stream, TypeCode, plant};
use crate::sync::loom::{Edge, Half, take_away, used};

mod threads;

/// What two or three threads do with one object.
struct Kernel {
    name: &'static str,
    /// How often a thread may be interrupted that could go on; `None` is any number of times.
    interruptions: Option<usize>,
    run: fn(),
}

/// A test for each kernel, and the table of all.
macro_rules! kernels {
    ($(fn $name:ident() $(within $interruptions:literal)? $body:block)*) => {
        const KERNELS: &[Kernel] = &[$(Kernel {
            name: stringify!($name),
            interruptions: kernels!(@bound $($interruptions)?),
            run: || $body,
        },)*];

        mod holds {
            $(#[test] fn $name() {
                super::holds(stringify!($name));
            })*
        }
    };
    (@bound) => { None };
    (@bound $interruptions:literal) => { Some($interruptions) };
}

kernels! {
    fn an_export_beside_a_resize() {
        let object = Object::new(ByteArray::new(vec![0; 8]));
        together([consumes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn an_export_beside_two_resizes() within 2 {
        let object = Object::new(ByteArray::new(vec![0; 8]));
        together([consumes(&object), resizes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn two_exports_beside_a_resize() within 2 {
        let object = Object::new(ByteArray::new(vec![0; 8]));
        together([consumes(&object), consumes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn an_export_of_an_array_beside_a_resize() {
        let object = Object::new(Array::new(TypeCode::ALL[0], &[0; 8]));
        together([consumes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn an_export_of_an_array_of_ctypes_beside_an_operation() {
        let object = Object::new(CArray::new(Code::UnsignedChar, &[0; 8]));
        together([consumes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn an_export_of_a_map_beside_a_resize() {
        let object = Object::new(map());
        together([consumes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn an_export_of_a_stream_beside_a_resize() {
        let object = Object::new(Stream::new(vec![0; 8]));
        together([consumes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn a_release_beside_a_resize() {
        let object = Object::new(ByteArray::new(vec![0; 8]));
        let export = object.export();
        together([gives_back(&object, export), resizes(&object)]);
        object.is_at_rest();
    }

    fn two_releases_beside_a_resize() within 3 {
        let object = Object::new(ByteArray::new(vec![0; 8]));
        let (one, other) = (object.export(), object.export());
        together([gives_back(&object, one), gives_back(&object, other), resizes(&object)]);
        object.is_at_rest();
    }

    fn a_consumer_that_fails_beside_a_resize() {
        let object = Object::new(ByteArray::new(vec![0; 8]));
        let own = object.clone();
        together([Box::new(move || own.export().abandon()), resizes(&object)]);
        object.is_at_rest();
    }

    fn two_resizes() {
        let object = Object::new(ByteArray::new(vec![0; 8]));
        together([resizes(&object), resizes(&object)]);
        object.is_at_rest();
    }

    fn an_export_and_the_last_drop() {
        let array = ByteArray::new(vec![0; 8]);
        let other = array.clone();
        together([Box::new(move || drop(other.export())), Box::new(move || drop(array))]);
    }

    fn two_exports_and_the_last_drop() within 3 {
        let array = ByteArray::new(vec![0; 8]);
        let (one, other) = (array.clone(), array.clone());
        together([
            Box::new(move || drop(one.export())),
            Box::new(move || drop(other.export())),
            Box::new(move || drop(array)),
        ]);
    }

    fn an_export_of_bytes_and_the_last_drop() {
        let bytes = Bytes::new(&[0; 8]);
        let other = bytes.clone();
        together([Box::new(move || drop(other.export())), Box::new(move || drop(bytes))]);
    }

    fn a_stream_that_is_closed_beside_an_export() {
        let object = Object::new(Stream::new(vec![0; 8]));
        together([consumes(&object), closes(&object)]);
    }

    fn a_stream_that_is_closed_and_opened_beside_an_export() within 2 {
        let object = Object::new(Stream::new(vec![0; 8]));
        together([consumes(&object), closes(&object), opens(&object)]);
    }

    fn a_map_that_is_closed_beside_an_export() {
        let object = Object::new(map());
        together([consumes(&object), closes(&object)]);
    }

    fn a_map_that_is_closed_beside_two_exports() within 2 {
        let object = Object::new(map());
        together([consumes(&object), consumes(&object), closes(&object)]);
    }

    fn a_closing_beside_a_release() {
        let word = Word::new(1);
        together([ends(&word), shuts(&word)]);
        word.was_ended_once();
    }

    fn a_closing_beside_two_releases() within 3 {
        let word = Word::new(2);
        together([ends(&word), ends(&word), shuts(&word)]);
        word.was_ended_once();
    }

    fn two_closings_beside_a_release() within 3 {
        let word = Word::new(1);
        together([ends(&word), shuts(&word), shuts(&word)]);
        word.was_ended_once();
    }

    fn a_closing_beside_an_acquire() {
        let word = Word::new(0);
        together([lends(&word), shuts(&word)]);
        word.was_ended_once();
    }

    fn a_closing_beside_an_acquire_and_an_operation() within 2 {
        let word = Word::new(0);
        together([lends(&word), operates(&word), shuts(&word)]);
        word.was_ended_once();
    }

    fn two_releases_of_one_view() {
        let (object, view) = viewed();
        together([releases(&object, &view), releases(&object, &view)]);
        object.is_at_rest();
    }

    fn two_releases_of_one_view_beside_a_resize() within 2 {
        let (object, view) = viewed();
        together([releases(&object, &view), releases(&object, &view), resizes(&object)]);
        object.is_at_rest();
    }

    fn an_export_of_a_view_beside_its_release() {
        let (object, view) = viewed();
        together([consumes(&object.through(&view)), tries(&view)]);
        view.release().expect("the export was given back");
        object.is_at_rest();
    }

    fn two_exports_of_a_view_beside_its_release() within 2 {
        let (object, view) = viewed();
        let of_view = object.through(&view);
        together([consumes(&of_view), consumes(&of_view), tries(&view)]);
        view.release().expect("the exports were given back");
        object.is_at_rest();
    }

    fn an_export_of_a_view_beside_its_release_and_a_resize() {
        let (object, view) = viewed();
        let (own, tried) = (object.clone(), view.clone());
        let tries_and_resizes = move || {
            if tried.release().is_ok() {
                assert_eq!(own.resize(), Ok(()));
            }
        };
        together([consumes(&object.through(&view)), Box::new(tries_and_resizes)]);
        assert_eq!(view.release(), Ok(()));
        object.is_at_rest();
    }

    fn a_read_of_a_view_beside_its_release() {
        let (object, view) = viewed();
        let own = view.clone();
        let reads = move || {
            let _ = own.read(0, &mut [0; 8]);
        };
        together([Box::new(reads), releases(&object, &view)]);
        object.is_at_rest();
    }

    fn who_finds_a_view_released_finds_its_exporter_free() {
        let (object, view) = viewed();
        let (own, other) = (object.clone(), view.clone());
        let looks = move || {
            if other.is_released() {
                own.is_at_rest();
            }
        };
        together([Box::new(looks), releases(&object, &view)]);
    }

    fn two_views_of_one_buffer_are_released() {
        let (object, view) = viewed();
        let slice = view.derive(view.layout().unwrap().clone()).unwrap();
        together([uses_and_releases(&object, view), uses_and_releases(&object, slice)]);
        object.is_at_rest();
    }

    fn two_views_of_one_buffer_are_released_beside_a_resize() within 3 {
        let (object, view) = viewed();
        let slice = view.derive(view.layout().unwrap().clone()).unwrap();
        together([uses_and_releases(&object, view), uses_and_releases(&object, slice), resizes(&object)]);
        object.is_at_rest();
    }

    fn a_slice_of_a_view_beside_its_release() {
        let (object, view) = viewed();
        let own = view.clone();
        let slices = move || {
            let Ok(layout) = own.layout().cloned() else { return };
            if let Ok(slice) = own.derive(layout) {
                assert_eq!(slice.release(), Ok(()));
            }
        };
        together([Box::new(slices), tries(&view)]);
        view.release().expect("a view without exports can be released");
        object.is_at_rest();
    }
}

/// Runs a kernel in every way, or with so many interruptions at most, and tells in how many.
fn explore(kernel: &Kernel, interruptions: Option<usize>) -> usize {
    let runs = Arc::new(Counter::new(0));
    let (run, inside) = (kernel.run, Arc::clone(&runs));
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(interruptions);
    builder.check(move || {
        inside.fetch_add(1, Relaxed);
        run();
    });
    runs.load(Relaxed)
}

fn holds(name: &str) {
    let kernel = KERNELS.iter().find(|kernel| kernel.name == name).expect("it is in the table");
    let begun = std::time::Instant::now();
    println!("{} runs, {:?}", explore(kernel, kernel.interruptions), begun.elapsed());
}

/// What a child process does without.
enum Without {
    Edge(Edge),
    Fault(Fault),
}

impl Without {
    /// As the child is told.
    fn name(&self) -> String {
        match self {
            Without::Edge(Edge { file, line, half }) => format!("{half:?} {line} {file}"),
            Without::Fault(fault) => fault.to_string(),
        }
    }

    /// The kernel that fails without it, asked of a child, because a failure in the midst of a release may be the end of
    /// a process.
    fn is_seen_by(&self) -> Option<String> {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([PROOF, "--exact", "--nocapture"])
            .env(WITHOUT, self.name())
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        let last = said.lines().filter_map(|line| line.strip_prefix("kernel ")).next_back();
        let last = last.unwrap_or_else(|| panic!("the child says which kernels it runs:\n{said}"));
        (!child.status.success()).then(|| last.to_owned())
    }
}

#[test]
fn a_child_runs_all_kernels() {
    let Ok(name) = std::env::var(WITHOUT) else { return };
    if let Ok(fault) = name.parse() {
        plant(Some(fault));
    } else {
        let mut words = name.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().expect("half, line and file");
        let half = if next() == "Acquire" { Half::Acquire } else { Half::Release };
        let line = next().parse().expect("a line has a number");
        take_away(Some(Edge { file: next().leak(), line, half }));
    }
    // Those of two threads first, which take less time and miss most of what can be missed.
    let (all, bounded) = KERNELS.iter().partition::<Vec<_>, _>(|kernel| kernel.interruptions.is_none());
    for kernel in all.into_iter().chain(bounded) {
        println!("\nkernel {}", kernel.name);
        explore(kernel, kernel.interruptions);
    }
}

/// Orderings that no kernel misses, each by the text of its line, and why they stand there.
const SPARE: [(&str, Half, &str); 3] = [
    (
        "while self.word.load(Ordering::Acquire) & LOCKED != 0 {",
        Half::Acquire,
        "who waited for a lock takes it by an Acquire of its own, and who waited for a release reads its flag by one",
    ),
    (
        "self.word.load(self.or_weak(Fault::WeakLock, Ordering::Acquire)) & CLOSED != 0",
        Half::Acquire,
        "under the lock, that is an Acquire; to others it is no more than an answer",
    ),
    (
        "if self.count.word.load(Ordering::Acquire) == LOCKED {",
        Half::Acquire,
        "the store after it ends the release sequences, which that of `sync::loom` does not",
    ),
];

#[test]
fn every_ordering_is_missed() {
    // One interruption leads to every line.
    for kernel in KERNELS {
        explore(kernel, Some(1));
    }
    let mut spare = Vec::new();
    for edge in used() {
        let source = std::fs::read_to_string(edge.file).expect("the sources are here");
        let line = source.lines().nth(edge.line as usize - 1).expect("the line is there").trim();
        if let Some(known) = SPARE.iter().find(|known| (known.0, known.1) == (line, edge.half)) {
            spare.push(*known);
            continue;
        }
        let seen = Without::Edge(edge).is_seen_by();
        println!("{}:{} {:?}: {seen:?}\n    {line}", edge.file, edge.line, edge.half);
        assert!(seen.is_some(), "no kernel misses the {:?} of `{line}`", edge.half);
    }
    assert_eq!(spare, SPARE);
}

/// Faults that no kernel has to do with: one thread shows them as well as several, they are about what is in the memory, or
/// whole programs show them whose threads take turns (`tests/explored.rs`), since no kernel opens and closes beside another.
/// loom takes whoever waits for ever for a kernel that is too long to explore, which it may be.
const ELSEWHERE: [Fault; 11] = [
    Fault::CheckThenLockThenClose,
    Fault::OpenThenLockThenExport,
    Fault::StaleLengthBeforeRetain,
    Fault::MissingWakeUp,
    Fault::OffByOneSlice,
    Fault::ReleasedTwiceOnErrorPath,
    Fault::SliceForgetsItsExport,
    Fault::CastCountsTwice,
    Fault::LockHeldOverCallback,
    Fault::ReadOnlyLentForWriting,
    Fault::GapsLentAsBlock,
];

#[test]
fn every_fault_of_counting_and_resizing_is_seen() {
    let mut unseen = Vec::new();
    for &fault in Fault::ALL.iter().filter(|fault| !ELSEWHERE.contains(fault)) {
        let seen = Without::Fault(fault).is_seen_by();
        println!("{fault}: {seen:?}");
        unseen.extend(seen.is_none().then_some(fault));
    }
    assert!(unseen.is_empty(), "no kernel sees {unseen:?}");
}
