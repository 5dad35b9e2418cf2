//! See [`vellum_fuzz::pack_trailer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::pack_trailer(data));
