//! HTTP dates: what reads is written as the same instant.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::fuzz::dates(bytes));
