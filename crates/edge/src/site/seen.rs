//! A request's fields as its rule lets them count: judged, keyed and sent on as if the client had sent
//! these.

use http::{HeaderMap, HeaderValue, Method, header};
use nigh_cache::fields::Fields;

use super::{Rule, compress::Narrowed, cookies, rule::reads};

/// A view of a request's fields. Each cookie that counts stands as a value of its own, where others do
/// not count: that is how `nigh_cache::vary` compares them.
#[derive(Debug)]
pub struct Seen<'a, F> {
    fields: &'a F,
    rule: &'a Rule,
    narrowed: Option<Narrowed>,
}

impl<'a, F: Fields> Seen<'a, F> {
    /// `fields` as `rule` lets them count. Allocates nothing.
    pub fn new(fields: &'a F, rule: &'a Rule) -> Self {
        let narrowed = rule.compress.as_ref().map(|compress| compress.narrow(fields));
        Self { fields, rule, narrowed }
    }
}

impl<F: Fields> Fields for Seen<'_, F> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let ignored = if name == "cookie" { &self.rule.ignore_cookies[..] } else { &[] };
        let splits = move |byte: &u8| *byte == b';' && !ignored.is_empty();
        let mut instead = None;
        let mut hidden = self.rule.fields.as_ref().is_some_and(|rules| rules.hides(name));
        if let Some(Narrowed { codings, whole }) = self.narrowed {
            match name {
                "accept-encoding" => (instead, hidden) = (Some(codings.field().as_bytes()), true),
                "range" | "if-range" => hidden |= whole,
                _ => {}
            }
        }
        let values = (!hidden).then(|| self.fields.values(name)).into_iter().flatten();
        let values = values
            .flat_map(move |value| value.split(splits))
            .map(<[u8]>::trim_ascii)
            .filter(move |crumb| !cookies::is_ignored(crumb, ignored));
        instead.into_iter().chain(values)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let rules = self.rule.fields.as_ref();
        self.fields.names().filter(move |name| rules.is_none_or(|rules| !rules.hides(name)))
    }
}

impl Rule {
    /// Makes a request's fields those that count, as the origin gets them.
    pub fn rewrite(&self, method: &Method, fields: &mut HeaderMap) {
        if reads(method) {
            cookies::remove(fields, &self.ignore_cookies);
        }
        if let Some(compress) = &self.compress {
            let Narrowed { codings, whole } = compress.narrow(fields);
            fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings.field()));
            if whole {
                fields.remove(header::RANGE);
                fields.remove(header::IF_RANGE);
            }
        }
        if let Some(rules) = &self.fields {
            rules.remove_from_request(fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nigh_cache::vary::{self, Vary};

    use super::*;
    use crate::{
        site::{Coding, Compress, FieldRules, Name},
        testing::fields,
    };

    fn rule() -> Rule {
        let removed = FieldRules {
            request_remove: ["x-debug".parse().unwrap()].into(),
            ..FieldRules::default()
        };
        Rule {
            ignore_cookies: [Name::new("_ga*"), Name::new("theme")].into(),
            compress: Some(Arc::new(Compress::new(&Coding::ALL, [], 0))),
            fields: Some(Arc::new(removed)),
            ..Rule::default()
        }
    }

    #[test]
    fn what_chooses_a_variant_is_what_the_origin_sees() {
        let vary = Vary::parse(&fields(&[(
            "vary",
            "cookie, accept-encoding, x-debug, x_debug, range, a",
        )]));
        for lines in [
            &[("cookie", "a=1; _ga=2;b=3")][..],
            &[("cookie", "theme=1;a=1"), ("cookie", "b=3")],
            &[("cookie", "_ga=9"), ("accept-encoding", "deflate, gzip"), ("x-debug", "1")],
            &[("x_debug", "1")],
            &[("range", "bytes=1-"), ("if-range", "x"), ("accept-encoding", "br"), ("a", "b")],
            &[],
        ] {
            let mut sent = fields(lines);
            let (mut before, mut after) = (Vec::new(), Vec::new());
            vary::selecting(vary.names(), &Seen::new(&sent, &rule()), &mut before);
            rule().rewrite(&Method::GET, &mut sent);
            vary::selecting(vary.names(), &sent, &mut after);
            assert_eq!(before, after, "{lines:?}");
            // Seen once more, nothing changes.
            vary::selecting(vary.names(), &Seen::new(&sent, &rule()), &mut before);
            assert_eq!(before, after, "{lines:?}");
        }
    }

    #[test]
    fn a_rule_that_says_nothing_lets_everything_count() {
        let sent = fields(&[("cookie", "a; b"), ("range", "bytes=1-"), ("accept-encoding", "x")]);
        let (rule, mut same) = (Rule::default(), sent.clone());
        rule.rewrite(&Method::GET, &mut same);
        assert_eq!(same, sent);
        let seen = Seen::new(&sent, &rule);
        for name in ["cookie", "range", "accept-encoding"] {
            assert_eq!(seen.first(name), Some(sent[name].as_bytes()));
        }
    }
}
