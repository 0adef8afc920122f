//! The native subject: this crate's own exporters, with real memory and real atomics.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

use super::heap::{
    Buffer, Flavour, Form, Heap, Memory, Owner, Source, Version, length_for_iterator, next_offset,
    unhashable_view,
};
use super::trace::State;
use super::{Picture, Shown, Slots, Subject, Unrest, ViewPicture, meaning};
use crate::exporter::{
    Array, Block, ByteArray, Bytes, Closing, Export, Exported, Format, Items, Layout, Map, MapError, Mapping,
    Mmap, NotExported, Operation, Provider, Released, Stream, View, same_bytes,
};
use crate::history::{ErrorClass, Outcome, Seen};
use crate::program::{Slot, SlotKind, Step, limits};

/// The slots of one run.
#[derive(Debug)]
pub struct Native {
    version: Version,
    exporters: Slots<Provider, { limits::EXPORTERS as usize }>,
    views: Slots<Viewed, { limits::VIEWS as usize }>,
    exports: Slots<Option<Export>, { limits::EXPORTS as usize }>,
    iterators: Slots<Iteration, { limits::ITERATORS as usize }>,
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
                    match self.exports[slot.at()].as_ref().expect("only filled slots are asked") {
                        Some(held) => export(held.provider()),
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

/// How memory of one kind changes its length.
trait Splice {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported>;
}

impl Splice for Operation<'_> {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        let memory = self.resize()?;
        // An object with a planted fault may show bytes that it does not have.
        let (at, end) = (at.min(memory.len()), (at + removed).min(memory.len()));
        memory.splice(at..end, bytes.iter().copied());
        Ok(())
    }
}

impl Splice for Operation<'_, Items> {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        let size = self.itemsize();
        self.splice(at / size, removed / size, bytes)
    }
}

impl Splice for Operation<'_, Map> {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        assert!(
            removed == 0 && bytes.is_empty(),
            "a map gains and loses bytes at its end alone, not at {at}"
        );
        self.check_alone()
    }
}

impl<M: Block> Memory for Operation<'_, M>
where
    Self: Splice,
{
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

    fn splice(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        self.splice_bytes(at, removed, bytes)
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

    fn splice(&mut self, _: usize, _: usize, _: &[u8]) -> Result<(), Exported> {
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

/// Whether an exporter is what the model shows.
fn shows(exporter: &Provider, shown: Shown<'_>) -> bool {
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
                Some(exporter) if is_closed(exporter) => Picture::Closed(flavour(exporter)),
                Some(exporter) => Picture::Exporter {
                    flavour: flavour(exporter),
                    bytes: operate(exporter, |memory| memory.contents().to_vec()),
                    cursor: cursor(exporter),
                },
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
        let stuck = |exporter: &Provider| match exporter {
            Provider::Bytes(bytes) => bytes.exports() > 0,
            Provider::Mmap(map) => map.close(Closing::Refuse).is_err(),
            exporter => !is_closed(exporter) && operate(exporter, |memory| memory.splice(0, 0, &[]).is_err()),
        };
        let is_stuck = |slot: &Slot| exporters[slot.at()].as_ref().is_some_and(stuck);
        Slot::all(SlotKind::Exporter).find(is_stuck).map(Unrest::StillExported)
    }
}
