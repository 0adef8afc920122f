//! What the processes of `buflock fuzz` and the command have in common: files in a folder.
//!
//! ```text
//! found/SIGNATURE         a finding that nobody has taken yet
//! known/SIGNATURE         a divergence that the catalogue knows, or that was found before
//! edges                   what there is to be covered, by address
//! meter-7                 of process 7: how many inputs it has run, and what they have covered
//! ```
//! Each file is whole or not there, so that a process may die whenever it likes, and so may the command.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::exporter::planted;
use crate::judge::Divergence;
use crate::program::Program;
use crate::report::{Finding, Told, file_name};
use crate::subject::Version;

/// The variable of the environment that names the folder.
const FOLDER: &str = "BUFLOCK_FUZZ_SESSION";
/// The variable that names the process.
const NUMBER: &str = "BUFLOCK_FUZZ_PROCESS";

/// A session, as one of its processes sees it.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    number: u64,
    /// The signatures that this process has met.
    met: Mutex<HashSet<String>>,
}

impl Session {
    /// As process number `number` of the session in this folder, which is made.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(folder: &Path, number: u64) -> io::Result<Session> {
        for part in ["found", "known"] {
            fs::create_dir_all(folder.join(part))?;
        }
        Ok(Session { folder: folder.to_owned(), number, met: Mutex::default() })
    }

    /// That of this process, if its environment says that it has one.
    ///
    /// # Panics
    /// If it has one that cannot be used, since what it finds would be lost, and if a fault is to be planted that cannot be.
    pub fn of_this_process() -> Option<&'static Session> {
        static OWN: OnceLock<Option<Session>> = OnceLock::new();
        let read = || {
            let folder = std::env::var_os(FOLDER)?;
            planted::plant_named().expect("failed to plant what is to be found");
            let number = std::env::var(NUMBER).ok().and_then(|number| number.parse().ok()).unwrap_or(0);
            Some(Session::new(Path::new(&folder), number).expect("failed to use the folder of the session"))
        };
        OWN.get_or_init(read).as_ref()
    }

    /// What the environment of the process has to say.
    pub fn variables(&self) -> [(&'static str, OsString); 2] {
        [(FOLDER, self.folder.clone().into()), (NUMBER, self.number.to_string().into())]
    }

    /// Keeps a divergence of a program, the first of its signature.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn keep(&self, divergence: &Divergence, is_known: bool, program: &Program, version: Version) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if !met.insert(divergence.signature.clone()) {
            return;
        }
        let kept = if is_known {
            self.note_known(&divergence.signature)
        } else {
            // Which Python it is, the command knows.
            self.note_found(&Finding::divergence(Told::from(divergence), program, version, ""))
        };
        kept.expect("failed to keep a finding");
    }

    /// Notes that a signature is nothing new.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note_known(&self, signature: &str) -> io::Result<()> {
        File::create(self.folder.join("known").join(file_name(signature))).map(drop)
    }

    /// Keeps a finding for whoever takes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note_found(&self, finding: &Finding) -> io::Result<()> {
        let contents = postcard::to_stdvec(finding).map_err(io::Error::other)?;
        self.write(&Path::new("found").join(finding.file_name()), &contents)
    }

    fn write(&self, name: &Path, contents: &[u8]) -> io::Result<()> {
        let aside = self.folder.join(format!(".{}-{}", self.number, std::process::id()));
        fs::write(&aside, contents)?;
        fs::rename(&aside, self.folder.join(name))
    }

    /// How many signatures were met that are nothing new.
    pub fn known(&self) -> usize {
        fs::read_dir(self.folder.join("known")).map_or(0, Iterator::count)
    }

    /// The findings that are there, each with its file, which is to be removed once it is saved elsewhere.
    pub fn found(&self) -> Vec<(PathBuf, Finding)> {
        let entries = fs::read_dir(self.folder.join("found")).into_iter().flatten().flatten();
        let read = |path: PathBuf| {
            let finding = postcard::from_bytes(&fs::read(&path).ok()?).ok()?;
            Some((path, finding))
        };
        entries.filter_map(|entry| read(entry.path())).collect()
    }

    /// Says what there is to be covered, unless another process has.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn list_edges(&self, edges: &[Edge]) -> io::Result<()> {
        if self.folder.join("edges").exists() {
            return Ok(());
        }
        let word = |edge: &Edge| (edge.address << 1 | u64::from(edge.is_entry)).to_le_bytes();
        self.write(Path::new("edges"), &edges.iter().flat_map(word).collect::<Vec<u8>>())
    }

    /// What there is to be covered; nothing as long as no process has said so.
    pub fn edges(&self) -> Vec<Edge> {
        let bytes = fs::read(self.folder.join("edges")).unwrap_or_default();
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        words.map(|word| Edge { address: word >> 1, is_entry: word & 1 == 1 }).collect()
    }

    /// What is written by this process and read by the command.
    ///
    /// # Errors
    /// If its file cannot be made.
    pub fn meter(&self) -> io::Result<Meter> {
        File::create(self.meter_of(self.number)).map(Meter)
    }

    fn meter_of(&self, number: u64) -> PathBuf {
        self.folder.join(format!("meter-{number}"))
    }

    /// What all processes have done so far.
    pub fn measured(&self) -> Measured {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let meters = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("meter-"));
        let mut all = Measured::default();
        meters.for_each(|entry| all.add(&entry.path()));
        all
    }

    /// Has what a process did that has ended among what this one did, so that there are not more meters than processes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn retire(&self, number: u64) -> io::Result<()> {
        let mut both = Measured::default();
        let (own, other) = (self.meter_of(self.number), self.meter_of(number));
        [&own, &other].into_iter().for_each(|meter| both.add(meter));
        let covered = both.covered.iter().map(|covered| u8::from(*covered));
        let contents: Vec<u8> = both.inputs.to_le_bytes().into_iter().chain(covered).collect();
        self.write(own.file_name().unwrap_or_default().as_ref(), &contents)?;
        // It may have died before it had one.
        let _ = fs::remove_file(other);
        Ok(())
    }
}

/// What processes have done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many inputs they have run.
    pub inputs: u64,
    /// For each edge, whether it was covered.
    pub covered: Vec<bool>,
}

impl Measured {
    /// Adds what a process has written, if it has.
    fn add(&mut self, meter: &Path) {
        let bytes = fs::read(meter).unwrap_or_default();
        let Some((count, edges)) = bytes.split_first_chunk::<8>() else { return };
        self.inputs += u64::from_le_bytes(*count);
        self.covered.resize(self.covered.len().max(edges.len()), false);
        for (covered, edge) in self.covered.iter_mut().zip(edges) {
            *covered |= *edge != 0;
        }
    }
}

/// A place in the code that can be covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Where it is, from the beginning of the executable.
    pub address: u64,
    /// Whether a function begins there; those up to the next one are in it.
    pub is_entry: bool,
}

/// What a process has done so far.
#[derive(Debug)]
pub struct Meter(File);

impl Meter {
    /// Writes how many inputs were run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn inputs(&self, count: u64) -> io::Result<()> {
        self.0.write_all_at(&count.to_le_bytes(), 0)
    }

    /// Writes which edges were covered, one byte each.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn edges(&self, covered: &[u8]) -> io::Result<()> {
        self.0.write_all_at(covered, 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::judge::Verdict;
    use std::sync::Arc;

    fn session(folder: &Path, number: u64) -> Session {
        Session::new(folder, number).expect("a session")
    }

    #[test]
    fn what_processes_count_is_added_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let edges =
            [(0x10, true), (0x18, false), (0x40, true)].map(|(address, is_entry)| Edge { address, is_entry });
        for (number, covered) in [(1, [0, 1, 0]), (2, [0, 0, 7])] {
            let session = session(folder.path(), number);
            session.list_edges(&edges).expect("a list");
            let meter = session.meter().expect("a meter");
            meter.inputs(1).expect("a count");
            meter.inputs(10 * number).expect("a count");
            meter.edges(&covered).expect("edges");
        }
        let session = session(folder.path(), 0);
        assert_eq!(session.edges(), edges);
        let all = Measured { inputs: 30, covered: vec![false, true, true] };
        assert_eq!(session.measured(), all);
        // Of those that have ended one meter is left, and of one that never began there is none.
        for number in 1..=3 {
            session.retire(number).expect("it is ours");
            assert_eq!(session.measured(), all);
        }
        assert!(!session.meter_of(1).exists() && !session.meter_of(2).exists());
    }

    #[test]
    fn a_divergence_is_kept_once_for_each_signature_until_it_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let session = session(folder.path(), 1);
        let text = "# buflock program 1\nb0 = bytearray(2)\nlen(b0)  #! 3\n";
        let program = crate::program::parse::parse(text).expect("a program");
        let (verdict, _) = Check::native(Version::NEWEST).record(&Arc::new(program.clone()));
        let Verdict::Diverge(divergence) = verdict else {
            panic!("the file contradicts the model: {verdict:?}")
        };
        let other = Divergence { signature: "other".to_owned(), ..divergence.clone() };
        for _ in 0..2 {
            session.keep(&divergence, false, &program, Version::NEWEST);
            session.keep(&other, true, &program, Version::NEWEST);
        }
        let found = session.found();
        let signatures: Vec<_> = found.iter().map(|(_, finding)| &finding.told.signature).collect();
        assert_eq!((signatures, session.known()), (vec![&divergence.signature], 1));
        fs::remove_file(&found[0].0).expect("it is there");
        assert_eq!(session.found(), []);
    }
}
