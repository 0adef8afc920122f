//! What an exporter answers to `PyObject_GetBuffer` and `PyBuffer_Release`: the two slots of the protocol, for one
//! dimension of items side by side.
//!
//! The order is what matters. Whatever can refuse does so before anything is counted (G2); then the export is acquired;
//! then the structure is filled in, which cannot fail (G1). Shape and strides lie in memory of their own, which
//! `internal` owns: the consumer may release a *copy* of the structure (G6), so no pointer leads into the structure.

use std::ffi::{CStr, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;

use buflock::exporter::RawExport;
use pyo3::exceptions::PyBufferError;
use pyo3::{Bound, PyAny, PyErr, PyResult, ffi};

/// What the memory of an exporter is to a consumer.
#[derive(Debug, Clone, Copy)]
pub struct Items {
    /// The format of one item.
    pub format: &'static CStr,
    /// Bytes per item.
    pub itemsize: usize,
    /// Requests for writing are refused.
    pub readonly: bool,
}

/// Shape and strides.
type Dims = [isize; 2];

/// What is shown of memory that has no bytes.
static NOTHING: [u64; 2] = [0; 2];

/// Where memory begins, to a consumer. Where there are no bytes Rust has no more than an aligned number, a small one, from
/// which a slice backwards comes to NULL; consumers take that for an error. `array.array` has a place for the same.
pub fn start_of(start: *mut u8, len: usize) -> *mut u8 {
    if len == 0 { NOTHING.as_ptr().cast_mut().cast() } else { start }
}

/// `bf_getbuffer`: fills in `view` with the export that `acquire` adds.
///
/// # Errors
/// If the request cannot be met or `acquire` fails. Then nothing was added, and `view->obj` is NULL (G2).
///
/// # Safety
/// `view` is NULL or valid for writes, as CPython passes it.
pub unsafe fn get_buffer<E>(
    owner: Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
    items: Items,
    acquire: impl FnOnce() -> Result<RawExport, E>,
) -> PyResult<()>
where
    PyErr: From<E>,
{
    // SAFETY: the caller gives a pointer that may be written to, or NULL.
    let Some(view) = (unsafe { view.as_mut() }) else {
        return Err(PyBufferError::new_err("there is no Py_buffer to fill in"));
    };
    view.obj = ptr::null_mut();
    if flags & ffi::PyBUF_WRITABLE != 0 && items.readonly {
        return Err(PyBufferError::new_err("the memory is read-only"));
    }
    let raw = acquire()?;
    let asked = |flag: c_int| flags & flag == flag;
    let dims = Box::new([(raw.len / items.itemsize) as isize, items.itemsize as isize]);
    let dims: *mut Dims = Box::into_raw(dims);
    let only_if = |wanted: bool, place: usize| {
        if wanted { dims.cast::<isize>().wrapping_add(place) } else { ptr::null_mut() }
    };
    view.buf = start_of(raw.ptr.as_ptr(), raw.len).cast();
    view.len = raw.len as isize;
    view.itemsize = items.itemsize as isize;
    view.readonly = items.readonly.into();
    view.ndim = 1;
    view.format = if asked(ffi::PyBUF_FORMAT) { items.format.as_ptr().cast_mut() } else { ptr::null_mut() };
    view.shape = only_if(asked(ffi::PyBUF_ND), 0);
    view.strides = only_if(asked(ffi::PyBUF_STRIDES), 1);
    view.suboffsets = ptr::null_mut();
    view.internal = dims.cast();
    view.obj = owner.into_ptr();
    Ok(())
}

/// `bf_releasebuffer`, as far as the structure goes: frees what [`get_buffer`] put into it.
///
/// # Safety
/// `view` was filled in by [`get_buffer`], or is a copy of one that was, and is released once.
pub unsafe fn release_buffer(view: *mut ffi::Py_buffer) {
    // SAFETY: as the caller promises; nobody but these two functions touches `internal`.
    drop(unsafe { Box::from_raw((*view).internal.cast::<Dims>()) });
}

/// The file behind a descriptor, as a descriptor of its own.
///
/// # Errors
/// If the system refuses: there is no such file.
pub fn file_of(descriptor: RawFd) -> io::Result<File> {
    if descriptor < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is not -1. Whether it is open the system says, which is asked in the same line; the user of a number
    // answers for whose it is.
    Ok(unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?.into())
}
