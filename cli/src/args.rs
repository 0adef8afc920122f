//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use buflock::fuzz::{TARGETS, Target};
use buflock::program::generate::Schedules;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::python::Sanitizer;

/// Runs multi-thread programs of buffer operations on Rust exporters and on your CPython, and reports
/// every place where the two disagree.
#[derive(Debug, Parser)]
#[command(name = "buflock", version, after_help = CODES)]
pub struct Cli {
    /// Without one, `run --seconds 60`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const CODES: &str = "Exit codes: 0 nothing unknown, 1 findings, 2 usage or a malformed file, \
                     3 environment, 4 nothing ran.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate programs, run them, and save what is found
    Run(Run),
    /// Run programs from files and check what they say of themselves
    Replay(Replay),
    /// Show one run of a program, with a column per thread
    Show(One),
    /// Make a program smaller that shows the same difference
    Shrink(OneOut),
    /// Write a Python script that shows the difference without buflock
    Repro(OneOut),
    /// Let libFuzzer look for programs that cover more of the code, and save what is found
    Fuzz(Fuzz),
    /// Look whether all is in place that a run needs, and whether it would find something
    Doctor(Doctor),
    /// Build instrumented Pythons, for --python
    #[command(subcommand)]
    Python(Python),
    /// Plant each fault in the Rust exporters, and see how long it takes to find it
    #[cfg(feature = "faults")]
    Faults(Faults),
}

/// How a run ends its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Reports and a summary to read.
    Human,
    /// The same, and then one JSON object on the last line.
    Json,
}

/// When the threads of programs that have several do what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Schedule {
    /// One step after the other
    Lockstep,
    /// All at once: what they saw must have an order that the model explains
    Concurrent,
    /// One half each
    Mixed,
    /// By turns that are drawn, on the Rust exporters alone
    #[cfg(feature = "explored")]
    Explored,
}

impl From<Schedule> for Schedules {
    fn from(schedule: Schedule) -> Schedules {
        match schedule {
            Schedule::Lockstep => Schedules::Lockstep,
            Schedule::Concurrent => Schedules::Concurrent,
            Schedule::Mixed => Schedules::Mixed,
            #[cfg(feature = "explored")]
            Schedule::Explored => Schedules::Explored,
        }
    }
}

/// `buflock run`
#[derive(Debug, Args)]
pub struct Run {
    /// How long to run [default: 60]
    #[arg(long, value_name = "S", conflicts_with = "programs", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// How many programs to run, in place of a time
    #[arg(long, value_name = "N")]
    pub programs: Option<u64>,
    /// What names the sequence of programs [default: drawn at random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How many worker processes [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// The most threads of a program
    #[arg(long, value_name = "1..4", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub threads: u8,
    /// The most steps of a program
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub steps: u16,
    /// When the threads of a program do their steps
    #[arg(long, value_enum, default_value_t = Schedule::Mixed)]
    pub schedule: Schedule,
    /// Where findings are saved
    #[arg(long, value_name = "DIR", default_value = "findings")]
    pub findings: PathBuf,
    /// How the run ends its output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub workers: Workers,
}

/// What programs can be run on, besides the model.
const SUBJECTS: [&str; 3] = ["native", "cpython", "pynative"];

/// What all workers have in common.
#[derive(Debug, Clone, Args)]
pub struct Workers {
    /// A Python that `buflock python build` has made, by the beginning of its id, in place of the one that PyO3 takes.
    /// The worker is built for it, which needs cargo and the source of buflock, and a nightly Rust for a sanitizer
    #[arg(long, value_name = "ID")]
    pub python: Option<String>,
    /// What to run on, besides the model. Beside cpython, pynative runs one generated program in eight
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = SUBJECTS, value_parser = SUBJECTS)]
    pub subjects: Vec<String>,
    #[command(flatten)]
    pub limits: Limits,
}

impl Workers {
    /// Those that run on all subjects.
    pub fn usual(limits: &Limits) -> Workers {
        Workers { python: None, subjects: SUBJECTS.map(str::to_owned).to_vec(), limits: limits.clone() }
    }
}

/// When a process that runs programs is ended.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// A worker that makes no progress for so many seconds is ended, and that is a finding
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub hang_limit: f64,
    /// A worker whose resident memory is larger is ended, and that is a finding [default: 1024, or 4096 with a sanitizer]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    pub memory_limit: Option<u64>,
}

impl Limits {
    /// The limit on a step.
    pub fn hang(&self) -> Duration {
        Duration::from_secs_f64(self.hang_limit)
    }
}

/// `buflock fuzz`
#[derive(Debug, Args)]
pub struct Fuzz {
    /// What is fuzzed
    #[arg(default_value = "cpython_lockstep", value_parser = target, help = targets())]
    pub target: &'static Target,
    /// A Python that `buflock python build` has made, by the beginning of its id, or the one that PyO3 takes, of whose code
    /// no coverage is counted
    #[arg(long, value_name = "ID|installed", default_value = INSTALLED)]
    pub python: String,
    /// What watches over the memory of the target [default: what watches over Python, or address for an installed one]
    #[arg(long, value_enum)]
    pub sanitizer: Option<Sanitizer>,
    /// How long to fuzz
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    pub seconds: f64,
    /// How many processes fuzz [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// Where findings are saved, each with a Python script that shows it
    #[arg(long, value_name = "DIR", default_value = "findings")]
    pub findings: PathBuf,
    /// Where inputs are kept from one run to the next [default: the user's folder for data]
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Do not fuzz: run the inputs that are kept, and say how much of each function they reach, of CPython's if its coverage
    /// is counted and of buflock's if not
    #[arg(long)]
    pub coverage: bool,
    /// The same, also as a page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Install what is missing: a nightly Rust, and cargo-fuzz
    #[arg(long)]
    pub install: bool,
    /// How the run ends its output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub limits: Limits,
}

/// The Python that is not built by buflock, where one is named.
const INSTALLED: &str = "installed";

impl Fuzz {
    /// The workers that tell what a program comes to, in a process of its own.
    pub fn workers(&self) -> Workers {
        Workers {
            python: Some(self.python.clone()).filter(|python| python != INSTALLED),
            subjects: self.target.subjects.iter().map(|&subject| subject.to_owned()).collect(),
            limits: self.limits.clone(),
        }
    }
}

fn target(name: &str) -> Result<&'static Target, String> {
    Target::of_name(name).ok_or_else(|| format!("the targets are {}", names()))
}

fn targets() -> String {
    format!("What is fuzzed: {}", names())
}

fn names() -> String {
    TARGETS.map(|target| target.name).join(", ")
}

/// `buflock doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// A Python that `buflock python build` has made, by the beginning of its id, in place of the one that PyO3 takes
    #[arg(long, value_name = "ID")]
    pub python: Option<String>,
    #[command(flatten)]
    pub limits: Limits,
}

/// `buflock replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// Program files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub workers: Workers,
}

/// A command about one file.
#[derive(Debug, Args)]
pub struct One {
    /// A program file
    pub file: PathBuf,
    #[command(flatten)]
    pub workers: Workers,
}

/// A command that makes one file of another.
#[derive(Debug, Args)]
pub struct OneOut {
    /// A program file
    pub file: PathBuf,
    /// Where to write to [default: standard output]
    #[arg(short, long, value_name = "OUT")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub workers: Workers,
}

/// `buflock python`
#[derive(Debug, Subcommand)]
pub enum Python {
    /// Build a CPython as a static library that counts coverage, with a sanitizer; prints its id
    Build(BuildPython),
    /// Show those that are built
    List,
    /// Remove some
    Rm {
        /// Their ids, or as much of each as tells it from the others
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// `buflock python build`
#[derive(Debug, Args)]
#[group(id = "origin", required = true, args = ["version", "source"])]
pub struct BuildPython {
    /// A release, which is downloaded from python.org unless it has been
    #[arg(long, value_name = "V")]
    pub version: Option<String>,
    /// A source tree or a tarball of one
    #[arg(long, value_name = "PATH", conflicts_with = "version")]
    pub source: Option<PathBuf>,
    /// The checksum of a release that is not known here
    #[arg(long, value_name = "DIGEST", conflicts_with = "source")]
    pub sha256: Option<String>,
    /// Without the GIL
    #[arg(long)]
    pub free_threaded: bool,
    /// What watches over its memory
    #[arg(long, value_enum, default_value_t = Sanitizer::Address)]
    pub sanitizer: Sanitizer,
    /// With CPython's own checks, which end it where something is wrong
    #[arg(long)]
    pub debug: bool,
    /// How many compilers run at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
}

/// `buflock faults`
#[cfg(feature = "faults")]
#[derive(Debug, Args)]
pub struct Faults {
    /// Which faults; without one, all
    #[arg(value_name = "FAULT", value_parser = str::parse::<buflock::exporter::Fault>)]
    pub faults: Vec<buflock::exporter::Fault>,
    /// With how many seeds each is looked for
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub seeds: u16,
    /// How long each seed may take
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    pub seconds: f64,
    /// A table to read, or one JSON object
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if seconds > 0.0 && seconds <= 1e9 { Ok(seconds) } else { Err("not a time above zero".to_owned()) }
}
