//! `buflock.Mmap`: pages of a file or of none. What may happen to a map that is closed while it is exported, PEP 298
//! leaves open; here the caller chooses (S4).

use std::ffi::c_int;

use buflock::exporter::{self, Closed, Closing, MapError, Mapping, Provider};
use pyo3::exceptions::{PyIndexError, PyOSError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::lend::{self, Items};
use super::locked::{self, Locked};
use super::sequence;

/// A map that any number of threads may use, with a GIL or without.
#[pyclass(frozen, module = "buflock")]
#[derive(Debug)]
pub struct Mmap(exporter::Mmap);

fn closed(closed: Closed) -> PyErr {
    PyValueError::new_err(closed.to_string())
}

fn refused(error: MapError) -> PyErr {
    let text = error.to_string();
    match error {
        MapError::Exported(exports) => sequence::exported(exports),
        MapError::Closed | MapError::BeyondFile | MapError::OutOfRange | MapError::CannotGrow => {
            PyValueError::new_err(text)
        }
        MapError::Empty => PyValueError::new_err(text),
        MapError::NotResizable => PyTypeError::new_err(text),
        MapError::System(number) => PyOSError::new_err((number, text)),
    }
}

#[pymethods]
impl Mmap {
    /// Maps `length` bytes of a file, all of it if `length` is 0; memory without a file if `fileno` is -1. `access` is
    /// `"write"`, `"read"` or `"copy"`.
    #[new]
    #[pyo3(signature = (fileno, length, *, access = "write", offset = 0))]
    fn new(fileno: c_int, length: usize, access: &str, offset: u64) -> PyResult<Self> {
        let mapping = match access {
            "write" => Mapping::WRITE,
            "read" => Mapping::READ,
            "copy" => Mapping::COPY,
            _ => return Err(PyValueError::new_err("access is \"write\", \"read\" or \"copy\"")),
        };
        let map = if fileno == -1 {
            exporter::Mmap::anonymous(length, mapping)
        } else {
            let file = lend::file_of(fileno)?;
            exporter::Mmap::of_file(&file, offset, (length != 0).then_some(length), mapping)
        };
        map.map(Self).map_err(refused)
    }

    fn __len__(&self) -> PyResult<usize> {
        self.0.operate(|operation| operation.len()).map_err(closed)
    }

    fn __getitem__(&self, index: isize) -> PyResult<u8> {
        self.0
            .operate(|operation| {
                let place = if index < 0 { index + operation.len() as isize } else { index };
                usize::try_from(place).ok().and_then(|place| operation.get(place))
            })
            .map_err(closed)?
            .ok_or_else(|| PyIndexError::new_err("mmap index out of range"))
    }

    /// Copies `length` bytes out, from `offset` on.
    fn read<'py>(&self, py: Python<'py>, offset: usize, length: usize) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self
            .0
            .operate(|operation| {
                // Nobody makes room for what cannot be there.
                let there = offset.checked_add(length).is_some_and(|end| end <= operation.len());
                let mut bytes = vec![0; if there { length } else { 0 }];
                (there && operation.read(offset, 1, &mut bytes).is_some()).then_some(bytes)
            })
            .map_err(closed)?;
        bytes.map(|bytes| PyBytes::new(py, &bytes)).ok_or_else(|| refused(MapError::OutOfRange))
    }

    /// Copies `data` to `offset`.
    fn write(&self, offset: usize, data: &[u8]) -> PyResult<()> {
        if self.0.mapping() == Mapping::READ {
            return Err(PyTypeError::new_err("mmap can't modify a readonly memory map."));
        }
        let written = self.0.operate(|operation| operation.write(offset, 1, data)).map_err(closed)?;
        written.ok_or_else(|| refused(MapError::OutOfRange))
    }

    /// Changes the length of the map and of its file.
    fn resize(&self, length: usize) -> PyResult<()> {
        self.0.operate(|operation| operation.remap(length)).map_err(closed)?.map_err(refused)
    }

    /// Writes everything back to the file.
    fn flush(&self) -> PyResult<()> {
        let flush =
            |operation: &mut exporter::Operation<'_, exporter::Map>| operation.flush(0, operation.len());
        self.0.operate(flush).map_err(closed)?.map_err(refused)
    }

    /// Closes the map. While exports exist, that raises `BufferError`; with `wait`, it takes effect at once, and the
    /// memory goes with the last export.
    #[pyo3(signature = (*, wait = false))]
    fn close(&self, wait: bool) -> PyResult<()> {
        let closing = if wait { Closing::Wait } else { Closing::Refuse };
        self.0
            .close(closing)
            .map_err(|_| pyo3::exceptions::PyBufferError::new_err("cannot close exported pointers exist"))
    }

    /// Whether it has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Exports and locks at this moment.
    #[getter]
    fn exports(&self) -> usize {
        self.0.exports()
    }

    /// Locks the memory until it is released (PEP 298).
    #[pyo3(signature = (*, write = false))]
    fn lock(&self, write: bool) -> PyResult<Locked> {
        locked::lock(&Provider::Mmap(self.0.clone()), write)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(false)
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let own = slf.get().0.clone();
        let items = Items { format: c"B", itemsize: 1, readonly: own.mapping() == Mapping::READ };
        // SAFETY: CPython passes a structure to be filled in.
        unsafe { lend::get_buffer(slf.into_any(), view, flags, items, || own.acquire_raw().map_err(closed)) }
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: CPython passes a structure that `__getbuffer__` of this object filled in, once.
        unsafe {
            lend::release_buffer(view);
            self.0.release_raw();
        }
    }
}
