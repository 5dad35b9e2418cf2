//! See [`vellum_fuzz::content`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::content(data));
