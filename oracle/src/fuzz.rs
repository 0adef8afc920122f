//! What the fuzz targets with CPython in their process call.

use std::cell::RefCell;

use buflock::check::Check;

use crate::{attached, check, interpreter};

/// Runs an input on the native exporters and on CPython against the model.
///
/// # Panics
/// If there is no usable interpreter, or if one differs in a way that the catalogue does not know.
pub fn cpython_lockstep(data: &[u8]) {
    lockstep(data, &["native", "cpython"]);
}

/// Runs an input on CPython with the native exporters as classes, against the model.
///
/// # Panics
/// As [`cpython_lockstep`].
pub fn pynative_lockstep(data: &[u8]) {
    lockstep(data, &["pynative"]);
}

fn lockstep(data: &[u8], subjects: &[&str]) {
    thread_local! {
        static CHECK: RefCell<Option<Check>> = const { RefCell::new(None) };
    }
    let start = || {
        let interpreter = interpreter::start().expect("failed to start the interpreter");
        let subjects: Vec<String> = subjects.iter().map(|&name| name.to_owned()).collect();
        attached(|| check(&interpreter, &subjects).expect("the subjects exist"))
    };
    CHECK.with_borrow_mut(|check| {
        let check = check.get_or_insert_with(start);
        attached(|| buflock::fuzz::run(check, data));
    });
}
