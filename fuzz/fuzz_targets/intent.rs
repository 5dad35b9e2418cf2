//! See [`vellum_fuzz::intent`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::intent(data));
