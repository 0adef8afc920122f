//! The one entry point: runs a program on subjects and lets the judge decide.

mod race;

pub use race::Frequency;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::history::{ErrorClass, History, Observation, Outcome};
use crate::judge::permitted::Catalogue;
use crate::judge::permitted::Standing;
use crate::judge::{self, Difference, Divergence, Verdict, compare};
use crate::program::starve::starves;
use crate::program::{Op, Program};
use crate::sanitizer::Alarm;
use crate::schedule::concurrent::Crew;
use crate::schedule::lockstep::{Baton, Lockstep};
use crate::schedule::{Host, NoHost, place as places};
use crate::subject::{Model, Native, Subject, Trace, Unrest, Version};

/// Is told where a run is, so that somebody knows when the process dies.
pub trait Watch: Send + 'static {
    /// The program at this place of those that were given is next, on the model or on a subject.
    fn program(&self, place: usize);
    /// The step at this place is about to run; past the last, the run comes to rest.
    fn at(&self, step: usize);
}

/// Gives what a sanitizer has said since it was last asked, where there is one that lets a process go on.
pub type Alarms = Box<dyn FnMut() -> Vec<Alarm> + Send>;

/// How many programs one subject runs before the next one does. Each begins with caches that are full of the code of
/// the one before it, which is felt over a single program of some thirty steps.
const AT_A_STRETCH: usize = 8;

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
    crew: Crew,
    /// How many programs raced: what their pauses are drawn from.
    races: u64,
    /// How often the program that was recorded last showed a difference, if its threads raced.
    shown: Option<Frequency>,
    /// `None` only while a run is under way.
    run: Option<Box<Run>>,
    catalogue: Arc<Catalogue>,
    /// What the catalogue names for this version.
    known: Arc<[Op]>,
}

/// The baton: everything that a run needs and makes.
struct Run {
    /// The programs under way, each on empty slots: several, if each has one thread. Those that are behind are kept
    /// for their memory.
    cases: Vec<Case>,
    under_way: usize,
    version: Version,
    model: Model,
    subjects: Vec<Box<dyn Subject>>,
    /// Whether to keep what each step saw, and to hold it against what the program says.
    record: Option<History>,
    /// What the subjects saw of the step under way, and the messages of their errors; only for the record.
    seen: Option<Vec<(Outcome, Option<String>)>>,
    watch: Option<Box<dyn Watch>>,
    alarms: Option<Alarms>,
    counts: Vec<[u64; OUTCOMES]>,
    tally: Tally,
}

/// One program, and how far it is.
#[derive(Default)]
struct Case {
    program: Arc<Program>,
    trace: Trace,
    /// The first step that not all subjects have run.
    next: usize,
    /// Whether there was no memory for a step, and what comes after it cannot be known.
    starved: bool,
    /// Boxed, since every step has the chance of one and few make use of it.
    divergence: Option<Box<Divergence>>,
    /// A divergence that came out at rest; what came out at a step counts for more.
    unrest: Option<Box<Divergence>>,
    /// What a sanitizer has seen.
    alarms: Vec<Divergence>,
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
            cases: Vec::new(),
            under_way: 0,
            version,
            model: Model::new(version),
            subjects,
            record: None,
            seen: None,
            watch: None,
            alarms: None,
            counts: vec![[0; OUTCOMES]; Op::all().count()],
            tally: Tally::default(),
        };
        let crew = Crew::new(Arc::clone(&host));
        Check {
            lockstep: Lockstep::new(host),
            crew,
            races: 0,
            shown: None,
            run: Some(Box::new(run)),
            catalogue: Arc::default(),
            known: Arc::default(),
        }
    }

    /// The model against the native exporters: no Python.
    pub fn native(version: Version) -> Check {
        Check::new(version, vec![Box::new(Native::new(version))], Arc::new(NoHost))
    }

    /// With these known differences.
    #[must_use]
    pub fn with_catalogue(mut self, catalogue: Arc<Catalogue>) -> Check {
        let version = self.version();
        self.known = Op::all().filter(|op| catalogue.names(*op, version)).collect();
        self.catalogue = catalogue;
        self
    }

    /// With somebody who is told where a run is.
    #[must_use]
    pub fn with_watch(mut self, watch: Box<dyn Watch>) -> Check {
        self.idle().watch = Some(watch);
        self
    }

    /// With a sanitizer that is listened to.
    #[must_use]
    pub fn with_alarms(mut self, alarms: Alarms) -> Check {
        self.idle().alarms = Some(alarms);
        self
    }

    /// The names of the subjects, in order.
    pub fn subjects(&self) -> Vec<String> {
        let run = self.run.as_ref().expect("no run is under way");
        run.subjects.iter().map(|subject| subject.name().to_owned()).collect()
    }

    /// The version that the model follows.
    pub fn version(&self) -> Version {
        self.run.as_ref().expect("no run is under way").version
    }

    /// Whether a divergence is a known bug.
    pub fn knows(&self, divergence: &Divergence) -> bool {
        self.catalogue.covers(divergence, self.version()).is_some()
    }

    /// Runs a program.
    pub fn run(&mut self, program: &Arc<Program>) -> Verdict {
        let mut verdict = None;
        self.run_all(std::slice::from_ref(program), |_, told| verdict = Some(told));
        verdict.expect("every program has a verdict")
    }

    /// Runs programs, several at a stretch on each subject, and gives the verdict of each with its place, in order.
    pub fn run_all(&mut self, programs: &[Arc<Program>], mut told: impl FnMut(usize, Verdict)) {
        let mut first = 0;
        let alone = |one: &Arc<Program>, other: &Arc<Program>| {
            [one, other].iter().all(|program| program.threads() == 1 && !program.schedule.races())
        };
        for programs in programs.chunk_by(alone).flat_map(|programs| programs.chunks(AT_A_STRETCH)) {
            if let [program] = programs
                && program.schedule.races()
            {
                told(first, self.race(first, program).0);
                first += 1;
                continue;
            }
            self.go(first, programs, None);
            for place in 0..programs.len() {
                let divergence = self.diverged(place);
                told(first + place, self.verdict(divergence));
            }
            first += programs.len();
        }
    }

    /// Runs a program, keeps what every step saw, and holds it against what the program says.
    ///
    /// Threads that race do not always do the same: such a program is run 200 times, or until it is confirmed often enough
    /// how it diverges ([`Check::shown`]).
    pub fn record(&mut self, program: &Arc<Program>) -> (Verdict, History) {
        self.shown = None;
        if program.schedule.races() {
            return self.race_again(program);
        }
        let record = Vec::with_capacity(program.steps.len());
        let record = self.go(0, std::slice::from_ref(program), Some(record));
        let divergence = self.diverged(0);
        (self.verdict(divergence), record.expect("the record was asked for"))
    }

    /// How often the program that was recorded last diverged as it did first, if its threads raced.
    pub fn shown(&self) -> Option<Frequency> {
        self.shown
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

    /// Runs programs at a stretch, of which the first is at this place of all: one, or several of one thread each.
    fn go(&mut self, first: usize, programs: &[Arc<Program>], record: Option<History>) -> Option<History> {
        let mut run = self.run.take().expect("a run that ended gives everything back");
        run.seen = record.as_ref().map(|_| Vec::new());
        run.record = record;
        run.begin(first, programs);
        if run.lanes() == 1 && run.record.is_none() {
            run.stretch(first);
        } else {
            run = self.lockstep.run(run);
            run.rest();
        }
        run.end();
        let record = run.record.take();
        self.run = Some(run);
        record
    }

    /// In what a program that has ended diverged, if it did. Of several ways, one that nobody knows counts for more.
    fn diverged(&mut self, place: usize) -> Option<Box<Divergence>> {
        let case = &mut self.idle().cases[place];
        let (first, alarms) = (case.divergence.take(), std::mem::take(&mut case.alarms));
        if alarms.is_empty() {
            return first;
        }
        let mut all: Vec<_> = first.into_iter().chain(alarms.into_iter().map(Box::new)).collect();
        let place = all.iter().position(|divergence| !self.knows(divergence)).unwrap_or(0);
        Some(all.swap_remove(place))
    }

    fn verdict(&self, divergence: Option<Box<Divergence>>) -> Verdict {
        let Some(divergence) = divergence else { return Verdict::Agree };
        match self.catalogue.covers(&divergence, self.version()) {
            Some(entry) if entry.standing == Standing::Permitted => {
                Verdict::Permitted(entry.id.clone(), *divergence)
            }
            _ => Verdict::Diverge(*divergence),
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
        self.cases[0].program.threads()
    }

    fn lane(&self) -> Option<u8> {
        let case = &self.cases[0];
        if case.divergence.is_some() || case.starved {
            return None;
        }
        case.program.steps.get(case.next).map(|step| step.lane())
    }

    fn run_leg(&mut self) {
        let Some(lane) = self.lane() else { return };
        if self.record.is_some() {
            while self.lane() == Some(lane) {
                self.observe();
            }
        } else {
            let Run { cases, subjects, watch, .. } = &mut **self;
            let case = &mut cases[0];
            let later = &case.program.steps[case.next..];
            let leg = later.iter().position(|step| step.lane() != lane).unwrap_or(later.len());
            case.run(case.next + leg, subjects, watch.as_deref(), &mut None);
        }
    }
}

impl Case {
    /// Runs the steps up to `end` on one subject after the other, each on all of them at a stretch, and judges each.
    fn run(
        &mut self,
        mut end: usize,
        subjects: &mut [Box<dyn Subject>],
        watch: Option<&dyn Watch>,
        seen: &mut Option<Vec<(Outcome, Option<String>)>>,
    ) {
        for subject in subjects {
            end = self.run_on(&mut **subject, end, watch, seen);
        }
        self.over(end);
    }

    /// Runs the steps up to `end` on a subject, and judges each. Gives the first that the other subjects need not run:
    /// of several that differ, the one that is told is the first step, and of that the first subject.
    fn run_on(
        &mut self,
        subject: &mut dyn Subject,
        end: usize,
        watch: Option<&dyn Watch>,
        seen: &mut Option<Vec<(Outcome, Option<String>)>>,
    ) -> usize {
        let program = &*self.program;
        if !subject.takes(program) {
            return end;
        }
        for at in self.next..end {
            // What the model leaves out is left out everywhere: it decides what is too long.
            if let Outcome::Skipped(_) = self.trace.outcomes()[at] {
                continue;
            }
            if let Some(watch) = watch {
                watch.at(at);
            }
            let step = &program.steps[at];
            let starved = starves(program, at);
            if let Some(after) = starved {
                subject.starve(after);
            }
            let (found, nested) = places::at(at, || {
                if step.has_hooks() {
                    subject.hooked_step(step, self.trace.nested(at))
                } else {
                    (subject.step(step), Vec::new())
                }
            });
            if let Some(seen) = seen {
                let message = if let Outcome::Raised(_) = found { subject.message() } else { None };
                seen.push((found.clone(), message));
            }
            if starved.is_some() && found == Outcome::Raised(ErrorClass::MemoryError) {
                self.starved = true;
                return at;
            }
            let divergence = compare::after_step(&self.trace, subject, program, at, (found, &nested));
            if divergence.is_some() {
                self.divergence = divergence;
                return at;
            }
        }
        end
    }

    /// All subjects have run the steps up to `end`, and one of them the next as well if it differed there.
    fn over(&mut self, end: usize) {
        self.next = end + usize::from(self.divergence.is_some() || self.starved);
    }

    /// Brings a subject to rest, whether it diverged or not: the next run starts clean.
    fn rest(&mut self, subject: &mut dyn Subject, watch: Option<&dyn Watch>) {
        if let Some(watch) = watch {
            watch.at(self.program.steps.len());
        }
        if let (Some(unrest), None) = (subject.rest(), &self.unrest) {
            let difference = Difference::Rest(unrest);
            self.unrest = Some(Box::new(Divergence::new(subject.name(), &self.program, None, difference)));
        }
        if subject.grown(false) > 0 && self.divergence.is_none() && self.unrest.is_none() {
            self.unrest = self.leak(subject, watch);
        }
    }

    /// Takes up what a sanitizer has said while a subject ran.
    fn hear(&mut self, subject: &str, alarms: &mut Option<Alarms>) {
        for alarm in alarms.iter_mut().flat_map(|alarms| alarms()) {
            self.alarms.extend(judge::alarm(subject, &self.program, alarm));
        }
    }

    /// The first step that leaves memory behind each time that the program runs up to there.
    fn leak(&mut self, subject: &mut dyn Subject, watch: Option<&dyn Watch>) -> Option<Box<Divergence>> {
        let all = self.program.steps.len();
        let mut found = self.growth(subject, all, watch);
        if found == 0 {
            return None;
        }
        let (mut without, mut with) = (0, all);
        while without + 1 < with {
            let end = without.midpoint(with);
            match self.growth(subject, end, watch) {
                0 => without = end,
                blocks => (with, found) = (end, blocks),
            }
        }
        let difference = Difference::Rest(Unrest::Leak(found));
        Some(Box::new(Divergence::new(subject.name(), &self.program, Some(without), difference)))
    }

    /// The blocks by which a subject grows at least each time that it runs the steps up to `end`.
    fn growth(&mut self, subject: &mut dyn Subject, end: usize, watch: Option<&dyn Watch>) -> usize {
        /// What is kept for later, such as a compiled pattern, is made but once.
        const RUNS: usize = 12;
        let (next, starved) = (std::mem::take(&mut self.next), self.starved);
        let mut least = usize::MAX;
        subject.grown(true);
        for _ in 0..RUNS {
            self.run_on(subject, end, watch, &mut None);
            let unrest = subject.rest();
            let other = unrest.is_some() || self.divergence.is_some();
            least = if other { 0 } else { least.min(subject.grown(true)) };
            if least == 0 {
                break;
            }
        }
        (self.next, self.starved) = (next, starved);
        least
    }
}

impl Run {
    /// Takes programs up, and runs them on the model.
    fn begin(&mut self, first: usize, programs: &[Arc<Program>]) {
        self.under_way = programs.len();
        self.cases.resize_with(self.cases.len().max(programs.len()), Case::default);
        for (place, (case, program)) in self.cases.iter_mut().zip(programs).enumerate() {
            if let Some(watch) = &self.watch {
                watch.program(first + place);
            }
            case.program = Arc::clone(program);
            (case.next, case.starved) = (0, false);
            case.trace.record(&mut self.model, program);
        }
    }

    /// Runs all the programs on one subject after the other. They have one thread, which is the caller's.
    fn stretch(&mut self, first: usize) {
        let Run { cases, subjects, watch, alarms, .. } = self;
        let (cases, watch) = (&mut cases[..self.under_way], watch.as_deref());
        let mut ends: smallvec::SmallVec<[usize; AT_A_STRETCH]> =
            cases.iter().map(|case| case.program.steps.len()).collect();
        for subject in subjects {
            for (place, (case, end)) in cases.iter_mut().zip(&mut ends).enumerate() {
                if let Some(watch) = watch {
                    watch.program(first + place);
                }
                *end = case.run_on(&mut **subject, *end, watch, &mut None);
                case.rest(&mut **subject, watch);
                case.hear(subject.name(), alarms);
            }
        }
        for (case, end) in cases.iter_mut().zip(ends) {
            case.over(end);
        }
    }

    /// Runs one step, and keeps what all subjects saw of it.
    fn observe(&mut self) {
        let Run { cases, subjects, watch, seen, record, .. } = self;
        let case = &mut cases[0];
        let at = case.next;
        case.run(at + 1, subjects, watch.as_deref(), seen);
        let seen = seen.as_mut().map(std::mem::take).unwrap_or_default();
        let model = case.trace.outcomes()[at].clone();
        if case.divergence.is_none() {
            let step = &case.program.steps[at];
            case.divergence = compare::expectation(&case.program, at, step, "model", &model);
        }
        if let Some(record) = record {
            record.push(Observation { model, subjects: seen });
        }
    }

    /// Brings all subjects to rest after a program that ran in legs.
    fn rest(&mut self) {
        for subject in &mut self.subjects {
            self.cases[0].rest(&mut **subject, self.watch.as_deref());
            self.cases[0].hear(subject.name(), &mut self.alarms);
        }
    }

    /// Decides what came of each program, and adds the steps that were run to the tally.
    fn end(&mut self) {
        for case in &mut self.cases[..self.under_way] {
            let unrest = case.unrest.take();
            case.divergence = case.divergence.take().or(unrest);
            self.tally.programs += 1;
            self.tally.steps += case.next as u64;
            for (step, outcome) in case.program.steps[..case.next].iter().zip(case.trace.outcomes()) {
                self.counts[step.op as usize][place(outcome)] += 1;
            }
        }
    }
}
