//! Signed URLs: what was signed is let in as it is, and nothing else is.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use nigh_base::Wall;
use nigh_edge::site::signed::{Grant, Key, sign, verify};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

libfuzzer_sys::fuzz_target!(|text: &str| {
    let key = Key::new("k", &[7; 32]).expect("it is long enough");
    let is_let_in =
        |target: &str| verify(target, std::slice::from_ref(&key), CLIENT, Wall::from_secs(1)).is_ok();
    assert!(!is_let_in(text), "nobody has the key");
    for prefix in [None, text.rfind('/').map(|end| &text[..=end])] {
        let grant = Grant { prefix, expires: 2, network: None };
        let Ok(signed) = sign(text, &key, &grant) else { continue };
        assert!(is_let_in(&signed), "{signed}");
        assert!(!is_let_in(&format!("{signed}&a")), "{signed}");
        if prefix.is_none() {
            assert!(!is_let_in(&format!("/{signed}")), "{signed}");
        }
    }
});
