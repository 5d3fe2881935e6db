//! A record of the disk store: within its bounds, or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::disk::fuzz::record(bytes));
