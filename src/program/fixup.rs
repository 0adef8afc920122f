//! Makes any program valid, and changes nothing about a valid one.
//!
//! Mutated and decoded programs are repaired, never rejected: a rejected input teaches a fuzzer
//! nothing. A *wrong* argument is valid; only what has no meaning at all is repaired, such as a
//! slot that does not exist.

use super::{
    Answer, Arg, Guard, Hook, Op, Program, Protocol, Slot, SlotKind, Step, Yields,
    hook::{self, Gives, Part},
    limits,
    op::{ORDERS, PATTERNS, Role, STRUCT_FORMATS},
    racing,
};
use crate::history::ErrorClass;

/// Repairs `program` in place. Idempotent.
pub fn fixup(program: &mut Program) {
    program.steps.truncate(limits::STEPS);
    let mut threads_started = false;
    for step in &mut program.steps {
        step.thread = match step.thread {
            Some(thread) => Some(thread % limits::THREADS),
            None if threads_started => Some(0),
            None => None,
        };
        threads_started |= step.thread.is_some();
        step.guard = match step.guard {
            _ if step.thread.is_none() => Guard::None,
            Guard::Lock(lock) => Guard::Lock(lock % limits::LOCKS),
            guard => guard,
        };
        fix_step(step);
    }
    if program.schedule.races() {
        racing::separate(program);
    }
}

/// Repairs one step, but for its thread.
pub fn fix_step(step: &mut Step) {
    fix_step_within(step, 0, &mut Vec::new());
}

/// Repairs one step that is within so many hooks, whose own steps are about what is to be `kept` in its slots.
fn fix_step_within(step: &mut Step, depth: usize, kept: &mut Vec<Slot>) {
    let row = step.op.row();
    step.receiver = row.on.kinds().first().map(|&usual| {
        let slot = step.receiver.unwrap_or(Slot::new(usual, 0));
        let kind = if row.on.kinds().contains(&slot.kind) { slot.kind } else { usual };
        in_range(kind, slot.index)
    });
    step.args.truncate(row.args.len());
    while step.args.len() < row.required {
        step.args.push(Arg::None);
    }
    for (arg, role) in step.args.iter_mut().zip(row.args) {
        fix_arg(arg, *role);
    }
    fix_hooks(step, depth, kept);
    step.dest = match row.yields {
        Yields::Value => None,
        Yields::Into(kind) => Some(in_range(kind, step.dest.map_or(0, |slot| slot.index))),
        Yields::Maybe(kind) => step.dest.map(|slot| in_range(kind, slot.index)),
        Yields::Part => part_kind(step).and_then(|kind| step.dest.map(|slot| in_range(kind, slot.index))),
    };
}

/// Repairs the hooks of a step. They leave the exports and iterators that the step is about in their slots, as do those
/// within them.
fn fix_hooks(step: &mut Step, depth: usize, kept: &mut Vec<Slot>) {
    if !step.has_hooks() {
        return;
    }
    if depth == limits::HOOK_DEPTH {
        step.parts_mut().for_each(Arg::lose_hook);
        let roles = step.op.row().args;
        step.args.iter_mut().zip(roles).for_each(|(arg, role)| fix_arg(arg, *role));
        return;
    }
    let named = |slot: Slot| matches!(slot.kind, SlotKind::Export | SlotKind::Iterator);
    let before = kept.len();
    step.find_needed(|slot| {
        kept.extend(named(slot).then_some(slot));
        false
    });
    let op = step.op;
    for (position, arg) in step.args.iter_mut().enumerate() {
        for place in 0..arg.parts().len() {
            let part = Part::of(arg, place);
            let leaf = &mut arg.parts_mut()[place];
            let Arg::Hook(hook) = leaf else { continue };
            fix_methods(hook, |protocol| hook::calls(op, position, part, protocol));
            for method in &mut hook.methods {
                method.steps.truncate(limits::HOOK_STEPS);
                for inner in &mut method.steps {
                    inner.thread = inner.thread.map(|thread| thread % limits::THREADS);
                    inner.guard = Guard::None;
                    inner.expect = None;
                    fix_step_within(inner, depth + 1, kept);
                }
                // Memory is short for what a program does, and not for what it is in the middle of.
                method.steps.retain(|inner| {
                    inner.op != Op::Starve && inner.binds().is_none_or(|slot| !kept.contains(&slot))
                });
                fix_answer(&mut method.answer, method.protocol.gives());
            }
            if hook.methods.is_empty() {
                *leaf = Arg::None;
            }
        }
    }
    kept.truncate(before);
}

/// Leaves no method twice, and few; and some only to whoever is known to ask for them: a buffer to who gives it back before
/// it ends, and `__int__` to who asks for that in all Pythons.
fn fix_methods(hook: &mut Hook, is_asked: impl Fn(Protocol) -> bool) {
    let mut known = Vec::new();
    hook.methods.retain(|method| {
        let fits = match method.protocol {
            Protocol::Buffer | Protocol::Int => is_asked(method.protocol),
            Protocol::ReleaseBuffer => known.contains(&Protocol::Buffer),
            _ => true,
        };
        let stays = fits && !known.contains(&method.protocol) && known.len() < limits::METHODS;
        known.extend(stays.then_some(method.protocol));
        stays
    });
}

fn fix_answer(answer: &mut Answer, gives: Gives) {
    match (answer, gives) {
        (answer, Gives::Nothing) => *answer = Answer::Return(Arg::None),
        (Answer::Return(arg), Gives::Items) => fix_items(arg),
        (Answer::Return(arg @ Arg::List(_)), Gives::Iterator) => fix_items(arg),
        (
            Answer::Return(
                arg @ (Arg::List(_) | Arg::Tuple(_) | Arg::Slice(_) | Arg::Slot(_) | Arg::Hook(_)),
            ),
            _,
        ) => *arg = Arg::None,
        (Answer::Return(arg), _) => fix_leaf(arg),
        (Answer::Raise(class), _) if !hook::is_raisable(*class) => *class = ErrorClass::TypeError,
        (Answer::View(slot), Gives::View) => {
            let kind = if slot.kind == SlotKind::View { SlotKind::View } else { SlotKind::Exporter };
            *slot = in_range(kind, slot.index);
        }
        (Answer::Raise(_), _) | (Answer::Itself, Gives::Iterator) => {}
        (answer @ (Answer::Itself | Answer::View(_)), gives) => {
            *answer = Answer::Return(Arg::None);
            fix_answer(answer, gives);
        }
    }
}

/// Makes of an answer a list of literals.
fn fix_items(arg: &mut Arg) {
    if !matches!(arg, Arg::List(_)) {
        *arg = Arg::List([std::mem::replace(arg, Arg::None)].into());
    }
    fix_arg(arg, Role::Items);
    for item in arg.parts_mut() {
        if matches!(item, Arg::Slot(_) | Arg::Hook(_)) {
            *item = Arg::None;
        }
    }
}

/// Whether a hook may stand for an argument of this role. What is for a function of C is no object at all, and what names a
/// format, a pattern or a file is looked up by its value.
pub(super) fn takes_hooks(role: Role) -> bool {
    use Role::{
        Block, Body, ByteOrder, CType, Flags, Format, LockAccess, Numbers, Order, Pattern, ReadOrWrite,
        Shape, Small, State, StructFormat, TypeCode,
    };
    !matches!(
        role,
        Flags
            | ReadOrWrite
            | Order
            | Numbers
            | Small
            | Block
            | Body
            | Pattern
            | StructFormat
            | Format
            | ByteOrder
            | LockAccess
            | CType
            | TypeCode
            | Shape
            | State
    )
}

/// The kind of slot that a part of the receiver goes into: its own, if the key is a slice.
pub fn part_kind(step: &Step) -> Option<SlotKind> {
    debug_assert_eq!(step.op, Op::Item);
    matches!(step.args.first(), Some(Arg::Slice(_))).then_some(step.receiver?.kind)
}

fn in_range(kind: SlotKind, index: u8) -> Slot {
    Slot::new(kind, index % kind.count())
}

/// Repairs one argument of this role.
pub(super) fn fix_arg(arg: &mut Arg, role: Role) {
    if role == Role::Buffers && !matches!(arg, Arg::List(_) | Arg::Tuple(_)) {
        *arg = Arg::List([std::mem::replace(arg, Arg::None)].into());
    }
    if !takes_hooks(role) {
        arg.parts_mut().iter_mut().for_each(Arg::lose_hook);
    }
    if let Some(whole) = of_c(arg, role) {
        *arg = whole;
    }
    match arg {
        Arg::Slice(_) if role != Role::Key => *arg = Arg::None,
        Arg::Bytes(_) | Arg::Str(_) | Arg::Slot(_) if role == Role::Pattern => {
            let known = |bytes: &[u8]| PATTERNS.iter().any(|pattern| pattern.as_bytes() == bytes);
            if !matches!(arg, Arg::Bytes(bytes) if known(bytes)) {
                *arg = Arg::bytes(PATTERNS[0].as_bytes());
            }
        }
        Arg::Str(_) | Arg::Bytes(_) | Arg::Slot(_) if role == Role::StructFormat => {
            if !matches!(arg, Arg::Str(format) if STRUCT_FORMATS.contains(&&**format)) {
                *arg = Arg::Str(STRUCT_FORMATS[0].into());
            }
        }
        Arg::List(items) | Arg::Tuple(items) => {
            if items.len() > limits::ITEMS {
                *items = items[..limits::ITEMS].into();
            }
            for item in items.iter_mut() {
                if matches!(item, Arg::List(_) | Arg::Tuple(_) | Arg::Slice(_)) {
                    *item = Arg::None;
                }
                fix_leaf(item);
            }
        }
        Arg::Slice(bounds) => {
            for bound in bounds.iter_mut() {
                if !bound.is_bound() {
                    *bound = Arg::None;
                }
                fix_leaf(bound);
            }
        }
        _ => fix_leaf(arg),
    }
}

/// What stands for an argument of a function of C, which cannot be told anything of another type.
fn of_c(arg: &Arg, role: Role) -> Option<Arg> {
    let small = |arg: &Arg, least: i128| match arg {
        Arg::Int(int) => Arg::int(int.value().clamp(least, 8) as i64),
        _ => Arg::int(0),
    };
    Some(match (role, arg) {
        (Role::Flags, Arg::Int(int)) => Arg::int(i64::from(int.value() as i32)),
        (Role::Flags, _) => Arg::int(0),
        (Role::ReadOrWrite, Arg::Int(int)) if int.value() == 0x200 => Arg::int(0x200),
        (Role::ReadOrWrite, _) => Arg::int(0x100),
        (Role::Order, Arg::Str(order)) if ORDERS.contains(&&**order) => return None,
        (Role::Order, _) => Arg::Str(ORDERS[0].into()),
        (Role::Numbers, Arg::List(items) | Arg::Tuple(items)) => {
            Arg::Tuple(items.iter().map(|item| small(item, -8)).collect())
        }
        (Role::Numbers, _) => Arg::Tuple([].into()),
        (Role::Small, _) => small(arg, 0),
        (Role::Block, Arg::Bytes(_)) => return None,
        (Role::Block, _) => Arg::bytes(b""),
        _ => return None,
    })
}

fn fix_leaf(arg: &mut Arg) {
    match arg {
        // An iterator as an argument is used up by whoever reads it; `next` covers iterators.
        Arg::Slot(slot) if slot.kind == SlotKind::Iterator => *arg = Arg::None,
        Arg::Slot(slot) => *slot = in_range(slot.kind, slot.index),
        Arg::Bytes(bytes) if bytes.len() > limits::LITERAL => *bytes = bytes[..limits::LITERAL].into(),
        Arg::Str(text) => {
            if let Some((cut, _)) = text.char_indices().nth(limits::TEXT) {
                *text = text[..cut].into();
            }
        }
        Arg::Int(int) => *int = super::Int::of(int.value()),
        _ => {}
    }
}
