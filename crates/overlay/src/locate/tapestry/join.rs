//! Coming in. Hildrum and others, SPAA 2002, sections 3 and 4; JSAC 2004, section IV.A.
//!
//! ```text
//! n -> root of n's key: Row l, Row l - 1, ... Row 0     l digits are shared; what n's table begins with
//! n is a member, and meets those whom it has heard of
//! n -> all who share l digits: Row                      each has a hole that n fills, and meets it
//! n -> the nearest who share l, l - 1, ... digits: Row  upkeep: some of theirs are nearer than n's
//! ```
//! The paper's multicast goes from node to node. Here the new node asks one after the other itself: nobody
//! does work for others on somebody's word, and it knows when all have heard of it.

use std::collections::{BTreeSet, VecDeque};

use nigh_base::Key;

use super::{
    Geometry, Node,
    message::{Errand, Words},
};
use crate::locate::{
    Contact,
    node::{For, geometry::Cx, message::Body},
};

/// Nodes that a node which joins has heard of; more are left out.
const HEARD_MAX: usize = 512;
/// Questions to those who may have a hole that the new node fills. Those who share as many digits with it as
/// anybody are 2^b to the power of one in the mean; beyond that rounds of upkeep tell them.
const SPREAD_MAX: usize = 512;
/// So many of them at once.
const AT_ONCE: usize = 8;
/// So often a new node introduces itself, once in a round, until it knows somebody.
const INTRODUCTIONS: u32 = 8;

/// What a node that joins, or has just joined, has yet to do.
#[derive(Debug, Default, Hash)]
pub(super) struct Joining {
    /// Whom it has heard of, until it knows one of them as a member.
    heard: Vec<Contact>,
    introductions: u32,
    /// So many digits it shares with its root: nobody shared more.
    level: u32,
    /// Who is to be asked for which row.
    queue: VecDeque<(Contact, u32)>,
    /// Who was asked, or will be.
    asked: BTreeSet<(Key, u32)>,
    under_way: usize,
    /// The row for which nearer nodes are looked for next, from the deepest up.
    pub(super) nearer: Option<u32>,
}

impl Joining {
    fn hear_of(&mut self, contacts: &[Contact]) {
        for contact in contacts {
            if self.heard.len() < HEARD_MAX && !self.heard.contains(contact) {
                self.heard.push(*contact);
            }
        }
    }

    pub(super) fn check(&self) {
        assert!(self.heard.len() <= HEARD_MAX, "too many are heard of");
        assert!(self.asked.len() <= SPREAD_MAX && self.queue.len() <= SPREAD_MAX, "too many asked");
        assert!(self.under_way <= AT_ONCE, "too many are asked at once");
    }
}

impl Node {
    /// The root of this node's key is known: all of its rows down to the last shared digit fit this node.
    pub(super) fn copy_rows(
        &mut self,
        root: Contact,
        way: Vec<Contact>,
        cx: &mut Cx<'_, Geometry>,
    ) {
        let Geometry { table, digits, joining, .. } = &mut self.geometry;
        let level = table.row_of(root.key).min(digits.count() - 1);
        *joining = Joining::default();
        joining.hear_of(&[root]);
        self.ask_copy(root, level, cx);
        self.geometry.joining.hear_of(&way);
    }

    fn ask_copy(&mut self, root: Contact, row: u32, cx: &mut Cx<'_, Geometry>) {
        if !self.ask_row(root, row, Errand::Copy { row }, cx) {
            self.join_again(cx);
        }
    }

    pub(super) fn copied_row(
        &mut self,
        root: Contact,
        row: u32,
        contacts: Vec<Contact>,
        cx: &mut Cx<'_, Geometry>,
    ) {
        self.geometry.joining.hear_of(&contacts);
        match row.checked_sub(1) {
            Some(row) => self.ask_copy(root, row, cx),
            None => {
                let heard = self.geometry.joining.heard.clone();
                self.take_place(heard, cx);
            }
        }
    }

    /// This node is a member: it meets those whom it has heard of, first one for each cell, and asks
    /// those who may have a hole for it.
    pub(super) fn introduce(&mut self, others: &[Contact], cx: &mut Cx<'_, Geometry>) {
        let Geometry { table, digits, .. } = &self.geometry;
        let (me, digits) = (self.contact(), *digits);
        let others = others.iter().filter(|it| it.key != me.key);
        let cell = |it: &Contact| {
            let row = table.row_of(it.key);
            (row, digits.at(it.key, row))
        };
        let mut cells = BTreeSet::new();
        let (first, rest): (Vec<Contact>, Vec<Contact>) =
            others.copied().partition(|it| cells.insert(cell(it)));
        let all: Vec<Contact> = first.into_iter().chain(rest).collect();
        let Some(level) = all.iter().map(|it| table.row_of(it.key)).max() else { return };
        let introductions = self.geometry.joining.introductions + 1;
        let heard = if introductions < INTRODUCTIONS { all.clone() } else { Vec::new() };
        self.geometry.joining = Joining { heard, introductions, level, ..Joining::default() };
        self.spread_to(&all, cx);
        all.into_iter().for_each(|it| self.consider(it, cx));
        self.spread_on(cx);
    }

    /// This node knows nobody yet whom it has heard of: what it has sent may have been lost. Others that join
    /// through it would make a network of their own.
    pub(super) fn introduce_again(&mut self, cx: &mut Cx<'_, Geometry>) {
        if self.geometry.joining.under_way == 0 {
            let heard = std::mem::take(&mut self.geometry.joining.heard);
            self.introduce(&heard, cx);
        }
    }

    /// Of these, those who may have a hole that this node fills are to be asked.
    fn spread_to(&mut self, contacts: &[Contact], cx: &Cx<'_, Geometry>) {
        let fit: Vec<Contact> =
            contacts.iter().filter(|it| self.may_be(**it, cx)).copied().collect();
        for contact in fit {
            let level = self.geometry.joining.level;
            if self.geometry.table.row_of(contact.key) >= level {
                self.spread_later(contact, level);
            }
        }
    }

    fn spread_later(&mut self, to: Contact, row: u32) {
        let joining = &mut self.geometry.joining;
        if joining.asked.len() < SPREAD_MAX && joining.asked.insert((to.key, row)) {
            joining.queue.push_back((to, row));
        }
    }

    fn ask_next(&mut self, cx: &mut Cx<'_, Geometry>) {
        while self.geometry.joining.under_way < AT_ONCE
            && let Some((to, row)) = self.geometry.joining.queue.pop_front()
        {
            if self.ask_row(to, row, Errand::Spread { row }, cx) {
                self.geometry.joining.under_way += 1;
            }
        }
    }

    /// One who shares the most digits with this node has named those of a row, who share as many, and
    /// of those who share more with itself one at least: it has rows for them as well.
    pub(super) fn spread_answered(
        &mut self,
        by: Contact,
        row: u32,
        contacts: Vec<Contact>,
        cx: &mut Cx<'_, Geometry>,
    ) {
        let digits = self.geometry.digits;
        if self.geometry.table.get(by.key).is_some() {
            self.geometry.joining.heard.clear();
        } else {
            // It was asked twice, so that nobody knows how far away it is.
            self.consider(by, cx);
        }
        self.spread_to(&contacts, cx);
        let deeper = contacts.iter().map(|it| digits.shared(by.key, it.key));
        if let Some(deeper) = deeper.filter(|&shared| shared > row && shared < digits.count()).min()
        {
            self.spread_later(by, deeper);
        }
        contacts.into_iter().for_each(|it| self.consider(it, cx));
        self.spread_on(cx);
    }

    /// One of those who were asked has answered, or has not.
    pub(super) fn spread_on(&mut self, cx: &mut Cx<'_, Geometry>) {
        let joining = &mut self.geometry.joining;
        joining.under_way = joining.under_way.saturating_sub(1);
        self.ask_next(cx);
        let joining = &mut self.geometry.joining;
        if joining.under_way == 0 && !joining.asked.is_empty() {
            joining.asked.clear();
            joining.nearer = Some(joining.level);
        }
    }

    pub(super) fn ask_row(
        &mut self,
        of: Contact,
        row: u32,
        errand: Errand,
        cx: &mut Cx<'_, Geometry>,
    ) -> bool {
        let row = u8::try_from(row).expect("a key has 160 digits at most");
        self.ask(of, For::Own(errand), |nonce| Body::Own(Words::Row { nonce, row }), cx)
    }
}
