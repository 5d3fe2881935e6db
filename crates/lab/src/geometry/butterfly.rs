//! The butterfly: Viceroy (Malkhi, Naor, Ratajczak: "Viceroy: A Scalable and Dynamic Emulation of the
//! Butterfly", PODC 2002). Each node draws a level and knows seven others: the next and the previous
//! one on the circle, and among those of its level; one a level up; two a level down, near and far.
//!
//! A way has three parts. It climbs to the first level; it descends, each level halving what is left,
//! until it has passed the target or there is no level below; and from there it searches the vicinity,
//! either way along the circle and the circle of its level. Only the last part ever has a choice.

use nigh_base::Rng;

use super::{
    overlay::{BITS, CIRCLE, Node, Places, first_from, lie},
    walk::circle,
};

/// Where nodes lie, and on which level.
#[derive(Clone, Debug)]
pub(super) struct Butterfly {
    places: Vec<u32>,
    levels: Vec<u32>,
    /// The places of the nodes of each level, from the first, and which nodes they are.
    by_level: Vec<(Vec<u32>, Vec<Node>)>,
}

impl Butterfly {
    /// One of 2^`doublings` nodes, with as many levels as doublings.
    pub(super) fn new(doublings: u32, rng: &mut Rng) -> Self {
        let places = lie(Places::Random, doublings, rng);
        let mut levels = Vec::new();
        let mut by_level = vec![(Vec::new(), Vec::new()); doublings as usize];
        for (node, &place) in (0..).zip(&places) {
            let level = rng.index(by_level.len());
            levels.push(u32::try_from(level).expect("there are few levels"));
            by_level[level].0.push(place);
            by_level[level].1.push(node);
        }
        Self { places, levels, by_level }
    }

    pub(super) fn nodes(&self) -> u32 {
        u32::try_from(self.places.len()).expect("places have 32 bits")
    }

    /// How many hops it takes, if it comes there at all. `alive` is asked about each node that would be
    /// the next, and not of the target.
    pub(super) fn hops(
        &self,
        from: Node,
        to: Node,
        mut alive: impl FnMut(Node) -> bool,
    ) -> Option<u32> {
        let target = self.places[to as usize];
        let mut alive = |node| node == to || alive(node);
        let (mut at, mut hops) = (from, 0);
        let mut step = |at: &mut Node, next: Node, alive: &mut dyn FnMut(Node) -> bool| {
            *at = next;
            hops += 1;
            alive(next).then_some(())
        };
        while at != to
            && let Some(up) = self.up(at)
        {
            step(&mut at, up, &mut alive)?;
        }
        let mut passed = false;
        while at != to
            && !passed
            && let Some(down) = self.down(at, target)
        {
            passed = self.ahead(at, down) > target.wrapping_sub(self.places[at as usize]);
            step(&mut at, down, &mut alive)?;
        }
        while at != to {
            let next = self.beside(at, target, &mut alive)?;
            step(&mut at, next, &mut alive)?;
        }
        Some(hops)
    }

    /// The first node of the level above, at this place or behind it.
    fn up(&self, node: Node) -> Option<Node> {
        let above = self.levels[node as usize].checked_sub(1)?;
        self.first_of_level(above, self.places[node as usize])
    }

    /// The near link down if what is left is less than the far one reaches; none on the last level.
    fn down(&self, node: Node, target: u32) -> Option<Node> {
        let (place, level) = (self.places[node as usize], self.levels[node as usize]);
        let reach = 1u32 << (BITS - 1 - level);
        let near = target.wrapping_sub(place) < reach;
        self.first_of_level(level + 1, if near { place } else { place.wrapping_add(reach) })
    }

    /// How far ahead the other lies.
    fn ahead(&self, node: Node, other: Node) -> u32 {
        self.places[other as usize].wrapping_sub(self.places[node as usize])
    }

    /// The living one of the four links along the circles that is nearest to the target, if it is nearer
    /// than this node.
    fn beside(
        &self,
        node: Node,
        target: u32,
        alive: &mut impl FnMut(Node) -> bool,
    ) -> Option<Node> {
        let count = self.nodes();
        let (places, nodes) = &self.by_level[self.levels[node as usize] as usize];
        let (own, of_level) =
            (first_from(places, self.places[node as usize].into()) as usize, nodes.len());
        let links = [
            (node + 1) % count,
            (node + count - 1) % count,
            nodes[(own + 1) % of_level],
            nodes[(own + of_level - 1) % of_level],
        ];
        let here = circle(self.places[node as usize], target);
        let nearer = |link: &Node| circle(self.places[*link as usize], target) < here;
        let living = links.into_iter().filter(nearer).filter(|&link| alive(link));
        living.min_by_key(|&link| circle(self.places[link as usize], target))
    }

    /// The first node of a level at this place or behind it, going round; none if the level has none.
    fn first_of_level(&self, level: u32, place: u32) -> Option<Node> {
        let (places, nodes) = self.by_level.get(level as usize)?;
        let first = first_from(places, u64::from(place) % CIRCLE) as usize;
        nodes.get(first).or_else(|| nodes.first()).copied()
    }
}
