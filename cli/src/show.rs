//! `buflock show`, `shrink` and `repro`: one file.

use std::path::Path;

use buflock::history::{Outcome, Skip};
use buflock::program::{Program, parse};
use buflock::report::{Finding, Place, Recording, Sight, Told, expectations, python, stated, terminal};

use super::args::{One, OneOut};
use super::error::{Ending, Failure};
use super::probing::{Facts, Fate, Prober};
use super::start;
use super::stop::Stop;
use super::{files, output};

/// What became of the program of a file.
struct Seen {
    program: Program,
    fate: Fate,
    facts: Facts,
}

/// Runs the program of a file, and then `f` with what can run others.
fn with<R>(
    path: &Path,
    workers: &super::args::Workers,
    f: impl FnOnce(&Seen, &mut Prober<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let program = files::read_one(path)?;
    let stop = Stop::listen()?;
    let started = start::start(workers, None)?;
    let facts = started.facts();
    let mut prober = Prober::new(&started.recipe, &facts, Some(started.worker), &stop);
    let fate = prober.probe(&program)?.ok_or_else(|| Failure {
        ending: Ending::NothingRan,
        what: format!("{} did not run to its end", path.display()),
        next: None,
    })?;
    f(&Seen { program, fate, facts: facts.clone() }, &mut prober)
}

impl Seen {
    fn told(&self) -> Option<&Told> {
        match &self.fate {
            Fate::Ran(recording) => recording.told.as_ref(),
            Fate::Died(finding) => Some(&finding.told),
        }
    }

    /// The steps that were left out since this Python is known to do them otherwise.
    fn left_out(&self) -> Vec<usize> {
        let Fate::Ran(recording) = &self.fate else { return Vec::new() };
        let known = Outcome::Skipped(Skip::Known).to_string();
        let is_known = |sight: &Sight| sight.subjects.iter().any(|(saw, _)| *saw == known);
        (0..recording.steps.len()).filter(|&at| is_known(&recording.steps[at])).collect()
    }

    /// A Python script that shows what was seen.
    fn script(&self) -> Result<String, python::TooManyOrders> {
        let Seen { program, facts, .. } = self;
        let told = self.told();
        // A file that contradicts the model keeps what it says.
        let from_file = told.is_none_or(|told| {
            said_by_the_file(told) || matches!(told.place, Place::Process | Place::Access)
        });
        let program = if from_file { program.clone() } else { stated(program, None, facts.version) };
        python::script(&program, told, &self.left_out(), facts.version, &facts.python)
    }

    fn ending(&self) -> Ending {
        let permitted = matches!(&self.fate, Fate::Ran(recording) if recording.permitted);
        if self.told().is_some() && !permitted { Ending::Findings } else { Ending::Clean }
    }
}

/// `buflock show FILE`
pub fn show(args: &One) -> Result<Ending, Failure> {
    with(&args.file, &args.workers, |seen, _| {
        let file = args.file.display().to_string();
        output::print(&rendered(&seen.program, &seen.fate, &seen.facts, &file))?;
        Ok(seen.ending())
    })
}

/// The report of a finding that is saved at `path`.
pub fn finding(prober: &mut Prober<'_>, finding: &Finding, path: &Path) -> Result<String, Failure> {
    let Ok(program) = parse::parse(&finding.program) else { return Ok(finding.file()) };
    let file = path.display().to_string();
    let facts = prober.facts().clone();
    let again = prober.probe(&program)?;
    Ok(match &again {
        Some(fate) if told(fate).is_some() => rendered(&program, fate, &facts, &file),
        // It does not show again: what is known is what was seen then.
        _ => {
            let mut recording = died(&program, &finding.told, &facts);
            if let Some(Fate::Ran(ran)) = again {
                recording.race = ran.race;
            }
            terminal::render(&program, &recording, Some(&file), output::look())
        }
    })
}

fn told(fate: &Fate) -> Option<&Told> {
    match fate {
        Fate::Ran(recording) => recording.told.as_ref(),
        Fate::Died(finding) => Some(&finding.told),
    }
}

fn rendered(program: &Program, fate: &Fate, facts: &Facts, file: &str) -> String {
    let recording = match fate {
        Fate::Ran(recording) => (**recording).clone(),
        Fate::Died(finding) => {
            Recording { known: finding.known.clone(), ..died(program, &finding.told, facts) }
        }
    };
    terminal::render(program, &recording, Some(file), output::look())
}

/// What can be said of a run whose worker died: what the model says of the steps up to there.
fn died(program: &Program, told: &Told, facts: &Facts) -> Recording {
    let end = told.step.map_or(program.steps.len(), |step| step + 1);
    let says = expectations(program, facts.version).into_iter().take(end);
    Recording {
        python: facts.python.clone(),
        subjects: facts.subjects.clone(),
        steps: says.map(|says| Sight { model: says.to_string(), subjects: Vec::new() }).collect(),
        told: Some(told.clone()),
        known: None,
        permitted: false,
        race: None,
    }
}

/// `buflock shrink FILE`
pub fn shrink(args: &OneOut) -> Result<Ending, Failure> {
    with(&args.file, &args.workers, |seen, prober| {
        let Some(told) = seen.told() else {
            eprintln!(
                "{}: all agree with the model, so there is nothing to keep; it is not shrunk",
                args.file.display()
            );
            output::to(args.out.as_deref(), &seen.program.to_string())?;
            return Ok(Ending::Clean);
        };
        let found = match &seen.fate {
            Fate::Died(finding) => (**finding).clone(),
            Fate::Ran(_) => {
                Finding::divergence(told.clone(), &seen.program, seen.facts.version, &seen.facts.python)
            }
        };
        let by_file = said_by_the_file(told);
        let small = if by_file { found.clone() } else { prober.shrunk(&found, &seen.program)? };
        if by_file {
            eprintln!(
                "{}: it is the file that differs from the model, which no smaller program shows",
                args.file.display()
            );
        }
        let steps = |program: &str| parse::parse(program).map_or(0, |program| program.steps.len());
        eprintln!(
            "{}: {} steps, of {}; {}",
            args.file.display(),
            steps(&small.program),
            seen.program.steps.len(),
            small.told.signature
        );
        output::to(args.out.as_deref(), &small.file())?;
        // It did what was asked: whoever chains commands goes on.
        Ok(Ending::Clean)
    })
}

/// Whether the difference is between the file and the model, not between the model and a subject.
fn said_by_the_file(told: &Told) -> bool {
    told.subject == "model"
}

/// `buflock repro FILE`
pub fn repro(args: &OneOut) -> Result<Ending, Failure> {
    with(&args.file, &args.workers, |seen, _| {
        let script = seen.script().map_err(|error| Failure {
            ending: Ending::NothingRan,
            what: format!("{}: {error}", args.file.display()),
            next: Some(format!("buflock shrink {} -o shrunk.prog   makes it smaller", args.file.display())),
        })?;
        output::to(args.out.as_deref(), &script)?;
        Ok(Ending::Clean)
    })
}

/// A script that shows a saved finding, unless there can be none.
pub fn script(prober: &mut Prober<'_>, finding: &Finding) -> Result<Option<String>, Failure> {
    let Ok(program) = parse::parse(&finding.program) else { return Ok(None) };
    let facts = prober.facts().clone();
    let Some(fate) = prober.probe(&program)? else { return Ok(None) };
    Ok(Seen { program, fate, facts }.script().ok())
}
