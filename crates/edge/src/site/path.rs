//! What an origin may make of a path: for rules that protect, which must not be walked round by writing
//! a path otherwise. RFC 3986, section 6.2.2.
//!
//! What an origin does to a path is a step. Often several stand behind one another, each with steps of
//! its own and in an order that nobody here knows, so all of them are taken, one behind the other, until
//! nothing new comes of it.

use std::collections::BTreeSet;

/// How often a path is decoded: some origins do it twice, in one layer after another.
const ROUNDS: usize = 3;

/// Readings of one path at most: each is held against the rules. Ordinary paths have two to four.
const READINGS_MAX: usize = 64;

/// Bytes that are written for all readings of one path, those found anew included: four times the
/// longest target that is read by default, so that no path costs much more than a plain one.
const WRITTEN_MAX: usize = 32 * 1024;

/// Makes of a path what some origins make of it; `None` if that is nothing else.
type Step = fn(&[u8]) -> Option<Vec<u8>>;

/// What an origin does beside decoding.
const STEPS: [Step; 10] = [
    with_slashes,
    without_parameters,
    without_controls,
    without_ends,
    without_streams,
    without_rest,
    without_authority,
    with_single_slashes,
    without_dots,
    with_code_points,
];

/// How an origin decodes: everything; or everything but slashes and backslashes, which stay part of a
/// name (Apache's `AllowEncodedSlashes NoDecode`; the WHATWG's URLs take `%2e` for a dot, too).
const DECODINGS: [Step; 2] = [decoded, decoded_within_segments];

/// Whether a path is in its plain form, as nearly all are, of which nobody makes another: nothing
/// percent-encoded, no backslash, no empty segment, none that ends with a dot, no parameters, no type
/// of a stream.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_odd = |at: usize| match bytes[at] {
        b'%' | b'\\' | b';' => true,
        b'/' => bytes.get(at + 1) == Some(&b'/'),
        b':' => bytes.get(at + 1) == Some(&b'$'),
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
    Found::default().read(path)
}

/// The readings that were found.
struct Found {
    all: BTreeSet<Vec<u8>>,
    /// Bytes that may still be written.
    left: usize,
}

impl Default for Found {
    fn default() -> Self {
        Self { all: BTreeSet::new(), left: WRITTEN_MAX }
    }
}

impl Found {
    /// Every form of a path, in the order in which they are found; `None` if these are too many.
    fn read(&mut self, path: &str) -> Option<Vec<String>> {
        let mut readings = Vec::new();
        let mut round = Vec::new();
        self.add(path.as_bytes().to_vec(), &mut round)?;
        for _ in 0..=ROUNDS {
            let mut at = 0;
            while at < round.len() {
                for step in STEPS {
                    if let Some(reading) = step(&round[at]) {
                        self.add(reading, &mut round)?;
                    }
                }
                at += 1;
            }
            let mut next = Vec::new();
            for reading in round {
                for decoding in DECODINGS {
                    if let Some(decoded) = decoding(&reading) {
                        self.add(decoded, &mut next)?;
                    }
                }
                readings.push(String::from_utf8_lossy(&reading).into_owned());
            }
            round = next;
        }
        Some(readings)
    }

    /// Adds a reading to those of a round, if it is a new one; `None` if that is too much.
    fn add(&mut self, reading: Vec<u8>, round: &mut Vec<Vec<u8>>) -> Option<()> {
        self.left = self.left.checked_sub(reading.len())?;
        if self.all.contains(&reading) {
            return Some(());
        }
        if self.all.len() == READINGS_MAX {
            return None;
        }
        self.all.insert(reading.clone());
        round.push(reading);
        Some(())
    }
}

/// Windows takes a backslash for a slash.
fn with_slashes(path: &[u8]) -> Option<Vec<u8>> {
    let slash = |&byte: &u8| if byte == b'\\' { b'/' } else { byte };
    path.contains(&b'\\').then(|| path.iter().map(slash).collect())
}

/// Servlet containers take off what stands behind a semicolon, in each segment (RFC 3986, section 3.3).
fn without_parameters(path: &[u8]) -> Option<Vec<u8>> {
    let name = |segment| before(segment, b';').unwrap_or(segment);
    path.contains(&b';').then(|| by_segment(path, name))
}

/// Some skip control characters: the WHATWG's URLs tabs and line breaks, others NUL.
fn without_controls(path: &[u8]) -> Option<Vec<u8>> {
    let others = path.iter().copied().filter(|byte| !byte.is_ascii_control());
    path.iter().any(u8::is_ascii_control).then(|| others.collect())
}

/// Windows takes dots and spaces off the end of a name. Names of nothing else are read as the dot
/// segments that they may be left to be.
fn without_ends(path: &[u8]) -> Option<Vec<u8>> {
    let is_end = |byte: u8| byte == b'.' || is_blank(byte);
    let ends = |at: usize| is_end(path[at]) && matches!(path.get(at + 1), None | Some(b'/'));
    (0..path.len()).any(ends).then(|| {
        by_segment(path, |segment| match segment.iter().rposition(|&byte| !is_end(byte)) {
            Some(last) => &segment[..=last],
            None => match segment.iter().filter(|&&byte| byte == b'.').count() {
                0 => b"",
                1 => b".",
                _ => b"..",
            },
        })
    })
}

/// NTFS takes `name::$DATA` and `name:$I30:$INDEX_ALLOCATION` for the file or the folder `name`.
fn without_streams(path: &[u8]) -> Option<Vec<u8>> {
    let has_type = |bytes: &[u8]| bytes.windows(2).any(|two| two == b":$");
    let name = |segment| match has_type(segment) {
        true => before(segment, b':').unwrap_or(segment),
        false => segment,
    };
    has_type(path).then(|| by_segment(path, name))
}

/// For a program in C, a path ends with NUL; who reads a decoded one as a target again finds a query
/// in it, or a fragment.
fn without_rest(path: &[u8]) -> Option<Vec<u8>> {
    let end = path.iter().position(|byte| b"\0?#".contains(byte))?;
    Some(path[..end].to_vec())
}

/// Who reads a target that begins with two slashes as a reference takes what is behind them for an
/// authority (RFC 3986, section 4.2); the WHATWG's URLs do so behind more slashes, too.
fn without_authority(path: &[u8]) -> Option<Vec<u8>> {
    let start = path.starts_with(b"//").then(|| path.iter().position(|&byte| byte != b'/'))?;
    let rest = path[start.unwrap_or(path.len())..].iter().position(|&byte| byte == b'/');
    Some(rest.map_or_else(|| b"/".to_vec(), |at| path[start.unwrap_or_default() + at..].to_vec()))
}

/// Many take several slashes for one.
fn with_single_slashes(path: &[u8]) -> Option<Vec<u8>> {
    path.windows(2).any(|two| two == b"//").then(|| {
        let mut out = path.to_vec();
        out.dedup_by(|next, before| *next == b'/' && *before == b'/');
        out
    })
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &[u8]) -> Option<Vec<u8>> {
    let is_dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    if !path.split(|&byte| byte == b'/').any(is_dots) {
        return None;
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if !is_dots(segment) {
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
    Some([b"/", &*kept.join(&b'/')].concat())
}

/// IIS and classic ASP read `%u002e` as the character of that number.
fn with_code_points(path: &[u8]) -> Option<Vec<u8>> {
    let replace = |at: usize, out: &mut Vec<u8>| {
        let digits =
            path.get(at + 2..at + 6).filter(|_| path[at + 1].eq_ignore_ascii_case(&b'u'))?;
        let number = digits.iter().try_fold(0, |sum, &byte| Some(sum * 16 + hex(byte)?))?;
        let character = char::from_u32(number)?;
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(6)
    };
    without_escapes(path, replace)
}

fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    without_escapes(path, |at, out| {
        out.push(octet(path, at)?);
        Some(3)
    })
}

fn decoded_within_segments(path: &[u8]) -> Option<Vec<u8>> {
    let is_slash = |at: usize| matches!(octet(path, at), Some(b'/' | b'\\'));
    // Without an encoded slash, this is what `decoded` makes.
    if !(0..path.len()).any(is_slash) {
        return None;
    }
    without_escapes(path, |at, out| {
        out.push(octet(path, at).filter(|_| !is_slash(at))?);
        Some(3)
    })
}

/// A path with what `replace` writes in place of what it finds at a percent sign, as many bytes as it
/// says; `None` if it finds nothing anywhere.
fn without_escapes(
    path: &[u8],
    replace: impl Fn(usize, &mut Vec<u8>) -> Option<usize>,
) -> Option<Vec<u8>> {
    if !path.contains(&b'%') {
        return None;
    }
    let mut out = Vec::with_capacity(path.len());
    let (mut at, mut is_other) = (0, false);
    while let Some(next) = path[at..].iter().position(|&byte| byte == b'%') {
        out.extend_from_slice(&path[at..at + next]);
        at += next;
        if let Some(length) = replace(at, &mut out) {
            at += length;
            is_other = true;
        } else {
            out.push(b'%');
            at += 1;
        }
    }
    out.extend_from_slice(&path[at..]);
    is_other.then_some(out)
}

/// What the percent-encoding at this place stands for, if there is one.
fn octet(path: &[u8], at: usize) -> Option<u8> {
    let &[b'%', high, low] = path.get(at..at + 3)? else { return None };
    u8::try_from(hex(high)? * 16 + hex(low)?).ok()
}

fn hex(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

fn by_segment<'a>(path: &'a [u8], change: impl Fn(&'a [u8]) -> &'a [u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path.split(|&byte| byte == b'/').map(change).collect();
    segments.join(&b'/')
}

/// What stands before the first `end`, if there is one.
fn before(bytes: &[u8], end: u8) -> Option<&[u8]> {
    bytes.iter().position(|&byte| byte == end).map(|at| &bytes[..at])
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_control()
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
            // Encoded slashes that stay, beside dots that do not.
            ("/a%2fb/%2e%2e/private/x", "/private/x"),
            ("/a%5Cb/.%2e/private/x", "/private/x"),
            ("/a%252fb/%252e%252e/private/x", "/private/x"),
            // An authority, for who reads a reference.
            ("//host/private/x", "/private/x"),
            ("///host/private", "/private"),
            ("/\\host/private/x", "/private/x"),
            ("//host", "/"),
            // IIS, and names of NTFS.
            ("/%u0070rivate/x", "/private/x"),
            ("/a/%U002e%u002E/b", "/b"),
            ("/private::$INDEX_ALLOCATION/x", "/private/x"),
            ("/private:$i30:$INDEX_ALLOCATION/x", "/private/x"),
            ("/a/x.php%3a%3a$DATA", "/a/x.php"),
        ] {
            let readings = readings(path).unwrap();
            assert!(readings.iter().any(|it| it == reading), "{path}: {readings:?}");
        }
        assert_eq!(readings("/a/b.css").unwrap(), ["/a/b.css"]);
    }

    #[test]
    fn an_ordinary_path_has_few_readings_and_one_with_too_many_has_none() {
        let long = "/%D0%BF%D1%80;v=1/a%20b".repeat(8000 / 23);
        for (path, count) in [
            ("/a%20b.html", 2),
            ("/%D0%BF%D1%80", 2),
            ("/wiki/Inc.", 2),
            ("/wiki/Talk:A", 1),
            ("/a%2Fb", 2),
            ("/a%2Fb%20c", 3),
            ("/a%", 1),
            ("/%u12", 1),
            (&*long, 4),
        ] {
            assert_eq!(readings(path).map(|all| all.len()), Some(count), "{path}");
        }
        assert_eq!(readings(&"/%252e%252E;%5c//. /%00".repeat(20)), None);
    }

    #[test]
    fn no_path_makes_more_work_than_a_few_plain_ones() {
        let hostile = |times| format!("/{}", "%5c\\%25%32%65%5c/..%255c%2e/.//".repeat(times));
        for (path, is_read) in [
            (hostile(1), false),
            (hostile(100), false),
            (hostile(250), false),
            ("/%41;".repeat(1600), true),
        ] {
            let mut found = Found::default();
            assert_eq!(found.read(&path).is_some(), is_read, "{} bytes", path.len());
            let bytes: usize = found.all.iter().map(Vec::len).sum();
            assert!(
                bytes <= WRITTEN_MAX && found.all.len() <= READINGS_MAX,
                "{} bytes",
                path.len()
            );
        }
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
