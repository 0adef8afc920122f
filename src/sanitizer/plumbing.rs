//! Functions that say nothing of what was done.

use super::Frame;

/// Names, or beginnings of names that end in `*`: what a sanitizer puts in front of the C library's functions, what
/// allocates, what counts references and exports for whoever asked, and what every call of the interpreter goes through.
const FUNCTIONS: &[&str] = &[
    "__asan_*",
    "__interceptor_*",
    "__sanitizer_*",
    "__tsan_*",
    "___interceptor_*",
    "_Py_CheckFunctionResult",
    "_Py_DecRefShared*",
    "_Py_Dealloc",
    "_Py_MergeZeroLocalRefcount",
    "_Py_atomic_*",
    "_PyMem_*",
    "_PyObject_*",
    "_mi_*",
    "calloc",
    "free",
    "malloc",
    "memchr",
    "memcmp",
    "memcpy",
    "memmem",
    "memmove",
    "memrchr",
    "memset",
    "mi_*",
    "PyMem_*",
    "PyObject_Calloc",
    "PyObject_Free",
    "PyObject_Malloc",
    "PyObject_Realloc",
    "Py_DECREF*",
    "Py_INCREF*",
    "Py_XDECREF*",
    "Py_SET_SIZE*",
    "Py_SIZE*",
    "realloc",
    "strlen",
    "_Py_SET_SIZE*",
    "_Py_SIZE*",
];

/// Files, or folders that end in `/`, of which every function works for another: it is of their callers what they do.
const FILES: &[&str] = &[
    "Include/",
    "Objects/abstract.c",
    "Objects/bytes_methods.c",
    "Objects/call.c",
    "Objects/mimalloc/",
    "Objects/object.c",
    "Objects/obmalloc.c",
    "Objects/stringlib/",
    "Python/critical_section.c",
    "Python/lock.c",
    "Python/pystrhex.c",
];

/// Whether a frame is of no help in telling one fault from another.
pub fn is_plumbing(frame: &Frame) -> bool {
    let is = |name: &str| match name.strip_suffix('*') {
        Some(beginning) => frame.function.starts_with(beginning),
        None => frame.function == name,
    };
    let place = frame.place.as_deref().unwrap_or_default();
    let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
    let is_of = |part: &&&str| if part.ends_with('/') { file.starts_with(**part) } else { file == **part };
    FUNCTIONS.iter().any(|name| is(name)) || FILES.iter().any(|part| is_of(&part))
}
