//! This crate's exporters as Python classes: the module `buflock`, and the worked example of a correct exporter.
//!
//! CPython's own memoryview, NumPy and every other consumer use *our* memory through them. What makes them correct is
//! not here but in [`buflock::exporter`]: one lock word per object, which counts exports and holds off whatever would
//! move the memory. Here is how it is wired to Python:
//!
//! | slot | does | see |
//! | --- | --- | --- |
//! | `bf_getbuffer` | adds one export, gives it back if the request cannot be met, else fills in the structure | `raw_buffer::lend::get_buffer` |
//! | `bf_releasebuffer` | takes the export away, and frees what the structure owns | `raw_buffer::lend::release_buffer` |
//! | any method that resizes | asks for the memory inside of one operation, and gets it only without exports | `pynative::sequence` |
//!
//! The classes need no GIL: they are `frozen`, so that PyO3 adds no lock of its own, and the lock word does the rest. And
//! they are each a `sequence`, or else the C API would not find their length where it looks for that of a sequence.
//! No Python code ever runs while it is held. The interface of PEP 298, which no Python shipped, is [`Locked`].

mod array;
mod byte_array;
mod items;
mod locked;
mod mmap;
mod sequence;
mod text;

pub use array::Array;
pub use byte_array::ByteArray;
pub use locked::Locked;
pub use mmap::Mmap;
pub use text::Text;

use buflock::exporter::Provider;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::raw_buffer::lend;

/// Adds the classes to a module.
///
/// # Errors
/// If Python cannot make them.
pub fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ByteArray>()?;
    module.add_class::<Array>()?;
    module.add_class::<Mmap>()?;
    module.add_class::<Text>()?;
    module.add_class::<Locked>()?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}

/// The exporter in an object, if it is one of those that export or are locked.
pub fn provider(object: &Bound<'_, PyAny>) -> Option<Provider> {
    if let Ok(array) = object.cast_exact::<ByteArray>() {
        Some(array.get().0.clone().into())
    } else if let Ok(array) = object.cast_exact::<Array>() {
        Some(array.get().0.clone().into())
    } else if let Ok(map) = object.cast_exact::<Mmap>() {
        Some(map.get().0.clone().into())
    } else if let Ok(text) = object.cast_exact::<Text>() {
        Some(text.get().0.clone().into())
    } else {
        None
    }
}

/// An object of the class that exports so; of bytes, Python's own.
///
/// # Errors
/// If Python cannot make one.
///
/// # Panics
/// If no class exports so.
pub fn object(py: Python<'_>, exporter: Provider) -> PyResult<Py<PyAny>> {
    match exporter {
        Provider::Bytes(bytes) => Ok(PyBytes::new(py, bytes.as_slice()).into_any().unbind()),
        Provider::ByteArray(array) => ByteArray(array).into_py_any(py),
        Provider::Array(array) => Array(array).into_py_any(py),
        Provider::Mmap(map) => Mmap(map).into_py_any(py),
        Provider::Text(text) => Text(text).into_py_any(py),
        other => unreachable!("{} is of no class here", other.name()),
    }
}
