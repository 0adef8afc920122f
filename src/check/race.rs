//! Lets the threads of a program race.

use std::sync::Arc;

use super::Check;
use crate::judge::{Verdict, race};
use crate::program::racing::is_shared;
use crate::program::{Program, Slot, SlotKind};
use crate::subject::Model;

impl Check {
    /// Lets the threads of a program race on every subject that threads can share, and judges what they saw; `seed`
    /// names the pauses. The names of the program are [separate](crate::program::racing::separate). What it does before
    /// its threads start is judged in lockstep, and what is left at rest as ever.
    pub fn race(&mut self, program: &Arc<Program>, seed: u64) -> Verdict {
        let mut run = self.run.take().expect("a run that ended gives everything back");
        run.begin(0, std::slice::from_ref(program));
        let start =
            program.steps.iter().position(|step| step.thread.is_some()).unwrap_or(program.steps.len());
        let super::Run { cases, subjects, watch, version, .. } = &mut *run;
        let case = &mut cases[0];
        case.run(start, subjects, watch.as_deref(), &mut None);
        let mut verdict = Verdict::Agree;
        if case.divergence.is_none() {
            let mut before = Model::new(*version);
            program.steps[..start].iter().for_each(|step| drop(before.step(step)));
            for subject in subjects.iter().filter(|_| start < program.steps.len()) {
                let Some(hands) = subject.forks(program.threads()) else { continue };
                let (seen, hands) = self.crew.run(program, hands, seed);
                let slots = [SlotKind::Exporter, SlotKind::View].into_iter().flat_map(Slot::all);
                let after = slots.filter(|slot| is_shared(*slot)).map(|slot| (slot, subject.look(slot)));
                let after = after.collect();
                drop(hands);
                match race::judge(subject.name(), program, &before, &seen, after) {
                    Verdict::Agree => {}
                    other if verdict == Verdict::Agree => verdict = other,
                    diverge @ Verdict::Diverge(_) if !matches!(verdict, Verdict::Diverge(_)) => {
                        verdict = diverge
                    }
                    _ => {}
                }
            }
            // They ran whether or not they can be explained.
            case.next = program.steps.len();
        }
        run.rest();
        run.end();
        let divergence = run.cases[0].divergence.take();
        self.run = Some(run);
        match verdict {
            Verdict::Diverge(divergence) => self.verdict(Some(Box::new(divergence))),
            verdict => match divergence {
                Some(_) => self.verdict(divergence),
                None => verdict,
            },
        }
    }
}
