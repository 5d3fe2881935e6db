//! Stored responses for this crate's tests, put into a store as a fetch puts them there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use nigh_base::{ByteSize, Wall};
use nigh_cache::{
    directives::ResponseDirectives,
    flight::Head,
    freshness::Terms,
    key::Key,
    object::Object,
    store::{Settings, Store},
    vary::{self, Vary},
};

/// Field lines, as a test writes them.
pub(crate) type Lines<'a> = &'a [(&'static str, &'a str)];

/// When every stored response arrived; [`DATE`] says the same.
pub(crate) const RECEIVED: Wall = Wall::from_secs(784_111_777);

/// [`RECEIVED`], as a field has it.
pub(crate) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// The moment at which what arrived without an Age is `secs` seconds old.
pub(crate) fn at_age(secs: u64) -> Wall {
    RECEIVED.after(Duration::from_secs(secs))
}

/// Fields with these lines.
pub(crate) fn fields(lines: Lines<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    map
}

/// Bytes of which every aligned six are different, so that what is found tells where it lay.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..).flat_map(|n| format!("{n:06}").into_bytes()).take(length).collect()
}

/// An empty store.
pub(crate) fn store() -> Arc<Store> {
    seeded_store(7)
}

/// An empty store whose secret is `seed`.
pub(crate) fn seeded_store(seed: u64) -> Arc<Store> {
    Store::new(Settings::new(ByteSize::kib(4096), seed))
}

/// The one key under which tests store and look.
pub(crate) fn key(store: &Store) -> Key<'static> {
    store.key(b"http://www.example/a")
}

/// Stores the response that a request with the fields `asked` got. A 206 needs a Content-Range, and
/// adds to the parts that are there.
pub(crate) fn put(
    store: &Arc<Store>,
    asked: Lines<'_>,
    status: u16,
    lines: Lines<'_>,
    body: &[u8],
) -> Object {
    let (asked, fields) = (fields(asked), fields(lines));
    let status = StatusCode::from_u16(status).unwrap();
    let directives = ResponseDirectives::parse(&fields);
    let vary = Vary::parse(&fields);
    let mut selecting = Vec::new();
    vary::selecting(vary.names(), &asked, &mut selecting);
    let (_reader, mut pilot) = store.fly_alone(key(store));
    pilot.head(Head {
        status,
        terms: Terms::new(RECEIVED, RECEIVED, status, &fields, &directives),
        fields,
        for_first: HeaderMap::new(),
        length: Some(body.len() as u64),
        announced: None,
        stored: Ok(()),
        vary: vary.names().into(),
        selecting: selecting.into(),
        from_store: false,
        passing: false,
    });
    pilot.push(&Bytes::copy_from_slice(body));
    pilot.land(None);
    store.find(key(store), &asked, &mut Vec::new()).expect("the response was stored")
}
