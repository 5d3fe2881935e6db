//! The caching rules against a second opinion: the crate `http-cache-semantics`, on random responses.
//!
//! The responses are made of what both read in the same way. Where the two differ on purpose, the
//! generator or the filter says so:
//!
//! | case | here | there |
//! | --- | --- | --- |
//! | proxy-revalidate | fresh as long as its lifetime | never fresh |
//! | Set-Cookie without public | not stored | stored, never fresh |
//! | Age that is no number, or on several lines | stale | ignored, or the first line |
//! | Date before arrival | counts (apparent age, RFC 9111, 4.2.3) | ignored since RFC 7234 |
//! | a directive twice, with different or with quoted values | the smaller number | must-revalidate |
//! | status that is not known, with explicit lifetime | stored (RFC 9111, section 3) | not stored |
//! | heuristic lifetime | a day at most | without end |
//! | heuristic lifetime for 302, 303, 307 | only with public (RFC 9111, 4.2.2) | always |
//! | qualified no-cache and private | those fields are left out | the whole response |
//! | must-understand | lifts no-store | unknown |
//! | response without lifetime and validator | not stored | stored, never fresh |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_cache_semantics::{CacheOptions, CachePolicy};
use nigh_base::{Rng, Wall};
use nigh_cache::{
    date,
    directives::{RequestDirectives, ResponseDirectives},
    freshness::{HEURISTIC_MAX, Reuse, Terms},
    invalidate::Target,
    key::Scheme,
    storable::{Asked, Cookies, WhyNot, judge},
};

/// Wed, 18 Nov 2026 00:00:00 GMT, when every response arrives.
const ARRIVAL: Wall = Wall::from_secs(1_794_960_000);
const ROUNDS: u64 = 20_000;
/// The statuses that both know.
const STATUSES: [u16; 14] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];
const DIRECTIVES: [&str; 13] = [
    "public",
    "private",
    "no-store",
    "no-cache",
    "must-revalidate",
    "no-transform",
    "immutable",
    "foo",
    "bar=baz",
    "ext=\"quoted\"",
    "stale-if-error=60",
    "stale-while-revalidate=60",
    "",
];

struct Exchange {
    request: HeaderMap,
    status: StatusCode,
    response: HeaderMap,
}

impl Exchange {
    fn random(rng: &mut Rng) -> Self {
        let mut response = HeaderMap::new();
        let mut control: Vec<String> =
            (0..rng.below(3)).map(|_| DIRECTIVES[rng.index(DIRECTIVES.len())].to_owned()).collect();
        control.sort_unstable();
        control.dedup();
        for name in ["max-age", "s-maxage"] {
            if rng.one_in(2) {
                control.push(format!("{name}={}", rng.below(200)));
            }
        }
        if !control.is_empty() {
            append(&mut response, header::CACHE_CONTROL, &control.join(", "));
        }
        if rng.one_in(2) {
            // Never before the arrival: there the two differ. Ahead of it, Date counts for both.
            append(&mut response, header::DATE, &moment(rng.below(60)));
        }
        if rng.one_in(3) {
            let expires = if rng.one_in(4) { "0".to_owned() } else { moment(rng.below(300)) };
            append(&mut response, header::EXPIRES, &expires);
        }
        if rng.one_in(3) {
            let modified = date::format(Wall::from_secs(ARRIVAL.secs() - rng.below(2000)));
            append(&mut response, header::LAST_MODIFIED, &String::from_utf8_lossy(&modified));
        }
        if rng.one_in(3) {
            append(&mut response, header::AGE, &rng.below(150).to_string());
        }
        if rng.one_in(3) {
            append(&mut response, header::ETAG, "\"a\"");
        }
        let mut request = HeaderMap::new();
        if rng.one_in(4) {
            append(&mut request, header::AUTHORIZATION, "Basic x");
        }
        let status = StatusCode::from_u16(STATUSES[rng.index(STATUSES.len())]).unwrap();
        Self { request, status, response }
    }

    fn ours(&self) -> (Result<(), WhyNot>, Terms) {
        let directives = ResponseDirectives::parse(&self.response);
        let terms = Terms::new(ARRIVAL, ARRIVAL, self.status, &self.response, &directives);
        let asked = Asked {
            method: &Method::GET,
            target: Target { scheme: Scheme::Http, authority: b"a.example", path: b"/" },
            directives: RequestDirectives::parse(&self.request),
            authorized: self.request.contains_key(header::AUTHORIZATION),
            has_content: false,
        };
        let cookies = Cookies::default();
        (judge(&asked, self.status, &self.response, &directives, &terms, cookies), terms)
    }

    fn theirs(&self) -> CachePolicy {
        let mut request = Request::get("http://a.example/").body(()).unwrap();
        *request.headers_mut() = self.request.clone();
        let mut response = Response::builder().status(self.status).body(()).unwrap();
        *response.headers_mut() = self.response.clone();
        // Their default for immutable invents a lifetime of a day; RFC 8246 does not.
        let options =
            CacheOptions { immutable_min_time_to_live: Duration::ZERO, ..CacheOptions::default() };
        CachePolicy::new_options(&request, &response, time(ARRIVAL), options)
    }
}

fn append(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    fields.append(name, HeaderValue::from_str(value).unwrap());
}

fn moment(ahead: u64) -> String {
    let text = date::format(Wall::from_secs(ARRIVAL.secs() + ahead));
    String::from_utf8(text.to_vec()).unwrap()
}

fn time(when: Wall) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(when.millis())
}

#[test]
fn whatever_we_store_the_second_opinion_would_store() {
    let mut rng = Rng::new(1);
    let (mut stored, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let exchange = Exchange::random(&mut rng);
        let (ours, theirs) = (exchange.ours().0, exchange.theirs().is_storable());
        // What could never be reused is nothing that they look at.
        let useless = ours == Err(WhyNot::NoFreshnessAndNoValidator);
        assert!(ours.is_ok() == theirs || useless, "{round}: {ours:?} {:?}", exchange.response);
        *if ours.is_ok() { &mut stored } else { &mut refused } += 1;
    }
    assert!(stored > ROUNDS / 10 && refused > ROUNDS / 10, "{stored} stored, {refused} not");
}

#[test]
fn age_and_time_to_live_agree_with_the_second_opinion() {
    let mut rng = Rng::new(2);
    let mut fresh = 0;
    for round in 0..ROUNDS {
        let exchange = Exchange::random(&mut rng);
        let ((ours, terms), theirs) = (exchange.ours(), exchange.theirs());
        // They give a lifetime to redirects that RFC 9111, section 4.2.2 does not.
        let redirect = matches!(exchange.status.as_u16(), 302 | 303 | 307);
        if ours.is_err() || redirect && exchange.response.contains_key(header::LAST_MODIFIED) {
            continue;
        }
        assert!(terms.lifetime() <= HEURISTIC_MAX, "the generator stays below the cap");
        for passed in [0, 1, rng.below(400)] {
            let now = Wall::from_secs(ARRIVAL.secs() + passed);
            let place = format!("{round} after {passed} s: {:?}", exchange.response);
            assert_eq!(u64::from(terms.age(now)), theirs.age(time(now)).as_secs(), "{place}");
            let reuse = terms.reuse(&RequestDirectives::default(), now);
            assert_eq!(reuse == Reuse::Fresh, !theirs.is_stale(time(now)), "{place}");
            if !terms.no_cache() {
                let left = u64::try_from(terms.ttl(now)).unwrap_or(0);
                assert_eq!(left, theirs.time_to_live(time(now)).as_secs(), "{place}");
            }
            fresh += u64::from(reuse == Reuse::Fresh);
        }
    }
    assert!(fresh > ROUNDS / 10, "{fresh} fresh");
}

#[test]
fn a_response_never_grows_fresher() {
    let mut rng = Rng::new(3);
    for _ in 0..ROUNDS {
        let (_, terms) = Exchange::random(&mut rng).ours();
        let early = Wall::from_millis(ARRIVAL.millis() + rng.below(400_000));
        let late = early.after(Duration::from_millis(rng.below(400_000)));
        assert!(terms.age(early) <= terms.age(late) && terms.ttl(early) >= terms.ttl(late));
        let nothing = RequestDirectives::default();
        if terms.reuse(&nothing, late) == Reuse::Fresh {
            assert_eq!(terms.reuse(&nothing, early), Reuse::Fresh);
        }
        if terms.may_serve_on_error(&nothing, late) {
            assert!(terms.may_serve_on_error(&nothing, early));
        }
    }
}
