//! CPython's own `bytearray`, `bytes` and `memoryview`, as a subject; or other exporters in the place of its own.
//!
//! There is no case for any single operation here: how it is written in the table is how CPython
//! is asked to do it.

mod hooks;
mod substitutes;

use std::sync::{Arc, Mutex};

use buflock::exporter::{ByteOrder, Format, Layout, Mapping, same_bytes};
use buflock::history::{ErrorClass, Nested, Outcome, Seen, Value};
use buflock::program::op::{HELPERS, HELPERS_MODULE, RAW_BUFFER_MODULE, home};
use buflock::program::{Arg, Float, Hook, Int, Op, Program, Protocol, Slot, SlotKind, Step, Syntax, limits};
use buflock::subject::errand;
use buflock::subject::trace::{State, Viewed};
use buflock::subject::{Flavour, Picture, Shown, Slots, Subject, Unrest, ViewPicture, native};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAnyMethods, PyModule};
use pyo3::{Bound, IntoPyObject, PyAny, PyResult, Python};

use self::substitutes::Substitutes;
use crate::pynative;
use crate::raw_buffer::{self as raw, Object, Raised, Type, ViewFields};

/// The slots of one run, and what every run needs of the interpreter.
#[derive(Debug)]
pub struct CPython {
    exporters: Slots<Object, { limits::EXPORTERS as usize }>,
    views: Slots<Object, { limits::VIEWS as usize }>,
    exports: Slots<Object, { limits::EXPORTS as usize }>,
    iterators: Slots<Object, { limits::ITERATORS as usize }>,
    known: Arc<Known>,
    /// How many runs have come to rest.
    rests: u32,
    /// What the interpreter complained of in this run.
    complaint: Option<String>,
    error: Option<Object>,
    /// After how many allocations the next step has none.
    starved: Option<usize>,
    /// The most blocks of memory that were counted so far.
    most: usize,
    /// Those that were counted the last time that garbage had been collected.
    swept: usize,
}

/// What every run needs of the interpreter.
#[derive(Debug)]
struct Known {
    /// The method, attribute or class of each operation that has one.
    names: Vec<Option<Object>>,
    classes: Vec<Object>,
    none: Object,
    /// A function that does nothing with its argument but to enter and to leave it.
    with: Object,
    /// A function that does nothing.
    nothing: Object,
    /// The classes of hooks that were made so far, by their methods.
    hooks: Mutex<Vec<(Vec<Protocol>, Object)>>,
    to_bytes: Object,
    shared: Shared,
    /// A list of the errors that the interpreter printed since the last run.
    complaints: Object,
    /// What stands in place of CPython's own exporters, if anything does.
    substitutes: Option<Substitutes>,
}

/// Keeps what the interpreter would print: errors in destructors and the like.
const LISTEN: &std::ffi::CStr = c"
import sys
complaints = []
sys.excepthook = lambda kind, value, traceback: complaints.append(f'{kind.__name__}: {value}')
def unraisable(what):
    # What a program expects is told to whom it belongs.
    heard = getattr(what.exc_value, 'heard', None)
    return heard() if heard else complaints.append(f'{what.exc_type.__name__}: {what.exc_value}')
sys.unraisablehook = unraisable
";

/// Objects that the whole interpreter shares, and that no operation may change.
#[derive(Debug)]
struct Shared {
    empty: Object,
    bytes: Vec<Object>,
    ints: Vec<(i64, Object)>,
}

/// How many runs there are between two looks at the shared objects. One look takes as long as
/// twenty steps.
const LOOK_EVERY: u32 = 16;

impl Default for CPython {
    fn default() -> CPython {
        CPython::new()
    }
}

impl CPython {
    /// Empty slots on the interpreter of this process.
    ///
    /// # Panics
    /// If the interpreter lacks its own built-in classes.
    pub fn new() -> CPython {
        Python::attach(|py| CPython::with(py, None))
    }

    /// The same with the classes of [`crate::pynative`] in place of `bytearray`, `array.array` and `mmap.mmap`: the
    /// subject `pynative`.
    ///
    /// # Panics
    /// As [`CPython::new`].
    pub fn of_classes() -> CPython {
        Python::attach(|py| CPython::with(py, Some(Substitutes::new(py))))
    }

    fn with(py: Python<'_>, substitutes: Option<Substitutes>) -> CPython {
        let import = |name: &str| -> Object {
            let found = callable(py, name);
            found.unwrap_or_else(|error| panic!("failed to find {name}: {error}")).unbind()
        };
        let name = |op: Op| match op.row().syntax {
            Syntax::Call(name) => {
                let substitute = substitutes.as_ref().and_then(|substitutes| substitutes.constructor(py, op));
                Some(substitute.unwrap_or_else(|| import(name)))
            }
            Syntax::Method(name) | Syntax::Attribute(name) => {
                let name = std::ffi::CString::new(name).expect("no name contains a zero");
                Some(raw::interned(py, &name))
            }
            _ => None,
        };
        let class = |class: &ErrorClass| import(class.name());
        let known = Known {
            names: Op::all().map(name).collect(),
            classes: ErrorClass::ALL.iter().filter(|class| **class != ErrorClass::Other).map(class).collect(),
            none: py.None(),
            with: enter_and_leave(py),
            nothing: py.eval(c"lambda: None", None, None).expect("it is an expression").unbind(),
            hooks: Mutex::default(),
            to_bytes: raw::interned(py, c"tobytes"),
            shared: Shared::new(py),
            complaints: complaints(py),
            substitutes,
        };
        CPython::of(Arc::new(known))
    }

    /// Has the references dropped that other threads have let go of what this one has made: without the GIL, that is done
    /// by the loop that runs code (`_Py_HandlePending` in `Python/ceval_gil.c`).
    fn settle(&self, py: Python<'_>) {
        if cfg!(Py_GIL_DISABLED) {
            drop(raw::call(py, &self.known.nothing, &[]));
        }
    }

    /// Empty slots.
    fn of(known: Arc<Known>) -> CPython {
        CPython {
            exporters: Slots::new(),
            views: Slots::new(),
            exports: Slots::new(),
            iterators: Slots::new(),
            known,
            rests: 0,
            complaint: None,
            error: None,
            starved: None,
            most: 0,
            swept: 0,
        }
    }

    /// As [`Shared::changed`], now and then.
    fn changed_lately(&mut self, py: Python<'_>) -> Option<String> {
        self.rests = self.rests.wrapping_add(1);
        let changed = self.rests.is_multiple_of(LOOK_EVERY).then(|| self.known.shared.changed(py))??;
        Some(format!("{changed}, in this run or one of the {} before it", LOOK_EVERY - 1))
    }

    fn slot(&self, slot: Slot) -> &Option<Object> {
        match slot.kind {
            SlotKind::Exporter => &self.exporters[slot.at()],
            SlotKind::View => &self.views[slot.at()],
            SlotKind::Export => &self.exports[slot.at()],
            SlotKind::Iterator => &self.iterators[slot.at()],
        }
    }

    fn filled(&self, slot: Slot) -> &Object {
        self.slot(slot).as_ref().expect("the slots of a step are filled")
    }

    /// Fills a slot and gives what it held.
    fn put(&mut self, slot: Slot, object: Object) -> Option<Object> {
        match slot.kind {
            SlotKind::Exporter => self.exporters.put(slot, object),
            SlotKind::View => self.views.put(slot, object),
            SlotKind::Export => self.exports.put(slot, object),
            SlotKind::Iterator => self.iterators.put(slot, object),
        }
    }

    /// Empties a slot and gives what it held.
    fn take(&mut self, slot: Slot) -> Option<Object> {
        match slot.kind {
            SlotKind::Exporter => self.exporters.take(slot),
            SlotKind::View => self.views.take(slot),
            SlotKind::Export => self.exports.take(slot),
            SlotKind::Iterator => self.iterators.take(slot),
        }
    }

    fn run(&mut self, py: Python<'_>, step: &Step) -> Outcome {
        self.error = None;
        // Where the model finds a slot empty the step is not run, and what is filled was compared after the last one.
        debug_assert_eq!(step.find_needed(|slot| self.slot(slot).is_none()), None);
        let outcome = match self.operation(py, step) {
            Ok(value) => Outcome::Value(value),
            Err(Raised) => self.raised(py),
        };
        if cfg!(Py_GIL_DISABLED) && step.binds().is_some() {
            self.settle_where_made();
        }
        outcome
    }

    /// As [`CPython::settle`], of what the first thread of the program has made: the others have a state of the interpreter's
    /// for the steps that they do, and what they have made is settled when that goes.
    fn settle_where_made(&self) {
        let known = Arc::clone(&self.known);
        errand::on_thread(0, move || {
            Python::attach(|py| drop(raw::call(py, &known.nothing, &[])));
        });
    }

    fn operation(&mut self, py: Python<'_>, step: &Step) -> Result<Value, Raised> {
        let starved = self.starved.take();
        let row = step.op.row();
        let receiver = step.receiver;
        if let (Syntax::Drop, Some(slot)) = (row.syntax, receiver) {
            drop(self.take(slot));
            return Ok(Value::None);
        }
        let objects = self.objects(py, step);
        let perform = || self.known.perform(py, step, objects.as_slice());
        let performed = match starved {
            Some(after) => raw::starved(py, after, perform)?,
            None => perform()?,
        };
        drop(objects);
        Ok(self.finish(py, step, performed))
    }

    /// The receiver, if there is one, and the arguments, as a call of a method has them.
    fn objects<'a>(&'a self, py: Python<'a>, step: &Step) -> raw::Arguments<'a> {
        let mut objects = raw::Arguments::new(py);
        if let Some(object) = step.receiver.and_then(|slot| self.slot(slot).as_ref()) {
            objects.borrow(object);
        }
        for arg in &step.args {
            match arg {
                Arg::Slot(slot) => objects.borrow(self.filled(*slot)),
                _ => objects.own(self.argument(py, arg)),
            }
        }
        objects
    }

    /// What came of a step that raised nothing.
    fn finish(&mut self, py: Python<'_>, step: &Step, performed: Performed) -> Value {
        match (performed, step.op.row().syntax, step.receiver) {
            (Performed::Told(value), ..) => value,
            // It replaces what is in the slot, which is usually the same object.
            (Performed::Gave(result), Syntax::InPlace(_), Some(slot)) => {
                drop(self.put(slot, result));
                Value::None
            }
            (Performed::Gave(result), ..) => self.result(py, step, result),
        }
    }

    /// The error that a step raised.
    fn raised(&mut self, py: Python<'_>) -> Outcome {
        let (class, error) = raw::fetch_error(py, &self.known.classes);
        self.error = error;
        Outcome::Raised(class.map_or(ErrorClass::Other, |place| ErrorClass::ALL[place]))
    }

    /// Keeps the first thing that the interpreter complained of since the last look.
    fn listen(&mut self, py: Python<'_>) {
        if raw::length(py, &self.known.complaints) == Ok(0) {
            return;
        }
        let texts = raw::items(py, &self.known.complaints);
        let cleared = self.known.complaints.bind(py).call_method0("clear");
        cleared.expect("failed to clear a list");
        let first = texts.first().and_then(|text| raw::string_value(py, text));
        self.complaint = self.complaint.take().or(first);
    }

    /// Puts a result where the step says, or observes it.
    fn result(&mut self, py: Python<'_>, step: &Step, result: Object) -> Value {
        let Some(dest) = step.dest else {
            return self.observe(py, step, &result);
        };
        let kind = raw::type_of(py, &result);
        let fits = match dest.kind {
            SlotKind::Exporter => flavour(py, &result).is_some(),
            SlotKind::View => kind == Type::MemoryView,
            SlotKind::Export => kind == Type::Other,
            // A stream is its own iterator.
            SlotKind::Iterator => matches!(kind, Type::Other | Type::BytesIO),
        };
        if !fits {
            return self.observe(py, step, &result);
        }
        let told = if step.op == Op::Request { self.fields(py, &result) } else { Value::Stored };
        drop(self.put(dest, result));
        told
    }

    fn observe(&self, py: Python<'_>, step: &Step, object: &Object) -> Value {
        if step.op == Op::Obj {
            return self.owner(py, object);
        }
        match (step.op, value(py, &self.known.to_bytes, object), step.receiver) {
            (Op::BufferInfo, Value::Tuple(info), Some(slot)) => {
                Value::Tuple(from_start(py, self.slot(slot).as_ref(), info))
            }
            (Op::Fields, Value::Tuple(_), _) => self.fields_of(py, object),
            (_, value, _) => value,
        }
    }

    /// What a `Py_buffer` was filled in with.
    fn fields(&self, py: Python<'_>, held: &Object) -> Value {
        let name = self.known.names[Op::Fields as usize].as_ref().expect("a method has a name");
        match raw::call_method(py, name, std::slice::from_ref(held)) {
            Ok(fields) => self.fields_of(py, &fields),
            Err(Raised) => {
                drop(raw::fetch_error(py, &[]));
                Value::Foreign("Py_buffer that cannot be read".into())
            }
        }
    }

    /// The same, of the tuple: its second field is an object of the program.
    fn fields_of(&self, py: Python<'_>, fields: &Object) -> Value {
        let field = |(place, field): (usize, &Object)| match place {
            1 => self.owner(py, field),
            _ => value(py, &self.known.to_bytes, field),
        };
        Value::Tuple(raw::items(py, fields).iter().enumerate().map(field).collect())
    }

    /// Which of the program's objects this is. A `bytes` is as good as any of the same contents.
    fn owner(&self, py: Python<'_>, object: &Object) -> Value {
        if raw::type_of(py, object) == Type::Bytes {
            return value(py, &self.known.to_bytes, object);
        }
        let named = [SlotKind::Exporter, SlotKind::View].into_iter().flat_map(Slot::all);
        let is_it = |slot: &Slot| self.slot(*slot).as_ref().is_some_and(|held| held.is(object));
        Value::Object(named.into_iter().find(is_it))
    }

    fn argument(&self, py: Python<'_>, arg: &Arg) -> Object {
        let items = |items: &[Arg]| {
            let list = raw::empty_list(py);
            for item in items {
                raw::append(py, &list, &self.argument(py, item));
            }
            list
        };
        match arg {
            Arg::List(list) => items(list),
            Arg::Tuple(list) => raw::tuple_of(py, &items(list)),
            Arg::Slice(bounds) => {
                let [start, stop, step] =
                    bounds.each_ref().map(|bound| (*bound != Arg::None).then(|| self.argument(py, bound)));
                raw::slice(py, start.as_ref(), stop.as_ref(), step.as_ref())
            }
            Arg::Slot(slot) => self.filled(*slot).clone_ref(py),
            Arg::Hook(hook) => self.hook(py, hook, |slot| self.filled(slot).clone_ref(py), hooks::run),
            literal => self.known.literal(py, literal),
        }
    }

    /// An object that is this hook, in a program whose slots hold what `held` tells, and whose steps `run` does.
    pub fn hook(
        &self,
        py: Python<'_>,
        hook: &Hook,
        held: impl Fn(Slot) -> Object,
        run: fn(Python<'_>, &Step),
    ) -> Object {
        hooks::object(py, &self.known, hook, held, run)
    }
}

/// What the interpreter did.
enum Performed {
    /// It gave an object.
    Gave(Object),
    /// It gave what is no object to C.
    Told(Value),
}

impl Known {
    /// Asks the interpreter to do a step with its receiver, if it has one, and its arguments.
    fn perform(&self, py: Python<'_>, step: &Step, objects: &[Object]) -> Result<Performed, Raised> {
        let name = self.names[step.op as usize].as_ref();
        let none = || Ok(Performed::Told(Value::None));
        Ok(Performed::Gave(match (step.op.row().syntax, objects, name) {
            (Syntax::Call("memoryview"), [source], _) => raw::memoryview(py, source)?,
            (Syntax::Call(_), args, Some(callable)) => raw::call(py, callable, args)?,
            (Syntax::Method(_), args, Some(name)) => raw::call_method(py, name, args)?,
            (Syntax::Attribute(_), [object], Some(name)) => raw::get_attribute(py, object, name)?,
            (Syntax::Item, [object, key], _) => raw::get_item(py, object, key)?,
            (Syntax::SetItem, [object, key, value], _) => {
                raw::set_item(py, object, key, value)?;
                return none();
            }
            (Syntax::DelItem, [object, key], _) => {
                raw::del_item(py, object, key)?;
                return none();
            }
            (Syntax::InPlace("+="), [one, other], _) => raw::in_place_add(py, one, other)?,
            (Syntax::InPlace(_), [one, other], _) => raw::in_place_multiply(py, one, other)?,
            (Syntax::Binary("+"), [one, other], _) => raw::add(py, one, other)?,
            (Syntax::Binary("*"), [one, other], _) => raw::multiply(py, one, other)?,
            (Syntax::Binary("%"), [one, other], _) => raw::remainder(py, one, other)?,
            (Syntax::Binary("=="), [one, other], _) => raw::compare(py, one, other, false)?,
            (Syntax::Binary("<"), [one, other], _) => raw::compare(py, one, other, true)?,
            (Syntax::In, [object, value], _) => {
                return raw::contains(py, object, value).map(|found| Performed::Told(Value::Bool(found)));
            }
            (Syntax::Function("len"), [object], _) => {
                return raw::length(py, object).map(|n| Performed::Told(Value::Int(n as i128)));
            }
            (Syntax::Function("hash"), [object], _) => {
                return raw::hash(py, object).map(|n| Performed::Told(Value::Int(n as i128)));
            }
            (Syntax::Function("list"), [object], _) => raw::list_of(py, object)?,
            (Syntax::Function("iter"), [object], _) => raw::iterator(py, object)?,
            (Syntax::Function("next"), [iterator], _) => match raw::next(py, iterator)? {
                Some(item) => item,
                None => return exhausted(py),
            },
            (Syntax::With, [object], _) => {
                raw::call(py, &self.with, &[object.clone_ref(py)])?;
                return none();
            }
            (syntax, objects, _) => unreachable!("{syntax:?} of {} objects", objects.len()),
        }))
    }

    fn literal(&self, py: Python<'_>, arg: &Arg) -> Object {
        match arg {
            Arg::None => self.none.clone_ref(py),
            Arg::Int(value) => int(py, *value),
            Arg::Float(value) => raw::float(py, value.value()),
            Arg::Complex(real, imaginary) => raw::complex(py, real.value(), imaginary.value()),
            Arg::Bytes(value) => raw::bytes(py, value),
            Arg::Str(value) => raw::string(py, value),
            other => unreachable!("{other} is no literal"),
        }
    }
}

/// The end of an iterator is the error that `next` makes of it.
fn exhausted(py: Python<'_>) -> Result<Performed, Raised> {
    pyo3::exceptions::PyStopIteration::new_err(()).restore(py);
    Err(Raised)
}

/// The class or function that is written so in a program.
///
/// # Errors
/// If this Python does not have it.
pub fn callable<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let (module, path) = home(name);
    let module = match module {
        HELPERS_MODULE => helpers(py)?,
        RAW_BUFFER_MODULE => raw::held::module(py)?,
        _ => py.import(module)?,
    };
    path.split('.').try_fold(module.into_any(), |object, name| object.getattr(name))
}

/// The module of what no module of Python has. There is one: its classes are told apart, and it knows what it has made.
fn helpers(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<pyo3::Py<PyModule>> = PyOnceLock::new();
    let run = || {
        let text = std::ffi::CString::new(HELPERS).expect("no line contains a zero");
        PyModule::from_code(py, &text, c"helpers.py", c"helpers").map(Bound::unbind)
    };
    MODULE.get_or_try_init(py, run).map(|module| module.bind(py).clone())
}

/// What runs `with it: pass`, as no function of the C API does.
fn enter_and_leave(py: Python<'_>) -> Object {
    let globals = pyo3::types::PyDict::new(py);
    let code = c"def enter_and_leave(it):\n    with it:\n        pass\n";
    let function =
        py.run(code, Some(&globals), None).and_then(|()| globals.as_any().get_item("enter_and_leave"));
    function.expect("failed to compile a function").unbind()
}

/// The list of complaints of this interpreter, which is one for all that run on it.
fn complaints(py: Python<'_>) -> Object {
    static COMPLAINTS: PyOnceLock<Object> = PyOnceLock::new();
    let listen = || {
        let globals = pyo3::types::PyDict::new(py);
        let complaints =
            py.run(LISTEN, Some(&globals), None).and_then(|()| globals.as_any().get_item("complaints"));
        complaints.expect("failed to listen to the interpreter").unbind()
    };
    COMPLAINTS.get_or_init(py, listen).clone_ref(py)
}

/// From the first race on, threads take turns as often as can be, where there is a GIL.
fn take_turns(py: Python<'_>) {
    static SET: PyOnceLock<()> = PyOnceLock::new();
    SET.get_or_init(py, || {
        let sys = py.import("sys").expect("every Python has sys");
        sys.call_method1("setswitchinterval", (1e-6,)).expect("failed to set how often threads take turns");
    });
}

fn int(py: Python<'_>, int: Int) -> Object {
    match int {
        Int::Small(value) => raw::int(py, value),
        Int::Unsigned(value) => raw::unsigned(py, value),
        Int::Huge { negative } => {
            let huge = if negative { -(1i128 << 100) } else { 1i128 << 100 };
            huge.into_pyobject(py).expect("an int can be made").into_any().unbind()
        }
    }
}

/// The address of `buffer_info`, counted from the begin of the memory. Without memory it is NULL.
fn from_start(py: Python<'_>, array: Option<&Object>, mut info: Vec<Value>) -> Vec<Value> {
    if let (Some(array), [Value::Int(address), Value::Int(length)]) = (array, info.as_mut_slice())
        && (*address, *length) != (0, 0)
    {
        *address -= raw::memory_start(py, array) as i128;
    }
    info
}

fn value(py: Python<'_>, to_bytes: &Object, object: &Object) -> Value {
    let contents = |object: &Object| raw::with_contents(py, object, Seen::from_slice);
    let items = || raw::items(py, object).iter().map(|item| value(py, to_bytes, item)).collect();
    match raw::type_of(py, object) {
        Type::None => Value::None,
        Type::Bool => Value::Bool(raw::int_value(py, object) == Some(1)),
        Type::Int => {
            raw::int_value(py, object).map_or_else(|| Value::Foreign(Value::BEYOND.into()), Value::Int)
        }
        Type::Float => Value::Float(Float::new(raw::float_value(py, object))),
        Type::Complex => {
            let (real, imaginary) = raw::complex_value(py, object);
            Value::Complex(Float::new(real), Float::new(imaginary))
        }
        Type::Str => {
            let text = raw::string_value(py, object);
            text.map_or_else(Value::lone_surrogates, |text| Value::Str(text.into()))
        }
        Type::Bytes => Value::Bytes(contents(object)),
        Type::ByteArray => Value::ByteArray(contents(object)),
        Type::MemoryView => match raw::call_method(py, to_bytes, &[object.clone_ref(py)]) {
            Ok(bytes) => Value::View(contents(&bytes)),
            Err(Raised) => {
                drop(raw::fetch_error(py, &[]));
                Value::Foreign("released memoryview".into())
            }
        },
        Type::List => Value::List(items()),
        Type::Tuple => Value::Tuple(items()),
        Type::Array => match raw::typecode(py, object) {
            Some(code) => Value::Array(code, contents(object)),
            None => Value::Foreign("array of a type code that is not known".into()),
        },
        Type::Mmap | Type::BytesIO | Type::CArray | Type::Text | Type::Other => {
            Value::Foreign(raw::type_name(py, object).into())
        }
    }
}

impl Subject for CPython {
    fn name(&self) -> &str {
        if self.known.substitutes.is_some() { "pynative" } else { "cpython" }
    }

    fn takes(&self, program: &Program) -> bool {
        // A step that is done by its meaning has no hooks of CPython.
        self.known.substitutes.is_none()
            || !(substitutes::calls_back(program) || program.steps.iter().any(Step::has_hooks))
    }

    fn step(&mut self, step: &Step) -> Outcome {
        Python::attach(|py| {
            let outcome = match self.by_meaning(py, step) {
                Some(outcome) => outcome,
                None => self.run(py, step),
            };
            // Whoever runs next is not to blame.
            self.listen(py);
            outcome
        })
    }

    fn starve(&mut self, after: usize) {
        if self.known.substitutes.is_none() {
            self.starved = Some(after);
        }
    }

    fn hooked_step(&mut self, step: &Step, expected: &[Nested]) -> (Outcome, Vec<Nested>) {
        Python::attach(|py| {
            let seen = hooks::step(py, self, step, expected);
            self.listen(py);
            seen
        })
    }

    fn message(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Python::attach(|py| match raw::string_of(py, error) {
            Ok(text) => raw::string_value(py, &text),
            Err(Raised) => {
                drop(raw::fetch_error(py, &[]));
                None
            }
        })
    }

    fn different_slot(&mut self, expected: State<'_>) -> Option<Slot> {
        // What an export shows is that it holds: the resizes that it refuses are compared.
        Python::attach(|py| {
            let ours = self.known.substitutes.is_some();
            let exporter = |place: usize, object: &Object| {
                let expected = expected.exporter(place);
                match ours.then(|| pynative::provider(object.bind(py))).flatten() {
                    Some(exporter) => native::shows(&exporter, expected),
                    None => holds(py, object, expected),
                }
            };
            let view = |place: usize, object: &Object| {
                raw::with_view(py, object, |fields| match fields {
                    None => expected.is_released(place),
                    Some(fields) => !expected.is_released(place) && shows(expected.view(place), &fields),
                })
            };
            self.exporters
                .first_different(SlotKind::Exporter, expected.filled(SlotKind::Exporter), exporter)
                .or_else(|| self.views.first_different(SlotKind::View, expected.filled(SlotKind::View), view))
        })
    }

    fn holds(&self, slot: Slot) -> bool {
        self.slot(slot).is_some()
    }

    fn forks(&mut self, count: u8) -> Option<Vec<Box<dyn Subject>>> {
        // What is done by its meaning is several steps to other threads.
        if self.known.substitutes.is_some() {
            return None;
        }
        // With the frames that it went through, the error of the last step refers to objects, and may hold exports.
        let error = self.error.take();
        let fork = |py: Python<'_>| CPython {
            exporters: self.exporters.map(|object| object.clone_ref(py)),
            views: self.views.map(|object| object.clone_ref(py)),
            exports: self.exports.map(|object| object.clone_ref(py)),
            iterators: self.iterators.map(|object| object.clone_ref(py)),
            ..CPython::of(Arc::clone(&self.known))
        };
        Python::attach(|py| {
            drop(error);
            take_turns(py);
            Some((0..count).map(|_| Box::new(fork(py)) as Box<dyn Subject>).collect())
        })
    }

    fn look(&self, slot: Slot) -> Picture {
        let Some(object) = self.slot(slot) else { return Picture::Empty };
        Python::attach(|py| match slot.kind {
            SlotKind::Exporter => {
                if let Some(exporter) = pynative::provider(object.bind(py)) {
                    return native::picture(&exporter);
                }
                let flavour = flavour(py, object).expect("a slot of exporters holds one");
                if raw::is_closed(py, object) {
                    return Picture::Closed(flavour);
                }
                let bytes = raw::with_contents(py, object, <[u8]>::to_vec);
                Picture::Exporter { flavour, bytes, cursor: raw::cursor(py, object) }
            }
            SlotKind::View => raw::with_view(py, object, |fields| match fields {
                None => Picture::ReleasedView,
                Some(fields) => Picture::View(ViewPicture {
                    offset: fields.offset,
                    format: fields.format.text().to_string_lossy().into_owned(),
                    itemsize: fields.itemsize as usize,
                    nbytes: fields.nbytes as usize,
                    shape: fields.shape.to_vec(),
                    strides: fields.strides.to_vec(),
                    readonly: fields.readonly,
                    c_contiguous: fields.c_contiguous,
                    f_contiguous: fields.f_contiguous,
                }),
            }),
            SlotKind::Export => Picture::Export { held: true },
            SlotKind::Iterator => Picture::Iterator,
        })
    }

    fn hash_of(&self, bytes: &[u8]) -> Option<i128> {
        Python::attach(|py| raw::hash(py, &raw::bytes(py, bytes)).ok().map(|hash| hash as i128))
    }

    fn rest(&mut self) -> Option<Unrest> {
        Python::attach(|py| {
            self.settle(py);
            self.error = None;
            self.iterators.clear();
            self.exports.clear();
            let mut views = std::mem::take(&mut self.views);
            let exporters = std::mem::take(&mut self.exporters);
            let alone = |slot: Slot, object: &Object| {
                let found = raw::references(py, object);
                (found != 1).then_some(Unrest::References { slot, expected: 1, found })
            };
            // A view that another one shows, or that is behind what another one shows, is referred to until that goes.
            let is_last = |view: &Object| raw::references(py, view) == 1 && raw::view_exports(py, view) == 0;
            while let Some(slot) =
                Slot::all(SlotKind::View).find(|slot| views[slot.at()].as_ref().is_some_and(is_last))
            {
                drop(views.take(slot));
            }
            let mut unrest = Slot::all(SlotKind::View)
                .filter_map(|slot| Some((slot, views[slot.at()].as_ref()?)))
                .filter(|(_, view)| raw::view_exports(py, view) == 0)
                .find_map(|(slot, view)| alone(slot, view));
            drop(views);
            for slot in Slot::all(SlotKind::Exporter) {
                let Some(object) = &exporters[slot.at()] else { continue };
                if unrest.is_none() && raw::type_of(py, object) != Type::Bytes {
                    let stuck = !raw::is_free(py, object);
                    unrest = stuck.then_some(Unrest::StillExported(slot)).or_else(|| alone(slot, object));
                }
            }
            drop(exporters);
            unrest
                .or_else(|| {
                    self.listen(py);
                    self.complaint.take().map(Unrest::Complaint)
                })
                .or_else(|| self.changed_lately(py).map(Unrest::SharedObject))
        })
    }

    fn grown(&mut self, swept: bool) -> usize {
        Python::attach(|py| {
            if swept {
                raw::collect(py);
            }
            let Some(blocks) = raw::guarded::blocks(py) else { return 0 };
            let most = self.most.max(blocks);
            let grown = most - std::mem::replace(&mut self.most, most);
            if swept { blocks.saturating_sub(std::mem::replace(&mut self.swept, blocks)) } else { grown }
        })
    }
}

/// Which exporter an object is. How a map was mapped is not to be seen; what can be done with it is.
fn flavour(py: Python<'_>, object: &Object) -> Option<Flavour> {
    Some(match raw::type_of(py, object) {
        Type::Bytes => Flavour::Bytes,
        Type::ByteArray => Flavour::ByteArray,
        Type::Array => Flavour::Array(raw::typecode(py, object)?),
        Type::Mmap => Flavour::Mmap(Mapping::WRITE),
        Type::BytesIO => Flavour::Stream,
        Type::CArray => Flavour::CArray(raw::c_type(py, object)?),
        Type::Text => Flavour::Text(raw::character_width(py, object)),
        _ => return None,
    })
}

fn same_class(found: Flavour, expected: Flavour) -> bool {
    found == expected || matches!((found, expected), (Flavour::Mmap(_), Flavour::Mmap(_)))
}

/// Whether an exporter is what the model shows.
#[inline]
fn holds(py: Python<'_>, object: &Object, expected: Shown<'_>) -> bool {
    match expected {
        Shown::Exporter { flavour: Flavour::ByteArray, bytes, .. } => {
            raw::is_bytearray(py, object) && raw::with_contents(py, object, |own| same_bytes(own, bytes))
        }
        Shown::Exporter { flavour: Flavour::Bytes, bytes, .. } => {
            raw::is_bytes(py, object) && raw::with_contents(py, object, |own| same_bytes(own, bytes))
        }
        Shown::Exporter { flavour: expected, bytes, cursor } => {
            flavour(py, object).is_some_and(|found| same_class(found, expected))
                && !raw::is_closed(py, object)
                && raw::cursor(py, object) == cursor
                && raw::with_contents(py, object, |own| same_bytes(own, bytes))
        }
        Shown::Closed(expected) => {
            flavour(py, object).is_some_and(|found| same_class(found, expected)) && raw::is_closed(py, object)
        }
        _ => false,
    }
}

#[inline]
fn shows(view: &Viewed, fields: &ViewFields<'_>) -> bool {
    let Some(line) = &view.line else { return is_laid_out(fields, &view.layout) };
    let (&[length], &[stride]) = (fields.shape, fields.strides) else { return false };
    length == line.length
        && stride == line.stride
        && fields.offset == line.offset
        && fields.itemsize == line.itemsize
        && fields.nbytes == line.nbytes
        && fields.readonly == line.readonly
        && fields.c_contiguous == line.contiguous
        && fields.f_contiguous == line.contiguous
        && is_written(view.layout.format, fields.format)
}

/// Whether a format is written so.
#[inline]
fn is_written(format: Format, written: raw::Format<'_>) -> bool {
    let prefix = match format.order {
        None if format.at => Some(b'@'),
        None => None,
        Some(ByteOrder::Little) => Some(b'<'),
        Some(ByteOrder::Big) => Some(b'>'),
    };
    written.is(prefix, format.code.as_str())
}

fn is_laid_out(fields: &ViewFields<'_>, layout: &Layout) -> bool {
    fields.shape == &*layout.shape
        && fields.strides == &*layout.strides
        && fields.offset == layout.offset
        && fields.readonly == layout.readonly
        && fields.itemsize == layout.itemsize() as isize
        && fields.nbytes == layout.nbytes() as isize
        && is_written(layout.format, fields.format)
        && fields.c_contiguous == layout.is_c_contiguous()
        && fields.f_contiguous == layout.is_f_contiguous()
}

impl Shared {
    fn new(py: Python<'_>) -> Shared {
        Shared {
            empty: raw::bytes(py, b""),
            bytes: (0..=255).map(|byte| raw::bytes(py, &[byte])).collect(),
            ints: (-5..=256).map(|value| (value, raw::int(py, value))).collect(),
        }
    }

    /// The first of them that has another value than it should.
    fn changed(&self, py: Python<'_>) -> Option<String> {
        if raw::with_contents(py, &self.empty, |bytes| !bytes.is_empty()) {
            return Some("b\"\" is not empty".to_owned());
        }
        for (byte, object) in (0..=255u8).zip(&self.bytes) {
            if raw::with_contents(py, object, |bytes| bytes != [byte]) {
                return Some(format!("the bytes of one byte {byte:#04x}"));
            }
        }
        let changed =
            self.ints.iter().find(|(value, object)| raw::int_value(py, object) != Some((*value).into()))?;
        Some(format!("the int {}", changed.0))
    }
}
