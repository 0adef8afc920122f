//! What ends the command early, and the codes that it ends with.

use std::fmt;
use std::process::ExitCode;

/// How the command ended. The numbers are documented in its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing unknown was found.
    Clean = 0,
    /// Something was.
    Findings = 1,
    /// The command, or a file given to it, is malformed.
    Usage = 2,
    /// Python, the worker or a folder is not usable.
    Environment = 3,
    /// There was nothing to run.
    NothingRan = 4,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> ExitCode {
        ExitCode::from(ending as u8)
    }
}

/// Why the command ended early, and the next command to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code to end with.
    pub ending: Ending,
    /// What happened, and where.
    pub what: String,
    /// The next command, and what it does.
    pub next: Option<String>,
}

impl Failure {
    /// Something about this machine.
    pub fn environment(what: impl Into<String>, next: impl Into<String>) -> Failure {
        Failure { ending: Ending::Environment, what: what.into(), next: Some(next.into()) }
    }

    /// Something about what was typed.
    pub fn usage(what: impl Into<String>, next: impl Into<String>) -> Failure {
        Failure { ending: Ending::Usage, what: what.into(), next: Some(next.into()) }
    }

    /// A file or folder that cannot be used.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
        Failure {
            ending: Ending::Environment,
            what: format!("failed to {doing} {}: {error}", path.display()),
            next: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(next) = &self.next {
            write!(f, "\n  next: {next}")?;
        }
        Ok(())
    }
}
