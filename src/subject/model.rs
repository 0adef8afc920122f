//! The model: the sequential specification of exporters, views and exports.
//!
//! Plain values in one list, with counts instead of pointers: no `unsafe`, no atomics, and `Clone`,
//! `Eq` and `Hash`, so that a checker of concurrent histories can try, compare and remember states.

mod held;
mod lender;
mod request;
mod world;

use super::heap::{Flavour, Form, Nesting, NotLent, Source, Version, unhashable_view};
use super::{Shown, Slots, meaning};
use crate::exporter::{Body, Format, Layout, Released};
use crate::history::{ErrorClass, Nested, Outcome, Seen};
use crate::program::{Program, Slot, SlotKind, Step, limits};

use held::Held;

/// The place of an object in the list.
type Id = u16;

/// The state of one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    version: Version,
    exporters: Slots<Id, { limits::EXPORTERS as usize * limits::ROOM }>,
    views: Slots<Id, { limits::VIEWS as usize * limits::ROOM }>,
    exports: Slots<Held, { limits::EXPORTS as usize }>,
    iterators: Slots<Iteration, { limits::ITERATORS as usize }>,
    objects: Vec<Object>,
    /// The first place without an object.
    free: usize,
    /// How many views were made.
    made: Aside<u32>,
    touched: Aside<Touched>,
    nesting: Aside<Nesting>,
    unguarded: bool,
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
        replaced: Aside<u32>,
    },
    /// What the views on one export share (clause M4). The owner is free once no view is left.
    Managed { owner: Id, views: u16 },
    /// An object of a class with `__buffer__`, and the views that it keeps.
    Lender { source: Id, body: Body, kept: Vec<Id>, outstanding: u16, heard: u16 },
    /// What a consumer of such an object holds.
    Lent { view: Id, lender: Id },
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
            nesting: Aside::default(),
            unguarded: false,
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
        if !step.has_hooks() {
            return meaning::run(self, step);
        }
        self.nesting = Aside::default();
        let before = self.clone();
        let outcome = meaning::run(self, step);
        if let Outcome::Skipped(_) = outcome {
            // What was left out after a hook has run takes that back.
            *self = before;
        }
        self.touched = Aside(Touched { exporters: u32::MAX, views: u32::MAX });
        outcome
    }

    /// From here on, it leaves out what this program does.
    pub fn follow(&mut self, program: &Program) {
        self.unguarded = program.unguarded;
    }

    /// What happened while the last step converted its hooks.
    pub fn nested(&self) -> &[Nested] {
        &self.nesting.0.log
    }

    /// How many views were made.
    #[inline]
    pub fn views_made(&self) -> u32 {
        self.made.0
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
        self.exports[place].as_ref().is_some_and(|held| held.of().is_some())
    }

    /// What a slot holds.
    #[inline]
    pub fn shown(&self, slot: Slot) -> Shown<'_> {
        let object = match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()],
            SlotKind::View => self.views[slot.at()],
            SlotKind::Export => {
                let held = self.exports[slot.at()].as_ref();
                return held.map_or(Shown::Empty, |held| Shown::Export { held: held.of().is_some() });
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
        match self.kind_mut(id) {
            &mut Kind::View { managed, .. } => {
                self.let_go(id);
                self.remove(id);
                self.forget(managed);
            }
            Kind::Lender { source, kept, .. } => {
                let (source, kept) = (*source, std::mem::take(kept));
                self.remove(id);
                kept.into_iter().for_each(|view| self.forget(view));
                self.forget(source);
            }
            _ => self.remove(id),
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

    /// Adds an export and a reference to an exporter or a view, and gives it. Of an object of a class with `__buffer__`
    /// it is what a consumer holds.
    fn acquire(&mut self, id: Id) -> Result<(Id, Layout), NotLent> {
        let layout = match self.kind_mut(id) {
            Kind::Lender { .. } => return self.ask(id),
            // It has no `bf_getbuffer`: a `PickleBuffer`, which redirects to it, gives nothing.
            Kind::Lent { .. } => return Err(NotLent::Raised(ErrorClass::TypeError)),
            // A closed map answers as a released view does.
            Kind::Exporter { closed: true, .. } => return Err(NotLent::Released),
            Kind::Exporter { flavour, bytes, exports, .. } => {
                *exports += 1;
                flavour.layout(bytes.len())
            }
            Kind::View { released: true, .. } => return Err(NotLent::Released),
            Kind::View { layout, exports, .. } => {
                *exports += 1;
                layout.clone()
            }
            other => unreachable!("{other:?} has no buffer"),
        };
        self.retain(id);
        Ok((id, layout))
    }

    /// Takes back what [`Model::acquire`] added.
    fn relinquish(&mut self, id: Id) {
        match self.kind_mut(id) {
            Kind::Exporter { exports, .. } | Kind::View { exports, .. } => *exports -= 1,
            &mut Kind::Lent { view, lender } => self.give_back(view, lender),
            other => unreachable!("{other:?} has no exports"),
        }
        self.forget(id);
    }

    /// Takes back what [`Model::acquire`] added as if it had never been.
    fn retract_from(&mut self, id: Id) {
        let &Kind::Lent { view, lender } = self.kind(id) else { return self.relinquish(id) };
        self.take_back(view, lender);
        self.forget(view);
        self.forget(lender);
        self.forget(id);
    }

    /// The object whose buffer a source gives: that behind an export.
    fn provider(&mut self, source: Source<'_>) -> Result<Id, Released> {
        match source {
            Source::Slot(slot) => match slot.kind {
                SlotKind::Exporter => Ok(self.exporters[slot.at()].expect("only filled slots are asked")),
                SlotKind::View => Ok(self.views[slot.at()].expect("only filled slots are asked")),
                SlotKind::Export => self.exports[slot.at()]
                    .as_ref()
                    .expect("only filled slots are asked")
                    .of()
                    .ok_or(Released),
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
            Kind::Lender { .. } | Kind::Lent { .. } => None,
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
        // One that no program names is the object of another slot as well.
        let alone = exporter.kind == SlotKind::Exporter && exporter.index < limits::EXPORTERS;
        self.touched.0.exporters |= if alone { 1 << exporter.at() } else { u32::MAX };
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
                Kind::Lent { view, .. } => id = *view,
                Kind::Lender { .. } => unreachable!("it is what it lends that is held"),
                Kind::Gone => unreachable!("a view keeps its memory alive"),
            }
        }
    }

    /// Writes into the memory that an object shows or owns.
    fn write_memory(&mut self, id: Id, offset: usize, new: &[u8]) {
        self.touched.0.exporters = u32::MAX;
        let memory = self.memory_of(id);
        match self.kind_mut(memory) {
            Kind::Exporter { bytes, .. } => bytes[offset..][..new.len()].copy_from_slice(new),
            other => unreachable!("{other:?} has no memory"),
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
    Kind::Exporter {
        flavour,
        bytes,
        exports: 0,
        cursor: 0,
        closed: false,
        hidden: Vec::new(),
        file: None,
        replaced: Aside(0),
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
