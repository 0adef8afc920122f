//! Operations of `memoryview`.

use super::super::heap::{Buffer, Flavour, Heap, Owner, Source};
use super::super::index::{self, Slice};
use super::super::item;
use super::{Request, Result, Stop, exact_bytes, hex, hooks, receiver, with_buffer_after};
use crate::exporter::{Code, Format, Layout, Released};
use crate::history::{ErrorClass, Seen, Skip, Value};
use crate::program::{Arg, Bounds, Class, Op, Slot, SlotKind, Step};

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let view = receiver(step);
    match step.op {
        Op::Release => Ok(heap.release_view(view).map(|()| Value::None)?),
        Op::With => {
            heap.layout(view)?;
            Ok(heap.release_view(view).map(|()| Value::None)?)
        }
        Op::Cast => cast(heap, step),
        Op::ToReadOnly => {
            let layout = Layout { readonly: true, ..heap.layout(view)?.clone() };
            derive(heap, step, layout)
        }
        Op::ToBytes => Ok(Value::Bytes(contents(heap, view)?.as_slice().into())),
        Op::ToList => tolist(heap, view),
        Op::Hex => hex(heap, step, |heap| contents(heap, view)),
        Op::Hash => hash(heap, view),
        Op::Length => Ok(Value::Int(length(heap, view)? as i128)),
        Op::List => Ok(Value::List(items(heap, view)?)),
        Op::Iter => iter(heap, step),
        Op::Contains => {
            let length = item_count(heap, view)?;
            let found =
                super::compare::find(heap, &step.args[0], 0..length, |heap, place| nth(heap, view, place))?;
            Ok(Value::Bool(found.is_some()))
        }
        Op::Count | Op::IndexOf => look_for(heap, step),
        Op::Item => get(heap, step),
        Op::SetItem => set(heap, step),
        // Read-only or not, it is a `TypeError`.
        Op::DelItem => {
            check_format(heap.layout(view)?)?;
            Err(ErrorClass::TypeError.into())
        }
        _ => attribute(heap, step.op, view),
    }
}

fn attribute<H: Heap>(heap: &H, op: Op, view: Slot) -> Result {
    let layout = heap.layout(view)?;
    let dims = |dims: &[isize]| Value::Tuple(dims.iter().map(|&dim| Value::Int(dim as i128)).collect());
    Ok(match op {
        Op::Obj => match heap.owner(view)? {
            Owner::Bytes(bytes) => Value::Bytes(bytes),
            Owner::Object { slot, .. } => Value::Object(slot),
        },
        Op::NBytes => Value::Int(layout.nbytes() as i128),
        Op::ItemSize => Value::Int(layout.itemsize() as i128),
        Op::NDim => Value::Int(layout.ndim() as i128),
        Op::Format => Value::Str(layout.format.to_string().into()),
        Op::Shape => dims(&layout.shape),
        Op::Strides => dims(&layout.strides),
        Op::SubOffsets => dims(&[]),
        Op::ReadOnly => Value::Bool(layout.readonly),
        Op::CContiguous => Value::Bool(layout.is_c_contiguous()),
        Op::FContiguous => Value::Bool(layout.is_f_contiguous()),
        Op::Contiguous => Value::Bool(layout.is_c_contiguous() || layout.is_f_contiguous()),
        _ => unreachable!("{op:?} is not an operation of a view"),
    })
}

fn derive<H: Heap>(heap: &mut H, step: &Step, layout: Layout) -> Result {
    let dest = super::dest(step);
    heap.derive(dest, receiver(step), layout)?;
    Ok(Value::Stored)
}

/// `picklebuf_raw`: a view of all the bytes, if they are side by side in one order or the other, as none are.
pub(super) fn raw<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let export = receiver(step);
    let hold = heap.hold(export)?;
    let layout = heap.held_layout(&hold).clone();
    let contiguous = layout.nbytes() == 0 || layout.is_c_contiguous() || layout.is_f_contiguous();
    heap.unhold(hold, !contiguous);
    if !contiguous {
        return Err(ErrorClass::BufferError.into());
    }
    let dest = super::dest(step);
    let length = layout.nbytes() as isize;
    heap.view(dest, Source::Slot(export))?;
    heap.derive(dest, dest, layout.recast(Format::BYTES, &[length]))?;
    Ok(Value::Stored)
}

/// The contents of a view in C order.
fn contents<H: Heap>(heap: &H, view: Slot) -> Result<Buffer> {
    gather(heap, view, heap.layout(view)?)
}

/// The bytes of the items that `layout` names, in C order.
fn gather<H: Heap>(heap: &H, view: Slot, layout: &Layout) -> Result<Buffer> {
    let size = layout.itemsize();
    let mut bytes = Buffer::from_elem(0, layout.nbytes());
    if bytes.is_empty() {
        // Without items the offset may lie anywhere.
    } else if layout.is_c_contiguous() {
        heap.read(view, layout.offset, &mut bytes)?;
    } else {
        for (chunk, offset) in bytes.chunks_exact_mut(size).zip(layout.offsets()) {
            heap.read(view, offset, chunk)?;
        }
    }
    Ok(bytes)
}

/// `len(view)`.
pub(super) fn length<H: Heap>(heap: &H, view: Slot) -> Result<usize> {
    match heap.layout(view)?.shape.first() {
        Some(&length) => Ok(length as usize),
        // Before 3.12, what has no dimensions has one item.
        None if !heap.version().since(12) => Ok(1),
        None => Err(ErrorClass::TypeError.into()),
    }
}

/// How many items a one-dimensional view has, which can be asked for one after the other.
fn item_count<H: Heap>(heap: &H, view: Slot) -> Result<usize> {
    let layout = heap.layout(view)?;
    match layout.ndim() {
        0 => Err(ErrorClass::TypeError.into()),
        1 => {
            check_format(layout)?;
            Ok(layout.shape[0] as usize)
        }
        // Before 3.10 nothing is refused until an item is asked for.
        _ if !has_iterator(heap) && layout.shape[0] == 0 => Ok(0),
        _ => Err(ErrorClass::NotImplementedError.into()),
    }
}

/// The items of a one-dimensional view.
pub(super) fn items<H: Heap>(heap: &H, view: Slot) -> Result<Vec<Value>> {
    if item_count(heap, view)? == 0 {
        return Ok(Vec::new());
    }
    values(heap, heap.layout(view)?.format, &contents(heap, view)?)
}

/// `adjust_fmt`: what is done on items is refused at once if the format is not of one character.
fn check_format(layout: &Layout) -> Result<()> {
    if layout.format.order.is_some() { Err(ErrorClass::NotImplementedError.into()) } else { Ok(()) }
}

/// Whether memoryviews have an iterator of their own, rather than that of all sequences.
fn has_iterator<H: Heap>(heap: &H) -> bool {
    heap.version().since(10)
}

fn values<H: Heap>(heap: &H, format: Format, bytes: &[u8]) -> Result<Vec<Value>> {
    bytes.chunks_exact(format.itemsize()).map(|bytes| unpack(heap, format, bytes)).collect()
}

fn unpack<H: Heap>(heap: &H, format: Format, bytes: &[u8]) -> Result {
    Ok(item::unpack(heap.version(), format, bytes)?)
}

/// What asking a view for an iterator raises.
pub(super) fn check_iterable<H: Heap>(heap: &H, view: Slot) -> Result<()> {
    if has_iterator(heap) {
        let layout = heap.layout(view)?;
        match layout.ndim() {
            0 => return Err(ErrorClass::TypeError.into()),
            1 => check_format(layout)?,
            _ => return Err(ErrorClass::NotImplementedError.into()),
        }
    }
    Ok(())
}

fn iter<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let view = receiver(step);
    check_iterable(heap, view)?;
    heap.iterate(super::dest(step), view);
    Ok(Value::Stored)
}

fn tolist<H: Heap>(heap: &H, view: Slot) -> Result {
    let layout = heap.layout(view)?;
    check_format(layout)?;
    let bytes = contents(heap, view)?;
    nested(heap, layout.format, &layout.shape, &bytes)
}

fn nested<H: Heap>(heap: &H, format: Format, shape: &[isize], bytes: &[u8]) -> Result {
    match shape {
        [] => unpack(heap, format, bytes),
        [_] => values(heap, format, bytes).map(Value::List),
        [first, rest @ ..] => {
            let size = rest.iter().product::<isize>() as usize * format.itemsize();
            let part = |place| nested(heap, format, rest, &bytes[place * size..][..size]);
            (0..*first as usize).map(part).collect::<Result<_>>().map(Value::List)
        }
    }
}

/// `memory_hash`: of read-only bytes whose owner can be hashed. Once computed it outlives the
/// release.
fn hash<H: Heap>(heap: &mut H, view: Slot) -> Result {
    let remembered = |heap: &H| heap.hashed(view).map(|bytes| Value::HashOf(bytes.clone()));
    match remembered(heap) {
        Some(hash) => Ok(hash),
        // Another thread may have computed it since, and have released the view.
        None => fresh_hash(heap, view).or_else(|stop| remembered(heap).ok_or(stop)),
    }
}

fn fresh_hash<H: Heap>(heap: &mut H, view: Slot) -> Result {
    let layout = heap.layout(view)?;
    if !layout.readonly || !layout.format.is_byte() {
        return Err(ErrorClass::ValueError.into());
    }
    match heap.owner(view)? {
        Owner::Bytes(_) => {}
        // The owner is hashed too, and remembers it.
        Owner::Object { slot: Some(slot), .. } if slot.kind == SlotKind::View => drop(hash(heap, slot)?),
        Owner::Object { unhashable: Some(class), .. } => return Err(class.into()),
        Owner::Object { unhashable: None, .. } => {}
    }
    let bytes: Seen = contents(heap, view)?.as_slice().into();
    heap.remember_hash(view, bytes.clone());
    Ok(Value::HashOf(bytes))
}

fn cast<H: Heap>(heap: &mut H, step: &Step) -> Result {
    // Before 3.10 the release is looked at before the arguments.
    if !heap.version().since(10) {
        heap.layout(receiver(step))?;
    }
    let Arg::Str(text) = &step.args[0] else {
        return Err(ErrorClass::TypeError.into());
    };
    let layout = heap.layout(receiver(step))?.clone();
    let shape = match step.args.get(1) {
        None => None,
        Some(Arg::List(items) | Arg::Tuple(items)) => Some(items),
        // So are those that `check_cast` finds before it.
        Some(_) => return Err(ErrorClass::TypeError.into()),
    };
    layout.check_cast(shape.map(|items| items.len()))?;
    let line = layout.cast_to_line(cast_format(heap, text)?)?;
    let cast = match shape {
        Some(items) => line.in_shape(items.iter().map(|item| index::ssize(heap, item)))?,
        None => line,
    };
    derive(heap, step, cast)
}

fn cast_format<H: Heap>(heap: &H, text: &str) -> Result<Format> {
    if !text.is_ascii() {
        return Err(ErrorClass::UnicodeEncodeError.into());
    }
    // It is a C string from here on.
    let text = text.split('\0').next().unwrap_or_default();
    let format = Format::parse(text).ok_or(ErrorClass::ValueError)?;
    let known = match format.code {
        Code::Half => heap.version().since(12),
        Code::FloatComplex | Code::DoubleComplex => heap.version().since(15),
        _ => true,
    };
    if known { Ok(format) } else { Err(ErrorClass::ValueError.into()) }
}

/// `memoryview.count` and `index`, from 3.14.
fn look_for<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let view = receiver(step);
    if !heap.version().since(14) {
        return Err(ErrorClass::AttributeError.into());
    }
    if step.op == Op::Count {
        if step.args.len() > 1 {
            return Err(ErrorClass::TypeError.into());
        }
        let length = item_count(heap, view)?;
        let (mut count, mut from) = (0, 0);
        let look = |heap: &mut H, place| nth(heap, view, place);
        while let Some(place) = super::compare::find(heap, &step.args[0], from..length, look)? {
            (count, from) = (count + 1, place + 1);
        }
        return Ok(Value::Int(count));
    }
    // `slice_index(accept={int})`: None is refused.
    let start = index::clipped_from(heap, step.args.get(1), 0)?;
    let stop = index::clipped_from(heap, step.args.get(2), isize::MAX)?;
    let layout = heap.layout(view)?;
    match layout.ndim() {
        0 => return Err(ErrorClass::TypeError.into()),
        1 => {}
        _ => return Err(ErrorClass::NotImplementedError.into()),
    }
    let (start, stop) = index::range(start, stop, layout.shape[0] as usize);
    let found = super::compare::find(heap, &step.args[0], start..stop, |heap, place| nth(heap, view, place))?;
    found.map_or(Err(ErrorClass::ValueError.into()), |place| Ok(Value::Int(place as i128)))
}

/// The item at a place of a view of one dimension.
fn nth<H: Heap>(heap: &H, view: Slot, place: usize) -> Result<Option<Value>> {
    let layout = heap.layout(view)?;
    check_format(layout)?;
    let mut bytes = item::Packed::from_elem(0, layout.itemsize());
    heap.read(view, layout.place(&[place as isize])?, &mut bytes)?;
    unpack(heap, layout.format, &bytes).map(Some)
}

/// The Pythons that look again at a view whose arguments may have released it (gh-92888).
const LOOKS_AGAIN: &[(u8, u8)] = &[(10, 6), (11, 0)];

/// Looks again at a view. Other Pythons than those that do so as well go on with memory that may be gone by then.
fn check_released_again<H: Heap>(heap: &H, view: Slot, looks: &[(u8, u8)]) -> Result<()> {
    let released = heap.layout(view).is_err();
    if released && heap.is_guarded() && !heap.version().has(looks) {
        return Err(Stop::Skip(Skip::Known));
    }
    if released { Err(Released.into()) } else { Ok(()) }
}

/// A tuple whose items can all stand for ints.
fn is_multi_index(key: &Arg) -> Option<&[Arg]> {
    match key {
        Arg::Tuple(items) if items.iter().all(index::is_index) => Some(items),
        _ => None,
    }
}

/// The offset of the item under a tuple of ints: as many as there are dimensions, each read when it is its turn.
fn multi_offset<H: Heap>(heap: &mut H, layout: &Layout, items: &[Arg]) -> Result<isize> {
    layout.place_at(items.iter().map(|item| index::ssize_or(heap, item, ErrorClass::IndexError)))
}

/// `memory_subscript`.
fn get<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let view = receiver(step);
    let key = &step.args[0];
    // The index is converted first; what it does may have released the view.
    let index = if index::is_index(key) && heap.layout(view)?.ndim() > 0 {
        Some(index::ssize_or(heap, key, ErrorClass::IndexError)?)
    } else {
        None
    };
    let layout = heap.layout(view)?;
    let single = |heap: &H, layout: &Layout, offset: isize| {
        let mut bytes = item::Packed::from_elem(0, layout.itemsize());
        heap.read(view, offset, &mut bytes)?;
        unpack(heap, layout.format, &bytes)
    };
    if layout.ndim() == 0 {
        return match key {
            Arg::Tuple(items) if items.is_empty() => single(heap, layout, layout.offset),
            _ => Err(ErrorClass::TypeError.into()),
        };
    }
    if let Some(index) = index {
        if layout.ndim() > 1 {
            return Err(ErrorClass::NotImplementedError.into());
        }
        check_format(layout)?;
        return single(heap, layout, layout.place(&[index])?);
    }
    match key {
        Arg::Slice(bounds) => slice_of(heap, step, bounds),
        _ => match is_multi_index(key) {
            Some(items) => {
                let layout = layout.clone();
                check_format(&layout)?;
                let offset = multi_offset(heap, &layout, items)?;
                check_released_again(heap, view, LOOKS_AGAIN)?;
                single(heap, &layout, offset)
            }
            None => Err(ErrorClass::TypeError.into()),
        },
    }
}

/// A view of a part. The new view is there before its bounds are read, so that it outlives a release by one of these.
fn slice_of<H: Heap>(heap: &mut H, step: &Step, bounds: &Bounds) -> Result {
    let view = receiver(step);
    let layout = heap.layout(view)?.clone();
    let part = |slice: Slice| {
        let part = slice.part(layout.shape[0] as usize);
        layout.slice(part.start, part.count as isize, part.step)
    };
    if !step.has_hooks() {
        let sliced = part(index::slice(heap, bounds)?);
        return match step.dest {
            Some(_) => derive(heap, step, sliced),
            None => Ok(Value::View(gather(heap, view, &sliced)?.as_slice().into())),
        };
    }
    let pin = heap.nesting().pin(SlotKind::View);
    heap.derive(pin, view, layout.clone())?;
    let result = index::slice(heap, bounds).and_then(|slice| {
        let sliced = part(slice);
        match step.dest {
            Some(dest) => {
                heap.derive(dest, pin, sliced)?;
                Ok(Value::Stored)
            }
            None => Ok(Value::View(gather(heap, pin, &sliced)?.as_slice().into())),
        }
    });
    heap.empty(pin);
    heap.nesting().unpin(SlotKind::View);
    result
}

/// `memory_ass_sub` with a value.
fn set<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let view = receiver(step);
    let (key, value) = (&step.args[0], &step.args[1]);
    let layout = heap.layout(view)?.clone();
    check_format(&layout)?;
    if layout.readonly {
        return Err(ErrorClass::TypeError.into());
    }
    let place = match (key, layout.ndim()) {
        (Arg::Tuple(items), 0) if items.is_empty() => layout.offset,
        (_, 0) => return Err(ErrorClass::TypeError.into()),
        (key, 1) if index::is_index(key) => {
            let index = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            layout.place(&[index])?
        }
        (key, _) if index::is_index(key) => return Err(ErrorClass::NotImplementedError.into()),
        (Arg::Slice(bounds), 1) => return assign(heap, view, &layout, bounds, value),
        (Arg::Slice(_), _) => return Err(ErrorClass::NotImplementedError.into()),
        _ => match is_multi_index(key) {
            Some(items) => multi_offset(heap, &layout, items)?,
            None => return Err(ErrorClass::TypeError.into()),
        },
    };
    let exact = exact_bytes(heap, value);
    let value = hooks::asked(heap, value, item::wanted(layout.format)).map_err(|stop| match stop {
        // `fix_error_int`
        Stop::Raise(ErrorClass::OverflowError) if layout.format.code != Code::Bool => {
            ErrorClass::ValueError.into()
        }
        stop => stop,
    })?;
    let packed = item::pack(
        layout.format,
        &value,
        |arg| truth(heap, arg),
        |_| exact.map(|bytes| item::Packed::from_slice(&bytes)),
    )?;
    // `pack_single` looks again after it has converted a value, and a character it converts none.
    let looks = if layout.format.code == Code::Char { &[] } else { LOOKS_AGAIN };
    check_released_again(heap, view, looks)?;
    heap.write(view, place, &packed)?;
    Ok(Value::None)
}

/// Assigns the contents of a buffer of the same format and shape to a slice: as if copied out
/// first, however the two overlap.
fn assign<H: Heap>(heap: &mut H, view: Slot, layout: &Layout, bounds: &Bounds, value: &Arg) -> Result {
    let read = |heap: &mut H| index::slice(heap, bounds);
    with_buffer_after(heap, value, Request::Full, read, |heap, source, bytes, slice| {
        check_released_again(heap, view, LOOKS_AGAIN)?;
        let part = slice.part(layout.shape[0] as usize);
        let target = layout.slice(part.start, part.count as isize, part.step);
        let same_format = (source.format.order, source.format.code) == (None, target.format.code);
        if !same_format || !super::compare::same_shape(&target, source) {
            return Err(ErrorClass::ValueError.into());
        }
        for (chunk, offset) in bytes.chunks_exact(target.itemsize()).zip(target.offsets()) {
            heap.write(view, offset, chunk)?;
        }
        Ok(Value::None)
    })?
}

fn length_of<H: Heap>(heap: &mut H, slot: Slot) -> Result<usize> {
    match slot.kind {
        SlotKind::Exporter => super::length(heap, slot),
        _ => length(heap, slot),
    }
}

/// Whether an object is true, as far as format `?` asks.
pub(super) fn truth<H: Heap>(heap: &mut H, arg: &Arg) -> std::result::Result<bool, ErrorClass> {
    Ok(match arg {
        Arg::None => false,
        Arg::Int(int) => int.value() != 0,
        Arg::Float(float) => float.value() != 0.0,
        Arg::Complex(real, imaginary) => real.value() != 0.0 || imaginary.value() != 0.0,
        Arg::Bytes(bytes) => !bytes.is_empty(),
        Arg::Str(text) => !text.is_empty(),
        Arg::List(items) | Arg::Tuple(items) => !items.is_empty(),
        Arg::Slice(_) | Arg::Hook(_) => true,
        Arg::Slot(slot) => match slot.kind {
            SlotKind::Exporter if heap.flavour(*slot) == Flavour::Stream => true,
            SlotKind::Exporter | SlotKind::View => match length_of(heap, *slot) {
                Ok(length) => length != 0,
                Err(super::Stop::Raise(class)) => return Err(class),
                Err(super::Stop::Skip(_)) => unreachable!("a length is never left out"),
            },
            SlotKind::Export if heap.export_class(*slot) == Class::Lock => {
                !heap.locked(*slot).map_err(|_| ErrorClass::ValueError)?.is_empty()
            }
            SlotKind::Export | SlotKind::Iterator => true,
        },
    })
}
