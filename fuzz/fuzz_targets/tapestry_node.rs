//! A node of Tapestry and whatever it is sent: it keeps its invariants and its limits.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_overlay::locate::tapestry::fuzz::node(bytes));
