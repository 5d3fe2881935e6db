//! Cache-Control, Expires, Age and Date together: freshness stays within its bounds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::fuzz::freshness(bytes));
