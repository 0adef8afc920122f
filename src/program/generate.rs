//! Makes programs from nothing but choices.
//!
//! Whatever the choices come from (a seeded generator, the bytes of a fuzzer, a mutator), the
//! program is a function of them alone, on every machine. A rough sketch of what the slots hold
//! aims the arguments at boundaries: it may be wrong, since a wrong guess is a case too.
//!
//! Each program draws its own weights for the operations (*swarm testing*: Groce et al., ISSTA
//! 2012), so that long runs of few operations occur, which even odds would never produce.

mod argument;
mod arrays;
mod formatting;
mod hook;
mod preset;
mod sketch;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use self::argument::argument;
use self::sketch::Sketch;
use super::op::{On, Row, TABLE, Yields};
use super::{
    Allocator, Arg, Args, Guard, Op, Program, Schedule, Slot, SlotKind, Step, Turns, fixup, limits, racing,
};

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
    /// The schedule of programs of several threads.
    pub schedules: Schedules,
    /// Whether a quarter of the programs have hooks.
    pub hooks: bool,
}

/// Which schedules programs of several threads have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedules {
    /// All lockstep.
    #[default]
    Lockstep,
    /// All concurrent.
    Concurrent,
    /// Half of them each.
    Mixed,
    /// All explored, by turns that are drawn.
    Explored,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { steps: 32, threads: limits::THREADS, schedules: Schedules::Lockstep, hooks: true }
    }
}

/// The program number `index` of the sequence that `seed` names: the same on every machine.
pub fn nth(seed: u64, index: u64, shape: Shape) -> Program {
    let mut choices = ChaCha8Rng::seed_from_u64(seed);
    choices.set_stream(index);
    Program { allocator: Allocator::of(index), ..program(&mut choices, shape) }
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
    let depth = if shape.hooks && choices.chance(1, 4) { limits::HOOK_DEPTH } else { 0 };
    let mut sketch = Sketch::default().with_hooks(depth);
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
    let race = match shape.schedules {
        Schedules::Lockstep => false,
        Schedules::Concurrent => threads > 1,
        Schedules::Mixed => threads > 1 && choices.chance(1, 2),
        Schedules::Explored => {
            program.schedule = Schedule::Explored(turns(choices));
            true
        }
    };
    if race {
        if threads > 1 && choices.chance(1, 2) {
            program.steps = preset::steps(choices, threads, steps);
        }
        guard(choices, &mut program.steps);
        racing::separate(&mut program);
    }
    program
}

/// Puts the steps of threads of half of the programs under locks, or some of them at barriers.
fn guard(choices: &mut impl Choices, steps: &mut [Step]) {
    let style = choices.below(8);
    if style > 3 {
        return;
    }
    let start = steps.iter().position(|step| step.thread.is_some()).unwrap_or(steps.len());
    let steps = &mut steps[start..];
    if style < 2 {
        // A lock is held over what a thread does at a stretch.
        let mut at = 0;
        while at < steps.len() {
            let end = steps.len().min(at + 1 + choices.below(STRETCH) as usize);
            steps[at..end].sort_by_key(|step| step.thread);
            at = end;
        }
    }
    let mut lock = 0;
    for step in steps {
        if choices.chance(1, 4) {
            lock = choices.below(limits::LOCKS.into()) as u8;
        }
        step.guard = match style {
            // All of them, so that nothing is left to chance.
            0 => Guard::Lock(0),
            1 if choices.chance(2, 3) => Guard::Lock(lock),
            2 | 3 if choices.chance(1, 6) => Guard::Barrier,
            3 if choices.chance(1, 2) => Guard::Lock(lock),
            _ => Guard::None,
        };
    }
}

/// The most steps that are brought into the order of their threads at once.
const STRETCH: u32 = 6;

/// The most bytes that are drawn of a schedule.
const TURNS: u32 = 32;

/// Turns for threads to take. One byte in two lets a thread go on for long, so that few interruptions are likely as well.
fn turns(choices: &mut impl Choices) -> Turns {
    (0..choices.below(TURNS)).map(|_| turn(choices)).collect()
}

/// One byte of a schedule.
pub fn turn(choices: &mut impl Choices) -> u8 {
    let most = if choices.chance(1, 2) { 1 << 8 } else { 1 << 4 };
    choices.below(most) as u8
}

/// One step that fits what has been done so far, for a mutator to insert.
pub fn one_step(choices: &mut impl Choices, before: &[Step]) -> Step {
    step(choices, &Swarm::even(), &Sketch::after(before))
}

/// What a step of a thread is done beside, for a mutator.
pub fn another_guard(choices: &mut impl Choices) -> Guard {
    match choices.below(3) {
        0 => Guard::None,
        1 => Guard::Lock(choices.below(limits::LOCKS.into()) as u8),
        _ => Guard::Barrier,
    }
}

/// Another argument for `step`'s parameter number `position`, for a mutator.
pub fn another_arg(choices: &mut impl Choices, before: &[Step], step: &Step, position: usize) -> Arg {
    let sketch = Sketch::after(before);
    let role = step.op.row().args[position];
    let arg = argument(choices, &sketch, step.receiver, (role, &step.args[..position.min(step.args.len())]));
    hook::maybe(choices, &sketch, step.receiver, (step.op, position), arg)
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
        Swarm::of(|row| row.weight.into())
    }

    /// These alone, each as often as the others.
    fn only(ops: &[Op]) -> Swarm {
        Swarm::of(|row| ops.contains(&row.op).into())
    }

    /// A quarter of the programs use the plain weights.
    fn draw(choices: &mut impl Choices) -> Swarm {
        if choices.chance(1, 4) {
            return Swarm::even();
        }
        // Two bits an operation: off, rare, plain or frequent.
        let (mut bits, mut left) = (0, 0);
        Swarm::of(|row| {
            if left == 0 {
                (bits, left) = (choices.next(), 16);
            }
            let factor = [0, 1, 4, 16][(bits & 3) as usize];
            bits >>= 2;
            left -= 1;
            u32::from(row.weight) * factor
        })
    }

    fn of(mut weigh: impl FnMut(&Row) -> u32) -> Swarm {
        let mut sums = [0; MOST_ROWS];
        let mut sum = 0;
        for (row, slot) in TABLE.iter().zip(&mut sums) {
            sum += weigh(row);
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
    make(choices, chosen.expect("what is drawn is below the sum of the weights").op, sketch)
}

/// Makes an exporter by this operation.
fn make(choices: &mut impl Choices, op: Op, sketch: &Sketch) -> Step {
    let row = op.row();
    let mut step = with_op(choices, op, None, sketch);
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
        (SlotKind::Export, _) => {
            let op = if choices.chance(1, 3) { Op::Lock } else { Op::Acquire };
            with_op(choices, op, None, sketch)
        }
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
        args.push(hook::maybe(choices, sketch, receiver, (op, position), arg));
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
    if step.has_hooks() {
        fixup::fix_step(&mut step);
    }
    step
}
