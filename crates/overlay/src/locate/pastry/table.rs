//! The routing table: for each number of digits shared with this node, and each digit that may follow,
//! one node; of several the one with the shortest round trip. Middleware 2001, sections 2.1 and 2.5.

use std::time::Duration;

use nigh_base::{Key, space::prefix::Digits};

use crate::locate::{Contact, node::geometry::Peer};

/// The most cells: with digits of four bits, the longest, a key has 40 of them, and a row 15 cells beside that of
/// the node's own digit. Shorter digits make fewer.
const CELLS_MAX: usize = 40 * 15;

/// The cells that are not empty, by row and digit. There are at most as many rows as a key has
/// digits, and in use about log N to the base of 2^b.
#[derive(Clone, Debug, Hash)]
pub struct Table {
    me: Key,
    digits: Digits,
    cells: Vec<Peer>,
}

/// Row and digit.
type Place = (u32, u8);

impl Table {
    pub(super) const fn new(me: Key, digits: Digits) -> Self {
        Self { me, digits, cells: Vec::new() }
    }

    pub(super) const fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.cells.iter()
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

    fn find(&self, place: Place) -> Result<usize, usize> {
        self.cells.binary_search_by_key(&Some(place), |cell| self.place(cell.contact.key))
    }

    /// The node in the cell in which `key` belongs: it shares one digit more with `key` than this one.
    pub(super) fn at(&self, key: Key) -> Option<&Peer> {
        self.find(self.place(key)?).ok().map(|place| &self.cells[place])
    }

    pub(super) fn get(&self, key: Key) -> Option<&Peer> {
        self.at(key).filter(|cell| cell.contact.key == key)
    }

    /// All nodes of a row.
    pub(super) fn row(&self, row: u32) -> impl Iterator<Item = Contact> {
        let is_in = move |it: &&Peer| self.row_of(it.contact.key) == row;
        self.cells.iter().filter(is_in).map(|cell| cell.contact)
    }

    /// Takes a node in, if its cell is empty or its answers come sooner than those of the one there.
    pub(super) fn take(&mut self, peer: Peer) {
        let Some(place) = self.place(peer.contact.key) else { return };
        match self.find(place) {
            Err(at) => self.cells.insert(at, peer),
            Ok(at) => {
                let cell = &mut self.cells[at];
                let is_other = cell.contact.key != peer.contact.key;
                let (old, new) = (cell.rtt.estimate(), peer.rtt.estimate());
                let is_nearer = new.is_some_and(|new| old.is_none_or(|old| new < old));
                if is_other && is_nearer {
                    *cell = peer;
                }
            }
        }
    }

    /// Takes a node out; says whether it was there.
    pub(super) fn remove(&mut self, contact: Contact) -> bool {
        let before = self.cells.len();
        self.cells.retain(|cell| cell.contact != contact);
        self.cells.len() < before
    }

    /// An answer of a node took so long.
    pub(super) fn measured(&mut self, contact: Contact, round_trip: Duration) {
        let cells = self.cells.iter_mut().filter(|it| it.contact == contact);
        cells.for_each(|it| it.rtt.measured(round_trip));
    }

    /// Panics if a cell is in the wrong place or doubled, or there are too many.
    pub(super) fn check(&self) {
        assert!(self.cells.len() <= CELLS_MAX, "too many cells");
        let is_sorted =
            self.cells.is_sorted_by(|a, b| self.place(a.contact.key) < self.place(b.contact.key));
        assert!(is_sorted, "cells out of order");
        assert!(self.cells.iter().all(|it| it.contact.key != self.me), "a cell of itself");
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::{Address, Rng, Rtt};

    use super::*;

    fn peer(key: Key, millis: u64) -> Peer {
        let mut rtt = Rtt::default();
        rtt.measured(Duration::from_millis(millis));
        Peer { contact: Contact { key, address: Address::v4([10, 0, 0, 1], 4000) }, rtt }
    }

    #[test]
    fn each_cell_has_the_node_with_the_shortest_round_trip() {
        let mut rng = Rng::new(1);
        for bits in [1, 2, 4] {
            let digits = Digits::new(bits);
            let me = Key::of(b"me");
            let mut table = Table::new(me, digits);
            let peers: Vec<Peer> = (0..500)
                .map(|time| peer(Key::of(&rng.next_u64().to_be_bytes()), 10 + time * 7 % 500))
                .collect();
            peers.iter().for_each(|&it| table.take(it));
            table.check();
            for it in &peers {
                let key = it.contact.key;
                let row = digits.shared(me, key);
                let alike =
                    peers.iter().filter(|other| digits.shared(key, other.contact.key) > row);
                let nearest = alike.min_by_key(|other| other.rtt.estimate()).unwrap();
                assert_eq!(table.at(key).unwrap().contact, nearest.contact);
            }
            let rows = (0..digits.count()).map(|row| table.row(row).count());
            assert_eq!(rows.sum::<usize>(), table.len());
        }
    }
}
