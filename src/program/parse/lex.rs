//! Cuts a line of a program file into tokens.

use super::super::{Syntax, limits, op};

/// A part of a line, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'a> {
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
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) span: Span,
}

/// Cuts a line into tokens. The last is [`Kind::End`]; what stands after `#!` is returned apart.
pub(super) fn lex(line: &str) -> (Vec<Token<'_>>, Option<Span>) {
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
    ["(", ")", "[", "]", "{", "}", ",", ":", ";", ".", "=", "-", "<<"].into_iter().chain(operators)
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
