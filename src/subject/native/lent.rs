//! Objects that live elsewhere, lent to the slots of the native subject for one step.
//!
//! An exporter is a handle to memory that others may have handles to as well. So a step can mean what it means to the
//! native subject, on the memory of an object of Python.

use super::{Held, Native};
use crate::exporter::{Access, Bytes, Export, Provider, View};
use crate::program::Slot;

impl Native {
    /// Fills a slot of exporters.
    pub fn lend_exporter(&mut self, slot: Slot, exporter: Provider) {
        self.exporters.put(slot, exporter);
    }

    /// Fills a slot of views; without one, with a view that was released.
    pub fn lend_view(&mut self, slot: Slot, view: Option<View>) {
        let view = view.unwrap_or_else(|| {
            let view = View::new(Bytes::new(&[]).export());
            view.release().expect("nobody has an export of it");
            view
        });
        self.set_view(slot, view);
    }

    /// Fills a slot of exports; without one, with an export that was released.
    pub fn lend_export(&mut self, slot: Slot, export: Option<Export>) {
        self.hold_in(slot, Held::PickleBuffer(export));
    }

    /// Fills a slot of exports with a lock of so many bytes; without, with one that was released.
    pub fn lend_lock(&mut self, slot: Slot, length: Option<usize>) {
        let lock = |length| Provider::from(Bytes::new(&vec![0; length])).lock(Access::Read);
        let held = length.map(|length| lock(length).expect("bytes can be locked for reading"));
        self.hold_in(slot, Held::Lock(Access::Read, held));
    }

    /// Empties a slot of exporters: what a step made is there.
    pub fn take_exporter(&mut self, slot: Slot) -> Option<Provider> {
        self.exporters.take(slot)
    }
}
