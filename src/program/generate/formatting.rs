//! Formats, and values for them.

use super::argument::{buffer, byte, extreme, filled_or_bytes, item, list, wrong_type};
use super::{Choices, Sketch};
use crate::program::{Arg, Float, Int, Protocol, SlotKind, limits};

/// Formats of bytes: each conversion and each flag, keys and stars, and what is no format.
const FORMATS: &[&str] = &[
    "%b",
    "%a",
    "%d",
    "%b-%d",
    "%a %a",
    "%s%r",
    "%d,%i,%u",
    "%x%X%o",
    "%#x %#o %#X",
    "%c%c",
    "%c%b",
    "%5b|%-5a",
    "%+d % d %05d",
    "%.3d%8.2d",
    "%#06x%-6i|",
    "%3c%-3c|",
    "%.2f",
    "%f %e",
    "%g%G",
    "%+.1E%09.3F",
    "%#g%#.0f",
    "%*d",
    "%-*.*b",
    "%.*f",
    "%(k)b",
    "%(k)d%(l)a",
    "%(k)5.1f%%",
    "%%",
    "%b%%%b",
    "%a%b%d%f",
    "%d%d%d%d",
    "%ld%hx",
    "a%bc",
    "abc",
    "%",
    "%(",
    "%(k",
    "%z",
    "%5",
    "%.2c%.1a",
    "%.9d%.1s",
];

/// One of them, as bytes.
pub(super) fn format(choices: &mut impl Choices) -> Arg {
    Arg::bytes(choices.pick(FORMATS).as_bytes())
}

/// The format that these bytes are, if they are one of them.
pub(super) fn known(bytes: &[u8]) -> Option<&'static str> {
    FORMATS.iter().copied().find(|format| format.as_bytes() == bytes)
}

/// What a format asks for: the conversion of each of its values, or `*`, and whether it does that by keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) conversions: Vec<u8>,
    pub(super) by_keys: bool,
}

impl Wants {
    pub(super) fn of(format: &str) -> Wants {
        let mut wants = Wants::default();
        let mut bytes = format.bytes();
        while bytes.by_ref().any(|byte| byte == b'%') {
            while let Some(byte) = bytes.next() {
                match byte {
                    b'(' => wants.by_keys |= bytes.by_ref().any(|byte| byte == b')'),
                    b'*' => wants.conversions.push(byte),
                    b'-' | b'+' | b' ' | b'#' | b'.' | b'0'..=b'9' | b'h' | b'l' => {}
                    b'%' => break,
                    conversion => {
                        wants.conversions.push(conversion);
                        break;
                    }
                }
            }
        }
        wants
    }
}

/// What a value is asked that a conversion writes: what comes first is asked first.
pub(super) fn asked(conversion: u8) -> &'static [Protocol] {
    match conversion {
        b'a' | b'r' => &[Protocol::Repr],
        b'b' | b's' => &[Protocol::Bytes, Protocol::Buffer],
        b'd' | b'i' | b'u' => &[Protocol::Int, Protocol::Index, Protocol::Float],
        b'c' | b'o' | b'x' | b'X' => &[Protocol::Index],
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => &[Protocol::Float, Protocol::Index],
        _ => Protocol::ALL,
    }
}

/// Values for a format, mostly as many as it asks for, and such as it can write.
pub(super) fn values(choices: &mut impl Choices, sketch: &Sketch, format: Option<&str>) -> Arg {
    let wants = format.map(Wants::of).unwrap_or_default();
    if wants.by_keys && choices.chance(7, 8) {
        return match choices.below(4) {
            0 => list(choices),
            1 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
            _ => filled_or_bytes(choices, sketch, SlotKind::View),
        };
    }
    let mut values: Vec<Arg> =
        wants.conversions.iter().map(|&conversion| value(choices, sketch, conversion)).collect();
    match choices.below(16) {
        0 => drop(values.pop()),
        1 => values.push(value(choices, sketch, b'a')),
        _ => {}
    }
    values.truncate(limits::ITEMS);
    match values.len() {
        1 if choices.chance(1, 2) => values.remove(0),
        1 if choices.chance(1, 8) => list(choices),
        _ => Arg::Tuple(values.into()),
    }
}

/// A value that a conversion can mostly write.
fn value(choices: &mut impl Choices, sketch: &Sketch, conversion: u8) -> Arg {
    if choices.chance(1, 32) {
        return wrong_type(choices, sketch);
    }
    match conversion {
        b'*' => Arg::Int(match choices.below(32) {
            0 => extreme(choices),
            other => Int::Small(i64::from(other % 13) - 3),
        }),
        b'b' | b's' => buffer(choices, sketch),
        b'c' => match choices.below(4) {
            0 => Arg::bytes(b"x"),
            1 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
            _ => byte(choices),
        },
        b'd' | b'i' | b'u' if choices.chance(1, 4) => float(choices),
        b'd' | b'i' | b'u' | b'o' | b'x' | b'X' => integer(choices),
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' if choices.chance(3, 4) => float(choices),
        b'e' | b'E' | b'f' | b'F' | b'g' | b'G' => integer(choices),
        _ => match choices.below(8) {
            0 => float(choices),
            1 => Arg::Str((*choices.pick(&["a", "it's", "\u{e9}\n", ""])).into()),
            2 | 3 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
            _ => item(choices, sketch, None, 0),
        },
    }
}

fn integer(choices: &mut impl Choices) -> Arg {
    match choices.below(16) {
        0 => Arg::Int(extreme(choices)),
        1..=4 => Arg::int(-i64::from(choices.below(1 << 10))),
        _ => byte(choices),
    }
}

/// Floats that are rounded to even, that need an exponent or many digits, and those that are no numbers.
fn float(choices: &mut impl Choices) -> Arg {
    let floats = [
        0.5,
        1.5,
        2.5,
        -0.125,
        -0.0,
        0.1,
        1e-5,
        123_456.789,
        1e6,
        1e16,
        1e300,
        5e-324,
        f64::INFINITY,
        f64::NAN,
    ];
    Arg::Float(Float::new(*choices.pick(&floats)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_asks_for_a_value_for_each_directive_and_each_star() {
        let wants = |format: &str| Wants::of(format);
        let of = |conversions: &[u8], by_keys| Wants { conversions: conversions.to_vec(), by_keys };
        assert_eq!(wants("%b-%d"), of(b"bd", false));
        assert_eq!(wants("%-*.*b%%%5c"), of(b"**bc", false));
        assert_eq!(wants("%(k)5.1f%%"), of(b"f", true));
        assert_eq!(wants("%ld%hx"), of(b"dx", false));
        assert_eq!(wants("abc"), of(b"", false));
        assert_eq!(wants("%"), of(b"", false));
    }
}
