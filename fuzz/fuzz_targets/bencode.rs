//! A bencoded value: read where it lies, and written in its one form.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_base::bencode::fuzz::value(bytes));
