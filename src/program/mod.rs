//! What is run: a program is a list of steps, each on a named thread.
//!
//! The same program is text for people ([`text`]), bytes for a fuzzer ([`encode`]), and is made by
//! [`generate`] and varied by [`mutate`]. Whatever its origin, [`fixup`] makes it valid; nothing is
//! ever rejected.

pub mod allocator;
pub mod arg;
pub mod encode;
pub mod fixup;
pub mod generate;
pub mod guard;
pub mod hook;
pub mod limits;
pub mod mutate;
pub mod op;
pub mod parse;
pub mod racing;
pub mod starve;
pub mod text;
pub mod turns;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

pub use allocator::Allocator;
pub use arg::{Arg, Bounds, Float, Int, Slot, SlotKind};
pub use guard::Guard;
pub use hook::{Answer, Hook, Method, Protocol};
pub use op::{Class, Op, Role, Syntax, Yields};
pub use turns::Turns;

use crate::history::ErrorClass;

/// The arguments of one operation.
pub type Args = ArrayVec<Arg, { limits::ARGUMENTS }>;

/// A whole program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Program {
    /// The oldest Python that the expectations hold for, as (major, minor): `# python >= 3.14`.
    pub since: Option<(u8, u8)>,
    /// The first Python that they no longer hold for: `# python < 3.14`.
    pub until: Option<(u8, u8)>,
    /// When its threads do what they do.
    pub schedule: Schedule,
    /// Whether it does also what is known to break the memory of some Pythons: `# leaves nothing out`. Only files have it.
    pub unguarded: bool,
    /// Where the interpreter gets its memory from meanwhile.
    pub allocator: Allocator,
    /// What is done, in the order in which lockstep does it.
    pub steps: Vec<Step>,
}

/// When the threads of a program do what they do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Schedule {
    /// One step after the other, in the order of the list.
    #[default]
    Lockstep,
    /// As they please, each in its own order: `# schedule concurrent`. Names are [separate](racing::separate).
    Concurrent,
    /// As these turns say, each in its own order: `# schedule explored 0a1f`. Names are separate. Only threads of the
    /// Rust exporters take turns, and only in a build with the feature `explored`.
    Explored(Turns),
}

impl Schedule {
    /// Whether the order of the list is not that in which threads do their steps.
    pub fn races(&self) -> bool {
        *self != Schedule::Lockstep
    }
}

/// One operation on one thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// The thread, or `None` for a step that runs before the threads start.
    pub thread: Option<u8>,
    /// What it is done beside where threads race; of no matter where they do not.
    pub guard: Guard,
    /// What is done.
    pub op: Op,
    /// The slot it is done on; `None` exactly if the operation has no receiver.
    pub receiver: Option<Slot>,
    /// What it is given.
    pub args: Args,
    /// Where the resulting object is put.
    pub dest: Option<Slot>,
    /// What the step must see, if the program says so.
    pub expect: Option<Expect>,
}

/// What a step must see: `#! ok`, `#! BufferError`, `#! skipped`, or a value as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expect {
    /// No error.
    Ok,
    /// Nothing: a slot is empty, or an object would grow beyond the limit.
    Skipped,
    /// This exception.
    Raises(ErrorClass),
    /// This value, as [`crate::history::Value`] prints it.
    Value(Box<str>),
}

impl Program {
    /// The number of threads, at least one.
    pub fn threads(&self) -> u8 {
        self.steps.iter().filter_map(Step::last_thread).max().map_or(1, |last| last + 1)
    }
}

impl Step {
    /// The last of the threads that it and its hooks name.
    fn last_thread(&self) -> Option<u8> {
        let within = self.hooks().flat_map(Hook::steps).filter_map(Step::last_thread);
        self.thread.into_iter().chain(within).max()
    }

    /// A step before the threads start, with no guard and no expectation.
    pub fn new(op: Op, receiver: Option<Slot>, args: Args, dest: Option<Slot>) -> Step {
        Step { thread: None, guard: Guard::None, op, receiver, args, dest, expect: None }
    }

    /// The thread that runs the step; what runs before the threads start runs on the first.
    #[inline]
    pub fn lane(&self) -> u8 {
        self.thread.unwrap_or(0)
    }

    /// The slot that the step gives another object, or none.
    pub fn binds(&self) -> Option<Slot> {
        match self.op.row().syntax {
            Syntax::InPlace(_) | Syntax::Drop => self.receiver,
            _ => self.dest,
        }
    }

    /// Gives every slot that the step names to `rename`, in the order in which a reader meets them.
    pub fn rename_slots(&mut self, rename: &mut dyn FnMut(&mut Slot)) {
        self.dest.iter_mut().for_each(&mut *rename);
        self.rename_needed(rename);
        for part in self.parts_mut() {
            if let Arg::Hook(hook) = part {
                hook.steps_mut().for_each(|step| step.rename_slots(rename));
            }
        }
    }

    /// The parts of its arguments.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut Arg> {
        self.args.iter_mut().flat_map(Arg::parts_mut)
    }

    /// The same of those alone that must be filled for the step to run.
    pub fn rename_needed(&mut self, rename: &mut dyn FnMut(&mut Slot)) {
        self.receiver.iter_mut().for_each(&mut *rename);
        for part in self.parts_mut() {
            match part {
                Arg::Slot(slot) => rename(slot),
                Arg::Hook(hook) => {
                    for method in &mut hook.methods {
                        if let Answer::View(slot) = &mut method.answer {
                            rename(slot);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The first slot that `is` says yes to, of those that must be filled for the step to run.
    #[inline]
    pub fn find_needed(&self, mut is: impl FnMut(Slot) -> bool) -> Option<Slot> {
        match self.receiver {
            Some(receiver) if is(receiver) => Some(receiver),
            _ => self.find_given(is),
        }
    }

    /// The same of those that are given as arguments.
    #[inline]
    pub fn find_given(&self, mut is: impl FnMut(Slot) -> bool) -> Option<Slot> {
        for arg in &self.args {
            let items = match arg {
                Arg::Slot(_) | Arg::Hook(_) => std::slice::from_ref(arg),
                Arg::List(items) | Arg::Tuple(items) => items,
                _ => continue,
            };
            for item in items {
                let found = match item {
                    Arg::Slot(slot) => Some(*slot).filter(|slot| is(*slot)),
                    Arg::Hook(hook) => hook.sources().find(|slot| is(*slot)),
                    _ => None,
                };
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}
