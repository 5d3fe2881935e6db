//! The registry as entries of control state: `tokens/ID`, `members/NAME`, `revoked/JOIN`. Each call is
//! one transaction, whose conditions speak of all that it has read and changes.

use std::{collections::BTreeSet, io, sync::Arc};

use nigh_base::Wall;
use nigh_cluster::control::{
    Change, Condition, Control, Entry, Error, Key, Listing, Prefix, Revision, Transaction, Value,
};

use super::{
    MEMBERS_MAX, Member, Refusal, Registry, TOKENS_MAX, is_over, member_line, member_of,
    revoked_line, token_line, token_of, too_many_tokens,
};
use crate::cluster::{
    identity::{Identity, JoinId},
    name::Name,
    tls::Revoked,
    token::{Kept, Token, TokenId},
};

/// How often a call is tried when others change the same at that moment, or an answer was lost.
const TRIES_MAX: usize = 8;

/// Entries whose time is over that one call sweeps out, at most: a transaction has 128 changes.
const SWEPT_MAX: usize = 100;

const TOKENS: &str = "tokens/";
const MEMBERS: &str = "members/";
const REVOKED: &str = "revoked/";

/// Where edges say how they are reached: one that is put out is reached no more.
const EDGES: &str = "edges/";

/// Tokens, members and revocations in control state. Several authorities with one key may use it at
/// once; those that admit at one moment may pass [`MEMBERS_MAX`] by their number.
#[derive(Clone, Debug)]
pub struct Entries(Arc<dyn Control>);

impl Entries {
    /// The registry in this control state.
    pub fn new(control: Arc<dyn Control>) -> Self {
        Self(control)
    }

    /// Notes a token. Those that have expired are forgotten.
    ///
    /// # Errors
    /// If there are too many, or control state cannot be changed.
    pub async fn add_token(&self, id: TokenId, kept: &Kept, now: Wall) -> io::Result<()> {
        let listing = self.list(TOKENS).await?;
        let is_good = |entry: &Entry| {
            let kept = text(entry).and_then(token_of);
            kept.is_some_and(|kept| now <= kept.expires)
        };
        let (good, over): (Vec<_>, Vec<_>) =
            listing.entries.into_iter().partition(|(_, entry)| is_good(entry));
        if good.len() >= TOKENS_MAX {
            return Err(too_many_tokens());
        }
        let sweep = over.into_iter().take(SWEPT_MAX).map(|(key, _)| (key, Change::Delete));
        let put = (key(TOKENS, &id), put(&token_line(kept)));
        let transaction = Transaction::new([], sweep.chain([put])).expect("few short entries");
        self.0.commit(transaction).await.map_err(io::Error::other)?;
        Ok(())
    }

    /// Who belongs.
    ///
    /// # Errors
    /// If control state cannot be asked.
    pub async fn members(&self, now: Wall) -> io::Result<Vec<Member>> {
        let listing = self.list(MEMBERS).await?;
        Ok(members_in(&listing, now).collect())
    }

    /// Puts an edge out: none of its certificates counts any more. Says whether it belonged.
    ///
    /// # Errors
    /// If control state cannot be changed.
    pub async fn revoke(&self, name: &Name, now: Wall) -> io::Result<bool> {
        let member_key = key(MEMBERS, name);
        let mut failed = Error::Conflict;
        for _ in 0..TRIES_MAX {
            let found = self.0.get(&member_key).await.map_err(io::Error::other)?;
            let member = found.as_ref().and_then(|entry| member_of(name, text(entry)?));
            let Some(member) = member.filter(|member| now <= member.ends) else {
                // The answer to the try before this one was lost.
                return Ok(matches!(failed, Error::Unavailable { .. }) && found.is_none());
            };
            let at = found.map_or(Revision::NONE, |entry| entry.revision);
            let over = self.list(REVOKED).await?.entries.into_iter();
            let over = over.filter(|(_, entry)| text(entry).is_some_and(|line| is_over(line, now)));
            let changes = [
                (member_key.clone(), Change::Delete),
                (key(EDGES, name), Change::Delete),
                (key(REVOKED, &member.join), put(&revoked_line(&member))),
            ];
            let sweep = over.take(SWEPT_MAX).map(|(key, _)| (key, Change::Delete));
            match self.commit([(member_key.clone(), Condition::At(at))], changes, sweep).await {
                Ok(_) => return Ok(true),
                Err(error @ (Error::Conflict | Error::Unavailable { .. })) => failed = error,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Err(io::Error::other(failed))
    }

    /// The joins that count no more.
    ///
    /// # Errors
    /// If control state cannot be asked.
    pub async fn revoked(&self) -> io::Result<BTreeSet<JoinId>> {
        Ok(revoked_in(&self.list(REVOKED).await?).into_keys().collect())
    }

    async fn list(&self, prefix: &str) -> io::Result<Listing> {
        self.0.list(&below(prefix)).await.map_err(io::Error::other)
    }

    async fn commit(
        &self,
        conditions: impl IntoIterator<Item = (Key, Condition)>,
        changes: impl IntoIterator<Item = (Key, Change)>,
        sweep: impl IntoIterator<Item = (Key, Change)>,
    ) -> Result<Revision, Error> {
        let changes = changes.into_iter().chain(sweep);
        let transaction = Transaction::new(conditions, changes).expect("few short entries");
        self.0.commit(transaction).await
    }
}

impl Registry for Entries {
    async fn admit(&self, token: &Token, member: Member, now: Wall) -> Result<(), Refusal> {
        let (token_key, member_key) = (key(TOKENS, &token.id), key(MEMBERS, &member.name));
        let mut failed = Error::Conflict;
        for _ in 0..TRIES_MAX {
            let listing = self.list(MEMBERS).await?;
            if members_in(&listing, now).any(|other| other.join == member.join) {
                // The answer to the try before this one was lost.
                return Ok(());
            }
            let kept = self.0.get(&token_key).await.map_err(io::Error::other)?;
            let at = kept.as_ref().map_or(Revision::NONE, |entry| entry.revision);
            let kept = kept.as_ref().and_then(|entry| token_of(text(entry)?));
            let kept = kept.filter(|kept| token.is(kept)).ok_or(Refusal::Token)?;
            if now > kept.expires {
                return Err(Refusal::Expired);
            }
            if members_in(&listing, now).any(|other| other.name == member.name) {
                return Err(Refusal::NameTaken);
            }
            if members_in(&listing, now).count() >= MEMBERS_MAX {
                return Err(Refusal::Full);
            }
            // Who had the name before, and whose certificate has ended.
            let former = listing.entries.iter().find(|(key, _)| *key == member_key);
            let former =
                former.map_or(Condition::Absent, |(_, entry)| Condition::At(entry.revision));
            let conditions = [(token_key.clone(), Condition::At(at)), (member_key.clone(), former)];
            let changes = [
                (token_key.clone(), Change::Delete),
                (member_key.clone(), put(&member_line(&member))),
            ];
            match self.commit(conditions, changes, []).await {
                Ok(_) => return Ok(()),
                Err(error @ (Error::Conflict | Error::Unavailable { .. })) => failed = error,
                Err(error) => return Err(io::Error::other(error).into()),
            }
        }
        Err(io::Error::other(failed).into())
    }

    async fn renew(&self, identity: &Identity, ends: Wall, now: Wall) -> Result<(), Refusal> {
        let member_key = key(MEMBERS, &identity.name);
        let mut failed = Error::Conflict;
        for _ in 0..TRIES_MAX {
            let found = self.0.get(&member_key).await.map_err(io::Error::other)?;
            let at = found.as_ref().map_or(Revision::NONE, |entry| entry.revision);
            let member = found.as_ref().and_then(|entry| member_of(&identity.name, text(entry)?));
            let member = member.filter(|member| now <= member.ends);
            let member = member.filter(|member| member.join == identity.serial.join());
            let member = member.ok_or(Refusal::NotMember)?;
            let renewed = Member { ends: ends.max(member.ends), ..member };
            let change = (member_key.clone(), put(&member_line(&renewed)));
            match self.commit([(member_key.clone(), Condition::At(at))], [change], []).await {
                Ok(_) => return Ok(()),
                Err(error @ (Error::Conflict | Error::Unavailable { .. })) => failed = error,
                Err(error) => return Err(io::Error::other(error).into()),
            }
        }
        Err(io::Error::other(failed).into())
    }
}

/// Below which revocations lie, for those who watch them.
pub fn revoked() -> Prefix {
    below(REVOKED)
}

/// The joins that count no more, of those that are listed. What would have ended anyway may be among
/// them; it goes when the next edge is put out. Without a time that can be read, a join never counts again.
pub fn revoked_in(listing: &Listing) -> Revoked {
    let out = listing.entries.iter().filter_map(|(key, entry)| {
        let join = key.as_str().strip_prefix(REVOKED)?.parse().ok()?;
        let until = text(entry).and_then(|line| line.trim().parse().ok());
        Some((join, Wall::from_secs(until.unwrap_or(u64::MAX))))
    });
    out.collect()
}

/// The condition that this join was not revoked.
pub fn unless_revoked(join: JoinId) -> (Key, Condition) {
    (key(REVOKED, &join), Condition::Absent)
}

fn members_in(listing: &Listing, now: Wall) -> impl Iterator<Item = Member> {
    let members = listing.entries.iter().filter_map(|(key, entry)| {
        let name = key.as_str().strip_prefix(MEMBERS)?.parse().ok()?;
        member_of(&name, text(entry)?)
    });
    members.filter(move |member| now <= member.ends)
}

fn text(entry: &Entry) -> Option<&str> {
    std::str::from_utf8(entry.value.bytes()).ok()
}

fn put(line: &str) -> Change {
    Change::Put { value: Value::new(line).expect("a short line"), lease: None }
}

fn key(prefix: &str, name: &dyn std::fmt::Display) -> Key {
    Key::new(&format!("{prefix}{name}")).expect("names and numbers are plain and short")
}

fn below(prefix: &str) -> Prefix {
    Prefix::new(prefix).expect("a short prefix of plain letters")
}
