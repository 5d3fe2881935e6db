//! A message between members: what reads is written as the same bytes, within the limit.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_cluster::membership::message::fuzz(bytes));
