//! What a `Py_buffer` holds after `PyObject_GetBuffer`, by the functions of CPython that fill it in, from top to bottom.
//!
//! The exporters have rules of their own for the same (`exporter/request.rs`); neither is made of the other.

use super::super::heap::Flavour;
use crate::exporter::{Answer, CArray, Code, Dims, Format, Layout, Refused, Request};

const WRITABLE: i32 = 1 << 0;
const FORMAT: i32 = 1 << 2;
const ND: i32 = 1 << 3;
const STRIDES: i32 = 1 << 4;
const C: i32 = 1 << 5;
const F: i32 = 1 << 6;
const ANY: i32 = 1 << 7;

/// Whether all of these bits are set.
fn set(flags: i32, bits: i32) -> bool {
    flags & bits == bits
}

/// What an exporter of this flavour and length in bytes fills in.
///
/// # Errors
/// `BufferError`
pub(super) fn of_exporter(flavour: Flavour, length: usize, request: Request) -> Result<Answer, Refused> {
    match flavour {
        Flavour::Array(code) => {
            let items = Dims::new(&[(length / code.itemsize()) as isize]);
            Ok(line(length, code.itemsize(), Format::new(code.code()), items, request))
        }
        Flavour::Bytes => fill_info(length, true, request),
        Flavour::Mmap(mapping) => fill_info(length, mapping.readonly, request),
        Flavour::ByteArray | Flavour::Stream => fill_info(length, false, request),
        Flavour::CArray(code) => Ok(new_get_buffer(code, length)),
        Flavour::Text(_) => unreachable!("text has no buffer"),
    }
}

/// `PyCData_NewGetBuffer` of `ctypes`, which does not look at the flags (against clause G5) and has no strides to give.
fn new_get_buffer(code: Code, length: usize) -> Answer {
    Answer {
        offset: 0,
        len: length,
        itemsize: code.size(),
        readonly: false,
        ndim: 1,
        format: Some(CArray::format(code)),
        shape: Dims::new(&[(length / code.size()) as isize]),
        strides: None,
    }
}

/// `PyBuffer_FillInfo`
fn fill_info(length: usize, readonly: bool, request: Request) -> Result<Answer, Refused> {
    if set(request.0, WRITABLE) && readonly {
        return Err(Refused);
    }
    let answer = line(length, 1, Format::BYTES, Dims::new(&[length as isize]), request);
    Ok(Answer { readonly, ..answer })
}

/// `array_buffer_getbuf`, which refuses nothing, and what `PyBuffer_FillInfo` does in the same way.
fn line(
    length: usize,
    itemsize: usize,
    format: Format,
    items: Option<Dims>,
    Request(flags): Request,
) -> Answer {
    Answer {
        offset: 0,
        len: length,
        itemsize,
        readonly: false,
        ndim: 1,
        format: set(flags, FORMAT).then_some(format),
        shape: if set(flags, ND) { items } else { None },
        strides: if set(flags, ND | STRIDES) { Dims::new(&[itemsize as isize]) } else { None },
    }
}

/// `memory_getbuf`: it begins with all that the view has, and takes away what was not asked for.
///
/// # Errors
/// `BufferError`
pub(super) fn of_view(layout: &Layout, Request(flags): Request) -> Result<Answer, Refused> {
    let dims = |dims: &Dims| if layout.ndim() == 0 { None } else { Some(dims.clone()) };
    let mut answer = Answer {
        offset: layout.offset,
        len: layout.nbytes(),
        itemsize: layout.itemsize(),
        readonly: layout.readonly,
        ndim: layout.ndim(),
        format: Some(layout.format),
        shape: dims(&layout.shape),
        strides: dims(&layout.strides),
    };
    if set(flags, WRITABLE) && layout.readonly {
        return Err(Refused);
    }
    if !set(flags, FORMAT) {
        answer.format = None;
    }
    let (c, f) = (layout.is_c_contiguous(), layout.is_f_contiguous());
    for (bit, holds) in [(C, c), (F, f), (ANY, c || f)] {
        if set(flags, bit | ND | STRIDES) && !holds {
            return Err(Refused);
        }
    }
    if !set(flags, ND | STRIDES) {
        if !c {
            return Err(Refused);
        }
        answer.strides = None;
    }
    if !set(flags, ND) {
        if answer.format.is_some() {
            return Err(Refused);
        }
        (answer.ndim, answer.shape) = (1, None);
    }
    Ok(answer)
}
