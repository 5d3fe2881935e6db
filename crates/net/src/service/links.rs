//! Fetching ahead what a response links to as needed next.

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use nigh_edge::{
    plan::{self, Manner, Plan},
    site::links,
};
use tokio::sync::mpsc;

use super::{Ask, Service};
use crate::body::RequestBody;

/// Links that a core follows at once; what more there are is fetched when it is asked for.
const FOLLOWED_MAX: usize = 32;

/// Says to the origin that nobody has asked yet (the Fetch standard, section 3.2.9). What is asked so
/// has its own links left alone.
const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// Of the request's fields, those that choose among the variants of what nearly every page links to.
const TAKEN_ALONG: [HeaderName; 4] =
    [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::USER_AGENT, header::ORIGIN];

impl Service {
    /// Follows the links of a response, if its rule says so.
    pub(super) fn follow_links(self: &Rc<Self>, ask: &Ask, status: StatusCode, fields: &HeaderMap) {
        let is_page = ask.method == Method::GET && status == StatusCode::OK;
        // What a sibling's client needs next, that sibling asks for.
        let is_here = is_page && ask.sibling.is_none();
        let follows = is_here && ask.route.rule().follow_links && !ask.fields.contains_key(PURPOSE);
        if !follows || !fields.contains_key(header::LINK) {
            return;
        }
        for target in links::followed(fields, ask.scheme, &ask.authority, &ask.path_and_query) {
            if self.following.get() >= FOLLOWED_MAX {
                return;
            }
            if let Some((linked, fetch)) = self.needs_fetch(ask, target) {
                self.counters.link_followed();
                self.following.set(self.following.get() + 1);
                let service = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    let (unheard, _) = mpsc::channel(1);
                    // A flight that is kept goes on without a reader; another ends.
                    drop(service.fetch(linked, fetch, RequestBody::Empty, unheard).await);
                    service.following.set(service.following.get() - 1);
                });
            }
        }
    }

    /// The request for what a response links to, if it is let in and not stored.
    fn needs_fetch(&self, ask: &Ask, target: String) -> Option<(Rc<Ask>, plan::Fetch)> {
        let route = ask.route.to(&target);
        let rule = route.rule();
        let mut fields = HeaderMap::new();
        for name in TAKEN_ALONG {
            if let Some(value) = ask.fields.get(&name) {
                fields.insert(name, value.clone());
            }
        }
        rule.rewrite(&Method::GET, &mut fields);
        fields.insert(PURPOSE, HeaderValue::from_static("prefetch"));
        self.admit(&route, &Method::GET, &target, ask.client, &fields).ok()?;
        let (mut key, mut selecting) = (Vec::new(), Vec::new());
        route.write_key(ask.scheme, &ask.authority, &target, &mut key);
        let request = plan::Request {
            method: &Method::GET,
            fields: &fields,
            has_body: false,
            upgrade: false,
            bypass: rule.bypass,
            // Nobody is answered with what is stored.
            trusted: true,
        };
        let Plan::Fetch(fetch) = self.plan(&request, rule, &key, &mut selecting) else {
            return None;
        };
        if fetch.manner != Manner::Shared {
            return None;
        }
        let linked = Ask {
            method: Method::GET,
            path_and_query: target.into(),
            fields,
            key: key.into(),
            selecting: selecting.into(),
            has_content: false,
            route,
            ..ask.clone()
        };
        Some((Rc::new(linked), fetch))
    }
}
