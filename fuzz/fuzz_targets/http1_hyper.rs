//! Whole connections: what we accept hyper reads the same way, and what we refuse we refuse by rule.
#![no_main]

mod http1;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    http1::against_hyper(bytes);
});
