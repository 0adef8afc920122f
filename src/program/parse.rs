//! Reads the durable form: exactly what [`super::text`] prints, with free whitespace, comments,
//! and the quotes and escapes that a person would type.
//!
//! The grammar is one statement per line and has no nesting beyond the items of a list and the
//! statements of a hook, of which few are within each other. Whatever would be read otherwise by
//! Python is refused: a program must mean to a reader what it means here.

mod lex;

use thiserror::Error;

use self::lex::{Kind, Span, Token, lex};

use super::text::{ALLOCATOR, CONCURRENT, EXPLORED, HEADER, UNGUARDED, VERSION};
use super::{
    Allocator, Answer, Arg, Args, Expect, Float, Guard, Hook, Int, Method, Program, Protocol, Schedule, Slot,
    SlotKind, Step, Syntax, Turns, Yields,
};
use super::{fixup, hook, limits, op, racing};
use crate::history::ErrorClass;

/// Why a text is not a program, and where it is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters are at fault; at least 1, also at the end of a line.
    pub length: usize,
    /// What could have stood there.
    pub expected: String,
    /// What stands there.
    pub found: String,
    /// The whole line, without its end.
    pub source_line: String,
}

/// Whether `bytes` are meant to be the text of a program rather than its binary encoding.
pub fn is_text(bytes: &[u8]) -> bool {
    bytes.starts_with(HEADER.as_bytes())
}

/// Reads a program.
pub fn parse(text: &str) -> Result<Program, ParseError> {
    let mut lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1..);
    let (first, _) = lines.next().unwrap_or(("", 1));
    check_header(first)?;
    let mut program = Program::default();
    for (line, number) in lines {
        let content = line.trim_start();
        if content.starts_with('#') && !content.starts_with("#!") {
            read_comment(&Source { line, number }, &mut program)?;
            continue;
        }
        let mut parser = Parser::new(Source { line, number });
        if parser.tokens.len() == 1 && parser.expectation.is_none() {
            continue;
        }
        if program.steps.len() == limits::STEPS {
            return Err(parser.fail(format!("at most {} steps", limits::STEPS)));
        }
        let threaded = program.steps.last().is_some_and(|step| step.thread.is_some());
        program.steps.push(parser.step(threaded)?);
    }
    if program.schedule.races() {
        racing::separate(&mut program);
    }
    Ok(program)
}

fn check_header(line: &str) -> Result<(), ParseError> {
    let source = Source { line, number: 1 };
    let end = line.trim_end().len();
    let rest = line[..end].strip_prefix(HEADER);
    let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) else {
        let expected = format!("`{HEADER} {VERSION}` as the first line");
        return Err(source.fail(Span { start: 0, end }, expected));
    };
    let version = rest.trim_start();
    if version == VERSION {
        return Ok(());
    }
    let start = end - version.len();
    Err(source.fail(Span { start, end }, format!("version {VERSION} of the format")))
}

/// Reads `# python >= 3.14`, `# python < 3.15`, `# schedule concurrent` and `# schedule explored 0a1f`; any other comment
/// says nothing.
fn read_comment(source: &Source<'_>, program: &mut Program) -> Result<(), ParseError> {
    let line = source.line.trim_end();
    if line == UNGUARDED {
        program.unguarded = true;
    }
    if let Some(name) = line.strip_prefix(ALLOCATOR) {
        let name = name.trim_start();
        let span = Span { start: line.len() - name.len(), end: line.len() };
        let names = Allocator::ALL.map(|allocator| format!("`{}`", allocator.name())).join(" or ");
        program.allocator = Allocator::of_name(name).ok_or_else(|| source.fail(span, names))?;
    }
    if line == CONCURRENT {
        program.schedule = Schedule::Concurrent;
    }
    if let Some(rest) = line.strip_prefix(EXPLORED) {
        let digits = rest.trim_start();
        let span = Span { start: line.len() - digits.len(), end: line.len() };
        let turns = Turns::of_hex(digits).filter(|_| rest.is_empty() || digits.len() < rest.len());
        let turns =
            turns.ok_or_else(|| source.fail(span, "two hexadecimal digits for each byte of a schedule"))?;
        program.schedule = Schedule::Explored(turns);
    }
    let comment = line.trim_start().trim_start_matches('#').trim_start();
    let Some(condition) = comment.strip_prefix("python").map(str::trim_start) else {
        return Ok(());
    };
    let operator = condition.trim_start_matches(['<', '>', '=', '!', '~']);
    let symbol = &condition[..condition.len() - operator.len()];
    let version = operator.trim_start();
    let span = |rest: &str| Span { start: line.len() - rest.len(), end: line.len() };
    let bound = match symbol {
        "" => return Ok(()),
        ">=" => &mut program.since,
        "<" => &mut program.until,
        _ => return Err(source.fail(span(condition), "`>=` or `<`")),
    };
    let number = |digits: &str| digits.parse::<u8>().ok().filter(|_| is_decimal(digits));
    let parts = version.split_once('.').map(|(major, minor)| (number(major), number(minor)));
    let Some((Some(major), Some(minor))) = parts else {
        return Err(source.fail(span(version), "a version of Python such as 3.14"));
    };
    if bound.replace((major, minor)).is_some() {
        return Err(source.fail(span(condition), format!("only one line with `{symbol}`")));
    }
    Ok(())
}

/// The line that is read.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    line: &'a str,
    number: usize,
}

impl Source<'_> {
    fn fail(&self, span: Span, expected: impl Into<String>) -> ParseError {
        let found = match &self.line[span.start..span.end] {
            "" if self.line.is_empty() => "an empty line".to_owned(),
            "" => "the end of the line".to_owned(),
            text => quoted(text),
        };
        self.fail_with(span, expected, found)
    }

    fn fail_with(&self, span: Span, expected: impl Into<String>, found: impl Into<String>) -> ParseError {
        ParseError {
            line: self.number,
            column: self.line[..span.start].chars().count() + 1,
            length: self.line[span.start..span.end].chars().count().max(1),
            expected: expected.into(),
            found: found.into(),
            source_line: self.line.to_owned(),
        }
    }
}

/// A piece of the text on one line of a message, and not much of it.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown = String::new();
    for character in text.chars().take(SHOWN) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    if shown.contains('"') { format!("`{shown}`") } else { format!("\"{shown}\"") }
}

/// An operation as it was written, before its destination is known to fit.
struct Call {
    row: &'static op::Row,
    receiver: Option<Slot>,
    args: Args,
}

impl Call {
    fn new(row: &'static op::Row, receiver: Option<Slot>) -> Call {
        Call { row, receiver, args: Args::new() }
    }

    fn with(mut self, arg: Arg) -> Call {
        self.args.push(arg);
        self
    }
}

/// Reads one line.
struct Parser<'a> {
    source: Source<'a>,
    tokens: Vec<Token<'a>>,
    next: usize,
    expectation: Option<Span>,
    /// How many hooks it is within.
    depth: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn new(source: Source<'a>) -> Parser<'a> {
        let (tokens, expectation) = lex(source.line);
        Parser { source, tokens, next: 0, expectation, depth: 0 }
    }

    /// The token `ahead` of the next one, or the end.
    fn token(&self, ahead: usize) -> &Token<'a> {
        &self.tokens[(self.next + ahead).min(self.tokens.len() - 1)]
    }

    fn span(&self) -> Span {
        self.token(0).span
    }

    fn is_symbol(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.token(ahead).kind, Kind::Symbol(found) if found == symbol)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.token(0).kind, Kind::Name(found) if found == name)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let eaten = self.is_symbol(0, symbol);
        self.next += usize::from(eaten);
        eaten
    }

    fn need(&mut self, symbol: &str) -> Parsed<()> {
        if self.eat(symbol) { Ok(()) } else { Err(self.fail(quoted(symbol))) }
    }

    fn need_name(&mut self, name: &str) -> Parsed<()> {
        if !self.is_name(name) {
            return Err(self.fail(quoted(name)));
        }
        self.next += 1;
        Ok(())
    }

    /// Fails at the next token, for the token's own reason if it has one.
    fn fail(&self, expected: impl Into<String>) -> ParseError {
        match &self.token(0).kind {
            Kind::Bad(Some(own)) => self.source.fail(self.span(), own),
            _ => self.source.fail(self.span(), expected),
        }
    }

    fn step(&mut self, threaded: bool) -> Parsed<Step> {
        let whole = Span { start: self.span().start, end: self.tokens[self.tokens.len() - 1].span.start };
        let thread = self.thread()?;
        if threaded && thread.is_none() {
            let reason = "lines without a thread run before the threads start";
            return Err(self.fail(format!("a thread such as `T0:` ({reason})")));
        }
        let guard = if thread.is_some() { self.guard()? } else { Guard::None };
        let (call, dest) = self.statement()?;
        if self.token(0).kind != Kind::End {
            return Err(self.fail("the end of the line"));
        }
        let expect = self.expectation()?;
        let Call { row, receiver, args } = call;
        let step = Step { thread, guard, op: row.op, receiver, args, dest, expect };
        if step.has_hooks() {
            let mut valid = step.clone();
            fixup::fix_step(&mut valid);
            if !step.hooks().eq(valid.hooks()) {
                let expected = "no hook where none is asked for, nor one that binds or drops an export or iterator of its step, nor answers a list, itself or a view unless it gives items, an iterator or a buffer";
                return Err(self.source.fail(whole, expected));
            }
        }
        Ok(step)
    }

    fn thread(&mut self) -> Parsed<Option<u8>> {
        let Kind::Name(name) = self.token(0).kind else {
            return Ok(None);
        };
        let Some(digits) = name.strip_prefix('T').filter(|digits| is_decimal(digits)) else {
            return Ok(None);
        };
        let Some(thread) = small_index(digits, limits::THREADS) else {
            return Err(self.fail(format!("a thread from T0 to T{}", limits::THREADS - 1)));
        };
        self.next += 1;
        self.need(":")?;
        Ok(Some(thread))
    }

    /// What a step of a thread is done beside.
    fn guard(&mut self) -> Parsed<Guard> {
        if self.is_name("barrier") {
            self.next += 1;
            self.need(":")?;
            return Ok(Guard::Barrier);
        }
        let Kind::Name(name) = self.token(1).kind else { return Ok(Guard::None) };
        let Some(digits) = name.strip_prefix('m').filter(|digits| self.is_name("with") && is_decimal(digits))
        else {
            return Ok(Guard::None);
        };
        self.next += 1;
        let Some(lock) = small_index(digits, limits::LOCKS) else {
            return Err(self.fail(format!("a lock of the program from m0 to m{}", limits::LOCKS - 1)));
        };
        self.next += 1;
        self.need(":")?;
        Ok(Guard::Lock(lock))
    }

    fn expectation(&self) -> Parsed<Option<Expect>> {
        let Some(span) = self.expectation else {
            return Ok(None);
        };
        let text = self.source.line[span.start + "#!".len()..span.end].trim();
        // No value begins with one of these words and a comment.
        let word = text.split('#').next().unwrap_or_default().trim_end();
        Ok(Some(match (word, ErrorClass::of_name(word)) {
            ("ok", _) => Expect::Ok,
            ("skipped", _) => Expect::Skipped,
            (_, Some(class)) => Expect::Raises(class),
            _ if text.is_empty() || text.contains(char::is_control) => {
                let expected = "an expectation such as `#! ok`, without control characters";
                return Err(self.source.fail(span, expected));
            }
            _ => Expect::Value(text.into()),
        }))
    }

    fn statement(&mut self) -> Parsed<(Call, Option<Slot>)> {
        if self.is_name("del") {
            self.next += 1;
            let (slot, at) = self.slot()?;
            if !self.eat("[") {
                return Ok((self.plain(slot, at, |syntax| syntax == Syntax::Drop)?, None));
            }
            let call = self.plain(slot, at, |syntax| syntax == Syntax::DelItem)?;
            return Ok((call.with(self.key()?), None));
        }
        if self.is_name("with") {
            self.next += 1;
            let (slot, at) = self.slot()?;
            let call = self.plain(slot, at, |syntax| syntax == Syntax::With)?;
            self.need(":")?;
            self.need_name("pass")?;
            return Ok((call, None));
        }
        let mut dest = None;
        if self.is_slot() && self.is_symbol(1, "=") {
            dest = Some(self.slot()?);
            self.need("=")?;
        }
        let start = self.span();
        let call = self.expression(dest.is_none())?;
        self.check_destination(&call, dest, start)?;
        Ok((call, dest.map(|(slot, _)| slot)))
    }

    /// The operation on `slot` that is written with `is` and has no name.
    fn plain(&self, slot: Slot, at: Span, is: impl Fn(Syntax) -> bool) -> Parsed<Call> {
        match find(&is, slot.kind) {
            Some(row) => Ok(Call::new(row, Some(slot))),
            None => Err(self.source.fail(at, such_as(&receivers(&is)))),
        }
    }

    /// What may stand after `b0 =`, and if `alone` also what assigns by itself.
    fn expression(&mut self, alone: bool) -> Parsed<Call> {
        let Kind::Name(name) = self.token(0).kind else {
            return self.contains();
        };
        if self.is_slot() {
            return self.operation(alone);
        }
        let (dotted, tokens) = self.dotted(name);
        let is_call = |syntax| matches!(syntax, Syntax::Call(found) if found == dotted);
        if let Some(row) = op::TABLE.iter().find(|row| is_call(row.syntax)) {
            self.next += tokens;
            self.need("(")?;
            return self.arguments(&dotted, Call::new(row, None), true);
        }
        let is_function = |syntax| matches!(syntax, Syntax::Function(found) if found == name);
        if !receivers(is_function).is_empty() {
            self.next += 1;
            self.need("(")?;
            let (slot, at) = self.slot_such_as(&receivers(is_function))?;
            let call = self.plain(slot, at, is_function)?;
            return self.arguments(name, call, false);
        }
        match name {
            "None" | "float" | "complex" | "slice" => self.contains(),
            _ if self.is_symbol(1, "{") => self.contains(),
            _ if self.is_symbol(tokens, "(") => Err(self.fail("a class or a function such as bytearray")),
            _ => Err(self.fail(such_as(&[SlotKind::Exporter]))),
        }
    }

    /// The name that the next token begins, with what it names in a module, and of how many tokens it is.
    fn dotted(&self, name: &str) -> (String, usize) {
        let begins_with = |full: &str| full.split_once('.').is_some_and(|(first, _)| first == name);
        let is_module = |row: &op::Row| matches!(row.syntax, Syntax::Call(full) if begins_with(full));
        match self.token(2).kind {
            Kind::Name(member) if self.is_symbol(1, ".") && op::TABLE.iter().any(is_module) => {
                (format!("{name}.{member}"), 3)
            }
            _ => (name.to_owned(), 1),
        }
    }

    /// What begins with a slot.
    fn operation(&mut self, alone: bool) -> Parsed<Call> {
        let (slot, at) = self.slot()?;
        if self.is_name("in") {
            return self.contained(Arg::Slot(slot));
        }
        if self.eat(".") {
            return self.member(slot);
        }
        if self.eat("[") {
            let key = self.key()?;
            if alone && self.eat("=") {
                let call = self.plain(slot, at, |syntax| syntax == Syntax::SetItem)?;
                return Ok(call.with(key).with(self.argument()?));
            }
            return Ok(self.plain(slot, at, |syntax| syntax == Syntax::Item)?.with(key));
        }
        let Kind::Symbol(symbol) = self.token(0).kind else {
            return Err(self.fail(format!("an operation on {slot}")));
        };
        let in_place = |syntax| alone && syntax == Syntax::InPlace(symbol);
        let binary = |syntax| syntax == Syntax::Binary(symbol);
        if !receivers(in_place).is_empty() {
            let call = self.plain(slot, at, in_place)?;
            self.next += 1;
            return Ok(call.with(self.argument()?));
        }
        if !receivers(binary).is_empty() {
            let call = self.plain(slot, at, binary)?;
            self.next += 1;
            if self.is_symbol(1, "<<") {
                return Err(self.fail("`(1 << 100)` in parentheses after an operator"));
            }
            return Ok(call.with(self.argument()?));
        }
        Err(self.fail(format!("an operation on {slot}")))
    }

    /// `ARG in b0`
    fn contains(&mut self) -> Parsed<Call> {
        if matches!(self.token(0).kind, Kind::End | Kind::Bad(None) | Kind::Symbol(")" | "]")) {
            return Err(self.fail("a statement"));
        }
        let arg = self.argument()?;
        self.contained(arg)
    }

    /// `in b0`
    fn contained(&mut self, arg: Arg) -> Parsed<Call> {
        self.need_name("in")?;
        let (slot, at) = self.slot()?;
        Ok(self.plain(slot, at, |syntax| syntax == Syntax::In)?.with(arg))
    }

    /// What stands after `b0.`
    fn member(&mut self, slot: Slot) -> Parsed<Call> {
        let Kind::Name(name) = self.token(0).kind else {
            return Err(self.fail(format!("a method or an attribute of {slot}")));
        };
        let is = |syntax| match syntax {
            Syntax::Method(found) | Syntax::Attribute(found) => found == name,
            _ => false,
        };
        let Some(row) = find(is, slot.kind) else {
            let elsewhere = receivers(is);
            let hint = match elsewhere.is_empty() {
                true => String::new(),
                false => format!(" ({name} belongs to {})", such_as(&elsewhere)),
            };
            return Err(self.fail(format!("a method or an attribute of {slot}{hint}")));
        };
        self.next += 1;
        let call = Call::new(row, Some(slot));
        if matches!(row.syntax, Syntax::Attribute(_)) {
            return Ok(call);
        }
        self.need("(")?;
        self.arguments(name, call, true)
    }

    /// The arguments of a call and its end; `begins` unless the receiver is the first of them.
    fn arguments(&mut self, name: &str, mut call: Call, begins: bool) -> Parsed<Call> {
        let Call { row, receiver, .. } = call;
        let arity = || match receiver {
            Some(slot) if !begins => format!("{} besides {slot}", arity(name, row)),
            _ => arity(name, row),
        };
        let mut comma = !begins;
        while !self.is_symbol(0, ")") {
            if comma && !self.eat(",") {
                return Err(self.fail("\",\" or \")\""));
            }
            comma = true;
            let at_fault = matches!(self.token(0).kind, Kind::End | Kind::Bad(_));
            if call.args.len() == row.args.len() && at_fault {
                return Err(self.fail("\")\""));
            }
            if call.args.len() == row.args.len() {
                return Err(self.source.fail_with(self.span(), arity(), "one more"));
            }
            call.args.push(self.argument()?);
        }
        if call.args.len() < row.required {
            let found = call.args.len().to_string();
            return Err(self.source.fail_with(self.span(), arity(), found));
        }
        self.need(")")?;
        Ok(call)
    }

    /// What is in brackets after an object, and the bracket that ends it.
    fn key(&mut self) -> Parsed<Arg> {
        let mut start = Arg::None;
        if !self.is_symbol(0, ":") {
            let at = self.span();
            let key = self.argument()?;
            if self.eat("]") {
                return Ok(key);
            }
            if !self.is_symbol(0, ":") {
                return Err(self.fail("\":\" or \"]\""));
            }
            // As Python prints it, `None` is left out.
            if !key.is_bound() || key == Arg::None {
                return Err(self.source.fail(at, BOUND));
            }
            start = key;
        }
        self.need(":")?;
        let stop = self.bound()?;
        let step = if self.eat(":") { self.bound()? } else { Arg::None };
        self.need("]")?;
        Ok(Arg::Slice(Box::new([start, stop, step])))
    }

    /// A bound of a slice between colons, which may be left out.
    fn bound(&mut self) -> Parsed<Arg> {
        if self.is_symbol(0, ":") || self.is_symbol(0, "]") {
            return Ok(Arg::None);
        }
        let at = self.span();
        match self.item(BOUND)? {
            bound if bound.is_bound() && bound != Arg::None => Ok(bound),
            _ => Err(self.source.fail(at, BOUND)),
        }
    }

    fn argument(&mut self) -> Parsed<Arg> {
        if self.eat("[") {
            let mut items = Vec::new();
            if !self.eat("]") {
                self.items(&mut items, "]")?;
            }
            return Ok(Arg::List(items.into()));
        }
        if self.is_symbol(0, "(") && !self.is_symbol(2, "<<") {
            self.next += 1;
            return self.tuple(Vec::new());
        }
        if self.is_symbol(0, "(") {
            // A shift in parentheses, or as the first item of a tuple.
            self.next += 1;
            let huge = self.item(ITEM)?;
            return if self.eat(")") { Ok(huge) } else { self.tuple(vec![huge]) };
        }
        if self.is_name("slice") {
            return self.slice();
        }
        self.item("an argument such as 1, b\"ab\" or b0")
    }

    /// A tuple after its parenthesis and the items that are read already, one at most.
    fn tuple(&mut self, mut items: Vec<Arg>) -> Parsed<Arg> {
        if items.is_empty() {
            if self.eat(")") {
                return Ok(Arg::Tuple(items.into()));
            }
            items.push(self.item(ITEM)?);
        }
        if !self.eat(",") {
            return Err(self.fail("\",\" in a tuple, also of one"));
        }
        if !self.eat(")") {
            self.items(&mut items, ")")?;
        }
        Ok(Arg::Tuple(items.into()))
    }

    /// Items, of which there must be one, and what ends them.
    fn items(&mut self, items: &mut Vec<Arg>, close: &str) -> Parsed<()> {
        loop {
            if items.len() == limits::ITEMS {
                return Err(self.fail(format!("at most {} items", limits::ITEMS)));
            }
            items.push(self.item(ITEM)?);
            if self.eat(close) {
                return Ok(());
            }
            if !self.eat(",") {
                return Err(self.fail(format!("\",\" or \"{close}\"")));
            }
        }
    }

    /// `slice(1, None, 2)`
    fn slice(&mut self) -> Parsed<Arg> {
        self.need_name("slice")?;
        let mut bounds = [const { Arg::None }; 3];
        for (bound, before) in bounds.iter_mut().zip(["(", ",", ","]) {
            self.need(before)?;
            let at = self.span();
            *bound = self.item(BOUND_OR_NONE)?;
            if !bound.is_bound() {
                return Err(self.source.fail(at, BOUND_OR_NONE));
            }
        }
        self.need(")")?;
        Ok(Arg::Slice(Box::new(bounds)))
    }

    /// Whatever may be an item of a list or a tuple.
    fn item(&mut self, expected: &str) -> Parsed<Arg> {
        if self.is_symbol(1, "{") { self.hook() } else { self.scalar(expected) }
    }

    /// `__length_hint__{return 0} __next__{b0.clear(); return [1, 2]}`
    fn hook(&mut self) -> Parsed<Arg> {
        let mut methods = vec![self.method()?];
        while self.is_symbol(1, "{") {
            if methods.len() == limits::METHODS {
                return Err(self.fail(format!("at most {} methods of a hook", limits::METHODS)));
            }
            let at = self.span();
            let method = self.method()?;
            if methods.iter().any(|other| other.protocol == method.protocol) {
                return Err(self.source.fail(at, "another method of the hook"));
            }
            methods.push(method);
        }
        Ok(Arg::Hook(Box::new(Hook { methods })))
    }

    /// `__index__{v0.release(); T1: b0.clear(); return 3}`
    fn method(&mut self) -> Parsed<Method> {
        let method = match self.token(0).kind {
            Kind::Name(name) => Protocol::of_method(name),
            _ => None,
        };
        let Some(protocol) = method else {
            let methods: Vec<_> = Protocol::ALL.iter().map(|protocol| protocol.method()).collect();
            return Err(self.fail(format!("the method of a hook: {}", methods.join(", "))));
        };
        if self.depth == limits::HOOK_DEPTH {
            return Err(self.fail(format!("at most {} hooks within each other", limits::HOOK_DEPTH)));
        }
        self.next += 1;
        self.need("{")?;
        self.depth += 1;
        let mut steps = Vec::new();
        while !self.is_name("return") && !self.is_name("raise") {
            if steps.len() == limits::HOOK_STEPS {
                let most = limits::HOOK_STEPS;
                return Err(
                    self.fail(format!("`return` or `raise` after at most {most} statements of a hook"))
                );
            }
            let thread = self.thread()?;
            let (Call { row, receiver, args }, dest) = self.statement()?;
            steps.push(Step { thread, ..Step::new(row.op, receiver, args, dest) });
            self.need(";")?;
        }
        let answer = self.answer()?;
        self.need("}")?;
        self.depth -= 1;
        Ok(Method { protocol, steps, answer })
    }

    /// `return 3`, `return self`, `return memoryview(b0)` or `raise ValueError`
    fn answer(&mut self) -> Parsed<Answer> {
        let returns = self.is_name("return");
        self.next += 1;
        let at = self.span();
        if returns && self.is_symbol(0, "[") {
            return self.argument().map(Answer::Return);
        }
        if returns && self.is_name("self") {
            self.next += 1;
            return Ok(Answer::Itself);
        }
        if returns && self.is_name("memoryview") {
            self.next += 1;
            self.need("(")?;
            let (slot, _) = self.slot()?;
            self.need(")")?;
            return Ok(Answer::View(slot));
        }
        if returns {
            return match self.scalar("a literal such as 1 or b\"ab\"")? {
                Arg::Slot(_) => Err(self.source.fail(at, "a literal such as 1 or b\"ab\"")),
                literal => Ok(Answer::Return(literal)),
            };
        }
        let Kind::Name(name) = self.token(0).kind else {
            return Err(self.fail("the name of an error"));
        };
        let (dotted, tokens) = match self.token(2).kind {
            Kind::Name(member) if self.is_symbol(1, ".") => (format!("{name}.{member}"), 3),
            _ => (name.to_owned(), 1),
        };
        match ErrorClass::of_name(&dotted).filter(|class| hook::is_raisable(*class)) {
            Some(class) => {
                self.next += tokens;
                Ok(Answer::Raise(class))
            }
            None => Err(self.fail("the name of an error that a hook can raise, such as ValueError")),
        }
    }

    /// A literal or a slot.
    fn scalar(&mut self, expected: &str) -> Parsed<Arg> {
        if self.is_slot() {
            return Ok(Arg::Slot(self.slot()?.0));
        }
        let arg = match &self.token(0).kind {
            Kind::Name("float") => return self.float(),
            Kind::Name("complex") => return self.complex(),
            Kind::Symbol("-") | Kind::Int(_) | Kind::Float(_) => return self.number(),
            Kind::Symbol("(") if self.is_symbol(2, "<<") => return self.number(),
            Kind::Name("None") => Arg::None,
            Kind::Bytes(bytes) => Arg::Bytes(bytes.clone()),
            Kind::Str(text) => Arg::Str(text.clone()),
            _ => return Err(self.fail(expected)),
        };
        self.next += 1;
        Ok(arg)
    }

    /// `complex(1.0, -0.0)`
    fn complex(&mut self) -> Parsed<Arg> {
        self.need_name("complex")?;
        let mut parts = [Float::new(0.0); 2];
        for (part, before) in parts.iter_mut().zip(["(", ","]) {
            self.need(before)?;
            let (at, expected) = (self.span(), "a float as a part of a complex number");
            let Arg::Float(float) = self.scalar(expected)? else {
                return Err(self.source.fail(at, expected));
            };
            *part = float;
        }
        self.need(")")?;
        let [real, imaginary] = parts;
        Ok(Arg::Complex(real, imaginary))
    }

    /// `float("inf")`, `float("-inf")` or `float("nan")`
    fn float(&mut self) -> Parsed<Arg> {
        self.need_name("float")?;
        self.need("(")?;
        let value = match &self.token(0).kind {
            Kind::Str(text) if **text == *"inf" => f64::INFINITY,
            Kind::Str(text) if **text == *"-inf" => f64::NEG_INFINITY,
            Kind::Str(text) if **text == *"nan" => f64::NAN,
            _ => return Err(self.fail("\"inf\", \"-inf\" or \"nan\"")),
        };
        self.next += 1;
        self.need(")")?;
        Ok(Arg::Float(Float::new(value)))
    }

    /// An int or a finite float with its sign, or `1 << 100` in one of its forms.
    fn number(&mut self) -> Parsed<Arg> {
        let negative = self.eat("-");
        if self.eat("(") {
            self.shift()?;
            self.need(")")?;
            return Ok(Arg::Int(Int::Huge { negative }));
        }
        let value = match self.token(0).kind {
            Kind::Int(_) if !negative && self.is_symbol(1, "<<") => {
                self.shift()?;
                return Ok(Arg::Int(Int::Huge { negative }));
            }
            Kind::Int(int) if !negative => Arg::Int(Int::of(int.into())),
            Kind::Int(int) if int <= i64::MIN.unsigned_abs() => Arg::Int(Int::of(-i128::from(int))),
            Kind::Int(_) => return Err(self.fail("an int of at most 64 bits, or `(1 << 100)`")),
            Kind::Float(float) if negative => Arg::Float(Float::new(-float)),
            Kind::Float(float) => Arg::Float(Float::new(float)),
            _ => return Err(self.fail("a number")),
        };
        self.next += 1;
        Ok(value)
    }

    /// `1 << 100`, the only int beyond 64 bits.
    fn shift(&mut self) -> Parsed<()> {
        for part in [Kind::Int(1), Kind::Symbol("<<"), Kind::Int(100)] {
            if self.token(0).kind != part {
                return Err(self.fail("`1 << 100`"));
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Whether the next token is the name of a slot, of one that exists or not.
    fn is_slot(&self) -> bool {
        matches!(self.token(0).kind, Kind::Name(name) if slot_kind(name).is_some())
    }

    fn slot(&mut self) -> Parsed<(Slot, Span)> {
        self.slot_such_as(&[SlotKind::Exporter])
    }

    /// A slot, of which those of `kinds` are examples.
    fn slot_such_as(&mut self, kinds: &[SlotKind]) -> Parsed<(Slot, Span)> {
        let at = self.span();
        let Kind::Name(name) = self.token(0).kind else {
            return Err(self.fail(such_as(kinds)));
        };
        let Some((kind, digits)) = slot_kind(name) else {
            return Err(self.fail(such_as(kinds)));
        };
        let Some(index) = small_index(digits, kind.count()) else {
            let (letter, last) = (kind.letter(), kind.count() - 1);
            return Err(self.fail(format!("a slot from {letter}0 to {letter}{last}")));
        };
        self.next += 1;
        Ok((Slot::new(kind, index), at))
    }

    /// Whether what comes out of `call`, which begins at `start`, may be put where it is put.
    fn check_destination(&self, call: &Call, dest: Option<(Slot, Span)>, start: Span) -> Parsed<()> {
        let yields = call.row.yields;
        let Some((dest, at)) = dest else {
            let Yields::Into(kind) = yields else {
                return Ok(());
            };
            let letter = kind.letter();
            return Err(self.source.fail(start, format!("a slot for the result: `{letter}0 = `")));
        };
        let kind = match yields {
            Yields::Value => {
                return Err(self.source.fail(at, "no slot, since no object comes out"));
            }
            Yields::Into(kind) | Yields::Maybe(kind) => Some(kind),
            Yields::Part if !matches!(call.args.first(), Some(Arg::Slice(_))) => {
                return Err(self.source.fail(at, "no slot, since the key is not a slice"));
            }
            Yields::Part => call.receiver.map(|slot| slot.kind),
        };
        match kind {
            Some(kind) if kind != dest.kind => Err(self.source.fail(at, such_as(&[kind]))),
            _ => Ok(()),
        }
    }
}

/// What a bound of a slice is, for a message.
const BOUND: &str = "an int as the bound of a slice";
/// The same where it is not left out.
const BOUND_OR_NONE: &str = "an int or None";
/// What an item of a list or a tuple is, for a message.
const ITEM: &str = "an item such as 1, b\"ab\" or b0";

/// The row for a receiver of `kind` among those that are written so.
fn find(is: impl Fn(Syntax) -> bool, kind: SlotKind) -> Option<&'static op::Row> {
    op::TABLE.iter().find(|row| is(row.syntax) && row.on.kinds().contains(&kind))
}

/// The kinds of slot that what is written so may be done on.
fn receivers(is: impl Fn(Syntax) -> bool) -> Vec<SlotKind> {
    let rows = op::TABLE.iter().filter(|row| is(row.syntax));
    let mut kinds: Vec<SlotKind> = rows.flat_map(|row| row.on.kinds()).copied().collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn such_as(kinds: &[SlotKind]) -> String {
    let names: Vec<String> = kinds.iter().map(|kind| format!("{}0", kind.letter())).collect();
    format!("a slot such as {}", names.join(" or "))
}

fn arity(name: &str, row: &op::Row) -> String {
    match (row.required, row.args.len()) {
        (_, 0) => format!("no arguments of {name}"),
        (1, 1) => format!("1 argument of {name}"),
        (0, 1) => format!("0 or 1 arguments of {name}"),
        (least, most) if least == most => format!("{most} arguments of {name}"),
        (least, most) => format!("{least} to {most} arguments of {name}"),
    }
}

/// The kind that a slot of this name would have, and its digits.
fn slot_kind(name: &str) -> Option<(SlotKind, &str)> {
    let kind = SlotKind::of_letter(name.chars().next()?)?;
    let digits = name.strip_prefix(kind.letter())?;
    is_decimal(digits).then_some((kind, digits))
}

fn is_decimal(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number below `count` as it is printed, without leading zeros.
fn small_index(digits: &str, count: u8) -> Option<u8> {
    let index = digits.parse().ok()?;
    (index < count && (digits == "0" || !digits.starts_with('0'))).then_some(index)
}

#[cfg(test)]
mod tests;
