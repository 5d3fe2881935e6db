//! The first bytes of a TLS client: more is asked for until there is one verdict, which neither cutting
//! the bytes, nor what follows, nor other records change.
#![no_main]

use nigh_edge::forward_proxy::client_hello::{BYTES_MAX, Read, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut there = 0;
    let verdict = loop {
        match read(&bytes[..there]) {
            Read::Partial { wanted } => {
                assert!(wanted > there && wanted <= BYTES_MAX, "{wanted} of {there}");
                if wanted > bytes.len() {
                    return;
                }
                there = wanted;
            }
            verdict => break verdict,
        }
    };
    assert_eq!(read(bytes), verdict, "what follows changes nothing");
    if let Read::Hello(name) = &verdict {
        if let Some(name) = name {
            assert!(!name.is_empty() && name.len() <= 253 && **name == *name.to_ascii_lowercase());
        }
        let message = content(&bytes[..there]);
        for size in [1000, 16_384] {
            let again = records(&message, size);
            if again.len() <= BYTES_MAX {
                assert_eq!(read(&again), verdict, "records of {size}");
            }
        }
    }
});

/// What records carry.
fn content(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        content.extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
    }
    content
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |content: &[u8]| {
        let length = u16::try_from(content.len()).expect("a record").to_be_bytes();
        [&[22, 3, 1, length[0], length[1]], content].concat()
    };
    message.chunks(size).flat_map(record).collect()
}
