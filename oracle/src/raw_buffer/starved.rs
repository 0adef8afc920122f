//! An interpreter that is refused one allocation.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::Python;

use super::domains::{Allocator, DOMAINS, Functions};

/// The allocator of a domain, of which one call gets nothing.
struct Starved<'a> {
    before: Allocator,
    /// How many allocations there are before that one.
    left: &'a AtomicUsize,
}

const FUNCTIONS: Functions = Functions { malloc, calloc, realloc, free };

/// Runs `f`, in which the allocation after `after` others fails, in the domains of objects and their contents. A Python
/// without the GIL, which knows its objects by where they lie, is refused nothing.
///
/// It may call nobody who does not expect that.
pub fn starved<R>(py: Python<'_>, after: usize, f: impl FnOnce() -> R) -> R {
    if cfg!(Py_GIL_DISABLED) {
        return f();
    }
    let left = AtomicUsize::new(after);
    let starved = DOMAINS.map(|domain| Starved { before: Allocator::of(py, domain), left: &left });
    /// Puts the allocators back where they were, however `f` ends.
    struct Fed<'a>(Python<'a>, &'a [Starved<'a>; DOMAINS.len()]);
    impl Drop for Fed<'_> {
        fn drop(&mut self) {
            for (domain, starved) in DOMAINS.into_iter().zip(self.1) {
                // SAFETY: every block is of this one, whoever was asked for it.
                unsafe { starved.before.install(self.0, domain) };
            }
        }
    }
    let fed = Fed(py, &starved);
    for (domain, starved) in DOMAINS.into_iter().zip(&starved) {
        let own = Allocator::new(ptr::from_ref(starved).cast_mut().cast(), &FUNCTIONS);
        // SAFETY: it asks the one from before for every block, and lives until that is put back.
        unsafe { own.install(py, domain) };
    }
    let result = f();
    drop(fed);
    result
}

impl Starved<'_> {
    /// Asks the allocator from before, or says that there is nothing.
    fn asked(context: *mut c_void, ask: impl FnOnce(&Allocator) -> *mut c_void) -> *mut c_void {
        // SAFETY: it is the context of an allocator that was made of one.
        let own = unsafe { &*context.cast::<Starved<'_>>() };
        // The count goes on below zero, where nothing fails any more.
        if own.left.fetch_sub(1, Ordering::Relaxed) == 0 { ptr::null_mut() } else { ask(&own.before) }
    }
}

extern "C" fn malloc(context: *mut c_void, size: usize) -> *mut c_void {
    Starved::asked(context, |before| before.malloc(size))
}

extern "C" fn calloc(context: *mut c_void, count: usize, each: usize) -> *mut c_void {
    Starved::asked(context, |before| before.calloc(count, each))
}

extern "C" fn realloc(context: *mut c_void, block: *mut c_void, size: usize) -> *mut c_void {
    Starved::asked(context, |before| before.realloc(block, size))
}

extern "C" fn free(context: *mut c_void, block: *mut c_void) {
    // SAFETY: as in `asked`.
    unsafe { &*context.cast::<Starved<'_>>() }.before.free(block);
}
