//! Operations of `io.BytesIO`: `Modules/_io/bytesio.c`.
//!
//! There a stream shares its memory with the `bytes` that it was made of, or that it has given out, until either it is
//! written to or it is exported. Nothing of that is to be seen, and so nothing of it is here.

use super::super::heap::{Buffer, Flavour, Heap};
use super::super::index;
use super::super::item::Wanted;
use super::make::is_too_long;
use super::{
    Result, Stop, TOO_LONG, bytes_of, contents, each_item, exact_bytes, exporter, iterables, receiver,
    with_bytes, with_writable,
};
use crate::history::{ErrorClass, Skip, Value};
use crate::program::{Arg, Op, Slot, SlotKind, Step, limits};

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let stream = receiver(step);
    let arg = |position: usize| step.args.get(position);
    match step.op {
        Op::Closed => Ok(Value::Bool(heap.is_closed(stream))),
        Op::Close => Ok(heap.close(stream).map(|()| Value::None)?),
        Op::With => {
            open(heap, stream)?;
            Ok(heap.close(stream).map(|()| Value::None)?)
        }
        // Closed or not.
        Op::FileNo | Op::Detach => Err(ErrorClass::UnsupportedOperation.into()),
        Op::Hash => Ok(Value::HashOfSlot(stream)),
        Op::Iter => {
            heap.iterate(super::dest(step), stream);
            Ok(Value::Stored)
        }
        Op::Next => match next_line(heap, stream)? {
            Some(line) => Ok(Value::Bytes(line.as_slice().into())),
            None => Err(ErrorClass::StopIteration.into()),
        },
        Op::List => Ok(Value::List(lines(heap, stream)?)),
        Op::Contains => contains(heap, stream, &step.args[0]),
        // `PyObject_SetItem` converts an index before it finds that nothing can be set, if the class is one that lies
        // on the heap.
        Op::SetItem | Op::DelItem if heap.version().since(12) => {
            index::ssize_or(heap, &step.args[0], ErrorClass::IndexError)?;
            Err(ErrorClass::TypeError.into())
        }
        Op::Length | Op::Item | Op::SetItem | Op::DelItem => Err(ErrorClass::TypeError.into()),
        Op::Add | Op::Multiply | Op::Remainder | Op::InPlaceAdd | Op::InPlaceMultiply => {
            Err(ErrorClass::TypeError.into())
        }

        Op::Readable | Op::Writable | Op::Seekable => open(heap, stream).map(|()| Value::Bool(true)),
        Op::IsATty => open(heap, stream).map(|()| Value::Bool(false)),
        // It takes no part, as that of a map does.
        Op::Flush if !step.args.is_empty() => Err(ErrorClass::TypeError.into()),
        Op::Flush => open(heap, stream).map(|()| Value::None),
        Op::Tell => {
            open(heap, stream)?;
            Ok(Value::Int(heap.cursor(stream) as i128))
        }
        Op::Seek => seek(heap, stream, &step.args[0], arg(1)),
        Op::Read | Op::Read1 => {
            let most = limit(heap, arg(0))?;
            open(heap, stream)?;
            let bytes = take(heap, stream, most);
            exporter(heap, step, Flavour::Bytes, bytes.to_vec())
        }
        Op::ReadLine => {
            let most = limit(heap, arg(0))?;
            open(heap, stream)?;
            let line = take_line(heap, stream, most);
            exporter(heap, step, Flavour::Bytes, line.to_vec())
        }
        Op::ReadLines => read_lines(heap, stream, arg(0)),
        Op::ReadInto => read_into(heap, stream, &step.args[0]),
        Op::Write => write(heap, stream, &step.args[0]).map(|count| Value::Int(count as i128)),
        Op::WriteLines => write_lines(heap, stream, &step.args[0]),
        Op::Truncate => truncate(heap, stream, arg(0)),
        Op::GetValue => {
            open(heap, stream)?;
            let bytes = contents(heap, stream).to_vec();
            exporter(heap, step, Flavour::Bytes, bytes)
        }
        Op::GetBuffer => {
            heap.view(super::dest(step), super::Source::Slot(stream))?;
            Ok(Value::Stored)
        }
        Op::GetState => {
            open(heap, stream)?;
            let bytes = contents(heap, stream).as_slice().into();
            let place = heap.cursor(stream) as i128;
            Ok(Value::Tuple(vec![Value::Bytes(bytes), Value::Int(place), Value::None]))
        }
        Op::SetState => set_state(heap, stream, &step.args[0]),
        _ => unreachable!("{:?} is not an operation of io.BytesIO", step.op),
    }
}

/// `io.BytesIO(arg)`
pub(super) fn make<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let bytes = match step.args.first() {
        None | Some(Arg::None) => Vec::new(),
        Some(arg) => bytes_of(heap, arg)?.to_vec(),
    };
    exporter(heap, step, Flavour::Stream, bytes)
}

/// `_io_BytesIO___init___impl`: what is left out changes nothing about being closed, and of all else only a `bytes`
/// opens what was closed.
pub(super) fn init<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let stream = receiver(step);
    if !heap.is_closed(stream)
        && let Err(exported) = heap.renew(stream, Vec::new())
    {
        // Before gh-157048 it has emptied the stream, which the steps after it in a hook would find, and what the hook is for.
        let is_emptied = heap.is_guarded() && !heap.version().has(&[(13, 16), (14, 8), (15, 1)]);
        let is_seen = heap.nesting().depth > 0 && is_emptied;
        return Err(if is_seen { Stop::Skip(Skip::Known) } else { exported.into() });
    }
    match step.args.first() {
        None | Some(Arg::None) => {}
        Some(arg) => match exact_bytes(heap, arg) {
            Some(bytes) => heap.renew(stream, bytes.to_vec())?,
            None => {
                write(heap, stream, arg)?;
                heap.set_cursor(stream, 0);
            }
        },
    }
    Ok(Value::None)
}

/// `check_closed`
fn open<H: Heap>(heap: &H, stream: Slot) -> Result<()> {
    if heap.is_closed(stream) { Err(ErrorClass::ValueError.into()) } else { Ok(()) }
}

/// `check_closed` and `check_exports`
fn free<H: Heap>(heap: &mut H, stream: Slot) -> Result<()> {
    open(heap, stream)?;
    Ok(heap.operate(stream, |memory| memory.splice(0, 0, &[]))?)
}

/// How much is read at most.
fn limit<H: Heap>(heap: &mut H, arg: Option<&Arg>) -> Result<usize> {
    match arg {
        None | Some(Arg::None) => Ok(usize::MAX),
        Some(arg) => Ok(usize::try_from(index::ssize(heap, arg)?).unwrap_or(usize::MAX)),
    }
}

/// Reads at most so many bytes. Beyond the end there are none.
fn take<H: Heap>(heap: &mut H, stream: Slot, most: usize) -> Buffer {
    let place = heap.cursor(stream);
    let bytes = contents(heap, stream);
    let rest = bytes.get(place..).unwrap_or_default();
    let taken = &rest[..rest.len().min(most)];
    heap.set_cursor(stream, place + taken.len());
    Buffer::from_slice(taken)
}

/// Reads to the end of the line, at most so many bytes.
fn take_line<H: Heap>(heap: &mut H, stream: Slot, most: usize) -> Buffer {
    let bytes = contents(heap, stream);
    let rest = bytes.get(heap.cursor(stream)..).unwrap_or_default();
    let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |place| place + 1);
    take(heap, stream, end.min(most))
}

/// The next line; at the end there is none, until something is written or the stream is moved.
pub(super) fn next_line<H: Heap>(heap: &mut H, stream: Slot) -> Result<Option<Buffer>> {
    open(heap, stream)?;
    let line = take_line(heap, stream, usize::MAX);
    Ok((!line.is_empty()).then_some(line))
}

/// All lines that are left.
pub(super) fn lines<H: Heap>(heap: &mut H, stream: Slot) -> Result<Vec<Value>> {
    let mut lines = Vec::new();
    while let Some(line) = next_line(heap, stream)? {
        lines.push(Value::Bytes(line.as_slice().into()));
    }
    Ok(lines)
}

/// Reads lines up to the one that is looked for.
fn contains<H: Heap>(heap: &mut H, stream: Slot, arg: &Arg) -> Result {
    while let Some(line) = next_line(heap, stream)? {
        if super::compare::item_equals(heap, &Value::Bytes(line.as_slice().into()), arg)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn read_lines<H: Heap>(heap: &mut H, stream: Slot, arg: Option<&Arg>) -> Result {
    open(heap, stream)?;
    let most = match arg {
        Some(arg @ Arg::Int(_)) => index::ssize(heap, arg)?,
        None | Some(Arg::None) => -1,
        Some(_) => return Err(ErrorClass::TypeError.into()),
    };
    let (mut lines, mut size) = (Vec::new(), 0);
    while let Some(line) = next_line(heap, stream)? {
        size += line.len() as isize;
        lines.push(Value::Bytes(line.as_slice().into()));
        if most > 0 && size >= most {
            break;
        }
    }
    Ok(Value::List(lines))
}

/// The argument is held as one block of bytes to write to, and if it gives none, whatever the reason, it is of the
/// wrong type. It may be a view of the stream itself: then it is as if the bytes had been copied out first.
fn read_into<H: Heap>(heap: &mut H, stream: Slot, arg: &Arg) -> Result {
    with_writable(heap, arg, |heap: &mut H, hold, layout| {
        open(heap, stream)?;
        let bytes = take(heap, stream, layout.nbytes());
        heap.write_held(hold, layout.offset, &bytes);
        Ok(Value::Int(bytes.len() as i128))
    })
}

/// `write_bytes`: how many bytes were written.
fn write<H: Heap>(heap: &mut H, stream: Slot, arg: &Arg) -> Result<usize> {
    // Since gh-143378 the buffer is acquired first, because that may run any code.
    let looks_first = !heap.version().has(&[(13, 12), (14, 3)]);
    if looks_first {
        free(heap, stream)?;
    }
    with_bytes(heap, arg, |heap, bytes| {
        // Before, a stream was written to that a `__buffer__` had closed or exported.
        match free(heap, stream) {
            Err(_) if looks_first && heap.is_guarded() => return Err(Stop::Skip(Skip::Known)),
            free => free?,
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let place = heap.cursor(stream);
        let end = place + bytes.len();
        if end > limits::LENGTH {
            return Err(refused(end));
        }
        heap.operate(stream, |memory| {
            let length = memory.length();
            // What lies between the end and where it stands is zero.
            memory.splice(length, 0, &Buffer::from_elem(0, place.saturating_sub(length)))?;
            // One that is at fault may have stayed shorter.
            let replaced = bytes.len().min(memory.length().saturating_sub(place));
            memory.splice(place, replaced, bytes)
        })?;
        heap.set_cursor(stream, end);
        Ok(bytes.len())
    })
}

/// Why a stream does not become so long: `resize_buffer` asks for a `bytes` of one more.
fn refused(length: usize) -> super::Stop {
    const HEADER: usize = 33;
    match length {
        _ if length >= isize::MAX as usize - HEADER => ErrorClass::OverflowError.into(),
        _ if is_too_long(length as i128) => TOO_LONG,
        _ => ErrorClass::MemoryError.into(),
    }
}

fn write_lines<H: Heap>(heap: &mut H, stream: Slot, arg: &Arg) -> Result {
    open(heap, stream)?;
    // What is left out is left out before the first line is written.
    if is_too_long((heap.cursor(stream) + most_to_write(heap, arg)) as i128) {
        return Err(TOO_LONG);
    }
    match arg {
        arg if iterables::is_iterable(arg) => {
            let items = iterables::iterate(heap, arg)?;
            items.each(heap, |heap, _, item| write(heap, stream, item).map(drop))?;
        }
        _ => each_item(heap, arg, Wanted::Itself, |heap, item| {
            let item = match item {
                Value::Bytes(bytes) => Arg::bytes(bytes),
                _ => Arg::None,
            };
            write(heap, stream, &item).map(drop)
        })?,
    }
    Ok(Value::None)
}

/// As many bytes as the items of an argument have, or more; no object is asked that may do something then. Of a stream into
/// itself no more than twice its length is written: what is written is not read again, and what is read last is written to
/// the end.
fn most_to_write<H: Heap>(heap: &mut H, arg: &Arg) -> usize {
    match arg {
        Arg::List(items) | Arg::Tuple(items) => {
            let length = |item: &Arg| {
                let lends = match item {
                    Arg::Slot(slot) if slot.kind == SlotKind::Export => heap.lends(*slot),
                    Arg::Hook(_) => Some(0),
                    _ => None,
                };
                lends.unwrap_or_else(|| bytes_of(heap, item).map_or(0, |bytes| bytes.len()))
            };
            items.iter().map(length).sum()
        }
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter && !heap.is_closed(*slot) => {
            2 * heap.operate(*slot, |memory| memory.length())
        }
        Arg::Slot(slot) if slot.kind == SlotKind::View => super::views::length(heap, *slot).unwrap_or(0),
        _ => 0,
    }
}

/// `_io_BytesIO_truncate_impl`: it never grows.
fn truncate<H: Heap>(heap: &mut H, stream: Slot, arg: Option<&Arg>) -> Result {
    // Since gh-159739 the size is converted last, because that may run any code, after which it is looked again.
    let last = heap.version().has(&[(14, 10), (15, 2)]);
    if last {
        free(heap, stream)?;
    }
    let size = match arg {
        None | Some(Arg::None) => None,
        Some(arg) => Some(index::ssize(heap, arg)?),
    };
    let is_negative = size.is_some_and(isize::is_negative);
    if !last || !is_negative {
        free(heap, stream)?;
    }
    if is_negative {
        return Err(ErrorClass::ValueError.into());
    }
    let size = size.map_or_else(|| heap.cursor(stream), |size| size as usize);
    heap.operate(stream, |memory| match memory.length().checked_sub(size) {
        None | Some(0) => Ok(()),
        Some(removed) => memory.splice(size, removed, &[]),
    })?;
    Ok(Value::Int(size as i128))
}

fn seek<H: Heap>(heap: &mut H, stream: Slot, place: &Arg, whence: Option<&Arg>) -> Result {
    let place = index::ssize(heap, place)?;
    let whence = index::c_int_from(heap, whence, 0)?;
    open(heap, stream)?;
    let from = match whence {
        0 if place < 0 => return Err(ErrorClass::ValueError.into()),
        0 => 0,
        1 => heap.cursor(stream),
        2 => heap.operate(stream, |memory| memory.length()),
        _ => return Err(ErrorClass::ValueError.into()),
    };
    let place = place.checked_add(from as isize).ok_or(ErrorClass::OverflowError)?;
    heap.set_cursor(stream, place.max(0) as usize);
    Ok(Value::Int(place.max(0) as i128))
}

/// `bytesio_setstate`: what comes before an error stays.
fn set_state<H: Heap>(heap: &mut H, stream: Slot, state: &Arg) -> Result {
    let wrong = ErrorClass::TypeError;
    let [bytes, place, dict, ..] = (match state {
        Arg::Tuple(items) => &**items,
        _ => &[],
    }) else {
        return Err(wrong.into());
    };
    if !heap.is_closed(stream) {
        heap.renew(stream, Vec::new())?;
    }
    write(heap, stream, bytes)?;
    let place = index::ssize(heap, place)?;
    heap.set_cursor(stream, usize::try_from(place).map_err(|_| ErrorClass::ValueError)?);
    if *dict == Arg::None { Ok(Value::None) } else { Err(wrong.into()) }
}
