//! See [`vellum_fuzz::fence`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::fence(data));
