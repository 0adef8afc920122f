//! `buflock.Text`: immutable text, which can be locked for reading and exports nothing else, as `str` does not.

use buflock::exporter::{self, Provider};
use pyo3::prelude::*;

use super::locked::{self, Locked};
use super::sequence::{self, Key};

/// Immutable text.
#[pyclass(frozen, sequence, module = "buflock")]
#[derive(Debug)]
pub struct Text(pub(super) exporter::Text);

impl Text {
    /// The characters at these places.
    fn at(&self, places: impl IntoIterator<Item = usize>) -> String {
        places.into_iter().filter_map(|place| char::from_u32(self.0.get(place)?)).collect()
    }
}

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

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<String> {
        Ok(match sequence::resolve(key, self.0.len())? {
            Key::Item(place) => self.at([place]),
            Key::Slice(places) => self.at(places.all()),
        })
    }

    fn __str__(&self) -> String {
        self.at(0..self.0.len())
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
