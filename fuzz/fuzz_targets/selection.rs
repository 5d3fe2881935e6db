//! Vary, Accept-Encoding, Accept-Language and conditions: a normal form is its own normal form.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::fuzz::selection(bytes));
