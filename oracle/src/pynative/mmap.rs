//! `buflock.Mmap`: pages of a file or of none. What may happen to a map that is closed while it is exported, PEP 298
//! leaves open; here the caller chooses (S4).

use std::ffi::c_int;

use buflock::exporter::{self, Closed, Closing, MapError, Mapping, Provider};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3::{IntoPyObjectExt, ffi};

use super::items::{Items, Source};
use super::lend;
use super::locked::{self, Locked};
use super::sequence::{self, Key};

/// A map that any number of threads may use, with a GIL or without.
#[pyclass(frozen, sequence, module = "buflock")]
#[derive(Debug)]
pub struct Mmap(pub(super) exporter::Mmap);

fn closed(closed: Closed) -> PyErr {
    PyValueError::new_err(closed.to_string())
}

/// What the system says of a map of no bytes.
const EINVAL: i32 = 22;
/// What it says where a map cannot grow.
const ENOMEM: i32 = 12;

/// Whether this Python lets no shared map without a file grow, not even within its last page (gh-138204).
fn never_grows(py: Python<'_>) -> bool {
    let info = py.version_info();
    match info.minor {
        13 => info.patch >= 8,
        14 => info.patch >= 1,
        minor => minor > 14,
    }
}

fn refused(error: MapError) -> PyErr {
    let text = error.to_string();
    match error {
        MapError::Exported(exports) => sequence::exported(exports),
        MapError::Closed | MapError::BeyondFile | MapError::OutOfRange | MapError::CannotGrow => {
            PyValueError::new_err(text)
        }
        MapError::Empty => PyOSError::new_err((EINVAL, text)),
        MapError::NotResizable => PyTypeError::new_err(text),
        MapError::System(number) => PyOSError::new_err((number, text)),
    }
}

impl Mmap {
    /// All the bytes, copied.
    fn contents(&self) -> PyResult<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.operate(|operation| operation.copy_to(&mut bytes)).map_err(closed)?;
        Ok(bytes)
    }

    fn check_open(&self) -> PyResult<()> {
        self.0.operate(|_| ()).map_err(closed)
    }

    /// Reads an argument of an open map. Before 3.14 a closed one does not look at it.
    fn argument<'py, A, R>(
        &self,
        argument: &Bound<'py, A>,
        read: impl FnOnce(&Bound<'py, A>) -> PyResult<R>,
    ) -> PyResult<R> {
        if !cfg!(Py_3_14) {
            self.check_open()?;
        }
        let read = read(argument)?;
        self.check_open().map(|()| read)
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

    fn __getitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let bytes = self.contents()?;
        match sequence::resolve(key, bytes.len())? {
            Key::Item(place) => bytes[place].into_py_any(py),
            Key::Slice(places) => {
                let part: Vec<u8> = places.all().map(|place| bytes[place]).collect();
                Ok(PyBytes::new(py, &part).into_any().unbind())
            }
        }
    }

    fn __iter__(&self) -> Items {
        Source::Mmap(self.0.clone()).into()
    }

    /// Reads on from where the map stands: so many bytes, or all that are left.
    #[pyo3(signature = (*count))]
    fn read<'py>(&self, py: Python<'py>, count: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = self.argument(count, |count| match count.iter().next() {
            _ if count.len() > 1 => Err(PyTypeError::new_err("read takes one number at most")),
            Some(number) if !number.is_none() => {
                number.extract::<isize>().map(|wanted| usize::try_from(wanted).ok())
            }
            _ => Ok(None),
        })?;
        let (bytes, start) = (self.contents()?, self.0.cursor());
        let rest = &bytes[start.min(bytes.len())..];
        let part = &rest[..wanted.map_or(rest.len(), |wanted| wanted.min(rest.len()))];
        self.0.set_cursor(start + part.len());
        Ok(PyBytes::new(py, part))
    }

    /// Writes to where the map stands, and says how many bytes.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let held = self.argument(data, sequence::hold)?;
        if self.0.mapping().readonly {
            return Err(PyTypeError::new_err("mmap can't modify a readonly memory map."));
        }
        let (start, bytes) = (self.0.cursor(), held.bytes());
        let write = |operation: &mut exporter::Operation<'_, exporter::Map>| {
            let rest = operation.len().checked_sub(start)?;
            (bytes.len() <= rest).then(|| operation.write(start, 1, bytes).expect("there is room"))
        };
        self.0.operate(write).map_err(closed)?.ok_or_else(|| refused(MapError::OutOfRange))?;
        self.0.set_cursor(start + bytes.len());
        Ok(bytes.len())
    }

    /// Where the map stands.
    fn tell(&self) -> PyResult<usize> {
        self.0.operate(|_| self.0.cursor()).map_err(closed)
    }

    /// Changes the length of the map and of its file.
    fn resize(&self, length: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, length) = (length.py(), self.argument(length, |length| length.extract::<isize>())?);
        let (mapping, never_grows) = (self.0.mapping(), never_grows(py));
        let resize = |operation: &mut exporter::Operation<'_, exporter::Map>| {
            operation.check_alone()?;
            let length = usize::try_from(length).unwrap_or(0);
            let grows = length > operation.len() && mapping.shared && !mapping.fixed;
            if grows && never_grows && operation.file_length().is_none() {
                return Err(MapError::CannotGrow);
            }
            operation.remap(length)
        };
        match self.0.operate(resize).map_err(closed)? {
            Err(MapError::Empty) if length < 0 => Err(PyValueError::new_err("new size out of range")),
            Err(MapError::CannotGrow) if !never_grows => Err(refused(MapError::System(ENOMEM))),
            other => other.map_err(refused),
        }
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

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().check_open().map(|()| slf)
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
        let own = slf.get().0.clone().into();
        // SAFETY: CPython passes a structure to be filled in.
        unsafe { lend::get_buffer(slf.into_any(), view, flags, &own) }
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: CPython passes a structure that `__getbuffer__` of this object filled in, once.
        unsafe { lend::release_buffer(view) };
    }
}
