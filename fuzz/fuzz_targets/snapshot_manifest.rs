//! See [`vellum_fuzz::snapshot_manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::snapshot_manifest(data));
