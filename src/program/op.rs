//! The one table of operations. The grammar, the generator, the mutator, the encodings and the
//! calls into CPython are all derived from its rows; only what an operation *means* is elsewhere
//! (`subject::meaning`).

use serde::{Deserialize, Serialize};

use super::arg::SlotKind;

/// How an operation is written, which is also how CPython is asked to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// `b0 = bytearray(ARG)` or `zlib.crc32(ARG)`: the call of a class or of a function. [`home`] says where it is.
    Call(&'static str),
    /// `b0.append(ARG)`
    Method(&'static str),
    /// `len(b0)`
    Function(&'static str),
    /// `v0.shape`
    Attribute(&'static str),
    /// `b0[ARG]`
    Item,
    /// `b0[ARG] = ARG`
    SetItem,
    /// `del b0[ARG]`
    DelItem,
    /// `b0 += ARG`
    InPlace(&'static str),
    /// `b0 + ARG`
    Binary(&'static str),
    /// `ARG in b0`
    In,
    /// `with v0: pass`
    With,
    /// `del b0`
    Drop,
}

/// The function of programs that Python lacks, as Python: it wants the modules `mmap` and `tempfile`.
pub const MAPPED_FILE: &str = include_str!("mapped_file.py");

/// The module of a class or a function that is written so, and its name there.
pub fn home(name: &str) -> (&str, &str) {
    match name {
        "PickleBuffer" => ("pickle", name),
        // In none: whoever runs programs has to define it, as `program/mapped_file.py` does.
        "mapped_file" => ("", name),
        _ => name.rsplit_once('.').unwrap_or(("builtins", name)),
    }
}

/// The class of an exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// `bytes`
    Bytes,
    /// `bytearray`
    ByteArray,
    /// `array.array`
    Array,
    /// `mmap.mmap`
    Mmap,
    /// `io.BytesIO`
    BytesIO,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 5] = [Class::Bytes, Class::ByteArray, Class::Array, Class::Mmap, Class::BytesIO];

    /// As it is written in a program.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Bytes => "bytes",
            Class::ByteArray => "bytearray",
            Class::Array => "array.array",
            Class::Mmap => "mmap.mmap",
            Class::BytesIO => "io.BytesIO",
        }
    }
}

/// The classes that have an operation. Whether a version of Python has it as well is a question of its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes(u8);

impl Classes {
    /// All of them; what a class answers to an operator that it does not know is an outcome too.
    pub const ANY: Classes = Classes(u8::MAX);

    const fn of(classes: &[Class]) -> Classes {
        let (mut bits, mut place) = (0, 0);
        while place < classes.len() {
            bits |= 1 << classes[place] as u8;
            place += 1;
        }
        Classes(bits)
    }

    /// Whether this is one of them.
    #[inline]
    pub const fn contain(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }
}

/// Which slots an operation may be done on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// None: the operation makes its object out of its arguments.
    Nothing,
    /// An exporter.
    Exporter,
    /// A memoryview.
    View,
    /// An exporter or a view.
    Memory,
    /// An export held by a consumer.
    Export,
    /// An iterator.
    Iterator,
    /// Any slot.
    Any,
}

impl On {
    /// The kinds of slot that may stand here.
    pub const fn kinds(self) -> &'static [SlotKind] {
        use SlotKind::{Export, Exporter, Iterator, View};
        match self {
            On::Nothing => &[],
            On::Exporter => &[Exporter],
            On::View => &[View],
            On::Memory => &[Exporter, View],
            On::Export => &[Export],
            On::Iterator => &[Iterator],
            On::Any => &[Exporter, View, Export, Iterator],
        }
    }
}

/// What an argument is for. It says which values are likely to be interesting; anything else may
/// stand there too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// An index or bound into the receiver.
    Index,
    /// The length of what is made.
    Size,
    /// How often something is repeated.
    Times,
    /// A byte to store.
    Byte,
    /// An index or a slice of the receiver.
    Key,
    /// A value to store under a key: an item, or the bytes of a slice.
    Item,
    /// An object that has a buffer.
    Buffer,
    /// Whatever `bytearray()` takes: a size, a buffer, an iterable.
    Source,
    /// What is looked for: a byte or a buffer.
    Needle,
    /// Another object to compare with.
    Other,
    /// Objects to be joined.
    Parts,
    /// A table of 256 bytes, or `None`.
    Table,
    /// The format of a cast.
    Format,
    /// The shape of a cast.
    Shape,
    /// The separator of `hex`.
    Separator,
    /// The exporter of a new view or export.
    Exporter,
    /// The number of an open file.
    FileNumber,
    /// Who sees what is written to a map.
    MapFlags,
    /// What may be done with the pages of a map.
    Protection,
    /// The length of a map of a file; zero is all of it.
    FileLength,
    /// How a map is used, in one word for the two above.
    Access,
    /// What a cursor is moved from.
    Whence,
    /// Where a part of a map begins that is flushed or advised about.
    Offset,
    /// What the system is told of the use of a map.
    Advice,
}

/// What comes out of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Yields {
    /// A value, which is observed and dropped.
    Value,
    /// An object that must be put in a slot of this kind.
    Into(SlotKind),
    /// An object that may be put in a slot of this kind, or else is observed and dropped.
    Maybe(SlotKind),
    /// As `Maybe`, in a slot of the receiver's kind, and only if the key is a slice.
    Part,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The operation.
    pub op: Op,
    /// How it is written.
    pub syntax: Syntax,
    /// What it is done on.
    pub on: On,
    /// Which exporters have it, if it is done on one.
    pub classes: Classes,
    /// What its arguments are for.
    pub args: &'static [Role],
    /// How many of them must be there.
    pub required: usize,
    /// What comes out.
    pub yields: Yields,
    /// How often it is generated, relative to the others.
    pub weight: u16,
}

macro_rules! classes {
    () => { Classes::ANY };
    ($($class:ident)+) => { Classes::of(&[$(Class::$class),+]) };
}

macro_rules! operations {
    ($($(#[$doc:meta])* $op:ident: $syntax:expr, $on:ident $(of $($class:ident)|+)?,
        $required:literal of [$($role:ident)*], $yields:expr, $weight:literal;)*) => {
        /// An operation on exporters, views, exports or iterators.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Op { $(#[doc = concat!("See the row `", stringify!($op), "` of the table.")] $op,)* }

        /// The table, in the order of [`Op`].
        pub static TABLE: &[Row] = {
            use SlotKind::{Export, Exporter, Iterator, View};
            use Syntax::{
                Attribute, Binary, Call, DelItem, Drop, Function, In, InPlace, Item, Method, SetItem, With,
            };
            use Yields::{Into, Maybe, Part, Value};
            &[$(Row {
                op: Op::$op,
                syntax: $syntax,
                on: On::$on,
                classes: classes!($($($class)+)?),
                args: &[$(Role::$role),*],
                required: $required,
                yields: $yields,
                weight: $weight,
            },)*]
        };
    };
}

operations! {
    // Exporters: made, and made again.
    NewByteArray: Call("bytearray"), Nothing, 0 of [Source], Into(Exporter), 30;
    NewBytes: Call("bytes"), Nothing, 1 of [Source], Into(Exporter), 8;
    NewMmap: Call("mmap.mmap"), Nothing, 2 of [FileNumber Size MapFlags Protection Access], Into(Exporter), 9;
    MapFile: Call("mapped_file"), Nothing, 1 of [Buffer FileLength Access], Into(Exporter), 4;
    Init: Method("__init__"), Exporter, 0 of [Source], Value, 5;
    // Exporters: operations that may resize.
    Append: Method("append"), Exporter of ByteArray, 1 of [Byte], Value, 16;
    Extend: Method("extend"), Exporter of ByteArray, 1 of [Source], Value, 14;
    Insert: Method("insert"), Exporter of ByteArray, 2 of [Index Byte], Value, 10;
    Pop: Method("pop"), Exporter of ByteArray, 0 of [Index], Value, 12;
    Remove: Method("remove"), Exporter of ByteArray, 1 of [Byte], Value, 6;
    Clear: Method("clear"), Exporter of ByteArray, 0 of [], Value, 8;
    Resize: Method("resize"), Exporter of ByteArray | Mmap, 1 of [Size], Value, 4;
    TakeBytes: Method("take_bytes"), Exporter of ByteArray, 0 of [Index], Maybe(Exporter), 2;
    InPlaceAdd: InPlace("+="), Exporter, 1 of [Buffer], Value, 10;
    InPlaceMultiply: InPlace("*="), Exporter, 1 of [Times], Value, 6;
    // Exporters: operations that read, or write in place.
    Reverse: Method("reverse"), Exporter of ByteArray, 0 of [], Value, 5;
    Copy: Method("copy"), Exporter of ByteArray, 0 of [], Maybe(Exporter), 4;
    Add: Binary("+"), Exporter, 1 of [Buffer], Maybe(Exporter), 6;
    Multiply: Binary("*"), Exporter, 1 of [Times], Maybe(Exporter), 4;
    Find: Method("find"), Exporter of Bytes | ByteArray | Mmap, 1 of [Needle Index Index], Value, 5;
    RFind: Method("rfind"), Exporter of Bytes | ByteArray | Mmap, 1 of [Needle Index Index], Value, 2;
    StartsWith: Method("startswith"), Exporter of Bytes | ByteArray, 1 of [Buffer Index Index], Value, 4;
    Split: Method("split"), Exporter of Bytes | ByteArray, 0 of [Separator Index], Value, 4;
    Join: Method("join"), Exporter of Bytes | ByteArray, 1 of [Parts], Maybe(Exporter), 5;
    Replace: Method("replace"), Exporter of Bytes | ByteArray, 2 of [Buffer Buffer Times], Maybe(Exporter), 5;
    Translate: Method("translate"), Exporter of Bytes | ByteArray, 1 of [Table], Maybe(Exporter), 3;
    Strip: Method("strip"), Exporter of Bytes | ByteArray, 0 of [Separator], Maybe(Exporter), 4;
    // Exporters that have a cursor, or can be closed.
    Close: Method("close"), Exporter of Mmap, 0 of [], Value, 6;
    Closed: Attribute("closed"), Exporter of Mmap, 0 of [], Value, 1;
    Read: Method("read"), Exporter of Mmap, 0 of [Index], Value, 5;
    ReadByte: Method("read_byte"), Exporter of Mmap, 0 of [], Value, 3;
    ReadLine: Method("readline"), Exporter of Mmap, 0 of [], Value, 3;
    Write: Method("write"), Exporter of Mmap, 1 of [Buffer], Value, 6;
    WriteByte: Method("write_byte"), Exporter of Mmap, 1 of [Byte], Value, 3;
    Seek: Method("seek"), Exporter of Mmap, 1 of [Index Whence], Value, 6;
    Tell: Method("tell"), Exporter of Mmap, 0 of [], Value, 1;
    FileSize: Method("size"), Exporter of Mmap, 0 of [], Value, 1;
    Move: Method("move"), Exporter of Mmap, 3 of [Index Index Index], Value, 4;
    Flush: Method("flush"), Exporter of Mmap, 0 of [Offset Index], Value, 3;
    Advise: Method("madvise"), Exporter of Mmap, 1 of [Advice Offset Index], Value, 1;
    // Exporters and views alike.
    Count: Method("count"), Memory of Bytes | ByteArray, 1 of [Needle Index Index], Value, 5;
    IndexOf: Method("index"), Memory of Bytes | ByteArray, 1 of [Needle Index Index], Value, 4;
    Hex: Method("hex"), Memory of Bytes | ByteArray, 0 of [Separator Times], Value, 4;
    Item: Item, Memory, 1 of [Key], Part, 45;
    SetItem: SetItem, Memory, 2 of [Key Item], Value, 45;
    DelItem: DelItem, Memory, 1 of [Key], Value, 16;
    Length: Function("len"), Memory, 0 of [], Value, 5;
    Contains: In, Memory, 1 of [Needle], Value, 5;
    Equal: Binary("=="), Memory, 1 of [Other], Value, 8;
    Less: Binary("<"), Memory, 1 of [Other], Value, 3;
    Hash: Function("hash"), Memory, 0 of [], Value, 3;
    List: Function("list"), Memory, 0 of [], Value, 5;
    Iter: Function("iter"), Memory, 0 of [], Into(Iterator), 6;
    Next: Function("next"), Iterator, 0 of [], Value, 12;
    With: With, Memory of Mmap, 0 of [], Value, 6;
    // Views.
    NewView: Call("memoryview"), Nothing, 1 of [Exporter], Into(View), 45;
    Release: Method("release"), View, 0 of [], Value, 24;
    Cast: Method("cast"), View, 1 of [Format Shape], Into(View), 16;
    ToReadOnly: Method("toreadonly"), View, 0 of [], Into(View), 5;
    ToBytes: Method("tobytes"), View, 0 of [], Value, 6;
    ToList: Method("tolist"), View, 0 of [], Value, 6;
    Obj: Attribute("obj"), View, 0 of [], Value, 3;
    NBytes: Attribute("nbytes"), View, 0 of [], Value, 2;
    ItemSize: Attribute("itemsize"), View, 0 of [], Value, 2;
    NDim: Attribute("ndim"), View, 0 of [], Value, 2;
    Format: Attribute("format"), View, 0 of [], Value, 2;
    Shape: Attribute("shape"), View, 0 of [], Value, 3;
    Strides: Attribute("strides"), View, 0 of [], Value, 3;
    SubOffsets: Attribute("suboffsets"), View, 0 of [], Value, 1;
    ReadOnly: Attribute("readonly"), View, 0 of [], Value, 2;
    CContiguous: Attribute("c_contiguous"), View, 0 of [], Value, 2;
    FContiguous: Attribute("f_contiguous"), View, 0 of [], Value, 1;
    Contiguous: Attribute("contiguous"), View, 0 of [], Value, 1;
    // Exports held by a consumer in C.
    Acquire: Call("PickleBuffer"), Nothing, 1 of [Exporter], Into(Export), 12;
    ReleaseExport: Method("release"), Export, 0 of [], Value, 14;
    // The last reference goes, or one of several.
    Drop: Drop, Any, 0 of [], Value, 22;
}

impl Op {
    /// The row of this operation.
    #[inline]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Every operation, in the order of the table.
    pub fn all() -> impl Iterator<Item = Op> {
        TABLE.iter().map(|row| row.op)
    }

    /// Whether the operation is done on an object in a slot.
    pub fn has_receiver(self) -> bool {
        self.row().on != On::Nothing
    }
}
