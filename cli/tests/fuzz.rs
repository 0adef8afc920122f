//! `buflock fuzz` as a user meets it. Most of it with a target of a few lines of shell, which does at once what libFuzzer
//! does once in hours; then with a real one, where there is a nightly Rust.

mod beside;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use beside::worker;
use buflock::fuzz::session::Session;
use buflock::fuzz::{TARGETS, Target};
use buflock::judge::Verdict;
use buflock::program::parse;
use buflock::report::{Finding, Told};
use buflock::subject::Version;
use serde_json::Value;
use tempfile::TempDir;

/// What stands in for a target: it takes the options of libFuzzer that it is given, and does what `FAKE` says.
const TARGET: &str = r##"#!/bin/sh
for word; do case $word in
    -merge=1) merges=1 ;;
    -artifact_prefix=*) prefix=${word#*=} ;;
    -*) ;;
    *) if [ -z "$first" ]; then first=$word; else rest="$rest $word"; fi ;;
esac; done
[ -d "$prefix" ] || { echo "there is no folder $prefix" >&2; exit 1; }
if [ "$merges" ]; then
    [ "$FAKE" = blind ] && exit 0
    for folder in $rest; do cp "$folder"/* "$first" 2>/dev/null; done
    exit 0
fi
number=$BUFLOCK_FUZZ_PROCESS
printf '\012\0\0\0\0\0\0\0' >"$BUFLOCK_FUZZ_SESSION/meter-$number"
ls "$first" >"$FAKE_LOG.$number"
case $FAKE.$number in
dies.1 | killed.1)
    printf '# buflock program 1\nb0 = bytearray(2)\nlen(b0)\n' | tee "$first/deadly" >"${prefix}crash-1"
    [ "$FAKE" = killed ] && kill -9 "$PPID"
    echo '==1==ERROR: what a sanitizer says' >&2
    exit 77 ;;
keeps.1) cp "$FAKE_FOUND"/found/* "$BUFLOCK_FUZZ_SESSION/found" ;;
grows.*) echo "$$" >"$first/input-$$" ;;
barren.*) echo 'there is no Python in here' >&2; exit 1 ;;
esac
# Longer than a run.
exec sleep 60
"##;

/// A folder of its own, with the target and a corpus.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a folder"));
        let target = place.path("target");
        std::fs::write(&target, TARGET).expect("a file");
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn fuzz(&self, what: &str) -> Command {
        self.fuzz_for(what, "1")
    }

    fn fuzz_for(&self, what: &str, seconds: &str) -> Command {
        let mut command = self.real("cpython_lockstep", seconds);
        command.env("BUFLOCK_FUZZ_TARGET", self.path("target")).env("FAKE", what);
        command.env("FAKE_LOG", self.path("log")).env("FAKE_FOUND", self.path("kept"));
        command
    }

    fn real(&self, target: &str, seconds: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_buflock"));
        command.args([
            "fuzz",
            target,
            "--seconds",
            seconds,
            "--jobs",
            "1",
            "--format",
            "json",
            "--corpus",
            "corpora",
        ]);
        command.current_dir(self.0.path()).env("BUFLOCK_WORKER", worker()).stdin(Stdio::null());
        command
    }

    fn findings(&self, extension: &str) -> Vec<String> {
        let is_such = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
        files(&self.path("findings"))
            .into_iter()
            .filter(is_such)
            .map(|path| std::fs::read_to_string(path).expect("a finding"))
            .collect()
    }

    /// The inputs that are kept, without those that come with buflock.
    fn kept(&self) -> Vec<String> {
        let files = files(&self.path("corpora/cpython_lockstep/corpus"));
        let names = files.iter().filter_map(|path| path.file_name()?.to_str());
        names.filter(|name| !name.ends_with(".prog")).map(str::to_owned).collect()
    }

    /// The folders of runs that are there.
    fn runs(&self) -> usize {
        std::fs::read_dir(self.path("corpora/cpython_lockstep/runs")).map_or(0, Iterator::count)
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

/// What ends with this code, and the last line of what it printed.
#[track_caller]
fn ends(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).expect("an object"))
}

fn output(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_target_that_runs_programs_can_be_fuzzed() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/Cargo.toml"));
    let manifest = manifest.expect("a manifest");
    let mut built: Vec<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    built.retain(|path| *path != "program_text.rs\"");
    let mut known = TARGETS.map(|target| format!("{}.rs\"", target.name)).to_vec();
    built.sort_unstable();
    known.sort();
    assert_eq!(built, known);
    let place = Place::new();
    let refused = output(place.fuzz("").arg("another"));
    ends(&refused, 2);
    assert!(Target::of_name("another").is_none() && said(&refused).contains("--help"), "{refused:?}");
}

#[test]
fn a_death_is_a_finding_with_a_script_and_others_go_on() {
    let place = Place::new();
    // The program that the target dies of, the worker dies of as well.
    let die = format!("{}:1:segv", u64::MAX);
    let first = output(place.fuzz("dies").env("BUFLOCK_DIE_AT", &die));
    let figures = ends(&first, 1);
    assert_eq!((&figures["findings"]["new"], &figures["deaths"]), (&1.into(), &1.into()), "{first:?}");
    // Two processes have run ten inputs each.
    assert_eq!((&figures["inputs"], place.runs()), (&20.into(), 0), "{first:?}");
    let [finding] = &place.findings("prog")[..] else { panic!("{first:?}") };
    assert!(finding.contains("len(b0)") && finding.contains("signal 11 (SIGSEGV)"), "{finding}");
    let [script] = &place.findings("py")[..] else { panic!("{first:?}") };
    assert!(script.starts_with("#!/usr/bin/env python3"), "{script}");
    let log =
        |number| std::fs::read_to_string(place.path(&format!("log.{number}"))).expect("a process has run");
    assert!(!log(2).contains("deadly"), "what ends a process is given to the next one: {}", log(2));
    assert!(log(1).contains(".prog"), "the corpus of the repository is no seed: {}", log(1));
    // What is saved is nothing new.
    let again = output(place.fuzz("dies").env("BUFLOCK_DIE_AT", &die));
    let figures = ends(&again, 0);
    assert_eq!(
        (&figures["findings"]["new"], &figures["findings"]["known"]),
        (&0.into(), &1.into()),
        "{again:?}"
    );
}

#[test]
fn a_death_that_does_not_come_again_is_a_finding_by_what_was_said_of_it() {
    let place = Place::new();
    let ended = output(&mut place.fuzz("dies"));
    ends(&ended, 1);
    let [finding] = &place.findings("prog")[..] else { panic!("{ended:?}") };
    assert!(finding.contains("exit code 77") && finding.contains("what a sanitizer says"), "{finding}");
}

/// A finding as a target keeps it, in a session of its own.
fn keep_one(folder: &Path) -> Finding {
    let text = "# buflock program 1\nb0 = bytearray(2)\nlen(b0)  #! 3\n";
    let program = parse::parse(text).expect("a program");
    let mut check = buflock::check::Check::native(Version::NEWEST);
    let (Verdict::Diverge(divergence), _) = check.record(&program.clone().into()) else {
        panic!("it differs")
    };
    let finding = Finding::divergence(Told::from(&divergence), &program, Version::NEWEST, "");
    let session = Session::new(folder, 1).expect("a session");
    session.note_found(&finding).expect("a finding");
    finding
}

#[test]
fn what_a_target_has_kept_is_saved() {
    let place = Place::new();
    let kept = keep_one(&place.path("kept"));
    let ended = output(&mut place.fuzz("keeps"));
    let figures = ends(&ended, 1);
    assert_eq!((&figures["findings"]["new"], &figures["deaths"]), (&1.into(), &0.into()), "{ended:?}");
    let [finding] = &place.findings("prog")[..] else { panic!("{ended:?}") };
    assert!(finding.contains(&format!("# signature: {}", kept.told.signature)), "{finding}");
    assert!(finding.contains("# found on: Python 3."), "{finding}");
}

#[test]
fn a_command_that_is_killed_loses_nothing() {
    let place = Place::new();
    let killed = output(&mut place.fuzz("killed"));
    assert_eq!(
        (killed.status.code(), place.findings("prog").len(), place.runs()),
        (None, 0, 1),
        "{killed:?}"
    );
    let next = output(&mut place.fuzz(""));
    assert_eq!(ends(&next, 1)["findings"]["new"], 1, "{next:?}");
    assert_eq!((place.findings("prog").len(), place.runs()), (1, 0), "{next:?}");
}

#[test]
fn inputs_are_there_for_the_next_run_and_two_at_once_keep_those_of_both() {
    let place = Place::new();
    let start =
        || place.fuzz("grows").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    for output in [start(), start()].map(|child| child.wait_with_output().expect("it ends")) {
        assert!(ends(&output, 0)["added"].as_u64() >= Some(1), "{output:?}");
    }
    let kept = place.kept();
    assert_eq!((kept.len(), place.runs()), (2, 0), "{kept:?}");
    ends(&output(&mut place.fuzz("")), 0);
    let log = std::fs::read_to_string(place.path("log.1")).expect("it has run");
    assert!(kept.iter().all(|name| log.contains(name)), "{kept:?} in {log}");
}

#[test]
fn what_cannot_run_says_why() {
    let place = Place::new();
    let barren = output(&mut place.fuzz_for("barren", "30"));
    ends(&barren, 3);
    assert!(said(&barren).contains("there is no Python in here"), "{barren:?}");
    let blind = output(&mut place.fuzz("blind"));
    assert_eq!(blind.status.code(), Some(3), "{blind:?}");
    assert!(said(&blind).contains("guided by nothing"), "{blind:?}");
    let mut bare = place.real("native_model", "1");
    let tools = place.path("tools");
    std::fs::create_dir(&tools).expect("a folder");
    let bare = output(bare.env("PATH", tools));
    ends(&bare, 3);
    assert!(said(&bare).contains("next: rustup toolchain install nightly"), "{bare:?}");
}

/// Whether a target can be built here; says why not.
fn can_build() -> bool {
    let asked = Command::new("rustup").args(["run", "nightly", "cargo", "fuzz", "--version"]).output();
    let can = asked.is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("SKIPPED: there is no nightly Rust with cargo-fuzz");
    }
    can
}

#[test]
fn a_planted_fault_is_found_by_a_real_target_and_none_is_where_none_is_planted() {
    if !can_build() {
        return;
    }
    let place = Place::new();
    let found = output(place.real("native_model", "20").env("BUFLOCK_PLANT", "export-not-counted"));
    let figures = ends(&found, 1);
    assert!(
        figures["inputs"].as_u64() > Some(100) && figures["edges"]["ours"]["reached"].as_u64() > Some(100),
        "{found:?}"
    );
    assert!(place.findings("prog").iter().any(|finding| finding.contains("native differs")), "{found:?}");
    // What the first has covered is kept.
    assert!(files(&place.path("corpora/native_model/corpus")).len() > 10, "{found:?}");
    let place = Place::new();
    assert_eq!(ends(&output(&mut place.real("native_model", "5")), 0)["findings"]["new"], 0);
}
