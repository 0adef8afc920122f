//! The command as a user meets it: what it prints, where, and how it ends.

mod beside;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use beside::worker;
use buflock::history::Outcome;
use buflock::program::generate::{Schedules, Shape, nth};
use buflock::report::json;
use buflock::subject::{Model, Version};
use serde_json::Value;
use tempfile::TempDir;

/// The command in a folder of its own, with the worker that was built with it.
fn buflock(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_buflock"));
    command.args(words).current_dir(folder).env("BUFLOCK_WORKER", worker());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the command starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn summary(output: &Output) -> Value {
    let text = out(output);
    let last = text.lines().last().unwrap_or_else(|| panic!("{output:?}"));
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn write(folder: &Path, name: &str, lines: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
    std::fs::write(&path, format!("# buflock program 1\n{lines}")).expect("a file");
    path
}

fn findings(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder.join("findings")).expect("findings");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).expect("a finding")))
        .map(|(path, text)| (path.rsplit('/').next().unwrap_or_default().to_owned(), text))
        .collect();
    files.sort();
    files
}

#[test]
fn what_cannot_be_typed_ends_with_2_and_says_where_help_is() {
    let folder = folder();
    for words in [&["run", "--threads", "5"][..], &["run", "--subjects", "pypy"], &["replay"], &["fly"]] {
        let output = output(&mut buflock(folder.path(), words));
        assert_eq!(code(&output), 2, "{words:?}: {output:?}");
        assert!(err(&output).contains("--help"), "{words:?}: {output:?}");
    }
}

#[test]
fn a_malformed_file_is_underlined_and_the_others_are_replayed() {
    let folder = folder();
    write(folder.path(), "all/good.prog", "b0 = bytearray(2)\nlen(b0)  #! 2\n");
    write(folder.path(), "named.prog", "b0 = bytearray(2)\nlen(b0)  #! 2\n");
    write(folder.path(), "all/deep/bad.prog", "b0 = bytearray(2)\nb0.frob()\n");
    std::fs::write(folder.path().join("all/foreign"), b"\x7fELF").expect("a file");
    std::fs::write(folder.path().join("all/cut.bin"), b"\xbf\x0a\x05").expect("a file");
    let output = output(&mut buflock(folder.path(), &["replay", "nowhere.prog", "all", "named.prog"]));
    assert_eq!(code(&output), 2, "{output:?}");
    // Of a folder only what does not agree is named.
    assert!(out(&output).contains("agree      named.prog"), "{output:?}");
    assert!(!out(&output).contains("all/good.prog"), "{output:?}");
    assert!(
        out(&output).contains("2 agree, 0 differ, 0 known, 0 permitted, 0 for another Python, 4 malformed")
    );
    for part in [
        "failed to read nowhere.prog",
        "all/deep/bad.prog:3:4",
        "──┬─",
        "\"frob\"",
        "truncated or damaged",
        "not a buflock program",
    ] {
        assert!(err(&output).contains(part), "{part}: {output:?}");
    }
}

#[test]
fn turns_are_replayed_or_it_is_said_which_build_does_so() {
    let folder = folder();
    write(
        folder.path(),
        "turns.prog",
        "# schedule explored 11\nb0 = bytearray(2)\nT0: v4 = memoryview(b0)\nT1: b0.clear()\n",
    );
    let output = output(&mut buflock(folder.path(), &["replay", "turns.prog"]));
    if cfg!(feature = "explored") {
        assert_eq!(code(&output), 0, "{output:?}");
    } else {
        assert_eq!(code(&output), 2, "{output:?}");
        assert!(
            err(&output).contains("next: cargo run --features explored -- replay turns.prog"),
            "{output:?}"
        );
    }
}

#[test]
fn replay_says_which_file_differs_and_ends_with_1() {
    let folder = folder();
    write(folder.path(), "all/right.prog", "b0 = bytearray(2)\nT1: b0.clear()  #! ok\n");
    write(folder.path(), "all/wrong.prog", "b0 = bytearray(2)\nT1: b0.clear()  #! BufferError\n");
    write(folder.path(), "all/later.prog", "# python >= 3.99\nb0 = bytearray(2)\n");
    let output = output(&mut buflock(folder.path(), &["replay", "all"]));
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(!out(&output).contains("all/right.prog"), "{output:?}");
    assert!(out(&output).contains("differs    all/wrong.prog: model at step 2"), "{output:?}");
    assert!(out(&output).contains("1 agree, 1 differ, 0 known, 0 permitted, 1 for another"), "{output:?}");
}

#[test]
fn the_summary_has_its_keys_and_no_others() {
    let folder = folder();
    let output =
        output(&mut buflock(folder.path(), &["run", "--programs", "50", "--seed", "1", "--format", "json"]));
    let summary = summary(&output);
    let keys =
        |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&summary),
        "findings outcomes peak_rss_mb programs programs_per_second python seconds seed steps steps_per_second verdicts"
    );
    assert_eq!(keys(&summary["verdicts"]), "agree diverge inconclusive permitted");
    assert_eq!(keys(&summary["findings"]), "known new");
    assert_eq!(keys(&summary["python"]), "debug free_threaded version");
    assert_eq!(summary["programs"], 50);
    assert!(json::version(summary["python"]["version"].as_str().unwrap_or_default()).is_some());
}

#[test]
fn what_is_piped_has_no_control_characters() {
    let folder = folder();
    let mut command = buflock(folder.path(), &["run", "--programs", "300", "--seed", "2"]);
    let output = output(command.env("BUFLOCK_PLANT", "off-by-one-slice"));
    assert_eq!(code(&output), 1, "{output:?}");
    let plain = |text: String| text.chars().all(|c| c == '\n' || !c.is_control());
    assert!(plain(out(&output)) && plain(err(&output)), "{output:?}");
    assert!(out(&output).contains("►"), "{output:?}");
}

#[test]
fn programs_and_findings_do_not_depend_on_the_number_of_workers() {
    let run = |jobs: &str| {
        let folder = folder();
        let words = [
            "run",
            "--programs",
            "900",
            "--seed",
            "3",
            "--schedule",
            "lockstep",
            "--jobs",
            jobs,
            "--format",
            "json",
        ];
        let mut command = buflock(folder.path(), &words);
        // What CPython shows when memory runs out depends on what its process has done before.
        command.args(["--subjects", "native"]);
        command.env("BUFLOCK_PLANT", "resize-ignores-exports").env("BUFLOCK_DIE_AT", "400:0");
        let summary = summary(&output(&mut command));
        let counts =
            ["programs", "steps", "verdicts", "outcomes", "findings"].map(|key| summary[key].clone());
        (counts, findings(folder.path()))
    };
    let (one, three) = (run("1"), run("3"));
    assert!(
        one.1.iter().any(|(_, text)| text.contains("signal 9") && text.contains("program 400 of seed 3"))
    );
    assert!(one.1.len() > 10);
    assert!(one == three, "{:?} and {:?}", one.0, three.0);
}

#[test]
fn a_worker_killed_at_any_step_loses_nothing_and_names_the_program_and_the_step() {
    const SEED: u64 = 5;
    const INDEX: u64 = 23;
    let program = nth(SEED, INDEX, Shape::default());
    let run = |die: Option<String>| {
        let folder = folder();
        let words = [
            "run",
            "--schedule",
            "lockstep",
            "--programs",
            "40",
            "--seed",
            "5",
            "--jobs",
            "1",
            "--format",
            "json",
        ];
        let mut command = buflock(folder.path(), &words);
        command.args(["--subjects", "native"]);
        if let Some(die) = die {
            command.env("BUFLOCK_DIE_AT", die);
        }
        let output = output(&mut command);
        (summary(&output), findings(folder.path()), output)
    };
    let (whole, none, _) = run(None);
    assert!(none.is_empty());
    let last = program.steps.len();
    // What the model leaves out no worker can die of.
    let mut model = Model::new(Version::NEWEST);
    let outcomes: Vec<_> = program.steps.iter().map(|step| model.step(step)).collect();
    let ran = |step: &usize| !matches!(outcomes[*step], Outcome::Skipped(_));
    let from = |step: usize| (step..last).find(ran).expect("a step runs");
    let end = (0..last).rev().find(ran).expect("a step runs");
    for step in [from(0), from(1), from(last / 2), end, last] {
        let (how, named) =
            [("kill", "signal 9 (SIGKILL)"), ("abort", "abort"), ("segv", "signal 11 (SIGSEGV)")][step % 3];
        let (summary, found, output) = run(Some(format!("{INDEX}:{step}:{how}")));
        assert_eq!(code(&output), 1, "{output:?}");
        assert_eq!(summary["programs"], whole["programs"], "{step}: {output:?}");
        assert_eq!(summary["verdicts"]["diverge"], 1, "{step}: {output:?}");
        let [(_, text)] = &found[..] else { panic!("{step}: {found:?}") };
        assert!(text.contains(&format!("origin: program {INDEX} of seed {SEED}")), "{text}");
        let place = if step == last { "at rest".to_owned() } else { format!("at step {}", step + 1) };
        assert!(text.contains(&place), "{step}: {text}");
        assert!(text.contains(named), "{text}");
        let steps: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(steps.len(), (step + 1).min(last), "{text}");
        for (line, step) in steps.iter().zip(&program.steps) {
            assert!(line.starts_with(&step.threaded()), "{line}");
        }
    }
}

/// A run of twelve programs by a worker that ends in this way at a step of one of them.
fn run_and_die(folder: &Path, how: &str, more: &[&str]) -> Output {
    let words = ["run", "--schedule", "lockstep", "--programs", "12", "--seed", "3", "--jobs", "1"];
    let mut command = buflock(folder, &words);
    output(command.args(["--format", "json"]).args(more).env("BUFLOCK_DIE_AT", format!("5:1:{how}")))
}

#[test]
fn a_worker_that_reads_behind_the_end_of_a_file_is_a_finding_that_says_so() {
    const CAUSE: &str = "signal 7 (SIGBUS): a page of a map lies behind the end of its file";
    let folder = folder();
    let run = run_and_die(folder.path(), "bus", &["--subjects", "native"]);
    assert_eq!(code(&run), 1, "{run:?}");
    assert_eq!((&summary(&run)["programs"], &summary(&run)["verdicts"]["diverge"]), (&12.into(), &1.into()));
    let [(_, text)] = &findings(folder.path())[..] else { panic!("{run:?}") };
    for part in [format!("died: {CAUSE}\n"), "# clause D3: ".to_owned(), "at step 2\n".to_owned()] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    let signature = text.lines().find(|line| line.starts_with("# signature: ")).expect("a signature");
    assert!(signature.contains("/D3/") && signature.ends_with("/signal 7 (SIGBUS)"), "{signature}");
    // One after the other, each in a worker of its own.
    write(folder.path(), "all/one.prog", "b0 = bytearray(2)\nlen(b0)  #! 2\n");
    write(folder.path(), "all/other.prog", "b0 = bytearray(3)\nb0.clear()  #! ok\n");
    let recorded = format!("{}:1:bus", u64::MAX);
    for (words, count) in [(["replay", "all"], 2), (["show", "all/one.prog"], 1)] {
        let seen = output(buflock(folder.path(), &words).env("BUFLOCK_DIE_AT", &recorded));
        assert_eq!((code(&seen), out(&seen).matches(CAUSE).count()), (1, count), "{seen:?}");
    }
}

#[test]
fn allocators_show_reads_of_freed_memory_and_memory_that_stays() {
    let folder = folder();
    for (allocator, how, ending, told) in [
        ("usual", "stale", 0, "agree with the model"),
        ("debug", "stale", 1, "signature native+cpython+pynative/D3/Append-b/abort"),
        ("guarded", "stale", 1, "signature native+cpython+pynative/D3/Append-b/signal 11 (SIGSEGV)"),
        ("usual", "leak", 0, "agree with the model"),
        ("guarded", "leak", 1, "signature cpython/R3/Append-b/leak"),
    ] {
        let text = format!("# allocator {allocator}\nb0 = bytearray(2)\nb0.append(1)\nb0.pop()\n");
        write(folder.path(), "one.prog", &text);
        let at = format!("{}:1:{how}", u64::MAX);
        let seen = output(buflock(folder.path(), &["show", "one.prog"]).env("BUFLOCK_DIE_AT", at));
        assert_eq!((code(&seen), out(&seen).contains(told)), (ending, true), "{allocator}, {how}: {seen:?}");
    }
}

#[test]
fn a_worker_that_hangs_is_ended_and_is_a_finding() {
    let folder = folder();
    let output = run_and_die(folder.path(), "hang", &["--hang-limit", "0.5"]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert_eq!(summary(&output)["programs"], 12);
    assert!(findings(folder.path())[0].1.contains("hang over 0.5 s"), "{output:?}");
}

#[test]
fn a_worker_that_grows_over_the_limit_is_ended_and_is_a_finding() {
    let folder = folder();
    let output = run_and_die(folder.path(), "bloat", &["--memory-limit", "300"]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert_eq!(summary(&output)["programs"], 12);
    assert!(findings(folder.path())[0].1.contains("memory over 300 MB"), "{output:?}");
}

#[test]
fn a_signature_that_is_saved_is_known_the_next_time() {
    let folder = folder();
    let run = || {
        let words = ["run", "--programs", "300", "--seed", "2", "--schedule", "lockstep", "--format", "json"];
        output(buflock(folder.path(), &words).env("BUFLOCK_PLANT", "off-by-one-slice"))
    };
    let (first, second) = (run(), run());
    assert_eq!((code(&first), code(&second)), (1, 0), "{second:?}");
    assert_eq!(summary(&second)["findings"]["new"], 0);
    let all = |output: &Output| {
        let findings = summary(output)["findings"].clone();
        findings["new"].as_u64().unwrap_or(0) + findings["known"].as_u64().unwrap_or(0)
    };
    assert_eq!(all(&first), all(&second));
}

#[test]
fn a_finding_is_at_most_six_steps_and_its_replay_shows_it() {
    let folder = folder();
    let planted =
        |words: &[&str]| output(buflock(folder.path(), words).env("BUFLOCK_PLANT", "resize-ignores-exports"));
    planted(&["run", "--schedule", "lockstep", "--programs", "300", "--seed", "8"]);
    let (name, text) = findings(folder.path()).into_iter().next().expect("a finding");
    assert!(text.lines().filter(|line| !line.starts_with('#')).count() <= 6, "{text}");
    let path = format!("findings/{name}");
    let replay = planted(&["replay", &path]);
    assert_eq!(code(&replay), 1, "{replay:?}");
    assert!(out(&replay).contains("native at step"), "{replay:?}");
    assert_eq!(code(&output(&mut buflock(folder.path(), &["replay", &path]))), 0);
    let show = planted(&["show", &path]);
    assert!(out(&show).contains("buflock repro findings/"), "{show:?}");
}

#[test]
fn the_environment_is_checked_before_anything_runs() {
    let folder = folder();
    let path = write(folder.path(), "file.prog", "");
    let inside = format!("{}/findings", path.display());
    let unwritable = output(&mut buflock(folder.path(), &["run", "--findings", &inside]));
    assert_eq!(code(&unwritable), 3, "{unwritable:?}");
    assert!(err(&unwritable).contains("findings cannot be saved") && err(&unwritable).contains("next: "));
    let none = output(buflock(folder.path(), &["run"]).env("PYO3_PYTHON", "/nowhere/python"));
    assert_eq!(code(&none), 3, "{none:?}");
    assert!(err(&none).contains("/nowhere/python (from PYO3_PYTHON)"), "{none:?}");
    let mute = output(buflock(folder.path(), &["run"]).env("PYO3_PYTHON", "echo"));
    assert_eq!(code(&mute), 3, "{mute:?}");
    assert!(err(&mute).contains("it says nothing sensible of itself"), "{mute:?}");
    let mut nowhere = buflock(folder.path(), &["run"]);
    for variable in ["PYO3_PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX"] {
        nowhere.env_remove(variable);
    }
    let none = output(nowhere.env("PATH", folder.path()));
    assert_eq!(code(&none), 3, "{none:?}");
    assert!(
        err(&none).contains("there is no Python 3") && err(&none).contains("next: apt install"),
        "{none:?}"
    );
}

#[test]
fn the_command_is_built_without_python() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args([
        "tree",
        "--offline",
        "--package",
        "buflock-cli",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ]);
    let shown = output(tree.current_dir(env!("CARGO_MANIFEST_DIR")));
    assert!(shown.status.success(), "{shown:?}");
    assert!(out(&shown).contains("clap ") && !out(&shown).contains("pyo3"), "{}", out(&shown));
}

#[test]
fn nothing_to_run_is_no_success() {
    let folder = folder();
    assert_eq!(code(&output(&mut buflock(folder.path(), &["run", "--programs", "0"]))), 4);
    std::fs::create_dir(folder.path().join("empty")).expect("a folder");
    assert_eq!(code(&output(&mut buflock(folder.path(), &["replay", "empty"]))), 4);
}

fn ended_within(child: &mut Child, limit: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if child.try_wait().expect("a child").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    false
}

#[test]
fn an_interrupt_ends_a_run_with_its_summary() {
    let folder = folder();
    let mut command = buflock(folder.path(), &["run", "--seconds", "60", "--seed", "1", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a run");
    std::thread::sleep(Duration::from_secs(2));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(sent.success() && ended_within(&mut child, Duration::from_secs(20)));
    let output = child.wait_with_output().expect("its output");
    assert!(summary(&output)["programs"].as_u64() > Some(0), "{output:?}");
}

/// Every Python of the machine that the script may run on.
fn pythons() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let recent = |path: &PathBuf| {
        let check = "import sys; sys.exit(sys.version_info < (3, 9))";
        Command::new(path).args(["-c", check]).output().is_ok_and(|output| output.status.success())
    };
    let mut all: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin/python")).collect();
    all.push(PathBuf::from("python3"));
    all.retain(recent);
    all
}

#[test]
fn the_script_ends_with_1_where_the_difference_shows_and_with_0_where_not() {
    let folder = folder();
    let lines = |refused: &str, left: &str| {
        format!(
            "b0 = bytearray(b\"abcd\")\nv0 = memoryview(b0)\nT0: v1 = v0[1:3]\nT1: b0.extend(b\"a\")  #! {refused}\n\
             T2: x0 = PickleBuffer(v1)\nT1: v1.tolist()  #! [98, 99]\nT0: v1.release()  #! BufferError\n\
             T2: x0.release()\nT3: with v1: pass\nT0: v0.release()\nT0: b0.pop()  #! {left}\n"
        )
    };
    for (name, refused, left, expected) in
        [("right", "BufferError", "100", 0), ("wrong", "ok", "100", 1), ("value", "BufferError", "99", 1)]
    {
        write(folder.path(), &format!("{name}.prog"), &lines(refused, left));
        let (file, script) = (format!("{name}.prog"), format!("{name}.py"));
        let repro = output(&mut buflock(folder.path(), &["repro", &file, "-o", &script]));
        assert_eq!(code(&repro), 0, "{repro:?}");
        for python in pythons() {
            let mut run = Command::new(&python);
            let shown = output(run.arg(&script).current_dir(folder.path()));
            assert_eq!(code(&shown), expected, "{name} on {}: {shown:?}", python.display());
        }
    }
}

/// A Python whose `bytearray` is broken: `append` reads what is there and writes it back a moment later, so that what others
/// do meanwhile is lost, or it ends the process or waits for ever if two threads are in it at once.
const BROKEN: &str = r#"
import builtins, os

how = os.environ["BROKEN"]
inside = []

class bytearray(builtins.bytearray):
    def append(self, item):
        if how == "loses":
            self[:] = bytes(self) + bytes([item])
            return
        inside.append(item)
        if len(inside) > 1 and how == "aborts":
            os.abort()
        while len(inside) > 1:
            pass
        super().append(item)
        inside.pop()

builtins.bytearray = bytearray
"#;

#[test]
fn the_script_of_a_race_goes_on_until_no_order_explains_what_its_threads_saw() {
    let folder = folder();
    let lines = "# schedule concurrent\nb0 = bytearray(b\"abc\")\nv0 = memoryview(b0)\nT0: v0.release()\nT0: b0.append(1)\n\
                 T1: b0.append(2)\nT1: len(b0)\nT2: b0.append(3)\nT2: v6 = memoryview(b0)\nT2: v6.obj\n";
    write(folder.path(), "race.prog", lines);
    write(folder.path(), "broken/sitecustomize.py", BROKEN);
    let repro = output(&mut buflock(folder.path(), &["repro", "race.prog", "-o", "race.py"]));
    assert_eq!(code(&repro), 0, "{repro:?}");
    let script = std::fs::read_to_string(folder.path().join("race.py")).expect("the script");
    write(folder.path(), "hasty.py", &script.replace("PATIENCE = 10.0", "PATIENCE = 2.0"));
    let run = |python: &Path, script: &str, seconds: &str, broken: Option<&str>| {
        let mut run = Command::new(python);
        run.args([script, seconds]).current_dir(folder.path());
        if let Some(how) = broken {
            run.env("PYTHONPATH", folder.path().join("broken")).env("BROKEN", how);
        }
        let shown = output(&mut run);
        let memory = out(&shown).lines().find_map(|line| {
            line.strip_prefix("the most memory in use: ")?.strip_suffix(" MiB")?.parse::<u64>().ok()
        });
        assert!(memory.is_some_and(|memory| memory < 64), "{shown:?}");
        shown
    };
    for python in pythons() {
        let right = run(&python, "race.py", "0.5", None);
        assert_eq!(code(&right), 0, "{}: {right:?}", python.display());
        assert!(out(&right).contains("no difference shows in "), "{right:?}");
        let lost = run(&python, "race.py", "60", Some("loses"));
        assert_eq!(code(&lost), 1, "{}: {lost:?}", python.display());
        assert!(
            out(&lost).contains("no order of these steps explains that\nthe difference shows after "),
            "{lost:?}"
        );
    }
    let python = &pythons()[0];
    for (script, how, told) in
        [("race.py", "aborts", "it dies of signal 6 after "), ("hasty.py", "waits", "it hangs after ")]
    {
        let shown = run(python, script, "60", Some(how));
        assert_eq!(code(&shown), 1, "{shown:?}");
        assert!(out(&shown).contains(told) && out(&shown).contains("\nthe difference shows\n"), "{shown:?}");
    }
}

#[test]
fn what_a_python_that_is_right_does_in_a_race_its_script_explains() {
    let folder = folder();
    let shape = Shape { steps: 10, schedules: Schedules::Concurrent, ..Shape::default() };
    let races = (0..).map(|index| nth(6, index, shape)).filter(|program| program.schedule.races());
    let python = Path::new("python3");
    let mut rounds = 0;
    for (number, program) in races.take(10).enumerate() {
        let (file, script) = (format!("{number}.prog"), format!("{number}.py"));
        write(folder.path(), &file, &program.to_string());
        let repro = output(&mut buflock(folder.path(), &["repro", &file, "-o", &script]));
        assert_eq!(code(&repro), 0, "{repro:?}");
        // What is known of this Python may show before the threads start.
        if !std::fs::read_to_string(folder.path().join(&script)).expect("the script").contains("\nORDERS = [")
        {
            continue;
        }
        let shown = output(Command::new(python).args([&script, "0.3"]).current_dir(folder.path()));
        assert_eq!(code(&shown), 0, "{program}\n{shown:?}");
        let said = out(&shown);
        let count = said.split("no difference shows in ").nth(1).and_then(|rest| rest.split(' ').next());
        rounds += count.and_then(|count| count.parse::<u32>().ok()).expect("a number of rounds");
    }
    assert!(rounds > 200, "{rounds}");
}

#[test]
fn a_race_of_too_many_orders_has_no_script_and_what_says_so_says_what_to_type() {
    let folder = folder();
    let lines: String = (0..24).map(|number| format!("T{}: b0.append({number})\n", number % 4)).collect();
    write(folder.path(), "large.prog", &format!("# schedule concurrent\nb0 = bytearray()\n{lines}"));
    let repro = output(&mut buflock(folder.path(), &["repro", "large.prog"]));
    assert_eq!(code(&repro), 4, "{repro:?}");
    assert!(
        err(&repro).contains("too many orders") && err(&repro).contains("next: buflock shrink large.prog")
    );
}
