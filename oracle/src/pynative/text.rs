//! `buflock.Text`: immutable text, which can be locked for reading and exports nothing else, as `str` does not.

use buflock::exporter::{self, Provider};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

use super::locked::{self, Locked};

/// Immutable text.
#[pyclass(frozen, sequence, module = "buflock")]
#[derive(Debug)]
pub struct Text(exporter::Text);

#[pymethods]
impl Text {
    #[new]
    #[pyo3(signature = (text = "", /))]
    fn new(text: &str) -> Self {
        Self(exporter::Text::new(text))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<char> {
        let place = if index < 0 { index + self.0.len() as isize } else { index };
        let character = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        character.and_then(char::from_u32).ok_or_else(|| PyIndexError::new_err("index out of range"))
    }

    fn __str__(&self) -> String {
        (0..self.0.len()).filter_map(|place| char::from_u32(self.0.get(place)?)).collect()
    }

    fn __repr__(&self) -> String {
        format!("Text({:?})", self.__str__())
    }

    /// Bytes per character in memory: 1, 2 or 4.
    #[getter]
    fn width(&self) -> usize {
        self.0.width()
    }

    /// Locks at this moment.
    #[getter]
    fn exports(&self) -> usize {
        self.0.exports()
    }

    /// Locks the memory until it is released (PEP 298).
    #[pyo3(signature = (*, write = false))]
    fn lock(&self, write: bool) -> PyResult<Locked> {
        locked::lock(&Provider::Text(self.0.clone()), write)
    }
}
