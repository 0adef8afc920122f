//! Resizable items of one type: Python's `array.array`.
//!
//! It is the memory of a [`ByteArray`](super::ByteArray) in whole items, aligned for every one of them: a consumer in C
//! makes a `double *` of the address that it gets. What an item means is the consumer's business; here an item is
//! as many bytes as its type has, in the order of the machine.

use std::fmt;
use std::ptr::NonNull;
use std::slice;

use super::byte_array::never_closed;
use super::storage::{Block, Storage};
use super::{Code, Export, Exported, Format, Layout, Operation, Provider, RawExport};
use crate::sync::Arc;

/// The type of the items of an [`Array`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeCode {
    code: Code,
    /// It is `u`: `wchar_t`.
    is_wchar: bool,
}

impl TypeCode {
    /// Every type code, in the order of Python's `array.typecodes`: `w` is one from 3.13 on, `e`, `Zf` and `Zd` from 3.15
    /// on.
    ///
    /// `u` and `w` are characters: `wchar_t`, taken to have four bytes, and `Py_UCS4`. CPython exports both as `w` then.
    pub const ALL: [Self; 17] = [
        Self::of(Code::SignedChar),
        Self::of(Code::UnsignedChar),
        Self { code: Code::Wide, is_wchar: true },
        Self::of(Code::Wide),
        Self::of(Code::Short),
        Self::of(Code::UnsignedShort),
        Self::of(Code::Int),
        Self::of(Code::UnsignedInt),
        Self::of(Code::Long),
        Self::of(Code::UnsignedLong),
        Self::of(Code::LongLong),
        Self::of(Code::UnsignedLongLong),
        Self::of(Code::Half),
        Self::of(Code::Float),
        Self::of(Code::Double),
        Self::of(Code::FloatComplex),
        Self::of(Code::DoubleComplex),
    ];

    /// That of an array of a type in C may be any code.
    pub(super) const fn of(code: Code) -> Self {
        Self { code, is_wchar: false }
    }

    /// The type code that is written so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// `array.typecode`.
    #[inline]
    pub const fn name(self) -> &'static str {
        if self.is_wchar { "u" } else { self.code.as_str() }
    }

    /// What an item is to a view.
    #[inline]
    pub const fn code(self) -> Code {
        self.code
    }

    /// `array.itemsize`.
    #[inline]
    pub const fn itemsize(self) -> usize {
        self.code.size()
    }
}

/// A handle to resizable items; a clone is another handle to the same object.
#[derive(Clone)]
pub struct Array(Arc<Inner>);

struct Inner {
    code: TypeCode,
    storage: Storage<Items>,
}

impl Array {
    /// The name of the type in Python.
    pub const NAME: &'static str = Items::NAME;

    /// A new object with the items that these bytes are.
    ///
    /// # Panics
    /// If they are not whole items.
    pub fn new(code: TypeCode, bytes: &[u8]) -> Self {
        Self(Arc::new(Inner { code, storage: Storage::new(Items::new(code.code(), bytes)) }))
    }

    /// The type of the items.
    #[inline]
    pub fn code(&self) -> TypeCode {
        self.0.code
    }

    /// Exports and locks at this moment. To act upon it, ask inside of [`operate`](Self::operate).
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.storage.exports()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Runs one operation of the object, as [`ByteArray::operate`](super::ByteArray::operate) does.
    #[inline]
    pub fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_, Items>) -> R) -> R {
        never_closed(self.0.storage.operate(f))
    }

    /// Acquires an export of all the items, writable.
    pub fn export(&self) -> Export {
        let raw = self.acquire_raw();
        let items = raw.len / self.code().itemsize();
        let items = isize::try_from(items).expect("a block of memory is no larger than isize::MAX");
        let layout = Layout::bytes(raw.len, raw.readonly).recast(Format::new(self.code().code()), &[items]);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        unsafe { Export::from_raw(Provider::Array(self.clone()), raw, layout) }
    }

    /// What `bf_getbuffer` does in C: adds one export and fills in the block (G1, G3).
    #[inline]
    pub fn acquire_raw(&self) -> RawExport {
        never_closed(self.0.storage.acquire_raw())
    }

    /// What `bf_releasebuffer` does in C: takes one export away (R1). Aborts if there is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        // SAFETY: the caller gives back an export of this very object.
        unsafe { self.0.storage.release_raw() };
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.storage.is_stained()
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array")
            .field("code", &self.0.code.name())
            .field("count", &self.0.storage)
            .finish_non_exhaustive()
    }
}

/// Operations in items. Those of [`Operation`] itself count in bytes.
impl Operation<'_, Items> {
    /// Bytes per item.
    #[inline]
    pub fn itemsize(&self) -> usize {
        self.block().unit()
    }

    /// The number of items.
    #[inline]
    pub fn items(&self) -> usize {
        self.len() / self.itemsize()
    }

    /// Copies out the item at `i`. `None` if there is none; then `out` is untouched.
    ///
    /// # Panics
    /// If `out` is not as long as an item.
    #[inline]
    pub fn read_item(&self, i: usize, out: &mut [u8]) -> Option<()> {
        assert_eq!(out.len(), self.itemsize(), "one item");
        self.read(i.checked_mul(self.itemsize())?, 1, out)
    }

    /// Replaces the item at `i`. `None` if there is none.
    ///
    /// # Panics
    /// If `item` is not as long as an item.
    #[inline]
    pub fn write_item(&mut self, i: usize, item: &[u8]) -> Option<()> {
        assert_eq!(item.len(), self.itemsize(), "one item");
        self.write(i.checked_mul(self.itemsize())?, 1, item)
    }

    /// Replaces `removed` items from `at` on by those that `bytes` are. With it items are inserted, appended, removed
    /// and exchanged.
    ///
    /// # Errors
    /// If exports exist (S1), also where the length would stay (S3: that is for [`write`](Self::write)). Then nothing
    /// is changed (S2).
    ///
    /// # Panics
    /// If there are fewer items, or `bytes` are not whole ones.
    pub fn splice(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        let size = self.itemsize();
        self.exclusive()?.splice(at.saturating_mul(size), removed.saturating_mul(size), bytes);
        Ok(())
    }

    /// Reverses the bytes of each number that items are made of: `array.byteswap`. It moves nothing, so exports do not
    /// hinder it.
    pub fn byteswap(&mut self) {
        let size = self.block().code.number();
        if size == 1 {
            return;
        }
        let mut number = [0; size_of::<u64>()];
        let number = &mut number[..size];
        for at in (0..self.len()).step_by(size) {
            self.read(at, 1, number).expect("the number is one of those that there are");
            number.reverse();
            self.write(at, 1, number).expect("the same number");
        }
    }
}

/// The memory of an array: bytes in whole items, at an address that suits every item.
///
/// ```text
///   words   |       0       |       1       |       2       |    as many as the bytes need
///   bytes   |  0  |  1  |  2  |  3  |  4  |  .  .  .  .  .       `len` of them, here 5 items of 4
/// ```
#[derive(Debug)]
pub struct Items {
    words: Vec<u64>,
    /// Bytes in use, in whole items; no more than the words have.
    len: usize,
    /// What an item is.
    code: Code,
}

/// Bytes per word.
const WORD: usize = size_of::<u64>();

impl Items {
    fn new(code: Code, bytes: &[u8]) -> Self {
        let mut items = Self { words: Vec::new(), len: 0, code };
        items.splice(0, 0, bytes);
        items
    }

    fn splice(&mut self, at: usize, removed: usize, bytes: &[u8]) {
        let whole = (at | removed | bytes.len()).is_multiple_of(self.code.size());
        assert!(whole, "items of {} bytes stay whole", self.code.size());
        let (old, end) = (self.len, at.saturating_add(removed));
        assert!(end <= old, "bytes {at} to {end} are outside of {old}");
        let new = old - removed + bytes.len();
        // Capacity grows as a vector's does; what is in use says `len`.
        self.words.resize(old.max(new).div_ceil(WORD), 0);
        let all = self.words_as_bytes();
        all.copy_within(end..old, at + bytes.len());
        all[at..at + bytes.len()].copy_from_slice(bytes);
        self.words.truncate(new.div_ceil(WORD));
        self.len = new;
    }

    fn words_as_bytes(&mut self) -> &mut [u8] {
        let len = self.words.len() * WORD;
        // SAFETY: any bytes are words and words are any bytes; the length is that of the words, which the reference
        // borrows uniquely.
        unsafe { slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), len) }
    }
}

// SAFETY: the vector keeps its words where they are until it is changed or dropped, and has words for `len` bytes.
unsafe impl Block for Items {
    const NAME: &'static str = "array.array";
    const ALONE: bool = true;

    #[inline]
    fn base(&mut self) -> NonNull<u8> {
        NonNull::new(self.words.as_mut_ptr()).expect("the pointer of a vector is never null").cast()
    }

    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn readonly(&self) -> bool {
        false
    }

    #[inline]
    fn unit(&self) -> usize {
        self.code.size()
    }

    fn replacement(&self, bytes: Vec<u8>) -> Self {
        Self::new(self.code, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: usize = if cfg!(miri) { 50 } else { 2_000 };

    fn code(name: &str) -> TypeCode {
        TypeCode::named(name).unwrap()
    }

    fn shorts(values: &[u16]) -> Array {
        let bytes: Vec<_> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        Array::new(code("H"), &bytes)
    }

    fn contents(array: &Array) -> Vec<u16> {
        let mut out = Vec::new();
        array.operate(|op| op.copy_to(&mut out));
        out.chunks(2).map(|item| u16::from_ne_bytes([item[0], item[1]])).collect()
    }

    #[test]
    fn type_codes_are_those_of_python() {
        let names = TypeCode::ALL.map(TypeCode::name);
        assert_eq!(names.join(" "), "b B u w h H i I l L q Q e f d Zf Zd");
        let sizes: Vec<_> = TypeCode::ALL.iter().map(|code| code.itemsize()).collect();
        let long = size_of::<std::ffi::c_long>();
        assert_eq!(sizes, [1, 1, 4, 4, 2, 2, 4, 4, long, long, 8, 8, 2, 4, 8, 8, 16]);
        assert_eq!(TypeCode::named("c"), None);
    }

    #[test]
    fn an_export_has_the_format_of_its_items_and_an_address_that_suits_them() {
        for code in TypeCode::ALL {
            let array = Array::new(code, &[1; 48]);
            let export = array.export();
            let layout = export.layout();
            assert_eq!((layout.format, layout.itemsize()), (Format::new(code.code()), code.itemsize()));
            assert_eq!((layout.items() * code.itemsize(), layout.nbytes()), (48, 48));
            assert_eq!(*layout.strides, [code.itemsize() as isize]);
            assert!(!layout.readonly && layout.is_c_contiguous());
            assert_eq!(export.address() % 8, 0);
            let is_wide = matches!(code.name(), "u" | "w");
            assert_eq!(layout.format.code.as_str(), if is_wide { "w" } else { code.name() });
        }
    }

    #[test]
    fn an_empty_array_is_exported_too() {
        let array = Array::new(code("d"), &[]);
        let export = array.export();
        assert_eq!((export.block_len(), export.layout().items()), (0, 0));
        assert_eq!(array.operate(|op| op.splice(0, 0, &[0; 8])), Err(Exported(1)));
    }

    #[test]
    fn a_splice_inserts_removes_and_exchanges_items() {
        let array = shorts(&[1, 2, 3]);
        let splice = |at, removed, values: &[u16]| {
            let bytes: Vec<_> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            array.operate(|op| op.splice(at, removed, &bytes)).unwrap();
            contents(&array)
        };
        assert_eq!(splice(3, 0, &[4, 5]), [1, 2, 3, 4, 5]);
        assert_eq!(splice(0, 1, &[]), [2, 3, 4, 5]);
        assert_eq!(splice(1, 2, &[6, 7, 8, 9, 10]), [2, 6, 7, 8, 9, 10, 5]);
        assert_eq!(splice(2, 1, &[0]), [2, 6, 0, 8, 9, 10, 5]);
        assert_eq!(splice(1, 6, &[]), [2]);
        assert_eq!(splice(0, 1, &[]), [0; 0]);
    }

    #[test]
    fn a_refused_resize_changes_nothing() {
        let array = shorts(&[1, 2, 3]);
        let exports = [array.export(), array.export()];
        assert_eq!(array.operate(|op| op.splice(0, 3, &[])), Err(Exported(2)));
        assert_eq!(array.operate(|op| op.splice(1, 1, &[9, 9])), Err(Exported(2)));
        assert_eq!((contents(&array), array.exports()), (vec![1, 2, 3], 2));
        drop(exports);
        array.operate(|op| op.splice(0, 3, &[])).unwrap();
        assert_eq!(contents(&array), [0; 0]);
    }

    #[test]
    fn a_resize_is_seen_by_the_rest_of_its_operation_and_by_the_next_export() {
        let array = shorts(&[]);
        array.operate(|op| {
            op.splice(0, 0, &[7; 200]).unwrap();
            assert_eq!((op.items(), op.len(), op.get(199)), (100, 200, Some(7)));
            op.write_item(99, &[8, 9]).unwrap();
            assert_eq!(op.write_item(100, &[8, 9]), None);
        });
        let mut out = [0; 4];
        array.export().read(196, &mut out);
        assert_eq!(out, [7, 7, 8, 9]);
    }

    #[test]
    #[should_panic(expected = "items of 2 bytes stay whole")]
    fn half_an_item_is_refused() {
        let _ = shorts(&[1]).operate(|op| op.splice(0, 0, &[1]));
    }

    #[test]
    #[should_panic(expected = "bytes 2 to 4 are outside of 2")]
    fn an_item_that_does_not_exist_cannot_be_removed() {
        let _ = shorts(&[1]).operate(|op| op.splice(1, 1, &[]));
    }

    #[test]
    fn byteswap_reverses_each_item_although_exports_exist() {
        for code in TypeCode::ALL {
            let bytes: Vec<u8> = (0..16).collect();
            let array = Array::new(code, &bytes);
            let export = array.export();
            array.operate(|op| op.byteswap());
            let expected: Vec<u8> =
                bytes.chunks(code.code().number()).flat_map(|item| item.iter().rev().copied()).collect();
            let mut out = [0; 16];
            export.read(0, &mut out);
            assert_eq!(out, *expected);
        }
    }

    #[test]
    fn racing_exports_never_see_memory_move() {
        let array = Array::new(code("i"), &[0; 16]);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let export = array.export();
                        let len = export.block_len();
                        assert_eq!(len % 4, 0);
                        let mut out = vec![0; len];
                        export.read(0, &mut out);
                        // Every operation leaves `len` equal bytes that spell the number of items.
                        assert!(out.iter().all(|&byte| usize::from(byte) == len / 4 % 4 * 85));
                        assert_eq!(array.operate(|op| op.len()), len);
                    }
                });
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let _ = array.operate(|op| {
                            let (items, old) = (round * 37 % 500, op.items());
                            op.splice(0, old, &vec![(items % 4 * 85) as u8; 4 * items])?;
                            op.byteswap();
                            Ok::<_, Exported>(())
                        });
                    }
                });
            }
        });
        assert_eq!(array.exports(), 0);
        array.operate(|op| op.splice(0, op.items(), &[])).unwrap();
    }
}
