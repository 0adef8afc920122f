//! A worker of `buflock`: embeds Python, runs what it is asked to, and may die of it.
//!
//! ```text
//! buflock-worker --page FILE [--core N] [--subjects LIST] [--allocator NAME]
//! ```
//! Two variables of the environment are for tests: `BUFLOCK_DIE_AT=INDEX:STEP[:HOW]` lets a worker
//! end at a step of a generated program, or of the program that it is given to record if INDEX is the greatest there is,
//! by `kill` (without it), `abort`, `hang`, `bloat`, or `segv`, `bus` and `stale` in the C code of CPython, the last only
//! where the allocator or a sanitizer shows it; `leak` only leaves memory behind there, and `race` only lets two threads race. And `BUFLOCK_PLANT=FAULT` plants one of
//! `buflock::exporter::Fault` in the native exporters.

use std::cell::Cell;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use buflock::check::{Check, Watch};
use buflock::judge::Verdict;
use buflock::program::generate::{self, Shape};
use buflock::program::{Allocator, Program, parse};
use buflock::protocol::{Batch, Found, Hello, Reply, Request};
use buflock::report::race::Race;
use buflock::report::{Recording, Told};
use buflock::subject::Version;
use buflock_oracle::progress::Page;
use buflock_oracle::{Interpreter, SUBJECTS, interpreter};
use pyo3::Python;
use pyo3::types::{PyAnyMethods, PyByteArray, PyDict, PyDictMethods};

/// Programs are made of small short-lived objects. Python's own objects are not affected.
#[cfg(not(buflock_system_allocator))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Options::read().and_then(|options| work(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started this reads replies; a person who did reads them too.
            let _ = say(&Reply::Unable(error));
            ExitCode::from(3)
        }
    }
}

struct Options {
    page: PathBuf,
    core: Option<usize>,
    subjects: Vec<String>,
    allocator: Allocator,
}

impl Options {
    fn read() -> Result<Options, String> {
        let mut page = None;
        let mut core = None;
        let mut subjects = SUBJECTS.map(str::to_owned).to_vec();
        let mut allocator = Allocator::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--page" => page = Some(PathBuf::from(value)),
                "--core" => core = Some(value.parse().map_err(|_| format!("{value:?} is no core"))?),
                "--subjects" => subjects = value.split(',').map(str::to_owned).collect(),
                "--allocator" => {
                    allocator =
                        Allocator::of_name(&value).ok_or_else(|| format!("{value:?} is no allocator"))?;
                }
                _ => return Err(format!("{word} is no option of buflock-worker")),
            }
        }
        let page = page.ok_or("buflock-worker is started by buflock, with --page FILE")?;
        Ok(Options { page, core, subjects, allocator })
    }
}

/// Serves requests until there are no more.
fn work(options: &Options) -> Result<(), String> {
    // A worker whose command was killed would wait for nobody.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    if let Some(core) = options.core {
        pin(core);
    }
    buflock::exporter::planted::plant_named()?;
    let page = Page::create(&options.page)
        .map_err(|error| format!("failed to map {}: {error}", options.page.display()))?;
    let python = interpreter::start()?;
    interpreter::allocate_by(options.allocator)?;
    buflock_oracle::attached(|| {
        let death = Death::read()?;
        let first = Arc::new(AtomicU64::new(u64::MAX));
        let watch = Watcher { page: page.clone(), first: Arc::clone(&first), index: Cell::default(), death };
        let check = buflock_oracle::check(&python, &options.subjects)?.with_watch(Box::new(watch.clone()));
        let often =
            usual(&options.subjects).map(|usual| buflock_oracle::check(&python, &usual)).transpose()?;
        let often = often.map(|often| often.with_watch(Box::new(watch)));
        let hello = Hello {
            version: python.version.to_string(),
            description: python.description.clone(),
            free_threaded: python.free_threaded,
            gil: interpreter::has_gil(),
            debug: python.debug,
        };
        say(&Reply::Hello(hello)).map_err(|error| error.to_string())?;
        Worker { check, often, page, first, python }.serve().map_err(|error| error.to_string())
    })
}

/// What runs the programs of which [`SELDOM`] says that not all subjects need to.
fn usual(subjects: &[String]) -> Option<Vec<String>> {
    let usual: Vec<String> = subjects.iter().filter(|subject| *subject != "pynative").cloned().collect();
    (usual.len() < subjects.len() && usual.iter().any(|subject| subject == "cpython")).then_some(usual)
}

/// Hand-overs between threads on one core are much cheaper. Where it cannot be done it is not.
fn pin(core: usize) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return };
    let cores: Vec<usize> =
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    if let Some(&core) = cores.get(core % cores.len().max(1)) {
        let mut only = rustix::thread::CpuSet::new();
        only.set(core);
        let _ = rustix::thread::sched_setaffinity(None, &only);
    }
}

fn say(reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    // One write a line, past the buffer of `println`: what was said must not die with the process.
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Tells the page where the run is, and ends the process where a test asks for it.
#[derive(Clone)]
struct Watcher {
    page: Page,
    /// The number of the first of the programs that were given to the check.
    first: Arc<AtomicU64>,
    /// The number of the program that it is at.
    index: Cell<u64>,
    death: Option<Death>,
}

impl Watch for Watcher {
    fn program(&self, place: usize) {
        self.index.set(self.first.load(Ordering::Relaxed).saturating_add(place as u64));
        self.page.program(self.index.get());
    }

    fn at(&self, step: usize) {
        self.page.step(step);
        if let Some(death) = &self.death
            && death.step == step
            && death.index == self.index.get()
        {
            death.die();
        }
    }
}

/// Writes to the same memory in two threads, neither of which has the GIL while it does.
const RACE: &std::ffi::CStr = c"
import ctypes, threading
raced = ctypes.create_string_buffer(64)
def write():
    for _ in range(1000):
        ctypes.memset(raced, 1, 64)
threads = [threading.Thread(target=write) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
";

/// Reads a map of which the file has been cut off.
const READ_BEHIND_A_FILE: &std::ffi::CStr = c"
import mmap, tempfile
with tempfile.TemporaryFile() as file:
    file.write(b'a')
    file.flush()
    cut = mmap.mmap(file.fileno(), 1)
    file.truncate(0)
    cut[0]
";

/// Reads what was the memory of a bytearray, and ends the process if that is to be seen from what it reads.
fn read_freed_memory(py: Python<'_>) {
    const CODE: &std::ffi::CStr = c"
import ctypes
contents = bytearray(b'a' * 100)
address = ctypes.addressof((ctypes.c_char * 100).from_buffer(contents))
del contents
read = ctypes.string_at(address + 50, 10)
";
    let locals = PyDict::new(py);
    py.run(CODE, None, Some(&locals)).expect("failed to read freed memory");
    let read: Vec<u8> =
        locals.get_item("read").ok().flatten().expect("it was read").extract().expect("bytes");
    // What CPython's debugging allocator leaves there.
    if read.iter().all(|&byte| byte == 0xDD) {
        std::process::abort();
    }
}

#[derive(Clone)]
struct Death {
    index: u64,
    step: usize,
    how: String,
}

impl Death {
    fn read() -> Result<Option<Death>, String> {
        let Ok(text) = std::env::var("BUFLOCK_DIE_AT") else { return Ok(None) };
        let mut parts = text.splitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let (Some(index), Some(step)) = (number(), number()) else {
            return Err(format!("BUFLOCK_DIE_AT={text} is not INDEX:STEP[:HOW]"));
        };
        let how = parts.next().unwrap_or("kill").to_owned();
        Ok(Some(Death { index, step: step as usize, how }))
    }

    fn die(&self) {
        match self.how.as_str() {
            "hang" => loop {
                std::thread::park();
            },
            "abort" => std::process::abort(),
            "stale" => Python::attach(read_freed_memory),
            "race" => Python::attach(|py| py.run(RACE, None, None).expect("failed to race")),
            "leak" => Python::attach(|py| std::mem::forget(PyByteArray::new(py, b"kept by nobody"))),
            "segv" => Python::attach(|py| {
                let died = py.run(c"import ctypes; ctypes.string_at(0)", None, None);
                unreachable!("reading at NULL gave {died:?}")
            }),
            "bus" => Python::attach(|py| {
                let died = py.run(READ_BEHIND_A_FILE, None, None);
                unreachable!("reading behind the end of a file gave {died:?}")
            }),
            "bloat" => {
                let mut bloat = Vec::new();
                loop {
                    bloat.resize(bloat.len() + (16 << 20), 1u8);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
            _ => {
                let own = rustix::process::getpid();
                let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            }
        }
    }
}

/// How many programs are made at once: more than run at a stretch, since one of several threads ends a stretch.
const AT_ONCE: u64 = 64;

/// Beside `cpython`, of which it shares all but three classes, `pynative` runs one stretch of generated programs in so
/// many: it takes as long as `cpython` does, and has less to show.
const SELDOM: u64 = 8;

struct Worker {
    check: Check,
    /// Without the subjects that run seldom, if there are such.
    often: Option<Check>,
    page: Page,
    first: Arc<AtomicU64>,
    python: Interpreter,
}

impl Worker {
    fn serve(mut self) -> io::Result<()> {
        for line in io::stdin().lock().lines() {
            let request: Request = serde_json::from_str(&line?)?;
            match request {
                Request::Run { seed, first, count, steps, threads, schedules } => {
                    let shape = Shape { steps, threads, schedules, ..Shape::default() };
                    let done = self.run(seed, first..first.saturating_add(count), shape)?;
                    say(&Reply::Done(done))?;
                }
                Request::Record { text } => {
                    let program = parse::parse(&text).map_err(io::Error::other)?;
                    say(&Reply::Recorded(self.record(program)))?;
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, seed: u64, indices: std::ops::Range<u64>, shape: Shape) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let mut first = indices.start;
        while first < indices.end {
            // Which subjects run a program is a matter of its number alone.
            let end = indices.end.min((first / AT_ONCE + 1) * AT_ONCE);
            let programs: Vec<_> =
                (first..end).map(|index| Arc::new(generate::nth(seed, index, shape))).collect();
            self.first.store(first, Ordering::Relaxed);
            self.page.judged(first);
            let (page, version) = (&self.page, self.python.version);
            let check = match &mut self.often {
                Some(often) if !(first / AT_ONCE).is_multiple_of(SELDOM) => often,
                _ => &mut self.check,
            };
            let mut said = Ok(());
            check.run_all(&programs, |place, verdict| {
                let index = first + place as u64;
                if let Some(found) = batch_up(&mut batch, index, verdict, version) {
                    said = std::mem::replace(&mut said, Ok(())).and_then(|()| say(&Reply::Found(found)));
                }
                page.judged(index + 1);
            });
            said?;
            first = end;
        }
        for check in [Some(&mut self.check), self.often.as_mut()].into_iter().flatten() {
            let tally = check.take_tally();
            batch.programs += tally.programs;
            batch.steps += tally.steps;
            for ((_, label), count) in tally.outcomes {
                *batch.outcomes.entry(label.to_owned()).or_default() += count;
            }
        }
        batch.peak_rss_kb = peak_rss_kb();
        Ok(batch)
    }

    fn record(&mut self, program: Program) -> Recording {
        self.first.store(u64::MAX, Ordering::Relaxed);
        let (verdict, seen) = self.check.record(&Arc::new(program));
        let python = format!("Python {}", self.python.description);
        let mut recording = Recording::new(&python, self.check.subjects(), &verdict, &seen);
        recording.race = self.check.shown().map(|shown| Race::new(shown, &verdict));
        if let Verdict::Diverge(divergence) = &verdict {
            let known = buflock_oracle::catalogue();
            let entry = known.covers(divergence, self.python.version);
            recording.known = entry.map(|entry| entry.id.clone());
        }
        recording
    }
}

/// Counts a verdict, and makes a find of it if it is one.
fn batch_up(batch: &mut Batch, index: u64, verdict: Verdict, version: Version) -> Option<Found> {
    let (divergence, permitted, count) = match verdict {
        Verdict::Agree => {
            batch.verdicts.agree += 1;
            return None;
        }
        Verdict::Inconclusive(_) => {
            batch.verdicts.inconclusive += 1;
            return None;
        }
        Verdict::Permitted(_, divergence) => (divergence, true, &mut batch.verdicts.permitted),
        Verdict::Diverge(divergence) => (divergence, false, &mut batch.verdicts.diverge),
    };
    *count += 1;
    let catalogue = buflock_oracle::catalogue();
    let known = catalogue.covers(&divergence, version).map(|entry| entry.id.clone());
    Some(Found { index, told: Told::from(&divergence), known, permitted })
}

/// The largest resident size so far, or zero where the system does not say.
fn peak_rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
