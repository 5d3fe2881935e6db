//! What an origin may make of a path: for rules that protect, which must not be walked round by writing
//! a path otherwise. RFC 3986, section 6.2.2.

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

/// Every form that an origin may make of a path: decoded or not, and how often; with backslashes taken
/// for slashes or not; parameters taken off, runs of slashes made one, dots followed, or not. A path in
/// its plain form has one.
pub(super) fn readings(path: &str) -> Vec<String> {
    if is_plain(path) {
        return vec![path.to_owned()];
    }
    let mut decoded = vec![path.as_bytes().to_vec()];
    for round in 0..ROUNDS {
        let next = decode_once(&decoded[round]);
        decoded.push(next);
    }
    decoded.dedup();
    let mut readings = Vec::new();
    for bytes in &decoded {
        let text = String::from_utf8_lossy(bytes).into_owned();
        for choice in 0..16_u8 {
            let does = |bit: u8| choice & (1 << bit) != 0;
            let reading = read(&text, [does(0), does(1), does(2), does(3)]);
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    readings
}

/// One of them.
fn read(path: &str, [backslashes, parameters, runs, dots]: [bool; 4]) -> String {
    let path = if backslashes { path.replace('\\', "/") } else { path.to_owned() };
    let mut kept: Vec<&str> = Vec::new();
    let mut is_open = false;
    for segment in path.split('/').skip(1) {
        let segment = if parameters { segment.split(';').next().unwrap_or("") } else { segment };
        is_open = segment.is_empty() || (dots && matches!(segment, "." | ".."));
        match segment {
            "" if runs => {}
            "." if dots => {}
            ".." if dots => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut out = format!("/{}", kept.join("/"));
    if is_open && !out.ends_with('/') {
        out.push('/');
    }
    out
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
        ] {
            let readings = readings(path);
            assert!(readings.iter().any(|it| it == reading), "{path}: {readings:?}");
        }
        assert_eq!(readings("/a/b.css"), ["/a/b.css"]);
    }

    #[test]
    fn the_plain_form_is_one_of_the_readings() {
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
            if path.starts_with('/') {
                let readings = readings(path);
                assert!(readings.iter().any(|it| it == expected), "{path}: {readings:?}");
            }
            assert_eq!(is_plain(path), path == expected && !path.contains('%'), "{path}");
        }
    }
}
