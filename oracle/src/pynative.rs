//! This crate's exporters as Python classes: the module `buflock`, and the worked example of a correct exporter.
//!
//! CPython's own memoryview, NumPy and every other consumer use *our* memory through them. What makes them correct is
//! not here but in [`buflock::exporter`]: one lock word per object, which counts exports and holds off whatever would
//! move the memory. Here is how it is wired to Python:
//!
//! | slot | does | see |
//! | --- | --- | --- |
//! | `bf_getbuffer` | refuses what it must, then adds one export, then fills in the structure | `raw_buffer::lend::get_buffer` |
//! | `bf_releasebuffer` | frees what the structure owns, then takes the export away | `raw_buffer::lend::release_buffer` |
//! | any method that resizes | asks for the memory inside of one operation, and gets it only without exports | `pynative::sequence` |
//!
//! The classes need no GIL: they are `frozen`, so that PyO3 adds no lock of its own, and the lock word does the rest.
//! No Python code ever runs while it is held. The interface of PEP 298, which no Python shipped, is [`Locked`].

mod array;
mod byte_array;
mod locked;
mod mmap;
mod sequence;
mod text;

pub use array::Array;
pub use byte_array::ByteArray;
pub use locked::Locked;
pub use mmap::Mmap;
pub use text::Text;

use crate::raw_buffer::lend;
use pyo3::prelude::*;

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
