//! What the fuzz targets with CPython in their process call.

use std::cell::RefCell;

use buflock::check::Check;

use crate::{attached, check, interpreter};

/// Runs an input on the native exporters and on CPython against the model.
///
/// # Panics
/// If there is no usable interpreter, or if one differs in a way that the catalogue does not know.
pub fn cpython_lockstep(data: &[u8]) {
    run(data, &["native", "cpython"], buflock::fuzz::run);
}

/// Runs an input on the native exporters and on CPython, whose threads race, and judges by the model what they saw.
///
/// # Panics
/// As [`cpython_lockstep`].
pub fn cpython_concurrent(data: &[u8]) {
    run(data, &["native", "cpython"], buflock::fuzz::run_concurrent);
}

/// Runs an input on CPython with the native exporters as classes, against the model.
///
/// # Panics
/// As [`cpython_lockstep`].
pub fn pynative_lockstep(data: &[u8]) {
    run(data, &["pynative"], buflock::fuzz::run);
}

fn run(data: &[u8], subjects: &[&str], by: fn(&mut Check, &[u8])) {
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
        attached(|| by(check, data));
    });
}
