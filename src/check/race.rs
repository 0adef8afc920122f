//! Lets the threads of a program race.

use std::sync::Arc;

use super::{Check, Run};
use crate::history::{History, Observation, Outcome, Raced};
use crate::judge::{Verdict, race};
use crate::program::racing::is_shared;
use crate::program::{Program, Slot, SlotKind};
use crate::subject::{Model, Native};

/// How often a program whose threads race is run to see again what was seen once.
const RACES: u32 = 200;

impl Check {
    /// Lets the threads of a program race on every subject that threads can share, and judges what they saw. What it does
    /// before its threads start is judged in lockstep, and what is left at rest as ever. Gives also what each subject's
    /// threads saw; `place` is that of the program among those that were given.
    pub(super) fn race(&mut self, place: usize, program: &Arc<Program>) -> (Verdict, Vec<Vec<Raced>>) {
        let mut run = self.run.take().expect("a run that ended gives everything back");
        run.begin(place, std::slice::from_ref(program));
        let start =
            program.steps.iter().position(|step| step.thread.is_some()).unwrap_or(program.steps.len());
        let Run { cases, subjects, watch, version, counts, tally, .. } = &mut *run;
        let case = &mut cases[0];
        case.run(start, subjects, watch.as_deref(), &mut None);
        let (mut verdict, mut saw, none) = (Verdict::Agree, Vec::new(), Arc::default());
        // What was done wrong before they start, they would all see.
        let spoilt = program.steps[..start]
            .iter()
            .zip(case.trace.outcomes())
            .any(|(step, outcome)| self.known.contains(&step.op) && matches!(outcome, Outcome::Raised(_)));
        if case.divergence.is_none() && !spoilt {
            let mut before = Model::new(*version);
            program.steps[..start].iter().for_each(|step| drop(before.step(step)));
            for subject in
                subjects.iter().filter(|subject| start < program.steps.len() && subject.takes(program))
            {
                let Some(hands) = subject.forks(program.threads()) else { continue };
                if let Some(watch) = watch {
                    watch.at(start);
                }
                self.races += 1;
                let known = if subject.name() == Native::NAME { &none } else { &self.known };
                let (seen, hands) = self.crew.run(program, hands, known, self.races);
                let slots = [SlotKind::Exporter, SlotKind::View].into_iter().flat_map(Slot::all);
                let after = slots.filter(|slot| is_shared(*slot)).map(|slot| (slot, subject.look(slot)));
                let after = after.collect();
                drop(hands);
                let judged = race::judge(subject.name(), program, &before, &seen, after);
                if rank(&judged) > rank(&verdict) {
                    verdict = judged;
                }
                saw.push(seen);
            }
            for event in saw.first().into_iter().flatten() {
                counts[program.steps[event.call].op as usize][super::place(&event.seen)] += 1;
                tally.steps += 1;
            }
        }
        run.rest();
        run.end();
        let unrest = run.cases[0].divergence.take();
        self.run = Some(run);
        let verdict = match (verdict, unrest) {
            (Verdict::Diverge(divergence), _) => self.verdict(Some(Box::new(divergence))),
            (_, unrest @ Some(_)) => self.verdict(unrest),
            (verdict, None) => verdict,
        };
        (verdict, saw)
    }

    /// Lets them race until they diverge, and gives that run or else the last, as far as the first subject saw it.
    pub(super) fn race_again(&mut self, program: &Arc<Program>) -> (Verdict, History) {
        let mut run = self.race(0, program);
        for _ in 1..RACES {
            if let Verdict::Diverge(_) = run.0 {
                break;
            }
            run = self.race(0, program);
        }
        let (verdict, saw) = run;
        let mut model = Model::new(self.idle().version);
        let observe = |(place, step)| {
            let expected: Outcome = model.step(step);
            // A step that raced had the outcome that it had: what the model says of the order of the list is no standard.
            let of = |seen: &Vec<Raced>| {
                let event = seen.iter().find(|event| event.call == place);
                event.map_or_else(|| expected.clone(), |event| event.seen.clone())
            };
            let subjects: Vec<_> = saw.iter().map(|seen| (of(seen), None)).collect();
            Observation {
                model: subjects.first().map_or(expected.clone(), |(first, _)| first.clone()),
                subjects,
            }
        };
        (verdict, program.steps.iter().enumerate().map(observe).collect())
    }
}

/// Which of two verdicts counts for more.
fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Agree => 0,
        Verdict::Inconclusive(_) => 1,
        Verdict::Permitted(..) | Verdict::Diverge(_) => 2,
    }
}
