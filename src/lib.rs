//! buflock finds memory-safety and `BufferError` bugs in Python buffer exporters.
//!
//! ```text
//!  bytes or text ──> Program ──> Subject under a Schedule ──> History ──> Judge ──> Verdict ──> Report
//!    (fuzzer,        threads      model, native, cpython        what each    compares,   Agree |     terminal,
//!     corpus,        of steps                                   step saw     conserves   Diverge |   repro.py,
//!     generator)                                                                         Permitted | JSON
//!                                                                                        Inconclusive
//! ```
//!
//! The modules are that pipeline, in that order:
//! [`program`] is what is run; [`subject`]s are what it is run on, of which [`subject::model`] is
//! the specification and [`subject::native`] drives this crate's own [`exporter`]s; a [`schedule`]
//! says which thread does what when; the [`history`] is what was seen; the [`judge`] decides; a
//! [`report`] says it to people; [`check`] is the one entry point to all of it, and [`shrink`]
//! makes what it finds small. A [`hunt`] shows that what is planted in the exporters is found.
//!
//! What a [`sanitizer`] says while a subject runs is an observation as well.
//!
//! There is no Python in this package: `buflock-oracle` brings CPython as a subject, in workers that the command
//! of `buflock-cli` starts and that speak the [`protocol`] with it.

pub mod check;
pub mod exporter;
pub mod fuzz;
pub mod history;
pub mod hunt;
pub mod judge;
pub mod program;
pub mod protocol;
pub mod report;
pub mod sanitizer;
pub mod schedule;
pub mod shrink;
pub mod subject;
mod sync;
