//! Comma-separated lists and the entity tags in them: pieces of their line that read back.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cache::fuzz::lists(bytes));
