//! A message of Chord: what reads is written as the same bytes, within the limit.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_overlay::locate::chord::message::fuzz(bytes));
