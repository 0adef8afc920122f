//! Programs with hooks, beside the same objects whose methods do the same steps straight through the C API.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use buflock::history::{Nested, Outcome, Value};
use buflock::program::generate::{self, Shape};
use buflock::program::{Program, Step};
use buflock::subject::{Model, Version};
use pyo3::Python;

use super::{PROGRAMS, RawLoop, STEPS};

/// What the ratio is called.
pub const LABEL: &str = "hooks / raw C API with the same hooks";

/// How long the list of programs is, as a part of that of other benchmarks.
const PART: usize = 10;

thread_local! {
    static RAW: Cell<*const RawLoop> = const { Cell::new(ptr::null()) };
}

/// Says whose steps the hooks do that are called from now on.
pub fn belong_to(raw: &RawLoop) {
    RAW.set(raw);
}

/// Does a step of a hook, and observes nothing.
pub fn run(_: Python<'_>, step: &Step) {
    // SAFETY: a hook is called within `do_steps`, which borrows the loop; this thread is attached, and the slots are filled,
    // since the model ran the step.
    unsafe { (*RAW.get()).step(step, true) };
}

/// Programs with a hook in one step of eight at least, whose hooks do all that they say: nobody tells the raw loop what the
/// model leaves out within them.
pub fn programs(version: Version) -> Vec<Arc<Program>> {
    let shape = Shape { steps: STEPS, threads: 1, ..Shape::default() };
    let made = (0..).map(|index| generate::nth(1, index, shape));
    let with_hooks = made.filter(|program| {
        let hooked = program.steps.iter().filter(|step| step.has_hooks()).count();
        hooked * 8 >= program.steps.len() && program.threads() == 1 && are_complete(program, version)
    });
    with_hooks.take(PROGRAMS / PART).map(Arc::new).collect()
}

/// Whether hooks do all of their steps, and put what these give where they say.
fn are_complete(program: &Program, version: Version) -> bool {
    let mut model = Model::new(version);
    program.steps.iter().all(|step| {
        let outcome = model.step(step);
        !step.has_hooks() || !matches!(outcome, Outcome::Skipped(_)) && model.nested().iter().all(is_done)
    })
}

fn is_done(nested: &Nested) -> bool {
    match nested {
        Nested::Called(_) => true,
        Nested::Saw(_, Outcome::Skipped(_)) => false,
        Nested::Saw(step, Outcome::Value(value)) => step.dest.is_none() || *value == Value::Stored,
        Nested::Saw(_, Outcome::Raised(_)) => true,
    }
}
