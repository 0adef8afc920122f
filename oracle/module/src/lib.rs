//! The Python module `buflock`. The classes are [`buflock_oracle::pynative`]'s.

use pyo3::prelude::*;

/// Buffer exporters that keep the protocol on any number of threads.
#[pymodule(gil_used = false)]
#[pyo3(name = "buflock")]
fn classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    buflock_oracle::pynative::fill(module)
}
