//! The native subject: this crate's own exporters, with real memory and real atomics.

mod lent;
mod memory;
mod world;

use std::cell::Cell;

use self::memory::Immutable;
use super::heap::{Buffer, Flavour, Heap, Memory, Source, Version, unhashable_view};
use super::trace::State;
use super::{Picture, Shown, Slots, Subject, Unrest, ViewPicture, meaning};
use crate::exporter::{
    Access, Bytes, Closing, Export, Format, Layout, LockedBuffer, NotExported, Provider, Released, View,
    same_bytes,
};
use crate::history::{ErrorClass, Outcome, Seen};
use crate::program::{Slot, SlotKind, Step, limits};

/// The slots of one run.
#[derive(Debug)]
pub struct Native {
    version: Version,
    exporters: Slots<Provider, { limits::EXPORTERS as usize }>,
    views: Slots<Viewed, { limits::VIEWS as usize }>,
    exports: Slots<Held, { limits::EXPORTS as usize }>,
    iterators: Slots<Iteration, { limits::ITERATORS as usize }>,
}

#[derive(Debug)]
struct Viewed {
    view: View,
    hashed: Option<Seen>,
    /// The view of the model, by its number, that was found to have the same layout. Neither layout changes.
    agreed: Cell<Option<u32>>,
}

/// What a slot of exports holds; nothing in it once it is released.
#[derive(Debug)]
enum Held {
    Export(Option<Export>),
    Lock(Access, Option<LockedBuffer>),
}

impl Held {
    /// The object that is exported or locked.
    fn provider(&self) -> Option<&Provider> {
        match self {
            Held::Export(held) => held.as_ref().map(Export::provider),
            Held::Lock(_, held) => held.as_ref().map(LockedBuffer::provider),
        }
    }

    fn is_held(&self) -> bool {
        self.provider().is_some()
    }
}

#[derive(Debug)]
struct Iteration {
    target: Option<Target>,
    next: usize,
    /// Whether it unpacks, or did before it was exhausted.
    unpacks: bool,
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

    /// The exporter in a slot, or the stream in a slot of iterators.
    fn exporter(&self, slot: Slot) -> &Provider {
        let exporter = match slot.kind {
            SlotKind::Iterator => self.iterated(slot),
            _ => self.exporters[slot.at()].as_ref(),
        };
        exporter.expect("only filled slots are asked")
    }

    /// The exporter that an iterator is over, if it is over one.
    fn iterated(&self, slot: Slot) -> Option<&Provider> {
        match self.iterators[slot.at()].as_ref()?.target.as_ref()? {
            Target::Exporter(exporter) => Some(exporter),
            Target::Unpack(..) | Target::View(..) => None,
        }
    }

    fn viewed(&self, slot: Slot) -> &View {
        &self.views[slot.at()].as_ref().expect("only filled slots are asked").view
    }

    fn acquire(&self, source: Source<'_>) -> Result<Export, Released> {
        match source {
            Source::Bytes(bytes) => Ok(Bytes::new(bytes).export()),
            Source::Slot(slot) => match slot.kind {
                SlotKind::Exporter => export(self.exporter(slot)),
                SlotKind::View => self.viewed(slot).export(),
                SlotKind::Export => {
                    let held = self.exports[slot.at()].as_ref().expect("only filled slots are asked");
                    held.provider().map_or(Err(Released), export)
                }
                SlotKind::Iterator => unreachable!("no argument is an iterator"),
            },
        }
    }

    fn set_view(&mut self, dest: Slot, view: View) {
        self.views.put(dest, Viewed { view, hashed: None, agreed: Cell::new(None) });
    }
}

/// An export of an exporter or a view. A closed map answers as a released view does.
fn export(provider: &Provider) -> Result<Export, Released> {
    provider.export().map_err(|error| match error {
        NotExported::Released | NotExported::Closed => Released,
        NotExported::NoBuffer => unreachable!("no slot holds text"),
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
        Provider::CArray(_) => Flavour::CArray,
        Provider::Text(_) | Provider::View(_) => unreachable!("no slot of exporters holds one"),
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
        Provider::Text(_) | Provider::View(_) => unreachable!("no slot of exporters holds one"),
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
        "native"
    }

    fn step(&mut self, step: &Step) -> Outcome {
        // Where the model finds a slot empty the step is not run, and what is filled was compared after the last one.
        debug_assert_eq!(step.find_needed(|slot| !self.holds(slot)), None);
        meaning::run_filled(self, step)
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
        let export = |place: usize, own: &Held| own.is_held() == expected.is_held(place);
        self.exporters
            .first_different(SlotKind::Exporter, expected.filled(SlotKind::Exporter), exporter)
            .or_else(|| self.views.first_different(SlotKind::View, expected.filled(SlotKind::View), view))
            .or_else(|| {
                self.exports.first_different(SlotKind::Export, expected.filled(SlotKind::Export), export)
            })
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
                Some(held) => Picture::Export { held: held.is_held() },
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
        let is_stuck = |slot: &Slot| exporters[slot.at()].as_ref().is_some_and(|exporter| !is_free(exporter));
        Slot::all(SlotKind::Exporter).find(is_stuck).map(Unrest::StillExported)
    }
}
