//! The five links of a node that depend on its level. PODC 2002, section 3.

use std::time::Duration;

use nigh_base::Key;

use crate::locate::{Contact, codec::CONTACTS_MAX, node::geometry::Peer};

use super::message::Side;

/// One of the five links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// To the first node behind this one a level above.
    Up,
    /// To the first behind it a level below: down and left.
    Left,
    /// To the first a level below behind the place that lies 2^-level of the circle ahead: down and right.
    Right,
    /// To the next on the same level.
    Next,
    /// To the one before on the same level.
    Previous,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Up, Self::Left, Self::Right, Self::Next, Self::Previous];

    /// Where a node of this kind is looked for, from the place.
    pub(super) const fn side(self) -> Side {
        match self {
            Self::Previous => Side::Before,
            Self::Up | Self::Left | Self::Right | Self::Next => Side::Behind,
        }
    }
}

/// More levels than these nobody has: there would be 2^32 nodes.
pub(super) const LEVELS_MAX: u8 = 32;

/// So many nodes at once are asked whether they are on the level that they said. Strangers may say so in any number;
/// who has a better link to offer says so again.
const CLAIMS_MAX: usize = 16;

/// The level of a node, its links, and the levels of its leaves as far as it has heard of them.
#[derive(Clone, Debug, Hash)]
pub struct Butterfly {
    me: Key,
    /// From 1, the uppermost, to `levels`.
    pub(super) level: u8,
    /// How many levels there are, as far as this node can tell.
    pub(super) levels: u8,
    links: [Option<Peer>; Kind::ALL.len()],
    /// What leaves have answered. It is not believed: whoever is linked is asked first.
    known: Vec<(Contact, u8)>,
    /// So many are asked whether they are on the level that they said.
    claims: usize,
}

impl Butterfly {
    pub(super) const fn new(me: Key) -> Self {
        Self {
            me,
            level: 1,
            levels: 1,
            links: [None; Kind::ALL.len()],
            known: Vec::new(),
            claims: 0,
        }
    }

    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    /// The level of the node to which such a link leads; none if this node has no such link.
    pub(super) fn level_of(&self, kind: Kind) -> Option<u8> {
        match kind {
            Kind::Up => (self.level > 1).then(|| self.level - 1),
            Kind::Left | Kind::Right => (self.level < self.levels).then(|| self.level + 1),
            Kind::Next | Kind::Previous => Some(self.level),
        }
    }

    /// How far down and right a link of this node leads: 2^-level of the circle.
    pub(super) fn reach(&self) -> Key {
        Key::power(Key::BITS - u32::from(self.level))
    }

    /// From where such a link is looked for.
    pub(super) fn place(&self, kind: Kind) -> Key {
        match kind {
            Kind::Right => self.me.plus(self.reach()),
            Kind::Up | Kind::Left | Kind::Next | Kind::Previous => self.me,
        }
    }

    /// How far a node lies from there.
    pub(super) fn distance(&self, kind: Kind, key: Key) -> Key {
        kind.side().distance(self.place(kind), key)
    }

    pub(super) fn link(&self, kind: Kind) -> Option<Contact> {
        self.links[kind as usize].map(|peer| peer.contact)
    }

    /// Whether a node of the right level with that key would be linked.
    pub(super) fn is_better(&self, kind: Kind, key: Key) -> bool {
        let is_nearer = |it: Contact| self.distance(kind, key) < self.distance(kind, it.key);
        key != self.me && self.level_of(kind).is_some() && self.link(kind).is_none_or(is_nearer)
    }

    pub(super) fn set(&mut self, kind: Kind, peer: Option<Peer>) {
        self.links[kind as usize] = peer;
    }

    /// None of the links leads where it should any more.
    pub(super) fn forget_links(&mut self) {
        self.links = [None; Kind::ALL.len()];
    }

    /// Each link, perhaps several to one node.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.links.iter().flatten()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Peer> {
        self.iter().find(|it| it.contact.key == key)
    }

    /// A node is gone: which links led to it?
    pub(super) fn remove(&mut self, contact: Contact) -> Vec<Kind> {
        self.known.retain(|(it, _)| *it != contact);
        let gone = Kind::ALL.into_iter().filter(|&kind| self.link(kind) == Some(contact));
        let gone: Vec<Kind> = gone.collect();
        gone.iter().for_each(|&kind| self.set(kind, None));
        gone
    }

    pub(super) fn measured(&mut self, contact: Contact, round_trip: Duration) {
        let links = self.links.iter_mut().flatten();
        links.filter(|it| it.contact == contact).for_each(|it| it.rtt.measured(round_trip));
    }

    /// A leaf has answered on which level it is. Those who are no leaves any more are forgotten.
    pub(super) fn note(&mut self, leaf: Contact, level: u8, leaves: &[Contact]) {
        self.known.retain(|(it, _)| *it != leaf && leaves.contains(it));
        if leaves.contains(&leaf) && self.known.len() < CONTACTS_MAX {
            self.known.push((leaf, level));
        }
    }

    /// On which level a leaf is, as far as it has answered.
    pub(super) fn known_level_of(&self, leaf: Contact) -> Option<u8> {
        self.known.iter().find(|(it, _)| *it == leaf).map(|(_, level)| *level)
    }

    /// Whether one more may be asked whether it is on the level that it said.
    pub(super) const fn has_room_for_claim(&self) -> bool {
        self.claims < CLAIMS_MAX
    }

    /// One is asked that.
    pub(super) const fn begin_claim(&mut self) {
        self.claims += 1;
    }

    /// It has answered, or has not.
    pub(super) const fn end_claim(&mut self) {
        self.claims = self.claims.saturating_sub(1);
    }

    /// All of that level of whom it knows, but for itself.
    pub(super) fn on(&self, level: u8) -> Vec<Contact> {
        let leaves = self.known.iter().filter(|(_, its)| *its == level).map(|(it, _)| *it);
        let kinds = Kind::ALL.into_iter().filter(|&kind| self.level_of(kind) == Some(level));
        let mut all: Vec<Contact> =
            leaves.chain(kinds.filter_map(|kind| self.link(kind))).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Panics if the state is not one that can be.
    pub(super) fn check(&self) {
        assert!((1..=self.levels).contains(&self.level), "no such level");
        assert!(self.levels <= LEVELS_MAX, "too many levels");
        assert!(self.known.len() <= CONTACTS_MAX, "too many levels of others");
        assert!(self.claims <= CLAIMS_MAX, "too many are asked for what they said");
        assert!(self.iter().all(|it| it.contact.key != self.me), "a link to itself");
        for kind in Kind::ALL {
            let may_be = self.link(kind).is_none() || self.level_of(kind).is_some();
            assert!(may_be, "{kind:?} from level {} of {}", self.level, self.levels);
        }
    }
}
