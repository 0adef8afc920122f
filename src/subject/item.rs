//! Items of a view: between bytes and values, as `unpack_single` and `pack_single` of
//! `Objects/memoryobject.c` convert them for the native formats.

use smallvec::SmallVec;

use super::index;
use crate::exporter::{Code, Format};
use crate::history::{ErrorClass, Value};
use crate::program::{Arg, Float};

/// The bytes of one item.
pub type Packed = SmallVec<[u8; 8]>;

/// The value of an item. `bytes` are as many as the format's items have.
pub fn unpack(format: Format, bytes: &[u8]) -> Value {
    let wide = |signed: bool| {
        let mut raw = [if signed && bytes[bytes.len() - 1] >= 0x80 { 0xFF } else { 0 }; 16];
        raw[..bytes.len()].copy_from_slice(bytes);
        i128::from_le_bytes(raw)
    };
    match kind(format.code) {
        Kind::Signed => Value::Int(wide(true)),
        Kind::Unsigned => Value::Int(wide(false)),
        Kind::Bool => Value::Bool(bytes[0] != 0),
        Kind::Char => Value::Bytes(bytes.into()),
        Kind::Half => Value::Float(Float::new(half_to_f64(u16::from_le_bytes([bytes[0], bytes[1]])))),
        Kind::Single => {
            let raw = bytes.try_into().expect("an item of format f has four bytes");
            Value::Float(Float::new(f64::from(f32::from_le_bytes(raw))))
        }
        Kind::Double => {
            let raw = bytes.try_into().expect("an item of format d has eight bytes");
            Value::Float(Float::new(f64::from_le_bytes(raw)))
        }
    }
}

/// The bytes of `arg` as an item. `truth` tells whether an object is true, and `bytes_of` gives the
/// contents of an argument that is exactly a `bytes`.
pub fn pack(
    format: Format,
    arg: &Arg,
    truth: impl FnOnce(&Arg) -> Result<bool, ErrorClass>,
    bytes_of: impl FnOnce(&Arg) -> Option<Packed>,
) -> Result<Packed, ErrorClass> {
    let size = format.itemsize();
    let range = |low: i128, high: i128| {
        let value = index::index(arg)?;
        if (low..=high).contains(&value) {
            Ok(SmallVec::from_slice(&value.to_le_bytes()[..size]))
        } else {
            Err(ErrorClass::ValueError)
        }
    };
    let bits = 8 * size as u32;
    match kind(format.code) {
        // A pointer may be given as a signed or as an unsigned number.
        Kind::Unsigned if format.code == Code::Pointer => range(-(1 << (bits - 1)), (1 << bits) - 1),
        Kind::Unsigned => range(0, (1 << bits) - 1),
        Kind::Signed => range(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        Kind::Bool => Ok(SmallVec::from_slice(&[u8::from(truth(arg)?)])),
        Kind::Char => match bytes_of(arg) {
            Some(bytes) if bytes.len() == 1 => Ok(bytes),
            Some(_) => Err(ErrorClass::ValueError),
            None => Err(ErrorClass::TypeError),
        },
        Kind::Half => {
            let half = f64_to_half(real(arg)?).ok_or(ErrorClass::ValueError)?;
            Ok(SmallVec::from_slice(&half.to_le_bytes()))
        }
        Kind::Single => Ok(SmallVec::from_slice(&(real(arg)? as f32).to_le_bytes())),
        Kind::Double => Ok(SmallVec::from_slice(&real(arg)?.to_le_bytes())),
    }
}

enum Kind {
    Signed,
    Unsigned,
    Bool,
    Char,
    Half,
    Single,
    Double,
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
        Code::Wide => unreachable!("`memoryview` does not index characters"),
    }
}

fn real(arg: &Arg) -> Result<f64, ErrorClass> {
    match arg {
        Arg::Float(value) => Ok(value.value()),
        Arg::Int(value) => Ok(value.value() as f64),
        _ => Err(ErrorClass::TypeError),
    }
}

fn half_to_f64(half: u16) -> f64 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(half >> 10 & 0x1F), f64::from(half & 0x3FF));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1F if fraction == 0.0 => f64::INFINITY,
        0x1F => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// Rounds to nearest, ties to even; `None` if a finite value is too large.
fn f64_to_half(value: f64) -> Option<u16> {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let magnitude = value.abs();
    if value.is_nan() {
        return Some(sign | 0x7E00);
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
