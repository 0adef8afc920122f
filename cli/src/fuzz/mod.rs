//! `buflock fuzz`: libFuzzer, guided by what is covered, in processes that are replaced when they die.
//!
//! What differs from the model, a target keeps as a finding and goes on (`buflock::fuzz::session`); what ends it is looked
//! into here. All that was found is kept the moment it is seen, and a run that is killed is taken up by the next.

mod coverage;
mod edges;
mod figures;
mod home;
mod hunt;
mod process;
mod target;
pub mod tools;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::args::Fuzz;
use super::error::{Ending, Failure};
use super::findings::{Findings, write_whole};
use super::locate;
use super::probing::Prober;
use super::start::{self, Started};
use super::stop::Stop;
use super::{show, summary};
use edges::Whose;
use figures::Figures;
use home::{Home, Run};
use hunt::Hunt;
use process::{Ended, Setup};
use target::Aim;

/// How often processes are looked after.
const ROUND: Duration = Duration::from_millis(100);

/// Fuzzes, and reports what was found.
pub fn fuzz(args: &Fuzz) -> Result<Ending, Failure> {
    let workers = args.workers();
    let aim = Aim::new(args.target, workers.python.as_deref(), args.sanitizer)?;
    let findings = Findings::open(&args.findings)?;
    let home = Home::open(args.corpus.as_deref(), args.target.name)?;
    target::look_for_tools(args.install)?;
    let stop = Stop::listen()?;
    let started = start::start(&workers, None)?;
    let facts = started.facts();
    let executable = aim.build()?;
    let (run, left) = home.begin(&aim.key())?;
    let setup = Setup {
        executable: run.path(args.target.name),
        environment: aim.environment(),
        hang_limit: args.limits.hang_limit,
        memory_limit: start::memory_limit(&args.limits, aim.sanitizer),
    };
    target::keep(&executable, &setup.executable)?;
    seed(&run);
    let Started { recipe, worker, pages, .. } = started;
    if args.coverage || args.html.is_some() {
        let whose =
            if aim.built.is_some() && aim.target.embeds_python() { Whose::CPython } else { Whose::Ours };
        let title = format!("{} on {}", args.target.name, facts.python);
        let ending = coverage::report(&setup, &run, whose, &title, args.html.as_deref(), &stop)?;
        run.remove();
        return Ok(ending);
    }
    let prober = Prober::new(&recipe, &facts, Some(worker), &stop);
    let mut hunt = Hunt::new(&setup, &run, args.target, prober, findings, &stop)?;
    hunt.adopt(&left)?;
    let jobs = args.jobs.map_or_else(start::cores, usize::from);
    hunt.fuzz(jobs, Duration::from_secs_f64(args.seconds))?;
    let (mut findings, mut figures) = hunt.end();
    let inputs = [&run].into_iter().chain(&left).map(Run::inputs).collect();
    let merged = merge(&home, &setup, &run, inputs, &stop);
    figures.added = *merged.as_ref().unwrap_or(&0);
    let reports = summary::report(&recipe, &facts, &mut findings, &stop, &args.findings)?;
    write_scripts(&mut Prober::new(&recipe, &facts, None, &stop), &findings)?;
    drop(pages);
    // What was not merged or looked into, also since the user wanted the end, is there for the next run.
    if merged.is_ok() && !stop.wanted() {
        left.into_iter().chain([run]).for_each(Run::remove);
    }
    figures.print(reports, &aim, &facts.python, args.format)?;
    merged?;
    figures.check(&aim)?;
    is_guided(&home, &figures, &stop)?;
    Ok(match (figures.inputs, figures.findings.new) {
        (0, _) => Ending::NothingRan,
        (_, 0) => Ending::Clean,
        _ => Ending::Findings,
    })
}

/// Whether libFuzzer has seen what is covered: then it has kept an input.
fn is_guided(home: &Home, figures: &Figures, stop: &Stop) -> Result<(), Failure> {
    if figures.inputs == 0 || stop.wanted() || !home::files(&home.corpus()).is_empty() {
        return Ok(());
    }
    let what =
        "libFuzzer has found no input to be of interest: it counts no coverage, and was guided by nothing";
    Err(Failure { ending: Ending::Environment, what: what.to_owned(), next: None })
}

/// Has the programs of the repository among the inputs.
fn seed(run: &Run) {
    let programs = locate::checkout().map(|folder| folder.join("../corpus/regressions"));
    for path in programs.iter().flat_map(|folder| home::files(folder)) {
        let _ = run.link(&path);
    }
}

/// Keeps the inputs that cover what none that is kept does; how many they are.
fn merge(home: &Home, setup: &Setup, run: &Run, from: Vec<PathBuf>, stop: &Stop) -> Result<usize, Failure> {
    /// Inputs of a run take less to run again than they took to be found.
    const PATIENCE: Duration = Duration::from_secs(600);
    let _held = home.lock("corpus")?;
    let merged = run.path("merged");
    std::fs::create_dir_all(&merged).map_err(|error| Failure::file("make", &merged, &error))?;
    for path in home::files(&home.corpus()) {
        home::link(&path, &merged).map_err(|error| Failure::file("link", &path, &error))?;
    }
    let mut process = setup.merge(&merged, &from)?;
    let begun = Instant::now();
    loop {
        match process.ended()? {
            Some(ended) if ended.is_over() => return home.add(&merged),
            Some(Ended { how, said, .. }) => {
                let said = said.unwrap_or_default();
                return Err(Failure {
                    ending: Ending::Environment,
                    what: format!("the inputs could not be merged: libFuzzer ended with {how}\n{said}"),
                    next: None,
                });
            }
            None if stop.wanted() || begun.elapsed() > PATIENCE => return Ok(0),
            None => std::thread::sleep(ROUND),
        }
    }
}

/// Writes a Python script beside each finding that is new.
fn write_scripts(prober: &mut Prober<'_>, findings: &Findings) -> Result<(), Failure> {
    for finding in findings.fresh() {
        if let Some(script) = show::script(prober, &finding)? {
            let path = findings.path(&finding.told.signature).with_extension("py");
            write_whole(&path, script.as_bytes())?;
        }
    }
    Ok(())
}
