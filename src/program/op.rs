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

/// What [`home`] calls the module of [`RAW_BUFFER`].
pub const RAW_BUFFER_MODULE: &str = "raw_buffer";

/// The functions of programs that call the C API on a `Py_buffer`, as Python; an interpreter that is embedded has them
/// in its own language.
pub const RAW_BUFFER: &str = include_str!("raw_buffer.py");

/// What [`home`] calls the module of [`HELPERS`].
pub const HELPERS_MODULE: &str = "helpers";

/// The functions of programs that no module of Python has, as Python.
pub const HELPERS: &str = include_str!("helpers.py");

/// The module of a class or a function that is written so, and its name there, which may have a dot in it.
pub fn home(name: &str) -> (&str, &str) {
    match name {
        "PickleBuffer" => ("pickle", name),
        "int.from_bytes" => ("builtins", name),
        "Lender" | "Text" | "ctypes_array" | "digest" | "fail_allocation" | "lock" | "mapped_file"
        | "read_from_file" | "received" | "truncate_file" | "written" => (HELPERS_MODULE, name),
        "get_buffer" | "copy_data" | "contiguous_view" | "contiguous_strides" | "fill_info"
        | "size_from_format" => (RAW_BUFFER_MODULE, name),
        _ => name.split_once('.').unwrap_or(("builtins", name)),
    }
}

/// The class of an exporter, or of what is in a slot of exports.
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
    /// An array of `ctypes`.
    CArray,
    /// `pickle.PickleBuffer`, which holds an export as a consumer in C does.
    PickleBuffer,
    /// A `Py_buffer` that was asked for with flags.
    PyBuffer,
    /// A lock by the interface of PEP 298.
    Lock,
    /// A class with `__buffer__`.
    Lender,
    /// Text that can be locked and has no buffer.
    Text,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 11] = [
        Class::Bytes,
        Class::ByteArray,
        Class::Array,
        Class::Mmap,
        Class::BytesIO,
        Class::CArray,
        Class::PickleBuffer,
        Class::PyBuffer,
        Class::Lock,
        Class::Lender,
        Class::Text,
    ];

    /// What makes one in a program.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Bytes => "bytes",
            Class::ByteArray => "bytearray",
            Class::Array => "array.array",
            Class::Mmap => "mmap.mmap",
            Class::BytesIO => "io.BytesIO",
            Class::PickleBuffer => "PickleBuffer",
            Class::PyBuffer => "get_buffer",
            Class::Lock => "lock",
            Class::Lender => "Lender",
            Class::CArray => "ctypes_array",
            Class::Text => "Text",
        }
    }
}

/// The classes that have an operation. Whether a version of Python has it as well is a question of its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes(u16);

impl Classes {
    /// All of them; what a class answers to an operator that it does not know is an outcome too.
    pub const ANY: Classes = Classes(u16::MAX);

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
    /// What is written by a format: a tuple of values, one value, or what is asked for them by their keys.
    Values,
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
    /// A buffer to be written to.
    Writable,
    /// A list of buffers.
    Buffers,
    /// One of [`PATTERNS`], as bytes.
    Pattern,
    /// One of [`STRUCT_FORMATS`].
    StructFormat,
    /// `"little"` or `"big"`.
    ByteOrder,
    /// What can be read from and written to: a stream or a map.
    File,
    /// What a file holds or is given: bytes of a few lines, or another buffer.
    Lines,
    /// How much is read at most: a size; what is below zero, and `None`, is no limit.
    Limit,
    /// From where a seek counts: 0, 1 or 2.
    Whence,
    /// What `__setstate__` takes: a tuple of contents, place and `None`.
    State,
    /// The type code of an array.
    TypeCode,
    /// What the items of an array of `ctypes` are.
    CType,
    /// What an array of that type code is made of.
    ArraySource,
    /// A list of items of the receiver.
    Items,
    /// A text.
    Text,
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
    /// Where a part of a map begins that is flushed or advised about.
    Offset,
    /// What the system is told of the use of a map.
    Advice,
    /// What memory is locked for: `"read"` or `"write"`.
    LockAccess,
    /// The flags of a request for a buffer: any `int` of C.
    Flags,
    /// `PyBUF_READ` or `PyBUF_WRITE`.
    ReadOrWrite,
    /// One of [`ORDERS`].
    Order,
    /// A tuple of a few small numbers: an index, or a shape.
    Numbers,
    /// A small number that is not below zero.
    Small,
    /// The bytes of a block, and nothing else.
    Block,
    /// The name of a [`Body`](crate::exporter::Body): what a class does with its buffer.
    Body,
}

/// The orders of items, as the C API has them.
pub const ORDERS: &[&str] = &["C", "F", "A"];

/// The regular expressions of programs.
pub const PATTERNS: &[&str] = &["a", "ab", "[ab]+", "(?s:.)", "a|bb"];

/// The formats that programs give to `struct`: of one item, in sizes that are the same everywhere, of none, and wrong
/// ones.
pub const STRUCT_FORMATS: &[&str] = &[
    "B", "b", "H", "h", "<H", ">H", "!h", "I", "<I", ">i", "q", "<Q", ">Q", "f", ">f", "d", "<d", "?", "c",
    "", "a",
];

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
    /// Which exporters or exports have it, if it is done on one.
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
    NewStream: Call("io.BytesIO"), Nothing, 0 of [Lines], Into(Exporter), 14;
    NewArray: Call("array.array"), Nothing, 1 of [TypeCode ArraySource], Into(Exporter), 20;
    NewMmap: Call("mmap.mmap"), Nothing, 2 of [FileNumber Size MapFlags Protection Access], Into(Exporter), 5;
    MapFile: Call("mapped_file"), Nothing, 1 of [Buffer FileLength Access], Into(Exporter), 1;
    NewCArray: Call("ctypes_array"), Nothing, 1 of [Buffer CType], Into(Exporter), 8;
    NewText: Call("Text"), Nothing, 1 of [Text], Into(Exporter), 2;
    Init: Method("__init__"), Exporter, 0 of [Source], Value, 5;
    // Exporters: operations that may resize.
    Append: Method("append"), Exporter of ByteArray | Array, 1 of [Byte], Value, 24;
    Extend: Method("extend"), Exporter of ByteArray | Array, 1 of [Source], Value, 20;
    Insert: Method("insert"), Exporter of ByteArray | Array, 2 of [Index Byte], Value, 13;
    Pop: Method("pop"), Exporter of ByteArray | Array, 0 of [Index], Value, 16;
    Remove: Method("remove"), Exporter of ByteArray | Array, 1 of [Byte], Value, 6;
    Clear: Method("clear"), Exporter of ByteArray | Array, 0 of [], Value, 12;
    Resize: Method("resize"), Exporter of ByteArray | Mmap, 1 of [Size], Value, 4;
    TakeBytes: Method("take_bytes"), Exporter of ByteArray, 0 of [Index], Maybe(Exporter), 2;
    InPlaceAdd: InPlace("+="), Exporter, 1 of [Buffer], Value, 14;
    InPlaceMultiply: InPlace("*="), Exporter, 1 of [Times], Value, 6;
    FromBytes: Method("frombytes"), Exporter of Array, 1 of [Buffer], Value, 4;
    ToFile: Method("tofile"), Exporter of Array, 1 of [File], Value, 2;
    FromFile: Method("fromfile"), Exporter of Array, 2 of [File Size], Value, 3;
    FromList: Method("fromlist"), Exporter of Array, 1 of [Items], Value, 3;
    FromUnicode: Method("fromunicode"), Exporter of Array, 1 of [Text], Value, 2;
    // Exporters: operations that read, or write in place.
    Reverse: Method("reverse"), Exporter of ByteArray | Array, 0 of [], Value, 5;
    Copy: Method("copy"), Exporter of ByteArray, 0 of [], Maybe(Exporter), 4;
    UnderCopy: Method("__copy__"), Exporter of Array, 0 of [], Maybe(Exporter), 2;
    ByteSwap: Method("byteswap"), Exporter of Array, 0 of [], Value, 3;
    ToUnicode: Method("tounicode"), Exporter of Array, 0 of [], Value, 2;
    BufferInfo: Method("buffer_info"), Exporter of Array, 0 of [], Value, 2;
    TypeCode: Attribute("typecode"), Exporter of Array, 0 of [], Value, 1;
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
    // Files, and what can be used as one.
    Close: Method("close"), Exporter of BytesIO | Mmap, 0 of [], Value, 6;
    Closed: Attribute("closed"), Exporter of BytesIO | Mmap, 0 of [], Value, 2;
    Read: Method("read"), Exporter of BytesIO | Mmap, 0 of [Limit], Maybe(Exporter), 6;
    ReadLine: Method("readline"), Exporter of BytesIO | Mmap, 0 of [Limit], Maybe(Exporter), 4;
    Write: Method("write"), Exporter of BytesIO | Mmap, 1 of [Lines], Value, 14;
    Seek: Method("seek"), Exporter of BytesIO | Mmap, 1 of [Index Whence], Value, 10;
    Tell: Method("tell"), Exporter of BytesIO | Mmap, 0 of [], Value, 2;
    GetBuffer: Method("getbuffer"), Exporter of BytesIO, 0 of [], Into(View), 36;
    GetValue: Method("getvalue"), Exporter of BytesIO, 0 of [], Maybe(Exporter), 6;
    Read1: Method("read1"), Exporter of BytesIO, 0 of [Limit], Maybe(Exporter), 2;
    ReadLines: Method("readlines"), Exporter of BytesIO, 0 of [Limit], Value, 3;
    ReadInto: Method("readinto"), Exporter of BytesIO, 1 of [Writable], Value, 8;
    Truncate: Method("truncate"), Exporter of BytesIO, 0 of [Size], Value, 8;
    WriteLines: Method("writelines"), Exporter of BytesIO, 1 of [Parts], Value, 5;
    Readable: Method("readable"), Exporter of BytesIO, 0 of [], Value, 1;
    Writable: Method("writable"), Exporter of BytesIO, 0 of [], Value, 1;
    Seekable: Method("seekable"), Exporter of BytesIO | Mmap, 0 of [], Value, 1;
    IsATty: Method("isatty"), Exporter of BytesIO, 0 of [], Value, 1;
    Flush: Method("flush"), Exporter of BytesIO | Mmap, 0 of [Offset Index], Value, 3;
    FileNo: Method("fileno"), Exporter of BytesIO, 0 of [], Value, 1;
    Detach: Method("detach"), Exporter of BytesIO, 0 of [], Value, 1;
    GetState: Method("__getstate__"), Exporter of BytesIO, 0 of [], Value, 2;
    SetState: Method("__setstate__"), Exporter of BytesIO | CArray, 1 of [State], Value, 4;
    ReadByte: Method("read_byte"), Exporter of Mmap, 0 of [], Value, 3;
    WriteByte: Method("write_byte"), Exporter of Mmap, 1 of [Byte], Value, 3;
    FileSize: Method("size"), Exporter of Mmap, 0 of [], Value, 1;
    TruncateFile: Call("truncate_file"), Nothing, 2 of [File Size], Value, 2;
    Move: Method("move"), Exporter of Mmap, 3 of [Index Index Index], Value, 4;
    Advise: Method("madvise"), Exporter of Mmap, 1 of [Advice Offset Index], Value, 1;
    // Exporters and views alike.
    Count: Method("count"), Memory of Bytes | ByteArray | Array, 1 of [Needle Index Index], Value, 5;
    IndexOf: Method("index"), Memory of Bytes | ByteArray | Array, 1 of [Needle Index Index], Value, 4;
    Hex: Method("hex"), Memory of Bytes | ByteArray, 0 of [Separator Times], Value, 4;
    ToBytes: Method("tobytes"), Memory of Array, 0 of [], Value, 6;
    ToList: Method("tolist"), Memory of Array, 0 of [], Value, 6;
    ItemSize: Attribute("itemsize"), Memory of Array, 0 of [], Value, 2;
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
    // Views.
    NewView: Call("memoryview"), Nothing, 1 of [Exporter], Into(View), 70;
    Release: Method("release"), View, 0 of [], Value, 24;
    With: With, Memory of BytesIO | Mmap, 0 of [], Value, 6;
    Cast: Method("cast"), View, 1 of [Format Shape], Into(View), 16;
    ToReadOnly: Method("toreadonly"), View, 0 of [], Into(View), 5;
    Obj: Attribute("obj"), View, 0 of [], Value, 3;
    NBytes: Attribute("nbytes"), View, 0 of [], Value, 2;
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
    Acquire: Call("PickleBuffer"), Nothing, 1 of [Exporter], Into(Export), 18;
    ReleaseExport: Method("release"), Export, 0 of [], Value, 14;
    Raw: Method("raw"), Export of PickleBuffer, 0 of [], Into(View), 6;
    // Locks, by the interface of PEP 298; like exports, they are held.
    Lock: Call("lock"), Nothing, 1 of [Exporter LockAccess], Into(Export), 12;
    LockedLength: Function("len"), Export of Lock, 0 of [], Value, 2;
    LockedBytes: Method("tobytes"), Export of Lock, 0 of [], Value, 4;
    LockedWrite: Method("write"), Export of Lock, 2 of [Index Lines], Value, 5;
    // Calls into C that hold a buffer while they work.
    Crc32: Call("zlib.crc32"), Nothing, 1 of [Buffer Size], Value, 3;
    Hexlify: Call("binascii.hexlify"), Nothing, 1 of [Buffer Separator Times], Value, 3;
    IntFromBytes: Call("int.from_bytes"), Nothing, 2 of [Source ByteOrder], Value, 3;
    FindAll: Call("re.findall"), Nothing, 2 of [Pattern Buffer], Value, 3;
    PackInto: Call("struct.pack_into"), Nothing, 4 of [StructFormat Writable Index Item], Value, 4;
    UnpackFrom: Call("struct.unpack_from"), Nothing, 2 of [StructFormat Buffer Index], Value, 4;
    IterUnpack: Call("struct.iter_unpack"), Nothing, 2 of [StructFormat Buffer], Into(Iterator), 6;
    Digest: Call("digest"), Nothing, 1 of [Buffer], Value, 2;
    Written: Call("written"), Nothing, 1 of [Buffers], Value, 1;
    Received: Call("received"), Nothing, 2 of [Writable Buffer], Value, 1;
    ReadFromFile: Call("read_from_file"), Nothing, 2 of [Writable Buffer], Value, 1;
    // Objects of classes with `__buffer__`.
    NewLender: Call("Lender"), Nothing, 2 of [Exporter Body], Into(Export), 10;
    Outstanding: Method("outstanding"), Export of Lender, 0 of [], Value, 2;
    Heard: Method("heard"), Export of Lender, 0 of [], Value, 2;
    // The raw door: an export held as a `Py_buffer`, and what the C API does with one.
    Request: Call("get_buffer"), Nothing, 2 of [Exporter Flags], Into(Export), 24;
    ReleaseCopy: Method("release_copy"), Export of PyBuffer, 0 of [], Value, 5;
    Fields: Method("fields"), Export of PyBuffer, 0 of [], Value, 4;
    IsContiguous: Method("is_contiguous"), Export of PyBuffer, 1 of [Order], Value, 3;
    ToContiguous: Method("to_contiguous"), Export of PyBuffer, 1 of [Order], Value, 4;
    FromContiguous: Method("from_contiguous"), Export of PyBuffer, 2 of [Block Order], Value, 4;
    GetPointer: Method("get_pointer"), Export of PyBuffer, 1 of [Numbers], Value, 2;
    FromBuffer: Method("from_buffer"), Export of PyBuffer, 0 of [], Value, 3;
    FromMemory: Method("from_memory"), Export of PyBuffer, 0 of [], Value, 2;
    CopyData: Call("copy_data"), Nothing, 2 of [Writable Block], Value, 3;
    ContiguousView: Call("contiguous_view"), Nothing, 3 of [Exporter ReadOrWrite Order], Into(View), 8;
    ContiguousStrides: Call("contiguous_strides"), Nothing, 3 of [Numbers Small Order], Value, 1;
    FillInfo: Call("fill_info"), Nothing, 3 of [Block Small Flags], Value, 2;
    SizeFromFormat: Call("size_from_format"), Nothing, 1 of [StructFormat], Value, 1;
    ResizeCArray: Call("ctypes.resize"), Nothing, 2 of [Exporter Size], Value, 4;
    // The last reference goes, or one of several.
    Drop: Drop, Any, 0 of [], Value, 22;
    // Of the step after it, the allocation after so many others fails.
    Starve: Call("fail_allocation"), Nothing, 1 of [Small], Value, 6;
    // A format, which is the contents of the exporter.
    Remainder: Binary("%"), Exporter, 1 of [Values], Maybe(Exporter), 20;
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
