//! Finds the worker, building it where this runs from a checkout.

use std::env;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::error::Failure;
use super::python::Python;

const NAME: &str = "buflock-worker";
/// How long a build may take before it is shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// The worker, and how it was found.
#[derive(Debug, Clone)]
pub struct Located {
    /// The executable.
    pub path: PathBuf,
    /// Whether a rebuild can bring it up to date.
    pub checkout: bool,
}

/// The named worker, or that of the checkout, or the one beside this executable.
pub fn find() -> Result<Located, Failure> {
    if let Some(path) = env::var_os("BUFLOCK_WORKER").map(PathBuf::from) {
        if !path.is_file() {
            return Err(Failure::environment(
                format!("BUFLOCK_WORKER={} is no file", path.display()),
                "unset BUFLOCK_WORKER",
            ));
        }
        return Ok(Located { path, checkout: false });
    }
    let path = beside()?;
    if env::var_os("CARGO").is_some() && checkout().is_some() {
        build(None)?;
        return Ok(Located { path, checkout: true });
    }
    if path.is_file() {
        return Ok(Located { path, checkout: false });
    }
    let next = "cargo build --release --workspace --bins, and then run both from one folder";
    Err(Failure::environment(format!("there is no {NAME} at {}", path.display()), next))
}

fn beside() -> Result<PathBuf, Failure> {
    let own = env::current_exe().map_err(|error| {
        Failure::environment(format!("failed to find this executable: {error}"), "set BUFLOCK_WORKER")
    })?;
    Ok(own.with_file_name(format!("{NAME}{}", env::consts::EXE_SUFFIX)))
}

/// Where this was built from, if it is still there.
pub fn checkout() -> Option<&'static Path> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("../oracle/src/worker_main.rs").is_file().then_some(folder)
}

/// Builds the worker as this was built. With `python`, for that one and no other.
pub fn build(python: Option<&Python>) -> Result<(), Failure> {
    let (Some(cargo), Some(folder)) = (env::var_os("CARGO"), checkout()) else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "buflock-oracle", "--bin", NAME]).current_dir(folder);
    let mut typed = format!("cargo build -p buflock-oracle --bin {NAME}");
    let features = [("explored", cfg!(feature = "explored")), ("faults", cfg!(feature = "faults"))];
    for (feature, _) in features.into_iter().filter(|(_, is_on)| *is_on) {
        command.args(["--features", feature]);
        typed = format!("{typed} --features {feature}");
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
        typed += " --release";
    }
    if let Some(target) = beside()?.parent().and_then(Path::parent) {
        command.arg("--target-dir").arg(target);
    }
    if let Some(python) = python {
        command.env("PYO3_PYTHON", &python.executable);
        typed = format!("PYO3_PYTHON={} {typed}", python.executable);
    }
    let failed = |error: &dyn std::fmt::Display| {
        Failure::environment(format!("failed to build {NAME}: {error}"), typed.clone())
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let said = child.stderr.take().map(overhear).unwrap_or_default();
    let status = child.wait().map_err(|error| failed(&error))?;
    if status.success() { Ok(()) } else { Err(failed(&format!("cargo ended with {status}\n{said}"))) }
}

/// Reads what a build says, and shows it once it takes long.
fn overhear(mut from: impl Read + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut part) {
            if sender.send(part[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let begun = std::time::Instant::now();
    let mut said = Vec::new();
    let mut shown = 0;
    loop {
        let part = receiver.recv_timeout(Duration::from_millis(100));
        match part {
            Ok(part) => said.extend(part),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if begun.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            eprint!("{}", String::from_utf8_lossy(&said[shown..]));
            shown = said.len();
        }
    }
    String::from_utf8_lossy(&said[shown..]).into_owned()
}
