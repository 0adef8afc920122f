//! One recorded run for people: the program with a column per thread, and what each step saw.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Place, Recording, Sight, Told};
use crate::program::Program;

/// How a report is to look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether the terminal shows colours.
    pub colour: bool,
    /// Characters in a line.
    pub width: usize,
}

/// Who differs if the program itself says what no subject need do.
const MODEL: &str = "model";
/// The narrowest lines that a report is made for.
const NARROWEST: usize = 60;
/// What a value is cut to in the lines that are not the differing one.
const OBSERVED: usize = 28;

/// The whole report. `file` is where the program is, for the commands at the end; none without it.
pub fn render(program: &Program, recording: &Recording, file: Option<&str>, look: Look) -> String {
    let look = Look { width: look.width.max(NARROWEST), ..look };
    let mut out = String::new();
    head(&mut out, program, recording, look);
    let table = Table::new(program, recording, look);
    for at in 0..program.steps.len() {
        table.step(&mut out, at);
    }
    if let Some(told) = recording.told.as_ref().filter(|told| told.step.is_none()) {
        let _ = writeln!(out, "{}", paint(MARK, &format!("► at rest {}", owner(told)), look));
        values(&mut out, told, look);
    }
    if let Some(told) = recording.told.as_ref().filter(|told| told.place == Place::Access) {
        for line in told.message.iter().flat_map(|text| text.lines()) {
            let _ = writeln!(out, "{}", paint(FAINT, line.trim_end(), look));
        }
    }
    if let Some(race) = &recording.race {
        let drawn = race.draw(program, table.column + GAP);
        let _ = write!(out, "{}{drawn}", if drawn.is_empty() { "" } else { "\n" });
    }
    if let Some(file) = file {
        commands(&mut out, file, recording.told.is_some());
    }
    out
}

const MARK: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));

fn paint(style: Style, text: &str, look: Look) -> String {
    if look.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

fn head(out: &mut String, program: &Program, recording: &Recording, look: Look) {
    let Some(told) = &recording.told else {
        let all = recording.subjects.join(" and ");
        let agree = if recording.subjects.len() == 1 { "agrees" } else { "agree" };
        let _ = writeln!(
            out,
            "{} on {}\n",
            paint(GOOD, &format!("{all} {agree} with the model"), look),
            recording.python
        );
        return;
    };
    let title = match told.place {
        Place::Process => format!("{} died", told.subject),
        Place::Access => format!("{} does what a sanitizer complains of", told.subject),
        _ if told.subject == MODEL => "the program says something else than the model".to_owned(),
        _ => format!("{} differs from the model", told.subject),
    };
    let at = told.step.map_or_else(|| "at rest".to_owned(), |step| format!("at step {}", step + 1));
    let _ = writeln!(out, "{} {at} on {}", paint(MARK, &title, look), recording.python);
    let _ = writeln!(out, "clause {}: {}", paint(STRONG, &told.clause, look), told.clause_text);
    if let Some(entry) = &recording.known {
        let standing = if recording.permitted { "permitted" } else { "a known bug" };
        let _ = writeln!(out, "{standing}: {entry} of the catalogue");
    }
    if let Some(words) = program.allocator.words() {
        let _ = writeln!(out, "allocator {}: {words}", program.allocator.name());
    }
    if let Some(race) = &recording.race {
        let _ = writeln!(out, "shown in {}", race.shown);
    }
    let _ = writeln!(out, "signature {}\n", told.signature);
}

/// Where the columns are.
struct Table<'a> {
    program: &'a Program,
    recording: &'a Recording,
    look: Look,
    lanes: usize,
    /// Characters of a thread's column, or of the only one.
    column: usize,
}

impl<'a> Table<'a> {
    fn new(program: &'a Program, recording: &'a Recording, look: Look) -> Table<'a> {
        let threaded = program.steps.iter().any(|step| step.thread.is_some());
        let lanes = if threaded { usize::from(program.threads()) } else { 1 };
        let longest = program.steps.iter().map(|step| step.guarded().chars().count()).max().unwrap_or(0);
        let room = look.width.saturating_sub(GUTTER + OBSERVED) / lanes;
        let column = longest.max(8).min(room.saturating_sub(GAP).max(12));
        let table = Table { program, recording, look, lanes, column };
        if threaded { table } else { Table { lanes: 1, ..table } }
    }

    fn threads_begin(&self, at: usize) -> bool {
        let threaded = |at: usize| self.program.steps[at].thread.is_some();
        threaded(at) && (at == 0 || !threaded(at - 1))
    }

    fn titles(&self) -> String {
        let names = (0..self.lanes).map(|lane| pad(&format!("T{lane}"), self.column + GAP));
        format!("{}{}", " ".repeat(GUTTER), names.collect::<String>().trim_end())
    }

    fn step(&self, out: &mut String, at: usize) {
        if self.threads_begin(at) {
            let _ = writeln!(out, "{}", paint(FAINT, &self.titles(), self.look));
        }
        let step = &self.program.steps[at];
        let told = self.recording.told.as_ref().filter(|told| told.step == Some(at));
        let whole = self.lanes * (self.column + GAP) - GAP;
        let cells: String = match step.thread {
            None => pad(&cut(&step.guarded(), whole), whole),
            Some(own) => {
                let before = usize::from(own) * (self.column + GAP);
                pad(&format!("{}{}", " ".repeat(before), cut(&step.guarded(), self.column)), whole)
            }
        };
        let mark = if told.is_some() { "►" } else { " " };
        let room = self.look.width.saturating_sub(GUTTER + whole + GAP).max(12);
        let saw = match (told, self.recording.steps.get(at)) {
            (Some(told), _) => owner(told),
            (None, Some(sight)) => observed(sight, &self.recording.subjects, room),
            (None, None) => String::new(),
        };
        let line = format!("{mark}{:>3}  {cells}  {saw}", at + 1);
        let line = line.trim_end();
        let style = if told.is_some() { MARK } else { Style::new() };
        let plain = told.is_none() && self.recording.steps.get(at).is_none();
        let _ = writeln!(out, "{}", paint(if plain { FAINT } else { style }, line, self.look));
        if let Some(told) = told {
            values(out, told, self.look);
        }
    }
}

/// The mark, the number of the step and what is after it.
const GUTTER: usize = 6;
/// Between columns.
const GAP: usize = 2;

/// Who differs, and where.
fn owner(told: &Told) -> String {
    match told.place {
        Place::Process => "the worker died".to_owned(),
        Place::Access => "a sanitizer complains".to_owned(),
        place if told.subject == MODEL => format!("the program differs {place}"),
        place => format!("{} differs {place}", told.subject),
    }
}

/// What a step saw, in short where all agree.
fn observed(sight: &Sight, subjects: &[String], room: usize) -> String {
    let alike =
        |seen: &str| seen == sight.model || (sight.model.starts_with("hash(") && !seen.contains("Error"));
    if sight.subjects.iter().all(|(seen, _)| alike(seen)) {
        return cut(&sight.model, room);
    }
    let each = sight.subjects.iter().zip(subjects).map(|((seen, _), name)| format!("{name} {seen}"));
    let all: Vec<String> = std::iter::once(format!("model {}", sight.model)).chain(each).collect();
    cut(&all.join(", "), room)
}

/// Both worlds' values, one beneath the other.
fn values(out: &mut String, told: &Told, look: Look) {
    let indent = " ".repeat(GUTTER + GAP);
    let name = told.subject.chars().count().max("message".len());
    let room = look.width.saturating_sub(indent.len() + name + GAP).max(20);
    let rows = [
        (if told.subject == MODEL { "program" } else { MODEL }, Some(&told.expected), GOOD),
        (told.subject.as_str(), Some(&told.found), MARK),
        // What a sanitizer says has lines of its own.
        ("message", told.message.as_ref().filter(|_| told.place != Place::Access), Style::new()),
    ];
    let (one, other) = (told.expected.as_str(), told.found.as_str());
    let from = common(one, other, room);
    for (title, value, style) in rows {
        let Some(value) = value else { continue };
        let value = if title == "message" { cut(value, room) } else { window(value, from, room) };
        let _ = writeln!(out, "{indent}{}  {}", pad(title, name), paint(style, &value, look));
    }
}

/// From which character on two long values are shown, so that what differs is in sight.
fn common(one: &str, other: &str, room: usize) -> usize {
    let fits = |text: &str| text.chars().count() <= room;
    if fits(one) && fits(other) {
        return 0;
    }
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    if same < room * 2 / 3 { 0 } else { same - room / 3 }
}

fn window(text: &str, from: usize, room: usize) -> String {
    if from == 0 {
        return cut(text, room);
    }
    let rest: String = text.chars().skip(from + 1).collect();
    cut(&format!("…{rest}"), room)
}

fn commands(out: &mut String, file: &str, differs: bool) {
    let file = quoted(file);
    let mut rows = vec![("replay", format!("buflock replay {file}"))];
    if differs {
        rows.push(("shrink", format!("buflock shrink {file} -o shrunk.prog")));
    }
    rows.push(("reproduce", format!("buflock repro {file} -o repro.py && python3 repro.py")));
    let _ = writeln!(out);
    for (what, command) in rows {
        let _ = writeln!(out, "  {what:<11}{command}");
    }
}

/// As a shell takes it.
fn quoted(file: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%=:".contains(c);
    if !file.is_empty() && file.chars().all(plain) {
        file.to_owned()
    } else {
        format!("'{}'", file.replace('\'', "'\\''"))
    }
}

/// At most `room` characters, the last an ellipsis if there are more; no control characters.
pub(super) fn cut(text: &str, room: usize) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= room {
        return text.chars().map(shown).collect();
    }
    let kept = text.chars().take(room.saturating_sub(1)).map(shown);
    kept.chain(std::iter::once('…')).collect()
}

fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::program::parse::parse;
    use crate::report::tests::told;
    use crate::subject::Version;
    use std::sync::Arc;

    const LOOK: Look = Look { colour: false, width: 100 };

    fn read(lines: &str) -> Program {
        parse(&format!("# buflock program 1\n{lines}")).unwrap_or_else(|error| panic!("{error}"))
    }

    fn recorded(program: &Program) -> Recording {
        let mut check = Check::native(Version::NEWEST);
        let (verdict, seen) = check.record(&Arc::new(program.clone()));
        Recording::new("Python 3.15.0", check.subjects(), &verdict, &seen)
    }

    const THREADED: &str = "b0 = bytearray(16)\nv0 = memoryview(b0)\nT0: v1 = v0[2:8:2]\nT1: v0.release()\n\
                            T0: b0.extend(b\"ab\")\nT1: b0.clear()\n";

    #[test]
    fn each_thread_has_a_column_and_the_first_difference_a_mark() {
        let program = read(THREADED);
        let mut recording = recorded(&program);
        recording.steps.truncate(5);
        recording.told = Some(told(4, "BufferError", "None", Some("nothing was raised")));
        insta::assert_snapshot!(render(&program, &recording, Some("findings/a.prog"), LOOK));
    }

    #[test]
    fn a_program_on_which_all_agree_is_shown_with_what_it_saw() {
        let program = read(
            "b0 = bytearray(b\"abc\")\nv0 = memoryview(b0)\nv0.tolist()\nb0.pop()\ndel v0\nb0.pop()\nv0.release()\n",
        );
        insta::assert_snapshot!(render(&program, &recorded(&program), None, LOOK));
    }

    #[test]
    fn what_differs_in_long_values_is_in_sight() {
        let program = read("b0 = bytearray(64)\nlist(b0)\n");
        let mut recording = recorded(&program);
        let long = |last: &str| format!("b0 is bytearray(b\"{}{last}\")", "\\x00".repeat(60));
        recording.told = Some(told(1, &long("a"), &long("b"), None));
        let look = Look { width: 70, ..LOOK };
        let report = render(&program, &recording, None, look);
        assert!(report.lines().all(|line| line.chars().count() <= 100), "{report}");
        insta::assert_snapshot!(report);
    }

    #[test]
    fn a_difference_at_rest_is_shown_after_the_last_step() {
        let program = read("b0 = bytearray(1)\n");
        let mut recording = recorded(&program);
        recording.told = Some(Told {
            step: None,
            place: Place::StillExported(crate::program::Slot::new(crate::program::SlotKind::Exporter, 0)),
            ..told(0, "b0 can be resized", "b0 is still exported", None)
        });
        insta::assert_snapshot!(render(&program, &recording, Some("it's.prog"), LOOK));
    }

    #[test]
    fn colour_is_only_where_it_is_asked_for() {
        let program = read(THREADED);
        let mut recording = recorded(&program);
        recording.told = Some(told(4, "BufferError", "None", None));
        assert!(!render(&program, &recording, None, LOOK).contains('\u{1b}'));
        assert!(render(&program, &recording, None, Look { colour: true, ..LOOK }).contains('\u{1b}'));
    }
}
