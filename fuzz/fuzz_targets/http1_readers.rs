//! Whole connections: the fast reader of heads against the plain one, and pieces against the whole.
#![no_main]

use nigh_net::http1::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::against_ourselves(bytes));
