//! Bytes of a fixed number that belong to a type in C: Python's `ctypes.c_ubyte * n`.
//!
//! Nothing resizes it, so that to CPython a release of it is nothing (L6 has the same case); here its exports are counted
//! as those of any other. Its format names the byte order, also of single bytes.

use std::fmt;

use super::byte_array::never_closed;
use super::storage::Storage;
use super::{ByteOrder, Code, Export, Format, Layout, Operation, Provider, RawExport};
use crate::sync::Arc;

/// A handle to a fixed number of bytes; a clone is another handle to the same object.
#[derive(Clone)]
pub struct CArray(Arc<Storage<Vec<u8>>>);

impl CArray {
    /// What the type is called; in Python each length has its own.
    pub const NAME: &'static str = "c_ubyte_Array";

    /// The format of its items.
    pub const FORMAT: Format = Format { at: false, order: Some(ByteOrder::NATIVE), code: Code::UnsignedChar };

    /// A new object with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Storage::new(bytes)))
    }

    /// Exports at this moment.
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.exports()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Runs one operation of the object, as [`ByteArray::operate`](super::ByteArray::operate) does.
    #[inline]
    pub fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_>) -> R) -> R {
        never_closed(self.0.operate(f))
    }

    /// Acquires an export of all the bytes, writable.
    pub fn export(&self) -> Export {
        let raw = self.acquire_raw();
        let layout = Layout::bytes(raw.len, raw.readonly).recast(Self::FORMAT, &[raw.len as isize]);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        unsafe { Export::from_raw(Provider::CArray(self.clone()), raw, layout) }
    }

    /// Adds one export and fills in the block (G1, G3).
    #[inline]
    pub fn acquire_raw(&self) -> RawExport {
        never_closed(self.0.acquire_raw())
    }

    /// Takes one export away (R1). Aborts if there is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        // SAFETY: the caller gives back an export of this very object.
        unsafe { self.0.release_raw() };
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.is_stained()
    }
}

impl fmt::Debug for CArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CArray").field("count", &self.0).finish_non_exhaustive()
    }
}
