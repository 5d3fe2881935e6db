//! Joining, and what keeps the table true: each round a part of the key space that nobody has
//! looked at for long, the node that was silent the longest, and values that are to be stored again.

use std::time::Duration;

use nigh_base::{Address, Key, machine::Context};

use super::{
    Event, Node, Standing, Timer,
    ask::For,
    handing::Handing,
    lookups::LOOKUPS_MAX,
    purpose::{Purpose, Put, Putter},
    values::{Due, TURN, Version},
};
use crate::locate::{self, VIA_MAX};

/// How long after a failed try to join the next one comes at first; twice as long each time.
const JOIN_AGAIN: Duration = Duration::from_millis(500);
/// At most so long.
const JOIN_AGAIN_MAX: Duration = Duration::from_secs(10);
/// In each so manieth round, what others have announced and put is gone through.
const EXPIRE_ROUNDS: u32 = 12;

/// What upkeep remembers from round to round.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Upkeep {
    /// Where nodes may be that let this one in.
    pub(super) via: Vec<Address>,
    /// How often it has tried to join.
    attempts: u32,
    rounds: u32,
    /// The next bucket of each family that is looked up for the first time.
    filling: [usize; 2],
}

impl Node {
    /// Becomes part of the DHT that nodes at these addresses belong to, or begins one.
    pub(super) fn join(&mut self, mut via: Vec<Address>, cx: &mut Context<'_, Self>) {
        via.truncate(VIA_MAX);
        let begins = via.is_empty();
        self.upkeep = Upkeep { via, ..Upkeep::default() };
        self.standing = Standing::Joining;
        // Who comes back does not leave any more.
        self.handing = Handing::default();
        for timer in [Timer::Join, Timer::Leave] {
            self.timers.clear(timer);
        }
        if begins {
            return self.joined(cx);
        }
        self.try_to_join(cx);
    }

    /// Looks up the own id through those who may let this node in.
    pub(super) fn try_to_join(&mut self, cx: &mut Context<'_, Self>) {
        if self.standing == Standing::Outside {
            return;
        }
        if self.lookups.len() >= LOOKUPS_MAX {
            // The caller's own lookups have all places: later.
            return self.join_ended(false, cx);
        }
        self.look_up(self.me.key, Purpose::Join, cx);
    }

    /// Somebody has answered, or nobody.
    pub(super) fn join_ended(&mut self, is_heard: bool, cx: &mut Context<'_, Self>) {
        if !is_heard {
            let wait = JOIN_AGAIN.saturating_mul(1 << self.upkeep.attempts.min(8));
            self.upkeep.attempts = self.upkeep.attempts.saturating_add(1);
            self.timers.set(Timer::Join, cx.now.after(wait.min(JOIN_AGAIN_MAX)));
        } else if self.standing == Standing::Joining {
            self.joined(cx);
        }
    }

    fn joined(&mut self, cx: &mut Context<'_, Self>) {
        self.standing = Standing::Member;
        self.upkeep.attempts = 0;
        cx.tell(Event::Locate(locate::Event::Joined));
        self.next_round(cx);
    }

    /// Looks for its place anew, with another id.
    pub(super) fn moved(&mut self, cx: &mut Context<'_, Self>) {
        self.upkeep.filling = [0; 2];
        self.look_up(self.me.key, Purpose::Refresh, cx);
    }

    fn next_round(&mut self, cx: &mut Context<'_, Self>) {
        let wait = drawn(self.settings.upkeep_every, cx);
        self.timers.set(Timer::Upkeep, cx.now.after(wait));
    }

    /// When a value that is held now is to be stored again: nobody shall do so at the same time.
    pub(super) fn again(&self, cx: &mut Context<'_, Self>) -> Duration {
        drawn(self.settings.republish_every, cx)
    }

    /// A round of upkeep.
    pub(super) fn round(&mut self, cx: &mut Context<'_, Self>) {
        self.upkeep.rounds = self.upkeep.rounds.wrapping_add(1);
        for family in self.families() {
            let table = self.table_mut(family);
            let mut place = table.stale(cx.now);
            let buckets = table.buckets();
            let silent = table.silent(cx.now);
            let filling = &mut self.upkeep.filling[family as usize];
            if *filling + 1 < buckets {
                place = Some(*filling);
                *filling += 1;
            }
            if let Some(place) = place {
                let key = self.table(family).key_in(place, random(cx));
                self.look_up(key, Purpose::Refresh, cx);
            }
            if let Some(silent) = silent {
                self.verify(silent, For::Verify, cx);
            }
        }
        let is_alone = self.families().all(|it| self.table(it).living() == 0);
        if is_alone && !self.upkeep.via.is_empty() && self.lookups.len() == 0 {
            self.try_to_join(cx);
        }
        self.store_again(cx);
        self.welcome(cx);
        if self.upkeep.rounds.is_multiple_of(EXPIRE_ROUNDS) {
            self.swarms.expire(cx.now);
            self.items.expire(cx.now);
        }
        self.next_round(cx);
    }

    /// Puts again what is due: what there is no room for now has its turn later.
    fn store_again(&mut self, cx: &mut Context<'_, Self>) {
        let has_room = |it: &Self| it.lookups.len() < LOOKUPS_MAX / 2;
        for _ in 0..TURN {
            let due = has_room(self).then(|| self.values.next_published(cx.now)).flatten();
            let Some(Due { key, value, lifetime, number }) = due else { break };
            let put = Put { by: Putter::Publisher, value, lifetime, number };
            self.look_up(key, Purpose::Put(put), cx);
        }
        for key in self.values.turn(cx.now) {
            let Some(Version { value, number, lifetime }) = self.values.get(key, cx.now) else {
                continue;
            };
            if !has_room(self) {
                return;
            }
            let at = cx.now.after(self.again(cx));
            self.values.put_off(key, at);
            let put = Put { by: Putter::Holder, value, lifetime, number: Some(number) };
            self.look_up(key, Purpose::Put(put), cx);
        }
    }
}

/// Half to one and a half of it.
fn drawn(mean: Duration, cx: &mut Context<'_, Node>) -> Duration {
    let nanos = u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX).max(2);
    Duration::from_nanos(nanos / 2 + cx.rng.below(nanos))
}

/// Any key.
fn random(cx: &mut Context<'_, Node>) -> Key {
    let mut bytes = [0; Key::BYTES];
    nigh_base::machine::Secrets::fill(cx.rng, &mut bytes);
    Key::new(bytes)
}
