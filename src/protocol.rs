//! What the command and the workers, which embed Python, say to each other: one JSON object a line.
//!
//! The worker greets first. Then each request is answered by any number of [`Reply::Found`] and one
//! last reply. The end of the requests ends the worker.

use std::collections::BTreeMap;

use crate::program::generate::Schedules;
use crate::report::json::Verdicts;
use crate::report::{Recording, Told};
use serde::{Deserialize, Serialize};

/// Who a worker is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `3.13.5`.
    pub version: String,
    /// The first line of `sys.version`.
    pub description: String,
    /// Whether it was built to run without the GIL.
    pub free_threaded: bool,
    /// Whether it has the GIL: one that was built to run without it may have been told to, or a module may have asked for
    /// it.
    pub gil: bool,
    /// Whether it checks itself.
    pub debug: bool,
}

/// What a worker is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// To run a part of the sequence of programs that a seed names.
    Run {
        /// The seed.
        seed: u64,
        /// The first program.
        first: u64,
        /// How many of them.
        count: u64,
        /// The most steps of a program.
        steps: usize,
        /// The most threads of a program.
        threads: u8,
        /// What programs of several threads do.
        schedules: Schedules,
    },
    /// To run one program and tell all that it saw.
    Record {
        /// The program.
        text: String,
    },
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// The first line.
    Hello(Hello),
    /// It cannot start, and why.
    Unable(String),
    /// A program diverged.
    Found(Found),
    /// All programs of the request were run.
    Done(Batch),
    /// What a program saw.
    Recorded(Recording),
}

/// A program that diverged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Which program of the sequence.
    pub index: u64,
    /// How.
    pub told: Told,
    /// The entry of the catalogue that covers it.
    pub known: Option<String>,
    /// Whether that entry permits it.
    pub permitted: bool,
}

/// What a part of a run was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Programs.
    pub programs: u64,
    /// Steps.
    pub steps: u64,
    /// How many programs came to which verdict.
    pub verdicts: Verdicts,
    /// How many steps had which outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// The largest resident size so far.
    pub peak_rss_kb: u64,
}
