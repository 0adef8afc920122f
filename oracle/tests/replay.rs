//! Replays the corpus on the model, the native exporters and CPython: the folder is the verdict.

#[path = "../../tests/corpus_files/mod.rs"]
mod corpus_files;

use std::sync::{Arc, Mutex, PoisonError};

use buflock::check::Check;
use buflock::judge::permitted::Standing;
use buflock::judge::{Divergence, Verdict};
use buflock_oracle::{Interpreter, attached, catalogue, interpreter};
use corpus_files::{File, Folder, at_step, files, is_for, range, root};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let interpreter = interpreter::start().expect("failed to start Python");
    let subjects = ["native", "cpython"].map(str::to_owned);
    let check = attached(|| buflock_oracle::check(&interpreter, &subjects)).expect("the subjects exist");
    // One for all: what the interpreter complains of goes to the latest of its subjects.
    let check = Arc::new(Mutex::new(check));
    let mut trials = vec![
        Trial::test("every_entry_of_the_catalogue_is_shown_by_a_file", every_entry_is_shown),
        Trial::test("every_known_difference_has_one_entry_in_the_catalogue", every_file_is_named),
    ];
    trials.extend(files().into_iter().map(|file| trial(file, &interpreter, &check)));
    libtest_mimic::run(&arguments, trials).exit();
}

/// The trial of a file: ignored if it is for another Python.
fn trial(file: File, interpreter: &Interpreter, check: &Arc<Mutex<Check>>) -> Trial {
    let other = match file.program() {
        Ok(program) if !is_for(&program, interpreter.version) => Some(range(&program)),
        _ => None,
    };
    let check = Arc::clone(check);
    let trial = Trial::test(format!("cpython::{}", file.name()), move || {
        // The lock is taken first: a run detaches from the interpreter while it is held.
        let mut check = check.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(attached(|| replay(&file, &mut check))?)
    });
    match other {
        Some(range) => trial.with_kind(range).with_ignored_flag(true),
        None => trial,
    }
}

fn replay(file: &File, check: &mut Check) -> Result<(), String> {
    let (verdict, _) = check.record(&file.program()?);
    let found = match &verdict {
        Verdict::Agree => "the subjects agree".to_owned(),
        Verdict::Diverge(divergence) | Verdict::Permitted(_, divergence) => {
            let (at, message) = (at_step(file, divergence.step), message(divergence));
            let Divergence { subject, difference, signature, .. } = divergence;
            format!("{at}: {subject}: {difference}{message}\n{signature}")
        }
        Verdict::Inconclusive(reason) => reason.clone(),
    };
    match (file.folder, &verdict) {
        (Folder::Regressions, Verdict::Agree) => Ok(()),
        (Folder::Regressions, _) => Err(found),
        (_, Verdict::Agree) if may_agree(file) => Ok(()),
        (Folder::Divergences, Verdict::Diverge(divergence)) => is_known(file, Standing::Bug, divergence),
        (Folder::Permitted, Verdict::Permitted(_, divergence)) => {
            is_known(file, Standing::Permitted, divergence)
        }
        (Folder::Divergences | Folder::Permitted, _) => {
            Err(format!("{}: CPython must differ from the model, but {found}", file.shown()))
        }
    }
}

/// Whether the file says so on a line of its own: what it shows depends on memory that nobody has
/// written, so that a run may show nothing.
fn may_agree(file: &File) -> bool {
    file.text.lines().any(|line| line.trim() == "# may agree")
}

fn message(divergence: &Divergence) -> String {
    match &divergence.difference {
        buflock::judge::Difference::Outcome { message: Some(message), .. } => format!(" ({message})"),
        _ => String::new(),
    }
}

/// Whether the entry that names the file covers what it showed.
fn is_known(file: &File, standing: Standing, divergence: &Divergence) -> Result<(), String> {
    let catalogue = catalogue();
    let entry = catalogue.entries().iter().find(|entry| entry.shown_by == file.shown());
    match entry {
        Some(entry) if entry.standing == standing && entry.signatures.contains(&divergence.signature) => {
            Ok(())
        }
        Some(entry) => {
            Err(format!("{} shows {}, which {} does not cover", file.shown(), divergence.signature, entry.id))
        }
        None => Err(format!("no entry of the catalogue names {}", file.shown())),
    }
}

fn every_entry_is_shown() -> Result<(), Failed> {
    for entry in catalogue().entries() {
        if !root().join(&entry.shown_by).is_file() {
            return Err(format!("{} names {}, which does not exist", entry.id, entry.shown_by).into());
        }
        let folder = match entry.standing {
            Standing::Bug => "corpus/divergences/",
            Standing::Permitted => "corpus/permitted/",
        };
        if !entry.shown_by.starts_with(folder) {
            return Err(
                format!("{} is {:?} but its file is not in {folder}", entry.id, entry.standing).into()
            );
        }
    }
    Ok(())
}

fn every_file_is_named() -> Result<(), Failed> {
    for file in files().into_iter().filter(|file| file.folder != Folder::Regressions) {
        let names = catalogue().entries().iter().filter(|entry| entry.shown_by == file.shown()).count();
        if names != 1 {
            return Err(format!("{names} entries of the catalogue name {}", file.shown()).into());
        }
    }
    Ok(())
}
