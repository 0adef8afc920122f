//! What changes inputs as the programs that they are: for every target but that of the parser. The target says by which
//! `mutate`.

use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzzer_mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    super::mutate(data, size, max_size, seed).unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    buflock::fuzz::cross(one, other, out, seed).unwrap_or(0)
});
