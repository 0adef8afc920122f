//! What happened: one observation per step.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::exporter::TypeCode;
use crate::program::{Expect, Float, Protocol, Slot, Step};

/// Bytes that were seen; short ones without an allocation.
pub type Seen = SmallVec<[u8; 24]>;

macro_rules! error_classes {
    ($($name:ident $(= $written:literal)?),* $(,)?) => {
        /// The exact class of an exception.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ErrorClass {
            $(#[doc = concat!("`", error_classes!(@name $name $($written)?), "`")] $name,)*
            /// A class that no clause of the protocol allows.
            Other,
        }

        impl ErrorClass {
            /// Every class, in the order of the enum; `Other` is last.
            pub const ALL: &'static [ErrorClass] = &[$(ErrorClass::$name,)* ErrorClass::Other];

            /// The name as Python has it, with its module if it is not built in.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorClass::$name => error_classes!(@name $name $($written)?),)*
                    ErrorClass::Other => "Exception",
                }
            }
        }
    };
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $written:literal) => { $written };
}

error_classes!(
    AttributeError,
    BufferError,
    EOFError,
    IndexError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    StopIteration,
    StructError = "struct.error",
    SystemError,
    TypeError,
    UnicodeDecodeError,
    UnicodeEncodeError,
    UnsupportedOperation = "io.UnsupportedOperation",
    ValueError,
);

impl ErrorClass {
    /// The class of this name.
    pub fn of_name(name: &str) -> Option<ErrorClass> {
        ErrorClass::ALL.iter().copied().find(|class| class.name() == name)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A result as far as it can be observed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// `None`.
    None,
    /// An object was put in the slot of the step. What it is like is seen by looking at the slot.
    Stored,
    /// `True` or `False`.
    Bool(bool),
    /// An `int`. Every int that an operation can return fits.
    Int(i128),
    /// A `float`.
    Float(Float),
    /// A `complex`: its real part and its imaginary one.
    Complex(Float, Float),
    /// A `str`.
    Str(Box<str>),
    /// A `bytes`.
    Bytes(Seen),
    /// A `bytearray`, dropped at once.
    ByteArray(Seen),
    /// An `array.array` of this type code with these contents, dropped at once.
    Array(TypeCode, Seen),
    /// A `memoryview` with these contents, dropped at once.
    View(Seen),
    /// A `list`.
    List(Vec<Value>),
    /// A `tuple`.
    Tuple(Vec<Value>),
    /// The hash that `bytes` of these contents has. A specification cannot know the number, since
    /// an interpreter chooses it at random.
    HashOf(Seen),
    /// The hash of the object in this slot, which is a matter of where the object is: any `int`.
    HashOfSlot(Slot),
    /// One of the program's own objects: the lowest slot that holds it, or none.
    Object(Option<Slot>),
    /// Anything else, by the name of its type: no operation returns such a thing.
    Foreign(Box<str>),
}

impl Value {
    /// What an int is [`Value::Foreign`] as that 64 bits do not hold.
    pub const BEYOND: &str = "int beyond 64 bits";

    /// A `str` that has half of a surrogate pair, which no string of Rust has.
    pub fn lone_surrogates() -> Value {
        Value::Foreign("str with lone surrogates".into())
    }
}

/// What one step saw.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned.
    Value(Value),
    /// It raised.
    Raised(ErrorClass),
    /// It did not run.
    Skipped(Skip),
}

/// What one step saw everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What the model says.
    pub model: Outcome,
    /// What each subject saw, in the order of the subjects, and the message of its error. The last
    /// step of a run that diverged may lack some.
    pub subjects: Vec<(Outcome, Option<String>)>,
}

/// What happened in one run: an observation for each step that ran.
pub type History = Vec<Observation>;

/// One step of a thread, and when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<C, S> {
    /// The thread.
    pub thread: u8,
    /// A time before it was begun.
    pub begun: u64,
    /// A time after it ended, of the same clock.
    pub ended: u64,
    /// What was done.
    pub call: C,
    /// What was seen of it.
    pub seen: S,
}

/// What a thread that raced saw of a step, which is named by its place in the program. Times are in nanoseconds.
pub type Raced = Event<usize, Outcome>;

/// One thing that happened while a step converted its hooks, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Nested {
    /// The method of a hook was called.
    Called(Protocol),
    /// A step of it saw this.
    Saw(Box<Step>, Outcome),
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nested::Called(protocol) => write!(f, "a call of {}", protocol.method()),
            Nested::Saw(step, outcome) => write!(f, "{outcome} at {}", step.statement()),
        }
    }
}

/// Why a step did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// A slot that it names is empty.
    Empty(Slot),
    /// An object would grow beyond [`crate::program::limits::LENGTH`], or hooks go on beyond
    /// [`crate::program::limits::EVENTS`].
    TooLong,
    /// What it does depends on the machine, or it makes memory that nobody can read.
    Machine,
    /// The Python that is followed is known to do it otherwise, and it would race, or break memory.
    Known,
    /// Threads take turns, and those of the subject cannot.
    NoTurns,
}

impl Outcome {
    /// Whether this is what `expect` says.
    pub fn satisfies(&self, expect: &Expect) -> bool {
        match (expect, self) {
            (Expect::Ok, Outcome::Value(_)) | (Expect::Skipped, Outcome::Skipped(_)) => true,
            (Expect::Raises(expected), Outcome::Raised(class)) => expected == class,
            (Expect::Value(text), Outcome::Value(value)) => value.to_string() == **text,
            _ => false,
        }
    }

    /// The expectation that states this outcome.
    pub fn expectation(&self) -> Expect {
        match self {
            Outcome::Value(Value::None | Value::Stored) => Expect::Ok,
            Outcome::Value(value) => Expect::Value(value.to_string().into()),
            Outcome::Raised(class) => Expect::Raises(*class),
            Outcome::Skipped(_) => Expect::Skipped,
        }
    }

    /// `ok`, the name of the error, or `skipped`: what runs are counted by.
    pub fn label(&self) -> &'static str {
        match self {
            Outcome::Value(_) => "ok",
            Outcome::Raised(class) => class.name(),
            Outcome::Skipped(_) => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Value(value) => value.fmt(f),
            Outcome::Raised(class) => class.fmt(f),
            Outcome::Skipped(Skip::Empty(slot)) => write!(f, "skipped: {slot} is empty"),
            Outcome::Skipped(Skip::TooLong) => f.write_str("skipped: too long"),
            Outcome::Skipped(Skip::NoTurns) => f.write_str("skipped: its threads take no turns"),
            Outcome::Skipped(Skip::Known) => f.write_str("skipped: a known bug"),
            Outcome::Skipped(Skip::Machine) => f.write_str("skipped: the machine decides"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::program::text::{write_bytes, write_complex, write_float, write_str};
        match self {
            Value::None => f.write_str("None"),
            Value::Stored => f.write_str("ok"),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::Int(value) => value.fmt(f),
            Value::Float(value) => write_float(f, value.value()),
            Value::Complex(real, imaginary) => write_complex(f, *real, *imaginary),
            Value::Str(text) => write_str(f, text),
            Value::Bytes(bytes) => write_bytes(f, bytes),
            Value::ByteArray(bytes) => {
                f.write_str("bytearray(")?;
                write_bytes(f, bytes)?;
                f.write_str(")")
            }
            Value::Array(code, bytes) => {
                write!(f, "array.array(\"{}\", ", code.name())?;
                write_bytes(f, bytes)?;
                f.write_str(")")
            }
            Value::View(bytes) => {
                f.write_str("memoryview(")?;
                write_bytes(f, bytes)?;
                f.write_str(")")
            }
            Value::List(items) => write_items(f, '[', items, ']'),
            Value::Tuple(items) if items.len() == 1 => write!(f, "({},)", items[0]),
            Value::Tuple(items) => write_items(f, '(', items, ')'),
            Value::HashOf(bytes) => {
                f.write_str("hash(")?;
                write_bytes(f, bytes)?;
                f.write_str(")")
            }
            Value::HashOfSlot(slot) => write!(f, "hash({slot})"),
            Value::Object(Some(slot)) => slot.fmt(f),
            Value::Object(None) => f.write_str("an object without a slot"),
            Value::Foreign(name) => write!(f, "<{name}>"),
        }
    }
}

fn write_items(f: &mut fmt::Formatter<'_>, open: char, items: &[Value], close: char) -> fmt::Result {
    write!(f, "{open}")?;
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    write!(f, "{close}")
}
