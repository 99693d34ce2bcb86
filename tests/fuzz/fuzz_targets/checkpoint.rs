//! Checkpoints: any bytes give a state that can be folded on, or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    frazil_log::fuzz::fuzz_checkpoint(data);
});
