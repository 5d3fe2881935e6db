//! Cookies that do not count: a request is judged, and sent on, as if they were not there.

use http::{HeaderMap, HeaderValue, header};

use super::Name;

/// Takes out of `fields` the cookies in `ignored`.
pub(super) fn remove(fields: &mut HeaderMap, ignored: &[Name]) {
    if ignored.is_empty() || !fields.contains_key(header::COOKIE) {
        return;
    }
    let lines = fields.get_all(header::COOKIE).iter();
    let crumbs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let counts = |crumb: &&[u8]| !crumb.is_empty() && !is_ignored(crumb, ignored);
    let kept = crumbs.map(<[u8]>::trim_ascii).filter(counts).collect::<Vec<_>>();
    let line = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    let line = line.expect("parts of values, and \"; \", are a value");
    if line.is_empty() {
        fields.remove(header::COOKIE);
    } else {
        fields.insert(header::COOKIE, line);
    }
}

/// Whether a cookie does not count.
pub(super) fn is_ignored(crumb: &[u8], ignored: &[Name]) -> bool {
    let name = crumb.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    ignored.iter().any(|held| held.is(name))
}

#[cfg(test)]
mod tests {
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
}
