//! The same ways by machines: nodes of Koorde and Viceroy as they run, with no more leaves than the next node on
//! each side, beside the papers' rules that are walked.

use std::sync::Arc;

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{Contact, circle, koorde, viceroy};

use super::{Circle, Design, Koorde, Viceroy, ratio, ways};
use crate::{
    rings::{NEVER, contacts, random_key},
    settled,
};

/// Nodes of which the ways are compared.
pub(super) const NODES: u32 = 1_000;
/// Koorde with k = 2 pointers, as our nodes have them: one before the point, and one behind it.
const KOORDE: Koorde = Koorde { bits: 1, pointers: 2, backups: 0 };

/// What became of the ways of one design.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    pub(super) design: Design,
    pub(super) nodes: u32,
    /// The mean hops of the ways that are walked, and of the same by machines.
    pub(super) walked: f64,
    pub(super) machines: f64,
    /// Ways that do not end at the owner, of either.
    pub(super) wrong: usize,
}

/// One node on each side, and nothing that changes them.
fn leaves() -> circle::Settings {
    circle::Settings { node: settled::settings(), leaves: 2, repair: circle::Repair::Periodic }
}

pub(super) fn compare(nodes: u32, rng: &Rng) -> [Beside; 2] {
    let never = Time::START.after(NEVER);
    let (circle, all) = (Circle::new(nodes), contacts(nodes));
    let alive = vec![false; circle.keys.len()];
    let mut sorted = all.clone();
    sorted.sort_unstable();
    let draw = |rng: &mut Rng| (rng.index(sorted.len()), random_key(rng));
    let drawn: Vec<(usize, Key)> = {
        let mut rng = rng.fork(0);
        (0..ways(nodes)).map(|_| draw(&mut rng)).collect()
    };
    let asked: Vec<(Contact, Key)> = drawn.iter().map(|&(by, key)| (sorted[by], key)).collect();
    let owner = |key: Key| circle.behind(key);

    let settings = koorde::Settings { circle: leaves(), degree_bits: KOORDE.bits, backups: 0 };
    let network = koorde::settled::Settled::new(Arc::new(settings), all.clone());
    let machines = all.iter().map(|&me| network.node(me, never));
    let gone = settled::go(machines, &asked, &mut rng.fork(1));
    let walk = |&(from, key): &(usize, Key)| KOORDE.walk(&circle, from, key, &alive);
    let walked = drawn.iter().map(|it| walk(it).map(|it| it.0));
    let by_koorde =
        beside(Design::Koorde(KOORDE), nodes, walked, &gone, |way| sorted[owner(drawn[way].1)]);

    let network = viceroy::settled::Settled::new(
        Arc::new(viceroy::Settings { circle: leaves() }),
        all.clone(),
    );
    // Both draw the same levels.
    let levels = viceroy::settled::Levels::draw(&network, &mut rng.fork(2));
    let butterfly = Viceroy::new(&circle, &mut rng.fork(2));
    let machines = all.iter().map(|&me| network.node(&levels, me, never));
    let gone = settled::go(machines, &asked, &mut rng.fork(3));
    let walk =
        |&(from, key): &(usize, Key)| butterfly.walk(&circle, [from, owner(key)], key, 1, &alive);
    let by_viceroy = beside(Design::Viceroy, nodes, drawn.iter().map(walk), &gone, |way| {
        sorted[owner(drawn[way].1)]
    });
    [by_koorde, by_viceroy]
}

fn beside(
    design: Design,
    nodes: u32,
    walked: impl Iterator<Item = Option<u32>>,
    gone: &[Option<(Contact, u32)>],
    owner: impl Fn(usize) -> Contact,
) -> Beside {
    let (mut sums, mut right, mut wrong) = ([0, 0], 0, 0);
    for ((way, walked), gone) in walked.enumerate().zip(gone) {
        match (walked, gone) {
            (Some(walked), Some((found, hops))) if *found == owner(way) => {
                sums = [sums[0] + u64::from(walked), sums[1] + u64::from(*hops)];
                right += 1;
            }
            _ => wrong += 1,
        }
    }
    let [walked, machines] = sums.map(|sum| ratio(sum, right));
    Beside { design, nodes, walked, machines, wrong }
}
