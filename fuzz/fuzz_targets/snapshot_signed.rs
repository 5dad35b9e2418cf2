//! See [`vellum_fuzz::snapshot_signed`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::snapshot_signed(data));
