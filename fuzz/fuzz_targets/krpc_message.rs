//! A message of the mainline DHT: what reads is written as something that reads as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| nigh_overlay::locate::kademlia::krpc::fuzz(bytes));
