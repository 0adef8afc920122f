//! Arguments for arrays: items of their type, and what is made of such.

use super::argument::{buffer, extreme, filled_or_bytes, index, literal, wrong_type};
use super::{Choices, Sketch};
use crate::exporter::{CArray, Code, TypeCode};
use crate::program::{Arg, Float, Int, Role, Slot, SlotKind, limits};

/// Type codes: all that some version of Python has, some twice.
const CODES: &[&str] = &[
    "B", "B", "B", "b", "u", "u", "w", "h", "H", "H", "i", "I", "I", "l", "L", "q", "Q", "f", "d", "d", "e",
    "Zf", "Zd",
];

/// What is no type code.
const NO_CODES: &[&str] = &["x", "P", "", "BB", "\u{e9}", "\0", "Z", "Zff"];

/// Characters: of each length in UTF-8, and what is no character.
const LETTERS: &[&str] = &["a", "b", "c", "d", "a", "b", "\u{e9}", "\u{20ac}", "\u{1f600}", "\0", "ab", ""];

/// What the items of an array of `ctypes` are; now and then none of that.
pub(super) fn c_type(choices: &mut impl Choices) -> Arg {
    let none = choices.chance(1, 24);
    Arg::Str(if none {
        (*choices.pick(NO_CODES)).into()
    } else {
        choices.pick(&CArray::CODES).as_str().into()
    })
}

pub(super) fn type_code(choices: &mut impl Choices) -> Arg {
    let codes = if choices.chance(1, 16) { NO_CODES } else { CODES };
    Arg::Str((*choices.pick(codes)).into())
}

/// What nothing is made of: seldom an object whose iterator some versions forget.
pub(super) fn source_of_nothing(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    match choices.below(16) {
        0 => buffer(choices, sketch),
        1..=4 => text(choices),
        5..=8 => Arg::Int(index(choices, 8)),
        _ => literal(choices),
    }
}

/// The type that the first argument names.
pub(super) fn named_type(before: &[Arg]) -> Option<TypeCode> {
    match before.first() {
        Some(Arg::Str(text)) => TypeCode::named(text),
        _ => None,
    }
}

/// An argument of an operation of an array where items are meant, not bytes.
pub(super) fn argument(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Slot,
    code: TypeCode,
    (role, before): (Role, &[Arg]),
) -> Option<Arg> {
    Some(match role {
        Role::Byte => item(choices, code.code()),
        Role::Needle if choices.chance(7, 8) => item(choices, code.code()),
        Role::Item => match before.first() {
            Some(Arg::Slice(_)) => match choices.below(16) {
                0 => Arg::Slot(receiver),
                1 => buffer(choices, sketch),
                _ => array(choices, sketch, code),
            },
            _ => item(choices, code.code()),
        },
        // What a resize adds to the receiver.
        Role::Source => source(choices, sketch, code),
        Role::Buffer if before.is_empty() => match choices.below(8) {
            0..=3 => array(choices, sketch, code),
            4..=6 => bytes(choices, code),
            _ => buffer(choices, sketch),
        },
        Role::Items => items(choices, code),
        _ => return None,
    })
}

/// An array of this type, or another one.
fn array(choices: &mut impl Choices, sketch: &Sketch, code: TypeCode) -> Arg {
    let same = |slot: Slot| sketch.type_code(slot) == Some(code);
    let found = if choices.chance(7, 8) { sketch.one_of(SlotKind::Exporter, choices, same) } else { None };
    found.map_or_else(|| filled_or_bytes(choices, sketch, SlotKind::Exporter), Arg::Slot)
}

/// What an array of this type is made of.
pub(super) fn source(choices: &mut impl Choices, sketch: &Sketch, code: TypeCode) -> Arg {
    // Before these were type codes, nothing was made of them.
    let simple = matches!(code.name(), "w" | "e" | "Zf" | "Zd") && choices.chance(15, 16);
    match choices.below(if simple { 9 } else { 16 }) {
        0..=4 => items(choices, code),
        5..=8 => bytes(choices, code),
        9 | 10 => array(choices, sketch, code),
        11 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
        12 => filled_or_bytes(choices, sketch, SlotKind::View),
        13 if code.code() == Code::Wide => text(choices),
        13 => literal(choices),
        14 => buffer(choices, sketch),
        _ => wrong_type(choices, sketch),
    }
}

/// A list of items, now and then a tuple of them.
pub(super) fn items(choices: &mut impl Choices, code: TypeCode) -> Arg {
    let count = choices.below(limits::ITEMS as u32 + 1);
    let items = (0..count).map(|_| item(choices, code.code())).collect();
    if choices.chance(1, 8) { Arg::Tuple(items) } else { Arg::List(items) }
}

pub(super) fn text(choices: &mut impl Choices) -> Arg {
    let count = choices.below(16).div_ceil(4);
    Arg::Str((0..count).map(|_| *choices.pick(LETTERS)).collect::<String>().into())
}

/// An item, often at a boundary of its type, now and then beyond.
pub(super) fn item(choices: &mut impl Choices, code: Code) -> Arg {
    match code {
        // A byte order mark is a character like any other.
        Code::Wide if choices.chance(1, 64) => Arg::Str("\u{feff}".into()),
        Code::Wide => Arg::Str((*choices.pick(LETTERS)).into()),
        Code::FloatComplex | Code::DoubleComplex if choices.chance(1, 2) => complex(choices),
        Code::Half | Code::Float | Code::Double | Code::FloatComplex | Code::DoubleComplex => {
            if choices.chance(1, 4) {
                Arg::int(i64::from(choices.below(4)))
            } else {
                Arg::Float(float(choices))
            }
        }
        Code::Char => match choices.below(4) {
            0 => integer(choices, 8, false),
            1 => Arg::bytes(b"ab"),
            _ => Arg::Bytes([b'a' + choices.below(4) as u8].into()),
        },
        Code::Bool => match choices.below(4) {
            0 => text(choices),
            _ => Arg::int(i64::from(choices.below(2))),
        },
        _ => {
            let signed = code.as_str().starts_with(|letter: char| letter.is_ascii_lowercase());
            integer(choices, 8 * code.size() as u32, signed)
        }
    }
}

fn float(choices: &mut impl Choices) -> Float {
    Float::new(match choices.below(3) {
        0 => *choices.pick(&[-0.0, f64::NAN, f64::INFINITY, 1e300, 65519.0, 65520.0, 0.1, 1e-7]),
        _ => f64::from(choices.below(8)) / 2.0 - 1.0,
    })
}

/// A complex number, one in two of which is real.
pub(super) fn complex(choices: &mut impl Choices) -> Arg {
    let imaginary = if choices.chance(1, 2) { Float::new(0.0) } else { float(choices) };
    Arg::Complex(float(choices), imaginary)
}

fn integer(choices: &mut impl Choices, bits: u32, signed: bool) -> Arg {
    let (low, high) =
        if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    Arg::Int(match choices.below(16) {
        0..=9 => Int::Small(i64::from(b'a') + i64::from(choices.below(4))),
        10 => Int::Small(i64::from(choices.below(2))),
        11 => Int::of(low),
        12 => Int::of(high),
        13 => *choices.pick(&[Int::of(low - 1), Int::of(high + 1)]),
        14 => index(choices, 256),
        _ => extreme(choices),
    })
}

/// The bytes of a few items, now and then one more.
fn bytes(choices: &mut impl Choices, code: TypeCode) -> Arg {
    let most = (limits::LITERAL / code.itemsize()).min(6) as u32;
    let count = choices.below(most + 1);
    let mut bytes = Vec::new();
    for _ in 0..count {
        let mut item = [0; 16];
        match code.code() {
            Code::Wide => {
                let letter = *choices.pick(&[0x61, 0x62, 0x63, 0x61, 0x20ac, 0xd800, 0x11_0000, 1 << 31]);
                item[..4].copy_from_slice(&u32::to_le_bytes(letter));
            }
            Code::Half | Code::Float | Code::Double | Code::FloatComplex | Code::DoubleComplex
                if choices.chance(3, 4) =>
            {
                // The upper bytes of each number: of NaN and infinity among others.
                let size = code.code().number();
                for number in item[..code.itemsize()].chunks_exact_mut(size) {
                    let uppers = [[0, 0x3C], [0, 0x40], [1, 0x7C], [0xC0, 0x7F], [0xF0, 0xFF], [0, 0x80]];
                    number[size - 2..].copy_from_slice(&uppers[choices.below(6) as usize]);
                }
            }
            _ => item.fill_with(|| if choices.chance(1, 4) { 0 } else { b'a' + choices.below(4) as u8 }),
        }
        bytes.extend_from_slice(&item[..code.itemsize()]);
    }
    if choices.chance(1, 12) {
        bytes.push(b'a');
    }
    bytes.truncate(limits::LITERAL);
    Arg::Bytes(bytes.into())
}
