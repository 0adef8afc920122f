//! The files of the corpus, as the replay tests of both packages find them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use buflock::program::{Program, parse};
use buflock::subject::Version;

/// What a folder says of the programs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Every subject does what the model says.
    Regressions,
    /// CPython differs, and that is a bug.
    Divergences,
    /// CPython differs, and may.
    Permitted,
}

impl Folder {
    pub const ALL: [Folder; 3] = [Folder::Regressions, Folder::Divergences, Folder::Permitted];

    pub const fn name(self) -> &'static str {
        match self {
            Folder::Regressions => "regressions",
            Folder::Divergences => "divergences",
            Folder::Permitted => "permitted",
        }
    }
}

/// A file of the corpus.
#[derive(Debug, Clone)]
pub struct File {
    pub folder: Folder,
    pub path: PathBuf,
    pub text: String,
}

/// The root of the repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|path| path.join("corpus").is_dir()).expect("the corpus is in the repository")
}

/// Every file of the corpus, in the order of names.
pub fn files() -> Vec<File> {
    Folder::ALL.into_iter().flat_map(files_in).collect()
}

fn files_in(folder: Folder) -> Vec<File> {
    let directory = root().join("corpus").join(folder.name());
    // A folder that has no files is not in a clone either.
    let entries = directory.read_dir().into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("failed to read the corpus").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "prog"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()));
        File { folder, path, text }
    };
    paths.into_iter().map(read).collect()
}

impl File {
    /// `corpus/regressions/example.prog`
    pub fn shown(&self) -> String {
        let path = self.path.strip_prefix(root()).unwrap_or(&self.path);
        path.to_string_lossy().replace('\\', "/")
    }

    /// `regressions::example`
    pub fn name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        format!("{}::{stem}", self.folder.name())
    }

    pub fn program(&self) -> Result<Arc<Program>, String> {
        parse::parse(&self.text).map(Arc::new).map_err(|error| {
            let parse::ParseError { line, column, source_line, expected, found, .. } = error;
            format!("{}:{line}:{column}: expected {expected}, found {found}\n    {source_line}", self.shown())
        })
    }
}

/// Whether the expectations of a program hold for this Python.
pub fn is_for(program: &Program, python: Version) -> bool {
    let python = (python.major, python.minor);
    program.since.is_none_or(|since| since <= python) && program.until.is_none_or(|until| python < until)
}

/// The Pythons that a program is for, in words.
pub fn range(program: &Program) -> String {
    let bound = |sign: &str, bound: Option<(u8, u8)>| {
        bound.map(|(major, minor)| format!("python {sign} {major}.{minor}"))
    };
    let bounds = [bound(">=", program.since), bound("<", program.until)];
    bounds.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A step and what is wrong with it, as `file:line`.
pub fn at_step(file: &File, step: Option<usize>) -> String {
    match step.and_then(|step| step_lines(&file.text).nth(step)) {
        Some(line) => format!("{}:{}", file.shown(), line + 1),
        None => file.shown(),
    }
}

/// The lines that hold the steps, from 0.
pub fn step_lines(text: &str) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter_map(|(place, line)| {
        let line = line.trim_start();
        (!line.is_empty() && (!line.starts_with('#') || line.starts_with("#!"))).then_some(place)
    })
}
