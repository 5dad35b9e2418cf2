//! See [`vellum_fuzz::repository_config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::repository_config(data));
