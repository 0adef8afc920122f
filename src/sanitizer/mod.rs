//! What AddressSanitizer and ThreadSanitizer say, read from their text.
//!
//! Both write for people. What is taken of it is what both have written alike for years: the kind of fault, and the
//! stacks with a heading each. Whether an alarm is a fault, and of which clause, is for the judge to say.

mod plumbing;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use plumbing::is_plumbing;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tool {
    /// AddressSanitizer.
    Address,
    /// ThreadSanitizer.
    Thread,
}

/// What gives the frames their names complains in the midst of a report.
const SYMBOLIZER: &str = "llvm-symbolizer";

/// The folders of CPython's source, from which on the path of a file says something.
const FOLDERS: [&str; 5] = ["/Include/", "/Modules/", "/Objects/", "/Parser/", "/Python/"];

/// One report of a sanitizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Who said it.
    pub tool: Tool,
    /// `heap-use-after-free`, `data race`.
    pub kind: String,
    /// The stacks, in the order of the text.
    pub stacks: Vec<Stack>,
}

/// The stack of something that a thread did, the innermost frame first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// What it did.
    pub did: Did,
    /// The heading, without addresses: `Previous write of size 8`.
    pub heading: String,
    /// The frames that have a name.
    pub frames: Vec<Frame>,
}

/// What a stack is the stack of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Did {
    /// It read memory.
    Read,
    /// It wrote to it.
    Write,
    /// It freed the memory.
    Free,
    /// It got the memory, made the thread, or something else that is not at fault.
    Other,
}

/// One function that was being run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Its name.
    pub function: String,
    /// `Objects/memoryobject.c:1100`, if that is known.
    pub place: Option<String>,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tool::Address => "AddressSanitizer",
            Tool::Thread => "ThreadSanitizer",
        })
    }
}

impl Frame {
    fn is_rust(&self) -> bool {
        let file = self.place.as_deref().and_then(|place| place.rsplit_once(':'));
        self.function.contains("::") || file.is_some_and(|(file, _)| file.ends_with(".rs"))
    }
}

/// How many frames of a stack of Rust are shown.
const RUST: usize = 8;

impl Stack {
    /// The innermost frame that says what was done: the first that is not plumbing, or else the first of all.
    pub fn innermost(&self) -> Option<&Frame> {
        self.frames.iter().find(|frame| !is_plumbing(frame)).or_else(|| self.frames.first())
    }

    /// The step of the program that it belongs to, by its place.
    pub fn step(&self) -> Option<usize> {
        self.frames.iter().find_map(|frame| crate::schedule::place::of_function(&frame.function))
    }
}

impl fmt::Display for Alarm {
    /// The stacks, as far as they are not those of what runs the program, and the steps that they belong to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tool, self.kind)?;
        for stack in &self.stacks {
            write!(f, "\n  {}", stack.heading)?;
            // Below what is in C is what runs the program, unless it is that itself.
            let c = stack.frames.iter().take_while(|frame| !frame.is_rust()).count();
            let shown = if stack.innermost().is_some_and(Frame::is_rust) { RUST } else { c };
            for frame in stack.frames.iter().take(shown) {
                write!(f, "\n    {}", frame.function)?;
                frame.place.iter().try_for_each(|place| write!(f, " at {place}"))?;
            }
            if let Some(step) = stack.step() {
                write!(f, "\n    in step {}", step + 1)?;
            }
        }
        Ok(())
    }
}

impl Alarm {
    /// The stacks that are at fault: of the accesses, and of who freed the memory. One of each access of a race.
    pub fn acts(&self) -> impl Iterator<Item = &Stack> {
        self.stacks.iter().filter(|stack| stack.did != Did::Other)
    }

    /// The steps that did it, in the order of the stacks, each once.
    pub fn steps(&self) -> Vec<usize> {
        let mut steps: Vec<usize> = Vec::new();
        for step in self.acts().filter_map(Stack::step) {
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        steps
    }

    /// The functions that did it, in the order of their names: `bytearray_getbuffer+memory_release`. Who is first in a race
    /// is chance.
    pub fn functions(&self) -> String {
        let mut names: Vec<&str> =
            self.acts().map(|stack| stack.innermost().map_or("unknown", |frame| &frame.function)).collect();
        names.sort_unstable();
        names.dedup();
        names.join("+")
    }

    /// Whether one of the functions that did it is in this file, which is named without the folder of the source.
    pub fn is_of(&self, file: &str) -> bool {
        let is_in = |place: &str| place.rsplit_once(':').is_some_and(|(of, _)| of == file);
        self.acts().filter_map(|stack| stack.innermost()?.place.as_deref()).any(is_in)
    }

    /// The kind as one word: `data-race`.
    pub fn word(&self) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.kind.chars().map(word).collect::<String>().trim_matches('-').to_owned()
    }
}

/// All reports in what a process has written to its standard error, in order. One that is cut off is none.
pub fn alarms(text: &str) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((tool, kind)) = head(line) else { continue };
        let mut whole = vec![line];
        let mut ended = false;
        while let Some(line) = lines.next_if(|line| head(line).is_none()) {
            whole.push(line);
            if line.starts_with("SUMMARY: ") {
                ended = true;
                break;
            }
        }
        if ended {
            alarms.push(Alarm { tool, kind, stacks: stacks(&whole[1..]) });
        }
    }
    alarms
}

/// The first line of a report: who wrote it, and the kind.
fn head(line: &str) -> Option<(Tool, String)> {
    if let Some((_, rest)) = line.split_once("WARNING: ThreadSanitizer: ") {
        let kind = rest.split(" (pid=").next().unwrap_or(rest);
        return Some((Tool::Thread, kind.trim().to_owned()));
    }
    // What ends a process in ThreadSanitizer is told in the same words, such as a signal.
    let (tool, (_, rest)) = line
        .split_once("ERROR: AddressSanitizer: ")
        .map(|parts| (Tool::Address, parts))
        .or_else(|| line.split_once("ERROR: ThreadSanitizer: ").map(|parts| (Tool::Thread, parts)))?;
    let kind = rest.split(" on ").next().unwrap_or(rest).split(" (").next().unwrap_or(rest);
    let kind = kind.split(':').next().unwrap_or(kind);
    Some((tool, kind.trim().to_owned()))
}

/// Each run of frames is a stack, and the last line before it is its heading.
fn stacks(lines: &[&str]) -> Vec<Stack> {
    let mut stacks: Vec<Stack> = Vec::new();
    let mut heading = "";
    let mut under_way = false;
    for line in lines {
        let line = line.trim();
        if let Some(number) = frame_number(line) {
            if number == 0 || !under_way {
                let (did, heading) = heard(heading, stacks.is_empty());
                stacks.push(Stack { did, heading, frames: Vec::new() });
                under_way = true;
            }
            if let (Some(stack), Some(frame)) = (stacks.last_mut(), frame(line)) {
                stack.frames.push(frame);
            }
        } else if line.contains("[failed to restore the stack]") {
            // An access whose stack is forgotten is one all the same.
            let (did, heading) = heard(heading, stacks.is_empty());
            stacks.push(Stack { did, heading, frames: Vec::new() });
        } else if !line.is_empty() && !line.contains(SYMBOLIZER) {
            (heading, under_way) = (line, false);
        }
    }
    stacks
}

/// What a heading says that the stack below it is of. The first of a report that says nothing is where it happened.
fn heard(heading: &str, first: bool) -> (Did, String) {
    let low = heading.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| low.contains(words));
    let did = if low.starts_with("freed by") || has(&["previously freed"]) {
        Did::Free
    } else if has(&["write of size", "caused by a write"]) {
        Did::Write
    } else if has(&["read of size", "the signal is caused"]) || first {
        Did::Read
    } else {
        Did::Other
    };
    let short = heading.split(" at 0x").next().unwrap_or(heading).trim_end_matches(':');
    (did, short.to_owned())
}

/// The number of a line such as `#3 name file:line`.
fn frame_number(line: &str) -> Option<u32> {
    line.strip_prefix('#')?.split(' ').next()?.parse().ok()
}

/// `#0 0x5581 in name file:line:column`, `#0 name file:line:column (module+0x12) (BuildId: 34)`.
fn frame(line: &str) -> Option<Frame> {
    let (_, rest) = line.split_once(' ')?;
    let rest = match rest.strip_prefix("0x") {
        Some(rest) => rest.split_once(" in ").map_or("", |(_, rest)| rest),
        None => rest,
    };
    let mut rest = rest.trim();
    // Where it is in the file of the program says nothing to anybody.
    while let Some((before, module)) = rest.rsplit_once(" (") {
        let is_module = module.ends_with(')') && (module.contains("+0x") || module.starts_with("BuildId"));
        if !is_module {
            break;
        }
        rest = before.trim_end();
    }
    let is_place = |word: &str| word == "<null>" || word.contains(['/', ':']) && !word.ends_with('>');
    let (function, place) = match rest.rsplit_once(' ') {
        Some((function, place)) if is_place(place) => {
            (function, Some(place).filter(|place| *place != "<null>"))
        }
        _ => (rest, None),
    };
    if function.is_empty() || function == "<null>" {
        return None;
    }
    Some(Frame { function: function.to_owned(), place: place.map(short) })
}

/// `/where/it/was/built/Objects/file.c:12:3` as `Objects/file.c:12`.
fn short(place: &str) -> String {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    let line = match place.rsplit_once(':') {
        Some((line, column))
            if is_number(column) && line.rsplit_once(':').is_some_and(|(_, line)| is_number(line)) =>
        {
            line
        }
        _ => place,
    };
    let begin = FOLDERS.iter().filter_map(|folder| line.rfind(folder)).max();
    begin.map_or(line, |begin| &line[begin + 1..]).to_owned()
}

#[cfg(test)]
mod tests;
