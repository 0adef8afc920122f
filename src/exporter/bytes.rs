//! Immutable bytes: Python's `bytes`.
//!
//! Nothing ever moves them, so no operation needs the count; it is kept because an export that is not given back,
//! or given back twice, is a fault of the consumer whatever the exporter (R4, R5).

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::byte_array::never_closed;
use super::{Export, ExportCount, Layout, Provider, RawExport};
use crate::sync::Arc;

/// A handle to immutable bytes; a clone is another handle to the same ones.
#[derive(Clone)]
pub struct Bytes(Arc<Inner>);

struct Inner {
    count: ExportCount,
    /// Dropped by hand, because a stained object leaks it.
    data: ManuallyDrop<Box<[u8]>>,
}

impl Bytes {
    /// The name of the type in Python.
    pub const NAME: &'static str = "bytes";

    /// A new object with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Inner { count: ExportCount::of_new_object(), data: ManuallyDrop::new(bytes.into()) }))
    }

    /// Their number.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.data.len()
    }

    /// Are there none?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.data.is_empty()
    }

    /// The bytes, which nothing changes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.0.data
    }

    /// Exports at this moment.
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.count.exports()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Acquires an export of all the bytes, read-only.
    pub fn export(&self) -> Export {
        let raw = self.acquire_raw();
        let layout = Layout::bytes(raw.len, raw.readonly);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        unsafe { Export::from_raw(Provider::Bytes(self.clone()), raw, layout) }
    }

    /// What `bf_getbuffer` does in C: adds one export and fills in the block (G1).
    #[inline]
    pub fn acquire_raw(&self) -> RawExport {
        never_closed(self.0.count.acquire());
        RawExport {
            ptr: NonNull::from(&**self.0.data).cast(),
            len: self.len(),
            readonly: true,
            constant: true,
        }
    }

    /// What `bf_releasebuffer` does in C: takes one export away (R1). Aborts if there is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        self.0.count.release(Self::NAME);
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.count.is_stained()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.count.check_at_death(Bytes::NAME);
        if !self.count.is_stained() {
            // SAFETY: the object dies here, so this is done once and nothing uses `data` after it. The count is
            // right and zero, so no export points to the memory.
            unsafe { ManuallyDrop::drop(&mut self.data) };
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes").field("len", &self.len()).field("exports", &self.exports()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_the_same_object() {
        let bytes = Bytes::new(b"abc");
        let other = bytes.clone();
        assert!(bytes.same(&other));
        assert!(!bytes.same(&Bytes::new(b"abc")));
        let export = other.export();
        assert_eq!(bytes.exports(), 1);
        drop(export);
        assert_eq!(bytes.exports(), 0);
    }

    #[test]
    fn exports_count_exactly_on_many_threads() {
        let bytes = Bytes::new(b"abc");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..if cfg!(miri) { 20 } else { 2_000 } {
                        let export = bytes.export();
                        let mut out = [0; 3];
                        export.read(0, &mut out);
                        assert_eq!(&out, b"abc");
                    }
                });
            }
        });
        assert_eq!(bytes.exports(), 0);
        assert_eq!(bytes.as_slice(), b"abc");
    }
}
