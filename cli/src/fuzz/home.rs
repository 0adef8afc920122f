//! Where inputs are kept from one run to the next, and where a run has what is its own.
//!
//! ```text
//! $XDG_DATA_HOME/buflock/fuzz, or ~/.local/share/buflock/fuzz
//!     cpython_lockstep/corpus/                 inputs of which each covers something of its own; none is ever removed
//!     cpython_lockstep/locks/                  held by whoever begins a run, or adds to the corpus
//!     cpython_lockstep/runs/installed-….X2v9/  of one run, which holds the lock in it while it lives
//! ```
//! What a run was killed over is still in its folder, and the next run of the same takes it up.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Failure;

/// The folder of a target.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

/// The folder of a run, and the right to it.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    _held: File,
}

/// The parts of the folder of a run.
const INPUTS: &str = "inputs";
const ARTIFACTS: &str = "artifacts";
const SESSION: &str = "session";

impl Home {
    /// That of the target of this name, in a folder that the user names or in that for data.
    pub fn open(named: Option<&Path>, target: &str) -> Result<Home, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = || set("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let data = || data().or_else(|| Some(set("HOME")?.join(".local/share")));
        let root =
            named.map(Path::to_owned).or_else(|| Some(data()?.join("buflock/fuzz"))).ok_or_else(|| {
                Failure::environment(
                    "neither XDG_DATA_HOME nor HOME says where inputs are kept",
                    "buflock fuzz --corpus DIR",
                )
            })?;
        let home = Home(std::path::absolute(&root).unwrap_or(root).join(target));
        for part in ["corpus", "locks", "runs"] {
            let path = home.0.join(part);
            fs::create_dir_all(&path).map_err(|error| Failure::file("make", &path, &error))?;
        }
        Ok(home)
    }

    /// The inputs that are kept.
    pub fn corpus(&self) -> PathBuf {
        self.0.join("corpus")
    }

    /// Begins a run of what `key` names, and takes over those of the same whose process is gone.
    pub fn begin(&self, key: &str) -> Result<(Run, Vec<Run>), Failure> {
        let _held = self.lock("runs")?;
        let runs = self.0.join("runs");
        let failed = |error: io::Error| Failure::file("write to", &runs, &error);
        let own = format!("{key}.");
        let entries = fs::read_dir(&runs).map_err(failed)?.flatten();
        let same = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own));
        let left = same.filter_map(|entry| Run::take(entry.path())).collect();
        let folder = tempfile::Builder::new().prefix(&own).tempdir_in(&runs).map_err(failed)?.keep();
        for part in [INPUTS, ARTIFACTS, SESSION] {
            fs::create_dir_all(folder.join(part)).map_err(failed)?;
        }
        let run = Run::take(folder).ok_or_else(|| failed(io::ErrorKind::WouldBlock.into()))?;
        for path in files(&self.corpus()) {
            run.link(&path).map_err(failed)?;
        }
        Ok((run, left))
    }

    /// Adds the inputs of a folder to those that are kept, each as a whole.
    pub fn add(&self, from: &Path) -> Result<usize, Failure> {
        let corpus = self.corpus();
        let mut added = 0;
        for path in files(from) {
            let to = corpus.join(path.file_name().unwrap_or_default());
            if !to.exists() {
                fs::rename(&path, &to).map_err(|error| Failure::file("move", &path, &error))?;
                added += 1;
            }
        }
        Ok(added)
    }

    /// Waits until nobody else does this. The lock goes with the process that has it.
    pub fn lock(&self, what: &str) -> Result<File, Failure> {
        let path = self.0.join("locks").join(what);
        let lock = || {
            let file = File::create(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| Failure::file("lock", &path, &error))
    }
}

impl Run {
    /// Takes a folder that nobody has.
    fn take(folder: PathBuf) -> Option<Run> {
        let held = File::create(folder.join("lock")).ok()?;
        held.try_lock().ok()?;
        Some(Run { folder, _held: held })
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The inputs that its processes share: those that were kept, and those that they have found.
    pub fn inputs(&self) -> PathBuf {
        self.path(INPUTS)
    }

    /// Where process number `number` leaves the inputs that it does not survive.
    pub fn artifacts_of(&self, number: u64) -> PathBuf {
        self.path(ARTIFACTS).join(number.to_string())
    }

    /// The inputs that processes did not survive, and that nobody has looked into.
    pub fn artifacts(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.path(ARTIFACTS)).into_iter().flatten().flatten();
        folders.flat_map(|folder| files(&folder.path())).collect()
    }

    /// What its processes and the command have in common.
    pub fn session(&self) -> PathBuf {
        self.path(SESSION)
    }

    /// Has this file among its inputs.
    pub fn link(&self, input: &Path) -> io::Result<()> {
        link(input, &self.inputs())
    }

    /// Forgets an input that ends a process, lest each that reads it is ended too.
    pub fn forget(&self, input: &[u8]) {
        let same = |path: &PathBuf| {
            let length = fs::metadata(path).map_or(u64::MAX, |facts| facts.len());
            length == input.len() as u64 && fs::read(path).is_ok_and(|bytes| bytes == input)
        };
        for path in files(&self.inputs()).into_iter().filter(same) {
            let _ = fs::remove_file(path);
        }
    }

    /// Removes it, since all of it is kept elsewhere.
    pub fn remove(self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Has a file in a folder under its own name as well.
pub fn link(file: &Path, folder: &Path) -> io::Result<()> {
    let to = folder.join(file.file_name().unwrap_or_default());
    if to.exists() {
        return Ok(());
    }
    fs::hard_link(file, &to).or_else(|_| fs::copy(file, &to).map(drop))
}

/// What libFuzzer says in the name of an input, where that is more than the end of its process.
pub fn kind(artifact: &Path) -> Option<String> {
    const KINDS: [(&str, &str); 2] = [("timeout-", "hang"), ("oom-", "too much memory")];
    let name = artifact.file_name()?.to_str()?;
    KINDS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, kind)| (*kind).to_owned())
}

/// Removes a file.
pub fn remove(path: &Path) -> Result<(), Failure> {
    fs::remove_file(path).map_err(|error| Failure::file("remove", path, &error))
}

/// The files of a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(Some(folder.path()), "target").expect("a home");
        (folder, home)
    }

    #[test]
    fn what_a_run_left_that_is_gone_is_taken_up_by_the_next_of_the_same() {
        let (_folder, home) = home();
        let begin = |key| home.begin(key).expect("a run");
        let (gone, _) = begin("one");
        fs::write(gone.inputs().join("input"), "a").expect("a file");
        drop(gone);
        let (alive, left) = begin("one");
        let inputs: Vec<_> = left.iter().map(|run| files(&run.inputs()).len()).collect();
        assert_eq!(inputs, [1]);
        left.into_iter().for_each(Run::remove);
        // That of another is left alone, and so is one that somebody is at.
        assert_eq!(begin("other").1.len(), 0);
        assert_eq!(begin("one").1.len(), 0);
        drop(alive);
        assert_eq!(begin("one").1.len(), 2);
    }

    #[test]
    fn inputs_are_added_once_and_are_there_for_the_next_run() {
        let (folder, home) = home();
        let new = folder.path().join("new");
        for _ in 0..2 {
            fs::create_dir_all(&new).expect("a folder");
            fs::write(new.join("input"), "a").expect("a file");
            home.add(&new).expect("it is ours");
        }
        let (run, _) = home.begin("one").expect("a run");
        assert_eq!((files(&home.corpus()).len(), files(&run.inputs()).len()), (1, 1));
        // What ends a process is forgotten by the run alone.
        run.forget(b"b");
        assert_eq!(files(&run.inputs()).len(), 1);
        run.forget(b"a");
        assert_eq!((files(&home.corpus()).len(), files(&run.inputs()).len()), (1, 0));
    }
}
