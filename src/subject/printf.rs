//! What `%` writes of a value that is known, on plain values: the directives of `_PyBytes_FormatEx` in
//! `Objects/bytesobject.c`, integers as `_PyUnicode_FormatLong` of `Objects/unicodeobject.c` writes them, and floats as
//! `PyOS_double_to_string` of `Python/pystrtod.c` does.

use super::search::{is_space, strip};
use crate::history::ErrorClass;

/// What stands between a `%` and what is converted, without a key, and how that is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directive {
    flags: u8,
    /// The least number of bytes that are written.
    pub width: usize,
    /// The most bytes of a text, the least digits of an integer, or the digits of a float; at most those of an `int` of C.
    pub precision: Option<usize>,
    /// Which conversion it is, known or not.
    pub conversion: u8,
}

/// The flags, each with its bit: its place.
const FLAGS: &[u8] = b"-+ #0";

/// A value as a directive writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Converted {
    /// Bytes, of which the precision is the most.
    Text(Vec<u8>),
    /// One byte.
    Byte(u8),
    /// An integer in the base of the conversion.
    Integer(i128),
    /// A decimal integer of any size.
    Decimal(Decimal),
    /// A float.
    Float(f64),
}

impl Directive {
    fn has(&self, flag: u8) -> bool {
        bit(flag).is_some_and(|bit| self.flags & bit != 0)
    }

    /// Reads a directive off the begin of what stands after a `%`. `star` gives the `int` in place of which there is a `*`.
    ///
    /// # Errors
    /// `ValueError` of one that ends too early or has a number that is too large, `OverflowError` of an `int` that is, and
    /// those of `star`.
    pub fn read<E: From<ErrorClass>>(
        rest: &mut &[u8],
        mut star: impl FnMut() -> Result<i128, E>,
    ) -> Result<Directive, E> {
        let mut directive = Directive::default();
        let mut next = take(rest);
        while let Some(bit) = next.and_then(bit) {
            directive.flags |= bit;
            next = take(rest);
        }
        match next {
            Some(b'*') => {
                let width = isize::try_from(star()?).map_err(|_| ErrorClass::OverflowError)?;
                if width < 0 {
                    directive.flags |= bit(b'-').unwrap_or_default();
                }
                directive.width = width.unsigned_abs();
                next = take(rest);
            }
            Some(digit @ b'0'..=b'9') => {
                (directive.width, next) = number(rest, digit, isize::MAX as usize)?;
            }
            _ => {}
        }
        if next == Some(b'.') {
            next = take(rest);
            let precision = match next {
                Some(b'*') => {
                    let precision = i32::try_from(star()?).map_err(|_| ErrorClass::OverflowError)?;
                    next = take(rest);
                    precision.max(0) as usize
                }
                Some(digit @ b'0'..=b'9') => {
                    let precision;
                    (precision, next) = number(rest, digit, i32::MAX as usize)?;
                    precision
                }
                _ => 0,
            };
            directive.precision = Some(precision);
        }
        // A size says nothing.
        if let Some(b'h' | b'l' | b'L') = next {
            next = take(rest);
        }
        directive.conversion = next.ok_or(ErrorClass::ValueError)?;
        Ok(directive)
    }

    /// What is written of a value.
    pub fn write(&self, converted: &Converted) -> Vec<u8> {
        match converted {
            Converted::Text(bytes) => self.text(bytes),
            Converted::Byte(byte) => self.padded(None, "", &[*byte], false),
            Converted::Integer(value) => self.integer(*value),
            Converted::Decimal(decimal) => self.digits(decimal.negative, &decimal.digits),
            Converted::Float(value) => self.float(*value),
        }
    }

    fn text(&self, bytes: &[u8]) -> Vec<u8> {
        let length = self.precision.map_or(bytes.len(), |most| most.min(bytes.len()));
        self.padded(None, "", &bytes[..length], false)
    }

    fn integer(&self, value: i128) -> Vec<u8> {
        let magnitude = value.unsigned_abs();
        let digits = match self.conversion {
            b'o' => format!("{magnitude:o}"),
            b'x' => format!("{magnitude:x}"),
            b'X' => format!("{magnitude:X}"),
            _ => magnitude.to_string(),
        };
        self.digits(value < 0, &digits)
    }

    fn digits(&self, negative: bool, digits: &str) -> Vec<u8> {
        let prefix = match self.conversion {
            b'o' if self.has(b'#') => "0o",
            b'x' if self.has(b'#') => "0x",
            b'X' if self.has(b'#') => "0X",
            _ => "",
        };
        let digits = format!("{digits:0>least$}", least = self.precision.unwrap_or(0));
        self.padded(self.sign(negative), prefix, digits.as_bytes(), true)
    }

    fn float(&self, value: f64) -> Vec<u8> {
        let (magnitude, precision, alternate) = (value.abs(), self.precision.unwrap_or(6), self.has(b'#'));
        let text = match self.conversion.to_ascii_lowercase() {
            _ if value.is_nan() => "nan".to_owned(),
            _ if value.is_infinite() => "inf".to_owned(),
            b'e' => scientific(magnitude, precision, alternate),
            b'f' => fixed(magnitude, precision, alternate),
            _ => general(magnitude, precision, alternate),
        };
        let text = if self.conversion.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text };
        let negative = value.is_sign_negative() && !value.is_nan();
        self.padded(self.sign(negative), "", text.as_bytes(), true)
    }

    fn sign(&self, negative: bool) -> Option<u8> {
        match negative {
            true => Some(b'-'),
            false => [b'+', b' '].into_iter().find(|&flag| self.has(flag)),
        }
    }

    /// Zeros stand between the sign of a number and its digits, spaces around the whole.
    fn padded(&self, sign: Option<u8>, prefix: &str, body: &[u8], is_number: bool) -> Vec<u8> {
        let length = usize::from(sign.is_some()) + prefix.len() + body.len();
        let padding = self.width.saturating_sub(length);
        let (mut before, mut zeros, mut after) = (0, 0, 0);
        *if self.has(b'-') {
            &mut after
        } else if is_number && self.has(b'0') {
            &mut zeros
        } else {
            &mut before
        } = padding;
        let mut written = vec![b' '; before];
        written.extend(sign);
        written.extend_from_slice(prefix.as_bytes());
        written.resize(written.len() + zeros, b'0');
        written.extend_from_slice(body);
        written.resize(written.len() + after, b' ');
        written
    }
}

fn bit(flag: u8) -> Option<u8> {
    FLAGS.iter().position(|&other| other == flag).map(|place| 1 << place)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

/// A number of which the first digit is read, `most` at most, and what stands after it.
fn number(rest: &mut &[u8], first: u8, most: usize) -> Result<(usize, Option<u8>), ErrorClass> {
    let digit = |byte: u8| usize::from(byte - b'0');
    let mut number = digit(first);
    loop {
        match take(rest) {
            Some(byte @ b'0'..=b'9') => {
                let more = number.checked_mul(10).and_then(|tens| tens.checked_add(digit(byte)));
                number = more.filter(|&more| more <= most).ok_or(ErrorClass::ValueError)?;
            }
            next => return Ok((number, next)),
        }
    }
}

/// `1.500000e+00`: one digit before the point, and so many behind it.
fn scientific(magnitude: f64, precision: usize, alternate: bool) -> String {
    let (digits, exponent) = split(magnitude, precision);
    format!("{}{}", pointed(digits, alternate), exponent_of(exponent))
}

/// `1.500000`: so many digits behind the point.
fn fixed(magnitude: f64, precision: usize, alternate: bool) -> String {
    pointed(format!("{magnitude:.precision$}"), alternate)
}

/// So many digits, as one of the two above, by what is shorter. Zeros at the end go, unless it is `alternate`.
fn general(magnitude: f64, precision: usize, alternate: bool) -> String {
    let count = precision.max(1);
    let (digits, exponent) = split(magnitude, count - 1);
    let kept = |digits: String| {
        if alternate || !digits.contains('.') {
            return pointed(digits, alternate);
        }
        digits.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if (-4..count as i32).contains(&exponent) {
        let behind = (count as i32 - 1 - exponent) as usize;
        kept(format!("{magnitude:.behind$}"))
    } else {
        format!("{}{}", kept(digits), exponent_of(exponent))
    }
}

/// The digits of a number, one before the point and so many behind it, and its exponent.
fn split(magnitude: f64, behind: usize) -> (String, i32) {
    parts(&format!("{magnitude:.behind$e}"))
}

/// A number that Rust has written with an exponent, and that.
fn parts(written: &str) -> (String, i32) {
    let (digits, exponent) = written.split_once('e').expect("`e` writes an exponent");
    (digits.to_owned(), exponent.parse().expect("an exponent is a number"))
}

/// What is `alternate` has a point in any case.
fn pointed(mut digits: String, alternate: bool) -> String {
    if alternate && !digits.contains('.') {
        digits.push('.');
    }
    digits
}

/// As C writes an exponent: with a sign, in two digits at least.
fn exponent_of(exponent: i32) -> String {
    format!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The shortest text that is read as the same float, as `repr` has it: what is whole has `.0` if it is `dotted`.
pub fn shortest(value: f64, dotted: bool) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let (digits, exponent) = parts(&format!("{value:e}"));
    if !(-4..16).contains(&exponent) {
        return digits + &exponent_of(exponent);
    }
    let text = value.to_string();
    if dotted && !text.contains('.') { text + ".0" } else { text }
}

/// An integer of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// At least one, and no zeros before another.
    digits: String,
}

impl Decimal {
    /// What `int` makes of a float: `OverflowError` of one that is infinite, `ValueError` of what is no number.
    ///
    /// # Errors
    /// See above.
    pub fn of_float(value: f64) -> Result<Decimal, ErrorClass> {
        if value.is_nan() {
            return Err(ErrorClass::ValueError);
        }
        if value.is_infinite() {
            return Err(ErrorClass::OverflowError);
        }
        let whole = value.trunc();
        Ok(Decimal { negative: whole < 0.0, digits: format!("{:.0}", whole.abs()) })
    }

    /// What `int` reads in bytes: digits, with `_` between two of them, a sign before them, and white space around all; or
    /// none. `PyLong_FromString` of `Objects/longobject.c`, of base 10.
    pub fn read(bytes: &[u8]) -> Option<Decimal> {
        let text = strip(bytes, is_space);
        let (negative, text) = match text.split_first()? {
            (b'-', digits) => (true, digits),
            (b'+', digits) => (false, digits),
            _ => (false, text),
        };
        let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        if !text.split(|&byte| byte == b'_').all(is_number) {
            return None;
        }
        let digits: String = text.iter().filter(|&&byte| byte != b'_').copied().map(char::from).collect();
        let digits = match digits.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        Some(Decimal { negative: negative && digits != "0", digits: digits.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Directive, usize), ErrorClass> {
        let mut rest = text.as_bytes();
        let mut stars = [7, -3].into_iter();
        let directive = Directive::read(&mut rest, || stars.next().ok_or(ErrorClass::TypeError))?;
        Ok((directive, text.len() - rest.len()))
    }

    fn of(text: &str) -> Directive {
        read(text).expect("it is a directive").0
    }

    fn shown(written: Vec<u8>) -> String {
        String::from_utf8(written).expect("it is ASCII")
    }

    #[test]
    fn a_directive_ends_with_its_conversion() {
        for (text, length) in [("d", 1), ("-5dx", 3), ("0.3lfx", 5), ("*.*bx", 4), (".x", 2), ("00 #+z", 6)] {
            assert_eq!(read(text).map(|(_, length)| length), Ok(length), "{text}");
        }
        assert_eq!((of("*d").width, of(".*d").precision), (7, Some(7)));
        assert_eq!(of("*.*d").precision, Some(0));
    }

    #[test]
    fn a_directive_that_ends_too_early_is_refused_after_its_stars() {
        for text in ["", "-", "0", "12", "12.", "12.3", "*", "*.*", "l"] {
            assert_eq!(read(text), Err(ErrorClass::ValueError), "{text}");
        }
        let mut rest: &[u8] = b"*";
        let none = || Err(ErrorClass::TypeError);
        assert_eq!(Directive::read(&mut rest, none), Err(ErrorClass::TypeError));
    }

    #[test]
    fn numbers_of_a_directive_have_limits() {
        assert_eq!(of("9223372036854775807d").width, isize::MAX as usize);
        assert_eq!(read("9223372036854775808d"), Err(ErrorClass::ValueError));
        assert_eq!(of(".2147483647d").precision, Some(i32::MAX as usize));
        assert_eq!(read(".2147483648d"), Err(ErrorClass::ValueError));
    }

    #[test]
    fn integers_are_written_as_python_writes_them() {
        let written = [
            ("d", -5, "-5"),
            ("5d", 42, "   42"),
            ("-5d", 42, "42   "),
            ("05d", -42, "-0042"),
            ("-05d", -3, "-3   "),
            ("+d", 0, "+0"),
            (" d", 7, " 7"),
            ("+ d", 7, "+7"),
            (".3d", -7, "-007"),
            ("8.3d", -7, "    -007"),
            ("08.3d", -7, "-0000007"),
            ("#x", 255, "0xff"),
            ("#X", -255, "-0XFF"),
            ("#08x", 255, "0x0000ff"),
            ("#8x", -255, "   -0xff"),
            ("#.4o", 8, "0o0010"),
            ("#d", 5, "5"),
            ("x", 1 << 100, "10000000000000000000000000"),
        ];
        for (text, value, expected) in written {
            assert_eq!(shown(of(text).integer(value)), expected, "%{text}");
        }
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let written = [
            ("f", 1.5, "1.500000"),
            (".0f", 2.5, "2"),
            (".0f", 3.5, "4"),
            (".1f", 0.25, "0.2"),
            ("#.0f", 3.0, "3."),
            ("+5.1e", -0.0, "-0.0e+00"),
            (".0e", 5e-324, "5e-324"),
            ("#.0e", 3.0, "3.e+00"),
            ("g", 100_000.0, "100000"),
            ("g", 1_000_000.0, "1e+06"),
            ("g", 1e-4, "0.0001"),
            ("g", 1e-5, "1e-05"),
            (".3g", 999.5, "1e+03"),
            ("#g", 0.0, "0.00000"),
            ("#.1g", 5.0, "5."),
            (".0g", 0.5, "0.5"),
            ("G", 1e300, "1E+300"),
            ("05f", f64::INFINITY, "00inf"),
            ("+F", f64::NAN, "+NAN"),
            ("5.1f", -f64::NAN, "  nan"),
        ];
        for (text, value, expected) in written {
            assert_eq!(shown(of(text).float(value)), expected, "%{text} of {value:?}");
        }
    }

    #[test]
    fn a_repr_of_a_float_is_the_shortest() {
        for (value, expected) in [
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-0.0, "-0.0"),
            (5e-324, "5e-324"),
            (2f64.powi(-44), "5.684341886080802e-14"),
            (0.1, "0.1"),
        ] {
            assert_eq!(shortest(value, true), expected);
        }
        assert_eq!(shortest(3.0, false), "3");
    }

    #[test]
    fn an_int_is_read_with_space_around_it_and_underscores_within() {
        let read = |text: &str| {
            Decimal::read(text.as_bytes()).map(|decimal| shown(of("d").write(&Converted::Decimal(decimal))))
        };
        for (text, expected) in [("12", "12"), (" -1_0\n", "-10"), ("+007", "7"), ("-0", "0"), ("0_0", "0")] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", " ", "-", "- 1", "1__0", "_1", "1_", "1 0", "0x1", "1.0", "1\0"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
