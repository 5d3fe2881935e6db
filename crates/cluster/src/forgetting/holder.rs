//! One edge: how far it has come, and whether it may serve what it holds.

use std::time::Duration;

use nigh_base::Time;

use super::{LOG_MAX, number_of, number_value, purge_key, reached_key};
use crate::{
    control::{
        Change, Commit, Condition, Key, Lease, LeaseId, Listing, Revision, Transaction, Ttl, Value,
    },
    family::QualifiedName,
};

/// How long an edge is trusted without being heard: as long as a purge waits for one that is cut off.
pub const LEASE: Duration = Duration::from_secs(5);

/// What an edge counts less than its lease has: two clocks may differ by this share of it, a hundredth,
/// which is a hundred times what quartz does.
const DRIFT: u32 = 100;

/// A lease is kept alive when this share of it has passed.
const RENEWED_AFTER: u32 = 3;

/// How long it waits after control state could not be asked.
const PAUSE: Duration = Duration::from_millis(200);

/// What an edge asks control state for, one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// All purges; the watch goes on behind that.
    List,
    /// A lease.
    Grant(Ttl),
    /// A commit.
    Commit(Transaction),
    /// The lease's time anew.
    KeepAlive(LeaseId),
}

/// What control state answered.
#[derive(Clone, Debug)]
pub enum Answered {
    /// To [`Ask::List`].
    Listed(Listing),
    /// To [`Ask::Grant`].
    Granted(Lease),
    /// To [`Ask::Commit`] and [`Ask::KeepAlive`].
    Done,
}

/// Why it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A condition does not hold.
    Conflict,
    /// The lease has ended.
    LeaseLost,
    /// It could not be asked, or it is not known what came of it.
    Unavailable,
}

/// What an edge is to forget, before anything else is told to the holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    /// What this purge names.
    Purge {
        /// Its number.
        number: u64,
        /// As it was put.
        value: Value,
    },
    /// Purges are missing: everything is to be validated before it is served.
    Everything,
}

/// Whether what an edge holds may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It may.
    Stored,
    /// Only what the origin has confirmed for this request.
    Validated,
}

/// How an edge stands with control state.
#[derive(Clone, Debug, Hash)]
enum Standing {
    /// It has to find out what was purged.
    Away,
    /// It has applied all that was listed.
    Listed,
    /// It has a lease, asked for at this time.
    Leased { lease: LeaseId, asked: Time },
    /// It is registered, and trusted until this time.
    Present { lease: LeaseId, until: Time, renew_at: Time },
}

/// One edge's side of forgetting together.
#[derive(Clone, Debug, Hash)]
pub struct Holder {
    key: Key,
    /// All purges up to this one are applied.
    reached: u64,
    /// The commit that made it; [`Revision::NONE`] if that is not known. Where another one did, the log is
    /// another one.
    at: Revision,
    /// What control state has heard of that, and what it is being told.
    said: u64,
    saying: u64,
    standing: Standing,
    /// When what is being waited for was asked.
    asked: Option<Time>,
    /// The answer to that counts no more.
    is_void: bool,
    /// Nothing is asked before.
    not_before: Time,
}

impl Holder {
    /// The side of this edge, whose store has all purges up to number `reached` applied, which
    /// the commit `at` made: 0 if it is empty, and [`Revision::NONE`] if that is not known.
    pub fn new(edge: &QualifiedName, reached: u64, at: Revision) -> Self {
        Self {
            key: reached_key(edge),
            reached,
            at,
            said: 0,
            saying: 0,
            standing: Standing::Away,
            asked: None,
            is_void: false,
            not_before: Time::START,
        }
    }

    /// The purge up to which all are applied.
    pub const fn reached(&self) -> u64 {
        self.reached
    }

    /// The commit that made that purge; [`Revision::NONE`] if it is not known.
    pub const fn at(&self) -> Revision {
        self.at
    }

    /// The lease on which it has registered, or is about to: to end it lets nobody wait for this edge.
    pub const fn lease(&self) -> Option<LeaseId> {
        match self.standing {
            Standing::Leased { lease, .. } | Standing::Present { lease, .. } => Some(lease),
            Standing::Away | Standing::Listed => None,
        }
    }

    /// Until when what it holds may be served at most; none if it may not.
    pub const fn trusted_until(&self) -> Option<Time> {
        match self.standing {
            Standing::Present { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Whether what it holds may be served to somebody who has come as far as `asker`: a sibling says
    /// so with its request, and for a client it is 0.
    pub fn trust(&self, now: Time, asker: u64) -> Trust {
        let is_trusted = self.trusted_until().is_some_and(|until| now < until);
        if is_trusted && asker <= self.reached { Trust::Stored } else { Trust::Validated }
    }

    /// What to ask control state for now, if anything. Every question is answered by
    /// [`Holder::answered`] once, and the next one comes after that.
    pub fn ask(&mut self, now: Time) -> Option<Ask> {
        if self.asked.is_some() || now < self.not_before {
            return None;
        }
        let ask = match self.standing {
            Standing::Away => Ask::List,
            Standing::Listed => Ask::Grant(Ttl::new(LEASE).expect("between the bounds of leases")),
            Standing::Leased { lease, .. } => {
                // What was purged since the list must not be missed: then it is a conflict.
                self.say(lease, (purge_key(self.reached + 1), Condition::Absent))
            }
            Standing::Present { lease, renew_at, .. } if now >= renew_at => Ask::KeepAlive(lease),
            Standing::Present { lease, .. } if self.said < self.reached => {
                // It is there since it registered, so no room for it has to be looked for.
                self.say(lease, (self.key.clone(), Condition::Exists))
            }
            Standing::Present { .. } => return None,
        };
        self.asked = Some(now);
        Some(ask)
    }

    /// When [`Holder::ask`] has something, if nothing happens before.
    pub fn wake_at(&self) -> Option<Time> {
        let due = match self.standing {
            Standing::Present { renew_at, .. } if self.said == self.reached => renew_at,
            _ => self.not_before,
        };
        self.asked.is_none().then_some(due.max(self.not_before))
    }

    /// Takes the answer to what was asked, and says what is to be forgotten.
    ///
    /// # Panics
    /// If nothing was asked, or the answer is to another question.
    pub fn answered(&mut self, now: Time, answer: Result<Answered, Refused>) -> Vec<Forget> {
        let asked = self.asked.take().expect("an answer follows a question");
        if std::mem::take(&mut self.is_void) {
            return Vec::new();
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(refused) => {
                self.refused(now, refused);
                return Vec::new();
            }
        };
        match (&mut self.standing, answer) {
            (standing @ Standing::Away, Answered::Listed(listing)) => {
                *standing = Standing::Listed;
                return self.listed(listing);
            }
            (standing @ Standing::Listed, Answered::Granted(lease)) => {
                *standing = Standing::Leased { lease: lease.id, asked };
            }
            (Standing::Leased { lease, asked: leased }, Answered::Done) => {
                self.standing = present(*lease, *leased);
                self.said = self.saying;
            }
            (Standing::Present { lease, renew_at, .. }, Answered::Done) if asked >= *renew_at => {
                self.standing = present(*lease, asked);
            }
            (Standing::Present { .. }, Answered::Done) => self.said = self.saying,
            (standing, answer) => panic!("{answer:?} answers nothing asked while {standing:?}"),
        }
        Vec::new()
    }

    /// A commit that touches purges, in their order, each once; says what is to be forgotten.
    pub fn saw(&mut self, commit: &Commit) -> Vec<Forget> {
        let puts = commit.changes.iter().filter_map(|(key, change)| match change {
            Change::Put { value, .. } => Some((number_of(key)?, commit.revision, value.clone())),
            Change::Delete => None,
        });
        self.apply(puts.collect())
    }

    /// The watch broke off, and cannot go on where it was.
    pub fn lost_sight(&mut self) {
        self.standing = Standing::Away;
        self.is_void = self.asked.is_some();
    }

    fn listed(&mut self, listing: Listing) -> Vec<Forget> {
        let entries = listing.entries.into_iter();
        let purges: Vec<_> = entries
            .filter_map(|(key, it)| Some((number_of(&key)?, it.revision, it.value)))
            .collect();
        let (newest, at) =
            purges.last().map_or((0, Revision::NONE), |(number, at, _)| (*number, *at));
        let same = purges.iter().find(|(number, ..)| *number == self.reached);
        let is_another = self.at != Revision::NONE && same.is_some_and(|(_, at, _)| *at != self.at);
        if newest < self.reached || is_another {
            // Control state is another one, or an old copy: what its numbers stand for is not known.
            (self.reached, self.at) = (newest, at);
            return vec![Forget::Everything];
        }
        self.apply(purges)
    }

    /// Applies purges, which are in order.
    fn apply(&mut self, purges: Vec<(u64, Revision, Value)>) -> Vec<Forget> {
        let mut forgets = Vec::new();
        for (number, at, value) in purges {
            if number <= self.reached {
                continue;
            }
            // Those between have left the log.
            if number > self.reached + 1 {
                forgets = vec![Forget::Everything];
            }
            (self.reached, self.at) = (number, at);
            forgets.push(Forget::Purge { number, value });
        }
        forgets
    }

    fn say(&mut self, lease: LeaseId, condition: (Key, Condition)) -> Ask {
        self.saying = self.reached;
        let change = Change::Put { value: number_value(self.saying), lease: Some(lease) };
        let commit = Transaction::new([condition], [(self.key.clone(), change)]);
        Ask::Commit(commit.expect("two operations and a number"))
    }

    fn refused(&mut self, now: Time, refused: Refused) {
        match (&self.standing, refused) {
            // Somebody purged meanwhile. The lease is left to run out, as another one will be there.
            (_, Refused::Conflict | Refused::LeaseLost) => self.standing = Standing::Away,
            // It may have been registered, with what is not true any more when it is tried again.
            (Standing::Leased { .. }, Refused::Unavailable) => self.standing = Standing::Away,
            (_, Refused::Unavailable) => {}
        }
        if refused == Refused::Unavailable {
            self.not_before = now.after(PAUSE);
        }
    }
}

/// Trusted for as long as control state, which began to count later, surely does.
fn present(lease: LeaseId, asked: Time) -> Standing {
    let until = asked.after(LEASE - LEASE / DRIFT);
    Standing::Present { lease, until, renew_at: asked.after(LEASE / RENEWED_AFTER) }
}

const _: () = assert!(LOG_MAX > 1, "the newest purge is always in the log");
