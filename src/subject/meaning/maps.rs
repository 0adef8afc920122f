//! Operations of `mmap.mmap`: `Modules/mmapmodule.c`, as Linux compiles it.

use super::super::heap::{Flavour, Heap};
use super::super::index::{self, Slice};
use super::super::search;
use super::make::is_too_long;
use super::{
    Acquired, MACHINE, Result, Stop, TOO_LONG, bytes_of, contents, receiver, with_bytes, with_bytes_after,
};
use crate::exporter::{Exported, Layout, Mapping};
use crate::history::{ErrorClass, Skip, Value};
use crate::program::{Arg, Op, Slot, SlotKind, Step, limits};

/// `MAP_SHARED` and `MAP_PRIVATE`, the bits of which one must be set, and the bit that anonymous memory has anyway.
const SHARED: i32 = 1;
const PRIVATE: i32 = 2;
const SHARING: i32 = 7;
const ANONYMOUS: i32 = 32;
/// `PROT_READ` and `PROT_WRITE`.
const READ: i32 = 1;
const WRITE: i32 = 2;
/// The size of the smallest pages; no map of a program is longer.
const PAGE: usize = 4096;
const _: () = assert!(limits::LENGTH <= PAGE);

/// `mmap.mmap()` of memory without a file.
pub(super) fn new<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let file = index::c_int(heap, &step.args[0])?;
    let length = index::ssize(heap, &step.args[1])?;
    let flags = index::c_int_from(heap, step.args.get(2), SHARED)?;
    let protection = index::c_int_from(heap, step.args.get(3), READ | WRITE)?;
    let access = index::c_int_from(heap, step.args.get(4), 0)?;
    let length = usize::try_from(length).map_err(|_| ErrorClass::OverflowError)?;
    if access != 0 && (flags, protection) != (SHARED, READ | WRITE) {
        return Err(ErrorClass::ValueError.into());
    }
    let readonly = protection & WRITE == 0;
    let usual = Mapping { shared: flags & SHARING == SHARED, readonly, fixed: readonly };
    let mapping = accessed(access, usual)?;
    match file {
        -1 => {}
        // Which files are open is nobody's business; far beyond them none is.
        0..0x4000_0000 => return Err(MACHINE),
        _ => return Err(ErrorClass::OSError.into()),
    }
    // Other bits ask for huge pages, fixed places and the like, and without these two nobody can read.
    if flags & !(SHARING | ANONYMOUS) != 0 || !(1..=READ | WRITE).contains(&protection) {
        return Err(MACHINE);
    }
    match length {
        _ if ![SHARED, PRIVATE].contains(&(flags & SHARING)) => Err(ErrorClass::OSError.into()),
        0 => Err(ErrorClass::OSError.into()),
        _ if is_too_long(length as i128) => Err(TOO_LONG),
        _ if length > limits::LENGTH => Err(ErrorClass::OSError.into()),
        _ => super::exporter(heap, step, Flavour::Mmap(mapping), vec![0; length]),
    }
}

/// `mapped_file()`: a map of a file that holds these bytes, which nobody else can reach.
pub(super) fn of_file<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let contents = bytes_of(heap, &step.args[0])?;
    let length = index::ssize_from(heap, step.args.get(1), 0)?;
    let access = index::c_int_from(heap, step.args.get(2), 0)?;
    let length = usize::try_from(length).map_err(|_| ErrorClass::OverflowError)?;
    let mapping = accessed(access, Mapping::WRITE)?;
    let length = if length == 0 { contents.len() } else { length };
    // Of an empty file there is no map at all.
    if length == 0 || length > contents.len() {
        return Err(ErrorClass::ValueError.into());
    }
    heap.map_file(super::dest(step), mapping, &contents, length);
    Ok(Value::Stored)
}

/// What an access asks for; without one it is the usual.
fn accessed(access: i32, usual: Mapping) -> std::result::Result<Mapping, ErrorClass> {
    match access {
        0 => Ok(usual),
        1 => Ok(Mapping::READ),
        2 => Ok(Mapping::WRITE),
        3 => Ok(Mapping::COPY),
        _ => Err(ErrorClass::ValueError),
    }
}

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let version = heap.version();
    match step.op {
        Op::Close => Ok(heap.close(slot).map(|()| Value::None)?),
        Op::Closed => Ok(Value::Bool(heap.is_closed(slot))),
        Op::Hash => Ok(Value::HashOfSlot(slot)),
        // Nothing is asked of the map until an item is.
        Op::Iter => {
            heap.iterate(super::dest(step), slot);
            Ok(Value::Stored)
        }
        // It has neither operator.
        Op::Add | Op::Multiply | Op::Remainder | Op::InPlaceAdd | Op::InPlaceMultiply => {
            Err(ErrorClass::TypeError.into())
        }

        Op::With => {
            check_open(heap, slot)?;
            Ok(heap.close(slot).map(|()| Value::None)?)
        }
        Op::Length => Ok(Value::Int(super::length(heap, slot)? as i128)),
        Op::List => Ok(Value::List(items(heap, slot)?)),
        Op::Contains => {
            let nth = |heap: &mut H, place| {
                check_open(heap, slot)?;
                let byte = heap.operate(slot, |memory| (place < memory.length()).then(|| memory.get(place)));
                Ok(byte.map(|byte| Value::Bytes([byte].as_slice().into())))
            };
            let found = super::compare::find(heap, &step.args[0], 0..usize::MAX, nth)?;
            Ok(Value::Bool(found.is_some()))
        }
        Op::Item => get(heap, step),
        Op::SetItem | Op::DelItem => set(heap, step),

        Op::Tell => {
            check_open(heap, slot)?;
            Ok(Value::Int(heap.cursor(slot) as i128))
        }
        Op::FileSize => {
            let length = super::length(heap, slot)?;
            match heap.file_length(slot) {
                Some(length) => Ok(Value::Int(length as i128)),
                None if version.since(15) => Ok(Value::Int(length as i128)),
                None => Err(ErrorClass::OSError.into()),
            }
        }
        Op::Seek => seek(heap, step),
        // It takes no limit, as that of a stream does.
        Op::ReadLine if !step.args.is_empty() => Err(ErrorClass::TypeError.into()),
        Op::Seekable if version.since(13) => Ok(Value::Bool(true)),
        Op::Seekable => Err(ErrorClass::AttributeError.into()),
        Op::Read | Op::ReadLine | Op::ReadByte => read(heap, step),
        Op::Write => {
            check_open_first(heap, slot)?;
            with_bytes(heap, &step.args[0], |heap, bytes| {
                check_writable_first(heap, slot)?;
                check_open_again(heap, slot)?;
                write(heap, slot, bytes)?;
                Ok(Value::Int(bytes.len() as i128))
            })
        }
        Op::WriteByte => {
            let byte = arguments(heap, slot, |heap| {
                let byte = u8::try_from(index::index(heap, &step.args[0])?);
                let byte = byte.map_err(|_| ErrorClass::OverflowError)?;
                check_writable_first(heap, slot)?;
                Ok(byte)
            })?;
            write(heap, slot, &[byte]).map(|()| Value::None)
        }
        Op::Find | Op::RFind => look_for(heap, step),
        Op::Move => shift(heap, step),
        Op::Resize => resize(heap, step),
        Op::Flush => flush(heap, step),
        Op::Advise => advise(heap, step),
        _ => unreachable!("{:?} is not an operation of mmap.mmap", step.op),
    }
}

/// The length of a map. One that was closed while its index was converted has the one with which it was.
fn last_length<H: Heap>(heap: &mut H, slot: Slot) -> usize {
    super::length(heap, slot).unwrap_or_else(|_| heap.closed_length(slot))
}

fn check_open<H: Heap>(heap: &H, slot: Slot) -> Result<()> {
    if heap.is_closed(slot) { Err(ErrorClass::ValueError.into()) } else { Ok(()) }
}

/// Looks at a map that was open when its arguments were not read yet. Before gh-103987 one that they closed is gone on with.
fn check_open_again<H: Heap>(heap: &H, slot: Slot) -> Result<()> {
    if heap.is_closed(slot) && heap.is_guarded() && !heap.version().has(&[(11, 4), (12, 0)]) {
        return Err(Stop::Skip(Skip::Known));
    }
    check_open(heap, slot)
}

/// Before 3.14 a closed map does not look at its arguments.
fn check_open_first<H: Heap>(heap: &H, slot: Slot) -> Result<()> {
    if heap.version().since(14) { Ok(()) } else { check_open(heap, slot) }
}

/// Reads the arguments of a method of an open map.
fn arguments<H: Heap, R>(heap: &mut H, slot: Slot, read: impl FnOnce(&mut H) -> Result<R>) -> Result<R> {
    check_open_first(heap, slot)?;
    let read = read(heap)?;
    check_open_again(heap, slot)?;
    Ok(read)
}

/// A number that may be left out. In some versions it is an object to whoever reads the arguments: then it may also be
/// `None`, and is looked at after the map.
fn optional<H: Heap>(heap: &mut H, arg: Option<&Arg>, is_object: bool) -> Result<Option<isize>> {
    match arg {
        None => Ok(None),
        Some(Arg::None) if is_object => Ok(None),
        Some(arg) => index::ssize(heap, arg).map(Some),
    }
}

/// The same, of the first number that is one: until then the map must be open.
fn later<H: Heap>(heap: &mut H, slot: Slot, arg: Option<&Arg>, is_object: bool) -> Result<Option<isize>> {
    if is_object {
        check_open(heap, slot)?;
    }
    optional(heap, arg, is_object)
}

fn mapping<H: Heap>(heap: &H, slot: Slot) -> Mapping {
    match heap.flavour(slot) {
        Flavour::Mmap(mapping) => mapping,
        other => unreachable!("{slot} holds {}", other.class().name()),
    }
}

/// Before 3.14, that a map cannot be written to is found out before it is looked again whether it is open.
fn check_writable_first<H: Heap>(heap: &H, slot: Slot) -> Result<()> {
    if heap.version().since(14) { Ok(()) } else { check_writable(heap, slot) }
}

fn check_writable<H: Heap>(heap: &H, slot: Slot) -> Result<()> {
    if mapping(heap, slot).readonly { Err(ErrorClass::TypeError.into()) } else { Ok(()) }
}

/// The items of the sequence: each a `bytes` of one byte.
pub(super) fn items<H: Heap>(heap: &mut H, slot: Slot) -> Result<Vec<Value>> {
    check_open(heap, slot)?;
    Ok(contents(heap, slot).iter().map(|&byte| Value::Bytes([byte].as_slice().into())).collect())
}

/// `mmap_subscript`
fn get<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    check_open(heap, slot)?;
    match &step.args[0] {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            let place = index::place(place, last_length(heap, slot))?;
            check_open_again(heap, slot)?;
            Ok(Value::Int(contents(heap, slot)[place].into()))
        }
        Arg::Slice(bounds) => {
            let slice = index::slice(heap, bounds)?;
            check_open_again(heap, slot)?;
            let bytes = contents(heap, slot);
            let part = slice.part(bytes.len());
            super::exporter(heap, step, Flavour::Bytes, part.places().map(|place| bytes[place]).collect())
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `mmap_ass_subscript`; without a value, of a deletion.
fn set<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let (slot, key, value) = (receiver(step), &step.args[0], step.args.get(1));
    // Since gh-157335 everything is read before it is looked at the map.
    let looks_last = heap.version().has(&[(13, 16), (14, 8)]);
    if !looks_last {
        check_open(heap, slot)?;
    }
    let before = super::length(heap, slot).unwrap_or(0);
    check_writable(heap, slot)?;
    match key {
        key if index::is_index(key) => {
            let key = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            if !looks_last {
                index::place(key, last_length(heap, slot))?;
            }
            let byte = index::ssize_or(heap, value.ok_or(ErrorClass::TypeError)?, ErrorClass::TypeError)?;
            let byte = u8::try_from(byte).map_err(|_| ErrorClass::ValueError)?;
            // What was made shorter meanwhile is written to behind its end by the others.
            let length = super::length(heap, slot)?;
            if !looks_last && heap.is_guarded() && length < before {
                return Err(Stop::Skip(Skip::Known));
            }
            let place = index::place(key, length)?;
            heap.operate(slot, |memory| memory.set(place, byte));
            Ok(Value::None)
        }
        Arg::Slice(bounds) => {
            let slice = index::slice(heap, bounds)?;
            assign(heap, slot, slice, value.ok_or(ErrorClass::TypeError)?, looks_last)
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// Assigns to the items of a slice. Whether the map is open is looked at before the length of what is assigned, or after.
fn assign<H: Heap>(heap: &mut H, slot: Slot, slice: Slice, value: &Arg, looks_last: bool) -> Result {
    let before = last_length(heap, slot);
    let source = Acquired::acquire(heap, value, Layout::is_c_contiguous)?;
    let assigned = (|| {
        if looks_last {
            check_open(heap, slot)?;
        }
        // Where the length from before is gone by, what lies behind another one is written to.
        let length = last_length(heap, slot);
        if !looks_last && heap.is_guarded() && length != before {
            return Err(Stop::Skip(Skip::Known));
        }
        let part = slice.part(length);
        if source.layout(heap).nbytes() != part.count {
            return Err(ErrorClass::IndexError.into());
        }
        check_open_again(heap, slot)?;
        if part.step == 1 {
            let bytes = source.contents(heap);
            heap.operate(slot, |memory| memory.write(part.start as usize, 1, &bytes));
        } else {
            // Byte by byte, from what may be this very map, and changes meanwhile.
            for (position, place) in part.places().enumerate() {
                let byte = source.contents(heap)[position];
                heap.operate(slot, |memory| memory.set(place, byte));
            }
        }
        Ok(Value::None)
    })();
    source.end(heap, assigned)
}

fn seek<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let (distance, whence) = arguments(heap, slot, |heap| {
        Ok((index::ssize(heap, &step.args[0])?, index::c_int_from(heap, step.args.get(1), 0)?))
    })?;
    let length = super::length(heap, slot)?;
    let from = match whence {
        0 => 0,
        1 => heap.cursor(slot),
        2 => length,
        _ => return Err(ErrorClass::ValueError.into()),
    };
    let place = usize::try_from(from as i128 + distance as i128).ok().filter(|&place| place <= length);
    let place = place.ok_or(ErrorClass::ValueError)?;
    heap.set_cursor(slot, place);
    Ok(if heap.version().since(13) { Value::Int(place as i128) } else { Value::None })
}

/// `read`, `readline` and `read_byte`. A map that was made shorter may stand behind its end, where there is nothing.
fn read<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let wanted = arguments(heap, slot, |heap| match step.args.first() {
        None | Some(Arg::None) => Ok(isize::MAX),
        Some(arg) => Ok(index::ssize(heap, arg)?),
    })?;
    let (bytes, cursor) = (contents(heap, slot), heap.cursor(slot));
    let rest = &bytes[cursor.min(bytes.len())..];
    let count = match step.op {
        Op::Read => usize::try_from(wanted).map_or(rest.len(), |wanted| wanted.min(rest.len())),
        Op::ReadLine => rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1),
        _ if rest.is_empty() => return Err(ErrorClass::ValueError.into()),
        _ => 1,
    };
    heap.set_cursor(slot, cursor + count);
    match step.op {
        Op::ReadByte => Ok(Value::Int(rest[0].into())),
        _ => super::exporter(heap, step, Flavour::Bytes, rest[..count].to_vec()),
    }
}

fn write<H: Heap>(heap: &mut H, slot: Slot, bytes: &[u8]) -> Result<()> {
    check_writable(heap, slot)?;
    let (length, cursor) = (super::length(heap, slot)?, heap.cursor(slot));
    if length.checked_sub(cursor).is_none_or(|rest| rest < bytes.len()) {
        return Err(ErrorClass::ValueError.into());
    }
    heap.operate(slot, |memory| memory.write(cursor, 1, bytes));
    heap.set_cursor(slot, cursor + bytes.len());
    Ok(())
}

/// `mmap_gfind`
fn look_for<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let version = heap.version();
    let objects = version.since(14);
    let bounds = |heap: &mut H| -> Result<_> {
        let start = later(heap, slot, step.args.get(1), objects)?;
        Ok((start, optional(heap, step.args.get(2), objects)?))
    };
    check_open_first(heap, slot)?;
    // Before 3.14 the map is looked at before its arguments are.
    let before = if objects { None } else { Some((heap.cursor(slot), super::length(heap, slot)?)) };
    with_bytes_after(heap, &step.args[0], bounds, |heap, needle, (start, end)| {
        check_open_again(heap, slot)?;
        let hay = contents(heap, slot);
        let (cursor, length) = before.unwrap_or((heap.cursor(slot), hay.len()));
        let (start, end) = (start.unwrap_or(cursor as isize), end.unwrap_or(length as isize));
        let (mut start, end) = index::range(start, end, hay.len());
        // Since gh-151021 nothing is found behind the end, as in `bytes`; before, not even nothing is missed there.
        if !version.since(15) {
            start = start.min(hay.len());
        }
        let found = match step.op {
            Op::RFind => search::rfind(&hay, needle, start, end),
            _ => search::find(&hay, needle, start, end),
        };
        Ok(Value::Int(found.map_or(-1, |place| place as i128)))
    })
}

/// `move`
fn shift<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let number = |heap: &mut H, position: usize| index::ssize(heap, &step.args[position]);
    let (dest, source, count) = arguments(heap, slot, |heap| {
        let numbers = (number(heap, 0)?, number(heap, 1)?, number(heap, 2)?);
        check_writable_first(heap, slot)?;
        Ok(numbers)
    })?;
    check_writable(heap, slot)?;
    let bytes = contents(heap, slot);
    let part = |start: isize| {
        let (start, count) = (usize::try_from(start).ok()?, usize::try_from(count).ok()?);
        bytes.get(start..start.checked_add(count)?)
    };
    let (Some(source), Some(_)) = (part(source), part(dest)) else {
        return Err(ErrorClass::ValueError.into());
    };
    heap.operate(slot, |memory| memory.write(dest as usize, 1, source));
    Ok(Value::None)
}

fn resize<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let length = arguments(heap, slot, |heap| index::ssize(heap, &step.args[0]))?;
    heap.operate(slot, |memory| -> std::result::Result<(), Exported> { memory.splice(0, 0, &[]) })?;
    let mapping = mapping(heap, slot);
    if mapping.fixed {
        return Err(ErrorClass::TypeError.into());
    }
    let length = usize::try_from(length).map_err(|_| ErrorClass::ValueError)?;
    let of_file = heap.file_length(slot).is_some();
    // It cuts the file off before it finds that it cannot map it.
    check_file_length(heap, slot, length)?;
    // Since gh-138204 what would kill whoever reads it is refused, and so is what would not.
    let refuses = heap.version().has(&[(13, 8), (14, 1)]);
    if !of_file && mapping.shared && length > super::length(heap, slot)? && refuses {
        return Err(ErrorClass::ValueError.into());
    }
    if length == 0 || length >= limits::REFUSED_SIZE as usize {
        return Err(ErrorClass::OSError.into());
    }
    if length > limits::LENGTH {
        return Err(TOO_LONG);
    }
    Ok(heap.remap(slot, length).map(|()| Value::None)?)
}

/// `truncate_file` of `src/program/helpers.py`.
pub(super) fn truncate_file<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = match &step.args[0] {
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => *slot,
        _ => return Err(ErrorClass::TypeError.into()),
    };
    let Flavour::Mmap(mapping) = heap.flavour(slot) else { return Err(ErrorClass::TypeError.into()) };
    let length = index::ssize(heap, &step.args[1])?;
    check_open(heap, slot)?;
    if heap.file_length(slot).is_none() {
        return Err(ErrorClass::ValueError.into());
    }
    let length = usize::try_from(length).map_err(|_| ErrorClass::ValueError)?;
    check_file_length(heap, slot, length)?;
    // What was written to a page that is a copy stays in it, and what was not goes.
    if !mapping.shared {
        return Err(MACHINE);
    }
    heap.truncate_file(slot, length);
    Ok(Value::None)
}

/// Finds out whether every machine gives the file of a map, if there is one, this length, and whether the map can be read
/// afterwards: of a file without a page no byte can, each is a SIGBUS. How long a file can be made is a question of its
/// system, and so is what comes into it when its end moves over bytes that were written behind the end.
fn check_file_length<H: Heap>(heap: &mut H, slot: Slot, length: usize) -> Result<()> {
    let Some(end) = heap.file_length(slot) else { return Ok(()) };
    let writes_behind = contents(heap, slot).iter().skip(end).any(|&byte| byte != 0);
    if length == 0 || length > limits::LENGTH || length >= end && writes_behind {
        return Err(MACHINE);
    }
    Ok(())
}

fn flush<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let version = heap.version();
    // In 3.14 alone.
    let is_object = version.since(14) && !version.since(15);
    let before = super::length(heap, slot).unwrap_or(0);
    let (offset, size) = arguments(heap, slot, |heap| {
        let offset = index::ssize_from(heap, step.args.first(), 0)?;
        Ok((offset, later(heap, slot, step.args.get(1), is_object)?))
    })?;
    let size = size.filter(|&size| size != -1 || !version.since(15));
    let length = super::length(heap, slot)?;
    let offset = usize::try_from(offset).map_err(|_| ErrorClass::ValueError)?;
    let rest = length.checked_sub(offset).ok_or(ErrorClass::ValueError)?;
    // Before gh-138092 what is left out is the whole length, wherever the part begins; before 3.14 it is that from before
    // the arguments were read.
    let all = match version {
        _ if version.since(15) => rest,
        _ if version.since(14) => length,
        _ => before,
    };
    let size = size.map_or(Ok(all), usize::try_from).map_err(|_| ErrorClass::ValueError)?;
    if size > rest {
        return Err(ErrorClass::ValueError.into());
    }
    let mapping = mapping(heap, slot);
    let keeps_nothing = mapping.readonly || mapping == Mapping::COPY;
    if keeps_nothing || offset.is_multiple_of(PAGE) {
        Ok(Value::None)
    } else {
        Err(ErrorClass::OSError.into())
    }
}

fn advise<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let is_object = heap.version().since(14);
    check_open_first(heap, slot)?;
    let advice = index::c_int(heap, &step.args[0])?;
    let start = index::ssize_from(heap, step.args.get(1), 0)?;
    let size = later(heap, slot, step.args.get(2), is_object)?;
    // Before 3.14 it is looked last whether the map is open still, after its length.
    if is_object {
        check_open_again(heap, slot)?;
    }
    let length = last_length(heap, slot);
    let start = usize::try_from(start).ok().filter(|&start| start < length).ok_or(ErrorClass::ValueError)?;
    let size = size.map_or(Ok(length), usize::try_from).map_err(|_| ErrorClass::ValueError)?;
    if start + size > isize::MAX as usize {
        return Err(ErrorClass::OverflowError.into());
    }
    check_open_again(heap, slot)?;
    match advice {
        _ if start != 0 => Err(ErrorClass::OSError.into()),
        ..0 => Err(ErrorClass::OSError.into()),
        // How it will be read, which changes nothing.
        0..=2 => Ok(Value::None),
        _ => Err(MACHINE),
    }
}
