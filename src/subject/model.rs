//! The model: the sequential specification of exporters, views and exports.
//!
//! Plain values in one list, with counts instead of pointers: no `unsafe`, no atomics, and `Clone`,
//! `Eq` and `Hash`, so that a checker of concurrent histories can try, compare and remember states.

use super::heap::{
    Buffer, Flavour, Form, Heap, Memory, Owner, Source, Version, length_for_iterator, next_offset,
    unhashable_view,
};
use super::{Shown, Slots, meaning};
use crate::exporter::{Exported, Format, Layout, Mapping, Released};
use crate::history::{ErrorClass, Outcome, Seen};
use crate::program::{Slot, SlotKind, Step, limits};

/// The place of an object in the list.
type Id = u16;

/// The state of one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    version: Version,
    exporters: Slots<Id, { limits::EXPORTERS as usize }>,
    views: Slots<Id, { limits::VIEWS as usize }>,
    /// A filled slot holds `None` once it is released.
    exports: Slots<Option<Id>, { limits::EXPORTS as usize }>,
    iterators: Slots<Iteration, { limits::ITERATORS as usize }>,
    objects: Vec<Object>,
    /// The first place without an object.
    free: usize,
    /// How many views were made.
    made: Aside<u32>,
    touched: Aside<Touched>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Object {
    /// From slots and other objects; an object without any is gone, and its place is free.
    references: u16,
    kind: Kind,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
enum Kind {
    #[default]
    Gone,
    Exporter {
        flavour: Flavour,
        bytes: Vec<u8>,
        exports: u16,
        cursor: usize,
        closed: bool,
        /// What a map has in its last page behind its end, without the zeros at the end of that.
        hidden: Vec<u8>,
        /// The length of the file of a map.
        file: Option<usize>,
    },
    /// What the views on one export share (clause M4). The owner is free once no view is left.
    Managed { owner: Id, views: u16 },
    View {
        managed: Id,
        layout: Layout,
        released: bool,
        exports: u16,
        number: Aside<u32>,
        hashed: Option<Seen>,
    },
}

/// Something that is kept with the state and is no part of it: states that differ in nothing else are the same.
#[derive(Debug, Clone, Copy, Default)]
struct Aside<T>(T);

impl<T> PartialEq for Aside<T> {
    fn eq(&self, _: &Aside<T>) -> bool {
        true
    }
}

impl<T> Eq for Aside<T> {}

impl<T> std::hash::Hash for Aside<T> {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// Slots whose objects a step may have changed; a bit for each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Touched {
    /// The exporters.
    pub exporters: u32,
    /// The views, but for those of which the slot was emptied.
    pub views: u32,
}

/// A view as it is at this moment.
#[derive(Debug, Clone, Copy)]
pub struct ViewState<'a> {
    /// Which view it is.
    pub number: u32,
    /// Where the items are, or were.
    pub layout: &'a Layout,
    /// Whether it was released.
    pub released: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Iteration {
    /// `None` once it is exhausted.
    target: Option<Id>,
    next: usize,
    /// The length of the view when the iterator was made.
    length: usize,
    /// If it unpacks an export of the target: where the bytes are, and what is unpacked.
    unpack: Option<Box<(Layout, Format)>>,
}

impl Model {
    /// A world of empty slots in which operations follow `version`.
    pub fn new(version: Version) -> Model {
        Model {
            version,
            exporters: Slots::new(),
            views: Slots::new(),
            exports: Slots::new(),
            iterators: Slots::new(),
            objects: Vec::new(),
            free: 0,
            made: Aside::default(),
            touched: Aside::default(),
        }
    }

    /// Empties all slots.
    pub fn clear(&mut self) {
        self.exporters.clear();
        self.views.clear();
        self.exports.clear();
        self.iterators.clear();
        self.objects.clear();
        self.free = 0;
        self.made = Aside::default();
    }

    /// Runs one step.
    pub fn step(&mut self, step: &Step) -> Outcome {
        self.touched = Aside::default();
        meaning::run(self, step)
    }

    /// What the last step may have changed.
    #[inline]
    pub fn touched(&self) -> Touched {
        self.touched.0
    }

    /// Which slots of a kind are filled, a bit for each.
    #[inline]
    pub fn filled(&self, kind: SlotKind) -> u32 {
        match kind {
            SlotKind::Exporter => self.exporters.filled(),
            SlotKind::View => self.views.filled(),
            SlotKind::Export => self.exports.filled(),
            SlotKind::Iterator => self.iterators.filled(),
        }
    }

    /// The view in a slot of which the place is given.
    #[inline]
    pub fn view(&self, place: usize) -> Option<ViewState<'_>> {
        match self.kind(self.views[place]?) {
            Kind::View { number, layout, released, .. } => {
                Some(ViewState { number: number.0, layout, released: *released })
            }
            _ => None,
        }
    }

    /// Whether the slot of which the place is given holds an export that was not released.
    #[inline]
    pub fn holds_export(&self, place: usize) -> bool {
        matches!(self.exports[place], Some(Some(_)))
    }

    /// What a slot holds.
    #[inline]
    pub fn shown(&self, slot: Slot) -> Shown<'_> {
        let object = match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()],
            SlotKind::View => self.views[slot.at()],
            SlotKind::Export => {
                return self.exports[slot.at()]
                    .map_or(Shown::Empty, |held| Shown::Export { held: held.is_some() });
            }
            SlotKind::Iterator => {
                return if self.iterators[slot.at()].is_some() { Shown::Iterator } else { Shown::Empty };
            }
        };
        let Some(id) = object else { return Shown::Empty };
        match self.kind(id) {
            Kind::Exporter { flavour, closed: true, .. } => Shown::Closed(*flavour),
            Kind::Exporter { flavour, bytes, cursor, .. } => {
                Shown::Exporter { flavour: *flavour, bytes, cursor: *cursor }
            }
            Kind::View { released: true, .. } => Shown::ReleasedView,
            Kind::View { layout, .. } => Shown::View(layout),
            other => unreachable!("{slot} holds {other:?}"),
        }
    }

    fn add(&mut self, kind: Kind) -> Id {
        let object = Object { references: 1, kind };
        let place = self.free;
        match self.objects.get_mut(place) {
            Some(free) => *free = object,
            None => self.objects.push(object),
        }
        let later = self.objects[place + 1..].iter().position(|object| matches!(object.kind, Kind::Gone));
        self.free = later.map_or(self.objects.len(), |later| place + 1 + later);
        place as Id
    }

    fn remove(&mut self, id: Id) {
        *self.kind_mut(id) = Kind::Gone;
        self.free = self.free.min(id.into());
    }

    fn kind(&self, id: Id) -> &Kind {
        &self.objects[id as usize].kind
    }

    fn kind_mut(&mut self, id: Id) -> &mut Kind {
        &mut self.objects[id as usize].kind
    }

    fn retain(&mut self, id: Id) {
        self.objects[id as usize].references += 1;
    }

    /// Drops a reference; with the last one the object goes, and a view releases.
    fn forget(&mut self, id: Id) {
        self.objects[id as usize].references -= 1;
        if self.objects[id as usize].references > 0 {
            return;
        }
        if let &Kind::View { managed, .. } = self.kind(id) {
            self.let_go(id);
            self.remove(id);
            self.forget(managed);
        } else {
            self.remove(id);
        }
    }

    /// One view of a managed buffer is released; with the last one, the export is.
    fn let_go(&mut self, view: Id) {
        let Kind::View { managed, released, .. } = self.kind_mut(view) else {
            unreachable!("a view stays a view")
        };
        if std::mem::replace(released, true) {
            return;
        }
        let managed = *managed;
        self.touched.0.views = u32::MAX;
        let Kind::Managed { owner, views } = self.kind_mut(managed) else {
            unreachable!("views have managed buffers")
        };
        *views -= 1;
        let owner = *owner;
        if *views == 0 {
            self.relinquish(owner);
        }
    }

    /// Adds an export and a reference to an exporter or a view.
    fn acquire(&mut self, id: Id) -> Result<Layout, Released> {
        let layout = match self.kind_mut(id) {
            // A closed map answers as a released view does.
            Kind::Exporter { closed: true, .. } => return Err(Released),
            Kind::Exporter { flavour, bytes, exports, .. } => {
                *exports += 1;
                flavour.layout(bytes.len())
            }
            Kind::View { released: true, .. } => return Err(Released),
            Kind::View { layout, exports, .. } => {
                *exports += 1;
                layout.clone()
            }
            other => unreachable!("{other:?} has no buffer"),
        };
        self.retain(id);
        Ok(layout)
    }

    /// Takes back what [`Model::acquire`] added.
    fn relinquish(&mut self, id: Id) {
        match self.kind_mut(id) {
            Kind::Exporter { exports, .. } | Kind::View { exports, .. } => *exports -= 1,
            other => unreachable!("{other:?} has no exports"),
        }
        self.forget(id);
    }

    /// The object whose buffer a source gives: that behind an export.
    fn provider(&mut self, source: Source<'_>) -> Result<Id, Released> {
        match source {
            Source::Slot(slot) => match slot.kind {
                SlotKind::Exporter => Ok(self.exporters[slot.at()].expect("only filled slots are asked")),
                SlotKind::View => Ok(self.views[slot.at()].expect("only filled slots are asked")),
                SlotKind::Export => {
                    self.exports[slot.at()].expect("only filled slots are asked").ok_or(Released)
                }
                SlotKind::Iterator => unreachable!("no argument is an iterator"),
            },
            Source::Bytes(bytes) => {
                let exporter = self.add(exporter(Flavour::Bytes, bytes.to_vec()));
                // Whoever acquires it next holds the only reference.
                self.objects[exporter as usize].references = 0;
                Ok(exporter)
            }
        }
    }

    /// What `hash` of an object raises.
    fn unhashable(&self, id: Id) -> Option<ErrorClass> {
        match self.kind(id) {
            Kind::View { hashed: Some(_), .. } => None,
            Kind::Exporter { flavour, .. } => flavour.unhashable(),
            Kind::View { managed, layout, .. } => unhashable_view(layout, self.unhashable(*managed)),
            Kind::Managed { owner, .. } => self.unhashable(*owner),
            Kind::Gone => unreachable!("a view keeps its memory alive"),
        }
    }

    /// The exporter in a slot, or the stream in a slot of iterators.
    fn exporter_id(&self, slot: Slot) -> Id {
        let id = match slot.kind {
            SlotKind::Iterator => self.iterators[slot.at()].as_ref().and_then(|iteration| iteration.target),
            _ => self.exporters[slot.at()],
        };
        id.expect("only filled slots are asked")
    }

    fn exporter_mut(&mut self, exporter: Slot) -> &mut Kind {
        self.touched.0.exporters |=
            if exporter.kind == SlotKind::Exporter { 1 << exporter.at() } else { u32::MAX };
        let id = self.exporter_id(exporter);
        self.kind_mut(id)
    }

    fn view_id(&self, view: Slot) -> Id {
        self.views[view.at()].expect("only filled slots are asked")
    }

    fn set_view(&mut self, dest: Slot, managed: Id, layout: Layout) {
        let number = self.made;
        self.made.0 += 1;
        self.touched.0.views = u32::MAX;
        let view =
            self.add(Kind::View { managed, layout, released: false, exports: 0, number, hashed: None });
        if let Some(old) = self.views.put(dest, view) {
            self.forget(old);
        }
    }

    /// The next item of an iterator that unpacks.
    fn unpack_next(
        &mut self,
        iterator: Slot,
        target: Id,
        next: usize,
        (layout, format): &(Layout, Format),
    ) -> Option<(Form, Seen)> {
        let size = format.itemsize();
        let iteration = self.iterators.get_mut(iterator).expect("it was filled before");
        if next * size >= layout.nbytes() {
            iteration.target = None;
            self.relinquish(target);
            return None;
        }
        iteration.next += 1;
        let mut item =
            Seen::from_slice(&self.bytes_of(target)[layout.offset as usize + next * size..][..size]);
        format.reorder(&mut item);
        Some((Form::View(*format), item))
    }

    /// What an iterator that goes refers to; an export that it holds is given back.
    fn leave(&mut self, iteration: Iteration) -> Option<Id> {
        match (iteration.target, iteration.unpack) {
            (Some(target), Some(_)) => {
                self.relinquish(target);
                None
            }
            (target, _) => target,
        }
    }

    /// The memory that a view shows: that of the exporter at the end of the chain.
    fn memory_of(&self, mut id: Id) -> Id {
        loop {
            match self.kind(id) {
                Kind::Exporter { .. } => return id,
                Kind::View { managed, .. } => id = *managed,
                Kind::Managed { owner, .. } => id = *owner,
                Kind::Gone => unreachable!("a view keeps its memory alive"),
            }
        }
    }

    fn bytes_of(&self, id: Id) -> &[u8] {
        match self.kind(self.memory_of(id)) {
            Kind::Exporter { bytes, .. } => bytes,
            other => unreachable!("{other:?} has no memory"),
        }
    }
}

/// A new exporter.
fn exporter(flavour: Flavour, bytes: Vec<u8>) -> Kind {
    Kind::Exporter { flavour, bytes, exports: 0, cursor: 0, closed: false, hidden: Vec::new(), file: None }
}

struct Plain<'a> {
    bytes: &'a mut Vec<u8>,
    exports: u16,
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
                self.release_export(slot);
                self.exports.take(slot);
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
            Kind::Exporter { exports: 0, closed, bytes, hidden, .. } => {
                *closed = true;
                bytes.clear();
                hidden.clear();
                Ok(())
            }
            Kind::Exporter { exports, .. } => Err(Exported((*exports).into())),
            other => unreachable!("{exporter} holds {other:?}"),
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

    fn operate<R>(&mut self, exporter: Slot, f: impl FnOnce(&mut dyn Memory) -> R) -> R {
        match self.exporter_mut(exporter) {
            Kind::Exporter { bytes, exports, .. } => f(&mut Plain { bytes, exports: *exports }),
            other => unreachable!("{exporter} holds {other:?}"),
        }
    }

    fn view(&mut self, dest: Slot, source: Source<'_>) -> Result<(), Released> {
        if let Source::Slot(slot) = source
            && slot.kind == SlotKind::View
        {
            let layout = self.layout(slot)?.clone();
            return self.derive(dest, slot, layout);
        }
        let owner = self.provider(source)?;
        let layout = self.acquire(owner)?;
        let managed = self.add(Kind::Managed { owner, views: 1 });
        self.set_view(dest, managed, layout);
        Ok(())
    }

    fn derive(&mut self, dest: Slot, view: Slot, layout: Layout) -> Result<(), Released> {
        let &Kind::View { managed, released: false, .. } = self.kind(self.view_id(view)) else {
            return Err(Released);
        };
        let Kind::Managed { views, .. } = self.kind_mut(managed) else {
            unreachable!("views have managed buffers")
        };
        *views += 1;
        self.retain(managed);
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
        let memory = self.memory_of(self.view_id(view));
        self.touched.0.exporters = u32::MAX;
        match self.kind_mut(memory) {
            Kind::Exporter { bytes, .. } => bytes[offset as usize..][..new.len()].copy_from_slice(new),
            other => unreachable!("{other:?} has no memory"),
        }
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
        let named = |kind: SlotKind| {
            Slot::all(kind).find(|slot| match kind {
                SlotKind::Exporter => self.exporters[slot.at()] == Some(owner),
                _ => self.views[slot.at()] == Some(owner),
            })
        };
        Ok(match self.kind(owner) {
            Kind::Exporter { flavour: Flavour::Bytes, bytes, .. } => Owner::Bytes(bytes.as_slice().into()),
            Kind::Exporter { flavour, .. } => Owner::Object {
                // The buffer of a stream is an object of its own.
                slot: named(SlotKind::Exporter).filter(|_| *flavour != Flavour::Stream),
                unhashable: self.unhashable(owner),
            },
            _ => Owner::Object { slot: named(SlotKind::View), unhashable: self.unhashable(owner) },
        })
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

    fn export(&mut self, dest: Slot, source: Source<'_>) -> Result<(), Released> {
        let provider = self.provider(source)?;
        self.acquire(provider)?;
        self.release_export(dest);
        self.exports.put(dest, Some(provider));
        Ok(())
    }

    fn release_export(&mut self, export: Slot) {
        if let Some(held) = self.exports.get_mut(export)
            && let Some(provider) = held.take()
        {
            self.relinquish(provider);
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

    fn unpack(&mut self, dest: Slot, source: Source<'_>, format: Format) -> Result<(), Released> {
        let target = self.provider(source)?;
        let layout = self.acquire(target)?;
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

    fn hold(&mut self, slot: Slot) -> Result<Hold, Released> {
        let of = self.provider(Source::Slot(slot))?;
        Ok(Hold { of, layout: self.acquire(of)? })
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

    fn write_held(&mut self, hold: &Hold, offset: isize, new: &[u8]) {
        if new.is_empty() {
            return;
        }
        self.touched.0.exporters = u32::MAX;
        let memory = self.memory_of(hold.of);
        match self.kind_mut(memory) {
            Kind::Exporter { bytes, .. } => bytes[offset as usize..][..new.len()].copy_from_slice(new),
            other => unreachable!("{other:?} has no memory"),
        }
    }

    fn unhold(&mut self, hold: Hold, _failed: bool) {
        self.relinquish(hold.of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Value;

    /// Runs a program and gives what its last step saw.
    fn last(text: &str) -> Outcome {
        let program = crate::program::parse::parse(&format!("# buflock program 1\n{text}")).unwrap();
        let mut model = Model::new(Version::NEWEST);
        program.steps.iter().map(|step| model.step(step)).last().unwrap()
    }

    #[test]
    fn an_export_forbids_a_resize() {
        let text = "b0 = bytearray(3)\nv0 = memoryview(b0)\nb0.append(1)";
        assert_eq!(last(text), Outcome::Raised(ErrorClass::BufferError));
    }

    #[test]
    fn the_exporter_is_free_when_the_last_slice_of_a_view_is_gone() {
        let text = "b0 = bytearray(3)\nv0 = memoryview(b0)\nv1 = v0[1:]\nv0.release()\n";
        assert_eq!(last(&format!("{text}b0.clear()")), Outcome::Raised(ErrorClass::BufferError));
        assert_eq!(last(&format!("{text}del v1\nb0.clear()")), Outcome::Value(Value::None));
    }

    #[test]
    fn a_view_with_exports_of_its_own_is_not_released() {
        let text = "b0 = bytearray(3)\nv0 = memoryview(b0)\nx0 = PickleBuffer(v0)\nv0.release()";
        assert_eq!(last(text), Outcome::Raised(ErrorClass::BufferError));
    }

    #[test]
    fn a_view_keeps_an_exporter_without_a_slot_alive() {
        let text = "b0 = bytearray(b\"abc\")\nv0 = memoryview(b0)\ndel b0\nv0.tobytes()";
        assert_eq!(last(text), Outcome::Value(Value::Bytes(Seen::from_slice(b"abc"))));
    }

    #[test]
    fn a_state_without_garbage_is_the_same_however_it_was_reached() {
        let run = |text: &str| {
            let program = crate::program::parse::parse(&format!("# buflock program 1\n{text}")).unwrap();
            let mut model = Model::new(Version::NEWEST);
            for step in &program.steps {
                model.step(step);
            }
            model
        };
        let short = run("b0 = bytearray(2)");
        let long = run("b0 = bytearray(2)\nv0 = memoryview(b0)\nv0.release()\ndel v0");
        assert_eq!(
            short.shown(Slot::new(SlotKind::Exporter, 0)),
            long.shown(Slot::new(SlotKind::Exporter, 0))
        );
    }
}
