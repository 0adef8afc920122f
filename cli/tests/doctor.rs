//! `buflock doctor` as a user meets it: with a worker that finds what is wrong, and with one that is blind.

mod beside;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use beside::worker;

fn doctor(worker: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_buflock"));
    command.arg("doctor").env("BUFLOCK_WORKER", worker).stdin(Stdio::null());
    command
}

/// What it prints, if it ends with this code.
#[track_caller]
fn ends(command: &mut Command, code: i32) -> String {
    let output: Output = command.output().expect("it starts");
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The line of a check: how it came out, and the rest.
#[track_caller]
fn row<'a>(table: &'a str, name: &str) -> (&'a str, &'a str) {
    let cut = |line: &'a str| Some((line[..8].trim(), line.get(9..)?.strip_prefix(name)?));
    table.lines().find_map(cut).unwrap_or_else(|| panic!("{name} in\n{table}"))
}

#[test]
fn where_all_is_well_each_mistake_is_found() {
    let table = ends(&mut doctor(worker()), 0);
    for name in ["rust", "python", "gil", "a crash", "a stale access", "in native", "in pynative"] {
        assert_eq!(row(&table, name).0, "ok", "{name} in\n{table}");
    }
    assert!(
        row(&table, "a crash").1.contains("SIGSEGV") && row(&table, "in native").1.contains("native/"),
        "{table}"
    );
    assert!(row(&table, "in pynative").1.contains("pynative/"), "{table}");
}

#[test]
fn a_worker_in_which_nothing_goes_wrong_whatever_is_done_is_blind() {
    let folder = tempfile::tempdir().expect("a folder");
    let blind = folder.path().join("worker");
    let script =
        format!("#!/bin/sh\nunset BUFLOCK_PLANT BUFLOCK_DIE_AT\nexec {} \"$@\"\n", worker().display());
    std::fs::write(&blind, script).expect("a file");
    std::fs::set_permissions(&blind, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let table = ends(&mut doctor(&blind), 3);
    for name in ["a crash", "a stale access", "in native", "in pynative"] {
        assert_eq!(row(&table, name).0, "wrong", "{name} in\n{table}");
    }
    assert_eq!(row(&table, "python").0, "ok", "{table}");
}

#[test]
fn what_is_missing_is_told_with_what_mends_it() {
    let table = ends(doctor(Path::new("/dev/null")).env("PYO3_PYTHON", "/nowhere/python3"), 3);
    assert!(row(&table, "python").0 == "wrong" && table.contains("/nowhere/python3"), "{table}");
    // Without any of the tools, what needs them is told, and the worker works all the same.
    let folder = tempfile::tempdir().expect("a folder");
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(python.expect("python3 starts").stdout).expect("a path");
    let mut bare = doctor(worker());
    bare.env("PATH", folder.path()).env_remove("CC").env_remove("CXX");
    bare.env("PYO3_PYTHON", std::env::var("PYO3_PYTHON").unwrap_or(python.trim().to_owned()));
    let table = ends(&mut bare, 0);
    for (name, next) in
        [("nightly rust", "rustup toolchain install"), ("cargo-fuzz", "cargo install"), ("clang", "apt")]
    {
        assert!(
            row(&table, name).0 == "missing" && table.contains(&format!("next: {next}")),
            "{name} in\n{table}"
        );
    }
    assert_eq!(row(&table, "in native").0, "ok", "{table}");
}
