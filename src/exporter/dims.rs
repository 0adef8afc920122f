//! A number for each dimension.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The greatest number of dimensions, as in CPython (`PyBUF_MAX_NDIM`).
pub const MAX_NDIM: usize = 64;

/// So many dimensions have room in a value of fixed size.
const NEAR: usize = 3;

/// One number for each dimension: a shape in items or strides in bytes; used as the slice of them.
///
/// Layouts are compared after every step of a program, for every view, and few have more than two dimensions. So few
/// dimensions are kept in place, and missing ones are zero, so that equality compares a few words without a loop or a
/// call; only many dimensions have memory of their own.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Dims {
    near: [isize; NEAR],
    ndim: u8,
    /// All of them, if they are more than `near` has room for, which is zero then.
    far: Option<Box<[isize; MAX_NDIM]>>,
}

impl Dims {
    /// These, or `None` if they are more than [`MAX_NDIM`].
    #[inline]
    pub fn new(dims: &[isize]) -> Option<Self> {
        if dims.len() > MAX_NDIM {
            return None;
        }
        let mut own = Self::zeros(dims.len());
        own.copy_from_slice(dims);
        Some(own)
    }

    /// So many zeros, which are not more than [`MAX_NDIM`].
    #[inline]
    pub(super) fn zeros(ndim: usize) -> Self {
        let far = if ndim > NEAR { Some(Box::new([0; MAX_NDIM])) } else { None };
        Self { near: [0; NEAR], ndim: ndim as u8, far }
    }

    /// One dimension.
    #[inline]
    pub(super) fn one(dim: isize) -> Self {
        Self { near: [dim, 0, 0], ndim: 1, far: None }
    }
}

impl Deref for Dims {
    type Target = [isize];

    #[inline]
    fn deref(&self) -> &[isize] {
        let ndim = usize::from(self.ndim);
        match &self.far {
            None => &self.near[..ndim],
            Some(far) => &far[..ndim],
        }
    }
}

impl DerefMut for Dims {
    #[inline]
    fn deref_mut(&mut self) -> &mut [isize] {
        let ndim = usize::from(self.ndim);
        match &mut self.far {
            None => &mut self.near[..ndim],
            Some(far) => &mut far[..ndim],
        }
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_dimensions_up_to_the_greatest_reads_back() {
        for ndim in 0..=MAX_NDIM {
            let dims: Vec<_> = (0..ndim as isize).map(|dim| 7 - dim).collect();
            let own = Dims::new(&dims).unwrap();
            assert_eq!(*own, *dims);
            assert_eq!(own, own.clone());
            for place in 0..ndim {
                let mut other = own.clone();
                other[place] += 1;
                assert_ne!(own, other);
            }
        }
        assert_eq!(Dims::new(&[1; MAX_NDIM + 1]), None);
        assert_eq!(Dims::new(&[5]), Some(Dims::one(5)));
    }

    #[test]
    fn a_dimension_of_zero_is_not_a_missing_one() {
        for ndim in 0..MAX_NDIM {
            assert_ne!(Dims::zeros(ndim), Dims::zeros(ndim + 1));
        }
    }
}
