//! The interpreter of this process.

use buflock::program::Allocator;
use buflock::schedule::Host;
use buflock::subject::Version;
use pyo3::Python;

use crate::raw_buffer;

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

/// Runs `f` with this thread attached to the interpreter.
pub fn attached<R>(f: impl FnOnce() -> R) -> R {
    Python::attach(|_| f())
}

/// Attaches the threads of a schedule to the interpreter.
#[derive(Debug, Clone, Copy)]
pub struct PythonHost;

impl Host for PythonHost {
    fn attached(&self, life: &mut dyn FnMut()) {
        Python::attach(|_| life());
    }

    fn detached(&self, wait: &mut (dyn FnMut() + Send)) {
        Python::attach(|py| py.detach(wait));
    }
}
