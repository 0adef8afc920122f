//! How Python turns arguments into numbers and bounds: `PyNumber_AsSsize_t`, `PySlice_Unpack`,
//! `PySlice_AdjustIndices` and their like, on 64-bit machines.

use super::heap::Heap;
use super::meaning::{Result, hooks};
use crate::history::ErrorClass;
use crate::program::{Arg, Bounds, Hook, Protocol};

/// Whether an object can stand for an `int`: `PyIndex_Check`.
pub fn is_index(arg: &Arg) -> bool {
    matches!(arg, Arg::Int(_)) || arg.method(Protocol::Index).is_some()
}

/// `PyNumber_Index`: an `int`, or `TypeError`.
pub fn index<H: Heap>(heap: &mut H, arg: &Arg) -> Result<i128> {
    let answer = match arg.method(Protocol::Index) {
        Some(method) => hooks::call(heap, method)?,
        None => arg,
    };
    match answer {
        Arg::Int(int) => Ok(int.value()),
        _ => Err(ErrorClass::TypeError.into()),
    }
}

/// An `int` that fits `ssize_t`, or `beyond`.
pub fn ssize_or<H: Heap>(heap: &mut H, arg: &Arg, beyond: ErrorClass) -> Result<isize> {
    isize::try_from(index(heap, arg)?).map_err(|_| beyond.into())
}

/// An `int` that fits `ssize_t`, or `OverflowError`.
pub fn ssize<H: Heap>(heap: &mut H, arg: &Arg) -> Result<isize> {
    ssize_or(heap, arg, ErrorClass::OverflowError)
}

/// The same, or the default if it is left out.
pub fn ssize_from<H: Heap>(heap: &mut H, arg: Option<&Arg>, default: isize) -> Result<isize> {
    arg.map_or(Ok(default), |arg| ssize(heap, arg))
}

/// An `int` cut to the range of `ssize_t`.
pub fn clipped(value: i128) -> isize {
    value.clamp(isize::MIN as i128, isize::MAX as i128) as isize
}

/// An `int` that may be left out, cut to the range of `ssize_t`; `None` is none.
pub fn clipped_from<H: Heap>(heap: &mut H, arg: Option<&Arg>, default: isize) -> Result<isize> {
    arg.map_or(Ok(default), |arg| index(heap, arg).map(clipped))
}

/// An optional bound: `None` or left out is `default`, anything else but an `int` a `TypeError`.
pub fn bound<H: Heap>(heap: &mut H, arg: Option<&Arg>, default: isize) -> Result<isize> {
    clipped_from(heap, arg.filter(|arg| **arg != Arg::None), default)
}

/// An `int` of C: what does not fit is an `OverflowError`.
pub fn c_int<H: Heap>(heap: &mut H, arg: &Arg) -> Result<i32> {
    i32::try_from(index(heap, arg)?).map_err(|_| ErrorClass::OverflowError.into())
}

/// The same, or the default if it is left out.
pub fn c_int_from<H: Heap>(heap: &mut H, arg: Option<&Arg>, default: i32) -> Result<i32> {
    arg.map_or(Ok(default), |arg| c_int(heap, arg))
}

/// A byte: `TypeError` if not an `int`, `ValueError` if not in range.
pub fn byte<H: Heap>(heap: &mut H, arg: &Arg) -> Result<u8> {
    u8::try_from(index(heap, arg)?).map_err(|_| ErrorClass::ValueError.into())
}

/// The place of an index that may count from the end; `IndexError` if it is not within `length` items.
pub fn place(index: isize, length: usize) -> std::result::Result<usize, ErrorClass> {
    let place = if index < 0 { index.checked_add_unsigned(length) } else { Some(index) };
    let place = place.and_then(|place| usize::try_from(place).ok()).filter(|&place| place < length);
    place.ok_or(ErrorClass::IndexError)
}

/// `start` and `end` of a search, as `find` and its like adjust them. `start` may lie beyond `end`.
pub fn range(start: isize, end: isize, length: usize) -> (usize, usize) {
    let adjust = |index: isize| {
        if index < 0 { index.saturating_add_unsigned(length).max(0) as usize } else { index as usize }
    };
    (adjust(start), adjust(end).min(length))
}

/// The items that a slice takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The first, or where the slice would begin: from -1 to the length.
    pub start: isize,
    /// Where the slice ends, as `PySlice_AdjustIndices` leaves it.
    pub stop: isize,
    /// How far apart they are; not zero.
    pub step: isize,
    /// How many they are.
    pub count: usize,
}

/// The bounds of a slice before it is known of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    start: isize,
    stop: isize,
    step: isize,
}

/// `PySlice_Unpack`: the step is read first, and zero is a `ValueError` at once.
pub fn slice<H: Heap>(heap: &mut H, bounds: &Bounds) -> Result<Slice> {
    unpack(bounds, |arg| bound_of(heap, arg))
}

/// The same of what hooks are known to answer; `None` of what would raise.
pub fn plain_slice(bounds: &Bounds) -> Option<Slice> {
    let plain = |arg: &Arg| match arg.hook().map_or(arg.clone(), Hook::plain) {
        Arg::Int(int) => Ok(Some(clipped(int.value()))),
        _ => Ok(None),
    };
    unpack(bounds, plain).ok()
}

/// `_PyEval_SliceIndex`: `None` is none.
fn bound_of<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Option<isize>> {
    if *arg == Arg::None { Ok(None) } else { index(heap, arg).map(|value| Some(clipped(value))) }
}

fn unpack(
    [start, stop, step]: &Bounds,
    mut bound: impl FnMut(&Arg) -> Result<Option<isize>>,
) -> Result<Slice> {
    let step = bound(step)?.unwrap_or(1).max(-isize::MAX);
    if step == 0 {
        return Err(ErrorClass::ValueError.into());
    }
    let (first, last) = if step < 0 { (isize::MAX, isize::MIN) } else { (0, isize::MAX) };
    let start = bound(start)?.unwrap_or(first);
    Ok(Slice { start, stop: bound(stop)?.unwrap_or(last), step })
}

impl Slice {
    /// Whether the items need not be side by side.
    pub fn is_extended(self) -> bool {
        self.step != 1
    }

    /// The items that it takes of so many: `PySlice_AdjustIndices`.
    pub fn part(self, length: usize) -> Part {
        let (step, length) = (self.step, length as isize);
        // The lowest and highest place at which such a slice can begin or end.
        let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
        let adjust = |bound: isize| {
            let bound = if bound < 0 { bound.saturating_add(length).max(low) } else { bound };
            bound.min(high)
        };
        let (start, stop) = (adjust(self.start), adjust(self.stop));
        let count = if step < 0 {
            if stop < start { (start - stop - 1) / -step + 1 } else { 0 }
        } else if start < stop {
            (stop - start - 1) / step + 1
        } else {
            0
        };
        Part { start, stop, step, count: count as usize }
    }
}

impl Part {
    /// The places of the items.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..self.count as isize).map(move |number| (self.start + number * self.step) as usize)
    }
}
