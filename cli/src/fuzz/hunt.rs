//! A run under way: processes that fuzz, and what becomes of what they find.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use buflock::fuzz::Target;
use buflock::fuzz::session::{Measured, Session};
use buflock::report::{Death, Finding};

use super::edges::{self, Function, Whose};
use super::figures::Figures;
use super::home::{self, Run};
use super::process::{Ended, Process, Setup};
use crate::error::{Ending, Failure};
use crate::findings::{Findings, Wanted};
use crate::live::Live;
use crate::probing::{Fate, Prober};
use crate::stop::Stop;

/// A run, and what it came to so far.
pub struct Hunt<'a> {
    setup: &'a Setup,
    run: &'a Run,
    target: &'static Target,
    prober: Prober<'a>,
    findings: Findings,
    session: Session,
    stop: &'a Stop,
    live: Live,
    begun: Instant,
    figures: Figures,
    /// The functions of the target, once a process has told where its edges are.
    functions: Vec<Function>,
    /// The signatures of the deaths that were looked into.
    met: HashSet<String>,
}

impl<'a> Hunt<'a> {
    /// Nothing was run.
    pub fn new(
        setup: &'a Setup,
        run: &'a Run,
        target: &'static Target,
        prober: Prober<'a>,
        findings: Findings,
        stop: &'a Stop,
    ) -> Result<Hunt<'a>, Failure> {
        Ok(Hunt {
            setup,
            run,
            target,
            prober,
            findings,
            session: session(run)?,
            stop,
            live: Live::new(),
            begun: Instant::now(),
            figures: Figures::default(),
            functions: Vec::new(),
            met: HashSet::new(),
        })
    }

    /// Keeps what runs have found that were killed before they could.
    pub fn adopt(&mut self, left: &[Run]) -> Result<(), Failure> {
        for run in left {
            self.take(session(run)?.found())?;
            for artifact in run.artifacts() {
                self.look_into(&artifact, None)?;
            }
        }
        Ok(())
    }

    /// Fuzzes with so many processes at once, for so long.
    pub fn fuzz(&mut self, jobs: usize, time: Duration) -> Result<(), Failure> {
        self.begun = Instant::now();
        let until = self.begun + time;
        let left = || until.saturating_duration_since(Instant::now());
        let mut processes: Vec<Process> = Vec::new();
        let mut started = 0;
        let mut barren = 0;
        while !self.stop.wanted() && !left().is_zero() {
            while processes.len() < jobs {
                started += 1;
                processes.push(self.setup.fuzz(self.run, started, left())?);
            }
            std::thread::sleep(super::ROUND);
            let mut ended = Vec::new();
            for place in (0..processes.len()).rev() {
                if let Some(end) = processes[place].ended()? {
                    processes.swap_remove(place);
                    ended.push(end);
                }
            }
            for end in ended {
                let retired = self.session.retire(end.number);
                retired.map_err(|error| Failure::file("write to", &self.run.session(), &error))?;
                barren = if end.is_barren() { barren + 1 } else { 0 };
                self.bury(&end, barren)?;
            }
            self.look()?;
        }
        drop(processes);
        self.look()
    }

    /// What all came to.
    pub fn end(self) -> (Findings, Figures) {
        self.live.end();
        (self.findings, self.figures)
    }

    /// Takes what was found and measured, and shows how things are.
    fn look(&mut self) -> Result<(), Failure> {
        self.take(self.session.found())?;
        if self.functions.is_empty() {
            self.functions = edges::functions(&self.setup.executable, &self.session.edges())?;
        }
        let Measured { inputs, covered } = self.session.measured();
        let reach = |whose| edges::reach(&self.functions, whose, &covered);
        let figures = &mut self.figures;
        (figures.inputs, figures.seconds) = (inputs, self.begun.elapsed().as_secs_f64());
        (figures.edges.cpython, figures.edges.ours) = (reach(Whose::CPython), reach(Whose::Ours));
        figures.findings.known = self.session.known();
        self.live.show(figures.to_string());
        Ok(())
    }

    /// Keeps findings, each of which is then gone from where it was.
    fn take(&mut self, found: Vec<(PathBuf, Finding)>) -> Result<(), Failure> {
        for (path, finding) in found {
            let python = self.prober.facts().python.clone();
            self.keep(Finding { python, ..finding })?;
            home::remove(&path)?;
        }
        Ok(())
    }

    /// Saves a finding if nobody has seen its signature.
    fn keep(&mut self, finding: Finding) -> Result<(), Failure> {
        let signature = finding.told.signature.clone();
        let is_new = finding.known.is_none() && self.findings.wants(&signature, u64::MAX) == Wanted::New;
        if is_new {
            self.findings.save(finding)?;
            self.figures.findings.new += 1;
            self.live.say(&format!("found {signature}: {}", self.findings.path(&signature).display()));
        } else if !self.findings.is_fresh(&signature) {
            let noted = self.session.note_known(&signature);
            noted.map_err(|error| Failure::file("write to", &self.run.session(), &error))?;
        }
        Ok(())
    }

    /// Looks into what a process died of, one of so many in a row that left nothing to look into.
    fn bury(&mut self, ended: &Ended, barren: usize) -> Result<(), Failure> {
        const MOST_BARREN: usize = 5;
        if ended.is_over() {
            return Ok(());
        }
        self.figures.deaths += 1;
        if barren >= MOST_BARREN {
            let said = ended.said.as_deref().unwrap_or_default();
            return Err(Failure {
                ending: Ending::Environment,
                what: format!("{} cannot run: it ends with {}\n{said}", self.target.name, ended.how),
                next: None,
            });
        }
        for artifact in &ended.artifacts {
            self.look_into(artifact, Some(ended))?;
        }
        Ok(())
    }

    /// Looks into an input that a process did not survive, and keeps what it came to as a program.
    fn look_into(&mut self, artifact: &Path, ended: Option<&Ended>) -> Result<(), Failure> {
        let input = std::fs::read(artifact).map_err(|error| Failure::file("read", artifact, &error))?;
        self.run.forget(&input);
        let program = self.target.threads.read(&input);
        let said = ended.and_then(|ended| ended.said.clone());
        let what = home::kind(artifact).unwrap_or_else(|| {
            ended.map_or_else(|| "a death that nobody saw".to_owned(), |ended| ended.how.clone())
        });
        let death = Death { what, said, step: program.steps.len() };
        let unexplained = self.prober.facts().fault(&death, &program);
        // A death that a sanitizer has explained needs no other one.
        if self.met.contains(&unexplained.told.signature) {
            return home::remove(artifact);
        }
        let finding = match self.prober.probe(&program)? {
            None => return Ok(()),
            Some(Fate::Died(finding)) => *finding,
            // It takes what the process did before: what is known is what was seen then.
            Some(Fate::Ran(_)) => unexplained.clone(),
        };
        self.met.insert(unexplained.told.signature);
        self.keep(finding)?;
        home::remove(artifact)
    }
}

/// The session of a run, as the command has it.
fn session(run: &Run) -> Result<Session, Failure> {
    Session::new(&run.session(), 0).map_err(|error| Failure::file("make", &run.session(), &error))
}
