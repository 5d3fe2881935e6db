//! The own id: it has to fit the address at which others see this node (BEP 42), so that nobody chooses
//! its place among the keys.
//!
//! What others say of the address may be a lie; it counts once most of those who were heard of late agree.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use nigh_base::{Address, Key, Time, machine::Context};

use super::{Event, Family, Node, host::Host, secure_id};

/// Nodes whose word counts: the latest.
const VOTERS_MAX: usize = 32;
/// So many have to agree at least.
const VOTES_MIN: usize = 8;
/// A node has an id for so long at least: who has many addresses could make it look for its place again
/// and again.
const ID_LIFE: Duration = Duration::from_secs(30 * 60);

/// Where others see this node: by whom, and where.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Votes {
    latest: VecDeque<(Host, IpAddr)>,
    /// When the id was changed.
    changed: Option<Time>,
}

impl Votes {
    /// Takes a word in; each host has one.
    fn cast(&mut self, by: Host, seen_at: IpAddr) {
        self.latest.retain(|(voter, _)| *voter != by);
        if self.latest.len() == VOTERS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back((by, seen_at));
    }

    /// Where most see it, if enough of them agree.
    fn agree_on(&self, ip: IpAddr) -> bool {
        let agree = self.latest.iter().filter(|(_, seen_at)| *seen_at == ip).count();
        agree >= VOTES_MIN && 2 * agree > self.latest.len()
    }
}

impl Node {
    /// Somebody has said where it sees this node.
    pub(super) fn seen_at(&mut self, seen_at: Address, by: Address, cx: &mut Context<'_, Self>) {
        // An id fits one address; that of the first family decides.
        let decides = self.families().next() == Some(Family::of(seen_at));
        if !self.settings.fits_address || !decides {
            return;
        }
        self.votes.cast(Host::of(by), seen_at.ip());
        let is_new = self.votes.changed.is_some_and(|changed| cx.now.since(changed) < ID_LIFE);
        if is_new
            || !self.votes.agree_on(seen_at.ip())
            || secure_id::fits(self.me.key, seen_at.ip())
        {
            return;
        }
        self.votes = Votes { changed: Some(cx.now), ..Votes::default() };
        let mut random = [0; Key::BYTES];
        cx.secrets.fill(&mut random);
        let key = secure_id::bound(seen_at.ip(), Key::new(random));
        self.me.key = key;
        self.tables.iter_mut().for_each(|it| it.rekey(key));
        self.swarms.moved(key);
        self.items.moved(key);
        self.values.moved(key);
        cx.tell(Event::Moved { key, seen_at });
        self.moved(cx);
    }
}
