//! Programs whose threads race for objects, and never for names.
//!
//! If one thread gave a slot another object while others use it, it would depend on the harness which of the two objects
//! they use, and not on the exporters that are under test. So threads share what is named before they start, bind
//! nothing else than a view of their own each, and empty nothing but that.
//!
//! What a hook does would be several steps to other threads: such programs have none.
//!
//! At a barrier nobody is beside a step, so that it may be several to others.
//!
//! In lockstep the model is asked before each step, and what would end the process is left out. Threads that race ask
//! nobody, so that they do not do what the model leaves out because of what it does to memory.

use super::{Arg, Args, Guard, Op, Program, Schedule, Slot, SlotKind, Step, Syntax, Yields, fixup, limits};

/// What is in no such program: arrays of `ctypes`, which break the views on them, and maps of files, which a resize may
/// make unreadable.
const NEVER: [Op; 4] = [Op::NewCArray, Op::ResizeCArray, Op::MapFile, Op::Starve];

/// What is done before the threads start: it may write or point where nothing is, or to others it is several steps.
/// `bytearray.__init__` empties an object and then fills it, and `with` looks at one and then releases it. What comes of a
/// format, an error or a length, hangs on each of its bytes, which are nobody's promise beside a write.
const BEFORE: [Op; 8] = [
    Op::GetPointer,
    Op::FromContiguous,
    Op::FromMemory,
    Op::CopyData,
    Op::Advise,
    Op::Init,
    Op::With,
    Op::Remainder,
];

/// Those of them that may be done at a barrier.
const ALONE: [Op; 3] = [Op::Init, Op::With, Op::Remainder];

/// The view that only this thread binds: the last slots of views, one for each thread.
pub fn own_view(thread: u8) -> Slot {
    Slot::new(SlotKind::View, limits::VIEWS - limits::THREADS + thread)
}

/// Whether a slot is bound before the threads start, and by none of them.
pub fn is_shared(slot: Slot) -> bool {
    slot.kind != SlotKind::View || slot.index < limits::VIEWS - limits::THREADS
}

/// What is looked at when all threads are done: the exporters and views that they share, and the view of each of so many
/// threads, with its number.
pub fn seen_at_last(threads: u8) -> impl Iterator<Item = (Slot, Option<u8>)> {
    let slots = [SlotKind::Exporter, SlotKind::View].into_iter().flat_map(Slot::all);
    let shared = slots.filter(|slot| is_shared(*slot)).map(|slot| (slot, None));
    shared.chain((0..threads).map(|thread| (own_view(thread), Some(thread))))
}

/// Rewrites a program so that its threads share objects and never names. What binds a name that threads share is done
/// before they start. Idempotent; a valid program stays valid.
pub fn separate(program: &mut Program) {
    if !program.schedule.races() {
        program.schedule = Schedule::Concurrent;
    }
    let (mut before, mut racing) = (Vec::new(), Vec::new());
    let mut bound = [false; limits::THREADS as usize];
    for mut step in std::mem::take(&mut program.steps) {
        if NEVER.contains(&step.op) {
            continue;
        }
        if step.has_hooks() {
            step.parts_mut().for_each(Arg::lose_hook);
            fixup::fix_step(&mut step);
        }
        if let Some(thread) = step.thread
            && may_race(&mut step, thread)
        {
            // What was in a slot goes when the step is over, which to others is one step more.
            let (own, is_bound) = (own_view(thread), &mut bound[usize::from(thread)]);
            if step.dest == Some(own) && *is_bound && step.find_needed(|slot| slot == own).is_none() {
                // It is under the same lock, lest that be left for it.
                let guard = if step.guard == Guard::Barrier { Guard::None } else { step.guard };
                let empty = Step::new(Op::Drop, Some(own), Args::new(), None);
                racing.push(Step { thread: Some(thread), guard, ..empty });
            }
            *is_bound = step.dest == Some(own) || *is_bound && step.op != Op::Drop;
            racing.push(step);
        } else {
            (step.thread, step.guard) = (None, Guard::None);
            share(&mut step, None);
            before.push(step);
        }
    }
    before.append(&mut racing);
    program.steps = before;
}

/// Whether a step may be done by this thread beside others; it is made so where that leaves its sense.
fn may_race(step: &mut Step, thread: u8) -> bool {
    let binds_other = |slot: Slot| slot.kind != SlotKind::View;
    if BEFORE.contains(&step.op) && !(step.guard == Guard::Barrier && ALONE.contains(&step.op)) {
        return false;
    }
    match step.op.row().syntax {
        // A `bytes` or a map of items gives the slot another object.
        Syntax::InPlace(_) => return false,
        Syntax::Drop if step.receiver.is_some_and(is_shared) => return false,
        // What may go in a slot need not.
        _ if step.dest.is_some_and(binds_other) => match step.op.row().yields {
            Yields::Maybe(_) | Yields::Part => step.dest = None,
            Yields::Into(_) | Yields::Value => return false,
        },
        _ => {}
    }
    share(step, Some(thread));
    true
}

/// Names shared views by the slots of those, and all others by the view that the thread has to itself.
fn share(step: &mut Step, thread: Option<u8>) {
    let shared = limits::VIEWS - limits::THREADS;
    let mut rename = |slot: &mut Slot| {
        if slot.kind == SlotKind::View {
            match thread {
                Some(thread) if slot.index >= shared => *slot = own_view(thread),
                _ => slot.index %= shared,
            }
        }
    };
    step.rename_slots(&mut rename);
    if let (Some(thread), Some(dest)) = (thread, &mut step.dest)
        && dest.kind == SlotKind::View
    {
        *dest = own_view(thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::fixup::fixup;
    use crate::program::generate::{Schedules, Shape, nth};

    #[test]
    fn threads_bind_and_empty_nothing_but_their_own_view() {
        let shape = Shape { schedules: Schedules::Mixed, ..Shape::default() };
        for index in 0..2_000 {
            let mut program = nth(4, index, shape);
            separate(&mut program);
            let threads_start = program.steps.iter().position(|step| step.thread.is_some());
            let (before, racing) = program.steps.split_at(threads_start.unwrap_or(program.steps.len()));
            assert!(before.iter().all(|step| step.thread.is_none()));
            for step in racing {
                let thread = step.thread.expect("all of these are of a thread");
                assert!(step.dest.is_none_or(|slot| slot == own_view(thread)), "{step}");
                if step.op == Op::Drop {
                    assert_eq!(step.receiver, Some(own_view(thread)), "{step}");
                }
                step.clone().rename_slots(&mut |slot| {
                    assert!(is_shared(*slot) || *slot == own_view(thread), "{step}")
                });
            }
            let separated = program.clone();
            separate(&mut program);
            assert_eq!(program, separated);
            fixup(&mut program);
            assert_eq!(program, separated);
        }
    }
}
