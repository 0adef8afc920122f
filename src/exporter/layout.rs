//! Where the items of a view are.
//!
//! A [`Layout`] is arithmetic: it owns no memory, looks at none and takes no part in any race. So a model, which
//! has no memory, and an exporter, which has, can share it, and whatever they disagree about is not arithmetic.
//! It follows CPython's `Objects/memoryobject.c` (`init_slice`, `init_flags`, `init_strides_from_shape`, `memory_cast`,
//! `ptr_from_tuple`) and `Objects/abstract.c` (`PyBuffer_IsContiguous`, `PyBuffer_ToContiguous`).
//!
//! ```text
//!   block   | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |      memoryview(bytearray(10))[7:0:-3]
//!                 ^ last    ^           ^ offset           offset 7, shape [3], strides [-3]
//! ```
//!
//! Sums and products wrap. An extreme step (`v[::sys.maxsize]`) makes a stride that no item uses, and CPython
//! computes it all the same.

use super::dims::{Dims, MAX_NDIM};
use super::format::Format;

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
        Self { offset: 0, format: Format::BYTES, shape: Dims::one(len), strides: Dims::one(1), readonly }
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
        let mut strides = shape.clone();
        fill(strides.iter_mut().rev(), format);
        Self { offset: self.offset, format, shape, strides, readonly: self.readonly }
    }

    /// The same with the first index running fastest.
    ///
    /// # Panics
    /// If `shape` has more than [`MAX_NDIM`] dimensions.
    #[must_use]
    pub fn recast_fortran(&self, format: Format, shape: &[isize]) -> Self {
        let mut layout = self.recast(format, shape);
        layout.strides = layout.shape.clone();
        fill(layout.strides.iter_mut(), format);
        layout
    }

    /// `memoryview.cast`: the same bytes as items of `format`, in one dimension or in the shape that is given.
    ///
    /// # Errors
    /// The checks and their order are CPython's.
    pub fn cast(&self, format: Format, shape: Option<&[isize]>) -> Result<Self, CastError> {
        self.check_cast(shape.map(<[isize]>::len))?;
        let line = self.cast_to_line(format)?;
        match shape {
            Some(shape) => line.in_shape(shape.iter().map(|&dim| Ok(dim))),
            None => Ok(line),
        }
    }

    /// What `memory_cast` finds out before it looks at the format: whether there can be a cast to so many dimensions, if
    /// the shape is given.
    ///
    /// # Errors
    /// As those of [`cast`](Self::cast).
    pub fn check_cast(&self, ndim: Option<usize>) -> Result<(), CastError> {
        if !self.is_c_contiguous() {
            return Err(CastError::NotContiguous);
        }
        if (ndim.is_some() || self.ndim() != 1) && self.shape.contains(&0) {
            return Err(CastError::NoItems);
        }
        if ndim.is_some_and(|ndim| ndim > MAX_NDIM) {
            return Err(CastError::TooManyDimensions);
        }
        if self.ndim() != 1 && ndim.is_some_and(|ndim| ndim != 1) {
            return Err(CastError::BetweenShapes);
        }
        Ok(())
    }

    /// `cast_to_1D`: the same bytes as items of `format` in one dimension.
    ///
    /// # Errors
    /// As those of [`cast`](Self::cast).
    pub fn cast_to_line(&self, format: Format) -> Result<Self, CastError> {
        if !format.is_native() {
            return Err(CastError::Format);
        }
        // A format that is not native is none of bytes, and may be left for bytes all the same.
        if !(self.format.is_byte() || format.is_byte()) {
            return Err(CastError::BetweenFormats);
        }
        let (size, nbytes) = (format.itemsize(), self.nbytes());
        if !nbytes.is_multiple_of(size) {
            return Err(CastError::PartOfAnItem);
        }
        Ok(self.recast(format, &[(nbytes / size) as isize]))
    }

    /// `cast_to_ND`: the same items in a shape, each number of which is found out when it is its turn.
    ///
    /// # Errors
    /// As those of [`cast`](Self::cast), or of finding out a number.
    pub fn in_shape<E: From<CastError>>(
        &self,
        shape: impl Iterator<Item = Result<isize, E>>,
    ) -> Result<Self, E> {
        let mut length = self.itemsize() as isize;
        let mut dims = Vec::new();
        for dim in shape {
            let dim = dim?;
            let longer = if dim > 0 { length.checked_mul(dim) } else { None };
            length = longer.ok_or(CastError::NotAShape)?;
            dims.push(dim);
        }
        if length as usize != self.nbytes() {
            return Err(CastError::OtherLength.into());
        }
        Ok(self.recast(self.format, &dims))
    }

    /// The offset of the item at an index as Python writes it, from the base of the block: one number for each
    /// dimension, negative ones counted from the end.
    ///
    /// # Errors
    /// If there is no such item. The checks and their order are those of `memory_item_multi`.
    #[inline]
    pub fn place(&self, index: &[isize]) -> Result<isize, PlaceError> {
        self.place_at(index.iter().map(|&index| Ok(index)))
    }

    /// The same, of an index each number of which is found out when it is its turn.
    ///
    /// # Errors
    /// As those of [`place`](Self::place), or of finding out a number.
    #[inline]
    pub fn place_at<E: From<PlaceError>>(
        &self,
        index: impl ExactSizeIterator<Item = Result<isize, E>>,
    ) -> Result<isize, E> {
        if index.len() < self.ndim() {
            return Err(PlaceError::SubView.into());
        }
        if index.len() > self.ndim() {
            return Err(PlaceError::TooManyIndices.into());
        }
        let mut offset = self.offset;
        for (number, (index, &dim)) in index.zip(self.shape.iter()).enumerate() {
            let index = index?;
            let index = if index < 0 { index + dim } else { index };
            if index < 0 || index >= dim {
                return Err(PlaceError::OutOfBounds { dimension: number }.into());
            }
            offset = offset.wrapping_add(self.strides[number].wrapping_mul(index));
        }
        Ok(offset)
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
        let index = Dims::zeros(self.ndim());
        let (shape, strides) = (self.shape.clone(), self.strides.clone());
        Offsets { next: self.offset, left: self.items(), index, shape, strides }
    }

    /// The offsets of all the items in the order in which `memoryview.tobytes` has them.
    pub fn offsets_in(&self, order: ItemOrder) -> Offsets {
        let mut offsets = self.offsets();
        let fortran = match order {
            ItemOrder::C => false,
            ItemOrder::Fortran => true,
            ItemOrder::Any => !self.is_c_contiguous() && self.is_f_contiguous(),
        };
        if fortran {
            offsets.shape.reverse();
            offsets.strides.reverse();
        }
        offsets
    }
}

/// The order of items that are copied out: `order` of `memoryview.tobytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemOrder {
    /// The last index runs fastest.
    C,
    /// The first index runs fastest.
    Fortran,
    /// As they lie in memory if they are contiguous, else as in C.
    Any,
}

/// Why a layout was not cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CastError {
    /// `TypeError` in Python.
    #[error("casts are restricted to C-contiguous views")]
    NotContiguous,
    /// `TypeError` in Python.
    #[error("a view with zeros in its shape cannot be cast")]
    NoItems,
    /// `ValueError` in Python.
    #[error("there are no more than {MAX_NDIM} dimensions")]
    TooManyDimensions,
    /// `TypeError` in Python.
    #[error("a cast leads from one dimension or to one")]
    BetweenShapes,
    /// `ValueError` in Python.
    #[error("the destination must be a native format")]
    Format,
    /// `TypeError` in Python.
    #[error("a cast leads from bytes or to bytes")]
    BetweenFormats,
    /// `TypeError` in Python.
    #[error("the length is no multiple of the size of an item")]
    PartOfAnItem,
    /// `ValueError` in Python.
    #[error("a shape has numbers above zero, and their product does not overflow")]
    NotAShape,
    /// `TypeError` in Python.
    #[error("the product of the shape times the size of an item is not the length")]
    OtherLength,
}

/// Why there is no item at an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PlaceError {
    /// Fewer indices than dimensions: `NotImplementedError` in Python.
    #[error("a part of the dimensions makes no view")]
    SubView,
    /// `TypeError` in Python.
    #[error("there are more indices than dimensions")]
    TooManyIndices,
    /// `IndexError` in Python.
    #[error("the index is out of bounds on dimension {}", .dimension + 1)]
    OutOfBounds {
        /// Counted from zero; messages count from one.
        dimension: usize,
    },
}

/// Makes strides of a shape whose dimensions come innermost first.
#[inline]
fn fill<'a>(innermost_first: impl Iterator<Item = &'a mut isize>, format: Format) {
    let mut step = format.itemsize() as isize;
    for dim in innermost_first {
        step = step.wrapping_mul(std::mem::replace(dim, step));
    }
}

/// The offsets of the items of a [`Layout`], the last dimension running fastest.
#[derive(Debug, Clone)]
pub struct Offsets {
    next: isize,
    left: usize,
    index: Dims,
    shape: Dims,
    strides: Dims,
}

impl Offsets {
    /// Steps to the next item: the innermost dimension if it has one left, else the next outer one that has.
    #[inline]
    fn step(&mut self) {
        let dims = self.index.iter_mut().zip(self.shape.iter()).zip(self.strides.iter());
        for ((index, &dim), &stride) in dims.rev() {
            *index += 1;
            self.next = self.next.wrapping_add(stride);
            if *index < dim {
                return;
            }
            self.next = self.next.wrapping_sub(stride.wrapping_mul(dim));
            *index = 0;
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
mod tests;
