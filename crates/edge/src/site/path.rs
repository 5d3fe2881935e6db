//! What an origin may make of a path: for rules that protect, which must not be walked round by writing
//! a path otherwise. RFC 3986, section 6.2.2.
//!
//! What an origin does to a path is a step. Often several stand behind one another, each with steps of
//! its own and in an order that nobody here knows, so all of them are taken, one behind the other, until
//! nothing new comes of it.

use std::collections::BTreeSet;

/// How often a path is decoded: some origins do it twice, in one layer after another.
const ROUNDS: usize = 3;

/// Bytes of all readings of one path, so that none takes long. Ordinary paths have two or three.
const READ_MAX: usize = 128 * 1024;

/// Makes of a path what some origins make of it.
type Step = fn(&[u8]) -> Vec<u8>;

/// What an origin does beside decoding.
const STEPS: [Step; 7] = [
    with_slashes,
    without_parameters,
    without_controls,
    without_ends,
    without_rest,
    with_single_slashes,
    without_dots,
];

/// Whether a path is in its plain form, as nearly all are, of which nobody makes another: nothing
/// percent-encoded, no backslash, no empty segment, none that ends with a dot, no parameters.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_odd = |at: usize| match bytes[at] {
        b'%' | b'\\' | b';' => true,
        b'/' => bytes.get(at + 1) == Some(&b'/'),
        b'.' => matches!(bytes.get(at + 1), None | Some(b'/')),
        byte => is_blank(byte),
    };
    !(0..bytes.len()).any(is_odd)
}

/// Every form that an origin may make of a path, the path itself first; `None` if these are too many.
/// A path in its plain form has one.
pub(super) fn readings(path: &str) -> Option<Vec<String>> {
    if is_plain(path) {
        return Some(vec![path.to_owned()]);
    }
    let mut found = Found { all: BTreeSet::new(), left: READ_MAX };
    let mut readings = Vec::new();
    let mut round = Vec::new();
    found.add(path.as_bytes().to_vec(), &mut round)?;
    for _ in 0..=ROUNDS {
        let mut at = 0;
        while at < round.len() {
            for step in STEPS {
                found.add(step(&round[at]), &mut round)?;
            }
            at += 1;
        }
        let mut decoded = Vec::new();
        for reading in round {
            found.add(decoded_once(&reading), &mut decoded)?;
            readings.push(String::from_utf8_lossy(&reading).into_owned());
        }
        round = decoded;
    }
    Some(readings)
}

/// The readings that were found.
struct Found {
    all: BTreeSet<Vec<u8>>,
    /// Bytes that may still be added.
    left: usize,
}

impl Found {
    /// Adds a reading to those of a round, if it is a new one; `None` if there is no more room.
    fn add(&mut self, reading: Vec<u8>, round: &mut Vec<Vec<u8>>) -> Option<()> {
        if !self.all.contains(&reading) {
            self.left = self.left.checked_sub(reading.len())?;
            self.all.insert(reading.clone());
            round.push(reading);
        }
        Some(())
    }
}

/// Windows takes a backslash for a slash.
fn with_slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect()
}

/// Servlet containers take off what stands behind a semicolon, in each segment (RFC 3986, section 3.3).
fn without_parameters(path: &[u8]) -> Vec<u8> {
    by_segment(path, |segment| segment.split(|&byte| byte == b';').next().unwrap_or_default())
}

/// Some skip control characters: the WHATWG's URLs tabs and line breaks, others NUL.
fn without_controls(path: &[u8]) -> Vec<u8> {
    path.iter().copied().filter(|byte| !byte.is_ascii_control()).collect()
}

/// Windows takes dots and spaces off the end of a name. Names of nothing else are read as the dot
/// segments that they may be left to be.
fn without_ends(path: &[u8]) -> Vec<u8> {
    by_segment(path, |segment| {
        let is_end = |byte: u8| byte == b'.' || is_blank(byte);
        match segment.iter().rposition(|&byte| !is_end(byte)) {
            Some(last) => &segment[..=last],
            None => match segment.iter().filter(|&&byte| byte == b'.').count() {
                0 => b"",
                1 => b".",
                _ => b"..",
            },
        }
    })
}

/// For a program in C, a path ends with NUL; who reads a decoded one as a target again finds a query
/// in it, or a fragment.
fn without_rest(path: &[u8]) -> Vec<u8> {
    path.split(|byte| b"\0?#".contains(byte)).next().unwrap_or_default().to_vec()
}

/// Many take several slashes for one.
fn with_single_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|next, before| *next == b'/' && *before == b'/');
    out
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if !matches!(segment, b"." | b"..") {
            kept.push(segment);
            continue;
        }
        if segment == b".." {
            kept.pop();
        }
        if segments.peek().is_none() {
            kept.push(b"");
        }
    }
    [b"/", &*kept.join(&b'/')].concat()
}

fn by_segment(path: &[u8], change: impl Fn(&[u8]) -> &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path.split(|&byte| byte == b'/').map(change).collect();
    segments.join(&b'/')
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_control()
}

fn decoded_once(bytes: &[u8]) -> Vec<u8> {
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
    fn a_path_that_is_written_oddly_has_every_reading_of_an_origin() {
        for (path, reading) in [
            ("/pub/a\\b/../../private/x", "/private/x"),
            ("/pub/a%5cb/../../private/x", "/private/x"),
            ("/pub/a%252fb/../../private/x", "/private/x"),
            ("/private/x/../../pub", "/private/x/../../pub"),
            ("/private/x/../../pub", "/pub"),
            ("/v/a;b.mp4", "/v/a;b.mp4"),
            ("/v/a;b.mp4", "/v/a"),
            ("/%2561", "/%61"),
            ("/%2561", "/a"),
            ("//a", "//a"),
            ("//a", "/a"),
            // Dot segments for Windows, for C, and for who takes off parameters.
            ("/v/7/..%20/8", "/v/8"),
            ("/v/7/%20..%20./8", "/v/8"),
            ("/v/7/.../8", "/v/8"),
            ("/v/7/..%00/8", "/v/7/../8"),
            ("/v/7/..%00/8", "/v/"),
            ("/v/7/.%00./8", "/v/8"),
            ("/v/7/%2e%2e%3fx/8", "/v/"),
            ("/v/7/..%5c8", "/v/8"),
            ("/v/7/..\\", "/v/"),
            ("/private./x", "/private/x"),
            ("/private%20%2e/x", "/private/x"),
            // Each in the order that only some origins have.
            ("/pub/%2e%2e;a%2fpub/private", "/private"),
            ("/a/b%2fc/../%2e%2e/x", "/x"),
            ("/a/;/../b", "/b"),
        ] {
            let readings = readings(path).unwrap();
            assert!(readings.iter().any(|it| it == reading), "{path}: {readings:?}");
        }
        assert_eq!(readings("/a/b.css").unwrap(), ["/a/b.css"]);
    }

    #[test]
    fn an_ordinary_path_has_few_readings_and_one_with_too_many_has_none() {
        let long = "/%D0%BF%D1%80;v=1/a%20b".repeat(700);
        for (path, count) in
            [("/a%20b.html", 2), ("/%D0%BF%D1%80", 2), ("/wiki/Inc.", 2), (&*long, 4)]
        {
            assert_eq!(readings(path).map(|all| all.len()), Some(count), "{path}");
        }
        assert_eq!(readings(&"/%252e%252E;%5c//. /%00".repeat(700)), None);
    }

    #[test]
    fn the_plain_form_is_one_of_the_readings() {
        for (path, expected) in [
            ("/a/b.css", "/a/b.css"),
            ("/", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/c.", "/a..b/c"),
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
            if path.starts_with('/') {
                let readings = readings(path).unwrap();
                assert!(readings.iter().any(|it| it == expected), "{path}: {readings:?}");
            }
            assert_eq!(is_plain(path), path == expected && !path.contains('%'), "{path}");
        }
    }
}
