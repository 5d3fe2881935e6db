//! Fields that the operator takes out of requests and responses, or puts into responses, and where
//! the tags stand by which responses are purged. What is done to a response is done when it arrives:
//! everything behind that treats it as if the origin had said so.
//!
//! All of it is said in heads. What comes apart from them, trailers and interim responses, is held to
//! the same, so that nothing comes in or goes out that way.

use http::{HeaderMap, HeaderName, HeaderValue};
use nigh_cache::{list, purge};

use crate::forward;

/// What is done to fields. The default does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldRules {
    /// Taken out of requests: they choose no variant, and the origin does not see them.
    pub request_remove: Box<[HeaderName]>,
    /// Taken out of responses.
    pub response_remove: Box<[HeaderName]>,
    /// Put into responses, in place of what was there.
    pub response_set: Box<[(HeaderName, HeaderValue)]>,
    /// Where tags stand, if not in [`purge::TAG_FIELDS`].
    pub tags: Option<Box<[HeaderName]>>,
}

/// Fields that frame a message, say how it was made or whose it is: no rule is about them.
pub const RESERVED: [&str; 17] = [
    "accept-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
    "content-length",
    "content-encoding",
    "content-range",
    "date",
    "age",
    "host",
    "via",
    "cdn-loop",
    "cache-status",
];

impl FieldRules {
    /// Whether a request's field does not count.
    pub(super) fn hides(&self, name: &str) -> bool {
        self.request_remove.iter().any(|held| forward::is_same_name(held.as_str(), name))
    }

    /// Takes out of a request what the origin is not to see.
    pub(super) fn remove_from_request(&self, fields: &mut HeaderMap) {
        if !self.request_remove.is_empty() {
            forward::remove_named(fields, |name| self.hides(name));
        }
    }

    /// Takes out of what comes apart from a response's head whatever the operator has a word on.
    pub(super) fn arrive_apart(&self, fields: &mut HeaderMap) {
        let set = self.response_set.iter().map(|(name, _)| name);
        let tags = self.tags.iter().flatten();
        for name in self.response_remove.iter().chain(set).chain(tags) {
            fields.remove(name);
        }
    }

    /// Makes a response's fields those that the operator wants.
    pub fn arrive(&self, fields: &mut HeaderMap) {
        if let Some(names) = &self.tags {
            gather_tags(names, fields);
        }
        for name in &self.response_remove {
            fields.remove(name);
        }
        for (name, value) in &self.response_set {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// Brings the tags in the fields called `names` to where purges look for them, one to a line; tags
/// elsewhere are none. Commas and white space both part them.
fn gather_tags(names: &[HeaderName], fields: &mut HeaderMap) {
    let mut tags: Vec<HeaderValue> = Vec::new();
    for name in names {
        for line in fields.get_all(name) {
            let words = line.as_bytes().split(|byte| byte.is_ascii_whitespace() || *byte == b',');
            let words = words.map(list::trim).filter(|word| !word.is_empty());
            tags.extend(words.filter_map(|word| HeaderValue::from_bytes(word).ok()));
        }
    }
    for name in names.iter().map(HeaderName::as_str).chain(purge::TAG_FIELDS) {
        fields.remove(name);
    }
    let [_, words] = purge::TAG_FIELDS.map(HeaderName::from_static);
    for tag in tags {
        fields.append(words.clone(), tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fields;

    fn names(names: &[&'static str]) -> Box<[HeaderName]> {
        names.iter().map(|name| HeaderName::from_static(name)).collect()
    }

    #[test]
    fn a_response_arrives_as_the_operator_wants_it() {
        let rules = FieldRules {
            response_remove: names(&["x-powered-by", "set-cookie"]),
            response_set: [("x-frame-options".parse().unwrap(), "DENY".parse().unwrap())].into(),
            ..FieldRules::default()
        };
        let mut found = fields(&[
            ("x-powered-by", "a"),
            ("set-cookie", "b"),
            ("set-cookie", "c"),
            ("x-frame-options", "d"),
            ("x-frame-options", "e"),
            ("a", "b"),
        ]);
        rules.arrive(&mut found);
        assert_eq!(found, fields(&[("x-frame-options", "DENY"), ("a", "b")]));
    }

    #[test]
    fn tags_stand_where_the_operator_says_and_nowhere_else() {
        let rules =
            FieldRules { tags: Some(names(&["x-tags", "edge-tag"])), ..FieldRules::default() };
        let mut found = fields(&[
            ("x-tags", "one, two three"),
            ("x-tags", "four"),
            ("edge-tag", ",five"),
            ("cache-tag", "six"),
            ("surrogate-key", "seven"),
        ]);
        rules.arrive(&mut found);
        let tags: Vec<_> = found.get_all("surrogate-key").iter().collect();
        assert_eq!(tags, ["one", "two", "three", "four", "five"]);
        assert_eq!(found.keys_len(), 1);
        let mut same = fields(&[("cache-tag", "six")]);
        FieldRules::default().arrive(&mut same);
        assert_eq!(same, fields(&[("cache-tag", "six")]));
    }
}
