//! Slices of rows: any bytes give rows or an error, never a panic, and bounded memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frazil_log::segment::fuzz::fuzz_slice(data));
