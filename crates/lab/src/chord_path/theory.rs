//! How long a way is on average, if nodes lie at random: a recurrence, worked out on a grid.
//!
//! Let nodes lie on a line as rain falls, one a unit of length on average; in a ring of N = 2^k nodes
//! the mean gap is a power of two, and so fingers begin at powers of two of these units. Let the key
//! be x ahead, 2^i <= x < 2^(i+1). If the first node at or behind 2^i lies before the key, u behind
//! 2^i (with density e^-u), the question goes there, and x - 2^i - u is left, of which nothing is known
//! yet: the same problem, smaller. If there is none (with probability e^-(x - 2^i)), the key might
//! as well be 2^i ahead. So the probability p_h(x) of h forwardings, with t = x - 2^i, is
//!
//! ```text
//! p_h(2^i + t) = e^-t p_h(2^i) + integral from 0 to t of e^-u p_(h-1)(t - u) du
//! ```
//! A key at random lies at any distance in (0, N) alike.

/// Steps of the grid in one unit: its error is below a thousandth of a forwarding (a test halves
/// them).
const STEPS: usize = 16;
/// More forwardings than these have no probability worth naming with 2^12 nodes.
const MOST: usize = 32;
/// As far as the grid goes: behind it each doubling adds half a forwarding, to 2^-12.
const GRID_DOUBLINGS: u32 = 12;

/// The probabilities of 0, 1, 2, ... forwardings in rings of 2^0, 2^1, ... 2^12 nodes.
#[derive(Debug)]
pub(super) struct Ways(Vec<[f64; MOST]>);

impl Ways {
    /// Works them out. Takes a fraction of a second.
    pub(super) fn new() -> Self {
        Self::on_grid(STEPS, GRID_DOUBLINGS)
    }

    #[expect(clippy::cast_precision_loss, reason = "a grid has fewer than 2^53 points")]
    fn on_grid(steps: usize, doublings: u32) -> Self {
        let step = 1.0 / steps as f64;
        let decay = (-step).exp();
        // The integral over one step of e^-(step - s) f(s), for f linear between its ends.
        let end = 1.0 - (1.0 - decay) / step;
        let begin = (1.0 - decay) / step - decay;
        let mut none = [0.0; MOST];
        none[0] = 1.0;
        // Within the first step at most one node lies before the key.
        let mut first = [0.0; MOST];
        (first[0], first[1]) = (decay, 1.0 - decay);
        let mut ways = vec![none, first];
        let (mut sum, mut means) = ([0.0; MOST], Vec::new());
        add(&mut sum, &none, 0.5);
        add(&mut sum, &first, 0.5);
        for doubling in 0..steps.ilog2() + doublings {
            let base = 1usize << doubling;
            for place in base + 1..=2 * base {
                let before = ways[place - 1];
                let [from, to] = [place - base - 1, place - base].map(|place| ways[place]);
                let mut here = before.map(|p| p * decay);
                for hop in 1..MOST {
                    here[hop] += begin * from[hop - 1] + end * to[hop - 1];
                }
                // Trapezoids.
                add(&mut sum, &before, 0.5);
                add(&mut sum, &here, 0.5);
                ways.push(here);
            }
            if 2 * base >= steps {
                means.push(sum.map(|sum| sum / (2 * base) as f64));
            }
        }
        Self(means)
    }

    /// The mean in a ring of 2^`doublings` nodes.
    pub(super) fn mean(&self, doublings: u32) -> f64 {
        let on_grid = doublings.min(GRID_DOUBLINGS);
        let ways = (0u32..).zip(self.0[on_grid as usize]);
        let mean: f64 = ways.map(|(hops, p)| f64::from(hops) * p).sum();
        mean + 0.5 * f64::from(doublings - on_grid)
    }

    /// The probabilities in a ring of 2^`doublings` nodes, 12 at most.
    pub(super) fn shares(&self, doublings: u32) -> &[f64] {
        &self.0[doublings as usize]
    }
}

fn add(sum: &mut [f64; MOST], ways: &[f64; MOST], weight: f64) {
    sum.iter_mut().zip(ways).for_each(|(sum, way)| *sum += weight * way);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finer_grid_says_the_same() {
        let (coarse, fine) = (Ways::on_grid(16, 8), Ways::on_grid(32, 8));
        for doublings in 0..=8 {
            let apart = coarse.mean(doublings) - fine.mean(doublings);
            assert!(apart.abs() < 1e-3, "{doublings}: {apart}");
        }
    }

    #[test]
    fn a_doubling_adds_half_a_forwarding_and_the_probabilities_add_up() {
        let ways = Ways::new();
        for doublings in 0..=GRID_DOUBLINGS {
            let sum: f64 = ways.shares(doublings).iter().sum();
            assert!((sum - 1.0).abs() < 1e-9, "{doublings}: {sum}");
        }
        assert!((ways.mean(12) - ways.mean(11) - 0.5).abs() < 1e-3);
        assert!((ways.mean(20) - 9.862).abs() < 0.002, "{}", ways.mean(20));
    }

    #[test]
    fn with_one_node_a_unit_the_first_step_is_that_of_rain() {
        // Within one unit: no node before the key with probability e^-x, averaged over x.
        let none = Ways::new().shares(0)[0];
        assert!((none - (1.0 - (-1.0f64).exp())).abs() < 1e-3, "{none}");
    }
}
