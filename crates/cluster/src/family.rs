//! Edges of clusters that share control state: a name is an edge's own in its cluster alone, so what it says
//! there has both names in its key.
//!
//! ```text
//! reached/eu/edge-1    runs/eu/edge-1    runs/us/edge-1
//! ```

use std::fmt;

use crate::{
    control::{Key, Prefix},
    membership::Name,
};

/// An edge's name with that of its cluster, in the order of clusters and then of edges. A clone costs two
/// counters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QualifiedName {
    /// That of the cluster.
    pub cluster: Name,
    /// That of the edge in it.
    pub edge: Name,
}

impl QualifiedName {
    /// The key under which this edge says something below `prefix`.
    ///
    /// # Panics
    /// If the prefix is not short.
    pub(crate) fn key_below(&self, prefix: &Prefix) -> Key {
        let key = Key::new(&format!("{}{self}", prefix.as_str()));
        key.expect("two names behind a short prefix are a key")
    }

    /// Who says what this key below `prefix` has; `None` if it is no such key.
    pub(crate) fn in_key(prefix: &Prefix, key: &Key) -> Option<Self> {
        let (cluster, edge) = key.as_str().strip_prefix(prefix.as_str())?.split_once('/')?;
        Some(Self { cluster: Name::new(cluster).ok()?, edge: Name::new(edge).ok()? })
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_something_is_read_from_its_key_and_nobody_from_other_keys() {
        let prefix = Prefix::new("reached/").unwrap();
        let of = |key: &str| QualifiedName::in_key(&prefix, &Key::new(key).unwrap());
        let longest = "n".repeat(Name::LONGEST);
        for (cluster, edge) in [("eu", "edge-1"), (&longest, &longest)] {
            let name = |name| Name::new(name).unwrap();
            let said = QualifiedName { cluster: name(cluster), edge: name(edge) };
            let key = said.key_below(&prefix);
            assert_eq!(key.as_str(), format!("reached/{cluster}/{edge}"));
            assert_eq!(of(key.as_str()), Some(said));
        }
        for other in ["reached/edge-1", "reached/eu/a/b", "reached/eu/", "reached//a", "runs/eu/a"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
