//! Closed forms that measurements are held against.
//!
//! Points put at random on a circle cut it into arcs whose lengths, beside their mean, are
//! exponential when there are many. A node with `shape` points has the sum of so many arcs: a gamma
//! distribution with an integer shape, which Erlang found for telephone calls in 1909. Keys put at
//! random on the circle then reach a node like rain: given its arcs, a Poisson number of them. The
//! mixture of the two is the negative binomial distribution.

/// The sum of `shape` exponential variables, scaled to a mean of 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Erlang {
    pub(crate) shape: u32,
}

impl Erlang {
    /// The probability of at most `x`: 1 - e^(-kx) (1 + kx + (kx)^2/2! + ... + (kx)^(k-1)/(k-1)!).
    pub(crate) fn below(self, x: f64) -> f64 {
        let scaled = f64::from(self.shape) * x;
        let (mut term, mut sum) = (1.0, 0.0);
        for power in 1..=self.shape {
            sum += term;
            term *= scaled / f64::from(power);
        }
        1.0 - (-scaled).exp() * sum
    }

    /// The number that a `share` of all do not exceed, by halving an interval that holds it.
    ///
    /// # Panics
    /// If the share is not below 1.
    pub(crate) fn quantile(self, share: f64) -> f64 {
        assert!(share < 1.0, "everything is below infinity only");
        let (mut low, mut high) = (0.0, 1.0);
        while self.below(high) < share {
            high *= 2.0;
        }
        // As many halvings as a float has bits, and then it does not change any more.
        for _ in 0..f64::MANTISSA_DIGITS {
            let middle = f64::midpoint(low, high);
            if self.below(middle) < share {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// How many of many keys fall to one node, `mean` on average, if it has `shape` arcs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeysOfNode {
    pub(crate) mean: f64,
    pub(crate) shape: u32,
}

impl KeysOfNode {
    /// The probabilities of 0, 1, 2, ... keys. In logarithms, since the first ones may be too small
    /// for a float.
    fn probabilities(self) -> impl Iterator<Item = f64> {
        let shape = f64::from(self.shape);
        let logarithm_of_ratio = (self.mean / (self.mean + shape)).ln();
        let mut logarithm = shape * (shape / (self.mean + shape)).ln();
        (0u32..).map(f64::from).map(move |count| {
            let probability = logarithm.exp();
            logarithm += logarithm_of_ratio + ((count + shape) / (count + 1.0)).ln();
            probability
        })
    }

    /// The probability of at least `least` and less than `end` keys.
    pub(crate) fn within(self, least: usize, end: usize) -> f64 {
        self.probabilities().take(end).skip(least).sum()
    }

    /// The least number that a `share` of the nodes do not exceed.
    ///
    /// # Panics
    /// If the share is so near to 1 that a float does not tell them apart.
    pub(crate) fn quantile(self, share: f64) -> f64 {
        assert!(share < 1.0 - 1e-12, "sums of floats do not come nearer to 1");
        let mut sum = 0.0;
        let passed = self.probabilities().take_while(|probability| {
            sum += probability;
            sum < share
        });
        u32::try_from(passed.count()).map_or(f64::INFINITY, f64::from)
    }

    /// The median of the fullest of so many independent nodes: all are below it with probability
    /// one half.
    #[expect(clippy::cast_precision_loss, reason = "nodes are far fewer than 2^53")]
    pub(crate) fn median_of_fullest(self, nodes: u64) -> f64 {
        self.quantile(0.5f64.powf(1.0 / nodes as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erlang_quantiles_are_those_of_chi_squared_tables() {
        // The quantile of chi squared with 2k degrees of freedom is 2k times that of shape k.
        for (shape, share, chi_squared) in [
            (1, 0.99, 9.210_34),
            (1, 0.01, 0.020_10),
            (2, 0.99, 13.276_70),
            (5, 0.99, 23.209_25),
            (5, 0.01, 2.558_21),
            (10, 0.99, 37.566_23),
            (20, 0.99, 63.690_74),
            (20, 0.01, 22.164_26),
        ] {
            let got = Erlang { shape }.quantile(share) * 2.0 * f64::from(shape);
            assert!((got - chi_squared).abs() < 1e-4, "{shape} {share}: {got}");
        }
    }

    #[test]
    fn the_99th_percentile_of_exponential_arcs_is_the_logarithm_of_100() {
        assert!((Erlang { shape: 1 }.quantile(0.99) - 100f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn one_arc_makes_keys_geometric() {
        let keys = KeysOfNode { mean: 50.0, shape: 1 };
        // At least n keys have probability (50/51)^n, and so the quantiles by hand.
        assert!((keys.within(0, 100) - (1.0 - (50.0f64 / 51.0).powi(100))).abs() < 1e-12);
        assert!((keys.within(3, 4) - (50.0f64 / 51.0).powi(3) / 51.0).abs() < 1e-12);
        assert_eq!(keys.quantile(0.99), 232.0);
        assert_eq!(keys.quantile(0.01), 0.0);
        assert_eq!(keys.median_of_fullest(10_000), 483.0);
    }

    #[test]
    fn mean_and_variance_are_those_of_the_negative_binomial() {
        for (mean, shape) in [(10.0, 1), (100.0, 5), (100.0, 20)] {
            let probabilities: Vec<f64> =
                KeysOfNode { mean, shape }.probabilities().take(20_000).collect();
            let moment = |power| {
                let of = |(count, p): (u32, &f64)| f64::from(count).powi(power) * p;
                (0..).zip(&probabilities).map(of).sum::<f64>()
            };
            let variance = mean + mean * mean / f64::from(shape);
            assert!((moment(0) - 1.0).abs() < 1e-9);
            assert!((moment(1) - mean).abs() < 1e-6);
            assert!((moment(2) - mean * mean - variance).abs() < 1e-3);
        }
    }
}
