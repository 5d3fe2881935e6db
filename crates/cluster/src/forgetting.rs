//! Forgetting together: a purge reaches every edge, or the edge that it does not reach serves nothing
//! from its store.
//!
//! A purge is a key of control state, `purges/NUMBER`, and numbers have no gaps. Each edge that serves
//! from its store has registered how far it has come, `reached/CLUSTER/NAME`, on a lease:
//!
//! ```text
//! purge:   commit purges/n+1, if it is absent and purges/n is not
//!          done when every reached/CLUSTER/NAME is n+1 or more, or gone
//! edge:    list, apply what is new, register reached/CLUSTER/NAME = n, if purges/n+1 is absent, on a lease
//!          a commit comes: apply, then reached/CLUSTER/NAME = n+1
//!          the lease ran out, by its own clock: serve nothing unvalidated, and begin anew
//! ```
//! [`Holder`] is the edge's side, [`Purge`] that of whoever purges. Both are pure: requests to control
//! state are values, and the time is an argument. docs/cluster.md says why "done" is true.

mod holder;
mod purge;
#[cfg(test)]
mod tests;

use crate::{
    control::{Key, Prefix, Value},
    family::QualifiedName,
};

pub use holder::{Answered, Ask, Forget, Holder, LEASE, Refused, Trust};
pub use purge::{Purge, Reached, purging};

/// Purges that control state keeps: an edge that was away for more of them revalidates everything.
pub const LOG_MAX: u64 = 4096;

/// The key of purge `number`. Keys are in the order of their numbers.
pub fn purge_key(number: u64) -> Key {
    Key::new(&format!("purges/{number:016x}")).expect("a short name of plain letters")
}

/// The key under which this edge says how far it has come.
pub fn reached_key(edge: &QualifiedName) -> Key {
    edge.key_below(&reached())
}

/// Below which purges lie.
pub fn purges() -> Prefix {
    Prefix::new("purges/").expect("a short prefix of plain letters")
}

/// Below which edges say how far they have come.
pub fn reached() -> Prefix {
    Prefix::new("reached/").expect("a short prefix of plain letters")
}

/// The number in the key of a purge.
fn number_of(key: &Key) -> Option<u64> {
    u64::from_str_radix(key.as_str().strip_prefix("purges/")?, 16).ok()
}

fn number_in(value: &Value) -> Option<u64> {
    std::str::from_utf8(value.bytes()).ok()?.parse().ok()
}

fn number_value(number: u64) -> Value {
    Value::new(number.to_string()).expect("a short value")
}
