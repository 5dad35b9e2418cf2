//! See [`vellum_fuzz::verification`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::verification(data));
