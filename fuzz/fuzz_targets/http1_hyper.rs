//! Whole connections: what we accept hyper reads the same way, and what we refuse we refuse by rule.
#![no_main]

use nigh_net::http1::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::against_hyper(bytes);
});
