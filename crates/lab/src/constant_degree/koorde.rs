//! Koorde by the paper's own rule: one hop is to the successor, or along an edge of the de Bruijn graph. The
//! successors behind the first, and the nodes before the first pointer, serve only while nodes are dead.

use nigh_base::Key;
use nigh_overlay::locate::koorde::imaginary::Imaginary;

use super::circle::{Circle, HOPS_MAX};

/// Which links a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Koorde {
    /// The degree k of the graph is two to the power of this.
    pub(super) bits: u32,
    /// Nodes from the predecessor of k times the own key on.
    pub(super) pointers: usize,
    /// Nodes before those, and as many successors; 0 is one successor.
    pub(super) backups: usize,
}

impl Koorde {
    pub(super) const fn degree(self) -> u32 {
        1 << self.bits
    }

    /// Links of a node while nobody fails.
    pub(super) const fn links(self) -> usize {
        1 + self.pointers
    }

    /// The pointers of a node, by their places: the first is the predecessor of k times its key.
    pub(super) fn first_pointer(self, circle: &Circle, node: usize) -> usize {
        circle.before(circle.keys[node].shifted_up(self.bits).plus(Key::from(1)))
    }

    /// How many hops a way takes, and how many of them along edges; none if it fails.
    pub(super) fn walk(
        self,
        circle: &Circle,
        from: usize,
        key: Key,
        dead: &[bool],
    ) -> Option<(u32, u32)> {
        let (mut at, mut hops, mut edges) = (from, 0, 0);
        let mut imaginary: Option<Imaginary> = None;
        while hops < HOPS_MAX {
            let own = circle.keys[at];
            if key == own {
                return Some((hops, edges));
            }
            let mut successors = (1..=self.backups.max(1)).map(|step| circle.place(at + step));
            let living = successors.find(|&it| !dead[it]);
            // That a successor is dead is found when it is asked.
            let next = living.unwrap_or_else(|| circle.place(at + 1));
            let reach = circle.keys[next].minus(own);
            if key.minus(own) <= reach {
                return living.map(|_| (hops + 1, edges));
            }
            let follows = match imaginary {
                Some(it) => it,
                None => Imaginary::begin(own, reach, key, self.bits)?,
            };
            let ahead = follows.key.minus(own);
            if ahead > reach || ahead == Key::default() {
                (at, imaginary, hops) = (living?, Some(follows), hops + 1);
                continue;
            }
            let follows = follows.next(key, self.bits)?;
            let first = self.first_pointer(circle, at) + circle.keys.len();
            let pointers = (first - self.backups..first + self.pointers).map(|it| circle.place(it));
            let living = pointers.filter(|&it| !dead[it] || it == at);
            let gap = |it: usize| follows.key.minus(circle.keys[it]).minus(Key::from(1));
            let last = living.min_by_key(|&it| gap(it))?;
            // One that lies behind the imaginary node is of no use: it is nearly the whole circle away.
            if gap(last) >= Key::power(Key::BITS - 1) {
                return None;
            }
            if last != at {
                (hops, edges) = (hops + 1, edges + 1);
            }
            (at, imaginary) = (last, Some(follows));
        }
        None
    }

    /// Hops for each digit in a network without end: one along an edge, and then those along the circle.
    ///
    /// An imaginary node lies behind the one that stands for it by a distance that is exponential, with the mean
    /// of one gap; an edge makes it k times as long. So the number J of nodes to pass is geometric with the
    /// mean k, and of p pointers the last that lies before leaves max(J - p + 1, 0).
    pub(super) fn hops_a_digit(self) -> f64 {
        let k = f64::from(self.degree());
        let pointers = u32::try_from(self.pointers).expect("there are few");
        1.0 + (k + 1.0) * libm::pow(k / (k + 1.0), f64::from(pointers))
    }
}
