//! The catalogue as a table: which known bug shows on which Python.

use std::fmt::Write;

use crate::judge::permitted::Entry;
use crate::subject::Version;

const HEAD: &str = "\
# Known bugs of CPython

One file each, as small as it gets. The table is made of `oracle/known/*.toml`, which has the reasons at length; replaying
the files on a Python holds it against that Python: `●` shows, `< 3.13.5` shows until it was mended in that version, `○`
shows in builds without the GIL alone.

";

/// The page about these entries: the text of `corpus/divergences/README.md`.
pub fn page<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let mut entries: Vec<&Entry> = entries.into_iter().collect();
    entries.sort_by(|one, other| one.shown_by.cmp(&other.shown_by));
    let mut out = HEAD.to_owned();
    let titles: Vec<String> = Version::MINORS.map(|minor| format!(" 3.{minor} |")).collect();
    let _ = writeln!(out, "| file |{} upstream |", titles.concat());
    let _ = writeln!(out, "| --- |{} --- |", " --- |".repeat(Version::MINORS.count()));
    for entry in &entries {
        let file = file_of(entry);
        let name = file.trim_end_matches(".prog").replace('_', " ");
        let cells: Vec<String> = Version::MINORS.map(|minor| format!(" {} |", cell(entry, minor))).collect();
        let _ = writeln!(
            out,
            "| [{name}]({file}) |{} [{}]({}) |",
            cells.concat(),
            short(&entry.link),
            entry.link
        );
    }
    for entry in &entries {
        let _ = writeln!(out, "\n**{}** ({}): {}", entry.id, file_of(entry), entry.reason);
    }
    out
}

/// The name of the file that shows it, beside which the page is.
fn file_of(entry: &Entry) -> &str {
    entry.shown_by.rsplit('/').next().unwrap_or_default()
}

/// What a minor version shows.
fn cell(entry: &Entry, minor: u8) -> String {
    let shows = |micro| entry.is_shown_by(Version { major: 3, minor, micro });
    let of_it = |text: &&String| text.starts_with(&format!("3.{minor}."));
    match (shows(0), shows(u8::MAX)) {
        (true, true) if entry.free_threaded => "○".to_owned(),
        (true, true) => "●".to_owned(),
        (false, false) => String::new(),
        (true, false) => format!("< {}", entry.fixed_in.iter().find(of_it).map_or("", String::as_str)),
        (false, true) => format!("≥ {}", entry.since.as_ref().filter(of_it).map_or("", String::as_str)),
    }
}

/// An issue of CPython's by its number, anything else by what it is.
fn short(link: &str) -> String {
    let number = link.rsplit('/').next().unwrap_or_default();
    match link {
        _ if link.contains("/cpython/issues/") || link.contains("/cpython/pull/") => format!("gh-{number}"),
        _ if link.contains("bugs.python.org") => format!("bpo-{}", number.trim_start_matches("issue")),
        _ => "source".to_owned(),
    }
}
