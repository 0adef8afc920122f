//! What a build needs of the machine, looked for before anything is done.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::recipe::Sanitizer;
use crate::error::Failure;

/// The programs that a build runs.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The C compiler.
    pub clang: PathBuf,
    /// The C++ compiler of the same version.
    pub clangxx: PathBuf,
    /// The first line of what the compiler says of its version.
    pub version: String,
    /// What gives the addresses in a report the names of functions.
    pub symbolizer: PathBuf,
}

/// The versions of clang that are looked for, the newest first; then the one without a number.
const VERSIONS: std::ops::RangeInclusive<u32> = 14..=22;
/// What is installed where there is none.
const INSTALL: &str = "apt install clang-19 libclang-rt-19-dev llvm-19 make xz-utils, or dnf install clang compiler-rt llvm make xz";
/// What a build takes on the disk while it is made, in MiB: most is what the compiler writes.
const ROOM: u64 = 1500;

impl Tools {
    /// Looks for all of them.
    pub fn find(sanitizer: Sanitizer) -> Result<Tools, Failure> {
        let missing =
            |what: &str| Failure::environment(format!("{what}, which the build needs, is missing"), INSTALL);
        for tool in ["make", "tar", "xz"] {
            said(Path::new(tool), &["--version"]).ok_or_else(|| missing(tool))?;
        }
        let (clang, suffix) = match std::env::var_os("CC").map(PathBuf::from) {
            Some(clang) => {
                let name = clang.to_string_lossy().into_owned();
                let suffix = name.rsplit_once("clang").map(|(_, suffix)| suffix.to_owned());
                let suffix = suffix.ok_or_else(|| {
                    let what =
                        format!("CC={name} is not clang, of which the build needs coverage and sanitizers");
                    Failure::environment(what, "unset CC, or CC=clang-19 buflock python build")
                })?;
                (clang, suffix)
            }
            None => suffixes()
                .map(|suffix| (PathBuf::from(format!("clang{suffix}")), suffix))
                .find(|(clang, _)| said(clang, &["--version"]).is_some())
                .ok_or_else(|| missing("clang"))?,
        };
        let version = said(&clang, &["--version"]).ok_or_else(|| missing(&clang.to_string_lossy()))?;
        let beside = |name: &str| clang.with_file_name(format!("{name}{suffix}"));
        let clangxx = beside("clang++");
        said(&clangxx, &["--version"]).ok_or_else(|| missing("clang++"))?;
        let symbolizer = [beside("llvm-symbolizer"), PathBuf::from("llvm-symbolizer")]
            .into_iter()
            .find_map(|tool| on_path(&tool))
            .ok_or_else(|| missing("llvm-symbolizer"))?;
        let tools = Tools { clang, clangxx, version, symbolizer };
        tools.try_out(sanitizer)?;
        Ok(tools)
    }

    /// Links a program that does nothing: the libraries of a sanitizer are a package of their own.
    fn try_out(&self, sanitizer: Sanitizer) -> Result<(), Failure> {
        let Some(flag) = sanitizer.flag() else { return Ok(()) };
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::environment(
                format!("failed to make a folder for temporary files: {error}"),
                "set TMPDIR",
            )
        })?;
        let (source, program) = (folder.path().join("empty.c"), folder.path().join("empty"));
        std::fs::write(&source, "int main(void) { return 0; }\n")
            .map_err(|error| Failure::file("write", &source, &error))?;
        let output = Command::new(&self.clang)
            .arg(flag)
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .stdin(Stdio::null())
            .output();
        let why = match output {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned()
            }
            Err(error) => error.to_string(),
        };
        Err(Failure::environment(format!("{} cannot link with {flag}: {why}", self.clang.display()), INSTALL))
    }
}

/// What distinguishes the names of versions of one tool, in the order in which they are looked for.
fn suffixes() -> impl Iterator<Item = String> {
    VERSIONS.rev().map(|version| format!("-{version}")).chain([String::new()])
}

/// What gives addresses names, of any version.
pub fn symbolizer() -> Option<PathBuf> {
    suffixes().find_map(|suffix| on_path(Path::new(&format!("llvm-symbolizer{suffix}"))))
}

/// How many MiB are left in a folder, if a build has room in it.
pub fn look_for_room(folder: &Path) -> Result<u64, Failure> {
    let disk = rustix::fs::statvfs(folder);
    let disk = disk.map_err(|error| Failure::file("look at the disk of", folder, &error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    if free >= ROOM {
        return Ok(free);
    }
    Err(Failure::environment(
        format!("{} has {free} MB left, and a build takes {ROOM}", folder.display()),
        "XDG_CACHE_HOME=/a/larger/disk buflock python build, or buflock python rm ID",
    ))
}

/// The first line that a program says, if it can be started and succeeds.
fn said(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
    output.status.success().then_some(line)
}

/// The whole path of a program, as a shell would find it.
fn on_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}
