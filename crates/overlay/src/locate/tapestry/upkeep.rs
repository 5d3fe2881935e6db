//! What keeps the table true: rows that are exchanged, nodes that are checked, and who points here.
//!
//! All lookups of a key end at one root only if each node knows of each cell whether there is anybody: a hole
//! is filled by whoever shares the row's digits and knows better. JSAC 2004, section IV; the pace is
//! Bamboo's (Rhea and others, USENIX 2004): periodic, whatever happens. Only a cell that has lost its last
//! node is asked for at once.

use std::time::Duration;

use nigh_base::{Address, Time};

use super::{
    Geometry, Node,
    message::{Errand, Words},
};
use crate::locate::{
    Contact,
    codec::Nonce,
    node::{For, geometry::Cx, message::Body},
};

/// Within so many rounds each node of the table is asked whether it is there.
const CHECK_ROUNDS: usize = 12;
/// Of a row that another names, so many are measured for whom there is no room unless they are nearer.
const MEASURED_MAX: usize = 4;
/// The nearest that a new node asks for each of its rows.
const NEAREST: usize = 4;
/// Others that point here; more are not told when this node goes.
const BACK_MAX: usize = 256;
/// So many of them are asked at once whether it is so.
const BACK_AT_ONCE: usize = 16;
/// Whoever has not asked for a row for so long does not point here any more: with rounds of 5 s, a
/// cell of three and fifteen cells a row, a node of the table is asked in 225 s in the mean.
const BACK_FOR: Duration = Duration::from_secs(900);

/// Those who have this node in their tables, though it does not have them in its own.
#[derive(Debug, Default, Hash)]
pub(super) struct Back {
    known: Vec<(Contact, Time)>,
    asking: usize,
}

impl Back {
    pub(super) fn contacts(&self) -> impl Iterator<Item = Contact> {
        self.known.iter().map(|(contact, _)| *contact)
    }

    /// One of them may have spoken; whether it was.
    fn renewed(&mut self, contact: Contact, now: Time) -> bool {
        let known = self.known.iter_mut().find(|(it, _)| *it == contact);
        known.map(|(_, at)| *at = now).is_some()
    }

    pub(super) fn answered(&mut self, by: Contact, is_so: bool, now: Time) {
        self.unanswered();
        if is_so && !self.renewed(by, now) && self.known.len() < BACK_MAX {
            self.known.push((by, now));
        }
    }

    pub(super) fn unanswered(&mut self) {
        self.asking = self.asking.saturating_sub(1);
    }

    pub(super) fn remove(&mut self, contact: Contact) {
        self.known.retain(|(it, _)| *it != contact);
    }

    pub(super) fn forget(&mut self, now: Time) {
        self.known.retain(|(_, at)| now.since(*at) <= BACK_FOR);
    }

    pub(super) fn check(&self) {
        assert!(self.known.len() <= BACK_MAX, "too many point here");
        assert!(self.asking <= BACK_AT_ONCE, "too many are asked whether they point here");
    }
}

impl Node {
    /// Of each row a node that is drawn is asked for that row.
    pub(super) fn exchange_rows(&mut self, cx: &mut Cx<'_, Geometry>) {
        for row in self.geometry.table.rows() {
            let all: Vec<Contact> = self.geometry.table.row(row).map(|peer| peer.contact).collect();
            self.ask_row(all[cx.rng.index(all.len())], row, Errand::Row, cx);
        }
    }

    /// A new node asks the nearest that it knows for those that they know, a row in each round, from the
    /// deepest up. Whoever is near to these is near to this node, too (SPAA 2002, section 3).
    pub(super) fn look_for_nearer(&mut self, cx: &mut Cx<'_, Geometry>) {
        let Some(row) = self.geometry.joining.nearer else { return };
        self.geometry.joining.nearer = row.checked_sub(1);
        if !self.settings().locality {
            return;
        }
        let mut alike = self.geometry.table.rows_from(row).to_vec();
        alike.sort_by_key(|it| it.rtt.estimate().unwrap_or(Duration::MAX));
        for peer in alike.into_iter().take(NEAREST) {
            self.ask_row(peer.contact, row, Errand::Row, cx);
        }
    }

    /// The next nodes of the table are asked whether they are there.
    pub(super) fn check_some(&mut self, cx: &mut Cx<'_, Geometry>) {
        let all: Vec<Contact> = self.geometry.table.contacts().collect();
        for _ in 0..all.len().div_ceil(CHECK_ROUNDS) {
            let next = self.geometry.next_check % all.len();
            self.geometry.next_check = next + 1;
            self.suspect(all[next], cx);
        }
    }

    /// A node is gone. If it was the last of its cell, another who shares the row's digits may know somebody.
    pub(super) fn mend_row(&mut self, gone: Contact, cx: &mut Cx<'_, Geometry>) {
        let table = &self.geometry.table;
        if !self.is_member() || !table.at(gone.key).is_empty() {
            return;
        }
        let row = table.row_of(gone.key);
        let mates = table.rows_from(row);
        if !mates.is_empty() {
            let mate = mates[cx.rng.index(mates.len())].contact;
            self.ask_row(mate, row, Errand::Row, cx);
        }
    }

    /// Somebody wants to know a row. A member that asks for one points here, it seems.
    pub(super) fn name_row(
        &mut self,
        to: Address,
        sender: Option<Contact>,
        nonce: Nonce,
        row: u8,
        cx: &mut Cx<'_, Geometry>,
    ) {
        let Geometry { table, back, .. } = &self.geometry;
        let row = u32::from(row);
        let more = back.contacts().filter(|it| table.row_of(it.key) >= row).collect();
        let contacts = table.name(row, more, cx.rng);
        self.say(to, Body::Own(Words::RowIs { nonce, contacts }), cx);
        if let Some(sender) = sender {
            self.ask_whether_it_points(sender, cx);
        }
    }

    fn ask_whether_it_points(&mut self, sender: Contact, cx: &mut Cx<'_, Geometry>) {
        let is_known = self.geometry.table.get(sender.key).is_some();
        if is_known || !self.may_be(sender, cx) || self.geometry.back.renewed(sender, cx.now) {
            return;
        }
        if self.geometry.back.asking < BACK_AT_ONCE {
            let question = |nonce| Body::Own(Words::Points { nonce });
            if self.ask(sender, For::Own(Errand::Back), question, cx) {
                self.geometry.back.asking += 1;
            }
        }
    }

    pub(super) fn say_whether_it_points(
        &mut self,
        to: Address,
        sender: Option<Contact>,
        nonce: Nonce,
        cx: &mut Cx<'_, Geometry>,
    ) {
        let points =
            |it: Contact| self.geometry.table.get(it.key).is_some_and(|peer| peer.contact == it);
        let is_so = sender.is_some_and(points);
        self.say(to, Body::Own(Words::DoesPoint { nonce, is_so }), cx);
    }

    /// A row of another's table: whoever fits into a place is met, and a few others may be nearer than
    /// those here.
    pub(super) fn row_is(&mut self, contacts: Vec<Contact>, cx: &mut Cx<'_, Geometry>) {
        let mut measured = 0;
        for contact in contacts {
            let table = &self.geometry.table;
            let is_unknown = table.get(contact.key).is_none();
            if is_unknown && !table.would_take(contact.key) {
                if self.settings().locality && measured < MEASURED_MAX {
                    measured += 1;
                    self.meet_if_there(contact, cx);
                }
            } else {
                self.consider(contact, cx);
            }
        }
    }
}
