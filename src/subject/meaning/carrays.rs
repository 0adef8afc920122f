//! Arrays of `ctypes`: the functions of `PyCArrayType_Type` in `Modules/_ctypes/_ctypes.c`, and `resize` in
//! `Modules/_ctypes/callproc.c`.

use super::super::heap::{Flavour, Heap};
use super::super::index;
use super::super::item::Wanted;
use super::{MACHINE, Result, bytes_of, contents, exporter, hooks, ints, items, receiver, views};
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Op, Slot, SlotKind, Step};

/// `ctypes_array` of `src/program/helpers.py`.
pub(super) fn make<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let bytes = bytes_of(heap, &step.args[0])?;
    // Before 3.10 an export of nothing has items of no bytes (bpo-41100).
    if bytes.is_empty() && !heap.version().since(10) {
        return Err(MACHINE);
    }
    exporter(heap, step, Flavour::CArray, bytes.to_vec())
}

/// `ctypes.resize`: it looks at no exports. With a view out it frees the memory under that, and after it has made an object
/// longer, an export has the new length and the old shape (G5). Both are left out.
pub(super) fn resize<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let array = match &step.args[0] {
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter && heap.flavour(*slot) == Flavour::CArray => {
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

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    match step.op {
        // `Array_init` sets one item after the other.
        Op::Init => match step.args.first() {
            Some(value) => set_item(heap, slot, 0, |heap| packed(heap, value)),
            None => Ok(Value::None),
        },
        Op::Length => Ok(Value::Int(super::length(heap, slot)? as i128)),
        Op::List => Ok(Value::List(ints(&contents(heap, slot)))),
        Op::Iter => {
            heap.iterate(super::dest(step), slot);
            Ok(Value::Stored)
        }
        Op::Contains => {
            let length = super::length(heap, slot)?;
            let nth = |heap: &mut H, place| {
                Ok(Some(Value::Int(heap.operate(slot, |memory| memory.get(place)).into())))
            };
            let found = super::compare::find(heap, &step.args[0], 0..length, nth)?;
            Ok(Value::Bool(found.is_some()))
        }
        Op::Item => get(heap, step),
        Op::SetItem => set(heap, slot, &step.args[0], &step.args[1]),
        // It takes two arguments, of which no program gives the first, a dict.
        Op::SetState => Err(ErrorClass::TypeError.into()),
        // It cannot be hashed, has no item deleted, and none of the operators.
        Op::Hash | Op::DelItem | Op::Add | Op::Multiply | Op::InPlaceAdd | Op::InPlaceMultiply => {
            Err(ErrorClass::TypeError.into())
        }
        _ => unreachable!("{:?} is not an operation of an array of ctypes", step.op),
    }
}

/// `B_set`
fn packed<H: Heap>(heap: &mut H, arg: &Arg) -> Result<u8> {
    let int = hooks::asked(heap, arg, Wanted::Int)?;
    Ok(lowest(&super::literal(&int))?)
}

/// Of any `int` the lowest byte.
fn lowest(value: &Value) -> std::result::Result<u8, ErrorClass> {
    match value {
        Value::Int(value) => Ok(*value as u8),
        Value::Bool(value) => Ok(u8::from(*value)),
        _ => Err(ErrorClass::TypeError),
    }
}

/// `Array_ass_item`: the index is looked at first.
fn set_item<H: Heap>(
    heap: &mut H,
    slot: Slot,
    index: isize,
    byte: impl FnOnce(&mut H) -> Result<u8>,
) -> Result {
    let place = index::place(index, super::length(heap, slot)?)?;
    let byte = byte(heap)?;
    heap.operate(slot, |memory| memory.set(place, byte));
    Ok(Value::None)
}

/// `Array_subscript`
fn get<H: Heap>(heap: &mut H, step: &Step) -> Result {
    match &step.args[0] {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            let bytes = contents(heap, receiver(step));
            let place = index::place(place, bytes.len())?;
            Ok(Value::Int(bytes[place].into()))
        }
        Arg::Slice(bounds) => {
            let slice = index::slice(heap, bounds)?;
            let bytes = contents(heap, receiver(step));
            let part = slice.part(bytes.len());
            Ok(Value::List(part.places().map(|place| Value::Int(bytes[place].into())).collect()))
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `Array_ass_subscript`: a slice takes items one by one from any sequence of as many, which may show this very memory.
fn set<H: Heap>(heap: &mut H, slot: Slot, key: &Arg, value: &Arg) -> Result {
    match key {
        key if index::is_index(key) => {
            let index = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            set_item(heap, slot, index, |heap| packed(heap, value))
        }
        Arg::Slice(bounds) => {
            let part = index::slice(heap, bounds)?.part(super::length(heap, slot)?);
            // What has no length has another one.
            if !super::length_of(heap, value).is_ok_and(|length| length == part.count) {
                return Err(ErrorClass::ValueError.into());
            }
            for (number, place) in part.places().enumerate() {
                set_item(heap, slot, place as isize, |heap| match value {
                    Arg::List(items) | Arg::Tuple(items) => packed(heap, &items[number]),
                    _ => Ok(lowest(&item_of(heap, value, number)?)?),
                })?;
            }
            Ok(Value::None)
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `PySequence_GetItem`, at this moment.
fn item_of<H: Heap>(heap: &mut H, arg: &Arg, number: usize) -> Result<Value> {
    let all = match arg {
        // Only the item that is asked for is read.
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => match heap.flavour(*slot) {
            Flavour::Array(code) => {
                let bytes = contents(heap, *slot);
                let item = &bytes[number * code.itemsize()..][..code.itemsize()];
                return Ok(super::super::item::get(heap.version(), code, item)?.into_value());
            }
            _ => items(heap, arg)?,
        },
        Arg::Slot(slot) if slot.kind == SlotKind::View => views::items(heap, *slot)?,
        _ => items(heap, arg)?,
    };
    all.into_iter().nth(number).ok_or(ErrorClass::IndexError.into())
}
