//! What an exporter answers to `PyObject_GetBuffer` and `PyBuffer_Release`: the two slots of the protocol.
//!
//! The order is what matters. The export is acquired first, so that nothing moves or changes under what is told of it
//! (G4); if it cannot be lent as it is asked for, it is given back (G2); then the structure is filled in, which cannot
//! fail (G1). What can be lent, and in which order it is refused, says [`Export::answer`]. Shape and strides lie in memory
//! of their own, which `internal` owns together with the export: the consumer may release a *copy* of the structure (G6),
//! so no pointer leads into the structure.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;

use buflock::exporter::{Answer, Dims, Export, Provider, Request};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::{Bound, PyAny, PyResult, ffi};

/// What a consumer holds, which `internal` owns.
struct Held {
    answer: Answer,
    export: Export,
}

/// What is shown of memory that has no bytes.
static NOTHING: [u64; 2] = [0; 2];

/// Where memory begins, to a consumer. Where there are no bytes Rust has no more than an aligned number, a small one, from
/// which a slice backwards comes to NULL; consumers take that for an error. `array.array` has a place for the same.
pub fn start_of(start: *mut u8, len: usize) -> *mut u8 {
    if len == 0 { NOTHING.as_ptr().cast_mut().cast() } else { start }
}

/// `bf_getbuffer`: acquires an export and fills in `view` with what it answers.
///
/// # Errors
/// If the exporter gives no export, or that cannot be lent as it is asked for. Then none is left, and `view->obj` is NULL
/// (G2).
///
/// # Safety
/// `view` is NULL or valid for writes, as CPython passes it.
pub unsafe fn get_buffer(
    owner: Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
    exporter: &Provider,
) -> PyResult<()> {
    // SAFETY: the caller gives a pointer that may be written to, or NULL.
    let Some(view) = (unsafe { view.as_mut() }) else {
        return Err(PyBufferError::new_err("there is no Py_buffer to fill in"));
    };
    view.obj = ptr::null_mut();
    let export = exporter.export().map_err(|error| PyValueError::new_err(error.to_string()))?;
    let answer = match export.answer(Request(flags)) {
        Ok(answer) => answer,
        Err(refused) => {
            export.abandon();
            return Err(PyBufferError::new_err(refused.to_string()));
        }
    };
    let held = Box::into_raw(Box::new(Held { answer, export }));
    // SAFETY: it was made here, and lives until `release_buffer` frees it.
    let Held { answer, export } = unsafe { &*held };
    let dims = |dims: &Option<Dims>| dims.as_ref().map_or(ptr::null_mut(), |dims| dims.as_ptr().cast_mut());
    let block = export.raw();
    view.buf = start_of(block.ptr.as_ptr(), block.len).wrapping_offset(answer.offset).cast();
    view.len = answer.len as isize;
    view.itemsize = answer.itemsize as isize;
    view.readonly = answer.readonly.into();
    view.ndim = answer.ndim as c_int;
    view.format = answer.format.map_or(ptr::null_mut(), |format| format.code.as_c_str().as_ptr().cast_mut());
    view.shape = dims(&answer.shape);
    view.strides = dims(&answer.strides);
    view.suboffsets = ptr::null_mut();
    view.internal = held.cast();
    view.obj = owner.into_ptr();
    Ok(())
}

/// `bf_releasebuffer`: frees what [`get_buffer`] put into the structure, and gives the export back.
///
/// # Safety
/// `view` was filled in by [`get_buffer`], or is a copy of one that was, and is released once.
pub unsafe fn release_buffer(view: *mut ffi::Py_buffer) {
    // SAFETY: as the caller promises; nobody but these two functions touches `internal`.
    drop(unsafe { Box::from_raw((*view).internal.cast::<Held>()) });
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
