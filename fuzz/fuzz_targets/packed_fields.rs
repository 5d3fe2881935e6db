//! The fields of a stored response: what goes into the store comes out of it, line by line.
//!
//! Each line of the input is a field, `name:value`.
#![no_main]

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_LENGTH};
use nigh_base::{ByteSize, Wall};
use nigh_cache::{
    directives::ResponseDirectives,
    fields::Fields,
    flight::Head,
    freshness::Terms,
    store::{Settings, Store},
};

const KEY: &[u8] = b"http://a.example/";

static STORE: LazyLock<Arc<Store>> =
    LazyLock::new(|| Store::new(Settings::new(ByteSize::mib(8), 1)));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut fields = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]))
        {
            fields.append(name, value);
        }
    }
    keep(&fields);
    let key = STORE.key(KEY);
    if let Some(object) = STORE.find(key, &HeaderMap::new(), &mut Vec::new()) {
        // A body knows its own length.
        fields.remove(CONTENT_LENGTH);
        let packed = object.fields();
        assert_eq!(packed.to_map(), fields, "the fields come back");
        for name in fields.keys() {
            let lines: Vec<&[u8]> = packed.values(name.as_str()).collect();
            let sent: Vec<&[u8]> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            assert_eq!(lines, sent, "the lines of {name} come back in order");
        }
    } else {
        let too_long = |len: usize, max: usize| len > max;
        assert!(
            fields.iter().any(|(name, value)| {
                too_long(name.as_str().len(), usize::from(u8::MAX))
                    || too_long(value.len(), usize::from(u16::MAX))
            }),
            "only a line that is too long keeps a response out"
        );
    }
    STORE.remove(key);
});

/// Stores a response with these fields and no content.
fn keep(fields: &HeaderMap) {
    let now = Wall::from_secs(1_794_960_000);
    let directives = ResponseDirectives::default();
    let (_reader, mut pilot) = STORE.fly_alone(STORE.key(KEY));
    pilot.head(Head {
        status: StatusCode::OK,
        fields: fields.clone(),
        for_first: HeaderMap::new(),
        length: Some(0),
        announced: None,
        terms: Terms::new(now, now, StatusCode::OK, fields, &directives),
        stored: Ok(()),
        vary: Arc::from([]),
        selecting: Box::default(),
        from_store: false,
        passing: false,
    });
    pilot.land(None);
}
