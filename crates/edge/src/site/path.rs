//! Paths in the plain form that an origin may make of them: for rules that protect, which must not be
//! walked round by writing a path otherwise. RFC 3986, section 6.2.2.

use std::borrow::Cow;

/// How often a path is decoded: some origins do it twice, in one layer after another.
const ROUNDS: usize = 3;

/// Whether a path is in its plain form, as nearly all are: nothing percent-encoded, no backslash, no
/// empty segment, no dots alone between two slashes, no parameters behind a semicolon (RFC 3986,
/// section 3.3), which some origins take off.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_odd = |at: usize| match bytes[at] {
        b'%' | b'\\' | b';' => true,
        b'/' => {
            matches!(&bytes[at + 1..], [b'/', ..] | [b'.'] | [b'.', b'/', ..])
                || matches!(&bytes[at + 1..], [b'.', b'.'] | [b'.', b'.', b'/', ..])
        }
        _ => false,
    };
    !(0..bytes.len()).any(is_odd)
}

/// The plain form: decoded, with a slash for each backslash and each run of slashes, without
/// parameters, and dots followed.
pub(super) fn plain(path: &str) -> Cow<'_, str> {
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    let decoded = decode(path);
    let mut kept: Vec<&str> = Vec::new();
    let mut last = "";
    for segment in decoded.split(['/', '\\']).skip(1) {
        let segment = segment.split(';').next().unwrap_or_default();
        last = segment;
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut out = format!("/{}", kept.join("/"));
    if matches!(last, "" | "." | "..") && !out.ends_with('/') {
        out.push('/');
    }
    Cow::Owned(out)
}

/// Decodes what is percent-encoded, and what that is, up to [`ROUNDS`] times. Bytes that are no text
/// stand as a sign that no pattern has.
fn decode(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..ROUNDS {
        let decoded = decode_once(&bytes);
        if decoded.len() == bytes.len() {
            break;
        }
        bytes = decoded;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn decode_once(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two digits of sixteen"));
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_plain_form_however_it_is_written() {
        for (path, expected) in [
            ("/a/b.css", "/a/b.css"),
            ("/", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/...", "/a..b/..."),
            ("//a///b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/../../a", "/a"),
            ("/%61/b", "/a/b"),
            ("/x/%2e%2E%2fa", "/a"),
            ("/x%5c..%5Ca", "/a"),
            ("/%2561", "/a"),
            ("/%252525252561", "/%252561"),
            ("/a;b/c;d=e", "/a/c"),
            ("/x/..;y/a", "/a"),
            ("/a%3bb", "/a"),
            ("/a%", "/a%"),
            ("/a%2", "/a%2"),
            ("/%zz", "/%zz"),
            ("/a/", "/a/"),
            ("*", "*"),
        ] {
            assert_eq!(plain(path), expected, "{path}");
            assert_eq!(is_plain(path), path == expected && !path.contains('%'), "{path}");
        }
    }
}
