//! See [`vellum_fuzz::catalog`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::catalog(data));
