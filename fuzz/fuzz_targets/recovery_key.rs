//! See [`vellum_fuzz::recovery_key`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::recovery_key(data));
