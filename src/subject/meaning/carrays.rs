//! Arrays of `ctypes`: the functions of `PyCArrayType_Type` in `Modules/_ctypes/_ctypes.c`, and `resize` in
//! `Modules/_ctypes/callproc.c`.

use super::super::heap::{Buffer, Flavour, Heap};
use super::super::item::{self, Packed};
use super::super::{index, item::unpack};
use super::{
    MACHINE, Request, Result, Stop, contents, exporter, hooks, iterables, receiver, views, with_buffer,
};
use crate::exporter::{CArray, Code, Format, Layout};
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Int, Op, Slot, SlotKind, Step};

/// `ctypes_array` of `src/program/helpers.py`.
pub(super) fn make<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let code = match step.args.get(1) {
        None => Code::UnsignedChar,
        Some(Arg::Str(name)) => {
            let code = Code::named(name).filter(|code| CArray::CODES.contains(code));
            code.ok_or(ErrorClass::ValueError)?
        }
        Some(_) => return Err(ErrorClass::TypeError.into()),
    };
    // What cannot be copied is refused of a view, which is released as any other.
    let block = |_: &mut H, layout: &Layout, bytes: &[u8]| {
        Ok(layout.is_c_contiguous().then(|| Buffer::from_slice(bytes)))
    };
    let copied = with_buffer(heap, &step.args[0], Request::Full, block)??;
    let mut bytes = copied.ok_or(ErrorClass::BufferError)?;
    bytes.truncate(bytes.len() / code.size() * code.size());
    // Before 3.10 an export of nothing has items of no bytes (bpo-41100).
    if bytes.is_empty() && !heap.version().since(10) {
        return Err(MACHINE);
    }
    exporter(heap, step, Flavour::CArray(code), bytes.to_vec())
}

/// `ctypes.resize`: it looks at no exports. With a view out it frees the memory under that, and after it has made an object
/// longer, an export has the new length and the old shape (G5). Both are left out.
pub(super) fn resize<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let array = match &step.args[0] {
        Arg::Slot(slot)
            if slot.kind == SlotKind::Exporter && matches!(heap.flavour(*slot), Flavour::CArray(_)) =>
        {
            Ok(*slot)
        }
        _ => Err(ErrorClass::TypeError),
    };
    // From 3.14 on the object is looked at before the size is read.
    if heap.version().since(14) {
        array?;
    }
    let size = index::ssize(heap, &step.args[1])?;
    let slot = array?;
    let length = contents(heap, slot).len();
    match usize::try_from(size) {
        Ok(size) if size > length => Err(MACHINE),
        Ok(size) if size == length => {
            let is_exported = heap.operate(slot, |memory| memory.splice(0, 0, &[]).is_err());
            if is_exported { Err(MACHINE) } else { Ok(Value::None) }
        }
        _ => Err(ErrorClass::ValueError.into()),
    }
}

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step, code: Code) -> Result {
    let slot = receiver(step);
    match step.op {
        // `Array_init` sets one item after the other.
        Op::Init => match step.args.first() {
            Some(value) => set_item(heap, slot, 0, |heap| packed(heap, code, value)),
            None => Ok(Value::None),
        },
        Op::Length => Ok(Value::Int(super::length(heap, slot)? as i128)),
        Op::List => Ok(Value::List(items(heap, slot, code)?)),
        Op::Iter => {
            heap.iterate(super::dest(step), slot);
            Ok(Value::Stored)
        }
        Op::Contains => {
            let length = super::length(heap, slot)?;
            let nth = |heap: &mut H, place| nth(heap, slot, code, place).map(Some);
            let found = super::compare::find(heap, &step.args[0], 0..length, nth)?;
            Ok(Value::Bool(found.is_some()))
        }
        Op::Item => get(heap, step, code),
        Op::SetItem => set(heap, slot, code, &step.args[0], &step.args[1]),
        // It takes two arguments, of which no program gives the first, a dict.
        Op::SetState => Err(ErrorClass::TypeError.into()),
        // It cannot be hashed, has no item deleted, and none of the operators.
        Op::Hash
        | Op::DelItem
        | Op::Add
        | Op::Multiply
        | Op::Remainder
        | Op::InPlaceAdd
        | Op::InPlaceMultiply => Err(ErrorClass::TypeError.into()),
        _ => unreachable!("{:?} is not an operation of an array of ctypes", step.op),
    }
}

/// The items, as `list` has them.
pub(super) fn items<H: Heap>(heap: &mut H, slot: Slot, code: Code) -> Result<Vec<Value>> {
    let (version, bytes) = (heap.version(), contents(heap, slot));
    bytes.chunks_exact(code.size()).map(|item| Ok(unpack(version, Format::new(code), item)?)).collect()
}

/// `Array_item`, of an item that there is.
fn nth<H: Heap>(heap: &mut H, slot: Slot, code: Code, place: usize) -> Result {
    let (version, size) = (heap.version(), code.size());
    let bytes: Packed =
        heap.operate(slot, |memory| (place * size..).take(size).map(|at| memory.get(at)).collect());
    Ok(unpack(version, Format::new(code), &bytes)?)
}

/// What the setters of `Modules/_ctypes/cfield.c` store of an argument.
fn packed<H: Heap>(heap: &mut H, code: Code, arg: &Arg) -> Result<Packed> {
    let value = &*hooks::asked(heap, arg, item::wanted(Format::new(code)))?;
    // `_PyCData_set`: another object of `ctypes` is copied if it is of this very type, which no array is.
    if let Arg::Slot(slot) = value
        && slot.kind == SlotKind::Exporter
        && matches!(heap.flavour(*slot), Flavour::CArray(_))
    {
        return Err(ErrorClass::TypeError.into());
    }
    match code {
        // `c_set`: one byte, as whatever it is.
        Code::Char => match value {
            Arg::Int(int) => u8::try_from(int.value()).ok(),
            Arg::Slot(slot) if slot.kind == SlotKind::Exporter && is_bytes(heap.flavour(*slot)) => {
                one(&contents(heap, *slot))
            }
            Arg::Bytes(bytes) => one(bytes),
            _ => None,
        }
        .map(|byte| Packed::from_slice(&[byte]))
        .ok_or(ErrorClass::TypeError.into()),
        Code::Bool => Ok(Packed::from_slice(&[views::truth(heap, value)?.into()])),
        Code::Float | Code::Double => Ok(item::pack(Format::new(code), value, |_| Ok(false), |_| None)?),
        // Of any `int` the lowest bytes.
        _ => match value {
            Arg::Int(int) => Ok(Packed::from_slice(&int.value().to_le_bytes()[..code.size()])),
            _ => Err(ErrorClass::TypeError.into()),
        },
    }
}

const fn is_bytes(flavour: Flavour) -> bool {
    matches!(flavour, Flavour::Bytes | Flavour::ByteArray)
}

fn one(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// `Array_ass_item`: the index is looked at first.
fn set_item<H: Heap>(
    heap: &mut H,
    slot: Slot,
    index: isize,
    item: impl FnOnce(&mut H) -> Result<Packed>,
) -> Result {
    let place = index::place(index, super::length(heap, slot)?)?;
    let item = item(heap)?;
    heap.operate(slot, |memory| memory.write(place * item.len(), 1, &item));
    Ok(Value::None)
}

/// `Array_subscript`: a slice of characters is a `bytes`.
fn get<H: Heap>(heap: &mut H, step: &Step, code: Code) -> Result {
    let slot = receiver(step);
    match &step.args[0] {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            let place = index::place(place, super::length(heap, slot)?)?;
            nth(heap, slot, code, place)
        }
        Arg::Slice(bounds) => {
            let part = index::slice(heap, bounds)?.part(super::length(heap, slot)?);
            if code == Code::Char {
                let bytes = contents(heap, slot);
                let bytes = part.places().map(|place| bytes[place]).collect();
                return exporter(heap, step, Flavour::Bytes, bytes);
            }
            part.places().map(|place| nth(heap, slot, code, place)).collect::<Result<_>>().map(Value::List)
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `Array_ass_subscript`: a slice takes items one by one from any sequence of as many, which may show this very memory.
fn set<H: Heap>(heap: &mut H, slot: Slot, code: Code, key: &Arg, value: &Arg) -> Result {
    match key {
        key if index::is_index(key) => {
            let index = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            set_item(heap, slot, index, |heap| packed(heap, code, value))
        }
        Arg::Slice(bounds) => {
            let part = index::slice(heap, bounds)?.part(super::length(heap, slot)?);
            // What has no length has another one.
            match super::length_of(heap, value) {
                Ok(length) if length == part.count => {}
                Err(stop @ Stop::Skip(_)) => return Err(stop),
                _ => return Err(ErrorClass::ValueError.into()),
            }
            for (number, place) in part.places().enumerate() {
                set_item(heap, slot, place as isize, |heap| {
                    let item = item_of(heap, value, number)?;
                    packed(heap, code, &item)
                })?;
            }
            Ok(Value::None)
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `PySequence_GetItem`, at this moment.
fn item_of<H: Heap>(heap: &mut H, arg: &Arg, number: usize) -> Result<Arg> {
    let all = match arg {
        Arg::List(items) | Arg::Tuple(items) => {
            return items.get(number).cloned().ok_or(ErrorClass::IndexError.into());
        }
        Arg::Hook(hook) => return iterables::item(heap, hook, number).cloned(),
        // Only the item that is asked for is read.
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => match heap.flavour(*slot) {
            Flavour::CArray(code) => return nth(heap, *slot, code, number).map(as_arg),
            Flavour::Array(code) => {
                let bytes = contents(heap, *slot);
                let item = &bytes[number * code.itemsize()..][..code.itemsize()];
                return Ok(as_arg(item::get(heap.version(), code, item)?.into_value()));
            }
            _ => super::items(heap, arg)?,
        },
        Arg::Slot(slot) if slot.kind == SlotKind::View => views::items(heap, *slot)?,
        _ => super::items(heap, arg)?,
    };
    all.into_iter().nth(number).map(as_arg).ok_or(ErrorClass::IndexError.into())
}

/// An item as the argument that is the same object, or as good as it to every setter.
fn as_arg(item: Value) -> Arg {
    match item {
        Value::Bool(value) => Arg::int(value.into()),
        Value::Int(value) => Arg::Int(Int::of(value)),
        Value::Float(value) => Arg::Float(value),
        Value::Complex(real, imaginary) => Arg::Complex(real, imaginary),
        Value::Bytes(bytes) => Arg::bytes(&bytes),
        Value::Str(text) => Arg::Str(text),
        Value::Foreign(_) => Arg::Str("a str with lone surrogates".into()),
        other => unreachable!("{other} is no item"),
    }
}
