//! One worker process: started, asked, watched, ended.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::args::Workers;
use super::error::Failure;
use super::stop::Stop;
use buflock::program::Allocator;
use buflock::protocol::{Hello, Reply, Request};

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The executable.
    pub path: PathBuf,
    /// Limits and subjects.
    pub workers: Workers,
    /// The folder of the pages.
    pub pages: PathBuf,
    /// What their environment has besides this one's.
    pub environment: Vec<(&'static str, String)>,
    /// The most resident memory of each, in MiB.
    pub memory_limit: u64,
    /// Whether each is to have a core of its own: hand-overs between threads are cheaper there, and without the GIL
    /// threads never meet.
    pub pinned: bool,
}

/// How long a worker may take to start.
const START: Duration = Duration::from_secs(60);
/// How often a worker is looked after.
const ROUND: Duration = Duration::from_millis(50);

/// Why a worker stopped answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It died, hung or grew: what happened, and which program and step it was at.
    Fault {
        /// `signal 11 (SIGSEGV)`, `hang over 10 s`.
        what: String,
        /// The program by its place in the sequence.
        index: u64,
        /// The step by its place in the program.
        step: usize,
        /// The last of what it wrote to its standard error.
        said: Option<String>,
    },
    /// The user wants the run to end.
    Stopped,
    /// It says what it should not.
    Broken(String),
}

/// A running worker, which is killed when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    replies: Receiver<Reply>,
    said: Overheard,
    page: PathBuf,
    allocator: Allocator,
    workers: Workers,
    memory_limit: u64,
    /// Who it says it is.
    pub hello: Hello,
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.page);
    }
}

impl Worker {
    /// Starts the worker number `number`, on a core of its own if there is one for it.
    pub fn start(
        recipe: &Recipe,
        number: usize,
        core: Option<usize>,
        allocator: Allocator,
    ) -> Result<Worker, Failure> {
        let page = recipe.pages.join(format!("{number}-{}", allocator.name()));
        let mut command = Command::new(&recipe.path);
        command.arg("--page").arg(&page).arg("--subjects").arg(recipe.workers.subjects.join(","));
        command.arg("--allocator").arg(allocator.name());
        if let Some(core) = core.filter(|_| recipe.pinned) {
            command.arg("--core").arg(core.to_string());
        }
        if let Some(variable) = allocator.variable() {
            command.env("PYTHONMALLOC", variable);
        }
        command.envs(recipe.environment.iter().map(|(name, value)| (name, value)));
        // A group of its own: what is typed at the terminal to end the command is not for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let what = format!("failed to start {}: {error}", recipe.path.display());
            Failure::environment(what, "cargo build --release --workspace --bins")
        })?;
        let (requests, replies, said) = (child.stdin.take(), listen(&mut child), Overheard::of(&mut child));
        let hello = Hello::default();
        let mut worker = Worker {
            child,
            requests,
            replies,
            said,
            page,
            allocator,
            workers: recipe.workers.clone(),
            memory_limit: recipe.memory_limit,
            hello,
        };
        worker.hello = worker.greeting(&recipe.path)?;
        Ok(worker)
    }

    fn greeting(&mut self, path: &Path) -> Result<Hello, Failure> {
        let rebuild =
            "cargo clean -p pyo3-ffi -p pyo3-build-config && cargo build --release --workspace --bins";
        let what = match self.replies.recv_timeout(START) {
            Ok(Reply::Hello(hello)) => return Ok(hello),
            Ok(Reply::Unable(why)) => why,
            Ok(_) => "it did not greet".to_owned(),
            Err(RecvTimeoutError::Timeout) => format!("it said nothing for {} s", START.as_secs()),
            Err(RecvTimeoutError::Disconnected) => {
                let said = self.said.last().unwrap_or_default();
                if said.contains("libpython") {
                    format!("the libpython that it was built with is gone: {said}")
                } else {
                    let status = self.child.wait().map_or_else(|error| error.to_string(), describe);
                    format!("it ended with {status}: {said}")
                }
            }
        };
        Err(Failure::environment(format!("{} cannot start: {what}", path.display()), rebuild))
    }

    /// Asks, and gives every reply to `heard` until that says that it was the last.
    pub fn ask(
        &mut self,
        request: &Request,
        stop: &Stop,
        mut heard: impl FnMut(Reply) -> bool,
    ) -> Result<(), End> {
        let begun = self.position();
        let asked = self.send(request);
        let mut watched = Watched { at: begun, rounds: 0, used: Duration::ZERO };
        loop {
            match self.replies.recv_timeout(ROUND) {
                Ok(reply) => {
                    watched.rounds = 0;
                    if heard(reply) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.died(&asked)),
                Err(RecvTimeoutError::Timeout) => {
                    if stop.wanted() {
                        return Err(End::Stopped);
                    }
                    if let Some(what) = self.exceeds(&mut watched) {
                        // What it said before counts.
                        let (index, step) = self.position();
                        let _ = self.child.kill();
                        while let Ok(reply) = self.replies.recv_timeout(ROUND) {
                            heard(reply);
                        }
                        return Err(End::Fault { what, index, step, said: self.said.last() });
                    }
                }
            }
        }
    }

    fn send(&mut self, request: &Request) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        match &mut self.requests {
            Some(requests) => requests.write_all(&line),
            None => Ok(()),
        }
    }

    fn died(&mut self, asked: &std::io::Result<()>) -> End {
        let (index, step) = self.position();
        match self.child.wait() {
            Ok(status) if status.success() => {
                let why = asked.as_ref().map_or_else(ToString::to_string, |()| "no error".to_owned());
                End::Broken(format!("the worker ended before it had answered ({why})"))
            }
            Ok(status) => End::Fault { what: describe(status), index, step, said: self.said.last() },
            Err(error) => End::Broken(format!("failed to wait for the worker: {error}")),
        }
    }

    /// What the page says: the program and the step that it is at.
    fn position(&self) -> (u64, usize) {
        let [index, step, _] = self.page();
        (index, step as usize)
    }

    /// Where its interpreter gets its memory from.
    pub fn allocator(&self) -> Allocator {
        self.allocator
    }

    /// The first program that has no verdict yet: several are under way at once.
    pub fn judged(&self) -> u64 {
        self.page()[2]
    }

    fn page(&self) -> [u64; 3] {
        let bytes = std::fs::read(&self.page).unwrap_or_default();
        let word = |at: usize| {
            bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        [word(0), word(8), word(16)]
    }

    fn exceeds(&self, watched: &mut Watched) -> Option<String> {
        let limit = self.memory_limit;
        if self.resident_mb() > limit {
            return Some(format!("memory over {limit} MB"));
        }
        let at = self.position();
        if at != watched.at {
            *watched = Watched { at, rounds: 0, ..*watched };
        }
        if watched.rounds == 0 {
            watched.used = self.processor_time();
        }
        watched.rounds += 1;
        let limit = self.workers.limits.hang();
        if ROUND * watched.rounds <= limit {
            return None;
        }
        // A worker that waits for the processor, or for the system, has to be waited for.
        let used = self.processor_time().saturating_sub(watched.used);
        let starved = used < limit / 2 && self.wants_to_run();
        (!starved).then(|| format!("hang over {} s", self.workers.limits.hang_limit))
    }

    /// What all its threads have used; zero where the system does not say.
    fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let fields = stat(Path::new(&path));
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        // `utime` and `stime`
        Duration::from_millis((ticks(11) + ticks(12)) * 1000 / per_second)
    }

    /// Whether one of its threads is not asleep: it runs, or waits for its turn or for the system.
    fn wants_to_run(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.into_iter().flatten().flatten().any(|task| {
            stat(&task.path().join("stat")).first().is_some_and(|state| state == "R" || state == "D")
        })
    }

    fn resident_mb(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        pages * rustix::param::page_size() as u64 / (1 << 20)
    }
}

/// The last of what a process wrote to its standard error, which must be read lest it waits for that.
#[derive(Debug)]
pub struct Overheard {
    last: Arc<Mutex<Vec<u8>>>,
    reader: RefCell<Option<JoinHandle<()>>>,
}

impl Overheard {
    /// That of a child whose standard error is a pipe.
    pub fn of(child: &mut Child) -> Overheard {
        // A report of AddressSanitizer has a few thousand.
        const KEPT: usize = 1 << 16;
        let last = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&last);
        let reader = child.stderr.take().map(|mut errors| {
            std::thread::spawn(move || {
                let mut part = [0; 1024];
                while let Ok(length @ 1..) = errors.read(&mut part) {
                    let mut last = own.lock().unwrap_or_else(PoisonError::into_inner);
                    last.extend(&part[..length]);
                    let surplus = last.len().saturating_sub(KEPT);
                    last.drain(..surplus);
                }
            })
        });
        Overheard { last, reader: RefCell::new(reader) }
    }

    /// Of one that has ended.
    pub fn last(&self) -> Option<String> {
        if let Some(reader) = self.reader.borrow_mut().take() {
            let _ = reader.join();
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&last).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

/// Where a worker was when it was last seen to move, and how often it was looked after since. Rounds are counted, not
/// time: on a machine that stands still or has too much to do, this process gets as little of it as the worker.
struct Watched {
    at: (u64, usize),
    rounds: u32,
    /// The time that it had used by the first of these rounds.
    used: Duration,
}

/// The fields of a file such as `/proc/1/stat` behind the name in parentheses, of which the first is the state.
fn stat(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().map(str::to_owned).collect()
}

/// Reads replies on a thread of its own. What a worker says after its death is no reply.
fn listen(child: &mut Child) -> Receiver<Reply> {
    let (sender, receiver) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A line that is cut short is the last of a worker that died.
                let Ok(reply) = serde_json::from_str(&line) else { return };
                if sender.send(reply).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// An end that is not a success, in words that do not depend on the machine.
pub fn describe(status: ExitStatus) -> String {
    const NAMES: [(i32, &str); 7] = [
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
    ];
    match (status.signal(), status.code()) {
        (Some(6), _) => "abort".to_owned(),
        // What else raises it, such as broken memory, is rare, and no work of a program.
        (Some(7), _) => "signal 7 (SIGBUS): a page of a map lies behind the end of its file".to_owned(),
        (Some(signal), _) => {
            let name = NAMES.iter().find(|(number, _)| *number == signal).map_or("another", |(_, name)| name);
            format!("signal {signal} ({name})")
        }
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "an unknown end".to_owned(),
    }
}
