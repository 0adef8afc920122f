//! Where built Pythons are kept: one folder each, which is there as a whole or not at all.
//!
//! ```text
//! $XDG_CACHE_HOME/buflock, or ~/.cache/buflock
//!     pythons/3.13.15t-thread-4f2a9c01/     what is built, with `built.json`
//!     locks/3.13.15t-thread-4f2a9c01        held by whoever builds it
//!     aside/…                               what is being built, or was when its maker was killed
//!     sources/Python-3.13.13.tar.xz         what was downloaded
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::canary::Nest;
use super::recipe::Sanitizer;
use crate::error::Failure;

/// The folder of all that is cached.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// What is known of a built Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its name: what it is, and eight digits of a hash of all that it was made of.
    pub id: String,
    /// `3.13.15`.
    pub version: String,
    /// The first line of `sys.version`.
    pub description: String,
    /// Whether it was built without the GIL.
    pub free_threaded: bool,
    /// What watches over it.
    pub sanitizer: Sanitizer,
    /// Whether it checks itself.
    pub debug: bool,
    /// Where its source was, for people.
    pub source: String,
    /// What the compiler said of itself.
    pub compiler: String,
    /// What gives addresses the names of functions.
    pub symbolizer: PathBuf,
}

/// The name of the file of [`Facts`].
const FACTS: &str = "built.json";

/// The name of the file of the races that the developers of CPython know of.
pub const SUPPRESSIONS: &str = "suppressions.txt";

/// A built Python, where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its folder, which is also its `PYTHONHOME`.
    pub folder: PathBuf,
    /// What it is.
    pub facts: Facts,
}

impl Facts {
    /// What it is, in words.
    pub fn words(&self) -> String {
        let threads = if self.free_threaded { "free-threaded, " } else { "" };
        let debug = if self.debug { "debug, " } else { "" };
        format!("Python {}, {threads}{debug}{}", self.version, self.sanitizer.words())
    }

    /// Writes them into the folder of what is built.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(FACTS);
        let text = serde_json::to_string_pretty(self).expect("facts can be written");
        fs::write(&path, text + "\n").map_err(|error| Failure::file("write", &path, &error))
    }
}

impl Built {
    fn read(folder: PathBuf) -> Option<Built> {
        let facts = serde_json::from_slice(&fs::read(folder.join(FACTS)).ok()?).ok()?;
        Some(Built { folder, facts })
    }

    /// Its `python`.
    pub fn executable(&self) -> PathBuf {
        self.folder.join("bin").join("python3")
    }

    /// What a process that embeds it must be told by its environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let suppressions = self.folder.join(SUPPRESSIONS);
        let suppressions = suppressions.is_file().then_some(&*suppressions);
        let mut environment = self.facts.sanitizer.environment(&self.facts.symbolizer, suppressions);
        environment.push(("PYTHONHOME", self.folder.display().to_string()));
        environment
    }

    /// What tells PyO3 how to link it.
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("pyo3.cfg")
    }

    /// How a program in C is linked to it: what PyO3 is told, in the words of a compiler.
    ///
    /// # Errors
    /// What is wrong with that, as a sentence.
    pub fn links(&self) -> Result<Links, String> {
        let path = self.configuration();
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| format!("{} says nothing of {name}", path.display()))
        };
        let (folder, name) = (PathBuf::from(value("lib_dir")?), value("lib_name")?);
        let words = text
            .lines()
            .filter_map(|line| line.strip_prefix("extra_build_script_line=cargo:rustc-link-lib="));
        let library = |word: &str| match word.strip_prefix("static=") {
            Some(own) => folder.join(format!("lib{own}.a")).to_string_lossy().into_owned(),
            None => format!("-l{word}"),
        };
        Ok(Links {
            include: self.folder.join("include").join(name),
            library: folder.join(format!("lib{name}.a")),
            libraries: words.map(library).collect(),
        })
    }
}

/// What a program in C is compiled with and linked to.
#[derive(Debug, Clone)]
pub struct Links {
    include: PathBuf,
    library: PathBuf,
    libraries: Vec<String>,
}

impl Links {
    /// Where a canary sings.
    pub fn nest<'a>(&'a self, built: &'a Built) -> Nest<'a> {
        Nest {
            home: &built.folder,
            include: &self.include,
            library: &self.library,
            libraries: &self.libraries,
            sanitizer: built.facts.sanitizer,
        }
    }
}

impl Cache {
    /// The user's, which is made if it is not there.
    pub fn open() -> Result<Cache, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        let base = base.or_else(|| Some(set("HOME")?.join(".cache"))).ok_or_else(|| {
            Failure::environment(
                "neither XDG_CACHE_HOME nor HOME says where to keep what is built",
                "set HOME",
            )
        })?;
        Cache::at(base.join("buflock"))
    }

    /// In this folder.
    pub fn at(root: PathBuf) -> Result<Cache, Failure> {
        for part in ["pythons", "locks", "aside", "sources"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(|error| Failure::file("make", &path, &error))?;
        }
        Ok(Cache { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where downloads are kept.
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    /// Where the Python of this id is, or will be.
    pub fn place(&self, id: &str) -> PathBuf {
        self.root.join("pythons").join(id)
    }

    /// The Python of this id, if it is built.
    pub fn get(&self, id: &str) -> Option<Built> {
        Built::read(self.place(id))
    }

    /// All that are built, by id.
    pub fn all(&self) -> Result<Vec<Built>, Failure> {
        let folder = self.root.join("pythons");
        let entries = fs::read_dir(&folder).map_err(|error| Failure::file("read", &folder, &error))?;
        let mut all: Vec<_> = entries.flatten().filter_map(|entry| Built::read(entry.path())).collect();
        all.sort_by(|one, other| one.facts.id.cmp(&other.facts.id));
        Ok(all)
    }

    /// The one whose id begins so.
    pub fn find(&self, id: &str) -> Result<Built, Failure> {
        let mut all = self.all()?;
        if let Some(place) = all.iter().position(|built| built.facts.id == id) {
            return Ok(all.swap_remove(place));
        }
        all.retain(|built| built.facts.id.starts_with(id));
        let ids: Vec<_> = all.iter().map(|built| built.facts.id.as_str()).collect();
        match ids[..] {
            [_] => Ok(all.remove(0)),
            [] => Err(Failure::usage(format!("no Python {id:?} is built"), "buflock python list")),
            _ => Err(Failure::usage(
                format!("{id:?} may be any of {}", ids.join(", ")),
                "name one of them by more of its id",
            )),
        }
    }

    /// Removes one. It is moved aside first, so that a kill in between leaves none that is half there.
    pub fn remove(&self, built: &Built) -> Result<(), Failure> {
        let _held = self.lock(&built.facts.id)?;
        let aside = self.aside(&built.facts.id)?;
        let to = aside.path().join("removed");
        fs::rename(&built.folder, &to).map_err(|error| Failure::file("remove", &built.folder, &error))
    }

    /// Waits until nobody else builds or removes the Python of this id. The lock goes with the process that has it.
    pub fn lock(&self, id: &str) -> Result<File, Failure> {
        let path = self.root.join("locks").join(id);
        let failed = |error| Failure::file("lock", &path, &error);
        let file = File::create(&path).map_err(failed)?;
        if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            eprintln!("another buflock is at {id}: waiting for it");
        }
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// A folder of one's own, on the same disk as what is built.
    pub fn aside(&self, id: &str) -> Result<tempfile::TempDir, Failure> {
        let folder = self.root.join("aside");
        let made = tempfile::Builder::new().prefix(&format!("{id}.")).tempdir_in(&folder);
        made.map_err(|error| Failure::file("write to", &folder, &error))
    }

    /// Removes what those left who were killed while they held the lock of this id.
    pub fn sweep(&self, id: &str, _held: &File) {
        let left = fs::read_dir(self.root.join("aside")).into_iter().flatten().flatten();
        let own = format!("{id}.");
        for entry in left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The bytes of all files below a folder.
pub fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => size(&entry.path()),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(id: &str) -> Facts {
        Facts {
            id: id.to_owned(),
            version: "3.13.5".to_owned(),
            description: "3.13.5 of a test".to_owned(),
            free_threaded: true,
            sanitizer: Sanitizer::Thread,
            debug: false,
            source: "a test".to_owned(),
            compiler: "clang".to_owned(),
            symbolizer: PathBuf::from("llvm-symbolizer"),
        }
    }

    fn cache(ids: &[&str]) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(folder.path().to_owned()).expect("a cache");
        for id in ids {
            fs::create_dir(cache.place(id)).expect("a place");
            facts(id).write(&cache.place(id)).expect("facts");
        }
        (folder, cache)
    }

    #[test]
    fn a_python_is_named_by_as_much_of_its_id_as_tells_it_from_the_others() {
        let (_folder, cache) = cache(&["3.13.5t-thread-11", "3.13.5t-address-22", "3.13.5t-address-23"]);
        let find = |id| cache.find(id).map(|built| built.facts.id).map_err(|failure| failure.what);
        assert_eq!(find("3.13.5t-t"), Ok("3.13.5t-thread-11".to_owned()));
        assert_eq!(find("3.13.5t-address-22"), Ok("3.13.5t-address-22".to_owned()));
        assert!(find("3.13.5t-address").unwrap_err().contains("3.13.5t-address-22, 3.13.5t-address-23"));
        assert!(find("3.12").is_err());
    }

    #[test]
    fn a_folder_without_facts_is_no_python() {
        let (_folder, cache) = cache(&["whole"]);
        fs::create_dir(cache.place("half")).expect("a place");
        let ids: Vec<_> = cache.all().expect("a list").into_iter().map(|built| built.facts.id).collect();
        assert_eq!(ids, ["whole"]);
    }

    #[test]
    fn what_a_killed_builder_left_is_swept_by_the_next_and_that_of_others_is_not() {
        let (_folder, cache) = cache(&[]);
        let left = cache.aside("one").expect("a folder").keep();
        let other = cache.aside("other").expect("a folder");
        let held = cache.lock("one").expect("a lock");
        cache.sweep("one", &held);
        assert!(!left.exists() && other.path().exists());
    }

    #[test]
    fn what_is_removed_is_gone_at_once() {
        let (_folder, cache) = cache(&["gone", "stays"]);
        cache.remove(&cache.find("gone").expect("it is there")).expect("it can be removed");
        assert!(cache.get("gone").is_none() && cache.get("stays").is_some());
        assert_eq!(fs::read_dir(cache.root().join("aside")).expect("a folder").count(), 0);
    }
}
