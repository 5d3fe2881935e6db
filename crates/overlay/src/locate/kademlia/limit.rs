//! How much one address may ask: a bucket of tokens for each, in a table that does not grow.
//!
//! Addresses that fall into one place of the table share it. Where they fall nobody can work out, since
//! it follows from a secret; with many more askers than places, all have less.

use std::{hash::Hasher as _, time::Duration};

use nigh_base::{Address, Digest, Time, machine::Secrets};

use super::host::Host;

/// Places of the table, 64 KiB.
const PLACES: usize = 4096;
/// What is allowed in so long a time may come at once.
const BURST: Duration = Duration::from_secs(10);

/// What the addresses have asked of late.
#[derive(Clone, Debug, Hash)]
pub(super) struct Limits {
    /// None if there are no limits.
    a_second: Option<u32>,
    secret: u64,
    /// Of each place, when it will have paid for all that it has asked. Made when somebody asks.
    paid: Vec<Time>,
}

impl Limits {
    pub(super) const fn new(a_second: Option<u32>) -> Self {
        Self { a_second, secret: 0, paid: Vec::new() }
    }

    /// Whether an address may ask one question more; if so, it has.
    pub(super) fn allow(&mut self, from: Address, now: Time, secrets: &mut dyn Secrets) -> bool {
        let Some(a_second) = self.a_second else { return true };
        if self.paid.is_empty() {
            self.secret = secrets.number();
            self.paid = vec![Time::START; PLACES];
        }
        let paid = &mut self.paid[place(self.secret, from)];
        let price = Duration::from_secs(1) / a_second.max(1);
        let due = (*paid).max(now);
        if due.since(now) > BURST {
            return false;
        }
        *paid = due.after(price);
        true
    }
}

/// Where in the table an address falls: with all others of its host.
#[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
fn place(secret: u64, of: Address) -> usize {
    let mut digest = Digest::default();
    digest.write_u64(secret);
    digest.write(Host::of(of).bytes());
    digest.finish() as usize % PLACES
}
