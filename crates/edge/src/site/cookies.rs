//! Cookies that do not count: a request is judged, and sent on, as if they were not there.

use http::{HeaderMap, HeaderValue, header};
use nigh_cache::fields::Fields;

use super::Name;

/// A request's fields without the cookies that do not count. Each other cookie stands as a value of
/// its own, which is how `nigh_cache::vary` compares them.
#[derive(Debug)]
pub struct Seen<'a, F> {
    fields: &'a F,
    ignored: &'a [Name],
}

impl<'a, F: Fields> Seen<'a, F> {
    /// `fields` without the cookies in `ignored`.
    pub fn new(fields: &'a F, ignored: &'a [Name]) -> Self {
        Self { fields, ignored }
    }
}

impl<F: Fields> Fields for Seen<'_, F> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let ignored = if name == "cookie" { self.ignored } else { &[] };
        let splits = move |byte: &u8| *byte == b';' && !ignored.is_empty();
        self.fields
            .values(name)
            .flat_map(move |value| value.split(splits))
            .map(<[u8]>::trim_ascii)
            .filter(move |crumb| !is_ignored(crumb, ignored))
    }
}

/// Takes out of `fields` the cookies in `ignored`.
pub(super) fn remove(fields: &mut HeaderMap, ignored: &[Name]) {
    if ignored.is_empty() || !fields.contains_key(header::COOKIE) {
        return;
    }
    let seen = Seen::new(fields, ignored);
    let kept = seen.values("cookie").filter(|crumb| !crumb.is_empty()).collect::<Vec<_>>();
    let line = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    let line = line.expect("parts of values, and \"; \", are a value");
    if line.is_empty() {
        fields.remove(header::COOKIE);
    } else {
        fields.insert(header::COOKIE, line);
    }
}

fn is_ignored(crumb: &[u8], ignored: &[Name]) -> bool {
    let name = crumb.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    ignored.iter().any(|held| held.is(name))
}

#[cfg(test)]
mod tests {
    use nigh_cache::vary::{self, Vary};

    use super::*;
    use crate::testing::fields;

    fn ignored() -> [Name; 2] {
        [Name::new("_ga*"), Name::new("theme")]
    }

    #[test]
    fn ignored_cookies_are_neither_seen_nor_sent() {
        for (lines, kept) in [
            (&[("cookie", "a=1; _ga=2; theme=dark; b=3")][..], Some("a=1; b=3")),
            (&[("cookie", "_ga=1"), ("cookie", "_gat=2;theme")], None),
            (&[("cookie", "a=1"), ("cookie", "themes=2")], Some("a=1; themes=2")),
            (&[("accept", "theme=1; b")], None),
        ] {
            let mut map = fields(lines);
            let accept = map.get("accept").cloned();
            remove(&mut map, &ignored());
            assert_eq!(map.get("cookie").map(|value| value.to_str().unwrap()), kept, "{lines:?}");
            assert_eq!(map.get("accept"), accept.as_ref());
        }
    }

    #[test]
    fn a_response_that_varies_on_cookies_is_chosen_by_those_that_count() {
        let vary = Vary::parse(&fields(&[("vary", "cookie")]));
        let ignored = ignored();
        for lines in [
            &[("cookie", "a=1; _ga=2;b=3")][..],
            &[("cookie", "theme=1;a=1"), ("cookie", "b=3")],
            &[("cookie", "_ga=9")],
            &[],
        ] {
            let mut sent = fields(lines);
            let (mut before, mut after) = (Vec::new(), Vec::new());
            vary::selecting(vary.names(), &Seen::new(&sent, &ignored), &mut before);
            remove(&mut sent, &ignored);
            vary::selecting(vary.names(), &sent, &mut after);
            assert_eq!(before, after, "{lines:?}");
        }
    }
}
