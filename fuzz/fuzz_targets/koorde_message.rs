//! A datagram of Koorde: what reads is written as the same bytes.
#![no_main]

use nigh_overlay::locate::{fuzz, koorde::Geometry, node::message::Message};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::message::<Message<Geometry>>(bytes));
