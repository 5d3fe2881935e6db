//! A message of Chord: what reads is written as the same bytes, within the limit.
#![no_main]

use nigh_overlay::locate::{fuzz, chord::message::Message};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::message::<Message>(bytes));
