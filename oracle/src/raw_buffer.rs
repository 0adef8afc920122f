//! CPython's C API, as far as programs need it: the only FFI, and the only `unsafe`, of this package.
//!
//! PyO3's own `PyBuffer` always asks for everything and hides what is tested here, and its errors
//! are built anew for each exception; at millions of steps a second, both are too much. Every
//! function takes the token `Python<'_>`, which proves that the thread is attached, and owned
//! references (`Py<PyAny>`), which prove that the objects live: that is what makes them safe.

mod domains;
pub mod guarded;
pub mod held;
pub mod lend;
mod objects;
pub mod reports;
mod starved;

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use buflock::exporter::{Code, Provider, TypeCode};
use buflock::subject::native;
use pyo3::types::PyAnyMethods;
use pyo3::{Bound, Py, PyAny, Python, ffi};

pub use starved::starved;

/// An owned reference.
pub type Object = Py<PyAny>;

/// The minor version of the Python that this was built for.
pub const BUILT_FOR_MINOR: u8 = if cfg!(Py_3_15) {
    15
} else if cfg!(Py_3_14) {
    14
} else if cfg!(Py_3_13) {
    13
} else if cfg!(Py_3_12) {
    12
} else if cfg!(Py_3_11) {
    11
} else if cfg!(Py_3_10) {
    10
} else {
    9
};

/// An exception was raised, and waits to be fetched with [`fetch_error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised;

/// The beginning of a `memoryview` object: `Include/cpython/memoryobject.h`, the same from 3.9 to
/// 3.15. [`know_layout`] checks it against the attributes of a real one.
#[repr(C)]
struct MemoryView {
    ob_base: ffi::PyVarObject,
    mbuf: *mut ffi::PyObject,
    hash: ffi::Py_hash_t,
    flags: c_int,
    exports: ffi::Py_ssize_t,
    view: ffi::Py_buffer,
}

const RELEASED: c_int = 0x001;
const C_CONTIGUOUS: c_int = 0x002;
const F_CONTIGUOUS: c_int = 0x004;
const SCALAR: c_int = 0x008;

/// What can be seen of a live view.
#[derive(Debug, Clone, Copy)]
pub struct ViewFields<'a> {
    /// From the memory of the exporter at the end of the chain to the first item, in bytes.
    pub offset: isize,
    /// As written.
    pub format: Format<'a>,
    /// Bytes per item.
    pub itemsize: isize,
    /// Bytes in all items.
    pub nbytes: isize,
    /// Items per dimension.
    pub shape: &'a [isize],
    /// Bytes from item to item per dimension.
    pub strides: &'a [isize],
    /// Whether writes are refused.
    pub readonly: bool,
    /// As the flags of the object say.
    pub c_contiguous: bool,
    /// As the flags of the object say.
    pub f_contiguous: bool,
}

/// The format of a live view, as written.
#[derive(Debug, Clone, Copy)]
pub struct Format<'a>(*const c_char, PhantomData<&'a CStr>);

impl<'a> Format<'a> {
    /// All of it.
    pub fn text(self) -> &'a CStr {
        // SAFETY: a live view made by memoryview has a format, a C string that lives as long.
        unsafe { CStr::from_ptr(self.0) }
    }

    /// Whether it is this code, after a character or not.
    #[inline]
    pub fn is(self, prefix: Option<u8>, code: &str) -> bool {
        // SAFETY: as for `text`; no byte is read behind one that differs, thus none behind the zero.
        let byte = |place: usize| unsafe { *self.0.add(place) } as u8;
        let mut expected = prefix.into_iter().chain(code.bytes()).chain([0]).enumerate();
        expected.all(|(place, expected)| byte(place) == expected)
    }
}

/// The types whose objects are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `None`
    None,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `float`
    Float,
    /// `complex`
    Complex,
    /// `str`
    Str,
    /// `bytes`
    Bytes,
    /// `bytearray`
    ByteArray,
    /// `memoryview`
    MemoryView,
    /// `array.array`
    Array,
    /// `mmap.mmap`
    Mmap,
    /// `io.BytesIO`
    BytesIO,
    /// An array of `ctypes`
    CArray,
    /// `Text` of `helpers.py`
    Text,
    /// `list`
    List,
    /// `tuple`
    Tuple,
    /// Any other, subclasses of these included.
    Other,
}

#[inline]
fn owned(py: Python<'_>, object: *mut ffi::PyObject) -> Result<Object, Raised> {
    // SAFETY: every caller passes what the C API returned as a new reference, or NULL with an
    // exception set; `py` proves that the thread is attached.
    let object = unsafe { Bound::from_owned_ptr_or_opt(py, object) }.ok_or(Raised)?;
    unambiguous(py)?;
    Ok(object.unbind())
}

#[inline]
fn status(py: Python<'_>, result: c_int) -> Result<(), Raised> {
    if result < 0 { Err(Raised) } else { unambiguous(py) }
}

/// After a success no exception waits. Where one does, the interpreter's own calls make a
/// `SystemError` of it (`_Py_CheckFunctionResult`), and so does this.
#[inline]
fn unambiguous(_: Python<'_>) -> Result<(), Raised> {
    // SAFETY: the thread is attached.
    if unsafe { ffi::PyErr_Occurred() }.is_null() {
        return Ok(());
    }
    // SAFETY: the thread is attached; the new exception takes the place of the old.
    unsafe {
        ffi::PyErr_Clear();
        ffi::PyErr_SetString(ffi::PyExc_SystemError, c"returned a result with an exception set".as_ptr());
    }
    Err(Raised)
}

/// Defines functions that pass objects to a function of the C API that returns a new reference.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) = $function:ident;)*) => {
        $($(#[$doc])*
        #[inline]
        pub fn $name(py: Python<'_>, $($arg: &Object),*) -> Result<Object, Raised> {
            // SAFETY: the arguments are live objects, borrowed for the call, and the thread is attached.
            owned(py, unsafe { ffi::$function($($arg.as_ptr()),*) })
        })*
    };
}

calls! {
    /// `object[key]`
    get_item(object, key) = PyObject_GetItem;
    /// `object.name`
    get_attribute(object, name) = PyObject_GetAttr;
    /// `one + other`
    add(one, other) = PyNumber_Add;
    /// `one * other`
    multiply(one, other) = PyNumber_Multiply;
    /// `one % other`
    remainder(one, other) = PyNumber_Remainder;
    /// `one += other`
    in_place_add(one, other) = PyNumber_InPlaceAdd;
    /// `one *= other`
    in_place_multiply(one, other) = PyNumber_InPlaceMultiply;
    /// `list(object)`
    list_of(object) = PySequence_List;
    /// `iter(object)`
    iterator(object) = PyObject_GetIter;
    /// `memoryview(object)`
    memoryview(object) = PyMemoryView_FromObject;
    /// `str(object)`
    string_of(object) = PyObject_Str;
}

/// `callable(*args)`
#[inline]
pub fn call(py: Python<'_>, callable: &Object, args: &[Object]) -> Result<Object, Raised> {
    // `Py<PyAny>` is a non-null pointer to an object and nothing else.
    let args: &[*mut ffi::PyObject] = pointers(args);
    // SAFETY: the callable and the arguments are live objects, and the thread is attached.
    owned(py, unsafe {
        ffi::PyObject_Vectorcall(callable.as_ptr(), args.as_ptr().cast(), args.len(), ptr::null_mut())
    })
}

/// `args[0].name(*args[1:])`
#[inline]
pub fn call_method(py: Python<'_>, name: &Object, args: &[Object]) -> Result<Object, Raised> {
    let args = pointers(args);
    // SAFETY: the name and the arguments are live objects, and the thread is attached.
    owned(py, unsafe {
        ffi::PyObject_VectorcallMethod(name.as_ptr(), args.as_ptr().cast(), args.len(), ptr::null_mut())
    })
}

/// The objects of one call: what is in a slot is borrowed, a literal is owned.
pub struct Arguments<'a> {
    objects: [*mut ffi::PyObject; MOST],
    len: usize,
    owned: [bool; MOST],
    attached: Python<'a>,
    slots: PhantomData<&'a Object>,
}

/// A receiver and its arguments.
const MOST: usize = 1 + buflock::program::limits::ARGUMENTS;

impl<'a> Arguments<'a> {
    /// None.
    #[inline]
    pub fn new(attached: Python<'a>) -> Self {
        let (objects, owned) = ([ptr::null_mut(); MOST], [false; MOST]);
        Self { objects, len: 0, owned, attached, slots: PhantomData }
    }

    /// One more, which stays where it is.
    #[inline]
    pub fn borrow(&mut self, object: &'a Object) {
        self.objects[self.len] = object.as_ptr();
        self.len += 1;
    }

    /// One more, which goes when the call is over.
    #[inline]
    pub fn own(&mut self, object: Object) {
        self.objects[self.len] = object.into_ptr();
        self.owned[self.len] = true;
        self.len += 1;
    }

    /// All of them.
    #[inline]
    pub fn as_slice(&self) -> &[Object] {
        // SAFETY: `Py<T>` is `repr(transparent)` over a non-null pointer to the object, and so many are filled. A slot
        // or this keeps each alive; as a reference, it is not dropped.
        unsafe { &*(ptr::from_ref(&self.objects[..self.len]) as *const [Object]) }
    }
}

impl Drop for Arguments<'_> {
    #[inline]
    fn drop(&mut self) {
        for (object, owned) in self.objects.into_iter().zip(self.owned) {
            if owned {
                // SAFETY: `own` took over a reference, which is given back once; the thread is attached.
                drop(unsafe { Bound::from_owned_ptr(self.attached, object) });
            }
        }
    }
}

#[inline]
fn pointers(objects: &[Object]) -> &[*mut ffi::PyObject] {
    const { assert!(size_of::<Object>() == size_of::<*mut ffi::PyObject>()) };
    // SAFETY: `Py<T>` is `repr(transparent)` over a non-null pointer to the object.
    unsafe { &*(ptr::from_ref(objects) as *const [*mut ffi::PyObject]) }
}

/// `object[key] = value`
#[inline]
pub fn set_item(py: Python<'_>, object: &Object, key: &Object, value: &Object) -> Result<(), Raised> {
    // SAFETY: all three are live objects, and the thread is attached.
    status(py, unsafe { ffi::PyObject_SetItem(object.as_ptr(), key.as_ptr(), value.as_ptr()) })
}

/// `del object[key]`
#[inline]
pub fn del_item(py: Python<'_>, object: &Object, key: &Object) -> Result<(), Raised> {
    // SAFETY: both are live objects, and the thread is attached.
    status(py, unsafe { ffi::PyObject_DelItem(object.as_ptr(), key.as_ptr()) })
}

/// `value in object`
#[inline]
pub fn contains(py: Python<'_>, object: &Object, value: &Object) -> Result<bool, Raised> {
    // SAFETY: both are live objects, and the thread is attached.
    let result = unsafe { ffi::PySequence_Contains(object.as_ptr(), value.as_ptr()) };
    status(py, result).map(|()| result > 0)
}

/// `len(object)`
#[inline]
pub fn length(py: Python<'_>, object: &Object) -> Result<isize, Raised> {
    // SAFETY: it is a live object, and the thread is attached.
    match unsafe { ffi::PyObject_Size(object.as_ptr()) } {
        -1 => Err(Raised),
        length => unambiguous(py).map(|()| length),
    }
}

/// `hash(object)`
#[inline]
pub fn hash(py: Python<'_>, object: &Object) -> Result<isize, Raised> {
    // SAFETY: it is a live object, and the thread is attached.
    match unsafe { ffi::PyObject_Hash(object.as_ptr()) } {
        -1 => Err(Raised),
        hash => unambiguous(py).map(|()| hash),
    }
}

/// `next(iterator)`, or `None` at its end.
#[inline]
pub fn next(py: Python<'_>, iterator: &Object) -> Result<Option<Object>, Raised> {
    // SAFETY: it is a live iterator, and the thread is attached.
    let item = unsafe { ffi::PyIter_Next(iterator.as_ptr()) };
    // SAFETY: the thread is attached.
    if item.is_null() && unsafe { ffi::PyErr_Occurred() }.is_null() {
        return Ok(None);
    }
    owned(py, item).map(Some)
}

/// `one == other` or `one < other`.
#[inline]
pub fn compare(py: Python<'_>, one: &Object, other: &Object, less: bool) -> Result<Object, Raised> {
    let operation = if less { ffi::Py_LT } else { ffi::Py_EQ };
    // SAFETY: both are live objects, and the thread is attached.
    owned(py, unsafe { ffi::PyObject_RichCompare(one.as_ptr(), other.as_ptr(), operation) })
}

/// Defines functions that make an object; they fail only without memory.
macro_rules! makers {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) = $call:expr;)*) => {
        $($(#[$doc])*
        ///
        /// # Panics
        /// Without memory.
        #[inline]
        pub fn $name(py: Python<'_>, $($arg: $type),*) -> Object {
            // SAFETY: the C API copies what it is given and returns a new reference; the thread is attached.
            owned(py, unsafe { $call }).expect("failed to make an object: out of memory")
        })*
    };
}

makers! {
    /// An `int`.
    int(value: i64) = ffi::PyLong_FromLongLong(value);
    /// An `int` from an unsigned number.
    unsigned(value: u64) = ffi::PyLong_FromUnsignedLongLong(value);
    /// A `float`.
    float(value: f64) = ffi::PyFloat_FromDouble(value);
    /// A `complex`.
    complex(real: f64, imaginary: f64) = ffi::PyComplex_FromDoubles(real, imaginary);
    /// A `bytes`.
    bytes(value: &[u8]) = ffi::PyBytes_FromStringAndSize(value.as_ptr().cast(), value.len() as isize);
    /// A `str`.
    string(value: &str) = ffi::PyUnicode_FromStringAndSize(value.as_ptr().cast(), value.len() as isize);
    /// A `str` that all share who intern it.
    interned(value: &CStr) = ffi::PyUnicode_InternFromString(value.as_ptr());
    /// A `slice`; what is left out is `None`.
    slice(start: Option<&Object>, stop: Option<&Object>, step: Option<&Object>) = {
        let pointer = |bound: Option<&Object>| bound.map_or(ptr::null_mut(), Py::as_ptr);
        ffi::PySlice_New(pointer(start), pointer(stop), pointer(step))
    };
    /// A `list` of nothing.
    empty_list() = ffi::PyList_New(0);
}

/// Appends to a `list`.
pub fn append(py: Python<'_>, list: &Object, item: &Object) {
    // SAFETY: both are live objects and the thread is attached; that it is a list is checked by the call.
    status(py, unsafe { ffi::PyList_Append(list.as_ptr(), item.as_ptr()) })
        .expect("failed to append to a list");
}

/// A `tuple` of the items of a `list`.
pub fn tuple_of(py: Python<'_>, list: &Object) -> Object {
    // SAFETY: it is a live object, and the thread is attached.
    owned(py, unsafe { ffi::PySequence_Tuple(list.as_ptr()) }).expect("failed to make a tuple")
}

/// The exact type of an object.
#[inline]
pub fn type_of(py: Python<'_>, own: &Object) -> Type {
    // SAFETY: it is a live object; only the addresses of the types are taken.
    unsafe {
        let object = own.as_ptr();
        let kind = ffi::Py_TYPE(object);
        if object == ffi::Py_None() {
            Type::None
        } else if kind == &raw mut ffi::PyLong_Type {
            Type::Int
        } else if kind == &raw mut ffi::PyByteArray_Type {
            Type::ByteArray
        } else if kind == &raw mut ffi::PyMemoryView_Type {
            Type::MemoryView
        } else if kind == &raw mut ffi::PyBytes_Type {
            Type::Bytes
        } else if kind == &raw mut ffi::PyBool_Type {
            Type::Bool
        } else if kind == &raw mut ffi::PyFloat_Type {
            Type::Float
        } else if kind == &raw mut ffi::PyComplex_Type {
            Type::Complex
        } else if kind == &raw mut ffi::PyUnicode_Type {
            Type::Str
        } else if kind == &raw mut ffi::PyList_Type {
            Type::List
        } else if kind == &raw mut ffi::PyTuple_Type {
            Type::Tuple
        } else {
            objects::type_of(py, own).unwrap_or(Type::Other)
        }
    }
}

/// The name of an object's type.
pub fn type_name(py: Python<'_>, object: &Object) -> String {
    object.bind(py).get_type().to_string()
}

/// The value of an `int` or a `bool`, if 64 bits hold it, with a sign or without.
pub fn int_value(_: Python<'_>, object: &Object) -> Option<i128> {
    let mut overflow = 0;
    // SAFETY: it is a live object, `overflow` is written, and the thread is attached.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    if overflow == 0 {
        return Some(value.into());
    }
    // SAFETY: as above.
    let value = unsafe { ffi::PyLong_AsUnsignedLongLong(object.as_ptr()) };
    // SAFETY: the thread is attached.
    if value == u64::MAX && !unsafe { ffi::PyErr_Occurred() }.is_null() {
        // SAFETY: as above.
        unsafe { ffi::PyErr_Clear() };
        return None;
    }
    Some(value.into())
}

/// The value of a `float`.
pub fn float_value(_: Python<'_>, object: &Object) -> f64 {
    // SAFETY: it is a live object, and the thread is attached.
    unsafe { ffi::PyFloat_AsDouble(object.as_ptr()) }
}

/// The real part and the imaginary one of a `complex`.
pub fn complex_value(_: Python<'_>, object: &Object) -> (f64, f64) {
    // SAFETY: it is a live object, and the thread is attached.
    unsafe { (ffi::PyComplex_RealAsDouble(object.as_ptr()), ffi::PyComplex_ImagAsDouble(object.as_ptr())) }
}

/// The value of a `str`.
pub fn string_value(_: Python<'_>, object: &Object) -> Option<String> {
    let mut length = 0;
    // SAFETY: it is a live object, `length` is written, and the thread is attached.
    let text = unsafe { ffi::PyUnicode_AsUTF8AndSize(object.as_ptr(), &raw mut length) };
    if text.is_null() {
        // SAFETY: the thread is attached.
        unsafe { ffi::PyErr_Clear() };
        return None;
    }
    // SAFETY: the string lives as long as the object, which the caller holds; it is copied here.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length as usize) };
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Runs `f` on the contents of an exporter, during which no Python code runs.
///
/// # Panics
/// If it is none.
#[inline]
pub fn with_contents<R>(py: Python<'_>, object: &Object, f: impl FnOnce(&[u8]) -> R) -> R {
    let (start, length) = if is_bytearray(py, object) || is_bytes(py, object) {
        block(py, object.as_ptr())
    } else if let Some(block) = objects::interpreters_own(py, object.as_ptr()) {
        (block.start, block.length)
    } else {
        return f(&objects::contents(&objects::ours(py, object).expect("only exporters have contents")));
    };
    if length == 0 {
        return f(&[]);
    }
    // SAFETY: the object's memory holds so many bytes until something resizes it, which nothing does
    // during `f`: the thread stays attached, in lockstep no other thread runs the program, and `f`
    // gets no token.
    f(unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

/// The bytes of each character of a text; 1 if it has none.
pub fn character_width(py: Python<'_>, text: &Object) -> u8 {
    match objects::ours(py, text) {
        Some(Provider::Text(text)) => text.width() as u8,
        _ => objects::character_width(py, text),
    }
}

/// Whether it is a `bytearray`.
#[inline]
pub fn is_bytearray(_: Python<'_>, object: &Object) -> bool {
    // SAFETY: it is a live object; of the type only the address is taken.
    unsafe { ffi::Py_TYPE(object.as_ptr()) == &raw mut ffi::PyByteArray_Type }
}

/// Whether it is a `bytes`.
#[inline]
pub fn is_bytes(_: Python<'_>, object: &Object) -> bool {
    // SAFETY: it is a live object; of the type only the address is taken.
    unsafe { ffi::Py_TYPE(object.as_ptr()) == &raw mut ffi::PyBytes_Type }
}

/// Read from the objects themselves: it is asked for every object after every step.
#[inline]
fn block(py: Python<'_>, object: *mut ffi::PyObject) -> (*const c_char, usize) {
    // SAFETY: the caller holds the object; its type is asked before its memory is.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if kind == &raw mut ffi::PyByteArray_Type {
            match ffi::PyByteArray_GET_SIZE(object) {
                // Without a byte it may have no memory, and shows a string that all share.
                0 => (ffi::PyByteArray_AsString(object), 0),
                length => (ffi::PyByteArray_AS_STRING(object), length as usize),
            }
        } else if kind == &raw mut ffi::PyBytes_Type {
            (ffi::PyBytes_AS_STRING(object), ffi::Py_SIZE(object) as usize)
        } else {
            let block = objects::block(py, object).expect("only exporters have memory");
            (block.start, block.length)
        }
    }
}

/// The address of the memory of an exporter.
pub fn memory_start(py: Python<'_>, object: &Object) -> usize {
    block(py, object.as_ptr()).0 as usize
}

/// Where a map or a stream stands; 0 for what has no cursor.
pub fn cursor(py: Python<'_>, object: &Object) -> usize {
    objects::block(py, object.as_ptr()).map_or(0, |block| block.cursor)
}

/// Whether a map or a stream is closed: it has no memory.
pub fn is_closed(py: Python<'_>, object: &Object) -> bool {
    objects::block(py, object.as_ptr()).is_some_and(|block| block.start.is_null())
}

/// `typecode` of an array.
pub fn typecode(py: Python<'_>, object: &Object) -> Option<TypeCode> {
    objects::block(py, object.as_ptr())?.code
}

/// Collects garbage.
pub fn collect(_: Python<'_>) {
    // SAFETY: the thread is attached.
    unsafe { ffi::PyGC_Collect() };
}

/// What the items of an array of `ctypes` are, if programs make such arrays.
pub fn c_type(py: Python<'_>, object: &Object) -> Option<Code> {
    objects::c_type(py, object)
}

/// The items of a `list` or a `tuple`.
pub fn items(py: Python<'_>, object: &Object) -> Vec<Object> {
    let length = length(py, object).unwrap_or(0);
    // SAFETY: the index is below the length, the result is a new reference, and the thread is attached.
    let item = |index| owned(py, unsafe { ffi::PySequence_GetItem(object.as_ptr(), index) });
    (0..length).filter_map(|index| item(index).ok()).collect()
}

#[inline]
fn is_view(_: Python<'_>, object: &Object) -> bool {
    // SAFETY: it is a live object; of the type only the address is taken.
    unsafe { ffi::Py_TYPE(object.as_ptr()) == &raw mut ffi::PyMemoryView_Type }
}

/// Runs `f` on what can be seen of a `memoryview`: `None` if it was released.
///
/// # Panics
/// If it is none.
#[inline]
pub fn with_view<R>(py: Python<'_>, object: &Object, f: impl FnOnce(Option<ViewFields<'_>>) -> R) -> R {
    assert!(is_view(py, object));
    // SAFETY: it is a memoryview, whose layout `know_layout` has checked; it lives during `f`, and
    // its fields do not change while no Python code runs.
    let object = unsafe { &*object.as_ptr().cast::<MemoryView>() };
    if object.flags & RELEASED != 0 {
        return f(None);
    }
    let view = &object.view;
    let ndim = view.ndim as usize;
    let dims = |start: *mut ffi::Py_ssize_t| {
        if start.is_null() || ndim == 0 {
            &[][..]
        } else {
            // SAFETY: the arrays of a live view have `ndim` entries; without dimensions they may be NULL.
            unsafe { std::slice::from_raw_parts(start, ndim) }
        }
    };
    f(Some(ViewFields {
        offset: (view.buf as isize).wrapping_sub(base(py, view.obj) as isize),
        format: Format(view.format, PhantomData),
        itemsize: view.itemsize,
        nbytes: view.len,
        shape: dims(view.shape),
        strides: dims(view.strides),
        readonly: view.readonly != 0,
        c_contiguous: object.flags & (C_CONTIGUOUS | SCALAR) != 0,
        f_contiguous: object.flags & (F_CONTIGUOUS | SCALAR) != 0,
    }))
}

/// Where the memory begins that the views of `owner` show.
fn base(py: Python<'_>, owner: *mut ffi::PyObject) -> *const c_char {
    block(py, end_of(py, owner)).0
}

/// The exporter at the end of a chain of views, and of what stands between a class with `__buffer__` and the view that
/// it lent.
fn end_of(py: Python<'_>, mut owner: *mut ffi::PyObject) -> *mut ffi::PyObject {
    loop {
        // SAFETY: a live view holds its owner, and a view that is an owner is alive as long as it is
        // exported, so that its own owner is there too.
        unsafe {
            if let Some(view) = objects::wrapped(py, owner) {
                owner = view;
            }
            if ffi::Py_TYPE(owner) != &raw mut ffi::PyMemoryView_Type {
                return owner;
            }
            owner = (*owner.cast::<MemoryView>()).view.obj;
        }
    }
}

/// The address of the first item of a live view.
fn view_start(py: Python<'_>, view: &Object) -> usize {
    assert!(is_view(py, view));
    // SAFETY: it is a live memoryview, whose layout `know_layout` has checked.
    unsafe { (*view.as_ptr().cast::<MemoryView>()).view.buf as usize }
}

/// The object at the end of the chain whose memory a live view shows.
pub fn owner(py: Python<'_>, view: &Object) -> Object {
    assert!(is_view(py, view));
    let owner = end_of(py, view.as_ptr());
    // SAFETY: the object at the end is borrowed from the last view of the chain, which lives.
    unsafe { Bound::from_borrowed_ptr(py, owner).unbind() }
}

/// How many exports of a view there are.
pub fn view_exports(py: Python<'_>, view: &Object) -> isize {
    assert!(is_view(py, view));
    // SAFETY: it is a live memoryview, whose layout `know_layout` has checked.
    unsafe { (*view.as_ptr().cast::<MemoryView>()).exports }
}

/// Whether a view is released.
#[inline]
pub fn is_released(py: Python<'_>, view: &Object) -> bool {
    with_view(py, view, |fields| fields.is_none())
}

/// Whether the memoryviews and the exporters of this interpreter are laid out as this file says.
///
/// # Errors
/// A sentence that says they are not.
pub fn know_layout(py: Python<'_>) -> Result<(), String> {
    let unknown =
        || "the memoryviews of this interpreter are laid out in a way that buflock does not know".to_owned();
    let array = bytes(py, b"0123456789");
    let whole = memoryview(py, &array).map_err(|Raised| unknown())?;
    let part = slice(py, Some(&int(py, 2)), Some(&int(py, 9)), Some(&int(py, 3)));
    let view = get_item(py, &whole, &part).map_err(|Raised| unknown())?;
    let as_expected = with_view(py, &view, |fields| {
        fields.is_some_and(|fields| {
            (fields.offset, fields.itemsize, fields.nbytes) == (2, 1, 3)
                && fields.shape == [3]
                && fields.strides == [3]
                && fields.format.text() == c"B"
                && fields.readonly
                && !fields.c_contiguous
        })
    });
    let release = interned(py, c"release");
    let args = [view];
    call_method(py, &release, &args).map_err(|Raised| unknown())?;
    if as_expected && is_released(py, &args[0]) { objects::know(py) } else { Err(unknown()) }
}

/// The number of references to an object.
pub fn references(_: Python<'_>, object: &Object) -> isize {
    // SAFETY: it is a live object, and the thread is attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// Whether a `bytearray` can be made longer, found out by doing so.
///
/// # Panics
/// If it is none.
fn can_grow(py: Python<'_>, array: &Object) -> bool {
    assert!(is_bytearray(py, array));
    let length = block(py, array.as_ptr()).1 as isize;
    // SAFETY: it is a live bytearray, and the thread is attached.
    let resized = unsafe { ffi::PyByteArray_Resize(array.as_ptr(), length + 1) };
    if resized < 0 {
        // SAFETY: the thread is attached.
        unsafe { ffi::PyErr_Clear() };
    }
    resized == 0
}

/// Whether an exporter can be resized, or closed if it can be, found out by doing so.
pub fn is_free(py: Python<'_>, exporter: &Object) -> bool {
    let call = |name: &str, args: &[u8]| {
        let exporter = exporter.bind(py);
        if args.is_empty() { exporter.call_method0(name) } else { exporter.call_method1(name, (args,)) }
            .is_ok()
    };
    if let Some(own) = objects::ours(py, exporter) {
        return native::is_free(&own);
    }
    match type_of(py, exporter) {
        // Asked of every bytearray of every program, hence without a call of Python's.
        Type::ByteArray => can_grow(py, exporter),
        Type::Array => {
            let size = typecode(py, exporter).map_or(1, TypeCode::itemsize);
            call("frombytes", &vec![0; size])
        }
        Type::Mmap | Type::BytesIO => call("close", &[]),
        _ => true,
    }
}

/// The class of the exception that waits, by its place in `classes`, and the exception itself (before
/// 3.12, its value, which may be no exception yet). Afterwards none waits.
pub fn fetch_error(py: Python<'_>, classes: &[Object]) -> (Option<usize>, Option<Object>) {
    // SAFETY: the thread is attached; the type is borrowed and only its address is taken.
    let class = unsafe { ffi::PyErr_Occurred() };
    let place = classes.iter().position(|known| known.as_ptr() == class);
    #[cfg(Py_3_12)]
    // SAFETY: the thread is attached; the result is a new reference or NULL.
    let value = unsafe { ffi::PyErr_GetRaisedException() };
    #[cfg(not(Py_3_12))]
    let value = {
        let (mut class, mut value, mut traceback) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the thread is attached; the three are written with new references or NULL, of which
        // two are dropped here.
        unsafe {
            ffi::PyErr_Fetch(&raw mut class, &raw mut value, &raw mut traceback);
            ffi::Py_XDECREF(class);
            ffi::Py_XDECREF(traceback);
        }
        value
    };
    (place, owned(py, value).ok())
}

/// Words in a file that is mapped into memory.
#[derive(Debug)]
pub struct SharedWords(memmap2::MmapMut);

/// How many there are.
const WORDS: usize = 3;

impl SharedWords {
    /// Makes the file.
    pub fn create(path: &Path) -> io::Result<SharedWords> {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(WORDS as u64 * 8)?;
        // SAFETY: nobody shortens the file while it is mapped: it is the tool's own temporary file,
        // of which other processes only read.
        Ok(SharedWords(unsafe { memmap2::MmapMut::map_mut(&file)? }))
    }

    /// Stores a word.
    ///
    /// # Panics
    /// If there is no such word.
    #[inline]
    pub fn store(&self, word: usize, value: u64) {
        assert!(word < WORDS);
        // SAFETY: the map begins at a page and is as long as so many words, so that all of them lie in it,
        // aligned; all accesses in this process are atomic.
        let words = unsafe { &*self.0.as_ptr().cast::<[AtomicU64; WORDS]>() };
        words[word].store(value.to_le(), Ordering::Relaxed);
    }
}
