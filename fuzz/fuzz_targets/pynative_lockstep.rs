//! CPython with the Rust exporters as its classes against the model, in lockstep.
#![no_main]
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| buflock_oracle::fuzz::pynative_lockstep(data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    buflock::fuzz::mutate(data, size, max_size, seed).unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    buflock::fuzz::cross(one, other, out, seed).unwrap_or(0)
});

/// An interpreter that is never ended leaves what it made at its start: nothing that a program did.
#[unsafe(no_mangle)]
extern "C" fn __lsan_is_turned_off() -> i32 {
    1
}
