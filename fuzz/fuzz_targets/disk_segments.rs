//! Segments of the disk store that were changed: what is found is what was written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::disk::fuzz::segments(bytes));
