//! Questions that wait for an answer, and what happens when none comes.
//!
//! Each wait is measured: RFC 6298 over the round trips to the node that is asked, or, where there are
//! none yet, over those to all (Bamboo, USENIX 2004, section 4.2).

use nigh_base::{Address, Key, Rtt, Time};

use super::{
    Node, Timer,
    geometry::{Cx, Errand, Geometry, Silence},
    handing::Bequest,
    lookup::Passing,
    message::{Body, Message, Says},
};
use crate::locate::{Contact, codec::Nonce, pending::Pending};

/// So often a node is asked before it is taken for gone.
pub(super) const ATTEMPTS: u32 = 3;
/// So often a node on the way is asked before it is gone round: one datagram may have been lost.
const STEP_ATTEMPTS: u32 = 2;
/// Questions at once; what would be asked beyond that is not.
const REQUESTS_MAX: usize = 512;
/// Of them, those that are asked on behalf of others, who may want any number.
const FOR_OTHERS_MAX: usize = REQUESTS_MAX / 2;
/// Questions of upkeep have a place even then.
const UPKEEP_MAX: usize = 128;
/// Nodes that are met at once; others will be named again. As many that speak of their own accord are met
/// beside them: any number of those may be made up.
const MEETINGS_MAX: usize = 64;

/// What an answer is for: `C` is what a lookup carries, `E` the errands of one overlay alone.
#[derive(Clone, Debug, Hash)]
pub(in crate::locate) enum For<C, E> {
    /// A step of that lookup.
    Lookup(u64),
    /// Whether another node has the key of this one, which joins; these are to be met if not.
    Twin(Vec<Contact>),
    /// Whether a node that another names is there, and how far away.
    Meet,
    /// The same of one that speaks itself, as it seems.
    Greet,
    /// Whether a node that did not answer is there.
    Verify,
    /// Whether a node that was lost is there again.
    Lost,
    /// A lookup of somebody else, passed on.
    Pass(Box<Passing<C>>),
    /// A value with its owner, for that lookup.
    Store(u64),
    /// A value from one who should hold it, for that lookup.
    Fetch(u64),
    /// A copy of a value; if it was made for somebody, that one is told when all are made.
    Copy(Option<Nonce>),
    /// A value that its owner does not seem to hold.
    Mend,
    /// A value that is its own now.
    Hand(Bequest),
    /// What the overlay itself wants to know.
    Own(E),
}

impl<C, E: Errand> For<C, E> {
    /// What keeps the overlay together, and what it holds.
    fn is_upkeep(&self) -> bool {
        match self {
            Self::Verify | Self::Lost | Self::Hand(_) => true,
            Self::Own(errand) => errand.is_upkeep(),
            _ => false,
        }
    }

    /// What a peer has wanted.
    const fn is_for_others(&self) -> bool {
        match self {
            Self::Pass(passing) => !passing.is_own(),
            Self::Copy(_) => true,
            _ => false,
        }
    }

    /// Whether it finds out, in the end, whether a node is there.
    const fn is_probe(&self) -> bool {
        matches!(self, Self::Verify | Self::Meet | Self::Greet | Self::Lost | Self::Own(_))
    }

    /// Whether it meets a node that is not known yet.
    const fn is_meeting(&self) -> bool {
        matches!(self, Self::Meet | Self::Greet)
    }

    fn attempts(&self) -> u32 {
        match self {
            Self::Verify | Self::Copy(_) | Self::Hand(_) | Self::Mend => ATTEMPTS,
            Self::Lookup(_) | Self::Pass(_) | Self::Store(_) | Self::Fetch(_) | Self::Twin(_) => {
                STEP_ATTEMPTS
            }
            Self::Meet | Self::Greet | Self::Lost => 1,
            Self::Own(errand) => errand.attempts(),
        }
    }

    /// What is thought of a node that does not answer.
    fn silence(&self) -> Silence {
        match self {
            Self::Verify | Self::Hand(_) => Silence::Gone,
            Self::Twin(_) | Self::Meet | Self::Greet | Self::Lost => Silence::Nothing,
            Self::Own(errand) => errand.silence(),
            _ => Silence::Doubtful,
        }
    }
}

/// What an answer is for among nodes of that geometry.
pub(super) type What<G> = For<<G as Geometry>::Carry, <G as Geometry>::Errand>;

#[derive(Debug, Hash)]
pub(super) struct Request<G: Geometry> {
    /// Whose key is not known of an address that a caller gave.
    key: Option<Key>,
    address: Address,
    what: What<G>,
    sent: Time,
    attempt: u32,
    body: Says<G>,
}

impl<G: Geometry> Request<G> {
    fn contact(&self) -> Option<Contact> {
        self.key.map(|key| Contact { key, address: self.address })
    }
}

/// Whether one more may be asked.
fn have_room<G: Geometry>(requests: &Pending<Request<G>>, what: &What<G>) -> bool {
    let count = |of: fn(&What<G>) -> bool| requests.iter().filter(|it| of(&it.what)).count();
    if what.is_upkeep() {
        return requests.len() < REQUESTS_MAX + UPKEEP_MAX;
    }
    let has_share = match what {
        For::Meet => count(|it| matches!(it, For::Meet)) < MEETINGS_MAX,
        For::Greet => count(|it| matches!(it, For::Greet)) < MEETINGS_MAX,
        what if what.is_for_others() => {
            requests.len() < FOR_OTHERS_MAX || count(For::is_for_others) < FOR_OTHERS_MAX
        }
        _ => true,
    };
    requests.len() < REQUESTS_MAX && has_share
}

/// Panics if more is asked than may be.
pub(super) fn check<G: Geometry>(requests: &Pending<Request<G>>) {
    assert!(requests.len() <= REQUESTS_MAX + UPKEEP_MAX, "too many questions at once");
}

impl<G: Geometry> Node<G> {
    /// Asks a node; false if too much is asked already.
    pub(in crate::locate) fn ask(
        &mut self,
        to: Contact,
        what: What<G>,
        body: impl FnOnce(Nonce) -> Says<G>,
        cx: &mut Cx<'_, G>,
    ) -> bool {
        self.ask_at(Some(to.key), to.address, what, body, cx)
    }

    /// Asks whoever is at an address.
    pub(super) fn ask_at(
        &mut self,
        key: Option<Key>,
        address: Address,
        what: What<G>,
        body: impl FnOnce(Nonce) -> Says<G>,
        cx: &mut Cx<'_, G>,
    ) -> bool {
        if !have_room(&self.requests, &what) {
            return false;
        }
        let nonce = cx.secrets.number();
        let body = body(nonce);
        self.say(address, body.clone(), cx);
        let request = Request { key, address, what, sent: cx.now, attempt: 0, body };
        let wait = self.rtt_of(key).wait(0);
        self.timers.set(Timer::Request(nonce), cx.now.after(wait));
        self.requests.push(nonce, Box::new(request));
        true
    }

    /// The round trips that were measured to a node, or to all.
    fn rtt_of(&self, key: Option<Key>) -> Rtt {
        let peer = key.and_then(|key| self.geometry.peer(key)).map(|peer| peer.rtt);
        peer.filter(|rtt| rtt.estimate().is_some()).unwrap_or(self.rtt)
    }

    /// An answer has come, perhaps to a question of this node.
    pub(super) fn answered(
        &mut self,
        from: Address,
        key: Option<Key>,
        answer: Says<G>,
        cx: &mut Cx<'_, G>,
    ) {
        let Some(nonce) = answer.answers() else { return };
        if self.requests.get(nonce).is_none_or(|request| request.address != from) {
            return;
        }
        let Some(request) = self.requests.take(nonce) else { return };
        self.timers.clear(Timer::Request(nonce));
        let round_trip = cx.now.since(request.sent);
        // How far away those are who may be made up says nothing of the others.
        if request.attempt == 0 && !request.what.is_meeting() {
            self.rtt.measured(round_trip);
        }
        let (old, asked, what) = (request.contact(), request.key, request.what);
        // Another is there now, or nobody who belongs here.
        if let Some(old) = old.filter(|old| key != Some(old.key)) {
            self.lose(old, cx);
        }
        let Some(key) = key.filter(|_| !matches!(answer, Body::Stranger { .. })) else {
            return self.gave_nothing(what, cx);
        };
        let by = Contact { key, address: from };
        if request.attempt == 0 {
            self.heard(by, round_trip, cx);
        }
        // Who holds what this node owns, and does not stand in for it, is no reason not to hand it on.
        let is_far = |key| matches!(what, For::Mend) && self.owns(key);
        if let (Body::Store { offer, .. }, Body::Stored { .. }) = (&request.body, &answer)
            && !is_far(offer.key)
        {
            self.kept_by(from, offer.key);
        }
        match (what, answer) {
            (For::Lookup(id), Body::Closer { steps, .. }) => {
                self.stepped(id, by, round_trip, &steps, cx);
            }
            (For::Lookup(id), Body::Owner { contacts, .. }) => {
                self.arrived(id, by, round_trip, contacts, cx);
            }
            (For::Lookup(id), Body::Holders { contacts, .. }) => {
                self.stepped_on_holders(id, by, round_trip, contacts, cx);
            }
            (For::Twin(contacts), Body::Pong { .. }) => self.twin_found(key, &contacts, cx),
            // Perhaps on the other side of a cut that is healed: whoever is nearest over there may belong
            // here.
            (For::Lost, Body::Pong { .. }) => self.look_from(by, cx),
            (For::Store(id), Body::Stored { copies, .. }) => self.stored(id, copies, cx),
            (For::Store(id), Body::Full { .. }) => self.not_stored(id, cx),
            (For::Fetch(id), Body::Value { value, .. }) => self.fetched(id, value, cx),
            (For::Copy(Some(asker)), Body::Stored { copies, .. }) => {
                self.copied(asker, copies > 0, cx);
            }
            (For::Mend, Body::Stored { .. }) => {
                if let Body::Store { offer, .. } = request.body {
                    self.mended(offer.key, cx.now);
                }
            }
            (For::Hand(bequest), Body::Stored { .. }) => self.handed(bequest, true, cx),
            (For::Own(errand), Body::Own(words)) => {
                if !G::answered(self, &errand, by, words, cx) {
                    G::unanswered(self, errand, cx);
                }
            }
            (For::Verify, _) => self.there.remember(by, cx.now),
            // It is there, which is all that these want to know.
            (For::Meet | For::Greet | For::Copy(None), _) => {}
            (For::Pass(_), Body::Taken { .. }) if asked == Some(key) => {}
            // What does not fit the question is as good as no answer to it.
            (what, _) => self.gave_nothing(what, cx),
        }
    }

    /// No answer has come in time.
    pub(super) fn unanswered(&mut self, nonce: Nonce, cx: &mut Cx<'_, G>) {
        let Some(mut request) = self.requests.take(nonce) else { return };
        request.attempt += 1;
        if request.attempt < request.what.attempts() {
            self.say(request.address, request.body.clone(), cx);
            let wait = self.rtt_of(request.key).wait(request.attempt);
            self.timers.set(Timer::Request(nonce), cx.now.after(wait));
            self.requests.push(nonce, request);
            return;
        }
        if let Some(contact) = request.contact() {
            match request.what.silence() {
                Silence::Gone => self.lose(contact, cx),
                Silence::Doubtful => self.suspect(contact, cx),
                Silence::Nothing => {}
            }
        }
        self.gave_nothing(request.what, cx);
    }

    /// What follows when a question has no answer.
    fn gave_nothing(&mut self, what: What<G>, cx: &mut Cx<'_, G>) {
        match what {
            For::Lookup(id) => self.step_failed(id, cx),
            For::Twin(others) => self.let_in(&others, cx),
            For::Pass(passing) => self.pass_again(*passing, cx),
            For::Store(id) | For::Fetch(id) => self.holder_missed(id, cx),
            For::Copy(Some(asker)) => self.copied(asker, false, cx),
            For::Hand(bequest) => self.handed(bequest, false, cx),
            For::Own(errand) => G::unanswered(self, errand, cx),
            For::Meet | For::Greet | For::Verify | For::Lost | For::Mend | For::Copy(None) => {}
        }
    }

    /// Whether `address` is being asked by upkeep, which finds out whether it is there. What lookups ask does not tell:
    /// of a node that they go through there are always some under way.
    pub(in crate::locate) fn is_asking(&self, address: Address) -> bool {
        self.requests.iter().any(|it| it.address == address && it.what.is_probe())
    }

    /// Sends a datagram.
    pub(in crate::locate) fn say(&self, to: Address, body: Says<G>, cx: &mut Cx<'_, G>) {
        let from = self.is_member().then_some(self.me.key);
        cx.send(to, Message::<G> { from, body });
    }
}
