//! Hooks: arguments whose conversion runs steps of the program.
//!
//! Where CPython converts an argument by calling into Python, the code that is called may do anything: release the view
//! that is written to, resize the exporter, drop the last reference. A hook is an object of a class with special methods,
//! mostly one, each of which does a list of steps and then gives its answer.

use std::cell::Cell;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Arg, Bounds, Op, Slot, Step, limits};
use crate::history::ErrorClass;

/// What the answers of a method are, unless it raises an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// A literal, which may be of the wrong type.
    Literal,
    /// A list of literals, of which each call gives one.
    Items,
    /// An iterator over a list of literals, or the object itself, or a literal, which is of the wrong type.
    Iterator,
    /// A view of an object, or a literal, which is of the wrong type.
    View,
    /// Nothing, and it raises no error either, of which nobody would hear.
    Nothing,
}

macro_rules! protocols {
    ($($(#[$doc:meta])* $protocol:ident: $method:literal $parameters:literal $gives:ident;)*) => {
        /// A method of a hook: a special one, or one of a file. What it has no method for, a hook is as any other object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Protocol { $($(#[$doc])* $protocol,)* }

        impl Protocol {
            /// Every protocol.
            pub const ALL: &[Protocol] = &[$(Protocol::$protocol,)*];

            /// The name of its method.
            pub const fn method(self) -> &'static str {
                match self { $(Protocol::$protocol => $method,)* }
            }

            /// What the method is given after the object itself.
            pub const fn parameters(self) -> &'static str {
                match self { $(Protocol::$protocol => $parameters,)* }
            }

            /// What its answers are.
            pub const fn gives(self) -> Gives {
                match self { $(Protocol::$protocol => Gives::$gives,)* }
            }
        }
    };
}

protocols! {
    /// Stands for an `int`: an index, a bound, a size, an item.
    Index: "__index__" "" Literal;
    /// Stands for a `float`: an item.
    Float: "__float__" "" Literal;
    /// Says whether it is true: an item of format `?`.
    Bool: "__bool__" "" Literal;
    /// Compares with an item, or with an exporter.
    Equal: "__eq__" ", other" Literal;
    /// Gives the items of an iterator, one in each call, and `StopIteration` after the last. A class without an `__iter__` in
    /// the program has one that answers the object itself.
    Next: "__next__" "" Items;
    /// Says how many items there are.
    Length: "__len__" "" Literal;
    /// Guesses how many items there are.
    LengthHint: "__length_hint__" "" Literal;
    /// Gives an iterator.
    Iter: "__iter__" "" Iterator;
    /// Gives the item of an index, and `IndexError` behind the last; of what is no index, the first.
    GetItem: "__getitem__" ", key" Items;
    /// Lends a buffer, from 3.12 on (PEP 688).
    Buffer: "__buffer__" ", flags" View;
    /// Is given back what was lent; only of a class that lends.
    ReleaseBuffer: "__release_buffer__" ", view" Nothing;
    /// Is read from as a file is.
    Read: "read" ", size" Literal;
    /// Is written to as a file is.
    Write: "write" ", data" Literal;
    /// Stands for a `bytes`.
    Bytes: "__bytes__" "" Literal;
    /// Shows itself.
    Repr: "__repr__" "" Literal;
    /// Is made an `int`, as `int` itself does it. Only of an object of which that is asked: some Pythons ask it of what has no
    /// `__index__` as well.
    Int: "__int__" "" Literal;
    /// Compares with an exporter that is on the other side of `<`.
    Greater: "__gt__" ", other" Literal;
}

impl Protocol {
    /// That of the method of this name.
    pub fn of_method(name: &str) -> Option<Protocol> {
        Protocol::ALL.iter().copied().find(|protocol| protocol.method() == name)
    }
}

/// An argument that an operation converts by a call into Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The operation.
    pub op: Op,
    /// Which of its arguments.
    pub position: usize,
    /// Which part of that.
    pub part: Part,
    /// What is called.
    pub protocol: Protocol,
}

/// Where in an argument a hook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It is the argument.
    Whole,
    /// The start of a slice.
    Start,
    /// The stop of a slice.
    Stop,
    /// The step of a slice.
    Step,
    /// An item of a list or a tuple.
    Item,
}

impl Part {
    /// What the part of an argument is that stands at a place among [`Arg::parts`].
    pub fn of(arg: &Arg, place: usize) -> Part {
        match arg {
            Arg::List(_) | Arg::Tuple(_) => Part::Item,
            Arg::Slice(_) => [Part::Start, Part::Stop, Part::Step][place],
            _ => Part::Whole,
        }
    }
}

macro_rules! part {
    () => {
        Part::Whole
    };
    ($part:ident) => {
        Part::$part
    };
}

macro_rules! calls {
    ($($($protocol:ident)+: $calls:tt;)*) => {
        /// Every call that an operation makes, on one of the classes that have it, by the functions of CPython that its
        /// meaning names; a list for each protocol. On which Pythons the operation goes by what was there before the call,
        /// and what it holds meanwhile, is in its meaning (clause H2).
        pub static CALLS: &[&[Call]] = &[$($(calls_of!($protocol $calls),)+)*];
    };
}

macro_rules! calls_of {
    ($protocol:ident [$($op:ident $position:literal $($part:ident)?),* $(,)?]) => {
        &[$(Call {
            op: Op::$op,
            position: $position,
            part: part!($($part)?),
            protocol: Protocol::$protocol,
        },)*]
    };
}

calls! {
    // `PyNumber_Index`, `PyNumber_AsSsize_t`, `_PyEval_SliceIndex`, `_getbytevalue`, and `n`, `i`, `b` of `PyArg_Parse`.
    Index: [NewByteArray 0, NewBytes 0, NewMmap 0, NewMmap 1, NewMmap 2, NewMmap 3, NewMmap 4, MapFile 1, MapFile 2, Init 0,
        Append 0, Insert 0, Insert 1, Pop 0, Remove 0, Resize 0, TakeBytes 0, InPlaceMultiply 0, FromFile 1, Multiply 0,
        Find 0, Find 1, Find 2, RFind 0, RFind 1, RFind 2, StartsWith 1, StartsWith 2, Split 1, Replace 2, Read 0, Read1 0,
        ReadLine 0, Seek 0, Seek 1, Truncate 0, Flush 0, Flush 1, WriteByte 0, Move 0, Move 1, Move 2, Advise 0, Advise 1,
        Advise 2, Count 0, Count 1, Count 2, IndexOf 0, IndexOf 1, IndexOf 2, Hex 1, Item 0, SetItem 0, SetItem 1,
        DelItem 0, Contains 0, LockedWrite 0, Crc32 1, Hexlify 2, PackInto 2, PackInto 3, UnpackFrom 2, ResizeCArray 1,
        TruncateFile 1,
        Remainder 0,
        // Bounds of slices.
        Item 0 Start, Item 0 Stop, Item 0 Step, SetItem 0 Start, SetItem 0 Stop, SetItem 0 Step, DelItem 0 Start,
        DelItem 0 Stop, DelItem 0 Step,
        // Items: of what is made, of what is appended, of a slice, and indices of a view of several dimensions.
        NewByteArray 0 Item, NewBytes 0 Item, NewArray 1 Item, Init 0 Item, Extend 0 Item, FromList 0 Item, Item 0 Item,
        SetItem 0 Item, SetItem 1 Item, IntFromBytes 0 Item,
        Remainder 0 Item];
    // `PyFloat_AsDouble`, of items.
    Float: [Append 0, Insert 1, SetItem 1, PackInto 3, NewArray 1 Item, Extend 0 Item, FromList 0 Item, Remainder 0,
        Remainder 0 Item];
    // `PyNumber_Long`, of what a directive such as `%d` writes.
    Int: [Remainder 0, Remainder 0 Item];
    // `PyObject_Repr`, of what `%a` writes, and of the items of a list.
    Repr: [Remainder 0, Remainder 0 Item];
    // `format_obj`, `bytes_new` and `PyObject_Bytes`, which look for it before anything else.
    Bytes: [NewBytes 0, IntFromBytes 0, Remainder 0, Remainder 0 Item];
    // `PyObject_IsTrue`, of items of format `?`.
    Bool: [SetItem 1, PackInto 3];
    // `PyObject_RichCompare`, where no item and no exporter knows the other.
    Equal: [Contains 0, Count 0, IndexOf 0, Remove 0, Equal 0];
    Greater: [Less 0];
    // `PyIter_Next` of any iterable, `PyObject_GetIter`, and `PySequence_GetItem`, by the iterator of any sequence and for slices
    // of arrays of `ctypes`.
    Next Iter GetItem: [NewByteArray 0, NewBytes 0, NewArray 1, Init 0, Extend 0, Join 0, WriteLines 0, SetItem 1, IntFromBytes 0];
    // `PyObject_GetItem`, by the keys of a format.
    GetItem: [Remainder 0];
    // `PyObject_GetBuffer` and `PyBuffer_Release` of consumers that give the buffer back before they end.
    Buffer ReleaseBuffer: [NewByteArray 0, NewBytes 0, NewStream 0, Init 0, Extend 0, InPlaceAdd 0, Add 0, FromBytes 0, Find 0, RFind 0,
        Remainder 0, Remainder 0 Item,
        Count 0, IndexOf 0, Contains 0, StartsWith 0, Split 0, Replace 0, Replace 1, Translate 0, Strip 0, Write 0,
        ReadInto 0, SetItem 1, Equal 0, Less 0, Crc32 0, Hexlify 0, IntFromBytes 0, FindAll 1, PackInto 1, UnpackFrom 1,
        Digest 0, StartsWith 0 Item, Join 0 Item, WriteLines 0 Item];
    // `_PyObject_CallMethod` of files.
    Read: [FromFile 0];
    Write: [ToFile 0];
    // `PyObject_LengthHint`.
    LengthHint: [NewBytes 0, Extend 0, Join 0, IntFromBytes 0];
    // The same, which asks for a length first; `PyObject_Size` of separators and of what is assigned to a slice of `ctypes`;
    // `PyObject_IsTrue` of what has no `__bool__`.
    Length: [NewBytes 0, Extend 0, Join 0, IntFromBytes 0, Hex 0, Hexlify 1, SetItem 1, PackInto 3];
}

/// An object of a class with special methods.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hook {
    /// The methods: at least one, and [`limits::METHODS`] at most; none twice.
    pub methods: Vec<Method>,
}

/// A special method.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Method {
    /// Which.
    pub protocol: Protocol,
    /// What it does, on the thread of the operation that calls it, or on the one that a step names, for which it waits;
    /// what these steps raise is seen and forgotten.
    pub steps: Vec<Step>,
    /// What comes of it.
    pub answer: Answer,
}

/// What comes of the call of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// A literal: no slot, slice or hook; or a list of such, if the method gives [items](Gives), one in each call: its steps
    /// are done before each of them and before the end.
    Return(Arg),
    /// An error; not one that cannot be made of its class alone.
    Raise(ErrorClass),
    /// The object itself.
    Itself,
    /// A new view of the object that was in this slot when the step began; no export and no iterator.
    View(Slot),
}

/// Whether a part of an argument is asked so.
pub fn calls(op: Op, position: usize, part: Part, protocol: Protocol) -> bool {
    CALLS.iter().any(|calls| calls.contains(&Call { op, position, part, protocol }))
}

/// Whether a hook may raise this.
pub fn is_raisable(class: ErrorClass) -> bool {
    !matches!(class, ErrorClass::UnicodeDecodeError | ErrorClass::UnicodeEncodeError | ErrorClass::Other)
}

impl Hook {
    /// An object of a class with one method.
    pub fn new(protocol: Protocol, steps: Vec<Step>, answer: Answer) -> Hook {
        Hook { methods: vec![Method { protocol, steps, answer }] }
    }

    /// The method of a protocol, if it has it.
    #[inline]
    pub fn method(&self, protocol: Protocol) -> Option<&Method> {
        self.methods.iter().find(|method| method.protocol == protocol)
    }

    /// Whether it has the method of a protocol.
    #[inline]
    pub fn has(&self, protocol: Protocol) -> bool {
        self.method(protocol).is_some()
    }

    /// The slots of the objects that it refers to.
    pub fn sources(&self) -> impl Iterator<Item = Slot> {
        self.methods.iter().filter_map(|method| match method.answer {
            Answer::View(slot) => Some(slot),
            _ => None,
        })
    }

    /// The steps of all its methods.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.methods.iter().flat_map(|method| &method.steps)
    }

    /// The same, to be changed.
    pub fn steps_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        self.methods.iter_mut().flat_map(|method| &mut method.steps)
    }

    /// What stands for it where no hook may stand.
    pub fn plain(&self) -> Arg {
        match self.methods.first().map(|method| &method.answer) {
            Some(Answer::Return(arg)) => arg.clone(),
            _ => Arg::None,
        }
    }
}

impl Arg {
    /// Makes of a hook what stands for it where none may stand.
    pub fn lose_hook(&mut self) {
        if let Arg::Hook(hook) = self {
            *self = hook.plain();
        }
    }

    /// The hook that this is.
    #[inline]
    pub fn hook(&self) -> Option<&Hook> {
        match self {
            Arg::Hook(hook) => Some(hook),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn hook_mut(&mut self) -> Option<&mut Hook> {
        match self {
            Arg::Hook(hook) => Some(hook),
            _ => None,
        }
    }

    /// The method of a protocol, of a hook that has it.
    #[inline]
    pub fn method(&self, protocol: Protocol) -> Option<&Method> {
        self.hook()?.method(protocol)
    }
}

impl Step {
    /// The hooks that it is given.
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.args.iter().flat_map(Arg::parts).filter_map(Arg::hook)
    }

    /// Whether it is given any.
    #[inline]
    pub fn has_hooks(&self) -> bool {
        self.args.iter().flat_map(Arg::parts).any(|part| matches!(part, Arg::Hook(_)))
    }

    /// The steps of its hooks, but not those within these, to be changed.
    pub fn hooked_steps_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        self.parts_mut().filter_map(Arg::hook_mut).flat_map(Hook::steps_mut)
    }

    /// Changes the thread that it names, and those that steps of its hooks name.
    pub fn change_threads(&mut self, change: &mut dyn FnMut(&mut Option<u8>)) {
        change(&mut self.thread);
        self.hooked_steps_mut().for_each(|inner| inner.change_threads(change));
    }

    /// How deep hooks are within each other: 0 if there are none.
    pub fn depth(&self) -> usize {
        let within = |hook: &Hook| 1 + hook.steps().map(Step::depth).max().unwrap_or(0);
        self.hooks().map(within).max().unwrap_or(0)
    }
}

thread_local! {
    /// How deep within hooks, and within slices, a program is read from bytes.
    static DEPTHS: [Cell<usize>; 2] = const { [Cell::new(0), Cell::new(0)] };
}

/// Reads a hook, unless that is within more than [`limits::HOOK_DEPTH`] others: bytes must not exhaust the stack.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Hook>, D::Error> {
    read_within(from, 0, limits::HOOK_DEPTH)
}

/// The same of a slice, which is within another by a hook alone.
pub(super) fn read_slice<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Bounds>, D::Error> {
    read_within(from, 1, limits::HOOK_DEPTH + 1)
}

fn read_within<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
    what: usize,
    most: usize,
) -> Result<Box<T>, D::Error> {
    DEPTHS.with(|depths| {
        let depth = depths[what].get();
        if depth >= most {
            return Err(serde::de::Error::custom("too deep within others of its kind"));
        }
        depths[what].set(depth + 1);
        let read = Box::deserialize(from);
        depths[what].set(depth);
        read
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::encode::{DecodeError, decode, encode};
    use crate::program::fixup::fixup;
    use crate::program::{Op, Program, Slot, SlotKind, Step};

    /// A step with so many hooks within each other.
    fn nested(depth: usize) -> Step {
        let mut step = Step::new(
            Op::Append,
            Some(Slot::new(SlotKind::Exporter, 0)),
            [Arg::int(1)].into_iter().collect(),
            None,
        );
        for _ in 0..depth {
            let hook = Hook::new(Protocol::Index, vec![step.clone()], Answer::Return(Arg::int(1)));
            step.args[0] = Arg::Hook(Box::new(hook));
        }
        step
    }

    #[test]
    fn hooks_that_are_too_deep_are_neither_read_nor_left() {
        let program = |depth| Program { steps: vec![nested(depth)], ..Program::default() };
        let deepest = program(limits::HOOK_DEPTH);
        assert_eq!(decode(&encode(&deepest)).as_ref(), Ok(&deepest));
        assert_eq!(decode(&encode(&program(limits::HOOK_DEPTH + 1))), Err(DecodeError::Damaged));
        // A reader that was stopped half way begins anew.
        assert_eq!(decode(&encode(&deepest)).as_ref(), Ok(&deepest));
        let mut repaired = program(limits::HOOK_DEPTH + 2);
        fixup(&mut repaired);
        assert_eq!(repaired.steps[0].depth(), limits::HOOK_DEPTH);
    }

    #[test]
    fn hooks_stand_in_slices_and_lists_and_slices_not_in_slices() {
        let lines = "b0[__index__{b1[:__index__{return 1}] = [__index__{del v0; return 2}]; return 0}::2]";
        let program = crate::program::parse::parse(&format!("# buflock program 1\n{lines}\n")).unwrap();
        assert_eq!(program.steps[0].depth(), 2);
        assert_eq!(program.steps[0].statement(), lines);
        assert_eq!(decode(&encode(&program)).as_ref(), Ok(&program));
        let mut slice = Arg::slice(None, None, None);
        for _ in 0..=limits::HOOK_DEPTH {
            slice = Arg::Slice(Box::new([slice, Arg::None, Arg::None]));
        }
        let mut program = program;
        program.steps[0].args[0] = slice;
        assert_eq!(decode(&encode(&program)), Err(DecodeError::Damaged));
        fixup(&mut program);
        assert_eq!(program.steps[0].statement(), "b0[:]");
    }

    #[test]
    fn a_hook_leaves_the_exports_of_its_step_in_their_slots() {
        let x0 = Slot::new(SlotKind::Export, 0);
        let on = |op| Step::new(op, Some(x0), Default::default(), None);
        let steps = vec![on(Op::Drop), on(Op::ReleaseExport)];
        let hook = Hook::new(Protocol::Index, steps, Answer::Return(Arg::int(0)));
        let mut write = on(Op::LockedWrite);
        write.args.extend([Arg::Hook(Box::new(hook)), Arg::bytes(b"a")]);
        let mut program = Program { steps: vec![write], ..Program::default() };
        fixup(&mut program);
        assert_eq!(program.steps[0].statement(), "x0.write(__index__{x0.release(); return 0}, b\"a\")");
    }

    #[test]
    fn a_hook_within_leaves_the_exports_of_all_steps_around_it_in_their_slots() {
        let x0 = Slot::new(SlotKind::Export, 0);
        let hook = |step: Step| {
            Arg::Hook(Box::new(Hook::new(Protocol::Index, vec![step], Answer::Return(Arg::int(0)))))
        };
        let with = |op, slot, arg| Step::new(op, Some(slot), [arg].into_iter().collect(), None);
        let inner = hook(Step::new(Op::Drop, Some(x0), Default::default(), None));
        let middle = hook(with(Op::Append, Slot::new(SlotKind::Exporter, 0), inner));
        let mut write = with(Op::LockedWrite, x0, middle);
        write.args.push(Arg::bytes(b"a"));
        let mut program = Program { steps: vec![write], ..Program::default() };
        fixup(&mut program);
        let inner = "b0.append(__index__{return 0})";
        let expected = format!("x0.write(__index__{{{inner}; return 0}}, b\"a\")");
        assert_eq!(program.steps[0].statement(), expected);
    }
}
