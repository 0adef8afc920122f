//! CPython as a subject of buflock.
//!
//! The interpreter is the one that PyO3 finds when this is built: `PYO3_PYTHON`, a virtual
//! environment, or the `PATH`.

pub mod cpython;
pub mod fuzz;
pub mod interpreter;
pub mod progress;
pub mod pynative;
mod raw_buffer;

use std::sync::{Arc, OnceLock};

use buflock::check::Check;
use buflock::judge::permitted::Catalogue;
use buflock::subject::{Native, Subject};

pub use cpython::CPython;
pub use interpreter::{Interpreter, attached};

/// The known differences that this build of Python can show.
///
/// # Panics
/// As [`Catalogue::cpython`].
pub fn catalogue() -> Arc<Catalogue> {
    static CATALOGUE: OnceLock<Arc<Catalogue>> = OnceLock::new();
    Arc::clone(CATALOGUE.get_or_init(|| Arc::new(Catalogue::cpython().for_build(cfg!(Py_GIL_DISABLED)))))
}

/// The names of the subjects that [`check`] knows: the Rust exporters, CPython's own, and the Rust exporters as classes
/// of Python.
pub const SUBJECTS: [&str; 3] = ["native", "cpython", "pynative"];

/// The model against the named subjects, on this interpreter and its version.
///
/// # Errors
/// The first name that is not one of [`SUBJECTS`].
pub fn check(interpreter: &Interpreter, subjects: &[String]) -> Result<Check, String> {
    let version = interpreter.version;
    let subjects = subjects
        .iter()
        .map(|name| -> Result<Box<dyn Subject>, String> {
            match name.as_str() {
                "native" => Ok(Box::new(Native::new(version))),
                "cpython" => Ok(Box::new(CPython::new())),
                "pynative" => Ok(Box::new(CPython::of_classes())),
                _ => Err(format!("there is no subject {name:?}; the subjects are {}", SUBJECTS.join(", "))),
            }
        })
        .collect::<Result<_, _>>()?;
    let check = Check::new(version, subjects, Arc::new(interpreter::PythonHost)).with_catalogue(catalogue());
    Ok(match interpreter::alarms() {
        Some(alarms) => check.with_alarms(alarms),
        None => check,
    })
}
