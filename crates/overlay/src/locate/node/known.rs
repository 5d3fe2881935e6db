//! Whom a node knows, meets and loses. Nobody is taken in who has not answered, and nobody is thrown out
//! on somebody's word.

use std::time::Duration;

use nigh_base::{Address, Key, Time, machine::Context};

use super::{
    Node, Timer,
    geometry::{Cx, Geometry, Peer},
    lookup::Purpose,
    message::Body,
    request::{For, What},
};
use crate::locate::Contact;

/// So many nodes that were lost are remembered, and so many that were found there.
const REMEMBERED_MAX: usize = 32;
/// Who was found gone is not asked again for so long, though others name it who do not know yet.
const GONE_FOR: Duration = Duration::from_secs(30);
/// Who was found there is not asked again for so long on a stranger's word.
const THERE_FOR: Duration = Duration::from_secs(5);
/// A lost node is asked every so many rounds, and the own place looked at from far away.
const LOST_ROUNDS: u32 = 4;
/// Of these looks at the own place one in so many goes by a way in.
const VIA_LOOKS: u32 = 4;

/// Nodes of which something was found out, and when, the latest last.
#[derive(Debug, Default, Hash)]
pub(super) struct Remembered(Vec<(Contact, Time)>);

impl Remembered {
    pub(super) fn remember(&mut self, contact: Contact, now: Time) {
        self.forget(contact);
        if self.0.len() == REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push((contact, now));
    }

    fn forget(&mut self, contact: Contact) {
        self.0.retain(|(other, _)| *other != contact);
    }

    /// Whether that was found out of it less than `span` ago.
    fn has(&self, contact: Contact, span: Duration, now: Time) -> bool {
        self.0.iter().any(|(it, at)| *it == contact && now.since(*at) < span)
    }

    pub(super) fn check(&self) {
        assert!(self.0.len() <= REMEMBERED_MAX, "too many are remembered");
    }
}

impl<G: Geometry> Node<G> {
    pub(super) fn next_round(&mut self, cx: &mut Cx<'_, G>) {
        let every = self.common().upkeep_every;
        let wait = cx.rng.between(every / 2, every + every / 2);
        self.timers.set(Timer::Round, cx.now.after(wait));
    }

    /// One round of upkeep.
    pub(super) fn round(&mut self, cx: &mut Cx<'_, G>) {
        if !self.is_member() {
            return;
        }
        self.rounds = self.rounds.wrapping_add(1);
        self.next_round(cx);
        G::round(self, cx);
        if self.rounds.is_multiple_of(LOST_ROUNDS) {
            self.look_far(cx);
        }
    }

    /// Is one of the lost there again? And who is nearest to this node, as seen from far away?
    fn look_far(&mut self, cx: &mut Cx<'_, G>) {
        if !self.lost.0.is_empty() {
            let (lost, _) = self.lost.0[cx.rng.index(self.lost.0.len())];
            self.ask(lost, For::Lost, |nonce| Body::Ping { nonce }, cx);
        }
        if self.geometry.neighbours().is_empty() && !self.via.is_empty() {
            return self.look_up(self.me.key, Purpose::Audit, false, cx);
        }
        if let Some(via) = self.via_due() {
            // Who is there looks from there, as from one of the lost.
            self.ask_at(None, via, For::Lost, |nonce| Body::Ping { nonce }, cx);
            return;
        }
        let far = self.geometry.far();
        if !far.is_empty() {
            self.look_from(far[cx.rng.index(far.len())], cx);
        }
    }

    /// The way in whose turn it is, if it is. Nodes that have lost what would have made them one overlay when they
    /// joined know only each other, and miss nobody: the ways in are what they have of the rest.
    fn via_due(&self) -> Option<Address> {
        let looks = self.rounds / LOST_ROUNDS;
        let turn = (looks / VIA_LOOKS) as usize;
        let is_due = looks.is_multiple_of(VIA_LOOKS) && !self.via.is_empty();
        is_due.then(|| self.via[turn % self.via.len()])
    }

    /// Whether that is this node, or has its key or its address.
    pub(in crate::locate) fn is_me(&self, contact: Contact) -> bool {
        contact.key == self.me.key || contact.address == self.me.address
    }

    /// Whether a node that another names may be there, as far as this one knows.
    pub(in crate::locate) fn may_be(&self, contact: Contact, cx: &Context<'_, Self>) -> bool {
        self.is_member() && !self.is_me(contact) && !self.lost.has(contact, GONE_FOR, cx.now)
    }

    /// Another names a node: it is met if there is a place for it.
    pub(in crate::locate) fn consider(&mut self, contact: Contact, cx: &mut Cx<'_, G>) {
        if self.may_be(contact, cx) {
            self.notice(contact, For::Meet, cx);
        }
    }

    /// Another names a node: it is met, unless it is known to be gone.
    pub(in crate::locate) fn meet_if_there(&mut self, contact: Contact, cx: &mut Cx<'_, G>) {
        if self.may_be(contact, cx) {
            self.meet(contact, For::Meet, cx);
        }
    }

    /// A node speaks itself, as it seems: it is met if there is a place for it.
    pub(super) fn greet(&mut self, contact: Contact, cx: &mut Cx<'_, G>) {
        self.notice(contact, For::Greet, cx);
    }

    fn notice(&mut self, contact: Contact, what: What<G>, cx: &mut Cx<'_, G>) {
        if self.is_me(contact) {
            return;
        }
        match self.geometry.peer(contact.key).copied() {
            // It has come back at another address, or somebody says so.
            Some(old) if old.contact != contact => self.suspect(old.contact, cx),
            Some(known) => G::take(self, known, cx),
            None if G::would_take(self, contact.key) => self.meet(contact, what, cx),
            None => {}
        }
    }

    /// A node has answered, and so soon.
    pub(super) fn heard(&mut self, by: Contact, round_trip: Duration, cx: &mut Cx<'_, G>) {
        if !self.is_member() || self.is_me(by) {
            return;
        }
        self.lost.forget(by);
        match self.geometry.peer(by.key).copied() {
            Some(known) if known.contact != by => self.suspect(known.contact, cx),
            Some(_) => self.geometry.measured(by, round_trip),
            None => {
                let mut peer = Peer::unmeasured(by);
                peer.rtt.measured(round_trip);
                G::take(self, peer, cx);
            }
        }
    }

    /// A node is gone.
    pub(super) fn lose(&mut self, contact: Contact, cx: &mut Cx<'_, G>) {
        if G::remove(self, contact, cx) {
            self.lost.remember(contact, cx.now);
        }
    }

    /// Asks a node that is known and did not answer whether it is there at all.
    pub(in crate::locate) fn suspect(&mut self, contact: Contact, cx: &mut Cx<'_, G>) {
        let is_known = self.geometry.peer(contact.key).is_some_and(|it| it.contact == contact);
        if is_known && !self.is_asking(contact.address) {
            self.ask(contact, For::Verify, |nonce| Body::Ping { nonce }, cx);
        }
    }

    /// The same of a node that a stranger has not reached, as it says: any number of strangers may say so.
    pub(super) fn suspect_on_a_word(&mut self, key: Key, cx: &mut Cx<'_, G>) {
        let Some(contact) = self.geometry.peer(key).map(|peer| peer.contact) else { return };
        if !self.there.has(contact, THERE_FOR, cx.now) {
            self.suspect(contact, cx);
        }
    }

    /// Asks a node that may belong into the tables whether it is there: nobody is taken in who has
    /// not answered, since it may be made up.
    fn meet(&mut self, contact: Contact, what: What<G>, cx: &mut Cx<'_, G>) {
        if !self.is_asking(contact.address) {
            self.ask(contact, what, |nonce| Body::Ping { nonce }, cx);
        }
    }

    /// Forgets all whom it knows.
    pub(super) fn forget_all(&mut self) {
        self.geometry = G::new(self.me, &self.settings);
        (self.lost, self.there) = Default::default();
    }
}
