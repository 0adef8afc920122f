//! Items of a fixed number that belong to a type in C: Python's `ctypes.c_int * n`.
//!
//! Nothing resizes it, so that to CPython a release of it is nothing (L6 has the same case); here it is an [`Array`]
//! that nobody resizes, and its exports are counted as those of any other. Its format names the byte order, also of
//! single bytes.

use std::ops::Deref;

use super::{Array, ByteOrder, Code, Export, Format, Layout, Provider, TypeCode};

/// A handle to a fixed number of items; a clone is another handle to the same object.
#[derive(Debug, Clone)]
pub struct CArray(Array);

impl CArray {
    /// What the type is called; in Python each type of items and each length has its own.
    pub const NAME: &'static str = "ctypes.Array";

    /// What its items may be: what has the same size in C and in a format that names the byte order.
    pub const CODES: [Code; 12] = [
        Code::Char,
        Code::SignedChar,
        Code::UnsignedChar,
        Code::Short,
        Code::UnsignedShort,
        Code::Int,
        Code::UnsignedInt,
        Code::LongLong,
        Code::UnsignedLongLong,
        Code::Float,
        Code::Double,
        Code::Bool,
    ];

    /// The format of items of one of [`CODES`](Self::CODES).
    pub const fn format(code: Code) -> Format {
        Format { at: false, order: Some(ByteOrder::NATIVE), code }
    }

    /// A new object with the items that these bytes are.
    ///
    /// # Panics
    /// If they are not whole items, or if `code` is none of [`CODES`](Self::CODES).
    pub fn new(code: Code, bytes: &[u8]) -> Self {
        assert!(Self::CODES.contains(&code), "a type of C has no items of code {code}");
        Self(Array::new(TypeCode::of(code), bytes))
    }

    /// What an item is.
    pub fn item(&self) -> Code {
        self.0.code().code()
    }

    /// Acquires an export of all the items, writable.
    pub fn export(&self) -> Export {
        let raw = self.acquire_raw();
        let items = (raw.len / self.item().size()) as isize;
        let layout = Layout::bytes(raw.len, raw.readonly).recast(Self::format(self.item()), &[items]);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        unsafe { Export::from_raw(Provider::CArray(self.clone()), raw, layout) }
    }
}

/// All but its exports is that of the object that it is.
impl Deref for CArray {
    type Target = Array;

    fn deref(&self) -> &Array {
        &self.0
    }
}
