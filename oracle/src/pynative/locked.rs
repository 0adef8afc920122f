//! `buflock.Locked`: memory that is locked by the interface of PEP 298.

use std::sync::{Mutex, PoisonError};

use buflock::exporter::{Access, LockError, LockedBuffer, Provider};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::sequence;

/// The memory of an object, which cannot move until this is released. Use it in a `with`.
#[pyclass(frozen, sequence, module = "buflock")]
#[derive(Debug)]
pub struct Locked(Mutex<Option<LockedBuffer>>);

/// Locks an object.
///
/// # Errors
/// If it refuses (L2).
pub fn lock(provider: &Provider, write: bool) -> PyResult<Locked> {
    let access = if write { Access::Write } else { Access::Read };
    match provider.lock(access) {
        Ok(buffer) => Ok(Locked(Mutex::new(Some(buffer)))),
        Err(error @ LockError::Closed) => Err(PyValueError::new_err(error.to_string())),
        Err(error) => Err(PyTypeError::new_err(error.to_string())),
    }
}

impl Locked {
    fn with<R>(&self, f: impl FnOnce(&LockedBuffer) -> PyResult<R>) -> PyResult<R> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(held.as_ref().ok_or_else(|| PyValueError::new_err("the lock has been released"))?)
    }
}

#[pymethods]
impl Locked {
    fn __len__(&self) -> PyResult<usize> {
        self.with(|buffer| Ok(buffer.len()))
    }

    /// Whether it was locked for reading only.
    #[getter]
    fn readonly(&self) -> PyResult<bool> {
        self.with(|buffer| Ok(buffer.readonly()))
    }

    /// Where the memory is.
    #[getter]
    fn address(&self) -> PyResult<usize> {
        self.with(|buffer| Ok(buffer.address()))
    }

    /// The bytes, copied.
    fn tobytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.with(|buffer| {
            PyBytes::new_with(py, buffer.len(), |bytes| {
                buffer.read(0, bytes);
                Ok(())
            })
        })
    }

    /// Copies `data` to `offset`.
    fn write(&self, offset: usize, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let held = sequence::hold(data)?;
        let data = held.bytes();
        self.with(|buffer| {
            if buffer.readonly() {
                return Err(PyTypeError::new_err("the object was locked for reading"));
            }
            if offset.checked_add(data.len()).is_none_or(|end| end > buffer.len()) {
                return Err(PyValueError::new_err("the bytes do not fit into the memory"));
            }
            buffer.write(offset, data);
            Ok(())
        })
    }

    /// Unlocks the object; again is harmless.
    fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) {
        self.release();
    }
}
