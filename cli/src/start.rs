//! From nothing to running workers of the right Python.

use buflock::program::Allocator;
use buflock::report::json;
use buflock::subject::Version;

use super::args::{Limits, Workers};
use super::error::Failure;
use super::locate;
use super::python::{self, Python};
use super::worker::{Recipe, Worker};
use buflock::protocol::Hello;

/// A recipe that works, and the first worker made by it.
#[derive(Debug)]
pub struct Started {
    /// How to start more.
    pub recipe: Recipe,
    /// The first.
    pub worker: Worker,
    /// The version that the model follows.
    pub version: Version,
    /// The folder of the pages, which goes with this.
    pub pages: tempfile::TempDir,
}

/// How many MiB a process that runs programs may have. What a sanitizer knows of the memory is in memory as well.
pub fn memory_limit(limits: &Limits, sanitizer: python::Sanitizer) -> u64 {
    const USUAL: u64 = 1024;
    const SANITIZED: u64 = 4096;
    limits.memory_limit.unwrap_or(if sanitizer == python::Sanitizer::None { USUAL } else { SANITIZED })
}

/// How many processes can run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Finds Python and the worker, builds it where that is possible, and starts one. With a `core`, that
/// worker is for it alone.
pub fn start(workers: &Workers, core: Option<usize>) -> Result<Started, Failure> {
    let built = workers.python.as_deref().map(python::named).transpose()?;
    let (python, located, environment) = match &built {
        None => (python::find()?, locate::find()?, Vec::new()),
        Some(built) => (Python::from(built), locate::build_for(built)?, built.environment()),
    };
    let pages = tempfile::Builder::new().prefix("buflock-").tempdir().map_err(|error| {
        Failure::environment(format!("failed to make a folder for temporary files: {error}"), "set TMPDIR")
    })?;
    let sanitizer = built.map_or(python::Sanitizer::None, |built| built.facts.sanitizer);
    let recipe = Recipe {
        path: located.path.clone(),
        workers: workers.clone(),
        pages: pages.path().to_owned(),
        environment,
        memory_limit: memory_limit(&workers.limits, sanitizer),
        pinned: !python.free_threaded,
    };
    let first = || Worker::start(&recipe, 0, core, Allocator::Usual);
    let mut started = first();
    let stale = |started: &Result<Worker, Failure>| match started {
        Ok(worker) => !is_of(&worker.hello, &python),
        Err(_) => true,
    };
    if located.checkout && stale(&started) {
        eprintln!(
            "the interpreter changed since the build: building the worker for Python {}",
            python.text()
        );
        locate::build(Some(&python))?;
        started = first();
    }
    let worker = started?;
    if !is_of(&worker.hello, &python) {
        return Err(Failure::environment(
            format!(
                "{} was built for Python {}, but the Python here is {} at {}",
                recipe.path.display(),
                worker.hello.description,
                python.description,
                python.executable
            ),
            format!("PYO3_PYTHON={} cargo build --release --workspace --bins", python.executable),
        ));
    }
    let version = json::version(&worker.hello.version).ok_or_else(|| {
        Failure::environment(
            format!("the worker says that its Python is of version {:?}", worker.hello.version),
            "cargo build --release --workspace --bins",
        )
    })?;
    Ok(Started { recipe, worker, version, pages })
}

/// Whether the interpreter that a worker embeds is the one that was found: the description names the
/// build, not only the version.
fn is_of(hello: &Hello, python: &Python) -> bool {
    let same_build = hello.description.trim() == python.description.trim();
    same_build && hello.version == python.text() && hello.free_threaded == python.free_threaded
}

impl Started {
    /// What the interpreter is called in reports.
    pub fn python(&self) -> String {
        format!("Python {}", self.worker.hello.description)
    }
}
