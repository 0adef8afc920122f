//! The one entry point: runs a program on subjects and lets the judge decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::history::{History, Observation, Outcome};
use crate::judge::permitted::Catalogue;
use crate::judge::permitted::Standing;
use crate::judge::{Difference, Divergence, Verdict, compare};
use crate::program::{Op, Program};
use crate::schedule::lockstep::{Baton, Host, Lockstep, NoHost};
use crate::subject::{Model, Native, Subject, Trace, Version};

/// Is told where a run is, so that somebody knows when the process dies.
pub trait Watch: Send + 'static {
    /// The step at this place is about to run; past the last, the run comes to rest.
    fn at(&self, step: usize);
}

/// Counts of outcomes, for what a run was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Programs that were run.
    pub programs: u64,
    /// Steps that were run, those that were skipped included.
    pub steps: u64,
    /// How often each operation had each outcome.
    pub outcomes: BTreeMap<(Op, &'static str), u64>,
}

/// Subjects, and the threads to run programs on them.
pub struct Check {
    lockstep: Lockstep<Box<Run>>,
    /// `None` only while a run is under way.
    run: Option<Box<Run>>,
    catalogue: Arc<Catalogue>,
}

/// The baton: everything that a run needs and makes.
struct Run {
    program: Arc<Program>,
    next: usize,
    version: Version,
    model: Model,
    trace: Trace,
    subjects: Vec<Box<dyn Subject>>,
    /// Boxed, since every step has the chance of one and few make use of it.
    divergence: Option<Box<Divergence>>,
    /// Whether to keep what each step saw, and to hold it against what the program says.
    record: Option<History>,
    /// What the subjects saw of the step under way, and the messages of their errors; only for the record.
    seen: Option<Vec<(Outcome, Option<String>)>>,
    watch: Option<Box<dyn Watch>>,
    counts: Vec<[u64; OUTCOMES]>,
    tally: Tally,
}

/// `ok`, `skipped`, and one for each class of errors.
const OUTCOMES: usize = crate::history::ErrorClass::ALL.len() + 2;

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("subjects", &self.subjects()).finish_non_exhaustive()
    }
}

impl Check {
    /// The model of `version` against `subjects`, on threads of `host`.
    pub fn new(version: Version, subjects: Vec<Box<dyn Subject>>, host: Arc<dyn Host>) -> Check {
        let run = Run {
            program: Arc::default(),
            next: 0,
            version,
            model: Model::new(version),
            trace: Trace::default(),
            subjects,
            divergence: None,
            record: None,
            seen: None,
            watch: None,
            counts: vec![[0; OUTCOMES]; Op::all().count()],
            tally: Tally::default(),
        };
        Check { lockstep: Lockstep::new(host), run: Some(Box::new(run)), catalogue: Arc::default() }
    }

    /// The model against the native exporters: no Python.
    pub fn native(version: Version) -> Check {
        Check::new(version, vec![Box::new(Native::new(version))], Arc::new(NoHost))
    }

    /// With these known differences.
    #[must_use]
    pub fn with_catalogue(mut self, catalogue: Arc<Catalogue>) -> Check {
        self.catalogue = catalogue;
        self
    }

    /// With somebody who is told where a run is.
    #[must_use]
    pub fn with_watch(mut self, watch: Box<dyn Watch>) -> Check {
        self.idle().watch = Some(watch);
        self
    }

    /// The names of the subjects, in order.
    pub fn subjects(&self) -> Vec<String> {
        let run = self.run.as_ref().expect("no run is under way");
        run.subjects.iter().map(|subject| subject.name().to_owned()).collect()
    }

    /// Whether a divergence is a known bug.
    pub fn knows(&self, divergence: &Divergence) -> bool {
        let version = self.run.as_ref().expect("no run is under way").version;
        self.catalogue.covers(divergence, version).is_some()
    }

    /// Runs a program.
    pub fn run(&mut self, program: &Arc<Program>) -> Verdict {
        self.go(program, None).0
    }

    /// Runs a program, keeps what every step saw, and holds it against what the program says.
    pub fn record(&mut self, program: &Arc<Program>) -> (Verdict, History) {
        let (verdict, record) = self.go(program, Some(Vec::with_capacity(program.steps.len())));
        (verdict, record.expect("the record was asked for"))
    }

    /// What was run since the last call.
    pub fn take_tally(&mut self) -> Tally {
        let run = self.idle();
        let mut tally = std::mem::take(&mut run.tally);
        for (op, counts) in Op::all().zip(&mut run.counts) {
            for (place, count) in std::mem::replace(counts, [0; OUTCOMES]).into_iter().enumerate() {
                if count > 0 {
                    tally.outcomes.insert((op, label(place)), count);
                }
            }
        }
        tally
    }

    fn idle(&mut self) -> &mut Run {
        self.run.as_mut().expect("no run is under way")
    }

    fn go(&mut self, program: &Arc<Program>, record: Option<History>) -> (Verdict, Option<History>) {
        let mut run = self.run.take().expect("a run that ended gives everything back");
        run.program = Arc::clone(program);
        run.next = 0;
        run.seen = record.as_ref().map(|_| Vec::new());
        run.record = record;
        let Run { trace, model, .. } = &mut *run;
        trace.record(model, program);
        let mut run = self.lockstep.run(run);
        run.rest();
        run.count();
        let divergence = run.divergence.take();
        let record = run.record.take();
        let version = run.version;
        self.run = Some(run);
        (self.verdict(divergence, version), record)
    }

    fn verdict(&self, divergence: Option<Box<Divergence>>, version: Version) -> Verdict {
        match divergence {
            None => Verdict::Agree,
            Some(divergence) => match self.catalogue.covers(&divergence, version) {
                Some(entry) if entry.standing == Standing::Permitted => {
                    Verdict::Permitted(entry.id.clone(), *divergence)
                }
                _ => Verdict::Diverge(*divergence),
            },
        }
    }
}

fn place(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Value(_) => 0,
        Outcome::Skipped(_) => 1,
        Outcome::Raised(class) => 2 + *class as usize,
    }
}

fn label(place: usize) -> &'static str {
    match place {
        0 => "ok",
        1 => "skipped",
        _ => crate::history::ErrorClass::ALL[place - 2].name(),
    }
}

impl Baton for Box<Run> {
    fn lanes(&self) -> u8 {
        self.program.threads()
    }

    fn lane(&self) -> Option<u8> {
        if self.divergence.is_some() {
            return None;
        }
        self.program.steps.get(self.next).map(|step| step.lane())
    }

    fn run_leg(&mut self) {
        let Some(lane) = self.lane() else { return };
        if self.record.is_some() {
            while self.lane() == Some(lane) {
                self.observe();
            }
        } else {
            let later = &self.program.steps[self.next..];
            let leg = later.iter().position(|step| step.lane() != lane).unwrap_or(later.len());
            self.stretch(self.next + leg);
        }
    }
}

impl Run {
    /// Runs the steps up to `end` on one subject after the other, each on all of them at a stretch, and judges each.
    fn stretch(&mut self, mut end: usize) {
        let (start, program) = (self.next, &*self.program);
        for subject in &mut self.subjects {
            for at in start..end {
                // What the model leaves out is left out everywhere: it decides what is too long.
                if let Outcome::Skipped(_) = self.trace.outcomes()[at] {
                    continue;
                }
                if let Some(watch) = &self.watch {
                    watch.at(at);
                }
                let found = subject.step(&program.steps[at]);
                if let Some(seen) = &mut self.seen {
                    let message = if let Outcome::Raised(_) = found { subject.message() } else { None };
                    seen.push((found.clone(), message));
                }
                let divergence = compare::after_step(&self.trace, &mut **subject, program, at, found);
                if divergence.is_some() {
                    // The first step at which any subject differs is the one that is told, and of that the first
                    // subject: the others have to run only what is before it.
                    self.divergence = divergence;
                    self.next = at + 1;
                    end = at;
                    break;
                }
            }
        }
        if self.divergence.is_none() {
            self.next = end;
        }
    }

    /// Runs one step, and keeps what all subjects saw of it.
    fn observe(&mut self) {
        let at = self.next;
        self.stretch(at + 1);
        let seen = self.seen.as_mut().map(std::mem::take).unwrap_or_default();
        let model = self.trace.outcomes()[at].clone();
        if self.divergence.is_none() {
            let step = &self.program.steps[at];
            self.divergence = compare::expectation(&self.program, at, step, "model", &model);
        }
        if let Some(record) = &mut self.record {
            record.push(Observation { model, subjects: seen });
        }
    }

    /// Adds the steps that were run to the tally.
    fn count(&mut self) {
        self.tally.programs += 1;
        self.tally.steps += self.next as u64;
        for (step, outcome) in self.program.steps[..self.next].iter().zip(self.trace.outcomes()) {
            self.counts[step.op as usize][place(outcome)] += 1;
        }
    }

    /// Brings all subjects to rest, whether they diverged or not: the next run starts clean.
    fn rest(&mut self) {
        if let Some(watch) = &self.watch {
            watch.at(self.program.steps.len());
        }
        for subject in &mut self.subjects {
            let unrest = subject.rest();
            if let (None, Some(unrest)) = (&self.divergence, unrest) {
                let difference = Difference::Rest(unrest);
                self.divergence =
                    Some(Box::new(Divergence::new(subject.name(), &self.program, None, difference)));
            }
        }
    }
}
