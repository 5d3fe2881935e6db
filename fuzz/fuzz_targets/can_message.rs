//! A datagram of CAN: what reads is written as the same bytes.
#![no_main]

use nigh_overlay::locate::{can::Geometry, fuzz, node::message::Message};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::message::<Message<Geometry>>(bytes));
