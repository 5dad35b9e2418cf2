//! See [`vellum_fuzz::sealed_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::sealed_header(data));
