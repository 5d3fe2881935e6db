//! Targeted fields such as CDN-Cache-Control: directives as a structured dictionary. RFC 9213.

use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::{ResponseDirectives, Value};
use crate::fields::Fields;

/// The targeted fields that nigh obeys, the first valid one winning (RFC 9213, section 2.2). In
/// lower case.
pub const TARGETED: [&str; 1] = ["cdn-cache-control"];

impl ResponseDirectives {
    /// One member of a targeted field; its parameters mean nothing (RFC 9213, section 2.1).
    pub(super) fn take_member(&mut self, key: &str, entry: &ListEntry) {
        let value = match entry {
            ListEntry::Item(item) => &item.bare_item,
            ListEntry::InnerList(_) => return self.take(key.as_bytes(), Value::Malformed),
        };
        let value = match value {
            BareItem::Boolean(true) => Value::None,
            BareItem::Boolean(false) => return,
            BareItem::Integer(number) => {
                u64::try_from(i64::from(*number)).map_or(Value::Malformed, Value::Number)
            }
            BareItem::String(text) => Value::Quoted(text.as_str().as_bytes()),
            _ => Value::Malformed,
        };
        self.take(key.as_bytes(), value);
    }
}

/// The targeted field `name` as a dictionary; None if absent, empty or invalid (RFC 9213, 2.1).
pub(super) fn dictionary(fields: &impl Fields, name: &'static str) -> Option<Dictionary> {
    let mut lines = fields.values(name);
    let mut text = lines.next()?.to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line);
    }
    Parser::new(&text).parse::<Dictionary>().ok().filter(|found| !found.is_empty())
}
