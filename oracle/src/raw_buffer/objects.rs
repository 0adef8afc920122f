//! How the exporters of the standard library's modules lie in memory, as far as it is looked at: the same from 3.9 to
//! 3.15. Each struct is the beginning of CPython's; [`Modules::find`] checks them against real objects.

use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::OnceLock;

use buflock::exporter::{CArray, Code, Provider, TypeCode};
use buflock::subject::{Picture, native};
use pyo3::types::{PyAnyMethods, PyBytes, PyDict, PyDictMethods};
use pyo3::{Borrowed, PyResult, Python, ffi, intern};

use super::{Object, Type, lend};
use crate::{cpython, pynative};

/// `Modules/arraymodule.c`
#[repr(C)]
struct ArrayObject {
    ob_base: ffi::PyVarObject,
    ob_item: *mut c_char,
    allocated: ffi::Py_ssize_t,
    ob_descr: *const ArrayDescr,
}

#[repr(C)]
struct ArrayDescr {
    /// From 3.15 on a string of C, before it one letter.
    typecode: [c_char; if cfg!(Py_3_15) { 3 } else { 1 }],
    itemsize: c_int,
}

impl ArrayDescr {
    fn code(&self) -> Option<TypeCode> {
        let name = self.typecode.map(|byte| byte as u8);
        TypeCode::named(std::str::from_utf8(&name).ok()?.trim_end_matches('\0'))
    }
}

/// `Modules/mmapmodule.c`
#[repr(C)]
struct MapObject {
    ob_base: ffi::PyObject,
    data: *mut c_char,
    size: ffi::Py_ssize_t,
    pos: ffi::Py_ssize_t,
}

/// `Modules/_io/bytesio.c`
#[repr(C)]
struct StreamObject {
    ob_base: ffi::PyObject,
    buf: *mut ffi::PyObject,
    pos: ffi::Py_ssize_t,
    string_size: ffi::Py_ssize_t,
}

/// `Modules/_ctypes/ctypes.h`
#[repr(C)]
struct CDataObject {
    ob_base: ffi::PyObject,
    b_ptr: *mut c_char,
    b_needsfree: c_int,
    b_base: *mut ffi::PyObject,
    b_size: ffi::Py_ssize_t,
}

/// `Text` of `src/program/helpers.py`, whose slots lie in the order of their names.
#[repr(C)]
struct TextObject {
    ob_base: ffi::PyObject,
    /// A `bytes`.
    memory: *mut ffi::PyObject,
    /// A `str`.
    text: *mut ffi::PyObject,
}

/// What `BytesIO.getbuffer` makes a view of.
#[repr(C)]
struct StreamBuffer {
    ob_base: ffi::PyObject,
    source: *mut StreamObject,
}

/// The beginning of what a consumer holds of an object of a class with `__buffer__`: `Objects/typeobject.c`, from 3.12 on.
#[repr(C)]
struct BufferWrapper {
    ob_base: ffi::PyObject,
    view: *mut ffi::PyObject,
}

/// The types of these objects, by their addresses. They live as long as the interpreter.
#[derive(Debug, Default)]
struct Modules {
    array: usize,
    map: usize,
    stream: usize,
    stream_buffer: usize,
    /// 0 before 3.12.
    buffer_wrapper: usize,
    /// The type of the types of arrays of `ctypes`.
    c_array_type: usize,
    /// The types of their items.
    c_types: Vec<(usize, Code)>,
    text: usize,
    /// What an array shows that has no memory.
    empty: usize,
}

static MODULES: OnceLock<Modules> = OnceLock::new();

/// Imports the modules, and finds out whether their objects are laid out as this file says.
///
/// # Errors
/// A sentence that says they are not.
pub fn know(py: Python<'_>) -> Result<(), String> {
    let modules =
        Modules::find(py).map_err(|error| format!("array, mmap, io and ctypes cannot be used: {error}"))?;
    let modules = MODULES.get_or_init(|| modules);
    let texts = PyDict::new(py);
    let text = cpython::callable(py, "Text").expect("what the table names is there");
    texts.set_item("Text", text).map_err(|error| error.to_string())?;
    let known = |code: &std::ffi::CStr, expected: &Seen| -> Option<bool> {
        let object = py.eval(code, Some(&texts), None).ok()?.unbind();
        Some(modules.look(object.as_ptr())?.is(expected))
    };
    let expected = [
        (
            c"__import__('array').array('H', b'abcd')",
            Seen { bytes: b"abcd", cursor: 0, code: TypeCode::named("H") },
        ),
        (c"__import__('io').BytesIO(b'abcd')", Seen { bytes: b"abcd", cursor: 0, code: None }),
        (
            c"(__import__('ctypes').c_ubyte * 4).from_buffer_copy(b'abcd')",
            Seen { bytes: b"abcd", cursor: 0, code: None },
        ),
        (c"__import__('mmap').mmap(-1, 4)", Seen { bytes: &[0; 4], cursor: 0, code: None }),
        (c"Text('abcd')", Seen { bytes: b"abcd", cursor: 0, code: None }),
    ];
    for (code, expected) in &expected {
        if known(code, expected) != Some(true) {
            let code = code.to_string_lossy();
            return Err(format!(
                "{code} of this interpreter is laid out in a way that buflock does not know"
            ));
        }
    }
    Ok(())
}

/// What such an object holds.
struct Seen {
    bytes: &'static [u8],
    cursor: usize,
    code: Option<TypeCode>,
}

/// Where the memory of such an object is, and what else is to be seen of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// The first byte; NULL if the object is closed.
    pub start: *const c_char,
    /// Bytes.
    pub length: usize,
    /// Where it stands.
    pub cursor: usize,
    /// The type of its items, if it is an array.
    pub code: Option<TypeCode>,
}

impl Block {
    fn is(&self, seen: &Seen) -> bool {
        // SAFETY: `look` has read the block of an object that lives, and that nothing changes meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts(self.start.cast::<u8>(), self.length) };
        bytes == seen.bytes && self.cursor == seen.cursor && self.code == seen.code
    }
}

impl Modules {
    fn find(py: Python<'_>) -> PyResult<Modules> {
        let class = |module: &str, name: &str| {
            Ok::<_, pyo3::PyErr>(py.import(module)?.getattr(name)?.as_ptr() as usize)
        };
        let buffer = py.eval(c"__import__('io').BytesIO().getbuffer().obj", None, None)?;
        let wrapper = if cfg!(Py_3_12) {
            let code =
                c"memoryview(type('A', (), {'__buffer__': lambda self, flags: memoryview(b'')})()).obj";
            py.eval(code, None, None)?.get_type().as_ptr() as usize
        } else {
            0
        };
        let array = py.eval(c"memoryview(__import__('array').array('B'))", None, None)?.unbind();
        Ok(Modules {
            array: class("array", "array")?,
            map: class("mmap", "mmap")?,
            stream: class("io", "BytesIO")?,
            stream_buffer: buffer.get_type().as_ptr() as usize,
            buffer_wrapper: wrapper,
            c_array_type: py.import("ctypes")?.getattr("Array")?.get_type().as_ptr() as usize,
            c_types: c_types(py)?,
            text: cpython::callable(py, "Text")?.as_ptr() as usize,
            empty: super::view_start(py, &array),
        })
    }

    /// `None` if it is none of these objects.
    fn look(&self, object: *mut ffi::PyObject) -> Option<Block> {
        // SAFETY: the caller holds the object; its type is asked before its fields are.
        unsafe {
            let kind = ffi::Py_TYPE(object) as usize;
            if kind == self.array {
                let array = &*object.cast::<ArrayObject>();
                let descr = &*array.ob_descr;
                let start = if array.ob_item.is_null() { self.empty as *const c_char } else { array.ob_item };
                let length = ffi::Py_SIZE(object) as usize * descr.itemsize as usize;
                Some(Block { start, length, cursor: 0, code: descr.code() })
            } else if kind == self.map {
                let map = &*object.cast::<MapObject>();
                Some(Block {
                    start: map.data,
                    length: map.size as usize,
                    cursor: map.pos as usize,
                    code: None,
                })
            } else if kind == self.stream || kind == self.stream_buffer {
                let stream =
                    if kind == self.stream { object.cast() } else { (*object.cast::<StreamBuffer>()).source };
                let stream = &*stream;
                let start =
                    if stream.buf.is_null() { ptr::null() } else { ffi::PyBytes_AS_STRING(stream.buf) };
                let (length, cursor) = (stream.string_size as usize, stream.pos as usize);
                Some(Block { start, length, cursor, code: None })
            } else if kind == self.text {
                let memory = (*object.cast::<TextObject>()).memory;
                let (start, length) = (ffi::PyBytes_AS_STRING(memory), ffi::Py_SIZE(memory) as usize);
                Some(Block { start, length, cursor: 0, code: None })
            } else if ffi::Py_TYPE(kind as *mut ffi::PyObject) as usize == self.c_array_type {
                let array = &*object.cast::<CDataObject>();
                Some(Block { start: array.b_ptr, length: array.b_size as usize, cursor: 0, code: None })
            } else {
                None
            }
        }
    }
}

/// The types in C whose arrays programs make, found by making one of each.
fn c_types(py: Python<'_>) -> PyResult<Vec<(usize, Code)>> {
    let make = cpython::callable(py, "ctypes_array")?;
    let of_code = |code: Code| {
        let array = make.call1((PyBytes::new(py, b""), code.as_str()))?;
        Ok((array.getattr("_type_")?.as_ptr() as usize, code))
    };
    CArray::CODES.into_iter().map(of_code).collect()
}

/// What the items of an array of `ctypes` are.
pub(super) fn c_type(py: Python<'_>, array: &Object) -> Option<Code> {
    let of_items = array.bind(py).getattr(intern!(py, "_type_")).ok()?.as_ptr() as usize;
    let known = MODULES.get()?.c_types.iter().find(|(address, _)| *address == of_items);
    known.map(|(_, code)| *code)
}

/// Where the memory of an object of one of these types is.
#[inline]
pub(super) fn block(py: Python<'_>, object: *mut ffi::PyObject) -> Option<Block> {
    interpreters_own(py, object).or_else(|| {
        // SAFETY: the caller holds the object, and the thread is attached.
        let object = unsafe { Borrowed::from_ptr(py, object) };
        pynative::provider(&object).map(|exporter| block_of(&exporter))
    })
}

/// The same, of the interpreter's own objects and of `Text` alone.
#[inline]
pub(super) fn interpreters_own(_: Python<'_>, object: *mut ffi::PyObject) -> Option<Block> {
    MODULES.get()?.look(object)
}

/// The bytes of each character of a `Text` of `helpers.py`; 1 if it has none.
pub(super) fn character_width(_: Python<'_>, text: &Object) -> u8 {
    // SAFETY: the caller holds a text, whose slots are filled as long as it lives, with a `bytes` and a `str`.
    let (bytes, characters) = unsafe {
        let text = &*text.as_ptr().cast::<TextObject>();
        (ffi::Py_SIZE(text.memory), ffi::PyUnicode_GET_LENGTH(text.text))
    };
    bytes.checked_div(characters).unwrap_or(1) as u8
}

/// The view behind what a consumer holds of an object of a class with `__buffer__`, if it is that.
pub(super) fn wrapped(_: Python<'_>, object: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    let wrapper = MODULES.get()?.buffer_wrapper;
    // SAFETY: the caller holds the object; its type is asked before its field is.
    unsafe { (ffi::Py_TYPE(object) as usize == wrapper).then(|| (*object.cast::<BufferWrapper>()).view) }
}

/// The exporter in an object of one of the classes of `pynative`.
pub(super) fn ours(py: Python<'_>, object: &Object) -> Option<Provider> {
    pynative::provider(object.bind(py))
}

/// What such an exporter holds; nothing if it is closed.
pub(super) fn contents(exporter: &Provider) -> Vec<u8> {
    match native::picture(exporter) {
        Picture::Exporter { bytes, .. } => bytes,
        _ => Vec::new(),
    }
}

fn block_of(exporter: &Provider) -> Block {
    let ((start, length), cursor, code) = match exporter {
        Provider::ByteArray(array) => (array.operate(|own| (own.address(), own.len())), 0, None),
        Provider::Array(array) => (array.operate(|own| (own.address(), own.len())), 0, Some(array.code())),
        Provider::Mmap(map) => {
            (map.operate(|own| (own.address(), own.len())).unwrap_or_default(), map.cursor(), None)
        }
        other => unreachable!("{} of pynative lends no memory", other.name()),
    };
    // A map that is closed is nowhere.
    let start = start as *mut u8;
    let start = if start.is_null() { start } else { lend::start_of(start, length) };
    Block { start: start.cast_const().cast(), length, cursor, code }
}

/// Which of these types an object has; a class of `pynative` stands for the type that it is in place of.
pub(super) fn type_of(py: Python<'_>, object: &Object) -> Option<Type> {
    let modules = MODULES.get()?;
    // SAFETY: it is a live object; of the type only the address is taken.
    let kind = unsafe { ffi::Py_TYPE(object.as_ptr()) } as usize;
    let known = [
        (modules.array, Type::Array),
        (modules.map, Type::Mmap),
        (modules.stream, Type::BytesIO),
        (modules.text, Type::Text),
    ];
    known
        .into_iter()
        .find_map(|(address, found)| (address == kind).then_some(found))
        .or_else(|| {
            // SAFETY: a type is an object; of its own type only the address is taken.
            let of_type = unsafe { ffi::Py_TYPE(kind as *mut ffi::PyObject) } as usize;
            (of_type == modules.c_array_type).then_some(Type::CArray)
        })
        .or_else(|| match ours(py, object)? {
            Provider::ByteArray(_) => Some(Type::ByteArray),
            Provider::Array(_) => Some(Type::Array),
            Provider::Mmap(_) => Some(Type::Mmap),
            Provider::Text(_) => Some(Type::Text),
            _ => None,
        })
}
