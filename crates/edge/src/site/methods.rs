//! Sets of methods: which a path is asked with. RFC 9110, section 9; RFC 5789; RFC 4918 (WebDAV).

use http::Method;

/// Every method that can be in a set, in the order in which Allow names them.
const KNOWN: [&str; 16] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
];

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(u16);

/// A name that is none of a method that can be in a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no method that can be listed: there are {}", KNOWN.join(", "))]
pub struct UnknownMethod {
    name: String,
}

impl Methods {
    /// What this edge passes on where no rule says more.
    pub const USUAL: Self = Self(0b111_1111);

    /// The set with the method called `name` alone. Case counts.
    ///
    /// # Errors
    /// If no set can have it.
    pub fn of(name: &str) -> Result<Self, UnknownMethod> {
        let place = KNOWN.iter().position(|known| *known == name);
        place.map(|place| Self(1 << place)).ok_or_else(|| UnknownMethod { name: name.to_owned() })
    }

    /// This set and another. Who may GET may ask for the head alone, too.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let both = self.0 | other.0;
        Self(both | (both & 1) << 1)
    }

    /// Whether a method is in the set.
    pub fn contains(self, method: &Method) -> bool {
        Self::of(method.as_str()).is_ok_and(|one| self.0 & one.0 != 0)
    }

    /// The value of Allow (RFC 9110, section 10.2.1).
    pub fn allow(self) -> String {
        let held = KNOWN.iter().enumerate().filter(|(place, _)| self.0 & 1 << place != 0);
        held.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_says_what_it_allows() {
        let set = Methods::of("GET").unwrap().and(Methods::of("PROPFIND").unwrap());
        assert_eq!(set.allow(), "GET, HEAD, PROPFIND");
        assert!(set.contains(&Method::HEAD) && !set.contains(&Method::POST));
        assert!(!set.contains(&Method::from_bytes(b"get").unwrap()));
        assert_eq!(Methods::USUAL.allow(), "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        assert!(Methods::of("get").is_err() && Methods::of("TRACE").is_err());
    }
}
