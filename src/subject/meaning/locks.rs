//! Locks, by the interface of PEP 298: `lock` of `src/program/helpers.py`, and the class `Locked` there and in the module
//! `buflock`, which are one.

use super::super::heap::{Flavour, Heap, Source};
use super::super::index;
use super::{Result, bytes_of, dest, receiver};
use crate::exporter::Access;
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Op, SlotKind, Step};

pub(super) fn run<H: Heap>(heap: &mut H, step: &Step) -> Result {
    if step.op == Op::Lock {
        return lock(heap, step);
    }
    let slot = receiver(step);
    // Nothing else in such a slot has a length.
    let access = heap.lock_access(slot).ok_or(ErrorClass::TypeError)?;
    match step.op {
        Op::LockedLength => Ok(Value::Int(heap.locked(slot)?.len() as i128)),
        Op::LockedBytes => Ok(Value::Bytes(heap.locked(slot)?.as_slice().into())),
        _ => {
            let offset = usize::try_from(index::index(heap, &step.args[0])?);
            let offset = offset.map_err(|_| ErrorClass::OverflowError)?;
            let bytes = bytes_of(heap, &step.args[1])?;
            let room = heap.locked(slot)?.len().checked_sub(offset);
            if access == Access::Read {
                return Err(ErrorClass::TypeError.into());
            }
            if room.is_none_or(|room| room < bytes.len()) {
                return Err(ErrorClass::ValueError.into());
            }
            heap.write_locked(slot, offset, &bytes);
            Ok(Value::None)
        }
    }
}

/// Which objects can be locked (L6, L8), and for what. While one is, it cannot be resized (L5): a lock counts as an export.
fn lock<H: Heap>(heap: &mut H, step: &Step) -> Result {
    let access = match step.args.get(1) {
        None => Access::Read,
        Some(Arg::Str(text)) if &**text == "read" => Access::Read,
        Some(Arg::Str(text)) if &**text == "write" => Access::Write,
        Some(_) => return Err(ErrorClass::ValueError.into()),
    };
    let (source, flavour) = match &step.args[0] {
        Arg::Bytes(bytes) => (Source::Bytes(bytes), Flavour::Bytes),
        Arg::Slot(slot) if slot.kind == SlotKind::Exporter => (Source::Slot(*slot), heap.flavour(*slot)),
        _ => return Err(ErrorClass::TypeError.into()),
    };
    match (flavour, source) {
        (Flavour::Stream | Flavour::CArray(_), _) => return Err(ErrorClass::TypeError.into()),
        (Flavour::Mmap(_), Source::Slot(slot)) if heap.is_closed(slot) => {
            return Err(ErrorClass::ValueError.into());
        }
        _ if access == Access::Write && flavour.layout(0).readonly => {
            return Err(ErrorClass::TypeError.into());
        }
        _ => {}
    }
    heap.lock(dest(step), source, access)?;
    Ok(Value::Stored)
}
