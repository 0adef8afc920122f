//! Whether a Python that was built would find anything.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use buflock::sanitizer;

use super::recipe::Sanitizer;
use super::tools::Tools;

const SOURCE: &str = include_str!("canary.c");

/// What was built, before it is where it will be.
#[derive(Debug)]
pub struct Nest<'a> {
    /// Its folder.
    pub home: &'a Path,
    /// Where the headers are.
    pub include: &'a Path,
    /// The library.
    pub library: &'a Path,
    /// What else is to be linked, for the compiler.
    pub libraries: &'a [String],
    /// What watches over it.
    pub sanitizer: Sanitizer,
}

/// Builds the canary, with files in `scratch`, and lets it do what the sanitizer must see. Gives how many edges are there
/// to be counted.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn sing(nest: &Nest<'_>, tools: &Tools, scratch: &Path) -> Result<usize, String> {
    let (source, program) = (scratch.join("canary.c"), scratch.join("canary"));
    std::fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
    let mut clang = Command::new(&tools.clang);
    clang.args(["-gline-tables-only", "-O1", "-pthread", "-I"]).arg(nest.include);
    clang.args(nest.sanitizer.flag()).arg(&source).arg("-o").arg(&program);
    clang.arg(nest.library).args(nest.libraries).args(["-ldl", "-lm", "-lutil"]);
    let output = clang.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!(
            "a program cannot be linked to it:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let run = |what: &str| -> Result<Output, String> {
        let mut canary = Command::new(&program);
        canary.arg(what).env("PYTHONHOME", nest.home).env_remove("PYTHONPATH").stdin(Stdio::null());
        canary.envs(nest.sanitizer.environment(&tools.symbolizer, None));
        canary.output().map_err(|error| error.to_string())
    };
    let (planted, kind, function) = match nest.sanitizer {
        Sanitizer::None => return count(&run("coverage")?),
        Sanitizer::Address => ("use-after-free", "use-after", "unpack_single"),
        Sanitizer::Thread => ("race", "data race", "pack_single"),
    };
    let output = run(planted)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let alarms = sanitizer::alarms(&said);
    let sees = |alarm: &sanitizer::Alarm| {
        alarm.kind.contains(kind)
            && alarm.stacks.iter().any(|stack| stack.frames.iter().any(|frame| frame.function == function))
    };
    if alarms.iter().any(sees) {
        return count(&run("coverage")?);
    }
    let words = nest.sanitizer.words();
    Err(format!("{words} does not see a {kind} in {function} that was made on purpose; it said:\n{said}"))
}

/// The edges that can be counted, of which some must have been.
fn count(output: &Output) -> Result<usize, String> {
    let said = String::from_utf8_lossy(&output.stdout);
    let counts = said
        .trim()
        .split_once(" of ")
        .and_then(|(counted, all)| Some((counted.parse::<usize>().ok()?, all.parse::<usize>().ok()?)));
    match counts {
        Some((1.., all)) => Ok(all),
        _ => {
            Err(format!("it counts no coverage; it said:\n{said}{}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}
