//! What a site says of some of its paths: how the key is written, what goes to the origin, and for how
//! long an answer is kept.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode};
use nigh_cache::{
    directives::{ResponseDirectives, SECONDS_MAX},
    fields::Fields,
    key::{self, Scheme},
    purge,
};

use super::{
    Compress, FieldRules, Guard, Methods, Order, Pattern, Query, Visit, path,
    signed::{self, Key},
    types,
};
use crate::problem::Problem;

/// The name of a parameter or a cookie, or how such names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// This one.
    Exact(Box<str>),
    /// All that begin so.
    Prefix(Box<str>),
}

impl Name {
    /// What `text` stands for: with a star at its end, all names that begin so.
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(start) => Self::Prefix(start.into()),
            None => Self::Exact(text.into()),
        }
    }

    /// Whether it stands for `name`. Case counts, as it does for who sets them.
    pub fn is(&self, name: &[u8]) -> bool {
        match self {
            Self::Exact(held) => held.as_bytes() == name,
            Self::Prefix(start) => name.starts_with(start.as_bytes()),
        }
    }
}

/// How requests for some paths are let in, cached and answered. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// For how long a response is fresh, in place of what it says itself.
    pub ttl: Option<Duration>,
    /// Nothing is looked up, and nothing is kept.
    pub bypass: bool,
    /// What of the query counts.
    pub query: Query,
    /// Cookies that do not count.
    pub ignore_cookies: Box<[Name]>,
    /// Who is let in, and with what.
    pub guard: Option<Arc<Guard>>,
    /// What is compressed here.
    pub compress: Option<Arc<Compress>>,
    /// What is done to fields.
    pub fields: Option<Arc<FieldRules>>,
    /// A file's name says nothing of its type: pages under such names are kept as others are.
    pub mixed_types: bool,
    /// What responses link to as needed next is fetched ahead.
    pub follow_links: bool,
}

/// Which rule of a site is a request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleNumber(usize);

/// The number of the rule for paths that can be read in several ways.
const UNCLEAR: RuleNumber = RuleNumber(usize::MAX);

/// A site's rules, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    list: Vec<(Pattern, Rule)>,
    /// For paths that no pattern matches.
    rest: Rule,
    /// Whether some protect otherwise than others: then patterns are held against whatever an origin
    /// may make of a path.
    guards: bool,
    /// For paths of which the protection depends on who reads them.
    unclear: Rule,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Vec::new(), Rule::default())
    }
}

impl Rules {
    /// Rules with their patterns, of which the first that matches counts, and the one for all other
    /// paths.
    pub fn new(list: Vec<(Pattern, Rule)>, rest: Rule) -> Self {
        let guards = list.iter().any(|(_, rule)| !rule.protects_as(&rest));
        let guard = Guard { unclear: true, ..Guard::default() };
        let unclear = Rule { guard: Some(Arc::new(guard)), ..Rule::default() };
        Self { list, rest, guards, unclear }
    }

    /// The same, with the keys of signed URLs for the rule at this place among those with patterns.
    ///
    /// # Panics
    /// If there is no such rule, or it lets in more than signed URLs.
    #[must_use]
    pub fn with_keys(mut self, place: usize, keys: Box<[Key]>) -> Self {
        let guard = self.list[place].1.guard.as_mut().expect("it has a guard");
        let held = &mut Arc::make_mut(guard).keys;
        assert!(held.is_some(), "only a rule for signed URLs has keys");
        *held = Some(keys);
        self
    }

    /// One rule, for every path.
    pub fn everywhere(rule: Rule) -> Self {
        Self::new(Vec::new(), rule)
    }

    /// All of them with their patterns, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &(Pattern, Rule)> {
        self.list.iter()
    }

    /// The one for paths that no pattern matches.
    pub const fn rest(&self) -> &Rule {
        &self.rest
    }

    /// Which rule is for a path with its query. Where not all protect alike, every form counts that an
    /// origin may make of the path: if they are under rules that protect otherwise, nobody is let in.
    pub fn find(&self, path_and_query: &str) -> RuleNumber {
        if self.list.is_empty() {
            return RuleNumber(0);
        }
        let (path, _) = split(path_and_query);
        let under = |path: &str| {
            let found = self.list.iter().position(|(pattern, _)| pattern.matches(path));
            RuleNumber(found.unwrap_or(self.list.len()))
        };
        let number = under(path);
        if !self.guards || path::is_plain(path) {
            return number;
        }
        let Some(readings) = path::readings(path) else { return UNCLEAR };
        let rule = self.rule(number);
        let mut others: Vec<_> = readings.iter().map(|reading| under(reading)).collect();
        others.sort_unstable();
        others.dedup();
        match others.iter().all(|&other| other == number || self.rule(other).protects_as(rule)) {
            true => number,
            false => UNCLEAR,
        }
    }

    /// The rule of this number, which [`Self::find`] gave.
    pub fn rule(&self, number: RuleNumber) -> &Rule {
        match number {
            UNCLEAR => &self.unclear,
            RuleNumber(at) => self.list.get(at).map_or(&self.rest, |(_, rule)| rule),
        }
    }
}

impl Rule {
    /// Whether the same is let in and out under both. How answers are kept may differ: they are kept
    /// under the path as it came.
    fn protects_as(&self, other: &Self) -> bool {
        self.guard == other.guard && self.fields == other.fields
    }

    /// Writes the key of a target, in place of what was in `out`. Allocates nothing once it has grown.
    pub fn write_key(
        &self,
        scheme: Scheme,
        authority: &str,
        path_and_query: &str,
        out: &mut Vec<u8>,
    ) {
        match split(path_and_query) {
            (path, Some(query)) if !self.query.is_kept() => {
                key::write(scheme, authority, path, out);
                self.query.write(query, out);
            }
            _ => key::write(scheme, authority, path_and_query, out),
        }
    }

    /// The target as the origin gets it: what does not count is not sent, so that it cannot choose
    /// what others get.
    pub fn target<'a>(&self, method: &Method, path_and_query: &'a str) -> Cow<'a, str> {
        let unsigned;
        let counting = if reads(method) {
            &self.query
        } else {
            // A signature is for this edge, whatever was asked with it.
            let strip = self.is_signed().then(|| Name::Prefix(signed::PARAMETERS.into()));
            unsigned = Query { order: Order::Keep, strip: strip.into_iter().collect() };
            &unsigned
        };
        match split(path_and_query) {
            (path, Some(query)) if !counting.is_kept() => {
                let mut out = path.as_bytes().to_vec();
                counting.write(query, &mut out);
                Cow::Owned(String::from_utf8(out).expect("it was cut at ASCII"))
            }
            _ => Cow::Borrowed(path_and_query),
        }
    }

    /// Lets a request in and further on. Allocates nothing, but for a path that is written in an odd
    /// way.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn admit<F: Fields>(&self, visit: &Visit<'_, F>) -> Result<(), Problem> {
        let guard = self.guard.as_ref();
        guard.map_or(Ok(()), |guard| guard.admit(visit))?;
        let allowed = guard.and_then(|guard| guard.methods).unwrap_or(Methods::USUAL);
        visit.ends_here(allowed).map_or(Ok(()), Err)
    }

    /// Makes the trailers of a request that was let in those that the origin may see.
    ///
    /// # Errors
    /// If they are not let in.
    pub fn admit_trailers(&self, trailers: &mut HeaderMap) -> Result<(), Problem> {
        if let Some(guard) = &self.guard {
            guard.admit_fields(trailers)?;
        }
        if let Some(rules) = &self.fields {
            rules.remove_from_request(trailers);
        }
        Ok(())
    }

    fn is_signed(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.keys.is_some())
    }

    /// Makes a response's fields those that the operator wants, as it arrives.
    pub fn arrive(&self, fields: &mut HeaderMap) {
        if let Some(rules) = &self.fields {
            rules.arrive(fields);
        }
    }

    /// The same for what comes apart from a response's head: an interim response before it, or trailers
    /// behind its content. There, fields are taken out alone; and tags are in neither for clients.
    pub fn arrive_apart(&self, fields: &mut HeaderMap) {
        for name in purge::TAG_FIELDS {
            fields.remove(name);
        }
        if let Some(rules) = &self.fields {
            rules.arrive_apart(fields);
        }
    }

    /// Whether a response may be somebody's page under the name of a file, so that it is not kept.
    pub fn is_deceptive(
        &self,
        target: &str,
        status: StatusCode,
        fields: &impl Fields,
        directives: &ResponseDirectives,
    ) -> bool {
        // An error's page is nobody's, and a redirection has none.
        !self.mixed_types
            && status.is_success()
            && types::is_deceptive(target, fields.first("content-type"), directives)
    }

    /// What a response to a request under this rule says of its keeping, once the rule had its word.
    /// Everything that decides whether and how long it is kept follows from here.
    pub fn directives(&self, status: StatusCode, fields: &impl Fields) -> ResponseDirectives {
        let mut said = ResponseDirectives::parse(fields);
        if self.bypass {
            said.no_store = true;
            said.must_understand = false;
        }
        if let Some(ttl) = self.ttl
            && status.as_u16() < 400
        {
            let secs = u32::try_from(ttl.as_secs()).unwrap_or(SECONDS_MAX).min(SECONDS_MAX);
            said.max_age = Some(secs);
            // It says more than a time: that the answer to a request with Authorization may be shared.
            said.s_maxage = said.s_maxage.map(|_| secs);
        }
        said
    }
}

/// Requests whose answers are kept, and so have to be those to the key's request.
pub(super) fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn split(path_and_query: &str) -> (&str, Option<&str>) {
    match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        site::{Order, Server},
        testing::fields,
    };

    fn rule(order: Order, strip: &[&str]) -> Rule {
        let strip = strip.iter().map(|name| Name::new(name)).collect();
        Rule { query: Query { order, strip }, ..Rule::default() }
    }

    fn key(rule: &Rule, target: &str) -> String {
        let mut out = b"left over".to_vec();
        rule.write_key(Scheme::Http, "Example.com:80", target, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let ttl = |secs| Rule { ttl: Some(Duration::from_secs(secs)), ..Rule::default() };
        let list = [("/a/b", 1), ("*.css", 2), ("/a/", 3)];
        let list = list.map(|(pattern, secs)| (pattern.parse().unwrap(), ttl(secs)));
        let rules = Rules::new(list.into(), Rule::default());
        for (path, secs) in
            [("/a/b.css", Some(1)), ("/a/c.css?x", Some(2)), ("/a/c?d.css", Some(3)), ("/", None)]
        {
            let found = rules.rule(rules.find(path)).ttl.map(|ttl| ttl.as_secs());
            assert_eq!(found, secs, "{path}");
        }
        let none = Rules::default();
        assert_eq!(none.rule(none.find("/")), &Rule::default());
    }

    #[test]
    fn a_rule_that_protects_is_not_walked_round() {
        let guard = Some(Arc::new(Guard { keys: Some([].into()), ..Guard::default() }));
        let list = vec![("/private/".parse().unwrap(), Rule { guard, ..Rule::default() })];
        let rules = Rules::new(list, Rule::default());
        for path in ["/private/a", "/private/a%20b?c", "/private/a;b", "/private/a./b%20c%3f"] {
            assert!(rules.rule(rules.find(path)).is_signed(), "{path}");
        }
        for path in [
            "/%70rivate/a?b",
            "//private/a",
            "/x/../private/",
            "/x\\..%5cprivate/",
            "/pub/a%5cb/../../private/a",
            "/pub/a%252fb/../../private/a",
            "/private/a/../../pub",
            "/private/..;/pub",
            "/private./a",
            "/private%20/a",
            "/private/..%20/pub",
            "/private/..%00/pub",
            "/a%2fb/%2e%2e/private/x",
            "/a%252fb/.%252e/private/x",
            "//host/private/x",
            "/%u0070rivate/x",
            "/private::$INDEX_ALLOCATION/x",
        ] {
            let guard = rules.rule(rules.find(path)).guard.as_ref();
            assert!(guard.is_some_and(|guard| guard.unclear), "{path}");
        }
        assert!(!rules.rule(rules.find("/public/?/private/")).is_signed());
        let key = Key::new("a", &[7; 32]).unwrap();
        let rules = rules.with_keys(0, [key].into());
        assert_eq!(
            rules
                .rule(rules.find("/private/"))
                .guard
                .as_ref()
                .unwrap()
                .keys
                .as_ref()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_path_is_clear_if_it_is_protected_alike_however_it_is_read() {
        let odd = ["/img/photo;w=100.jpg", "/a%23b.jpg", "//static/a", "/static/x/../../y"];
        let site = Some(Arc::new(Guard {
            refused_fields: ["x-a".parse().unwrap()].into(),
            ..Guard::default()
        }));
        let kept = |secs| Rule {
            ttl: Some(Duration::from_secs(secs)),
            guard: site.clone(),
            ..Rule::default()
        };
        let rest = Rule { guard: site.clone(), ..Rule::default() };
        let list =
            || vec![("*.jpg".parse().unwrap(), kept(1)), ("/static/".parse().unwrap(), kept(2))];
        let signed = Rule {
            guard: Some(Arc::new(Guard { keys: Some([].into()), ..Guard::default() })),
            ..Rule::default()
        };
        let beside = [list(), vec![("/private/".parse().unwrap(), signed)]].concat();
        for list in [list(), beside] {
            let rules = Rules::new(list, rest.clone());
            for path in odd {
                assert_eq!(rules.rule(rules.find(path)).guard, site, "{path}");
            }
        }
        // What is done to fields is protection, too.
        let removed =
            FieldRules { request_remove: ["x-a".parse().unwrap()].into(), ..FieldRules::default() };
        let cleaned = Rule { fields: Some(Arc::new(removed)), ..Rule::default() };
        let rules = Rules::new(vec![("/static/".parse().unwrap(), cleaned)], Rule::default());
        assert_eq!(rules.find("//static/a"), UNCLEAR);
        assert_ne!(rules.find("/static/a;b"), UNCLEAR);
    }

    #[test]
    fn what_is_asked_of_the_server_as_a_whole_ends_here() {
        let methods = Some(Methods::of("GET").unwrap().and(Methods::of("OPTIONS").unwrap()));
        let guard = Some(Arc::new(Guard { methods, ..Guard::default() }));
        let rule = Rule { guard, ..Rule::default() };
        let ends = |rule: &Rule, target, server, limit: &str| {
            let visit = Visit {
                method: &Method::OPTIONS,
                target,
                server,
                client: std::net::Ipv4Addr::LOCALHOST.into(),
                fields: &fields(&[("max-forwards", limit)]),
                now: nigh_base::Wall::from_secs(1),
            };
            let ended = rule.admit(&visit).err()?;
            Some((ended.word(), ended.allowed().allow()))
        };
        let (open, own) = (Rule::default(), "GET, HEAD, OPTIONS".to_owned());
        assert_eq!(ends(&rule, "*", Server::Here, ""), Some(("server-wide", own.clone())));
        assert_eq!(ends(&rule, "/", Server::Here, "0"), Some(("max-forwards", own)));
        assert_eq!(ends(&open, "*", Server::Here, "5").unwrap().1, Methods::USUAL.allow());
        assert_eq!(ends(&open, "*", Server::Beyond, "0").unwrap().0, "max-forwards");
        for (target, server, limit) in
            [("*", Server::Beyond, ""), ("/", Server::Here, "1"), ("/", Server::Here, "none")]
        {
            assert_eq!(ends(&open, target, server, limit), None, "{target} {limit}");
        }
    }

    #[test]
    fn what_comes_apart_from_a_head_is_held_to_the_same() {
        let guard = Guard { refused_fields: ["x-url".parse().unwrap()].into(), ..Guard::default() };
        let names = |name: &str| [name.parse().unwrap()].into();
        let rules = FieldRules {
            request_remove: names("x-debug"),
            response_remove: names("x-powered-by"),
            response_set: [("x-frame-options".parse().unwrap(), "DENY".parse().unwrap())].into(),
            tags: Some(names("x-tags")),
        };
        let (guard, rules) = (Some(Arc::new(guard)), Some(Arc::new(rules)));
        let rule = Rule { guard, fields: rules, ..Rule::default() };
        let said = [
            ("x-powered-by", "a"),
            ("x-frame-options", "b"),
            ("x-tags", "c"),
            ("surrogate-key", "d"),
            ("cache-tag", "e"),
            ("x-debug", "f"),
            ("x_debug", "g"),
        ];
        let mut found = fields(&said);
        rule.arrive_apart(&mut found);
        assert_eq!(found, fields(&said[5..]));
        let mut open = fields(&said);
        Rule::default().arrive_apart(&mut open);
        assert_eq!(open.len(), said.len() - 2);
        assert_eq!(rule.admit_trailers(&mut found), Ok(()));
        assert!(found.is_empty());
        let refused = rule.admit_trailers(&mut fields(&[("x-url", "")]));
        assert_eq!(refused, Err(Problem::FieldRefused));
    }

    #[test]
    fn a_signature_goes_to_no_origin() {
        let guard = Some(Arc::new(Guard { keys: Some([].into()), ..Guard::default() }));
        let rule = Rule { guard, ..rule(Order::Keep, &["nigh-*"]) };
        let target = "/p?b=1&nigh-key=a&nigh-signature=0";
        for method in [Method::GET, Method::POST] {
            assert_eq!(rule.target(&method, target), "/p?b=1");
        }
        assert_eq!(key(&rule, target), "http://example.com/p?b=1");
    }

    #[test]
    fn the_key_and_the_origin_have_the_query_as_far_as_it_counts() {
        let sorted = rule(Order::Sort, &["utm_*"]);
        assert_eq!(key(&sorted, "/p?b=1&utm_x=2&a=3"), "http://example.com/p?a=3&b=1");
        assert_eq!(sorted.target(&Method::GET, "/p?b=1&utm_x=2&a=3"), "/p?a=3&b=1");
        assert_eq!(sorted.target(&Method::POST, "/p?b=1&utm_x=2"), "/p?b=1&utm_x=2");
        assert_eq!(key(&rule(Order::Strip, &[]), "/p?"), "http://example.com/p");
        assert_eq!(key(&Rule::default(), "/p?b=1&&a"), "http://example.com/p?b=1&&a");
    }

    #[test]
    fn a_time_takes_the_place_of_what_the_response_says_of_time_alone() {
        let rule = Rule { ttl: Some(Duration::from_secs(60)), ..Rule::default() };
        let said = |status, value| {
            rule.directives(
                StatusCode::from_u16(status).unwrap(),
                &fields(&[("cache-control", value)]),
            )
        };
        assert_eq!(said(200, "").max_age, Some(60));
        assert_eq!(said(200, "max-age=5").max_age, Some(60));
        assert_eq!(said(200, "s-maxage=5, max-age=7").s_maxage, Some(60));
        assert_eq!(said(200, "max-age=7").s_maxage, None);
        assert!(said(200, "no-store").no_store);
        assert!(said(200, "private").private.is_whole());
        assert_eq!(said(404, "max-age=5").max_age, Some(5));
        assert_eq!(said(503, "").max_age, None);
    }

    #[test]
    fn what_goes_by_the_cache_is_not_kept() {
        let rule = Rule { bypass: true, ..Rule::default() };
        let said = fields(&[("cache-control", "must-understand, no-store, max-age=9")]);
        let said = rule.directives(StatusCode::OK, &said);
        assert!(said.no_store && !said.must_understand);
    }
}
