//! Location and Content-Location: what resolves is an absolute path without dot segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::fuzz::references(bytes));
