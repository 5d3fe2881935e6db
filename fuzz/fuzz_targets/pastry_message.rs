//! A datagram of Pastry: what reads is written as the same bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_overlay::locate::pastry::message::fuzz(bytes));
