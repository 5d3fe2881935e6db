//! Questions that wait for an answer, and what happens when none comes.
//!
//! A step of a lookup is asked once: there are other ways. What keeps the ring together is asked
//! [`ATTEMPTS`] times, waiting longer each time, before a node is taken for gone. A put is asked for twice: the
//! second time the owner says how many copies there are, though it waits for others still.

use nigh_base::{Address, Key, Time, machine::Context};

use super::{
    Node, Timer,
    handover::Bequest,
    lookup::Passing,
    message::{Body, Message},
};
use crate::locate::{Contact, codec::Nonce, pending::Pending};

/// So often a neighbour is asked before it is taken for gone.
const ATTEMPTS: u32 = 3;
/// So often an owner is asked to hold a value.
const STORE_ATTEMPTS: u32 = 2;
/// Questions at once; what would be asked beyond that is not.
const REQUESTS_MAX: usize = 512;
/// Of them, those that are asked on behalf of others, who may want any number.
const FOR_OTHERS_MAX: usize = REQUESTS_MAX / 2;
/// Questions of upkeep have a place even then. There is one for each node of the tables at most, and
/// values that change hands have limits of their own.
const UPKEEP_MAX: usize = 384;

/// What an answer is for.
#[derive(Clone, Debug, Hash)]
pub(super) enum For {
    /// A step of that lookup.
    Lookup(u64),
    /// The successor's neighbours.
    Stabilise,
    /// Whether a node that did not answer, or was long silent, is there.
    Verify,
    /// The round trip of a candidate for the finger of that number.
    Candidate(u32),
    /// Whether a node that was lost is there again, and what lies behind it.
    Lost,
    /// A lookup of somebody else, passed on.
    Pass(Box<Passing>),
    /// A value with its owner, for that lookup.
    Store(u64),
    /// A value from one who should hold it, for that lookup.
    Fetch(u64),
    /// Whether a node that says it is the predecessor is there, and may be given values.
    Meet,
    /// A value that is its own now.
    Hand,
    /// A value of this node, which leaves.
    Bequeath(Bequest),
    /// A copy of a value; if it was made for somebody, that one is told when all are made.
    Copy(Option<Nonce>),
}

impl For {
    /// What keeps the ring together, and what it holds.
    const fn is_upkeep(&self) -> bool {
        matches!(
            self,
            Self::Stabilise
                | Self::Verify
                | Self::Lost
                | Self::Meet
                | Self::Hand
                | Self::Bequeath(_)
        )
    }

    /// What a peer has wanted.
    const fn is_for_others(&self) -> bool {
        match self {
            Self::Pass(passing) => !passing.is_own(),
            Self::Copy(_) => true,
            _ => false,
        }
    }

    const fn attempts(&self) -> u32 {
        match self {
            Self::Stabilise
            | Self::Verify
            | Self::Copy(_)
            | Self::Meet
            | Self::Hand
            | Self::Bequeath(_) => ATTEMPTS,
            Self::Store(_) => STORE_ATTEMPTS,
            _ => 1,
        }
    }
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Request {
    /// Whose key is not known of an address that a caller gave.
    pub(super) key: Option<Key>,
    pub(super) address: Address,
    pub(super) what: For,
    pub(super) sent: Time,
    attempt: u32,
    body: Body,
}

impl Request {
    pub(super) fn contact(&self) -> Option<Contact> {
        self.key.map(|key| Contact { key, address: self.address })
    }
}

/// The questions of a node.
pub(super) type Requests = Pending<Request>;

impl Requests {
    /// Whether `address` is being asked whether it is there.
    fn verifies(&self, address: Address) -> bool {
        self.iter().any(|request| {
            request.address == address && matches!(request.what, For::Verify | For::Stabilise)
        })
    }

    /// Whether one more may be asked.
    fn have_room(&self, what: &For) -> bool {
        if what.is_upkeep() {
            return self.len() < REQUESTS_MAX + UPKEEP_MAX;
        }
        let for_others = || self.iter().filter(|it| it.what.is_for_others()).count();
        let has_share =
            !what.is_for_others() || self.len() < FOR_OTHERS_MAX || for_others() < FOR_OTHERS_MAX;
        self.len() < REQUESTS_MAX && has_share
    }

    pub(super) fn check(&self) {
        assert!(self.len() <= REQUESTS_MAX + UPKEEP_MAX, "too many questions at once");
    }
}

impl Node {
    /// Asks a node; false if too much is asked already.
    pub(super) fn ask(
        &mut self,
        to: Contact,
        what: For,
        body: impl FnOnce(Nonce) -> Body,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        self.ask_at(Some(to.key), to.address, 0, what, body, cx)
    }

    /// Asks whoever is at an address; who has not answered `misses` times is given longer. Waits
    /// follow the round trips to all nodes, and this one may be farther than most.
    pub(super) fn ask_at(
        &mut self,
        key: Option<Key>,
        address: Address,
        misses: u32,
        what: For,
        body: impl FnOnce(Nonce) -> Body,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        if !self.requests.have_room(&what) {
            return false;
        }
        let nonce = cx.secrets.number();
        let body = body(nonce);
        cx.send(address, Message { to: key, body: body.clone() });
        let request = Request { key, address, what, sent: cx.now, attempt: 0, body };
        self.requests.push(nonce, Box::new(request));
        self.timers.set(Timer::Request(nonce), cx.now.after(self.rtt.wait(misses)));
        true
    }

    /// An answer has come, perhaps to a question of this node.
    pub(super) fn answered(&mut self, from: Address, answer: Body, cx: &mut Context<'_, Self>) {
        let Some(nonce) = answer.nonce() else { return };
        if self.requests.get(nonce).is_none_or(|request| request.address != from) {
            return;
        }
        let Some(request) = self.requests.take(nonce) else { return };
        let request = *request;
        self.timers.clear(Timer::Request(nonce));
        let round_trip = cx.now.since(request.sent);
        // How far away one is who may be made up says nothing of the others.
        if request.attempt == 0 && !matches!(request.what, For::Meet) {
            self.rtt.measured(round_trip);
        }
        let contact = request.contact();
        if matches!(answer, Body::Stranger { .. }) {
            // Another is there, or it is not part of a ring; it may be once more.
            if let Some(contact) = contact.filter(|it| self.knows(*it)) {
                self.gone(contact, &request.what, cx);
            }
            return self.gave_nothing(request.what, contact, cx);
        }
        if let (Body::Store { offer, .. }, Body::Stored { .. }) = (&request.body, &answer) {
            self.kept_by(from, offer.key);
        }
        match (request.what, answer) {
            (For::Lookup(id), Body::Closer { contacts, .. }) => {
                self.stepped(id, request.key, request.address, round_trip, &contacts, cx);
            }
            (For::Lookup(id), Body::Owner { contacts, .. }) => {
                self.arrived(id, request.key, request.address, round_trip, contacts, cx);
            }
            (For::Stabilise, Body::NeighboursAre { neighbours, .. }) => {
                let key = request.key.expect("successors have keys");
                let from = Contact { key, address: from };
                self.neighbours_are(from, &neighbours, cx);
            }
            (For::Candidate(exponent), Body::Pong { .. }) => {
                self.candidate(exponent, request.key, Some(round_trip));
            }
            (For::Lost, Body::Pong { .. }) => {
                if let Some(contact) = contact {
                    self.found_again(contact, cx);
                }
            }
            (For::Meet, Body::Pong { .. }) => {
                if let Some(contact) = contact {
                    self.met(contact, cx);
                }
            }
            (For::Hand, _) => {
                if let Some(contact) = contact {
                    self.passed(contact, cx);
                }
            }
            (For::Bequeath(bequest), answer) => self.bequeathed(bequest, Some(&answer), cx),
            (For::Store(id), Body::Stored { copies, .. }) => self.stored(id, copies, cx),
            (For::Store(id), Body::Full { .. }) => self.not_stored(id, cx),
            (For::Fetch(id), Body::Value { value, .. }) => self.fetched(id, value, cx),
            (For::Copy(Some(asker)), Body::Stored { copies, .. }) => {
                self.copied(asker, copies > 0, cx);
            }
            (For::Copy(Some(asker)), Body::Full { .. }) => self.copied(asker, false, cx),
            // It is there, which is all that the others want to know; what does not fit the
            // question is as good as no answer to it.
            (For::Verify | For::Pass(_) | For::Copy(None), _) => {}
            (what, _) => self.gave_nothing(what, contact, cx),
        }
    }

    /// No answer has come in time.
    pub(super) fn unanswered(&mut self, nonce: Nonce, cx: &mut Context<'_, Self>) {
        let Some(mut request) = self.requests.take(nonce) else { return };
        request.attempt += 1;
        if request.attempt < request.what.attempts() {
            let message = Message { to: request.key, body: request.body.clone() };
            cx.send(request.address, message);
            let wait = self.rtt.wait(request.attempt);
            self.timers.set(Timer::Request(nonce), cx.now.after(wait));
            self.requests.push(nonce, request);
            return;
        }
        if let Some(contact) = request.contact() {
            match request.what {
                For::Stabilise | For::Verify | For::Meet | For::Hand | For::Bequeath(_) => {
                    self.gone(contact, &request.what, cx);
                }
                For::Candidate(_) | For::Lost | For::Copy(_) => {}
                // One datagram may have been lost: ask again, beside the way.
                For::Lookup(_) | For::Pass(_) | For::Store(_) | For::Fetch(_) => {
                    self.suspect(contact, cx);
                }
            }
        }
        let contact = request.contact();
        self.gave_nothing(request.what, contact, cx);
    }

    /// What follows when a question has no answer.
    fn gave_nothing(&mut self, what: For, asked: Option<Contact>, cx: &mut Context<'_, Self>) {
        match what {
            For::Lookup(id) => self.step_failed(id, cx),
            For::Candidate(exponent) => {
                self.candidate(exponent, asked.map(|it| it.key), None);
            }
            For::Pass(passing) => self.pass_again(*passing, cx),
            For::Store(id) | For::Fetch(id) => self.holder_missed(id, cx),
            For::Copy(Some(asker)) => self.copied(asker, false, cx),
            For::Stabilise => self.hasten(cx),
            For::Meet | For::Hand => {
                if let Some(contact) = asked {
                    self.end_passage(contact);
                }
            }
            For::Bequeath(bequest) => self.bequeathed(bequest, None, cx),
            For::Verify | For::Lost | For::Copy(None) => {}
        }
    }

    /// Who was asked is gone. Another is next now, if it was the next one; who stabilises goes on to
    /// that anyway.
    fn gone(&mut self, contact: Contact, what: &For, cx: &mut Context<'_, Self>) {
        if self.lose(contact) && !matches!(what, For::Stabilise) {
            self.hasten(cx);
        }
    }

    fn knows(&self, contact: Contact) -> bool {
        self.predecessor == Some(contact)
            || self.successors.contains(&contact)
            || self.fingers.has(contact)
    }

    /// Asks a node of the tables that did not answer whether it is there at all.
    pub(super) fn suspect(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        if self.knows(contact) && !self.requests.verifies(contact.address) {
            self.ask(contact, For::Verify, |nonce| Body::Ping { nonce }, cx);
        }
    }
}
