//! Where the items of a view are.
//!
//! A [`Layout`] is arithmetic: it owns no memory, looks at none and takes no part in any race. So a model, which
//! has no memory, and an exporter, which has, can share it, and whatever they disagree about is not arithmetic.
//! It follows CPython's `Objects/memoryobject.c` (`init_slice`, `init_flags`, `init_strides_from_shape`) and
//! `Objects/abstract.c` (`PyBuffer_IsContiguous`).
//!
//! ```text
//!   block   | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |      memoryview(bytearray(10))[7:0:-3]
//!                 ^ last    ^           ^ offset           offset 7, shape [3], strides [-3]
//! ```
//!
//! Sums and products wrap. An extreme step (`v[::sys.maxsize]`) makes a stride that no item uses, and CPython
//! computes it all the same.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::format::Format;

/// The greatest number of dimensions. CPython has 64; what can go wrong with 64 goes wrong with 3.
pub const MAX_NDIM: usize = 3;

/// One number for each dimension: a shape in items or strides in bytes; used as the slice of them.
///
/// Missing dimensions are zero, so that equality compares a few words without a loop or a call: layouts are
/// compared after every step of a program, for every view.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Dims {
    dims: [isize; MAX_NDIM],
    ndim: u8,
}

impl Dims {
    /// These, or `None` if they are more than [`MAX_NDIM`].
    #[inline]
    pub fn new(dims: &[isize]) -> Option<Self> {
        let mut own = Self { dims: [0; MAX_NDIM], ndim: dims.len() as u8 };
        own.dims.get_mut(..dims.len())?.copy_from_slice(dims);
        Some(own)
    }
}

impl Deref for Dims {
    type Target = [isize];

    #[inline]
    fn deref(&self) -> &[isize] {
        &self.dims[..self.ndim.into()]
    }
}

impl DerefMut for Dims {
    #[inline]
    fn deref_mut(&mut self) -> &mut [isize] {
        &mut self.dims[..self.ndim.into()]
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Format, place and shape of the items of a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    /// From the base of the exported block to the first item, in bytes.
    pub offset: isize,
    /// What an item is.
    pub format: Format,
    /// Items in each dimension; none of them is negative.
    pub shape: Dims,
    /// From one item to the next in each dimension, in bytes; may be negative or zero.
    pub strides: Dims,
    /// Writing through the view is refused.
    pub readonly: bool,
}

impl Layout {
    /// A block of `len` bytes: one dimension, format `B`.
    ///
    /// # Panics
    /// If `len` is more than `isize::MAX`, which no block of memory is.
    #[inline]
    pub fn bytes(len: usize, readonly: bool) -> Self {
        let len = isize::try_from(len).expect("a block of memory is no larger than isize::MAX");
        Self { offset: 0, format: Format::BYTES, shape: one(len), strides: one(1), readonly }
    }

    /// Bytes per item.
    #[inline]
    pub fn itemsize(&self) -> usize {
        self.format.itemsize()
    }

    /// The number of dimensions.
    #[inline]
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// The number of items: the product of the shape, hence 1 without dimensions.
    #[inline]
    pub fn items(&self) -> usize {
        self.shape.iter().fold(1, |items: usize, &dim| items.wrapping_mul(dim as usize))
    }

    /// Bytes in all the items: `memoryview.nbytes`, and `len` in a `Py_buffer`.
    #[inline]
    pub fn nbytes(&self) -> usize {
        self.items().wrapping_mul(self.itemsize())
    }

    /// `memoryview.c_contiguous`.
    ///
    /// One dimension is judged by itself (`MV_CONTIGUOUS_NDIM1`): without items and with a stride other than
    /// the size of an item it is *not* contiguous, although `PyBuffer_IsContiguous` calls whatever has no bytes so.
    #[inline]
    pub fn is_c_contiguous(&self) -> bool {
        if let ([dim], [stride]) = (&*self.shape, &*self.strides) {
            return *dim == 1 || *stride == self.itemsize() as isize;
        }
        let dims = self.shape.iter().zip(self.strides.iter());
        self.is_contiguous(dims.rev())
    }

    /// `memoryview.f_contiguous`.
    #[inline]
    pub fn is_f_contiguous(&self) -> bool {
        if let ([dim], [stride]) = (&*self.shape, &*self.strides) {
            return *dim == 1 || *stride == self.itemsize() as isize;
        }
        let dims = self.shape.iter().zip(self.strides.iter());
        self.is_contiguous(dims)
    }

    /// None or several dimensions, which come innermost first.
    fn is_contiguous<'a>(&self, dims: impl Iterator<Item = (&'a isize, &'a isize)>) -> bool {
        let itemsize = self.itemsize() as isize;
        if self.nbytes() == 0 {
            return true;
        }
        let mut step = itemsize;
        for (&dim, &stride) in dims {
            if dim > 1 && stride != step {
                return false;
            }
            step = step.wrapping_mul(dim);
        }
        true
    }

    /// The slice of the first dimension that has `count` items, from item `start` on, `step` apart. The three
    /// numbers are what Python's `slice.indices` leads to: adjusted to the shape already.
    ///
    /// # Panics
    /// Without dimensions there is nothing to slice.
    #[must_use]
    pub fn slice(&self, start: isize, count: isize, step: isize) -> Self {
        let mut sliced = self.clone();
        let stride = self.strides[0];
        sliced.offset = self.offset.wrapping_add(stride.wrapping_mul(start));
        sliced.shape[0] = count;
        sliced.strides[0] = stride.wrapping_mul(step);
        sliced
    }

    /// The same bytes, from the same offset on, as C-contiguous items of `format` in `shape`. Whether they are
    /// as many bytes, and whether the cast is allowed, the caller has found out.
    ///
    /// # Panics
    /// If `shape` has more than [`MAX_NDIM`] dimensions.
    #[must_use]
    pub fn recast(&self, format: Format, shape: &[isize]) -> Self {
        let shape = Dims::new(shape).expect("no more than MAX_NDIM dimensions");
        let mut strides = shape;
        let mut step = format.itemsize() as isize;
        for (stride, &dim) in strides.iter_mut().zip(shape.iter()).rev() {
            *stride = step;
            step = step.wrapping_mul(dim);
        }
        Self { offset: self.offset, format, shape, strides, readonly: self.readonly }
    }

    /// The offset of the item at a full index, from the base of the block. `None` unless there is one index for
    /// each dimension and all are within the shape; negative indices are not counted from the end.
    #[inline]
    pub fn item_offset(&self, index: &[isize]) -> Option<isize> {
        if index.len() != self.ndim() {
            return None;
        }
        let mut offset = self.offset;
        for ((&index, &dim), &stride) in index.iter().zip(self.shape.iter()).zip(self.strides.iter()) {
            if index < 0 || index >= dim {
                return None;
            }
            offset = offset.wrapping_add(stride.wrapping_mul(index));
        }
        Some(offset)
    }

    /// The offsets of all the items in C order (the last index runs fastest), from the base of the block.
    #[inline]
    pub fn offsets(&self) -> Offsets {
        let mut offsets = Offsets {
            next: self.offset,
            left: self.items(),
            index: [0; MAX_NDIM],
            shape: [1; MAX_NDIM],
            strides: [0; MAX_NDIM],
        };
        let outer = MAX_NDIM - self.ndim();
        offsets.shape[outer..].copy_from_slice(&self.shape);
        offsets.strides[outer..].copy_from_slice(&self.strides);
        offsets
    }
}

/// Dimensions of a one-dimensional layout.
#[inline]
fn one(dim: isize) -> Dims {
    let mut dims = Dims { ndim: 1, ..Dims::default() };
    dims.dims[0] = dim;
    dims
}

/// The offsets of the items of a [`Layout`], in C order. Missing dimensions are outer ones of one item.
#[derive(Debug, Clone)]
pub struct Offsets {
    next: isize,
    left: usize,
    index: [isize; MAX_NDIM],
    shape: [isize; MAX_NDIM],
    strides: [isize; MAX_NDIM],
}

impl Offsets {
    /// Steps to the next item: the innermost dimension if it has one left, else the next outer one that has.
    #[inline]
    fn step(&mut self) {
        for dim in (0..MAX_NDIM).rev() {
            self.index[dim] += 1;
            self.next = self.next.wrapping_add(self.strides[dim]);
            if self.index[dim] < self.shape[dim] {
                return;
            }
            let back = self.strides[dim].wrapping_mul(self.shape[dim]);
            self.next = self.next.wrapping_sub(back);
            self.index[dim] = 0;
        }
    }
}

impl Iterator for Offsets {
    type Item = isize;

    #[inline]
    fn next(&mut self) -> Option<isize> {
        self.left = self.left.checked_sub(1)?;
        let offset = self.next;
        self.step();
        Some(offset)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Offsets {}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Format {
        Format::parse(text).unwrap()
    }

    fn contiguous(layout: &Layout) -> (bool, bool) {
        (layout.is_c_contiguous(), layout.is_f_contiguous())
    }

    #[test]
    fn a_slice_counts_from_the_slice_before() {
        let layout = Layout::bytes(10, false).slice(7, 3, -3).slice(1, 2, 1);
        assert_eq!(layout.offsets().collect::<Vec<_>>(), [4, 1]);
        assert_eq!(layout.item_offset(&[1]), Some(1));
        assert_eq!(layout.item_offset(&[2]), None);
        assert_eq!(layout.item_offset(&[-1]), None);
        assert_eq!(layout.item_offset(&[]), None);
    }

    #[test]
    fn one_dimension_is_contiguous_by_its_stride_even_without_items() {
        let bytes = Layout::bytes(8, false);
        assert_eq!(contiguous(&bytes), (true, true));
        assert_eq!(contiguous(&bytes.slice(0, 4, 2)), (false, false));
        assert_eq!(contiguous(&bytes.slice(0, 1, 2)), (true, true));
        assert_eq!(contiguous(&bytes.slice(0, 0, 2)), (false, false));
        assert_eq!(contiguous(&bytes.slice(0, 0, 1)), (true, true));
    }

    #[test]
    fn more_dimensions_without_bytes_are_contiguous_both_ways() {
        let table = Layout::bytes(24, false).recast(format("h"), &[3, 4]);
        assert_eq!(contiguous(&table), (true, false));
        assert_eq!(contiguous(&table.slice(0, 0, 2)), (true, true));
        assert_eq!(contiguous(&table.slice(2, 1, 2)), (true, true));
        assert_eq!(contiguous(&table.slice(0, 2, 2)), (false, false));
        let row = table.recast(format("h"), &[1, 12]);
        assert_eq!(contiguous(&row), (true, true));
    }

    #[test]
    fn no_dimensions_are_one_item_contiguous_both_ways() {
        let scalar = Layout::bytes(4, true).recast(format("i"), &[]);
        assert_eq!((scalar.ndim(), scalar.items(), scalar.nbytes()), (0, 1, 4));
        assert_eq!(contiguous(&scalar), (true, true));
        assert_eq!(scalar.item_offset(&[]), Some(0));
        assert_eq!(scalar.offsets().collect::<Vec<_>>(), [0]);
        assert!(scalar.readonly);
    }

    #[test]
    fn offsets_come_in_c_order() {
        let layout = Layout::bytes(48, false).recast(format("H"), &[2, 3, 4]);
        assert_eq!(*layout.strides, [24, 8, 2]);
        let expected: Vec<_> = (0..24).map(|item| item * 2).collect();
        assert_eq!(layout.offsets().collect::<Vec<_>>(), expected);
        assert_eq!(layout.offsets().len(), 24);
        let backwards = layout.slice(1, 2, -1);
        let by_index: Vec<_> =
            (0..24).map(|i| backwards.item_offset(&[i / 12, i / 4 % 3, i % 4]).unwrap()).collect();
        assert_eq!(backwards.offsets().collect::<Vec<_>>(), by_index);
    }

    #[test]
    fn an_extreme_step_wraps() {
        let layout = Layout::bytes(16, false).recast(format("q"), &[2]);
        let layout = layout.slice(0, 1, isize::MAX);
        assert_eq!(layout.offsets().collect::<Vec<_>>(), [0]);
        assert_eq!(layout.strides[0], isize::MAX.wrapping_mul(8));
    }
}
