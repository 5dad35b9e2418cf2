//! See [`vellum_fuzz::head_code`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::head_code(data));
