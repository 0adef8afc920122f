//! Runs the cases of `pynative/test_ported.py`, one test each, on the classes of the module `buflock`.

use std::ffi::CStr;

use buflock_oracle::{interpreter, pynative};
use libtest_mimic::{Arguments, Failed, Trial};
use pyo3::prelude::*;
use pyo3::types::PyList;

/// Loads the cases, and runs the one of an id.
const RUNNER: &CStr = c"
import unittest

def cases(suite):
    for case in suite:
        yield from cases(case) if isinstance(case, unittest.TestSuite) else [case]

def load(module):
    return {case.id().partition('.')[2]: case for case in cases(unittest.TestLoader().loadTestsFromModule(module))}

def run(case):
    result = unittest.TestResult()
    case.run(result)
    return [text for _, text in result.errors + result.failures]
";

fn main() {
    let arguments = Arguments::from_args();
    interpreter::start().expect("failed to start Python");
    let trials = Python::attach(|py| trials(py).expect("failed to load the cases"));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials(py: Python<'_>) -> PyResult<Vec<Trial>> {
    let classes = PyModule::new(py, "buflock")?;
    pynative::fill(&classes)?;
    py.import("sys")?.getattr("modules")?.set_item("buflock", classes)?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pynative/test_ported.py");
    let source = std::ffi::CString::new(include_str!("pynative/test_ported.py"))?;
    let path = std::ffi::CString::new(path)?;
    let ported = PyModule::from_code(py, &source, &path, c"test_ported")?;
    let runner = PyModule::from_code(py, RUNNER, c"runner.py", c"runner")?;
    let run = runner.getattr("run")?;
    let cases = runner.getattr("load")?.call1((ported,))?;
    let mut trials = Vec::new();
    for pair in cases.call_method0("items")?.try_iter()? {
        let (name, case): (String, Py<PyAny>) = pair?.extract()?;
        let run = run.clone().unbind();
        trials.push(Trial::test(name.replace('.', "::"), move || run_case(&run, &case)));
    }
    // A loader that found nothing would pass.
    assert!(trials.len() > 50, "there are {} cases", trials.len());
    Ok(trials)
}

fn run_case(run: &Py<PyAny>, case: &Py<PyAny>) -> Result<(), Failed> {
    Python::attach(|py| {
        let errors = run.bind(py).call1((case,))?;
        let errors = errors.cast::<PyList>().map_err(PyErr::from)?;
        if errors.is_empty() { Ok(()) } else { Err(Failed::from(errors.get_item(0)?.to_string())) }
    })
}
