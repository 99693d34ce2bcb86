//! Index pages: any bytes give places, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    frazil_log::fuzz::fuzz_page(data);
});
