//! What a world of exporters and views must be able to do, so that operations can mean something
//! in it.
//!
//! An operation of Python is two things: the reading of its arguments, with all their errors, and
//! a few accesses to objects. The first is the same wherever the objects live and stands once, in
//! `subject::meaning`; the second is this trait. The [model](super::model) implements it with
//! plain values, the [native subject](super::native) with real memory and real atomics. What the
//! two share is thereby only arithmetic, which CPython checks; what they do not share, the
//! protocol, is what each checks of the other.

use smallvec::SmallVec;

use crate::exporter::{
    Access, Answer, Body, CArray, Code, Exported, Format, Layout, Mapping, Refused, Released, Request,
    TypeCode,
};
use crate::history::{ErrorClass, Nested, Outcome, Seen};
use crate::program::{Class, Slot, SlotKind};

/// What `hash` of a view raises, given what that of its owner does.
pub fn unhashable_view(layout: &Layout, owner: Option<ErrorClass>) -> Option<ErrorClass> {
    if layout.readonly && layout.format.is_byte() { owner } else { Some(ErrorClass::ValueError) }
}

/// Where an iterator over a view stands.
///
/// From 3.10 on it takes the length when it is made, and looks at the view only below that. Before,
/// it is the iterator of all sequences, which asks for an item until that is an `IndexError`.
pub fn next_offset(
    version: Version,
    made_with: usize,
    next: usize,
    layout: Result<&Layout, Released>,
) -> Result<Option<isize>, ErrorClass> {
    if version.since(10) && next >= made_with {
        return Ok(None);
    }
    let layout = layout.map_err(|Released| ErrorClass::ValueError)?;
    match layout.ndim() {
        0 => Err(ErrorClass::TypeError),
        1 if layout.format.order.is_some() => Err(ErrorClass::NotImplementedError),
        1 => match layout.item_offset(&[next as isize]) {
            // Only an iterator of its own moves on from an item that it cannot read.
            Some(_) if !layout.format.is_native() && !version.since(10) => {
                Err(ErrorClass::NotImplementedError)
            }
            offset => Ok(offset),
        },
        _ => Err(ErrorClass::NotImplementedError),
    }
}

/// The length that an iterator over a view takes when it is made.
pub fn length_for_iterator(layout: Result<&Layout, Released>) -> usize {
    layout.ok().and_then(|layout| layout.shape.first()).map_or(0, |&length| length as usize)
}

/// Bytes that an operation copied out.
pub type Buffer = SmallVec<[u8; 64]>;

/// A version of Python, of which the meaning of some operations depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// 3.
    pub major: u8,
    /// 13 of 3.13.
    pub minor: u8,
    /// 5 of 3.13.5. Bug fixes change what operations do.
    pub micro: u8,
}

impl Version {
    /// The minor versions of Python 3 that the model knows.
    pub const MINORS: std::ops::RangeInclusive<u8> = 9..=15;

    /// The version that is meant where no interpreter is there to say.
    pub const NEWEST: Version = Version { major: 3, minor: 15, micro: 0 };

    /// Whether a change is in that came with these versions, a minor and a micro each, and that minor versions later
    /// than all of them have from the start; no version has one that came with none.
    pub fn has(self, came_with: &[(u8, u8)]) -> bool {
        came_with.iter().any(|&(minor, micro)| self.minor == minor && self.micro >= micro)
            || came_with.iter().map(|&(minor, _)| minor).max().is_some_and(|last| self.minor > last)
    }

    /// Whether this is Python 3.`minor` or later.
    pub const fn since(self, minor: u8) -> bool {
        self.major > 3 || (self.major == 3 && self.minor >= minor)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// Which exporter an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// `bytes`: immutable.
    Bytes,
    /// `bytearray`: resizable.
    ByteArray,
    /// `array.array`: resizable, in items of this type.
    Array(TypeCode),
    /// `mmap.mmap`: resizable where the system can, and can be closed. It has a cursor.
    Mmap(Mapping),
    /// An array of `ctypes` with items of this code: of a fixed length.
    CArray(Code),
    /// `io.BytesIO`: resizable, and can be closed. It has a cursor, and no buffer but by `getbuffer`.
    Stream,
    /// Text: immutable characters of so many bytes, which are locked and have no buffer.
    Text(u8),
}

impl Flavour {
    /// Its class.
    pub const fn class(self) -> Class {
        match self {
            Flavour::Bytes => Class::Bytes,
            Flavour::ByteArray => Class::ByteArray,
            Flavour::Array(_) => Class::Array,
            Flavour::Mmap(_) => Class::Mmap,
            Flavour::CArray(_) => Class::CArray,
            Flavour::Stream => Class::BytesIO,
            Flavour::Text(_) => Class::Text,
        }
    }

    /// What an export of `length` bytes of it is like.
    pub fn layout(self, length: usize) -> Layout {
        match self {
            Flavour::Array(code) => {
                let items = (length / code.itemsize()) as isize;
                Layout::bytes(length, false).recast(Format::new(code.code()), &[items])
            }
            Flavour::CArray(code) => {
                let items = (length / code.size()) as isize;
                Layout::bytes(length, false).recast(CArray::format(code), &[items])
            }
            Flavour::Bytes | Flavour::Text(_) => Layout::bytes(length, true),
            Flavour::Mmap(mapping) => Layout::bytes(length, mapping.readonly),
            Flavour::ByteArray | Flavour::Stream => Layout::bytes(length, false),
        }
    }

    /// Its items.
    pub const fn form(self) -> Form {
        match self {
            Flavour::Array(code) => Form::Array(code),
            // As a sequence a map has `bytes` of one byte.
            Flavour::Mmap(_) => Form::View(Format::new(Code::Char)),
            Flavour::CArray(code) => Form::View(Format::new(code)),
            Flavour::Text(_) => Form::Text,
            _ => Form::View(Format::BYTES),
        }
    }

    /// Bytes per item.
    #[inline]
    pub const fn itemsize(self) -> usize {
        match self {
            Flavour::Array(code) => code.itemsize(),
            Flavour::CArray(code) => code.size(),
            Flavour::Text(width) => width as usize,
            _ => 1,
        }
    }

    /// What `hash` of it raises.
    pub const fn unhashable(self) -> Option<ErrorClass> {
        match self {
            Flavour::ByteArray | Flavour::Array(_) | Flavour::CArray(_) => Some(ErrorClass::TypeError),
            Flavour::Bytes | Flavour::Mmap(_) | Flavour::Stream | Flavour::Text(_) => None,
        }
    }
}

/// What the bytes of an item are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What a memoryview makes of this format, which is also what `bytes` are in.
    View(Format),
    /// What an array of this type makes of them.
    Array(TypeCode),
    /// A character of a text, in as many bytes as there are.
    Text,
}

/// The memory of one exporter during one of its own operations, which is atomic with respect to
/// its others (clause S1).
pub trait Memory {
    /// Bytes.
    fn length(&self) -> usize;
    /// A copy of the contents.
    fn contents(&self) -> Buffer;
    /// The byte at `place`, which is below the length.
    fn get(&self, place: usize) -> u8;
    /// Stores a byte at `place`, which is below the length.
    fn set(&mut self, place: usize, byte: u8);
    /// Stores bytes from `start` on, `step` apart; all places are below the length.
    fn write(&mut self, start: usize, step: isize, bytes: &[u8]);
    /// Replaces `removed` bytes from `at` on, all of which exist, by `bytes`: refused while exports exist, also
    /// where the length stays.
    fn splice(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported>;
}

/// What a view or an export is made of.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// An object in a slot: an exporter, a view or an export.
    Slot(Slot),
    /// A `bytes` of the program, which no slot names.
    Bytes(&'a [u8]),
}

/// The object whose memory a view shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A `bytes` of these contents. Which object it is cannot matter, since it never changes.
    Bytes(Seen),
    /// A bytearray or a view.
    Object {
        /// The lowest slot that holds it, if there is one.
        slot: Option<Slot>,
        /// What `hash` of it raises.
        unhashable: Option<ErrorClass>,
    },
}

/// Why a request for a buffer was not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLent {
    /// The object is released or closed.
    Released,
    /// Its memory cannot be lent in this way.
    Refused,
    /// A `__buffer__` raised this.
    Raised(ErrorClass),
}

impl From<Released> for NotLent {
    fn from(Released: Released) -> NotLent {
        NotLent::Released
    }
}

impl From<Refused> for NotLent {
    fn from(Refused: Refused) -> NotLent {
        NotLent::Refused
    }
}

/// What is kept while a step converts its hooks.
#[derive(Debug, Clone, Default)]
pub struct Nesting {
    /// What happened so far.
    pub log: Vec<Nested>,
    /// How many hooks are under way, each within the one before.
    pub depth: u8,
    /// How many slots of exporters and of views are taken beyond those that programs name.
    pins: [u8; 2],
}

impl Nesting {
    /// Takes another slot that no program names.
    pub fn pin(&mut self, kind: SlotKind) -> Slot {
        let taken = self.pins(kind);
        *taken += 1;
        Slot::new(kind, kind.count() + *taken - 1)
    }

    /// Gives back the one that was taken last.
    pub fn unpin(&mut self, kind: SlotKind) {
        *self.pins(kind) -= 1;
    }

    fn pins(&mut self, kind: SlotKind) -> &mut u8 {
        &mut self.pins[usize::from(kind == SlotKind::View)]
    }
}

/// A world of exporters, views, exports and iterators, each in a slot.
pub trait Heap {
    /// An export that an operation holds while it runs.
    type Hold;
    /// A view that a `__buffer__` has made, which no slot holds.
    type Lent;

    /// The Python that operations follow.
    fn version(&self) -> Version;
    /// Whether what is known to break the memory of that Python is left out.
    fn is_guarded(&self) -> bool {
        true
    }
    /// How often an exporter has had other memory since it was made, as far as an interpreter may have given it some.
    /// Only asked where the heap is guarded.
    fn replaced(&self, exporter: Slot) -> u32;
    /// Whether a slot is filled.
    fn holds(&self, slot: Slot) -> bool;
    /// Whether two filled slots hold the same object.
    fn same(&self, one: Slot, other: Slot) -> bool;
    /// Empties a slot: the object goes if nothing else refers to it.
    fn empty(&mut self, slot: Slot);
    /// Puts the exporter or view in a filled slot into another one as well.
    fn share(&mut self, slot: Slot, dest: Slot);
    /// What the step under way keeps of its hooks.
    fn nesting(&mut self) -> &mut Nesting;
    /// Runs a step of a hook as `work` does, on the thread that it names, and waits for it. Where there is one thing to be
    /// seen of a step, whoever does it, that is here.
    fn on_thread(&mut self, _thread: u8, work: impl FnOnce(&mut Self) -> Outcome + Send + 'static) -> Outcome
    where
        Self: Sized,
    {
        work(self)
    }

    /// Which exporter a filled slot holds.
    fn flavour(&self, exporter: Slot) -> Flavour;
    /// Puts a new exporter in a slot.
    fn store(&mut self, dest: Slot, flavour: Flavour, bytes: Vec<u8>);
    /// Whether a map or a stream has been closed. Then no operation runs on it.
    fn is_closed(&self, exporter: Slot) -> bool;
    /// Closes a map or a stream; to close a closed one does nothing.
    fn close(&mut self, exporter: Slot) -> Result<(), Exported>;
    /// The bytes that a map had when it was closed.
    fn closed_length(&self, map: Slot) -> usize;
    /// Gives a stream these bytes in place of what it has, and moves it to their begin; one that was closed is open
    /// again.
    fn renew(&mut self, stream: Slot, bytes: Vec<u8>) -> Result<(), Exported>;
    /// Where a map or a stream stands, in bytes from its begin; it may be beyond the end of a stream.
    fn cursor(&self, exporter: Slot) -> usize;
    /// Moves a map or a stream there.
    fn set_cursor(&mut self, exporter: Slot, place: usize);
    /// Maps a new file of these contents, the first `length` bytes of it.
    fn map_file(&mut self, dest: Slot, mapping: Mapping, contents: &[u8], length: usize);
    /// The length of the file of an open map, if it has one.
    fn file_length(&self, exporter: Slot) -> Option<usize>;
    /// Gives the file of an open map that is shared another length, not zero and within its one page, and leaves the map
    /// as long as it is: what the map shows behind the end of the file is zero, until it is written.
    fn truncate_file(&mut self, exporter: Slot, length: usize);
    /// Gives an open map another length, not zero, and its file with it. Without a file, what is new is what was
    /// there before in its last page; a file that was cut off begins again with zeros.
    fn remap(&mut self, exporter: Slot, length: usize) -> Result<(), Exported>;
    /// Runs one operation of an exporter that is not closed.
    fn operate<R>(&mut self, exporter: Slot, f: impl FnOnce(&mut dyn Memory) -> R) -> R;

    /// Makes a view with a managed buffer of its own; of a view, one on the same managed buffer.
    fn view(&mut self, dest: Slot, source: Source<'_>) -> Result<(), NotLent>;
    /// Makes another view on the managed buffer of a view.
    fn derive(&mut self, dest: Slot, view: Slot, layout: Layout) -> Result<(), Released>;
    /// Releases a view, unless it has exports of its own (clause M3).
    fn release_view(&mut self, view: Slot) -> Result<(), Exported>;
    /// Where the items of a view are.
    fn layout(&self, view: Slot) -> Result<&Layout, Released>;
    /// Reads bytes through a view, at an offset from the base of the memory.
    fn read(&self, view: Slot, offset: isize, out: &mut [u8]) -> Result<(), Released>;
    /// Writes bytes through a view, at an offset from the base of the memory.
    fn write(&mut self, view: Slot, offset: isize, bytes: &[u8]) -> Result<(), Released>;
    /// The object whose memory a view shows.
    fn owner(&self, view: Slot) -> Result<Owner, Released>;
    /// What the hash of a view was computed of, if it was.
    fn hashed(&self, view: Slot) -> Option<&Seen>;
    /// Remembers what the hash of a view was computed of.
    fn remember_hash(&mut self, view: Slot, of: Seen);

    /// Makes an export that a consumer holds until it releases it.
    fn export(&mut self, dest: Slot, source: Source<'_>) -> Result<(), NotLent>;
    /// Makes one that the consumer holds as a `Py_buffer`, filled in as it asked for.
    fn request(&mut self, dest: Slot, source: Source<'_>, request: Request) -> Result<(), NotLent>;
    /// The class of what is in a filled slot of exports.
    fn export_class(&self, export: Slot) -> Class;
    /// What such an export was filled in with; `None` of one that was not asked for with flags.
    fn answer(&self, export: Slot) -> Option<Answer>;
    /// The object that gave an export which is held.
    ///
    /// # Errors
    /// If it was released.
    fn lender(&self, export: Slot) -> Result<Owner, Released>;
    /// Makes an object of a class with `__buffer__`, in a slot of exports, that lends the memory of the source; a view of
    /// that is made and released to see whether it can.
    fn lend(&mut self, dest: Slot, source: Source<'_>, body: Body) -> Result<(), NotLent>;
    /// How many bytes such an object may lend at most, without asking it; `None` of any other.
    fn lends(&self, export: Slot) -> Option<usize>;
    /// How many exports such an object was not given back yet, if its body releases them, else 0; `None` of any other.
    fn outstanding(&self, export: Slot) -> Option<usize>;
    /// How many errors such an object has raised when it was given an export back; `None` of any other.
    fn heard(&self, export: Slot) -> Option<usize>;
    /// Releases it; again is harmless. An object of a class with `__buffer__` lets go of the views that it keeps.
    fn release_export(&mut self, export: Slot);

    /// Locks memory that can be locked so, by the interface of PEP 298, until the lock is released as an export is.
    fn lock(&mut self, dest: Slot, source: Source<'_>, access: Access) -> Result<(), NotLent>;
    /// What a lock is for, released or not; `None` of an export of PEP 3118.
    fn lock_access(&self, export: Slot) -> Option<Access>;
    /// The bytes of locked memory.
    fn locked(&self, lock: Slot) -> Result<Buffer, Released>;
    /// Writes into memory that is locked for writing, where the bytes fit.
    fn write_locked(&mut self, lock: Slot, offset: usize, bytes: &[u8]);

    /// Makes an iterator. A stream is its own; its slot may then be given for that of an exporter.
    fn iterate(&mut self, dest: Slot, source: Slot);
    /// Makes an iterator over the items of a C-contiguous block, which it holds until it finds the end or goes.
    fn unpack(&mut self, dest: Slot, source: Source<'_>, format: Format) -> Result<(), NotLent>;
    /// Whether an iterator is one of these: its items come in tuples.
    fn unpacks(&self, iterator: Slot) -> bool;
    /// Whether a filled slot of iterators holds a stream.
    fn is_stream(&self, iterator: Slot) -> bool;
    /// The next item of an iterator that is no stream, and what it is, or `None` at the end, for ever.
    fn advance(&mut self, iterator: Slot) -> Result<Option<(Form, Seen)>, ErrorClass>;

    /// Acquires an export of the object in a slot for the length of an operation.
    fn hold(&mut self, slot: Slot) -> Result<Self::Hold, NotLent>;
    /// Makes a view of an object that has a buffer, to be lent.
    fn lend_view(&mut self, slot: Slot) -> Result<Self::Lent, NotLent>;
    /// Acquires an export of what is lent.
    fn hold_lent(&mut self, lent: &Self::Lent) -> Result<Self::Hold, NotLent>;
    /// Drops the view that was lent; nobody holds an export of it.
    fn drop_lent(&mut self, lent: Self::Lent);
    /// Acquires another export of the memory of one that a consumer holds, whoever gave that.
    fn hold_same(&mut self, export: Slot) -> Result<Self::Hold, NotLent>;
    /// Where the items of a held export are.
    fn held_layout<'a>(&'a self, hold: &'a Self::Hold) -> &'a Layout;
    /// The contents of a held export, in C order.
    fn held_contents(&self, hold: &Self::Hold) -> Buffer;
    /// Reads from a held export, at an offset from the base of its block.
    fn read_held(&self, hold: &Self::Hold, offset: isize, out: &mut [u8]);
    /// Writes into a held export, at an offset from the base of its block.
    fn write_held(&mut self, hold: &Self::Hold, offset: isize, bytes: &[u8]);
    /// Releases it. `failed` says that the operation is on its way out with an error.
    fn unhold(&mut self, hold: Self::Hold, failed: bool);
    /// Takes it back as if it had never been: whoever lends by `__buffer__` is not told. That is how a request ends that
    /// is refused for what it would hold.
    fn retract(&mut self, hold: Self::Hold);
}
