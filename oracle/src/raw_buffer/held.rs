//! A `Py_buffer` that Python can hold, and the functions of the C API on one: what `program/raw_buffer.py` does by
//! ctypes, without it.
//!
//! The structure is filled with a pattern before each request, so that a field that nobody has written is seen. It stays
//! where it is from the request to the release, because an exporter may let `shape` and `strides` point into it.

use std::ffi::{CStr, CString, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use buflock::exporter::MAX_NDIM;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use pyo3::{PyErr, ffi};

/// What each byte of a structure is before it is filled in.
const PATTERN: u8 = 0xA5;

/// A structure that was filled in, at an address that does not change.
struct Filled(Box<ffi::Py_buffer>);

// SAFETY: the pointers lead to memory that the exporter keeps until the release, and to the exporter, all of which belong
// to the interpreter and not to a thread. Whoever uses them is attached.
unsafe impl Send for Filled {}

impl std::fmt::Debug for Filled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filled").finish_non_exhaustive()
    }
}

/// A `Py_buffer` that is filled in; `None` once it is released.
#[pyclass(frozen, module = "raw_buffer")]
#[derive(Debug)]
pub struct RawBuffer(Mutex<Option<Filled>>);

impl RawBuffer {
    fn take(&self) -> Option<Filled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs `f` on the structure, which no other thread releases meanwhile.
    fn with<R>(&self, f: impl FnOnce(&mut ffi::Py_buffer) -> PyResult<R>) -> PyResult<R> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_mut().ok_or_else(|| PyValueError::new_err("the buffer has been released"))?;
        f(&mut held.0)
    }
}

/// `PyBuffer_Release`, twice: that of a structure whose `obj` is NULL does nothing.
fn release(_: Python<'_>, mut filled: Filled) {
    let buffer: *mut ffi::Py_buffer = &raw mut *filled.0;
    // SAFETY: it was filled in by a request and not released, for it was taken out of its place; the thread is attached.
    unsafe {
        ffi::PyBuffer_Release(buffer);
        assert!((*buffer).obj.is_null(), "PyBuffer_Release leaves obj");
        ffi::PyBuffer_Release(buffer);
    }
}

impl Drop for RawBuffer {
    fn drop(&mut self) {
        if let Some(filled) = self.take() {
            Python::attach(|py| release(py, filled));
        }
    }
}

fn done(py: Python<'_>, status: c_int) -> PyResult<()> {
    if status < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
}

/// The order of items as a character of C.
struct Order(std::ffi::c_char);

impl<'py> FromPyObject<'_, 'py> for Order {
    type Error = PyErr;

    fn extract(text: Borrowed<'_, 'py, PyAny>) -> PyResult<Order> {
        match text.cast::<PyString>()?.to_str()? {
            "C" => Ok(Order(b'C' as std::ffi::c_char)),
            "F" => Ok(Order(b'F' as std::ffi::c_char)),
            "A" => Ok(Order(b'A' as std::ffi::c_char)),
            _ => Err(PyValueError::new_err("an order is C, F or A")),
        }
    }
}

/// A number for each dimension, where C reads as many as there can be.
struct Numbers {
    all: [isize; MAX_NDIM],
    count: usize,
}

impl<'py> FromPyObject<'_, 'py> for Numbers {
    type Error = PyErr;

    fn extract(numbers: Borrowed<'_, 'py, PyAny>) -> PyResult<Numbers> {
        let given = numbers.cast::<PyTuple>()?.extract::<Vec<isize>>()?;
        let mut all = [0; MAX_NDIM];
        all[..given.len()].copy_from_slice(&given);
        Ok(Numbers { all, count: given.len() })
    }
}

/// The numbers of a field of a structure; `None` if it is NULL.
///
/// # Safety
/// `start` is NULL or leads to as many numbers as the structure has dimensions.
unsafe fn dims(py: Python<'_>, start: *const isize, ndim: c_int) -> PyResult<Option<Bound<'_, PyTuple>>> {
    if start.is_null() {
        return Ok(None);
    }
    let count = usize::try_from(ndim).unwrap_or(0).min(MAX_NDIM);
    // SAFETY: the caller vouches for so many.
    PyTuple::new(py, unsafe { std::slice::from_raw_parts(start, count) }).map(Some)
}

/// All fields but `internal`; `buf` is given as what it is counted as. What is NULL is `None`.
fn fields<'py>(py: Python<'py>, buffer: &ffi::Py_buffer, buf: isize) -> PyResult<Bound<'py, PyTuple>> {
    // SAFETY: the structure is filled in: `format` is NULL or a C string, the arrays are NULL or of `ndim` numbers, and
    // `obj` is NULL or a strong reference.
    unsafe {
        let text = (!buffer.format.is_null()).then(|| CStr::from_ptr(buffer.format).to_string_lossy());
        (
            buf,
            Bound::from_borrowed_ptr_or_opt(py, buffer.obj),
            buffer.len,
            buffer.itemsize,
            buffer.readonly != 0,
            buffer.ndim,
            text,
            dims(py, buffer.shape, buffer.ndim)?,
            dims(py, buffer.strides, buffer.ndim)?,
            dims(py, buffer.suboffsets, buffer.ndim)?,
        )
            .into_pyobject(py)
    }
}

/// What is to be seen of a new view, which goes.
///
/// # Safety
/// `view` is a new reference, or NULL with an exception set.
unsafe fn seen(py: Python<'_>, view: *mut ffi::PyObject) -> PyResult<Bound<'_, PyTuple>> {
    // SAFETY: as the caller promises.
    let view = unsafe { Bound::from_owned_ptr_or_err(py, view) }?;
    let names = ["format", "itemsize", "shape", "strides", "readonly", "c_contiguous", "f_contiguous"];
    let mut all = names.into_iter().map(|name| view.getattr(name)).collect::<PyResult<Vec<_>>>()?;
    all.push(view.call_method0("tobytes")?);
    view.call_method0("release")?;
    PyTuple::new(py, all)
}

#[expect(clippy::wrong_self_convention, reason = "they are named after the functions of C")]
#[pymethods]
impl RawBuffer {
    fn release(&self, py: Python<'_>) {
        if let Some(filled) = self.take() {
            release(py, filled);
        }
    }

    fn release_copy(&self, py: Python<'_>) {
        let Some(filled) = self.take() else { return };
        // SAFETY: the structure is plain data, and only the copy is released.
        release(py, Filled(Box::new(unsafe { ptr::read(&raw const *filled.0) })));
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.with(|buffer| {
            let start = super::base(py, buffer.obj) as isize;
            fields(py, buffer, (buffer.buf as isize).wrapping_sub(start))
        })
    }

    fn is_contiguous(&self, order: Order) -> PyResult<bool> {
        // SAFETY: the structure is filled in.
        self.with(|buffer| Ok(unsafe { ffi::PyBuffer_IsContiguous(buffer, order.0) } != 0))
    }

    fn to_contiguous<'py>(&self, py: Python<'py>, order: Order) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|buffer| {
            let length = buffer.len;
            PyBytes::new_with(py, length as usize, |room| {
                // SAFETY: there is room for so many bytes; the structure is filled in, and the thread is attached.
                done(py, unsafe {
                    ffi::PyBuffer_ToContiguous(room.as_mut_ptr().cast(), buffer, length, order.0)
                })
            })
        })
    }

    fn from_contiguous(&self, py: Python<'_>, block: &Bound<'_, PyBytes>, order: Order) -> PyResult<()> {
        self.with(|buffer| {
            let block = block.as_bytes();
            let (start, length) = (block.as_ptr().cast_mut().cast(), block.len() as isize);
            // SAFETY: so many bytes are read, and no more than the structure has are written. That it may be written and
            // has strides if it needs them the model has found out, which leaves the step out if not.
            done(py, unsafe { ffi::PyBuffer_FromContiguous(buffer, start, length, order.0) })
        })
    }

    fn get_pointer(&self, indices: Numbers) -> PyResult<isize> {
        self.with(|buffer| {
            // SAFETY: there is a number for each dimension. That there are strides the model has found out. Without
            // suboffsets no memory is looked at.
            let pointer = unsafe { ffi::PyBuffer_GetPointer(buffer, indices.all.as_ptr().cast_mut()) };
            Ok((pointer as isize).wrapping_sub(buffer.buf as isize))
        })
    }

    fn from_buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        // SAFETY: the structure is filled in and outlives the view, which goes at once; the thread is attached.
        self.with(|buffer| unsafe { seen(py, ffi::PyMemoryView_FromBuffer(buffer)) })
    }

    fn from_memory<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.with(|buffer| {
            let kind = if buffer.readonly != 0 { ffi::PyBUF_READ } else { ffi::PyBUF_WRITE };
            // SAFETY: so many bytes lie there side by side, which the model has found out, and outlive the view, which
            // goes at once; the thread is attached.
            unsafe { seen(py, ffi::PyMemoryView_FromMemory(buffer.buf.cast(), buffer.len, kind)) }
        })
    }
}

/// `PyObject_GetBuffer`, and what it must leave behind when it fails (G2) and when it does not (G1).
#[pyfunction]
fn get_buffer(py: Python<'_>, object: &Bound<'_, PyAny>, flags: c_int) -> PyResult<RawBuffer> {
    let mut room = Box::new(MaybeUninit::<ffi::Py_buffer>::uninit());
    // SAFETY: the room is as large as it is, and any bytes are a `Py_buffer`: pointers and numbers.
    let mut buffer = unsafe {
        ptr::write_bytes(room.as_mut_ptr(), PATTERN, 1);
        room.assume_init()
    };
    // SAFETY: the object lives, and the thread is attached.
    let (references, exports) =
        unsafe { (ffi::Py_REFCNT(object.as_ptr()), ffi::PyObject_CheckBuffer(object.as_ptr()) != 0) };
    // SAFETY: the object lives, the structure may be written, and the thread is attached.
    if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *buffer, flags) } < 0 {
        let error = PyErr::fetch(py);
        let owes = exports && ![ffi::PyBUF_READ, ffi::PyBUF_WRITE].contains(&flags);
        return Err(if owes && !buffer.obj.is_null() {
            PyRuntimeError::new_err("the request failed, and obj of the Py_buffer is not NULL")
        } else if added(object, references).is_some_and(|added| added > 0) {
            PyRuntimeError::new_err("the request failed, and a reference to the object is left")
        } else {
            error
        });
    }
    let forgotten = |pointer: *const std::ffi::c_void| pointer as usize == usize::from_ne_bytes([PATTERN; 8]);
    let pointers = [buffer.buf.cast_const(), buffer.obj.cast(), buffer.format.cast(), buffer.shape.cast()];
    let more = [buffer.strides.cast::<std::ffi::c_void>().cast_const(), buffer.suboffsets.cast()];
    if pointers.into_iter().chain(more).any(forgotten) || !(0..=64).contains(&buffer.ndim) {
        // It is not released: nobody knows what that would do.
        return Err(PyRuntimeError::new_err("a field of the Py_buffer is not filled in"));
    }
    let one_more = || added(object, references).is_none_or(|added| added == 1);
    let counted = buffer.obj != object.as_ptr() || is_immortal(object) || one_more();
    let held = RawBuffer(Mutex::new(Some(Filled(buffer))));
    if counted { Ok(held) } else { Err(PyRuntimeError::new_err("obj of the Py_buffer is no new reference")) }
}

/// How many references to an object there are more than before; `None` where other threads may have counted meanwhile.
fn added(object: &Bound<'_, PyAny>, before: isize) -> Option<isize> {
    // SAFETY: the object lives, and the thread is attached.
    let found = unsafe { ffi::Py_REFCNT(object.as_ptr()) };
    (!cfg!(Py_GIL_DISABLED)).then(|| found.wrapping_sub(before))
}

/// Whether the references to an object are not counted.
fn is_immortal(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object lives, and the thread is attached; what is added is taken away.
    unsafe {
        let before = ffi::Py_REFCNT(object.as_ptr());
        ffi::Py_INCREF(object.as_ptr());
        let same = ffi::Py_REFCNT(object.as_ptr()) == before;
        ffi::Py_DECREF(object.as_ptr());
        same
    }
}

/// `PyObject_CopyData`
#[pyfunction]
fn copy_data(py: Python<'_>, into: &Bound<'_, PyAny>, block: &Bound<'_, PyBytes>) -> PyResult<()> {
    // SAFETY: both live, and the thread is attached. That no index leads out of the destination the model has found out.
    done(py, unsafe { ffi::PyObject_CopyData(into.as_ptr(), block.as_ptr()) })
}

/// `PyMemoryView_GetContiguous`
#[pyfunction]
fn contiguous_view<'py>(
    object: &Bound<'py, PyAny>,
    kind: c_int,
    order: Order,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the object lives, and the thread is attached; the result is a new reference, or NULL with an exception set.
    unsafe {
        let view = ffi::PyMemoryView_GetContiguous(object.as_ptr(), kind, order.0);
        Bound::from_owned_ptr_or_err(object.py(), view)
    }
}

/// `PyBuffer_FillContiguousStrides`
#[pyfunction]
fn contiguous_strides(
    py: Python<'_>,
    mut shape: Numbers,
    itemsize: c_int,
    order: Order,
) -> PyResult<Bound<'_, PyTuple>> {
    let mut strides = shape.all;
    let count = shape.count as c_int;
    // SAFETY: both have room for so many numbers.
    unsafe {
        let (shape, strides) = (shape.all.as_mut_ptr(), strides.as_mut_ptr());
        ffi::PyBuffer_FillContiguousStrides(count, shape, strides, itemsize, order.0);
    }
    PyTuple::new(py, &strides[..shape.count])
}

/// `PyBuffer_FillInfo` of a block that no object owns.
#[pyfunction]
fn fill_info<'py>(
    py: Python<'py>,
    block: &Bound<'py, PyBytes>,
    readonly: c_int,
    flags: c_int,
) -> PyResult<Bound<'py, PyTuple>> {
    let mut buffer = ffi::Py_buffer::new();
    let (start, length) = (block.as_bytes().as_ptr().cast_mut().cast(), block.as_bytes().len() as isize);
    // SAFETY: the structure may be written, and the address is not followed.
    done(py, unsafe {
        let readonly = c_int::from(readonly != 0);
        ffi::PyBuffer_FillInfo(&raw mut buffer, ptr::null_mut(), start, length, readonly, flags)
    })?;
    let start = start as isize;
    fields(py, &buffer, (buffer.buf as isize).wrapping_sub(start))
}

/// `PyBuffer_SizeFromFormat`
#[pyfunction]
fn size_from_format(py: Python<'_>, format: &Bound<'_, PyString>) -> PyResult<isize> {
    let format = CString::new(format.to_str()?).map_err(|_| PyTypeError::new_err("a format has no zero"))?;
    // SAFETY: it is a C string, and the thread is attached.
    match unsafe { ffi::PyBuffer_SizeFromFormat(format.as_ptr()) } {
        -1 => Err(PyErr::fetch(py)),
        size => Ok(size),
    }
}

/// The functions, as a module.
///
/// # Errors
/// If Python cannot make it.
pub fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let module = PyModule::new(py, "raw_buffer")?;
    module.add_function(wrap_pyfunction!(get_buffer, &module)?)?;
    module.add_function(wrap_pyfunction!(copy_data, &module)?)?;
    module.add_function(wrap_pyfunction!(contiguous_view, &module)?)?;
    module.add_function(wrap_pyfunction!(contiguous_strides, &module)?)?;
    module.add_function(wrap_pyfunction!(fill_info, &module)?)?;
    module.add_function(wrap_pyfunction!(size_from_format, &module)?)?;
    Ok(module)
}
