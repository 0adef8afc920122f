//! `buflock python build`: from a source to a static library that somebody can be linked to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::cache::{Built, Cache, Facts, SUPPRESSIONS};
use super::canary::{self, Nest};
use super::recipe::{Recipe, STUBS, Sanitizer};
use super::source::{Source, hex};
use super::tools::{self, Tools};
use crate::args::BuildPython;
use crate::error::{Ending, Failure};
use crate::output;

/// `buflock python build`
pub fn build(args: &BuildPython) -> Result<Ending, Failure> {
    let recipe = Recipe { free_threaded: args.free_threaded, sanitizer: args.sanitizer, debug: args.debug };
    let cache = Cache::open()?;
    let tools = Tools::find(recipe.sanitizer)?;
    let source = Source::find(args, &cache.sources())?;
    let id = identify(&source, recipe, &tools);
    if let Some(built) = cache.get(&id) {
        return announce(&built, "is there already");
    }
    tools::look_for_room(cache.root())?;
    let held = cache.lock(&id)?;
    if let Some(built) = cache.get(&id) {
        return announce(&built, "was built meanwhile");
    }
    cache.sweep(&id, &held);
    let aside = cache.aside(&id)?;
    let jobs =
        args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let work = Work {
        tree: source.tree(&aside.path().join("source"))?,
        folder: aside.path().join("build"),
        home: cache.place(&id),
        staged: aside.path().join("installed"),
        recipe,
        tools: &tools,
        jobs,
    };
    let (made, description) = work.all()?;
    let facts = Facts {
        id: id.clone(),
        version: source.version.clone(),
        description,
        free_threaded: recipe.free_threaded,
        sanitizer: recipe.sanitizer,
        debug: recipe.debug,
        source: source.name.clone(),
        compiler: tools.version.clone(),
        symbolizer: tools.symbolizer.clone(),
    };
    facts.write(&made)?;
    fs::rename(&made, cache.place(&id)).map_err(|error| Failure::file("move", &made, &error))?;
    announce(&Built { folder: cache.place(&id), facts }, "is built")
}

fn announce(built: &Built, how: &str) -> Result<Ending, Failure> {
    let Built { folder, facts } = built;
    eprintln!("{} {how}, in {}\n  next: buflock run --python {}", facts.words(), folder.display(), facts.id);
    output::print(&format!("{}\n", facts.id))?;
    Ok(Ending::Clean)
}

/// What the Python is, and eight digits that stand for all that it is made of.
fn identify(source: &Source, recipe: Recipe, tools: &Tools) -> String {
    let of = [&*source.digest, &recipe.identity(), &tools.version].join("\n");
    let digest = hex(&Sha256::digest(of));
    format!("{}-{}", recipe.name(&source.version), &digest[..8])
}

/// What looks like a race since ThreadSanitizer does not see what orders it.
const UNSEEN_ORDER: &str =
    "# The standard library of Rust as it is shipped: a lock that is not seen, and the fence of Arc.
race:std::sys::pal::unix::stack_overflow
race:library/alloc/src/sync.rs
# What the first threads of an interpreter do when they begin, which has to do with no buffer.
race:_PyGC_ImmortalizeDeferredObjects
";

/// A build, and its folders, which are all on one disk.
struct Work<'a> {
    tree: PathBuf,
    folder: PathBuf,
    /// Where the Python will be.
    home: PathBuf,
    /// Where it is put first, with its whole path below.
    staged: PathBuf,
    recipe: Recipe,
    tools: &'a Tools,
    jobs: usize,
}

/// What the Python says of how it is linked.
#[derive(Debug, Deserialize)]
struct Links {
    version: String,
    description: String,
    library: String,
    folder: PathBuf,
    include: PathBuf,
    /// As a compiler is told, separated by blanks.
    libraries: String,
    flags: Vec<String>,
    pointer_width: u32,
}

const ASK: &str = r#"
import json, struct, sys, sysconfig
get = sysconfig.get_config_var
flags = ["Py_GIL_DISABLED"] * bool(get("Py_GIL_DISABLED")) + ["Py_DEBUG", "Py_REF_DEBUG"] * bool(get("Py_DEBUG"))
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "description": sys.version.split("\n")[0],
    "library": get("LIBRARY"),
    "folder": get("LIBPL"),
    "include": get("INCLUDEPY"),
    "libraries": " ".join(get(name) or "" for name in ("MODLIBS", "LIBS", "SYSLIBS", "LIBM")),
    "flags": flags,
    "pointer_width": struct.calcsize("P") * 8,
}))
"#;

impl Work<'_> {
    /// Does it all, and gives the folder that is to be moved to its place, and what the Python says of itself.
    fn all(&self) -> Result<(PathBuf, String), Failure> {
        fs::create_dir_all(&self.folder).map_err(|error| Failure::file("make", &self.folder, &error))?;
        for (name, text) in self.recipe.lists() {
            self.write(name, &text)?;
        }
        self.write("stubs.c", STUBS)?;
        eprintln!("configuring");
        let mut configure = self.command(&self.tree.join("configure"));
        configure.arg("-q").arg(format!("--prefix={}", self.home.display())).args(self.recipe.options());
        configure.arg(assigned("CC", &self.tools.clang)).arg(assigned("CXX", &self.tools.clangxx));
        self.run(configure, "configure")?;
        self.stub()?;
        eprintln!("compiling, which takes some minutes");
        let mut make = self.make("all");
        make.arg(format!("-j{}", self.jobs));
        self.run(make, "make")?;
        eprintln!("installing");
        let mut install = self.make("bininstall");
        // Modules are compiled when they are first imported; an interpreter that is watched takes minutes over all.
        install.arg("PYTHON_FOR_BUILD=:").arg(assigned("DESTDIR", &self.staged));
        self.run(install, "install")?;
        let links = self.ask()?;
        let made = self.under_stage(&self.home);
        let extra = self.extra_libraries(&links)?;
        self.configure_pyo3(&links, &extra, &made)?;
        self.suppress(&made)?;
        eprintln!("trying it out");
        let nest = Nest {
            home: &made,
            include: &self.under_stage(&links.include),
            library: &self.under_stage(&links.folder).join(&links.library),
            libraries: &extra.linked(&self.under_stage(&links.folder)),
            sanitizer: self.recipe.sanitizer,
        };
        let edges = canary::sing(&nest, self.tools, &self.folder).map_err(|why| Failure {
            ending: Ending::Environment,
            what: format!("what was built is of no use: {why}"),
            next: None,
        })?;
        eprintln!("it has {edges} edges to be covered in the files that make or use buffers");
        Ok((made, links.description))
    }

    fn under_stage(&self, path: &Path) -> PathBuf {
        self.staged.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        for name in ["PYTHONHOME", "PYTHONPATH", "CFLAGS", "LDFLAGS", "MAKEFLAGS", "MFLAGS"] {
            command.env_remove(name);
        }
        // The interpreter runs while it is built, and neither is what it leaves of interest nor what it does then.
        command.env("ASAN_OPTIONS", "detect_leaks=0").env("TSAN_OPTIONS", "report_bugs=0");
        command
    }

    fn make(&self, target: &str) -> Command {
        let mut make = self.command(Path::new("make"));
        make.arg(target);
        make.arg(format!("CFLAGS_NODIST={}", self.recipe.flags(&self.folder, &self.tree)));
        // What the interpreter is linked to, and what whoever links the library is.
        make.arg(format!("LDFLAGS_NODIST={}", self.folder.join("stubs.o").display()));
        make
    }

    /// Runs a command, whose output is shown if it fails.
    fn run(&self, mut command: Command, name: &str) -> Result<(), Failure> {
        const SHOWN: usize = 20;
        let output = command.output().map_err(|error| {
            Failure::environment(format!("failed to start {name}: {error}"), "apt install make")
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let log = std::env::temp_dir().join(format!("buflock-{name}.log"));
        let kept = fs::write(&log, said.as_bytes()).is_ok();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        Err(Failure {
            ending: Ending::Environment,
            what: format!("{name} ended with {}\n{last}", output.status),
            next: kept.then(|| format!("less {}", log.display())),
        })
    }

    /// Compiles what stands in for a fuzzer.
    fn stub(&self) -> Result<(), Failure> {
        let mut clang = self.command(&self.tools.clang);
        clang.args(["-c", "-O1", "-fPIC", "stubs.c", "-o", "stubs.o"]);
        self.run(clang, "clang")
    }

    fn ask(&self) -> Result<Links, Failure> {
        let mut python = self.command(&self.folder.join("python"));
        let output = python.args(["-c", ASK]).output();
        let output = output.map_err(|error| Failure::file("start", &self.folder.join("python"), &error))?;
        serde_json::from_slice(&output.stdout).map_err(|error| Failure {
            ending: Ending::Environment,
            what: format!(
                "the Python that was built does not say how it is linked: {error}\n{}",
                String::from_utf8_lossy(&output.stderr)
            ),
            next: None,
        })
    }

    /// Puts beside the library what is linked to it and was built with it: the interpreter's own objects name it by its
    /// place among them.
    fn extra_libraries(&self, links: &Links) -> Result<Extra, Failure> {
        let mut extra = Extra { own: Vec::new(), systems: Vec::new() };
        let to = self.under_stage(&links.folder);
        for word in links.libraries.split_whitespace() {
            if let Some(name) = word.strip_prefix("-l") {
                if !extra.systems.iter().any(|known| known == name) {
                    extra.systems.push(name.to_owned());
                }
            } else if word.ends_with(".a") {
                let from = self.folder.join(word);
                let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let name = if name.starts_with("lib") { name } else { format!("lib{name}") };
                if !extra.own.contains(&name) {
                    let to = to.join(&name);
                    fs::copy(&from, &to).map_err(|error| Failure::file("copy", &from, &error))?;
                    extra.own.push(name);
                }
            }
        }
        let stubs = to.join("libbuflock_stubs.a");
        let mut ar = self.command(Path::new("ar"));
        ar.arg("rcs").arg(&stubs).arg("stubs.o");
        self.run(ar, "ar")?;
        extra.own.push("libbuflock_stubs.a".to_owned());
        Ok(extra)
    }

    /// Lists the races that are not to be reported: those that the developers of CPython know of, and what only looks like
    /// one.
    fn suppress(&self, made: &Path) -> Result<(), Failure> {
        if self.recipe.sanitizer != Sanitizer::Thread {
            return Ok(());
        }
        let threads = if self.recipe.free_threaded { "_free_threading" } else { "" };
        let list = self.tree.join(format!("Tools/tsan/suppressions{threads}.txt"));
        let list = fs::read_to_string(list).unwrap_or_default();
        let path = made.join(SUPPRESSIONS);
        fs::write(&path, format!("{list}\n{UNSEEN_ORDER}"))
            .map_err(|error| Failure::file("write", &path, &error))
    }

    /// Writes what PyO3 reads in place of asking an interpreter.
    fn configure_pyo3(&self, links: &Links, extra: &Extra, made: &Path) -> Result<(), Failure> {
        let stem = |file: &str| file.trim_start_matches("lib").trim_end_matches(".a").to_owned();
        let mut lines = vec![
            "implementation=CPython".to_owned(),
            format!("version={}", links.version),
            "shared=false".to_owned(),
            format!("lib_name={}", stem(&links.library)),
            format!("lib_dir={}", links.folder.display()),
            format!("executable={}", self.home.join("bin/python3").display()),
            format!("pointer_width={}", links.pointer_width),
            format!("build_flags={}", links.flags.join(",")),
            "suppress_build_script_link_lines=false".to_owned(),
        ];
        let library =
            |kind: &str, name: &str| format!("extra_build_script_line=cargo:rustc-link-lib={kind}{name}");
        lines.extend(extra.own.iter().map(|file| library("static=", &stem(file))));
        lines.extend(extra.systems.iter().map(|name| library("", name)));
        let path = made.join("pyo3.cfg");
        fs::write(&path, lines.join("\n") + "\n").map_err(|error| Failure::file("write", &path, &error))
    }
}

/// What is linked beside the library.
#[derive(Debug)]
struct Extra {
    /// Files beside it.
    own: Vec<String>,
    /// Names of libraries of the system.
    systems: Vec<String>,
}

impl Extra {
    /// For a compiler, if its own are in this folder.
    fn linked(&self, folder: &Path) -> Vec<String> {
        let own = self.own.iter().map(|file| folder.join(file).to_string_lossy().into_owned());
        own.chain(self.systems.iter().map(|name| format!("-l{name}"))).collect()
    }
}

fn assigned(name: &str, path: &Path) -> std::ffi::OsString {
    let mut assigned = std::ffi::OsString::from(format!("{name}="));
    assigned.push(path);
    assigned
}
