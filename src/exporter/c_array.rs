//! Bytes of a fixed number that belong to a type in C: Python's `ctypes.c_ubyte * n`.
//!
//! Nothing resizes it, so that to CPython a release of it is nothing (L6 has the same case); here it is a [`ByteArray`]
//! that nobody resizes, and its exports are counted as those of any other. Its format names the byte order, also of
//! single bytes.

use std::ops::Deref;

use super::{ByteArray, ByteOrder, Code, Export, Format, Layout, Provider};

/// A handle to a fixed number of bytes; a clone is another handle to the same object.
#[derive(Debug, Clone)]
pub struct CArray(ByteArray);

impl CArray {
    /// What the type is called; in Python each length has its own.
    pub const NAME: &'static str = "c_ubyte_Array";

    /// The format of its items.
    pub const FORMAT: Format = Format { at: false, order: Some(ByteOrder::NATIVE), code: Code::UnsignedChar };

    /// A new object with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(ByteArray::new(bytes))
    }

    /// Acquires an export of all the bytes, writable.
    pub fn export(&self) -> Export {
        let raw = self.acquire_raw();
        let layout = Layout::bytes(raw.len, raw.readonly).recast(Self::FORMAT, &[raw.len as isize]);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        unsafe { Export::from_raw(Provider::CArray(self.clone()), raw, layout) }
    }
}

/// All but its exports is that of the object that it is.
impl Deref for CArray {
    type Target = ByteArray;

    fn deref(&self) -> &ByteArray {
        &self.0
    }
}
