//! The iterator over an object: its items one after the other, as they are when they are asked for.

use std::sync::atomic::{AtomicUsize, Ordering};

use buflock::exporter::{self, Closed};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::array;

/// What it is over. A `ByteArray` needs none of its own: it is a sequence as any other.
#[derive(Debug)]
pub enum Source {
    /// Items of an array.
    Array(exporter::Array),
    /// A map, of which the items are `bytes` of one byte.
    Mmap(exporter::Mmap),
}

/// An iterator over an [`Array`](super::Array) or a [`Mmap`](super::Mmap).
#[pyclass(frozen, module = "buflock")]
#[derive(Debug)]
pub struct Items {
    source: Source,
    next: AtomicUsize,
}

/// What `next` is when there are no more items, also if some are added later.
const ENDED: usize = usize::MAX;

impl From<Source> for Items {
    fn from(source: Source) -> Items {
        Items { source, next: AtomicUsize::new(0) }
    }
}

#[pymethods]
impl Items {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let place = self.next.load(Ordering::Relaxed);
        if place == ENDED {
            return Ok(None);
        }
        let bytes = match &self.source {
            Source::Array(array) => {
                let mut item = vec![0; array.code().itemsize()];
                array.operate(|operation| operation.read_item(place, &mut item)).map(|()| item)
            }
            Source::Mmap(map) => {
                let byte = map.operate(|operation| operation.get(place));
                byte.map_err(|Closed| PyValueError::new_err(Closed.to_string()))?.map(|byte| vec![byte])
            }
        };
        self.next.store(if bytes.is_some() { place + 1 } else { ENDED }, Ordering::Relaxed);
        let Some(bytes) = bytes else { return Ok(None) };
        match &self.source {
            Source::Array(array) => array::decode(array.code().code(), py, &bytes),
            Source::Mmap(_) => Ok(PyBytes::new(py, &bytes).into_any().unbind()),
        }
        .map(Some)
    }
}
