//! The Rust exporters against the model. No Python.
#![no_main]
mod edges;
mod memory;
mod structural;

use buflock::fuzz::mutate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| edges::counted(data, buflock::fuzz::native_model));
