//! What a purge of the cluster names, as it stands in control state: JSON, as whoever asked has said it.
//!
//! ```text
//! {"what":{"urls":["http://www.example/a"]},"soft":false}
//! {"what":{"tag":"news"},"soft":true}
//! {"what":"all","soft":false}
//! ```
//! Each edge makes of it what its own settings make of it: under which key a URL is stored is theirs.

use nigh_cluster::control::{Fault, Value};
use serde::{Deserialize, Serialize};

/// What is to be forgotten, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// What.
    pub(crate) what: What,
    /// Whether it becomes stale instead of leaving.
    pub(crate) soft: bool,
}

/// One kind of thing at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// These, with all their variants.
    Urls(Vec<String>),
    /// All URLs that begin so.
    Prefix(String),
    /// All of a host.
    Host(String),
    /// All that carries a tag.
    Tag(String),
    /// Everything.
    All,
}

impl Named {
    /// Everything, without delay: what is done where it is not known what was purged.
    pub(crate) const EVERYTHING: Self = Self { what: What::All, soft: false };

    /// As it stands in control state.
    ///
    /// # Errors
    /// If it is too long for that.
    pub(crate) fn to_value(&self) -> Result<Value, Fault> {
        let text = serde_json::to_vec(self).expect("text and flags can be written");
        Value::new(text)
    }

    /// What stands there; `None` if it is nothing that this version knows.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        serde_json::from_slice(value.bytes()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_named_is_read_as_it_was_meant() {
        let text = || "http://a/ü\"".to_owned();
        for what in [
            What::Urls(vec![text(), "http://b/".to_owned()]),
            What::Prefix(text()),
            What::Host(text()),
            What::Tag(text()),
            What::All,
        ] {
            for soft in [false, true] {
                let named = Named { what: what.clone(), soft };
                assert_eq!(Named::of(&named.to_value().unwrap()), Some(named));
            }
        }
    }

    #[test]
    fn the_form_is_the_one_that_other_versions_have() {
        let named = Named { what: What::Tag("news".to_owned()), soft: true };
        assert_eq!(named.to_value().unwrap().bytes(), br#"{"what":{"tag":"news"},"soft":true}"#);
        let all = br#"{"what":"all","soft":false}"#;
        assert_eq!(Named::EVERYTHING.to_value().unwrap().bytes(), all);
    }

    #[test]
    fn what_a_later_version_says_is_not_taken_for_less_than_it_means() {
        for text in [
            &b""[..],
            b"all",
            b"\xff",
            br#"{"what":"all"}"#,
            br#"{"what":{"pattern":"*.css"},"soft":false}"#,
            br#"{"what":{"tag":"a","host":"b"},"soft":false}"#,
            br#"{"what":{"tag":"a"},"soft":false,"but":"b"}"#,
        ] {
            assert_eq!(Named::of(&Value::new(text).unwrap()), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_too_long_for_control_state_is_refused() {
        let named = Named { what: What::Tag("a".repeat(2 << 20)), soft: false };
        assert!(named.to_value().is_err());
    }
}
