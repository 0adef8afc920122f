//! `buflock.ByteArray`: resizable bytes, with the methods of `bytearray` that touch memory.

use std::ffi::c_int;

use buflock::exporter::{self, Exported, Operation, Provider};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyBytes, PyInt, PyTuple};
use pyo3::{IntoPyObjectExt, ffi};

use super::lend;
use super::locked::{self, Locked};
use super::sequence::{self, Sequence};

/// Resizable bytes that any number of threads may use, with a GIL or without.
#[pyclass(frozen, sequence, module = "buflock")]
#[derive(Debug)]
pub struct ByteArray(pub(super) exporter::ByteArray);

impl Sequence for ByteArray {
    type Memory = Vec<u8>;
    const VALUE_FIRST: bool = cfg!(Py_3_10);
    const STRICT: bool = false;
    // From 3.15 on the memory of CPython's is that of a `bytes`, with its header.
    const LONGEST: usize = isize::MAX as usize - if cfg!(Py_3_15) { 33 } else { 0 };

    fn itemsize(&self) -> usize {
        1
    }

    fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_>) -> R) -> R {
        self.0.operate(f)
    }

    fn splice(
        operation: &mut Operation<'_>,
        at: usize,
        removed: usize,
        bytes: &[u8],
    ) -> Result<(), Exported> {
        operation.resize()?.splice(at..at + removed, bytes.iter().copied());
        Ok(())
    }

    fn encode(&self, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        value.extract::<u8>().map(|byte| vec![byte]).map_err(|error| {
            let too_large = error.is_instance_of::<PyOverflowError>(value.py());
            if too_large { PyValueError::new_err("byte must be in range(0, 256)") } else { error }
        })
    }

    fn decode(&self, py: Python<'_>, item: &[u8]) -> PyResult<Py<PyAny>> {
        item[0].into_py_any(py)
    }

    fn encode_all(&self, values: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        sequence::bytes_of(values)
    }
}

#[pymethods]
impl ByteArray {
    /// Zeros if `source` is a number, else its bytes.
    #[new]
    #[pyo3(signature = (*source))]
    fn new(source: &Bound<'_, PyTuple>) -> PyResult<Self> {
        if source.len() > 1 {
            return Err(PyTypeError::new_err("ByteArray is made of one object at most"));
        }
        let bytes = match source.iter().next() {
            None => Vec::new(),
            Some(number) if number.is_instance_of::<PyInt>() => {
                let length: isize = number.extract()?;
                let length = usize::try_from(length).map_err(|_| PyValueError::new_err("negative count"))?;
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(length).map_err(|_| sequence::no_memory(length))?;
                bytes.resize(length, 0);
                bytes
            }
            Some(source) => sequence::bytes_of(&source)?,
        };
        Ok(Self(exporter::ByteArray::new(bytes)))
    }

    fn __len__(&self) -> usize {
        sequence::length(self)
    }

    fn __getitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (bytes, slice) = sequence::get(self, key)?;
        if slice { Self(exporter::ByteArray::new(bytes)).into_py_any(py) } else { self.decode(py, &bytes) }
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::set(self, key, value)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::delete(self, key)
    }

    /// Adds one byte at the end.
    fn append(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::append(self, &self.encode(item)?)
    }

    /// Adds many bytes at the end. While it grows, it holds their buffer, if they have one and are not its own.
    fn extend(slf: &Bound<'_, Self>, items: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, own) = (slf.py(), slf.get());
        if items.is(slf) {
            return sequence::append(own, &sequence::contents(own));
        }
        match sequence::hold(items) {
            Ok(held) => sequence::append(own, held.bytes()),
            Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                sequence::append(own, &sequence::bytes_of(items.try_iter()?.as_any())?)
            }
            Err(_) => Err(PyTypeError::new_err("the memory of this object cannot be used")),
        }
    }

    /// `+=`, which takes buffers only, and of its own memory nothing: that is exported meanwhile.
    fn __iadd__(&self, other: &Bound<'_, PyAny>) -> PyResult<()> {
        let held = sequence::hold(other).map_err(|error| PyTypeError::new_err(error.to_string()))?;
        sequence::append(self, held.bytes())
    }

    /// `*=`
    fn __imul__(&self, times: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::repeat(self, times)
    }

    /// By its bytes with whatever has a buffer of one block.
    fn __richcmp__(&self, other: &Bound<'_, PyAny>, comparison: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        match sequence::hold(other) {
            Ok(held) => {
                let order = sequence::contents(self).as_slice().cmp(held.bytes());
                comparison.matches(order).into_py_any(py)
            }
            Err(_) => Ok(py.NotImplemented()),
        }
    }

    /// Inserts one byte before `index`.
    fn insert(&self, index: isize, item: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::insert(self, index, &self.encode(item)?)
    }

    /// Removes one byte and returns it.
    #[pyo3(signature = (index = -1, /))]
    fn pop(&self, py: Python<'_>, index: isize) -> PyResult<Py<PyAny>> {
        sequence::pop(self, py, index)
    }

    /// Removes the first byte of this value.
    fn remove(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::remove(self, &self.encode(value)?)
    }

    /// Removes all bytes. Where there are none, exports do not hinder it.
    fn clear(&self) -> PyResult<()> {
        self.resize(0)
    }

    /// Reverses the bytes in place.
    fn reverse(&self) {
        sequence::reverse(self);
    }

    /// Cuts the end off, or adds zeros. To have as many bytes as before is no resize.
    fn resize(&self, size: isize) -> PyResult<()> {
        let size = usize::try_from(size).map_err(|_| PyValueError::new_err("size must not be negative"))?;
        self.0.operate(|operation| {
            if operation.len() == size {
                return Ok(());
            }
            let bytes = operation.resize().map_err(sequence::exported)?;
            bytes.try_reserve(size.saturating_sub(bytes.len())).map_err(|_| sequence::no_memory(size))?;
            bytes.resize(size, 0);
            Ok(())
        })
    }

    /// Another object of the same bytes.
    fn copy(&self) -> Self {
        Self(exporter::ByteArray::new(sequence::contents(self)))
    }

    /// The bytes, copied.
    fn tobytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &sequence::contents(self))
    }

    /// The items.
    fn tolist(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        sequence::list(self, py)
    }

    /// Exports and locks at this moment.
    #[getter]
    fn exports(&self) -> usize {
        self.0.exports()
    }

    /// Locks the memory until it is released (PEP 298).
    #[pyo3(signature = (*, write = false))]
    fn lock(&self, write: bool) -> PyResult<Locked> {
        locked::lock(&Provider::ByteArray(self.0.clone()), write)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("ByteArray({})", self.tobytes(py).repr()?))
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let own = slf.get().0.clone().into();
        // SAFETY: CPython passes a structure to be filled in.
        unsafe { lend::get_buffer(slf.into_any(), view, flags, &own) }
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: CPython passes a structure that `__getbuffer__` of this object filled in, once.
        unsafe { lend::release_buffer(view) };
    }
}
