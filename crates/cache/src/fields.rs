//! How the rules read header fields, whoever holds them: an `http::HeaderMap`, or the raw lines of an
//! HTTP/1 head that was never copied. RFC 9110, section 5.

use http::HeaderMap;

/// A set of header fields that can be read by name.
pub trait Fields {
    /// The values of every field line called `name` (lower case), in the order received, each
    /// without leading and trailing white space. Values are bytes: nothing says they are text.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a;

    /// The name of every field line, as it was written.
    fn names(&self) -> impl Iterator<Item = &str>;

    /// The value of the first line called `name`.
    fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

impl Fields for HeaderMap {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.get_all(name).iter().map(|value| value.as_bytes())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.keys().map(http::HeaderName::as_str)
    }
}
