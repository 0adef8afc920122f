//! A script that shows a divergence on any Python from 3.8 on, of any implementation.

mod race;

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Place, Told, expectations, within_hooks};
use crate::program::op::{HELPERS, HELPERS_MODULE, RAW_BUFFER, RAW_BUFFER_MODULE, home};
use crate::program::starve::starves;
use crate::program::text::write_bytes;
use crate::program::{
    Allocator, Answer, Arg, Expect, Hook, Method, Op, Program, Protocol, Slot, SlotKind, Step, Syntax,
};
use crate::subject::{Flavour, Model, Picture, Version, ViewPicture};

/// What any script does that no program decides.
const PRELUDE: &str = include_str!("python/prelude.py");

/// What one does whose steps are done one after the other.
const LOCKSTEP: &str = include_str!("python/lockstep.py");

/// What lets an allocation of a step fail.
const STARVED: &str = include_str!("python/starved.py");

/// What a script begins with whose program ran with an allocator that shows stale reads.
const WITH_DEBUGGING_ALLOCATOR: &str = r#"
# Found with an allocator that shows what becomes of freed memory. CPython has one for debugging.
if platform.python_implementation() == "CPython":
    import os
    if os.environ.get("PYTHONMALLOC") != "debug":
        os.execve(sys.executable, [sys.executable] + sys.argv, dict(os.environ, PYTHONMALLOC="debug"))
"#;

/// The text of a bytes literal.
struct Literal<'a>(&'a [u8]);

impl std::fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_bytes(f, self.0)
    }
}

/// That a script would have to know more orders of steps than anybody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its threads have too many orders for a script")]
pub struct TooManyOrders;

/// The script. It holds what each step sees against what the program says of it or else the model of
/// `version`, and judges by the step of `told`; without it, by all of them.
///
/// If the difference is one of threads that race, it lets them race again and again, and holds what they see against all
/// orders that the model explains. `left_out` are steps that threads do not do, by their places in ascending order.
///
/// # Errors
/// If there are too many of them.
pub fn script(
    program: &Program,
    told: Option<&Told>,
    left_out: &[usize],
    version: Version,
    python: &str,
) -> Result<String, TooManyOrders> {
    let mut out = String::from("#!/usr/bin/env python3\n");
    head(&mut out, told, python);
    // What stays each time that a program runs is found by doing its steps in their order.
    let is_race = |told: &Told| {
        let step = told.step.and_then(|step| program.steps.get(step));
        told.place != Place::Memory && step.is_none_or(|step| step.thread.is_some())
    };
    if program.schedule.races() && told.is_none_or(is_race) {
        let mut program = program.clone();
        for &at in left_out.iter().rev() {
            let step = program.steps.remove(at);
            let _ = writeln!(out, "# Left out, since it is a known bug: {}", step.threaded());
        }
        race::script(&mut out, &program, told, version)?;
    } else {
        lockstep(&mut out, program, told, version);
    }
    Ok(out)
}

/// The rest of a script whose steps are done one after the other.
fn lockstep(out: &mut String, program: &Program, told: Option<&Told>, version: Version) {
    let said = &expectations(program, version);
    let within = within_hooks(program, version);
    imports(out, program, said, &["threading"]);
    out.push_str(PRELUDE);
    out.push_str(LOCKSTEP);
    let is_starved = |at: usize| starves(program, at).is_some();
    if (0..program.steps.len()).any(is_starved) {
        out.push_str(STARVED);
    }
    let last = told.and_then(|told| told.step).unwrap_or(usize::MAX);
    let mut table = String::from("\nSTEPS = [\n");
    for (at, ((step, said), within)) in program.steps.iter().zip(said).zip(&within).enumerate() {
        if at > last {
            break;
        }
        if *said == Expect::Skipped {
            let _ = writeln!(out, "\n\n# step {}, skipped: {}", at + 1, step.threaded());
            continue;
        }
        function(out, &(at + 1).to_string(), step);
        let awaited: Vec<String> = within.iter().map(expected).collect();
        let expected = expected(step.expect.as_ref().unwrap_or(said));
        let (number, lane, text) = (at + 1, step.lane(), string(&step.threaded()));
        let awaited = awaited.join(", ");
        let function = format!("step_{number}");
        let function = if is_starved(at) { format!("starved({function})") } else { function };
        let _ = writeln!(table, "    ({number}, {lane}, {text}, {function}, {expected}, [{awaited}]),");
    }
    table.push_str("]\n");
    let _ = write!(out, "\n{table}");
    mark(out, program, told, version);
    at_rest(out, told);
    out.push_str("\n\nif __name__ == \"__main__\":\n    main(STEPS, MARKED, STATE, AT_REST)\n");
}

fn head(out: &mut String, told: Option<&Told>, python: &str) {
    let mut lines = Vec::new();
    match told {
        Some(told) => {
            let at = told.step.map_or_else(|| "at rest".to_owned(), |step| format!("at step {}", step + 1));
            lines.push(format!("{} differs from the model of buflock {at} on {python}.", told.subject));
            lines.push(format!("Clause {}: {}.", told.clause, told.clause_text));
            lines.push(format!("Expected: {}", told.expected));
            lines.push(format!("Found: {}", told.found));
        }
        None => lines.push(format!("What each step of a buflock program sees, as of {python}.")),
    }
    lines.push("Exit code: 1 if the difference shows, 0 if not, 2 if this cannot run here.".to_owned());
    for line in lines {
        let _ = writeln!(out, "# {}", super::plain(&line));
    }
}

fn imports(out: &mut String, program: &Program, said: &[Expect], modules: &[&str]) {
    out.push_str("import gc\nimport platform\nimport sys\n");
    for module in modules {
        let _ = writeln!(out, "import {module}");
    }
    if program.allocator != Allocator::Usual {
        out.push_str(WITH_DEBUGGING_ALLOCATOR);
    }
    let runs = program.steps.iter().zip(said).filter(|(_, said)| **said != Expect::Skipped);
    let mut lines = BTreeSet::new();
    runs.for_each(|(step, _)| import_all(step, &mut lines));
    if !lines.is_empty() {
        out.push_str("\ntry:\n");
        for line in lines {
            let _ = writeln!(out, "    {line}");
        }
        out.push_str(
            "except ImportError as error:\n    print(\"this Python lacks what the program needs: %s\" % error)\n    \
             sys.exit(2)\n",
        );
    }
    for (module, text) in [(HELPERS_MODULE, HELPERS), (RAW_BUFFER_MODULE, RAW_BUFFER)] {
        let helps =
            |step: &Step| matches!(step.op.row().syntax, Syntax::Call(name) if home(name).0 == module);
        if program.steps.iter().any(|step| any_within(step, &helps)) {
            let _ = write!(out, "\n{text}");
        }
    }
}

/// Whether `is` says yes to a step or to one of its hooks.
fn any_within(step: &Step, is: &impl Fn(&Step) -> bool) -> bool {
    is(step) || step.hooks().flat_map(Hook::steps).any(|inner| any_within(inner, is))
}

/// How all that a step and its hooks name is brought in.
fn import_all(step: &Step, lines: &mut BTreeSet<String>) {
    lines.extend(import(step));
    for method in step.hooks().flat_map(|hook| &hook.methods) {
        if let Answer::Raise(class) = method.answer
            && let Some((module, _)) = class.name().split_once('.')
        {
            lines.insert(format!("import {module}"));
        }
        method.steps.iter().for_each(|inner| import_all(inner, lines));
    }
}

/// How the class or function that a step calls is brought in, if it is not built in.
fn import(step: &Step) -> Option<String> {
    let Syntax::Call(name) = step.op.row().syntax else { return None };
    let (module, attribute) = home(name);
    match module {
        "builtins" | HELPERS_MODULE | RAW_BUFFER_MODULE => None,
        _ if name == attribute => Some(format!("from {module} import {name}")),
        _ => Some(format!("import {module}")),
    }
}

/// A hook that an operation is given as a class that is numbered so, and its steps as functions.
fn class(out: &mut String, number: &str, op: Op, hook: &Hook) {
    for (at, step) in hook.steps().enumerate() {
        function(out, &format!("{number}_{}", at + 1), step);
    }
    let _ = writeln!(out, "\n\nclass Hook_{number}:");
    let mut kept = Vec::new();
    if let Some(Answer::Return(items)) = hook.method(Protocol::Next).map(|method| &method.answer) {
        kept.push(format!("self.items = iter({items})"));
    }
    kept.extend(hook.sources().map(|slot| format!("self.source = {slot}")));
    if !kept.is_empty() {
        let _ = writeln!(out, "    def __init__(self):\n        {}\n", kept.join("\n        "));
    }
    if hook.has(Protocol::Next) && !hook.has(Protocol::Iter) {
        out.push_str("    def __iter__(self):\n        return self\n\n");
    }
    let mut done = 0;
    for (place, method) in hook.methods.iter().enumerate() {
        let empty = if place > 0 { "\n" } else { "" };
        let (name, parameters) = (method.protocol.method(), method.protocol.parameters());
        let _ = writeln!(out, "{empty}    def {name}(self{parameters}):");
        for step in &method.steps {
            done += 1;
            let run = if step.thread.is_some() { "elsewhere" } else { "inside" };
            let text = string(&step.threaded());
            let _ = writeln!(out, "        {run}({text}, step_{number}_{done})");
        }
        let _ = writeln!(out, "        {}", answer(op, method));
    }
}

/// The last line of a method of a hook that an operation is given.
fn answer(op: Op, method: &Method) -> String {
    match (&method.answer, method.protocol) {
        (Answer::Return(arg), Protocol::Bool) => format!("return bool({arg})"),
        (Answer::Return(_), Protocol::Next) => "return next(self.items)".to_owned(),
        // By the keys of a format.
        (Answer::Return(items), Protocol::GetItem) if op == Op::Remainder => format!("return {items}[0]"),
        (Answer::Return(items), Protocol::GetItem) => format!("return {items}[key]"),
        (Answer::Return(items @ Arg::List(_)), Protocol::Iter) => format!("return iter({items})"),
        (Answer::Return(arg), _) => format!("return {arg}"),
        (Answer::Raise(class), _) => format!("raise {class}(\"by a hook\")"),
        (Answer::Itself, _) => "return self".to_owned(),
        (Answer::View(_), _) => "return memoryview(self.source)".to_owned(),
    }
}

/// One step as a function that is numbered so, without locals, which would keep objects alive.
fn function(out: &mut String, number: &str, step: &Step) {
    let mut statement = step.statement();
    for (at, hook) in step.hooks().enumerate() {
        let own = format!("{number}_{}", at + 1);
        class(out, &own, step.op, hook);
        statement = statement.replacen(&hook.to_string(), &format!("Hook_{own}()"), 1);
    }
    // An address tells nothing by itself.
    if let (Op::BufferInfo, Some(slot)) = (step.op, step.receiver) {
        statement = format!("buffer_info({slot})");
    }
    let _ = writeln!(out, "\n\ndef step_{number}():");
    let syntax = step.op.row().syntax;
    if let Some(slot) = step.binds() {
        let _ = writeln!(out, "    global {slot}");
    }
    let is_statement = step.dest.is_some()
        || matches!(
            syntax,
            Syntax::InPlace(_) | Syntax::SetItem | Syntax::DelItem | Syntax::With | Syntax::Drop
        );
    let _ = writeln!(out, "    {}{statement}", if is_statement { "" } else { "return " });
    // It tells what it was filled in with, besides.
    if let (Op::Request, Some(slot)) = (step.op, step.dest) {
        let _ = writeln!(out, "    return {slot}.fields()");
    }
}

/// What a step must see, as the script takes it: a kind, and an error or an expression.
fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Ok => "(\"ok\", None)".to_owned(),
        Expect::Skipped => "(\"skipped\", None)".to_owned(),
        Expect::Raises(class) => format!("(\"raises\", \"{class}\")"),
        Expect::Value(text) => format!("(\"value\", {})", string(text)),
    }
}

/// A Python string literal.
fn string(text: &str) -> String {
    struct Text<'a>(&'a str);
    impl std::fmt::Display for Text<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            crate::program::text::write_str(f, self.0)
        }
    }
    Text(text).to_string()
}

/// Where the difference is to be seen, of steps that are done one after the other.
fn mark(out: &mut String, program: &Program, told: Option<&Told>, version: Version) {
    let marked =
        told.and_then(|told| told.step).map_or_else(|| "None".to_owned(), |step| (step + 1).to_string());
    let mut state = "None".to_owned();
    if let Some(told) = told
        && let Place::State(slot) = told.place
    {
        let mut model = Model::new(version);
        model.follow(program);
        let last = told.step.map_or(program.steps.len(), |step| step + 1);
        program.steps.iter().take(last).for_each(|step| drop(model.step(step)));
        state = format!("(\"{slot}\", {})", picture(&Picture::from(&model.shown(slot))));
    }
    let _ = writeln!(out, "\nMARKED = {marked}\nSTATE = {state}");
}

/// Which slots there are, and what is to be seen at rest.
fn at_rest(out: &mut String, told: Option<&Told>) {
    let at_rest = match told.map(|told| told.place) {
        Some(Place::StillExported(slot)) => format!("(\"exported\", \"{slot}\")"),
        Some(Place::References(slot)) => format!("(\"references\", \"{slot}\")"),
        Some(Place::Shared) => "(\"shared\", None)".to_owned(),
        Some(Place::Complaint) => "(\"complaint\", None)".to_owned(),
        Some(Place::Memory) => "(\"memory\", None)".to_owned(),
        Some(Place::Outcome | Place::State(_) | Place::Process | Place::Access) | None => "None".to_owned(),
    };
    let slots: Vec<String> = [SlotKind::Iterator, SlotKind::View, SlotKind::Export, SlotKind::Exporter]
        .into_iter()
        .flat_map(Slot::all)
        .map(|slot| format!("\"{slot}\""))
        .collect();
    let _ =
        writeln!(out, "# In the order in which they are emptied at rest.\nSLOTS = [{}]", slots.join(", "));
    let _ = writeln!(out, "AT_REST = {at_rest}");
}

/// What the script's `look` gives for such an object.
fn picture(picture: &Picture) -> String {
    match picture {
        Picture::Empty => "\"nothing\"".to_owned(),
        Picture::Exporter { flavour: Flavour::Array(code), bytes, .. } => {
            format!("(\"array\", \"{}\", {})", code.name(), Literal(bytes))
        }
        Picture::Exporter { flavour: Flavour::Bytes, bytes, .. } => {
            format!("(\"bytes\", {})", Literal(bytes))
        }
        Picture::Exporter { flavour: Flavour::CArray(code), bytes, .. } => {
            format!("(\"ctypes_array\", \"{code}\", {})", Literal(bytes))
        }
        Picture::Exporter { flavour: Flavour::Text(_), bytes, .. } => {
            format!("(\"Text\", {})", Literal(bytes))
        }
        Picture::Exporter { flavour: Flavour::ByteArray, bytes, .. } => {
            format!("(\"bytearray\", {})", Literal(bytes))
        }
        Picture::Exporter { flavour, bytes, cursor } => {
            format!("(\"{}\", {}, {cursor})", short_name(*flavour), Literal(bytes))
        }
        Picture::Closed(flavour) => format!("\"a closed {}\"", short_name(*flavour)),
        Picture::View(view) => view_picture(view),
        Picture::ReleasedView => "\"a released memoryview\"".to_owned(),
        Picture::Export { held: true } => "\"a held export\"".to_owned(),
        Picture::Export { held: false } => "\"a released export\"".to_owned(),
        Picture::Iterator => "\"an iterator\"".to_owned(),
    }
}

/// `__name__` of the class.
fn short_name(flavour: Flavour) -> &'static str {
    let class = flavour.class().name();
    class.rsplit_once('.').map_or(class, |(_, name)| name)
}

fn view_picture(view: &ViewPicture) -> String {
    let tuple = |items: &[isize]| {
        let all: String = items.iter().map(|item| format!("{item}, ")).collect();
        format!("({})", all.trim_end())
    };
    let truth = |value: bool| if value { "True" } else { "False" };
    format!(
        "{{\n    \"format\": {}, \"itemsize\": {}, \"nbytes\": {}, \"shape\": {}, \"strides\": {},\n    \
         \"readonly\": {}, \"c_contiguous\": {}, \"f_contiguous\": {},\n}}",
        string(&view.format),
        view.itemsize,
        view.nbytes,
        tuple(&view.shape),
        tuple(&view.strides),
        truth(view.readonly),
        truth(view.c_contiguous),
        truth(view.f_contiguous),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse::parse;
    use crate::report::tests::told;

    fn steps_of(script: &str) -> &str {
        let after = script.find("\ndef step_1").unwrap_or(0);
        script[after..].trim()
    }

    #[test]
    fn what_the_model_skips_is_a_comment_and_what_follows_the_difference_is_left_out() {
        let lines = "b0 = bytearray(4)\nx0 = PickleBuffer(b0)\nlen(v0)\nT1: b0 += b\"a\"\nT0: b0[0]\n";
        let program = parse(&format!("# buflock program 1\n{lines}")).unwrap();
        let told = told(3, "BufferError", "None", None);
        let script = script(&program, Some(&told), &[], Version::NEWEST, "Python 3.15.0").unwrap();
        assert!(script.contains("from pickle import PickleBuffer"));
        insta::assert_snapshot!(steps_of(&script));
    }

    #[test]
    fn the_address_of_an_array_counts_from_its_memory() {
        let lines = "b0 = array.array(\"H\", [1])\nb0.buffer_info()\nb0 * 2\n";
        let program = parse(&format!("# buflock program 1\n{lines}")).unwrap();
        let script = script(&program, None, &[], Version::NEWEST, "Python 3.15.0").unwrap();
        assert!(script.contains("\n    import array\n"));
        assert!(script.contains("    return buffer_info(b0)\n"));
        assert!(script.contains(r#"("value", "(0, 1)")"#));
        assert!(script.contains(r#"("value", "array.array(\"H\", b\"\\x01\\x00\\x01\\x00\")")"#));
    }

    #[test]
    fn a_difference_of_state_is_looked_for_in_the_object() {
        let lines = "b0 = bytearray(4)\nv0 = memoryview(b0)\nv1 = v0[::2]\n";
        let program = parse(&format!("# buflock program 1\n{lines}")).unwrap();
        let place = Place::State(Slot::new(SlotKind::View, 1));
        let told = Told { place, ..told(2, "", "", None) };
        let script = script(&program, Some(&told), &[], Version::NEWEST, "Python 3.15.0").unwrap();
        assert!(!script.contains("PickleBuffer("));
        insta::assert_snapshot!(steps_of(&script));
    }
}
