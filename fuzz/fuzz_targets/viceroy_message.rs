//! A datagram of Viceroy: what reads is written as the same bytes.
#![no_main]

use nigh_overlay::locate::{fuzz, node::message::Message, viceroy::Geometry};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::message::<Message<Geometry>>(bytes));
