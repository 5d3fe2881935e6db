//! A purge rule as it lies on a disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::disk::fuzz::rule(bytes));
