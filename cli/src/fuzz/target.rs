//! A fuzz target as an executable, for a Python and a sanitizer.

use std::fs;
use std::path::{Path, PathBuf};

use buflock::fuzz::Target;

use super::tools;
use crate::error::Failure;
use crate::locate;
use crate::python::{self, Built, Sanitizer};

/// What a target is built for.
#[derive(Debug, Clone)]
pub struct Aim {
    /// Which.
    pub target: &'static Target,
    /// The Python that is linked to it, if it is not the one that PyO3 takes.
    pub built: Option<Built>,
    /// What watches over its memory.
    pub sanitizer: Sanitizer,
}

/// The executable that is to be taken as it is.
fn named() -> Option<PathBuf> {
    std::env::var_os("BUFLOCK_FUZZ_TARGET").map(PathBuf::from)
}

/// Looks for what builds a target, unless there is one; with `install`, installs what is missing.
///
/// # Errors
/// What is missing, with what installs it.
pub fn look_for_tools(install: bool) -> Result<(), Failure> {
    if named().is_some() { Ok(()) } else { tools::look_for_all(install) }
}

impl Aim {
    /// What the user wants, if that can be.
    pub fn new(
        target: &'static Target,
        python: Option<&str>,
        sanitizer: Option<Sanitizer>,
    ) -> Result<Aim, Failure> {
        let built = python.map(python::named).transpose()?;
        let native = built.as_ref().map(|built| built.facts.sanitizer);
        if let (Some(native), Some(wanted), Some(built)) = (native, sanitizer, &built)
            && native != wanted
        {
            let id = &built.facts.id;
            return Err(Failure::usage(
                format!("{id} was built with {}, and all of a process has the same", native.words()),
                format!("buflock fuzz {} --python {id}, or buflock python build", target.name),
            ));
        }
        let sanitizer = native.or(sanitizer).unwrap_or(Sanitizer::Address);
        Ok(Aim { target, built, sanitizer })
    }

    /// What it is linked to and what watches over it, as the name of a folder: inputs that end a process are of use to the
    /// same alone.
    pub fn key(&self) -> String {
        match &self.built {
            Some(built) => built.facts.id.clone(),
            None => format!("installed-{}", self.sanitizer.name()),
        }
    }

    /// What a process of it must be told by its environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = match &self.built {
            Some(built) => built.environment(),
            None => {
                python::symbolizer().map_or_else(Vec::new, |path| self.sanitizer.environment(&path, None))
            }
        };
        // A race ends a process with nobody in it who reads what is said of it.
        if !self.target.embeds_python() {
            let options = environment.iter_mut().filter(|(name, _)| *name == "TSAN_OPTIONS");
            options.for_each(|(_, options)| options.push_str(":halt_on_error=1:exitcode=66"));
        }
        environment
    }

    /// Builds it, and gives where it is.
    pub fn build(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = named() {
            return Ok(path);
        }
        let Some(folder) = locate::checkout() else {
            return Err(locate::no_source("a fuzz target", &format!("fuzz {}", self.target.name)));
        };
        let host = locate::host(true)?;
        let root = folder.join("..");
        let words = ["fuzz", "build", "-s", self.sanitizer.name(), self.target.name];
        let mut command = locate::nightly("cargo");
        command.args(words).current_dir(&root);
        let mut typed = format!("cargo +nightly {}", words.join(" "));
        let into = match self.folder()? {
            Some(into) => {
                command.arg("--target-dir").arg(&into);
                into
            }
            // What `cargo fuzz` has built is of use here, and the other way round.
            None => root.join("fuzz/target"),
        };
        if let Some(built) = &self.built {
            locate::link_to(&mut command, built);
            let configuration = built.configuration();
            typed = format!(
                "PYO3_CONFIG_FILE={} UNSAFE_PYO3_SKIP_VERSION_CHECK=1 {typed}",
                configuration.display()
            );
        }
        // The standard library of Rust is as it is shipped, without.
        if self.sanitizer == Sanitizer::Thread {
            command.env("RUSTFLAGS", MIXED);
            typed = format!("RUSTFLAGS={MIXED} {typed}");
        }
        let path = into.join(&host).join("release").join(self.target.name);
        if !path.exists() {
            eprintln!("building {} for {}, which takes some minutes", self.target.name, self.key());
        }
        let failed =
            |why| Failure::environment(format!("failed to build {}: {why}", self.target.name), typed);
        locate::watch(command).map_err(failed)?;
        Ok(path)
    }

    /// Where it is built, if not where `cargo fuzz` does it.
    fn folder(&self) -> Result<Option<PathBuf>, Failure> {
        let is_usual = self.built.is_none() && self.sanitizer == Sanitizer::Address;
        let own = || Ok(locate::target_folder()?.join("fuzz").join(self.key()));
        (!is_usual).then(own).transpose()
    }
}

/// Lets what has a sanitizer be linked to what has none.
const MIXED: &str = "-Cunsafe-allow-abi-mismatch=sanitizer";

/// A copy of an executable that stays as it is when somebody builds it anew.
pub fn keep(executable: &Path, copy: &Path) -> Result<(), Failure> {
    let linked = fs::hard_link(executable, copy);
    let kept = linked.or_else(|_| fs::copy(executable, copy).map(drop));
    kept.map_err(|error| Failure::file("copy", executable, &error))
}
