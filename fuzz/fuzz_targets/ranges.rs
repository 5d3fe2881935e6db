//! Range and Content-Range: what resolves lies within the representation.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::fuzz::ranges(bytes));
