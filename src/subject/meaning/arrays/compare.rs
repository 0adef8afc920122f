//! `array_richcompare`.

use std::cmp::Ordering;

use super::super::super::heap::{Buffer, Flavour, Heap, Version};
use super::super::super::item::{self, Item};
use super::super::{Result, contents};
use crate::exporter::{Code, TypeCode};
use crate::history::ErrorClass;
use crate::program::Slot;

/// `one == other`
pub fn equal<H: Heap>(heap: &mut H, one: Slot, other: Slot) -> Result<bool> {
    let (one, other) = (Side::new(heap, one), Side::new(heap, other));
    if one.items() != other.items() {
        return Ok(false);
    }
    Ok(difference(heap.version(), &one, &other)?.is_none())
}

/// `one < other`
pub fn less<H: Heap>(heap: &mut H, one: Slot, other: Slot) -> Result<bool> {
    let (one, other) = (Side::new(heap, one), Side::new(heap, other));
    match difference(heap.version(), &one, &other)? {
        None => Ok(one.items() < other.items()),
        Some((Item::Letter(left), Item::Letter(right))) => Ok(left < right),
        // What has no order, or is of another kind.
        Some((Item::Letter(_) | Item::Complex(..), _) | (_, Item::Letter(_) | Item::Complex(..))) => {
            Err(ErrorClass::TypeError.into())
        }
        Some((left, right)) => Ok(order(left, right).is_some_and(Ordering::is_lt)),
    }
}

struct Side {
    code: TypeCode,
    bytes: Buffer,
}

impl Side {
    fn new<H: Heap>(heap: &mut H, slot: Slot) -> Side {
        let Flavour::Array(code) = heap.flavour(slot) else { unreachable!("{slot} is an array") };
        Side { code, bytes: contents(heap, slot) }
    }

    fn items(&self) -> usize {
        self.bytes.len() / self.code.itemsize()
    }
}

/// The first two items that differ.
fn difference(version: Version, one: &Side, other: &Side) -> Result<Option<(Item, Item)>> {
    // Of the same type, what is no character can be compared all the same.
    let fast = one.code == other.code && one.code.code() == Code::Wide;
    let read = |side: &Side, bytes: &[u8]| match side.code.name() {
        // `wchar_t` has a sign where `Py_UCS4` has none.
        "u" if fast => Ok(Item::Int(i128::from(item::code_point(bytes) as std::ffi::c_int))),
        _ if fast => Ok(Item::Int(item::code_point(bytes).into())),
        _ => item::get(version, side.code, bytes),
    };
    let items = |side: &'_ Side| side.code.itemsize();
    let pairs = one.bytes.chunks_exact(items(one)).zip(other.bytes.chunks_exact(items(other)));
    for (left, right) in pairs {
        let (left, right) = (read(one, left)?, read(other, right)?);
        let same = match (left, right) {
            (Item::Letter(left), Item::Letter(right)) => left == right,
            (Item::Letter(_), _) | (_, Item::Letter(_)) => false,
            (Item::Complex(real, imaginary), Item::Complex(other, other_imaginary)) => {
                (real, imaginary) == (other, other_imaginary)
            }
            (Item::Complex(real, imaginary), other) | (other, Item::Complex(real, imaginary)) => {
                imaginary == 0.0 && order(Item::Float(real), other) == Some(Ordering::Equal)
            }
            _ => order(left, right) == Some(Ordering::Equal),
        };
        if !same {
            return Ok(Some((left, right)));
        }
    }
    Ok(None)
}

/// The order of two numbers, exactly; `None` if one of them is none.
fn order(one: Item, other: Item) -> Option<Ordering> {
    let int_and_float = |int: i128, float: f64| {
        // What is beyond all items is beyond `int`; within, the whole part of a `float` is exact.
        if float.is_nan() {
            None
        } else if float.abs() >= 2f64.powi(100) {
            Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater })
        } else {
            let whole = float.floor();
            let rest = if float > whole { Ordering::Less } else { Ordering::Equal };
            Some(int.cmp(&(whole as i128)).then(rest))
        }
    };
    match (one, other) {
        (Item::Int(one), Item::Int(other)) => Some(one.cmp(&other)),
        (Item::Float(one), Item::Float(other)) => one.partial_cmp(&other),
        (Item::Int(int), Item::Float(float)) => int_and_float(int, float),
        (Item::Float(float), Item::Int(int)) => int_and_float(int, float).map(Ordering::reverse),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_and_floats_are_ordered_exactly() {
        let (int, float) = (Item::Int, Item::Float);
        for (one, other, expected) in [
            (int(1), float(1.0), Some(Ordering::Equal)),
            (int(1), float(1.5), Some(Ordering::Less)),
            (int(-1), float(-1.5), Some(Ordering::Greater)),
            (int((1 << 53) + 1), float(2f64.powi(53)), Some(Ordering::Greater)),
            (int((1 << 64) - 1), float(2f64.powi(64)), Some(Ordering::Less)),
            (int(0), float(-0.0), Some(Ordering::Equal)),
            (int(0), float(f64::NEG_INFINITY), Some(Ordering::Greater)),
            (int(0), float(1e300), Some(Ordering::Less)),
            (int(0), float(f64::NAN), None),
            (float(f64::NAN), float(f64::NAN), None),
        ] {
            assert_eq!(order(one, other), expected, "{one:?} {other:?}");
            assert_eq!(order(other, one), expected.map(Ordering::reverse), "{other:?} {one:?}");
        }
    }
}
