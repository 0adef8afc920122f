//! What builds a fuzz target: looked for, and installed where that is wanted.

use std::process::{Command, Stdio};

use crate::error::Failure;
use crate::locate;

/// What installs what builds a target.
const INSTALL: [(&str, &[&str]); 2] = [
    ("rustup", &["toolchain", "install", "nightly", "--profile", "minimal"]),
    ("cargo", &["install", "--locked", "cargo-fuzz"]),
];

/// Looks for what builds a target, and with `install` installs what is missing.
///
/// # Errors
/// What is missing, with what installs it.
pub fn look_for_all(install: bool) -> Result<(), Failure> {
    let [nightly, cargo_fuzz] = INSTALL;
    let found = locate::host(true).map(drop);
    found.or_else(|failure| if install { run(nightly) } else { Err(failure) })?;
    look_for_cargo_fuzz()
        .map(drop)
        .or_else(|failure| if install { run(cargo_fuzz) } else { Err(failure) })?;
    look_for_compiler().map(drop)
}

/// Whether cargo-fuzz is there.
pub fn look_for_cargo_fuzz() -> Result<String, Failure> {
    let mut asked = locate::nightly("cargo");
    asked.args(["fuzz", "--version"]);
    first_line(asked).ok_or_else(|| {
        Failure::environment(
            "cargo-fuzz, which builds fuzz targets, is missing",
            "cargo install --locked cargo-fuzz, or buflock fuzz --install",
        )
    })
}

/// Whether there is a C++ compiler: libFuzzer comes as a source.
pub fn look_for_compiler() -> Result<String, Failure> {
    let named = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut asked = Command::new(&named);
    asked.arg("--version");
    let what = format!("{}, a C++ compiler to build libFuzzer with, is missing", named.to_string_lossy());
    first_line(asked).ok_or_else(|| Failure::environment(what, "apt install g++, or dnf install gcc-c++"))
}

/// The first line of what a command says, if it can be started and succeeds.
fn first_line(mut command: Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    let said = String::from_utf8_lossy(&output.stdout);
    Some(said.lines().next().unwrap_or_default().to_owned())
}

fn run((program, words): (&str, &[&str])) -> Result<(), Failure> {
    let typed = format!("{program} {}", words.join(" "));
    eprintln!("{typed}");
    let mut command = Command::new(program);
    command.args(words);
    locate::watch(command).map_err(|why| Failure::environment(format!("failed to install: {why}"), typed))
}
