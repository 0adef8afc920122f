//! One process of libFuzzer's: started, looked after, and what it died of.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use buflock::fuzz::session::Session;

use super::home::{Run, files};
use crate::error::Failure;
use crate::worker::{Overheard, describe};

/// What all processes of a run have in common.
#[derive(Debug)]
pub struct Setup {
    /// The executable.
    pub executable: PathBuf,
    /// What their environment has besides this one's.
    pub environment: Vec<(&'static str, String)>,
    /// The most seconds that an input may take.
    pub hang_limit: f64,
    /// The most resident memory of each, in MiB.
    pub memory_limit: u64,
}

/// A process that fuzzes, which is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    number: u64,
    child: Child,
    said: Overheard,
    artifacts: PathBuf,
    begun: Instant,
}

/// How a process ended before its time.
#[derive(Debug)]
pub struct Ended {
    /// Which process of its session it was.
    pub number: u64,
    /// `exit code 77`.
    pub how: String,
    /// The last of what it wrote to its standard error.
    pub said: Option<String>,
    /// The inputs that it has left.
    pub artifacts: Vec<PathBuf>,
    /// How long it lived.
    pub lived: Duration,
}

/// What libFuzzer takes for the largest request for memory that is no mistake, in MiB: programs make such on purpose.
const MALLOC_LIMIT: u64 = 1 << 30;

impl Setup {
    /// The executable, with what is the same whatever it is to do.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg(format!("-timeout={}", self.hang_limit.ceil().max(1.0)));
        command.arg(format!("-rss_limit_mb={}", self.memory_limit));
        command.args([format!("-malloc_limit_mb={MALLOC_LIMIT}"), "-detect_leaks=0".to_owned()]);
        // A group of its own: what is typed at the terminal to end the command is not for it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Lets process number `number` fuzz for so long.
    pub fn fuzz(&self, run: &Run, number: u64, time: Duration) -> Result<Process, Failure> {
        let failed = |error: io::Error| Failure::file("start", &self.executable, &error);
        let session = Session::new(&run.session(), number).map_err(failed)?;
        let (mut command, artifacts) = self.told(run, &session, number).map_err(failed)?;
        command.arg(format!("-max_total_time={}", time.as_secs().max(1)));
        command.args(["-reload=1", "-print_funcs=0"]).arg(run.inputs());
        Process::start(number, command, artifacts).map_err(failed)
    }

    /// Copies those of the inputs to `to` that cover what those in it do not.
    pub fn merge(&self, to: &Path, from: &[PathBuf]) -> Result<Process, Failure> {
        let failed = |error: io::Error| Failure::file("start", &self.executable, &error);
        // What ends a process of a merge, has ended one before.
        let passed_over = to.with_extension("passed-over");
        fs::create_dir_all(&passed_over).map_err(failed)?;
        let mut command = self.command();
        command.args(["-merge=1", "-print_funcs=0"]).arg(to).args(from);
        command.arg(format!("-artifact_prefix={}/", passed_over.display()));
        Process::start(0, command, PathBuf::new()).map_err(failed)
    }

    /// Runs each input of a run once, as a process of a session.
    pub fn replay(&self, run: &Run, session: &Session, number: u64) -> Result<Process, Failure> {
        let failed = |error: io::Error| Failure::file("start", &self.executable, &error);
        let (mut command, artifacts) = self.told(run, session, number).map_err(failed)?;
        command.args(["-runs=0", "-print_funcs=0"]).arg(run.inputs());
        Process::start(number, command, artifacts).map_err(failed)
    }

    /// A process of a session, and where it leaves inputs that it does not survive.
    fn told(&self, run: &Run, session: &Session, number: u64) -> io::Result<(Command, PathBuf)> {
        let artifacts = run.artifacts_of(number);
        fs::create_dir_all(&artifacts)?;
        let mut command = self.command();
        command.envs(session.variables()).arg(format!("-artifact_prefix={}/", artifacts.display()));
        Ok((command, artifacts))
    }
}

impl Process {
    fn start(number: u64, mut command: Command, artifacts: PathBuf) -> io::Result<Process> {
        let mut child = command.spawn()?;
        let said = Overheard::of(&mut child);
        Ok(Process { number, child, said, artifacts, begun: Instant::now() })
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<Ended>, Failure> {
        let status = self.child.try_wait();
        let status = status.map_err(|error| Failure::file("wait for", &self.artifacts, &error))?;
        Ok(status.map(|status| self.obituary(status)))
    }

    fn obituary(&self, status: ExitStatus) -> Ended {
        let how = if status.success() { String::new() } else { describe(status) };
        Ended {
            number: self.number,
            how,
            said: self.said.last(),
            artifacts: files(&self.artifacts),
            lived: self.begun.elapsed(),
        }
    }
}

impl Ended {
    /// Whether it came to the end of its time.
    pub fn is_over(&self) -> bool {
        self.how.is_empty()
    }

    /// Whether it died before it did anything.
    pub fn is_barren(&self) -> bool {
        const SOON: Duration = Duration::from_secs(5);
        !self.is_over() && self.artifacts.is_empty() && self.lived < SOON
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Those that it has started itself are in its group.
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
