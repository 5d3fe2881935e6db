//! Networks of clients: what reads is written and reads the same.
#![no_main]

use nigh_edge::network::Network;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(network) = text.parse::<Network>() else { return };
    let again = network.to_string().parse::<Network>();
    assert_eq!(again.as_ref(), Ok(&network), "{text}");
    let address = text.split('/').next().and_then(|address| address.parse().ok());
    assert!(address.is_some_and(|address| network.contains(address)), "{text}");
});
