//! `buflock python` as a user meets it, with tools that take no time: a compiler, a source and an interpreter of a few
//! lines of shell. What real ones make is tried out by the build itself, with a fault on purpose.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder with the tools, the source and the cache.
struct Place(TempDir);

const CONFIGURE: &str = r#"#!/bin/sh
for word; do case $word in --prefix=*) prefix=${word#--prefix=} ;; esac; done
cat >python <<END
#!/bin/sh
echo '{"version": "3.13", "description": "3.13.5 of a test", "library": "libpython3.13t.a", "folder": "$prefix/lib",
"include": "$prefix/include", "libraries": "-lm extra/libown.a -lm", "flags": ["Py_GIL_DISABLED"], "pointer_width": 64}'
END
chmod +x python
mkdir extra && echo own >extra/libown.a
cat >Makefile <<END
all:
	echo made >>$FAKE_LOG
	sleep ${FAKE_SLEEP:-0}
bininstall:
	mkdir -p \$(DESTDIR)$prefix/bin \$(DESTDIR)$prefix/lib
	cp python \$(DESTDIR)$prefix/bin/python3
	echo library >\$(DESTDIR)$prefix/lib/libpython3.13t.a
END
"#;

/// What it links is a canary.
const CLANG: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo "clang of a test, version 99"; exit; }
for word; do [ "$before" = -o ] && out=$word; before=$word; done
cat >"$out" <<'END'
#!/bin/sh
[ "$1" = coverage ] && { echo "3 of 100"; exit; }
[ -n "$FAKE_SILENCE" ] && { echo "read 97"; exit; }
cat >&2 <<'TEXT'
==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1 at pc 0x2 bp 0x3 sp 0x4
READ of size 1 at 0x1 thread T0
    #0 0x2 in unpack_single Objects/memoryobject.c:1820:9

SUMMARY: AddressSanitizer: heap-use-after-free Objects/memoryobject.c:1820:9 in unpack_single
TEXT
exit 1
END
chmod +x "$out"
"#;

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a folder"));
        let said = "#!/bin/sh\necho a tool of a test\n";
        place.write("tools/clang", CLANG);
        place.write("tools/clang++", CLANG);
        place.write("tools/llvm-symbolizer", said);
        place.write("tree/configure", CONFIGURE);
        place.write("tree/Include/patchlevel.h", "#define PY_VERSION \"3.13.5\"\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that can be run.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    fn buflock(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_buflock"));
        command.args(words).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.path("cache")).env("CC", self.path("tools/clang"));
        command.env("FAKE_LOG", self.path("log"));
        command
    }

    fn build(&self) -> Command {
        self.buflock(&["python", "build", "--source", "tree", "--free-threaded"])
    }

    fn run(&self, words: &[&str]) -> Output {
        self.buflock(words).output().expect("it starts")
    }

    /// How often the source was compiled.
    fn made(&self) -> usize {
        std::fs::read_to_string(self.path("log")).unwrap_or_default().lines().count()
    }

    fn left_aside(&self) -> usize {
        std::fs::read_dir(self.path("cache/buflock/aside")).map_or(0, Iterator::count)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What ends with this code.
#[track_caller]
fn ends(output: &Output, code: i32) -> (String, String) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_is_built_is_listed_named_and_removed() {
    let place = Place::new();
    let (_, said) = ends(&place.run(&["python", "list"]), 4);
    assert!(said.contains("next: buflock python build"), "{said}");
    let (id, said) = ends(&place.build().output().expect("it starts"), 0);
    let id = id.trim();
    assert!(id.starts_with("3.13.5t-address-") && said.contains(&format!("--python {id}")), "{said}");
    assert!(said.contains("100 edges"), "{said}");
    let (list, _) = ends(&place.run(&["python", "list"]), 0);
    assert!(list.contains(id) && list.contains("free-threaded, AddressSanitizer"), "{list}");
    let configuration = place.path(&format!("cache/buflock/pythons/{id}/pyo3.cfg"));
    let configuration = std::fs::read_to_string(configuration).expect("a configuration");
    for line in [
        "shared=false",
        "lib_name=python3.13t",
        "build_flags=Py_GIL_DISABLED",
        "extra_build_script_line=cargo:rustc-link-lib=static=own",
        "extra_build_script_line=cargo:rustc-link-lib=static=buflock_stubs",
    ] {
        assert!(configuration.lines().any(|found| found == line), "{line} in {configuration}");
    }
    assert_eq!(configuration.matches("rustc-link-lib=m\n").count(), 1, "{configuration}");
    // It is the same, and is not made again.
    let (again, said) = ends(&place.build().output().expect("it starts"), 0);
    assert!(again.trim() == id && said.contains("is there already"), "{said}");
    assert_eq!((place.made(), place.left_aside()), (1, 0));
    ends(&place.run(&["python", "rm", "3.13.5t-a"]), 0);
    ends(&place.run(&["python", "list"]), 4);
    let (_, said) = ends(&place.run(&["python", "rm", "3.13.5t-a"]), 2);
    assert!(said.contains("next: buflock python list"), "{said}");
}

#[test]
fn a_sanitizer_that_is_silent_is_of_no_use() {
    let place = Place::new();
    let output = place.build().env("FAKE_SILENCE", "1").output().expect("it starts");
    let (_, said) = ends(&output, 3);
    assert!(said.contains("of no use") && said.contains("does not see"), "{said}");
    ends(&place.run(&["python", "list"]), 4);
    assert_eq!(place.left_aside(), 0);
}

#[test]
fn a_builder_that_is_killed_leaves_nothing_that_looks_whole_and_the_next_one_sweeps() {
    let place = Place::new();
    let mut killed = place.build().env("FAKE_SLEEP", "5").stderr(Stdio::null()).spawn().expect("it starts");
    let begun = Instant::now();
    while place.made() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    assert_eq!(place.left_aside(), 1);
    ends(&place.run(&["python", "list"]), 4);
    ends(&place.build().output().expect("it starts"), 0);
    ends(&place.run(&["python", "list"]), 0);
    assert_eq!((place.made(), place.left_aside()), (2, 0));
}

#[test]
fn of_two_at_once_one_builds_and_both_have_it() {
    let place = Place::new();
    let start = || {
        let mut build = place.build();
        build.env("FAKE_SLEEP", "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let both = [start(), start()].map(|child| child.wait_with_output().expect("it ends"));
    let ids = both.each_ref().map(|output| ends(output, 0).0);
    assert_eq!(ids[0], ids[1]);
    assert_eq!((place.made(), place.left_aside()), (1, 0));
}

#[test]
fn what_is_missing_is_told_before_anything_is_done() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).expect("a folder");
    std::fs::remove_file(place.path("tools/llvm-symbolizer")).expect("it is there");
    let few = only(&place, &["make", "tar", "xz", "sh", "cat", "chmod"]);
    for (name, variable, value, next) in [
        ("no tools", "PATH", place.path("empty"), "apt install clang"),
        ("another compiler", "CC", "gcc".into(), "unset CC"),
        ("no symbolizer", "PATH", few, "llvm"),
    ] {
        let output = place.build().env(variable, value).output().expect("it starts");
        let (_, said) = ends(&output, 3);
        assert!(said.contains("next: ") && said.contains(next), "{name}: {said}");
        assert_eq!((place.made(), place.left_aside()), (0, 0), "{name}");
    }
}

/// A folder of these tools alone.
fn only(place: &Place, tools: &[&str]) -> PathBuf {
    let folder = place.path("only");
    std::fs::create_dir_all(&folder).expect("a folder");
    for tool in tools {
        let path = std::env::var_os("PATH").expect("there is a path");
        let found = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|path| path.is_file());
        let _ = std::os::unix::fs::symlink(found.expect("this machine has it"), folder.join(tool));
    }
    folder
}

#[test]
fn what_cannot_be_built_is_refused_with_what_can_be_typed() {
    let place = Place::new();
    for (words, code, part) in [
        (&["--source", "nowhere"][..], 3, "nowhere"),
        (&["--source", "tools"], 3, "patchlevel.h"),
        (&["--version", "3.99.0"], 2, "--sha256"),
        (&["--source", "tree", "--version", "3.13.5"], 2, "--help"),
        (&[], 2, "--help"),
    ] {
        let (_, said) = ends(&place.run(&[&["python", "build"], words].concat()), code);
        assert!(said.contains(part), "{words:?}: {said}");
    }
    let (_, said) = ends(&place.run(&["run", "--python", "3.13"]), 2);
    assert!(said.contains("next: buflock python list"), "{said}");
    assert!(Path::new(&place.path("cache/buflock")).is_dir() && place.left_aside() == 0);
}
