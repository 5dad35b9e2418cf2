//! See [`vellum_fuzz::directory`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::directory(data));
