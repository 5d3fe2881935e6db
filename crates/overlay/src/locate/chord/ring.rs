//! The circle itself: joining, and the upkeep that mends successors and predecessors.
//!
//! SIGCOMM 2001, section 4.4 and figure 7. `stabilise` asks the successor for its predecessor, takes
//! that one for the successor if it lies between, and notifies the successor. Lists of successors
//! are taken over from the successor (section 4.4, "failures and replication").
//!
//! ```text
//! n -> s: Neighbours            s -> n: NeighboursAre { predecessor x, successors }
//!         x in (n, s)?  s := x
//! n -> s: Notify                s: n in (predecessor, s)?  predecessor := n
//! ```
//! The paper leaves open what becomes of a ring that a partition has cut in two: each half closes,
//! and nobody knows the other any more. Here nodes that were lost are remembered and asked now and
//! then; through one that is there again a node looks up its own successor over there.

use nigh_base::{Address, Key, Time, machine::Context};

use super::{
    Node, Standing, Timer,
    lookup::Purpose,
    message::{Body, Message, Neighbours},
    request::For,
};
use crate::locate::{Contact, Event, Failure, VIA_MAX};

/// So often a way in is looked for: with the longest waits that takes more than a day, and callers
/// mostly end it long before.
const JOIN_ATTEMPTS: u32 = 10_000;
/// So many nodes that were lost are remembered.
const LOST_MAX: usize = 16;
/// A lost node is asked every so many rounds, and the ring checked from far away.
const LOST_ROUNDS: u32 = 4;
/// A predecessor that has been silent for so many rounds is asked whether it is there.
const SILENT_ROUNDS: u32 = 3;

/// So often within a round, for each successor that may be known, a node stabilises at once and does
/// not wait for the next: once past a node that is gone, once for one that has come in between.
const HASTE_A_SUCCESSOR: usize = 2;

/// Nodes that were known and did not answer any more, the latest last.
#[derive(Debug, Default, Hash)]
pub(super) struct Lost(Vec<Missing>);

#[derive(Clone, Copy, Debug, Hash)]
struct Missing {
    contact: Contact,
    /// The round in which it was found gone; none if others only do not name it any more.
    gone_in: Option<u32>,
}

impl Lost {
    fn remember(&mut self, contact: Contact, gone_in: Option<u32>) {
        self.0.retain(|other| other.contact.key != contact.key);
        if self.0.len() == LOST_MAX {
            self.0.remove(0);
        }
        self.0.push(Missing { contact, gone_in });
    }

    fn is_gone(&self, contact: Contact, round: u32) -> bool {
        self.0.iter().any(|it| it.contact == contact && it.gone_in == Some(round))
    }

    pub(super) fn check(&self) {
        assert!(self.0.len() <= LOST_MAX, "too many lost nodes");
    }
}

impl Node {
    pub(super) fn join(&mut self, mut via: Vec<Address>, cx: &mut Context<'_, Self>) {
        if self.standing == Standing::Member {
            return;
        }
        self.no_farewell();
        // Who is joining already goes on, through these.
        if via.is_empty() {
            // The first node of a ring: its own successor, and nobody's predecessor.
            return self.joined(&[], cx);
        }
        via.truncate(VIA_MAX);
        let more = self.more();
        (more.via, more.join_attempts) = (via, 0);
        if self.standing != Standing::Joining {
            self.standing = Standing::Joining;
            self.try_to_join(cx);
        }
    }

    /// Looks up this node's own key: its owner will be the successor.
    pub(super) fn try_to_join(&mut self, cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Joining {
            return;
        }
        let attempts = &mut self.more().join_attempts;
        *attempts += 1;
        self.look_up(self.me.key, Purpose::Join, false, cx);
    }

    pub(super) fn join_failed(&mut self, why: Failure, cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Joining {
            return;
        }
        if why == Failure::KeyTaken || self.more().join_attempts >= JOIN_ATTEMPTS {
            self.standing = Standing::Outside;
            return cx.tell(Event::JoinFailed(why));
        }
        // Nodes may come up later than this one. Each wait is twice the one before, up to the longest
        // for any answer; how long it makes sense to go on, the caller knows.
        let wait = self.rtt.wait(self.more().join_attempts);
        self.timers.set(Timer::Join, cx.now.after(wait));
    }

    /// The owner of this node's key, and its successors, are known.
    pub(super) fn join_found(&mut self, contacts: &[Contact], cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Joining {
            return;
        }
        let taken = |it: &Contact| it.key == self.me.key && it.address != self.me.address;
        if contacts.iter().any(taken) {
            return self.join_failed(Failure::KeyTaken, cx);
        }
        // Whoever comes back soon finds itself still there, perhaps under another key.
        let is_other = |it: &&Contact| it.key != self.me.key && !self.is_stale(**it);
        let others: Vec<Contact> = contacts.iter().filter(is_other).copied().collect();
        if others.is_empty() {
            return self.join_failed(Failure::Unreachable, cx);
        }
        self.joined(&others, cx);
    }

    fn joined(&mut self, successors: &[Contact], cx: &mut Context<'_, Self>) {
        self.standing = Standing::Member;
        self.predecessor = None;
        self.adopt(successors);
        self.begin_upkeep(cx.now);
        cx.tell(Event::Joined);
        self.stabilise(cx);
    }

    fn begin_upkeep(&mut self, now: Time) {
        self.timers.set(Timer::Stabilise, now.after(self.settings.stabilise_every));
    }

    /// One round of upkeep.
    pub(super) fn round(&mut self, cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Member {
            return;
        }
        self.rounds = self.rounds.wrapping_add(1);
        if let Some(more) = &mut self.more {
            more.hastened = 0;
        }
        let every = self.settings.stabilise_every;
        let next = cx.rng.between(every / 2, every + every / 2);
        self.timers.set(Timer::Stabilise, cx.now.after(next));
        self.stabilise(cx);
        self.check_predecessor(cx);
        self.fix_fingers(cx);
        self.ask_lost(cx);
    }

    /// Asks the successor for its neighbours; alone, takes the predecessor for the successor.
    pub(super) fn stabilise(&mut self, cx: &mut Context<'_, Self>) {
        if self.standing != Standing::Member {
            return;
        }
        if self.successors.is_empty() {
            let known = self.fingers.all().next().or(self.predecessor);
            self.adopt(known.as_slice());
        }
        if let Some(&successor) = self.successors.first() {
            self.ask(successor, For::Stabilise, |nonce| Body::Neighbours { nonce }, cx);
        }
    }

    /// Stabilises without waiting for the next round, unless this one has seen enough of that: a
    /// successor may name again and again whom this node finds gone.
    pub(super) fn hasten(&mut self, cx: &mut Context<'_, Self>) {
        let limit = HASTE_A_SUCCESSOR * self.settings.successors;
        let hastened = &mut self.more().hastened;
        if *hastened < limit {
            *hastened += 1;
            self.stabilise(cx);
        }
    }

    /// Whether this node knows better than whoever names `contact`: it has found it gone within this
    /// round, or it is itself what is at that address.
    fn is_stale(&self, contact: Contact) -> bool {
        let more = self.more.as_ref();
        if contact.address == self.me.address {
            let places = more.map_or(&[][..], |more| &more.places);
            return contact.key != self.me.key && !places.contains(&contact.key);
        }
        more.is_some_and(|more| more.lost.is_gone(contact, self.rounds))
    }

    /// The successor has named its neighbours.
    pub(super) fn neighbours_are(
        &mut self,
        from: Contact,
        neighbours: &Neighbours,
        cx: &mut Context<'_, Self>,
    ) {
        let Neighbours { predecessor, successors } = neighbours;
        if self.standing != Standing::Member || self.successors.first() != Some(&from) {
            return;
        }
        // Its list, behind it; in front of it whoever is nearer. In a small ring the list goes past
        // this node and round again: those in front of it would be taken in though they are dead.
        let (circle, me) = (self.settings.circle, self.me.key);
        let behind = successors
            .iter()
            .filter(|it| circle.between(it.key, from.key, me) && !self.is_stale(**it));
        let mut list: Vec<Contact> = std::iter::once(from).chain(behind.copied()).collect();
        let between = predecessor
            .filter(|it| circle.between(it.key, self.me.key, from.key) && !self.is_stale(*it));
        if let Some(nearer) = between {
            list.insert(0, nearer);
        }
        let before = self.successors.to_vec();
        self.successors.clear();
        self.adopt(&list);
        // Whom the others do not see any more may be dead, or on the other side of a cut.
        for contact in before {
            if !self.successors.contains(&contact) {
                self.more().lost.remember(contact, None);
            }
        }
        let successor = self.next_successor();
        if successor != self.me {
            let body = Body::Notify { key: self.me.key };
            cx.send(successor.address, Message { to: Some(successor.key), body });
        }
        if between.is_some() {
            // Several may have joined in between: go on until nobody is nearer.
            self.hasten(cx);
        }
        self.keep_holdings(cx.now);
    }

    /// Takes nodes into the list of successors, as far as they belong there.
    pub(super) fn adopt(&mut self, contacts: &[Contact]) {
        let frame = self.frame();
        contacts.iter().for_each(|&contact| self.successors.adopt(contact, frame));
    }

    /// Somebody thinks that this node is its successor.
    pub(super) fn notified(&mut self, by: Contact, cx: &mut Context<'_, Self>) {
        let circle = self.settings.circle;
        if by.key == self.me.key {
            return;
        }
        let before = self.predecessor;
        let nearer = before.is_none_or(|it| circle.between(by.key, it.key, self.me.key));
        if nearer || before.is_some_and(|it| it.key == by.key) {
            self.predecessor = Some(by);
            self.predecessor_heard = cx.now;
        }
        if nearer {
            self.meet(before, by, cx);
            if self.successors.is_empty() {
                self.hasten(cx);
            }
        }
    }

    fn check_predecessor(&mut self, cx: &mut Context<'_, Self>) {
        let silence = cx.now.since(self.predecessor_heard);
        if silence > self.settings.stabilise_every * SILENT_ROUNDS
            && let Some(predecessor) = self.predecessor
        {
            self.suspect(predecessor, cx);
        }
    }

    /// A node is gone: out of the tables with it. Says whether it was the next successor.
    pub(super) fn lose(&mut self, contact: Contact) -> bool {
        let round = self.rounds;
        let was_next = self.successors.first() == Some(&contact);
        self.more().lost.remember(contact, Some(round));
        self.successors.remove(contact, self.frame());
        self.fingers.remove(contact);
        if self.predecessor == Some(contact) {
            self.predecessor = None;
        }
        was_next
    }

    /// Now and then: is one of the lost there again? And is the next node really the next one, as
    /// seen from far away?
    fn ask_lost(&mut self, cx: &mut Context<'_, Self>) {
        if !self.rounds.is_multiple_of(LOST_ROUNDS) {
            return;
        }
        let lost = self.more.as_ref().map_or(&[][..], |more| &more.lost.0);
        if let Some(lost) = (!lost.is_empty()).then(|| lost[cx.rng.index(lost.len())].contact) {
            self.ask(lost, For::Lost, |nonce| Body::Ping { nonce }, cx);
        }
        let far: Vec<Contact> = self.fingers.all().collect();
        if !far.is_empty() {
            self.look_from(far[cx.rng.index(far.len())], cx);
        }
    }

    /// A lost node is there again. It stays among the lost: it may belong to another ring, of which
    /// this look sees nothing that is nearer, and a later one will.
    pub(super) fn found_again(&mut self, contact: Contact, cx: &mut Context<'_, Self>) {
        self.look_from(contact, cx);
    }

    /// Looks up the successor of this node as another sees it.
    fn look_from(&mut self, other: Contact, cx: &mut Context<'_, Self>) {
        let behind = self.settings.circle.wrap(self.me.key.plus(Key::from(1)));
        self.look_up_from(other, behind, Purpose::Audit, cx);
    }

    /// Another sees these behind this node.
    pub(super) fn audited(&mut self, contacts: &[Contact], cx: &mut Context<'_, Self>) {
        let fits = |it: &&Contact| it.key != self.me.key && !self.is_stale(**it);
        let nearest = contacts.iter().find(fits).copied();
        let Some(nearest) = nearest else { return };
        let nearer = self
            .successors
            .first()
            .is_none_or(|successor| self.distance(nearest.key) < self.distance(successor.key));
        if self.standing != Standing::Member {
            return;
        }
        if nearer {
            self.adopt(&[nearest]);
            self.hasten(cx);
        } else if self.successors.first() != Some(&nearest) {
            // Another ring, none of whose nodes lies just behind this one. The one behind it over
            // there learns of it: through that one, those between whom the rings meet do.
            let body = Body::Notify { key: self.me.key };
            cx.send(nearest.address, Message { to: Some(nearest.key), body });
        }
    }

    /// Somebody at the address of a neighbour says that it goes. That may be forged: it is asked, and
    /// is gone if it does not answer any more. Whoever is next to it then, stabilising shows.
    pub(super) fn neighbour_left(&mut self, who: Contact, cx: &mut Context<'_, Self>) {
        if self.predecessor == Some(who) || self.successors.contains(&who) {
            self.suspect(who, cx);
        }
    }
}
