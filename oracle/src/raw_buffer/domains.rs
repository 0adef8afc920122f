//! The allocators of Python's domains, of which one can be put in the place of another: `PyMem_SetAllocator` of
//! `Objects/obmalloc.c`.

use std::ffi::c_void;
use std::ptr;

use pyo3::ffi::PyMemAllocatorDomain::{PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
use pyo3::ffi::PyMemAllocatorEx;
use pyo3::{Python, ffi};

/// The domains in which objects and their contents lie. Whoever allocates in them is attached.
pub const DOMAINS: [ffi::PyMemAllocatorDomain; 2] = [PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ];

/// An allocator that a domain has.
pub struct Allocator(PyMemAllocatorEx);

// SAFETY: what Python calls from any thread that is attached may be called from any such thread here, and nothing else
// is done with it.
unsafe impl Send for Allocator {}
// SAFETY: as above.
unsafe impl Sync for Allocator {}

const WHOLE: &str = "an allocator has all four";

impl Allocator {
    /// The one that a domain has now.
    pub fn of(_: Python<'_>, domain: ffi::PyMemAllocatorDomain) -> Allocator {
        let mut own =
            PyMemAllocatorEx { ctx: ptr::null_mut(), malloc: None, calloc: None, realloc: None, free: None };
        // SAFETY: it is written here; this thread is attached.
        unsafe { ffi::PyMem_GetAllocator(domain, &raw mut own) };
        Allocator(own)
    }

    /// One of these functions, which get `context`.
    pub fn new(context: *mut c_void, functions: &Functions) -> Allocator {
        Allocator(PyMemAllocatorEx {
            ctx: context,
            malloc: Some(functions.malloc),
            calloc: Some(functions.calloc),
            realloc: Some(functions.realloc),
            free: Some(functions.free),
        })
    }

    /// Puts it in the place of the one that a domain has.
    ///
    /// # Safety
    /// It gives back to the others what they gave, for as long as there is any of it, and works until it is replaced.
    pub unsafe fn install(&self, _: Python<'_>, domain: ffi::PyMemAllocatorDomain) {
        let mut own = self.0;
        // SAFETY: it is copied; this thread is attached, so that nobody allocates in the domain meanwhile; and the rest is
        // the caller's.
        unsafe { ffi::PyMem_SetAllocator(domain, &raw mut own) };
    }

    /// So many bytes, or NULL.
    pub fn malloc(&self, size: usize) -> *mut c_void {
        self.0.malloc.expect(WHOLE)(self.0.ctx, size)
    }

    /// So many blocks of so many zeros, or NULL.
    pub fn calloc(&self, count: usize, each: usize) -> *mut c_void {
        self.0.calloc.expect(WHOLE)(self.0.ctx, count, each)
    }

    /// A block of it in another size, or NULL.
    pub fn realloc(&self, block: *mut c_void, size: usize) -> *mut c_void {
        self.0.realloc.expect(WHOLE)(self.0.ctx, block, size)
    }

    /// Takes a block of it back.
    pub fn free(&self, block: *mut c_void) {
        self.0.free.expect(WHOLE)(self.0.ctx, block);
    }
}

/// The functions of an allocator, in C.
pub struct Functions {
    /// As [`Allocator::malloc`].
    pub malloc: extern "C" fn(*mut c_void, usize) -> *mut c_void,
    /// As [`Allocator::calloc`].
    pub calloc: extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    /// As [`Allocator::realloc`].
    pub realloc: extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    /// As [`Allocator::free`].
    pub free: extern "C" fn(*mut c_void, *mut c_void),
}
