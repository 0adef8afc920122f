//! What the slots of exports hold, and whose memory an export is of.

use super::super::heap::{Flavour, Owner};
use super::{Id, Kind, Model};
use crate::exporter::{Access, Answer};
use crate::program::{Slot, SlotKind};

/// What is in a slot of exports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Held {
    /// One that was asked for everything; `None` once it is released.
    PickleBuffer(Option<Id>),
    /// One that was asked for with flags; `None` once it is released.
    RawBuffer(Option<Id>, Box<Answer>),
    /// A lock, and what it is for; `None` once it is released.
    Lock(Access, Option<Id>),
    /// No export, but an object that makes them.
    Lender(Id),
}

impl Held {
    /// The object that gave the export, or that makes them.
    pub(super) fn of(&self) -> Option<Id> {
        match self {
            Held::PickleBuffer(of) | Held::RawBuffer(of, _) | Held::Lock(_, of) => *of,
            Held::Lender(lender) => Some(*lender),
        }
    }
}

impl Model {
    /// Puts something in a slot of exports.
    pub(super) fn put_export(&mut self, dest: Slot, held: Held) {
        if let Some(old) = self.exports.put(dest, held) {
            self.drop_export(old);
        }
    }

    pub(super) fn drop_export(&mut self, held: Held) {
        match held {
            Held::PickleBuffer(of) | Held::RawBuffer(of, _) | Held::Lock(_, of) => {
                of.into_iter().for_each(|of| self.relinquish(of))
            }
            Held::Lender(lender) => self.forget(lender),
        }
    }

    /// Who the owner of memory is to a program.
    pub(super) fn owner_of(&self, owner: Id) -> Owner {
        let named = |kind: SlotKind| {
            Slot::all(kind).find(|slot| match kind {
                SlotKind::Exporter => self.exporters[slot.at()] == Some(owner),
                _ => self.views[slot.at()] == Some(owner),
            })
        };
        match self.kind(owner) {
            Kind::Exporter { flavour: Flavour::Bytes, bytes, .. } => Owner::Bytes(bytes.as_slice().into()),
            Kind::Exporter { flavour, .. } => Owner::Object {
                // The buffer of a stream is an object of its own.
                slot: named(SlotKind::Exporter).filter(|_| *flavour != Flavour::Stream),
                unhashable: self.unhashable(owner),
            },
            _ => Owner::Object { slot: named(SlotKind::View), unhashable: self.unhashable(owner) },
        }
    }
}
