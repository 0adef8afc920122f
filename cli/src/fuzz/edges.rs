//! Whose code is covered: the functions of a target, by what its compilers say of where they come from.

use std::ops::Range;
use std::path::Path;

use addr2line::Loader;
use buflock::fuzz::session::Edge;
use serde::Serialize;

use crate::error::Failure;
use crate::locate;

/// Whose a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// CPython's: of the code in C, only its files of the buffer protocol count what is covered.
    CPython,
    /// Of this repository.
    Ours,
    /// Of a library.
    Other,
}

/// A function, and its edges by their places among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The file that it is in, of CPython from the folder of its source.
    pub file: String,
    /// Whose it is.
    pub whose: Whose,
    edges: Range<usize>,
}

/// How many edges were reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reach {
    /// So many.
    pub reached: usize,
    /// Of so many that there are.
    pub of: usize,
}

impl Reach {
    /// In hundredths of all.
    pub fn percent(self) -> f64 {
        100.0 * self.reached as f64 / self.of.max(1) as f64
    }
}

impl std::ops::AddAssign for Reach {
    fn add_assign(&mut self, other: Reach) {
        self.reached += other.reached;
        self.of += other.of;
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.reached, self.of)
    }
}

impl Function {
    /// One with these edges, by their places.
    pub fn new(
        name: impl Into<String>,
        file: impl Into<String>,
        whose: Whose,
        edges: Range<usize>,
    ) -> Function {
        Function { name: name.into(), file: file.into(), whose, edges }
    }

    /// How many of its edges are among those that were covered.
    pub fn reach(&self, covered: &[bool]) -> Reach {
        let own = covered.get(self.edges.clone()).unwrap_or_default();
        Reach { reached: own.iter().filter(|covered| **covered).count(), of: self.edges.len() }
    }
}

/// The functions of an executable whose edges these are.
pub fn functions(executable: &Path, edges: &[Edge]) -> Result<Vec<Function>, Failure> {
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let loader = Loader::new(executable).map_err(|error| {
        let what = format!("failed to read what {} was made of: {error}", executable.display());
        Failure::environment(what, "cargo clean in the folder fuzz, and again")
    })?;
    let entries = edges.iter().enumerate().filter(|(place, edge)| *place == 0 || edge.is_entry);
    let starts: Vec<usize> = entries.map(|(place, _)| place).collect();
    let ends = starts.iter().skip(1).copied().chain([edges.len()]);
    let function = |(start, end): (&usize, usize)| {
        let (name, file) = describe(&loader, edges[*start].address);
        let (whose, file) = attribute(&file);
        Function::new(name, file, whose, *start..end)
    };
    Ok(starts.iter().zip(ends).map(function).collect())
}

/// The name of the function at an address, and its file.
fn describe(loader: &Loader, address: u64) -> (String, String) {
    let (mut name, mut file) = (None, String::new());
    if let Ok(mut frames) = loader.find_frames(address) {
        // The last is the function itself, those before are in it.
        while let Ok(Some(frame)) = frames.next() {
            name = frame.function.and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
            file = frame.location.and_then(|location| location.file).unwrap_or_default().to_owned();
        }
    }
    // Of lines alone, a compiler tells no names but where something was inlined.
    let name = name.or_else(|| loader.find_symbol(address).map(str::to_owned));
    (name.unwrap_or_default(), file)
}

/// Whose a file is, and what it is called.
fn attribute(file: &str) -> (Whose, String) {
    let is_c = [".c", ".h"].iter().any(|extension| file.ends_with(extension));
    let own = || {
        let folder = locate::checkout()?.parent()?.to_str()?;
        file.strip_prefix(folder)?.strip_prefix('/')
    };
    if is_c {
        const FOLDERS: [&str; 4] = ["Objects/", "Modules/", "Include/", "Python/"];
        let from = FOLDERS.iter().filter_map(|folder| file.rfind(folder)).max().unwrap_or(0);
        (Whose::CPython, file[from..].to_owned())
    } else if let Some(own) = own() {
        (Whose::Ours, own.to_owned())
    } else {
        (Whose::Other, file.to_owned())
    }
}

/// How many edges of somebody's functions were covered.
pub fn reach(functions: &[Function], whose: Whose, covered: &[bool]) -> Reach {
    let mut all = Reach::default();
    functions
        .iter()
        .filter(|function| function.whose == whose)
        .for_each(|function| all += function.reach(covered));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_whom_it_looks_like() {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/check.rs");
        let own = std::fs::canonicalize(own).expect("it is there").display().to_string();
        for (file, whose, name) in [
            ("/some/where/build/Objects/memoryobject.c", Whose::CPython, "Objects/memoryobject.c"),
            ("Objects/stringlib/find.h", Whose::CPython, "Objects/stringlib/find.h"),
            ("./Modules/_io/bytesio.c", Whose::CPython, "Modules/_io/bytesio.c"),
            (&own, Whose::Ours, "src/check.rs"),
            ("/rustc/abc/library/core/src/option.rs", Whose::Other, "/rustc/abc/library/core/src/option.rs"),
        ] {
            assert_eq!(attribute(file), (whose, name.to_owned()));
        }
    }

    #[test]
    fn edges_belong_to_the_function_that_begins_before_them() {
        let function = |whose, edges| Function { name: String::new(), file: String::new(), whose, edges };
        let functions =
            [function(Whose::CPython, 0..3), function(Whose::Ours, 3..4), function(Whose::CPython, 4..6)];
        let covered = [true, false, true, true, false, true];
        assert_eq!(reach(&functions, Whose::CPython, &covered), Reach { reached: 3, of: 5 });
        // Nothing was told yet.
        assert_eq!(reach(&functions, Whose::Ours, &[]), Reach { reached: 0, of: 1 });
    }
}
