//! Who comes and goes when: lifetimes and gaps, by the distributions that were measured.

use std::time::Duration;

use nigh_base::Rng;

/// How long something lasts.
#[derive(Clone, Copy, Debug)]
pub enum Lifetime {
    /// Without memory: at each instant as likely to end as at any other. The gaps of a Poisson
    /// process.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// Who has stayed long stays longer (`shape` below 1), as peers do: Stutzbach and Rejaie,
    /// "Understanding churn in peer-to-peer networks", IMC 2006, found shapes of 0.34 to 0.59.
    Weibull {
        /// Where 63 % have ended.
        scale: Duration,
        /// k.
        shape: f64,
    },
}

impl Lifetime {
    /// A Weibull distribution with this mean.
    pub fn weibull(mean: Duration, shape: f64) -> Self {
        let scale = mean.as_secs_f64() / libm::tgamma(1.0 + 1.0 / shape);
        Self::Weibull { scale: Duration::from_secs_f64(scale), shape }
    }

    /// One lifetime, by inversion.
    pub fn draw(self, rng: &mut Rng) -> Duration {
        // 1 - u is above zero, so that its logarithm is finite.
        let hazard = -libm::log(1.0 - rng.unit());
        let (scale, hazard) = match self {
            Self::Exponential { mean } => (mean, hazard),
            Self::Weibull { scale, shape } => (scale, libm::pow(hazard, 1.0 / shape)),
        };
        Duration::try_from_secs_f64(scale.as_secs_f64() * hazard).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lifetime: Lifetime, mean: f64, within_mean: f64) {
        let mut rng = Rng::new(5);
        let draws: Vec<f64> = (0..40_000).map(|_| lifetime.draw(&mut rng).as_secs_f64()).collect();
        let measured = draws.iter().sum::<f64>() / 40_000.0;
        assert!((measured / mean - 1.0).abs() < 0.05, "{lifetime:?}: mean {measured}");
        let ended = draws.iter().filter(|&&draw| draw <= mean).count();
        let share = f64::from(u32::try_from(ended).unwrap()) / 40_000.0;
        assert!((share - within_mean).abs() < 0.01, "{lifetime:?}: {share}");
    }

    #[test]
    fn lifetimes_have_the_mean_and_the_shape_that_were_asked_for() {
        let hour = Duration::from_secs(3600);
        check(Lifetime::Exponential { mean: hour }, 3600.0, 1.0 - (-1.0f64).exp());
        // Shape 1/2: scale = mean / 2, and 1 - exp(-sqrt 2) end within the mean.
        check(Lifetime::weibull(hour, 0.5), 3600.0, 1.0 - (-(2.0f64.sqrt())).exp());
    }
}
