//! See [`vellum_fuzz::key_manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::key_manifest(data));
