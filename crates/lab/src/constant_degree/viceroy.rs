//! Viceroy by the paper's rule: up, down, and about along the circle and the circle of a level. More nodes
//! beside a node than the paper's one on each side serve while nodes are dead, as leaf sets do: the owner is
//! found among them, and a way that finds no link up or down goes along the circle and begins anew.

use nigh_base::{Key, Rng};

use super::circle::{Circle, HOPS_MAX};

/// So near to the lowest level a way without a link down goes on about, as in a node.
const LOWEST: usize = 3;

/// On which level each node is.
#[derive(Debug)]
pub(super) struct Viceroy {
    /// From 1 on.
    levels: Vec<u8>,
    /// The places of the nodes of each level, in order.
    nodes: Vec<Vec<u32>>,
}

fn far(a: Key, b: Key) -> Key {
    a.minus(b).min(b.minus(a))
}

impl Viceroy {
    /// Draws levels, as many as the number of nodes has doublings.
    pub(super) fn new(circle: &Circle, rng: &mut Rng) -> Self {
        let mut nodes = vec![Vec::new(); circle.keys.len().ilog2() as usize];
        let draw = |place: usize| {
            let level = rng.index(nodes.len());
            nodes[level].push(u32::try_from(place).expect("places have 32 bits"));
            1 + u8::try_from(level).expect("there are few levels")
        };
        let levels = (0..circle.keys.len()).map(draw).collect();
        Self { levels, nodes }
    }

    /// The first of a level at a key or behind it, or the one before that.
    fn on(&self, circle: &Circle, level: u8, key: Key, back: usize) -> Option<usize> {
        let nodes = self.nodes.get(usize::from(level).checked_sub(1)?)?;
        let behind = nodes.partition_point(|&it| circle.keys[it as usize] < key);
        let at = (behind + nodes.len() - back) % nodes.len().max(1);
        nodes.get(at).map(|&it| it as usize)
    }

    /// The link up, down and left, down and right, to the next and the previous of the level.
    pub(super) fn links(&self, circle: &Circle, node: usize) -> [Option<usize>; 5] {
        let (key, level) = (circle.keys[node], self.levels[node]);
        let right = key.plus(Key::power(Key::BITS - u32::from(level)));
        let after = key.plus(Key::from(1));
        [
            self.on(circle, level - 1, key, 0),
            self.on(circle, level + 1, key, 0),
            self.on(circle, level + 1, right, 0),
            self.on(circle, level, after, 0),
            self.on(circle, level, key, 1),
        ]
        .map(|it| it.filter(|&it| it != node))
    }

    /// How many hops a way to a key takes, which the living node `to` owns; none if it fails. A node knows
    /// `beside` others on each side.
    pub(super) fn walk(
        &self,
        circle: &Circle,
        [from, to]: [usize; 2],
        key: Key,
        beside: usize,
        dead: &[bool],
    ) -> Option<u32> {
        let (mut at, mut hops) = (from, 0);
        let (mut is_up, mut is_about) = (true, false);
        let count = circle.keys.len();
        while at != to && hops < HOPS_MAX {
            let own = circle.keys[at];
            let living = |step: usize| Some(circle.place(at + step)).filter(|&it| !dead[it]);
            let is_near = |step: usize| [at + step, at + count - step].map(|it| circle.place(it));
            if (1..=beside).find_map(living) == Some(to)
                || beside > 1 && (1..=beside).flat_map(is_near).any(|it| it == to)
            {
                return Some(hops + 1);
            }
            hops += 1;
            let (level, ahead) = (self.levels[at], key.minus(own));
            let [up, left, right, links @ ..] = self.links(circle, at);
            is_up &= level > 1;
            if !is_about && (is_up || usize::from(level) < self.nodes.len()) {
                let is_left = ahead < Key::power(Key::BITS - u32::from(level));
                let link = if is_up {
                    up
                } else if is_left {
                    left
                } else {
                    right
                };
                match link.filter(|&it| !dead[it]) {
                    Some(link) => {
                        is_about = !is_up && circle.keys[link].minus(own) > ahead;
                        at = link;
                    }
                    None if beside == 1 => return None,
                    // So low few nodes are left in between.
                    None if !is_up && usize::from(level) + LOWEST >= self.nodes.len() => {
                        (is_about, hops) = (true, hops - 1);
                    }
                    None => {
                        at = (1..=beside).rev().find_map(living)?;
                        is_up = true;
                    }
                }
                continue;
            }
            is_about = true;
            let around = (1..=beside).flat_map(|step| [at + step, at + count - step]);
            let known = around.map(|it| circle.place(it)).chain(links.into_iter().flatten());
            let nearest =
                known.filter(|&it| !dead[it]).min_by_key(|&it| far(circle.keys[it], key))?;
            if far(circle.keys[nearest], key) >= far(own, key) {
                return None;
            }
            at = nearest;
        }
        (at == to).then_some(hops)
    }
}
