//! The native subject: this crate's own exporters, with real memory and real atomics.

mod lent;
mod memory;
mod world;

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use self::memory::Immutable;
use super::heap::{Buffer, Flavour, Heap, Memory, Nesting, NotLent, Owner, Source, Version, unhashable_view};
use super::trace::State;
use super::{Picture, Shown, Slots, Subject, Unrest, ViewPicture, meaning};
use crate::exporter::{
    Access, Answer, Bytes, Closing, Export, Format, Layout, Lender, LockedBuffer, Mmap, NotExported,
    Provider, Released, View, same_bytes,
};
use crate::history::{ErrorClass, Nested, Outcome, Seen};
use crate::program::{Slot, SlotKind, Step, limits};
use crate::sync::{Mutex, MutexGuard};

const SECTIONS: usize = limits::EXPORTERS as usize + limits::ITERATORS as usize;

/// The slots of one run.
#[derive(Debug, Clone)]
pub struct Native {
    version: Version,
    exporters: Slots<Provider, { limits::EXPORTERS as usize * limits::ROOM }>,
    views: Slots<Viewed, { limits::VIEWS as usize * limits::ROOM }>,
    exports: Slots<Arc<Mutex<Held>>, { limits::EXPORTS as usize }>,
    iterators: Slots<Iteration, { limits::ITERATORS as usize }>,
    /// Of a hand that shares its objects with other threads: the critical section of each exporter, and of each iterator,
    /// which may be a stream that is in no slot of exporters.
    sections: Option<Arc<[Mutex<()>; SECTIONS]>>,
    nesting: Nesting,
    /// The maps that this hand has closed, and their lengths by then.
    closed: Vec<(Mmap, usize)>,
}

#[derive(Debug, Clone)]
struct Viewed {
    view: View,
    /// What its hash was computed of, if that may have been done. Hands that share the view share it.
    hashed: Option<Arc<OnceLock<Seen>>>,
    /// The view of the model, by its number, that was found to have the same layout. Neither layout changes.
    agreed: Cell<Option<u32>>,
}

/// What is in a slot of exports; nothing in it once it is released, by whichever thread.
#[derive(Debug)]
enum Held {
    /// One that was asked for everything.
    PickleBuffer(Option<Export>),
    /// One that was asked for with flags.
    RawBuffer(Option<Export>, Box<Answer>),
    /// A lock, and what it is for.
    Lock(Access, Option<LockedBuffer>),
    /// No export, but an object that makes them.
    Lender(Lender),
}

impl Held {
    /// The object that gave the export or is locked, or that makes exports.
    fn of(&self) -> Result<Provider, Released> {
        match self {
            Held::PickleBuffer(export) | Held::RawBuffer(export, _) => {
                export.as_ref().map(|export| export.provider().clone()).ok_or(Released)
            }
            Held::Lock(_, lock) => lock.as_ref().map(|lock| lock.provider().clone()).ok_or(Released),
            Held::Lender(lender) => Ok(lender.clone().into()),
        }
    }

    fn is_held(&self) -> bool {
        match self {
            Held::PickleBuffer(export) | Held::RawBuffer(export, _) => export.is_some(),
            Held::Lock(_, lock) => lock.is_some(),
            Held::Lender(_) => true,
        }
    }
}

#[derive(Debug, Clone)]
struct Iteration {
    /// A stream, which is its own iterator.
    stream: Option<Provider>,
    /// Whether it unpacks, or did before it was exhausted.
    unpacks: bool,
    place: Arc<Mutex<Place>>,
}

/// Where an iterator stands.
#[derive(Debug)]
struct Place {
    /// `None` once it is exhausted.
    target: Option<Target>,
    next: usize,
}

#[derive(Debug)]
enum Target {
    Exporter(Provider),
    /// An export that is unpacked in items of this format.
    Unpack(Export, Format),
    /// The length is that of when the iterator was made: it outlives a release.
    View(View, usize),
}

impl Native {
    /// What reports call it.
    pub const NAME: &str = "native";

    /// Empty slots, in which operations follow `version`.
    pub fn new(version: Version) -> Native {
        Native {
            version,
            exporters: Slots::new(),
            views: Slots::new(),
            exports: Slots::new(),
            iterators: Slots::new(),
            sections: None,
            nesting: Nesting::default(),
            closed: Vec::new(),
        }
    }

    /// The sections that a step enters, a bit for each: of its receiver, and of every stream that it reads.
    fn operated(&self, step: &Step) -> u32 {
        let mut slots = 0;
        step.find_needed(|slot| {
            match slot.kind {
                SlotKind::Exporter => {
                    let is_stream = matches!(self.exporters[slot.at()], Some(Provider::Stream(_)));
                    slots |= u32::from(is_stream || step.receiver == Some(slot)) << slot.at();
                }
                SlotKind::Iterator => {
                    let is_it = |own: &Slot| {
                        let (own, stream) = (&self.exporters[own.at()], self.stream(slot));
                        own.as_ref().zip(stream).is_some_and(|(own, stream)| own.same(stream))
                    };
                    let of_exporter = Slot::all(SlotKind::Exporter).find(is_it).map(Slot::at);
                    let is_same = |other: &Slot| {
                        *other == slot
                            || self
                                .stream(*other)
                                .zip(self.stream(slot))
                                .is_some_and(|(one, other)| one.same(other))
                    };
                    let of_iterator = || Slot::all(SlotKind::Iterator).find(is_same).map_or(0, Slot::at);
                    slots |= 1 << of_exporter.unwrap_or_else(|| limits::EXPORTERS as usize + of_iterator());
                }
                SlotKind::View | SlotKind::Export => {}
            }
            false
        });
        slots
    }

    /// The exporter in a slot, or the stream in a slot of iterators.
    fn exporter(&self, slot: Slot) -> &Provider {
        let exporter = match slot.kind {
            SlotKind::Iterator => self.stream(slot),
            _ => self.exporters[slot.at()].as_ref(),
        };
        exporter.expect("only filled slots are asked")
    }

    /// The stream in a slot of iterators, if it holds one.
    fn stream(&self, slot: Slot) -> Option<&Provider> {
        self.iterators[slot.at()].as_ref()?.stream.as_ref()
    }

    fn viewed(&self, slot: Slot) -> &View {
        &self.views[slot.at()].as_ref().expect("only filled slots are asked").view
    }

    fn acquire(&self, source: Source<'_>) -> Result<Export, NotLent> {
        match source {
            Source::Bytes(bytes) => Ok(Bytes::new(bytes).export()),
            Source::Slot(slot) => match slot.kind {
                SlotKind::Exporter => export(self.exporter(slot)),
                SlotKind::View => Ok(self.viewed(slot).export()?),
                SlotKind::Export => {
                    let held = self.exports[slot.at()].as_ref().expect("only filled slots are asked");
                    export(&held.lock().of()?)
                }
                SlotKind::Iterator => unreachable!("no argument is an iterator"),
            },
        }
    }

    fn hold_in(&mut self, dest: Slot, held: Held) {
        self.exports.put(dest, Arc::new(Mutex::new(held)));
    }

    fn held(&self, export: Slot) -> MutexGuard<'_, Held> {
        self.exports[export.at()].as_ref().expect("only filled slots are asked").lock()
    }

    /// Who the owner of memory is to a program.
    fn owner_of(&self, owner: Provider) -> Owner {
        match owner {
            Provider::Bytes(bytes) => Owner::Bytes(bytes.as_slice().into()),
            Provider::View(view) => {
                let slot = Slot::all(SlotKind::View)
                    .find(|slot| self.views[slot.at()].as_ref().is_some_and(|other| other.view.same(&view)));
                Owner::Object { slot, unhashable: unhashable(&Provider::View(view)) }
            }
            // The buffer of a stream is an object of its own, as is what is lent.
            exporter @ (Provider::Stream(_) | Provider::Lent(_)) => {
                Owner::Object { slot: None, unhashable: unhashable(&exporter) }
            }
            exporter => {
                let is_it =
                    |slot: &Slot| self.exporters[slot.at()].as_ref().is_some_and(|own| own.same(&exporter));
                let slot = Slot::all(SlotKind::Exporter).find(is_it);
                Owner::Object { slot, unhashable: unhashable(&exporter) }
            }
        }
    }

    fn set_view(&mut self, dest: Slot, view: View) {
        self.views.put(dest, Viewed { view, hashed: None, agreed: Cell::new(None) });
    }
}

/// An export of an exporter or a view. A closed map answers as a released view does.
fn export(provider: &Provider) -> Result<Export, NotLent> {
    provider.export().map_err(|error| match error {
        NotExported::Released | NotExported::Closed => NotLent::Released,
        NotExported::NoBuffer => NotLent::Raised(ErrorClass::TypeError),
        NotExported::Raised => NotLent::Raised(ErrorClass::EOFError),
    })
}

/// Which exporter an object is.
fn flavour(provider: &Provider) -> Flavour {
    match provider {
        Provider::Bytes(_) => Flavour::Bytes,
        Provider::ByteArray(_) => Flavour::ByteArray,
        Provider::Array(array) => Flavour::Array(array.code()),
        Provider::Mmap(map) => Flavour::Mmap(map.mapping()),
        Provider::Stream(_) => Flavour::Stream,
        Provider::CArray(array) => Flavour::CArray(array.item()),
        Provider::Text(text) => Flavour::Text(text.width() as u8),
        other => unreachable!("no slot of exporters holds a {}", other.name()),
    }
}

/// How many bytes there are at most behind whatever lends some.
fn bytes_behind(provider: &Provider) -> usize {
    match provider {
        Provider::View(view) => view.layout().map_or(0, Layout::nbytes),
        Provider::Lender(lender) => bytes_behind(lender.source()),
        Provider::Lent(lent) => lent.view().layout().map_or(0, Layout::nbytes),
        exporter if is_closed(exporter) => 0,
        exporter => operate(exporter, |memory| memory.length()),
    }
}

/// Runs one operation of an exporter that is not closed.
fn operate<R>(provider: &Provider, f: impl FnOnce(&mut dyn Memory) -> R) -> R {
    let open = "a closed object is asked nothing";
    match provider {
        Provider::Bytes(bytes) => f(&mut Immutable(bytes.as_slice())),
        Provider::ByteArray(array) => array.operate(|operation| f(operation)),
        Provider::Array(array) => array.operate(|operation| f(operation)),
        Provider::Mmap(map) => map.operate(|operation| f(operation)).expect(open),
        Provider::Stream(stream) => stream.operate(|operation| f(operation)).expect(open),
        Provider::CArray(array) => array.operate(|operation| f(operation)),
        Provider::Text(text) => f(&mut Immutable(&text.memory())),
        other => unreachable!("no slot of exporters holds a {}", other.name()),
    }
}

fn is_closed(provider: &Provider) -> bool {
    match provider {
        Provider::Mmap(map) => map.is_closed(),
        Provider::Stream(stream) => stream.is_closed(),
        _ => false,
    }
}

fn cursor(provider: &Provider) -> usize {
    match provider {
        Provider::Mmap(map) => map.cursor(),
        Provider::Stream(stream) => stream.cursor(),
        _ => 0,
    }
}

/// What an exporter is, to be told.
pub fn picture(exporter: &Provider) -> Picture {
    let flavour = flavour(exporter);
    if is_closed(exporter) {
        return Picture::Closed(flavour);
    }
    let bytes = operate(exporter, |memory| memory.contents().to_vec());
    Picture::Exporter { flavour, bytes, cursor: cursor(exporter) }
}

/// Whether an exporter can be resized, or closed if it can be, found out by doing so.
pub fn is_free(exporter: &Provider) -> bool {
    match exporter {
        Provider::Bytes(bytes) => bytes.exports() == 0,
        Provider::Text(text) => text.exports() == 0,
        Provider::Mmap(map) => map.close(Closing::Refuse).is_ok(),
        exporter => is_closed(exporter) || operate(exporter, |memory| memory.splice(0, 0, &[]).is_ok()),
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
        Provider::View(view) => match (view.layout(), view.provider()) {
            (Ok(layout), Ok(provider)) => unhashable_view(layout, unhashable(&provider)),
            _ => Some(ErrorClass::ValueError),
        },
        Provider::Lent(_) => None,
        exporter => flavour(exporter).unhashable(),
    }
}

/// Whether an exporter is what the model shows.
pub fn shows(exporter: &Provider, shown: Shown<'_>) -> bool {
    match (exporter, shown) {
        (Provider::ByteArray(array), Shown::Exporter { flavour: Flavour::ByteArray, bytes, .. }) => {
            array.operate(|operation| operation.equals(bytes))
        }
        (Provider::Bytes(own), Shown::Exporter { flavour: Flavour::Bytes, bytes, .. }) => {
            same_bytes(own.as_slice(), bytes)
        }
        (exporter, Shown::Closed(expected)) => flavour(exporter) == expected && is_closed(exporter),
        (exporter, Shown::Exporter { flavour: expected, bytes, cursor: place }) => {
            flavour(exporter) == expected
                && !is_closed(exporter)
                && cursor(exporter) == place
                && match exporter {
                    Provider::Array(array) => array.operate(|operation| operation.equals(bytes)),
                    Provider::CArray(array) => array.operate(|operation| operation.equals(bytes)),
                    Provider::Text(text) => same_bytes(&text.memory(), bytes),
                    Provider::Mmap(map) => map.operate(|operation| operation.equals(bytes)) == Ok(true),
                    Provider::Stream(stream) => {
                        stream.operate(|operation| operation.equals(bytes)) == Ok(true)
                    }
                    _ => false,
                }
        }
        _ => false,
    }
}

impl Subject for Native {
    fn name(&self) -> &str {
        Native::NAME
    }

    fn step(&mut self, step: &Step) -> Outcome {
        // Where the model finds a slot empty the step is not run, and what is filled was compared after the last one.
        debug_assert_eq!(step.find_needed(|slot| !Heap::holds(self, slot)), None);
        // One step of an exporter may be several of its operations. In CPython, the critical section of the object (or
        // the GIL) makes one of them; what is no operation of it, such as all acquires and releases, races with them.
        let Some(sections) = self.sections.clone() else { return meaning::run_filled(self, step) };
        let operated = self.operated(step);
        // In the order of the slots, lest two steps wait for each other.
        let entered: SmallVec<[_; SECTIONS]> = sections
            .iter()
            .enumerate()
            .filter(|(at, _)| operated >> at & 1 != 0)
            .map(|(_, section)| section.lock())
            .collect();
        let outcome = meaning::run_filled(self, step);
        drop(entered);
        outcome
    }

    fn hooked_step(&mut self, step: &Step, _: &[Nested]) -> (Outcome, Vec<Nested>) {
        // What the model has not left out is done.
        self.nesting = Nesting::default();
        let held = step.receiver.filter(|slot| slot.kind == SlotKind::Exporter);
        let held = held.and_then(|slot| self.exporters[slot.at()].as_ref()?.held_over_callbacks());
        let outcome = self.step(step);
        drop(held);
        (outcome, std::mem::take(&mut self.nesting.log))
    }

    fn different_slot(&mut self, expected: State<'_>) -> Option<Slot> {
        let exporter = |place: usize, own: &Provider| shows(own, expected.exporter(place));
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
        let export = |place: usize, own: &Arc<Mutex<Held>>| own.lock().is_held() == expected.is_held(place);
        self.exporters
            .first_different(SlotKind::Exporter, expected.filled(SlotKind::Exporter), exporter)
            .or_else(|| self.views.first_different(SlotKind::View, expected.filled(SlotKind::View), view))
            .or_else(|| {
                self.exports.first_different(SlotKind::Export, expected.filled(SlotKind::Export), export)
            })
    }

    fn holds(&self, slot: Slot) -> bool {
        Heap::holds(self, slot)
    }

    fn forks(&mut self, count: u8) -> Option<Vec<Box<dyn Subject>>> {
        let sections = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        let share =
            |own: &Viewed| Viewed { hashed: Some(own.hashed.clone().unwrap_or_default()), ..own.clone() };
        let shared = Native { views: self.views.map(share), sections: Some(sections), ..self.clone() };
        let fork = || Box::new(shared.clone());
        Some((0..count).map(|_| fork() as Box<dyn Subject>).collect())
    }

    fn look(&self, slot: Slot) -> Picture {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].as_ref().map_or(Picture::Empty, picture),
            SlotKind::View => match &self.views[slot.at()] {
                None => Picture::Empty,
                Some(viewed) => match viewed.view.layout() {
                    Ok(layout) => Picture::View(ViewPicture::from(layout)),
                    Err(Released) => Picture::ReleasedView,
                },
            },
            SlotKind::Export => match &self.exports[slot.at()] {
                None => Picture::Empty,
                Some(held) => Picture::Export { held: held.lock().is_held() },
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
        self.closed.clear();
        let exporters = std::mem::take(&mut self.exporters);
        let is_stuck = |slot: &Slot| exporters[slot.at()].as_ref().is_some_and(|exporter| !is_free(exporter));
        Slot::all(SlotKind::Exporter).find(is_stuck).map(Unrest::StillExported)
    }
}
