//! Says to people and machines what was found. Makes text, prints nothing.

pub mod json;
pub mod python;
pub mod race;
pub mod terminal;
pub mod versions;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::{Nested, Observation};
use crate::judge::permitted::Catalogue;
use crate::judge::{self, Clause, Difference, Divergence, Verdict};
use crate::program::{Expect, Program, Slot, Step};
use crate::sanitizer::{Alarm, Stack, alarms};
use crate::subject::{Model, Unrest, Version};

/// A divergence in words, as it crosses from process to process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who differs.
    pub subject: String,
    /// The id of the clause that is broken.
    pub clause: String,
    /// What that clause says.
    pub clause_text: String,
    /// The step, by its place in the program; `None` at rest.
    pub step: Option<usize>,
    /// Where the difference is to be seen.
    pub place: Place,
    /// What the model says.
    pub expected: String,
    /// What the subject saw.
    pub found: String,
    /// The message of the subject's error.
    pub message: Option<String>,
    /// What makes two findings the same.
    pub signature: String,
}

/// Where a difference is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In what the step saw.
    Outcome,
    /// In what this slot holds after the step.
    State(Slot),
    /// At rest, in the object of this slot, which is still exported.
    StillExported(Slot),
    /// At rest, in the references to the object of this slot.
    References(Slot),
    /// At rest, in an object that the interpreter shares.
    Shared,
    /// In an error that nobody could be given.
    Complaint,
    /// In the memory that stays when the program runs again and again.
    Memory,
    /// In the process, which did not survive.
    Process,
    /// In an access to memory.
    Access,
}

impl From<&Divergence> for Told {
    fn from(divergence: &Divergence) -> Told {
        let (place, expected, found, message) = in_words(&divergence.difference);
        Told {
            subject: divergence.subject.clone(),
            clause: divergence.clause.to_string(),
            clause_text: divergence.clause.text().to_owned(),
            step: divergence.step,
            place,
            expected,
            found,
            message,
            signature: divergence.signature.clone(),
        }
    }
}

/// Where a difference is to be seen, what the model says there, what the subject saw, and the message of its error.
fn in_words(difference: &Difference) -> (Place, String, String, Option<String>) {
    match difference {
        Difference::Outcome { expected, found, message } => {
            (Place::Outcome, expected.to_string(), found.to_string(), message.clone())
        }
        Difference::State { slot, expected, found, .. } => {
            let (expected, found) = expected.contrast(found);
            (Place::State(*slot), format!("{slot} is {expected}"), format!("{slot} is {found}"), None)
        }
        Difference::Rest(unrest) => {
            let (place, expected) = match unrest {
                Unrest::StillExported(slot) => {
                    (Place::StillExported(*slot), format!("{slot} can be resized"))
                }
                Unrest::References { slot, expected, .. } => {
                    (Place::References(*slot), format!("{slot} has {expected} references"))
                }
                Unrest::SharedObject(_) => (Place::Shared, "shared objects are as they were".to_owned()),
                Unrest::Complaint(_) => (Place::Complaint, "no complaint".to_owned()),
                Unrest::Leak(_) => (Place::Memory, "all memory is given back".to_owned()),
            };
            (place, expected, unrest.to_string(), None)
        }
        Difference::Expectation { expected, found } => {
            (Place::Outcome, format!("{expected} (says the program)"), found.to_string(), None)
        }
        Difference::Alarm(alarm) => {
            let expected = "no fault that a sanitizer sees".to_owned();
            (Place::Access, expected, what_was_seen(alarm), Some(alarm.to_string()))
        }
        Difference::Nested { expected, found, .. } => {
            let told = |nested: &Option<Nested>| match nested {
                None => "nothing more within its hooks".to_owned(),
                Some(nested) => format!("{nested}, within a hook"),
            };
            (Place::Outcome, told(expected), told(found), None)
        }
        Difference::Race { events, longest, first } => {
            let (place, expected, found, message) = in_words(first);
            let order = format!(
                "{expected} (after {} of {} steps, in the longest order)",
                longest.len(),
                events.len()
            );
            (place, order, found, message)
        }
    }
}

/// What a sanitizer has seen, in a line: `data race of bytearray_getbuffer (step 3) and memory_release (step 5)`.
fn what_was_seen(alarm: &Alarm) -> String {
    let act = |stack: &Stack| {
        let frame = stack.innermost();
        let function = frame.map_or("what is not known", |frame| &frame.function);
        let place = frame.and_then(|frame| frame.place.as_ref()).map(|place| format!(" at {place}"));
        let step = stack.step().map(|step| format!(", step {}", step + 1));
        format!("{function}{}{}", place.unwrap_or_default(), step.unwrap_or_default())
    };
    let acts: Vec<_> = alarm.acts().map(act).collect();
    format!("{}: {} of {}", alarm.tool, alarm.kind, acts.join(" and "))
}

/// What a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A subject did something else than the model.
    Divergence,
    /// The process that ran the program did not survive it.
    Fault {
        /// How it ended: `signal 11 (SIGSEGV)`, `hang over 10 s`.
        what: String,
    },
}

/// The program of a sequence that a finding was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What names the sequence.
    pub seed: u64,
    /// The place in it.
    pub index: u64,
}

/// A divergence or a fault with its program, as it is saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Where and how the worlds differ.
    pub told: Told,
    /// The Python it was found on.
    pub python: String,
    /// Where the program comes from, if it was generated.
    pub origin: Option<Origin>,
    /// The program, with what the model says of each step.
    pub program: String,
    /// The entry of the catalogue that covers it, of a fault: of a divergence, the worker knows.
    pub known: Option<String>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// `signal 11 (SIGSEGV)`, `hang over 10 s`.
    pub what: String,
    /// The last of what it wrote to its standard error.
    pub said: Option<String>,
    /// The step that it was at, by its place; past the last, it came to rest.
    pub step: usize,
}

impl Finding {
    /// A divergence. Steps after the one that differs are left out: they did not run.
    pub fn divergence(told: Told, program: &Program, version: Version, python: &str) -> Finding {
        let program = stated(program, told.step, version).to_string();
        Finding {
            kind: Kind::Divergence,
            told,
            python: python.to_owned(),
            origin: None,
            program,
            known: None,
        }
    }

    /// The end of a process that ran `program`. What a sanitizer has said of it is known by the functions that did it.
    pub fn fault(
        death: &Death,
        subjects: &[String],
        program: &Program,
        version: Version,
        python: &str,
        catalogue: &Catalogue,
    ) -> Finding {
        let Death { what, said, step } = death;
        let step = *step;
        let subject = subjects.join("+");
        let kind = Kind::Fault { what: what.clone() };
        let alarm = said.as_deref().and_then(|said| alarms(said).pop());
        if let Some(divergence) = alarm.and_then(|alarm| judge::alarm(&subject, program, alarm)) {
            let known = catalogue.covers(&divergence, version).map(|entry| entry.id.clone());
            let told = Told::from(&divergence);
            let told = Told { step: told.step.or(program.steps.get(step).map(|_| step)), ..told };
            let program = stated(program, told.step.max(Some(step)), version).to_string();
            return Finding { kind, told, python: python.to_owned(), origin: None, program, known };
        }
        let at = program.steps.get(step);
        let statement = at.map_or_else(|| "coming to rest".to_owned(), |step| step.threaded());
        let op = at.map_or_else(
            || "rest".to_owned(),
            |step| match step.receiver {
                Some(slot) => format!("{:?}-{}", step.op, slot.kind.letter()),
                None => format!("{:?}", step.op),
            },
        );
        // A number in it is a limit or a code, and says nothing about what happened; nor does a cause name it.
        let short = what.split(" over ").next().unwrap_or(what);
        let short = short.split(": ").next().unwrap_or(short);
        let told = Told {
            clause: Clause::D3.to_string(),
            clause_text: Clause::D3.text().to_owned(),
            step: at.map(|_| step),
            place: Place::Process,
            expected: "the process survives".to_owned(),
            found: format!("{what} at: {statement}"),
            message: said.clone(),
            signature: format!("{subject}/{}/{op}/{short}", Clause::D3),
            subject,
        };
        let program = stated(program, told.step, version).to_string();
        Finding { kind, told, python: python.to_owned(), origin: None, program, known: None }
    }

    /// With where the program comes from.
    #[must_use]
    pub fn from(mut self, origin: Origin) -> Finding {
        self.origin = Some(origin);
        self
    }

    /// The name of its file: the signature in safe characters, and a hash of it, since two
    /// signatures may look alike then.
    pub fn file_name(&self) -> String {
        file_name(&self.told.signature)
    }

    /// The contents of its file: the program, headed by what was found.
    pub fn file(&self) -> String {
        let (header, steps) = self.program.split_once('\n').unwrap_or((&self.program, ""));
        format!("{header}\n{}{steps}", self.comments())
    }

    fn comments(&self) -> String {
        /// The most lines of what a sanitizer says; what is behind them is how it finds faults.
        const SAID: usize = 100;
        let told = &self.told;
        let mut lines = vec![format!("found on: {}", self.python)];
        lines.push(match &self.kind {
            Kind::Divergence => format!("{} differs from the model", told.subject),
            Kind::Fault { what } => format!("{} died: {what}", told.subject),
        });
        lines.push(format!("clause {}: {}", told.clause, told.clause_text));
        lines.push(match told.step {
            Some(step) => format!("at step {}", step + 1),
            None => "at rest".to_owned(),
        });
        lines.push(format!("expected: {}", told.expected));
        lines.push(format!("found: {}", told.found));
        if told.place != Place::Access {
            lines.extend(told.message.as_ref().map(|message| format!("message: {message}")));
        }
        lines.push(format!("signature: {}", told.signature));
        if let Some(Origin { seed, index }) = self.origin {
            lines.push(format!("origin: program {index} of seed {seed}"));
        }
        // What a sanitizer says is too long for a line.
        let text = told.message.as_ref().filter(|_| told.place == Place::Access);
        lines.extend(
            text.into_iter().flat_map(|text| text.lines()).take(SAID).map(|line| format!("| {line}")),
        );
        lines.iter().map(|line| format!("# {}\n", plain(line))).collect()
    }
}

/// The name of the file of all findings of a signature.
pub fn file_name(signature: &str) -> String {
    const LONGEST: usize = 120;
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = signature.chars().map(safe).take(LONGEST).collect();
    format!("{name}-{:08x}.prog", hash(signature))
}

/// FNV-1a: the same on every machine and in every version.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// On one line, in ASCII, whatever is in it.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => plain.push(character),
            '\n' | '\t' => plain.push(' '),
            _ => plain.extend(character.escape_default()),
        }
    }
    plain
}

/// The program up to its step `last`, each step with what the model says of it. Of steps that race nothing is said, and
/// none is cut off: another thread's may stand behind it.
pub fn stated(program: &Program, last: Option<usize>, version: Version) -> Program {
    let mut stated = Program { since: None, until: None, ..program.clone() };
    let races = program.schedule.races();
    if let Some(last) = last.filter(|_| !races) {
        stated.steps.truncate(last + 1);
    }
    for (step, expect) in stated.steps.iter_mut().zip(expectations(program, version)) {
        step.expect = (!races || step.thread.is_none()).then_some(expect);
    }
    stated
}

/// What the model says of each step.
pub fn expectations(program: &Program, version: Version) -> Vec<Expect> {
    let mut model = Model::new(version);
    model.follow(program);
    program.steps.iter().map(|step| model.step(step).expectation()).collect()
}

/// What the model says of the steps of hooks, for each step of the program, in the order in which they run.
fn within_hooks(program: &Program, version: Version) -> Vec<Vec<Expect>> {
    let mut model = Model::new(version);
    model.follow(program);
    let saw = |nested: &Nested| match nested {
        Nested::Saw(_, outcome) => Some(outcome.expectation()),
        Nested::Called(_) => None,
    };
    let of = |step: &Step| {
        model.step(step);
        if step.has_hooks() { model.nested().iter().filter_map(saw).collect() } else { Vec::new() }
    };
    program.steps.iter().map(of).collect()
}

/// A run with all that was seen, as it crosses from process to process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The Python it ran on.
    pub python: String,
    /// The subjects, in order.
    pub subjects: Vec<String>,
    /// What each step saw; a run that diverged ends with the step that did.
    pub steps: Vec<Sight>,
    /// The divergence, if there was one.
    pub told: Option<Told>,
    /// The entry of the catalogue that covers it.
    pub known: Option<String>,
    /// Whether that entry permits it.
    pub permitted: bool,
    /// What is known of it as a race, if its threads raced.
    pub race: Option<race::Race>,
}

/// What one step saw everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// What the model says.
    pub model: String,
    /// What each subject saw and the message of its error; the last step may lack some.
    pub subjects: Vec<(String, Option<String>)>,
}

impl Recording {
    /// What `Check::record` gave.
    pub fn new(python: &str, subjects: Vec<String>, verdict: &Verdict, seen: &[Observation]) -> Recording {
        let sight = |seen: &Observation| Sight {
            model: seen.model.to_string(),
            subjects: seen
                .subjects
                .iter()
                .map(|(outcome, message)| (outcome.to_string(), message.clone()))
                .collect(),
        };
        let (told, known, permitted) = match verdict {
            Verdict::Diverge(divergence) => (Some(Told::from(divergence)), None, false),
            Verdict::Permitted(entry, divergence) => {
                (Some(Told::from(divergence)), Some(entry.clone()), true)
            }
            Verdict::Agree | Verdict::Inconclusive(_) => (None, None, false),
        };
        let steps = seen.iter().map(sight).collect();
        Recording { python: python.to_owned(), subjects, steps, told, known, permitted, race: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Outcome => f.write_str("in what the step saw"),
            Place::State(slot) => write!(f, "in what {slot} holds after the step"),
            Place::StillExported(_) | Place::References(_) | Place::Shared | Place::Complaint => {
                f.write_str("at rest")
            }
            Place::Memory => f.write_str("in the memory that stays"),
            Place::Process => f.write_str("in the process"),
            Place::Access => f.write_str("in an access to memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse::parse;

    pub(super) fn told(step: usize, expected: &str, found: &str, message: Option<&str>) -> Told {
        Told {
            subject: "cpython".into(),
            clause: "S1".into(),
            clause_text: Clause::S1.text().into(),
            step: Some(step),
            place: Place::Outcome,
            expected: expected.into(),
            found: found.into(),
            message: message.map(Into::into),
            signature: "cpython/S1/Clear-b/ok-not-BufferError".into(),
        }
    }

    fn finding() -> Finding {
        let lines = "b0 = bytearray(2)\nv0 = memoryview(b0)\nb0.clear()\nlen(b0)\n";
        let program = parse(&format!("# buflock program 1\n{lines}")).unwrap();
        let told = told(2, "BufferError", "None\n\u{1b}", None);
        let origin = Origin { seed: 7, index: 12 };
        Finding::divergence(told, &program, Version::NEWEST, "Python 3.15.0").from(origin)
    }

    #[test]
    fn the_file_of_a_finding_is_a_program_that_says_what_the_model_says() {
        insta::assert_snapshot!(finding().file());
        let program = parse(&finding().file()).unwrap();
        assert_eq!(program, parse(&finding().program).unwrap());
    }

    #[test]
    fn the_file_is_named_by_the_signature_alone() {
        assert_eq!(finding().file_name(), "cpython-S1-Clear-b-ok-not-BufferError-16d44d76.prog");
        assert_ne!(file_name("a/b"), file_name("a-b"));
    }
}
