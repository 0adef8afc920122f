//! Varies programs by their structure, for a coverage-guided fuzzer.

use mutatis::{Candidates, Context, DefaultMutate, Mutate, Result, Rng};

use super::generate::{self, Choices};
use super::{Program, Schedule, Step, fixup, limits};

impl Choices for Rng {
    fn next(&mut self) -> u32 {
        self.gen_u32()
    }
}

/// Mutates one thing about a program, and leaves a valid one.
#[derive(Debug, Default, Clone, Copy)]
pub struct ProgramMutator;

impl DefaultMutate for Program {
    type DefaultMutate = ProgramMutator;
}

impl Mutate<Program> for ProgramMutator {
    fn mutate(&mut self, candidates: &mut Candidates<'_>, program: &mut Program) -> Result<()> {
        let takes_turns = matches!(program.schedule, Schedule::Explored(_));
        let races = program.schedule.races();
        let of_races = OF_RACES.iter().filter(|_| races);
        for vary in VARIATIONS.iter().chain(of_races).chain(OF_TURNS.iter().filter(|_| takes_turns)) {
            candidates.mutation(|context: &mut Context| {
                vary(program, context.rng());
                for step in &mut program.steps {
                    step.expect = None;
                }
                fixup::fixup(program);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// What can be done to a program. A variation that does not apply leaves it as it is.
const VARIATIONS: &[fn(&mut Program, &mut Rng)] = &[
    insert_step,
    insert_step,
    remove_steps,
    swap_steps,
    repeat_step,
    change_op,
    change_arg,
    change_arg,
    change_slot,
    change_thread,
];

/// What can be done where threads race.
const OF_RACES: [fn(&mut Program, &mut Rng); 1] = [change_guard];

/// What can be done to turns, where threads take them.
const OF_TURNS: [fn(&mut Program, &mut Rng); 2] = [change_turns, change_turns];

/// A position among the steps, if there are any.
fn position(program: &Program, rng: &mut Rng) -> Option<usize> {
    rng.gen_index(program.steps.len())
}

fn insert_step(program: &mut Program, rng: &mut Rng) {
    if program.steps.len() >= limits::STEPS {
        return;
    }
    let at = rng.below(program.steps.len() as u32 + 1) as usize;
    let mut step = generate::one_step(rng, &program.steps[..at]);
    step.thread = at.checked_sub(1).and_then(|before| program.steps[before].thread);
    program.steps.insert(at, step);
}

fn remove_steps(program: &mut Program, rng: &mut Rng) {
    if let Some(at) = position(program, rng) {
        let most = (program.steps.len() - at).min(4) as u32;
        let count = 1 + rng.below(most) as usize;
        program.steps.drain(at..at + count);
    }
}

fn swap_steps(program: &mut Program, rng: &mut Rng) {
    if let (Some(one), Some(other)) = (position(program, rng), position(program, rng)) {
        program.steps.swap(one, other);
    }
}

fn repeat_step(program: &mut Program, rng: &mut Rng) {
    if program.steps.len() < limits::STEPS
        && let (Some(from), Some(to)) = (position(program, rng), position(program, rng))
    {
        let step = program.steps[from].clone();
        program.steps.insert(to, step);
    }
}

/// Another operation on the same receiver.
fn change_op(program: &mut Program, rng: &mut Rng) {
    if let Some(at) = position(program, rng) {
        let (before, after) = program.steps.split_at_mut(at);
        let mut step: Step = generate::one_step(rng, before);
        step.thread = after[0].thread;
        if let (Some(new), Some(old)) = (&mut step.receiver, after[0].receiver)
            && new.kind == old.kind
        {
            *new = old;
        }
        after[0] = step;
    }
}

fn change_arg(program: &mut Program, rng: &mut Rng) {
    if let Some(at) = position(program, rng) {
        let roles = program.steps[at].op.row().args.len();
        if let Some(which) = rng.gen_index(roles) {
            let (before, after) = program.steps.split_at_mut(at);
            let step = &mut after[0];
            let arg = generate::another_arg(rng, before, step, which);
            match step.args.get_mut(which) {
                Some(old) => *old = arg,
                None => step.args.push(arg),
            }
        }
    }
}

fn change_slot(program: &mut Program, rng: &mut Rng) {
    if let Some(at) = position(program, rng) {
        let index = rng.below(8) as u8;
        let step = &mut program.steps[at];
        match (&mut step.receiver, &mut step.dest) {
            (Some(slot), None) | (None, Some(slot)) => slot.index = index,
            (Some(receiver), Some(dest)) => {
                let slot = if rng.chance(1, 2) { receiver } else { dest };
                slot.index = index;
            }
            (None, None) => {}
        }
    }
}

/// Another thread for a step and, half of the time, for those after it; or for the steps of its hooks, or none for these.
fn change_thread(program: &mut Program, rng: &mut Rng) {
    if let Some(at) = position(program, rng) {
        let thread = rng.below(u32::from(limits::THREADS)) as u8;
        if program.steps[at].has_hooks() && rng.chance(1, 2) {
            let thread = rng.chance(1, 2).then_some(thread);
            program.steps[at].hooked_steps_mut().for_each(|inner| inner.thread = thread);
            return;
        }
        let count = if rng.chance(1, 2) { 1 } else { program.steps.len() - at };
        for step in &mut program.steps[at..at + count] {
            step.thread = Some(thread);
        }
    }
}

/// What a step is done beside and, half of the time, some of those after it.
fn change_guard(program: &mut Program, rng: &mut Rng) {
    if let Some(at) = position(program, rng) {
        let guard = generate::another_guard(rng);
        let most = (program.steps.len() - at).min(4) as u32;
        let count = if rng.chance(1, 2) { 1 } else { 1 + rng.below(most) as usize };
        program.steps[at..at + count].iter_mut().for_each(|step| step.guard = guard);
    }
}

/// One byte more, less, or other, of a schedule that says who goes on.
fn change_turns(program: &mut Program, rng: &mut Rng) {
    if let Schedule::Explored(turns) = &mut program.schedule {
        let mut bytes = std::mem::take(&mut turns.0).into_vec();
        let at = rng.below(bytes.len() as u32 + 1) as usize;
        match rng.below(3) {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 if at < bytes.len() => bytes[at] = generate::turn(rng),
            _ => bytes.insert(at, generate::turn(rng)),
        }
        turns.0 = bytes.into();
    }
}

/// A program that begins as one and goes on as the other, on the schedule of the one.
pub fn cross(one: &Program, other: &Program, rng: &mut impl Choices) -> Program {
    let head = rng.below(one.steps.len() as u32 + 1) as usize;
    let tail = rng.below(other.steps.len() as u32 + 1) as usize;
    let mut steps: Vec<Step> = one.steps[..head].iter().chain(&other.steps[tail..]).cloned().collect();
    for step in &mut steps {
        step.expect = None;
    }
    let mut program = Program { steps, schedule: one.schedule.clone(), ..Program::default() };
    fixup::fixup(&mut program);
    program
}
