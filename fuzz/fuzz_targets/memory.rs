//! What every target that runs programs says to its sanitizer.

/// A request for more memory than any machine has gives none, as it does without a sanitizer: programs make such requests on
/// purpose, also out of hooks, and what comes of them is compared. `ASAN_OPTIONS` and `TSAN_OPTIONS` have the last word.
const OPTIONS: &std::ffi::CStr = c"allocator_may_return_null=1";

#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
    OPTIONS.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn __tsan_default_options() -> *const std::ffi::c_char {
    OPTIONS.as_ptr()
}
