//! Questions that wait for an answer, and what happens when none comes.
//!
//! Each wait is measured: RFC 6298 over the round trips to the node that is asked, or, where there are
//! none yet, over those to all (Bamboo, USENIX 2004, section 4.2).

use nigh_base::{Address, Key, Rtt, Time, machine::Context};

use super::{
    Node, Timer,
    handing::Bequest,
    lookup::Passing,
    message::{Body, Message},
};
use crate::locate::{Contact, codec::Nonce, pending::Pending};

/// So often a node is asked before it is taken for gone.
const ATTEMPTS: u32 = 3;
/// So often a node on the way is asked before it is gone round: one datagram may have been lost.
const STEP_ATTEMPTS: u32 = 2;
/// Questions at once; what would be asked beyond that is not.
const REQUESTS_MAX: usize = 512;
/// Of them, those that are asked on behalf of others, who may want any number.
const FOR_OTHERS_MAX: usize = REQUESTS_MAX / 2;
/// Questions of upkeep have a place even then.
const UPKEEP_MAX: usize = 128;
/// Nodes that are met at once; others will be named again.
const MEETINGS_MAX: usize = 64;

/// What an answer is for.
#[derive(Clone, Debug, Hash)]
pub(super) enum For {
    /// A step of that lookup.
    Lookup(u64),
    /// Its leaf set.
    Leaves,
    /// The leaf set of the nearest node, before this one is let in.
    Join,
    /// Whether another node has the key of this one, which joins; these are to be met if not.
    Twin(Vec<Contact>),
    /// A row of its table.
    Row,
    /// Whether it is there, and how far away.
    Meet,
    /// Whether a node that did not answer is there.
    Verify,
    /// Whether a node that was lost is there again.
    Lost,
    /// A lookup of somebody else, passed on.
    Pass(Box<Passing>),
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
}

impl For {
    /// What keeps the overlay together, and what it holds.
    const fn is_upkeep(&self) -> bool {
        matches!(self, Self::Leaves | Self::Join | Self::Verify | Self::Lost | Self::Hand(_))
    }

    /// What a peer has wanted.
    const fn is_for_others(&self) -> bool {
        matches!(self, Self::Pass(_) | Self::Copy(_))
    }

    const fn attempts(&self) -> u32 {
        match self {
            Self::Leaves | Self::Join | Self::Verify | Self::Copy(_) | Self::Hand(_) => ATTEMPTS,
            Self::Lookup(_) | Self::Pass(_) | Self::Store(_) | Self::Fetch(_) | Self::Twin(_) => {
                STEP_ATTEMPTS
            }
            Self::Row | Self::Meet | Self::Lost | Self::Mend => 1,
        }
    }
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Request {
    /// Whose key is not known of an address that a caller gave.
    key: Option<Key>,
    address: Address,
    what: For,
    sent: Time,
    attempt: u32,
    body: Body,
}

impl Request {
    fn contact(&self) -> Option<Contact> {
        self.key.map(|key| Contact { key, address: self.address })
    }
}

/// The questions of a node.
pub(super) type Requests = Pending<Request>;

impl Requests {
    /// Whether `address` is being asked anything that shows whether it is there.
    fn ask(&self, address: Address) -> bool {
        let shows = |it: &Request| !it.what.is_for_others();
        self.iter().any(|it| it.address == address && shows(it))
    }

    /// Whether one more may be asked.
    fn have_room(&self, what: &For) -> bool {
        let count = |of: fn(&For) -> bool| self.iter().filter(|it| of(&it.what)).count();
        if what.is_upkeep() {
            return self.len() < REQUESTS_MAX + UPKEEP_MAX;
        }
        let has_share = match what {
            For::Meet => count(|it| matches!(it, For::Meet)) < MEETINGS_MAX,
            what if what.is_for_others() => {
                self.len() < FOR_OTHERS_MAX || count(For::is_for_others) < FOR_OTHERS_MAX
            }
            _ => true,
        };
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
        self.ask_at(Some(to.key), to.address, what, body, cx)
    }

    /// Asks whoever is at an address.
    pub(super) fn ask_at(
        &mut self,
        key: Option<Key>,
        address: Address,
        what: For,
        body: impl FnOnce(Nonce) -> Body,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        if !self.requests.have_room(&what) {
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
        let peer = key.and_then(|key| self.peer(key)).map(|peer| peer.rtt);
        peer.filter(|rtt| rtt.estimate().is_some()).unwrap_or(self.rtt)
    }

    /// An answer has come, perhaps to a question of this node.
    pub(super) fn answered(
        &mut self,
        from: Address,
        key: Option<Key>,
        answer: Body,
        cx: &mut Context<'_, Self>,
    ) {
        let Some(nonce) = answer.answers() else { return };
        if self.requests.get(nonce).is_none_or(|request| request.address != from) {
            return;
        }
        let Some(request) = self.requests.take(nonce) else { return };
        self.timers.clear(Timer::Request(nonce));
        let round_trip = cx.now.since(request.sent);
        if request.attempt == 0 {
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
        if let (Body::Store { offer, .. }, Body::Stored { .. }) = (&request.body, &answer) {
            self.kept_by(from, offer.key);
        }
        match (what, answer) {
            (For::Lookup(id), Body::Closer { contacts, .. }) => {
                self.stepped(id, by, round_trip, &contacts, cx);
            }
            (For::Lookup(id), Body::Owner { contacts, .. }) => {
                self.arrived(id, by, round_trip, contacts, cx);
            }
            (For::Leaves, Body::LeavesAre { contacts, .. }) => self.leaves_are(by, &contacts, cx),
            (For::Join, Body::LeavesAre { contacts, .. }) => {
                self.join_leaves_are(by, contacts, cx);
            }
            (For::Twin(contacts), Body::Pong { .. }) => self.twin_found(key, &contacts, cx),
            (For::Row, Body::RowIs { contacts, .. }) => self.row_is(&contacts, cx),
            (For::Lost, Body::Pong { .. }) => self.found_again(by, cx),
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
            // It is there, which is all that these want to know.
            (For::Verify | For::Meet | For::Copy(None), _) => {}
            (For::Pass(_), Body::Taken { .. }) if asked == Some(key) => {}
            // What does not fit the question is as good as no answer to it.
            (what, _) => self.gave_nothing(what, cx),
        }
    }

    /// No answer has come in time.
    pub(super) fn unanswered(&mut self, nonce: Nonce, cx: &mut Context<'_, Self>) {
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
            match request.what {
                For::Leaves | For::Verify | For::Hand(_) => self.lose(contact, cx),
                For::Join | For::Twin(_) | For::Meet | For::Lost => {}
                _ => self.suspect(contact, cx),
            }
        }
        self.gave_nothing(request.what, cx);
    }

    /// What follows when a question has no answer.
    fn gave_nothing(&mut self, what: For, cx: &mut Context<'_, Self>) {
        match what {
            For::Lookup(id) => self.step_failed(id, cx),
            For::Join => self.join_again(cx),
            For::Twin(contacts) => self.let_in(&contacts, cx),
            For::Pass(passing) => self.pass_again(*passing, cx),
            For::Store(id) | For::Fetch(id) => self.next_holder(id, cx),
            For::Copy(Some(asker)) => self.copied(asker, false, cx),
            For::Hand(bequest) => self.handed(bequest, false, cx),
            For::Leaves
            | For::Row
            | For::Meet
            | For::Verify
            | For::Lost
            | For::Mend
            | For::Copy(None) => {}
        }
    }

    /// Asks a node of the tables that did not answer whether it is there at all.
    pub(super) fn suspect(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        if self.knows(contact) && !self.requests.ask(contact.address) {
            self.ask(contact, For::Verify, |nonce| Body::Ping { nonce }, cx);
        }
    }

    /// Asks a node that may belong into the tables whether it is there: nobody is taken in who has
    /// not answered, since it may be made up.
    pub(super) fn meet(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        if !self.requests.ask(contact.address) {
            self.ask(contact, For::Meet, |nonce| Body::Ping { nonce }, cx);
        }
    }

    /// Sends a datagram.
    pub(super) fn say(&self, to: Address, body: Body, cx: &mut Context<'_, Self>) {
        let from = self.is_member().then_some(self.me.key);
        cx.send(to, Message { from, body });
    }
}
