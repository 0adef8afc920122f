//! CPython's own `bytearray`, `bytes` and `memoryview`, as a subject.
//!
//! There is no case for any single operation here: how it is written in the table is how CPython
//! is asked to do it.

use buflock::exporter::{Mapping, TypeCode};
use buflock::history::{ErrorClass, Outcome, Seen, Skip, Value};
use buflock::program::op::{MAPPED_FILE, home};
use buflock::program::{Arg, Float, Int, Op, Slot, SlotKind, Step, Syntax, limits};
use buflock::subject::{
    Flavour, Model, Picture, Shown, Subject, Unrest, ViewPicture, first_different, occupied,
};
use pyo3::types::PyAnyMethods;
use pyo3::{IntoPyObject, Python};

use crate::raw_buffer::{self as raw, Object, Raised, Type, ViewFields};

/// The slots of one run, and what every run needs of the interpreter.
#[derive(Debug)]
pub struct CPython {
    exporters: [Option<Object>; limits::EXPORTERS as usize],
    views: [Option<Object>; limits::VIEWS as usize],
    /// The export, and whether it is held.
    exports: [Option<Object>; limits::EXPORTS as usize],
    iterators: [Option<Object>; limits::ITERATORS as usize],
    /// The method, attribute or class of each operation that has one.
    names: Vec<Option<Object>>,
    classes: Vec<Object>,
    none: Object,
    /// A function that does nothing with its argument but to enter and to leave it.
    with: Object,
    to_bytes: Object,
    shared: Shared,
    /// A list of the errors that the interpreter printed since the last run.
    complaints: Object,
    error: Option<Object>,
}

/// Keeps what the interpreter would print: errors in destructors and the like.
const LISTEN: &std::ffi::CStr = c"
import sys
complaints = []
sys.excepthook = lambda kind, value, traceback: complaints.append(f'{kind.__name__}: {value}')
sys.unraisablehook = lambda what: complaints.append(f'{what.exc_type.__name__}: {what.exc_value}')
";

/// Objects that the whole interpreter shares, and that no operation may change.
#[derive(Debug)]
struct Shared {
    empty: Object,
    bytes: Vec<Object>,
    ints: Vec<(i64, Object)>,
    rests: u32,
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
        Python::attach(|py| {
            let import = |module: &str, name: &str| -> Object {
                let found = py.import(module).and_then(|module| module.getattr(name));
                found.unwrap_or_else(|error| panic!("failed to find {module}.{name}: {error}")).unbind()
            };
            let name = |op: Op| match op.row().syntax {
                Syntax::Call(name) => {
                    let (module, attribute) = home(name);
                    Some(if module.is_empty() { function(py, attribute) } else { import(module, attribute) })
                }
                Syntax::Method(name) | Syntax::Attribute(name) => {
                    let name = std::ffi::CString::new(name).expect("no name contains a zero");
                    Some(raw::interned(py, &name))
                }
                _ => None,
            };
            let class = |class: &ErrorClass| import("builtins", class.name());
            CPython {
                exporters: [const { None }; _],
                views: [const { None }; _],
                exports: [const { None }; _],
                iterators: [const { None }; _],
                names: Op::all().map(name).collect(),
                classes: ErrorClass::ALL
                    .iter()
                    .filter(|class| **class != ErrorClass::Other)
                    .map(class)
                    .collect(),
                none: py.None(),
                with: with(py),
                to_bytes: raw::interned(py, c"tobytes"),
                shared: Shared::new(py),
                complaints: listen(py),
                error: None,
            }
        })
    }

    fn slot(&self, slot: Slot) -> &Option<Object> {
        match slot.kind {
            SlotKind::Exporter => &self.exporters[slot.at()],
            SlotKind::View => &self.views[slot.at()],
            SlotKind::Export => &self.exports[slot.at()],
            SlotKind::Iterator => &self.iterators[slot.at()],
        }
    }

    fn slot_mut(&mut self, slot: Slot) -> &mut Option<Object> {
        match slot.kind {
            SlotKind::Exporter => &mut self.exporters[slot.at()],
            SlotKind::View => &mut self.views[slot.at()],
            SlotKind::Export => &mut self.exports[slot.at()],
            SlotKind::Iterator => &mut self.iterators[slot.at()],
        }
    }

    fn run(&mut self, py: Python<'_>, step: &Step) -> Outcome {
        self.error = None;
        if let Some(slot) = step.find_needed(|slot| self.slot(slot).is_none()) {
            return Outcome::Skipped(Skip::Empty(slot));
        }
        match self.operation(py, step) {
            Ok(value) => Outcome::Value(value),
            Err(Raised) => {
                let (class, error) = raw::fetch_error(py, &self.classes);
                self.error = error;
                Outcome::Raised(class.map_or(ErrorClass::Other, |place| ErrorClass::ALL[place]))
            }
        }
    }

    fn operation(&mut self, py: Python<'_>, step: &Step) -> Result<Value, Raised> {
        let row = step.op.row();
        let receiver = step.receiver;
        if let (Syntax::Drop, Some(slot)) = (row.syntax, receiver) {
            *self.slot_mut(slot) = None;
            return Ok(Value::None);
        }
        // The receiver, if there is one, and the arguments, as a call of a method has them.
        let mut objects = smallvec::SmallVec::<[Object; 1 + limits::ARGUMENTS]>::new();
        if let Some(object) = receiver.and_then(|slot| self.slot(slot).as_ref()) {
            objects.push(object.clone_ref(py));
        }
        objects.extend(step.args.iter().map(|arg| self.argument(py, arg)));
        let name = self.names[step.op as usize].as_ref();
        let none = || Ok(Value::None);
        let result = match (row.syntax, objects.as_slice(), name) {
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
            (Syntax::InPlace(sign), [_, _], _) => return self.in_place(py, step, sign, objects),
            (Syntax::Binary("+"), [one, other], _) => raw::add(py, one, other)?,
            (Syntax::Binary("*"), [one, other], _) => raw::multiply(py, one, other)?,
            (Syntax::Binary("=="), [one, other], _) => raw::compare(py, one, other, false)?,
            (Syntax::Binary("<"), [one, other], _) => raw::compare(py, one, other, true)?,
            (Syntax::In, [object, value], _) => return raw::contains(py, object, value).map(Value::Bool),
            (Syntax::Function("len"), [object], _) => {
                return raw::length(py, object).map(|n| Value::Int(n as i128));
            }
            (Syntax::Function("hash"), [object], _) => {
                return raw::hash(py, object).map(|n| Value::Int(n as i128));
            }
            (Syntax::Function("list"), [object], _) => raw::list_of(py, object)?,
            (Syntax::Function("iter"), [object], _) => raw::iterator(py, object)?,
            (Syntax::Function("next"), [iterator], _) => match raw::next(py, iterator)? {
                Some(item) => item,
                None => return self.exhausted(),
            },
            (Syntax::With, [object], _) => {
                raw::call(py, &self.with, &[object.clone_ref(py)])?;
                return none();
            }
            (syntax, objects, _) => unreachable!("{syntax:?} of {} objects", objects.len()),
        };
        drop(objects);
        Ok(self.result(py, step, result))
    }

    /// What the interpreter complained of, once.
    fn complaint(&self, py: Python<'_>) -> Option<String> {
        if raw::length(py, &self.complaints) == Ok(0) {
            return None;
        }
        let texts = raw::items(py, &self.complaints);
        let cleared = self.complaints.bind(py).call_method0("clear");
        cleared.expect("failed to clear a list");
        texts.first().and_then(|text| raw::string_value(py, text))
    }

    /// The end of an iterator is the error that `next` makes of it.
    fn exhausted(&self) -> Result<Value, Raised> {
        Python::attach(|py| {
            pyo3::exceptions::PyStopIteration::new_err(()).restore(py);
            Err(Raised)
        })
    }

    /// The result of `b0 += ARG` replaces what is in the slot, which is usually the same object.
    fn in_place(
        &mut self,
        py: Python<'_>,
        step: &Step,
        sign: &str,
        objects: smallvec::SmallVec<[Object; 1 + limits::ARGUMENTS]>,
    ) -> Result<Value, Raised> {
        let operate = if sign == "+=" { raw::in_place_add } else { raw::in_place_multiply };
        let result = operate(py, &objects[0], &objects[1])?;
        if let Some(slot) = step.receiver {
            *self.slot_mut(slot) = Some(result);
        }
        Ok(Value::None)
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
            SlotKind::Export | SlotKind::Iterator => kind == Type::Other,
        };
        if !fits {
            return self.observe(py, step, &result);
        }
        *self.slot_mut(dest) = Some(result);
        Value::Stored
    }

    fn observe(&self, py: Python<'_>, step: &Step, object: &Object) -> Value {
        if step.op == Op::Obj {
            return self.owner(py, object);
        }
        value(py, &self.to_bytes, object)
    }

    /// Which of the program's objects this is. A `bytes` is as good as any of the same contents.
    fn owner(&self, py: Python<'_>, object: &Object) -> Value {
        if raw::type_of(py, object) == Type::Bytes {
            return value(py, &self.to_bytes, object);
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
            Arg::None => self.none.clone_ref(py),
            Arg::Int(value) => int(py, *value),
            Arg::Float(value) => raw::float(py, value.value()),
            Arg::Bytes(value) => raw::bytes(py, value),
            Arg::Str(value) => raw::string(py, value),
            Arg::List(list) => items(list),
            Arg::Tuple(list) => raw::tuple_of(py, &items(list)),
            Arg::Slice(slice) => {
                let bound = |bound: Option<Int>| bound.map(|bound| int(py, bound));
                let (start, stop, step) = (bound(slice.start), bound(slice.stop), bound(slice.step));
                raw::slice(py, start.as_ref(), stop.as_ref(), step.as_ref())
            }
            Arg::Slot(slot) => {
                self.slot(*slot).as_ref().expect("the slots of a step are filled").clone_ref(py)
            }
        }
    }
}

/// What runs `with it: pass`, as no function of the C API does.
fn with(py: Python<'_>) -> Object {
    let globals = pyo3::types::PyDict::new(py);
    let code = c"def enter_and_leave(it):\n    with it:\n        pass\n";
    let function =
        py.run(code, Some(&globals), None).and_then(|()| globals.as_any().get_item("enter_and_leave"));
    function.expect("failed to compile a function").unbind()
}

/// A function of programs that Python lacks.
fn function(py: Python<'_>, name: &str) -> Object {
    let globals = pyo3::types::PyDict::new(py);
    let code = std::ffi::CString::new(format!("import mmap, tempfile\n{MAPPED_FILE}"));
    let code = code.expect("no function contains a zero");
    let function = py.run(&code, Some(&globals), None).and_then(|()| globals.as_any().get_item(name));
    function.expect("failed to compile a function").unbind()
}

/// The list of complaints of this interpreter, which begins with this call.
fn listen(py: Python<'_>) -> Object {
    let globals = pyo3::types::PyDict::new(py);
    let complaints =
        py.run(LISTEN, Some(&globals), None).and_then(|()| globals.as_any().get_item("complaints"));
    complaints.expect("failed to listen to the interpreter").unbind()
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

fn value(py: Python<'_>, to_bytes: &Object, object: &Object) -> Value {
    let contents = |object: &Object| raw::with_contents(py, object, Seen::from_slice);
    let items = || raw::items(py, object).iter().map(|item| value(py, to_bytes, item)).collect();
    match raw::type_of(py, object) {
        Type::None => Value::None,
        Type::Bool => Value::Bool(raw::int_value(py, object) == Some(1)),
        Type::Int => {
            raw::int_value(py, object).map_or_else(|| Value::Foreign("int beyond 64 bits".into()), Value::Int)
        }
        Type::Float => Value::Float(Float::new(raw::float_value(py, object))),
        Type::Str => match raw::string_value(py, object) {
            Some(text) => Value::Str(text.into()),
            None => Value::Foreign("str with lone surrogates".into()),
        },
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
        Type::Array | Type::Mmap | Type::BytesIO | Type::Other => {
            Value::Foreign(raw::type_name(py, object).into())
        }
    }
}

impl Subject for CPython {
    fn name(&self) -> &str {
        "cpython"
    }

    fn step(&mut self, step: &Step) -> Outcome {
        Python::attach(|py| self.run(py, step))
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

    fn different_slot(&self, model: &Model) -> Option<Slot> {
        // What an export shows is that it holds: the resizes that it refuses are compared.
        Python::attach(|py| {
            let same = |slot| shows(py, self.slot(slot).as_ref(), &model.shown(slot));
            let (exporters, views) = (occupied(&self.exporters), occupied(&self.views));
            first_different(SlotKind::Exporter, exporters, model.occupied(SlotKind::Exporter), same)
                .or_else(|| first_different(SlotKind::View, views, model.occupied(SlotKind::View), same))
        })
    }

    fn look(&self, slot: Slot) -> Picture {
        let Some(object) = self.slot(slot) else { return Picture::Empty };
        Python::attach(|py| match slot.kind {
            SlotKind::Exporter => {
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
            self.error = None;
            self.iterators = [const { None }; _];
            self.exports = [const { None }; _];
            let views = std::mem::replace(&mut self.views, [const { None }; _]);
            let exporters = std::mem::replace(&mut self.exporters, [const { None }; _]);
            let alone = |(slot, object): (Slot, &Option<Object>)| {
                let found = raw::references(py, object.as_ref()?);
                (found != 1).then_some(Unrest::References { slot, expected: 1, found })
            };
            // A view that another one shows is referred to by that until it goes.
            let mut unrest = Slot::all(SlotKind::View)
                .zip(&views)
                .filter(|(_, view)| view.as_ref().is_some_and(|view| raw::view_exports(py, view) == 0))
                .find_map(alone);
            drop(views);
            for (slot, exporter) in Slot::all(SlotKind::Exporter).zip(&exporters) {
                let Some(object) = exporter else { continue };
                if unrest.is_none() && raw::type_of(py, object) != Type::Bytes {
                    let stuck = !raw::is_free(py, object);
                    unrest = stuck.then_some(Unrest::StillExported(slot)).or_else(|| alone((slot, exporter)));
                }
            }
            drop(exporters);
            unrest
                .or_else(|| self.complaint(py).map(Unrest::Complaint))
                .or_else(|| self.shared.changed_lately(py).map(Unrest::SharedObject))
        })
    }
}

/// Which exporter an object is. How a map was mapped is not to be seen; what can be done with it is.
fn flavour(py: Python<'_>, object: &Object) -> Option<Flavour> {
    Some(match raw::type_of(py, object) {
        Type::Bytes => Flavour::Bytes,
        Type::ByteArray => Flavour::ByteArray,
        Type::Array => Flavour::Array(TypeCode::of_letter(raw::typecode(py, object)?)?),
        Type::Mmap => Flavour::Mmap(Mapping::WRITE),
        Type::BytesIO => Flavour::Stream,
        _ => return None,
    })
}

fn same_class(found: Flavour, expected: Flavour) -> bool {
    found == expected || matches!((found, expected), (Flavour::Mmap(_), Flavour::Mmap(_)))
}

#[inline]
fn shows(py: Python<'_>, object: Option<&Object>, expected: &Shown<'_>) -> bool {
    let Some(object) = object else { return *expected == Shown::Empty };
    match expected {
        Shown::Exporter { flavour: Flavour::ByteArray, bytes, .. } => {
            raw::type_of(py, object) == Type::ByteArray && raw::with_contents(py, object, |own| own == *bytes)
        }
        Shown::Exporter { flavour: expected, bytes, cursor } => {
            flavour(py, object).is_some_and(|found| same_class(found, *expected))
                && !raw::is_closed(py, object)
                && raw::cursor(py, object) == *cursor
                && raw::with_contents(py, object, |own| own == *bytes)
        }
        Shown::Closed(expected) => {
            flavour(py, object).is_some_and(|found| same_class(found, *expected))
                && raw::is_closed(py, object)
        }
        Shown::View(layout) => {
            raw::with_view(py, object, |fields| fields.is_some_and(|fields| is_laid_out(&fields, layout)))
        }
        Shown::ReleasedView => raw::is_released(py, object),
        _ => false,
    }
}

#[inline]
fn is_laid_out(fields: &ViewFields<'_>, layout: &buflock::exporter::Layout) -> bool {
    let (format, itemsize) = (layout.format, layout.itemsize() as isize);
    // One dimension, as nearly all views have, is compared without a loop.
    let dims = match (fields.shape, fields.strides, &*layout.shape, &*layout.strides) {
        ([dim], [stride], [expected_dim], [expected_stride]) => {
            dim == expected_dim && stride == expected_stride
        }
        (shape, strides, expected_shape, expected_strides) => {
            shape == expected_shape && strides == expected_strides
        }
    };
    dims && fields.offset == layout.offset
        && fields.readonly == layout.readonly
        && fields.itemsize == itemsize
        && fields.nbytes == layout.nbytes() as isize
        && fields.format.is(format.at, format.code.as_char() as u8)
        && fields.c_contiguous == layout.is_c_contiguous()
        && fields.f_contiguous == layout.is_f_contiguous()
}

impl Shared {
    fn new(py: Python<'_>) -> Shared {
        Shared {
            empty: raw::bytes(py, b""),
            bytes: (0..=255).map(|byte| raw::bytes(py, &[byte])).collect(),
            ints: (-5..=256).map(|value| (value, raw::int(py, value))).collect(),
            rests: 0,
        }
    }

    /// As [`Shared::changed`], now and then.
    fn changed_lately(&mut self, py: Python<'_>) -> Option<String> {
        self.rests = self.rests.wrapping_add(1);
        let changed = self.rests.is_multiple_of(LOOK_EVERY).then(|| self.changed(py))??;
        Some(format!("{changed}, in this run or one of the {} before it", LOOK_EVERY - 1))
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
