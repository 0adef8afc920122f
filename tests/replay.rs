//! Replays the corpus on the model and on the native exporters: the folder is the verdict.
//!
//! `BLESS=1 cargo test -p buflock --test replay` writes what the model says into the files.

mod corpus_files;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use buflock::check::Check;
use buflock::judge::Verdict;
use buflock::program::generate::{self, Shape};
use buflock::program::{Op, Program, Step};
use buflock::schedule::NoHost;
use buflock::subject::Version;
use corpus_files::{File, Folder, at_step, files, is_for, range, step_lines};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let files = files();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        let failed: Vec<String> = files.iter().filter_map(|file| bless(file).err()).collect();
        failed.iter().for_each(|error| eprintln!("failed to bless {error}"));
        std::process::exit(i32::from(!failed.is_empty()));
    }
    let mut trials = Vec::new();
    for file in &files {
        for subject in ["model", "native"] {
            let file = file.clone();
            trials.push(Trial::test(format!("{subject}::{}", file.name()), move || {
                Ok(replay(&file, subject)?)
            }));
        }
    }
    let files: Arc<[File]> = files.into();
    let all: [(&str, Test); 4] = [
        ("every_file_says_in_a_comment_why_it_matters", every_file_is_explained),
        ("every_step_says_what_it_sees", every_step_has_an_expectation),
        ("every_operation_is_shown_to_succeed_and_to_fail", every_operation_is_shown),
        ("every_outcome_that_is_generated_is_shown", every_generated_outcome_is_shown),
    ];
    for (name, test) in all {
        let files = Arc::clone(&files);
        trials.push(Trial::test(name, move || test(&files)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test of all files at once.
type Test = fn(&[File]) -> Result<(), Failed>;

/// The versions that a program is for.
fn versions(program: &Program) -> impl Iterator<Item = Version> {
    Version::MINORS
        .map(|minor| Version { major: 3, minor, micro: 0 })
        .filter(|&version| is_for(program, version))
}

fn check(subject: &str, version: Version) -> Check {
    match subject {
        "native" => Check::native(version),
        _ => Check::new(version, Vec::new(), Arc::new(NoHost)),
    }
}

fn replay(file: &File, subject: &str) -> Result<(), String> {
    let program = file.program()?;
    if versions(&program).next().is_none() {
        return Err(format!("{}: no Python is {}", file.shown(), range(&program)));
    }
    for version in versions(&program) {
        match check(subject, version).record(&program).0 {
            Verdict::Agree => {}
            Verdict::Diverge(divergence) => {
                let at = at_step(file, divergence.step);
                return Err(format!("{at}: {} on {version}: {}", divergence.subject, divergence.difference));
            }
            other => return Err(format!("{} on {version}: {other:?}", file.shown())),
        }
    }
    Ok(())
}

fn every_file_is_explained(files: &[File]) -> Result<(), Failed> {
    for file in files {
        let explained = file
            .text
            .lines()
            .skip(1)
            .any(|line| line.strip_prefix("# ").is_some_and(|comment| !comment.starts_with("python")));
        if !explained {
            return Err(format!("{} has no comment", file.shown()).into());
        }
    }
    Ok(())
}

fn every_step_has_an_expectation(files: &[File]) -> Result<(), Failed> {
    for file in files {
        let program = file.program()?;
        if program.steps.is_empty() {
            return Err(format!("{} has no steps", file.shown()).into());
        }
        // What a step saw that races depends on the race.
        let races = program.schedule.races();
        let silent = |step: &Step| step.expect.is_none() && !(races && step.thread.is_some());
        if let Some(step) = program.steps.iter().position(silent) {
            return Err(format!("{}: the step has no `#!`", at_step(file, Some(step))).into());
        }
    }
    Ok(())
}

/// What each operation comes to, in programs that are run on the newest Python they are for.
fn outcomes(programs: impl Iterator<Item = Arc<Program>>) -> BTreeMap<Op, BTreeSet<&'static str>> {
    let mut outcomes: BTreeMap<Op, BTreeSet<&'static str>> = BTreeMap::new();
    for program in programs {
        let Some(version) = versions(&program).last() else { continue };
        let mut check = check("model", version);
        check.run(&program);
        for (op, label) in check.take_tally().outcomes.into_keys() {
            outcomes.entry(op).or_default().insert(label);
        }
    }
    outcomes
}

fn shown<'a>(files: impl Iterator<Item = &'a File>) -> Result<BTreeMap<Op, BTreeSet<&'static str>>, Failed> {
    let programs: Vec<Arc<Program>> = files.map(File::program).collect::<Result<_, _>>()?;
    Ok(outcomes(programs.into_iter()))
}

fn every_operation_is_shown(files: &[File]) -> Result<(), Failed> {
    // What cannot fail: dropping a reference, releasing an export, again included, `==`, arithmetic, and what is said of the next
    // step.
    let infallible = [Op::Drop, Op::ReleaseExport, Op::Equal, Op::ContiguousStrides, Op::Starve];
    // What cannot succeed, because it needs a file of the system.
    let hopeless = [Op::FileNo, Op::Detach];
    let shown = shown(files.iter().filter(|file| file.folder == Folder::Regressions))?;
    for op in Op::all() {
        let labels = shown.get(&op).cloned().unwrap_or_default();
        if !labels.contains("ok") && !hopeless.contains(&op) {
            return Err(format!("no regression shows {op:?} to succeed").into());
        }
        let fails = labels.iter().any(|label| !["ok", "skipped"].contains(label));
        if !fails && !infallible.contains(&op) {
            return Err(format!("no regression shows {op:?} to fail").into());
        }
    }
    Ok(())
}

/// In any folder: what CPython does otherwise is no regression.
fn every_generated_outcome_is_shown(files: &[File]) -> Result<(), Failed> {
    let shown = shown(files.iter())?;
    // What hooks raise, any operation with one raises: `tests/hooks.rs` asks for those.
    let shape = Shape { hooks: false, ..Shape::default() };
    let programs = (0..4_000).map(|index| Arc::new(generate::nth(1, index, shape)));
    let mut missing = Vec::new();
    for (op, labels) in outcomes(programs) {
        let known = shown.get(&op).cloned().unwrap_or_default();
        missing
            .extend(labels.difference(&known).filter(|label| **label != "skipped").map(|label| (op, *label)));
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("no file shows {missing:?}").into()) }
}

/// What a line is padded to before its expectation.
const STATEMENT_WIDTH: usize = 28;

/// Writes what the model says into a file; everything else in it stays.
fn bless(file: &File) -> Result<(), String> {
    let program = file.program()?;
    let mut bare = Program::clone(&program);
    bare.steps.iter_mut().for_each(|step| step.expect = None);
    let bare = Arc::new(bare);
    let mut expectations: Option<(Version, Vec<String>)> = None;
    for version in versions(&program) {
        let (_, record) = check("model", version).record(&bare);
        let found: Vec<String> = record.iter().map(|seen| seen.model.expectation().to_string()).collect();
        match &expectations {
            None => expectations = Some((version, found)),
            Some((first, expected)) => {
                if let Some(step) = (0..found.len()).find(|&step| expected[step] != found[step]) {
                    return Err(format!(
                        "{}: {} on {first} but {} on {version}: make two files, for `# python < 3.{minor}` and `# python >= 3.{minor}`",
                        at_step(file, Some(step)),
                        expected[step],
                        found[step],
                        minor = version.minor,
                    ));
                }
            }
        }
    }
    let (_, expectations) =
        expectations.ok_or_else(|| format!("{}: no Python is in its range", file.shown()))?;
    let mut lines: Vec<String> = file.text.lines().map(str::to_owned).collect();
    let races = program.schedule.races();
    for ((place, expectation), step) in step_lines(&file.text).zip(expectations).zip(&program.steps) {
        let statement = statement(&lines[place])
            .ok_or_else(|| format!("{}:{}: put the comment on its own line", file.shown(), place + 1))?;
        // What a step sees that races is a matter of the others.
        lines[place] = match step.thread {
            Some(_) if races => statement.to_owned(),
            _ => format!("{statement:<STATEMENT_WIDTH$}  #! {expectation}"),
        };
    }
    let text = lines.join("\n") + "\n";
    if text != file.text {
        println!("blessed {}", file.shown());
        std::fs::write(&file.path, text).map_err(|error| format!("{}: {error}", file.shown()))?;
    }
    Ok(())
}

/// The part of a step's line before `#!`; `None` if another comment follows the step.
fn statement(line: &str) -> Option<&str> {
    let mut quote = None;
    let mut characters = line.char_indices();
    while let Some((place, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '#') if line[place..].starts_with("#!") => return Some(line[..place].trim_end()),
            (None, '#') => return None,
            (None, _) => {}
        }
    }
    Some(line.trim_end())
}
