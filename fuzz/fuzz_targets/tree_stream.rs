//! See [`vellum_fuzz::tree_stream`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vellum_fuzz::tree_stream(data));
