//! What operations find in the model: exporters, views, exports and iterators as plain values.

use super::super::Shown;
use super::super::heap::{
    Buffer, Flavour, Form, Heap, Memory, Nesting, NotLent, Owner, Source, Version, length_for_iterator,
    next_offset,
};
use super::{Aside, Held, Id, Iteration, Kind, Model, exporter, request};
use crate::exporter::{Access, Answer, Body, Exported, Format, Layout, Mapping, Released, Request};
use crate::history::{ErrorClass, Seen};
use crate::program::{Class, Slot, SlotKind};

struct Plain<'a> {
    bytes: &'a mut Vec<u8>,
    exports: u16,
    replaced: &'a mut u32,
}

impl Memory for Plain<'_> {
    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn contents(&self) -> Buffer {
        Buffer::from_slice(self.bytes)
    }

    fn get(&self, place: usize) -> u8 {
        self.bytes[place]
    }

    fn set(&mut self, place: usize, byte: u8) {
        self.bytes[place] = byte;
    }

    fn write(&mut self, start: usize, step: isize, bytes: &[u8]) {
        let mut place = start as isize;
        for &byte in bytes {
            self.bytes[place as usize] = byte;
            place = place.wrapping_add(step);
        }
    }

    fn splice(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        if self.exports > 0 {
            return Err(Exported(self.exports.into()));
        }
        self.bytes.splice(at..at + removed, bytes.iter().copied());
        *self.replaced += 1;
        Ok(())
    }
}

/// An export held by an operation.
#[derive(Debug)]
pub struct Hold {
    of: Id,
    layout: Layout,
}

impl Heap for Model {
    type Hold = Hold;
    type Lent = Id;

    fn version(&self) -> Version {
        self.version
    }

    fn is_guarded(&self) -> bool {
        !self.unguarded
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
            (SlotKind::Exporter, SlotKind::Exporter) => {
                self.exporters[one.at()] == self.exporters[other.at()]
            }
            (SlotKind::View, SlotKind::View) => self.views[one.at()] == self.views[other.at()],
            _ => one == other,
        }
    }

    fn empty(&mut self, slot: Slot) {
        let object = match slot.kind {
            SlotKind::Exporter => self.exporters.take(slot),
            SlotKind::View => self.views.take(slot),
            SlotKind::Export => {
                if let Some(held) = self.exports.take(slot) {
                    self.drop_export(held);
                }
                None
            }
            SlotKind::Iterator => {
                let iteration = self.iterators.take(slot);
                iteration.and_then(|iteration| self.leave(iteration))
            }
        };
        if let Some(object) = object {
            self.forget(object);
        }
    }

    fn share(&mut self, slot: Slot, dest: Slot) {
        let id = if slot.kind == SlotKind::View { self.view_id(slot) } else { self.exporter_id(slot) };
        self.retain(id);
        let old = match slot.kind {
            SlotKind::View => self.views.put(dest, id),
            _ => self.exporters.put(dest, id),
        };
        if let Some(old) = old {
            self.forget(old);
        }
    }

    fn nesting(&mut self) -> &mut Nesting {
        &mut self.nesting.0
    }

    fn flavour(&self, exporter: Slot) -> Flavour {
        match self.kind(self.exporter_id(exporter)) {
            Kind::Exporter { flavour, .. } => *flavour,
            other => unreachable!("{exporter} holds {other:?}"),
        }
    }

    fn store(&mut self, dest: Slot, flavour: Flavour, bytes: Vec<u8>) {
        let exporter = self.add(exporter(flavour, bytes));
        self.touched.0.exporters |= 1 << dest.at();
        if let Some(old) = self.exporters.put(dest, exporter) {
            self.forget(old);
        }
    }

    fn is_closed(&self, exporter: Slot) -> bool {
        matches!(self.kind(self.exporter_id(exporter)), Kind::Exporter { closed: true, .. })
    }

    fn close(&mut self, exporter: Slot) -> Result<(), Exported> {
        match self.exporter_mut(exporter) {
            Kind::Exporter { closed: true, .. } => Ok(()),
            Kind::Exporter { exports: 0, closed, hidden, .. } => {
                *closed = true;
                hidden.clear();
                Ok(())
            }
            Kind::Exporter { exports, .. } => Err(Exported((*exports).into())),
            other => unreachable!("{exporter} holds {other:?}"),
        }
    }

    fn closed_length(&self, map: Slot) -> usize {
        match self.kind(self.exporter_id(map)) {
            Kind::Exporter { bytes, .. } => bytes.len(),
            other => unreachable!("{map} holds {other:?}"),
        }
    }

    fn renew(&mut self, stream: Slot, new: Vec<u8>) -> Result<(), Exported> {
        match self.exporter_mut(stream) {
            Kind::Exporter { exports: 0, closed, bytes, cursor, .. } => {
                (*closed, *bytes, *cursor) = (false, new, 0);
                Ok(())
            }
            Kind::Exporter { exports, .. } => Err(Exported((*exports).into())),
            other => unreachable!("{stream} holds {other:?}"),
        }
    }

    fn cursor(&self, exporter: Slot) -> usize {
        match self.kind(self.exporter_id(exporter)) {
            Kind::Exporter { cursor, closed: false, .. } => *cursor,
            other => unreachable!("{exporter} holds {other:?}"),
        }
    }

    fn set_cursor(&mut self, exporter: Slot, place: usize) {
        if let Kind::Exporter { cursor, .. } = self.exporter_mut(exporter) {
            *cursor = place;
        }
    }

    fn map_file(&mut self, dest: Slot, mapping: Mapping, contents: &[u8], length: usize) {
        let (mapped, behind) = contents.split_at(length);
        self.store(dest, Flavour::Mmap(mapping), mapped.to_vec());
        if let Kind::Exporter { hidden, file, .. } = self.exporter_mut(dest) {
            hidden.extend_from_slice(behind);
            *file = Some(contents.len());
        }
    }

    fn file_length(&self, exporter: Slot) -> Option<usize> {
        match self.kind(self.exporters[exporter.at()].expect("only filled slots are asked")) {
            Kind::Exporter { file, .. } => *file,
            other => unreachable!("{exporter} holds {other:?}"),
        }
    }

    fn truncate_file(&mut self, exporter: Slot, length: usize) {
        let Kind::Exporter { bytes, hidden, file, .. } = self.exporter_mut(exporter) else {
            unreachable!("a slot of exporters holds one")
        };
        *file = Some(length);
        hidden.truncate(length.saturating_sub(bytes.len()));
        bytes.iter_mut().skip(length).for_each(|byte| *byte = 0);
    }

    fn remap(&mut self, exporter: Slot, length: usize) -> Result<(), Exported> {
        let Kind::Exporter { bytes, hidden, exports, file, .. } = self.exporter_mut(exporter) else {
            unreachable!("a slot of exporters holds one")
        };
        if *exports > 0 {
            return Err(Exported((*exports).into()));
        }
        bytes.append(hidden);
        bytes.resize(bytes.len().max(length), 0);
        *hidden = bytes.split_off(length);
        if let Some(file) = file {
            *file = length;
            hidden.clear();
        }
        hidden.truncate(hidden.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        Ok(())
    }

    fn replaced(&self, exporter: Slot) -> u32 {
        match self.kind(self.exporter_id(exporter)) {
            Kind::Exporter { replaced: Aside(replaced), .. } => *replaced,
            other => unreachable!("{exporter} holds {other:?}"),
        }
    }

    fn operate<R>(&mut self, exporter: Slot, f: impl FnOnce(&mut dyn Memory) -> R) -> R {
        match self.exporter_mut(exporter) {
            Kind::Exporter { bytes, exports, replaced: Aside(replaced), .. } => {
                f(&mut Plain { bytes, exports: *exports, replaced })
            }
            other => unreachable!("{exporter} holds {other:?}"),
        }
    }

    fn view(&mut self, dest: Slot, source: Source<'_>) -> Result<(), NotLent> {
        if let Source::Slot(slot) = source
            && slot.kind == SlotKind::View
        {
            let layout = self.layout(slot)?.clone();
            return Ok(self.derive(dest, slot, layout)?);
        }
        let source = self.provider(source)?;
        let (owner, layout) = self.acquire(source)?;
        let managed = self.add(Kind::Managed { owner, views: 1 });
        self.set_view(dest, managed, layout);
        Ok(())
    }

    fn derive(&mut self, dest: Slot, view: Slot, layout: Layout) -> Result<(), Released> {
        let &Kind::View { managed, released: false, .. } = self.kind(self.view_id(view)) else {
            return Err(Released);
        };
        self.share(managed);
        self.set_view(dest, managed, layout);
        Ok(())
    }

    fn release_view(&mut self, view: Slot) -> Result<(), Exported> {
        let id = self.view_id(view);
        match self.kind(id) {
            Kind::View { exports, .. } if *exports > 0 => Err(Exported((*exports).into())),
            _ => {
                self.let_go(id);
                Ok(())
            }
        }
    }

    fn layout(&self, view: Slot) -> Result<&Layout, Released> {
        match self.shown(view) {
            Shown::View(layout) => Ok(layout),
            _ => Err(Released),
        }
    }

    fn read(&self, view: Slot, offset: isize, out: &mut [u8]) -> Result<(), Released> {
        self.layout(view)?;
        if !out.is_empty() {
            out.copy_from_slice(&self.bytes_of(self.view_id(view))[offset as usize..][..out.len()]);
        }
        Ok(())
    }

    fn write(&mut self, view: Slot, offset: isize, new: &[u8]) -> Result<(), Released> {
        self.layout(view)?;
        self.write_memory(self.view_id(view), offset as usize, new);
        Ok(())
    }

    fn owner(&self, view: Slot) -> Result<Owner, Released> {
        self.layout(view)?;
        let &Kind::View { managed, .. } = self.kind(self.view_id(view)) else {
            unreachable!("a view stays a view")
        };
        let &Kind::Managed { owner, .. } = self.kind(managed) else {
            unreachable!("views have managed buffers")
        };
        Ok(self.owner_of(owner))
    }

    fn hashed(&self, view: Slot) -> Option<&Seen> {
        match self.kind(self.view_id(view)) {
            Kind::View { hashed, .. } => hashed.as_ref(),
            _ => None,
        }
    }

    fn remember_hash(&mut self, view: Slot, of: Seen) {
        let id = self.view_id(view);
        if let Kind::View { hashed, .. } = self.kind_mut(id) {
            *hashed = Some(of);
        }
    }

    fn export(&mut self, dest: Slot, source: Source<'_>) -> Result<(), NotLent> {
        let provider = self.provider(source)?;
        let (of, _) = self.acquire(provider)?;
        self.put_export(dest, Held::PickleBuffer(Some(of)));
        Ok(())
    }

    fn lock(&mut self, dest: Slot, source: Source<'_>, access: Access) -> Result<(), NotLent> {
        let provider = self.provider(source)?;
        let (of, _) = self.acquire(provider)?;
        self.put_export(dest, Held::Lock(access, Some(of)));
        Ok(())
    }

    fn export_class(&self, export: Slot) -> Class {
        match self.exports[export.at()].as_ref().expect("only filled slots are asked") {
            Held::PickleBuffer(_) => Class::PickleBuffer,
            Held::RawBuffer(..) => Class::PyBuffer,
            Held::Lock(..) => Class::Lock,
            Held::Lender(_) => Class::Lender,
        }
    }

    fn lock_access(&self, export: Slot) -> Option<Access> {
        match self.exports[export.at()] {
            Some(Held::Lock(access, _)) => Some(access),
            _ => None,
        }
    }

    fn locked(&self, lock: Slot) -> Result<Buffer, Released> {
        let of = self.exports[lock.at()].as_ref().and_then(Held::of).ok_or(Released)?;
        Ok(Buffer::from_slice(self.bytes_of(of)))
    }

    fn write_locked(&mut self, lock: Slot, offset: usize, bytes: &[u8]) {
        let of = self.exports[lock.at()].as_ref().and_then(Held::of);
        self.write_memory(of.expect("only held locks are written to"), offset, bytes);
    }

    fn request(&mut self, dest: Slot, source: Source<'_>, request: Request) -> Result<(), NotLent> {
        let provider = self.provider(source)?;
        let (of, layout) = self.acquire(provider)?;
        let answer = match self.kind(of) {
            Kind::Exporter { flavour, bytes, .. } => request::of_exporter(*flavour, bytes.len(), request),
            _ => request::of_view(&layout, request),
        };
        match answer {
            Ok(answer) => {
                self.put_export(dest, Held::RawBuffer(Some(of), Box::new(answer)));
                Ok(())
            }
            Err(refused) => {
                self.retract_from(of);
                Err(refused.into())
            }
        }
    }

    fn lend(&mut self, dest: Slot, source: Source<'_>, body: Body) -> Result<(), NotLent> {
        let source = self.provider(source)?;
        self.retain(source);
        match self.view_on(source) {
            Ok(view) => {
                self.forget(view);
                let lender =
                    self.add(Kind::Lender { source, body, kept: Vec::new(), outstanding: 0, heard: 0 });
                self.put_export(dest, Held::Lender(lender));
                Ok(())
            }
            Err(error) => {
                self.forget(source);
                Err(error)
            }
        }
    }

    fn lends(&self, export: Slot) -> Option<usize> {
        match self.exports[export.at()] {
            Some(Held::Lender(lender)) => Some(self.bytes_behind(lender)),
            _ => None,
        }
    }

    fn outstanding(&self, export: Slot) -> Option<usize> {
        let Some(Held::Lender(lender)) = self.exports[export.at()] else { return None };
        match self.kind(lender) {
            Kind::Lender { body, outstanding, .. } => {
                Some(if body.releases() { (*outstanding).into() } else { 0 })
            }
            other => unreachable!("{export} holds {other:?}"),
        }
    }

    fn heard(&self, export: Slot) -> Option<usize> {
        let Some(Held::Lender(lender)) = self.exports[export.at()] else { return None };
        match self.kind(lender) {
            Kind::Lender { heard, .. } => Some((*heard).into()),
            other => unreachable!("{export} holds {other:?}"),
        }
    }

    fn answer(&self, export: Slot) -> Option<Answer> {
        match self.exports[export.at()].as_ref()? {
            Held::RawBuffer(_, answer) => Some((**answer).clone()),
            _ => None,
        }
    }

    fn lender(&self, export: Slot) -> Result<Owner, Released> {
        let held = self.exports[export.at()].as_ref().expect("only filled slots are asked");
        held.of().map(|of| self.owner_of(of)).ok_or(Released)
    }

    fn release_export(&mut self, export: Slot) {
        match self.exports.get_mut(export) {
            Some(Held::PickleBuffer(of) | Held::RawBuffer(of, _) | Held::Lock(_, of)) => {
                let of = of.take();
                of.into_iter().for_each(|of| self.relinquish(of));
            }
            Some(&mut Held::Lender(lender)) => {
                if let Kind::Lender { kept, .. } = self.kind_mut(lender) {
                    let kept = std::mem::take(kept);
                    kept.into_iter().for_each(|view| self.forget(view));
                }
            }
            None => {}
        }
    }

    fn iterate(&mut self, dest: Slot, source: Slot) {
        let target = match source.kind {
            SlotKind::Exporter => self.exporters[source.at()],
            _ => self.views[source.at()],
        };
        let target = target.expect("only filled slots are asked");
        self.retain(target);
        self.empty(dest);
        let length = match source.kind {
            SlotKind::View => length_for_iterator(self.layout(source)),
            _ => 0,
        };
        self.iterators.put(dest, Iteration { target: Some(target), next: 0, length, unpack: None });
    }

    fn unpack(&mut self, dest: Slot, source: Source<'_>, format: Format) -> Result<(), NotLent> {
        let source = self.provider(source)?;
        let (target, layout) = self.acquire(source)?;
        self.empty(dest);
        let unpack = Some(Box::new((layout, format)));
        self.iterators.put(dest, Iteration { target: Some(target), next: 0, length: 0, unpack });
        Ok(())
    }

    fn unpacks(&self, iterator: Slot) -> bool {
        self.iterators[iterator.at()].as_ref().is_some_and(|iteration| iteration.unpack.is_some())
    }

    fn is_stream(&self, iterator: Slot) -> bool {
        let target = self.iterators[iterator.at()].as_ref().and_then(|iteration| iteration.target);
        target.is_some_and(|id| matches!(self.kind(id), Kind::Exporter { flavour: Flavour::Stream, .. }))
    }

    fn advance(&mut self, iterator: Slot) -> Result<Option<(Form, Seen)>, ErrorClass> {
        let Iteration { target, next, length, unpack } =
            self.iterators[iterator.at()].clone().expect("only filled slots are asked");
        let Some(target) = target else { return Ok(None) };
        if let Some(unpack) = unpack {
            return Ok(self.unpack_next(iterator, target, next, &unpack));
        }
        let item = match self.kind(target) {
            Kind::Exporter { closed: true, .. } => return Err(ErrorClass::ValueError),
            Kind::Exporter { flavour, bytes, .. } => {
                let item = bytes.chunks_exact(flavour.itemsize()).nth(next);
                item.map(|item| (flavour.form(), Seen::from_slice(item)))
            }
            Kind::View { layout, released, .. } => {
                let shown = if *released { Err(Released) } else { Ok(layout) };
                next_offset(self.version, length, next, shown)?.map(|offset| {
                    let bytes = &self.bytes_of(target)[offset as usize..][..layout.itemsize()];
                    (Form::View(layout.format), Seen::from_slice(bytes))
                })
            }
            other => unreachable!("nothing iterates over {other:?}"),
        };
        let iteration = self.iterators.get_mut(iterator).expect("it was filled above");
        if item.is_some() {
            iteration.next += 1;
        } else {
            iteration.target = None;
            self.forget(target);
        }
        Ok(item)
    }

    fn hold(&mut self, slot: Slot) -> Result<Hold, NotLent> {
        let provider = self.provider(Source::Slot(slot))?;
        let (of, layout) = self.acquire(provider)?;
        Ok(Hold { of, layout })
    }

    fn lend_view(&mut self, slot: Slot) -> Result<Id, NotLent> {
        let source = self.provider(Source::Slot(slot))?;
        self.view_on(source)
    }

    fn hold_lent(&mut self, lent: &Id) -> Result<Hold, NotLent> {
        let (of, layout) = self.acquire(*lent)?;
        Ok(Hold { of, layout })
    }

    fn drop_lent(&mut self, lent: Id) {
        self.forget(lent);
    }

    fn hold_same(&mut self, export: Slot) -> Result<Hold, NotLent> {
        let provider = self.provider(Source::Slot(export))?;
        let provider = if let Kind::Lent { view, .. } = self.kind(provider) { *view } else { provider };
        let (of, layout) = self.acquire(provider)?;
        Ok(Hold { of, layout })
    }

    fn held_layout<'a>(&'a self, hold: &'a Hold) -> &'a Layout {
        &hold.layout
    }

    fn held_contents(&self, hold: &Hold) -> Buffer {
        let (bytes, layout) = (self.bytes_of(hold.of), &hold.layout);
        if layout.is_c_contiguous() {
            let length = layout.nbytes();
            return if length == 0 {
                Buffer::new()
            } else {
                Buffer::from_slice(&bytes[layout.offset as usize..][..length])
            };
        }
        layout.offsets().flat_map(|offset| &bytes[offset as usize..][..layout.itemsize()]).copied().collect()
    }

    fn read_held(&self, hold: &Hold, offset: isize, out: &mut [u8]) {
        if !out.is_empty() {
            out.copy_from_slice(&self.bytes_of(hold.of)[offset as usize..][..out.len()]);
        }
    }

    fn write_held(&mut self, hold: &Hold, offset: isize, new: &[u8]) {
        if !new.is_empty() {
            self.write_memory(hold.of, offset as usize, new);
        }
    }

    fn unhold(&mut self, hold: Hold, _failed: bool) {
        self.relinquish(hold.of);
    }

    fn retract(&mut self, hold: Hold) {
        self.retract_from(hold.of);
    }
}
