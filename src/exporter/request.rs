//! What an exporter answers to the flags of a request (clause G5): the fields of a `Py_buffer`, without its addresses.
//!
//! There are two kinds of exporters, and arrays of `ctypes`. One that owns a block of items side by side (`PyBuffer_FillInfo`) can meet any
//! request but that for writing to what is read-only. A view lends what it was lent: it may be unable to do without
//! strides, and the consumer that leaves out the shape takes it for bytes, so that a format would contradict it
//! (`memory_getbuf` of `Objects/memoryobject.c`).

use std::fmt;

use super::dims::Dims;
use super::format::Format;
use super::layout::Layout;

/// The flags of a request, any bits of an `int` of C: what `PyObject_GetBuffer` is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request(pub i32);

impl Request {
    /// `PyBUF_SIMPLE`: one block of bytes.
    pub const SIMPLE: Request = Request(0);
    /// `PyBUF_WRITABLE`
    pub const WRITABLE: Request = Request(0x1);
    /// `PyBUF_FORMAT`
    pub const FORMAT: Request = Request(0x4);
    /// `PyBUF_ND`: a shape.
    pub const ND: Request = Request(0x8);
    /// `PyBUF_STRIDES`, which includes the shape.
    pub const STRIDES: Request = Request(0x10 | Self::ND.0);
    /// `PyBUF_C_CONTIGUOUS`, which includes the strides.
    pub const C_CONTIGUOUS: Request = Request(0x20 | Self::STRIDES.0);
    /// `PyBUF_F_CONTIGUOUS`, which includes the strides.
    pub const F_CONTIGUOUS: Request = Request(0x40 | Self::STRIDES.0);
    /// `PyBUF_ANY_CONTIGUOUS`, which includes the strides.
    pub const ANY_CONTIGUOUS: Request = Request(0x80 | Self::STRIDES.0);
    /// `PyBUF_INDIRECT`, which includes the strides.
    pub const INDIRECT: Request = Request(0x100 | Self::STRIDES.0);
    /// `PyBUF_FULL`: everything, to write to it.
    pub const FULL: Request = Request(Self::INDIRECT.0 | Self::WRITABLE.0 | Self::FORMAT.0);
    /// `PyBUF_READ`, which is no flag of a request but a word of `PyMemoryView_FromMemory`.
    pub const READ: Request = Request(0x100);
    /// `PyBUF_WRITE`, likewise.
    pub const WRITE: Request = Request(0x200);

    /// The same, but for writing.
    pub(super) const fn to_read(self) -> Request {
        Request(self.0 & !Self::WRITABLE.0)
    }

    /// Whether all that `other` asks for is asked for.
    #[inline]
    pub const fn asks(self, other: Request) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The request cannot be met: `BufferError` in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memory cannot be lent in this way")
    }
}

impl std::error::Error for Refused {}

/// What a consumer is told of an export. A field that is a pointer in C is `None` where it is NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    /// From the base of the exported block to the first item, in bytes.
    pub offset: isize,
    /// Bytes in all items.
    pub len: usize,
    /// Bytes per item, also where the format is left out.
    pub itemsize: usize,
    /// Writing is refused.
    pub readonly: bool,
    /// The number of dimensions.
    pub ndim: usize,
    /// What an item is.
    pub format: Option<Format>,
    /// Items in each dimension; a scalar has no shape.
    pub shape: Option<Dims>,
    /// Bytes from item to item in each dimension; a scalar has none.
    pub strides: Option<Dims>,
}

impl Layout {
    /// What the owner of a block of items of this layout, side by side in one dimension, answers.
    ///
    /// # Errors
    /// If writing is asked for and refused.
    pub fn lend(&self, request: Request) -> Result<Answer, Refused> {
        if self.readonly && request.asks(Request::WRITABLE) { Err(Refused) } else { Ok(self.answer(request)) }
    }

    /// What an array of `ctypes` answers, whatever is asked: all that it has, which is no strides (against G5).
    pub(super) fn lend_as_it_is(&self) -> Answer {
        Answer { strides: None, ..self.answer(Request::FULL) }
    }

    /// What a view of this layout answers.
    ///
    /// # Errors
    /// If its items do not lie as the request wants them, if it asks for a format without a shape, or if writing is
    /// asked for and refused.
    pub fn lend_again(&self, request: Request) -> Result<Answer, Refused> {
        let (c, f) = (self.is_c_contiguous(), self.is_f_contiguous());
        let asks = |what| request.asks(what);
        let refused = asks(Request::C_CONTIGUOUS) && !c
            || asks(Request::F_CONTIGUOUS) && !f
            || asks(Request::ANY_CONTIGUOUS) && !(c || f)
            || !asks(Request::STRIDES) && !c
            || !asks(Request::ND) && asks(Request::FORMAT);
        if refused {
            return Err(Refused);
        }
        self.lend(request)
    }

    fn answer(&self, request: Request) -> Answer {
        let shaped = request.asks(Request::ND);
        // NULL stands for no dimensions, too.
        let only_if =
            |asked: bool, dims: &Dims| if asked && !dims.is_empty() { Some(dims.clone()) } else { None };
        Answer {
            offset: self.offset,
            len: self.nbytes(),
            itemsize: self.itemsize(),
            readonly: self.readonly,
            ndim: if shaped { self.ndim() } else { 1 },
            format: request.asks(Request::FORMAT).then_some(self.format),
            shape: only_if(shaped, &self.shape),
            strides: only_if(request.asks(Request::STRIDES), &self.strides),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::Code;

    fn block(readonly: bool) -> Layout {
        Layout::bytes(8, readonly).recast(Format::new(Code::UnsignedShort), &[4])
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let told = |flags| {
            let answer = block(false).lend(Request(flags)).unwrap();
            (answer.format.is_some(), answer.shape.is_some(), answer.strides.is_some())
        };
        assert_eq!(told(0), (false, false, false));
        assert_eq!(told(0x4), (true, false, false));
        assert_eq!(told(0x8), (false, true, false));
        assert_eq!(told(0x10), (false, false, false));
        assert_eq!(told(0x18), (false, true, true));
        assert_eq!(told(-1), (true, true, true));
    }

    #[test]
    fn read_only_memory_is_not_lent_for_writing() {
        for flags in 0..0x400 {
            let refused = flags & 1 != 0;
            assert_eq!(block(true).lend(Request(flags)).is_err(), refused, "{flags:#x}");
            assert!(block(false).lend(Request(flags)).is_ok(), "{flags:#x}");
        }
    }

    #[test]
    fn a_view_with_gaps_is_lent_with_strides_only() {
        let view = Layout::bytes(8, false).slice(0, 4, 2);
        for flags in 0..0x200 {
            let met = flags & 0x18 == 0x18 && flags & 0xE0 == 0;
            assert_eq!(view.lend_again(Request(flags)).is_ok(), met, "{flags:#x}");
        }
    }

    #[test]
    fn a_view_names_no_format_without_a_shape() {
        assert_eq!(block(false).lend_again(Request::FORMAT), Err(Refused));
        let answer = block(false).lend_again(Request::SIMPLE).unwrap();
        assert_eq!((answer.ndim, answer.itemsize, answer.len), (1, 2, 8));
    }

    #[test]
    fn a_scalar_is_lent_as_a_line_to_whoever_asks_for_no_shape() {
        let scalar = block(false).slice(0, 1, 1).recast(Format::new(Code::UnsignedShort), &[]);
        assert_eq!(scalar.lend_again(Request::SIMPLE).unwrap().ndim, 1);
        let answer = scalar.lend_again(Request::FULL).unwrap();
        assert_eq!((answer.ndim, answer.shape, answer.strides), (0, None, None));
    }
}
