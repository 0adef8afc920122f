//! How fast programs run, as ratios of what the same steps cost without any harness.
//!
//! Machines are noisy, so that both sides of a ratio are measured in turn, in one run, and the
//! median of the ratios is printed:
//!
//! - `harness / raw C API`: steps per second of model, native exporters and CPython with full
//!   comparison, over those of the same steps driven straight through the C API, nothing observed;
//! - `hooks / raw C API with the same hooks`: the same of programs whose arguments are objects of classes with methods that do
//!   steps, over the same objects of which the methods do theirs without being observed;
//! - `races / raw C API on as many threads`: the same of threads that race, over threads that do the same steps at once
//!   and look at nothing;
//! - `lockstep / bare ping-pong`: the time of a hand-over between the threads of a program, over
//!   that of a hand-over between two threads that do nothing else.

#[path = "speed/hooks.rs"]
mod hooks;
#[path = "speed/races.rs"]
mod races;

use std::cell::Cell;
use std::ffi::CString;
use std::hint::black_box;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use buflock::check::Check;
use buflock::exporter::ByteArray;
use buflock::history::{Outcome, Value};
use buflock::program::generate::{self, Shape};
use buflock::program::{Arg, Int, Op, Program, Slot, SlotKind, Step, Syntax};
use buflock_oracle::cpython::callable;
use buflock_oracle::{CPython, Interpreter, attached, check, interpreter};
use pyo3::{Bound, Python, ffi};

const ROUNDS: usize = 9;
const PROGRAMS: usize = 20_000;
const STEPS: usize = 32;

/// The subjects that are measured: `pynative` is CPython once more.
const NAMES: [&str; 2] = ["native", "cpython"];

/// The five operations that programs are made of at the least.
const CORE: [Op; 8] =
    [Op::NewView, Op::Release, Op::Item, Op::SetItem, Op::Append, Op::Pop, Op::Clear, Op::NewByteArray];

/// As in the worker: programs are made of small short-lived objects. Python's own objects are not affected.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let interpreter = interpreter::start().expect("failed to start the interpreter");
    println!("Python {}", interpreter.description);
    // `cargo bench -p buflock-oracle -- five` prints the ratio of those alone.
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = |label: &str| only.as_ref().is_none_or(|word| label.contains(word.as_str()));
    attached(|| {
        let shape = Shape { steps: STEPS, threads: 1, hooks: false, ..Shape::default() };
        let all: Vec<_> = programs(shape, |_| true);
        // Long enough that as many steps are left of them.
        let core: Vec<_> = programs(Shape { steps: 16 * STEPS, ..shape }, |step| CORE.contains(&step.op));
        let mixes = [
            ("all operations", &all, "harness / raw C API"),
            ("acquire, release, slice, write, resize", &core, "of these five alone"),
        ];
        for (title, programs, label) in mixes.into_iter().filter(|(.., label)| wanted(label)) {
            compare(title, &interpreter, programs, label);
        }
        if wanted(hooks::LABEL) {
            compare("programs with hooks", &interpreter, &hooks::programs(interpreter.version), hooks::LABEL);
        }
        if wanted("races / raw C API") {
            races::compare(&interpreter);
        }
        if only.is_some() {
            return;
        }
        let names = NAMES.map(str::to_owned);
        for (name, subjects) in
            [("model", &names[..0]), ("model and native", &names[..1]), ("model and CPython", &names[1..])]
        {
            let mut check = check(&interpreter, subjects).expect("the subjects exist");
            println!("  {name}: {:.2} M steps/s", rate(&all, || run(&mut check, &all)) / 1e6);
        }
        let generated = Instant::now();
        let made = (0..PROGRAMS as u64).map(|index| black_box(generate::nth(9, index, shape)).steps.len());
        let made: usize = made.sum();
        println!("  generation: {:.0} ns a step", generated.elapsed().as_secs_f64() * 1e9 / made as f64);
        acquire_and_release();
        hand_overs(&interpreter);
    });
}

/// Programs of [`STEPS`] steps that are to be kept.
fn programs(shape: Shape, keep: impl Fn(&Step) -> bool) -> Vec<Arc<Program>> {
    let made = (0..).map(|index| {
        let mut program = generate::nth(1, index, shape);
        program.steps.retain(&keep);
        program.steps.truncate(STEPS);
        program.steps.shrink_to_fit();
        program
    });
    made.filter(|program| program.steps.len() == STEPS).take(PROGRAMS).map(Arc::new).collect()
}

fn steps(programs: &[Arc<Program>]) -> f64 {
    programs.iter().map(|program| program.steps.len()).sum::<usize>() as f64
}

fn rate(programs: &[Arc<Program>], mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    run();
    steps(programs) / start.elapsed().as_secs_f64()
}

fn run(check: &mut Check, programs: &[Arc<Program>]) {
    check.run_all(programs, |_, verdict| {
        black_box(verdict);
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(title: &str, interpreter: &Interpreter, programs: &[Arc<Program>], label: &str) {
    let mut check = check(interpreter, &NAMES.map(str::to_owned)).expect("the subjects exist");
    // What is left out by the model is left out by both.
    let ran: Vec<Vec<Ran>> = programs.iter().map(|program| ran(&mut check, program)).collect();
    let raw = RawLoop::new();
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let harness = rate(programs, || run(&mut check, programs));
        let bare =
            rate(programs, || programs.iter().zip(&ran).for_each(|(program, ran)| raw.run(program, ran)));
        ratios.push(harness / bare);
        ours.push(harness);
        theirs.push(bare);
    }
    println!("{title}: {:.2} M steps/s, raw {:.2} M steps/s", median(ours) / 1e6, median(theirs) / 1e6,);
    println!("{label}: {:.2}", median(ratios));
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    LeftOut,
    /// Its result is dropped, also where the step names a slot: a slice of an array of `ctypes` is no exporter.
    Dropped,
    Stored,
}

fn ran(check: &mut Check, program: &Arc<Program>) -> Vec<Ran> {
    let (_, seen) = check.record(program);
    let mut ran: Vec<Ran> = std::iter::zip(&program.steps, seen)
        .map(|(step, seen)| match seen.model {
            Outcome::Skipped(_) => Ran::LeftOut,
            Outcome::Value(Value::Stored) => Ran::Stored,
            Outcome::Value(_) if step.op == Op::Request => Ran::Stored,
            _ => Ran::Dropped,
        })
        .collect();
    ran.resize(program.steps.len(), Ran::LeftOut);
    ran
}

/// The same steps through the C API, with nothing observed.
struct RawLoop {
    slots: [[Cell<*mut ffi::PyObject>; 8]; SlotKind::ALL.len()],
    names: Vec<*mut ffi::PyObject>,
    /// Makes the objects of hooks.
    hooks: CPython,
}

impl RawLoop {
    fn empty() -> [[Cell<*mut ffi::PyObject>; 8]; SlotKind::ALL.len()] {
        std::array::from_fn(|_| std::array::from_fn(|_| Cell::new(ptr::null_mut())))
    }

    fn new() -> RawLoop {
        let name = |op: Op| {
            // SAFETY: this thread is attached; the names are C strings.
            unsafe {
                match op.row().syntax {
                    Syntax::Call(name) => Python::attach(|py| {
                        callable(py, name).expect("what the table names is there").into_ptr()
                    }),
                    Syntax::Method(name) | Syntax::Attribute(name) => {
                        let name = CString::new(name).expect("no name contains a zero");
                        ffi::PyUnicode_InternFromString(name.as_ptr())
                    }
                    _ => ptr::null_mut(),
                }
            }
        };
        RawLoop { slots: RawLoop::empty(), names: Op::all().map(name).collect(), hooks: CPython::new() }
    }

    fn slot(&self, slot: Slot) -> &Cell<*mut ffi::PyObject> {
        let kind = match slot.kind {
            SlotKind::Exporter => 0,
            SlotKind::View => 1,
            SlotKind::Export => 2,
            SlotKind::Iterator => 3,
        };
        &self.slots[kind][slot.at()]
    }

    fn run(&self, program: &Program, ran: &[Ran]) {
        self.do_steps(&program.steps, ran);
        self.clear();
    }

    fn do_steps(&self, steps: &[Step], ran: &[Ran]) {
        hooks::belong_to(self);
        for (step, &ran) in steps.iter().zip(ran).filter(|(_, ran)| **ran != Ran::LeftOut) {
            // SAFETY: this thread is attached, and the slots that the step names are filled, since the
            // model ran it.
            unsafe { self.step(step, ran == Ran::Stored) };
        }
    }

    fn clear(&self) {
        for slot in self.slots.iter().rev().flatten() {
            // SAFETY: this thread is attached; a slot owns what it holds.
            unsafe { ffi::Py_XDECREF(slot.replace(ptr::null_mut())) };
        }
    }

    /// # Safety
    /// The thread is attached, and the slots that the step names are filled.
    unsafe fn step(&self, step: &Step, stored: bool) {
        let mut objects = [ptr::null_mut(); 5];
        let mut count = 0;
        if let Some(slot) = step.receiver {
            objects[0] = self.slot(slot).get();
            count = 1;
        }
        // Hooks may take the receiver out of its slot.
        let first = if step.has_hooks() { 0 } else { count };
        // SAFETY: as for this function.
        unsafe {
            objects[first..count].iter().for_each(|receiver| ffi::Py_INCREF(*receiver));
            for arg in &step.args {
                objects[count] = self.arg(arg);
                count += 1;
            }
            let result = self.call(step, &objects[..count]);
            for arg in &objects[first..count] {
                ffi::Py_DECREF(*arg);
            }
            if !ffi::PyErr_Occurred().is_null() {
                ffi::PyErr_Clear();
            }
            let target = match step.op.row().syntax {
                Syntax::InPlace(_) => step.receiver,
                _ => step.dest.filter(|_| stored),
            };
            match target {
                Some(dest) if !result.is_null() => {
                    ffi::Py_XDECREF(self.slot(dest).replace(result));
                }
                _ => ffi::Py_XDECREF(result),
            }
        }
    }

    /// # Safety
    /// As for `step`.
    unsafe fn call(&self, step: &Step, objects: &[*mut ffi::PyObject]) -> *mut ffi::PyObject {
        let name = self.names[step.op as usize];
        let none = ptr::null_mut();
        // SAFETY: as for `step`; each call gets as many objects as its syntax has.
        unsafe {
            match step.op.row().syntax {
                Syntax::Call("memoryview") => ffi::PyMemoryView_FromObject(objects[0]),
                Syntax::Call(_) => ffi::PyObject_Vectorcall(name, objects.as_ptr(), objects.len(), none),
                Syntax::Method(_) => {
                    ffi::PyObject_VectorcallMethod(name, objects.as_ptr(), objects.len(), none)
                }
                Syntax::Attribute(_) => ffi::PyObject_GetAttr(objects[0], name),
                Syntax::Item => ffi::PyObject_GetItem(objects[0], objects[1]),
                Syntax::SetItem => {
                    ffi::PyObject_SetItem(objects[0], objects[1], objects[2]);
                    none
                }
                Syntax::DelItem => {
                    ffi::PyObject_DelItem(objects[0], objects[1]);
                    none
                }
                Syntax::InPlace("+=") => ffi::PyNumber_InPlaceAdd(objects[0], objects[1]),
                Syntax::InPlace(_) => ffi::PyNumber_InPlaceMultiply(objects[0], objects[1]),
                Syntax::Binary("+") => ffi::PyNumber_Add(objects[0], objects[1]),
                Syntax::Binary("*") => ffi::PyNumber_Multiply(objects[0], objects[1]),
                Syntax::Binary("%") => ffi::PyNumber_Remainder(objects[0], objects[1]),
                Syntax::Binary("==") => ffi::PyObject_RichCompare(objects[0], objects[1], ffi::Py_EQ),
                Syntax::Binary("<") => ffi::PyObject_RichCompare(objects[0], objects[1], ffi::Py_LT),
                Syntax::Binary(other) => unreachable!("{other} is not in the table"),
                Syntax::In => {
                    ffi::PySequence_Contains(objects[0], objects[1]);
                    none
                }
                Syntax::Function("len") => {
                    ffi::PyObject_Size(objects[0]);
                    none
                }
                Syntax::Function("hash") => {
                    ffi::PyObject_Hash(objects[0]);
                    none
                }
                Syntax::Function("list") => ffi::PySequence_List(objects[0]),
                Syntax::Function("iter") => ffi::PyObject_GetIter(objects[0]),
                Syntax::Function(_) => ffi::PyIter_Next(objects[0]),
                Syntax::With => {
                    ffi::PyObject_CallMethod(objects[0], c"__enter__".as_ptr(), ptr::null());
                    ffi::PyObject_CallMethod(objects[0], c"__exit__".as_ptr(), ptr::null())
                }
                Syntax::Drop => {
                    if let Some(slot) = step.receiver {
                        ffi::Py_XDECREF(self.slot(slot).replace(ptr::null_mut()));
                    }
                    none
                }
            }
        }
    }

    /// A new reference.
    ///
    /// # Safety
    /// As for `step`.
    unsafe fn arg(&self, arg: &Arg) -> *mut ffi::PyObject {
        // SAFETY: as for `step`.
        unsafe {
            match arg {
                Arg::None => ffi::Py_NewRef(ffi::Py_None()),
                Arg::Int(Int::Small(value)) => ffi::PyLong_FromLongLong(*value),
                Arg::Int(Int::Unsigned(value)) => ffi::PyLong_FromUnsignedLongLong(*value),
                Arg::Int(Int::Huge { negative }) => {
                    ffi::PyLong_FromDouble(if *negative { -1e30 } else { 1e30 })
                }
                Arg::Float(value) => ffi::PyFloat_FromDouble(value.value()),
                Arg::Complex(real, imaginary) => ffi::PyComplex_FromDoubles(real.value(), imaginary.value()),
                Arg::Bytes(value) => {
                    ffi::PyBytes_FromStringAndSize(value.as_ptr().cast(), value.len() as isize)
                }
                Arg::Str(value) => {
                    ffi::PyUnicode_FromStringAndSize(value.as_ptr().cast(), value.len() as isize)
                }
                Arg::List(items) | Arg::Tuple(items) => {
                    let list = ffi::PyList_New(items.len() as isize);
                    for (place, item) in items.iter().enumerate() {
                        let item = self.arg(item);
                        ffi::PyList_SetItem(list, place as isize, item);
                    }
                    if let Arg::List(_) = arg {
                        return list;
                    }
                    let tuple = ffi::PyList_AsTuple(list);
                    ffi::Py_DECREF(list);
                    tuple
                }
                Arg::Slice(bounds) => {
                    let bounds = bounds.each_ref().map(|bound| self.arg(bound));
                    let slice = ffi::PySlice_New(bounds[0], bounds[1], bounds[2]);
                    bounds.into_iter().for_each(|bound| ffi::Py_XDECREF(bound));
                    slice
                }
                Arg::Slot(slot) => ffi::Py_NewRef(self.slot(*slot).get()),
                Arg::Hook(hook) => Python::attach(|py| {
                    let held = |slot| Bound::from_borrowed_ptr(py, self.slot(slot).get()).unbind();
                    self.hooks.hook(py, hook, held, hooks::run).into_ptr()
                }),
            }
        }
    }
}

/// What one export costs from acquire to release, next to the cheapest thing that counts references, and to what
/// CPython does for the same.
fn acquire_and_release() {
    const TIMES: u32 = 200_000;
    let nanoseconds = |act: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..TIMES).for_each(|_| act());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
    };
    let array = ByteArray::new(vec![0; 64]);
    let counted = Arc::new(0u8);
    let release = RawLoop::new().names[Op::Release as usize];
    // SAFETY: this thread is attached.
    let exporter = unsafe { ffi::PyByteArray_FromStringAndSize(c"0123456789".as_ptr(), 10) };
    let mut ratios = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let clone = nanoseconds(&mut || drop(black_box(Arc::clone(black_box(&counted)))));
        let raw = nanoseconds(&mut || {
            black_box(black_box(&array).acquire_raw());
            // SAFETY: this is the export that was acquired in the line before.
            unsafe { array.release_raw() };
        });
        let export = nanoseconds(&mut || drop(black_box(black_box(&array).export())));
        let python = nanoseconds(&mut || {
            // SAFETY: this thread is attached, and all three are live objects.
            unsafe {
                let view = ffi::PyMemoryView_FromObject(exporter);
                ffi::Py_DECREF(ffi::PyObject_VectorcallMethod(release, &raw const view, 1, ptr::null_mut()));
                ffi::Py_DECREF(view);
            }
        });
        for (ratios, ratio) in
            ratios.iter_mut().zip([raw / clone, export / clone, raw / python, export / python])
        {
            ratios.push(ratio);
        }
    }
    // SAFETY: this thread is attached, and the reference was made above.
    unsafe { ffi::Py_DECREF(exporter) };
    let [raw, export, raw_python, export_python] = ratios.map(median);
    println!(
        "acquire and release / Arc clone and drop: {raw:.2} (as a value that releases itself: {export:.2})"
    );
    println!(
        "acquire and release / memoryview(b).release(): {raw_python:.2} (as a value: {export_python:.2})"
    );
}

/// The cost of a hand-over, in the schedule and between two threads that do nothing else.
fn hand_overs(interpreter: &Interpreter) {
    const HAND_OVERS: usize = 20_000;
    let steps = (0..HAND_OVERS).map(|number| {
        let mut step =
            Step::new(Op::Length, Some(Slot::new(SlotKind::Exporter, 0)), Default::default(), None);
        step.thread = Some((number % 2) as u8);
        step
    });
    let program = Arc::new(Program { steps: steps.collect(), ..Program::default() });
    let mut check = check(interpreter, &NAMES.map(str::to_owned)).expect("the subjects exist");
    let mut measured = |label: &str| {
        let (mut ratios, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let start = Instant::now();
            black_box(check.run(&program));
            let lockstep = start.elapsed();
            let bare = ping_pong(HAND_OVERS);
            ratios.push(lockstep.as_secs_f64() / bare.as_secs_f64());
            costs.push(lockstep.as_secs_f64() * 1e6 / HAND_OVERS as f64);
        }
        println!("{label}: {:.2} ({:.1} us a hand-over)", median(ratios), median(costs));
    };
    measured("lockstep / bare ping-pong");
    if pin() {
        measured("the same on one core");
    }
}

/// Pins this process to one core, as a worker is.
fn pin() -> bool {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(0);
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ids = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    ids.filter_map(rustix::thread::Pid::from_raw)
        .all(|id| rustix::thread::sched_setaffinity(Some(id), &cores).is_ok())
}

/// Two threads that wake each other in turn.
fn ping_pong(hand_overs: usize) -> Duration {
    let turn = Arc::new(AtomicUsize::new(0));
    let play = move |turn: &AtomicUsize, own: usize, other: &thread::Thread| {
        for round in (own..hand_overs).step_by(2) {
            while turn.load(Ordering::Acquire) != round {
                thread::park();
            }
            turn.store(round + 1, Ordering::Release);
            other.unpark();
        }
    };
    let first = thread::current();
    let theirs = Arc::clone(&turn);
    let other = thread::spawn(move || play(&theirs, 1, &first));
    let start = Instant::now();
    play(&turn, 0, other.thread());
    while turn.load(Ordering::Acquire) != hand_overs {
        thread::park();
    }
    let elapsed = start.elapsed();
    other.join().expect("the other thread ends");
    elapsed
}
