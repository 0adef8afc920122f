//! Lets the threads of a program race.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Check, Run};
use crate::history::{History, Observation, Outcome, Raced, Skip};
use crate::judge::{Verdict, race};
#[cfg(all(feature = "explored", not(loom)))]
use crate::program::Turns;
use crate::program::racing::seen_at_last;
use crate::program::{Program, Schedule, Slot};
#[cfg(all(feature = "explored", not(loom)))]
use crate::schedule::explored::{self, Chooser, Strategy};
use crate::subject::{Model, Native, Subject};

/// How often a program whose threads race is run to see again what was seen once.
const RACES: u32 = 200;
/// How often it is to be seen; that is enough to say how often it shows.
const ENOUGH: u32 = 20;

/// How often a difference showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frequency {
    /// In so many runs.
    pub times: u32,
    /// Of so many.
    pub runs: u32,
}

impl Frequency {
    /// Whether it shows at least half as often as `other` does.
    pub fn is_near(self, other: Frequency) -> bool {
        2 * u64::from(self.times) * u64::from(other.runs) >= u64::from(other.times) * u64::from(self.runs)
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} runs", self.times, self.runs)
    }
}

/// What the threads of a subject saw; `None` if it has none that take turns, where the program has turns.
type Saw = Option<Vec<Raced>>;

/// Lets the threads of a program do their steps, each on one of these hands, and gives the hands back.
type Explore<'a> = &'a mut dyn FnMut(Vec<Box<dyn Subject>>) -> (Vec<Raced>, Vec<Box<dyn Subject>>);

impl Check {
    /// Lets the threads of a program race as its schedule says.
    pub(super) fn race(&mut self, place: usize, program: &Arc<Program>) -> (Verdict, Vec<Saw>) {
        let Schedule::Explored(turns) = &program.schedule else { return self.race_by(place, program, None) };
        self.take_turns(place, program, turns)
    }

    #[cfg(not(all(feature = "explored", not(loom))))]
    fn take_turns(&mut self, _: usize, _: &Arc<Program>, _: &crate::program::Turns) -> (Verdict, Vec<Saw>) {
        let why = "its threads take turns, in builds with the feature `explored` alone";
        (Verdict::Inconclusive(why.to_owned()), Vec::new())
    }

    #[cfg(all(feature = "explored", not(loom)))]
    fn take_turns(&mut self, place: usize, program: &Arc<Program>, turns: &Turns) -> (Verdict, Vec<Saw>) {
        let chooser = Chooser::given(turns);
        self.race_by(
            place,
            program,
            Some(&mut |hands| {
                let explored = explored::run(program, hands, &chooser);
                (explored.seen, explored.hands)
            }),
        )
    }

    /// Runs a program in so many ways, or until it diverges: the turns are not its own, but what strategies of shuttle
    /// choose. Gives the last run as a program that does it again, and its verdict.
    #[cfg(all(feature = "explored", not(loom)))]
    pub fn explore(&mut self, program: &Program, ways: u32, seed: u64) -> (Arc<Program>, Verdict) {
        let choosers = [Chooser::new(Strategy::Pct(3), seed), Chooser::new(Strategy::Random, seed)];
        let mut last = None;
        let program = Arc::new(program.clone());
        // One thread has no turns to take.
        let ways = if program.threads() > 1 { ways } else { 1 };
        for chooser in choosers.iter().cycle().take(ways as usize) {
            let mut taken = Turns::default();
            let verdict = self.race_by(
                0,
                &program,
                Some(&mut |hands| {
                    let explored = explored::run(&program, hands, chooser);
                    taken = explored.turns;
                    (explored.seen, explored.hands)
                }),
            );
            let is_over = matches!(verdict.0, Verdict::Diverge(_));
            let again = Program { schedule: Schedule::Explored(taken), ..(*program).clone() };
            last = Some((Arc::new(again), verdict.0));
            if is_over {
                break;
            }
        }
        last.expect("there is a way")
    }

    /// Lets the threads of a program race on every subject that threads can share, and judges what they saw. What it does
    /// before its threads start is judged in lockstep, and what is left at rest as ever. Gives also what each subject's
    /// threads saw; `place` is that of the program among those that were given.
    fn race_by(
        &mut self,
        place: usize,
        program: &Arc<Program>,
        mut explore: Option<Explore<'_>>,
    ) -> (Verdict, Vec<Saw>) {
        let mut run = self.run.take().expect("a run that ended gives everything back");
        run.begin(place, std::slice::from_ref(program));
        let start =
            program.steps.iter().position(|step| step.thread.is_some()).unwrap_or(program.steps.len());
        let Run { cases, subjects, watch, alarms, version, counts, tally, .. } = &mut *run;
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
                subjects.iter_mut().filter(|subject| start < program.steps.len() && subject.takes(program))
            {
                if explore.is_some() && subject.name() != Native::NAME {
                    saw.push(None);
                    continue;
                }
                let Some(hands) = subject.forks(program.threads()) else { continue };
                if let Some(watch) = watch {
                    watch.at(start);
                }
                self.races += 1;
                let known = if subject.name() == Native::NAME { &none } else { &self.known };
                let (seen, hands) = match &mut explore {
                    Some(explore) => explore(hands),
                    None => self.crew.run(program, hands, known, self.races),
                };
                let look = |(slot, thread): (Slot, Option<u8>)| match thread {
                    None => (slot, subject.look(slot)),
                    Some(thread) => (slot, hands[usize::from(thread)].look(slot)),
                };
                let after = seen_at_last(program.threads()).map(look).collect();
                drop(hands);
                let judged = race::judge(subject.name(), program, &before, &seen, after);
                if rank(&judged) > rank(&verdict) {
                    verdict = judged;
                }
                saw.push(Some(seen));
                case.hear(subject.name(), alarms);
            }
            for event in saw.iter().flatten().next().into_iter().flatten() {
                counts[program.steps[event.call].op as usize][super::place(&event.seen)] += 1;
                tally.steps += 1;
            }
        }
        run.rest();
        run.end();
        if let Verdict::Diverge(divergence) = &verdict {
            run.cases[0].divergence = Some(Box::new(divergence.clone()));
        }
        self.run = Some(run);
        match self.diverged(0) {
            None => (verdict, saw),
            diverged => (self.verdict(diverged), saw),
        }
    }

    /// Lets them race until it is clear how often they diverge, and gives the first run in which they did or else the last,
    /// as far as the first subject saw it.
    pub(super) fn race_again(&mut self, program: &Arc<Program>) -> (Verdict, History) {
        let races = if program.schedule == Schedule::Concurrent { RACES } else { 1 };
        let (mut verdict, mut saw) = (Verdict::Agree, Vec::new());
        let mut shown = Frequency { times: 0, runs: 0 };
        while shown.runs < races && shown.times < ENOUGH {
            let run = self.race(0, program);
            shown.runs += 1;
            match (&verdict, &run.0) {
                (Verdict::Diverge(first), Verdict::Diverge(again)) if first.signature != again.signature => {}
                (Verdict::Diverge(_), Verdict::Diverge(_)) => shown.times += 1,
                (Verdict::Diverge(_), _) => {}
                (_, now) => {
                    shown.times += u32::from(matches!(now, Verdict::Diverge(_)));
                    (verdict, saw) = run;
                }
            }
        }
        self.shown = Some(shown);
        let mut model = Model::new(self.idle().version);
        let observe = |(place, step)| {
            let expected: Outcome = model.step(step);
            // A step that raced had the outcome that it had: what the model says of the order of the list is no standard.
            let of = |seen: &Saw| match seen {
                None if step.thread.is_some() => Outcome::Skipped(Skip::NoTurns),
                seen => {
                    let event = seen.iter().flatten().find(|event| event.call == place);
                    event.map_or_else(|| expected.clone(), |event| event.seen.clone())
                }
            };
            let ran = saw.iter().find(|seen| seen.is_some());
            Observation {
                model: ran.map_or_else(|| expected.clone(), of),
                subjects: saw.iter().map(|seen| (of(seen), None)).collect(),
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
