//! What a response says will be needed next: Link with `preload` or `prefetch`. RFC 8288; the HTML
//! standard, section 4.6.7 (link types).

use http::HeaderMap;
use nigh_cache::{fields::Fields, key::Scheme, list};

/// Links of one response that are followed; a page that names more has them fetched when they are
/// asked for.
pub const LINKS_MAX: usize = 16;

/// The targets (path and query) of the links to follow that lead to the site that answered: those in
/// the order of the fields, each once, [`LINKS_MAX`] at most.
pub fn followed(fields: &HeaderMap, scheme: Scheme, authority: &str, target: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for link in Fields::values(fields, "link").flat_map(list::elements) {
        let to = followable(link).and_then(|to| within(to, scheme, authority, target));
        if let Some(to) = to
            && to != target
            && !found.contains(&to)
        {
            found.push(to);
            if found.len() == LINKS_MAX {
                break;
            }
        }
    }
    found
}

/// The reference of a link that is to be fetched ahead. One that is relative to another context
/// (`anchor`) is not.
fn followable(link: &[u8]) -> Option<&str> {
    let rest = link.strip_prefix(b"<")?;
    let end = rest.iter().position(|&byte| byte == b'>')?;
    let to = std::str::from_utf8(&rest[..end]).ok()?;
    let mut wanted = false;
    for parameter in list::split(&rest[end + 1..], b';') {
        let (name, value) = list::name_and_value(parameter);
        if list::same_token(b"anchor", name) {
            return None;
        }
        if list::same_token(b"rel", name) {
            let value = value.unwrap_or_default();
            let value = list::quoted(value).unwrap_or(value);
            wanted |= value
                .split(u8::is_ascii_whitespace)
                .any(|rel| list::same_token(b"preload", rel) || list::same_token(b"prefetch", rel));
        }
    }
    wanted.then_some(to)
}

/// The target that a reference is on the site, seen from `base`; `None` where it leads elsewhere.
/// RFC 3986, section 5.2.
fn within(reference: &str, scheme: Scheme, authority: &str, base: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    if reference.is_empty() || !reference.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let behind_scheme = match reference.split_once("://") {
        Some((named, rest)) if named.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Some(rest).filter(|_| named.eq_ignore_ascii_case(scheme.as_str()))?.into()
        }
        _ => reference.strip_prefix("//"),
    };
    let (path, query) = match behind_scheme {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            if !rest[..end].eq_ignore_ascii_case(authority) {
                return None;
            }
            let (path, query) = parted(&rest[end..]);
            (if path.is_empty() { "/".to_owned() } else { path.to_owned() }, query)
        }
        None => {
            let (path, query) = parted(reference);
            let (base, _) = parted(base);
            // `mailto:x`: a scheme that is not ours.
            if path.split('/').next().is_some_and(|first| first.contains(':')) {
                return None;
            }
            match path {
                "" => (base.to_owned(), query),
                path if path.starts_with('/') => (path.to_owned(), query),
                path => {
                    let folder = base.rfind('/').map_or("/", |at| &base[..=at]);
                    (format!("{folder}{path}"), query)
                }
            }
        }
    };
    let path = without_dots(&path);
    Some(query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
}

fn parted(reference: &str) -> (&str, Option<&str>) {
    match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    }
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn found(links: &[&str]) -> Vec<String> {
        let lines: Vec<_> = links.iter().map(|link| ("link", *link)).collect();
        followed(&testing::fields(&lines), Scheme::Https, "www.example:8443", "/a/b?c")
    }

    #[test]
    fn links_that_are_needed_next_are_followed_within_the_site() {
        for (link, expected) in [
            ("</x.css>; rel=preload; as=style", Some("/x.css")),
            ("<x.js?v=1#f>;rel=\"next prefetch\"", Some("/a/x.js?v=1")),
            ("<../../x/./y/..>; REL=PRELOAD", Some("/x/")),
            ("<?d>; rel=prefetch", Some("/a/b?d")),
            ("<//WWW.example:8443/z>; rel=preload", Some("/z")),
            ("<https://www.example:8443?z>; rel=preload", Some("/?z")),
            ("<http://www.example:8443/z>; rel=preload", None),
            ("<https://www.example/z>; rel=preload", None),
            ("<//other.example/z>; rel=preload", None),
            ("<mailto:x@y>; rel=preload", None),
            ("</x>; rel=stylesheet", None),
            ("</x>; rel=preload; anchor=\"/y\"", None),
            ("</x y>; rel=preload", None),
            ("</a/b?c>; rel=preload", None),
            ("/x; rel=preload", None),
            ("<>; rel=preload", None),
        ] {
            assert_eq!(found(&[link]), expected.into_iter().collect::<Vec<_>>(), "{link}");
        }
    }

    #[test]
    fn each_is_followed_once_and_no_more_than_some() {
        assert_eq!(
            found(&["</x>; rel=preload, </x>; rel=prefetch", "</y>; rel=preload"]),
            ["/x", "/y"]
        );
        let many: Vec<_> = (0..99).map(|n| format!("</{n}>; rel=preload")).collect();
        assert_eq!(found(&[&many.join(", ")]).len(), LINKS_MAX);
    }
}
