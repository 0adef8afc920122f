//! The native subject: this crate's own exporters, with real memory and real atomics.

use std::cell::Cell;

use super::heap::{
    Buffer, Flavour, Heap, Memory, Owner, Source, Version, length_for_iterator, next_offset, unhashable_view,
};
use super::trace::State;
use super::{Picture, Slots, Subject, Unrest, ViewPicture, meaning};
use crate::exporter::{
    ByteArray, Bytes, Export, Exported, Format, Layout, NotExported, Operation, Provider, Released, View,
    same_bytes,
};
use crate::history::{ErrorClass, Outcome, Seen};
use crate::program::{Slot, SlotKind, Step, limits};

/// The slots of one run.
#[derive(Debug)]
pub struct Native {
    version: Version,
    exporters: Slots<Owned, { limits::EXPORTERS as usize }>,
    views: Slots<Viewed, { limits::VIEWS as usize }>,
    exports: Slots<Option<Export>, { limits::EXPORTS as usize }>,
    iterators: Slots<Iteration, { limits::ITERATORS as usize }>,
}

#[derive(Debug, Clone)]
enum Owned {
    Bytes(Bytes),
    ByteArray(ByteArray),
}

#[derive(Debug)]
struct Viewed {
    view: View,
    hashed: Option<Seen>,
    /// The view of the model, by its number, that was found to have the same layout. Neither layout changes.
    agreed: Cell<Option<u32>>,
}

#[derive(Debug)]
struct Iteration {
    target: Option<Target>,
    next: usize,
}

#[derive(Debug)]
enum Target {
    Owned(Owned),
    /// The length is that of when the iterator was made: it outlives a release.
    View(View, usize),
}

impl Native {
    /// Empty slots, in which operations follow `version`.
    pub fn new(version: Version) -> Native {
        Native {
            version,
            exporters: Slots::new(),
            views: Slots::new(),
            exports: Slots::new(),
            iterators: Slots::new(),
        }
    }

    fn owned(&self, slot: Slot) -> &Owned {
        self.exporters[slot.at()].as_ref().expect("only filled slots are asked")
    }

    fn viewed(&self, slot: Slot) -> &View {
        &self.views[slot.at()].as_ref().expect("only filled slots are asked").view
    }

    fn acquire(&self, source: Source<'_>) -> Result<Export, Released> {
        match source {
            Source::Bytes(bytes) => Ok(Bytes::new(bytes).export()),
            Source::Slot(slot) => match slot.kind {
                SlotKind::Exporter => Ok(match self.owned(slot) {
                    Owned::Bytes(bytes) => bytes.export(),
                    Owned::ByteArray(array) => array.export(),
                }),
                SlotKind::View => self.viewed(slot).export(),
                SlotKind::Export => {
                    match self.exports[slot.at()].as_ref().expect("only filled slots are asked") {
                        Some(export) => export.provider().export().map_err(|error| match error {
                            NotExported::Released => Released,
                            other => unreachable!("no slot holds what answers that {other}"),
                        }),
                        None => Err(Released),
                    }
                }
                SlotKind::Iterator => unreachable!("no argument is an iterator"),
            },
        }
    }

    fn set_view(&mut self, dest: Slot, view: View) {
        self.views.put(dest, Viewed { view, hashed: None, agreed: Cell::new(None) });
    }
}

/// The bytes at the offsets of `layout`, in C order.
fn gather(layout: &Layout, read: impl Fn(isize, &mut [u8])) -> Buffer {
    let mut bytes = Buffer::from_elem(0, layout.nbytes());
    if layout.is_c_contiguous() {
        if !bytes.is_empty() {
            read(layout.offset, &mut bytes);
        }
    } else {
        for (chunk, offset) in bytes.chunks_exact_mut(layout.itemsize()).zip(layout.offsets()) {
            read(offset, chunk);
        }
    }
    bytes
}

/// What `hash` of an exporter raises.
fn unhashable(provider: &Provider) -> Option<ErrorClass> {
    match provider {
        Provider::Bytes(_) => None,
        Provider::ByteArray(_) | Provider::Array(_) => Some(ErrorClass::TypeError),
        Provider::Mmap(_) | Provider::Text(_) => None,
        Provider::View(view) => match (view.layout(), view.provider()) {
            (Ok(layout), Ok(provider)) => unhashable_view(layout, unhashable(&provider)),
            _ => Some(ErrorClass::ValueError),
        },
    }
}

impl Memory for Operation<'_> {
    fn length(&self) -> usize {
        Operation::len(self)
    }

    fn contents(&self) -> Buffer {
        let mut bytes = Buffer::from_elem(0, self.len());
        self.read(0, 1, &mut bytes).expect("the contents are within the length");
        bytes
    }

    fn get(&self, place: usize) -> u8 {
        Operation::get(self, place).expect("the place is within the length")
    }

    fn set(&mut self, place: usize, byte: u8) {
        Operation::set(self, place, byte).expect("the place is within the length");
    }

    fn write(&mut self, start: usize, step: isize, bytes: &[u8]) {
        Operation::write(self, start, step, bytes).expect("the places are within the length");
    }

    fn resize(&mut self) -> Result<&mut Vec<u8>, Exported> {
        Operation::resize(self)
    }
}

/// `bytes`: no operation writes or resizes it, because [`meaning`] refuses first.
struct Immutable<'a>(&'a [u8]);

impl Memory for Immutable<'_> {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn contents(&self) -> Buffer {
        Buffer::from_slice(self.0)
    }

    fn get(&self, place: usize) -> u8 {
        self.0[place]
    }

    fn set(&mut self, _: usize, _: u8) {
        unreachable!("bytes are immutable")
    }

    fn write(&mut self, _: usize, _: isize, _: &[u8]) {
        unreachable!("bytes are immutable")
    }

    fn resize(&mut self) -> Result<&mut Vec<u8>, Exported> {
        unreachable!("bytes are immutable")
    }
}

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
            (SlotKind::Exporter, SlotKind::Exporter) => match (self.owned(one), self.owned(other)) {
                (Owned::Bytes(one), Owned::Bytes(other)) => one.same(other),
                (Owned::ByteArray(one), Owned::ByteArray(other)) => one.same(other),
                _ => false,
            },
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
        match self.owned(exporter) {
            Owned::Bytes(_) => Flavour::Bytes,
            Owned::ByteArray(_) => Flavour::ByteArray,
        }
    }

    fn store(&mut self, dest: Slot, flavour: Flavour, bytes: Vec<u8>) {
        let exporter = match flavour {
            Flavour::Bytes => Owned::Bytes(Bytes::new(&bytes)),
            Flavour::ByteArray => Owned::ByteArray(ByteArray::new(bytes)),
        };
        self.exporters.put(dest, exporter);
    }

    fn operate<R>(&mut self, exporter: Slot, f: impl FnOnce(&mut dyn Memory) -> R) -> R {
        match self.owned(exporter) {
            Owned::Bytes(bytes) => f(&mut Immutable(bytes.as_slice())),
            Owned::ByteArray(array) => array.operate(|operation| f(operation)),
        }
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
            Provider::ByteArray(array) => {
                let slot = Slot::all(SlotKind::Exporter).find(
                    |slot| matches!(&self.exporters[slot.at()], Some(Owned::ByteArray(other)) if other.same(&array)),
                );
                Owner::Object { slot, unhashable: Some(ErrorClass::TypeError) }
            }
            Provider::Array(_) | Provider::Mmap(_) | Provider::Text(_) => {
                unreachable!("no slot holds one of these yet")
            }
            Provider::View(view) => {
                let slot = Slot::all(SlotKind::View)
                    .find(|slot| self.views[slot.at()].as_ref().is_some_and(|other| other.view.same(&view)));
                Owner::Object { slot, unhashable: unhashable(&Provider::View(view)) }
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
        self.exports.put(dest, Some(export));
        Ok(())
    }

    fn release_export(&mut self, export: Slot) {
        if let Some(held) = self.exports.get_mut(export) {
            *held = None;
        }
    }

    fn iterate(&mut self, dest: Slot, source: Slot) {
        let target = match source.kind {
            SlotKind::Exporter => Target::Owned(self.owned(source).clone()),
            _ => {
                let view = self.viewed(source);
                Target::View(view.clone(), length_for_iterator(view.layout()))
            }
        };
        self.iterators.put(dest, Iteration { target: Some(target), next: 0 });
    }

    fn advance(&mut self, iterator: Slot) -> Result<Option<(Format, Seen)>, ErrorClass> {
        let iteration = self.iterators.get_mut(iterator).expect("only filled slots are asked");
        let Some(target) = &iteration.target else { return Ok(None) };
        let byte = |byte: u8| (Format::BYTES, Seen::from_slice(&[byte]));
        let item = match target {
            Target::Owned(Owned::Bytes(bytes)) => bytes.as_slice().get(iteration.next).copied().map(byte),
            Target::Owned(Owned::ByteArray(array)) => {
                array.operate(|operation| operation.get(iteration.next)).map(byte)
            }
            Target::View(view, length) => {
                match next_offset(self.version, *length, iteration.next, view.layout())? {
                    Some(offset) => {
                        let layout = view.layout().map_err(|Released| ErrorClass::ValueError)?;
                        let mut bytes = Seen::from_elem(0, layout.itemsize());
                        view.read(offset, &mut bytes).map_err(|Released| ErrorClass::ValueError)?;
                        Some((layout.format, bytes))
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

    fn unhold(&mut self, hold: Export, failed: bool) {
        if failed {
            hold.abandon();
        }
    }
}

impl Subject for Native {
    fn name(&self) -> &str {
        "native"
    }

    fn step(&mut self, step: &Step) -> Outcome {
        // Where the model finds a slot empty the step is not run, and what is filled was compared after the last one.
        debug_assert_eq!(step.find_needed(|slot| !self.holds(slot)), None);
        meaning::run_filled(self, step)
    }

    fn different_slot(&mut self, expected: State<'_>) -> Option<Slot> {
        let exporter = |place: usize, own: &Owned| match (own, expected.exporter(place)) {
            (Owned::Bytes(own), (Flavour::Bytes, bytes)) => same_bytes(own.as_slice(), bytes),
            (Owned::ByteArray(array), (Flavour::ByteArray, bytes)) => {
                array.operate(|operation| operation.equals(bytes))
            }
            _ => false,
        };
        let view = |place: usize, own: &Viewed| {
            let Ok(layout) = own.view.layout() else { return expected.is_released(place) };
            let number = Some(expected.number(place));
            if own.agreed.get() != number {
                if layout != &expected.view(place).layout {
                    return false;
                }
                own.agreed.set(number);
            }
            !expected.is_released(place)
        };
        let export = |place: usize, own: &Option<Export>| own.is_some() == expected.is_held(place);
        self.exporters
            .first_different(SlotKind::Exporter, expected.filled(SlotKind::Exporter), exporter)
            .or_else(|| self.views.first_different(SlotKind::View, expected.filled(SlotKind::View), view))
            .or_else(|| {
                self.exports.first_different(SlotKind::Export, expected.filled(SlotKind::Export), export)
            })
    }

    fn look(&self, slot: Slot) -> Picture {
        match slot.kind {
            SlotKind::Exporter => match &self.exporters[slot.at()] {
                None => Picture::Empty,
                Some(Owned::Bytes(bytes)) => Picture::Exporter(Flavour::Bytes, bytes.as_slice().to_vec()),
                Some(Owned::ByteArray(array)) => Picture::Exporter(
                    Flavour::ByteArray,
                    array.operate(|operation| Memory::contents(operation).to_vec()),
                ),
            },
            SlotKind::View => match &self.views[slot.at()] {
                None => Picture::Empty,
                Some(viewed) => match viewed.view.layout() {
                    Ok(layout) => Picture::View(ViewPicture::from(layout)),
                    Err(Released) => Picture::ReleasedView,
                },
            },
            SlotKind::Export => match &self.exports[slot.at()] {
                None => Picture::Empty,
                Some(held) => Picture::Export { held: held.is_some() },
            },
            SlotKind::Iterator => match &self.iterators[slot.at()] {
                None => Picture::Empty,
                Some(_) => Picture::Iterator,
            },
        }
    }

    fn hash_of(&self, _: &[u8]) -> Option<i128> {
        None
    }

    fn rest(&mut self) -> Option<Unrest> {
        self.iterators.clear();
        self.exports.clear();
        self.views.clear();
        let exporters = std::mem::take(&mut self.exporters);
        Slot::all(SlotKind::Exporter).find_map(|slot| match &exporters[slot.at()] {
            Some(Owned::ByteArray(array)) if array.operate(|operation| operation.resize().is_err()) => {
                Some(Unrest::StillExported(slot))
            }
            Some(Owned::Bytes(bytes)) if bytes.exports() > 0 => Some(Unrest::StillExported(slot)),
            _ => None,
        })
    }
}
