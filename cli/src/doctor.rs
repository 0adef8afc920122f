//! `buflock doctor`: whether all is in place that a run needs, and whether the run would find something.
//!
//! A tool that reports nothing may be right or may be blind. So besides looking for what is needed, mistakes are made on
//! purpose: in the Rust exporters, in exporters that are foreign to CPython, and in memory that a sanitizer watches.

use std::path::PathBuf;
use std::time::Instant;

use buflock::exporter::{Fault, planted};
use buflock::program::generate::{Schedules, Shape};
use buflock::program::{Allocator, Program, parse};
use buflock::protocol::{Found, Hello, Reply, Request};
use buflock::report::{Finding, Place};

use super::args::{Doctor, Workers};
use super::crew::Crew;
use super::error::{Ending, Failure};
use super::fuzz::tools as fuzzing;
use super::probing::{Facts, Fate, Prober};
use super::python::{self, Built, Sanitizer};
use super::start::{self, Started};
use super::stop::Stop;
use super::worker::{End, Recipe};
use super::{locate, output};

/// What a check came to.
type Verdict = Result<String, Failure>;

/// The table, as it is filled.
struct Table {
    /// Whether something that is needed is wrong.
    is_wrong: bool,
}

/// Whether a run can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It cannot.
    Needed,
    /// Only other commands need it.
    Elsewhere,
}

use Need::{Elsewhere, Needed};

impl Table {
    /// Prints a line, and what mends it; whether all is well there.
    fn row(&mut self, name: &str, need: Need, verdict: Verdict) -> Result<bool, Failure> {
        let is_well = verdict.is_ok();
        let text = match verdict {
            Ok(what) => format!("ok       {name:14} {what}\n"),
            Err(failure) => {
                self.is_wrong |= need == Needed;
                let word = if need == Needed { "wrong  " } else { "missing" };
                let next = failure.next.map(|next| format!("{:24}next: {next}\n", "")).unwrap_or_default();
                format!("{word}  {name:14} {}\n{next}", failure.what)
            }
        };
        output::print(&text)?;
        Ok(is_well)
    }
}

/// Looks at everything, and prints what it comes to.
pub fn doctor(args: &Doctor) -> Result<Ending, Failure> {
    let stop = Stop::listen()?;
    let built = args.python.as_deref().map(python::named).transpose()?;
    let sanitizer = built.as_ref().map_or(Sanitizer::None, |built| built.facts.sanitizer);
    let mut table = Table { is_wrong: false };
    let if_built = if built.is_some() { Needed } else { Elsewhere };
    let if_watched = if sanitizer == Sanitizer::None { Elsewhere } else { Needed };
    table.row("rust", if_built, locate::version(false))?;
    table.row("nightly rust", if_watched, locate::version(true))?;
    table.row("cargo-fuzz", Elsewhere, fuzzing::look_for_cargo_fuzz())?;
    table.row("c++", Elsewhere, fuzzing::look_for_compiler())?;
    let tools = python::look_for_tools(if built.is_some() { sanitizer } else { Sanitizer::Address });
    table.row("clang", Elsewhere, tools)?;
    table.row("disk", Elsewhere, python::look_for_room())?;
    let workers = Workers { python: args.python.clone(), ..Workers::usual(&args.limits) };
    match start::start(&workers, None) {
        Err(failure) => table.row("python", Needed, Err(failure)).map(drop)?,
        Ok(started) => {
            table.row("python", Needed, Ok(started.python()))?;
            table.row("gil", Needed, gil(&started.worker.hello))?;
            would_find(&mut table, started, built.as_ref(), &stop)?;
        }
    }
    Ok(if table.is_wrong { Ending::Environment } else { Ending::Clean })
}

/// Whether a Python that was built to run without the GIL does so.
fn gil(hello: &Hello) -> Verdict {
    match (hello.free_threaded, hello.gil) {
        (false, _) => Ok("this Python has one".to_owned()),
        (true, false) => Ok("this Python has none".to_owned()),
        (true, true) => Err(Failure::environment(
            "this Python was built to run without the GIL, and runs with it: threads take turns, and nothing races",
            "unset PYTHON_GIL",
        )),
    }
}

/// Makes mistakes, each of which a run must find.
fn would_find(
    table: &mut Table,
    started: Started,
    built: Option<&Built>,
    stop: &Stop,
) -> Result<(), Failure> {
    let facts = started.facts();
    let Started { recipe, worker, pages: _pages, .. } = started;
    drop(worker);
    let sanitizer = built.map_or(Sanitizer::None, |built| built.facts.sanitizer);
    // What AddressSanitizer sees first, it tells; ThreadSanitizer leaves crashes to others.
    let seen = if sanitizer == Sanitizer::Address { Place::Access } else { Place::Process };
    table.row("a crash", Needed, dies(&recipe, &facts, stop, "segv", Allocator::Usual, seen))?;
    let (how, allocator, place) = match sanitizer {
        Sanitizer::None => ("stale", Allocator::Debug, Place::Process),
        Sanitizer::Address => ("stale", Allocator::Usual, Place::Access),
        Sanitizer::Thread => ("race", Allocator::Usual, Place::Access),
    };
    let name = if sanitizer == Sanitizer::Thread { "a data race" } else { "a stale access" };
    table.row(name, Needed, dies(&recipe, &facts, stop, how, allocator, place))?;
    if let Some(built) = built {
        table.row("coverage", Needed, python::sing(built))?;
    }
    match plantable(&recipe, built) {
        Err(failure) => table.row("planted faults", Needed, Err(failure)).map(drop)?,
        Ok(path) => {
            let recipe = Recipe { path, ..recipe };
            table.row("in native", Needed, finds(&recipe, "native", stop))?;
            table.row("in pynative", Needed, finds(&recipe, "pynative", stop))?;
        }
    }
    Ok(())
}

/// A worker in whose exporters faults can be planted.
fn plantable(recipe: &Recipe, built: Option<&Built>) -> Result<PathBuf, Failure> {
    if planted::PLANTABLE { Ok(recipe.path.clone()) } else { locate::build_plantable(built) }
}

/// Whether a fault that is planted in the exporters of a subject is found in it.
fn finds(recipe: &Recipe, subject: &str, stop: &Stop) -> Verdict {
    /// Seen by one program in a few.
    const FAULT: Fault = Fault::ExportNotCounted;
    const PROGRAMS: u64 = 4096;
    const AT_ONCE: u64 = 256;
    let mut recipe = recipe.clone();
    recipe.workers.subjects = vec![subject.to_owned()];
    recipe.environment.push((planted::NAMED, FAULT.name().to_owned()));
    let mut crew = Crew::new(&recipe, 0, None, None);
    let shape = Shape { schedules: Schedules::Lockstep, ..Shape::default() };
    let Shape { steps, threads, schedules, .. } = shape;
    let begun = Instant::now();
    let mut worker = crew.take(Allocator::Usual)?;
    for first in (0..PROGRAMS).step_by(AT_ONCE as usize) {
        let request = Request::Run { seed: 1, first, count: AT_ONCE, steps, threads, schedules };
        let mut found = None;
        let asked = worker.ask(&request, stop, |reply| {
            let is_last = matches!(reply, Reply::Done(_));
            if let Reply::Found(Found { told, known: None, .. }) = reply {
                found.get_or_insert(told);
            }
            is_last
        });
        let seconds = begun.elapsed().as_secs_f64();
        match (found, asked) {
            (Some(told), _) => return Ok(format!("{FAULT} was found in {seconds:.1} s: {}", told.signature)),
            (None, Err(End::Fault { what, .. })) => {
                return Ok(format!("{FAULT} was found in {seconds:.1} s: {what}"));
            }
            (None, Err(End::Broken(why))) => return Err(Failure::environment(why, REBUILD)),
            (None, Err(End::Stopped)) => {
                return Err(Failure::environment("it was not looked at", "buflock doctor"));
            }
            (None, Ok(())) => {}
        }
    }
    let what =
        format!("{FAULT}, planted in {subject}, was not found in {PROGRAMS} programs: nor is anything else");
    Err(Failure::environment(what, REBUILD))
}

const REBUILD: &str = "cargo build --release --workspace --bins";

/// Whether it is told, and where, that something is wrong in the process of a worker which is made to do that.
fn dies(
    recipe: &Recipe,
    facts: &Facts,
    stop: &Stop,
    how: &str,
    allocator: Allocator,
    place: Place,
) -> Verdict {
    let mut recipe = recipe.clone();
    recipe.environment.push(("BUFLOCK_DIE_AT", format!("{}:1:{how}", u64::MAX)));
    let begun = Instant::now();
    let mut prober = Prober::new(&recipe, facts, None, stop);
    let fate = prober.probe(&any_program(allocator))?;
    let told = match fate {
        Some(Fate::Died(finding)) => Some(Finding::clone(&finding).told),
        Some(Fate::Ran(recording)) => recording.told,
        None => None,
    };
    let seconds = begun.elapsed().as_secs_f64();
    match told {
        Some(told) if told.place == place => Ok(format!("was seen in {seconds:.1} s: {}", told.signature)),
        told => {
            let seen = told.map_or_else(
                || "nothing was seen".to_owned(),
                |told| format!("what was seen is {}", told.found),
            );
            let what = format!("one was made on purpose ({how}), and {seen}: it would be missed in any run");
            Err(Failure::environment(what, REBUILD))
        }
    }
}

/// A program of two steps.
fn any_program(allocator: Allocator) -> Program {
    let mut program = parse::parse("# buflock program 1\nb0 = bytearray(2)\nlen(b0)\n").expect("it is one");
    program.allocator = allocator;
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gil_that_nobody_asked_for_is_wrong() {
        let has = |free_threaded, gil| gil_of(free_threaded, gil).is_ok();
        assert!(has(false, true) && has(true, false) && !has(true, true));
    }

    fn gil_of(free_threaded: bool, gil: bool) -> Verdict {
        super::gil(&Hello { free_threaded, gil, ..Hello::default() })
    }
}
