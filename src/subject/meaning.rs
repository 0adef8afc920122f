//! What each operation means: the specification, in terms of a [`Heap`].
//!
//! The source of each is the function of the same name in CPython's `Objects` (`bytearrayobject.c`, `bytesobject.c`,
//! `bytes_methods.c`, `memoryobject.c`, `picklebufobject.c`) and `Modules` (the head of each file here names it), of which
//! the order of checks is kept: it decides which of two errors is raised. Where versions differ, the version is asked.

mod arrays;
mod buffers;
mod carrays;
mod compare;
mod consumers;
mod exporters;
mod formatting;
pub(super) mod hooks;
mod iterables;
mod locks;
mod make;
mod maps;
mod requests;
mod streams;
mod texts;
mod views;

use self::buffers::{
    Acquired, NoBuffer, Request, bytes_of, exported, is_exporter, with_buffer, with_buffer_after, with_bytes,
    with_bytes_after, with_writable,
};
use self::exporters::while_exported;
use super::heap::{Buffer, Flavour, Heap, Source};
use super::index;
use super::item::Wanted;
use crate::exporter::{CastError, Exported, PlaceError, Released};
use crate::history::{ErrorClass, Outcome, Skip, Value};
use crate::program::{Arg, Class, Op, Protocol, Slot, SlotKind, Step, Syntax, limits};

/// Why an operation has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub enum Stop {
    Raise(ErrorClass),
    Skip(Skip),
}

pub(super) type Result<T = Value> = std::result::Result<T, Stop>;

impl From<ErrorClass> for Stop {
    fn from(class: ErrorClass) -> Stop {
        Stop::Raise(class)
    }
}

/// A resize while exports exist is a `BufferError` (clause S1).
impl From<Exported> for Stop {
    fn from(_: Exported) -> Stop {
        Stop::Raise(ErrorClass::BufferError)
    }
}

/// Any use of a released view is a `ValueError` (clause M2).
impl From<Released> for Stop {
    fn from(_: Released) -> Stop {
        Stop::Raise(ErrorClass::ValueError)
    }
}

impl From<CastError> for Stop {
    fn from(error: CastError) -> Stop {
        Stop::Raise(match error {
            CastError::TooManyDimensions | CastError::Format | CastError::NotAShape => ErrorClass::ValueError,
            CastError::NotContiguous
            | CastError::NoItems
            | CastError::BetweenShapes
            | CastError::BetweenFormats
            | CastError::PartOfAnItem
            | CastError::OtherLength => ErrorClass::TypeError,
        })
    }
}

impl From<PlaceError> for Stop {
    fn from(error: PlaceError) -> Stop {
        Stop::Raise(match error {
            PlaceError::SubView => ErrorClass::NotImplementedError,
            PlaceError::TooManyIndices => ErrorClass::TypeError,
            PlaceError::OutOfBounds { .. } => ErrorClass::IndexError,
        })
    }
}

/// An object that should grow so long that the program is told to leave the step out.
const TOO_LONG: Stop = Stop::Skip(Skip::TooLong);

/// What no program can know before it asks the machine.
const MACHINE: Stop = Stop::Skip(Skip::Machine);

/// What `with` says of an object that has no `__enter__`.
fn no_context<H: Heap>(heap: &H) -> Stop {
    if heap.version().since(11) { ErrorClass::TypeError.into() } else { ErrorClass::AttributeError.into() }
}

/// Runs one step.
pub fn run<H: Heap>(heap: &mut H, step: &Step) -> Outcome {
    match step.find_needed(|slot| !heap.holds(slot)) {
        Some(slot) => Outcome::Skipped(Skip::Empty(slot)),
        None => run_filled(heap, step),
    }
}

/// Runs one step of which all slots are filled.
pub fn run_filled<H: Heap>(heap: &mut H, step: &Step) -> Outcome {
    let result = if step.has_hooks() { hooks::run_hooked(heap, step) } else { operation(heap, step) };
    match result {
        Ok(value) => Outcome::Value(value),
        Err(Stop::Raise(class)) => Outcome::Raised(class),
        Err(Stop::Skip(skip)) => Outcome::Skipped(skip),
    }
}

fn operation<H: Heap>(heap: &mut H, step: &Step) -> Result {
    match step.op {
        Op::With if lacks(heap, step) => Err(no_context(heap)),
        // That of `object`.
        Op::GetState if lacks(heap, step) && heap.version().since(11) => Ok(Value::None),
        // No attribute of this name.
        op if matches!(op.row().syntax, Syntax::Method(_) | Syntax::Attribute(_)) && lacks(heap, step) => {
            Err(ErrorClass::AttributeError.into())
        }
        Op::Drop => {
            heap.empty(receiver(step));
            Ok(Value::None)
        }
        // Whoever has an allocator that can fail is told by whoever runs the steps.
        Op::Starve => Ok(Value::None),
        Op::NewCArray => carrays::make(heap, step),
        Op::ResizeCArray => carrays::resize(heap, step),
        Op::NewText => texts::make(heap, step),
        Op::TruncateFile => maps::truncate_file(heap, step),
        Op::NewByteArray
        | Op::NewBytes
        | Op::NewArray
        | Op::NewStream
        | Op::NewMmap
        | Op::MapFile
        | Op::Init
        | Op::NewView
        | Op::Acquire => make::run(heap, step),
        Op::ReleaseExport => {
            heap.release_export(receiver(step));
            Ok(Value::None)
        }
        Op::Crc32
        | Op::Hexlify
        | Op::IntFromBytes
        | Op::FindAll
        | Op::PackInto
        | Op::UnpackFrom
        | Op::IterUnpack
        | Op::Digest
        | Op::Written
        | Op::Received
        | Op::ReadFromFile => consumers::run(heap, step),
        Op::Lock | Op::LockedLength | Op::LockedBytes | Op::LockedWrite => locks::run(heap, step),
        Op::Raw => views::raw(heap, step),
        Op::Request
        | Op::ReleaseCopy
        | Op::Fields
        | Op::IsContiguous
        | Op::ToContiguous
        | Op::FromContiguous
        | Op::GetPointer
        | Op::FromBuffer
        | Op::FromMemory
        | Op::CopyData
        | Op::ContiguousView
        | Op::ContiguousStrides
        | Op::FillInfo
        | Op::SizeFromFormat
        | Op::NewLender
        | Op::Outstanding
        | Op::Heard => requests::run(heap, step),
        Op::Next if heap.is_stream(receiver(step)) => streams::run(heap, step),
        Op::Next => match heap.advance(receiver(step))? {
            Some((form, bytes)) => {
                let item = super::item::value(heap.version(), form, &bytes)?;
                Ok(if heap.unpacks(receiver(step)) { Value::Tuple(vec![item]) } else { item })
            }
            None => Err(ErrorClass::StopIteration.into()),
        },
        Op::Equal | Op::Less => compare::run(heap, step),
        _ if receiver(step).kind == SlotKind::View => views::run(heap, step),
        _ => match heap.flavour(receiver(step)) {
            Flavour::Bytes | Flavour::ByteArray => exporters::run(heap, step),
            Flavour::Array(_) => arrays::run(heap, step),
            Flavour::Mmap(_) => maps::run(heap, step),
            Flavour::Stream => streams::run(heap, step),
            Flavour::CArray(code) => carrays::run(heap, step, code),
            Flavour::Text(_) => texts::run(heap, step),
        },
    }
}

/// Whether the receiver is of a class that has no such operation.
fn lacks<H: Heap>(heap: &H, step: &Step) -> bool {
    let Some(slot) = step.receiver else { return false };
    let class = match slot.kind {
        SlotKind::Exporter => heap.flavour(slot).class(),
        SlotKind::Export => heap.export_class(slot),
        SlotKind::View | SlotKind::Iterator => return false,
    };
    !step.op.row().classes.contain(class)
}

/// The receiver of an operation that has one.
fn receiver(step: &Step) -> Slot {
    step.receiver.expect("a valid step has the receiver that its operation needs")
}

/// The destination of an operation that has one.
fn dest(step: &Step) -> Slot {
    step.dest.expect("a valid step has the destination that its operation needs")
}

/// The value of an operation that makes an exporter: stored if the step says where, else observed.
fn exporter<H: Heap>(heap: &mut H, step: &Step, flavour: Flavour, bytes: Vec<u8>) -> Result {
    if bytes.len() > limits::LENGTH {
        return Err(TOO_LONG);
    }
    match step.dest {
        Some(dest) => {
            heap.store(dest, flavour, bytes);
            Ok(Value::Stored)
        }
        None => Ok(loose(flavour, &bytes)),
    }
}

/// An exporter that is observed and dropped.
fn loose(flavour: Flavour, bytes: &[u8]) -> Value {
    match flavour {
        Flavour::Bytes => Value::Bytes(bytes.into()),
        Flavour::ByteArray => Value::ByteArray(bytes.into()),
        Flavour::Array(code) => Value::Array(code, bytes.into()),
        other => Value::Foreign(other.class().name().into()),
    }
}

/// What an object is made of: `Err` if it is nothing that has memory.
fn source<'a, H: Heap>(heap: &H, arg: &'a Arg) -> Result<Source<'a>> {
    match arg {
        Arg::Slot(slot) if is_exporter(heap, arg) => Ok(Source::Slot(*slot)),
        Arg::Bytes(bytes) => Ok(Source::Bytes(bytes)),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// Runs `f` on the items of an iterable argument until one fails, each asked for what is wanted when it is its turn. Of a
/// stream, those after it are left to read.
fn each_item<H: Heap>(
    heap: &mut H,
    arg: &Arg,
    wanted: Wanted,
    f: impl FnMut(&mut H, &Value) -> Result<()>,
) -> Result<()> {
    each_item_after(heap, arg, wanted, |_| Ok(()), f)
}

/// The same, where `begin` runs between the call for an iterator and that for its first item, if an object may hear of
/// that.
fn each_item_after<H: Heap>(
    heap: &mut H,
    arg: &Arg,
    wanted: Wanted,
    begin: impl FnOnce(&mut H) -> Result<()>,
    mut f: impl FnMut(&mut H, &Value) -> Result<()>,
) -> Result<()> {
    if iterables::is_iterable(arg) {
        let items = iterables::iterate(heap, arg)?;
        begin(heap)?;
        return items.each(heap, |heap, _, item| {
            let item = literal(&*hooks::asked(heap, item, wanted)?);
            f(heap, &item)
        });
    }
    if let Arg::Slot(slot) = arg
        && slot.kind == SlotKind::Exporter
        && heap.flavour(*slot) == Flavour::Stream
    {
        while let Some(line) = streams::next_line(heap, *slot)? {
            f(heap, &Value::Bytes(line.as_slice().into()))?;
        }
        return Ok(());
    }
    items(heap, arg)?.iter().try_for_each(|item| f(heap, item))
}

/// The contents of an exporter.
fn contents<H: Heap>(heap: &mut H, exporter: Slot) -> Buffer {
    heap.operate(exporter, |memory| memory.contents())
}

/// The items of an iterable argument, as `list(arg)` has them, or `TypeError`.
fn items<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Vec<Value>> {
    match arg {
        Arg::List(items) | Arg::Tuple(items) => Ok(items.iter().map(literal).collect()),
        Arg::Str(text) => Ok(text.chars().map(|letter| Value::Str(letter.to_string().into())).collect()),
        Arg::Bytes(bytes) => Ok(ints(bytes)),
        Arg::Slot(slot) => match slot.kind {
            SlotKind::Exporter => match heap.flavour(*slot) {
                Flavour::Array(code) => arrays::items(heap, *slot, code),
                Flavour::Mmap(_) => maps::items(heap, *slot),
                Flavour::Stream => streams::lines(heap, *slot),
                Flavour::Text(_) => Ok(texts::items(heap, *slot)),
                Flavour::CArray(code) => carrays::items(heap, *slot, code),
                _ => Ok(ints(&contents(heap, *slot))),
            },
            SlotKind::View => views::items(heap, *slot),
            SlotKind::Export | SlotKind::Iterator => Err(ErrorClass::TypeError.into()),
        },
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `len(exporter)`: in items.
fn length<H: Heap>(heap: &mut H, exporter: Slot) -> Result<usize> {
    // Only a map is both closed and asked.
    if heap.is_closed(exporter) {
        return Err(ErrorClass::ValueError.into());
    }
    let size = heap.flavour(exporter).itemsize();
    Ok(heap.operate(exporter, |memory| memory.length()) / size)
}

fn ints(bytes: &[u8]) -> Vec<Value> {
    bytes.iter().map(|&byte| Value::Int(i128::from(byte))).collect()
}

/// The value of a literal; of anything else, something that equals nothing.
pub(super) fn literal(arg: &Arg) -> Value {
    match arg {
        Arg::None => Value::None,
        Arg::Int(int) => Value::Int(int.value()),
        Arg::Float(float) => Value::Float(*float),
        Arg::Complex(real, imaginary) => Value::Complex(*real, *imaginary),
        Arg::Bytes(bytes) => Value::Bytes((**bytes).into()),
        Arg::Str(text) => Value::Str(text.clone()),
        Arg::List(items) => Value::List(items.iter().map(literal).collect()),
        Arg::Tuple(items) => Value::Tuple(items.iter().map(literal).collect()),
        Arg::Slot(slot) => Value::Object(Some(*slot)),
        Arg::Slice(_) => Value::Foreign("slice".into()),
        Arg::Hook(_) => Value::Foreign("hook".into()),
    }
}

/// The bytes of an iterable of ints in `range(0, 256)`. `begin` runs as in [`each_item_after`].
fn byte_items_after<H: Heap>(
    heap: &mut H,
    arg: &Arg,
    begin: impl FnOnce(&mut H) -> Result<()>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    each_item_after(heap, arg, Wanted::Int, begin, |_, item| {
        bytes.push(byte_item(item)?);
        Ok(())
    })?;
    Ok(bytes)
}

fn byte_item(item: &Value) -> Result<u8> {
    match item {
        Value::Int(value) => u8::try_from(*value).map_err(|_| ErrorClass::ValueError.into()),
        Value::Bool(value) => Ok(u8::from(*value)),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// The separator and group of `hex`.
fn hex<H: Heap>(heap: &mut H, step: &Step, contents: impl FnOnce(&mut H) -> Result<Buffer>) -> Result {
    let group = hex_group(heap, step.args.get(1))?;
    let bytes = contents(heap)?;
    let separator = step.args.first();
    let slot = receiver(step);
    let digits = |heap: &mut H| hex_digits(heap, &bytes, separator, group, 0x7F);
    // Since gh-143195 what is one block is exported while a separator is asked for its length.
    let is_block = slot.kind == SlotKind::Exporter || heap.layout(slot)?.is_c_contiguous();
    let is_asked = separator.is_some_and(|separator| separator.hook().is_some());
    let digits = if is_asked && is_block && heap.version().has(&[(13, 12), (14, 3)]) {
        exported(heap, slot, digits)
    } else {
        digits(heap)
    };
    Ok(Value::Str(digits?.into_iter().map(char::from).collect::<String>().into()))
}

/// How many bytes stand together in hexadecimal digits.
fn hex_group<H: Heap>(heap: &mut H, group: Option<&Arg>) -> Result<isize> {
    // An `int` of C before 3.15, a `Py_ssize_t` from then on.
    if heap.version().since(15) {
        index::ssize_from(heap, group, 1)
    } else {
        index::c_int_from(heap, group, 1).map(|group| group as isize)
    }
}

/// Hexadecimal digits with a separator, which is not above `last`, between groups: `_Py_strhex_impl`.
fn hex_digits<H: Heap>(
    heap: &mut H,
    bytes: &[u8],
    separator: Option<&Arg>,
    group: isize,
    last: u8,
) -> Result<Vec<u8>> {
    let separator = separator.map(|separator| hex_separator(heap, separator)).transpose()?;
    if separator.is_some_and(|separator| separator > last) {
        return Err(ErrorClass::ValueError.into());
    }
    Ok(super::search::hex(bytes, separator, group))
}

/// A separator of one byte. Of what is not a `str` its length is asked first, then what it is.
fn hex_separator<H: Heap>(heap: &mut H, arg: &Arg) -> Result<u8> {
    if let Arg::Str(text) = arg {
        let mut letters = text.chars();
        let letter = letters.next().filter(|_| letters.next().is_none());
        return letter.and_then(|letter| u8::try_from(letter).ok()).ok_or(ErrorClass::ValueError.into());
    }
    if length_of(heap, arg)? != 1 {
        return Err(ErrorClass::ValueError.into());
    }
    let bytes = exact_bytes(heap, arg).ok_or(ErrorClass::TypeError)?;
    Ok(bytes[0])
}

/// `PySequence_Length`
fn length_of<H: Heap>(heap: &mut H, arg: &Arg) -> Result<usize> {
    Ok(match arg {
        Arg::Hook(hook) => {
            let method = hook.method(Protocol::Length).ok_or(ErrorClass::TypeError)?;
            iterables::length(heap, method)?
        }
        Arg::Bytes(bytes) => bytes.len(),
        Arg::Str(text) => text.chars().count(),
        Arg::List(items) | Arg::Tuple(items) => items.len(),
        Arg::Slot(slot) => match slot.kind {
            SlotKind::Exporter if heap.flavour(*slot) != Flavour::Stream => length(heap, *slot)?,
            SlotKind::View => views::length(heap, *slot)?,
            SlotKind::Export if heap.export_class(*slot) == Class::Lock => heap.locked(*slot)?.len(),
            _ => return Err(ErrorClass::TypeError.into()),
        },
        _ => return Err(ErrorClass::TypeError.into()),
    })
}

/// Whether an argument is a `bytearray`.
fn is_bytearray<H: Heap>(heap: &H, arg: &Arg) -> bool {
    matches!(arg, Arg::Slot(slot)
        if slot.kind == SlotKind::Exporter && heap.flavour(*slot) == Flavour::ByteArray)
}

/// The contents of an argument that is exactly a `bytes`.
fn exact_bytes<H: Heap>(heap: &mut H, arg: &Arg) -> Option<Buffer> {
    match arg {
        Arg::Bytes(bytes) => Some(Buffer::from_slice(bytes)),
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter && heap.flavour(*slot) == Flavour::Bytes => {
            Some(contents(heap, *slot))
        }
        _ => None,
    }
}
