//! See [`vellum_fuzz::key_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::key_file(data));
