//! What the fuzz targets with CPython in their process call.

use std::cell::RefCell;

use buflock::check::Check;

use crate::{SUBJECTS, attached, check, interpreter};

/// Runs an input on the native exporters and on CPython against the model.
///
/// # Panics
/// If there is no usable interpreter, or if one differs in a way that the catalogue does not know.
pub fn cpython_lockstep(data: &[u8]) {
    thread_local! {
        static CHECK: RefCell<Check> = RefCell::new({
            let interpreter = interpreter::start().expect("failed to start the interpreter");
            attached(|| check(&interpreter, &SUBJECTS.map(str::to_owned)).expect("the subjects exist"))
        });
    }
    CHECK.with_borrow_mut(|check| attached(|| buflock::fuzz::run(check, data)));
}
