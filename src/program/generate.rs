//! Makes programs from nothing but choices.
//!
//! Whatever the choices come from (a seeded generator, the bytes of a fuzzer, a mutator), the
//! program is a function of them alone, on every machine. A rough sketch of what the slots hold
//! aims the arguments at boundaries: it may be wrong, since a wrong guess is a case too.
//!
//! Each program draws its own weights for the operations (*swarm testing*: Groce et al., ISSTA
//! 2012), so that long runs of few operations occur, which even odds would never produce.

mod arrays;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::op::{Class, On, PATTERNS, Role, Row, STRUCT_FORMATS, Syntax, TABLE, Yields};
use super::{Arg, Args, Float, Int, Op, Program, Slot, SlotKind, Step, fixup, limits};
use crate::exporter::TypeCode;

/// A source of choices.
pub trait Choices {
    /// The next 32 bits.
    fn next(&mut self) -> u32;

    /// A number below `bound`, which is not zero.
    #[inline]
    fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(bound)) >> 32) as u32
    }

    /// True `parts` times of `whole`.
    #[inline]
    fn chance(&mut self, parts: u32, whole: u32) -> bool {
        self.below(whole) < parts
    }

    /// One of `items`, which are not empty.
    #[inline]
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u32) as usize]
    }
}

impl Choices for ChaCha8Rng {
    #[inline]
    fn next(&mut self) -> u32 {
        self.next_u32()
    }
}

/// Choices made by bytes: any byte string is a program. Bytes that have run out choose the first
/// alternative for ever, which ends the program.
#[derive(Debug)]
pub struct ByteChoices<'a, 'b>(pub &'b mut arbitrary::Unstructured<'a>);

impl Choices for ByteChoices<'_, '_> {
    fn next(&mut self) -> u32 {
        let high: u16 = self.0.arbitrary().unwrap_or(0);
        u32::from(high) << 16
    }
}

/// What kind of programs to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The most steps of a program; half of the programs have exactly so many.
    pub steps: usize,
    /// The most threads of a program; if more than one, half of the programs still have one.
    pub threads: u8,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { steps: 32, threads: limits::THREADS }
    }
}

/// The program number `index` of the sequence that `seed` names: the same on every machine.
pub fn nth(seed: u64, index: u64, shape: Shape) -> Program {
    let mut choices = ChaCha8Rng::seed_from_u64(seed);
    choices.set_stream(index);
    program(&mut choices, shape)
}

/// Choices that a number determines, the same on every machine.
pub fn choices(seed: u64) -> impl Choices {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Makes a program.
pub fn program(choices: &mut impl Choices, shape: Shape) -> Program {
    let threads = match shape.threads {
        0 | 1 => 1,
        most => {
            if choices.chance(1, 2) {
                2 + choices.below(u32::from(most) - 1) as u8
            } else {
                1
            }
        }
    };
    let steps = if choices.chance(1, 2) {
        shape.steps
    } else {
        1 + choices.below(shape.steps.max(1) as u32) as usize
    };
    let swarm = Swarm::draw(choices);
    let mut sketch = Sketch::default();
    let mut program = Program { steps: Vec::with_capacity(steps), ..Program::default() };
    let setup = if threads > 1 { 1 + choices.below(4) as usize } else { 0 };
    let mut thread = 0;
    for position in 0..steps {
        let mut step =
            if position == 0 { new_exporter(choices, &sketch) } else { step(choices, &swarm, &sketch) };
        if threads > 1 && position >= setup {
            if choices.chance(1, 2) {
                thread = choices.below(u32::from(threads)) as u8;
            }
            step.thread = Some(thread);
        }
        sketch.follow(&step);
        program.steps.push(step);
    }
    program
}

/// One step that fits what has been done so far, for a mutator to insert.
pub fn one_step(choices: &mut impl Choices, before: &[Step]) -> Step {
    let mut sketch = Sketch::default();
    before.iter().for_each(|step| sketch.follow(step));
    step(choices, &Swarm::even(), &sketch)
}

/// Another argument for `step`'s parameter number `position`, for a mutator.
pub fn another_arg(choices: &mut impl Choices, before: &[Step], step: &Step, position: usize) -> Arg {
    let mut sketch = Sketch::default();
    before.iter().for_each(|step| sketch.follow(step));
    argument(
        choices,
        &sketch,
        step.receiver,
        (step.op.row().args[position], &step.args[..position.min(step.args.len())]),
    )
}

/// How often each operation occurs in one program: running sums of its weights.
struct Swarm {
    sums: [u32; MOST_ROWS],
}

/// Room for all rows of the table.
const MOST_ROWS: usize = 192;

const _: () = assert!(TABLE.len() <= MOST_ROWS);

impl Swarm {
    fn even() -> Swarm {
        Swarm::of(|weight| weight)
    }

    /// A quarter of the programs use the plain weights.
    fn draw(choices: &mut impl Choices) -> Swarm {
        if choices.chance(1, 4) {
            return Swarm::even();
        }
        // Two bits an operation: off, rare, plain or frequent.
        let (mut bits, mut left) = (0, 0);
        Swarm::of(|weight| {
            if left == 0 {
                (bits, left) = (choices.next(), 16);
            }
            let factor = [0, 1, 4, 16][(bits & 3) as usize];
            bits >>= 2;
            left -= 1;
            weight * factor
        })
    }

    fn of(mut weigh: impl FnMut(u32) -> u32) -> Swarm {
        let mut sums = [0; MOST_ROWS];
        let mut sum = 0;
        for (row, slot) in TABLE.iter().zip(&mut sums) {
            sum += weigh(u32::from(row.weight));
            *slot = sum;
        }
        if sum == 0 { Swarm::even() } else { Swarm { sums } }
    }

    fn op(&self, choices: &mut impl Choices) -> Op {
        let sums = &self.sums[..TABLE.len()];
        let drawn = choices.below(sums[TABLE.len() - 1]);
        TABLE[sums.partition_point(|&sum| sum <= drawn)].op
    }
}

/// What the slots probably hold.
#[derive(Debug, Default)]
struct Sketch {
    exporters: [Option<ExporterSketch>; limits::EXPORTERS as usize],
    views: [Option<ViewSketch>; limits::VIEWS as usize],
    exports: [bool; limits::EXPORTS as usize],
    iterators: [bool; limits::ITERATORS as usize],
}

#[derive(Debug, Clone, Copy)]
struct ExporterSketch {
    class: Class,
    /// The type of its items, if it is an array.
    code: Option<TypeCode>,
    /// In items.
    length: i64,
}

#[derive(Debug, Clone, Copy)]
struct ViewSketch {
    length: i64,
    itemsize: i64,
}

impl Sketch {
    fn holds(&self, slot: Slot) -> bool {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].is_some(),
            SlotKind::View => self.views[slot.at()].is_some(),
            SlotKind::Export => self.exports[slot.at()],
            SlotKind::Iterator => self.iterators[slot.at()],
        }
    }

    fn length(&self, slot: Slot) -> i64 {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].map_or(0, |exporter| exporter.length),
            SlotKind::View => self.views[slot.at()].map_or(0, |view| view.length),
            SlotKind::Export | SlotKind::Iterator => 0,
        }
    }

    fn filled(&self, kind: SlotKind, choices: &mut impl Choices) -> Option<Slot> {
        self.one_of(kind, choices, |_| true)
    }

    /// A filled slot that an operation is likely to know.
    fn receiver(&self, kind: SlotKind, row: &Row, choices: &mut impl Choices) -> Option<Slot> {
        let knows = |slot: Slot| self.class(slot).is_none_or(|class| row.classes.contain(class));
        let known = self.one_of(kind, choices, knows);
        // Now and then it is done on what does not have it.
        if known.is_none() && choices.chance(1, 16) { self.filled(kind, choices) } else { known }
    }

    fn class(&self, slot: Slot) -> Option<Class> {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].map(|exporter| exporter.class),
            _ => None,
        }
    }

    /// The type of the items of an array.
    fn type_code(&self, slot: Slot) -> Option<TypeCode> {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].and_then(|exporter| exporter.code),
            _ => None,
        }
    }

    fn itemsize(&self, slot: Slot) -> i64 {
        self.type_code(slot).map_or(1, |code| code.itemsize() as i64)
    }

    fn one_of(&self, kind: SlotKind, choices: &mut impl Choices, is: impl Fn(Slot) -> bool) -> Option<Slot> {
        let mut candidates = [Slot::new(kind, 0); limits::VIEWS as usize];
        let mut count = 0;
        for slot in Slot::all(kind).filter(|&slot| self.holds(slot) && is(slot)) {
            candidates[count] = slot;
            count += 1;
        }
        (count > 0).then(|| *choices.pick(&candidates[..count]))
    }

    fn free(&self, kind: SlotKind, choices: &mut impl Choices) -> Slot {
        match Slot::all(kind).find(|&slot| !self.holds(slot)) {
            Some(slot) if choices.chance(7, 8) => slot,
            _ => Slot::new(kind, choices.below(u32::from(kind.count())) as u8),
        }
    }

    fn arg_length(&self, arg: Option<&Arg>) -> i64 {
        match arg {
            Some(Arg::Int(Int::Small(size))) => (*size).clamp(0, limits::LENGTH as i64),
            Some(Arg::Bytes(bytes)) => bytes.len() as i64,
            Some(Arg::Str(text)) => text.chars().count() as i64,
            Some(Arg::List(items) | Arg::Tuple(items)) => items.len() as i64,
            Some(Arg::Slot(slot)) => self.length(*slot),
            _ => 0,
        }
    }

    /// The length of a new array in items.
    fn array_length(&self, args: &[Arg]) -> i64 {
        let given = self.arg_length(args.get(1));
        match (args.get(1), arrays::named_type(args)) {
            (Some(Arg::Bytes(_)), Some(code)) => given / code.itemsize() as i64,
            (Some(Arg::Int(_)), _) => 0,
            _ => given,
        }
    }

    /// Follows what a step does to lengths and slots, where that is easy to tell.
    fn follow(&mut self, step: &Step) {
        let own = step.receiver.map_or(0, |slot| self.length(slot));
        // A map is told of its file before its length.
        let given = self.arg_length(step.args.get(usize::from(step.op == Op::NewMmap)));
        let grown = match step.op {
            Op::Append | Op::Insert => own + 1,
            Op::Pop | Op::Remove => own - 1,
            Op::Extend | Op::InPlaceAdd | Op::FromList | Op::FromUnicode => own + given,
            Op::FromFile => own + self.arg_length(step.args.get(1)),
            Op::FromBytes => own + given / step.receiver.map_or(1, |slot| self.itemsize(slot)),
            Op::Clear => 0,
            Op::Resize | Op::Init | Op::SetState => given,
            Op::Write | Op::WriteLines => own.max(given),
            Op::Truncate => own.min(given),
            Op::Close => 0,
            _ => own,
        };
        if let Some(Slot { kind: SlotKind::Exporter, index }) = step.receiver
            && let Some(exporter) = &mut self.exporters[index as usize]
            && self.views.iter().all(Option::is_none)
        {
            exporter.length = grown.clamp(0, limits::LENGTH as i64);
        }
        if step.op == Op::Drop
            && let Some(slot) = step.receiver
        {
            match slot.kind {
                SlotKind::Exporter => self.exporters[slot.at()] = None,
                SlotKind::View => self.views[slot.at()] = None,
                SlotKind::Export => self.exports[slot.at()] = false,
                SlotKind::Iterator => self.iterators[slot.at()] = false,
            }
        }
        let Some(dest) = step.dest else { return };
        match dest.kind {
            SlotKind::Exporter => {
                let length = match step.op {
                    Op::Add => own + given,
                    Op::Item => part(own, &step.args),
                    Op::NewByteArray | Op::NewBytes | Op::NewStream | Op::NewMmap | Op::MapFile => given,
                    Op::NewArray => self.array_length(&step.args),
                    _ => own,
                };
                let class = match step.op.row().syntax {
                    Syntax::Call("mapped_file") => Some(Class::Mmap),
                    _ if matches!(
                        step.op,
                        Op::TakeBytes | Op::GetValue | Op::Read | Op::Read1 | Op::ReadLine
                    ) =>
                    {
                        Some(Class::Bytes)
                    }
                    Syntax::Call(name) => Class::ALL.into_iter().find(|class| class.name() == name),
                    // Part of a map is no map.
                    _ => step.receiver.and_then(|slot| self.class(slot)).map(|class| match class {
                        Class::Mmap => Class::Bytes,
                        class => class,
                    }),
                };
                let code = match step.op {
                    Op::NewArray => arrays::named_type(&step.args),
                    _ => step.receiver.and_then(|slot| self.type_code(slot)),
                };
                // No array is made without a type.
                if class == Some(Class::Array) && code.is_none() {
                    return;
                }
                let length = length.clamp(0, limits::LENGTH as i64);
                self.exporters[dest.at()] = class.map(|class| ExporterSketch { class, code, length });
            }
            SlotKind::View => {
                let source = match (step.receiver, step.args.first()) {
                    (Some(slot), _) | (None, Some(&Arg::Slot(slot))) if slot.kind == SlotKind::View => {
                        self.views[slot.at()]
                    }
                    (Some(_), _) => Some(ViewSketch { length: own, itemsize: 1 }),
                    (None, Some(&Arg::Slot(slot))) => {
                        Some(ViewSketch { length: given, itemsize: self.itemsize(slot) })
                    }
                    _ => Some(ViewSketch { length: given, itemsize: 1 }),
                };
                self.views[dest.at()] = source.map(|mut view| {
                    if step.op == Op::Item {
                        view.length = part(view.length, &step.args);
                    } else if let (Op::Cast, Some(Arg::Str(format))) = (step.op, step.args.first()) {
                        let size = crate::exporter::Format::parse(format).map_or(1, |f| f.itemsize() as i64);
                        view.length = view.length * view.itemsize / size;
                        view.itemsize = size;
                    }
                    view
                });
            }
            SlotKind::Export => self.exports[dest.at()] = true,
            SlotKind::Iterator => self.iterators[dest.at()] = true,
        }
    }
}

/// The length of the part of `length` items that the first argument, a slice, takes.
fn part(length: i64, args: &Args) -> i64 {
    match args.first() {
        Some(Arg::Slice(slice)) => {
            crate::subject::index::slice(slice, length as usize).map_or(0, |part| part.count as i64)
        }
        _ => length,
    }
}

fn new_exporter(choices: &mut impl Choices, sketch: &Sketch) -> Step {
    let makers =
        || TABLE.iter().filter(|row| row.on == On::Nothing && row.yields == Yields::Into(SlotKind::Exporter));
    let mut drawn = choices.below(makers().map(|row| u32::from(row.weight)).sum());
    let chosen = makers().find(|row| match drawn.checked_sub(u32::from(row.weight)) {
        Some(rest) => {
            drawn = rest;
            false
        }
        None => true,
    });
    let row = chosen.expect("what is drawn is below the sum of the weights");
    let mut step = with_op(choices, row.op, None, sketch);
    // Of nothing comes nothing to lend.
    if step.args.is_empty() && !row.args.is_empty() {
        step.args.push(argument(choices, sketch, None, (row.args[0], &[])));
    }
    step
}

/// How many operations are drawn for a step until one fits what is there.
const DRAWS: usize = 8;

fn step(choices: &mut impl Choices, swarm: &Swarm, sketch: &Sketch) -> Step {
    for _ in 0..DRAWS {
        let op = swarm.op(choices);
        let row = op.row();
        if row.on == On::Nothing {
            return with_op(choices, op, None, sketch);
        }
        let kind = *choices.pick(row.on.kinds());
        match sketch.receiver(kind, row, choices) {
            Some(slot) => return with_op(choices, op, Some(slot), sketch),
            // Objects of other classes only: something else is done on them.
            None if Slot::all(kind).any(|slot| sketch.holds(slot)) => {}
            // Nothing to do it on: make something instead, now and then do it on nothing.
            None if choices.chance(1, 32) => return with_op(choices, op, Some(Slot::new(kind, 0)), sketch),
            None => return maker(choices, kind, sketch),
        }
    }
    new_exporter(choices, sketch)
}

/// A step that fills a slot of this kind.
fn maker(choices: &mut impl Choices, kind: SlotKind, sketch: &Sketch) -> Step {
    let source = sketch.filled(SlotKind::Exporter, choices);
    match (kind, source) {
        (SlotKind::Exporter, _) | (_, None) => new_exporter(choices, sketch),
        (SlotKind::View, _) => with_op(choices, Op::NewView, None, sketch),
        (SlotKind::Export, _) => with_op(choices, Op::Acquire, None, sketch),
        (SlotKind::Iterator, source) => with_op(choices, Op::Iter, source, sketch),
    }
}

fn with_op(choices: &mut impl Choices, op: Op, receiver: Option<Slot>, sketch: &Sketch) -> Step {
    let row = op.row();
    let mut args = Args::new();
    for (position, &role) in row.args.iter().enumerate() {
        let sixths = match position {
            0 => 2,
            1 | 2 => 4,
            // Whoever goes so far goes on.
            _ => 1,
        };
        if position >= row.required && choices.chance(sixths, 6) {
            break;
        }
        let arg = argument(choices, sketch, receiver, (role, &args));
        args.push(arg);
    }
    let mut step = Step::new(op, receiver, args, None);
    step.dest = match row.yields {
        Yields::Value => None,
        Yields::Into(kind) => Some(sketch.free(kind, choices)),
        Yields::Maybe(kind) => choices.chance(1, 2).then(|| sketch.free(kind, choices)),
        Yields::Part => {
            fixup::part_kind(&step).and_then(|kind| choices.chance(7, 8).then(|| sketch.free(kind, choices)))
        }
    };
    step
}

/// An argument in its role, after those that stand before it.
fn argument(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Option<Slot>,
    (role, before): (Role, &[Arg]),
) -> Arg {
    let mut arg = likely_argument(choices, sketch, receiver, (role, before));
    fixup::fix_arg(&mut arg, role);
    arg
}

fn likely_argument(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Option<Slot>,
    (role, before): (Role, &[Arg]),
) -> Arg {
    if choices.chance(1, 48) {
        return wrong_type(choices, sketch);
    }
    if let Some(slot) = receiver
        && let Some(code) = sketch.type_code(slot)
        && let Some(arg) = arrays::argument(choices, sketch, slot, code, (role, before))
    {
        return arg;
    }
    let length = receiver.map_or(8, |slot| sketch.length(slot));
    match role {
        Role::Index => Arg::Int(index(choices, length)),
        Role::Size => Arg::Int(size(choices, length)),
        Role::Times => Arg::Int(match choices.below(16) {
            0..=12 => Int::Small(*choices.pick(&[1, 2, 0, -1, 3])),
            _ => extreme(choices),
        }),
        Role::Byte => byte(choices),
        Role::Key => match choices.below(32) {
            0..=14 => Arg::Int(index(choices, length)),
            15 => tuple(choices, length),
            _ => slice(choices, length),
        },
        Role::Item => item(choices, sketch, receiver, length),
        Role::Buffer => buffer(choices, sketch),
        Role::Source if receiver.and_then(|slot| sketch.class(slot)) == Some(Class::BytesIO) => {
            lines_or_buffer(choices, sketch)
        }
        Role::Source => match choices.below(8) {
            0..=2 => Arg::Int(size(choices, length)),
            3 => list(choices),
            _ => buffer(choices, sketch),
        },
        Role::Needle => {
            if choices.chance(1, 2) {
                byte(choices)
            } else {
                buffer(choices, sketch)
            }
        }
        Role::File => {
            let is_file = |slot| matches!(sketch.class(slot), Some(Class::BytesIO | Class::Mmap));
            match sketch.one_of(SlotKind::Exporter, choices, is_file) {
                Some(slot) if choices.chance(15, 16) => Arg::Slot(slot),
                _ => filled_or_bytes(choices, sketch, SlotKind::Exporter),
            }
        }
        Role::Buffers => {
            let count = choices.below(4);
            Arg::List((0..count).map(|_| buffer(choices, sketch)).collect())
        }
        Role::Pattern => Arg::bytes(choices.pick(PATTERNS).as_bytes()),
        Role::StructFormat => Arg::Str((*choices.pick(STRUCT_FORMATS)).into()),
        Role::ByteOrder => Arg::Str((*choices.pick(&["little", "big", "little", "big", "middle"])).into()),
        Role::Other => match choices.below(8) {
            0..=5 => buffer(choices, sketch),
            _ => byte(choices),
        },
        Role::Parts => parts(choices, sketch),
        Role::Table => match choices.below(4) {
            0 => Arg::None,
            _ => buffer(choices, sketch),
        },
        Role::Format => Arg::Str((*choices.pick(FORMATS)).into()),
        Role::Shape => shape(choices, sketch, receiver),
        Role::Separator => match choices.below(4) {
            0 => Arg::None,
            1 => buffer(choices, sketch),
            2 => Arg::Str((*choices.pick(&["-", ":", "", "ab", " "])).into()),
            _ => Arg::bytes(choices.pick::<&[u8]>(&[b"-", b"a", b"", b"ab", b"\x00"])),
        },
        Role::TypeCode => arrays::type_code(choices),
        Role::ArraySource => match arrays::named_type(before) {
            Some(code) => arrays::source(choices, sketch, code),
            None => arrays::source_of_nothing(choices, sketch),
        },
        Role::Items => list(choices),
        Role::Text => arrays::text(choices),
        Role::FileNumber => Arg::Int(match choices.below(64) {
            0 => extreme(choices),
            1 => Int::Small(*choices.pick(&[-2, 0, i64::from(i32::MAX), i64::from(i32::MIN)])),
            _ => Int::Small(-1),
        }),
        Role::MapFlags => mostly(choices, 1, &[2, 2, 2, 0, 3, 33, 34, 1 << 31]),
        Role::Protection => mostly(choices, 3, &[1, 1, 2, 0, -1]),
        Role::FileLength => mostly(choices, 0, &[1, 1, 2, 2, 3, 4, 5, 64, -1]),
        Role::Access => mostly(choices, 1, &[0, 1, 2, 2, 3, 3, 3, 4, -1]),
        Role::Offset => match choices.below(4) {
            0 | 1 => Arg::int(0),
            2 => Arg::Int(index(choices, length)),
            _ => Arg::int(*choices.pick(&[-1, 1, length, length + 1, 4096])),
        },
        Role::Advice => mostly(choices, 0, &[1, 2, 3, -1, 1 << 31]),
        Role::Exporter => match choices.below(16) {
            0..=8 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
            9..=13 => filled_or_bytes(choices, sketch, SlotKind::View),
            14 => filled_or_bytes(choices, sketch, SlotKind::Export),
            _ => literal(choices),
        },
        Role::Lines => lines_or_buffer(choices, sketch),
        Role::Limit => match choices.below(8) {
            0 => Arg::None,
            1 => Arg::int(-1),
            _ => Arg::Int(size(choices, length)),
        },
        Role::Whence => match choices.below(24) {
            0 => Arg::int(3),
            1 => Arg::int(-1),
            2 => Arg::Int(extreme(choices)),
            other => Arg::int(i64::from(other % 3)),
        },
        Role::Writable => match choices.below(16) {
            0 => literal(choices),
            1..=7 => filled_or_bytes(choices, sketch, SlotKind::View),
            8 => filled_or_bytes(choices, sketch, SlotKind::Export),
            _ => filled_or_bytes(choices, sketch, SlotKind::Exporter),
        },
        Role::State => {
            let mut items = vec![lines_or_buffer(choices, sketch), Arg::Int(index(choices, length))];
            items.push(if choices.chance(1, 16) { byte(choices) } else { Arg::None });
            items.truncate(if choices.chance(1, 16) { 2 } else { 3 });
            Arg::Tuple(items.into())
        }
    }
}

/// A number that means something, or else another one.
fn mostly(choices: &mut impl Choices, usual: i64, others: &[i64]) -> Arg {
    match choices.below(32) {
        0..=20 => Arg::int(usual),
        21..=30 => Arg::int(*choices.pick(others)),
        _ => Arg::Int(extreme(choices)),
    }
}

/// Formats of a cast: all that memoryview knows, some twice, and some that it does not.
const FORMATS: &[&str] = &[
    "B", "B", "b", "c", "H", "h", "I", "i", "L", "l", "Q", "q", "N", "n", "f", "d", "?", "P", "e", "@B",
    "@H", "@I", "", "x", "<H", "BB", "@", "3B", "F",
];

fn extreme(choices: &mut impl Choices) -> Int {
    *choices.pick(&[
        Int::Small(i64::MAX),
        Int::Small(i64::MIN),
        Int::Unsigned(1 << 63),
        Int::Unsigned(u64::MAX),
        Int::Huge { negative: false },
        Int::Huge { negative: true },
        Int::Small(limits::REFUSED_SIZE),
        Int::Small(i64::MAX - 1),
    ])
}

/// An index into `length` items: mostly within, often at a boundary.
fn index(choices: &mut impl Choices, length: i64) -> Int {
    Int::Small(match choices.below(32) {
        0..=17 => i64::from(choices.below(length.max(1) as u32)),
        18..=20 => -1 - i64::from(choices.below(length.max(1) as u32)),
        21 | 22 => 0,
        23 => length - 1,
        24 => length,
        25 => length + 1,
        26 => -length,
        27 => -length - 1,
        28 => -1,
        29 => 1,
        30 => 2,
        _ => return extreme(choices),
    })
}

fn size(choices: &mut impl Choices, length: i64) -> Int {
    Int::Small(match choices.below(32) {
        0..=21 => i64::from(*choices.pick(&[8, 0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 32])),
        22 => length,
        23 => length + 1,
        24 => length - 1,
        25..=28 => i64::from(choices.below(48)),
        29 => -1,
        30 => *choices.pick(&[64, 255, 256, 257, 512]),
        _ => return extreme(choices),
    })
}

fn byte(choices: &mut impl Choices) -> Arg {
    Arg::int(match choices.below(24) {
        0..=5 => 0,
        6..=17 => i64::from(b'a') + i64::from(choices.below(4)),
        18 | 19 => i64::from(choices.below(256)),
        20 => 255,
        21 => 256,
        22 => -1,
        _ => return Arg::Int(extreme(choices)),
    })
}

fn slice(choices: &mut impl Choices, length: i64) -> Arg {
    let bound = |choices: &mut _| match Choices::below(choices, 3) {
        0 => None,
        _ => Some(index(choices, length)),
    };
    let (start, stop) = (bound(choices), bound(choices));
    let step = match choices.below(16) {
        0..=9 => None,
        10 => Some(extreme(choices)),
        _ => Some(Int::Small(*choices.pick(&[2, 1, -1, -2, 3, 0, -3, 7]))),
    };
    Arg::slice(start, stop, step)
}

fn tuple(choices: &mut impl Choices, length: i64) -> Arg {
    let count = choices.below(4);
    Arg::Tuple((0..count).map(|_| Arg::Int(index(choices, length.min(4)))).collect())
}

fn list(choices: &mut impl Choices) -> Arg {
    let count = choices.below(limits::ITEMS as u32 + 1);
    let items = (0..count).map(|_| byte(choices)).collect();
    if choices.chance(1, 8) { Arg::Tuple(items) } else { Arg::List(items) }
}

/// A value to store under a key: a byte or number, or a buffer as long as a slice might be.
fn item(choices: &mut impl Choices, sketch: &Sketch, receiver: Option<Slot>, length: i64) -> Arg {
    match choices.below(32) {
        0..=10 => byte(choices),
        11 => Arg::Float(Float::new(*choices.pick(&[0.5, -0.0, 1e300, f64::INFINITY, f64::NAN, 7.0]))),
        12 => Arg::int(*choices.pick(&[
            127,
            128,
            -128,
            -129,
            32767,
            32768,
            65535,
            65536,
            1 << 31,
            -(1 << 31),
            (1 << 32) - 1,
            1 << 32,
        ])),
        13..=22 => {
            let count = choices.below(length.clamp(0, 8) as u32 + 2) as usize;
            Arg::Bytes((0..count).map(|_| b'a' + choices.below(4) as u8).collect())
        }
        23 => list(choices),
        // The receiver itself, or a view of who knows what.
        24 => receiver.map_or(Arg::None, Arg::Slot),
        _ => buffer(choices, sketch),
    }
}

fn literal(choices: &mut impl Choices) -> Arg {
    let count = match choices.below(16) {
        0..=11 => choices.below(6),
        12..=14 => choices.below(24),
        _ => choices.below(limits::LITERAL as u32 + 1),
    };
    Arg::Bytes(
        (0..count)
            .map(
                |_| {
                    if choices.chance(1, 8) {
                        choices.below(256) as u8
                    } else {
                        b'a' + choices.below(4) as u8
                    }
                },
            )
            .collect(),
    )
}

/// A few short lines, the last without an end, or another buffer.
fn lines_or_buffer(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    match choices.below(16) {
        0 => Arg::None,
        1..=9 => {
            let count = choices.below(12);
            let byte = |_| if choices.chance(1, 3) { b'\n' } else { b'a' + choices.below(4) as u8 };
            Arg::Bytes((0..count).map(byte).collect())
        }
        _ => buffer(choices, sketch),
    }
}

fn filled_or_bytes(choices: &mut impl Choices, sketch: &Sketch, kind: SlotKind) -> Arg {
    match sketch.filled(kind, choices) {
        Some(slot) => Arg::Slot(slot),
        None => literal(choices),
    }
}

fn buffer(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    match choices.below(8) {
        0..=2 => literal(choices),
        3 | 4 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
        5 | 6 => filled_or_bytes(choices, sketch, SlotKind::View),
        _ => filled_or_bytes(choices, sketch, SlotKind::Export),
    }
}

fn parts(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    let count = choices.below(4);
    let items = (0..count)
        .map(|_| if choices.chance(1, 16) { byte(choices) } else { buffer(choices, sketch) })
        .collect();
    if choices.chance(1, 4) { Arg::Tuple(items) } else { Arg::List(items) }
}

/// Shapes whose product fits, nearly fits, or is nonsense.
fn shape(choices: &mut impl Choices, sketch: &Sketch, receiver: Option<Slot>) -> Arg {
    let length = receiver.map_or(0, |slot| sketch.length(slot));
    let mut items: Vec<i64> = match choices.below(9) {
        0 => vec![],
        1..=3 => vec![length],
        4 | 5 => {
            let factor = 1 + i64::from(choices.below(4));
            vec![factor, length / factor]
        }
        6 => vec![2, 2, length / 4],
        7 => vec![1, 2, 1, length / 2, 1],
        _ => vec![length + 1],
    };
    if choices.chance(1, 12) {
        items.push(*choices.pick(&[0, -1, 1, i64::MAX, 2]));
    }
    let items = items.into_iter().map(Arg::int).collect();
    if choices.chance(1, 3) { Arg::Tuple(items) } else { Arg::List(items) }
}

fn wrong_type(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    match choices.below(8) {
        0 => Arg::None,
        1 => Arg::Str((*choices.pick(&["a", "", "abc"])).into()),
        2 => Arg::Float(Float::new(1.5)),
        3 => Arg::Int(extreme(choices)),
        4 => list(choices),
        5 => tuple(choices, 4),
        6 => byte(choices),
        _ => buffer(choices, sketch),
    }
}
