//! Items: between bytes and values.
//!
//! Those of a view as `unpack_single` and `pack_single` of `Objects/memoryobject.c` convert them for the native
//! formats; those of an array as the getters and setters of `Modules/arraymodule.c` do, which know characters as well
//! and have errors of their own.

use smallvec::SmallVec;

use super::heap::{Form, Version};
use super::meaning::literal;
use crate::exporter::{Code, Format, TypeCode};
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Float};

/// The bytes of one item.
pub type Packed = SmallVec<[u8; 16]>;

/// The value of an item that an iterator gives. `bytes` are as many as the items have.
pub fn value(version: Version, form: Form, bytes: &[u8]) -> Result<Value, ErrorClass> {
    match form {
        Form::View(format) => unpack(version, format, bytes),
        Form::Array(code) => get(version, code, bytes).map(Item::into_value),
        Form::Text => Ok(text([character(bytes)])),
    }
}

/// The value of an item of a view. `bytes` are as many as the format's items have.
pub fn unpack(version: Version, format: Format, bytes: &[u8]) -> Result<Value, ErrorClass> {
    Ok(match kind(format.code) {
        Kind::Bool => Value::Bool(bytes[0] != 0),
        Kind::Char => Value::Bytes(bytes.into()),
        Kind::Wide => return Err(ErrorClass::NotImplementedError),
        kind => number(version, kind, bytes).into_value(),
    })
}

/// What an object is asked for that becomes an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// An `int`.
    Int,
    /// A `float` or a `complex`, or an `int` in its place.
    Real,
    /// Whether it is true.
    Truth,
    /// What it is.
    Itself,
}

/// What is asked of an object that becomes an item of a view of this format.
pub fn wanted(format: Format) -> Wanted {
    match kind(format.code) {
        // `PyLong_AsVoidPtr` asks nothing.
        Kind::Unsigned if format.code == Code::Pointer => Wanted::Itself,
        Kind::Signed | Kind::Unsigned => Wanted::Int,
        Kind::Bool => Wanted::Truth,
        Kind::Half | Kind::Single | Kind::Double | Kind::SingleComplex | Kind::DoubleComplex => Wanted::Real,
        Kind::Char | Kind::Wide => Wanted::Itself,
    }
}

/// The bytes of `arg`, which was asked for what is [`wanted`], as an item of a view. `truth` tells whether an object is
/// true, and `bytes_of` gives the contents of an argument that is exactly a `bytes`.
pub fn pack(
    format: Format,
    arg: &Arg,
    truth: impl FnOnce(&Arg) -> Result<bool, ErrorClass>,
    bytes_of: impl FnOnce(&Arg) -> Option<Packed>,
) -> Result<Packed, ErrorClass> {
    let size = format.itemsize();
    let value = || literal(arg);
    match kind(format.code) {
        // A pointer may be given as a signed or as an unsigned number.
        Kind::Unsigned if format.code == Code::Pointer => {
            let value = int(&value())?;
            let fits = integer(Kind::Signed, size, value).or_else(|| integer(Kind::Unsigned, size, value));
            fits.ok_or(ErrorClass::ValueError)
        }
        kind @ (Kind::Signed | Kind::Unsigned) => {
            integer(kind, size, int(&value())?).ok_or(ErrorClass::ValueError)
        }
        Kind::Bool => Ok(SmallVec::from_slice(&[u8::from(truth(arg)?)])),
        Kind::Char => match bytes_of(arg) {
            Some(bytes) if bytes.len() == 1 => Ok(bytes),
            Some(_) => Err(ErrorClass::ValueError),
            None => Err(ErrorClass::TypeError),
        },
        Kind::Half => half(real(&value())?).ok_or(ErrorClass::ValueError),
        Kind::Single => Ok(single(real(&value())?)),
        Kind::Double => Ok(double(real(&value())?)),
        Kind::SingleComplex => parts(&value()).map(|parts| both(parts, single)),
        Kind::DoubleComplex => parts(&value()).map(|parts| both(parts, double)),
        Kind::Wide => Err(ErrorClass::NotImplementedError),
    }
}

/// An item of an array, as arrays are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item {
    /// An `int`.
    Int(i128),
    /// A `float`.
    Float(f64),
    /// A `complex`: its real part and its imaginary one.
    Complex(f64, f64),
    /// A `str` of this code point, which may be a surrogate.
    Letter(u32),
}

impl Item {
    /// As Python shows it.
    pub fn into_value(self) -> Value {
        match self {
            Item::Int(value) => Value::Int(value),
            Item::Float(value) => Value::Float(Float::new(value)),
            Item::Complex(real, imaginary) => Value::Complex(Float::new(real), Float::new(imaginary)),
            Item::Letter(code) => text([code]),
        }
    }
}

/// The `str` of these code points, none of which is beyond [`LAST`].
pub fn text(codes: impl IntoIterator<Item = u32>) -> Value {
    let letters: Option<String> = codes.into_iter().map(char::from_u32).collect();
    letters.map_or_else(Value::lone_surrogates, |text| Value::Str(text.into()))
}

/// The last code point.
pub const LAST: u32 = char::MAX as u32;

/// The code point of a character of a text, which has one byte, two or four.
pub fn character(bytes: &[u8]) -> u32 {
    match *bytes {
        [one] => one.into(),
        [one, other] => u16::from_ne_bytes([one, other]).into(),
        _ => code_point(bytes),
    }
}

/// The code point of a character of an array, whatever it is.
pub fn code_point(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes(bytes.try_into().expect("a character has four bytes"))
}

/// An item of an array: a code point that is none is a `ValueError`.
pub fn get(version: Version, code: TypeCode, bytes: &[u8]) -> Result<Item, ErrorClass> {
    match kind(code.code()) {
        Kind::Wide => match code_point(bytes) {
            letter @ ..=LAST => Ok(Item::Letter(letter)),
            _ => Err(ErrorClass::ValueError),
        },
        kind => Ok(number(version, kind, bytes)),
    }
}

/// The bytes of a value as an item of an array: what is out of range is an `OverflowError`, anything that is no
/// such value a `TypeError`.
pub fn set(code: TypeCode, value: &Value) -> Result<Packed, ErrorClass> {
    match kind(code.code()) {
        kind @ (Kind::Signed | Kind::Unsigned) => {
            integer(kind, code.itemsize(), int(value)?).ok_or(ErrorClass::OverflowError)
        }
        // It is a `float` of C first.
        Kind::Half => half(f64::from(real(value)? as f32)).ok_or(ErrorClass::OverflowError),
        Kind::Single => real(value).map(single),
        Kind::Double => real(value).map(double),
        Kind::SingleComplex => parts(value).map(|parts| both(parts, single)),
        Kind::DoubleComplex => parts(value).map(|parts| both(parts, double)),
        Kind::Wide => {
            let Value::Str(text) = value else { return Err(ErrorClass::TypeError) };
            let mut letters = text.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => Ok(SmallVec::from_slice(&u32::from(letter).to_ne_bytes())),
                _ => Err(ErrorClass::TypeError),
            }
        }
        Kind::Bool | Kind::Char => unreachable!("no type code is {}", code.name()),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Signed,
    Unsigned,
    Bool,
    Char,
    Half,
    Single,
    Double,
    SingleComplex,
    DoubleComplex,
    Wide,
}

fn kind(code: Code) -> Kind {
    match code {
        Code::SignedChar | Code::Short | Code::Int | Code::Long | Code::LongLong | Code::Ssize => {
            Kind::Signed
        }
        Code::UnsignedChar
        | Code::UnsignedShort
        | Code::UnsignedInt
        | Code::UnsignedLong
        | Code::UnsignedLongLong
        | Code::Size
        | Code::Pointer => Kind::Unsigned,
        Code::Bool => Kind::Bool,
        Code::Char => Kind::Char,
        Code::Half => Kind::Half,
        Code::Float => Kind::Single,
        Code::Double => Kind::Double,
        Code::FloatComplex => Kind::SingleComplex,
        Code::DoubleComplex => Kind::DoubleComplex,
        Code::Wide => Kind::Wide,
    }
}

/// The number that these bytes are.
fn number(version: Version, kind: Kind, bytes: &[u8]) -> Item {
    let wide = |signed: bool| {
        let mut raw = [if signed && bytes[bytes.len() - 1] >= 0x80 { 0xFF } else { 0 }; 16];
        raw[..bytes.len()].copy_from_slice(bytes);
        i128::from_le_bytes(raw)
    };
    match kind {
        Kind::Signed => Item::Int(wide(true)),
        Kind::Unsigned => Item::Int(wide(false)),
        Kind::Half => Item::Float(half_to_f64(version, u16::from_le_bytes([bytes[0], bytes[1]]))),
        Kind::Single => Item::Float(single_to_f64(bytes)),
        Kind::Double => Item::Float(double_to_f64(bytes)),
        Kind::SingleComplex => Item::Complex(single_to_f64(&bytes[..4]), single_to_f64(&bytes[4..])),
        Kind::DoubleComplex => Item::Complex(double_to_f64(&bytes[..8]), double_to_f64(&bytes[8..])),
        Kind::Bool | Kind::Char | Kind::Wide => unreachable!("these are no numbers"),
    }
}

/// An integer in so many bytes; `None` if it does not fit.
fn integer(kind: Kind, size: usize, value: i128) -> Option<Packed> {
    let bits = 8 * size as u32;
    let range = match kind {
        Kind::Signed => -(1 << (bits - 1))..1 << (bits - 1),
        _ => 0..1 << bits,
    };
    range.contains(&value).then(|| SmallVec::from_slice(&value.to_le_bytes()[..size]))
}

fn half(value: f64) -> Option<Packed> {
    f64_to_half(value).map(|half| SmallVec::from_slice(&half.to_le_bytes()))
}

fn single(value: f64) -> Packed {
    SmallVec::from_slice(&(value as f32).to_le_bytes())
}

fn double(value: f64) -> Packed {
    SmallVec::from_slice(&value.to_le_bytes())
}

/// The real part and the imaginary one.
fn both((real, imaginary): (f64, f64), part: fn(f64) -> Packed) -> Packed {
    let mut bytes = part(real);
    bytes.extend_from_slice(&part(imaginary));
    bytes
}

fn int(value: &Value) -> Result<i128, ErrorClass> {
    match value {
        Value::Int(value) => Ok(*value),
        Value::Bool(value) => Ok(i128::from(*value)),
        _ => Err(ErrorClass::TypeError),
    }
}

fn real(value: &Value) -> Result<f64, ErrorClass> {
    match value {
        Value::Float(value) => Ok(value.value()),
        _ => int(value).map(|int| int as f64),
    }
}

fn parts(value: &Value) -> Result<(f64, f64), ErrorClass> {
    match value {
        Value::Complex(real, imaginary) => Ok((real.value(), imaginary.value())),
        _ => real(value).map(|real| (real, 0.0)),
    }
}

fn single_to_f64(bytes: &[u8]) -> f64 {
    f32::from_le_bytes(bytes.try_into().expect("a `float` of C has four bytes")).into()
}

fn double_to_f64(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(bytes.try_into().expect("a `double` of C has eight bytes"))
}

fn half_to_f64(version: Version, half: u16) -> f64 {
    let negative = half & 0x8000 != 0;
    let (exponent, fraction) = (i32::from(half >> 10 & 0x1F), u64::from(half & 0x3FF));
    let magnitude = match exponent {
        0 => fraction as f64 * 2f64.powi(-24),
        0x1F if fraction == 0 => f64::INFINITY,
        // From 3.14 on a NaN keeps all that it has.
        0x1F if version.since(14) => f64::from_bits(0x7FF << 52 | fraction << 42),
        0x1F => f64::NAN,
        _ => (1.0 + fraction as f64 / 1024.0) * 2f64.powi(exponent - 15),
    };
    f64::from_bits(magnitude.to_bits() | u64::from(negative) << 63)
}

/// Rounds to nearest, ties to even; `None` if a finite value is too large.
fn f64_to_half(value: f64) -> Option<u16> {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let magnitude = value.abs();
    if value.is_nan() {
        // Quiet, with the upper bits of what else is in it.
        return Some(sign | 0x7E00 | (value.to_bits() >> 42 & 0x1FF) as u16);
    }
    if magnitude.is_infinite() {
        return Some(sign | 0x7C00);
    }
    // The spacing of halves around this value: 2^-24 below 2^-14, else 2^(exponent - 10).
    let exponent = if magnitude < 2f64.powi(-14) { -14 } else { magnitude.log2().floor() as i32 };
    let units = (magnitude / 2f64.powi(exponent - 10)).round_ties_even();
    // Rounding up may carry into the exponent, which the sum does by itself.
    let bits = units as u32 + ((exponent + 14) as u32) * 1024;
    (bits < 0x7C00).then_some(sign | bits as u16)
}
