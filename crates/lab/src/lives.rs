//! How long nodes live: the distributions that experiments with churn have in common.

use std::time::Duration;

use nigh_base::Rng;
use nigh_sim::churn::Lifetime;

/// When nodes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetimes {
    /// Each at any instant alike.
    Exponential,
    /// Who has stayed long stays longer, as was measured among peers: Stutzbach and Rejaie, IMC 2006.
    Weibull,
}

/// Between the shapes that were measured, and one whose tail can be drawn exactly.
const SHAPE: f64 = 0.5;

impl Lifetimes {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Weibull => "Weibull",
        }
    }

    /// A whole life.
    pub(crate) fn draw(self, mean: Duration, rng: &mut Rng) -> Duration {
        match self {
            Self::Exponential => Lifetime::Exponential { mean }.draw(rng),
            Self::Weibull => Lifetime::weibull(mean, SHAPE).draw(rng),
        }
    }

    /// What is left of the life of a node that is found alive at some instant.
    ///
    /// An exponential lifetime has no memory. Of others, who lives longer is found more often, and at
    /// any point of its life alike: of a lifetime whose density is weighted with its length, an even
    /// part is left. With shape 1/2 a lifetime is half of the mean, times the square of an exponential
    /// variable; weighted, of a gamma variable of shape 3, the sum of three of those.
    pub(crate) fn left(self, mean: Duration, rng: &mut Rng) -> Duration {
        if self == Self::Exponential {
            return self.draw(mean, rng);
        }
        let exponential = Lifetime::Exponential { mean: Duration::from_secs(1) };
        let gamma: f64 = (0..3).map(|_| exponential.draw(rng).as_secs_f64()).sum();
        mean.mul_f64(0.5 * gamma * gamma * rng.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_life_is_longer_than_a_life_unless_there_is_no_memory() {
        // The mean of what is left is half of the mean square over the mean: 3 means, if the shape is
        // 1/2 (the fourth moment of an exponential variable is 24, and the second 2).
        let mut rng = Rng::new(1);
        let mean = Duration::from_secs(1000);
        let mut left = |lifetimes: Lifetimes| {
            let sum: Duration = (0..100_000).map(|_| lifetimes.left(mean, &mut rng)).sum();
            sum.as_secs_f64() / 100_000.0 / 1000.0
        };
        let [exponential, weibull] = [Lifetimes::Exponential, Lifetimes::Weibull].map(&mut left);
        assert!((exponential - 1.0).abs() < 0.02, "{exponential}");
        assert!((weibull - 3.0).abs() < 0.1, "{weibull}");
    }
}
