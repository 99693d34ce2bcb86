//! Segments: any bytes give a header, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    frazil_log::fuzz::fuzz_segment(data);
});
