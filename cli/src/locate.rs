//! Finds the worker, building it where this runs from a checkout.

use std::env;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::error::Failure;
use super::python::{Built, Python};

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
    let (Some(_), Some(folder)) = (env::var_os("CARGO"), checkout()) else { return Ok(()) };
    let mut command = cargo();
    command.args(["build", "-p", "buflock-oracle", "--bin", NAME]).current_dir(folder);
    let mut typed = format!("cargo build -p buflock-oracle --bin {NAME}");
    for feature in features() {
        command.args(["--features", feature]);
        typed = format!("{typed} --features {feature}");
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
        typed += " --release";
    }
    command.arg("--target-dir").arg(target_folder()?);
    if let Some(python) = python {
        command.env("PYO3_PYTHON", &python.executable);
        typed = format!("PYO3_PYTHON={} {typed}", python.executable);
    }
    watch(command).map_err(|why| Failure::environment(format!("failed to build {NAME}: {why}"), typed))
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Those that this was built with, which a worker needs as well.
fn features() -> impl Iterator<Item = &'static str> {
    let features = [("explored", cfg!(feature = "explored")), ("faults", cfg!(feature = "faults"))];
    features.into_iter().filter(|(_, is_on)| *is_on).map(|(feature, _)| feature)
}

/// A worker in whose exporters faults can be planted, beside the one that is as fast as it can be: for a Python that
/// `buflock python build` has made, or for the one that PyO3 takes.
pub fn build_plantable(built: Option<&Built>) -> Result<PathBuf, Failure> {
    if let Some(built) = built {
        return build_with(built, &["faults"], "doctor").map(|located| located.path);
    }
    let Some(folder) = checkout() else { return Err(no_source("a worker with planted faults", "doctor")) };
    let into = target_folder()?.join("doctor").join("installed");
    let path = into.join("release").join(NAME);
    if !path.exists() {
        eprintln!("building a worker in which faults can be planted, which takes some minutes");
    }
    let words = ["build", "-p", "buflock-oracle", "--bin", NAME, "--features", "faults", "--release"];
    let mut command = cargo();
    command.args(words).arg("--target-dir").arg(&into).current_dir(folder);
    // What is asked of it takes less time than to build the fastest.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    let typed = format!("cargo {}", words.join(" "));
    watch(command).map_err(|why| Failure::environment(format!("failed to build {NAME}: {why}"), typed))?;
    Ok(path)
}

/// What cannot be built is told with the command that can be typed elsewhere.
pub fn no_source(what: &str, command: &str) -> Failure {
    Failure::environment(
        format!("{what} is built from the source of buflock, which is gone from where this was built"),
        format!("cargo run --release -- {command}, in a checkout of buflock"),
    )
}

/// The worker for a Python that `buflock python build` has made: one that is linked to it, and that is built with the same
/// sanitizer. The standard library of Rust is as it is shipped, without.
pub fn build_for(built: &Built) -> Result<Located, Failure> {
    build_with(built, &features().collect::<Vec<_>>(), "python")
}

/// As [`build_for`], with these features, in this folder of all that is built here.
fn build_with(built: &Built, features: &[&str], folder_name: &str) -> Result<Located, Failure> {
    let id = &built.facts.id;
    let Some(folder) = checkout() else {
        return Err(no_source(&format!("a worker for {id}"), &format!("run --python {id}")));
    };
    let sanitizer = built.facts.sanitizer.rust();
    let host = host(sanitizer.is_some())?;
    let (mut command, toolchain) = match sanitizer {
        Some(_) => (nightly("cargo"), " +nightly"),
        None => (cargo(), ""),
    };
    // What is built for another target than what builds it is built with these flags alone.
    let flags = sanitizer.map(|name| {
        format!("-Zsanitizer={name} -Cunsafe-allow-abi-mismatch=sanitizer -Cforce-frame-pointers=yes")
    });
    let target = target_folder()?.join(folder_name).join(id);
    let (profile, inner) = if cfg!(debug_assertions) { ("dev", "debug") } else { ("release", "release") };
    let path = target.join(&host).join(inner).join(NAME);
    if !path.exists() {
        eprintln!("building the worker for {id}, which takes some minutes");
    }
    command.args(["build", "-p", "buflock-oracle", "--bin", NAME, "--profile", profile, "--target", &host]);
    command.args(["--features", &features.join(",")]);
    command.arg("--target-dir").arg(&target).current_dir(folder);
    link_to(&mut command, built);
    command.env("RUSTFLAGS", flags.as_deref().unwrap_or_default());
    // Most of the time is spent in C, and linking all at once would take minutes.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    let typed = format!(
        "PYO3_CONFIG_FILE={} RUSTFLAGS=\"{}\" UNSAFE_PYO3_SKIP_VERSION_CHECK=1 cargo{toolchain} build -p buflock-oracle --bin {NAME} --target {host}",
        built.configuration().display(),
        flags.unwrap_or_default()
    );
    watch(command)
        .map_err(|why| Failure::environment(format!("failed to build {NAME} for {id}: {why}"), typed))?;
    Ok(Located { path, checkout: false })
}

/// Lets what a command builds be linked to this Python.
pub fn link_to(command: &mut Command, built: &Built) {
    command.env("PYO3_CONFIG_FILE", built.configuration()).env_remove("PYO3_PYTHON");
    // PyO3 supports no 3.13 without the GIL, and works.
    command.env("UNSAFE_PYO3_SKIP_VERSION_CHECK", "1");
}

/// The folder of all that is built here.
pub fn target_folder() -> Result<PathBuf, Failure> {
    let beside = beside()?;
    Ok(beside.ancestors().nth(2).unwrap_or(&beside).to_owned())
}

/// A tool of the nightly Rust, which alone has sanitizers.
pub fn nightly(tool: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", tool]);
    // What `cargo run` says of its own toolchain.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

/// What the toolchain builds for, if it is there.
pub fn host(is_nightly: bool) -> Result<String, Failure> {
    told(is_nightly, "host: ")
}

/// The version of the toolchain, if it is there.
pub fn version(is_nightly: bool) -> Result<String, Failure> {
    told(is_nightly, "release: ")
}

/// What the compiler says of itself behind this word.
fn told(is_nightly: bool, word: &str) -> Result<String, Failure> {
    let mut rustc = if is_nightly { nightly("rustc") } else { Command::new("rustc") };
    let why = match rustc.arg("-vV").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            if let Some(told) = said.lines().find_map(|line| line.strip_prefix(word)) {
                return Ok(told.to_owned());
            }
            format!("it does not say its {}", word.trim_end_matches(": "))
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("failed to start {}: {error}", rustc.get_program().to_string_lossy()),
    };
    Err(if is_nightly {
        let what = format!("sanitizers and libFuzzer need a nightly Rust: {why}");
        Failure::environment(what, "rustup toolchain install nightly")
    } else {
        Failure::environment(format!("a worker is built with rustc: {why}"), "rustc -vV")
    })
}

/// Runs a build; if it fails, gives what it said.
pub fn watch(mut command: Command) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let said = child.stderr.take().map(overhear).unwrap_or_default();
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("cargo ended with {status}\n{said}")) }
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
