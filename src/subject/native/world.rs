//! What operations find in the native subject: real exporters, views, exports and iterators.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use super::super::errand;
use super::super::heap::{
    Buffer, Flavour, Form, Heap, Memory, Nesting, NotLent, Owner, Source, Version, length_for_iterator,
    next_offset,
};
use super::super::item::character;
use super::{
    Held, Iteration, Native, Place, Target, bytes_behind, cursor, export, flavour, gather, is_closed, operate,
};
use crate::exporter::{
    Access, Answer, Array, Body, ByteArray, Bytes, CArray, Closing, Export, Exported, Format, Layout, Lender,
    LockError, MapError, Mapping, Mmap, Provider, Released, Request, Stream, Text, View,
};
use crate::history::{ErrorClass, Outcome, Seen};
use crate::program::{Class, Slot, SlotKind};
use crate::sync::Mutex;

impl Iteration {
    fn over(target: Target, unpacks: bool) -> Iteration {
        let place = Place { target: Some(target), next: 0 };
        Iteration { stream: None, unpacks, place: Arc::new(Mutex::new(place)) }
    }
}

impl Heap for Native {
    type Hold = Export;
    type Lent = View;

    fn version(&self) -> Version {
        self.version
    }

    /// What the model leaves out does not come here, and nothing breaks the memory of these exporters.
    fn is_guarded(&self) -> bool {
        false
    }

    fn replaced(&self, _: Slot) -> u32 {
        unreachable!("it is not guarded")
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

    fn share(&mut self, slot: Slot, dest: Slot) {
        match slot.kind {
            SlotKind::View => {
                let view = self.views[slot.at()].clone().expect("only filled slots are shared");
                self.views.put(dest, view);
            }
            _ => {
                let exporter = self.exporter(slot).clone();
                self.exporters.put(dest, exporter);
            }
        }
    }

    fn nesting(&mut self) -> &mut Nesting {
        &mut self.nesting
    }

    fn on_thread(
        &mut self,
        thread: u8,
        work: impl FnOnce(&mut Native) -> Outcome + Send + 'static,
    ) -> Outcome {
        let mut own = std::mem::replace(self, Native::new(self.version));
        let (own, outcome) = errand::on_thread(thread, move || {
            let outcome = work(&mut own);
            (own, outcome)
        });
        *self = own;
        outcome
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
            Flavour::CArray(code) => CArray::new(code, &bytes).into(),
            Flavour::Text(width) => {
                let characters: Vec<u32> = bytes.chunks_exact(width.into()).map(character).collect();
                Text::from_characters(&characters).expect("programs have characters alone").into()
            }
        };
        self.exporters.put(dest, exporter);
    }

    fn is_closed(&self, exporter: Slot) -> bool {
        is_closed(self.exporter(exporter))
    }

    fn close(&mut self, exporter: Slot) -> Result<(), Exported> {
        match self.exporter(exporter) {
            Provider::Mmap(map) => {
                let map = map.clone();
                let length = map.operate(|own| own.len());
                map.close(Closing::Refuse)?;
                self.closed.extend(length.map(|length| (map, length)));
                Ok(())
            }
            Provider::Stream(stream) => stream.close(),
            other => unreachable!("{} cannot be closed", other.name()),
        }
    }

    fn closed_length(&self, map: Slot) -> usize {
        let Provider::Mmap(map) = self.exporter(map) else { unreachable!("{map} is no map") };
        // Another hand that closes it does so before or after a step of this one.
        self.closed.iter().find(|(closed, _)| closed.same(map)).map_or(0, |&(_, length)| length)
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

    fn truncate_file(&mut self, exporter: Slot, length: usize) {
        let Provider::Mmap(map) = self.exporter(exporter) else { unreachable!("{exporter} is no map") };
        let truncate = map.operate(|operation| operation.truncate_file(length as u64));
        let truncated = truncate.expect("a closed object is asked nothing").expect("the map is of a file");
        truncated.expect("a file of a few bytes can have a few more or less");
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

    fn view(&mut self, dest: Slot, source: Source<'_>) -> Result<(), NotLent> {
        if let Source::Slot(slot) = source
            && slot.kind == SlotKind::View
        {
            let layout = self.viewed(slot).layout()?.clone();
            return Ok(self.derive(dest, slot, layout)?);
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
        Ok(self.owner_of(self.viewed(view).provider()?))
    }

    fn hashed(&self, view: Slot) -> Option<&Seen> {
        self.views[view.at()].as_ref()?.hashed.as_ref()?.get()
    }

    fn remember_hash(&mut self, view: Slot, of: Seen) {
        if let Some(viewed) = self.views.get_mut(view) {
            // Whoever was first computed it of the same.
            let _ = viewed.hashed.get_or_insert_default().set(of);
        }
    }

    fn export(&mut self, dest: Slot, source: Source<'_>) -> Result<(), NotLent> {
        let export = self.acquire(source)?;
        self.hold_in(dest, Held::PickleBuffer(Some(export)));
        Ok(())
    }

    fn request(&mut self, dest: Slot, source: Source<'_>, request: Request) -> Result<(), NotLent> {
        let export = self.acquire(source)?;
        let answer = match export.answer(request) {
            Ok(answer) => answer,
            Err(refused) => {
                export.retract();
                return Err(refused.into());
            }
        };
        self.hold_in(dest, Held::RawBuffer(Some(export), Box::new(answer)));
        Ok(())
    }

    fn lend(&mut self, dest: Slot, source: Source<'_>, body: Body) -> Result<(), NotLent> {
        let source = match source {
            Source::Bytes(bytes) => Bytes::new(bytes).into(),
            Source::Slot(slot) => match slot.kind {
                SlotKind::View => self.viewed(slot).clone().into(),
                SlotKind::Export => self.held(slot).of()?,
                _ => self.exporter(slot).clone(),
            },
        };
        drop(export(&source)?);
        self.hold_in(dest, Held::Lender(Lender::new(source, body)));
        Ok(())
    }

    fn lends(&self, export: Slot) -> Option<usize> {
        let Held::Lender(lender) = &*self.held(export) else { return None };
        Some(bytes_behind(lender.source()))
    }

    fn outstanding(&self, export: Slot) -> Option<usize> {
        let Held::Lender(lender) = &*self.held(export) else { return None };
        Some(if lender.body().releases() { lender.exports() } else { 0 })
    }

    fn heard(&self, export: Slot) -> Option<usize> {
        let Held::Lender(lender) = &*self.held(export) else { return None };
        Some(lender.heard())
    }

    fn answer(&self, export: Slot) -> Option<Answer> {
        match &*self.held(export) {
            Held::RawBuffer(_, answer) => Some((**answer).clone()),
            _ => None,
        }
    }

    fn lender(&self, export: Slot) -> Result<Owner, Released> {
        let of = self.held(export).of();
        of.map(|of| self.owner_of(of))
    }

    fn release_export(&mut self, export: Slot) {
        match &mut *self.held(export) {
            Held::PickleBuffer(export) | Held::RawBuffer(export, _) => *export = None,
            Held::Lock(_, lock) => *lock = None,
            Held::Lender(lender) => lender.let_go(),
        }
    }

    fn lock(&mut self, dest: Slot, source: Source<'_>, access: Access) -> Result<(), NotLent> {
        let lock = match source {
            Source::Bytes(bytes) => Provider::from(Bytes::new(bytes)).lock(access),
            Source::Slot(slot) => self.exporter(slot).lock(access),
        };
        match lock {
            Ok(buffer) => {
                self.hold_in(dest, Held::Lock(access, Some(buffer)));
                Ok(())
            }
            Err(LockError::Closed) => Err(Released.into()),
            Err(error) => unreachable!("it was found that {source:?} can be locked, but {error}"),
        }
    }

    fn export_class(&self, export: Slot) -> Class {
        match &*self.held(export) {
            Held::PickleBuffer(_) => Class::PickleBuffer,
            Held::RawBuffer(..) => Class::PyBuffer,
            Held::Lock(..) => Class::Lock,
            Held::Lender(_) => Class::Lender,
        }
    }

    fn lock_access(&self, export: Slot) -> Option<Access> {
        match *self.held(export) {
            Held::Lock(access, _) => Some(access),
            _ => None,
        }
    }

    fn locked(&self, lock: Slot) -> Result<Buffer, Released> {
        let Held::Lock(_, Some(buffer)) = &*self.held(lock) else { return Err(Released) };
        let mut bytes = Buffer::from_elem(0, buffer.len());
        buffer.read(0, &mut bytes);
        Ok(bytes)
    }

    fn write_locked(&mut self, lock: Slot, offset: usize, bytes: &[u8]) {
        match &*self.held(lock) {
            Held::Lock(_, Some(buffer)) => buffer.write(offset, bytes),
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
        let stream = match &target {
            Target::Exporter(stream @ Provider::Stream(_)) => Some(stream.clone()),
            _ => None,
        };
        self.iterators.put(dest, Iteration { stream, ..Iteration::over(target, false) });
    }

    fn unpack(&mut self, dest: Slot, source: Source<'_>, format: Format) -> Result<(), NotLent> {
        let target = Target::Unpack(self.acquire(source)?, format);
        self.iterators.put(dest, Iteration::over(target, true));
        Ok(())
    }

    fn unpacks(&self, iterator: Slot) -> bool {
        self.iterators[iterator.at()].as_ref().is_some_and(|iteration| iteration.unpacks)
    }

    fn is_stream(&self, iterator: Slot) -> bool {
        self.stream(iterator).is_some()
    }

    fn advance(&mut self, iterator: Slot) -> Result<Option<(Form, Seen)>, ErrorClass> {
        let iteration = self.iterators[iterator.at()].as_ref().expect("only filled slots are asked");
        let mut iteration = iteration.place.lock();
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

    fn hold(&mut self, slot: Slot) -> Result<Export, NotLent> {
        self.acquire(Source::Slot(slot))
    }

    fn lend_view(&mut self, slot: Slot) -> Result<View, NotLent> {
        match slot.kind {
            SlotKind::View => {
                let view = self.viewed(slot);
                Ok(view.derive(view.layout()?.clone())?)
            }
            _ => Ok(View::new(self.acquire(Source::Slot(slot))?)),
        }
    }

    fn hold_lent(&mut self, lent: &View) -> Result<Export, NotLent> {
        Ok(lent.export()?)
    }

    fn drop_lent(&mut self, lent: View) {
        drop(lent);
    }

    fn hold_same(&mut self, slot: Slot) -> Result<Export, NotLent> {
        match self.held(slot).of()? {
            Provider::Lent(lent) => Ok(lent.view().export()?),
            other => export(&other),
        }
    }

    fn held_layout<'a>(&'a self, hold: &'a Export) -> &'a Layout {
        hold.layout()
    }

    fn held_contents(&self, hold: &Export) -> Buffer {
        gather(hold.layout(), |offset, out| hold.read(offset, out))
    }

    fn read_held(&self, hold: &Export, offset: isize, out: &mut [u8]) {
        if !out.is_empty() {
            hold.read(offset, out);
        }
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

    fn retract(&mut self, hold: Export) {
        hold.retract();
    }
}
