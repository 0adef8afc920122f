//! Calls into C that hold a buffer while they work: `struct`, `zlib`, `binascii`, `re`, `int.from_bytes`, and
//! `program/helpers.py`.
//!
//! What matters here is how each asks for its buffer, and that it gives it back whatever comes of it (clause R3).

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};

use super::super::heap::{Buffer, Heap, Version};
use super::super::item::Wanted;
use super::super::{index, item};
use super::{
    Acquired, Result, Stop, bytes_of, hex_digits, hooks, is_exporter, with_bytes, with_bytes_after,
    with_writable,
};
use crate::exporter::{ByteOrder, Code, Format, Layout};
use crate::history::{ErrorClass, Value};
use crate::program::op::PATTERNS;
use crate::program::{Arg, Op, Step};

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let (first, second) = (&step.args[0], step.args.get(1));
    match step.op {
        Op::Crc32 => {
            let seed = |heap: &mut H| second.map_or(Ok(0), |seed| index::index(heap, seed));
            with_bytes_after(heap, first, seed, |_, bytes, seed| {
                let mut sum = crc32fast::Hasher::new_with_initial(seed as u32);
                sum.update(bytes);
                Ok(Value::Int(sum.finalize().into()))
            })
        }
        Op::Hexlify => {
            let group = |heap: &mut H| super::hex_group(heap, step.args.get(2));
            let digits = with_bytes_after(heap, first, group, |heap, bytes, group| {
                hex_digits(heap, bytes, second, group, u8::MAX)
            })?;
            Ok(Value::Bytes(digits.into()))
        }
        Op::Digest => {
            with_bytes(heap, first, |_, bytes| Ok(Value::Bytes(Sha256::digest(bytes).as_slice().into())))
        }
        Op::IntFromBytes => from_bytes(heap, first, &step.args[1]),
        Op::FindAll => find_all(heap, first, &step.args[1]),
        Op::Written => written(heap, first),
        Op::Received | Op::ReadFromFile => {
            let data = bytes_of(heap, &step.args[1])?;
            with_writable(heap, first, |heap, hold, layout| {
                let count = data.len().min(layout.nbytes());
                heap.write_held(hold, layout.offset, &data[..count]);
                Ok(Value::Int(count as i128))
            })
        }
        Op::PackInto => pack_into(heap, step),
        Op::UnpackFrom => unpack_from(heap, step),
        Op::IterUnpack => iter_unpack(heap, step),
        _ => unreachable!("{:?} consumes no buffer", step.op),
    }
}

/// `int.from_bytes`: the name of the order is looked at first.
fn from_bytes<H: Heap>(heap: &mut H, source: &Arg, order: &Arg) -> Result {
    let little = match order {
        Arg::Str(order) if **order == *"little" => true,
        Arg::Str(order) if **order == *"big" => false,
        Arg::Str(_) => return Err(ErrorClass::ValueError.into()),
        _ => return Err(ErrorClass::TypeError.into()),
    };
    // `PyBytes_FromObject` takes no number.
    if matches!(source, Arg::Int(_) | Arg::Str(_)) {
        return Err(ErrorClass::TypeError.into());
    }
    // From 3.15 on what has a buffer gives it as one block; before, `bytes` are made of whatever it is.
    let mut bytes = if heap.version().since(15) && is_exporter(heap, source) {
        bytes_of(heap, source)?.into_vec()
    } else if let Some(bytes) = super::make::by_bytes_method(heap, source)? {
        bytes
    } else {
        super::make::bytes_from(heap, source)?
    };
    if !little {
        bytes.reverse();
    }
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if used > size_of::<u64>() {
        return Ok(Value::Foreign(Value::BEYOND.into()));
    }
    let mut wide = [0; size_of::<u64>()];
    wide[..used].copy_from_slice(&bytes[..used]);
    Ok(Value::Int(u64::from_le_bytes(wide).into()))
}

/// [`PATTERNS`], compiled.
static COMPILED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |text: &&str| RegexBuilder::new(text).unicode(false).build();
    PATTERNS.iter().map(compile).collect::<std::result::Result<_, _>>().expect("the patterns are well-formed")
});

/// `re.findall`. The patterns of programs are those that mean the same in both languages.
fn find_all<H: Heap>(heap: &mut H, pattern: &Arg, subject: &Arg) -> Result {
    let Arg::Bytes(pattern) = pattern else { return Err(ErrorClass::TypeError.into()) };
    let place = PATTERNS.iter().position(|known| known.as_bytes() == &**pattern);
    let pattern = &COMPILED[place.expect("fixup leaves only patterns that are known")];
    let found = with_bytes(heap, subject, |_, bytes| {
        Ok(pattern.find_iter(bytes).map(|found| Value::Bytes(found.as_bytes().into())).collect())
    });
    // Whatever is wrong with the buffer, it is "not bytes-like".
    found.map(Value::List).map_err(super::exporters::concatenation_error)
}

/// `os.writev` acquires all buffers before it writes any.
fn written<H: Heap>(heap: &mut H, parts: &Arg) -> Result {
    let (Arg::List(parts) | Arg::Tuple(parts)) = parts else { return Err(ErrorClass::TypeError.into()) };
    let mut sent = Vec::new();
    for part in parts {
        sent.extend_from_slice(&bytes_of(heap, part)?);
    }
    Ok(Value::Bytes(sent.as_slice().into()))
}

/// The format of one item, as `struct` reads it; `None` if it has no items.
pub(super) fn struct_format(arg: &Arg) -> Result<Option<Format>> {
    let text = match arg {
        Arg::Str(text) => text.as_bytes(),
        Arg::Bytes(text) => text,
        _ => return Err(ErrorClass::TypeError.into()),
    };
    let (order, code) = match text {
        [b'<', code @ ..] => (Some(ByteOrder::Little), code),
        [b'>' | b'!', code @ ..] => (Some(ByteOrder::Big), code),
        code => (None, code),
    };
    match code {
        [] => Ok(None),
        [_] => match std::str::from_utf8(code).ok().and_then(Code::named) {
            Some(code) => Ok(Some(Format { order, ..Format::new(code) })),
            None => Err(ErrorClass::StructError.into()),
        },
        _ => Err(ErrorClass::StructError.into()),
    }
}

/// Where an item of `size` bytes at `offset` begins in `length` bytes, if there is room for it.
fn place(offset: isize, size: usize, length: usize) -> Result<usize> {
    let start = if offset < 0 {
        if offset.saturating_add_unsigned(size) > 0 {
            return Err(ErrorClass::StructError.into());
        }
        offset.checked_add_unsigned(length).and_then(|start| usize::try_from(start).ok())
    } else {
        usize::try_from(offset).ok()
    };
    let start = start.ok_or(ErrorClass::StructError)?;
    if length.checked_sub(start).is_some_and(|room| room >= size) {
        Ok(start)
    } else {
        Err(ErrorClass::StructError.into())
    }
}

/// `s_pack_into`: the buffer is held while offset and value are read.
fn pack_into<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let version = heap.version();
    let format = struct_format(&step.args[0])?;
    // From 3.15 on Argument Clinic reads buffer and offset, and the values are counted after them.
    let beyond = if version.since(15) {
        ErrorClass::OverflowError
    } else {
        format.ok_or(ErrorClass::StructError)?;
        ErrorClass::IndexError
    };
    let value = &step.args[3];
    let bytes = super::exact_bytes(heap, value);
    with_writable(heap, &step.args[1], |heap, hold, layout| {
        let offset = index::ssize_or(heap, &step.args[2], beyond)?;
        let format = format.ok_or(ErrorClass::StructError)?;
        let start = place(offset, format.itemsize(), layout.nbytes())?;
        // `s_pack_into` clears the place before it reads the value.
        let zeros = item::Packed::from_elem(0, format.itemsize());
        heap.write_held(hold, layout.offset + start as isize, &zeros);
        let wanted = item::wanted(format);
        // From 3.12 on, an error that a hook raises is taken for that of an `int` that C cannot hold.
        let beyond = if version.since(12) { ErrorClass::StructError } else { ErrorClass::OverflowError };
        let given = value;
        let value = hooks::asked(heap, given, wanted).map_err(|stop| match (stop, wanted) {
            (Stop::Raise(_), Wanted::Real) => ErrorClass::StructError.into(),
            (Stop::Raise(ErrorClass::OverflowError), Wanted::Int) => beyond.into(),
            (stop, _) => stop,
        })?;
        let truth = super::views::truth(heap, &value);
        let mut packed = match pack(version, format, &value, truth, bytes) {
            Ok(packed) => packed,
            Err(stop) => {
                let Some(stored) = stored_of_too_much(format, &value) else { return Err(stop) };
                heap.write_held(hold, layout.offset + start as isize, &stored);
                // Before 3.12, `bp_longlong` and `bp_ulonglong` left its error to `s_pack_internal`, which replaces that
                // of an `int` alone.
                let is_replaced = version.since(12) || given.hook().is_none();
                return Err(if is_replaced { stop } else { ErrorClass::OverflowError.into() });
            }
        };
        format.reorder(&mut packed);
        heap.write_held(hold, layout.offset + start as isize, &packed);
        Ok(Value::None)
    })
}

/// What `_PyLong_AsByteArray` has stored of an `int` when it finds that it is too large, if it is who packs the format: its
/// last bytes, and nothing of a negative one where there is no sign.
fn stored_of_too_much(format: Format, value: &Arg) -> Option<[u8; 8]> {
    let Arg::Int(value) = value else { return None };
    let is_swapped = format.order.is_some_and(|order| order != ByteOrder::NATIVE);
    let stores = match format.code {
        Code::LongLong => true,
        Code::UnsignedLongLong => value.value() >= 0,
        _ => return None,
    };
    let mut bytes = (value.value() as u64).to_ne_bytes();
    bytes.reverse();
    is_swapped.then_some(if stores { bytes } else { [0; 8] })
}

/// The bytes of one item, by the rules of `struct`: whatever does not fit is its own error.
fn pack(
    version: Version,
    format: Format,
    value: &Arg,
    truth: std::result::Result<bool, ErrorClass>,
    bytes: Option<Buffer>,
) -> Result<item::Packed> {
    // A format that names the byte order is packed with care; a native one was packed with a cast.
    let careful = format.order.is_some() || version.has(&[(13, 13), (14, 4)]);
    let beyond = careful
        && format.code == Code::Float
        && matches!(value, Arg::Float(value) if value.value().is_finite() && (value.value() as f32).is_infinite());
    if beyond {
        return Err(ErrorClass::OverflowError.into());
    }
    if format.code == Code::Bool {
        return Ok(item::Packed::from_slice(&[u8::from(truth?)]));
    }
    let bytes = bytes.map(|bytes| item::Packed::from_slice(&bytes));
    let packed = item::pack(format, value, |_| Err(ErrorClass::TypeError), |_| bytes);
    packed.map_err(|_| ErrorClass::StructError.into())
}

/// `Struct_unpack_from_impl`
fn unpack_from<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let (version, format) = (heap.version(), struct_format(&step.args[0])?);
    let offset = |heap: &mut H| index::ssize_from(heap, step.args.get(2), 0);
    with_bytes_after(heap, &step.args[1], offset, |_, bytes, offset| {
        let start = place(offset, format.map_or(0, Format::itemsize), bytes.len())?;
        let Some(format) = format else { return Ok(Value::Tuple(Vec::new())) };
        let mut item = item::Packed::from_slice(&bytes[start..start + format.itemsize()]);
        format.reorder(&mut item);
        Ok(Value::Tuple(vec![item::unpack(version, format, &item)?]))
    })
}

/// `Struct_iter_unpack`: the iterator holds the buffer until it finds its end, or goes.
fn iter_unpack<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let format = struct_format(&step.args[0])?.ok_or(ErrorClass::StructError)?;
    let source = super::source(heap, &step.args[1])?;
    let block = Acquired::acquire(heap, &step.args[1], Layout::is_c_contiguous)?;
    if !block.layout(heap).nbytes().is_multiple_of(format.itemsize()) {
        return block.end(heap, Err(ErrorClass::StructError.into()));
    }
    // This very export becomes that of the iterator.
    block.retract(heap);
    heap.unpack(super::dest(step), source, format)?;
    Ok(Value::Stored)
}
