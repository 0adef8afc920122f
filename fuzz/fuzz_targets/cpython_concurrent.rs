//! The Rust exporters and CPython, whose threads race, against the model.
#![no_main]
mod edges;
mod interpreter;
mod memory;
mod structural;

use buflock::fuzz::mutate_concurrent as mutate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| edges::counted(data, buflock_oracle::fuzz::cpython_concurrent));
