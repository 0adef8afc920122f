//! `ascii` of values, with their text as it is shown: `tp_repr` of the types of `Objects`, and `PyObject_ASCII` of
//! `Objects/object.c`.

use super::printf::shortest;
use crate::history::Value;

/// What `ascii` gives of a value; none of one whose text says where it is, or is not known.
pub fn repr(value: &Value) -> Option<String> {
    Some(match value {
        Value::None => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => shortest(value.value(), true),
        Value::Complex(real, imaginary) => complex(real.value(), imaginary.value()),
        Value::Str(text) => quoted(text.chars().map(u32::from)),
        Value::Bytes(seen) => bytes(seen),
        Value::List(items) => list(items.iter().map(repr).collect::<Option<Vec<_>>>()?),
        _ => return None,
    })
}

/// That of a list, given those of its items.
pub fn list(items: Vec<String>) -> String {
    format!("[{}]", items.join(", "))
}

/// A text in which all that is not ASCII is escaped.
pub fn ascii(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii() { letter.to_string() } else { escape(letter.into()) })
        .collect()
}

/// That of a `bytes`.
pub fn bytes(bytes: &[u8]) -> String {
    format!("b{}", quoted(bytes.iter().copied().map(u32::from)))
}

/// That of a `bytearray`: single quotes are escaped in any quotes, unless they are `smart` (gh-71679).
pub fn bytearray(contents: &[u8], smart: bool) -> String {
    let literal = bytes(contents);
    let literal = if !smart && literal.ends_with('"') { literal.replace('\'', "\\'") } else { literal };
    format!("bytearray({literal})")
}

/// Code points, or bytes, in quotes: the single ones, unless these alone are within.
fn quoted(codes: impl Iterator<Item = u32> + Clone) -> String {
    let has = |quote: char| codes.clone().any(|code| code == quote.into());
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    let shown = |code: u32| match char::from_u32(code) {
        Some('\t') => "\\t".to_owned(),
        Some('\n') => "\\n".to_owned(),
        Some('\r') => "\\r".to_owned(),
        Some(letter) if letter == quote || letter == '\\' => format!("\\{letter}"),
        Some(letter @ ' '..='~') => letter.to_string(),
        _ => escape(code),
    };
    format!("{quote}{}{quote}", codes.clone().map(shown).collect::<String>())
}

fn escape(code: u32) -> String {
    match code {
        ..=0xFF => format!("\\x{code:02x}"),
        0x100..=0xFFFF => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

/// `complex_repr`: of a real part that is nothing, and not less, nothing is said.
fn complex(real: f64, imaginary: f64) -> String {
    let imaginary = shortest(imaginary, false);
    if real == 0.0 && real.is_sign_positive() {
        return format!("{imaginary}j");
    }
    let sign = if imaginary.starts_with('-') { "" } else { "+" };
    format!("({}{sign}{imaginary}j)", shortest(real, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Float;

    #[test]
    fn values_are_shown_as_python_shows_them() {
        let float = Float::new;
        let shown = [
            (Value::Complex(float(0.0), float(-0.0)), "-0j"),
            (Value::Complex(float(-0.0), float(f64::NAN)), "(-0+nanj)"),
            (Value::Complex(float(1.5), float(f64::NEG_INFINITY)), "(1.5-infj)"),
            (
                Value::Str("'\"\u{7f}\u{e9}\u{20ac}\u{1f600}\n\\".into()),
                r#"'\'"\x7f\xe9\u20ac\U0001f600\n\\'"#,
            ),
            (Value::Bytes(b"it's".as_slice().into()), "b\"it's\""),
            (Value::List(vec![Value::Int(1), Value::None, Value::Float(float(2.0))]), "[1, None, 2.0]"),
        ];
        for (value, expected) in shown {
            assert_eq!(repr(&value).as_deref(), Some(expected));
        }
        assert_eq!(bytearray(b"\0\xffa", false), r"bytearray(b'\x00\xffa')");
        assert_eq!(bytearray(b"it's\\", false), r#"bytearray(b"it\'s\\")"#);
        assert_eq!(bytearray(b"it's", true), r#"bytearray(b"it's")"#);
        assert_eq!(bytearray(b"it's\"", false), r#"bytearray(b'it\'s"')"#);
        assert_eq!(ascii("a'\u{e9}\n"), "a'\\xe9\n");
        assert_eq!(repr(&Value::Object(None)), None);
    }
}
