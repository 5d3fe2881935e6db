//! What is said about many numbers in few: percentiles, means, and how straight a line is.

/// Measured numbers, in ascending order. There is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// The numbers in any order.
    ///
    /// # Panics
    /// If there are none, or if one of them is not a number.
    pub(crate) fn new(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        assert!(!numbers.is_empty(), "a sample of nothing says nothing");
        assert!(numbers.iter().all(|number| !number.is_nan()), "a measured number is a number");
        numbers.sort_unstable_by(f64::total_cmp);
        Self(numbers)
    }

    /// The least number that so many percent of all do not exceed (the nearest rank: always one
    /// that was measured).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is between 0 and a length"
    )]
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    /// The middle; between the two in the middle, if the count is even.
    pub(crate) fn median(&self) -> f64 {
        let (low, high) = ((self.0.len() - 1) / 2, self.0.len() / 2);
        f64::midpoint(self.0[low], self.0[high])
    }

    #[expect(clippy::cast_precision_loss, reason = "a sample has far fewer than 2^53 numbers")]
    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub(crate) fn largest(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// The mean of a few runs, and how far the true one may be from it: 95 % of such intervals hold it
/// (Student, 1908).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) mean: f64,
    /// Unknown if there is one run only.
    pub(crate) around: Option<f64>,
}

impl Interval {
    #[expect(clippy::cast_precision_loss, reason = "runs are few")]
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let numbers: Vec<f64> = numbers.into_iter().collect();
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        let around = (numbers.len() > 1).then(|| {
            let error = (squares / (count - 1.0) / count).sqrt();
            error * student(numbers.len() - 1)
        });
        Self { mean, around }
    }

    /// As a share, in percent.
    pub(crate) fn percent(self) -> String {
        match self.around {
            Some(around) => format!("{:.2} ± {:.2}", 100.0 * self.mean, 100.0 * around),
            None => format!("{:.2}", 100.0 * self.mean),
        }
    }
}

/// The 97.5th percentile of Student's distribution, for so many degrees of freedom.
fn student(freedom: usize) -> f64 {
    const FIRST: [f64; 10] = [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    // Beyond the table it is nearly that of the normal distribution.
    FIRST.get(freedom - 1).copied().unwrap_or(2.1)
}

/// The share of the spread of `y` that a straight line through the points explains: 1 if they lie on
/// one (the coefficient of determination).
///
/// # Panics
/// If there are fewer than two points, or if all have the same `x` or the same `y`.
pub(crate) fn straightness(points: &[(f64, f64)]) -> f64 {
    let [xx, xy, yy] = spreads(points);
    assert!(yy > 0.0, "a level line explains nothing");
    xy * xy / (xx * yy)
}

/// How steep the straight line is that lies nearest to the points (least squares).
///
/// # Panics
/// If there are fewer than two points, or if all have the same `x`.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let [xx, xy, _] = spreads(points);
    xy / xx
}

/// The sums of the squares and products of what is left without the means.
#[expect(clippy::cast_precision_loss, reason = "nobody draws 2^53 points")]
fn spreads(points: &[(f64, f64)]) -> [f64; 3] {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        let (x, y) = (x - mean_x, y - mean_y);
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    assert!(xx > 0.0, "a line through one point has every slope");
    [xx, xy, yy]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred = Sample::new((1..=100).rev().map(f64::from));
        for (percent, number) in
            [(0.0, 1.0), (1.0, 1.0), (50.0, 50.0), (99.0, 99.0), (100.0, 100.0)]
        {
            assert_eq!(hundred.percentile(percent), number, "{percent}");
        }
        assert_eq!(Sample::new([7.0]).percentile(99.0), 7.0);
    }

    #[test]
    fn the_median_of_two_lies_between_them() {
        assert_eq!(Sample::new([3.0, 1.0]).median(), 2.0);
        assert_eq!(Sample::new([3.0, 1.0, 9.0]).median(), 3.0);
        assert_eq!(Sample::new([3.0, 1.0, 9.0]).largest(), 9.0);
    }

    #[test]
    fn an_interval_is_as_in_the_tables_of_student() {
        // Mean 3, standard deviation sqrt 2.5, of five numbers: 2.776 * sqrt(2.5 / 5).
        let interval = Interval::of([1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(interval.mean, 3.0);
        assert!((interval.around.unwrap() - 1.963).abs() < 1e-3, "{interval:?}");
        assert_eq!(Interval::of([0.5]).percent(), "50.00");
        assert_eq!(Interval::of([0.5, 0.5]).percent(), "50.00 ± 0.00");
    }

    #[test]
    #[should_panic(expected = "a sample of nothing")]
    fn a_sample_has_numbers() {
        Sample::new([]);
    }

    #[test]
    fn a_straight_line_is_straight_and_a_parabola_less() {
        let line = |x: f64| (x, 3.0 - 2.0 * x);
        assert!((straightness(&[0.0, 1.0, 4.0].map(line)) - 1.0).abs() < 1e-12);
        // By hand: through (0, 0), (1, 1), (2, 4) the line explains 16/(2 * 26/3) of the spread.
        let bent = straightness(&[0.0, 1.0, 2.0].map(|x: f64| (x, x * x)));
        assert!((bent - 12.0 / 13.0).abs() < 1e-12, "{bent}");
        assert!((slope(&[0.0, 1.0, 4.0].map(line)) + 2.0).abs() < 1e-12);
    }
}
