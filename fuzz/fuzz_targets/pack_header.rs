//! See [`vellum_fuzz::pack_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::pack_header(data));
