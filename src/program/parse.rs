//! Reads the durable form: exactly what [`super::text`] prints, with free whitespace, comments,
//! and the quotes and escapes that a person would type.
//!
//! The grammar is one statement per line and has no nesting beyond the items of a list, so the
//! parser is a loop over lines and recurses nowhere. Whatever would be read otherwise by Python
//! is refused: a program must mean to a reader what it means here.

use thiserror::Error;

use super::text::{HEADER, VERSION};
use super::{Arg, Args, Expect, Float, Int, Program, Slot, SlotKind, Step, Syntax, Yields};
use super::{limits, op};
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
            read_python(&Source { line, number }, &mut program)?;
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

/// Reads `# python >= 3.14` and `# python < 3.15`; any other comment says nothing.
fn read_python(source: &Source<'_>, program: &mut Program) -> Result<(), ParseError> {
    let line = source.line.trim_end();
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

/// A part of a line, in bytes.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
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

#[derive(Debug, Clone, PartialEq)]
enum Kind<'a> {
    Name(&'a str),
    /// An int without its sign.
    Int(u64),
    /// A float without its sign.
    Float(f64),
    Bytes(Box<[u8]>),
    Str(Box<str>),
    Symbol(&'static str),
    /// What is not a token, and what should have stood there if that is known.
    Bad(Option<String>),
    End,
}

#[derive(Debug, Clone)]
struct Token<'a> {
    kind: Kind<'a>,
    span: Span,
}

/// Cuts a line into tokens. The last is [`Kind::End`]; what stands after `#!` is returned apart.
fn lex(line: &str) -> (Vec<Token<'_>>, Option<Span>) {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut expectation = None;
    while let Some(first) = line[at..].chars().next() {
        let rest = &line[at..];
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if first == '#' {
            expectation = rest.starts_with("#!").then_some(Span { start: at, end: line.len() });
            break;
        }
        let (kind, start, length) = lex_one(rest);
        tokens.push(Token { kind, span: Span { start: at + start, end: at + length } });
        at += length;
    }
    let end = tokens.last().map_or(at, |token| token.span.end);
    tokens.push(Token { kind: Kind::End, span: Span { start: end, end } });
    (tokens, expectation)
}

/// The token at the start of `rest`, where it is to be underlined from, and its end.
fn lex_one(rest: &str) -> (Kind<'_>, usize, usize) {
    let first = rest.chars().next().unwrap_or_default();
    let quoted = rest.strip_prefix('b').unwrap_or(rest);
    if let Some(quote @ ('"' | '\'')) = quoted.chars().next() {
        return lex_literal(rest, rest.len() - quoted.len(), quote);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        return (Kind::Name(&rest[..length]), 0, length);
    }
    if first.is_ascii_digit() {
        let (kind, length) = lex_number(rest);
        return (kind, 0, length);
    }
    match symbols().filter(|symbol| rest.starts_with(symbol)).max_by_key(|symbol| symbol.len()) {
        Some(symbol) => (Kind::Symbol(symbol), 0, symbol.len()),
        None => (Kind::Bad(None), 0, first.len_utf8()),
    }
}

/// Every symbol of the grammar: the operators of the table, and what the syntax itself is made of.
fn symbols() -> impl Iterator<Item = &'static str> {
    let operators = op::TABLE.iter().filter_map(|row| match row.syntax {
        Syntax::InPlace(symbol) | Syntax::Binary(symbol) => Some(symbol),
        _ => None,
    });
    ["(", ")", "[", "]", ",", ":", ".", "=", "-", "<<"].into_iter().chain(operators)
}

fn lex_number(rest: &str) -> (Kind<'_>, usize) {
    let mut length = 0;
    for byte in rest.bytes() {
        let signs_exponent =
            matches!(byte, b'+' | b'-') && matches!(rest.as_bytes()[length - 1], b'e' | b'E');
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || signs_exponent) {
            break;
        }
        length += 1;
    }
    let number = &rest[..length];
    let bad = |expected: &str| (Kind::Bad(Some(expected.to_owned())), length);
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        if number.starts_with('0') && number.bytes().any(|byte| byte != b'0') {
            return bad("an int without leading zeros");
        }
        return match number.parse() {
            Ok(int) => (Kind::Int(int), length),
            Err(_) => bad("an int of at most 64 bits, or `1 << 100`"),
        };
    }
    match number.parse() {
        Ok(float) => (Kind::Float(float), length),
        Err(_) => bad("a decimal int or float"),
    }
}

/// A literal whose quote is at `open`, after its prefix if there is one.
fn lex_literal(rest: &str, open: usize, quote: char) -> (Kind<'_>, usize, usize) {
    let is_bytes = open > 0;
    let bad = |expected: &str| Kind::Bad(Some(expected.to_owned()));
    let mut content = String::new();
    let mut at = open + 1;
    loop {
        let Some(character) = rest[at..].chars().next() else {
            return (bad(&format!("a literal that ends with {quote}")), 0, at);
        };
        let next = at + character.len_utf8();
        if character == quote {
            at = next;
            break;
        }
        if character == '\\' {
            let Some((escaped, length)) = unescape(&rest[next..], is_bytes) else {
                let end = rest[next..].chars().next().map_or(next, |c| next + c.len_utf8());
                let wide = if is_bytes { "" } else { " \\uNNNN \\UNNNNNNNN" };
                let known = format!("one of the escapes \\\\ \\\" \\' \\n \\t \\r \\0 \\xNN{wide}");
                return (bad(&known), at, end);
            };
            content.push(escaped);
            at = next + length;
            continue;
        }
        if character.is_ascii_control() && character != '\t' {
            return (bad("an escape for a control character"), at, next);
        }
        if is_bytes && !character.is_ascii() {
            return (bad("an ASCII character or an escape in a bytes literal"), at, next);
        }
        content.push(character);
        at = next;
    }
    let kind = if is_bytes && content.chars().count() > limits::LITERAL {
        bad(&format!("at most {} bytes", limits::LITERAL))
    } else if is_bytes {
        Kind::Bytes(content.chars().map(|c| c as u8).collect())
    } else if content.chars().count() > limits::TEXT {
        bad(&format!("at most {} characters", limits::TEXT))
    } else {
        Kind::Str(content.into())
    };
    (kind, 0, at)
}

/// The character that an escape stands for, and the length of the escape after its backslash.
fn unescape(rest: &str, is_bytes: bool) -> Option<(char, usize)> {
    let digits = match rest.bytes().next()? {
        quoted @ (b'\\' | b'"' | b'\'') => return Some((quoted.into(), 1)),
        b'n' => return Some(('\n', 1)),
        b't' => return Some(('\t', 1)),
        b'r' => return Some(('\r', 1)),
        // To Python, a digit after it would belong to an octal escape.
        b'0' if !rest[1..].starts_with(|c: char| c.is_digit(8)) => return Some(('\0', 1)),
        b'x' => 2,
        b'u' if !is_bytes => 4,
        b'U' if !is_bytes => 8,
        _ => return None,
    };
    let code = rest.get(1..=digits).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let character = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
    Some((character, 1 + digits))
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
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn new(source: Source<'a>) -> Parser<'a> {
        let (tokens, expectation) = lex(source.line);
        Parser { source, tokens, next: 0, expectation }
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
        let thread = self.thread()?;
        if threaded && thread.is_none() {
            let reason = "lines without a thread run before the threads start";
            return Err(self.fail(format!("a thread such as `T0:` ({reason})")));
        }
        let (call, dest) = self.statement()?;
        if self.token(0).kind != Kind::End {
            return Err(self.fail("the end of the line"));
        }
        let expect = self.expectation()?;
        let Call { row, receiver, args } = call;
        Ok(Step { thread, op: row.op, receiver, args, dest, expect })
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
        let is_class = |syntax| matches!(syntax, Syntax::Class(found) if found == name);
        if let Some(row) = op::TABLE.iter().find(|row| is_class(row.syntax)) {
            self.next += 1;
            self.need("(")?;
            return self.arguments(name, Call::new(row, None), true);
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
            "None" | "float" | "slice" => self.contains(),
            _ if self.is_symbol(1, "(") => Err(self.fail("a class or a function such as bytearray")),
            _ => Err(self.fail(such_as(&[SlotKind::Exporter]))),
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
        let mut start = None;
        if !self.is_symbol(0, ":") {
            let at = self.span();
            let key = self.argument()?;
            if self.eat("]") {
                return Ok(key);
            }
            if !self.is_symbol(0, ":") {
                return Err(self.fail("\":\" or \"]\""));
            }
            let Arg::Int(int) = key else {
                return Err(self.source.fail(at, "an int as the bound of a slice"));
            };
            start = Some(int);
        }
        self.need(":")?;
        let stop = self.bound()?;
        let step = if self.eat(":") { self.bound()? } else { None };
        self.need("]")?;
        Ok(Arg::slice(start, stop, step))
    }

    /// A bound of a slice, which may be left out.
    fn bound(&mut self) -> Parsed<Option<Int>> {
        if self.is_symbol(0, ":") || self.is_symbol(0, "]") {
            return Ok(None);
        }
        self.int("an int as the bound of a slice").map(Some)
    }

    fn int(&mut self, expected: &str) -> Parsed<Int> {
        let at = self.span();
        match self.scalar(expected)? {
            Arg::Int(int) => Ok(int),
            _ => Err(self.source.fail(at, expected)),
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
            let huge = self.scalar(ITEM)?;
            return if self.eat(")") { Ok(huge) } else { self.tuple(vec![huge]) };
        }
        if self.is_name("slice") {
            return self.slice();
        }
        self.scalar("an argument such as 1, b\"ab\" or b0")
    }

    /// A tuple after its parenthesis and the items that are read already, one at most.
    fn tuple(&mut self, mut items: Vec<Arg>) -> Parsed<Arg> {
        if items.is_empty() {
            if self.eat(")") {
                return Ok(Arg::Tuple(items.into()));
            }
            items.push(self.scalar(ITEM)?);
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
            items.push(self.scalar(ITEM)?);
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
        let mut parts = [None; 3];
        for (part, before) in parts.iter_mut().zip(["(", ",", ","]) {
            self.need(before)?;
            if self.is_name("None") {
                self.next += 1;
            } else {
                *part = Some(self.int("an int or None")?);
            }
        }
        self.need(")")?;
        let [start, stop, step] = parts;
        Ok(Arg::slice(start, stop, step))
    }

    /// Whatever may be an item of a list.
    fn scalar(&mut self, expected: &str) -> Parsed<Arg> {
        if self.is_slot() {
            return Ok(Arg::Slot(self.slot()?.0));
        }
        let arg = match &self.token(0).kind {
            Kind::Name("float") => return self.float(),
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
mod tests {
    use super::*;

    const VALID: &str = "# buflock program 1\r\n\
        # python >= 3.14\n\
        # python < 3.15\n\
        # r\u{e9}sum\u{e9}: a comment of any kind\n\
        \n\
        b0 = bytearray(16) # made\n\
        v0=memoryview( b0 )\n\
        i0 = iter(b0)\n\
        T0: v1 = v0[2:8:2]\n\
        T1: v0 . release()              #! ok\n\
        T0: b0.extend(b'\\t\\'#! \\xff\\0')  #! BufferError # as it should\n\
        \tT1: del v1[0]   #! skipped\n\
        T0: with v1: pass\n\
        T0: x0 = PickleBuffer(b0)\n\
        T0: 97 in b0   #! True\n\
        T0: b0.find(1 << 100, -(1 << 100), (1 << 100))#!okay # then\n\
        T0: v1[::] = [1, 'a\\u20ac', -1.5e-7, None, float(\"-inf\")]\n\
        T0: v0[((1 << 100), 2)] = slice(1, None, -2)\n\
        T3: b0*=(1 << 100)\n\
        T3: b1 = b0*(1 << 100)\n\
        T0: del v1";

    fn arg(line: &str) -> Arg {
        let program = parse(&format!("{HEADER} {VERSION}\nb0[0] = {line}")).expect(line);
        program.steps[0].args[1].clone()
    }

    #[test]
    fn a_program_is_read_with_free_whitespace_and_comments() {
        let program = parse(VALID).unwrap();
        assert_eq!(program.since, Some((3, 14)));
        assert_eq!(program.until, Some((3, 15)));
        assert_eq!(program.steps.len(), 16);
        assert_eq!(program.steps[2].thread, None);
        assert_eq!(program.steps[3].thread, Some(0));
        assert_eq!(program.steps[4].expect, Some(Expect::Ok));
        assert_eq!(program.steps[5].args[0], Arg::bytes(b"\t'#! \xff\0"));
        assert_eq!(program.steps[5].expect, Some(Expect::Raises(ErrorClass::BufferError)));
        assert_eq!(program.steps[6].expect, Some(Expect::Skipped));
        assert_eq!(program.steps[9].expect, Some(Expect::Value("True".into())));
        assert_eq!(program.steps[10].expect, Some(Expect::Value("okay # then".into())));
        assert_eq!(program.steps[11].args[0], Arg::slice(None, None, None));
        assert_eq!(program, parse(&program.to_string()).unwrap());
    }

    #[test]
    fn the_bounds_of_ints_are_exact() {
        assert_eq!(arg("-9223372036854775808"), Arg::int(i64::MIN));
        assert_eq!(arg("18446744073709551615"), Arg::Int(Int::Unsigned(u64::MAX)));
        assert_eq!(arg("9223372036854775808"), Arg::Int(Int::Unsigned(1 << 63)));
        assert_eq!(arg("9223372036854775807"), Arg::int(i64::MAX));
        assert_eq!(arg("-0"), Arg::int(0));
        assert_eq!(arg("-0.0"), Arg::Float(Float::new(-0.0)));
    }

    #[test]
    fn methods_of_one_name_are_told_apart_by_their_receiver() {
        let text = "# buflock program 1\nv0.release()\nx0.release()\n";
        let ops: Vec<_> = parse(text).unwrap().steps.iter().map(|step| step.op).collect();
        let kinds: Vec<_> = ops.iter().map(|op| op.row().on.kinds()).collect();
        assert_eq!(kinds, [&[SlotKind::View], &[SlotKind::Export]]);
    }

    #[test]
    fn only_texts_with_the_header_are_text() {
        assert!(is_text(VALID.as_bytes()));
        assert!(is_text(b"# buflock program 2"));
        assert!(!is_text(b"# buflock"));
        assert!(!is_text(b""));
    }

    /// Lines after the header, each with what is underlined and part of the message.
    const MALFORMED: &str = r##"
T1: q7.append(1)
    ^^ expected a slot such as b0, found "q7"
b4.append(1)
^^ expected a slot from b0 to b3, found "b4"
b00.append(1)
^^^ expected a slot from b0 to b3, found "b00"
v99999.release()
^^^^^^ expected a slot from v0 to v7
T4: b0.clear()
^^ expected a thread from T0 to T3, found "T4"
T0 b0.clear()
   ^^ expected ":", found "b0"
T0:
   ^ expected a statement, found the end of the line
T0: # nothing
   ^ expected a statement, found the end of the line
#! ok
^ expected a statement
b0.clear(1)
         ^ expected no arguments of clear, found one more
b0.append()
          ^ expected 1 argument of append, found 0
b0.append(1, 2)
             ^ expected 1 argument of append, found one more
b0.insert(1)
           ^ expected 2 arguments of insert, found 1
b0.pop(1, 2)
          ^ expected 0 or 1 arguments of pop
b0.find(1, 2, 3, 4)
                 ^ expected 1 to 3 arguments of find
len(b0, 1)
        ^ expected no arguments of len besides b0
b0.append(1
           ^ expected "," or ")", found the end of the line
b0.clear(
         ^ expected ")", found the end of the line
b0.release()
   ^^^^^^^ of b0 (release belongs to a slot such as v0 or x0)
b0.explode()
   ^^^^^^^ expected a method or an attribute of b0, found "explode"
v0.shape()
        ^ expected the end of the line, found "("
v0.release
          ^ expected "(", found the end of the line
next(b0)
     ^^ expected a slot such as i0, found "b0"
len(b'a')
    ^^^^ expected a slot such as b0 or v0
open('x')
^^^^ expected a class or a function such as bytearray
memoryview(b0)
^^^^^^^^^^ expected a slot for the result: `v0 = `
b1 = memoryview(b0)
^^ expected a slot such as v0, found "b1"
b1 = b0.clear()
^^ expected no slot, since no object comes out
b1 = b0[1]
^^ expected no slot, since the key is not a slice
v1 = b0[1:]
^^ expected a slot such as b0, found "v1"
b0 = b1
       ^ expected an operation on b1, found the end of the line
b0 - b1
   ^ expected an operation on b0, found "-"
i0 + b1
^^ expected a slot such as b0, found "i0"
v0 += b1
^^ expected a slot such as b0, found "v0"
x0[1] = 1
^^ expected a slot such as b0 or v0
with b0: pass
     ^^ expected a slot such as v0
b0 * 1 << 100
     ^ expected `(1 << 100)` in parentheses
b0 * (2 << 100)
      ^ expected `1 << 100`, found "2"
b0[0] = 1 << 101
             ^^^ expected `1 << 100`, found "101"
b0[0] = 18446744073709551616
        ^^^^^^^^^^^^^^^^^^^^ expected an int of at most 64 bits
b0[0] = -9223372036854775809
         ^^^^^^^^^^^^^^^^^^^ expected an int of at most 64 bits
b0[0] = 007
        ^^^ expected an int without leading zeros
b0[0] = 0x1F
        ^^^^ expected a decimal int or float, found "0x1F"
b0[0] = float('1')
              ^^^ expected "inf", "-inf" or "nan"
b0[0] = (1)
          ^ expected "," in a tuple, also of one
b0[0] = [[1]]
         ^ expected an item such as
b0[0] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
                                 ^ expected at most 8 items
b0[None:1]
   ^^^^ expected an int as the bound of a slice, found "None"
b0[1, 2]
    ^ expected ":" or "]", found ","
b0[0] = 1; del b0
         ^ expected the end of the line, found ";"
b0[0] = b'café'
             ^ expected an ASCII character or an escape
'café' in b0 b1
             ^^ expected the end of the line, found "b1"
'😀' in é
       ^ expected a slot such as b0, found "é"
b0[0] = b'\u0041'
          ^^ expected one of the escapes
b0[0] = '\ud800'
         ^^ expected one of the escapes
b0[0] = '\012'
         ^^ expected one of the escapes
b0[0] = '\
         ^ expected one of the escapes
b0[0] = "ab
        ^^^ expected a literal that ends with ", found `"ab`
# python > 3.14
         ^^^^^^ expected `>=` or `<`
# python >= 3.x
            ^^^ expected a version of Python such as 3.14
# python >= 3.14 or so
            ^^^^^^^^^^ expected a version of Python such as 3.14
"##;

    /// The same for what does not stand well in a file: line, column, length, part of the message.
    const UNPRINTABLE: &[(&str, usize, usize, &str)] = &[
        ("b0[0] = 'a\0'", 11, 1, "an escape for a control character"),
        ("b0[0] = \0", 9, 1, "found \"\\u{0}\""),
        ("del b0 #! \u{1}", 8, 4, "without control characters"),
        ("del b0 #!  ", 8, 4, "expected an expectation such as `#! ok`"),
    ];

    fn assert_refused(line: &str, column: usize, length: usize, message: &str) {
        let error = parse(&format!("# buflock program 1\n{line}\n")).expect_err(line);
        assert!(error.to_string().contains(message), "{line}: {error}");
        let place = (error.line, error.column, error.length);
        assert_eq!(place, (2, column, length), "{line}: {error}");
        assert_eq!(error.source_line, line);
    }

    #[test]
    fn an_error_says_where_it_is_and_what_could_have_stood_there() {
        let lines: Vec<&str> = MALFORMED.trim().lines().collect();
        assert_eq!(lines.len() % 2, 0);
        for pair in lines.chunks(2) {
            let indent = pair[1].find('^').expect(pair[1]);
            let length = pair[1].matches('^').count();
            assert_refused(pair[0], indent + 1, length, &pair[1][indent + length + 1..]);
        }
        for &(line, column, length, message) in UNPRINTABLE {
            assert_refused(line, column, length, message);
        }
    }

    #[test]
    fn a_file_without_the_header_of_this_version_is_refused() {
        let cases = [
            ("", 1, 1, "expected `# buflock program 1` as the first line, found an empty line"),
            ("b0 = bytearray()", 1, 16, "expected `# buflock program 1` as the first line"),
            ("# buflock program1", 1, 18, "expected `# buflock program 1` as the first line"),
            ("# buflock program", 18, 1, "expected version 1 of the format, found the end"),
            ("# buflock program  \t", 18, 1, "expected version 1 of the format, found the end"),
            ("# buflock program 2 ", 19, 1, "expected version 1 of the format, found \"2\""),
            ("# buflock program 1.5", 19, 3, "expected version 1 of the format, found \"1.5\""),
        ];
        for (line, column, length, message) in cases {
            let error = parse(&format!("{line}\ndel b0")).expect_err(line);
            assert_eq!((error.line, error.column, error.length), (1, column, length), "{error}");
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn a_line_without_a_thread_cannot_follow_one_with_a_thread() {
        let error = parse("# buflock program 1\ndel b0\nT0: del b1\n\ndel b2").unwrap_err();
        assert_eq!((error.line, error.column, error.length), (5, 1, 3));
        let message = error.to_string();
        assert!(message.contains("lines without a thread run before the threads start"), "{message}");
    }

    #[test]
    fn the_limits_hold_and_nothing_less() {
        let long = |literal: usize, text: usize, steps: usize| {
            let first = format!("b0[0] = b'{}'\n", "\\xff".repeat(literal));
            let second = format!("b0[0] = '{}'\n", "\u{e9}".repeat(text));
            let rest = "del b0\n".repeat(steps - 2);
            parse(&format!("# buflock program 1\n{first}{second}{rest}"))
        };
        let (literal, text, steps) = (limits::LITERAL, limits::TEXT, limits::STEPS);
        assert!(long(literal, text, steps).is_ok());
        assert_eq!(long(literal + 1, text, steps).unwrap_err().expected, "at most 64 bytes");
        assert_eq!(long(literal, text + 1, steps).unwrap_err().expected, "at most 24 characters");
        let error = long(literal, text, steps + 1).unwrap_err();
        assert_eq!((error.line, error.expected.as_str()), (514, "at most 512 steps"));
    }

    fn check_anything(bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        match parse(&text) {
            Ok(program) => assert_eq!(parse(&program.to_string()), Ok(program), "{text:?}"),
            Err(error) => {
                let width = error.source_line.chars().count();
                assert!(error.line >= 1 && error.column >= 1 && error.length >= 1, "{error:?}");
                assert!(error.column + error.length <= width + 2, "{error:?}");
            }
        }
    }

    #[test]
    fn no_prefix_of_a_file_makes_the_parser_panic() {
        for length in 0..=VALID.len() {
            check_anything(&VALID.as_bytes()[..length]);
        }
    }

    #[test]
    fn no_changed_bytes_make_the_parser_panic() {
        let interesting = b"\0\n\r\t \"'\\#!()[],:.=-+*<>01289abTvxi_\xc3\xa9\xff";
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 33) as usize % bound
        };
        for _ in 0..20_000 {
            let mut bytes = VALID.as_bytes().to_vec();
            for _ in 0..=below(3) {
                // Mostly behind the header, or little else would be tried.
                let at = if below(20) == 0 { below(20) } else { 20 + below(bytes.len() - 20) };
                match below(4) {
                    0 => bytes[at] = interesting[below(interesting.len())],
                    1 => bytes.insert(at, interesting[below(interesting.len())]),
                    2 => drop(bytes.remove(at)),
                    _ => bytes[at] = below(256) as u8,
                }
            }
            check_anything(&bytes);
        }
    }
}
