//! What operations find in the native subject: real exporters, views, exports and iterators.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

use super::super::heap::{
    Buffer, Flavour, Form, Heap, Memory, Owner, Source, Version, length_for_iterator, next_offset,
};
use super::{Held, Iteration, Native, Target, cursor, flavour, gather, is_closed, operate, unhashable};
use crate::exporter::{
    Access, Array, ByteArray, Bytes, CArray, Closing, Export, Exported, Format, Layout, LockError, MapError,
    Mapping, Mmap, Provider, Released, Stream, View,
};
use crate::history::{ErrorClass, Seen};
use crate::program::{Slot, SlotKind};

impl Heap for Native {
    type Hold = Export;

    fn version(&self) -> Version {
        self.version
    }

    fn holds(&self, slot: Slot) -> bool {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].is_some(),
            SlotKind::View => self.views[slot.at()].is_some(),
            SlotKind::Export => self.exports[slot.at()].is_some(),
            SlotKind::Iterator => self.iterators[slot.at()].is_some(),
        }
    }

    fn same(&self, one: Slot, other: Slot) -> bool {
        match (one.kind, other.kind) {
            (SlotKind::Exporter, SlotKind::Exporter) => self.exporter(one).same(self.exporter(other)),
            (SlotKind::View, SlotKind::View) => self.viewed(one).same(self.viewed(other)),
            _ => one == other,
        }
    }

    fn empty(&mut self, slot: Slot) {
        match slot.kind {
            SlotKind::Exporter => drop(self.exporters.take(slot)),
            SlotKind::View => drop(self.views.take(slot)),
            SlotKind::Export => drop(self.exports.take(slot)),
            SlotKind::Iterator => drop(self.iterators.take(slot)),
        }
    }

    fn flavour(&self, exporter: Slot) -> Flavour {
        flavour(self.exporter(exporter))
    }

    fn store(&mut self, dest: Slot, flavour: Flavour, bytes: Vec<u8>) {
        let exporter = match flavour {
            Flavour::Bytes => Bytes::new(&bytes).into(),
            Flavour::ByteArray => ByteArray::new(bytes).into(),
            Flavour::Array(code) => Array::new(code, &bytes).into(),
            Flavour::Mmap(mapping) => {
                let map = Mmap::anonymous(bytes.len(), mapping).expect("a few bytes can be mapped");
                if !mapping.readonly {
                    map.operate(|operation| operation.write(0, 1, &bytes)).expect("a new map is open");
                }
                map.into()
            }
            Flavour::Stream => Stream::new(bytes).into(),
            Flavour::CArray => CArray::new(bytes).into(),
        };
        self.exporters.put(dest, exporter);
    }

    fn is_closed(&self, exporter: Slot) -> bool {
        is_closed(self.exporter(exporter))
    }

    fn close(&mut self, exporter: Slot) -> Result<(), Exported> {
        match self.exporter(exporter) {
            Provider::Mmap(map) => map.close(Closing::Refuse),
            Provider::Stream(stream) => stream.close(),
            other => unreachable!("{} cannot be closed", other.name()),
        }
    }

    fn renew(&mut self, stream: Slot, bytes: Vec<u8>) -> Result<(), Exported> {
        match self.exporter(stream) {
            Provider::Stream(stream) => stream.renew(bytes),
            other => unreachable!("{} is no stream", other.name()),
        }
    }

    fn cursor(&self, exporter: Slot) -> usize {
        cursor(self.exporter(exporter))
    }

    fn set_cursor(&mut self, exporter: Slot, place: usize) {
        match self.exporter(exporter) {
            Provider::Mmap(map) => map.set_cursor(place),
            Provider::Stream(stream) => stream.set_cursor(place),
            other => unreachable!("{} has no cursor", other.name()),
        }
    }

    fn map_file(&mut self, dest: Slot, mapping: Mapping, contents: &[u8], length: usize) {
        let name = "a file of a program";
        let file = memfd_create(name, MemfdFlags::CLOEXEC).map(File::from).expect("a file can be made");
        file.write_all_at(contents, 0).expect("a few bytes can be written");
        let map = Mmap::of_file(&file, 0, Some(length), mapping).expect("a few bytes can be mapped");
        self.exporters.put(dest, map.into());
    }

    fn file_length(&self, exporter: Slot) -> Option<usize> {
        let Provider::Mmap(map) = self.exporter(exporter) else { return None };
        let length =
            map.operate(|operation| operation.file_length()).expect("a closed object is asked nothing");
        length.map(|length| length.expect("the file is open") as usize)
    }

    fn remap(&mut self, exporter: Slot, length: usize) -> Result<(), Exported> {
        let Provider::Mmap(map) = self.exporter(exporter) else { unreachable!("{exporter} is no map") };
        match map.operate(|operation| operation.remap(length)).expect("a closed object is asked nothing") {
            Err(MapError::Exported(exported)) => Err(exported),
            other => {
                other.expect("a map of a few bytes can have a few more or less");
                Ok(())
            }
        }
    }

    fn operate<R>(&mut self, exporter: Slot, f: impl FnOnce(&mut dyn Memory) -> R) -> R {
        operate(self.exporter(exporter), f)
    }

    fn view(&mut self, dest: Slot, source: Source<'_>) -> Result<(), Released> {
        if let Source::Slot(slot) = source
            && slot.kind == SlotKind::View
        {
            let layout = self.viewed(slot).layout()?.clone();
            return self.derive(dest, slot, layout);
        }
        let view = View::new(self.acquire(source)?);
        self.set_view(dest, view);
        Ok(())
    }

    fn derive(&mut self, dest: Slot, view: Slot, layout: Layout) -> Result<(), Released> {
        let view = self.viewed(view).derive(layout)?;
        self.set_view(dest, view);
        Ok(())
    }

    fn release_view(&mut self, view: Slot) -> Result<(), Exported> {
        self.viewed(view).release()
    }

    fn layout(&self, view: Slot) -> Result<&Layout, Released> {
        self.viewed(view).layout()
    }

    fn read(&self, view: Slot, offset: isize, out: &mut [u8]) -> Result<(), Released> {
        self.viewed(view).read(offset, out)
    }

    fn write(&mut self, view: Slot, offset: isize, bytes: &[u8]) -> Result<(), Released> {
        self.viewed(view).write(offset, bytes)
    }

    fn owner(&self, view: Slot) -> Result<Owner, Released> {
        Ok(match self.viewed(view).provider()? {
            Provider::Bytes(bytes) => Owner::Bytes(bytes.as_slice().into()),
            Provider::View(view) => {
                let slot = Slot::all(SlotKind::View)
                    .find(|slot| self.views[slot.at()].as_ref().is_some_and(|other| other.view.same(&view)));
                Owner::Object { slot, unhashable: unhashable(&Provider::View(view)) }
            }
            // The buffer of a stream is an object of its own.
            exporter @ Provider::Stream(_) => Owner::Object { slot: None, unhashable: unhashable(&exporter) },
            exporter => {
                let is_it =
                    |slot: &Slot| self.exporters[slot.at()].as_ref().is_some_and(|own| own.same(&exporter));
                let slot = Slot::all(SlotKind::Exporter).find(is_it);
                Owner::Object { slot, unhashable: unhashable(&exporter) }
            }
        })
    }

    fn hashed(&self, view: Slot) -> Option<&Seen> {
        self.views[view.at()].as_ref()?.hashed.as_ref()
    }

    fn remember_hash(&mut self, view: Slot, of: Seen) {
        if let Some(viewed) = self.views.get_mut(view) {
            viewed.hashed = Some(of);
        }
    }

    fn export(&mut self, dest: Slot, source: Source<'_>) -> Result<(), Released> {
        let export = self.acquire(source)?;
        self.exports.put(dest, Held::Export(Some(export)));
        Ok(())
    }

    fn release_export(&mut self, export: Slot) {
        match self.exports.get_mut(export) {
            Some(Held::Export(held)) => *held = None,
            Some(Held::Lock(_, held)) => *held = None,
            None => {}
        }
    }

    fn lock(&mut self, dest: Slot, source: Source<'_>, access: Access) -> Result<(), Released> {
        let lock = match source {
            Source::Bytes(bytes) => Provider::from(Bytes::new(bytes)).lock(access),
            Source::Slot(slot) => self.exporter(slot).lock(access),
        };
        match lock {
            Ok(buffer) => {
                self.exports.put(dest, Held::Lock(access, Some(buffer)));
                Ok(())
            }
            Err(LockError::Closed) => Err(Released),
            Err(error) => unreachable!("it was found that {source:?} can be locked, but {error}"),
        }
    }

    fn lock_access(&self, export: Slot) -> Option<Access> {
        match self.exports[export.at()] {
            Some(Held::Lock(access, _)) => Some(access),
            _ => None,
        }
    }

    fn locked(&self, lock: Slot) -> Result<Buffer, Released> {
        let Some(Held::Lock(_, Some(buffer))) = &self.exports[lock.at()] else { return Err(Released) };
        let mut bytes = Buffer::from_elem(0, buffer.len());
        buffer.read(0, &mut bytes);
        Ok(bytes)
    }

    fn write_locked(&mut self, lock: Slot, offset: usize, bytes: &[u8]) {
        match &self.exports[lock.at()] {
            Some(Held::Lock(_, Some(buffer))) => buffer.write(offset, bytes),
            other => unreachable!("{other:?} is no lock that is held"),
        }
    }

    fn iterate(&mut self, dest: Slot, source: Slot) {
        let target = match source.kind {
            SlotKind::Exporter => Target::Exporter(self.exporter(source).clone()),
            _ => {
                let view = self.viewed(source);
                Target::View(view.clone(), length_for_iterator(view.layout()))
            }
        };
        self.iterators.put(dest, Iteration { target: Some(target), next: 0, unpacks: false });
    }

    fn unpack(&mut self, dest: Slot, source: Source<'_>, format: Format) -> Result<(), Released> {
        let target = Some(Target::Unpack(self.acquire(source)?, format));
        self.iterators.put(dest, Iteration { target, next: 0, unpacks: true });
        Ok(())
    }

    fn unpacks(&self, iterator: Slot) -> bool {
        self.iterators[iterator.at()].as_ref().is_some_and(|iteration| iteration.unpacks)
    }

    fn is_stream(&self, iterator: Slot) -> bool {
        matches!(self.iterated(iterator), Some(Provider::Stream(_)))
    }

    fn advance(&mut self, iterator: Slot) -> Result<Option<(Form, Seen)>, ErrorClass> {
        let iteration = self.iterators.get_mut(iterator).expect("only filled slots are asked");
        let Some(target) = &iteration.target else { return Ok(None) };
        let item = match target {
            Target::Exporter(exporter) if is_closed(exporter) => return Err(ErrorClass::ValueError),
            Target::Exporter(exporter) => {
                let form = flavour(exporter).form();
                let size = flavour(exporter).itemsize();
                let place = iteration.next * size;
                operate(exporter, |memory| {
                    let fits = place + size <= memory.length();
                    fits.then(|| (form, (place..place + size).map(|place| memory.get(place)).collect()))
                })
            }
            Target::Unpack(export, format) => {
                let (layout, size) = (export.layout(), format.itemsize());
                (iteration.next * size < layout.nbytes()).then(|| {
                    let mut bytes = Seen::from_elem(0, size);
                    export.read(layout.offset + (iteration.next * size) as isize, &mut bytes);
                    format.reorder(&mut bytes);
                    (Form::View(*format), bytes)
                })
            }
            Target::View(view, length) => {
                match next_offset(self.version, *length, iteration.next, view.layout())? {
                    Some(offset) => {
                        let layout = view.layout().map_err(|Released| ErrorClass::ValueError)?;
                        let mut bytes = Seen::from_elem(0, layout.itemsize());
                        view.read(offset, &mut bytes).map_err(|Released| ErrorClass::ValueError)?;
                        Some((Form::View(layout.format), bytes))
                    }
                    None => None,
                }
            }
        };
        match item {
            Some(_) => iteration.next += 1,
            None => iteration.target = None,
        }
        Ok(item)
    }

    fn hold(&mut self, slot: Slot) -> Result<Export, Released> {
        self.acquire(Source::Slot(slot))
    }

    fn held_layout<'a>(&'a self, hold: &'a Export) -> &'a Layout {
        hold.layout()
    }

    fn held_contents(&self, hold: &Export) -> Buffer {
        gather(hold.layout(), |offset, out| hold.read(offset, out))
    }

    fn write_held(&mut self, hold: &Export, offset: isize, bytes: &[u8]) {
        if !bytes.is_empty() {
            hold.write(offset, bytes);
        }
    }

    fn unhold(&mut self, hold: Export, failed: bool) {
        if failed {
            hold.abandon();
        }
    }
}
