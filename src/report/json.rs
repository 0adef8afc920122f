//! The summary of a run for machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::subject::Version;

/// The object that `--format json` ends with. The order of the fields is the order in the text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Programs that were run.
    pub programs: u64,
    /// Steps that were run, those that were skipped included.
    pub steps: u64,
    /// How long the run took.
    pub seconds: f64,
    /// `programs` a second.
    pub programs_per_second: f64,
    /// `steps` a second.
    pub steps_per_second: f64,
    /// How many programs came to each verdict; one that killed its worker diverged.
    pub verdicts: Verdicts,
    /// How many steps had each outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// How many findings there were.
    pub findings: Findings,
    /// What it ran on.
    pub python: Python,
    /// The largest resident size that a worker had.
    pub peak_rss_mb: f64,
    /// What names the sequence of programs.
    pub seed: u64,
}

/// How many programs came to each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// The only pass.
    pub agree: u64,
    /// A subject did something else.
    pub diverge: u64,
    /// It did, and may.
    pub permitted: u64,
    /// Nothing can be said.
    pub inconclusive: u64,
}

impl Verdicts {
    /// Counts another part of the run.
    pub fn add(&mut self, other: Verdicts) {
        self.agree += other.agree;
        self.diverge += other.diverge;
        self.permitted += other.permitted;
        self.inconclusive += other.inconclusive;
    }
}

/// How many findings there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The first of their signature.
    pub new: u64,
    /// All others: in the catalogue, saved by an earlier run, or again in this one.
    pub known: u64,
}

/// What a run ran on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// `3.13.5`.
    pub version: String,
    /// Whether it runs without the GIL.
    pub free_threaded: bool,
    /// Whether it checks itself.
    pub debug: bool,
}

/// A version in figures.
pub fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some(Version { major: numbers.next()??, minor: numbers.next()??, micro: numbers.next()?? })
}
