//! CDN-Cache-Control, a structured dictionary (RFC 9213), beside a Cache-Control that it outranks.
//!
//! The last line of the input is Cache-Control; the lines before it are CDN-Cache-Control.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, header::CACHE_CONTROL};
use nigh_cache::directives::{
    QUALIFIED_MAX, ResponseDirectives, SECONDS_MAX, Scope, Source, TARGETED,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let plain = lines.pop().unwrap_or_default();
    let targeted = HeaderName::from_static(TARGETED[0]);
    let (mut both, mut first, mut last) = (HeaderMap::new(), HeaderMap::new(), HeaderMap::new());
    for line in lines {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        both.append(targeted.clone(), value.clone());
        first.append(targeted.clone(), value);
    }
    let Ok(value) = HeaderValue::from_bytes(plain) else { return };
    both.append(CACHE_CONTROL, value.clone());
    last.append(CACHE_CONTROL, value);

    let found = ResponseDirectives::parse(&both);
    match found.source {
        // Section 2.2: the targeted field decides alone.
        Source::Targeted(_) => assert_eq!(found, ResponseDirectives::parse(&first)),
        // Section 2.1: it is absent, empty or invalid, and as if it were not there.
        Source::CacheControl => {
            assert_eq!(found, ResponseDirectives::parse(&last));
            assert_eq!(ResponseDirectives::parse(&first), ResponseDirectives::default());
        }
    }
    for seconds in
        [found.max_age, found.s_maxage, found.stale_while_revalidate, found.stale_if_error]
    {
        assert!(seconds.is_none_or(|seconds| seconds <= SECONDS_MAX), "{found:?}");
    }
    for scope in [&found.private, &found.no_cache] {
        assert!(scope.fields().len() <= QUALIFIED_MAX, "{found:?}");
        assert!(*scope != Scope::Fields(Vec::new()), "a scope of no fields: {found:?}");
    }
});
