//! What the paper says of its figures 8 and 9, what closed forms say, and whether it came out so.

use super::{FIGURE_8, FIGURE_8B, FIGURE_9, Found, NODES, at};
use crate::{
    claim::{Claim, Tolerance},
    sample::straightness,
    table::Cell,
};

/// The ends of figure 9, with 1 and 20 virtual nodes, as the text has them: the 1st and the 99th
/// percentile as multiples of the mean. What lies between is only in the picture.
pub(super) const FIGURE_9_ENDS: [[f64; 2]; 2] = [[0.0, 0.5], [4.8, 1.6]];

/// The paper prints one digit behind the point.
const HALF_A_DIGIT: f64 = 0.05;

/// How much a percentile of one ring of 10,000 nodes varies (one standard error, in means). For a
/// share p of n values with density f there it is the root of p(1-p)/n, over f: the density of one
/// arc is 0.01 at its 99th percentile and 0.99 at its 1st, that of twenty arcs 0.087 and 0.178.
const ERROR_P99_OF_1: f64 = 0.1;
const ERROR_P1_OF_1: f64 = 0.001;
const ERROR_P99_OF_20: f64 = 0.0114;
const ERROR_P1_OF_20: f64 = 0.0056;
/// The same for the largest of exponential values, however many: pi/sqrt(6).
const ERROR_FULLEST: f64 = 1.28;
/// The share of empty arcs among 10,000 varies by the root of (1/e - 2/e^2)/10,000, about 0.003; the
/// paper has the limit of many nodes, and the mean of our rings is nearer to it.
const EMPTY_ARCS_WITHIN: f64 = 0.003;
/// Three standard errors of the median of 20 percentiles, and of 200 fullest nodes, in parts.
const CLOSED_FORM_WITHIN: f64 = 0.03;
/// With few keys a percentile is rounded to whole ones, which bends the line a little.
const STRAIGHT_WITHIN: f64 = 0.002;

pub(super) fn claims(nodes: u64, found: &[Found]) -> Vec<Claim> {
    let judge = Judge { nodes, slack: slack(nodes) };
    let mut claims = judge.figure_8(found);
    claims.extend(judge.figure_9(found));
    claims.extend(judge.closed_forms(found));
    claims
}

/// How many times as much a percentile of so many nodes varies as one of the paper's.
pub(super) fn slack(nodes: u64) -> f64 {
    super::ratio(NODES, nodes).sqrt().max(1.0)
}

struct Judge {
    nodes: u64,
    slack: f64,
}

impl Judge {
    fn near(&self, what: &str, published: f64, measured: f64, within: f64) -> Claim {
        let claim = Claim::near(what, published, measured, Tolerance::Absolute(within));
        if self.nodes == NODES {
            claim
        } else {
            let [nodes, paper] = [self.nodes, NODES].map(Cell::count);
            claim.because(format!("there are {nodes} nodes here, and {paper} in the paper"))
        }
    }

    /// A number that the paper read off one ring, or as if off one.
    fn printed(&self, what: &str, published: f64, measured: f64, error: f64) -> Claim {
        self.near(what, published, measured, HALF_A_DIGIT + 2.0 * error)
    }

    fn figure_8(&self, found: &[Found]) -> Vec<Claim> {
        let half = at(found, FIGURE_8B, 1);
        let line = FIGURE_8.map(|keys| (f64::from(keys), at(found, keys, 1).ninety_ninth));
        vec![
            self.printed(
                "figure 8(b), keys of the fullest node over the mean",
                9.1,
                half.in_means(half.fullest),
                ERROR_FULLEST,
            ),
            self.printed(
                "figure 8(b), 99th percentile over the mean",
                4.6,
                half.in_means(half.ninety_ninth),
                ERROR_P99_OF_1 * self.slack,
            ),
            self.near(
                "figure 8(a), 99th percentile against keys: how straight (r squared)",
                1.0,
                straightness(&line),
                STRAIGHT_WITHIN * self.slack,
            ),
            self.near(
                "section 6.2, share of N equal arcs that hold none of N nodes",
                0.368,
                half.empty_arcs,
                EMPTY_ARCS_WITHIN,
            ),
        ]
    }

    fn figure_9(&self, found: &[Found]) -> Vec<Claim> {
        let [[low_1, low_20], [high_1, high_20]] = FIGURE_9_ENDS;
        let (one, twenty) = (at(found, FIGURE_9, 1), at(found, FIGURE_9, 20));
        vec![
            self.printed(
                "figure 9, 1 virtual node, 99th percentile over the mean",
                high_1,
                one.in_means(one.ninety_ninth),
                ERROR_P99_OF_1 * self.slack,
            ),
            self.printed(
                "figure 9, 20 virtual nodes, 99th percentile over the mean",
                high_20,
                twenty.in_means(twenty.ninety_ninth),
                ERROR_P99_OF_20 * self.slack,
            ),
            self.printed(
                "figure 9, 1 virtual node, 1st percentile over the mean",
                low_1,
                one.in_means(one.first),
                ERROR_P1_OF_1 * self.slack,
            ),
            self.printed(
                "figure 9, 20 virtual nodes, 1st percentile over the mean",
                low_20,
                twenty.in_means(twenty.first),
                ERROR_P1_OF_20 * self.slack,
            ),
        ]
    }

    fn closed_forms(&self, found: &[Found]) -> Vec<Claim> {
        let half = at(found, FIGURE_8B, 1);
        let of_keys = found.iter().flat_map(|found| {
            let (theory, mean) = (found.point.theory(), found.point.theory().mean);
            [
                departure(found.first / mean, theory.quantile(0.01) / mean),
                departure(found.ninety_ninth / mean, theory.quantile(0.99) / mean),
            ]
        });
        let of_arcs = found.iter().flat_map(|found| {
            let theory = found.point.theory_of_arcs();
            let [first, ninety_ninth] = found.arcs;
            [
                departure(first, theory.quantile(0.01)),
                departure(ninety_ninth, theory.quantile(0.99)),
            ]
        });
        // These hold for every number of nodes: there is no excuse.
        let within = Tolerance::Absolute(CLOSED_FORM_WITHIN * self.slack);
        vec![
            Claim::near(
                "closed form (negative binomial), p1 and p99 of keys: largest departure",
                0.0,
                of_keys.fold(0.0, f64::max),
                within,
            ),
            Claim::near(
                "closed form (gamma), p1 and p99 of arcs: largest departure",
                0.0,
                of_arcs.fold(0.0, f64::max),
                within,
            ),
            Claim::near(
                "closed form, fullest node of a ring over its prediction",
                1.0,
                half.fullest / half.point.theory().median_of_fullest(self.nodes),
                within,
            ),
        ]
    }
}

/// By which part two numbers differ; small ones are compared with the mean, which is 1.
fn departure(measured: f64, predicted: f64) -> f64 {
    (measured - predicted).abs() / predicted.max(1.0)
}
