//! Every call that an operation makes into Python is made, by a program of the corpus, with a hook that does what may be
//! wrong then: release, resize, drop, raise.

#[expect(dead_code, reason = "the tests that replay the corpus use the rest")]
mod corpus_files;

use std::collections::{BTreeMap, BTreeSet};

use buflock::history::{ErrorClass, Nested, Outcome, Skip};
use buflock::program::generate::{Shape, nth};
use buflock::program::hook::{CALLS, Call, Gives, Part};
use buflock::program::{Answer, Arg, Hook, Method, Op, Protocol, Slot, SlotKind, Step};
use buflock::subject::{Model, Shown, Version};
use corpus_files::{Folder, files, is_for};

/// What a hook may do to what the operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Release,
    Resize,
    Drop,
    Raise,
}

const DEEDS: [Deed; 4] = [Deed::Release, Deed::Resize, Deed::Drop, Deed::Raise];

/// What was seen of one kind of call.
type Called = BTreeMap<Call, BTreeSet<Deed>>;

fn deeds(method: &Method) -> impl Iterator<Item = Deed> {
    let of = |op: Op| match op {
        Op::Release | Op::ReleaseExport => Some(Deed::Release),
        Op::Extend | Op::Append | Op::Clear | Op::Write | Op::Truncate => Some(Deed::Resize),
        Op::Drop => Some(Deed::Drop),
        _ => None,
    };
    let raises = matches!(method.answer, Answer::Raise(_)).then_some(Deed::Raise);
    method.steps.iter().filter_map(move |step| of(step.op)).chain(raises)
}

/// Runs the corpus on the model, and tells which hooks an operation has called.
fn called() -> Called {
    let mut called = Called::new();
    for file in files().iter().filter(|file| file.folder == Folder::Regressions) {
        let program = file.program().expect("the corpus can be read");
        for minor in [11, 15] {
            let version = Version { major: 3, minor, micro: 0 };
            if !is_for(&program, version) {
                continue;
            }
            let mut model = Model::new(version);
            for step in &program.steps {
                model.step(step);
                // With one hook alone, it is known whose call it was.
                let parts = step.args.iter().enumerate().flat_map(|(position, arg)| {
                    let part = move |place| (position, Part::of(arg, place));
                    arg.parts().iter().enumerate().map(move |(place, leaf)| (part(place), leaf.hook()))
                });
                let mut hooks = parts.filter_map(|(at, hook)| Some((at, hook?)));
                let (Some(((position, part), hook)), None) = (hooks.next(), hooks.next()) else { continue };
                // Nor is it of a hook within.
                for method in hook.methods.iter().filter(|_| step.depth() == 1) {
                    if model.nested().contains(&Nested::Called(method.protocol)) {
                        let call = Call { op: step.op, position, part, protocol: method.protocol };
                        called.entry(call).or_default().extend(deeds(method));
                    }
                }
            }
        }
    }
    called
}

#[test]
fn every_call_is_made_with_a_release_a_resize_a_drop_and_an_error_in_it() {
    let called = called();
    let mut missing = Vec::new();
    for call in CALLS.iter().copied().flatten() {
        let seen = called.get(call);
        missing.extend(
            DEEDS
                .iter()
                // What nobody would hear of is not raised.
                .filter(|deed| **deed != Deed::Raise || call.protocol.gives() != Gives::Nothing)
                .filter(|deed| !seen.is_some_and(|seen| seen.contains(deed)))
                .map(|deed| (*call, *deed)),
        );
    }
    assert!(missing.is_empty(), "no program of the corpus shows {missing:?}");
}

#[test]
fn no_call_is_made_that_the_table_does_not_have() {
    let table: BTreeSet<Call> = CALLS.concat().into_iter().collect();
    assert_eq!(table.len(), CALLS.concat().len(), "a call is in the table twice");
    let unknown: Vec<Call> = called().into_keys().filter(|call| !table.contains(call)).collect();
    assert!(unknown.is_empty(), "program/hook.rs lacks {unknown:?}");
}

fn model_after(text: &str) -> Model {
    let program = buflock::program::parse::parse(&format!("# buflock program 1\n{text}\n")).unwrap();
    let mut model = Model::new(Version::NEWEST);
    program.steps.iter().for_each(|step| drop(model.step(step)));
    model
}

#[test]
fn an_operation_is_about_what_was_in_the_slot_when_it_began() {
    let model = model_after(
        "b0 = bytearray(b\"old\")\nb1 = bytearray(1)\nb0.append(__index__{b0 = bytearray(b\"new\"); return 65})",
    );
    let shown = model.shown(Slot::new(SlotKind::Exporter, 0));
    assert!(matches!(shown, Shown::Exporter { bytes: b"new", .. }), "{shown:?}");
    // What is done in place is bound again, as the interpreter does.
    let model = model_after("b0 = bytearray(b\"old\")\nb0 *= __index__{b0 = bytearray(b\"new\"); return 2}");
    let shown = model.shown(Slot::new(SlotKind::Exporter, 0));
    assert!(matches!(shown, Shown::Exporter { bytes: b"oldold", .. }), "{shown:?}");
}

#[test]
fn what_a_step_left_out_has_done_in_its_hooks_is_taken_back() {
    let model = model_after("b0 = bytearray(b\"ab\")\nb0 *= __index__{b0.append(65); return 4000}");
    let shown = model.shown(Slot::new(SlotKind::Exporter, 0));
    assert!(matches!(shown, Shown::Exporter { bytes: b"ab", .. }), "{shown:?}");
}

#[test]
fn a_size_below_zero_is_refused_before_a_stream_is_looked_at_again() {
    let text = "b0 = io.BytesIO(b\"ab\")\nb0.truncate(__index__{v0 = b0.getbuffer(); return -1})";
    let program = buflock::program::parse::parse(&format!("# buflock program 1\n{text}\n")).unwrap();
    // gh-159739
    for (micro, raised) in [(1, ErrorClass::BufferError), (2, ErrorClass::ValueError)] {
        let mut model = Model::new(Version { major: 3, minor: 15, micro });
        model.step(&program.steps[0]);
        assert_eq!(model.step(&program.steps[1]), Outcome::Raised(raised), "3.15.{micro}");
    }
}

/// Steps with hooks of generated programs that are left out, since a Python is known to break there, and why.
fn drawn(version: Version, programs: u64) -> BTreeMap<(Op, &'static str), usize> {
    let mut drawn = BTreeMap::new();
    let programs = (0..programs).map(|index| nth(9, index, Shape::default()));
    for program in programs.filter(|program| program.steps.iter().any(Step::has_hooks)) {
        let mut model = Model::new(version);
        for step in &program.steps {
            if model.step(step) != Outcome::Skipped(Skip::Known) {
                continue;
            }
            let says_nothing = |hook: &Hook| {
                let says = [Protocol::Length, Protocol::LengthHint].map(|protocol| hook.method(protocol));
                says.into_iter().flatten().any(|method| method.answer == Answer::Return(Arg::int(0)))
            };
            let what = if step.hooks().any(|hook| hook.has(Protocol::Buffer)) {
                "lends"
            } else if step.hooks().any(says_nothing) {
                "has no room"
            } else {
                continue;
            };
            *drawn.entry((step.op, what)).or_default() += 1;
        }
    }
    drawn
}

#[test]
fn the_generator_comes_upon_what_is_known_to_break() {
    let version = Version { major: 3, minor: 13, micro: 6 };
    let drawn = drawn(version, 80_000);
    // gh-143003, gh-153578 and gh-157335.
    let broken = [(Op::Extend, "has no room"), (Op::Extend, "lends"), (Op::SetItem, "lends")];
    let missed: Vec<_> = broken.iter().filter(|bug| !drawn.contains_key(bug)).collect();
    assert!(missed.is_empty(), "{missed:?} are not drawn, but {drawn:?}");
}
