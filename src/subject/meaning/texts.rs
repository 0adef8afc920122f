//! Text: the class `Text` of `src/program/helpers.py`, and of the module `buflock`. It is a sequence of characters, to
//! `object` in all else, and lends its memory to nobody but by a lock (`locks.rs`).

use super::super::heap::{Flavour, Heap};
use super::super::index;
use super::super::item::{character, text};
use super::{Result, contents, exporter, receiver};
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Op, Slot, Step};

/// `Text()`: the characters in the narrowest width that fits them all (PEP 393).
pub(super) fn make<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let Arg::Str(text) = &step.args[0] else { return Err(ErrorClass::TypeError.into()) };
    let codes = || text.chars().map(u32::from);
    let (width, bytes) = match codes().max().unwrap_or(0) {
        0..=0xFF => (1, codes().map(|code| code as u8).collect()),
        0x100..=0xFFFF => (2, codes().flat_map(|code| (code as u16).to_ne_bytes()).collect()),
        _ => (4, codes().flat_map(u32::to_ne_bytes).collect()),
    };
    exporter(heap, step, Flavour::Text(width), bytes)
}

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let slot = receiver(step);
    match step.op {
        Op::Length => Ok(Value::Int(super::length(heap, slot)? as i128)),
        Op::List => Ok(Value::List(items(heap, slot))),
        Op::Iter => {
            heap.iterate(super::dest(step), slot);
            Ok(Value::Stored)
        }
        Op::Contains => {
            let items = items(heap, slot);
            let nth = |_: &mut H, place: usize| Ok(items.get(place).cloned());
            let found = super::compare::find(heap, &step.args[0], 0..items.len(), nth)?;
            Ok(Value::Bool(found.is_some()))
        }
        Op::Hash => Ok(Value::HashOfSlot(slot)),
        Op::Item => get(heap, slot, &step.args[0]),
        // `PyObject_SetItem` converts an index before it finds that nothing can be set.
        Op::SetItem | Op::DelItem => {
            index::ssize_or(heap, &step.args[0], ErrorClass::IndexError)?;
            Err(ErrorClass::TypeError.into())
        }
        // It has none of the operators.
        Op::Add | Op::Multiply | Op::Remainder | Op::InPlaceAdd | Op::InPlaceMultiply => {
            Err(ErrorClass::TypeError.into())
        }
        _ => unreachable!("{:?} is not an operation of a text", step.op),
    }
}

/// The characters, each a `str`.
pub(super) fn items<H: Heap>(heap: &mut H, slot: Slot) -> Vec<Value> {
    codes(heap, slot).into_iter().map(|code| text([code])).collect()
}

fn codes<H: Heap>(heap: &mut H, slot: Slot) -> Vec<u32> {
    let width = heap.flavour(slot).itemsize();
    contents(heap, slot).chunks_exact(width).map(character).collect()
}

/// `unicode_subscript`: a part of a text is a `str`.
fn get<H: Heap>(heap: &mut H, slot: Slot, key: &Arg) -> Result {
    let codes = codes(heap, slot);
    match key {
        key if index::is_index(key) => {
            let place = index::ssize_or(heap, key, ErrorClass::IndexError)?;
            Ok(text([codes[index::place(place, codes.len())?]]))
        }
        Arg::Slice(bounds) => {
            let part = index::slice(heap, bounds)?.part(codes.len());
            Ok(text(part.places().map(|place| codes[place])))
        }
        _ => Err(ErrorClass::TypeError.into()),
    }
}
