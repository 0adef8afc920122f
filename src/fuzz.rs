//! What the fuzz targets call: one input, judged.
//!
//! Under a plain fuzzer an unknown divergence is a panic, so that artifacts, exit codes and
//! minimisation work as everyone expects. Under `buflock fuzz` it is data, kept in a [`session`], and the process goes on.

pub mod session;

use std::cell::RefCell;
use std::sync::Arc;

use crate::check::Check;
use crate::judge::Verdict;
use crate::program::{Program, Schedule, Turns, encode, fixup, generate, mutate, parse, text};
use crate::subject::Version;
use session::Session;

/// A fuzz target that runs programs, as its executable in `fuzz/` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The name of the executable.
    pub name: &'static str,
    /// What it runs programs on, besides the model.
    pub subjects: &'static [&'static str],
    /// What it makes of their threads.
    pub threads: Threads,
}

/// All of them. The parser has a target of its own, which runs nothing.
pub const TARGETS: [Target; 5] = [
    Target { name: "cpython_lockstep", subjects: &["native", "cpython"], threads: Threads::Lockstep },
    Target { name: "cpython_concurrent", subjects: &["native", "cpython"], threads: Threads::Race },
    Target { name: "pynative_lockstep", subjects: &["pynative"], threads: Threads::Lockstep },
    Target { name: "native_model", subjects: &["native"], threads: Threads::Lockstep },
    Target { name: "native_explored", subjects: &["native"], threads: Threads::TakeTurns },
];

/// When the threads of each program of a target do their steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// In the order of the steps, since an engine wants the same of the same input.
    Lockstep,
    /// All at once.
    Race,
    /// By the turns that the input says.
    TakeTurns,
}

impl Threads {
    /// The program that an input is, with its threads so.
    pub fn read(self, data: &[u8]) -> Program {
        let mut program = encode::read(data);
        self.prepare(&mut program);
        program
    }

    fn prepare(self, program: &mut Program) {
        match self {
            Threads::Lockstep => program.schedule = Schedule::Lockstep,
            Threads::Race => race(program),
            Threads::TakeTurns => take_turns(program),
        }
    }
}

impl Target {
    /// The one of this name.
    pub fn of_name(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Whether Python is in its process.
    pub fn embeds_python(&self) -> bool {
        self.subjects != ["native"]
    }
}

/// Runs an input on the native exporters against the model.
///
/// # Panics
/// If they differ.
pub fn native_model(data: &[u8]) {
    thread_local! {
        static CHECK: RefCell<Check> = RefCell::new(Check::native(Version::NEWEST));
    }
    CHECK.with_borrow_mut(|check| run(check, data));
}

/// Runs an input on the subjects of `check`.
///
/// # Panics
/// If one differs from the model in a way that the catalogue does not know.
pub fn run(check: &mut Check, data: &[u8]) {
    judge(check, Threads::Lockstep.read(data));
}

/// Runs an input on the subjects of `check`, whose threads race.
///
/// # Panics
/// If what they saw has no order that the model explains, unless the catalogue knows that.
pub fn run_concurrent(check: &mut Check, data: &[u8]) {
    judge(check, Threads::Race.read(data));
}

/// Makes the threads of a program race, unless they do.
fn race(program: &mut Program) {
    if program.schedule != Schedule::Concurrent {
        program.schedule = Schedule::Concurrent;
        fixup::fixup(program);
    }
}

/// Runs an input on the native exporters, whose threads take the turns that it says, against the model.
///
/// # Panics
/// If what they saw has no order that the model explains, or if they wait for each other for ever.
#[cfg(all(feature = "explored", not(loom)))]
pub fn native_explored(data: &[u8]) {
    thread_local! {
        static CHECK: RefCell<Check> = RefCell::new(Check::native(Version::NEWEST));
    }
    CHECK.with_borrow_mut(|check| judge(check, Threads::TakeTurns.read(data)));
}

/// Makes the threads of a program take turns, unless they do.
fn take_turns(program: &mut Program) {
    if !matches!(program.schedule, Schedule::Explored(_)) {
        program.schedule = Schedule::Explored(Turns::default());
        fixup::fixup(program);
    }
}

fn judge(check: &mut Check, program: Program) {
    let program = Arc::new(program);
    if let Verdict::Diverge(divergence) = check.run(&program) {
        let is_known = check.knows(&divergence);
        if let Some(session) = Session::of_this_process() {
            return session.keep(&divergence, is_known, &program, check.version());
        }
        if is_known {
            return;
        }
        panic!(
            "{} breaks {} ({}) at step {:?}\n{}\nsignature {}\n\n{program}",
            divergence.subject,
            divergence.clause,
            divergence.clause.text(),
            divergence.step.map(|step| step + 1),
            divergence.difference,
            divergence.signature,
        );
    }
}

/// Reads an input as a text, and what is read again.
///
/// # Panics
/// If a program is not the same after it was printed and read.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let with_header = format!("{}\n{text}", text::HEADER);
    for text in [text, &with_header] {
        if let Ok(program) = parse::parse(text) {
            let printed = program.to_string();
            assert_eq!(parse::parse(&printed).as_ref(), Ok(&program), "it is printed as\n{printed}");
        }
    }
}

/// Mutates the program in `data[..size]` by its structure and gives its new size; `None` asks for
/// the fuzzer's own mutation of the bytes, which is also tried one time in sixteen.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    mutate_with(|_| (), data, size, max_size, seed)
}

/// As [`mutate()`], of a program whose threads race.
pub fn mutate_concurrent(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    mutate_with(race, data, size, max_size, seed)
}

/// As [`mutate()`], of a program whose threads take turns, and of the turns.
pub fn mutate_explored(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> Option<usize> {
    mutate_with(take_turns, data, size, max_size, seed)
}

fn mutate_with(
    prepare: fn(&mut Program),
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
) -> Option<usize> {
    if seed.is_multiple_of(16) {
        return None;
    }
    let mut program = encode::read(&data[..size]);
    prepare(&mut program);
    let mut session = mutatis::Session::new().seed(seed.into());
    for _ in 0..=seed % 3 {
        session.mutate_with(&mut mutate::ProgramMutator, &mut program).ok()?;
    }
    put(&program, &mut data[..max_size])
}

/// Crosses two programs into `out` and gives the size; `None` if it does not fit.
pub fn cross(one: &[u8], other: &[u8], out: &mut [u8], seed: u32) -> Option<usize> {
    let crossed =
        mutate::cross(&encode::read(one), &encode::read(other), &mut generate::choices(seed.into()));
    put(&crossed, out)
}

fn put(program: &Program, out: &mut [u8]) -> Option<usize> {
    let bytes = encode::encode(program);
    out.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    Some(bytes.len())
}
