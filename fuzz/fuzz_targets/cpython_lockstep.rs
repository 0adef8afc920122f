//! The Rust exporters and CPython against the model, in lockstep.
#![no_main]
mod edges;
mod interpreter;
mod memory;
mod structural;

use buflock::fuzz::mutate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| edges::counted(data, buflock_oracle::fuzz::cpython_lockstep));
