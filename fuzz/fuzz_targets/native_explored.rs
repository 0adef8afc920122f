//! The Rust exporters against the model, on threads that take the turns that an input says. No Python.
#![no_main]
mod edges;
mod memory;
mod structural;

use buflock::fuzz::mutate_explored as mutate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| edges::counted(data, buflock::fuzz::native_explored));
