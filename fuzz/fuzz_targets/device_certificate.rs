//! See [`vellum_fuzz::device_certificate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::device_certificate(data));
