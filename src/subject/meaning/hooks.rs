//! What an operation does when it converts a hook: it calls it, and the hook does steps of its own.

use std::borrow::Cow;

use super::super::heap::Heap;
use super::super::index;
use super::super::item::Wanted;
use super::{Result, Stop, is_exporter, iterables, operation, run, views};
use crate::history::{ErrorClass, Nested, Outcome, Skip};
use crate::program::{Answer, Arg, Hook, Int, Method, Op, Protocol, Slot, SlotKind, Step, Syntax, limits};

/// Calls a method of a hook. What it answers is `None` if that is no literal.
pub fn call<'a, H: Heap>(heap: &mut H, method: &'a Method) -> Result<&'a Arg> {
    if heap.nesting().log.len() >= limits::EVENTS {
        return Err(Stop::Skip(Skip::TooLong));
    }
    heap.nesting().log.push(Nested::Called(method.protocol));
    heap.nesting().depth += 1;
    let done = do_steps(heap, method);
    heap.nesting().depth -= 1;
    done?;
    match &method.answer {
        Answer::Return(arg) => Ok(arg),
        Answer::Raise(class) => Err((*class).into()),
        Answer::Itself | Answer::View(_) => Ok(&Arg::None),
    }
}

fn do_steps<H: Heap>(heap: &mut H, method: &Method) -> Result<()> {
    for step in &method.steps {
        let outcome = match step.thread {
            None => run(heap, step),
            Some(thread) => {
                let step = step.clone();
                heap.on_thread(thread, move |heap| run(heap, &step))
            }
        };
        // What its own hooks have done cannot be undone by itself; and what a Python breaks, others do not leave out.
        match outcome {
            Outcome::Skipped(skip @ (Skip::TooLong | Skip::Machine)) if step.has_hooks() => {
                return Err(Stop::Skip(skip));
            }
            Outcome::Skipped(Skip::Known) => return Err(Stop::Skip(Skip::Known)),
            _ => {}
        }
        heap.nesting().log.push(Nested::Saw(Box::new(step.clone()), outcome));
    }
    Ok(())
}

/// Runs a step with hooks. As an interpreter does, it refers to the exporters and views that it is about until it ends,
/// whatever hooks put into their slots.
pub(super) fn run_hooked<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let mut own = step.clone();
    let mut pins: Vec<(Slot, Slot)> = Vec::new();
    own.rename_needed(&mut |slot| {
        if !matches!(slot.kind, SlotKind::Exporter | SlotKind::View) {
            return;
        }
        let known = pins.iter().find(|(named, _)| named == slot).map(|(_, pin)| *pin);
        let pin = known.unwrap_or_else(|| {
            let pin = heap.nesting().pin(slot.kind);
            heap.share(*slot, pin);
            pins.push((*slot, pin));
            pin
        });
        *slot = pin;
    });
    let result = operation(heap, &own);
    // What it is done in place of is bound again.
    if let (Syntax::InPlace(_), Ok(_), Some(slot), Some(pin)) =
        (step.op.row().syntax, &result, step.receiver, own.receiver)
    {
        heap.share(pin, slot);
    }
    for (_, pin) in pins.into_iter().rev() {
        heap.empty(pin);
        heap.nesting().unpin(pin.kind);
    }
    result
}

/// What an object gives that is asked for what is wanted: a hook what its method answers, if it has that method, and any
/// other object itself.
pub fn asked<'a, H: Heap>(heap: &mut H, arg: &'a Arg, wanted: Wanted) -> Result<Cow<'a, Arg>> {
    let Some(hook) = arg.hook() else { return Ok(Cow::Borrowed(arg)) };
    Ok(match wanted {
        Wanted::Real if let Some(method) = hook.method(Protocol::Float) => match call(heap, method)? {
            Arg::Float(value) => Cow::Owned(Arg::Float(*value)),
            _ => return Err(ErrorClass::TypeError.into()),
        },
        Wanted::Int | Wanted::Real if hook.has(Protocol::Index) => {
            Cow::Owned(Arg::Int(Int::of(index::index(heap, arg)?)))
        }
        Wanted::Truth => Cow::Owned(Arg::int(truth(heap, hook)?.into())),
        _ => Cow::Borrowed(arg),
    })
}

/// `slot_bf_getbuffer`: the view that `__buffer__` answers. What is none is a `TypeError` (P1).
pub(super) fn lend<H: Heap>(heap: &mut H, hook: &Hook) -> Result<H::Lent> {
    let method = hook.method(Protocol::Buffer).ok_or(ErrorClass::TypeError)?;
    call(heap, method)?;
    match method.answer {
        Answer::View(slot) if is_exporter(heap, &Arg::Slot(slot)) => Ok(heap.lend_view(slot)?),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `PyObject_IsTrue`: what has neither method is true.
fn truth<H: Heap>(heap: &mut H, hook: &Hook) -> Result<bool> {
    if let Some(method) = hook.method(Protocol::Bool) {
        let answer = call(heap, method)?;
        return Ok(views::truth(heap, answer)?);
    }
    let length = hook.method(Protocol::Length).map(|method| iterables::length(heap, method)).transpose()?;
    Ok(length != Some(0))
}

/// Which memory the receiver had before its hooks ran, if the Python that is followed goes by it afterwards.
pub struct Memory(Option<(Slot, u32)>);

/// Remembers it for an operation that goes by it in all Pythons but those that have it `mended`.
pub fn remember<H: Heap>(heap: &mut H, step: &Step, mended: &[(u8, u8)]) -> Memory {
    let slot = step.receiver.filter(|_| step.has_hooks() && heap.is_guarded() && !heap.version().has(mended));
    Memory(slot.map(|slot| (slot, heap.replaced(slot))))
}

impl Memory {
    /// Leaves the step out where the object may have other memory, also where it is as long as before: what the step
    /// would read or write is not the object's.
    pub fn still_there<H: Heap>(&self, heap: &mut H) -> Result<()> {
        match self.0 {
            Some((slot, before)) if heap.replaced(slot) != before => Err(Stop::Skip(Skip::Known)),
            _ => Ok(()),
        }
    }
}

/// Whether a step of a hook, or of hooks within, may look at the object in a slot of exporters; to drop it is no look.
pub fn may_look<H: Heap>(heap: &H, hook: &Hook, slot: Slot) -> bool {
    let is_it = |other: Slot| match other.kind {
        SlotKind::Exporter => heap.holds(other) && heap.same(slot, other),
        SlotKind::Iterator | SlotKind::Export => true,
        SlotKind::View => false,
    };
    let looks = |step: &Step| {
        step.op != Op::Drop && step.find_needed(is_it).is_some()
            || step.hooks().any(|hook| may_look(heap, hook, slot))
    };
    hook.steps().any(looks)
}
