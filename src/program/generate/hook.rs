//! Hooks in place of plain arguments.

use super::sketch::Sketch;
use super::{Choices, Swarm, argument, formatting, with_op};
use crate::history::ErrorClass;
use crate::program::hook::{self, CALLS, Call, Gives, Part};
use crate::program::op::On;
use crate::program::{Answer, Arg, Float, Hook, Method, Op, Protocol, Slot, SlotKind, Step, fixup, limits};

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
    // A format has many values.
    let without = if op == Op::Remainder { 1 } else { 4 };
    if sketch.hooks == 0 || !fixup::takes_hooks(op.row().args[position]) || choices.chance(without, 6) {
        return arg;
    }
    let place = Place { sketch, receiver, op, position };
    if op == Op::Remainder {
        return place.formatted(choices, arg);
    }
    if place.calls(Part::Whole, Protocol::Buffer) && choices.chance(1, 3) {
        return place.lender(choices, arg);
    }
    if place.calls(Part::Whole, Protocol::GetItem) && choices.chance(1, 4) {
        return place.iterable(choices, arg);
    }
    if place.calls(Part::Whole, Protocol::Length)
        && !place.calls(Part::Whole, Protocol::GetItem)
        && choices.chance(1, 8)
    {
        let answer = Answer::Return(Arg::int(i64::from(choices.below(3))));
        return Arg::Hook(Box::new(Hook { methods: vec![place.method(choices, Protocol::Length, answer)] }));
    }
    for protocol in [Protocol::Read, Protocol::Write] {
        if place.calls(Part::Whole, protocol) {
            return place.file(choices, protocol);
        }
    }
    let count = arg.parts().len() as u32;
    if count == 0 {
        return arg;
    }
    let at = choices.below(count) as usize;
    let part = Part::of(&arg, at);
    let is_bound = matches!(arg, Arg::Slice(_));
    let leaf = &mut arg.parts_mut()[at];
    // What is left out may be somewhere as well.
    if is_bound && *leaf == Arg::None {
        *leaf = Arg::int(i64::from(choices.below(4)) + 1);
    }
    let whole = std::mem::replace(leaf, Arg::None);
    *leaf = place.one(choices, part, whole);
    arg
}

/// Where a hook is drawn.
#[derive(Clone, Copy)]
struct Place<'a> {
    sketch: &'a Sketch,
    receiver: Option<Slot>,
    op: Op,
    position: usize,
}

impl Place<'_> {
    fn is_of(&self, call: &Call, part: Part) -> bool {
        (call.op, call.position, call.part) == (self.op, self.position, part)
    }

    /// Whether a part of the argument is asked so.
    fn calls(&self, part: Part, protocol: Protocol) -> bool {
        hook::calls(self.op, self.position, part, protocol)
    }

    /// An object that lends the buffer of what was there, or of another object, and may be told when it is given back.
    fn lender(&self, choices: &mut impl Choices, arg: Arg) -> Arg {
        let mut methods = self.lending(choices, arg);
        if choices.chance(1, 16) {
            let number = Answer::Return(Arg::int(1));
            methods.push(self.method(choices, Protocol::Index, number));
        }
        Arg::Hook(Box::new(Hook { methods }))
    }

    /// The methods of such an object.
    fn lending(&self, choices: &mut impl Choices, arg: Arg) -> Vec<Method> {
        let kind = *choices.pick(&[SlotKind::Exporter, SlotKind::View]);
        let source = match arg {
            Arg::Slot(slot) if matches!(slot.kind, SlotKind::Exporter | SlotKind::View) => Some(slot),
            _ => self.sketch.filled(kind, choices),
        };
        let answer = match (choices.below(16), source) {
            (0, _) | (_, None) => Answer::Raise(error(choices)),
            (1, _) => Answer::Return(arg),
            (_, Some(slot)) => Answer::View(slot),
        };
        let mut methods = vec![self.method(choices, Protocol::Buffer, answer)];
        if choices.chance(1, 3) {
            methods.push(self.method(choices, Protocol::ReleaseBuffer, Answer::Return(Arg::None)));
        }
        methods
    }

    /// A file that is asked for a few bytes, and may give others, or is given some, and says anything.
    fn file(&self, choices: &mut impl Choices, protocol: Protocol) -> Arg {
        let answer = match choices.below(8) {
            0 => Answer::Raise(error(choices)),
            1 => Answer::Return(Arg::None),
            2 => Answer::Return(Arg::int(i64::from(choices.below(9)))),
            _ => Answer::Return(argument::literal(choices)),
        };
        Arg::Hook(Box::new(Hook { methods: vec![self.method(choices, protocol, answer)] }))
    }

    /// An object that gives items: those of a list that was there, or others.
    fn iterable(&self, choices: &mut impl Choices, arg: Arg) -> Arg {
        let Arg::List(items) = (match arg {
            arg @ Arg::List(_) => arg,
            _ => argument::list(choices),
        }) else {
            return self.one(choices, Part::Whole, Arg::int(1));
        };
        let length = items.len() as i64;
        let guess = |choices: &mut _| match Choices::below(choices, 12) {
            0..=4 => Arg::int(length),
            5..=7 => Arg::int(0),
            8 => Arg::int(length + 1),
            9 => Arg::int(-1),
            10 => Arg::Int(argument::extreme(choices)),
            _ => Arg::None,
        };
        let items = Arg::List(items);
        let mut methods: Vec<Method> = Vec::new();
        let mut add = |choices: &mut _, protocol, arg: Arg| {
            let answer = match Choices::below(choices, 24) {
                0 => Answer::Raise(error(choices)),
                _ => Answer::Return(arg),
            };
            methods.push(self.method(choices, protocol, answer));
        };
        match choices.below(8) {
            0 => add(choices, Protocol::Iter, items),
            1 => {
                add(choices, Protocol::Iter, Arg::None);
                add(choices, Protocol::Next, items);
            }
            2 | 3 => add(choices, Protocol::GetItem, items),
            _ => add(choices, Protocol::Next, items),
        }
        let of_its_length = self.calls(Part::Whole, Protocol::Length);
        if of_its_length && choices.chance(2, 3) {
            let says = if self.calls(Part::Whole, Protocol::LengthHint) && choices.chance(2, 3) {
                Protocol::LengthHint
            } else {
                Protocol::Length
            };
            let guess = guess(choices);
            add(choices, says, guess);
        }
        // Mostly it is its own iterator, and now and then says so without being one.
        for method in &mut methods {
            if method.protocol == Protocol::Iter
                && method.answer == Answer::Return(Arg::None)
                && choices.chance(7, 8)
            {
                method.answer = Answer::Itself;
            }
        }
        Arg::Hook(Box::new(Hook { methods }))
    }

    /// A hook that answers what was there, if that is a number; else what was there.
    fn one(&self, choices: &mut impl Choices, part: Part, arg: Arg) -> Arg {
        if self.calls(part, Protocol::Buffer) && part == Part::Item {
            return self.lender(choices, arg);
        }
        if !matches!(arg, Arg::Int(_) | Arg::Float(_)) {
            return arg;
        }
        let called = |call: &&Call| self.is_of(call, part);
        let calls = || CALLS.iter().copied().flatten().filter(called);
        let call = calls().nth(choices.below((calls().count() as u32).max(1)) as usize);
        let protocol = match (call, &arg) {
            // Now and then one that nobody calls.
            (Some(call), _) if choices.chance(15, 16) => call.protocol,
            (None, _) if choices.chance(3, 4) => return arg,
            _ => *choices.pick(Protocol::ALL),
        };
        Arg::Hook(Box::new(Hook { methods: vec![self.answering(choices, protocol, arg)] }))
    }

    /// Values for a format, with a hook among them that is asked what the format asks, or in place of all of them if it does
    /// that by keys.
    fn formatted(&self, choices: &mut impl Choices, mut arg: Arg) -> Arg {
        let format = self.receiver.and_then(|slot| self.sketch.format(slot));
        let wants = format.map(formatting::Wants::of).unwrap_or_default();
        if wants.by_keys && choices.chance(7, 8) {
            let value = if choices.chance(1, 2) { argument::byte(choices) } else { Arg::bytes(b"ab") };
            return Arg::Hook(Box::new(Hook {
                methods: vec![self.answering(choices, Protocol::GetItem, value)],
            }));
        }
        let count = arg.parts().len() as u32;
        if count == 0 {
            return arg;
        }
        let at = choices.below(count) as usize;
        let protocols = match (&arg, wants.conversions.get(at)) {
            (Arg::List(_), _) => formatting::asked(b'a'),
            (_, Some(&conversion)) => formatting::asked(conversion),
            (_, None) => Protocol::ALL,
        };
        let leaf = &mut arg.parts_mut()[at];
        let value = std::mem::replace(leaf, Arg::None);
        // Now and then also what is asked only of what has nothing else.
        let first = choices.below(protocols.len() as u32) as usize;
        let second = if choices.chance(1, 4) { first + 1 } else { first };
        let mut methods = Vec::new();
        for &protocol in protocols.iter().take(second + 1).skip(first) {
            methods.extend(match protocol {
                Protocol::Buffer => self.lending(choices, value.clone()),
                _ => vec![self.answering(choices, protocol, value.clone())],
            });
        }
        // A number that is no integer is read as the text of one.
        if protocols.ends_with(&[Protocol::Float]) && methods.len() == 1 && choices.chance(1, 8) {
            methods.extend(self.lending(choices, value));
        }
        *leaf = Arg::Hook(Box::new(Hook { methods }));
        arg
    }

    /// A method that answers what was there, or what it may answer in its place.
    fn answering(&self, choices: &mut impl Choices, protocol: Protocol, arg: Arg) -> Method {
        let answer = match (choices.below(24), protocol.gives(), protocol, &arg) {
            (_, Gives::Nothing, ..) => Answer::Return(Arg::None),
            (0, ..) => Answer::Raise(error(choices)),
            // Of the wrong type.
            (1, ..) => Answer::Return(Arg::bytes(b"a")),
            (_, Gives::Items | Gives::Iterator, ..) => Answer::Return(Arg::List([arg].into())),
            (_, _, Protocol::Float, Arg::Int(int)) => {
                Answer::Return(Arg::Float(Float::new(int.value() as f64)))
            }
            (_, _, Protocol::Float, Arg::Float(_)) | (_, _, Protocol::Index | Protocol::Int, Arg::Int(_)) => {
                Answer::Return(arg)
            }
            (_, _, Protocol::Float, _) => Answer::Return(Arg::Float(Float::new(1.5))),
            (_, _, Protocol::Index | Protocol::Int, _) => Answer::Return(Arg::int(1)),
            (_, _, Protocol::Repr, _) => {
                Answer::Return(Arg::Str((*choices.pick(&["a", "", "%d", "\u{e9}"])).into()))
            }
            (_, _, Protocol::Bytes, _) => Answer::Return(argument::literal(choices)),
            _ => Answer::Return(arg),
        };
        self.method(choices, protocol, answer)
    }

    /// A method with steps in it.
    fn method(&self, choices: &mut impl Choices, protocol: Protocol, answer: Answer) -> Method {
        // What is within knows of one hook less.
        let depth = if choices.chance(1, 4) { self.sketch.hooks - 1 } else { 0 };
        let sketch = self.sketch.clone().with_hooks(depth);
        let count = match choices.below(8) {
            0 => 0,
            1..=4 => 1,
            5 | 6 => 2,
            _ => limits::HOOK_STEPS,
        };
        let mut steps: Vec<Step> = (0..count).map(|_| step(choices, &sketch, self.receiver)).collect();
        // Now and then the operation waits for another thread.
        if let Some(step) = steps.first_mut().filter(|_| choices.chance(1, 16)) {
            step.thread = Some(choices.below(limits::THREADS.into()) as u8);
        }
        Method { protocol, steps, answer }
    }
}

fn error(choices: &mut impl Choices) -> ErrorClass {
    *choices.pick(&[
        ErrorClass::TypeError,
        ErrorClass::OverflowError,
        ErrorClass::ValueError,
        ErrorClass::BufferError,
        ErrorClass::EOFError,
        ErrorClass::IndexError,
        ErrorClass::StopIteration,
    ])
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
