//! What a run came to, in figures.

use std::fmt;

use buflock::fuzz::Target;
use serde::Serialize;

use super::edges::Reach;
use super::target::Aim;
use crate::args::Format;
use crate::error::{Ending, Failure};
use crate::output;

/// The object that `--format json` ends with. The order of the fields is the order in the text.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Inputs that were run.
    pub inputs: u64,
    /// How long it took.
    pub seconds: f64,
    /// Edges of the code.
    pub edges: Edges,
    /// Findings by their signatures.
    pub findings: Findings,
    /// How often a process died.
    pub deaths: u64,
    /// Inputs that cover what none that was kept did.
    pub added: usize,
}

/// How much of the code was covered.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Edges {
    /// Of the files of CPython that make and use buffers.
    pub cpython: Reach,
    /// Of buflock.
    pub ours: Reach,
}

/// How many signatures were met.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Findings {
    /// What nobody had seen.
    pub new: usize,
    /// What the catalogue knows, or was saved before.
    pub known: usize,
}

/// The object, with what was fuzzed.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    target: &'a str,
    python: &'a str,
    sanitizer: &'a str,
    #[serde(flatten)]
    figures: &'a Figures,
}

impl Figures {
    fn speed(&self) -> f64 {
        self.inputs as f64 / self.seconds.max(1e-3)
    }

    /// Whether the run could have found what it was to find.
    ///
    /// # Errors
    /// If the code of CPython is to be counted, and none was.
    pub fn check(&self, aim: &Aim) -> Result<(), Failure> {
        let counts = aim.built.is_some() && aim.target.embeds_python();
        if counts && self.inputs > 0 && self.edges.cpython.reached == 0 {
            return Err(Failure {
                ending: Ending::Environment,
                what: format!("of the code of {} nothing was covered: nobody was guided by it", aim.key()),
                next: Some("buflock doctor".to_owned()),
            });
        }
        Ok(())
    }

    /// Prints the reports and the figures.
    pub fn print(&self, reports: String, aim: &Aim, python: &str, format: Format) -> Result<(), Failure> {
        let Target { name, .. } = aim.target;
        let sanitizer = aim.sanitizer.words();
        let mut text = reports;
        text.push_str(&format!("{name} on {python}, {sanitizer}\n{self}\n"));
        text.push_str(&format!(
            "{} deaths, {} inputs added to those that are kept\n",
            self.deaths, self.added
        ));
        if format == Format::Json {
            let whole = Whole { target: name, python, sanitizer: aim.sanitizer.name(), figures: self };
            text.push_str(&serde_json::to_string(&whole).expect("figures can be written"));
            text.push('\n');
        }
        output::print(&text)
    }
}

/// The line that is shown meanwhile.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { inputs, edges, findings, .. } = self;
        write!(f, "{inputs} inputs, {:.0}/s · edges", self.speed())?;
        if edges.cpython.of > 0 {
            write!(f, " of CPython {},", edges.cpython)?;
        }
        write!(f, " of buflock {} · {} new, {} known", edges.ours, findings.new, findings.known)
    }
}
