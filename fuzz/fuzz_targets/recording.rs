//! A recording of a machine: it is read to its end or refused at a place that it has.
#![no_main]

use bytes::Bytes;
use nigh_base::{record::Recording, wire::Wire};
use nigh_overlay::locate::Command;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(command) = Command::decode(bytes) {
        assert_eq!(command.encode(), bytes, "a command has one form");
    }
    let Ok(mut recording) = Recording::open(bytes) else { return };
    while let Ok(Some(_)) = recording.next_entry::<Bytes, Command>() {}
});
