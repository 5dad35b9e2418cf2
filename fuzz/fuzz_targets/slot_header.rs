//! See [`vellum_fuzz::slot_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::slot_header(data));
