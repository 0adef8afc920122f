//! Hooks in place of plain arguments.

use super::sketch::Sketch;
use super::{Choices, Swarm, with_op};
use crate::history::ErrorClass;
use crate::program::hook::{CALLS, Call, Part};
use crate::program::op::On;
use crate::program::{Answer, Arg, Float, Hook, Op, Protocol, Slot, SlotKind, Step, fixup, limits};

/// What changes an object under an operation that waits for its argument.
const CHANGES: &[Op] = &[
    Op::Release,
    Op::Drop,
    Op::Clear,
    Op::Append,
    Op::Extend,
    Op::Pop,
    Op::DelItem,
    Op::InPlaceMultiply,
    Op::Resize,
    Op::Init,
    Op::Close,
    Op::Truncate,
    Op::Write,
    Op::Seek,
    Op::SetState,
    Op::ReleaseExport,
    Op::ByteSwap,
    Op::Reverse,
];

/// The argument of an operation at a position, now and then with a hook for it, or for an item or bound of it, that answers
/// what was there.
pub(super) fn maybe(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Option<Slot>,
    (op, position): (Op, usize),
    mut arg: Arg,
) -> Arg {
    let count = arg.parts().len() as u32;
    if sketch.hooks == 0 || count == 0 || !fixup::takes_hooks(op.row().args[position]) || choices.chance(2, 3)
    {
        return arg;
    }
    if matches!(arg, Arg::List(_)) && choices.chance(1, 2) {
        let whole = (op, position, Part::Whole);
        if CALLS
            .iter()
            .any(|call| (call.op, call.position, call.part) == whole && call.protocol == Protocol::Next)
        {
            return with_steps(choices, sketch, receiver, Protocol::Next, Answer::Return(arg));
        }
    }
    let place = choices.below(count) as usize;
    let part = Part::of(&arg, place);
    let is_bound = matches!(arg, Arg::Slice(_));
    let leaf = &mut arg.parts_mut()[place];
    // What is left out may be somewhere as well.
    if is_bound && *leaf == Arg::None {
        *leaf = Arg::int(i64::from(choices.below(4)) + 1);
    }
    let whole = std::mem::replace(leaf, Arg::None);
    *leaf = one(choices, sketch, receiver, (op, position, part), whole);
    arg
}

/// A hook that answers what was there, if that is a number; else what was there.
fn one(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Option<Slot>,
    (op, position, part): (Op, usize, Part),
    arg: Arg,
) -> Arg {
    if !matches!(arg, Arg::Int(_) | Arg::Float(_)) {
        return arg;
    }
    let called = |call: &&Call| call.op == op && call.position == position && call.part == part;
    let count = CALLS.iter().filter(called).count() as u32;
    let call = CALLS.iter().filter(called).nth(choices.below(count.max(1)) as usize);
    let protocol = match (call, &arg) {
        // Now and then one that nobody calls.
        (Some(call), _) if choices.chance(15, 16) => call.protocol,
        (None, _) if choices.chance(3, 4) => return arg,
        _ => *choices.pick(Protocol::ALL),
    };
    let answer = match (choices.below(24), protocol, &arg) {
        (0, ..) => Answer::Raise(*choices.pick(&[
            ErrorClass::TypeError,
            ErrorClass::OverflowError,
            ErrorClass::ValueError,
            ErrorClass::BufferError,
            ErrorClass::EOFError,
            ErrorClass::StopIteration,
        ])),
        // Of the wrong type.
        (1, ..) => Answer::Return(Arg::bytes(b"a")),
        (_, Protocol::Next, _) => Answer::Return(Arg::List([arg].into())),
        (_, Protocol::Index, Arg::Float(_)) => Answer::Return(Arg::int(1)),
        (_, Protocol::Float, Arg::Int(int)) => Answer::Return(Arg::Float(Float::new(int.value() as f64))),
        _ => Answer::Return(arg),
    };
    with_steps(choices, sketch, receiver, protocol, answer)
}

/// A hook with steps in it.
fn with_steps(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Option<Slot>,
    protocol: Protocol,
    answer: Answer,
) -> Arg {
    // What is within knows of one hook less.
    let depth = if choices.chance(1, 4) { sketch.hooks - 1 } else { 0 };
    let sketch = sketch.clone().with_hooks(depth);
    let count = match choices.below(8) {
        0 => 0,
        1..=4 => 1,
        5 | 6 => 2,
        _ => limits::HOOK_STEPS,
    };
    let steps = (0..count).map(|_| step(choices, &sketch, receiver)).collect();
    Arg::Hook(Box::new(Hook { protocol, steps, answer }))
}

/// Mostly something that changes the receiver, or another object.
fn step(choices: &mut impl Choices, sketch: &Sketch, receiver: Option<Slot>) -> Step {
    let other = |choices: &mut _| {
        let kinds = [SlotKind::View, SlotKind::Exporter, SlotKind::View, SlotKind::Export];
        let kind = *Choices::pick(choices, &kinds);
        sketch.filled(kind, choices)
    };
    let slot = match receiver {
        Some(receiver) if choices.chance(1, 2) => Some(receiver),
        _ => other(choices),
    };
    let Some(slot) = slot.filter(|_| choices.chance(7, 8)) else {
        return super::step(choices, &Swarm::even(), sketch);
    };
    // Another view of it holds it from then on.
    if choices.chance(1, 6) {
        let mut step = with_op(choices, Op::NewView, None, sketch);
        step.args[0] = Arg::Slot(slot);
        return step;
    }
    let class = sketch.class(slot);
    let fits = |op: &&Op| {
        let row = op.row();
        let knows = class.is_none_or(|class| row.classes.contain(class));
        row.on != On::Nothing && row.on.kinds().contains(&slot.kind) && knows
    };
    let count = CHANGES.iter().filter(fits).count() as u32;
    let op = CHANGES.iter().filter(fits).nth(choices.below(count.max(1)) as usize);
    with_op(choices, *op.unwrap_or(&Op::Drop), Some(slot), sketch)
}
