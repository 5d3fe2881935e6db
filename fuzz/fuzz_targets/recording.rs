//! A recording of a machine: it is read to its end or refused at a place that it has.
#![no_main]

use bytes::Bytes;
use nigh_base::record::Recording;
use nigh_overlay::locate::{Command, fuzz, kademlia};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::message::<Command>(bytes);
    fuzz::message::<kademlia::Command>(bytes);
    let Ok(mut recording) = Recording::open(bytes) else { return };
    while let Ok(Some(_)) = recording.next_entry::<Bytes, Command>() {}
});
