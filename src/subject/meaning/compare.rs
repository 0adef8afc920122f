//! `==`, `<`, and the equality of items.
//!
//! Each type compares with what it knows and leaves the rest to the other: `do_richcompare` of
//! `Objects/object.c`.

use std::ops::Range;

use super::super::heap::{Buffer, Flavour, Heap, Version};
use super::super::item;
use super::{
    Acquired, MACHINE, NoBuffer, Request, Result, Stop, arrays, hooks, receiver, views, with_buffer,
};
use crate::exporter::{Format, Layout};
use crate::history::{ErrorClass, Skip, Value};
use crate::program::{Arg, Int, Method, Op, Protocol, Slot, SlotKind, Step};

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let one = Arg::Slot(receiver(step));
    let other = &step.args[0];
    match step.op {
        Op::Equal => match other.method(Protocol::Equal) {
            Some(method) => match knows(heap, &one, other)? {
                Some(answer) => Ok(Value::Bool(answer)),
                None => answer(heap, method),
            },
            None => equal(heap, &one, other).map(Value::Bool),
        },
        _ => {
            if let (Side::Array(one), Side::Array(other)) = (side(heap, &one), side(heap, other)) {
                return arrays::less(heap, one, other).map(Value::Bool);
            }
            let order = match compare_bytes(heap, &one, other)? {
                Some(order) => Some(order),
                None => compare_bytes(heap, other, &one)?.map(std::cmp::Ordering::reverse),
            };
            match (order, other.method(Protocol::Greater)) {
                (Some(order), _) => Ok(Value::Bool(order.is_lt())),
                (None, Some(method)) => answer(heap, method),
                (None, None) => Err(ErrorClass::TypeError.into()),
            }
        }
    }
}

/// What a hook answers that is compared with: what it likes.
fn answer<H: Heap>(heap: &mut H, method: &Method) -> Result {
    Ok(match hooks::call(heap, method)? {
        Arg::Int(Int::Huge { .. }) => Value::Foreign(Value::BEYOND.into()),
        answer => super::literal(answer),
    })
}

/// `one == other`: each is asked in turn, and identity decides if neither knows.
fn equal<H: Heap>(heap: &mut H, one: &Arg, other: &Arg) -> Result<bool> {
    for (left, right) in [(one, other), (other, one)] {
        if let Some(answer) = knows(heap, left, right)? {
            return Ok(answer);
        }
    }
    Ok(is_same(heap, one, other))
}

/// What the type of the left says of `left == right`, if it knows the right.
fn knows<H: Heap>(heap: &mut H, left: &Arg, right: &Arg) -> Result<Option<bool>> {
    match side(heap, left) {
        Side::ByteArray | Side::Bytes => Ok(compare_bytes(heap, left, right)?.map(std::cmp::Ordering::is_eq)),
        Side::Array(array) => match side(heap, right) {
            Side::Array(other) => arrays::equal(heap, array, other).map(Some),
            _ => Ok(None),
        },
        Side::View(view) => view_equals(heap, view, right),
        Side::Other => Ok(None),
    }
}

/// Whose comparison is asked.
enum Side {
    ByteArray,
    Bytes,
    Array(Slot),
    View(Slot),
    Other,
}

fn side<H: Heap>(heap: &H, arg: &Arg) -> Side {
    match arg {
        Arg::Bytes(_) => Side::Bytes,
        Arg::Slot(slot) => match slot.kind {
            SlotKind::View => Side::View(*slot),
            SlotKind::Exporter => match heap.flavour(*slot) {
                Flavour::Bytes => Side::Bytes,
                Flavour::ByteArray => Side::ByteArray,
                Flavour::Array(_) => Side::Array(*slot),
                Flavour::Mmap(_) | Flavour::Stream | Flavour::CArray(_) | Flavour::Text(_) => Side::Other,
            },
            SlotKind::Export | SlotKind::Iterator => Side::Other,
        },
        _ => Side::Other,
    }
}

fn is_same<H: Heap>(heap: &H, one: &Arg, other: &Arg) -> bool {
    match (one, other) {
        (Arg::Slot(one), Arg::Slot(other)) => one.kind == other.kind && heap.same(*one, *other),
        _ => false,
    }
}

/// `bytearray_richcompare` with anything that gives one block of bytes, of which the first is held while the other is
/// asked; `bytes_richcompare` with `bytes` alone.
fn compare_bytes<H: Heap>(heap: &mut H, one: &Arg, other: &Arg) -> Result<Option<std::cmp::Ordering>> {
    if !matches!((side(heap, one), side(heap, other)), (Side::ByteArray, _) | (Side::Bytes, Side::Bytes)) {
        return Ok(None);
    }
    let Some(one) = block(heap, one)? else { return Ok(None) };
    let other = match block(heap, other) {
        Ok(Some(other)) => other,
        failed => return one.end(heap, failed.map(|_| None)),
    };
    let order = one.contents(heap).cmp(&other.contents(heap));
    one.give_back(heap, false)?;
    other.end(heap, Ok(Some(order)))
}

/// One block of bytes, if the argument gives one.
fn block<'a, H: Heap>(heap: &mut H, arg: &'a Arg) -> Result<Option<Acquired<'a, H>>> {
    match Acquired::acquire(heap, arg, Layout::is_c_contiguous) {
        Ok(block) => Ok(Some(block)),
        Err(NoBuffer::Skipped(skip)) => Err(Stop::Skip(skip)),
        Err(_) => Ok(None),
    }
}

/// `memory_richcompare`: `None` if the other has no buffer.
fn view_equals<H: Heap>(heap: &mut H, view: Slot, other: &Arg) -> Result<Option<bool>> {
    let same = is_same(heap, &Arg::Slot(view), other);
    // A released view equals itself alone.
    if heap.layout(view).is_err() {
        return Ok(Some(same));
    }
    if let Arg::Slot(slot) = other
        && slot.kind == SlotKind::View
        && heap.layout(*slot).is_err()
    {
        return Ok(Some(same));
    }
    let is_view = matches!(other, Arg::Slot(slot) if slot.kind == SlotKind::View);
    let equal = with_buffer(heap, other, Request::Full, |heap, layout, bytes| {
        let own = with_buffer(heap, &Arg::Slot(view), Request::Full, |_, layout, bytes| {
            Ok((layout.clone(), Buffer::from_slice(bytes)))
        });
        let own = match own {
            // What a `__buffer__` has released is read all the same.
            Err(NoBuffer::Released) if other.hook().is_some() && heap.is_guarded() => {
                return Err(Stop::Skip(Skip::Known));
            }
            // Another thread has released it since.
            Err(NoBuffer::Released) => return Ok(same),
            own => own??,
        };
        // An array of ctypes exports no strides, also where they are asked for (G5), and `cmp_base` of
        // Objects/memoryobject.c goes by them to the second item: a read at NULL.
        if !is_view && layout.format.order.is_some() && same_shape(&own.0, layout) && !bytes.is_empty() {
            return Err(MACHINE);
        }
        Ok(same_items(heap.version(), &own.0, &own.1, layout, bytes))
    });
    match equal {
        Ok(result) => result.map(Some),
        Err(NoBuffer::Released) if is_view => Ok(Some(same)),
        Err(NoBuffer::Skipped(skip)) => Err(Stop::Skip(skip)),
        Err(_) => Ok(None),
    }
}

/// `equiv_shape`: what lies behind a dimension of no items does not matter.
pub(super) fn same_shape(one: &Layout, other: &Layout) -> bool {
    if one.ndim() != other.ndim() {
        return false;
    }
    for (&left, &right) in one.shape.iter().zip(other.shape.iter()) {
        if left != right {
            return false;
        }
        if left == 0 {
            break;
        }
    }
    true
}

/// Whether two buffers are equal by shape and by the values of their items. Of a format that neither memoryview nor
/// `struct` knows, nothing is equal, not even where there is nothing.
fn same_items(version: Version, one: &Layout, one_bytes: &[u8], other: &Layout, other_bytes: &[u8]) -> bool {
    let unpack = |layout: &Layout, bytes: &[u8]| item::unpack(version, layout.format, bytes).ok();
    let mut items = one_bytes.chunks_exact(one.itemsize()).zip(other_bytes.chunks_exact(other.itemsize()));
    same_shape(one, other)
        && is_known(one.format)
        && is_known(other.format)
        && items.all(|(left, right)| match (unpack(one, left), unpack(other, right)) {
            (Some(left), Some(right)) => same_value(&left, &right),
            _ => false,
        })
}

/// Whether memoryview or `struct` knows what an item is: that of a byte order is for `struct`.
fn is_known(format: Format) -> bool {
    format.is_native() || format.order.is_some()
}

/// Equality of two items as Python values.
pub(super) fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => one.value() == other.value(),
        (Value::Complex(real, imaginary), Value::Complex(other, other_imaginary)) => {
            real.value() == other.value() && imaginary.value() == other_imaginary.value()
        }
        (Value::Complex(real, imaginary), value) | (value, Value::Complex(real, imaginary)) => {
            imaginary.value() == 0.0 && same_value(&Value::Float(*real), value)
        }
        (Value::Float(float), value) | (value, Value::Float(float)) => {
            number(value).is_some_and(|int| float.value() == int as f64 && float.value() as i128 == int)
        }
        (Value::Bytes(one), Value::Bytes(other)) => one == other,
        (Value::Str(one), Value::Str(other)) => one == other,
        _ => number(one).is_some() && number(one) == number(other),
    }
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Int(int) => Some(*int),
        Value::Bool(bool) => Some(i128::from(*bool)),
        _ => None,
    }
}

/// Whether an item of a view equals an argument.
pub(super) fn item_equals<H: Heap>(heap: &mut H, item: &Value, arg: &Arg) -> Result<bool> {
    // No item knows it, so that it is asked.
    if let Some(method) = arg.method(Protocol::Equal) {
        let answer = hooks::call(heap, method)?;
        return Ok(views::truth(heap, answer)?);
    }
    match (item, arg) {
        (Value::Bytes(bytes), Arg::Bytes(_) | Arg::Slot(_)) => equal(heap, &Arg::bytes(bytes), arg),
        _ => Ok(same_value(item, &super::literal(arg))),
    }
}

/// The first place in `range` whose item equals an argument. Each is read when it is its turn, since the argument may
/// change what it is compared with; `nth` gives none behind the end.
pub(super) fn find<H: Heap>(
    heap: &mut H,
    arg: &Arg,
    range: Range<usize>,
    mut nth: impl FnMut(&mut H, usize) -> Result<Option<Value>>,
) -> Result<Option<usize>> {
    for place in range {
        let Some(item) = nth(heap, place)? else { break };
        if item_equals(heap, &item, arg)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
