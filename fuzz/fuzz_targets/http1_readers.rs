//! Whole connections: the fast reader of heads against the plain one, and pieces against the whole.
#![no_main]

mod http1;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http1::against_ourselves(bytes));
