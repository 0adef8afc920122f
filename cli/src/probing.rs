//! Asks workers about single programs: for replay, for reports and for shrinking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buflock::check::Frequency;
use buflock::judge::permitted::Catalogue;
use buflock::program::Program;
use buflock::report::{Death, Finding, Kind, Recording};

use super::crew::Crew;
use super::error::Failure;
use super::start::Started;
use super::stop::Stop;
use super::worker::{End, Recipe, Worker};
use buflock::protocol::{Reply, Request};

/// The longest that one program is shrunk: each try of one that hangs takes as long as the limit.
const SHRINKING: Duration = Duration::from_secs(60);

/// What became of one program.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It ran.
    Ran(Box<Recording>),
    /// The worker did not survive it.
    Died(Box<Finding>),
}

/// Workers for single programs, replaced when they die.
#[derive(Debug)]
pub struct Prober<'a> {
    facts: &'a Facts,
    crew: Crew<'a>,
    stop: Stop,
    /// Whether each program gets a worker of its own.
    fresh: bool,
}

/// What is known of the interpreter once a worker has started.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The version that the model follows.
    pub version: buflock::subject::Version,
    /// What the interpreter is called.
    pub python: String,
    /// What programs run on, besides the model.
    pub subjects: Vec<String>,
    /// The known bugs that such a build can show.
    pub catalogue: Arc<Catalogue>,
}

impl Started {
    /// What is known of the interpreter.
    pub fn facts(&self) -> Facts {
        let subjects = self.recipe.workers.subjects.clone();
        // The workers have it as well. One that died cannot say whether it was known to.
        let catalogue = Arc::new(Catalogue::cpython().for_build(self.worker.hello.free_threaded));
        Facts { version: self.version, python: self.python(), subjects, catalogue }
    }
}

impl Facts {
    /// The end of a worker that ran a program.
    pub fn fault(&self, death: &Death, program: &Program) -> Finding {
        Finding::fault(death, &self.subjects, program, self.version, &self.python, &self.catalogue)
    }
}

impl<'a> Prober<'a> {
    /// With a worker that is there already, or one that is started when it is needed.
    pub fn new(recipe: &'a Recipe, facts: &'a Facts, worker: Option<Worker>, stop: &Stop) -> Prober<'a> {
        /// Not that of any worker of a run.
        const NUMBER: usize = 1_000_000;
        Prober { facts, crew: Crew::new(recipe, NUMBER, None, worker), stop: stop.clone(), fresh: false }
    }

    /// What is known of the interpreter.
    pub fn facts(&self) -> &'a Facts {
        self.facts
    }

    /// Runs a program; `None` if the user wants the end.
    pub fn probe(&mut self, program: &Program) -> Result<Option<Fate>, Failure> {
        let mut worker = self.crew.take(program.allocator)?;
        let mut recording = None;
        let request = Request::Record { text: program.to_string() };
        let asked = worker.ask(&request, &self.stop, |reply| {
            if let Reply::Recorded(recorded) = reply {
                recording = Some(recorded);
            }
            true
        });
        match (asked, recording) {
            (Ok(()), Some(recording)) => {
                if !self.fresh {
                    self.crew.give_back(worker);
                }
                Ok(Some(Fate::Ran(Box::new(recording))))
            }
            (Err(End::Fault { what, step, said, .. }), _) => {
                let finding = self.facts.fault(&Death { what, said, step }, program);
                Ok(Some(Fate::Died(Box::new(finding))))
            }
            (Err(End::Stopped), _) => Ok(None),
            (Err(End::Broken(why)), _) => {
                Err(Failure::environment(why, "cargo build --release --workspace --bins"))
            }
            (Ok(()), None) => Err(Failure::environment(
                "the worker is of another version than this command",
                "cargo build --release --workspace --bins",
            )),
        }
    }

    /// How often a program shows this signature, if it does; always, unless its threads race.
    fn shows(&mut self, program: &Program, signature: &str) -> Result<Option<Frequency>, Failure> {
        let always = Frequency { times: 1, runs: 1 };
        let (told, shown) = match self.probe(program)? {
            Some(Fate::Ran(recording)) => (recording.told, recording.race.map_or(always, |race| race.shown)),
            Some(Fate::Died(finding)) => (Some(finding.told), always),
            None => (None, always),
        };
        Ok(told.filter(|told| told.signature == signature).map(|_| shown))
    }

    /// The smallest program that shows the same signature, and hardly less often than `shown`, as far as so many tries
    /// find it.
    fn shrink(
        &mut self,
        program: &Program,
        signature: &str,
        shown: Frequency,
        few: bool,
    ) -> Result<Program, Failure> {
        let tries = if few { 300 } else { 3000 };
        let until = Instant::now() + SHRINKING;
        let mut failure = None;
        let small = buflock::shrink::shrink_within(program, tries, |candidate| {
            if failure.is_some() || Instant::now() > until {
                return false;
            }
            let found = self.shows(candidate, signature).unwrap_or_else(|error| {
                failure = Some(error);
                None
            });
            found.is_some_and(|found| found.is_near(shown))
        });
        failure.map_or(Ok(small), Err)
    }

    /// A finding of a smaller program, or the same if there is none or if it does not show again.
    ///
    /// What a program sees can depend on what the process did before, as damage does. Where shrinking
    /// in one process leads nowhere, each candidate gets a process of its own.
    pub fn shrunk(&mut self, finding: &Finding, program: &Program) -> Result<Finding, Failure> {
        for fresh in [false, true] {
            self.fresh = fresh;
            let small = self.smaller(finding, program);
            self.fresh = false;
            if let Some(small) = small? {
                return Ok(small);
            }
        }
        Ok(finding.clone())
    }

    /// A finding of a smaller program, if that shows the same in a process of its own.
    fn smaller(&mut self, finding: &Finding, program: &Program) -> Result<Option<Finding>, Failure> {
        let few = self.fresh || matches!(finding.kind, Kind::Fault { .. });
        let Some(shown) = self.shows(program, &finding.told.signature)? else { return Ok(None) };
        let small = self.shrink(program, &finding.told.signature, shown, few)?;
        self.crew.dismiss();
        let again = match self.probe(&small)? {
            Some(Fate::Ran(recording)) => recording
                .told
                .map(|told| Finding::divergence(told, &small, self.facts.version, &self.facts.python)),
            Some(Fate::Died(died)) => Some(*died),
            None => None,
        };
        let same = again.filter(|again| again.told.signature == finding.told.signature);
        Ok(same.map(|again| Finding { origin: finding.origin, ..again }))
    }
}
