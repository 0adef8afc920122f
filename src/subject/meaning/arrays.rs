//! `array.array`: `Modules/arraymodule.c`.

use super::super::heap::{Buffer, Flavour, Heap, Memory, Version};
use super::super::index::{self, Part};
use super::super::item::{self, Item, LAST, Packed, Wanted};
use super::make::is_too_long;
use super::{
    Request, Result, Stop, TOO_LONG, contents, each_item, exact_bytes, exporter, hooks, is_bytearray,
    iterables, length, literal, operation, receiver, views, with_buffer,
};
use crate::exporter::{Code, Format, TypeCode};
use crate::history::{ErrorClass, Skip, Value};
use crate::program::op::TABLE;
use crate::program::{Arg, Class, Op, Protocol, Slot, SlotKind, Step, limits};

mod compare;

pub(super) use compare::{equal, less};

/// `array_new`: the type code is looked at last.
pub(super) fn make<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let version = heap.version();
    let letters = letters(version, &step.args[0])?;
    let is_text = letters == "u" || (letters == "w" && version.since(13));
    let source = step.args.get(1);
    match source {
        Some(Arg::Str(_)) if !is_text => return Err(ErrorClass::TypeError.into()),
        Some(source) if !is_text && array(heap, source).is_some_and(|(_, code)| is_wide(code)) => {
            return Err(ErrorClass::TypeError.into());
        }
        _ => {}
    }
    // It asks for an iterator before it looks for the type, and then for that of the iterator.
    let items = match source {
        Some(source @ Arg::Hook(_)) => Some(iterables::iterate(heap, source)?),
        Some(source) => {
            check_iterable(heap, source)?;
            None
        }
        None => None,
    };
    let code = type_code(version, letters).ok_or(ErrorClass::ValueError)?;
    let bytes = match (source, items) {
        (None, _) => Vec::new(),
        (_, Some(items)) => {
            let mut bytes = Vec::new();
            items.again(heap)?.each(heap, |heap, _, item| {
                bytes.extend_from_slice(&packed(heap, code, item)?);
                Ok(())
            })?;
            bytes
        }
        (Some(source), None) => contents_of(heap, code, source)?,
    };
    exporter(heap, step, Flavour::Array(code), bytes)
}

/// What is given as the type code: before 3.15 a `str` of one character, from then on any that C can hold.
fn letters(version: Version, arg: &Arg) -> Result<&str> {
    match arg {
        Arg::Str(text) if version.since(15) => {
            if text.contains('\0') {
                Err(ErrorClass::ValueError.into())
            } else {
                Ok(text)
            }
        }
        Arg::Str(text) if text.chars().count() == 1 => Ok(text),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// The type code of these letters, if the version has it.
fn type_code(version: Version, letters: &str) -> Option<TypeCode> {
    TypeCode::named(letters).filter(|code| match code.name() {
        "w" => version.since(13),
        "e" | "Zf" | "Zd" => version.since(15),
        _ => true,
    })
}

/// Whether the items are characters.
pub(super) fn is_wide(code: TypeCode) -> bool {
    code.code() == Code::Wide
}

/// The slot and the type of an argument that is an array.
fn array<H: Heap>(heap: &H, arg: &Arg) -> Option<(Slot, TypeCode)> {
    match arg {
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => match heap.flavour(*slot) {
            Flavour::Array(code) => Some((*slot, code)),
            _ => None,
        },
        _ => None,
    }
}

/// `PyObject_GetIter`, without the iterator.
fn check_iterable<H: Heap>(heap: &H, arg: &Arg) -> Result<()> {
    match arg {
        Arg::Str(_) | Arg::Bytes(_) => Ok(()),
        arg if iterables::is_iterable(arg) => Ok(()),
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => Ok(()),
        Arg::Slot(slot) if slot.kind == SlotKind::View => views::check_iterable(heap, *slot),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// The contents of a new array: the memory of bytes and of an array of the same type, the items of anything else.
fn contents_of<H: Heap>(heap: &mut H, code: TypeCode, source: &Arg) -> Result<Vec<u8>> {
    if let Some((slot, other)) = array(heap, source) {
        let bytes = contents(heap, slot);
        // Between `u` and `w`, a character is a character.
        if other == code || (is_wide(other) && is_wide(code)) {
            if other != code {
                values(heap.version(), other, &bytes)?;
            }
            return Ok(bytes.to_vec());
        }
    }
    let memory = match (source, exact_bytes(heap, source)) {
        (_, Some(bytes)) => Some(bytes),
        (Arg::Slot(slot), None) if is_bytearray(heap, source) => Some(contents(heap, *slot)),
        _ => None,
    };
    if let Some(bytes) = memory {
        let whole = bytes.len().is_multiple_of(code.itemsize());
        return if whole { Ok(bytes.to_vec()) } else { Err(ErrorClass::ValueError.into()) };
    }
    let (packed, error) = gather(heap, code, source);
    error.map_or(Ok(packed), Err)
}

/// The bytes of what an iterable gives up to the first that is no item, and why it ended there. What is behind that is
/// not asked for.
fn gather<H: Heap>(heap: &mut H, code: TypeCode, source: &Arg) -> (Vec<u8>, Option<Stop>) {
    let mut bytes = Vec::new();
    let ended = each_item(heap, source, wanted(code), |_, item| {
        bytes.extend_from_slice(&item::set(code, item)?);
        Ok(())
    });
    (bytes, ended.err())
}

/// The item that an argument is.
fn packed<H: Heap>(heap: &mut H, code: TypeCode, arg: &Arg) -> Result<Packed> {
    let item = hooks::asked(heap, arg, wanted(code))?;
    Ok(item::set(code, &literal(&item))?)
}

/// What is asked of an object that becomes an item.
fn wanted(code: TypeCode) -> Wanted {
    item::wanted(Format::new(code.code()))
}

fn values(version: Version, code: TypeCode, bytes: &[u8]) -> Result<Vec<Value>> {
    let items = bytes.chunks_exact(code.itemsize());
    items.map(|bytes| Ok(item::get(version, code, bytes).map(Item::into_value)?)).collect()
}

/// The items of an array.
pub(super) fn items<H: Heap>(heap: &mut H, slot: Slot, code: TypeCode) -> Result<Vec<Value>> {
    let bytes = contents(heap, slot);
    values(heap.version(), code, &bytes)
}

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let Flavour::Array(code) = heap.flavour(slot) else { unreachable!("{slot} is an array") };
    let size = code.itemsize();
    match step.op {
        Op::Clear if !heap.version().since(13) => Err(ErrorClass::AttributeError.into()),

        Op::Append => insert(heap, slot, code, isize::MAX, &step.args[0]),
        Op::Insert => {
            let place = index::ssize(heap, &step.args[0])?;
            insert(heap, slot, code, place, &step.args[1])
        }
        Op::Pop => pop(heap, step, code),
        Op::Remove => match place_of(heap, step, code, 0..usize::MAX)? {
            Some(place) => heap.operate(slot, |memory| match memory.length() {
                // `array_del_slice` of what the comparison took away.
                length if length <= place * size => Ok(Value::None),
                _ => splice(memory, place * size, size, &[]),
            }),
            None => Err(ErrorClass::ValueError.into()),
        },
        Op::Clear => heap.operate(slot, |memory| match memory.length() {
            0 => Ok(Value::None),
            length => splice(memory, 0, length, &[]),
        }),
        Op::Extend => extend(heap, slot, code, &step.args[0]),
        Op::InPlaceAdd => match array(heap, &step.args[0]) {
            Some(_) => extend(heap, slot, code, &step.args[0]),
            None => Err(ErrorClass::TypeError.into()),
        },
        Op::InPlaceMultiply => in_place_multiply(heap, slot, &step.args[0]),
        Op::FromBytes => from_bytes(heap, slot, size, &step.args[0]),
        // Of nothing nothing is written, whatever the file is.
        Op::ToFile if length(heap, slot)? == 0 => Ok(Value::None),
        Op::ToFile => {
            let bytes = Arg::bytes(&contents(heap, slot));
            ask(heap, &step.args[0], (Op::Write, Protocol::Write), bytes).map(|_| Value::None)
        }
        Op::FromFile => from_file(heap, slot, size, step),
        Op::FromList => from_list(heap, slot, code, &step.args[0]),
        Op::FromUnicode => from_unicode(heap, slot, code, &step.args[0]),

        Op::Reverse => heap.operate(slot, |memory| {
            let bytes = memory.contents();
            let reversed: Buffer = bytes.chunks_exact(size).rev().flatten().copied().collect();
            memory.write(0, 1, &reversed);
            Ok(Value::None)
        }),
        Op::ByteSwap => heap.operate(slot, |memory| {
            let mut bytes = memory.contents();
            bytes.chunks_exact_mut(code.code().number()).for_each(<[u8]>::reverse);
            memory.write(0, 1, &bytes);
            Ok(Value::None)
        }),
        Op::UnderCopy => {
            let bytes = contents(heap, slot);
            exporter(heap, step, Flavour::Array(code), bytes.to_vec())
        }
        Op::Add => add(heap, step, code),
        Op::Multiply => multiply(heap, step, code),
        Op::Remainder => Err(ErrorClass::TypeError.into()),
        Op::Item => get(heap, step, code),
        Op::SetItem => set(heap, step, code),
        Op::DelItem => delete(heap, slot, size, &step.args[0]),
        Op::Iter => {
            heap.iterate(super::dest(step), slot);
            Ok(Value::Stored)
        }
        Op::Count | Op::IndexOf | Op::Contains => look_for(heap, step, code),
        _ => describe(heap, step.op, slot, code),
    }
}

/// Operations that only look.
fn describe<H: Heap>(heap: &mut H, op: Op, slot: Slot, code: TypeCode) -> Result {
    Ok(match op {
        Op::Length => Value::Int(length(heap, slot)? as i128),
        Op::List | Op::ToList => Value::List(items(heap, slot, code)?),
        Op::ToBytes => Value::Bytes(contents(heap, slot).as_slice().into()),
        Op::ToUnicode => to_unicode(code, &contents(heap, slot))?,
        Op::TypeCode => Value::Str(code.name().into()),
        Op::ItemSize => Value::Int(code.itemsize() as i128),
        // The address counts from the begin of the memory.
        Op::BufferInfo => Value::Tuple(vec![Value::Int(0), Value::Int(length(heap, slot)? as i128)]),
        Op::Hash => return Err(ErrorClass::TypeError.into()),
        _ => unreachable!("{op:?} is not an operation of array.array"),
    })
}

/// `array_resize` to another length.
fn splice(memory: &mut dyn Memory, at: usize, removed: usize, bytes: &[u8]) -> Result {
    if memory.length() - removed + bytes.len() > limits::LENGTH {
        return Err(TOO_LONG);
    }
    memory.splice(at, removed, bytes)?;
    Ok(Value::None)
}

/// Appends; that nothing is appended is no resize.
fn append(memory: &mut dyn Memory, bytes: &[u8]) -> Result {
    let length = memory.length();
    if bytes.is_empty() { Ok(Value::None) } else { splice(memory, length, 0, bytes) }
}

/// `ins1`: the item is converted once to see whether it is one, and again when there is room for it.
fn insert<H: Heap>(heap: &mut H, slot: Slot, code: TypeCode, place: isize, item: &Arg) -> Result {
    let size = code.itemsize();
    let first = unseen(heap, slot, std::slice::from_ref(item), |heap| packed(heap, code, item))??;
    let place = heap.operate(slot, |memory| {
        let items = memory.length() / size;
        let place = if place < 0 {
            place.saturating_add_unsigned(items).max(0) as usize
        } else {
            (place as usize).min(items)
        };
        splice(memory, place * size, 0, &first).map(|_| place)
    })?;
    if item.hook().is_some() {
        let again = packed(heap, code, item)?;
        heap.operate(slot, |memory| store(memory, place, &again))?;
    }
    Ok(Value::None)
}

/// Converts items for which there is room already, or is going to be by the length from before: in every Python, what their
/// hooks do to the array is lost, and what they see of it shows memory that nobody has written. That is left out.
fn unseen<H: Heap, R>(
    heap: &mut H,
    slot: Slot,
    items: &[Arg],
    convert: impl FnOnce(&mut H) -> R,
) -> Result<R> {
    if !heap.is_guarded() || items.iter().all(|item| item.hook().is_none()) {
        return Ok(convert(heap));
    }
    let length = |heap: &mut H| heap.operate(slot, |memory| memory.length());
    let before = length(heap);
    let looks = items.iter().filter_map(Arg::hook).any(|hook| hooks::may_look(heap, hook, slot));
    let converted = convert(heap);
    if looks || before != length(heap) { Err(Stop::Skip(Skip::Known)) } else { Ok(converted) }
}

/// Stores an item that was converted when its place had been found, if that is there still.
fn store(memory: &mut dyn Memory, place: usize, item: &[u8]) -> Result<()> {
    if (place + 1) * item.len() > memory.length() {
        return Err(ErrorClass::IndexError.into());
    }
    memory.write(place * item.len(), 1, item);
    Ok(())
}

fn pop<H: Heap>(heap: &mut H, step: &Step, code: TypeCode) -> Result {
    let place = index::ssize_from(heap, step.args.first(), -1)?;
    let (version, size) = (heap.version(), code.itemsize());
    heap.operate(receiver(step), |memory| {
        let place = index::place(place, memory.length() / size)?;
        let item = item::get(version, code, &memory.contents()[place * size..][..size])?;
        splice(memory, place * size, size, &[])?;
        Ok(item.into_value())
    })
}

/// `array_do_extend`: of anything but an array of the same type the items are appended one by one, and those before
/// an error stay.
fn extend<H: Heap>(heap: &mut H, slot: Slot, code: TypeCode, arg: &Arg) -> Result {
    if let Some((other, other_code)) = array(heap, arg) {
        if other_code != code {
            return Err(ErrorClass::TypeError.into());
        }
        let bytes = contents(heap, other);
        return heap.operate(slot, |memory| append(memory, &bytes));
    }
    check_iterable(heap, arg)?;
    if arg.parts().iter().any(|item| item.hook().is_some()) {
        let items = iterables::iterate(heap, arg)?;
        items.each(heap, |heap, _, item| insert(heap, slot, code, isize::MAX, item).map(drop))?;
        return Ok(Value::None);
    }
    let (bytes, error) = gather(heap, code, arg);
    heap.operate(slot, |memory| append(memory, &bytes))?;
    error.map_or(Ok(Value::None), Err)
}

fn from_bytes<H: Heap>(heap: &mut H, slot: Slot, size: usize, arg: &Arg) -> Result {
    with_buffer(heap, arg, Request::Simple, |heap, layout, bytes| {
        if layout.itemsize() != 1 {
            return Err(ErrorClass::TypeError.into());
        }
        if !bytes.len().is_multiple_of(size) {
            return Err(ErrorClass::ValueError.into());
        }
        heap.operate(slot, |memory| append(memory, bytes))
    })?
}

/// Calls a method of a file, which is any object that has it.
fn ask<H: Heap>(heap: &mut H, file: &Arg, (op, protocol): (Op, Protocol), arg: Arg) -> Result {
    match file {
        Arg::Hook(hook) => {
            let method = hook.method(protocol).ok_or(ErrorClass::AttributeError)?;
            hooks::call(heap, method).map(literal)
        }
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => {
            operation(heap, &Step::new(op, Some(*slot), [arg].into_iter().collect(), None))
        }
        // A method of that name that is another operation takes other arguments.
        Arg::Slot(slot) if slot.kind == SlotKind::Export && has_method(heap.export_class(*slot), op) => {
            Err(ErrorClass::TypeError.into())
        }
        _ => Err(ErrorClass::AttributeError.into()),
    }
}

/// Whether objects of a class have a method of the name of an operation.
fn has_method(class: Class, op: Op) -> bool {
    TABLE.iter().any(|row| row.syntax == op.row().syntax && row.classes.contain(class))
}

/// What was read is kept, also if it is less than was asked for, which is an error, or no whole items, which is another.
fn from_file<H: Heap>(heap: &mut H, slot: Slot, size: usize, step: &Step) -> Result {
    let count = index::ssize(heap, &step.args[1])?;
    let count = usize::try_from(count).map_err(|_| ErrorClass::ValueError)?;
    let wanted = count.checked_mul(size).filter(|&wanted| isize::try_from(wanted).is_ok());
    let wanted = wanted.ok_or(ErrorClass::MemoryError)?;
    // What is left out is left out before the file is read.
    if heap.operate(slot, |memory| memory.length()) + wanted.min(limits::LENGTH) > limits::LENGTH {
        return Err(TOO_LONG);
    }
    let read = match ask(heap, &step.args[0], (Op::Read, Protocol::Read), Arg::int(wanted as i64))? {
        Value::Bytes(read) => read,
        _ => return Err(ErrorClass::TypeError.into()),
    };
    from_bytes(heap, slot, size, &Arg::bytes(&read))?;
    if read.len() == wanted { Ok(Value::None) } else { Err(ErrorClass::EOFError.into()) }
}

/// Room for all items is made before any is read.
fn from_list<H: Heap>(heap: &mut H, slot: Slot, code: TypeCode, arg: &Arg) -> Result {
    let Arg::List(items) = arg else {
        return Err(ErrorClass::TypeError.into());
    };
    if items.is_empty() {
        return Ok(Value::None);
    }
    heap.operate(slot, |memory| {
        if memory.length() + items.len() * code.itemsize() > limits::LENGTH {
            return Err(TOO_LONG);
        }
        Ok(memory.splice(memory.length(), 0, &[])?)
    })?;
    match unseen(heap, slot, items, |heap| gather(heap, code, arg))? {
        (_, Some(error)) => Err(error),
        (bytes, None) => heap.operate(slot, |memory| append(memory, &bytes)),
    }
}

fn from_unicode<H: Heap>(heap: &mut H, slot: Slot, code: TypeCode, arg: &Arg) -> Result {
    let Arg::Str(text) = arg else {
        return Err(ErrorClass::TypeError.into());
    };
    if !is_wide(code) {
        return Err(ErrorClass::ValueError.into());
    }
    let bytes: Buffer = text.chars().flat_map(|letter| u32::from(letter).to_ne_bytes()).collect();
    heap.operate(slot, |memory| append(memory, &bytes))
}

/// A `u` may hold surrogates; `w` is decoded as UTF-32.
fn to_unicode(code: TypeCode, bytes: &[u8]) -> Result {
    if !is_wide(code) {
        return Err(ErrorClass::ValueError.into());
    }
    let strict = code.name() == "w";
    let codes = || bytes.chunks_exact(code.itemsize()).map(item::code_point);
    if strict && codes().any(|code| char::from_u32(code).is_none()) {
        return Err(ErrorClass::UnicodeDecodeError.into());
    }
    if codes().any(|code| code > LAST) {
        return Err(ErrorClass::ValueError.into());
    }
    Ok(item::text(codes()))
}

/// `array_concat`
fn add<H: Heap>(heap: &mut H, step: &Step, code: TypeCode) -> Result {
    match array(heap, &step.args[0]) {
        Some((other, other_code)) if other_code == code => {
            let mut bytes = contents(heap, receiver(step)).to_vec();
            bytes.extend_from_slice(&contents(heap, other));
            exporter(heap, step, Flavour::Array(code), bytes)
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

fn multiply<H: Heap>(heap: &mut H, step: &Step, code: TypeCode) -> Result {
    let times = index::ssize(heap, &step.args[0])?;
    let bytes = contents(heap, receiver(step));
    let size = bytes.len() as i128 * times.max(0) as i128;
    if is_too_long(size) {
        return Err(TOO_LONG);
    }
    if size > limits::LENGTH as i128 {
        return Err(ErrorClass::MemoryError.into());
    }
    let repeated = bytes.iter().copied().cycle().take(size as usize).collect();
    exporter(heap, step, Flavour::Array(code), repeated)
}

/// `array_inplace_repeat`: what no machine can count is a `MemoryError` before exports are looked at.
fn in_place_multiply<H: Heap>(heap: &mut H, slot: Slot, arg: &Arg) -> Result {
    let times = index::ssize(heap, arg)?;
    heap.operate(slot, |memory| {
        let bytes = memory.contents();
        let size = bytes.len() as i128 * times.max(0) as i128;
        if size > isize::MAX as i128 {
            return Err(ErrorClass::MemoryError.into());
        }
        if is_too_long(size) {
            return Err(TOO_LONG);
        }
        if size == bytes.len() as i128 {
            return Ok(Value::None);
        }
        if size > limits::LENGTH as i128 {
            memory.splice(0, 0, &[])?;
            return Err(ErrorClass::MemoryError.into());
        }
        let repeated: Buffer = bytes.iter().copied().cycle().take(size as usize).collect();
        splice(memory, 0, bytes.len(), &repeated)
    })
}

/// The first of the items in `range` that equals the first argument.
fn place_of<H: Heap>(
    heap: &mut H,
    step: &Step,
    code: TypeCode,
    range: std::ops::Range<usize>,
) -> Result<Option<usize>> {
    let slot = receiver(step);
    super::compare::find(heap, &step.args[0], range, |heap, place| nth(heap, slot, code, place))
}

/// The item at a place, if there is one at this moment.
fn nth<H: Heap>(heap: &mut H, slot: Slot, code: TypeCode, place: usize) -> Result<Option<Value>> {
    let (version, size) = (heap.version(), code.itemsize());
    heap.operate(slot, |memory| {
        if place >= memory.length() / size {
            return Ok(None);
        }
        let bytes: Packed = (place * size..(place + 1) * size).map(|place| memory.get(place)).collect();
        Ok(Some(item::get(version, code, &bytes)?.into_value()))
    })
}

fn look_for<H: Heap>(heap: &mut H, step: &Step, code: TypeCode) -> Result {
    match step.op {
        Op::Contains => {
            let found = place_of(heap, step, code, 0..usize::MAX)?;
            Ok(Value::Bool(found.is_some()))
        }
        Op::Count => {
            if step.args.len() > 1 {
                return Err(ErrorClass::TypeError.into());
            }
            let (mut count, mut from) = (0, 0);
            while let Some(place) = place_of(heap, step, code, from..usize::MAX)? {
                (count, from) = (count + 1, place + 1);
            }
            Ok(Value::Int(count))
        }
        _ => {
            // `start` and `stop` are of 3.10.
            if step.args.len() > 1 && !heap.version().since(10) {
                return Err(ErrorClass::TypeError.into());
            }
            // `slice_index(accept={int})`: None is refused.
            let start = index::clipped_from(heap, step.args.get(1), 0)?;
            let stop = index::clipped_from(heap, step.args.get(2), isize::MAX)?;
            // What a comparison adds is compared as well.
            let length = length(heap, receiver(step))?;
            let (start, end) = index::range(start, stop, length);
            let stop = usize::try_from(stop).unwrap_or(end);
            match place_of(heap, step, code, start..stop)? {
                Some(place) => Ok(Value::Int(place as i128)),
                None => Err(ErrorClass::ValueError.into()),
            }
        }
    }
}

/// `array_subscr`
fn get<H: Heap>(heap: &mut H, step: &Step, code: TypeCode) -> Result {
    let slot = receiver(step);
    let size = code.itemsize();
    match &step.args[0] {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            let bytes = contents(heap, slot);
            let place = index::place(place, bytes.len() / size)?;
            Ok(item::get(heap.version(), code, &bytes[place * size..][..size])?.into_value())
        }
        Arg::Slice(bounds) => {
            let slice = index::slice(heap, bounds)?;
            let bytes = contents(heap, slot);
            let part = slice.part(bytes.len() / size);
            let items = part.places().flat_map(|place| &bytes[place * size..][..size]);
            exporter(heap, step, Flavour::Array(code), items.copied().collect())
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `array_ass_subscr` with a value.
fn set<H: Heap>(heap: &mut H, step: &Step, code: TypeCode) -> Result {
    let (slot, key, value) = (receiver(step), &step.args[0], &step.args[1]);
    let size = code.itemsize();
    match key {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            let items = length(heap, slot)?;
            let place = index::place(place, items)?;
            // Since gh-142555 the bounds are looked at again.
            let memory = hooks::remember(heap, step, &[(13, 12), (14, 3)]);
            let item = packed(heap, code, value)?;
            memory.still_there(heap)?;
            heap.operate(slot, |memory| store(memory, place, &item))?;
            Ok(Value::None)
        }
        Arg::Slice(bounds) => {
            let mut part = index::slice(heap, bounds)?.part(length(heap, slot)?);
            match array(heap, value) {
                Some((other, other_code)) if other_code == code => {
                    let bytes = contents(heap, other);
                    // Of itself it takes a copy, and begins anew.
                    if heap.same(slot, other) {
                        part = index::slice(heap, bounds)?.part(length(heap, slot)?);
                    }
                    heap.operate(slot, |memory| assign(memory, part, size, &bytes))
                }
                _ => Err(ErrorClass::TypeError.into()),
            }
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `array_ass_subscr` without a value.
fn delete<H: Heap>(heap: &mut H, slot: Slot, size: usize, key: &Arg) -> Result {
    match key {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            heap.operate(slot, |memory| {
                let place = index::place(place, memory.length() / size)?;
                splice(memory, place * size, size, &[])
            })
        }
        Arg::Slice(bounds) => {
            let part = index::slice(heap, bounds)?.part(length(heap, slot)?);
            heap.operate(slot, |memory| assign(memory, part, size, &[]))
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// Assigns items to a slice; nothing deletes it. Exports forbid what would change the length, and to assign nothing
/// (clause S3).
fn assign(memory: &mut dyn Memory, part: Part, size: usize, bytes: &[u8]) -> Result {
    let needed = bytes.len() / size;
    if needed == part.count && needed > 0 {
        for (place, item) in part.places().zip(bytes.chunks_exact(size)) {
            memory.write(place * size, 1, item);
        }
        return Ok(Value::None);
    }
    if part.step == 1 {
        // "for 'a[2:1] = ...', the insertion point is 'start', not 'stop'"
        return splice(memory, part.start as usize * size, part.count * size, bytes);
    }
    memory.splice(0, 0, &[])?;
    if needed > 0 {
        return Err(ErrorClass::ValueError.into());
    }
    let contents = memory.contents();
    let mut doomed = vec![false; contents.len() / size];
    part.places().for_each(|place| doomed[place] = true);
    let items = contents.chunks_exact(size).zip(doomed);
    let kept: Buffer = items.filter(|(_, doomed)| !doomed).flat_map(|(item, _)| item).copied().collect();
    splice(memory, 0, contents.len(), &kept)
}
