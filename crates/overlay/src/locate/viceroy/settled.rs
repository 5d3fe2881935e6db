//! A node of Viceroy as it is when all has settled, for simulations.

use nigh_base::{Key, Rng, Time};

use super::{
    Node,
    links::{Butterfly, Kind, LEVELS_MAX},
    message::Side,
};
use crate::locate::{Contact, circle, node::geometry::Peer};

/// All nodes of an overlay.
pub type Settled = circle::settled::Settled<Butterfly>;

/// On which level each of them is.
#[derive(Clone, Debug)]
pub struct Levels {
    /// In the order of their keys.
    of: Vec<u8>,
    /// The nodes of each level, in the order of their keys.
    nodes: Vec<Vec<Contact>>,
}

impl Levels {
    /// Draws a level for each node: one of as many as the overlay has doublings.
    pub fn draw(all: &Settled, rng: &mut Rng) -> Self {
        let count = all.contacts().len().ilog2().clamp(1, LEVELS_MAX.into());
        let mut nodes = vec![Vec::new(); count as usize];
        let mut of = Vec::new();
        for &contact in all.contacts() {
            let level = rng.index(nodes.len());
            nodes[level].push(contact);
            of.push(1 + u8::try_from(level).expect("there are few levels"));
        }
        Self { of, nodes }
    }

    /// How many nodes each level has, from the first on.
    pub fn sizes(&self) -> Vec<usize> {
        self.nodes.iter().map(Vec::len).collect()
    }

    /// The nearest to a place on a level, on that side, that is not `me`.
    fn nearest(&self, level: u8, place: Key, side: Side, me: Contact) -> Option<Contact> {
        let nodes = self.nodes.get(usize::from(level).checked_sub(1)?)?;
        let (behind, count) = (nodes.partition_point(|it| it.key < place), nodes.len());
        let at = |step: usize| match side {
            Side::Behind => nodes[(behind + step) % count],
            Side::Before => nodes[(behind + count - 1 - step) % count],
        };
        (0..count.min(2)).map(at).find(|it| *it != me)
    }
}

impl Settled {
    /// The machine of one of its nodes, whose first round comes at `first_round`.
    ///
    /// # Panics
    /// If `me` is no node of the overlay, or the levels are those of another.
    pub fn node(&self, levels: &Levels, me: Contact, first_round: Time) -> Node {
        let mut node = self.with_leaves(me, first_round);
        let level = |it: Contact| levels.of[self.place(it.key)];
        let leaves = node.leaves();
        let far = &mut node.geometry.far;
        far.level = level(me);
        far.levels = u8::try_from(levels.nodes.len()).expect("there are few levels");
        leaves.iter().for_each(|&leaf| far.note(leaf, level(leaf), &leaves));
        for kind in Kind::ALL {
            let Some(level) = far.level_of(kind) else { continue };
            let link = levels.nearest(level, far.place(kind), kind.side(), me);
            far.set(kind, link.map(Peer::unmeasured));
        }
        node
    }
}
