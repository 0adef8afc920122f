//! `buflock fuzz --coverage`: which functions the inputs that are kept reach, and how much of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use buflock::fuzz::session::Session;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use super::edges::{self, Function, Reach, Whose};
use super::home::{self, Run};
use super::process::Setup;
use crate::error::{Ending, Failure};
use crate::findings::write_whole;
use crate::output;
use crate::stop::Stop;

/// The functions of somebody, file by file, and how much of each was reached.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    files: Vec<File>,
    all: Reach,
}

/// A file.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct File {
    name: String,
    reach: Reach,
    functions: Vec<Row>,
}

/// A function.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    name: String,
    reach: Reach,
}

impl Coverage {
    /// What was covered of the functions of somebody.
    pub fn new(functions: &[Function], whose: Whose, covered: &[bool]) -> Coverage {
        let mut files: BTreeMap<&str, BTreeMap<&str, Reach>> = BTreeMap::new();
        for function in functions.iter().filter(|function| function.whose == whose) {
            // One that is made several times over, of a header or for several types, is one to whoever reads it.
            let reach = files.entry(&function.file).or_default().entry(&function.name).or_default();
            *reach += function.reach(covered);
        }
        let mut coverage = Coverage::default();
        for (name, functions) in files {
            let mut reach = Reach::default();
            functions.values().for_each(|own| reach += *own);
            coverage.all += reach;
            let row = |(name, reach): (&str, Reach)| Row { name: name.to_owned(), reach };
            let functions = functions.into_iter().map(row).collect();
            coverage.files.push(File { name: name.to_owned(), reach, functions });
        }
        coverage
    }

    /// A line for each file and each function.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |indent: &str, name: &str, reach: Reach| {
            let name = format!("{indent}{name}");
            let share = reach.percent();
            let _ = writeln!(text, "{name:50} {:>6} of {:>6}  {share:>5.1} %", reach.reached, reach.of);
        };
        for file in &self.files {
            line("", &file.name, file.reach);
            file.functions.iter().for_each(|row| line("    ", &row.name, row.reach));
        }
        line("", "all", self.all);
        text
    }

    /// A page of the same.
    fn page(&self, title: &str) -> String {
        const PAGE: &str = include_str!("coverage.html");
        let mut environment = Environment::new();
        environment
            .add_filter("share", |reached: f64, of: f64| format!("{:.1}", 100.0 * reached / of.max(1.0)));
        environment.add_template("coverage.html", PAGE).expect("the template is well-formed");
        let seen = context! { title, coverage => Value::from(Serde(self)) };
        let page = environment.get_template("coverage.html").and_then(|template| template.render(seen));
        page.expect("the template has all that it names")
    }
}

/// Runs all inputs of a run, and says what they cover.
pub fn report(
    setup: &Setup,
    run: &Run,
    whose: Whose,
    title: &str,
    html: Option<&Path>,
    stop: &Stop,
) -> Result<Ending, Failure> {
    let covered = replay(setup, run, stop)?;
    let session =
        Session::new(&run.session(), 0).map_err(|error| Failure::file("read", &run.session(), &error))?;
    let functions = edges::functions(&setup.executable, &session.edges())?;
    let coverage = Coverage::new(&functions, whose, &covered);
    output::print(&coverage.text())?;
    if let Some(path) = html {
        write_whole(path, coverage.page(title).as_bytes())?;
    }
    Ok(if coverage.all.reached == 0 { Ending::NothingRan } else { Ending::Clean })
}

/// Runs all inputs, those that end a process up to there; which edges they cover.
fn replay(setup: &Setup, run: &Run, stop: &Stop) -> Result<Vec<bool>, Failure> {
    let mut number = 0;
    loop {
        number += 1;
        let failed = |error| Failure::file("make", &run.session(), &error);
        let session = Session::new(&run.session(), number).map_err(failed)?;
        let mut process = setup.replay(run, &session, number)?;
        let ended = loop {
            match process.ended()? {
                Some(ended) => break ended,
                None if stop.wanted() => return Ok(session.measured().covered),
                None => std::thread::sleep(super::ROUND),
            }
        };
        if ended.is_over() {
            return Ok(session.measured().covered);
        }
        if ended.artifacts.is_empty() {
            return Err(Failure {
                ending: Ending::Environment,
                what: format!("the inputs cannot be run: {}\n{}", ended.how, ended.said.unwrap_or_default()),
                next: None,
            });
        }
        for artifact in ended.artifacts {
            let input = std::fs::read(&artifact).map_err(|error| Failure::file("read", &artifact, &error))?;
            run.forget(&input);
            home::remove(&artifact)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_one_name_are_one_and_files_are_added_up() {
        let function = |name: &str, file: &str, edges| Function::new(name, file, Whose::CPython, edges);
        let functions = [
            function("find", "Objects/<find>.h", 0..2),
            function("find", "Objects/<find>.h", 2..4),
            function("next", "Objects/<find>.h", 4..5),
            function("other", "a.c", 5..6),
        ];
        let coverage = Coverage::new(&functions, Whose::CPython, &[true, false, true, true, false, false]);
        assert_eq!(
            coverage
                .text()
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>(),
            [
                "Objects/<find>.h 3 of 5 60.0 %",
                "find 3 of 4 75.0 %",
                "next 0 of 1 0.0 %",
                "a.c 0 of 1 0.0 %",
                "other 0 of 1 0.0 %",
                "all 3 of 6 50.0 %",
            ]
        );
        let page = coverage.page("of a test");
        assert!(page.contains("Objects&#x2f;&lt;find&gt;.h") && page.contains("75.0 %"), "{page}");
    }
}
