//! How Python turns arguments into numbers and bounds: `PyNumber_AsSsize_t`, `PySlice_Unpack`,
//! `PySlice_AdjustIndices` and their like, on 64-bit machines.

use crate::history::ErrorClass;
use crate::program::{Arg, Int, SliceArg};

/// An `int`, or `TypeError`: what `__index__` gives.
pub fn index(arg: &Arg) -> Result<i128, ErrorClass> {
    match arg {
        Arg::Int(int) => Ok(int.value()),
        _ => Err(ErrorClass::TypeError),
    }
}

/// An `int` that fits `ssize_t`, or `beyond`.
pub fn ssize_or(arg: &Arg, beyond: ErrorClass) -> Result<isize, ErrorClass> {
    isize::try_from(index(arg)?).map_err(|_| beyond)
}

/// An `int` that fits `ssize_t`, or `OverflowError`.
pub fn ssize(arg: &Arg) -> Result<isize, ErrorClass> {
    ssize_or(arg, ErrorClass::OverflowError)
}

/// An `int` cut to the range of `ssize_t`.
pub fn clipped(value: i128) -> isize {
    value.clamp(isize::MIN as i128, isize::MAX as i128) as isize
}

/// An optional bound: `None` or left out is `default`, anything else but an `int` a `TypeError`.
pub fn bound(arg: Option<&Arg>, default: isize) -> Result<isize, ErrorClass> {
    match arg {
        None | Some(Arg::None) => Ok(default),
        Some(arg) => index(arg).map(clipped),
    }
}

/// A byte: `TypeError` if not an `int`, `ValueError` if not in range.
pub fn byte(arg: &Arg) -> Result<u8, ErrorClass> {
    u8::try_from(index(arg)?).map_err(|_| ErrorClass::ValueError)
}

/// The place of an index that may count from the end; `IndexError` if it is not within `length` items.
pub fn place(index: isize, length: usize) -> Result<usize, ErrorClass> {
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

/// Resolves a slice of `length` items; a step of zero is a `ValueError`.
pub fn slice(slice: &SliceArg, length: usize) -> Result<Part, ErrorClass> {
    let step = slice.step.map_or(1, |step| clipped(step.value()));
    if step == 0 {
        return Err(ErrorClass::ValueError);
    }
    let step = step.max(-isize::MAX);
    let length = length as isize;
    // The lowest and highest place at which such a slice can begin or end.
    let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let adjust = |bound: Option<Int>, default: isize| match bound {
        None => default,
        Some(bound) => {
            let bound = clipped(bound.value());
            let bound = if bound < 0 { bound.saturating_add(length).max(low) } else { bound };
            bound.min(high)
        }
    };
    let (first, last) = if step < 0 { (high, low) } else { (low, high) };
    let (start, stop) = (adjust(slice.start, first), adjust(slice.stop, last));
    let count = if step < 0 {
        if stop < start { (start - stop - 1) / -step + 1 } else { 0 }
    } else if start < stop {
        (stop - start - 1) / step + 1
    } else {
        0
    };
    Ok(Part { start, stop, step, count: count as usize })
}

impl Part {
    /// The places of the items.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..self.count as isize).map(move |number| (self.start + number * self.step) as usize)
    }
}
