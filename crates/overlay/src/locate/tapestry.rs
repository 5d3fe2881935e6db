//! Tapestry: keys and nodes read as strings of digits; a way takes one digit after the other, and where
//! nobody has the wanted digit, the next that somebody has. Holders of values leave pointers along
//! their way to the owner, so that who is near to one finds it near.
//!
//! Zhao, Huang, Stribling, Rhea, Joseph, Kubiatowicz, "Tapestry: a resilient global-scale overlay for
//! service deployment", IEEE JSAC 22(1), 2004; how nodes come in: Hildrum, Kubiatowicz, Rao, Zhao,
//! "Distributed object location in a dynamic network", SPAA 2002. What was changed, and every timer and
//! limit: docs/tapestry.md. What is not here is every [node]'s.
//!
//! ```text
//! table    the routing table: by shared digits, several nodes a cell
//! join     coming in: whoever has a hole that the new node fills hears of it
//! upkeep   rows that are exchanged, nodes that are checked, and who points here
//! pointers who holds a value, left along the way to its owner
//! message  what is said about these
//! settled  nodes as they are when all has settled, for simulations
//! ```

pub mod fuzz;
mod join;
pub mod message;
mod pointers;
pub mod settled;
mod table;
mod upkeep;

use std::time::Duration;

use nigh_base::{Address, Key, Time, space::prefix::Digits};

use self::{
    join::Joining,
    message::{Errand, Level, Words},
    pointers::Pointers,
    table::Table,
    upkeep::Back,
};
use super::{
    Contact,
    codec::CONTACTS_MAX,
    node::{
        self,
        geometry::{self, Cx, Peer, Step},
    },
};

/// The most nodes of one cell that a node may be told to know.
pub const CELL_MAX: usize = 8;

/// How a node behaves. All nodes of an overlay have the same `digit_bits`; the rest is each node's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// What every overlay is told.
    pub node: node::Settings,
    /// Bits of a digit: 1, 2 or 4. More make ways shorter and tables longer.
    pub digit_bits: u32,
    /// How many nodes a cell of the table has at most, the first to be used and those in reserve: the
    /// paper's c; no fewer than the copies of a value, at most [`CELL_MAX`].
    pub cell: usize,
    /// Whether a cell has the nodes with the shortest round trips, the nearest first; else the first met.
    pub locality: bool,
    /// Whether holders leave pointers along the way to the owner, and lookups for values heed them.
    pub pointers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let node = node::Settings::default();
        Self { node, digit_bits: 4, cell: 3, locality: true, pointers: true }
    }
}

impl AsRef<node::Settings> for Settings {
    fn as_ref(&self) -> &node::Settings {
        &self.node
    }
}

impl Settings {
    fn digits(&self) -> Digits {
        assert!(matches!(self.digit_bits, 1 | 2 | 4), "a digit has 1, 2 or 4 bits");
        Digits::new(self.digit_bits)
    }

    /// Holds that the numbers fit together.
    fn check(&self) {
        let least = usize::from(self.node.copies);
        assert!(
            (least..=CELL_MAX).contains(&self.cell),
            "a cell has a place for each copy, 8 at most"
        );
    }
}

/// Digit by digit, how far `node` lies behind `target`, each modulo 2^b: the least of all nodes is the
/// surrogate root of `target`. For each place from the first on, those are left over that have the wanted
/// digit, or else the next that any of them has, after the highest the lowest: that is the order of
/// these differences, read as one number.
pub fn surrogacy(digits: Digits, node: Key, target: Key) -> Key {
    let bits = Key::BITS / digits.count();
    let mask = u8::MAX >> (8 - bits);
    let mut bytes = node.bytes();
    for (byte, target) in bytes.iter_mut().zip(target.bytes()) {
        let shifts = (0..8 / bits).map(|place| place * bits);
        *byte = shifts.fold(0, |sum, shift| {
            sum | ((*byte >> shift).wrapping_sub(target >> shift) & mask) << shift
        });
    }
    Key::new(bytes)
}

/// What a node of Tapestry has of its own.
#[derive(Debug, Hash)]
pub struct Geometry {
    me: Contact,
    digits: Digits,
    pub(super) table: Table,
    back: Back,
    pointers: Pointers,
    joining: Joining,
    /// Where the next nodes to be checked are in the table.
    next_check: usize,
}

/// One node of Tapestry, as a machine.
pub type Node = node::Node<Geometry>;

impl Node {
    /// The nodes in the cell of its routing table in which `key` belongs, the first to be used first.
    pub fn cell(&self, key: Key) -> Vec<Contact> {
        self.geometry.table.at(key).iter().map(|peer| peer.contact).collect()
    }

    /// How many nodes its routing table has.
    pub const fn known(&self) -> usize {
        self.geometry.table.len()
    }

    /// How many pointers to holders of values it has.
    pub fn pointers(&self) -> usize {
        self.geometry.pointers.len()
    }
}

impl geometry::Geometry for Geometry {
    const NAME: &'static str = "Tapestry";
    const PUBLISHERS_SERVE: bool = true;

    type Settings = Settings;
    type Carry = Level;
    type Words = Words;
    type Errand = Errand;

    fn new(me: Contact, settings: &Settings) -> Self {
        settings.check();
        let digits = settings.digits();
        Self {
            me,
            digits,
            table: Table::new(me.key, digits, settings),
            back: Back::default(),
            pointers: Pointers::default(),
            joining: Joining::default(),
            next_check: 0,
        }
    }

    fn next_hop(node: &Node, key: Key, carry: Level, without: &[Key]) -> Option<Step<Level>> {
        let (contact, level) = node.geometry.table.next_hop(key, carry.level.into(), without)?;
        let level = u8::try_from(level).expect("a key has 160 digits at most");
        Some(Step { contact, carry: Level { level, ..carry } })
    }

    /// The root of `key` among those that this node knows, and who would be the root without those before.
    fn nearest(node: &Node, key: Key, count: usize) -> Vec<Contact> {
        let Self { me, digits, table, .. } = &node.geometry;
        let mut all: Vec<Contact> = table.contacts().chain([*me]).collect();
        all.sort_by_cached_key(|it| surrogacy(*digits, it.key, key));
        all.truncate(count.min(CONTACTS_MAX));
        all
    }

    fn begin_get() -> Level {
        Level { level: 0, wants_holders: true }
    }

    fn pointed(node: &Node, key: Key, carry: Level, now: Time) -> Vec<Contact> {
        node.holders_known(key, carry, now)
    }

    fn holds(node: &mut Node, key: Key, cx: &mut Cx<'_, Self>) {
        node.publish(key, cx);
    }

    fn is_its(node: &Node, key: Key, other: Contact) -> bool {
        let Self { me, digits, .. } = node.geometry;
        surrogacy(digits, other.key, key) < surrogacy(digits, me.key, key)
            && Self::next_hop(node, key, Level::default(), &[other.key]).is_none()
    }

    /// A lookup comes nearer in digits, and how wide a digit is depends on the settings.
    fn gap(_: Key, _: Key) -> Option<Key> {
        None
    }

    fn peer(&self, key: Key) -> Option<&Peer> {
        self.table.get(key)
    }

    fn neighbours(&self) -> Vec<Contact> {
        self.table.contacts().chain(self.back.contacts()).collect()
    }

    fn far(&self) -> Vec<Contact> {
        self.table.row(0).map(|peer| peer.contact).collect()
    }

    fn acquaintances(&self) -> String {
        let (known, back) = (self.table.len(), self.back.contacts().count());
        format!("{known} nodes, {back} more point here, {} pointers", self.pointers.len())
    }

    fn joining(node: &mut Node, owner: Contact, way: Vec<Contact>, cx: &mut Cx<'_, Self>) {
        node.copy_rows(owner, way, cx);
    }

    fn let_in(node: &mut Node, others: &[Contact], cx: &mut Cx<'_, Self>) {
        node.introduce(others, cx);
    }

    fn round(node: &mut Node, cx: &mut Cx<'_, Self>) {
        node.introduce_again(cx);
        node.look_for_nearer(cx);
        node.exchange_rows(cx);
        node.check_some(cx);
        node.geometry.back.forget(cx.now);
        node.geometry.pointers.forget(cx.now);
        node.publish_due(cx);
    }

    fn would_take(node: &Node, key: Key) -> bool {
        node.geometry.table.would_take(key)
    }

    fn take(node: &mut Node, peer: Peer, cx: &mut Cx<'_, Self>) {
        if node.geometry.table.take(peer) {
            node.geometry.back.remove(peer.contact);
            node.give_its_own(peer.contact, cx);
        }
    }

    fn measured(&mut self, contact: Contact, round_trip: Duration) {
        self.table.measured(contact, round_trip);
    }

    fn remove(node: &mut Node, contact: Contact, cx: &mut Cx<'_, Self>) -> bool {
        node.geometry.pointers.lost(contact);
        node.geometry.back.remove(contact);
        let was_known = node.geometry.table.remove(contact);
        if was_known {
            node.mend_row(contact, cx);
        }
        was_known
    }

    fn asked(
        node: &mut Node,
        from: Address,
        sender: Option<Contact>,
        words: Words,
        cx: &mut Cx<'_, Self>,
    ) {
        match words {
            Words::Row { nonce, row } => node.name_row(from, sender, nonce, row, cx),
            Words::Points { nonce } => node.say_whether_it_points(from, sender, nonce, cx),
            Words::Publish { nonce, key, level } => {
                node.leave_pointer(from, sender, nonce, (key, level), cx);
            }
            Words::Has { nonce, key } => node.say_whether_it_has(from, nonce, key, cx),
            _ => {}
        }
    }

    fn answered(
        node: &mut Node,
        errand: &Errand,
        by: Contact,
        words: Words,
        cx: &mut Cx<'_, Self>,
    ) -> bool {
        if !node.is_member() && !matches!(errand, Errand::Copy { .. }) {
            // It has left meanwhile, and keeps nothing true any more.
            return true;
        }
        match (errand, words) {
            (Errand::Row, Words::RowIs { contacts, .. }) => node.row_is(contacts, cx),
            (Errand::Copy { row }, Words::RowIs { contacts, .. }) => {
                node.copied_row(by, *row, contacts, cx);
            }
            (Errand::Spread { row }, Words::RowIs { contacts, .. }) => {
                node.spread_answered(by, *row, contacts, cx);
            }
            (Errand::Back, Words::DoesPoint { is_so, .. }) => {
                node.geometry.back.answered(by, is_so, cx.now);
            }
            (Errand::Publish { key, level }, Words::Onward { step, .. }) => {
                node.publish_onward(*key, *level, step, cx);
            }
            (Errand::Point { key, asked, .. }, Words::Holds { is_so, .. }) => {
                node.geometry.pointers.answered(*key, by, *asked, is_so, cx.now);
            }
            _ => return false,
        }
        true
    }

    fn unanswered(node: &mut Node, errand: Errand, cx: &mut Cx<'_, Self>) {
        match errand {
            // Another round asks again.
            Errand::Row => {}
            Errand::Copy { .. } => node.join_again(cx),
            Errand::Spread { .. } => node.spread_on(cx),
            Errand::Back => node.geometry.back.unanswered(),
            Errand::Publish { key, .. } => node.geometry.pointers.publish_again(key, cx.now),
            Errand::Point { key, holder, is_repeat, .. } => {
                node.has_not_said(holder, key, is_repeat, cx);
            }
        }
    }

    fn check(node: &Node) {
        let Self { table, back, pointers, joining, .. } = &node.geometry;
        table.check();
        back.check();
        pointers.check();
        joining.check();
    }
}

#[cfg(test)]
mod tests;
