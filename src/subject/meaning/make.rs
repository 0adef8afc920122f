//! Construction: `bytearray()`, `bytes()`, `array()`, `BytesIO()`, `memoryview()`, `PickleBuffer()`, and `__init__`
//! again.

use super::super::heap::{Buffer, Flavour, Heap, Memory};
use super::super::index;
use super::super::item::Wanted;
use super::{
    Request, Result, Stop, TOO_LONG, byte_item, byte_items_after, contents, exact_bytes, hooks, is_exporter,
    iterables, receiver, source, with_buffer,
};
use crate::history::{ErrorClass, Skip, Value};
use crate::program::{Arg, Op, Protocol, Slot, Step, limits};

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    match step.op {
        Op::Init => {
            let exporter = receiver(step);
            match heap.flavour(exporter) {
                // `object.__init__`, which accepts anything after another `__new__`.
                Flavour::Bytes | Flavour::Array(_) | Flavour::Mmap(_) | Flavour::Text(_) => Ok(Value::None),
                Flavour::ByteArray => init(heap, step),
                Flavour::Stream => super::streams::init(heap, step),
                Flavour::CArray(code) => super::carrays::run(heap, step, code),
            }
        }
        Op::NewByteArray => {
            let bytes = match step.args.first() {
                None => Vec::new(),
                Some(arg) => bytearray_of(heap, arg)?,
            };
            super::exporter(heap, step, Flavour::ByteArray, bytes)
        }
        Op::NewBytes => {
            let bytes = bytes_of(heap, &step.args[0])?;
            super::exporter(heap, step, Flavour::Bytes, bytes)
        }
        Op::NewStream => super::streams::make(heap, step),
        Op::NewArray => super::arrays::make(heap, step),
        Op::NewMmap => super::maps::new(heap, step),
        Op::MapFile => super::maps::of_file(heap, step),
        Op::NewView | Op::Acquire => {
            let source = source(heap, &step.args[0])?;
            let dest = super::dest(step);
            match step.op {
                Op::NewView => heap.view(dest, source)?,
                _ => heap.export(dest, source)?,
            }
            Ok(Value::Stored)
        }
        _ => unreachable!("{:?} constructs nothing", step.op),
    }
}

/// `bytearray___init___impl`: "Empty previous contents (yes, do this first of all!)".
fn init<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let exporter = receiver(step);
    if let Some(Arg::Int(size)) = step.args.first()
        && is_too_long(size.value())
    {
        return Err(TOO_LONG);
    }
    // From 3.11 to 3.14.9, the items that were not read are memory that nobody has written: a step that has seen it in its
    // hooks could do anything.
    let unread =
        |arg: &Arg| matches!(arg, Arg::List(items) | Arg::Tuple(items) if ints_up_to_the_error(items));
    if heap.is_guarded()
        && heap.nesting().depth > 0
        && heap.version().since(11)
        && !heap.version().has(&[(14, 10)])
        && step.args.first().is_some_and(unread)
        && is_free(heap, exporter)
    {
        return Err(Stop::Skip(Skip::Known));
    }
    // From 3.15 on exports forbid it even if there is nothing to empty.
    let always = heap.version().since(15);
    heap.operate(exporter, |memory| {
        if always { Ok(memory.splice(0, memory.length(), &[])?) } else { set_len(memory, 0) }
    })?;
    if let Some(size) = step.args.first().map(|arg| size(heap, arg)).transpose()?.flatten() {
        // Whatever its conversion has left there goes, unless nothing comes in its place.
        if size > 0 {
            heap.operate(exporter, |memory| -> Result<()> {
                set_len(memory, size)?;
                memory.write(0, 1, &Buffer::from_elem(0, size));
                Ok(())
            })?;
        }
        return Ok(Value::None);
    }
    match step.args.first() {
        None => {}
        // A string needs an encoding.
        Some(Arg::Str(_)) => return Err(ErrorClass::TypeError.into()),
        // While the new contents are copied, the export of their source exists. The source may be
        // this very object, empty by then.
        Some(arg) if is_exporter(heap, arg) => with_buffer(heap, arg, Request::Full, |heap, _, bytes| {
            heap.operate(exporter, |memory| replace(memory, bytes))
        })??,
        // From 3.11 on, room for all items of a list is made before any is read.
        Some(Arg::List(items) | Arg::Tuple(items)) if heap.version().since(11) && !items.is_empty() => {
            heap.operate(exporter, |memory| memory.splice(0, 0, &[]))?;
            // While they are ints, an error leaves nothing; at the first that is not, it is
            // started over.
            if let Err(stop) = fill(heap, exporter, &step.args[0]) {
                if stop == ErrorClass::ValueError.into() && ints_up_to_the_error(items) {
                    heap.operate(exporter, |memory| set_len(memory, 0))?;
                }
                return Err(stop);
            }
        }
        Some(arg) => fill(heap, exporter, arg)?,
    }
    Ok(Value::None)
}

/// Whether no export forbids a resize.
fn is_free<H: Heap>(heap: &mut H, exporter: Slot) -> bool {
    heap.operate(exporter, |memory| memory.splice(0, 0, &[]).is_ok())
}

/// Whether the items before the first one out of range are ints.
fn ints_up_to_the_error(items: &[Arg]) -> bool {
    let is_fine = |item: &&Arg| matches!(item, Arg::Int(int) if u8::try_from(int.value()).is_ok());
    matches!(items.iter().find(|item| !is_fine(item)), Some(Arg::Int(_)))
}

/// Appends the items of an iterable one by one: those before an error stay.
fn fill<H: Heap>(heap: &mut H, exporter: Slot, arg: &Arg) -> Result<()> {
    // Appended to without a look at its exports, nor at where its memory begins: whatever a hook has done to it since.
    let guarded = heap.is_guarded() && arg.parts().iter().any(|item| item.hook().is_some());
    let mut written = Buffer::new();
    super::each_item(heap, arg, Wanted::Int, |heap, item| {
        let byte = byte_item(item)?;
        if guarded {
            if !is_free(heap, exporter) || contents(heap, exporter) != written {
                return Err(Stop::Skip(Skip::Known));
            }
            written.push(byte);
        }
        heap.operate(exporter, |memory| Ok(memory.splice(memory.length(), 0, &[byte])?))
    })
}

/// The contents of `bytearray(arg)`.
pub(super) fn bytearray_of<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Vec<u8>> {
    match size(heap, arg)? {
        Some(size) => {
            iterables::check_room(size, usize::MAX)?;
            Ok(vec![0; size])
        }
        None => copied(heap, arg, |_| Ok(())),
    }
}

/// The longest `bytes`, of which the header and the final zero must be counted too: `PyBytesObject_SIZE`.
pub(super) const LONGEST_BYTES: usize = isize::MAX as usize - 33;

/// The contents of `bytes(arg)`.
fn bytes_of<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Vec<u8>> {
    if let Some(bytes) = by_bytes_method(heap, arg)? {
        return Ok(bytes);
    }
    match size(heap, arg)? {
        Some(size) => {
            iterables::check_room(size, LONGEST_BYTES)?;
            Ok(vec![0; size])
        }
        None => bytes_from(heap, arg),
    }
}

/// What `__bytes__` gives of an object that has it.
pub(super) fn by_bytes_method<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Option<Vec<u8>>> {
    let Some(method) = arg.method(Protocol::Bytes) else { return Ok(None) };
    match hooks::call(heap, method)? {
        Arg::Bytes(bytes) => Ok(Some(bytes.to_vec())),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `PyBytes_FromObject`
pub(super) fn bytes_from<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Vec<u8>> {
    match exact_bytes(heap, arg) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => copied(heap, arg, |heap| {
            let hint = iterables::hint(heap, arg, 64)?;
            iterables::check_room(hint, LONGEST_BYTES)
        }),
    }
}

/// What comes of an argument that is no size: the contents of its buffer, or its items. `begin` runs before the first
/// item.
fn copied<H: Heap>(heap: &mut H, arg: &Arg, begin: impl FnOnce(&mut H) -> Result<()>) -> Result<Vec<u8>> {
    match arg {
        // A string needs an encoding.
        Arg::Str(_) => Err(ErrorClass::TypeError.into()),
        _ if is_exporter(heap, arg) => {
            with_buffer(heap, arg, Request::Full, |_, _, bytes| Ok(bytes.to_vec()))?
        }
        _ => byte_items_after(heap, arg, begin),
    }
}

/// A size, if an argument is one: negative ones are a `ValueError`, those that no machine has are the caller's, those in
/// between are left out. Where an `__index__` raises a `TypeError`, or answers what is one, the object is asked for what else
/// it may be.
fn size<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Option<usize>> {
    if !index::is_index(arg) {
        return Ok(None);
    }
    let size = match index::ssize(heap, arg) {
        Err(Stop::Raise(ErrorClass::TypeError)) => return Ok(None),
        size => size?,
    };
    let size = usize::try_from(size).map_err(|_| ErrorClass::ValueError)?;
    if is_too_long(size as i128) { Err(TOO_LONG) } else { Ok(Some(size)) }
}

/// Whether a size is one that some machines can give and others cannot.
pub(super) fn is_too_long(size: i128) -> bool {
    (limits::LENGTH as i128 + 1..i128::from(limits::REFUSED_SIZE)).contains(&size)
}

/// `PyByteArray_Resize`: nothing is checked if the length stays (clause S3).
pub(super) fn set_len(memory: &mut dyn Memory, length: usize) -> Result<()> {
    let before = memory.length();
    if length == before {
        return Ok(());
    }
    if length > limits::LENGTH {
        memory.splice(before, 0, &[])?;
        return Err(ErrorClass::MemoryError.into());
    }
    match length.checked_sub(before) {
        Some(more) => memory.splice(before, 0, &Buffer::from_elem(0, more))?,
        None => memory.splice(length, before - length, &[])?,
    }
    Ok(())
}

fn replace(memory: &mut dyn Memory, bytes: &[u8]) -> Result<()> {
    if bytes.len() == memory.length() {
        memory.write(0, 1, bytes);
        return Ok(());
    }
    Ok(memory.splice(0, memory.length(), bytes)?)
}
