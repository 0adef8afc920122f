//! The Python that PyO3 would take, and whether buflock can be built with it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::cache::Built;
use crate::error::Failure;

/// What a Python says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Python {
    /// Major, minor, micro.
    pub version: [u32; 3],
    /// The first line of `sys.version`.
    pub description: String,
    /// Where it is.
    pub executable: String,
    implementation: String,
    library: Option<String>,
    header: bool,
    /// Whether it was built without the GIL.
    pub free_threaded: bool,
}

const PROBE: &str = include_str!("probe.py");
/// The oldest Python that the worker can embed.
const OLDEST: [u32; 2] = [3, 9];

/// Finds the interpreter in PyO3's order, and says what is wrong with it.
pub fn find() -> Result<Python, Failure> {
    let (executable, by) = choose()?;
    let failed = |why: &str| {
        Failure::environment(
            format!("{} ({by}) cannot be used: {why}", executable.display()),
            "PYO3_PYTHON=/path/to/python3 buflock, with a Python that starts",
        )
    };
    let output = Command::new(&executable).args(["-c", PROBE]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.trim().lines().last().unwrap_or("it ended with an error")));
    }
    let python: Python =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("it says nothing sensible of itself"))?;
    python.check(by)?;
    Ok(python)
}

/// The order of `pyo3-build-config`: the variable, the virtual environment, the path.
fn choose() -> Result<(PathBuf, &'static str), Failure> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(python) = set("PYO3_PYTHON") {
        return Ok((python.into(), "from PYO3_PYTHON"));
    }
    let inside = |folder: std::ffi::OsString| Path::new(&folder).join("bin").join("python");
    match (set("VIRTUAL_ENV"), set("CONDA_PREFIX")) {
        (Some(_), Some(_)) => {
            return Err(Failure::environment(
                "both VIRTUAL_ENV and CONDA_PREFIX are set, and PyO3 takes only one",
                "deactivate one of them, or set PYO3_PYTHON",
            ));
        }
        (Some(folder), None) => return Ok((inside(folder), "from VIRTUAL_ENV")),
        (None, Some(folder)) => return Ok((inside(folder), "from CONDA_PREFIX")),
        (None, None) => {}
    }
    let is_three = |name: &&str| {
        let output = Command::new(name).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| {
            output.stdout.starts_with(b"Python 3") || output.stderr.starts_with(b"Python 3")
        })
    };
    ["python", "python3"]
        .iter()
        .find(|name| is_three(name))
        .map(|name| (name.into(), "from the PATH"))
        .ok_or_else(|| {
            Failure::environment(
                "there is no Python 3: neither `python` nor `python3` is on the PATH",
                "apt install python3-dev, or PYO3_PYTHON=/path/to/python3 buflock",
            )
        })
}

impl From<&Built> for Python {
    fn from(built: &Built) -> Python {
        let facts = &built.facts;
        let mut numbers = facts.version.split('.').map(|number| number.parse().unwrap_or(0));
        Python {
            version: std::array::from_fn(|_| numbers.next().unwrap_or(0)),
            description: facts.description.clone(),
            executable: built.executable().display().to_string(),
            implementation: "CPython".to_owned(),
            library: Some(built.folder.display().to_string()),
            header: true,
            free_threaded: facts.free_threaded,
        }
    }
}

impl Python {
    fn check(&self, by: &str) -> Result<(), Failure> {
        let [major, minor, _] = self.version;
        let name = format!("{} {} at {} ({by})", self.implementation, self.text(), self.executable);
        if self.implementation != "CPython" {
            return Err(Failure::environment(
                format!("{name} is not CPython, the only implementation that can be embedded"),
                "PYO3_PYTHON=/path/to/cpython buflock",
            ));
        }
        if [major, minor] < OLDEST {
            return Err(Failure::environment(
                format!("{name} is too old: the oldest that works is {}.{}", OLDEST[0], OLDEST[1]),
                "PYO3_PYTHON=/path/to/python3.13 buflock, or `pyenv install 3.13` with PYTHON_CONFIGURE_OPTS=--enable-shared",
            ));
        }
        if self.library.is_none() {
            return Err(Failure::environment(
                format!("{name} has no library to link with, neither shared nor static"),
                format!(
                    "apt install libpython{major}.{minor}-dev, or PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {}",
                    self.text()
                ),
            ));
        }
        if !self.header {
            return Err(Failure::environment(
                format!("{name} has no development files: Python.h is missing"),
                format!("apt install python{major}.{minor}-dev, or dnf install python3-devel"),
            ));
        }
        Ok(())
    }

    /// `3.13.5`.
    pub fn text(&self) -> String {
        let [major, minor, micro] = self.version;
        format!("{major}.{minor}.{micro}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_is_refused_by_what_it_lacks() {
        let whole = r#"{"version": [3, 13, 5], "description": "3.13.5", "executable": "/p/python3",
            "implementation": "CPython", "library": "libpython3.13.so", "header": true, "free_threaded": false}"#;
        let refusal = |what: &str, instead: &str| {
            let python: Python = serde_json::from_str(&whole.replace(what, instead)).expect("a Python");
            python.check("from a test").err().map(|failure| failure.to_string())
        };
        assert_eq!(refusal("whole", "whole"), None);
        for (what, instead, lacks, next) in [
            (r#""libpython3.13.so""#, "null", "no library to link with", "apt install libpython3.13-dev"),
            (r#""header": true"#, r#""header": false"#, "Python.h is missing", "apt install python3.13-dev"),
            ("[3, 13, 5]", "[3, 8, 1]", "too old: the oldest that works is 3.9", "PYO3_PYTHON="),
            ("CPython", "PyPy", "not CPython", "PYO3_PYTHON="),
        ] {
            let refusal = refusal(what, instead).unwrap_or_else(|| panic!("{instead} passes"));
            assert!(refusal.contains(lacks) && refusal.contains(next), "{refusal}");
            assert!(refusal.contains("at /p/python3 (from a test)"), "{refusal}");
        }
    }
}
