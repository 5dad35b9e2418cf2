//! See [`vellum_fuzz::record_signed`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::record_signed(data));
