//! What a step is given: literals and slots.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hook::{self, Hook};
use super::limits;

/// What kind of object a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SlotKind {
    /// An object that owns memory: a `bytearray` or a `bytes`.
    Exporter,
    /// A `memoryview`.
    View,
    /// An export that a consumer written in C holds: a `pickle.PickleBuffer`, or a `Py_buffer`; or a lock (PEP 298); or an
    /// object of a class with `__buffer__`, which makes exports.
    Export,
    /// An iterator over an exporter or a view.
    Iterator,
}

impl SlotKind {
    /// Every kind, in the order in which a run comes to rest: what holds others back goes first.
    pub const ALL: [SlotKind; 4] = [SlotKind::Iterator, SlotKind::View, SlotKind::Export, SlotKind::Exporter];

    /// The letter that the names of such slots begin with.
    pub const fn letter(self) -> char {
        match self {
            SlotKind::Exporter => 'b',
            SlotKind::View => 'v',
            SlotKind::Export => 'x',
            SlotKind::Iterator => 'i',
        }
    }

    /// How many slots of this kind a program has.
    pub const fn count(self) -> u8 {
        match self {
            SlotKind::Exporter => limits::EXPORTERS,
            SlotKind::View => limits::VIEWS,
            SlotKind::Export => limits::EXPORTS,
            SlotKind::Iterator => limits::ITERATORS,
        }
    }

    /// The kind whose slots are named with `letter`.
    pub fn of_letter(letter: char) -> Option<SlotKind> {
        SlotKind::ALL.into_iter().find(|kind| kind.letter() == letter)
    }
}

/// A statically named place for an object: `b0`, `v3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// What it holds.
    pub kind: SlotKind,
    /// Which of its kind: below [`SlotKind::count`] in a valid program.
    pub index: u8,
}

impl Slot {
    /// The slot of `kind` numbered `index`.
    pub const fn new(kind: SlotKind, index: u8) -> Slot {
        Slot { kind, index }
    }

    /// Every slot of a kind.
    pub fn all(kind: SlotKind) -> impl Iterator<Item = Slot> {
        (0..kind.count()).map(move |index| Slot { kind, index })
    }

    /// The index as a `usize`.
    #[inline]
    pub const fn at(self) -> usize {
        self.index as usize
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.letter(), self.index)
    }
}

/// A Python `int` as far as buffers can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Int {
    /// Fits `ssize_t`.
    Small(i64),
    /// From `1 << 63` to `(1 << 64) - 1`: fits only unsigned items of eight bytes.
    Unsigned(u64),
    /// Beyond 64 bits: `1 << 100`, or `-(1 << 100)`.
    Huge {
        /// Whether it is below zero.
        negative: bool,
    },
}

impl Int {
    /// The value.
    pub const fn value(self) -> i128 {
        match self {
            Int::Small(value) => value as i128,
            Int::Unsigned(value) => value as i128,
            Int::Huge { negative: false } => 1 << 100,
            Int::Huge { negative: true } => -(1 << 100),
        }
    }

    /// The int of this value; what is beyond 64 bits becomes the huge one of its sign.
    pub fn of(value: i128) -> Int {
        if let Ok(small) = i64::try_from(value) {
            Int::Small(small)
        } else if let Ok(unsigned) = u64::try_from(value) {
            Int::Unsigned(unsigned)
        } else {
            Int::Huge { negative: value < 0 }
        }
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Int::Small(value) => value.fmt(f),
            Int::Unsigned(value) => value.fmt(f),
            Int::Huge { negative: false } => f.write_str("1 << 100"),
            Int::Huge { negative: true } => f.write_str("-(1 << 100)"),
        }
    }
}

/// A Python `float`, compared by its bits so that a program can be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Float(u64);

impl Float {
    /// The float of this value.
    pub fn new(value: f64) -> Float {
        Float(value.to_bits())
    }

    /// The value.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// The start, stop and step of a slice: each an `int`, a hook, or `None`, which is left out.
pub type Bounds = [Arg; 3];

/// One argument of a step. Any argument may stand anywhere: a wrong type is a case like any other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arg {
    /// `None`.
    None,
    /// An `int`.
    Int(Int),
    /// A `float`.
    Float(Float),
    /// A `complex`: its real part and its imaginary one.
    Complex(Float, Float),
    /// A `bytes` literal: itself an exporter, without a slot.
    Bytes(Box<[u8]>),
    /// A `str` literal.
    Str(Box<str>),
    /// A list; its items are not lists, tuples or slices.
    List(Box<[Arg]>),
    /// A tuple; its items are not lists, tuples or slices.
    Tuple(Box<[Arg]>),
    /// A slice; only as the key of an item.
    Slice(#[serde(deserialize_with = "hook::read_slice")] Box<Bounds>),
    /// The object in a slot.
    Slot(Slot),
    /// An object whose conversion does steps of the program.
    Hook(#[serde(deserialize_with = "hook::read")] Box<Hook>),
}

impl Arg {
    /// A small int.
    pub const fn int(value: i64) -> Arg {
        Arg::Int(Int::Small(value))
    }

    /// A bytes literal.
    pub fn bytes(bytes: &[u8]) -> Arg {
        Arg::Bytes(bytes.into())
    }

    /// A slice.
    pub fn slice(start: Option<Int>, stop: Option<Int>, step: Option<Int>) -> Arg {
        Arg::Slice(Box::new([start, stop, step].map(|bound| bound.map_or(Arg::None, Arg::Int))))
    }

    /// What it consists of: the items of a list or tuple, the bounds of a slice, or itself.
    #[inline]
    pub fn parts(&self) -> &[Arg] {
        match self {
            Arg::List(items) | Arg::Tuple(items) => items,
            Arg::Slice(bounds) => &**bounds,
            one => std::slice::from_ref(one),
        }
    }

    /// The same, to be changed.
    pub fn parts_mut(&mut self) -> &mut [Arg] {
        match self {
            Arg::List(items) | Arg::Tuple(items) => items,
            Arg::Slice(bounds) => &mut **bounds,
            one => std::slice::from_mut(one),
        }
    }

    /// Whether it may be a bound of a slice.
    pub fn is_bound(&self) -> bool {
        matches!(self, Arg::None | Arg::Int(_) | Arg::Hook(_))
    }
}
