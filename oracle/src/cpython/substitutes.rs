//! The subject `pynative`: the classes of [`crate::pynative`] stand where CPython's own `bytearray`, `array.array` and
//! `mmap.mmap` would, and where `helpers.py` has a class of its own for text. Everything else is CPython's own, and uses
//! their memory.
//!
//! An operation of such an object is asked of its class if that has it, and CPython's as well. The classes have what makes
//! an exporter: what lends the memory out, and what would move it. What they lack, and what they mean to do
//! [`OTHERWISE`], is done by its meaning on the memory of the object, as the native subject does it. There is no list of
//! what is asked of whom: a method that a class gains is asked from then on.

use buflock::exporter::{Bytes, CArray, Dims, Format, Layout, Provider, Stream, View};
use buflock::history::{Outcome, Value};
use buflock::program::{Arg, Class, Op, Program, Slot, SlotKind, Step, Syntax};
use buflock::subject::{Native, Subject, Version};
use pyo3::types::{PyAnyMethods, PyType};
use pyo3::{Bound, PyTypeInfo, Python};

use super::CPython;
use crate::pynative::{self, Array, ByteArray, Mmap, Text};
use crate::raw_buffer::{self as raw, Object, Type, ViewFields};

/// What a class has and does otherwise than CPython's, and why.
const OTHERWISE: &[(Class, Op, &str)] = &[
    (
        Class::Array,
        Op::NewArray,
        "all type codes are those of every Python, and only bytes are taken for memory",
    ),
    (Class::Array, Op::Extend, "what is no item is found before anything is added"),
    (Class::Array, Op::Remove, "the first item of the same bytes goes, not of an equal value"),
    (Class::Mmap, Op::NewMmap, "how a map is used is one word, not flags and a protection"),
    (Class::Mmap, Op::MapFile, "as NewMmap: this makes a map by calling the class"),
    (Class::Mmap, Op::Flush, "all of a map is written back, never a part"),
];

/// Which steps of an operation CPython's own does otherwise with an argument of a class, and why. It fails there before it
/// changes anything.
const OTHERWISE_WITH: &[(Op, Class, Which, &str)] = &[
    (
        Op::SetItem,
        Class::Mmap,
        |step| matches!(step.args[0], Arg::Slice(_)),
        "to the C API a map is a sequence of ints, as its items are: PyO3 has one slot for both",
    ),
    (
        Op::Remainder,
        Class::ByteArray,
        |_| true,
        "to a format it is no bytearray: a mapping, with a `repr` of its own",
    ),
    (Op::Remainder, Class::Array, |_| true, "it has a `repr` of its own"),
    (Op::TruncateFile, Class::Mmap, |_| true, "`helpers.py` knows the files of Python's own maps alone"),
];

type Which = fn(&Step) -> bool;

/// The classes, and what they are asked.
#[derive(Debug)]
pub(super) struct Substitutes {
    version: Version,
    /// By operation: those that are asked.
    asked: Vec<Vec<Class>>,
}

/// What a class must have for an operation to be asked of it. `None`: every object can be asked.
fn attribute(syntax: Syntax) -> Option<&'static str> {
    Some(match syntax {
        Syntax::Call(_) => "__new__",
        Syntax::Method(name) | Syntax::Attribute(name) => name,
        Syntax::Item => "__getitem__",
        Syntax::SetItem => "__setitem__",
        Syntax::DelItem => "__delitem__",
        Syntax::InPlace("+=") => "__iadd__",
        Syntax::InPlace(_) => "__imul__",
        Syntax::Binary("+") => "__add__",
        Syntax::Binary("*") => "__mul__",
        Syntax::Binary("%") => "__mod__",
        Syntax::Binary("==") => "__eq__",
        Syntax::Binary(_) => "__lt__",
        Syntax::In => "__contains__",
        Syntax::Function(_) | Syntax::With | Syntax::Drop => return None,
    })
}

/// Whether an operation of an exporter may be given an object that calls Python when it is asked for its buffer, or that
/// only C can ask: no meaning of ours does that in place of CPython.
pub(super) fn calls_back(program: &Program) -> bool {
    let makes = |step: &Step| matches!(step.op, Op::NewLender | Op::Request);
    let given = |step: &Step| {
        step.receiver.map_or(made_by(step.op).is_some(), |slot| slot.kind == SlotKind::Exporter)
            && step.find_given(|slot| slot.kind == SlotKind::Export).is_some()
    };
    program.steps.iter().any(makes) && program.steps.iter().any(given)
}

/// The class of what an operation makes out of nothing, if it is one that has a substitute.
fn made_by(op: Op) -> Option<Class> {
    match op {
        Op::NewByteArray => Some(Class::ByteArray),
        Op::NewArray => Some(Class::Array),
        Op::NewMmap | Op::MapFile => Some(Class::Mmap),
        Op::NewText => Some(Class::Text),
        _ => None,
    }
}

fn class_of(exporter: &Provider) -> Class {
    match exporter {
        Provider::ByteArray(_) => Class::ByteArray,
        Provider::Array(_) => Class::Array,
        Provider::Text(_) => Class::Text,
        _ => Class::Mmap,
    }
}

fn type_of(py: Python<'_>, class: Class) -> Bound<'_, PyType> {
    match class {
        Class::ByteArray => ByteArray::type_object(py),
        Class::Array => Array::type_object(py),
        Class::Text => Text::type_object(py),
        _ => Mmap::type_object(py),
    }
}

impl Substitutes {
    pub(super) fn new(py: Python<'_>) -> Substitutes {
        let info = py.version_info();
        let classes = [Class::ByteArray, Class::Array, Class::Mmap, Class::Text];
        let has = |class: Class, op: Op| {
            if OTHERWISE.iter().any(|&(other, what, _)| (other, what) == (class, op)) {
                return false;
            }
            let in_place_of = super::callable(py, class.name()).expect("CPython has its own classes");
            attribute(op.row().syntax).is_none_or(|name| {
                let names = type_of(py, class).getattr("__dict__");
                names
                    .and_then(|names| Ok(names.contains(name)? && in_place_of.hasattr(name)?))
                    .expect("a class has names")
            })
        };
        Substitutes {
            version: Version { major: info.major, minor: info.minor, micro: info.patch },
            asked: Op::all()
                .map(|op| classes.into_iter().filter(|&class| has(class, op)).collect())
                .collect(),
        }
    }

    /// What makes an object in place of the class or function that an operation calls, if it is asked.
    pub(super) fn constructor(&self, py: Python<'_>, op: Op) -> Option<Object> {
        let class = made_by(op).filter(|&class| self.asks(class, op))?;
        Some(type_of(py, class).into_any().unbind())
    }

    fn asks(&self, class: Class, op: Op) -> bool {
        self.asked[op as usize].contains(&class)
    }
}

impl CPython {
    /// Runs a step that is done by its meaning, if it is one.
    pub(super) fn by_meaning(&mut self, py: Python<'_>, step: &Step) -> Option<Outcome> {
        let substitutes = self.known.substitutes.as_ref()?;
        let ours = |slot: &Slot| {
            let own = (slot.kind == SlotKind::Exporter).then(|| self.filled(*slot))?;
            Some(class_of(&pynative::provider(own.bind(py))?))
        };
        let given_otherwise = |part: &Arg| match part {
            Arg::Slot(arg) => ours(arg).is_some_and(|class| {
                OTHERWISE_WITH.iter().any(|(op, with, is, _)| (*op, *with) == (step.op, class) && is(step))
            }),
            _ => false,
        };
        let class = match step.receiver {
            None => made_by(step.op),
            Some(slot) => ours(&slot),
        };
        let asks = match class {
            Some(class) => substitutes.asks(class, step.op),
            None if step.receiver.is_some_and(|slot| slot.kind != SlotKind::Exporter) => true,
            None => !step.args.iter().flat_map(Arg::parts).any(given_otherwise),
        };
        if asks {
            return None;
        }
        let mut world = Native::new(substitutes.version);
        let mut streams = Vec::new();
        step.find_needed(|slot| {
            if let Some(stream) = self.lend(py, slot, &mut world) {
                streams.push((slot, stream));
            }
            false
        });
        let outcome = world.step(step);
        for (slot, stream) in streams.into_iter().filter(|(_, stream)| !stream.is_closed()) {
            let moved = self.filled(slot).bind(py).call_method1("seek", (stream.cursor(),));
            moved.expect("failed to move a stream");
        }
        if outcome == Outcome::Value(Value::Stored)
            && let Some(dest) = step.dest
            && let Some(made) = world.take_exporter(dest)
        {
            let object = pynative::object(py, made).expect("failed to make an object");
            drop(self.put(dest, object));
        }
        self.error = None;
        Some(outcome)
    }

    /// Fills a slot of `world` with what it holds here: our exporters themselves, and what looks the same of CPython's.
    /// Of these no operation of ours changes more than where a stream stands, which is given back.
    fn lend(&self, py: Python<'_>, slot: Slot, world: &mut Native) -> Option<Stream> {
        let object = self.filled(slot);
        match slot.kind {
            SlotKind::Exporter if raw::type_of(py, object) == Type::BytesIO => {
                let stream = if raw::is_closed(py, object) {
                    let stream = Stream::new(Vec::new());
                    stream.close().expect("nobody has an export of it");
                    stream
                } else {
                    Stream::new(raw::with_contents(py, object, <[u8]>::to_vec))
                };
                stream.set_cursor(raw::cursor(py, object));
                world.lend_exporter(slot, stream.clone().into());
                return Some(stream);
            }
            SlotKind::Exporter => world.lend_exporter(slot, exporter(py, object)),
            SlotKind::View => world.lend_view(slot, view(py, object)),
            SlotKind::Export => {
                if !object.bind(py).hasattr("raw").unwrap_or(false) {
                    let length = raw::length(py, object).ok();
                    if length.is_none() {
                        drop(raw::fetch_error(py, &[]));
                    }
                    world.lend_lock(slot, length.map(|length| length as usize));
                    return None;
                }
                let shown = raw::memoryview(py, object);
                if shown.is_err() {
                    drop(raw::fetch_error(py, &[]));
                }
                let view = shown.ok().and_then(|shown| view(py, &shown));
                world.lend_export(slot, view.map(|view| view.export().expect("it has not been released")));
            }
            SlotKind::Iterator => {}
        }
        None
    }
}

/// The exporter in an object, or one of the same contents.
fn exporter(py: Python<'_>, object: &Object) -> Provider {
    pynative::provider(object.bind(py)).unwrap_or_else(|| match raw::type_of(py, object) {
        Type::CArray => {
            let code = raw::c_type(py, object).expect("programs make no other arrays of ctypes");
            raw::with_contents(py, object, |bytes| CArray::new(code, bytes)).into()
        }
        _ => raw::with_contents(py, object, Bytes::new).into(),
    })
}

/// A view of the same memory, laid out in the same way; `None` if it was released.
fn view(py: Python<'_>, object: &Object) -> Option<View> {
    let layout = raw::with_view(py, object, |fields| fields.map(|fields| layout(&fields)))?;
    let export = exporter(py, &raw::owner(py, object)).export().expect("what is viewed is not closed");
    Some(View::new(export).derive(layout).expect("it has not been released"))
}

fn layout(fields: &ViewFields<'_>) -> Layout {
    let dims = |dims: &[isize]| Dims::new(dims).expect("a memoryview has no more dimensions");
    Layout {
        offset: fields.offset,
        format: Format::read(&fields.format.text().to_string_lossy())
            .expect("programs make no other formats"),
        shape: dims(fields.shape),
        strides: dims(fields.strides),
        readonly: fields.readonly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter;

    fn with_substitutes(f: impl FnOnce(Python<'_>, &Substitutes)) {
        interpreter::start().unwrap();
        Python::attach(|py| f(py, &Substitutes::new(py)));
    }

    #[test]
    fn what_is_done_otherwise_is_something_that_the_class_has() {
        with_substitutes(|py, _| {
            for (class, op, reason) in OTHERWISE {
                let name =
                    attribute(op.row().syntax).unwrap_or_else(|| panic!("{op:?} is asked of every class"));
                assert!(type_of(py, *class).hasattr(name).unwrap(), "{class:?} has no {name}: {reason}");
            }
        });
    }

    #[test]
    fn what_would_move_memory_is_asked_of_the_classes() {
        use Op::{
            Append, Clear, Close, DelItem, Extend, FromBytes, FromFile, InPlaceAdd, InPlaceMultiply, Insert,
            NewByteArray, Pop, Remove, Resize, SetItem,
        };
        let both = [Append, Insert, Pop, SetItem, DelItem, InPlaceAdd, InPlaceMultiply];
        with_substitutes(|_, substitutes| {
            for op in both.into_iter().chain([NewByteArray, Extend, Remove, Clear]) {
                assert!(substitutes.asks(Class::ByteArray, op), "{op:?}");
            }
            for op in both.into_iter().chain([FromBytes, FromFile]) {
                assert!(substitutes.asks(Class::Array, op), "{op:?}");
            }
            for op in [Resize, Close] {
                assert!(substitutes.asks(Class::Mmap, op), "{op:?}");
            }
            // What CPython has from 3.14 on is not asked before.
            let since_3_14 = substitutes.version.since(14);
            assert_eq!(substitutes.asks(Class::ByteArray, Resize), since_3_14);
        });
    }
}
