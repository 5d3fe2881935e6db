//! Link, one a line: what is followed is a path of the site without dot segments.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use nigh_cache::key::Scheme;
use nigh_edge::site::links::{LINKS_MAX, followed};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            fields.append(header::LINK, value);
        }
    }
    let found = followed(&fields, Scheme::Https, "www.example", "/a/b?c");
    assert!(found.len() <= LINKS_MAX);
    for target in found {
        let path = target.split('?').next().unwrap_or_default();
        assert!(path.starts_with('/'), "{target}");
        assert!(path.split('/').all(|segment| !matches!(segment, "." | "..")), "{target}");
        assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{target}");
    }
});
