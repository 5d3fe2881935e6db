//! Which paths a rule is for: a beginning, or a whole path with stars.

use std::str::FromStr;

/// Bytes of the longest pattern.
const PATTERN_MAX: usize = 1024;

/// A pattern of paths. They are compared as clients send them: byte by byte, nothing decoded, without
/// the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Paths that begin so.
    Prefix(Box<str>),
    /// Paths that are so from end to end, each star standing for any bytes, none among them.
    Glob(Box<str>),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No path is so.
    #[error("`{0}` matches no path: begin with / or with *")]
    NoPath(String),
    /// It has a query or a fragment.
    #[error("`{0}` is more than a path: patterns are held against paths without their query")]
    NotPath(String),
    /// It exceeds every sensible length.
    #[error("a pattern has at most {PATTERN_MAX} bytes")]
    TooLong,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_MAX {
            return Err(PatternError::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(PatternError::NotPath(text.to_owned()));
        }
        if !text.starts_with(['/', '*']) {
            return Err(PatternError::NoPath(text.to_owned()));
        }
        Ok(if text.contains('*') { Self::Glob(text.into()) } else { Self::Prefix(text.into()) })
    }
}

impl Pattern {
    /// Whether a path, without its query, is so.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Prefix(prefix) => path.starts_with(&**prefix),
            Self::Glob(glob) => matches_glob(glob.as_bytes(), path.as_bytes()),
        }
    }
}

/// Only the last star need be tried again: what the earlier ones took was the least they could. So
/// this takes at most the product of both lengths, and nearly always their sum.
fn matches_glob(glob: &[u8], path: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < path.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == path[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                at = place + 1;
                read = taken + 1;
            }
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(path)
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_path() {
        assert!(matches("/", "/"));
        assert!(matches("/static/", "/static/a/b.css"));
        assert!(!matches("/static/", "/static"));
        assert!(!matches("/static/", "/Static/a"));
    }

    #[test]
    fn a_glob_is_a_whole_path_and_a_star_any_part_of_it() {
        for (pattern, path) in [
            ("*.css", "/a/b.css"),
            ("/a/*/b", "/a/x/y/b"),
            ("/a/*", "/a/"),
            ("*", "/anything"),
            ("/*a*b", "/aabab"),
            ("/a**b", "/ab"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("*.css", "/a.css/b"), ("/a/*/b", "/a/b"), ("/a/*", "/a"), ("/*ab", "/abc")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_is_of_a_path() {
        for (text, error) in [
            ("static/", PatternError::NoPath("static/".to_owned())),
            ("", PatternError::NoPath(String::new())),
            ("/a?b=*", PatternError::NotPath("/a?b=*".to_owned())),
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(error));
        }
        assert_eq!("/".repeat(PATTERN_MAX + 1).parse::<Pattern>(), Err(PatternError::TooLong));
    }
}
