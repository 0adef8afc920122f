//! Program files: found, read, and what is wrong with them underlined.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use buflock::program::parse::ParseError;
use buflock::program::{Program, Schedule, encode, parse};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

use super::error::{Ending, Failure};

/// The files that paths name: a file itself, of a folder everything below it that may be a program. What cannot
/// be looked into is among them, so that [`read`] says why.
pub fn find(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { walk(path, &mut files) } else { files.push(path.clone()) }
    }
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let Ok(entries) = entries else { return files.push(folder.to_owned()) };
    let mut entries: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A fuzzer's corpus has files without an extension.
        let program = path.extension().is_none_or(|extension| extension == "prog" || extension == "bin");
        if hidden {
            continue;
        } else if path.is_dir() {
            walk(&path, files);
        } else if program {
            files.push(path);
        }
    }
}

/// Reads a program in either form, or gives what is wrong with it, to be shown.
pub fn read(path: &Path) -> Result<Program, String> {
    let bytes =
        std::fs::read(path).map_err(|error| format!("error: failed to read {}: {error}", path.display()))?;
    let looks_like_text =
        parse::is_text(&bytes) || path.extension().is_some_and(|extension| extension == "prog");
    let program = if !looks_like_text {
        encode::decode(&bytes).map_err(|error| format!("error: {}: {error}", path.display()))
    } else {
        read_text(path, &bytes)
    }?;
    if matches!(program.schedule, Schedule::Explored(_)) && !cfg!(feature = "explored") {
        let path = path.display();
        return Err(format!(
            "error: {path}: its threads take turns, which this buflock was built without\n  next: cargo run --features explored -- replay {path}"
        ));
    }
    Ok(program)
}

fn read_text(path: &Path, bytes: &[u8]) -> Result<Program, String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse::parse(text).map_err(|error| underlined(path, text, &error)),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
            Err(format!(
                "error: {}, line {line}: this is not UTF-8, which a program in text must be",
                path.display()
            ))
        }
    }
}

/// As [`read`], for a command that cannot go on without it.
pub fn read_one(path: &Path) -> Result<Program, Failure> {
    read(path).map_err(|shown| {
        let what = shown
            .strip_prefix("error: ")
            .map_or_else(|| format!("malformed program\n{shown}"), str::to_owned);
        Failure { ending: Ending::Usage, what, next: None }
    })
}

fn underlined(path: &Path, text: &str, error: &ParseError) -> String {
    let before: usize = text.split_inclusive('\n').take(error.line - 1).map(str::len).sum();
    let bytes =
        |characters: usize| error.source_line.chars().take(characters).map(char::len_utf8).sum::<usize>();
    let start = bytes(error.column - 1);
    let length = bytes(error.column - 1 + error.length) - start;
    let place = format!("{}:{}:{}", path.display(), error.line, error.column);
    let label =
        LabeledSpan::at(before + start..before + start + length, format!("expected {}", error.expected));
    let diagnostic =
        MietteDiagnostic::new(format!("{place}: expected {}, found {}", error.expected, error.found))
            .with_label(label)
            .with_help(format!("mend the line, then: buflock replay {}", path.display()));
    let source = NamedSource::new(path.display().to_string(), text.to_owned());
    let report = Report::new(diagnostic).with_source_code(source);
    let theme = if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut shown = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
    match handler.render_report(&mut shown, report.as_ref()) {
        Ok(()) => shown.trim_end().to_owned(),
        Err(_) => format!("error: {place}: {error}"),
    }
}
