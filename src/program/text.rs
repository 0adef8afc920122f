//! The durable form of a program: text that reads like Python.
//!
//! A step is printed by the [`Syntax`] of its row and by nothing else, so that a new row of the
//! table prints and parses without a change here. Without its thread and its expectation, a step
//! is Python. Only ASCII is printed, whatever is in a literal: a finding then survives any editor
//! and any terminal.
//!
//! [`super::parse::parse`] reads it back, and gives an equal program, if the program is valid in
//! the sense of [`super::fixup`] and its literals are canonical: every NaN is printed as
//! `float("nan")`, and an int has no other spelling than that of [`Int::of`] its value.

use std::fmt;

use super::{
    Allocator, Answer, Arg, Bounds, Expect, Float, Hook, Int, Method, Program, Schedule, Slot, Step, Syntax,
};

/// What the first line of a program is, up to the version of the format.
pub const HEADER: &str = "# buflock program";
/// The line that says that a program does what others leave out.
pub const UNGUARDED: &str = "# leaves nothing out";
/// The beginning of the line that says where memory comes from.
pub const ALLOCATOR: &str = "# allocator ";
/// The line that says that the threads of a program race.
pub const CONCURRENT: &str = "# schedule concurrent";
/// The beginning of the line that says in which way they race.
pub const EXPLORED: &str = "# schedule explored";

/// The version of the format that is written, and the only one that is read.
pub const VERSION: &str = "1";

/// What a line is padded to before its expectation, which two spaces precede.
const STATEMENT_WIDTH: usize = 28;

/// Stands where an invalid step lacks a receiver or an argument. It does not parse.
const MISSING: &str = "?";

/// Writes a Python `bytes` literal.
pub fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("b\"")?;
    for &byte in bytes {
        match byte {
            b'\\' => f.write_str("\\\\")?,
            b'"' => f.write_str("\\\"")?,
            b' '..=b'~' => write!(f, "{}", char::from(byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_str("\"")
}

/// Writes a Python `str` literal.
pub fn write_str(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match (character, u32::from(character)) {
            ('\\', _) => f.write_str("\\\\")?,
            ('"', _) => f.write_str("\\\"")?,
            (' '..='~', _) => write!(f, "{character}")?,
            (_, code @ ..=0xff) => write!(f, "\\x{code:02x}")?,
            (_, code @ ..=0xffff) => write!(f, "\\u{code:04x}")?,
            (_, code) => write!(f, "\\U{code:08x}")?,
        }
    }
    f.write_str("\"")
}

/// Writes a Python expression whose value has the same bits, except that every NaN is printed as
/// `float("nan")`, which is read as [`f64::NAN`].
pub fn write_float(f: &mut fmt::Formatter<'_>, value: f64) -> fmt::Result {
    if value.is_nan() {
        f.write_str("float(\"nan\")")
    } else if value.is_infinite() {
        f.write_str(if value > 0.0 { "float(\"inf\")" } else { "float(\"-inf\")" })
    } else {
        // The shortest digits that round-trip, with a point or an exponent: Python's own rule.
        write!(f, "{value:?}")
    }
}

/// Writes a Python expression of a complex number, each part of which has the bits that [`write_float`] gives it: what
/// Python itself prints, such as `(-0-0j)`, is often another number.
pub fn write_complex(f: &mut fmt::Formatter<'_>, real: Float, imaginary: Float) -> fmt::Result {
    f.write_str("complex(")?;
    write_float(f, real.value())?;
    f.write_str(", ")?;
    write_float(f, imaginary.value())?;
    f.write_str(")")
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arg::None => f.write_str("None"),
            Arg::Int(int) => write!(f, "{int}"),
            Arg::Float(float) => write_float(f, float.value()),
            Arg::Complex(real, imaginary) => write_complex(f, *real, *imaginary),
            Arg::Bytes(bytes) => write_bytes(f, bytes),
            Arg::Str(text) => write_str(f, text),
            Arg::List(items) => {
                f.write_str("[")?;
                write_separated(f, items)?;
                f.write_str("]")
            }
            Arg::Tuple(items) => {
                f.write_str("(")?;
                write_separated(f, items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Arg::Slice(bounds) => {
                f.write_str("slice(")?;
                write_separated(f, &**bounds)?;
                f.write_str(")")
            }
            Arg::Slot(slot) => write!(f, "{slot}"),
            Arg::Hook(hook) => write!(f, "{hook}"),
        }
    }
}

/// `__length_hint__{return 0} __next__{b0.clear(); return [1, 2]}`
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if place > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// `__index__{v0.release(); T1: b0.clear(); return 3}`
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{", self.protocol.method())?;
        for step in &self.steps {
            write!(f, "{}; ", step.threaded())?;
        }
        match &self.answer {
            Answer::Return(arg) => write!(f, "return {arg}}}"),
            Answer::Raise(class) => write!(f, "raise {class}}}"),
            Answer::Itself => f.write_str("return self}"),
            Answer::View(slot) => write!(f, "return memoryview({slot})}}"),
        }
    }
}

fn write_separated<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (position, item) in items.into_iter().enumerate() {
        let comma = if position > 0 { ", " } else { "" };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// What an argument stands in.
#[derive(Clone, Copy)]
enum Place {
    /// Commas, brackets or the end of the line: anything may stand here as it is.
    Free,
    /// A binary operator, which may bind more tightly than a shift.
    Operand,
    /// Brackets after an object, where a slice is written with colons.
    Key,
}

/// An argument in its place.
struct Placed<'a>(Option<&'a Arg>, Place);

impl fmt::Display for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (None, _) => f.write_str(MISSING),
            (Some(arg), Place::Operand) => write_tight(f, arg),
            (Some(Arg::Slice(bounds)), Place::Key) => write_slice(f, bounds),
            (Some(arg), _) => write!(f, "{arg}"),
        }
    }
}

fn write_tight(f: &mut fmt::Formatter<'_>, arg: &Arg) -> fmt::Result {
    match arg {
        Arg::Int(int @ Int::Huge { negative: false }) => write!(f, "({int})"),
        _ => write!(f, "{arg}"),
    }
}

fn write_slice(f: &mut fmt::Formatter<'_>, [start, stop, step]: &Bounds) -> fmt::Result {
    write_bound(f, start)?;
    f.write_str(":")?;
    write_bound(f, stop)?;
    if *step != Arg::None {
        f.write_str(":")?;
    }
    write_bound(f, step)
}

/// A bound, or nothing if it is left out.
fn write_bound(f: &mut fmt::Formatter<'_>, bound: &Arg) -> fmt::Result {
    if *bound == Arg::None { Ok(()) } else { write_tight(f, bound) }
}

/// A step without its thread and its expectation.
struct Statement<'a>(&'a Step);

impl fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { op, receiver, args, dest, .. } = self.0;
        let on = Receiver(*receiver);
        let arg = |position, place| Placed(args.get(position), place);
        if let Some(dest) = dest {
            write!(f, "{dest} = ")?;
        }
        match op.row().syntax {
            Syntax::Call(name) => write_call(f, name, None, args),
            Syntax::Method(name) => {
                write!(f, "{on}.")?;
                write_call(f, name, None, args)
            }
            Syntax::Function(name) => write_call(f, name, Some(on), args),
            Syntax::Attribute(name) => write!(f, "{on}.{name}"),
            Syntax::Item => write!(f, "{on}[{}]", arg(0, Place::Key)),
            Syntax::SetItem => {
                write!(f, "{on}[{}] = {}", arg(0, Place::Key), arg(1, Place::Free))
            }
            Syntax::DelItem => write!(f, "del {on}[{}]", arg(0, Place::Key)),
            Syntax::InPlace(symbol) => write!(f, "{on} {symbol} {}", arg(0, Place::Free)),
            Syntax::Binary(symbol) => write!(f, "{on} {symbol} {}", arg(0, Place::Operand)),
            Syntax::In => write!(f, "{} in {on}", arg(0, Place::Operand)),
            Syntax::With => write!(f, "with {on}: pass"),
            Syntax::Drop => write!(f, "del {on}"),
        }
    }
}

/// The slot that a step is done on.
#[derive(Clone, Copy)]
struct Receiver(Option<Slot>);

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(slot) => write!(f, "{slot}"),
            None => f.write_str(MISSING),
        }
    }
}

fn write_call(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    receiver: Option<Receiver>,
    args: &[Arg],
) -> fmt::Result {
    write!(f, "{name}(")?;
    if let Some(receiver) = receiver {
        write!(f, "{receiver}{}", if args.is_empty() { "" } else { ", " })?;
    }
    write_separated(f, args)?;
    f.write_str(")")
}

impl Step {
    /// The step as Python: without its thread and its expectation.
    pub fn statement(&self) -> String {
        Statement(self).to_string()
    }

    /// The step as Python with what it is done beside: `with m0: b0.clear()`.
    pub fn guarded(&self) -> String {
        format!("{}{}", self.guard, Statement(self))
    }

    /// The same with its thread, `T0: b0.clear()`, but without its expectation.
    pub fn threaded(&self) -> String {
        let guarded = self.guarded();
        match self.thread {
            Some(thread) => format!("T{thread}: {guarded}"),
            None => guarded,
        }
    }
}

/// The line of the step, without its end.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.threaded();
        match &self.expect {
            None => f.write_str(&line),
            Some(expect) => write!(f, "{line:<STATEMENT_WIDTH$}  #! {expect}"),
        }
    }
}

/// What stands after `#!`, on one line whatever is in it: no value has a control character.
impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Ok => f.write_str("ok"),
            Expect::Skipped => f.write_str("skipped"),
            Expect::Raises(class) => write!(f, "{class}"),
            Expect::Value(text) => f.write_str(&text.replace(char::is_control, " ")),
        }
    }
}

/// The whole file.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER} {VERSION}")?;
        if let Some((major, minor)) = self.since {
            writeln!(f, "# python >= {major}.{minor}")?;
        }
        if let Some((major, minor)) = self.until {
            writeln!(f, "# python < {major}.{minor}")?;
        }
        if self.unguarded {
            writeln!(f, "{UNGUARDED}")?;
        }
        if self.allocator != Allocator::Usual {
            writeln!(f, "{ALLOCATOR}{}", self.allocator.name())?;
        }
        match &self.schedule {
            Schedule::Lockstep => {}
            Schedule::Concurrent => writeln!(f, "{CONCURRENT}")?,
            Schedule::Explored(turns) if turns.0.is_empty() => writeln!(f, "{EXPLORED}")?,
            Schedule::Explored(turns) => writeln!(f, "{EXPLORED} {turns}")?,
        }
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ErrorClass, Value};
    use crate::program::op::{On, Role, Row, TABLE, Yields};
    use crate::program::parse::{ParseError, parse};
    use crate::program::{Args, Guard, Op, SlotKind, limits};

    const HUGE: Int = Int::Huge { negative: false };

    fn program(steps: &[Step]) -> Program {
        Program { steps: steps.to_vec(), ..Program::default() }
    }

    fn assert_round_trip(program: &Program) {
        let text = program.to_string();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(parse(&text).as_ref(), Ok(program), "{text}");
    }

    /// A program of any length, in parts that are short enough.
    fn assert_all_round_trip(steps: &[Step]) {
        for part in steps.chunks(limits::STEPS) {
            assert_round_trip(&program(part));
        }
    }

    /// Every form of argument, with what is hard to print.
    fn arguments() -> Vec<Arg> {
        let ints = [0, -1, i64::MAX.into(), i64::MIN.into(), u64::MAX.into(), 1 << 100, -(1 << 100)];
        let ints: Vec<Arg> = ints.into_iter().map(|value| Arg::Int(Int::of(value))).collect();
        let floats = [0.0, -0.0, 1.5, -1e300, 5e-324, 0.1, 1e16, f64::INFINITY, f64::NEG_INFINITY];
        let floats = floats.into_iter().chain([f64::NAN, f64::MAX]);
        let mut all = vec![Arg::None, Arg::bytes(b""), Arg::bytes(b"\"\\'#!\0\n\xff ab")];
        all.extend(["", "\"\\'#! \0\u{e9}\u{20ac}\u{1f600}"].map(|text| Arg::Str(text.into())));
        all.extend(floats.clone().map(|value| Arg::Float(Float::new(value))));
        let parts = floats.clone().zip(floats.skip(1));
        all.extend(parts.map(|(real, imaginary)| Arg::Complex(Float::new(real), Float::new(imaginary))));
        all.extend(SlotKind::ALL.map(|kind| Arg::Slot(Slot::new(kind, kind.count() - 1))));
        for items in [&[], &ints[..1], &ints[5..], &ints[..]] {
            all.extend([Arg::List(items.into()), Arg::Tuple(items.into())]);
        }
        all.push(Arg::List(all[all.len() - 19..][..8].into()));
        let parts = [None, Some(Int::Small(-2)), Some(HUGE), Some(Int::Huge { negative: true })];
        for start in parts {
            for stop in parts {
                all.extend(parts.map(|step| Arg::slice(start, stop, step)));
            }
        }
        all.extend(ints);
        all
    }

    fn usual(role: Role) -> Arg {
        match role {
            Role::Index | Role::Size | Role::Times | Role::Limit | Role::Whence => Arg::int(2),
            Role::Byte | Role::Item | Role::Needle => Arg::int(97),
            Role::FileNumber | Role::MapFlags | Role::Protection | Role::Access => Arg::int(1),
            Role::FileLength | Role::Offset | Role::Advice => Arg::int(0),
            Role::Key => Arg::slice(Some(Int::Small(1)), None, None),
            Role::Buffer | Role::Source | Role::ArraySource | Role::Table | Role::Lines => Arg::bytes(b"abc"),
            Role::Other | Role::Exporter | Role::Writable | Role::File => {
                Arg::Slot(Slot::new(SlotKind::Exporter, 1))
            }
            Role::Parts => Arg::List([Arg::bytes(b"a"), Arg::bytes(b"b")].into()),
            Role::Values => Arg::Tuple([Arg::bytes(b"a"), Arg::int(1)].into()),
            Role::Format | Role::Separator | Role::TypeCode | Role::CType | Role::Text => {
                Arg::Str("B".into())
            }
            Role::Items => Arg::List([Arg::int(97)].into()),
            Role::Buffers => Arg::List([Arg::bytes(b"a")].into()),
            Role::Pattern => Arg::bytes(b"a"),
            Role::StructFormat => Arg::Str("B".into()),
            Role::ByteOrder => Arg::Str("big".into()),
            Role::LockAccess => Arg::Str("write".into()),
            Role::State => Arg::Tuple([Arg::bytes(b"abc"), Arg::int(1), Arg::None].into()),
            Role::Shape => Arg::List([Arg::int(2), Arg::int(3)].into()),
            Role::Flags => Arg::int(0x1C),
            Role::ReadOrWrite => Arg::int(0x100),
            Role::Order => Arg::Str("F".into()),
            Role::Numbers => Arg::Tuple([Arg::int(1)].into()),
            Role::Small => Arg::int(1),
            Role::Block => Arg::bytes(b"abc"),
            Role::Body => Arg::Str("lends".into()),
        }
    }

    fn receivers(row: &Row) -> Vec<Option<Slot>> {
        match row.on {
            On::Nothing => vec![None],
            on => on.kinds().iter().map(|&kind| Some(Slot::new(kind, 1))).collect(),
        }
    }

    /// Where the result of a valid step may be put.
    fn destinations(row: &Row, receiver: Option<Slot>, args: &[Arg]) -> Vec<Option<Slot>> {
        let slot = |kind| Some(Slot::new(kind, 0));
        match row.yields {
            Yields::Value => vec![None],
            Yields::Into(kind) => vec![slot(kind)],
            Yields::Maybe(kind) => vec![None, slot(kind)],
            Yields::Part => match (args.first(), receiver) {
                (Some(Arg::Slice(_)), Some(receiver)) => vec![None, slot(receiver.kind)],
                _ => vec![None],
            },
        }
    }

    fn steps(row: &Row, args: &[Arg]) -> Vec<Step> {
        let mut steps = Vec::new();
        for receiver in receivers(row) {
            for dest in destinations(row, receiver, args) {
                let args: Args = args.iter().cloned().collect();
                steps.push(Step::new(row.op, receiver, args, dest));
            }
        }
        steps
    }

    #[test]
    fn every_row_round_trips_on_every_receiver() {
        let mut all = Vec::new();
        for row in TABLE {
            let args: Vec<Arg> = row.args.iter().copied().map(usual).collect();
            for count in row.required..=args.len() {
                all.extend(steps(row, &args[..count]));
            }
        }
        assert!(TABLE.iter().all(|row| all.iter().any(|step| step.op == row.op)));
        assert_all_round_trip(&all);
    }

    #[test]
    fn every_argument_round_trips_in_every_place() {
        let mut all = Vec::new();
        for row in TABLE {
            for position in 0..row.args.len() {
                for argument in arguments() {
                    let mut args: Vec<Arg> = row.args.iter().copied().map(usual).collect();
                    args[position] = argument;
                    all.extend(steps(row, &args));
                }
            }
        }
        assert!(all.len() > 5_000);
        assert_all_round_trip(&all);
    }

    fn step(text: &str) -> Result<Step, ParseError> {
        parse(&format!("{HEADER} {VERSION}\n{text}\n")).map(|program| program.steps[0].clone())
    }

    #[test]
    fn a_step_is_printed_as_python_has_it() {
        let lines = [
            "b0 = bytearray(16)",
            "b0 = bytearray()",
            "b0 = array.array(\"H\", [1, 2])",
            "b1 = b0.__copy__()",
            "b0.typecode",
            "v0 = memoryview(b0)",
            "x0 = PickleBuffer(b0)",
            "i0 = iter(b0)",
            "v1 = v0[2:8:2]",
            "v0[:]",
            "v0[::2]",
            "v0[1::2]",
            "v0[:-1]",
            "v0[(1 << 100)::-(1 << 100)]",
            "v0[(1, 2)]",
            "v0[(1,)]",
            "v0[()] = 1.5",
            "v0[1 << 100] = 1 << 100",
            "v0.release()",
            "v0.shape",
            "b0.extend(b\"ab\")",
            "b0.insert(1, 255)",
            "b0.append(slice(1, None, 2))",
            "b0.pop(float(\"nan\"))",
            "b0.append(complex(-0.0, float(\"inf\")))",
            "b0.__init__(\"caf\\xe9\")",
            "b1 = b0 * (1 << 100)",
            "b1 = b0 % (1 << 100)",
            "b0 % (1 << 100, b1)",
            "b0 % ()",
            "b0 * -1",
            "b0 *= 1 << 100",
            "b0 += v1",
            "b0 == b\"abc\"",
            "97 in b0",
            "(1 << 100) in b0",
            "b1 in b0",
            "len(b0)",
            "next(i0)",
            "del v1[0]",
            "del v1[1:]",
            "with v1: pass",
            "with b1: pass",
            "b0 = io.BytesIO(b\"a\\x0a\")",
            "v0 = b0.getbuffer()",
            "b0.__setstate__((b\"a\", 1, None))",
            "v0 = x0.raw()",
            "del x0",
        ];
        for line in lines {
            assert_eq!(step(line).map(|step| step.statement()).as_deref(), Ok(line));
        }
    }

    #[test]
    fn an_expectation_is_aligned_or_two_spaces_away() {
        let short = step("T1: v0.release() #! ok").unwrap();
        assert_eq!(short.statement(), "v0.release()");
        assert_eq!(short.threaded(), "T1: v0.release()");
        assert_eq!(short.to_string(), "T1: v0.release()              #! ok");
        assert_eq!(short.to_string().find("#!"), Some(30));
        let long = step("b0.extend(b\"0123456789abcdef\") #! BufferError").unwrap();
        assert_eq!(long.to_string(), "b0.extend(b\"0123456789abcdef\")  #! BufferError");
    }

    #[test]
    fn a_printed_program_is_the_file_that_was_read() {
        let text = "# buflock program 1\n\
            # python >= 3.14\n\
            # python < 3.15\n\
            b0 = bytearray(16)\n\
            v0 = memoryview(b0)           #! ok\n\
            T1: v0.release()              #! skipped\n\
            T0: b0.extend(b\"ab\")          #! BufferError\n\
            T0: b0.hex()                  #! \"6162 # #! no comment\"\n";
        assert_eq!(parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn every_expectation_round_trips() {
        let text = Value::Str("# \u{e9}\n\t#! ok".into());
        let values = [
            Value::None,
            Value::Bool(true),
            Value::Int(-(1 << 100)),
            Value::Float(Float::new(-0.0)),
            Value::Complex(Float::new(-0.0), Float::new(f64::NAN)),
            Value::Tuple(vec![Value::Bytes(b"ok # ok".as_slice().into())]),
            Value::List(vec![text.clone(), Value::View(b"\n".as_slice().into())]),
            Value::HashOf(b"#".as_slice().into()),
            Value::HashOfSlot(Slot::new(SlotKind::Exporter, 0)),
            Value::Object(Some(Slot::new(SlotKind::Exporter, 0))),
            Value::Object(None),
            Value::Foreign("okay".into()),
            text,
        ];
        let values = values.map(|value| Expect::Value(value.to_string().into()));
        let classes = ErrorClass::ALL.iter().map(|&class| Expect::Raises(class));
        let step = Step::new(Op::Drop, Some(Slot::new(SlotKind::View, 0)), Args::new(), None);
        let all = [Expect::Ok, Expect::Skipped].into_iter().chain(values).chain(classes);
        let all: Vec<_> = all.map(|it| Step { expect: Some(it), ..step.clone() }).collect();
        assert_round_trip(&program(&all));
    }

    #[test]
    fn an_invalid_step_is_printed_but_not_read() {
        for row in TABLE {
            let bare = Step::new(row.op, None, Args::new(), None).statement();
            let is_whole = row.on == On::Nothing && row.required == 0;
            assert_eq!(bare.contains(MISSING), row.on != On::Nothing, "{bare}");
            assert!(is_whole || step(&bare).is_err(), "{bare}");
        }
    }

    /// Numbers that look random and are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() % bound as u64) as usize
        }

        fn slot(&mut self, kinds: &[SlotKind]) -> Slot {
            let kind = kinds[self.below(kinds.len())];
            Slot::new(kind, self.below(kind.count().into()) as u8)
        }

        fn int(&mut self) -> Int {
            match self.below(4) {
                0 => Int::of(self.below(9) as i128 - 4),
                1 => Int::of((self.next() as i64).into()),
                2 => Int::of(self.next().into()),
                _ => Int::Huge { negative: self.below(2) == 0 },
            }
        }

        fn scalar(&mut self) -> Arg {
            match self.below(7) {
                0 => Arg::None,
                1 => Arg::Int(self.int()),
                2 => Arg::Float(self.float()),
                3 => Arg::Complex(self.float(), self.float()),
                4 => {
                    let length = self.below(limits::LITERAL + 1);
                    Arg::Bytes((0..length).map(|_| self.next() as u8).collect())
                }
                5 => {
                    let length = self.below(limits::TEXT + 1);
                    Arg::Str((0..length).map(|_| self.character()).collect::<String>().into())
                }
                _ => Arg::Slot(self.slot(&SlotKind::ALL)),
            }
        }

        fn float(&mut self) -> Float {
            let value = f64::from_bits(self.next() << self.below(64));
            Float::new(if value.is_nan() { f64::NAN } else { value })
        }

        fn character(&mut self) -> char {
            let bound = [0x80, 0x100, 0x1_0000, 0x11_0000][self.below(4)];
            char::from_u32(self.below(bound) as u32).unwrap_or('"')
        }

        fn arg(&mut self) -> Arg {
            let length = self.below(limits::ITEMS + 1);
            match self.below(8) {
                0 => Arg::List((0..length).map(|_| self.scalar()).collect()),
                1 => Arg::Tuple((0..length).map(|_| self.scalar()).collect()),
                2 | 3 => {
                    let [start, stop, step] = [(); 3].map(|()| (self.below(2) == 0).then(|| self.int()));
                    Arg::slice(start, stop, step)
                }
                _ => self.scalar(),
            }
        }

        fn step(&mut self, thread: Option<u8>) -> Step {
            let row = &TABLE[self.below(TABLE.len())];
            let count = row.required + self.below(row.args.len() - row.required + 1);
            let args: Args = (0..count).map(|_| self.arg()).collect();
            let receiver = row.op.has_receiver().then(|| self.slot(row.on.kinds()));
            let destinations = destinations(row, receiver, &args);
            let dest = destinations[self.below(destinations.len())];
            let expect = match self.below(6) {
                0 => Some(Expect::Ok),
                1 => Some(Expect::Skipped),
                2 => Some(Expect::Raises(ErrorClass::ALL[self.below(ErrorClass::ALL.len())])),
                3 => Some(Expect::Value(self.scalar().to_string().into())),
                _ => None,
            };
            let guard = match self.below(6) {
                0 if thread.is_some() => Guard::Barrier,
                1 if thread.is_some() => Guard::Lock(self.below(limits::LOCKS.into()) as u8),
                _ => Guard::None,
            };
            let dest = dest.map(|slot| self.slot(&[slot.kind]));
            Step { thread, guard, op: row.op, receiver, args, dest, expect }
        }

        fn program(&mut self) -> Program {
            let mut version = || (self.below(2) == 0).then(|| (self.next() as u8, self.next() as u8));
            let (since, until) = (version(), version());
            let schedule = match self.below(8) {
                0 => Schedule::Concurrent,
                1 => Schedule::Explored((0..self.below(40)).map(|_| self.next() as u8).collect()),
                _ => Schedule::Lockstep,
            };
            let races = schedule.races();
            let unguarded = self.below(4) == 0;
            let allocator = Allocator::ALL[self.below(3)];
            let before = self.below(6);
            let threaded = self.below(30);
            let threads = (0..before).map(|_| None).collect::<Vec<_>>().into_iter();
            let threads = threads.chain((0..threaded).map(|index| Some(index as u8 % limits::THREADS)));
            let mut program = Program {
                since,
                until,
                schedule,
                unguarded,
                allocator,
                steps: threads.map(|thread| self.step(thread)).collect(),
            };
            if races {
                crate::program::racing::separate(&mut program);
            }
            program
        }
    }

    #[test]
    fn thousands_of_random_programs_round_trip() {
        let mut numbers = Numbers(1);
        for _ in 0..4000 {
            assert_round_trip(&numbers.program());
        }
    }
}
