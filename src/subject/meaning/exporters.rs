//! Operations of `bytearray` and `bytes`.

use super::super::heap::{Buffer, Flavour, Heap, Memory, Version};
use super::super::index::{self, Slice};
use super::super::search;
use super::make::{bytearray_of, is_too_long, set_len};
use super::{
    Acquired, Result, Stop, TOO_LONG, byte_items_after, contents, exported, exporter, hex, hooks, ints,
    is_bytearray, is_exporter, iterables, loose, receiver, with_bytes,
};
use crate::exporter::Layout;
use crate::history::{ErrorClass, Skip, Value};
use crate::program::{Arg, Op, Protocol, Slot, SlotKind, Step, limits};

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let (version, flavour) = (heap.version(), heap.flavour(slot));
    let arg = |position: usize| step.args.get(position);
    match step.op {
        Op::Resize if !version.since(14) => Err(ErrorClass::AttributeError.into()),
        Op::TakeBytes if !version.since(15) => Err(ErrorClass::AttributeError.into()),
        // `PyObject_SetItem` converts an index before it finds that nothing can be set.
        Op::SetItem | Op::DelItem if flavour == Flavour::Bytes => {
            index::ssize_or(heap, &step.args[0], ErrorClass::IndexError)?;
            Err(ErrorClass::TypeError.into())
        }

        Op::Append => {
            let byte = index::byte(heap, &step.args[0])?;
            heap.operate(slot, |memory| insert(memory, isize::MAX, byte))
        }
        Op::Insert => {
            let place = index::ssize(heap, &step.args[0])?;
            let byte = index::byte(heap, &step.args[1])?;
            heap.operate(slot, |memory| insert(memory, place, byte))
        }
        Op::Pop => {
            let place = index::ssize_from(heap, arg(0), -1)?;
            heap.operate(slot, |memory| {
                let place = index::place(place, memory.length())?;
                let byte = memory.get(place);
                memory.splice(place, 1, &[])?;
                Ok(Value::Int(i128::from(byte)))
            })
        }
        Op::Remove => {
            let byte = index::byte(heap, &step.args[0])?;
            heap.operate(slot, |memory| {
                let place = memory.contents().iter().position(|&other| other == byte);
                memory_remove(memory, place.ok_or(ErrorClass::ValueError)?)
            })
        }
        Op::Clear => heap.operate(slot, |memory| set_len(memory, 0)).map(|()| Value::None),
        Op::Resize => {
            let size =
                usize::try_from(index::ssize(heap, &step.args[0])?).map_err(|_| ErrorClass::ValueError)?;
            if is_too_long(size as i128) {
                return Err(TOO_LONG);
            }
            heap.operate(slot, |memory| set_len(memory, size)).map(|()| Value::None)
        }
        Op::TakeBytes => take_bytes(heap, step),
        Op::Extend => extend(heap, slot, &step.args[0]),
        Op::InPlaceAdd => in_place_add(heap, slot, flavour, &step.args[0]),
        Op::InPlaceMultiply => in_place_multiply(heap, slot, flavour, &step.args[0]),
        Op::Reverse => heap.operate(slot, |memory| {
            let mut bytes = memory.contents();
            bytes.reverse();
            memory.write(0, 1, &bytes);
            Ok(Value::None)
        }),

        Op::Copy => {
            let bytes = contents(heap, slot);
            exporter(heap, step, flavour, bytes.to_vec())
        }
        Op::Add => {
            let bytes = concatenated(heap, slot, &step.args[0])?;
            exporter(heap, step, flavour, bytes)
        }
        Op::Multiply => {
            let times = index::ssize(heap, &step.args[0])?;
            let bytes = contents(heap, slot);
            let size = repeated(version, flavour, bytes.len(), times)?;
            if size > limits::LENGTH {
                return Err(ErrorClass::MemoryError.into());
            }
            exporter(heap, step, flavour, bytes.iter().copied().cycle().take(size).collect())
        }
        Op::Remainder => super::formatting::run(heap, step),
        Op::Length => Ok(Value::Int(heap.operate(slot, |memory| memory.length()) as i128)),
        Op::List => Ok(Value::List(ints(&contents(heap, slot)))),
        Op::Iter => {
            heap.iterate(super::dest(step), slot);
            Ok(Value::Stored)
        }
        Op::Hash => match flavour {
            Flavour::Bytes => Ok(Value::HashOf(contents(heap, slot).as_slice().into())),
            _ => Err(ErrorClass::TypeError.into()),
        },
        Op::Hex => hex(heap, step, |heap| Ok(contents(heap, slot))),
        Op::Find | Op::RFind | Op::IndexOf | Op::Count => look_for(heap, step),
        Op::Contains => contains(heap, step),
        Op::StartsWith => starts_with(heap, step),
        Op::Split => split(heap, step, flavour),
        Op::Join => join(heap, step, flavour),
        Op::Replace => replace(heap, step, flavour),
        Op::Translate => translate(heap, step, flavour),
        Op::Strip => {
            let kept = stripped(heap, slot, arg(0))?;
            exporter(heap, step, flavour, kept)
        }
        Op::Item => item(heap, step, flavour),
        Op::SetItem => set_item(heap, step),
        Op::DelItem => del_item(heap, step),
        _ => unreachable!("{:?} is not an operation of an exporter", step.op),
    }
}

fn insert(memory: &mut dyn Memory, place: isize, byte: u8) -> Result {
    let length = memory.length();
    if length >= limits::LENGTH {
        return Err(TOO_LONG);
    }
    let place = if place < 0 {
        place.saturating_add_unsigned(length).max(0) as usize
    } else {
        (place as usize).min(length)
    };
    memory.splice(place, 0, &[byte])?;
    Ok(Value::None)
}

fn memory_remove(memory: &mut dyn Memory, place: usize) -> Result {
    memory.splice(place, 1, &[])?;
    Ok(Value::None)
}

/// Concatenation says `TypeError` whatever is wrong with the other's buffer.
pub(super) fn concatenation_error(stop: super::Stop) -> super::Stop {
    match stop {
        super::Stop::Raise(_) => ErrorClass::TypeError.into(),
        skip => skip,
    }
}

/// The length of `length` bytes repeated, if some machine could hold it.
fn repeated(version: Version, flavour: Flavour, length: usize, times: isize) -> Result<usize> {
    let size = length as i128 * times.max(0) as i128;
    let beyond = |limit: i128| size > limit;
    match flavour {
        // From 3.15 on the memory is that of a bytes, with its header.
        Flavour::ByteArray if beyond(isize::MAX as i128 - if version.since(15) { 33 } else { 0 }) => {
            Err(ErrorClass::MemoryError.into())
        }
        Flavour::Bytes if beyond(isize::MAX as i128) => Err(ErrorClass::OverflowError.into()),
        _ if is_too_long(size) => Err(TOO_LONG),
        _ => Ok(size as usize),
    }
}

/// `bytearray_extend`: a buffer is held while the memory grows, anything else is read first.
fn extend<H: Heap>(heap: &mut H, slot: Slot, arg: &Arg) -> Result {
    match arg {
        // Of itself it takes a copy.
        Arg::Slot(other) if other.kind == SlotKind::Exporter && heap.same(slot, *other) => {
            let bytes = contents(heap, slot);
            append(heap, slot, usize::MAX, &bytes)
        }
        _ if is_exporter(heap, arg) => extend_by_buffer(heap, slot, arg),
        _ => {
            let mut room = usize::MAX;
            let bytes = byte_items_after(heap, arg, |heap| {
                room = iterables::hint(heap, arg, 32)?;
                // From 3.15 on a `bytes` holds the contents.
                let most = if heap.version().since(15) { super::make::LONGEST_BYTES } else { usize::MAX };
                iterables::check_room(room, most)
            })?;
            // Where there was no room, the first item is stored in what all empty bytearrays share, before gh-143003.
            let loses = room == 0 && !bytes.is_empty() && !heap.version().has(&[(13, 12), (14, 3)]);
            if loses && heap.is_guarded() {
                return Err(Stop::Skip(Skip::Known));
            }
            append(heap, slot, usize::MAX, &bytes)
        }
    }
}

/// What a buffer holds goes to where the end was before it was asked for, or to the end if that comes first. Before gh-153578
/// only the former was looked at, which breaks the memory of what has become shorter.
fn extend_by_buffer<H: Heap>(heap: &mut H, slot: Slot, arg: &Arg) -> Result {
    let end = heap.operate(slot, |memory| memory.length());
    let added = super::with_buffer(heap, arg, super::Request::Simple, |heap, _, bytes| {
        let breaks = heap.is_guarded() && !heap.version().has(&[(13, 16), (14, 8), (15, 1)]);
        if breaks && heap.operate(slot, |memory| memory.length()) < end {
            return Err(Stop::Skip(Skip::Known));
        }
        append(heap, slot, end, bytes)
    });
    added.unwrap_or_else(|reason| Err(reason.replaced_by(ErrorClass::TypeError)))
}

/// Puts bytes at a place, or at the end if that comes first.
fn append<H: Heap>(heap: &mut H, slot: Slot, place: usize, bytes: &[u8]) -> Result {
    heap.operate(slot, |memory| {
        let length = memory.length();
        if bytes.is_empty() {
            return Ok(Value::None);
        }
        if length + bytes.len() > limits::LENGTH {
            return Err(TOO_LONG);
        }
        memory.splice(place.min(length), 0, bytes)?;
        Ok(Value::None)
    })
}

/// `PyByteArray_Concat` and `bytes_concat` hold both buffers, the first while they ask for the other. Whatever is wrong with
/// that, it is a `TypeError`.
fn concatenated<H: Heap>(heap: &mut H, slot: Slot, arg: &Arg) -> Result<Vec<u8>> {
    let own = heap.hold(slot)?;
    let other = match Acquired::acquire(heap, arg, Layout::is_c_contiguous) {
        Ok(other) => other,
        Err(reason) => {
            heap.unhold(own, true);
            return Err(reason.replaced_by(ErrorClass::TypeError));
        }
    };
    let mut bytes = heap.held_contents(&own).to_vec();
    bytes.extend_from_slice(&other.contents(heap));
    heap.unhold(own, false);
    other.end(heap, Ok(bytes))
}

/// `bytearray_strip_impl_helper`: what is left is copied when the buffer has been given back, whatever became of the memory
/// by then. Where a `__release_buffer__` has changed that, it is left out.
fn stripped<H: Heap>(heap: &mut H, slot: Slot, chars: Option<&Arg>) -> Result<Vec<u8>> {
    let given = match chars {
        None | Some(Arg::None) => return Ok(search::strip(&contents(heap, slot), search::is_space).to_vec()),
        Some(given) => given,
    };
    let memory = |heap: &mut H| heap.is_guarded().then(|| (heap.replaced(slot), contents(heap, slot)));
    let mut before = None;
    let kept = with_bytes(heap, given, |heap, chars| {
        before = given.hook().and_then(|_| memory(heap));
        Ok(search::strip(&contents(heap, slot), |byte| chars.contains(&byte)).to_vec())
    })?;
    if before.is_some() && before != memory(heap) {
        return Err(Stop::Skip(Skip::Known));
    }
    Ok(kept)
}

/// `bytearray_iconcat` holds the other's buffer while it resizes, even if the other is itself. Of
/// `bytes`, `+=` makes a new object.
fn in_place_add<H: Heap>(heap: &mut H, slot: Slot, flavour: Flavour, arg: &Arg) -> Result {
    let result = super::with_buffer(heap, arg, super::Request::Simple, |heap, _, added| {
        let grown =
            |length: usize| if length + added.len() > limits::LENGTH { Err(TOO_LONG) } else { Ok(()) };
        if flavour == Flavour::Bytes {
            let mut bytes = contents(heap, slot).to_vec();
            grown(bytes.len())?;
            bytes.extend_from_slice(added);
            return Ok(Some(bytes));
        }
        heap.operate(slot, |memory| {
            grown(memory.length())?;
            if !added.is_empty() {
                memory.splice(memory.length(), 0, added)?;
            }
            Ok(None)
        })
    });
    match result {
        Ok(Ok(Some(bytes))) => heap.store(slot, flavour, bytes),
        Ok(result) => drop(result?),
        Err(reason) => return Err(reason.replaced_by(ErrorClass::TypeError)),
    }
    Ok(Value::None)
}

fn in_place_multiply<H: Heap>(heap: &mut H, slot: Slot, flavour: Flavour, arg: &Arg) -> Result {
    let times = index::ssize(heap, arg)?;
    let version = heap.version();
    if flavour == Flavour::Bytes {
        let bytes = contents(heap, slot);
        let size = repeated(version, flavour, bytes.len(), times)?;
        if size > limits::LENGTH {
            return Err(ErrorClass::MemoryError.into());
        }
        heap.store(slot, flavour, bytes.iter().copied().cycle().take(size).collect());
        return Ok(Value::None);
    }
    heap.operate(slot, |memory| {
        let bytes = memory.contents();
        // Before 3.11, nothing is copied so many times: `bytearray() *= 1 << 62` never ends.
        if bytes.is_empty() && times > limits::LENGTH as isize && !version.since(11) {
            return Err(TOO_LONG);
        }
        let size = repeated(version, flavour, bytes.len(), times)?;
        set_len(memory, size)?;
        let grown: Buffer = bytes.iter().copied().cycle().take(size).collect();
        memory.write(0, 1, &grown);
        Ok(Value::None)
    })
}

/// `bytearray.take_bytes` (3.15): the first `n` bytes leave as a `bytes`.
fn take_bytes<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let wanted = match step.args.first() {
        None | Some(Arg::None) => None,
        Some(arg) => Some(index::ssize_or(heap, arg, ErrorClass::IndexError)?),
    };
    let taken = heap.operate(slot, |memory| -> Result<Vec<u8>> {
        let length = memory.length();
        let count = match wanted {
            None => length,
            Some(count) if count < 0 => {
                usize::try_from(count.saturating_add_unsigned(length)).map_err(|_| ErrorClass::IndexError)?
            }
            Some(count) => count as usize,
        };
        if count > length {
            return Err(ErrorClass::IndexError.into());
        }
        let mut taken = memory.contents().to_vec();
        taken.truncate(count);
        memory.splice(0, count, &[])?;
        Ok(taken)
    })?;
    exporter(heap, step, Flavour::Bytes, taken)
}

/// The Pythons in which a bytearray that is searched or split is exported meanwhile (gh-142560). Before, the search went by
/// memory that was there before it was found out what for.
const EXPORTED_FOR_A_SEARCH: &[(u8, u8)] = &[(13, 12), (14, 3)];

/// Runs a search, which must say by the memory that it is given whether that is there still when it knows what it looks
/// for.
fn searched<H: Heap, R>(
    heap: &mut H,
    step: &Step,
    search: impl FnOnce(&mut H, &hooks::Memory) -> Result<R>,
) -> Result<R> {
    while_exported(heap, step, EXPORTED_FOR_A_SEARCH, search)
}

/// Runs `f` with a receiver that is exported meanwhile, if it is a bytearray, in these Pythons. In those before them it goes
/// by the memory that is there now, of which `f` is told.
pub(super) fn while_exported<H: Heap, R>(
    heap: &mut H,
    step: &Step,
    in_these: &[(u8, u8)],
    f: impl FnOnce(&mut H, &hooks::Memory) -> Result<R>,
) -> Result<R> {
    let memory = hooks::remember(heap, step, in_these);
    let slot = receiver(step);
    let is_exported = heap.flavour(slot) == Flavour::ByteArray && heap.version().has(in_these);
    if step.has_hooks() && is_exported {
        exported(heap, slot, |heap| f(heap, &memory))
    } else {
        f(heap, &memory)
    }
}

/// Runs `f` on what is looked for in the receiver: a byte, or the contents of a buffer.
fn with_needle<H: Heap>(heap: &mut H, step: &Step, f: impl FnOnce(&mut H, &[u8]) -> Result) -> Result {
    searched(heap, step, |heap, memory| {
        let f = |heap: &mut H, needle: &[u8]| {
            memory.still_there(heap)?;
            f(heap, needle)
        };
        match byte(heap, step)? {
            Some(byte) => f(heap, &[byte]),
            None => with_bytes(heap, &step.args[0], f),
        }
    })
}

/// The byte that is looked for, if it is one. `_Py_bytes_contains` asks for a number first, and for a buffer whatever that
/// raises; the others ask for a number only where there is no buffer.
fn byte<H: Heap>(heap: &mut H, step: &Step) -> Result<Option<u8>> {
    let arg = &step.args[0];
    let is_first = step.op == Op::Contains;
    if !index::is_index(arg) || !is_first && is_exporter(heap, arg) {
        return Ok(None);
    }
    match index::index(heap, arg) {
        Err(Stop::Raise(_)) if is_first => Ok(None),
        number => u8::try_from(number?).map(Some).map_err(|_| ErrorClass::ValueError.into()),
    }
}

/// The bounds of a search. Before 3.13 they were read after it was known where the memory is.
fn bounds<H: Heap>(heap: &mut H, step: &Step) -> Result<(isize, isize)> {
    let memory = hooks::remember(heap, step, &[(13, 0)]);
    let start = index::bound(heap, step.args.get(1), 0)?;
    let end = index::bound(heap, step.args.get(2), isize::MAX)?;
    memory.still_there(heap)?;
    Ok((start, end))
}

fn look_for<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let (start, end) = bounds(heap, step)?;
    with_needle(heap, step, |heap, needle| {
        let hay = contents(heap, receiver(step));
        let (start, end) = index::range(start, end, hay.len());
        let found = match step.op {
            Op::RFind => search::rfind(&hay, needle, start, end),
            _ => search::find(&hay, needle, start, end),
        };
        match (step.op, found) {
            (Op::Count, _) => Ok(Value::Int(search::count(&hay, needle, start, end) as i128)),
            (_, Some(place)) => Ok(Value::Int(place as i128)),
            (Op::Find | Op::RFind, None) => Ok(Value::Int(-1)),
            (_, None) => Err(ErrorClass::ValueError.into()),
        }
    })
}

fn contains<H: Heap>(heap: &mut H, step: &Step) -> Result {
    with_needle(heap, step, |heap, needle| {
        let hay = contents(heap, receiver(step));
        Ok(Value::Bool(search::find(&hay, needle, 0, hay.len()).is_some()))
    })
}

fn starts_with<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let (start, end) = bounds(heap, step)?;
    let prefixes = match &step.args[0] {
        Arg::Tuple(prefixes) => prefixes,
        one => std::slice::from_ref(one),
    };
    searched(heap, step, |heap, memory| {
        for prefix in prefixes {
            let begins = with_bytes(heap, prefix, |heap, prefix| {
                memory.still_there(heap)?;
                let hay = contents(heap, receiver(step));
                let (start, end) = index::range(start, end, hay.len());
                Ok(search::starts_with(&hay, prefix, start, end))
            });
            if begins? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    })
}

fn split<H: Heap>(heap: &mut H, step: &Step, flavour: Flavour) -> Result {
    let most = index::ssize_from(heap, step.args.get(1), -1)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let slot = receiver(step);
    let list = |parts: Vec<Vec<u8>>| Value::List(parts.iter().map(|part| loose(flavour, part)).collect());
    match step.args.first() {
        None | Some(Arg::None) => Ok(list(search::split_space(&contents(heap, slot), most))),
        Some(arg) => searched(heap, step, |heap, memory| {
            with_bytes(heap, arg, |heap, separator| {
                memory.still_there(heap)?;
                if separator.is_empty() {
                    return Err(ErrorClass::ValueError.into());
                }
                Ok(list(search::split(&contents(heap, slot), separator, most)))
            })
        }),
    }
}

fn join<H: Heap>(heap: &mut H, step: &Step, flavour: Flavour) -> Result {
    let slot = receiver(step);
    let bytes = while_exported(heap, step, EXPORTED_FOR_A_JOIN, |heap, memory| match &step.args[0] {
        arg @ Arg::Hook(_) => {
            let mut items = Vec::new();
            iterables::iterate(heap, arg)?.list(heap, |item| items.push(item.clone()))?;
            joined(heap, slot, &items, memory)
        }
        Arg::List(parts) | Arg::Tuple(parts) => joined(heap, slot, parts, memory),
        // Any other iterable: its items are ints, or `bytes` of format `c`.
        arg => {
            let as_arg = |item: &Value| match item {
                Value::Bytes(part) => Arg::bytes(part),
                _ => Arg::None,
            };
            let parts: Vec<Arg> = super::items(heap, arg)?.iter().map(as_arg).collect();
            joined(heap, slot, &parts, memory)
        }
    })?;
    exporter(heap, step, flavour, bytes)
}

/// The Pythons in which a bytearray is exported while an iterable is read that it joins (gh-112625). Before, it was joined by
/// memory that was there before.
const EXPORTED_FOR_A_JOIN: &[(u8, u8)] = &[(11, 7), (12, 1), (13, 0)];

/// `bytes_join`: all parts are held at once. Whatever is wrong with the buffer of one, it is "not bytes-like".
fn joined<H: Heap>(heap: &mut H, slot: Slot, parts: &[Arg], memory: &hooks::Memory) -> Result<Vec<u8>> {
    let mut blocks = Vec::with_capacity(parts.len());
    let mut stop = Ok(());
    for part in parts {
        match Acquired::acquire(heap, part, Layout::is_c_contiguous) {
            Ok(block) => blocks.push(block),
            Err(reason) => {
                stop = Err(reason.replaced_by(ErrorClass::TypeError));
                break;
            }
        }
    }
    let joined = stop.and_then(|()| {
        memory.still_there(heap)?;
        let separator = contents(heap, slot);
        let contents: Vec<Buffer> = blocks.iter().map(|block| block.contents(heap)).collect();
        Ok(contents.join(&separator[..]))
    });
    let mut given_back = Ok(());
    for block in blocks {
        given_back = given_back.and(block.give_back(heap, joined.is_err()));
    }
    given_back?;
    joined
}

fn replace<H: Heap>(heap: &mut H, step: &Step, flavour: Flavour) -> Result {
    // Both buffers are held while the number is converted, and given back in their order.
    let old = Acquired::acquire(heap, &step.args[0], Layout::is_c_contiguous)?;
    let new = match Acquired::acquire(heap, &step.args[1], Layout::is_c_contiguous) {
        Ok(new) => new,
        Err(reason) => return old.end(heap, Err(reason.into())),
    };
    let replaced = index::ssize_from(heap, step.args.get(2), -1).and_then(|most| {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let bytes = contents(heap, receiver(step));
        let (old, new) = (old.contents(heap), new.contents(heap));
        search::replace(&bytes, &old, &new, most, limits::LENGTH).ok_or(TOO_LONG)
    });
    let replaced = old.end(heap, replaced);
    let replaced = new.end(heap, replaced)?;
    exporter(heap, step, flavour, replaced)
}

fn translate<H: Heap>(heap: &mut H, step: &Step, flavour: Flavour) -> Result {
    let slot = receiver(step);
    let translated = match &step.args[0] {
        Arg::None => contents(heap, slot).to_vec(),
        table => with_bytes(heap, table, |heap, table| {
            if table.len() != 256 {
                return Err(ErrorClass::ValueError.into());
            }
            Ok(contents(heap, slot).iter().map(|&byte| table[usize::from(byte)]).collect())
        })?,
    };
    exporter(heap, step, flavour, translated)
}

fn item<H: Heap>(heap: &mut H, step: &Step, flavour: Flavour) -> Result {
    let slot = receiver(step);
    match &step.args[0] {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            heap.operate(slot, |memory| {
                let place = index::place(place, memory.length())?;
                Ok(Value::Int(i128::from(memory.get(place))))
            })
        }
        Arg::Slice(bounds) => {
            let slice = index::slice(heap, bounds)?;
            let bytes = contents(heap, slot);
            let part = slice.part(bytes.len());
            exporter(heap, step, flavour, part.places().map(|place| bytes[place]).collect())
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `bytearray_ass_subscript` with a value.
fn set_item<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let (slot, key, value) = (receiver(step), &step.args[0], &step.args[1]);
    // Since gh-91153 the memory is looked for when all is read.
    let memory = hooks::remember(heap, step, &[(13, 6), (14, 0)]);
    let bounds = match key {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            // Since gh-91153 the value is read before the bounds are looked at, and only then.
            if !heap.version().since(10) {
                let length = heap.operate(slot, |memory| memory.length());
                index::place(place, length)?;
            }
            let byte = index::byte(heap, value)?;
            memory.still_there(heap)?;
            return heap.operate(slot, |memory| {
                let place = index::place(place, memory.length())?;
                memory.set(place, byte);
                Ok(Value::None)
            });
        }
        Arg::Slice(bounds) => bounds,
        _ => return Err(ErrorClass::TypeError.into()),
    };
    let mut slice = index::slice(heap, bounds)?;
    let bytes = match value {
        Arg::Int(_) | Arg::Float(_) | Arg::Complex(..) | Arg::Str(_) => {
            return Err(ErrorClass::TypeError.into());
        }
        // `PyNumber_Check`
        Arg::Hook(hook) if hook.has(Protocol::Index) || hook.has(Protocol::Float) => {
            return Err(ErrorClass::TypeError.into());
        }
        // Another bytearray is looked at when the bounds are known.
        Arg::Slot(other) if is_bytearray(heap, value) && !heap.same(slot, *other) => {
            contents(heap, *other).to_vec()
        }
        // Anything else is copied, and then it begins anew.
        _ => {
            let bytes = bytearray_of(heap, value)?;
            slice = index::slice(heap, bounds)?;
            bytes
        }
    };
    still_extended(heap, memory, slice)?;
    heap.operate(slot, |memory| assign(memory, slice, &bytes))
}

/// What goes by the memory from before is what is done with an extended slice.
fn still_extended<H: Heap>(heap: &mut H, memory: hooks::Memory, slice: Slice) -> Result<()> {
    if slice.is_extended() { memory.still_there(heap) } else { Ok(()) }
}

fn del_item<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    let memory = hooks::remember(heap, step, &[(13, 6), (14, 0)]);
    match &step.args[0] {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            heap.operate(slot, |memory| {
                let place = index::place(place, memory.length())?;
                memory_remove(memory, place)
            })
        }
        Arg::Slice(bounds) => {
            let slice = index::slice(heap, bounds)?;
            still_extended(heap, memory, slice)?;
            heap.operate(slot, |memory| assign(memory, slice, &[]))
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// Assigns `bytes` to a slice; nothing deletes it.
fn assign(memory: &mut dyn Memory, slice: Slice, bytes: &[u8]) -> Result {
    let part = slice.part(memory.length());
    if part.step == 1 {
        // "Make sure b[5:2] = ... inserts before 5, not before 2."
        let start = part.start as usize;
        if bytes.len() == part.count {
            memory.write(start, 1, bytes);
        } else if memory.length() - part.count + bytes.len() > limits::LENGTH {
            return Err(TOO_LONG);
        } else {
            memory.splice(start, part.count, bytes)?;
        }
    } else if bytes.is_empty() {
        // An extended slice is refused even if there is nothing to delete (clause S3).
        let contents = memory.contents();
        let mut doomed = vec![false; contents.len()];
        part.places().for_each(|place| doomed[place] = true);
        let kept: Buffer =
            contents.iter().zip(doomed).filter(|(_, doomed)| !doomed).map(|(&byte, _)| byte).collect();
        memory.splice(0, contents.len(), &kept)?;
    } else if bytes.len() != part.count {
        return Err(ErrorClass::ValueError.into());
    } else {
        memory.write(part.start as usize, part.step, bytes);
    }
    Ok(Value::None)
}
