//! What keeps the leaf set and the table true while nodes come and go.
//!
//! Pastry mends a hole when it finds one: it asks another node for the nodes that may fill it
//! (Middleware 2001, section 2.4). Under churn that makes the more work the more nodes go, and the
//! work makes more nodes seem gone. Bamboo exchanges leaf sets at its own pace whatever happens
//! (Rhea, Geels, Roscoe, Kubiatowicz, "Handling Churn in a DHT", USENIX 2004, section 4.1).

use std::time::Duration;

use nigh_base::{Key, Rtt, Time, machine::Context};

use super::{
    Node, Repair, Timer,
    leaves::{Leaves, Peer},
    lookup::Purpose,
    message::Body,
    request::For,
    table::Table,
};
use crate::locate::Contact;

/// So many nodes that were lost are remembered.
const LOST_MAX: usize = 32;
/// Who was found gone is not asked again for so long, though others name it who do not know yet.
const GONE_FOR: Duration = Duration::from_secs(30);
/// A lost node is asked every so many rounds, and the own place looked at from far away.
const LOST_ROUNDS: u32 = 4;

/// Nodes that were known and did not answer any more, the latest last.
#[derive(Debug, Default, Hash)]
pub(super) struct Lost(Vec<(Contact, Time)>);

impl Lost {
    fn remember(&mut self, contact: Contact, now: Time) {
        self.forget(contact);
        if self.0.len() == LOST_MAX {
            self.0.remove(0);
        }
        self.0.push((contact, now));
    }

    fn forget(&mut self, contact: Contact) {
        self.0.retain(|(other, _)| *other != contact);
    }

    fn is_gone(&self, contact: Contact, now: Time) -> bool {
        self.0.iter().any(|(it, at)| *it == contact && now.since(*at) < GONE_FOR)
    }

    pub(super) fn check(&self) {
        assert!(self.0.len() <= LOST_MAX, "too many lost nodes");
    }
}

impl Node {
    pub(super) fn next_round(&mut self, cx: &mut Context<'_, Self>) {
        let every = self.settings.upkeep_every;
        let wait = cx.rng.between(every / 2, every + every / 2);
        self.timers.set(Timer::Round, cx.now.after(wait));
    }

    /// One round of upkeep.
    pub(super) fn round(&mut self, cx: &mut Context<'_, Self>) {
        if !self.is_member() {
            return;
        }
        self.rounds = self.rounds.wrapping_add(1);
        self.next_round(cx);
        self.look_after_leaves(cx);
        self.tune(cx);
        if self.rounds.is_multiple_of(LOST_ROUNDS) {
            self.look_far(cx);
        }
    }

    /// Asks the next leaf on each side, and the rest one after the other, for theirs; or all whether
    /// they are there.
    fn look_after_leaves(&mut self, cx: &mut Context<'_, Self>) {
        let all: Vec<Contact> = self.leaves.contacts().collect();
        if self.settings.repair == Repair::Reactive {
            return all.into_iter().for_each(|leaf| self.suspect(leaf, cx));
        }
        let turn = (!all.is_empty()).then(|| all[self.rounds as usize % all.len()]);
        let mut due: Vec<Contact> =
            self.leaves.next().into_iter().chain([turn]).flatten().collect();
        due.sort_unstable();
        due.dedup();
        due.into_iter().for_each(|leaf| self.ask_leaves(leaf, cx));
    }

    /// Asks a node of the table, which is drawn, for the others of its row as it knows them: some may
    /// be nearer than those here, or fill a hole.
    fn tune(&mut self, cx: &mut Context<'_, Self>) {
        if self.table.len() > 0 {
            let place = cx.rng.index(self.table.len());
            let drawn = self.table.iter().nth(place).map(|peer| peer.contact);
            drawn.into_iter().for_each(|it| self.ask_row(it, cx));
        }
    }

    /// Is one of the lost there again? And who is nearest to this node, as seen from far away?
    fn look_far(&mut self, cx: &mut Context<'_, Self>) {
        if !self.lost.0.is_empty() {
            let (lost, _) = self.lost.0[cx.rng.index(self.lost.0.len())];
            self.ask(lost, For::Lost, |nonce| Body::Ping { nonce }, cx);
        }
        if self.leaves.is_empty() && !self.via.is_empty() {
            return self.look_up(self.me.key, Purpose::Audit, false, cx);
        }
        if self.table.len() > 0 {
            let place = cx.rng.index(self.table.len());
            let drawn = self.table.iter().nth(place).map(|peer| peer.contact);
            drawn.into_iter().for_each(|it| self.look_from(it, cx));
        }
    }

    /// A lost node is there again, perhaps on the other side of a cut that is healed: whoever is
    /// nearest over there belongs into the leaf set.
    pub(super) fn found_again(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        self.look_from(contact, cx);
    }

    fn ask_leaves(&mut self, of: Contact, cx: &mut Context<'_, Self>) {
        self.ask(of, For::Leaves, |nonce| Body::Leaves { nonce }, cx);
    }

    /// Asks a node for the row in which it would stand here: all of it fits this node as well.
    pub(super) fn ask_row(&mut self, of: Contact, cx: &mut Context<'_, Self>) {
        if let Ok(row) = u8::try_from(self.table.row_of(of.key)) {
            self.ask(of, For::Row, |nonce| Body::Row { nonce, row }, cx);
        }
    }

    /// A leaf has named its leaves. Those of this node that it should have named, and has not, it may
    /// have found gone.
    pub(super) fn leaves_are(
        &mut self,
        by: Contact,
        contacts: &[Contact],
        cx: &mut Context<'_, Self>,
    ) {
        let missing = self.leaves.missing(by, contacts);
        missing.into_iter().for_each(|it| self.suspect(it, cx));
        self.nearest_are(contacts, cx);
    }

    /// Others see these near this node.
    pub(super) fn nearest_are(&mut self, contacts: &[Contact], cx: &mut Context<'_, Self>) {
        contacts.iter().for_each(|&it| self.consider(it, cx));
    }

    /// A row of another's table: with locality, whoever might be nearer than those known is measured.
    pub(super) fn row_is(&mut self, contacts: &[Contact], cx: &mut Context<'_, Self>) {
        for &contact in contacts {
            if self.settings.locality
                && self.peer(contact.key).is_none()
                && self.may_be(contact, cx)
            {
                self.meet(contact, cx);
            } else {
                self.consider(contact, cx);
            }
        }
    }

    /// Whether a node that another names may be there, as far as this one knows.
    fn may_be(&self, contact: Contact, cx: &Context<'_, Self>) -> bool {
        let is_me = contact.key == self.me.key || contact.address == self.me.address;
        self.is_member() && !is_me && !self.lost.is_gone(contact, cx.now)
    }

    /// Another names a node: it is met if there is a place for it.
    pub(super) fn consider(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        if self.may_be(contact, cx) {
            self.greet(contact, cx);
        }
    }

    /// A node speaks itself, as it seems: it is met if there is a place for it.
    pub(super) fn greet(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        if contact.key == self.me.key || contact.address == self.me.address {
            return;
        }
        match self.peer(contact.key).copied() {
            // It has come back at another address, or somebody says so.
            Some(old) if old.contact != contact => self.suspect(old.contact, cx),
            Some(known) => self.take(known, cx),
            None => {
                if self.leaves.would_take(contact.key) || self.table.at(contact.key).is_none() {
                    self.meet(contact, cx);
                }
            }
        }
    }

    /// A node has answered, and so soon.
    pub(super) fn heard(&mut self, by: Contact, round_trip: Duration, cx: &mut Context<'_, Self>) {
        if !self.is_member() || by.key == self.me.key || by.address == self.me.address {
            return;
        }
        self.lost.forget(by);
        match self.peer(by.key).copied() {
            Some(known) if known.contact != by => self.suspect(known.contact, cx),
            Some(_) => {
                self.leaves.measured(by, round_trip);
                self.table.measured(by, round_trip);
            }
            None => {
                let mut rtt = Rtt::default();
                rtt.measured(round_trip);
                self.take(Peer { contact: by, rtt }, cx);
            }
        }
    }

    /// Takes a node that has answered into the tables, where there is a place for it.
    fn take(&mut self, peer: Peer, cx: &mut Context<'_, Self>) {
        let is_empty = self.table.at(peer.contact.key).is_none();
        if is_empty || self.settings.locality {
            self.table.take(peer);
        }
        if self.leaves.take(peer) {
            self.new_leaf(peer.contact, cx);
        }
    }

    /// A node is gone: out of the tables with it.
    pub(super) fn lose(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        let was_leaf = self.leaves.remove(contact);
        let was_in_table = self.table.remove(contact);
        if was_leaf || was_in_table {
            self.lost.remember(contact, cx.now);
        }
        if self.settings.repair == Repair::Periodic || !self.is_member() {
            return;
        }
        if was_leaf && let Some(end) = self.leaves.far_end(contact.key) {
            self.ask_leaves(end, cx);
        }
        if was_in_table {
            let row = self.table.row_of(contact.key);
            let mate = self.table.row(row).next();
            mate.into_iter().for_each(|it| self.ask_row(it, cx));
        }
    }

    /// What is known of a node that is in the tables.
    pub(super) fn peer(&self, key: Key) -> Option<&Peer> {
        self.leaves.get(key).or_else(|| self.table.get(key))
    }

    pub(super) fn knows(&self, contact: Contact) -> bool {
        self.peer(contact.key).is_some_and(|peer| peer.contact == contact)
    }

    /// Empties the tables.
    pub(super) fn forget_all(&mut self) {
        self.leaves = Leaves::new(self.me.key, self.settings.leaves / 2);
        self.table = Table::new(self.me.key, self.settings.digits());
        self.lost = Lost::default();
    }
}
