//! The alphabet of headers: any bytes give values, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    frazil_log::fuzz::fuzz_wire(data);
});
