//! Replays the corpus on the model, the native exporters and CPython, and on the exporters as Python classes: the
//! folder is the verdict.

#[path = "../../tests/corpus_files/mod.rs"]
mod corpus_files;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use buflock::check::Check;
use buflock::judge::permitted::{Catalogue, Entry, Standing};
use buflock::judge::{Difference, Divergence, Verdict};
use buflock::program::allocator::Allocator;
use buflock::report::versions;
use buflock::subject::Version;
use buflock_oracle::{Interpreter, attached, catalogue, interpreter};
use corpus_files::{File, Folder, at_step, files, is_for, range, root};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let interpreter = interpreter::start().expect("failed to start Python");
    let check = |subjects: &[&str]| {
        let subjects: Vec<String> = subjects.iter().map(|&name| name.to_owned()).collect();
        let check = attached(|| buflock_oracle::check(&interpreter, &subjects));
        Arc::new(Mutex::new(check.expect("the subjects exist")))
    };
    let checks = [("cpython", check(&["native", "cpython"])), ("pynative", check(&["pynative"]))];
    let mut trials = vec![
        Trial::test("every_entry_of_the_catalogue_is_shown_by_a_file", every_entry_is_shown),
        Trial::test("the_table_of_known_bugs_is_that_of_the_catalogue", the_table_is_up_to_date),
        Trial::test("every_known_difference_has_one_entry_in_the_catalogue", every_file_is_named),
    ];
    for file in files() {
        trials
            .extend(checks.iter().map(|(subject, check)| trial(file.clone(), subject, &interpreter, check)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// The trial of a file: ignored if it is for another Python.
fn trial(file: File, subject: &'static str, interpreter: &Interpreter, check: &Arc<Mutex<Check>>) -> Trial {
    let other = match file.program() {
        Ok(program) if !is_for(&program, interpreter.version) => Some(range(&program)),
        _ => None,
    };
    let (check, python) = (Arc::clone(check), interpreter.version);
    let trial = Trial::test(format!("{subject}::{}", file.name()), move || {
        // The lock is taken first: a run detaches from the interpreter while it is held.
        let mut check = check.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(attached(|| replay(&file, subject, python, &mut check))?)
    });
    match other {
        Some(range) => trial.with_kind(range).with_ignored_flag(true),
        None => trial,
    }
}

fn replay(file: &File, subject: &str, python: Version, check: &mut Check) -> Result<(), String> {
    let program = file.program()?;
    let (verdict, _) = check.record(&program);
    let found = match &verdict {
        Verdict::Agree => "the subjects agree".to_owned(),
        Verdict::Diverge(divergence) | Verdict::Permitted(_, divergence) => {
            let (at, message) = (at_step(file, divergence.step), message(divergence));
            let Divergence { subject, difference, signature, .. } = divergence;
            format!("{at}: {subject}: {difference}{message}\n{signature}")
        }
        Verdict::Inconclusive(reason) => reason.clone(),
    };
    if file.folder == Folder::Regressions {
        return if verdict == Verdict::Agree { Ok(()) } else { Err(found) };
    }
    let entry = entry(file)?;
    // The head of a file cannot say a micro version, and of some classes `pynative` has others, without their bugs. What
    // takes other memory than that of this process is shown by `buflock replay`, which has workers for it.
    let must_show = subject == "cpython"
        && entry.is_shown_by(python)
        && (cfg!(Py_GIL_DISABLED) || !entry.free_threaded)
        && program.allocator == Allocator::Usual
        && !may_agree(file);
    match &verdict {
        Verdict::Agree if !must_show => Ok(()),
        Verdict::Diverge(divergence) | Verdict::Permitted(_, divergence)
            if catalogue().all_that_cover(divergence, python).any(|covers| covers == entry) =>
        {
            Ok(())
        }
        _ => Err(format!("{} shows not what {} says, but {found}", file.shown(), entry.id)),
    }
}

/// The entry of the catalogue that names a file.
fn entry(file: &File) -> Result<&'static Entry, String> {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    let entries = CATALOGUE.get_or_init(Catalogue::cpython).entries();
    entries
        .iter()
        .find(|entry| entry.shown_by == file.shown())
        .ok_or_else(|| format!("no entry of the catalogue names {}", file.shown()))
}

/// Whether the file says so on a line of its own: what it shows depends on memory that nobody has
/// written, so that a run may show nothing.
fn may_agree(file: &File) -> bool {
    file.text.lines().any(|line| line.trim() == "# may agree")
}

fn message(divergence: &Divergence) -> String {
    match &divergence.difference {
        Difference::Outcome { message: Some(message), .. } => format!(" ({message})"),
        _ => String::new(),
    }
}

fn every_entry_is_shown() -> Result<(), Failed> {
    for entry in Catalogue::cpython().entries() {
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

fn the_table_is_up_to_date() -> Result<(), Failed> {
    let path = root().join("corpus/divergences/README.md");
    let catalogue = Catalogue::cpython();
    let page = versions::page(catalogue.entries().iter().filter(|entry| entry.standing == Standing::Bug));
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, page)?;
    } else if std::fs::read_to_string(&path).unwrap_or_default() != page {
        let next = "BLESS=1 cargo test -p buflock-oracle --test replay table";
        return Err(format!("{} is not what the catalogue says; {next}", path.display()).into());
    }
    Ok(())
}

fn every_file_is_named() -> Result<(), Failed> {
    for file in files().into_iter().filter(|file| file.folder != Folder::Regressions) {
        let names =
            Catalogue::cpython().entries().iter().filter(|entry| entry.shown_by == file.shown()).count();
        if names != 1 {
            return Err(format!("{names} entries of the catalogue name {}", file.shown()).into());
        }
    }
    Ok(())
}
