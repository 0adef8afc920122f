//! `buflock.Array`: resizable items of one type, with the methods of `array.array` that touch memory.

use std::ffi::{CStr, c_int};

use buflock::exporter::{self, Code, Exported, Operation, Provider, TypeCode};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{IntoPyObjectExt, ffi};

use super::lend::{self, Items};
use super::locked::{self, Locked};
use super::sequence::{self, Sequence};

/// Resizable items that any number of threads may use, with a GIL or without.
#[pyclass(frozen, module = "buflock")]
#[derive(Debug)]
pub struct Array(exporter::Array);

/// The format of each type code; half floats, which Rust does not convert, are left out.
const FORMATS: [(char, &CStr); 14] = [
    ('b', c"b"),
    ('B', c"B"),
    ('u', c"w"),
    ('w', c"w"),
    ('h', c"h"),
    ('H', c"H"),
    ('i', c"i"),
    ('I', c"I"),
    ('l', c"l"),
    ('L', c"L"),
    ('q', c"q"),
    ('Q', c"Q"),
    ('f', c"f"),
    ('d', c"d"),
];

/// Conversions between Python's values and native items, one row for each type in C.
macro_rules! natives {
    ($($code:ident $type:ty;)*) => {
        fn encode(code: Code, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
            match code {
                $(Code::$code => Ok(value.extract::<$type>()?.to_ne_bytes().to_vec()),)*
                Code::Wide => Ok(u32::from(value.extract::<char>()?).to_ne_bytes().to_vec()),
                other => unreachable!("no type code has the format {other}"),
            }
        }

        fn decode(code: Code, py: Python<'_>, item: &[u8]) -> PyResult<Py<PyAny>> {
            let whole = "an item has as many bytes as its type";
            match code {
                $(Code::$code => <$type>::from_ne_bytes(item.try_into().expect(whole)).into_py_any(py),)*
                Code::Wide => {
                    let number = u32::from_ne_bytes(item.try_into().expect(whole));
                    let character = char::from_u32(number);
                    let character = character.ok_or_else(|| {
                        PyValueError::new_err(format!("{number:#x} is no character"))
                    })?;
                    character.into_py_any(py)
                }
                other => unreachable!("no type code has the format {other}"),
            }
        }
    };
}

natives! {
    SignedChar i8;
    UnsignedChar u8;
    Short std::ffi::c_short;
    UnsignedShort std::ffi::c_ushort;
    Int std::ffi::c_int;
    UnsignedInt std::ffi::c_uint;
    Long std::ffi::c_long;
    UnsignedLong std::ffi::c_ulong;
    LongLong std::ffi::c_longlong;
    UnsignedLongLong std::ffi::c_ulonglong;
    Float f32;
    Double f64;
}

impl Sequence for Array {
    type Memory = exporter::Items;

    fn itemsize(&self) -> usize {
        self.0.code().itemsize()
    }

    fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_, exporter::Items>) -> R) -> R {
        self.0.operate(f)
    }

    fn splice(
        operation: &mut Operation<'_, exporter::Items>,
        at: usize,
        removed: usize,
        bytes: &[u8],
    ) -> Result<(), Exported> {
        let size = operation.itemsize();
        operation.splice(at / size, removed / size, bytes)
    }

    fn encode(&self, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        encode(self.0.code().code(), value)
    }

    fn decode(&self, py: Python<'_>, item: &[u8]) -> PyResult<Py<PyAny>> {
        decode(self.0.code().code(), py, item)
    }

    /// As `array` does: another array of the same type code, nothing else.
    fn encode_all(&self, values: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        match values.cast::<Self>() {
            Ok(other) if other.get().0.code() == self.0.code() => Ok(sequence::contents(other.get())),
            _ => Err(PyTypeError::new_err("only an Array of the same type code can be assigned to a slice")),
        }
    }
}

impl Array {
    fn encode_each(&self, items: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let mut bytes = Vec::new();
        for item in items.try_iter()? {
            bytes.extend(self.encode(&item?)?);
        }
        Ok(bytes)
    }
}

#[pymethods]
impl Array {
    /// Items of a type code of the module `array`; of `bytes`, the memory itself.
    #[new]
    #[pyo3(signature = (typecode, items = None, /))]
    fn new(typecode: char, items: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let known = FORMATS.iter().any(|(letter, _)| *letter == typecode);
        let code = TypeCode::of_letter(typecode).filter(|_| known).ok_or_else(|| {
            let all: String = FORMATS.iter().map(|(letter, _)| letter).collect();
            PyValueError::new_err(format!("bad typecode (must be one of {all})"))
        })?;
        let own = Self(exporter::Array::new(code, &[]));
        match items {
            None => {}
            Some(bytes) if bytes.is_instance_of::<PyBytes>() => own.frombytes(bytes)?,
            Some(items) => sequence::append(&own, &own.encode_each(items)?)?,
        }
        Ok(own)
    }

    /// The type code.
    #[getter]
    fn typecode(&self) -> char {
        self.0.code().letter()
    }

    /// Bytes per item.
    #[getter(itemsize)]
    fn bytes_per_item(&self) -> usize {
        self.itemsize()
    }

    fn __len__(&self) -> usize {
        sequence::length(self)
    }

    fn __getitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (bytes, slice) = sequence::get(self, key)?;
        if slice {
            Self(exporter::Array::new(self.0.code(), &bytes)).into_py_any(py)
        } else {
            self.decode(py, &bytes)
        }
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::set(self, key, value)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::delete(self, key)
    }

    /// Adds one item at the end.
    fn append(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::append(self, &self.encode(item)?)
    }

    /// Adds many items at the end.
    fn extend(&self, items: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::append(self, &self.encode_each(items)?)
    }

    /// Inserts one item before `index`.
    fn insert(&self, index: isize, item: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::insert(self, index, &self.encode(item)?)
    }

    /// Removes one item and returns it.
    #[pyo3(signature = (index = -1, /))]
    fn pop(&self, py: Python<'_>, index: isize) -> PyResult<Py<PyAny>> {
        self.decode(py, &sequence::pop(self, index)?)
    }

    /// Removes the first item of the same bytes.
    fn remove(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::remove(self, &self.encode(value)?)
    }

    /// Reverses the order of the items in place.
    fn reverse(&self) {
        sequence::reverse(self);
    }

    /// Reverses the bytes of each item in place.
    fn byteswap(&self) {
        self.0.operate(|operation| operation.byteswap());
    }

    /// Adds items at the end, whose memory is given.
    fn frombytes(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = sequence::bytes_of(data)?;
        if !bytes.len().is_multiple_of(self.itemsize()) {
            return Err(PyValueError::new_err("bytes length not a multiple of item size"));
        }
        sequence::append(self, &bytes)
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
        locked::lock(&Provider::Array(self.0.clone()), write)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let items = self.tolist(py)?.into_pyobject(py)?;
        Ok(format!("Array('{}', {})", self.typecode(), items.repr()?))
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let own = slf.get().0.clone();
        let format = FORMATS.iter().find(|(letter, _)| *letter == own.code().letter());
        let (_, format) = format.expect("every type code has a format");
        let items = Items { format, itemsize: own.code().itemsize(), readonly: false };
        // SAFETY: CPython passes a structure to be filled in.
        unsafe { lend::get_buffer(slf.into_any(), view, flags, items, || Ok::<_, PyErr>(own.acquire_raw())) }
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: CPython passes a structure that `__getbuffer__` of this object filled in, once.
        unsafe {
            lend::release_buffer(view);
            self.0.release_raw();
        }
    }
}
