//! See [`vellum_fuzz::parity_table`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::parity_table(data));
