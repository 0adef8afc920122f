//! The catalogue of known differences: first-class cases with a reason and a link, never an `if` in
//! the comparison.

use serde::{Deserialize, Serialize};

use super::{Difference, Divergence};
use crate::program::Op;
use crate::subject::{Native, Version};

/// Whether a known difference is allowed, or a bug that somebody has still to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The protocol leaves it open.
    Permitted,
    /// It is a known bug of the subject.
    Bug,
}

/// One known difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub id: String,
    /// What it is.
    pub standing: Standing,
    /// The signatures that it covers, without the subject: a bug of CPython shows wherever its code runs.
    #[serde(default)]
    pub signatures: Vec<String>,
    /// The files of CPython of which a sanitizer may find any function at fault, such as `Objects/bytearrayobject.c`. Of
    /// one without locks each two functions make a race.
    #[serde(default)]
    pub files: Vec<String>,
    /// Whether it shows in builds without the GIL alone.
    #[serde(default)]
    pub free_threaded: bool,
    /// The operations that do it, if they are others than those of the signatures, where it shows.
    #[serde(default)]
    pub causes: Vec<Op>,
    /// The first Python that shows it, as `3.13` or `3.13.5`; the first of all if left out.
    pub since: Option<String>,
    /// The Pythons in which it was mended, one for each minor version that was; later minor versions
    /// than these have it mended from the start. None if left out.
    #[serde(default)]
    pub fixed_in: Vec<String>,
    /// Why it is so.
    pub reason: String,
    /// Where one can read of it.
    pub link: String,
    /// The corpus file that shows it.
    pub shown_by: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    known: Vec<Entry>,
}

/// All known differences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

/// Why a catalogue cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the catalogue of known differences: {0}")]
pub struct CatalogueError(String);

impl Catalogue {
    /// Reads the texts of catalogue files.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Catalogue, CatalogueError> {
        let mut entries = Vec::new();
        for text in texts {
            let file: File = toml::from_str(text).map_err(|error| CatalogueError(error.to_string()))?;
            for entry in &file.known {
                for bound in entry.since.iter().chain(&entry.fixed_in) {
                    version(bound)
                        .ok_or_else(|| CatalogueError(format!("{}: {bound:?} is no version", entry.id)))?;
                }
            }
            entries.extend(file.known);
        }
        Ok(Catalogue { entries })
    }

    /// What is known of CPython, of all builds of it: `oracle/known/cpython.toml`.
    ///
    /// # Panics
    /// If that is malformed, which a test excludes.
    pub fn cpython() -> Catalogue {
        Catalogue::parse([include_str!("../../oracle/known/cpython.toml")])
            .expect("the catalogue is well-formed")
    }

    /// What a build with or without the GIL can show of it.
    #[must_use]
    pub fn for_build(mut self, free_threaded: bool) -> Catalogue {
        self.entries.retain(|entry| free_threaded || !entry.free_threaded);
        self
    }

    /// Every entry.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether an operation is known to do something wrong on this Python. In a race it would hide what else differs.
    pub fn names(&self, op: Op, python: Version) -> bool {
        let name = format!("{op:?}");
        let of_it = |signature: &String| {
            let named = signature.split('/').nth(1).unwrap_or_default();
            // No race has hooks, nor too little memory.
            !named.ends_with("+hook")
                && !signature.ends_with(super::STARVED)
                && named.split('-').next() == Some(&*name)
        };
        let does = |entry: &Entry| match &entry.causes[..] {
            [] => entry.signatures.iter().any(of_it),
            causes => causes.contains(&op),
        };
        self.entries.iter().any(|entry| entry.is_shown_by(python) && does(entry))
    }

    /// The entry that covers a divergence on this Python.
    pub fn covers(&self, divergence: &Divergence, python: Version) -> Option<&Entry> {
        self.all_that_cover(divergence, python).next()
    }

    /// All entries that do: two bugs may show alike. In the native subject no code of Python runs.
    pub fn all_that_cover(&self, divergence: &Divergence, python: Version) -> impl Iterator<Item = &Entry> {
        let (subject, signature) = divergence.signature.split_once('/').unwrap_or_default();
        let within = divergence.within.iter().filter_map(|full| Some(full.split_once('/')?.1));
        // Of a step with hooks, or with too little memory, it may be what the step without would show.
        let own: Vec<String> = std::iter::once(signature)
            .chain(within)
            .flat_map(|signature| {
                let fed = signature.strip_suffix(super::STARVED).unwrap_or(signature);
                [signature.to_owned(), fed.to_owned(), fed.replacen("+hook", "", 1)]
            })
            .collect();
        let is_native = subject == Native::NAME;
        self.entries.iter().filter(move |entry| {
            let is_at_fault = |file: &String| match &divergence.difference {
                Difference::Alarm(alarm) => alarm.is_of(file),
                _ => false,
            };
            let names = entry.signatures.iter().any(|known| own.contains(known))
                || entry.files.iter().any(is_at_fault);
            !is_native && names && entry.is_shown_by(python)
        })
    }
}

impl Entry {
    /// Whether this Python shows the difference.
    pub fn is_shown_by(&self, python: Version) -> bool {
        let begun = self.since.as_deref().and_then(version).is_none_or(|since| since <= python);
        let mut fixes = self.fixed_in.iter().filter_map(|text| version(text));
        let last = fixes.clone().map(|fix| (fix.major, fix.minor)).max();
        let here = (python.major, python.minor);
        let mended = last.is_some_and(|last| last < here)
            || fixes.any(|fix| (fix.major, fix.minor) == here && fix <= python);
        begun && !mended
    }
}

fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    let version = Version {
        major: numbers.next()??,
        minor: numbers.next()??,
        micro: numbers.next().unwrap_or(Some(0))?,
    };
    numbers.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Program, Slot, SlotKind};
    use crate::subject::Unrest;

    const TEXT: &str = r#"
        [[known]]
        id = "example"
        standing = "bug"
        signatures = ["R3/rest/still-exported"]
        since = "3.10"
        fixed_in = ["3.12.8", "3.13.1"]
        reason = "an example"
        link = "https://example.org"
        shown_by = "corpus/divergences/example.prog"
    "#;

    #[test]
    fn an_entry_covers_its_signatures_in_its_versions() {
        let catalogue = Catalogue::parse([TEXT]).unwrap();
        let unrest = Unrest::StillExported(Slot::new(SlotKind::Exporter, 0));
        let divergence = Divergence::new("cpython", &Program::default(), None, Difference::Rest(unrest));
        let covered =
            |minor, micro| catalogue.covers(&divergence, Version { major: 3, minor, micro }).is_some();
        for (minor, micro, expected) in [
            (9, 18, false),
            (10, 0, true),
            (11, 9, true),
            (12, 7, true),
            (12, 8, false),
            (13, 0, true),
            (13, 1, false),
            (14, 0, false),
        ] {
            assert_eq!(covered(minor, micro), expected, "3.{minor}.{micro}");
        }
        let elsewhere = Divergence { signature: "cpython/D2/Pop-b+hook/ok-not-ok".into(), ..divergence };
        let python = Version { major: 3, minor: 13, micro: 0 };
        assert_eq!(catalogue.covers(&elsewhere, python), None);
        let within = vec!["cpython/R3/rest+hook/still-exported".to_owned()];
        assert!(catalogue.covers(&Divergence { within, ..elsewhere.clone() }, python).is_some());
        let native = Divergence { signature: "native/R3/rest/still-exported".into(), ..elsewhere };
        assert_eq!(catalogue.covers(&native, Version { major: 3, minor: 13, micro: 0 }), None);
    }

    #[test]
    fn a_catalogue_with_a_bound_that_is_no_version_is_refused() {
        assert!(Catalogue::parse([TEXT.replace("3.13.1", "three").as_str()]).is_err());
        assert!(Catalogue::parse(["[[known]]\nid = 'x'"]).is_err());
    }
}
