//! The own id: it has to fit the address at which others see this node (BEP 42), so that nobody chooses
//! its place among the keys.
//!
//! What others say of the address may be a lie; it counts once most of those who were heard of late agree.

use std::{collections::VecDeque, net::IpAddr};

use nigh_base::{Address, Key, machine::Context};

use super::{Event, Family, Node, secure_id};

/// Nodes whose word counts: the latest.
const VOTERS_MAX: usize = 32;
/// So many have to agree at least.
const VOTES_MIN: usize = 8;

/// Where others see this node: by whom, and where.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Votes(VecDeque<(IpAddr, IpAddr)>);

impl Votes {
    /// Takes a word in; each address has one.
    fn cast(&mut self, by: IpAddr, seen_at: IpAddr) {
        self.0.retain(|(voter, _)| *voter != by);
        if self.0.len() == VOTERS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((by, seen_at));
    }

    /// Where most see it, if enough of them agree.
    fn agree_on(&self, ip: IpAddr) -> bool {
        let agree = self.0.iter().filter(|(_, seen_at)| *seen_at == ip).count();
        agree >= VOTES_MIN && 2 * agree > self.0.len()
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
        self.votes.cast(by.ip(), seen_at.ip());
        if !self.votes.agree_on(seen_at.ip()) || secure_id::fits(self.me.key, seen_at.ip()) {
            return;
        }
        let mut random = [0; Key::BYTES];
        cx.secrets.fill(&mut random);
        let key = secure_id::bound(seen_at.ip(), Key::new(random));
        self.me.key = key;
        let old = std::mem::replace(&mut self.tables, Self::tables(key, &self.settings));
        for known in old.iter().flat_map(super::table::Table::nodes) {
            self.table_mut(Family::of(known.contact.address)).take_over(known);
        }
        cx.tell(Event::Moved { key, seen_at });
    }
}
