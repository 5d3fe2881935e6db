//! Questions that wait for an answer, and what happens when none comes.
//!
//! Each is asked once. One that is not answered in the time that most answers take counts as late, and
//! a lookup goes on without it; its answer is awaited as long again, twice.

use nigh_base::{Address, Key, Time, machine::Context};

use super::{
    Family, Node, Timer,
    krpc::{self, Body, Message, Method, Query, Response, Transaction, Want},
    secure_id,
    table::Heard,
};
use crate::locate::{Contact, pending::Pending};

/// Questions at once; what would be asked beyond that is not.
const QUESTIONS_MAX: usize = 1024;
/// Of them, those that upkeep alone may ask: neither lookups nor strangers keep the table from being true.
const RESERVED: usize = 64;
/// Of them, those that ask whether somebody is there who has asked or answered: strangers may cause any number.
const MET_MAX: usize = 64;
/// `v`: the program, and its version in two bytes.
const VERSION: [u8; 4] = [b'N', b'g', 0, 1];

/// What an answer is for.
#[derive(Clone, Debug, Hash)]
pub(super) enum For {
    /// A step of that lookup.
    Search(u64),
    /// Something is stored for that lookup.
    Store(u64),
    /// What a newcomer holds under a key that it ought to hold a value of.
    Offer(Key),
    /// A newcomer is given a value.
    Hand,
    /// Whether a node is there of which others gave cause to ask.
    Meet,
    /// Whether a node is there that was silent for long.
    Verify,
}

impl For {
    const fn asks_who_is_there(&self) -> bool {
        matches!(self, Self::Meet | Self::Verify)
    }
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Question {
    /// Whose key is not known of an address that a caller gave.
    key: Option<Key>,
    address: Address,
    what: For,
    sent: Time,
    is_late: bool,
}

/// The questions of a node.
pub(super) type Questions = Pending<Question>;

impl Questions {
    /// Whether that address is being asked whether somebody is there.
    fn verifies(&self, address: Address) -> bool {
        self.iter().any(|it| it.address == address && it.what.asks_who_is_there())
    }

    fn have_room(&self, what: &For) -> bool {
        let met = || self.iter().filter(|it| matches!(it.what, For::Meet)).count();
        match what {
            For::Verify => self.len() < QUESTIONS_MAX,
            For::Meet => self.len() < QUESTIONS_MAX - RESERVED && met() < MET_MAX,
            _ => self.len() < QUESTIONS_MAX - RESERVED,
        }
    }

    pub(super) fn check(&self) {
        assert!(self.len() <= QUESTIONS_MAX, "too many questions at once");
    }
}

/// The name of a question: its number, which is secret.
fn transaction(number: u64) -> Transaction {
    Transaction::from_slice(&number.to_be_bytes()[4..])
}

/// The number of a question.
fn number(transaction: &Transaction) -> Option<u64> {
    <[u8; 4]>::try_from(&transaction[..]).ok().map(|bytes| u32::from_be_bytes(bytes).into())
}

impl Node {
    /// A datagram of this node.
    pub(super) const fn message(transaction: Transaction, body: Body) -> Message {
        Message { transaction, version: Some(VERSION), body }
    }

    /// Asks whoever is at an address; false if too much is asked already.
    pub(super) fn ask(
        &mut self,
        key: Option<Key>,
        address: Address,
        what: For,
        method: Method,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        if !self.questions.have_room(&what) {
            return false;
        }
        let number = cx.secrets.number() & u64::from(u32::MAX);
        if self.questions.get(number).is_some() {
            return false;
        }
        let v6 = Family::of(address) == Family::V6;
        let want = Some(Want { v4: !v6, v6 });
        let read_only = self.is_read_only();
        let query = Query { id: self.me.key, read_only, want, method };
        cx.send(address, Self::message(transaction(number), Body::Query(query)));
        let question = Question { key, address, what, sent: cx.now, is_late: false };
        self.questions.push(number, Box::new(question));
        self.timers.set(Timer::Question(number), cx.now.after(self.rtt.wait(0)));
        true
    }

    /// Asks a node whether it is there, unless it is being asked.
    pub(super) fn verify(&mut self, node: Contact, what: For, cx: &mut Context<'_, Self>) {
        if !self.questions.verifies(node.address) {
            self.ask(Some(node.key), node.address, what, Method::Ping, cx);
        }
    }

    /// An answer has come, perhaps to a question of this node.
    pub(super) fn answered(
        &mut self,
        from: Address,
        transaction: &Transaction,
        answer: Result<Response, krpc::Error>,
        cx: &mut Context<'_, Self>,
    ) {
        let Some(number) = number(transaction) else { return };
        if self.questions.get(number).is_none_or(|question| question.address != from) {
            return;
        }
        let Some(question) = self.questions.take(number) else { return };
        let question = *question;
        self.timers.clear(Timer::Question(number));
        let round_trip = cx.now.since(question.sent);
        // One who takes its time makes nobody wait much longer: it counts as what was waited for.
        self.rtt.measured(round_trip.min(self.rtt.wait(0)));
        let asked = question.key.map(|key| Contact { key, address: from });
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                if let Some(seen_at) = error.seen_at {
                    self.seen_at(seen_at, from, cx);
                }
                if let Some(asked) = asked.filter(|_| question.what.asks_who_is_there()) {
                    // Who has only errors for others is of no use.
                    self.table_mut(Family::of(from)).missed(asked, cx.now);
                }
                return self.gave_nothing(question.what, from, Some(error.code), cx);
            }
        };
        if let Some(asked) = asked.filter(|asked| asked.key != response.id) {
            // Another is there now, or was there all the time, and whoever named it was wrong. On the way of
            // a lookup it is as good as any: else a liar could keep honest nodes away under wrong ids.
            self.table_mut(Family::of(from)).forget(asked);
            if !matches!(question.what, For::Search(_)) {
                return self.gave_nothing(question.what, from, None, cx);
            }
        }
        let contact = Contact { key: response.id, address: from };
        if let Some(seen_at) = response.seen_at {
            self.seen_at(seen_at, from, cx);
        }
        self.learn(contact, round_trip, cx);
        match question.what {
            For::Search(id) => self.stepped(id, contact, round_trip, response, cx),
            For::Store(id) => self.stored(id, None, cx),
            For::Offer(key) => self.offered(contact, key, &response, cx),
            For::Hand => self.offer_ended(cx),
            For::Meet | For::Verify => {}
        }
    }

    /// A node has answered: it may be remembered.
    fn learn(
        &mut self,
        contact: Contact,
        round_trip: std::time::Duration,
        cx: &mut Context<'_, Self>,
    ) {
        let fits = secure_id::fits(contact.key, contact.address.ip());
        let table = self.table_mut(Family::of(contact.address));
        match table.answered(contact, round_trip, fits, cx.now) {
            Heard::Doubt(doubtful) => self.verify(doubtful, For::Meet, cx),
            Heard::New => self.new_node(contact),
            Heard::Kept | Heard::Spare => {}
        }
    }

    /// No answer has come in time.
    pub(super) fn overdue(&mut self, number: u64, cx: &mut Context<'_, Self>) {
        let Some(question) = self.questions.get_mut(number) else { return };
        if !question.is_late {
            question.is_late = true;
            let (address, what) = (question.address, question.what.clone());
            self.timers.set(Timer::Question(number), cx.now.after(self.rtt.wait(1)));
            if let For::Search(id) = what {
                self.search_is_late(id, address, cx);
            }
            return;
        }
        let Some(question) = self.questions.take(number) else { return };
        let Question { key, address, what, .. } = *question;
        if let Some(key) = key {
            let missed = Contact { key, address };
            let table = self.table_mut(Family::of(address));
            table.missed(missed, cx.now);
            let is_doubtful = table.get(missed).is_some_and(|it| it.is_missing() && !it.is_bad());
            if is_doubtful && !what.asks_who_is_there() {
                // Others are told of it until it has missed another: it is asked at once.
                self.verify(missed, For::Meet, cx);
            }
        }
        self.gave_nothing(what, address, None, cx);
    }

    /// What follows when a question has no answer, or an error for one.
    fn gave_nothing(
        &mut self,
        what: For,
        address: Address,
        error: Option<i64>,
        cx: &mut Context<'_, Self>,
    ) {
        match what {
            For::Search(id) => self.step_failed(id, address, cx),
            For::Store(id) => self.stored(id, Some(error), cx),
            For::Offer(_) | For::Hand => self.offer_ended(cx),
            For::Meet | For::Verify => {}
        }
    }
}
