//! What is to be said of threads that raced: whether the model explains what they saw in some order.
//!
//! Results, error classes and lengths are exact, and so is what the shared objects hold at the end. Bytes are exact as
//! well unless some step wrote them while another one ran: then they are nobody's promise (clause D1), and any bytes do,
//! as long as there are as many. Where they decide more than that (whether `remove` finds what it removes), nothing is
//! known if no order is found, and that is said. The same holds where the model leaves a step out that the threads did.
//! Under a lock of the program no step runs beside another one, so that their bytes are exact (clause D2).
//!
//! A step that is given a buffer holds an export of it from its begin to its end, which no single point in time stands
//! for. So while it runs, what needs the object without exports may be refused, and then has changed nothing (S2).

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::linearize::{Linearization, Sequential, linearize};
use super::{Difference, Divergence, Verdict, compare};
use crate::history::{ErrorClass, Event, Outcome, Raced, Skip, Value};
use crate::program::{Op, Program, Slot, SlotKind, Step, limits};
use crate::subject::{Model, Picture};

/// How often the model may be asked about one history; most take one question for each step.
const BUDGET: usize = 50_000;

/// What is known of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Exact,
    /// As many as there should be.
    Any,
}

/// The model, as the judge asks it.
#[derive(Clone)]
struct Law<'p> {
    model: Model,
    bytes: Bytes,
    /// Whether it was asked for something that it leaves out.
    doubt: &'p Cell<bool>,
}

impl PartialEq for Law<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.model == other.model
    }
}

impl Eq for Law<'_> {}

impl Hash for Law<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.model.hash(state);
    }
}

/// A step of a thread, or a look at what a slot holds when all is over.
#[derive(Debug, Clone, Copy)]
enum Act<'p> {
    Step {
        step: &'p Step,
        /// Whether an object of it was held by another step while it ran.
        held: bool,
    },
    Look(Slot),
}

#[derive(Debug, Clone)]
enum Sight {
    Outcome(Outcome),
    Picture(Picture),
}

impl<'p> Sequential for Law<'p> {
    type Call = Act<'p>;
    type Seen = Sight;

    fn admits(&mut self, act: &Act<'p>, seen: &Sight) -> bool {
        match (act, seen) {
            // It was left out everywhere.
            (Act::Step { .. }, Sight::Outcome(Outcome::Skipped(Skip::Known))) => true,
            (Act::Step { step, held }, Sight::Outcome(seen)) => {
                let refused = *held && *seen == Outcome::Raised(ErrorClass::BufferError);
                let before = refused.then(|| self.model.clone());
                let expected = self.model.step(step);
                if let Some(before) = before {
                    // What is refused by the law as well may have asked an object that remembers it.
                    if expected != *seen {
                        self.model = before;
                    }
                    return true;
                }
                if matches!(expected, Outcome::Skipped(Skip::TooLong | Skip::Machine)) && expected != *seen {
                    self.doubt.set(true);
                }
                match self.bytes {
                    Bytes::Exact => compare::same_outcome(&expected, seen, |_| None),
                    Bytes::Any => compare::same_but_bytes(&expected, seen),
                }
            }
            (Act::Look(slot), Sight::Picture(seen)) => {
                let expected = Picture::from(&self.model.shown(*slot));
                expected.admits(seen, self.bytes == Bytes::Exact)
            }
            _ => unreachable!("a step has an outcome, and a look a picture"),
        }
    }
}

/// Judges what the threads of a program saw that raced on a subject from the state of `before` on, and what the shared
/// slots held afterwards.
pub fn judge(
    subject: &str,
    program: &Program,
    before: &Model,
    seen: &[Raced],
    after: Vec<(Slot, Picture)>,
) -> Verdict {
    let doubt = Cell::new(false);
    let steps = seen.iter().map(|event| Event {
        thread: event.thread,
        begun: event.begun,
        ended: event.ended,
        call: Act::Step { step: &program.steps[event.call], held: is_held(program, seen, event) },
        seen: Sight::Outcome(event.seen.clone()),
    });
    let end = seen.iter().map(|event| event.ended).max().unwrap_or(0);
    let looks = after.into_iter().map(|(slot, picture)| Event {
        thread: limits::THREADS,
        begun: end + 1,
        ended: end + 1,
        call: Act::Look(slot),
        seen: Sight::Picture(picture),
    });
    let events: Vec<_> = steps.chain(looks).collect();
    let ask = |bytes| {
        let law = Law { model: before.clone(), bytes, doubt: &doubt };
        linearize(law, &events, BUDGET)
    };
    let (longest, stuck) = match ask(Bytes::Exact) {
        Linearization::Explained(_) => return Verdict::Agree,
        Linearization::OverBudget => return Verdict::Inconclusive("too many orders".to_owned()),
        Linearization::Impossible { longest, stuck } => (longest, stuck),
    };
    if doubt.get() {
        return Verdict::Inconclusive("the model leaves a step out".to_owned());
    }
    if bytes_race(program, seen) {
        return match ask(Bytes::Any) {
            Linearization::Explained(_) => Verdict::Agree,
            Linearization::Impossible { .. } => {
                Verdict::Inconclusive("what happened may depend on bytes that raced".to_owned())
            }
            Linearization::OverBudget => Verdict::Inconclusive("too many orders".to_owned()),
        };
    }
    let mut law = Law { model: before.clone(), bytes: Bytes::Exact, doubt: &doubt };
    for place in &longest {
        law.admits(&events[*place].call, &events[*place].seen);
    }
    let mut model = law.model;
    let place = stuck[0];
    let first = match (events[place].call, events[place].seen.clone()) {
        (Act::Step { step, .. }, Sight::Outcome(found)) => {
            Difference::Outcome { expected: model.step(step), found, message: None }
        }
        (Act::Look(slot), Sight::Picture(found)) => {
            let expected = Picture::from(&model.shown(slot));
            Difference::State { slot, after: Outcome::Value(Value::None), expected, found }
        }
        _ => unreachable!("a step has an outcome, and a look a picture"),
    };
    let difference = Difference::Race { events: seen.to_vec(), longest, first: Box::new(first) };
    let step = seen.get(place).map(|event| event.call);
    Verdict::Diverge(Divergence::new(subject, program, step, difference))
}

/// Whether some step wrote bytes in place while another one ran that may have seen them.
fn bytes_race(program: &Program, seen: &[Raced]) -> bool {
    let memory = memory(&program.steps);
    let writes = |event: &&Raced| writes_in_place(program.steps[event.call].op);
    let sees = |write: &Raced, other: &Raced| memory[write.call] & memory[other.call] != 0;
    let is_seen = |write| seen.iter().any(|other| overlap(write, other) && sees(write, other));
    seen.iter().filter(writes).any(is_seen)
}

/// The exporters whose memory each step may be about, a bit for each: those that it names, and those of which what it names
/// was made. A copy is taken for what it was made of.
pub(super) fn memory(steps: &[Step]) -> Vec<u8> {
    const _: () = assert!(limits::EXPORTERS <= 8, "there is a bit for each exporter");
    let mut behind: HashMap<Slot, u8> =
        Slot::all(SlotKind::Exporter).map(|slot| (slot, 1 << slot.at())).collect();
    let of = |step: &Step, behind: &HashMap<Slot, u8>| {
        let mut all = 0;
        step.find_needed(|slot| {
            all |= behind.get(&slot).copied().unwrap_or(0);
            false
        });
        all
    };
    loop {
        let mut is_all = true;
        for step in steps {
            let Some(made) = step.dest else { continue };
            let source = of(step, &behind);
            let known = behind.entry(made).or_default();
            is_all &= *known | source == *known;
            *known |= source;
        }
        if is_all {
            return steps.iter().map(|step| of(step, &behind)).collect();
        }
    }
}

/// Whether an operation writes bytes without the lock of the object.
pub(super) fn writes_in_place(op: Op) -> bool {
    const ALL: [Op; 15] = [
        Op::ByteSwap,
        Op::CopyData,
        Op::FromContiguous,
        Op::FromFile,
        Op::LockedWrite,
        Op::Move,
        Op::PackInto,
        Op::ReadFromFile,
        Op::ReadInto,
        Op::Received,
        Op::Reverse,
        Op::SetItem,
        Op::Write,
        Op::WriteByte,
        Op::WriteLines,
    ];
    ALL.contains(&op)
}

/// Whether two threads were in these steps at once, as far as the clock can tell.
fn overlap(one: &Raced, other: &Raced) -> bool {
    one.thread != other.thread && one.begun <= other.ended && other.begun <= one.ended
}

/// Whether another step ran beside one that may have held an object of it.
fn is_held(program: &Program, seen: &[Raced], event: &Raced) -> bool {
    let steps = &program.steps;
    let holds = |other: &Raced| may_hold(steps, &steps[other.call], &steps[event.call]);
    seen.iter().any(|other| overlap(event, other) && holds(other))
}

/// Whether an object that a step names is an argument of another one, or the view that this is done on (a comparison
/// holds both of its sides), or behind the export that this is done on.
pub(super) fn may_hold(steps: &[Step], holder: &Step, step: &Step) -> bool {
    let names = |slot: Slot| step.find_needed(|own| own == slot).is_some();
    let on_it = holder.receiver.is_some_and(|slot| slot.kind == SlotKind::View && names(slot));
    let behind = |slot: Slot| names(slot) || is_made_of(steps, slot, &names);
    let on_export = holder.receiver.is_some_and(|slot| slot.kind == SlotKind::Export && behind(slot));
    on_it || on_export || holder.find_given(behind).is_some()
}

/// Whether what a slot holds was made of an object that `names` says yes to, before the threads started: whoever is given
/// it then may hold an export of that object.
fn is_made_of(steps: &[Step], slot: Slot, names: &impl Fn(Slot) -> bool) -> bool {
    let made = steps.iter().rposition(|step| step.thread.is_none() && step.dest == Some(slot));
    made.is_some_and(|at| {
        steps[at].find_needed(|source| names(source) || is_made_of(&steps[..at], source, names)).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse::parse;
    use crate::subject::Version;

    /// What is said of threads that saw this, each step of which ran at these times.
    fn judged(lines: &str, saw: &[(u64, u64, Value)]) -> Verdict {
        let program = parse(&format!("# buflock program 1\n# schedule concurrent\n{lines}")).unwrap();
        let mut before = Model::new(Version::NEWEST);
        let (mut seen, mut left) = (Vec::new(), saw.iter());
        for (call, step) in program.steps.iter().enumerate() {
            let Some(thread) = step.thread else {
                before.step(step);
                continue;
            };
            let (begun, ended, value) = left.next().unwrap().clone();
            seen.push(Raced { thread, begun, ended, call, seen: Outcome::Value(value) });
        }
        judge("native", &program, &before, &seen, Vec::new())
    }

    const LINES: &str = "b0 = bytearray(b\"a\")\nb1 = bytearray(b\"a\")\nT0: b0[0] = 98\n";

    #[test]
    fn bytes_that_are_read_beside_a_write_are_nobodys_promise_and_others_are_exact() {
        let stale = |line: &str, times: (u64, u64)| {
            let read = (times.0, times.1, Value::Int(99));
            judged(&format!("{LINES}{line}"), &[(0, 10, Value::None), read])
        };
        assert_eq!(stale("T1: b0[0]\n", (5, 15)), Verdict::Agree);
        // After the write, as a lock of the program makes sure.
        assert!(matches!(stale("T1: b0[0]\n", (11, 15)), Verdict::Diverge(_)));
        // Of other memory.
        assert!(matches!(stale("T1: b1[0]\n", (5, 15)), Verdict::Diverge(_)));
    }

    #[test]
    fn the_memory_of_a_step_is_that_of_whatever_its_objects_were_made_of() {
        let lines = "b0 = bytearray(2)\nb1 = bytearray(2)\nv0 = memoryview(b1)\nx0 = Lender(v0, \"lends\")\nT0: v4 = memoryview(x0)\n\
                     T0: v4[0]\nT1: len(b0)\nT1: zlib.crc32(b\"a\")\n";
        let program = parse(&format!("# buflock program 1\n# schedule concurrent\n{lines}")).unwrap();
        assert_eq!(memory(&program.steps), [0, 0, 0b10, 0b10, 0b10, 0b10, 0b01, 0]);
    }
}
