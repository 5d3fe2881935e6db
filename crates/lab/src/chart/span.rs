//! How an axis is divided: from where to where it goes, which numbers stand at it, and how they are
//! written.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::Scale;
use crate::table::grouped;

/// The part of an axis that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    scale: Scale,
    low: f64,
    high: f64,
}

/// The part of the axis that stays free at an end, so that no point lies on the edge.
const MARGIN: f64 = 0.03;

/// From here on, and below the other one, numbers on logarithmic axes are written as powers.
const LONG: f64 = 1e5;
const SHORT: f64 = 1e-3;

impl Span {
    /// The span that shows all values that can be shown.
    pub(super) fn around(values: impl Iterator<Item = f64>, scale: Scale) -> Self {
        let ends = values.filter(|&value| can_show(scale, value)).fold(None, |ends, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        });
        let (low, high) = ends.unwrap_or((1.0, 1.0));
        let all = Self { scale, low, high };
        // One value has no extent of its own.
        let all = if low < high { all } else { all.moved(-0.5, 0.5) };
        let extent = all.to_even(all.high) - all.to_even(all.low);
        let near_zero = scale == Scale::Linear && low >= 0.0 && low <= high / 2.0;
        if near_zero {
            Self { low: 0.0, ..all.moved(0.0, MARGIN * high.max(f64::MIN_POSITIVE)) }
        } else {
            all.moved(-MARGIN * extent, MARGIN * extent)
        }
    }

    /// Whether a value has a place on it.
    pub(super) fn shows(&self, value: f64) -> bool {
        can_show(self.scale, value)
    }

    /// The span with its ends moved, in units in which the axis is even.
    fn moved(self, low: f64, high: f64) -> Self {
        let moved = |end, by| self.from_even(self.to_even(end) + by);
        Self { low: moved(self.low, low), high: moved(self.high, high), ..self }
    }

    fn to_even(self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log2 => value.log2(),
            Scale::Log10 => value.log10(),
        }
    }

    #[expect(clippy::wrong_self_convention, reason = "the value is converted, by the span")]
    fn from_even(self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log2 => value.exp2(),
            Scale::Log10 => 10f64.powf(value),
        }
    }

    /// The numbers that are written, at most so many.
    fn ticks(&self, most: usize) -> Vec<f64> {
        let step = |even_step: f64| {
            let (low, high) = (self.to_even(self.low), self.to_even(self.high));
            multiples(low, high, even_step).map(|value| self.from_even(value)).collect::<Vec<_>>()
        };
        let fits = |ticks: &Vec<f64>| ticks.len() <= most.max(2);
        match self.scale {
            Scale::Linear => {
                let least = 10f64.powf(((self.high - self.low) / LEAST_STEPS).log10().floor());
                let steps = (0..).flat_map(|decade| {
                    [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade) * least)
                });
                steps.map(step).find(fits).expect("long steps leave few ticks")
            }
            // Less than two whole powers say too little: some between them are written too.
            Scale::Log10 if step(1.0).len() < 3 => self.between_powers(&[1.0, 2.0, 5.0]),
            Scale::Log2 | Scale::Log10 => {
                (1u32..).map(f64::from).map(step).find(fits).expect("long steps leave few ticks")
            }
        }
    }

    /// These multiples of each power of ten.
    fn between_powers(&self, digits: &[f64]) -> Vec<f64> {
        let first = self.low.log10().floor();
        let powers = multiples(first, self.high.log10(), 1.0).map(|power| 10f64.powf(power));
        let all = powers.flat_map(|power| digits.iter().map(move |digit| digit * power));
        all.filter(|value| (self.low..=self.high).contains(value)).collect()
    }
}

/// There are at least about so many steps of the finest kind in a span.
const LEAST_STEPS: f64 = 100.0;

fn can_show(scale: Scale, value: f64) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

/// The multiples of `step` from `low` to `high`.
fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil();
    // Adding zero turns a negative zero into zero.
    (0u32..).map(move |n| (first + f64::from(n)) * step + 0.0).take_while(move |&v| v <= high)
}

impl Ranged for Span {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "a chart is far smaller than 2^31 pixels")]
    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (low, high) = (self.to_even(self.low), self.to_even(self.high));
        let part = (self.to_even(*value) - low) / (high - low);
        from + (f64::from(to - from) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match (self.scale, hint.weight().allow_light_points()) {
            (_, false) => self.ticks(hint.max_num_points()),
            // The lines between the written ones show that steps are uneven.
            (Scale::Log10, true) => {
                self.between_powers(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
            }
            (Scale::Linear | Scale::Log2, true) => Vec::new(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Span {
    fn format_ext(&self, value: &f64) -> String {
        let long = self.high >= LONG || self.low < SHORT;
        match self.scale {
            Scale::Log2 if long => power("2", value.log2()),
            Scale::Log10 if long && value.log10().round() == value.log10() => {
                power("10", value.log10())
            }
            _ => shortest(*value),
        }
    }
}

fn power(base: &str, exponent: f64) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹']
            [usize::try_from(digit.to_digit(10).unwrap_or(0)).expect("a digit is small")],
    };
    format!("{base}{}", format!("{exponent:.0}").chars().map(raised).collect::<String>())
}

/// A number without the digits that are only rounding.
fn shortest(value: f64) -> String {
    let text = if value == 0.0 || value.abs() >= 1e-4 {
        format!("{value:.6}")
    } else {
        return format!("{value:.1e}");
    };
    grouped(text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use plotters::coord::ranged1d::BoldPoints;

    use super::*;

    fn span(values: &[f64], scale: Scale) -> Span {
        Span::around(values.iter().copied(), scale)
    }

    fn written(values: &[f64], scale: Scale) -> String {
        let span = span(values, scale);
        let ticks = span.key_points(BoldPoints(8));
        ticks.iter().map(|value| span.format_ext(value)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_numbers() {
        for (values, scale, expected) in [
            (&[0.0, 1e6][..], Scale::Linear, "0 200,000 400,000 600,000 800,000 1,000,000"),
            (&[0.3, 4.9], Scale::Linear, "0 1 2 3 4 5"),
            (&[9.9, 10.1], Scale::Linear, "9.9 9.95 10 10.05 10.1"),
            (&[-1.0, 1.0], Scale::Linear, "-1 -0.5 0 0.5 1"),
            (&[8.0, 1024.0], Scale::Log2, "8 16 32 64 128 256 512 1,024"),
            (&[8.0, 1_048_576.0], Scale::Log2, "2³ 2⁶ 2⁹ 2¹² 2¹⁵ 2¹⁸"),
            (&[0.01, 0.1], Scale::Log10, "0.01 0.02 0.05 0.1"),
            (&[1.0, 1000.0], Scale::Log10, "1 10 100 1,000"),
            (&[1e-5, 1.0], Scale::Log10, "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻² 10⁻¹ 10⁰"),
        ] {
            assert_eq!(written(values, scale), expected, "{values:?}");
        }
    }

    #[test]
    fn all_values_lie_inside_and_in_order() {
        for scale in [Scale::Linear, Scale::Log2, Scale::Log10] {
            let span = span(&[0.5, 3.0, 70.0], scale);
            let places = [0.5, 3.0, 70.0].map(|value| span.map(&value, (100, 900)));
            assert!(places.is_sorted(), "{scale:?}: {places:?}");
            assert!(places[0] >= 100, "{scale:?}: {places:?}");
            assert!(places[2] <= 900, "{scale:?}: {places:?}");
        }
    }

    #[test]
    fn the_middle_of_a_logarithmic_axis_is_the_geometric_mean() {
        let span = span(&[2.0, 32.0], Scale::Log2);
        assert_eq!(span.map(&8.0, (0, 1000)), 500);
        assert_eq!(span.map(&8.0, (1000, 0)), 500);
    }

    #[test]
    fn values_without_a_place_do_not_stretch_an_axis() {
        let span = span(&[0.0, f64::NAN, f64::INFINITY, 10.0, 100.0], Scale::Log10);
        assert!((span.range().start..span.range().end).contains(&10.0));
        assert!(span.range().start > 9.0);
        assert!(span.range().end < 110.0);
        assert!(!span.shows(0.0));
        assert!(!span.shows(f64::NAN));
    }

    #[test]
    fn one_value_or_none_still_makes_an_axis() {
        for scale in [Scale::Linear, Scale::Log2, Scale::Log10] {
            for values in [&[][..], &[0.0], &[5.0], &[5.0, 5.0], &[1e9], &[-3.0]] {
                let span = span(values, scale);
                assert!(span.low < span.high, "{scale:?} {values:?}");
                assert!(!written(values, scale).is_empty(), "{scale:?} {values:?}");
            }
        }
    }
}
