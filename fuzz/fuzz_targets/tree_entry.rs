//! See [`vellum_fuzz::tree_entry`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::tree_entry(data));
