//! The folder of findings: one file per signature, written the moment it is seen.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use buflock::report::{Finding, Origin, file_name};

use super::error::{Ending, Failure};

/// Findings of this run and of those before.
#[derive(Debug)]
pub struct Findings {
    folder: PathBuf,
    /// What this run was the first to see, by signature.
    fresh: HashMap<String, Finding>,
}

impl Findings {
    /// Makes the folder and tries to write to it.
    pub fn open(folder: &Path) -> Result<Findings, Failure> {
        let tried = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        tried.map_err(|error| Failure {
            ending: Ending::Environment,
            what: format!("findings cannot be saved in {}: {error}", folder.display()),
            next: Some("buflock run --findings /a/folder/you/can/write".to_owned()),
        })?;
        Ok(Findings { folder: folder.to_owned(), fresh: HashMap::new() })
    }

    /// Whether a divergence at this place needs a finding: nobody has seen its signature, or this run
    /// has, at a later program. The first program of a signature is kept, so that which programs are
    /// saved does not depend on which worker was faster.
    pub fn wants(&self, signature: &str, index: u64) -> Wanted {
        match self.fresh.get(signature) {
            Some(Finding { origin: Some(Origin { index: first, .. }), .. }) if *first <= index => Wanted::No,
            Some(_) => Wanted::Earlier,
            None if self.path(signature).exists() => Wanted::No,
            None => Wanted::New,
        }
    }

    /// Whether this run was the first to see a signature.
    pub fn is_fresh(&self, signature: &str) -> bool {
        self.fresh.contains_key(signature)
    }

    /// Saves a finding under its signature.
    pub fn save(&mut self, finding: Finding) -> Result<(), Failure> {
        let path = self.path(&finding.told.signature);
        write_whole(&path, finding.file().as_bytes())?;
        self.fresh.insert(finding.told.signature.clone(), finding);
        Ok(())
    }

    /// Where a signature's finding is.
    pub fn path(&self, signature: &str) -> PathBuf {
        self.folder.join(file_name(signature))
    }

    /// What this run was the first to see, in the order of the programs.
    pub fn fresh(&self) -> Vec<Finding> {
        let mut fresh: Vec<Finding> = self.fresh.values().cloned().collect();
        let key =
            |finding: &Finding| (finding.origin.map(|origin| origin.index), finding.told.signature.clone());
        fresh.sort_by_key(key);
        fresh
    }
}

/// What [`Findings::wants`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is the first of its signature.
    New,
    /// It is of an earlier program than the one that is saved.
    Earlier,
    /// It only counts.
    No,
}

/// Writes a file as a whole or not at all.
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(contents)?;
        readable(file.as_file())?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error: std::io::Error| Failure::file("write", path, &error))
}

/// Temporary files are for their owner alone; findings are for all who may read the folder.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}
