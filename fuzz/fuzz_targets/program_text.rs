//! The parser of program files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| buflock::fuzz::text(data));
