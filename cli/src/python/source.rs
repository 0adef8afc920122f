//! Where the source of a CPython comes from, and what is in it.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::args::BuildPython;
use crate::error::Failure;

/// The SHA-256 of releases on python.org: `version digest` a line.
const RELEASES: &str = include_str!("releases.txt");
/// The oldest minor version whose modules can all be built in.
const OLDEST: (u32, u32) = (3, 12);
/// The oldest minor version that can be built without the GIL.
const OLDEST_FREE_THREADED: (u32, u32) = (3, 13);

/// A source that is there.
#[derive(Debug, Clone)]
pub struct Source {
    place: Place,
    /// `3.13.15`, as it says itself.
    pub version: String,
    /// In hexadecimal digits, of all that is in it.
    pub digest: String,
    /// Where it is, for people.
    pub name: String,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    Tarball(PathBuf),
}

impl Source {
    /// What was asked for; a release is downloaded to the folder `downloads`, unless it is there.
    pub fn find(args: &BuildPython, downloads: &Path) -> Result<Source, Failure> {
        let source = match (&args.version, &args.source) {
            (Some(version), _) => Source::release(version, args.sha256.as_deref(), downloads)?,
            (None, Some(path)) if path.is_dir() => Source::folder(path)?,
            (None, Some(path)) => Source::tarball(path)?,
            (None, None) => {
                return Err(Failure::usage("there is no source", "buflock python build --version 3.13.13"));
            }
        };
        source.check(args.free_threaded)?;
        Ok(source)
    }

    fn folder(path: &Path) -> Result<Source, Failure> {
        let path = path.canonicalize().map_err(|error| Failure::file("find", path, &error))?;
        let shown = path.display();
        let header = path.join("Include/patchlevel.h");
        let header = fs::read_to_string(&header).map_err(|error| Failure::file("read", &header, &error))?;
        let version = version_in(&header).ok_or_else(|| not_a_source(&path))?;
        if path.join("pyconfig.h").exists() {
            return Err(Failure::usage(
                format!("{shown} has been built in, and what is in it would be used"),
                format!("make -C {shown} distclean"),
            ));
        }
        let mut hash = Sha256::new();
        digest_folder(&path, &path, &mut hash)?;
        let name = shown.to_string();
        Ok(Source { version, digest: hex(&hash.finalize()), name, place: Place::Folder(path) })
    }

    fn tarball(path: &Path) -> Result<Source, Failure> {
        let path = path.canonicalize().map_err(|error| Failure::file("find", path, &error))?;
        let listing =
            tar(&["-xO", "--wildcards", "--no-wildcards-match-slash"], &path, &["*/Include/patchlevel.h"])?;
        let version = version_in(&listing).ok_or_else(|| not_a_source(&path))?;
        let (digest, name) = (digest_file(&path)?, path.display().to_string());
        Ok(Source { version, digest, name, place: Place::Tarball(path) })
    }

    fn release(version: &str, sha256: Option<&str>, downloads: &Path) -> Result<Source, Failure> {
        let known = RELEASES.lines().filter_map(|line| line.split_once(' ')).find(|(of, _)| *of == version);
        let expected = sha256.or(known.map(|(_, digest)| digest)).ok_or_else(|| {
            let what = format!("the checksum of Python {version} is not known here");
            let next = format!(
                "buflock python build --version {version} --sha256 DIGEST, with the one of its page on python.org"
            );
            Failure::usage(what, next)
        })?;
        let file = format!("Python-{version}.tar.xz");
        let path = downloads.join(&file);
        if !path.exists() {
            // What comes before a release is in its folder: 3.15.0b1 in 3.15.0.
            let folder = version.split(|c: char| c.is_ascii_alphabetic()).next().unwrap_or(version);
            download(&format!("https://www.python.org/ftp/python/{folder}/{file}"), &path, expected)?;
        }
        let found = digest_file(&path)?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(Failure::environment(
                format!("{} has the SHA-256 {found}, which should be {expected}", path.display()),
                format!("rm {}, and try again", path.display()),
            ));
        }
        let source = Source::tarball(&path)?;
        Ok(Source { name: format!("python.org, {file}"), ..source })
    }

    fn check(&self, free_threaded: bool) -> Result<(), Failure> {
        let mut numbers = self.version.split('.').filter_map(|number| number.parse().ok());
        let minor: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let (oldest, without) =
            if free_threaded { (OLDEST_FREE_THREADED, " without the GIL") } else { (OLDEST, "") };
        if minor >= oldest {
            return Ok(());
        }
        Err(Failure::usage(
            format!(
                "Python {} cannot be built{without}: the first that can is {}.{}",
                self.version, oldest.0, oldest.1
            ),
            "buflock python build --version 3.13.13",
        ))
    }

    /// Its tree: where it is, or unpacked into `folder`.
    pub fn tree(&self, folder: &Path) -> Result<PathBuf, Failure> {
        match &self.place {
            Place::Folder(path) => Ok(path.clone()),
            Place::Tarball(path) => {
                fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
                let into = folder.to_string_lossy();
                tar(&["-x", "--no-same-owner", "--strip-components=1", "-C", &into], path, &[])?;
                Ok(folder.to_owned())
            }
        }
    }
}

fn not_a_source(path: &Path) -> Failure {
    let what =
        format!("{} is no source of CPython: it has no Include/patchlevel.h with a version", path.display());
    Failure::usage(what, "buflock python build --source Python-3.13.13.tar.xz")
}

/// The version that `Include/patchlevel.h` says.
fn version_in(header: &str) -> Option<String> {
    let line = header.lines().find_map(|line| line.strip_prefix("#define PY_VERSION "))?;
    // What is built between two releases has a `+`.
    let version = line.trim().trim_matches('"').trim_end_matches('+');
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

fn tar(options: &[&str], tarball: &Path, members: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("tar");
    command.args(options).arg("-f").arg(tarball).args(members).stdin(Stdio::null());
    let output = command.output().map_err(|error| {
        Failure::environment(format!("failed to start tar: {error}"), "apt install tar xz-utils")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    Err(Failure::usage(
        format!("failed to unpack {}: {why}", tarball.display()),
        "buflock python build --source FILE, with a tarball of CPython",
    ))
}

/// Downloads a file beside its place, and puts it there once its checksum is right.
fn download(url: &str, to: &Path, expected: &str) -> Result<(), Failure> {
    eprintln!("downloading {url}");
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let by_hand =
        format!("download {url} where there is a network, and then: buflock python build --source {name}");
    let failed =
        |why: &str| Failure::environment(format!("failed to download {url}: {why}"), by_hand.clone());
    let folder = to.parent().unwrap_or(Path::new("."));
    let part =
        tempfile::NamedTempFile::new_in(folder).map_err(|error| Failure::file("write to", folder, &error))?;
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--location", "--silent", "--show-error", "--connect-timeout", "20", "--output"]);
    let output = curl.arg(part.path()).arg(url).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        Failure::environment(
            format!("failed to start curl: {error}"),
            format!("apt install curl, or {by_hand}"),
        )
    })?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    let found = digest_file(part.path())?;
    if !found.eq_ignore_ascii_case(expected) {
        return Err(failed(&format!("its SHA-256 is {found}, which should be {expected}")));
    }
    part.persist(to).map(drop).map_err(|error| Failure::file("write", to, &error.error))
}

fn digest_file(path: &Path) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    feed(path, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn feed(path: &Path, hash: &mut Sha256) -> Result<(), Failure> {
    let failed = |error| Failure::file("read", path, &error);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut part = vec![0; 1 << 16];
    loop {
        match file.read(&mut part).map_err(failed)? {
            0 => return Ok(()),
            length => hash.update(&part[..length]),
        }
    }
}

/// The names and contents of all files below a folder, but for what no build reads.
fn digest_folder(root: &Path, folder: &Path, hash: &mut Sha256) -> Result<(), Failure> {
    const UNREAD: [&str; 4] = [".git", "__pycache__", "Doc", ".github"];
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries = entries.map_err(|error| Failure::file("read", folder, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries.iter().filter(|entry| !UNREAD.iter().any(|name| entry.file_name() == *name)) {
        let path = entry.path();
        if path.is_dir() {
            digest_folder(root, &path, hash)?;
        } else if path.is_file() {
            hash.update(path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes());
            hash.update([0]);
            feed(&path, hash)?;
            hash.update([0]);
        }
    }
    Ok(())
}

/// In hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("Include")).expect("a folder");
        let header = format!("#define PY_MAJOR_VERSION 3\n#define PY_VERSION      \"{version}\"\n");
        fs::write(folder.path().join("Include/patchlevel.h"), header).expect("a file");
        folder
    }

    #[test]
    fn a_tree_is_known_by_all_that_is_in_it() {
        let folder = tree("3.13.5+");
        let first = Source::folder(folder.path()).expect("a source");
        assert_eq!(first.version, "3.13.5");
        fs::write(folder.path().join("Include/Python.h"), "").expect("a file");
        let second = Source::folder(folder.path()).expect("a source");
        fs::write(folder.path().join("Include/Python.h"), "x").expect("a file");
        let third = Source::folder(folder.path()).expect("a source");
        fs::create_dir(folder.path().join("Doc")).expect("a folder");
        fs::write(folder.path().join("Doc/index.rst"), "x").expect("a file");
        let fourth = Source::folder(folder.path()).expect("a source");
        assert!(first.digest != second.digest && second.digest != third.digest);
        assert_eq!(third.digest, fourth.digest);
    }

    #[test]
    fn a_tree_that_was_built_in_and_one_that_is_none_are_refused() {
        let folder = tree("3.13.5");
        fs::write(folder.path().join("pyconfig.h"), "").expect("a file");
        let refusal = Source::folder(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains("distclean"), "{refusal}");
        let other = tempfile::tempdir().expect("a folder");
        fs::create_dir(other.path().join("Include")).expect("a folder");
        fs::write(other.path().join("Include/patchlevel.h"), "nothing").expect("a file");
        assert!(Source::folder(other.path()).is_err());
    }

    #[test]
    fn a_tarball_says_its_version_and_gives_its_tree() {
        let folder = tree("3.14.0");
        let into = tempfile::tempdir().expect("a folder");
        let path = into.path().join("Python.tar");
        let (parent, name) =
            (folder.path().parent().expect("a parent"), folder.path().file_name().expect("a name"));
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(&path).arg("-C").arg(parent).arg(name);
        assert!(tar.status().expect("tar").success());
        let source = Source::tarball(&path).expect("a source");
        assert_eq!(source.version, "3.14.0");
        let tree = source.tree(&into.path().join("tree")).expect("a tree");
        assert!(tree.join("Include/patchlevel.h").is_file());
    }

    #[test]
    fn what_is_too_old_is_refused_before_it_is_built() {
        let of = |version: &str| Source::folder(tree(version).path()).expect("a source");
        assert!(of("3.11.9").check(false).is_err());
        assert!(of("3.12.0").check(false).is_ok());
        assert!(of("3.12.0").check(true).unwrap_err().to_string().contains("without the GIL"));
        assert!(of("3.13.0").check(true).is_ok());
    }

    #[test]
    fn a_release_whose_checksum_is_not_known_is_not_downloaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let refusal = Source::release("3.99.0", None, folder.path()).unwrap_err().to_string();
        assert!(refusal.contains("--sha256"), "{refusal}");
    }

    #[test]
    fn a_download_of_other_contents_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Python-3.13.5.tar.xz"), "not it").expect("a file");
        let refusal = Source::release("3.13.5", None, folder.path()).unwrap_err().to_string();
        assert!(refusal.contains("which should be 93e583f2"), "{refusal}");
    }

    #[test]
    fn the_table_of_releases_has_a_version_and_a_digest_a_line() {
        for line in RELEASES.lines() {
            let (version, digest) = line.split_once(' ').expect("two words");
            assert!(version.split('.').count() == 3 && digest.len() == 64, "{line}");
            assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        }
    }
}
