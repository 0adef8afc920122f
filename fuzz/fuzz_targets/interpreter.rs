//! What a target needs that embeds Python.

/// An interpreter that is never ended leaves what it made at its start: nothing that a program did.
#[unsafe(no_mangle)]
extern "C" fn __lsan_is_turned_off() -> i32 {
    1
}
