//! The interpreter of this process.

use std::sync::{Mutex, OnceLock, PoisonError};

use buflock::check::Alarms;
use buflock::program::Allocator;
use buflock::schedule::Host;
use buflock::subject::Version;
use pyo3::Python;
use pyo3::types::PyAnyMethods;

use crate::raw_buffer::{self, reports::Reports};

/// What is to be known of the interpreter.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// Its version.
    pub version: Version,
    /// The first line of `sys.version`.
    pub description: String,
    /// Whether it was built without the GIL.
    pub free_threaded: bool,
    /// Whether it is a debug build.
    pub debug: bool,
}

/// Whether the threads of this process take turns (`sys._is_gil_enabled`, from 3.13).
pub fn has_gil() -> bool {
    let ask = |py: Python<'_>| py.import("sys")?.call_method0("_is_gil_enabled")?.extract();
    !cfg!(Py_GIL_DISABLED) || Python::attach(ask).unwrap_or(true)
}

/// Starts the interpreter and finds out whether it is one that this was built for.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn start() -> Result<Interpreter, String> {
    Python::initialize();
    Python::attach(|py| {
        let info = py.version_info();
        let built_for = (3, raw_buffer::BUILT_FOR_MINOR);
        if (info.major, info.minor) != built_for {
            return Err(format!(
                "this buflock was built for Python {}.{} but was given {}.{}; build it again",
                built_for.0, built_for.1, info.major, info.minor
            ));
        }
        let version = Version { major: info.major, minor: info.minor, micro: info.patch };
        raw_buffer::know_layout(py)?;
        Ok(Interpreter {
            version,
            description: Python::version_str().lines().next().unwrap_or_default().to_owned(),
            free_threaded: cfg!(Py_GIL_DISABLED),
            debug: cfg!(py_sys_config = "Py_DEBUG"),
        })
    })
}

/// Lets the interpreter have its memory from there from this moment on. [`Allocator::variable`] has to have been said
/// before it started.
///
/// # Errors
/// Why it cannot, as a sentence.
pub fn allocate_by(allocator: Allocator) -> Result<(), String> {
    if allocator != Allocator::Guarded || cfg!(Py_GIL_DISABLED) {
        return Ok(());
    }
    Python::attach(raw_buffer::guarded::install)
        .map_err(|error| format!("failed to reserve addresses for guarded memory: {error}"))
}

/// What ThreadSanitizer says in this process, if it is there. It is caught when this is first called.
///
/// # Panics
/// If there is no memory for it.
pub fn alarms() -> Option<Alarms> {
    static CAUGHT: OnceLock<Option<Mutex<Reports>>> = OnceLock::new();
    let catch = || Reports::catch().expect("failed to make a file in memory").map(Mutex::new);
    let reports = CAUGHT.get_or_init(catch).as_ref()?;
    Some(Box::new(|| reports.lock().unwrap_or_else(PoisonError::into_inner).take()))
}

/// Runs `f` with this thread attached to the interpreter.
pub fn attached<R>(f: impl FnOnce() -> R) -> R {
    Python::attach(|_| f())
}

/// Attaches the threads of a schedule to the interpreter.
#[derive(Debug, Clone, Copy)]
pub struct PythonHost;

/// Without the GIL, an object counts its references by the thread that made it, and what other threads let go is left to
/// that one as long as it is there (`_Py_brc_queue_object` in `Python/brc.c`), even if it does nothing any more. So
/// threads have a state of the interpreter's for one program each.
const STAYS: bool = !cfg!(Py_GIL_DISABLED);

impl Host for PythonHost {
    fn attached(&self, life: &mut dyn FnMut()) {
        if STAYS { Python::attach(|_| life()) } else { life() }
    }

    fn visited(&self, work: &mut dyn FnMut()) {
        if STAYS { work() } else { Python::attach(|_| work()) }
    }

    fn between(&self, wait: &mut (dyn FnMut() + Send)) {
        if STAYS { self.detached(wait) } else { wait() }
    }

    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(wait));
    }
}
