//! The raw door: `PyObject_GetBuffer` with any flags, and the functions of the C API on a `Py_buffer`.
//!
//! `Objects/abstract.c` and `Objects/memoryobject.c`. What Python can call of them is in `program/raw_buffer.py`. Some of
//! the C functions look at nothing before they read or write (`PyBuffer_FromContiguous` writes to read-only memory and
//! goes through strides that are NULL, `PyObject_CopyData` uses the indices of one structure on another): such steps are
//! left out.

use super::super::heap::{Buffer, Heap, NotLent, Owner, Source};
use super::{Acquired, MACHINE, Result, Stop, dest, receiver, source};
use crate::exporter::{Answer, Body, Dims, Format, ItemOrder, Layout, Request};
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Class, Op, Slot, SlotKind, Step};

impl From<NotLent> for Stop {
    fn from(reason: NotLent) -> Stop {
        Stop::Raise(match reason {
            NotLent::Released => ErrorClass::ValueError,
            NotLent::Refused => ErrorClass::BufferError,
            NotLent::Raised(class) => class,
        })
    }
}

/// Whether what is in a slot of exports has a buffer to Python: one that is held as a `Py_buffer` has none, and a class
/// with `__buffer__` has one from 3.12 on.
pub(super) fn has_buffer<H: Heap>(heap: &H, export: Slot) -> bool {
    match heap.export_class(export) {
        Class::Lender => heap.version().since(12),
        class => class == Class::PickleBuffer,
    }
}

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    match step.op {
        Op::Request => request(heap, step),
        Op::ContiguousView => contiguous_view(heap, step),
        Op::ContiguousStrides => contiguous_strides(step),
        Op::FillInfo => fill_info(heap, step),
        Op::SizeFromFormat => size_from_format(&step.args[0]),
        Op::CopyData => copy_data(heap, step),
        Op::NewLender => lender(heap, step),
        Op::Heard | Op::Outstanding => {
            let lender = receiver(step);
            let count = if step.op == Op::Heard { heap.heard(lender) } else { heap.outstanding(lender) };
            Ok(Value::Int(count.expect("its class was asked") as i128))
        }
        _ => of_export(heap, step),
    }
}

/// What is done with an export that is held as a `Py_buffer`.
fn of_export<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let export = receiver(step);
    let answer = heap.answer(export).expect("its class was asked");
    if step.op == Op::ReleaseCopy {
        heap.release_export(export);
        return Ok(Value::None);
    }
    let lender = heap.lender(export)?;
    match step.op {
        Op::Fields => Ok(fields(&answer, object(lender))),
        Op::IsContiguous => Ok(Value::Bool(is_contiguous(&answer, order(&step.args[0])?))),
        Op::GetPointer => get_pointer(&answer, &step.args[0]),
        Op::ToContiguous => to_contiguous(heap, export, &answer, order(&step.args[0])?),
        Op::FromContiguous => from_contiguous(heap, export, &answer, step),
        Op::FromBuffer => from_buffer(heap, export, &answer),
        Op::FromMemory => from_memory(heap, export, &answer),
        _ => unreachable!("{:?} is done on no export", step.op),
    }
}

/// `PyObject_GetBuffer`
fn request<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let flags = request_flags(heap, &step.args[1])?;
    let source = source(heap, &step.args[0])?;
    let dest = dest(step);
    heap.request(dest, source, flags)?;
    let lender = heap.lender(dest)?;
    let answer = heap.answer(dest).expect("it was asked for with flags");
    Ok(fields(&answer, object(lender)))
}

/// An object of a class with `__buffer__` (PEP 688): `program/helpers.py`. It takes no `PickleBuffer`, which may be
/// released behind its back.
fn lender<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let Arg::Str(name) = &step.args[1] else { return Err(ErrorClass::TypeError.into()) };
    let body = Body::ALL.into_iter().find(|body| body.name() == &**name).ok_or(ErrorClass::ValueError)?;
    let source = source(heap, &step.args[0])?;
    if let Source::Slot(slot) = source
        && slot.kind == SlotKind::Export
        && heap.export_class(slot) == Class::PickleBuffer
    {
        return Err(ErrorClass::TypeError.into());
    }
    heap.lend(dest(step), source, body)?;
    Ok(Value::Stored)
}

/// The fields of a `Py_buffer` in their order, but for `internal`; `buf` counts from the memory of the exporter.
fn fields(answer: &Answer, obj: Value) -> Value {
    let format = answer.format.map_or(Value::None, |format| Value::Str(format.to_string().into()));
    let dims = |dims: &Option<Dims>| dims.as_deref().map_or(Value::None, tuple);
    Value::Tuple(vec![
        Value::Int(answer.offset as i128),
        obj,
        Value::Int(answer.len as i128),
        Value::Int(answer.itemsize as i128),
        Value::Bool(answer.readonly),
        Value::Int(answer.ndim as i128),
        format,
        dims(&answer.shape),
        dims(&answer.strides),
        Value::None,
    ])
}

fn object(lender: Owner) -> Value {
    match lender {
        Owner::Bytes(bytes) => Value::Bytes(bytes),
        Owner::Object { slot, .. } => Value::Object(slot),
    }
}

fn tuple(dims: &[isize]) -> Value {
    Value::Tuple(dims.iter().map(|&dim| Value::Int(dim as i128)).collect())
}

fn flags(arg: &Arg) -> Result<Request> {
    Ok(Request(number(arg)? as i32))
}

/// Those of a request. From 3.13 on, two words that are none are a mistake of the caller.
fn request_flags<H: Heap>(heap: &H, arg: &Arg) -> Result<Request> {
    let flags = flags(arg)?;
    if heap.version().since(13) && [Request::READ, Request::WRITE].contains(&flags) {
        return Err(ErrorClass::SystemError.into());
    }
    Ok(flags)
}

// A function of C cannot be given an argument of another type: fixup leaves none.

fn number(arg: &Arg) -> Result<isize> {
    match arg {
        Arg::Int(int) => Ok(int.value() as isize),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

fn block(arg: &Arg) -> Result<&[u8]> {
    match arg {
        Arg::Bytes(bytes) => Ok(bytes),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

fn numbers(arg: &Arg) -> Result<Vec<isize>> {
    match arg {
        Arg::Tuple(items) => items.iter().map(number).collect(),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

fn order(arg: &Arg) -> Result<ItemOrder> {
    match arg {
        Arg::Str(text) if **text == *"C" => Ok(ItemOrder::C),
        Arg::Str(text) if **text == *"F" => Ok(ItemOrder::Fortran),
        Arg::Str(text) if **text == *"A" => Ok(ItemOrder::Any),
        Arg::Str(_) => Err(ErrorClass::ValueError.into()),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// `PyBuffer_IsContiguous`. Without strides it goes by the shape, and without bytes anything is.
fn is_contiguous(answer: &Answer, order: ItemOrder) -> bool {
    let strides = |mut innermost_first: Vec<(isize, isize)>, fortran: bool| {
        if !fortran {
            innermost_first.reverse();
        }
        let mut step = answer.itemsize as isize;
        innermost_first.into_iter().all(|(dim, stride)| {
            let fits = dim <= 1 || stride == step;
            step = step.wrapping_mul(dim);
            fits
        })
    };
    let by = |fortran: bool| match (&answer.shape, &answer.strides) {
        _ if answer.len == 0 => true,
        (Some(shape), Some(own)) => {
            strides(std::iter::zip(shape.iter().copied(), own.iter().copied()).collect(), fortran)
        }
        (Some(shape), None) => !fortran || shape.iter().filter(|&&dim| dim > 1).count() <= 1,
        (None, _) => true,
    };
    match order {
        ItemOrder::C => by(false),
        ItemOrder::Fortran => by(true),
        ItemOrder::Any => by(false) || by(true),
    }
}

/// `PyBuffer_GetPointer`, counted from the first item: it looks at no bounds, and needs strides.
fn get_pointer(answer: &Answer, indices: &Arg) -> Result {
    let strides = match (&answer.strides, answer.ndim) {
        (Some(strides), _) => strides.clone(),
        (None, 0) => Dims::default(),
        (None, _) => return Err(MACHINE),
    };
    // Those that are missing are zero.
    let offset: isize = std::iter::zip(strides.iter(), numbers(indices)?)
        .fold(0, |sum, (stride, index)| sum.wrapping_add(stride.wrapping_mul(index)));
    Ok(Value::Int(offset as i128))
}

/// Runs `f` on another export of the same memory, of which the layout is whole.
fn whole<H: Heap, R>(
    heap: &mut H,
    export: Slot,
    f: impl FnOnce(&mut H, &H::Hold, &Layout) -> R,
) -> Result<R> {
    let hold = heap.hold_same(export)?;
    let layout = heap.held_layout(&hold).clone();
    let result = f(heap, &hold, &layout);
    heap.unhold(hold, false);
    Ok(result)
}

/// Bytes as they lie in memory, from the first item on.
fn in_memory<H: Heap>(heap: &H, hold: &H::Hold, layout: &Layout) -> Buffer {
    let mut bytes = Buffer::from_elem(0, layout.nbytes());
    heap.read_held(hold, layout.offset, &mut bytes);
    bytes
}

/// Where the items are, one after the other; without a preference in the order of C.
fn offsets(layout: &Layout, order: ItemOrder) -> impl Iterator<Item = isize> {
    // In the order of Fortran the first index runs fastest.
    layout.offsets_in(if order == ItemOrder::Fortran { ItemOrder::Fortran } else { ItemOrder::C })
}

fn items_in<H: Heap>(heap: &H, hold: &H::Hold, layout: &Layout, order: ItemOrder) -> Buffer {
    let mut bytes = Buffer::from_elem(0, layout.nbytes());
    let items = bytes.chunks_exact_mut(layout.itemsize());
    for (item, offset) in items.zip(offsets(layout, order)) {
        heap.read_held(hold, offset, item);
    }
    bytes
}

/// `PyBuffer_ToContiguous`
fn to_contiguous<H: Heap>(heap: &mut H, export: Slot, answer: &Answer, order: ItemOrder) -> Result {
    let bytes = whole(heap, export, |heap, hold, layout| {
        if is_contiguous(answer, order) {
            in_memory(heap, hold, layout)
        } else {
            items_in(heap, hold, layout, order)
        }
    })?;
    Ok(Value::Bytes(bytes.as_slice().into()))
}

/// `PyBuffer_FromContiguous`: what is too long is cut, and half an item is left out unless all is one block.
fn from_contiguous<H: Heap>(heap: &mut H, export: Slot, answer: &Answer, step: &Step) -> Result {
    let (bytes, order) = (block(&step.args[0])?, order(&step.args[1])?);
    let bytes = &bytes[..bytes.len().min(answer.len)];
    let one_block = is_contiguous(answer, order);
    if answer.readonly || !one_block && answer.strides.is_none() {
        return Err(MACHINE);
    }
    whole(heap, export, |heap, hold, layout| {
        if one_block {
            return heap.write_held(hold, layout.offset, bytes);
        }
        for (item, offset) in bytes.chunks_exact(answer.itemsize).zip(offsets(layout, order)) {
            heap.write_held(hold, offset, item);
        }
    })?;
    Ok(Value::None)
}

/// What is to be seen of a memoryview that no slot holds.
fn viewed(format: Format, layout: &Layout, contents: &[u8]) -> Value {
    Value::Tuple(vec![
        Value::Str(format.to_string().into()),
        Value::Int(layout.itemsize() as i128),
        tuple(&layout.shape),
        tuple(&layout.strides),
        Value::Bool(layout.readonly),
        Value::Bool(layout.is_c_contiguous()),
        Value::Bool(layout.is_f_contiguous()),
        Value::Bytes(contents.into()),
    ])
}

/// `PyMemoryView_FromBuffer`: what is missing is made up. Without a format it is bytes, whatever the size of an item.
fn from_buffer<H: Heap>(heap: &mut H, export: Slot, answer: &Answer) -> Result {
    let format = answer.format.unwrap_or(Format::BYTES);
    whole(heap, export, |heap, hold, layout| {
        let contents = heap.held_contents(hold);
        let seen = match (&answer.shape, &answer.strides) {
            (None, _) if answer.ndim == 1 => {
                layout.recast(layout.format, &[(answer.len / answer.itemsize) as isize])
            }
            (Some(shape), None) => layout.recast(layout.format, shape),
            _ => layout.clone(),
        };
        viewed(format, &seen, &contents)
    })
}

/// `PyMemoryView_FromMemory` of the bytes of the export, if they are side by side.
fn from_memory<H: Heap>(heap: &mut H, export: Slot, answer: &Answer) -> Result {
    if !is_contiguous(answer, ItemOrder::Any) {
        return Err(MACHINE);
    }
    whole(heap, export, |heap, hold, layout| {
        let bytes = in_memory(heap, hold, layout);
        viewed(Format::BYTES, &Layout::bytes(bytes.len(), answer.readonly), &bytes)
    })
}

/// `PyMemoryView_GetContiguous`: a view of the object itself, or one of a copy.
fn contiguous_view<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let (to_write, order) = (flags(&step.args[1])? == Request::WRITE, order(&step.args[2])?);
    let source = source(heap, &step.args[0])?;
    let dest = dest(step);
    let Source::Slot(slot) = source else {
        if to_write {
            return Err(ErrorClass::BufferError.into());
        }
        heap.view(dest, source)?;
        return Ok(Value::Stored);
    };
    let hold = heap.hold(slot)?;
    let layout = heap.held_layout(&hold).clone();
    let whole = Request::FULL.0 & !Request::WRITABLE.0;
    let answer = layout.lend(Request(whole)).expect("it is not to be written");
    let contiguous = is_contiguous(&answer, order);
    if contiguous && !(to_write && layout.readonly) {
        // This very export becomes the view.
        heap.retract(hold);
        heap.view(dest, source)?;
        return Ok(Value::Stored);
    }
    if to_write {
        heap.unhold(hold, false);
        return Err(ErrorClass::BufferError.into());
    }
    let copy = items_in(heap, &hold, &layout, order);
    heap.unhold(hold, false);
    heap.view(dest, Source::Bytes(&copy))?;
    let copied = Layout { offset: 0, readonly: true, ..layout };
    let copied = match order {
        ItemOrder::Fortran => copied.recast_fortran(copied.format, &copied.shape),
        _ => copied.recast(copied.format, &copied.shape),
    };
    heap.derive(dest, dest, copied)?;
    Ok(Value::Stored)
}

/// `PyBuffer_FillContiguousStrides`
fn contiguous_strides(step: &Step) -> Result {
    let mut dims = numbers(&step.args[0])?;
    let fortran = order(&step.args[2])? == ItemOrder::Fortran;
    let mut stride = number(&step.args[1])?;
    if !fortran {
        dims.reverse();
    }
    for dim in &mut dims {
        stride = stride.wrapping_mul(std::mem::replace(dim, stride));
    }
    if !fortran {
        dims.reverse();
    }
    Ok(tuple(&dims))
}

/// `PyBuffer_FillInfo` of a block that no object owns.
fn fill_info<H: Heap>(heap: &H, step: &Step) -> Result {
    let (length, readonly) = (block(&step.args[0])?.len(), number(&step.args[1])? != 0);
    let flags = request_flags(heap, &step.args[2])?;
    match Layout::bytes(length, readonly).lend(flags) {
        Ok(answer) => Ok(fields(&answer, Value::None)),
        Err(_) => Err(ErrorClass::BufferError.into()),
    }
}

/// `PyBuffer_SizeFromFormat`, which asks `struct.calcsize`.
fn size_from_format(format: &Arg) -> Result {
    let Arg::Str(_) = format else { return Err(ErrorClass::TypeError.into()) };
    let format = super::consumers::struct_format(format)?;
    Ok(Value::Int(format.map_or(0, Format::itemsize) as i128))
}

/// `PyObject_CopyData` from bytes. Where the destination is no block it writes one byte an item, and looks neither at
/// its shape nor at its number of dimensions.
fn copy_data<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let bytes = block(&step.args[1])?;
    let to = Acquired::acquire(heap, &step.args[0], |layout| !layout.readonly)?;
    let layout = to.layout(heap);
    let hold = to.hold().expect("a bytes is read-only");
    let result = if layout.nbytes() < bytes.len() {
        Err(ErrorClass::BufferError.into())
    } else if layout.nbytes() == 0 || layout.is_c_contiguous() || layout.is_f_contiguous() {
        heap.write_held(hold, layout.offset, bytes);
        Ok(Value::None)
    } else if layout.ndim() == 1 && bytes.len() <= layout.shape[0] as usize {
        for (place, byte) in bytes.iter().enumerate() {
            let offset = layout.offset + layout.strides[0] * place as isize;
            heap.write_held(hold, offset, &[*byte]);
        }
        Ok(Value::None)
    } else {
        Err(MACHINE)
    };
    to.end(heap, result)
}
