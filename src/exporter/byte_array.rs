//! Resizable bytes: Python's `bytearray`, the exporter in which S1 and S2 can be broken.
//!
//! Every operation of the object runs inside [`ByteArray::operate`], which holds the lock word. An operation may
//! resize only through [`Operation::resize`], which gives out the vector itself, and gives it out only if no export
//! exists: so a refused resize cannot have changed anything. [`storage`](super::storage) argues why that is sound.

use std::fmt;

use super::storage::{Block, Storage};
use super::{Closed, Export, Exported, Layout, Operation, Provider, RawExport};
use crate::sync::Arc;

/// A handle to resizable bytes; a clone is another handle to the same object.
#[derive(Clone)]
pub struct ByteArray(Arc<Storage<Vec<u8>>>);

impl ByteArray {
    /// The name of the type in Python.
    pub const NAME: &'static str = <Vec<u8> as Block>::NAME;

    /// A new object with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Storage::new(bytes)))
    }

    /// Exports and locks at this moment. To act upon it, ask inside of [`operate`](Self::operate).
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.exports()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Runs one operation of the object, atomic with respect to all others: no other operation runs and no export
    /// appears before `f` returns. Exports may be released meanwhile.
    ///
    /// `f` must not operate on or export the same object again, which would wait for itself for ever.
    #[inline]
    pub fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_>) -> R) -> R {
        never_closed(self.0.operate(f))
    }

    /// Acquires an export of all the bytes, writable.
    pub fn export(&self) -> Export {
        let raw = self.acquire_raw();
        let layout = Layout::bytes(raw.len, raw.readonly);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        unsafe { Export::from_raw(Provider::ByteArray(self.clone()), raw, layout) }
    }

    /// What `bf_getbuffer` does in C: adds one export and fills in the block (G1, G3).
    #[inline]
    pub fn acquire_raw(&self) -> RawExport {
        never_closed(self.0.acquire_raw())
    }

    /// What `bf_releasebuffer` does in C: takes one export away (R1). Aborts if there is none (R4).
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

/// What an object answers that has no way to be closed.
#[inline]
pub(super) fn never_closed<R>(answer: Result<R, Closed>) -> R {
    answer.unwrap_or_else(|Closed| unreachable!("this object cannot be closed"))
}

impl Operation<'_> {
    /// The memory itself, to be resized at will; what it holds at the end of the operation is what the object holds.
    ///
    /// # Errors
    /// If exports exist (S1). Then nothing is changed (S2).
    #[inline]
    pub fn resize(&mut self) -> Result<&mut Vec<u8>, Exported> {
        self.exclusive()
    }
}

impl fmt::Debug for ByteArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteArray").field("count", &self.0).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: usize = if cfg!(miri) { 50 } else { 4_000 };

    fn contents(array: &ByteArray) -> Vec<u8> {
        let mut out = Vec::new();
        array.operate(|op| op.copy_to(&mut out));
        out
    }

    #[test]
    fn a_refused_resize_changes_nothing() {
        let array = ByteArray::new(b"abc".to_vec());
        let exports = [array.export(), array.export()];
        assert_eq!(array.operate(|op| op.resize().err()), Some(Exported(2)));
        assert_eq!(contents(&array), b"abc");
        assert_eq!(array.exports(), 2);
        drop(exports);
        array.operate(|op| op.resize().unwrap().push(b'd'));
        assert_eq!(contents(&array), b"abcd");
    }

    #[test]
    fn a_resize_is_seen_by_the_rest_of_its_operation_and_by_the_next_export() {
        let array = ByteArray::new(Vec::new());
        array.operate(|op| {
            op.resize().unwrap().extend([7; 100]);
            assert_eq!((op.len(), op.get(99)), (100, Some(7)));
            op.set(99, 8).unwrap();
        });
        let mut out = [0; 2];
        array.export().read(98, &mut out);
        assert_eq!(out, [7, 8]);
    }

    #[test]
    fn strides_run_both_ways_and_stay_inside() {
        let array = ByteArray::new((0..8).collect());
        for _export in [None, Some(array.export())] {
            array.operate(|op| {
                let mut out = [0; 3];
                assert_eq!(op.read(6, -3, &mut out), Some(()));
                assert_eq!(out, [6, 3, 0]);
                assert_eq!(op.read(5, -3, &mut out), None);
                assert_eq!(op.read(6, 1, &mut out), None);
                assert_eq!(op.read(usize::MAX, isize::MIN, &mut out), None);
                assert_eq!(out, [6, 3, 0]);
                assert_eq!(op.read(99, 1, &mut []), Some(()));
                assert_eq!(op.write(7, -1, &[9; 9]), None);
                assert_eq!(op.write(1, 3, &[1, 4, 7]), Some(()));
                assert_eq!(op.set(8, 0), None);
                assert_eq!(op.get(8), None);
            });
            assert_eq!(contents(&array), (0..8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_operation_that_panics_leaves_the_object_usable() {
        let array = ByteArray::new(vec![0; 4]);
        let other = array.clone();
        std::thread::spawn(move || {
            other.operate(|op| {
                op.resize().unwrap().resize(1000, 1);
                panic!("as planned");
            })
        })
        .join()
        .unwrap_err();
        assert_eq!(array.export().block_len(), 1000);
        assert_eq!(array.operate(|op| op.get(999)), Some(1));
    }

    #[test]
    fn racing_exports_never_see_memory_move() {
        let array = ByteArray::new(vec![0; 16]);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let export = array.export();
                        let len = export.block_len();
                        let mut out = vec![0; len];
                        export.read(0, &mut out);
                        // Every operation leaves `len` equal bytes that spell `len`.
                        assert!(out.iter().all(|&byte| usize::from(byte) == len % 16));
                        export.write(0, &out);
                        assert_eq!(array.operate(|op| op.len()), len);
                    }
                });
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let _ = array.operate(|op| {
                            let bytes = op.resize()?;
                            let len = 16 + round * 37 % 2000;
                            *bytes = Vec::new();
                            bytes.resize(len, (len % 16) as u8);
                            Ok::<_, Exported>(())
                        });
                    }
                });
            }
        });
        assert_eq!(array.exports(), 0);
        array.operate(|op| op.resize().map(Vec::clear)).unwrap();
        assert_eq!(contents(&array), Vec::<u8>::new());
    }

    #[test]
    fn operations_are_atomic_with_respect_to_each_other() {
        let array = ByteArray::new(vec![0; 2]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        array.operate(|op| {
                            let (low, high) = (op.get(0).unwrap(), op.get(1).unwrap());
                            let sum = u16::from_le_bytes([low, high]).wrapping_add(1);
                            op.write(0, 1, &sum.to_le_bytes()).unwrap();
                        });
                    }
                });
            }
        });
        let sum = (4 * ROUNDS) as u16;
        assert_eq!(contents(&array), sum.to_le_bytes());
    }
}
