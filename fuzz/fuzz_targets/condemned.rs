//! See [`vellum_fuzz::condemned`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::condemned(data));
