//! `buflock replay`: files against what they say of themselves.

use std::path::Path;

use buflock::program::Program;

use super::args::Replay;
use super::error::{Ending, Failure};
use super::probing::{Facts, Fate, Prober};
use super::stop::Stop;
use super::{files, output, start};

/// How many files came to what.
#[derive(Debug, Default)]
struct Tally {
    agree: usize,
    differ: usize,
    /// They differ by a known bug.
    known: usize,
    permitted: usize,
    /// For another Python.
    other: usize,
    /// Malformed, or cannot be read.
    malformed: usize,
}

/// Replays all files, the malformed ones excepted.
pub fn replay(args: &Replay) -> Result<Ending, Failure> {
    let paths = files::find(&args.paths);
    let mut tally = Tally::default();
    let mut programs = Vec::new();
    for path in &paths {
        match files::read(path) {
            Ok(program) => programs.push((path, program)),
            Err(shown) => {
                eprintln!("{shown}\n");
                tally.malformed += 1;
            }
        }
    }
    if !programs.is_empty() {
        let stop = Stop::listen()?;
        let started = start::start(&args.workers, None)?;
        let facts = started.facts();
        let mut prober = Prober::new(&started.recipe, &facts, Some(started.worker), &stop);
        for (path, program) in &programs {
            // Of a folder, only what is not as it says is worth a line.
            let named = args.paths.contains(path);
            if !one(path, program, named, &facts, &mut prober, &mut tally)? {
                break;
            }
        }
    }
    let Tally { agree, differ, known, permitted, other, malformed } = tally;
    output::print(&format!(
        "{agree} agree, {differ} differ, {known} known, {permitted} permitted, {other} for another Python, {malformed} malformed\n"
    ))?;
    Ok(match (malformed, differ, agree + known + permitted) {
        (1.., _, _) => Ending::Usage,
        (0, 1.., _) => Ending::Findings,
        (0, 0, 0) => Ending::NothingRan,
        _ => Ending::Clean,
    })
}

/// Replays one file; false if the user wants the end.
fn one(
    path: &Path,
    program: &Program,
    named: bool,
    facts: &Facts,
    prober: &mut Prober<'_>,
    tally: &mut Tally,
) -> Result<bool, Failure> {
    let here = (facts.version.major, facts.version.minor);
    let name = path.display();
    if program.since.is_some_and(|since| here < since) || program.until.is_some_and(|until| here >= until) {
        tally.other += 1;
        if named {
            output::print(&format!("other      {name}: not for Python {}.{}\n", here.0, here.1))?;
        }
        return Ok(true);
    }
    let Some(fate) = prober.probe(program)? else { return Ok(false) };
    let told = match &fate {
        Fate::Died(finding) => Some((&finding.told, finding.known.as_deref())),
        Fate::Ran(recording) => recording.told.as_ref().map(|told| (told, recording.known.as_deref())),
    };
    let permitted = matches!(&fate, Fate::Ran(recording) if recording.permitted);
    let line = match told {
        None => {
            tally.agree += 1;
            if !named {
                return Ok(true);
            }
            format!("agree      {name}\n")
        }
        Some((told, known)) if permitted => {
            tally.permitted += 1;
            format!("permitted  {name}: {} differs, by {}\n", told.subject, known.unwrap_or("the catalogue"))
        }
        Some((told, known)) => {
            let verb = match known {
                Some(_) => {
                    tally.known += 1;
                    "known  "
                }
                None => {
                    tally.differ += 1;
                    "differs"
                }
            };
            let at = told.step.map_or_else(|| "at rest".to_owned(), |step| format!("at step {}", step + 1));
            let known = known.map(|entry| format!(" ({entry})")).unwrap_or_default();
            format!(
                "{verb}    {name}: {} {at}, clause {}{known}\n             expected {}\n             found    {}\n             buflock show {name}\n",
                told.subject, told.clause, told.expected, told.found
            )
        }
    };
    output::print(&line)?;
    Ok(true)
}
