//! `buflock.Array`: resizable items of one type, with the methods of `array.array` that touch memory.

use std::ffi::{CStr, c_int};

use buflock::exporter::{self, Code, Exported, Operation, Provider, TypeCode};
use pyo3::exceptions::{PyEOFError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyBytes, PyComplex, PyComplexMethods, PyString};
use pyo3::{IntoPyObjectExt, ffi};

use super::items::{self, Source};
use super::lend;
use super::locked::{self, Locked};
use super::sequence::{self, Sequence};

/// Resizable items that any number of threads may use, with a GIL or without.
#[pyclass(frozen, sequence, module = "buflock")]
#[derive(Debug)]
pub struct Array(pub(super) exporter::Array);

/// Conversions between Python's values and native items, one row for each type in C.
macro_rules! natives {
    ($($code:ident $type:ty;)*) => {
        fn encode(code: Code, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
            match code {
                $(Code::$code => Ok(value.extract::<$type>()?.to_ne_bytes().to_vec()),)*
                Code::Wide => encode_character(value),
                // Rust does not convert half floats. To `array` they are a `float` of C first.
                Code::Half => {
                    let float = f64::from(value.extract::<f64>()? as f32);
                    value.py().import("struct")?.call_method1("pack", ("=e", float))?.extract()
                }
                Code::FloatComplex => {
                    Ok(parts(value)?.map(|part| (part as f32).to_ne_bytes()).concat())
                }
                Code::DoubleComplex => Ok(parts(value)?.map(f64::to_ne_bytes).concat()),
                other => unreachable!("no type code has the format {other}"),
            }
        }

        /// The value of an item.
        pub(super) fn decode(code: Code, py: Python<'_>, item: &[u8]) -> PyResult<Py<PyAny>> {
            let whole = "an item has as many bytes as its type";
            match code {
                $(Code::$code => <$type>::from_ne_bytes(item.try_into().expect(whole)).into_py_any(py),)*
                Code::Wide => decode_character(py, item),
                Code::Half => {
                    let items = py.import("struct")?.call_method1("unpack", ("=e", PyBytes::new(py, item)))?;
                    Ok(items.get_item(0)?.unbind())
                }
                Code::FloatComplex | Code::DoubleComplex => {
                    let (real, imaginary) = item.split_at(code.number());
                    let part = |bytes: &[u8]| match bytes.try_into() {
                        Ok(bytes) => f64::from(f32::from_ne_bytes(bytes)),
                        Err(_) => f64::from_ne_bytes(bytes.try_into().expect(whole)),
                    };
                    Ok(PyComplex::from_doubles(py, part(real), part(imaginary)).into_any().unbind())
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

/// The real part and the imaginary one of a number, or of what is converted to one; a `str` is not.
fn parts(value: &Bound<'_, PyAny>) -> PyResult<[f64; 2]> {
    let number = match value.cast::<PyComplex>() {
        Ok(number) => number.clone(),
        Err(_) if value.is_instance_of::<PyString>() => {
            return Err(PyTypeError::new_err("an item is a complex number"));
        }
        Err(_) => value.py().get_type::<PyComplex>().call1((value,))?.cast_into()?,
    };
    Ok([number.real(), number.imag()])
}

/// UTF-32 in the order of this machine, in which a character may be half of a surrogate pair, as in a `str`.
const UTF_32: &CStr = if cfg!(target_endian = "little") { c"utf-32-le" } else { c"utf-32-be" };

fn encode_character(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let text = value.cast::<PyString>()?;
    if text.len()? != 1 {
        return Err(PyTypeError::new_err("an item is a string of one character"));
    }
    let encoding = UTF_32.to_str().expect("the name is ASCII");
    text.call_method1("encode", (encoding, "surrogatepass"))?.extract()
}

fn decode_character(py: Python<'_>, item: &[u8]) -> PyResult<Py<PyAny>> {
    let text = PyString::from_encoded_object(&PyBytes::new(py, item), Some(UTF_32), Some(c"surrogatepass"));
    let text = text.map_err(|_| PyValueError::new_err("an item is no character"))?;
    Ok(text.into_any().unbind())
}

impl Sequence for Array {
    type Memory = exporter::Items;
    const VALUE_FIRST: bool = false;
    const STRICT: bool = true;
    const LONGEST: usize = isize::MAX as usize;

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
    /// What the items are compared as. Characters of one type are by their numbers, since any number may be there; those
    /// of `u` have a sign.
    fn compared(&self, alike: bool) -> Code {
        match self.0.code().name() {
            "u" if alike => Code::Int,
            "w" if alike => Code::UnsignedInt,
            _ => self.0.code().code(),
        }
    }

    /// The length decides whether they are equal if it can, else the first items that differ, else the length.
    fn compare(&self, py: Python<'_>, other: &Self, comparison: CompareOp) -> PyResult<Py<PyAny>> {
        let alike = self.0.code() == other.0.code();
        let bytes = (sequence::contents(self), sequence::contents(other));
        let items = (bytes.0.chunks_exact(self.itemsize()), bytes.1.chunks_exact(other.itemsize()));
        let lengths = items.0.len().cmp(&items.1.len());
        if lengths.is_eq() || !matches!(comparison, CompareOp::Eq | CompareOp::Ne) {
            for (own, other_item) in items.0.zip(items.1) {
                let own = decode(self.compared(alike), py, own)?.into_bound(py);
                let other_item = decode(other.compared(alike), py, other_item)?;
                if !own.eq(&other_item)? {
                    return own.rich_compare(other_item, comparison).map(Bound::unbind);
                }
            }
        }
        comparison.matches(lengths).into_py_any(py)
    }

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
    fn new(typecode: &str, items: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let code = TypeCode::named(typecode).ok_or_else(|| {
            let all = TypeCode::ALL.map(TypeCode::name).join(", ");
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
    fn typecode(&self) -> &'static str {
        self.0.code().name()
    }

    /// Bytes per item.
    #[getter(itemsize)]
    fn bytes_per_item(&self) -> usize {
        self.itemsize()
    }

    fn __len__(&self) -> usize {
        sequence::length(self)
    }

    fn __iter__(&self) -> items::Items {
        Source::Array(self.0.clone()).into()
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

    /// Adds many items at the end; nothing, if one of them is none.
    fn extend(&self, items: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::append(self, &self.encode_each(items)?)
    }

    /// `+=`, of another array of the same type code.
    fn __iadd__(&self, other: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::append(self, &self.encode_all(other)?)
    }

    /// `*=`
    fn __imul__(&self, times: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::repeat(self, times)
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, comparison: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        other
            .cast::<Self>()
            .map_or_else(|_| Ok(py.NotImplemented()), |other| self.compare(py, other.get(), comparison))
    }

    /// Inserts one item before `index`.
    fn insert(&self, index: isize, item: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::insert(self, index, &self.encode(item)?)
    }

    /// Removes one item and returns it.
    #[pyo3(signature = (index = -1, /))]
    fn pop(&self, py: Python<'_>, index: isize) -> PyResult<Py<PyAny>> {
        sequence::pop(self, py, index)
    }

    /// Removes the first item of the same bytes.
    fn remove(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        sequence::remove(self, &self.encode(value)?)
    }

    /// Reverses the order of the items in place.
    fn reverse(&self) {
        sequence::reverse(self);
    }

    /// Reverses the bytes of each number in place, of which a complex one has two.
    fn byteswap(&self) {
        self.0.operate(|operation| operation.byteswap());
    }

    /// Adds items at the end, whose memory is given.
    fn frombytes(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let held = sequence::hold(data)?;
        if held.itemsize != 1 {
            return Err(PyTypeError::new_err("a bytes-like object is required"));
        }
        if !held.bytes().len().is_multiple_of(self.itemsize()) {
            return Err(PyValueError::new_err("bytes length not a multiple of item size"));
        }
        sequence::append(self, held.bytes())
    }

    /// Adds `count` items at the end that are read from a file. If there are fewer, it adds these and raises `EOFError`.
    fn fromfile(&self, file: &Bound<'_, PyAny>, count: isize) -> PyResult<()> {
        let count = usize::try_from(count).map_err(|_| PyValueError::new_err("negative count"))?;
        let wanted = count.checked_mul(self.itemsize()).and_then(|wanted| isize::try_from(wanted).ok());
        let wanted = wanted.ok_or_else(|| sequence::no_memory(usize::MAX))?;
        let read = file.call_method1("read", (wanted,))?.cast_into::<PyBytes>()?;
        self.frombytes(&read)?;
        if read.as_bytes().len() as isize == wanted {
            Ok(())
        } else {
            Err(PyEOFError::new_err("read() didn't return enough bytes"))
        }
    }

    /// Writes the bytes to a file; of nothing nothing is written.
    fn tofile<'py>(&self, file: &Bound<'py, PyAny>) -> PyResult<()> {
        let bytes = self.tobytes(file.py());
        if !bytes.as_bytes().is_empty() {
            file.call_method1("write", (bytes,))?;
        }
        Ok(())
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
        let own = slf.get().0.clone().into();
        // SAFETY: CPython passes a structure to be filled in.
        unsafe { lend::get_buffer(slf.into_any(), view, flags, &own) }
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: CPython passes a structure that `__getbuffer__` of this object filled in, once.
        unsafe { lend::release_buffer(view) };
    }
}
