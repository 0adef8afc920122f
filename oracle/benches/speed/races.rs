//! Threads that race, beside threads that do the same steps straight through the C API.

use std::cell::Cell;
use std::ptr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;

use buflock::history::{Outcome, Value};
use buflock::program::generate::{self, Schedules, Shape};
use buflock::program::racing::own_view;
use buflock::program::{Op, Program, SlotKind, limits};
use buflock::subject::{Model, Version};
use buflock_oracle::{Interpreter, check};
use pyo3::{Python, ffi};

use super::{NAMES, PROGRAMS, ROUNDS, Ran, RawLoop, STEPS, median, rate, run};

/// How long the list of programs is, as a part of that of other benchmarks.
const PART: usize = 10;

/// Steps per second of threads that race on all subjects and are judged, over those of as many threads that do the same
/// steps of the same programs on CPython and look at nothing.
pub fn compare(interpreter: &Interpreter) {
    let shape = Shape { steps: STEPS, schedules: Schedules::Concurrent, ..Shape::default() };
    let made = (0..).map(|index| generate::nth(1, index, shape));
    let programs: Vec<_> = made
        .filter(|program| program.schedule.races() && program.threads() > 1)
        .take(PROGRAMS / PART)
        .map(Arc::new)
        .collect();
    let version = interpreter.version;
    let starts: Vec<_> = programs.iter().map(|program| start(program, version)).collect();
    let mut check = check(interpreter, &NAMES.map(str::to_owned)).expect("the subjects exist");
    let mut raw = Raw::new();
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let harness = rate(&programs, || run(&mut check, &programs));
        let bare = rate(&programs, || {
            let all = programs.iter().zip(&starts);
            Python::attach(|py| all.for_each(|(program, start)| raw.run(py, program, start)));
        });
        ratios.push(harness / bare);
        ours.push(harness);
        theirs.push(bare);
    }
    let (ours, theirs) = (median(ours) / 1e6, median(theirs) / 1e6);
    println!("threads that race: {ours:.2} M steps/s, raw {theirs:.2} M steps/s");
    println!("races / raw C API on as many threads: {:.2}", median(ratios));
}

/// What becomes of the steps before the threads start.
fn start(program: &Program, version: Version) -> Vec<Ran> {
    let mut model = Model::new(version);
    let before = program.steps.iter().take_while(|step| step.thread.is_none());
    let ran = |step| match model.step(step) {
        Outcome::Skipped(_) => Ran::LeftOut,
        Outcome::Value(Value::Stored) => Ran::Stored,
        Outcome::Value(_) if step.op == Op::Request => Ran::Stored,
        _ => Ran::Dropped,
    };
    before.map(ran).collect()
}

/// Threads that wait for programs, and whoever waits for them.
struct Raw {
    start: RawLoop,
    threads: Vec<Sender<Lane>>,
    done: (Sender<()>, Receiver<()>),
}

/// What a thread does.
struct Lane {
    thread: u8,
    program: Arc<Program>,
    /// Its slots: those of whoever starts it, who keeps the objects alive, and its own view.
    slots: Slots,
    gate: Arc<Barrier>,
}

struct Slots([[Cell<*mut ffi::PyObject>; 8]; SlotKind::ALL.len()]);

// SAFETY: threads that are attached alone touch the objects.
unsafe impl Send for Slots {}

impl Raw {
    fn new() -> Raw {
        let done = channel();
        let start = |_| {
            let (lanes, mut own) = channel::<Lane>();
            let done = done.0.clone();
            thread::spawn(move || {
                Python::attach(|py| {
                    let mut raw = RawLoop::new();
                    let mut next = || {
                        let own = &mut own;
                        py.detach(move || own.recv())
                    };
                    while let Ok(lane) = next() {
                        py.detach(|| lane.gate.wait());
                        raw.race(lane);
                        py.detach(|| done.send(())).expect("somebody waits for it");
                    }
                });
            });
            lanes
        };
        Raw { start: RawLoop::new(), threads: (0..limits::THREADS).map(start).collect(), done }
    }

    /// Does the first steps of a program, as it became of them, and then those of its threads.
    fn run(&mut self, py: Python<'_>, program: &Arc<Program>, start: &[Ran]) {
        self.start.do_steps(&program.steps, start);
        let threads = program.threads();
        let gate = Arc::new(Barrier::new(threads.into()));
        for (thread, lanes) in (0..threads).zip(&self.threads) {
            let (program, gate, slots) =
                (Arc::clone(program), Arc::clone(&gate), Slots(self.start.slots.clone()));
            lanes.send(Lane { thread, program, slots, gate }).expect("the thread waits for it");
        }
        let done = &mut self.done.1;
        py.detach(move || (0..threads).for_each(|_| done.recv().expect("the thread says so")));
        self.start.clear();
    }
}

impl RawLoop {
    fn race(&mut self, lane: Lane) {
        self.slots = lane.slots.0;
        for step in lane.program.steps.iter().filter(|step| step.thread == Some(lane.thread)) {
            if step.find_needed(|slot| self.slot(slot).get().is_null()).is_none() {
                // SAFETY: this thread is attached, and the slots that the step names are filled.
                unsafe { self.step(step, step.dest.is_some()) };
            }
        }
        let own = self.slot(own_view(lane.thread)).replace(ptr::null_mut());
        // SAFETY: this thread is attached, and has filled the slot.
        unsafe { ffi::Py_XDECREF(own) };
        // The others are not its own.
        self.slots = RawLoop::empty();
    }
}
