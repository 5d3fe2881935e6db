//! The routing table: for each number of digits shared with this node, and each digit that may follow,
//! several nodes. JSAC 2004, section III.B: a primary link, the nearest, and secondary ones in reserve.

use std::{ops::Range, time::Duration};

use nigh_base::{Key, Rng, space::prefix::Digits};

use super::{CELL_MAX, Settings};
use crate::locate::{Contact, codec::CONTACTS_MAX, node::geometry::Peer};

/// The most nodes: with digits of four bits, the longest, a key has 40 of them, and a row 15 cells beside that of
/// the node's own digit. Shorter digits make fewer.
const NODES_MAX: usize = 40 * 15 * CELL_MAX;

/// The nodes of all cells. There are at most as many rows as a key has digits, and in use about log N to
/// the base of 2^b.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Table {
    me: Key,
    digits: Digits,
    /// How many nodes a cell has.
    cell: usize,
    /// So many nodes hold a value.
    copies: usize,
    has_locality: bool,
    /// By row and digit, in each cell the nearest first.
    peers: Vec<Peer>,
    /// Where each of them is.
    places: Vec<Place>,
}

/// Row and digit.
type Place = (u32, u8);

/// Orders the nodes of a cell: those that were never measured come last.
fn nearness(peer: &Peer) -> (bool, Option<Duration>) {
    let estimate = peer.rtt.estimate();
    (estimate.is_none(), estimate)
}

impl Table {
    pub(super) fn new(me: Key, digits: Digits, settings: &Settings) -> Self {
        let Settings { cell, locality, .. } = *settings;
        let copies = settings.node.copies.into();
        Self {
            me,
            digits,
            cell,
            copies,
            has_locality: locality,
            peers: Vec::new(),
            places: Vec::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn contacts(&self) -> impl Iterator<Item = Contact> {
        self.peers.iter().map(|peer| peer.contact)
    }

    /// How many digits `key` shares with this node: its row.
    pub(super) fn row_of(&self, key: Key) -> u32 {
        self.digits.shared(self.me, key)
    }

    /// Where `key` belongs; this node's own key belongs nowhere.
    fn place(&self, key: Key) -> Option<Place> {
        let row = self.row_of(key);
        (row < self.digits.count()).then(|| (row, self.digits.at(key, row)))
    }

    fn range(&self, place: Place) -> Range<usize> {
        let first = self.places.partition_point(|it| *it < place);
        let rest = &self.places[first..];
        first..first + rest.partition_point(|it| *it == place)
    }

    /// The nodes in the cell in which `key` belongs: they share one digit more with it than this one.
    pub(super) fn at(&self, key: Key) -> &[Peer] {
        self.place(key).map_or(&[], |place| &self.peers[self.range(place)])
    }

    pub(super) fn get(&self, key: Key) -> Option<&Peer> {
        self.at(key).iter().find(|it| it.contact.key == key)
    }

    /// All nodes that share at least so many digits with this one.
    pub(super) fn rows_from(&self, row: u32) -> &[Peer] {
        let first = self.places.partition_point(|(it, _)| *it < row);
        &self.peers[first..]
    }

    /// All nodes of a row.
    pub(super) fn row(&self, row: u32) -> impl Iterator<Item = &Peer> {
        let first = self.places.partition_point(|(it, _)| *it < row);
        let end = self.places.partition_point(|(it, _)| *it <= row);
        self.peers[first..end].iter()
    }

    /// The rows that have a node.
    pub(super) fn rows(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = self.places.iter().map(|(row, _)| *row).collect();
        rows.dedup();
        rows
    }

    /// The next node on the way to `key` if `level` digits are resolved, and how many are then; none if
    /// this node is the root. JSAC 2004, section III (NextHop): from the row of the next digit the cell of
    /// that digit, or the next that has a node; where that is this node itself, the next row.
    pub(super) fn next_hop(&self, key: Key, level: u32, without: &[Key]) -> Option<(Contact, u32)> {
        let (deepest, _) = *self.places.last()?;
        let width = u16::from(u8::MAX >> (8 - Key::BITS / self.digits.count())) + 1;
        for row in level..=deepest {
            let wanted = self.digits.at(key, row);
            let behind = |digit: u8| (u16::from(digit) + width - u16::from(wanted)) % width;
            let mine = behind(self.digits.at(self.me, row));
            let others = self.row(row).filter(|it| !without.contains(&it.contact.key));
            // Of a cell's nodes that is the first.
            let best = others.min_by_key(|it| behind(self.digits.at(it.contact.key, row)));
            if let Some(best) = best
                && behind(self.digits.at(best.contact.key, row)) < mine
            {
                return Some((best.contact, row + 1));
            }
        }
        None
    }

    /// How many nodes a cell of that row may have. Where those are who stand in for this node, it knows all
    /// of them: the root has to name the same as they themselves.
    pub(super) fn capacity(&self, row: u32) -> usize {
        if self.rows_from(row + 1).len() < self.copies { CELL_MAX } else { self.cell }
    }

    /// Whether there is a place for a node with that key, which is not known yet.
    pub(super) fn would_take(&self, key: Key) -> bool {
        let Some(place) = self.place(key) else { return false };
        self.get(key).is_none() && self.range(place).len() < self.capacity(place.0)
    }

    /// Takes a node in, if its cell has room or one that is farther away; says whether it did.
    pub(super) fn take(&mut self, peer: Peer) -> bool {
        let Some(place) = self.place(peer.contact.key) else { return false };
        if self.get(peer.contact.key).is_some() {
            return false;
        }
        let (range, capacity) = (self.range(place), self.capacity(place.0));
        let place_in_cell = self.place_in_cell(&self.peers[range.clone()], &peer);
        if place_in_cell >= capacity {
            return false;
        }
        self.peers.insert(range.start + place_in_cell, peer);
        self.places.insert(range.start, place);
        let full = range.start + (range.len() + 1).min(capacity);
        self.peers.drain(full..=range.end);
        self.places.drain(full..=range.end);
        true
    }

    fn place_in_cell(&self, cell: &[Peer], peer: &Peer) -> usize {
        if self.has_locality {
            cell.partition_point(|it| nearness(it) <= nearness(peer))
        } else {
            cell.len()
        }
    }

    /// Takes a node out; says whether it was there.
    pub(super) fn remove(&mut self, contact: Contact) -> bool {
        let Some(at) = self.peers.iter().position(|it| it.contact == contact) else { return false };
        self.peers.remove(at);
        self.places.remove(at);
        true
    }

    /// An answer of a node took so long: its place among those of its cell may be another.
    pub(super) fn measured(&mut self, contact: Contact, round_trip: Duration) {
        let Some(place) = self.place(contact.key) else { return };
        let range = self.range(place);
        let cell = &mut self.peers[range];
        if let Some(it) = cell.iter_mut().find(|it| it.contact == contact) {
            it.rtt.measured(round_trip);
            if self.has_locality {
                cell.sort_by_key(nearness);
            }
        }
    }

    /// Nodes for one who shares `row` digits with this one: the first of each cell of that row, one of those
    /// that share more with this node, and others of both, and of `more`, which are drawn.
    pub(super) fn name(&self, row: u32, more: Vec<Contact>, rng: &mut Rng) -> Vec<Contact> {
        let (mut named, mut rest) = (Vec::new(), more);
        let mut last = None;
        for peer in self.row(row) {
            let place = self.place(peer.contact.key);
            if place == last {
                rest.push(peer.contact)
            } else {
                named.push(peer.contact)
            }
            last = place;
        }
        let deeper = self.rows_from(row + 1);
        if let Some(one) = deeper.first() {
            named.push(one.contact);
            rest.extend(deeper[1..].iter().map(|it| it.contact));
        }
        rng.shuffle(&mut rest);
        named.extend(rest);
        named.truncate(CONTACTS_MAX);
        named
    }

    /// Panics if a node is in the wrong place or doubled, or a cell or all of them have too many.
    pub(super) fn check(&self) {
        assert!(self.peers.len() <= NODES_MAX, "too many nodes");
        let places = self.peers.iter().filter_map(|it| self.place(it.contact.key));
        assert!(places.eq(self.places.iter().copied()), "a node in the wrong place");
        assert!(self.places.is_sorted(), "cells out of order");
        let lengths = self.places.chunk_by(|a, b| a == b).map(<[Place]>::len);
        let mut rest = &self.peers[..];
        for length in lengths {
            let (cell, others) = rest.split_at(length);
            rest = others;
            assert!(cell.len() <= CELL_MAX, "a cell has too many");
            assert!(!self.has_locality || cell.is_sorted_by_key(nearness), "the nearest is first");
            let is_doubled = |it: &Peer| {
                cell.iter().filter(|other| other.contact.key == it.contact.key).count() > 1
            };
            assert!(!cell.iter().any(is_doubled), "a node is doubled");
        }
        assert!(self.peers.iter().all(|it| it.contact.key != self.me), "a cell of itself");
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::{Address, Rtt};

    use super::*;

    fn peer(key: Key, millis: u64) -> Peer {
        let mut rtt = Rtt::default();
        rtt.measured(Duration::from_millis(millis));
        Peer { contact: Contact { key, address: Address::v4([10, 0, 0, 1], 4000) }, rtt }
    }

    #[test]
    fn each_cell_has_the_nodes_with_the_shortest_round_trips_in_order() {
        let mut rng = Rng::new(1);
        for bits in [1, 2, 4] {
            let settings = Settings { digit_bits: bits, ..Settings::default() };
            let digits = Digits::new(bits);
            let me = Key::of(b"me");
            let mut table = Table::new(me, digits, &settings);
            let peers: Vec<Peer> = (0..500)
                .map(|time| peer(Key::of(&rng.next_u64().to_be_bytes()), 10 + time * 7 % 500))
                .collect();
            // The second time rows that may stand in for the node itself are known.
            for it in peers.iter().chain(&peers) {
                table.take(*it);
                table.check();
            }
            for it in &peers {
                let key = it.contact.key;
                let row = digits.shared(me, key);
                let mut alike: Vec<&Peer> = peers
                    .iter()
                    .filter(|other| digits.shared(key, other.contact.key) > row)
                    .collect();
                alike.sort_by_key(|other| other.rtt.estimate());
                alike.truncate(table.capacity(row));
                let cell = table.at(key).iter().take(table.capacity(row));
                assert!(cell.map(|it| it.contact).eq(alike.iter().map(|it| it.contact)));
            }
        }
    }

    #[test]
    fn a_node_whose_answers_come_later_gives_way_to_another_of_its_cell() {
        let key = |low: u64| Key::from(low);
        let me = Key::MAX;
        let mut table = Table::new(me, Digits::new(4), &Settings::default());
        assert!(table.take(peer(key(1), 10)) && table.take(peer(key(2), 20)));
        let first = |table: &Table| table.at(key(1))[0].contact.key;
        assert_eq!(first(&table), key(1));
        (0..20).for_each(|_| table.measured(peer(key(1), 0).contact, Duration::from_millis(90)));
        assert_eq!(first(&table), key(2));
        table.check();
    }
}
