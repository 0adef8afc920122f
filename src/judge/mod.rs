//! Who is right: the only place where a verdict is made.

mod alarm;
pub mod compare;
pub mod linearize;
pub mod orders;
pub mod permitted;
pub mod race;

use std::fmt;

pub use alarm::alarm;

use crate::history::{ErrorClass, Nested, Outcome, Raced};
use crate::program::starve::starves;
use crate::program::{Expect, Op, Program, SlotKind, Step};
use crate::sanitizer::Alarm;
use crate::subject::{Picture, Unrest};

/// How the signature of what differs ends where an allocation was to fail.
const STARVED: &str = "+starved";

/// What a run comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every observation was what the model says. The only pass.
    Agree,
    /// A subject did something else.
    Diverge(Divergence),
    /// As `Diverge`, by the named entry of the catalogue of permitted differences.
    Permitted(String, Divergence),
    /// Nothing can be said, and why.
    Inconclusive(String),
}

macro_rules! clauses {
    ($($id:ident: $text:literal;)*) => {
        /// A clause of the buffer protocol that a lockstep run can show to be broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Clause { $(#[doc = $text] $id,)* }

        impl Clause {
            /// What it says.
            pub const fn text(self) -> &'static str {
                match self { $(Clause::$id => $text,)* }
            }
        }

        impl fmt::Display for Clause {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Clause::$id => stringify!($id),)* })
            }
        }
    };
}

clauses! {
    G1: "a successful acquire adds exactly one export of the object";
    G2: "a refused acquire raises BufferError and adds no export";
    G4: "while an export lives, the memory stays valid, in place and of the same length";
    G5: "the fields of an export follow the flags of the request";
    R3: "after the last release the exporter is as free as before the first";
    R4: "releasing a memoryview again is harmless";
    R5: "an exporter that dies with exports outstanding is a reportable fault";
    S1: "an operation that would resize the memory raises BufferError while exports exist";
    S2: "a refused or failed operation changes nothing";
    S3: "what an operation refuses that would not change the length depends on the operation";
    M2: "a view's attributes do not change while it lives; after release every use raises ValueError";
    M3: "releasing a view that itself has exports raises BufferError and releases nothing";
    M4: "all views of one memoryview share one export";
    H2: "an operation sees what a callback has done, or holds an export while it runs";
    D2: "without a race, contents and results are exact";
    D3: "no access out of bounds, after free, or to a torn pointer, length or count";
}

/// The first place where a subject differs from the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Who differs.
    pub subject: String,
    /// The clause that is broken.
    pub clause: Clause,
    /// The step, by its place in the program; `None` at rest.
    pub step: Option<usize>,
    /// In what it differs.
    pub difference: Difference,
    /// What makes two divergences the same.
    pub signature: String,
    /// What it would be if a step of a hook had done it: what slots hold is compared when the step itself is over.
    pub within: Vec<String>,
}

/// In what a subject differs from the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// In what a step saw.
    Outcome {
        /// By the model.
        expected: Outcome,
        /// By the subject.
        found: Outcome,
        /// The message of the subject's error.
        message: Option<String>,
    },
    /// In what a slot holds after a step.
    State {
        /// The slot.
        slot: crate::program::Slot,
        /// What the step saw, everywhere.
        after: Outcome,
        /// By the model.
        expected: Picture,
        /// By the subject.
        found: Picture,
    },
    /// In what happened while a step converted its hooks.
    Nested {
        /// How much of it had happened before.
        place: usize,
        /// By the model; nothing more, if this is `None`.
        expected: Option<Nested>,
        /// By the subject.
        found: Option<Nested>,
    },
    /// In what is left at rest.
    Rest(Unrest),
    /// The program says what the step must see, and it saw something else.
    Expectation {
        /// By the program.
        expected: Expect,
        /// By the subject.
        found: Outcome,
    },
    /// In that a sanitizer has seen a fault while the program ran.
    Alarm(Alarm),
    /// In that no order explains what threads saw that raced.
    Race {
        /// What they saw.
        events: Vec<Raced>,
        /// The longest order that explains as much as it has, by places in the list; behind its end are looks at what
        /// the shared slots hold at last.
        longest: Vec<usize>,
        /// In what the step differs that would come next, and ends first.
        first: Box<Difference>,
    },
}

impl Divergence {
    /// A difference of `subject` at a step of `program`, or at rest.
    pub fn new(subject: &str, program: &Program, step: Option<usize>, difference: Difference) -> Divergence {
        let at = step.and_then(|step| program.steps.get(step));
        let within = difference.within();
        // What differs within a hook is what would differ anywhere.
        let (at, told) = within.as_ref().map_or((at, &difference), |(step, inner)| (Some(*step), inner));
        let clause = clause(at, told);
        let mut signature = signature(subject, clause, at, told);
        let starved = |step: usize| starves(program, step).is_some();
        if step.map_or_else(|| (0..program.steps.len()).any(starved), starved) {
            signature.push_str(STARVED);
        }
        let subject = subject.to_owned();
        Divergence { subject, clause, step, difference, signature, within: Vec::new() }
    }

    /// With what happened while the step converted its hooks.
    #[must_use]
    pub fn after(mut self, nested: &[Nested]) -> Divergence {
        // Which of the slots is as good as any other, and what is in it.
        let signature = |nested: &Nested| match nested {
            Nested::Called(_) => None,
            Nested::Saw(step, after) => {
                let (slot, after) = (step.receiver?, after.clone());
                let (expected, found) = (Picture::Empty, Picture::Empty);
                let difference = Difference::State { slot, after, expected, found };
                let clause = clause(Some(step), &difference);
                Some(signature(&self.subject, clause, Some(step), &difference))
            }
        };
        self.within = nested.iter().filter_map(signature).collect();
        self
    }
}

impl Difference {
    /// The step of a hook that saw something else, and what.
    fn within(&self) -> Option<(&Step, Difference)> {
        match self {
            Difference::Nested {
                expected: Some(Nested::Saw(at, expected)),
                found: Some(Nested::Saw(step, found)),
                ..
            } if at == step => {
                let (expected, found, message) = (expected.clone(), found.clone(), None);
                Some((at, Difference::Outcome { expected, found, message }))
            }
            _ => None,
        }
    }
}

/// The clause that a difference breaks.
fn clause(step: Option<&Step>, difference: &Difference) -> Clause {
    use ErrorClass::{BufferError, ValueError};
    let op = step.map(|step| step.op);
    let on_view = step.and_then(|step| step.receiver).is_some_and(|slot| slot.kind == SlotKind::View);
    match difference {
        Difference::Outcome { expected, found, .. } => match (op, expected, found) {
            (Some(Op::Release | Op::With), Outcome::Raised(BufferError), _) if on_view => Clause::M3,
            (Some(Op::Release | Op::With), Outcome::Value(_), _) if on_view => Clause::R4,
            (Some(Op::Request | Op::Fields), Outcome::Value(_), Outcome::Value(_)) => Clause::G5,
            (Some(Op::Request | Op::ContiguousView | Op::NewView | Op::GetBuffer | Op::Acquire), _, _) => {
                Clause::G2
            }
            (_, Outcome::Raised(BufferError), Outcome::Value(_)) => Clause::S1,
            (_, Outcome::Value(_), Outcome::Raised(BufferError)) => Clause::R3,
            (_, Outcome::Raised(BufferError), _) | (_, _, Outcome::Raised(BufferError)) => Clause::S3,
            (_, Outcome::Raised(ValueError), _) if on_view => Clause::M2,
            _ => Clause::D2,
        },
        Difference::State { slot, after, expected, found } => match (slot.kind, expected, found) {
            (_, Picture::View(expected), Picture::View(found)) if expected.offset != found.offset => {
                Clause::G4
            }
            (SlotKind::View, Picture::ReleasedView, _) | (SlotKind::View, _, Picture::ReleasedView) => {
                Clause::M3
            }
            (SlotKind::View, ..) => Clause::M2,
            (SlotKind::Export, ..) => Clause::G1,
            _ if matches!(after, Outcome::Raised(_)) => Clause::S2,
            _ => Clause::D2,
        },
        // Which hooks are called, and how often.
        Difference::Nested { .. } => Clause::H2,
        Difference::Rest(Unrest::SharedObject(_)) => Clause::D3,
        Difference::Rest(Unrest::Complaint(_)) => Clause::R5,
        Difference::Rest(_) => Clause::R3,
        Difference::Expectation { .. } => Clause::D2,
        Difference::Alarm(_) => Clause::D3,
        Difference::Race { first, .. } => clause(step, first),
    }
}

/// What two divergences have in common if they are the same: who, which clause, which operation, and
/// which kinds of outcomes or objects. Not the values, which are different in every program.
fn signature(subject: &str, clause: Clause, step: Option<&Step>, difference: &Difference) -> String {
    // Of memory, the functions say more than the operation does, of which there may be two.
    if let Difference::Alarm(alarm) = difference {
        return format!("{subject}/{clause}/{}/{}", alarm.word(), alarm.functions());
    }
    let op = step.map_or_else(
        || "rest".to_owned(),
        |step| match step.receiver {
            Some(slot) => format!("{:?}-{}", step.op, slot.kind.letter()),
            None => format!("{:?}", step.op),
        },
    );
    let hooked = if step.is_some_and(Step::has_hooks) { "+hook" } else { "" };
    format!("{subject}/{clause}/{op}{hooked}/{}", kind(difference))
}

/// Which kinds of outcomes or objects a difference is of.
fn kind(difference: &Difference) -> String {
    match difference {
        Difference::Outcome { expected, found, .. } => format!("{}-not-{}", found.label(), expected.label()),
        Difference::State { slot, after, .. } => format!("{}-state-of-{}", after.label(), slot.kind.letter()),
        Difference::Nested { expected, found, .. } => {
            let label = |nested: &Option<Nested>| match nested {
                None => "nothing",
                Some(Nested::Called(protocol)) => protocol.method(),
                Some(Nested::Saw(_, outcome)) => outcome.label(),
            };
            format!("nested-{}-not-{}", label(found), label(expected))
        }
        Difference::Rest(Unrest::StillExported(_)) => "still-exported".to_owned(),
        Difference::Rest(Unrest::References { slot, .. }) => format!("references-of-{}", slot.kind.letter()),
        Difference::Rest(Unrest::SharedObject(_)) => "shared-object".to_owned(),
        Difference::Rest(Unrest::Complaint(_)) => "complaint".to_owned(),
        Difference::Rest(Unrest::Leak(_)) => "leak".to_owned(),
        Difference::Expectation { found, .. } => format!("expectation-{}", found.label()),
        Difference::Alarm(alarm) => alarm.word(),
        Difference::Race { first, .. } => format!("race-{}", kind(first)),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Outcome { expected, found, .. } => write!(f, "expected {expected}, found {found}"),
            Difference::State { slot, expected, found, .. } => {
                write!(f, "{slot}: expected {expected}, found {found}")
            }
            Difference::Nested { expected, found, .. } => {
                let told =
                    |nested: &Option<Nested>| nested.as_ref().map_or("nothing".to_owned(), Nested::to_string);
                write!(f, "within its hooks: expected {}, found {}", told(expected), told(found))
            }
            Difference::Rest(unrest) => unrest.fmt(f),
            Difference::Expectation { expected, found } => {
                write!(f, "the program says {expected}, found {found}")
            }
            Difference::Alarm(alarm) => write!(f, "{}: {} in {}", alarm.tool, alarm.kind, alarm.functions()),
            Difference::Race { events, longest, first } => {
                write!(
                    f,
                    "no order of the {} steps that raced explains them; after {} ",
                    events.len(),
                    longest.len()
                )?;
                first.fmt(f)
            }
        }
    }
}
