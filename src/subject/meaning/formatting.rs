//! `%` of `bytes` and `bytearray`: `_PyBytes_FormatEx` of `Objects/bytesobject.c`, which `bytes_mod` and `bytearray_mod`
//! call.
//!
//! The values are asked for one after the other, each when its directive has been read, and whoever is asked may write
//! to the format: what follows is read after that.

use super::super::heap::{Buffer, Flavour, Heap, Version};
use super::super::item::Wanted;
use super::super::printf::{Converted, Decimal, Directive};
use super::super::{index, repr};
use super::arrays::is_wide;
use super::make::{by_bytes_method, is_too_long};
use super::{
    MACHINE, Request, Result, Stop, TOO_LONG, contents, exact_bytes, exporter, hooks, is_bytearray,
    iterables, literal, operation, receiver, while_exported, with_buffer,
};
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Class, Int, Op, Protocol, Slot, SlotKind, Step, limits};

/// The Pythons in which a bytearray is exported while it is a format (gh-142557). Before, it was read where it was before
/// it was asked what to write.
const EXPORTED_FOR_A_FORMAT: &[(u8, u8)] = &[(13, 12), (14, 3)];

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let written = while_exported(heap, step, EXPORTED_FOR_A_FORMAT, |heap, memory| {
        let values = &step.args[0];
        let mapping = is_mapping(heap, values).then_some(values);
        let values = match values {
            Arg::Tuple(values) => Values::Listed(values.iter()),
            one => Values::One(Some(one)),
        };
        let format = contents(heap, slot);
        Formatting { step, memory, format, place: 0, values, mapping, written: Vec::new() }.run(heap)
    })?;
    let flavour = heap.flavour(slot);
    exporter(heap, step, flavour, written)
}

/// A format that is under way.
struct Formatting<'a> {
    step: &'a Step,
    memory: &'a hooks::Memory,
    /// What the format was when it was last looked at, and how much of it is done.
    format: Buffer,
    place: usize,
    values: Values<'a>,
    /// What is asked for a value by its key.
    mapping: Option<&'a Arg>,
    written: Vec<u8>,
}

/// The values that are left.
enum Values<'a> {
    /// Of a tuple.
    Listed(std::slice::Iter<'a, Arg>),
    /// What is no tuple.
    One(Option<&'a Arg>),
    /// That of a key.
    Keyed(Option<&'a Arg>),
}

impl<'a> Values<'a> {
    /// `getnextarg`
    fn next(&mut self) -> Result<&'a Arg> {
        let next = match self {
            Values::Listed(values) => values.next(),
            Values::One(value) | Values::Keyed(value) => value.take(),
        };
        next.ok_or(ErrorClass::TypeError.into())
    }

    /// The int that a star stands for. Since gh-142037 it is one of several values.
    fn star(&mut self, version: Version) -> Result<i128> {
        match self {
            Values::Keyed(_) if version.since(15) => return Err(ErrorClass::ValueError.into()),
            Values::One(_) if version.since(15) => return Err(ErrorClass::TypeError.into()),
            _ => {}
        }
        match self.next()? {
            // Of the lowest width there is no opposite, which not all Pythons refuse (gh-151847).
            Arg::Int(Int::Small(i64::MIN)) => Err(TOO_LONG),
            Arg::Int(int) => Ok(int.value()),
            _ => Err(ErrorClass::TypeError.into()),
        }
    }

    fn is_used_up(&self) -> bool {
        match self {
            Values::Listed(values) => values.len() == 0,
            Values::One(value) | Values::Keyed(value) => value.is_none(),
        }
    }
}

impl<'a> Formatting<'a> {
    fn run<H: Heap>(mut self, heap: &mut H) -> Result<Vec<u8>> {
        while let Some(&byte) = self.format.get(self.place) {
            self.place += 1;
            if byte != b'%' {
                self.written.push(byte);
                continue;
            }
            match self.format.get(self.place) {
                Some(b'%') => {
                    self.place += 1;
                    self.written.push(b'%');
                    continue;
                }
                Some(b'(') => self.look_up(heap)?,
                // Since gh-142037 all of them have keys, or none.
                _ if heap.version().since(15) && matches!(self.values, Values::Keyed(_)) => {
                    return Err(ErrorClass::ValueError.into());
                }
                _ => {}
            }
            self.write_one(heap)?;
            // What is done is not looked at again, wherever it has gone.
            if self.place < self.format.len() {
                self.look_again(heap)?;
            }
        }
        if self.mapping.is_none() && !self.values.is_used_up() {
            return Err(ErrorClass::TypeError.into());
        }
        Ok(self.written)
    }

    /// Takes the value of a key for the only one that is left.
    fn look_up<H: Heap>(&mut self, heap: &mut H) -> Result<()> {
        let mapping = self.mapping.ok_or(ErrorClass::TypeError)?;
        let start = self.place + 1;
        let length = key_length(&self.format[start..]).ok_or(ErrorClass::ValueError)?;
        let key = Buffer::from_slice(&self.format[start..][..length]);
        self.place = start + length + 1;
        self.values = Values::Keyed(Some(value_of(heap, mapping, &key)?));
        self.look_again(heap)
    }

    /// Reads a directive, and writes the value that is its turn.
    fn write_one<H: Heap>(&mut self, heap: &mut H) -> Result<()> {
        let mut rest = self.format.get(self.place..).unwrap_or_default();
        let before = rest.len();
        let values = &mut self.values;
        let version = heap.version();
        let directive = Directive::read(&mut rest, || values.star(version))?;
        self.place += before - rest.len();
        let written = written(heap, &directive, self.values.next()?)?;
        if self.written.len() + written.len() > limits::LENGTH {
            return Err(TOO_LONG);
        }
        self.written.extend(written);
        Ok(())
    }

    /// Reads the format anew after somebody was asked, unless that can have done nothing to it.
    fn look_again<H: Heap>(&mut self, heap: &mut H) -> Result<()> {
        if self.step.has_hooks() {
            self.memory.still_there(heap)?;
            self.format = contents(heap, receiver(self.step));
        }
        Ok(())
    }
}

/// How long a key is that begins here: to the parenthesis that closes the one before it.
fn key_length(rest: &[u8]) -> Option<usize> {
    let mut open = 1;
    rest.iter().position(|byte| {
        match byte {
            b'(' => open += 1,
            b')' => open -= 1,
            _ => {}
        }
        open == 0
    })
}

/// Whether a value has `mp_subscript`, and is no text, bytes or tuple: it is asked for the values of keys, and need not be
/// used up.
fn is_mapping<H: Heap>(heap: &H, arg: &Arg) -> bool {
    match arg {
        Arg::List(_) => true,
        Arg::Hook(hook) => hook.has(Protocol::GetItem),
        Arg::Slot(slot) => match slot.kind {
            SlotKind::View => true,
            SlotKind::Exporter => {
                !matches!(heap.flavour(*slot).class(), Class::Bytes | Class::ByteArray | Class::BytesIO)
            }
            SlotKind::Export | SlotKind::Iterator => false,
        },
        _ => false,
    }
}

/// `PyObject_GetItem` of a key that is a `bytes`, which no object of a program knows but a hook.
fn value_of<'a, H: Heap>(heap: &mut H, mapping: &'a Arg, key: &[u8]) -> Result<&'a Arg> {
    match mapping {
        Arg::Hook(hook) => iterables::item(heap, hook, 0),
        Arg::Slot(slot) => {
            let get = Step::new(Op::Item, Some(*slot), [Arg::bytes(key)].into_iter().collect(), None);
            operation(heap, &get)?;
            unreachable!("{slot} has no keys")
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// What a directive writes of a value.
fn written<H: Heap>(heap: &mut H, directive: &Directive, value: &Arg) -> Result<Vec<u8>> {
    let converted = convert(heap, directive.conversion, value)?;
    let digits = directive.precision.unwrap_or(0);
    match converted {
        Converted::Text(_) | Converted::Byte(_) => {}
        // `_PyUnicode_FormatLong` adds a sign and a prefix to the digits, in an `int` of C.
        Converted::Integer(_) | Converted::Decimal(_) if digits > i32::MAX as usize - 3 => {
            return Err(ErrorClass::OverflowError.into());
        }
        // Some machines have memory for them.
        _ if digits > limits::LENGTH => return Err(TOO_LONG),
        _ => {}
    }
    fits(directive)?;
    Ok(directive.write(&converted))
}

/// What a conversion makes of a value.
fn convert<H: Heap>(heap: &mut H, conversion: u8, value: &Arg) -> Result<Converted> {
    match conversion {
        b'a' | b'r' => shown(heap, value).map(|text| Converted::Text(text.into_bytes())),
        b'b' | b's' => bytes_like(heap, value).map(Converted::Text),
        b'c' => byte(heap, value).map(Converted::Byte),
        b'd' | b'i' | b'u' => number(heap, value),
        // `_PyNumber_Index`
        b'o' | b'x' | b'X' => index::index(heap, value).map(Converted::Integer),
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => real(heap, value).map(Converted::Float),
        _ => Err(ErrorClass::ValueError.into()),
    }
}

/// Whether there is memory for the width of a directive. Next to the greatest there is, the error hangs on how much is
/// written already.
fn fits(directive: &Directive) -> Result<()> {
    match directive.width {
        ..=limits::LENGTH => Ok(()),
        width if is_too_long(width as i128) || width > isize::MAX as usize - 2 * limits::LENGTH => {
            Err(TOO_LONG)
        }
        _ => Err(ErrorClass::MemoryError.into()),
    }
}

/// `PyObject_ASCII`. What says where it is, or how it was made, is left out.
fn shown<H: Heap>(heap: &mut H, value: &Arg) -> Result<String> {
    match value {
        Arg::Hook(hook) => {
            let method = hook.method(Protocol::Repr).ok_or(MACHINE)?;
            match hooks::call(heap, method)? {
                Arg::Str(text) => Ok(repr::ascii(text)),
                _ => Err(ErrorClass::TypeError.into()),
            }
        }
        Arg::List(items) => {
            let items: Result<Vec<String>> = items.iter().map(|item| shown(heap, item)).collect();
            items.map(repr::list)
        }
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => exporter_shown(heap, *slot),
        other => repr::repr(&literal(other)).ok_or(MACHINE),
    }
}

fn exporter_shown<H: Heap>(heap: &mut H, slot: Slot) -> Result<String> {
    match heap.flavour(slot) {
        Flavour::Bytes => Ok(repr::bytes(&contents(heap, slot))),
        Flavour::ByteArray => Ok(repr::bytearray(&contents(heap, slot), heap.version().since(15))),
        // `array_repr`, of characters excepted, which not all Pythons read alike.
        Flavour::Array(code) if !is_wide(code) => {
            let items = super::items(heap, &Arg::Slot(slot))?;
            if items.is_empty() {
                return Ok(format!("array('{}')", code.name()));
            }
            let items = repr::repr(&Value::List(items)).ok_or(MACHINE)?;
            Ok(format!("array('{}', {items})", code.name()))
        }
        _ => Err(MACHINE),
    }
}

/// The contents of what is a `bytes` or a `bytearray`.
fn own_bytes<H: Heap>(heap: &mut H, value: &Arg) -> Option<Buffer> {
    match value {
        Arg::Slot(slot) if is_bytearray(heap, value) => Some(contents(heap, *slot)),
        _ => exact_bytes(heap, value),
    }
}

/// `format_obj`
fn bytes_like<H: Heap>(heap: &mut H, value: &Arg) -> Result<Vec<u8>> {
    if let Some(bytes) = own_bytes(heap, value) {
        return Ok(bytes.to_vec());
    }
    match by_bytes_method(heap, value)? {
        Some(bytes) => Ok(bytes),
        None => with_buffer(heap, value, Request::Full, |_, _, bytes| Ok(bytes.to_vec()))?,
    }
}

/// `byte_converter`
fn byte<H: Heap>(heap: &mut H, value: &Arg) -> Result<u8> {
    match own_bytes(heap, value).as_deref() {
        Some(&[byte]) => Ok(byte),
        Some(_) => Err(ErrorClass::TypeError.into()),
        None => u8::try_from(index::index(heap, value)?).map_err(|_| ErrorClass::OverflowError.into()),
    }
}

/// `PyNumber_Long`, of what is a number.
fn number<H: Heap>(heap: &mut H, value: &Arg) -> Result<Converted> {
    match value {
        Arg::Float(float) => Ok(Converted::Decimal(Decimal::of_float(float.value())?)),
        Arg::Hook(hook) if let Some(method) = hook.method(Protocol::Int) => {
            match hooks::call(heap, method)? {
                Arg::Int(int) => Ok(Converted::Integer(int.value())),
                _ => Err(ErrorClass::TypeError.into()),
            }
        }
        // What is a number and says no integer is read as the text of one.
        Arg::Hook(hook) if hook.has(Protocol::Float) && !hook.has(Protocol::Index) => {
            let read = with_buffer(heap, value, Request::Simple, |_, _, bytes| {
                Decimal::read(bytes).ok_or(ErrorClass::ValueError.into())
            });
            let read = read.unwrap_or_else(|reason| Err(reason.replaced_by(ErrorClass::TypeError)));
            read.map(Converted::Decimal)
        }
        _ => index::index(heap, value).map(Converted::Integer),
    }
}

/// `formatfloat`, which replaces any error of `PyFloat_AsDouble`, and since gh-142037 a `TypeError` alone.
fn real<H: Heap>(heap: &mut H, value: &Arg) -> Result<f64> {
    match hooks::asked(heap, value, Wanted::Real).as_deref() {
        Ok(Arg::Float(float)) => Ok(float.value()),
        Ok(Arg::Int(int)) => Ok(int.value() as f64),
        Err(stop @ Stop::Skip(_)) => Err(*stop),
        Err(stop) if heap.version().since(15) => Err(*stop),
        Ok(_) | Err(Stop::Raise(_)) => Err(ErrorClass::TypeError.into()),
    }
}
