//! See [`vellum_fuzz::tombstone_manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::tombstone_manifest(data));
