//! A script that reproduces a program has its own way to the C API: on this interpreter it sees what the program says.

#[path = "../../tests/corpus_files/mod.rs"]
#[expect(dead_code, reason = "the replay tests use the rest")]
mod corpus_files;

use std::ffi::CStr;

use buflock::program::op::{RAW_BUFFER_MODULE, home};
use buflock::program::{Op, Program, Syntax};
use buflock::report::python::script;
use buflock_oracle::interpreter;
use corpus_files::{Folder, files, is_for};
use pyo3::prelude::*;

/// Runs a script, and gives its exit code and what it printed.
const RUNNER: &CStr = c"
import contextlib, io

def run(script):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(script, 'script.py', 'exec'), {'__name__': '__main__'})
        except SystemExit as end:
            return end.code, out.getvalue()
    return None, out.getvalue()
";

/// Whether a program does what buflock itself does without Python, or with another one.
fn is_raw(program: &Program) -> bool {
    program.steps.iter().any(|step| match step.op.row().syntax {
        Syntax::Call(name) => step.op == Op::NewLender || home(name).0 == RAW_BUFFER_MODULE,
        _ => false,
    })
}

#[test]
fn a_script_does_by_ctypes_what_buflock_does_without() {
    let interpreter = interpreter::start().unwrap();
    Python::attach(|py| {
        let run = PyModule::from_code(py, RUNNER, c"runner.py", c"runner").unwrap().getattr("run").unwrap();
        let mut ran = 0;
        for file in files().into_iter().filter(|file| file.folder == Folder::Regressions) {
            let program = file.program().unwrap();
            if program.schedule.races() || !is_raw(&program) || !is_for(&program, interpreter.version) {
                continue;
            }
            let text = script(&program, None, &[], interpreter.version, &interpreter.description).unwrap();
            let (code, printed): (Option<i32>, String) = run.call1((text,)).unwrap().extract().unwrap();
            assert_eq!(code, Some(0), "{}:\n{printed}", file.shown());
            ran += 1;
        }
        assert!(ran > 40, "{ran} scripts were run");
    });
}
