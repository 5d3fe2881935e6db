//! Claims: what was published, what was measured, and whether the two agree.
//!
//! A tolerance is chosen before the measurement and for a reason that the experiment states: how
//! precisely the paper prints, and how much one run of its set-up would vary.

use std::fmt;

use crate::table::Cell;

/// One statement of a paper, or of a closed form, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// What is claimed, of which figure.
    pub what: String,
    /// What was published.
    pub published: Cell,
    /// What was measured here.
    pub measured: Cell,
    /// How far apart the two may be, where both are numbers.
    pub tolerance: Option<Tolerance>,
    /// Whether they agree.
    pub verdict: Verdict,
}

/// How far from the published number a measured one may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// By so much, in the number's own unit.
    Absolute(f64),
    /// By this part of the published number: 0.05 is five percent.
    Relative(f64),
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Matches,
    /// Outside of it.
    Differs {
        /// Why, if somebody has found out.
        because: Option<String>,
    },
    /// What the paper did cannot be repeated, so there is nothing to compare.
    CannotBeReproduced {
        /// What is missing.
        because: String,
    },
}

impl Claim {
    /// A number that should be near the published one.
    pub fn near(
        what: impl Into<String>,
        published: f64,
        measured: f64,
        tolerance: Tolerance,
    ) -> Self {
        let allowed = tolerance.around(published);
        let digits = digits(allowed);
        // What is no number is no match.
        let verdict = Verdict::of((measured - published).abs() <= allowed);
        Self {
            what: what.into(),
            published: as_printed(published, digits),
            measured: Cell::number(measured, digits),
            tolerance: Some(tolerance),
            verdict,
        }
    }

    /// A number that should not exceed a limit.
    pub fn at_most(what: impl Into<String>, limit: f64, measured: f64) -> Self {
        Self::bounded(what.into(), "at most", limit, measured, measured <= limit)
    }

    /// A number that should not be below a limit.
    pub fn at_least(what: impl Into<String>, limit: f64, measured: f64) -> Self {
        Self::bounded(what.into(), "at least", limit, measured, measured >= limit)
    }

    fn bounded(what: String, side: &str, limit: f64, measured: f64, is_within: bool) -> Self {
        let digits = digits(limit.abs() / 100.0);
        Self {
            what,
            published: Cell::text(format!("{side} {}", as_printed(limit, digits))),
            measured: Cell::number(measured, digits),
            tolerance: None,
            verdict: Verdict::of(is_within),
        }
    }

    /// A statement in words, whose verdict the experiment has worked out.
    pub fn stated(
        what: impl Into<String>,
        published: impl Into<String>,
        measured: impl Into<String>,
        verdict: Verdict,
    ) -> Self {
        Self {
            what: what.into(),
            published: Cell::text(published),
            measured: Cell::text(measured),
            tolerance: None,
            verdict,
        }
    }

    /// A claim whose experiment cannot be repeated.
    pub fn cannot_be_reproduced(
        what: impl Into<String>,
        published: impl Into<String>,
        because: impl Into<String>,
    ) -> Self {
        let verdict = Verdict::CannotBeReproduced { because: because.into() };
        Self::stated(what, published, "-", verdict)
    }

    /// Gives the reason for a difference. A claim that matches stays as it is.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        if let Verdict::Differs { because } = &mut self.verdict {
            *because = Some(reason.into());
        }
        self
    }

    /// Whether there is nothing left to find out: it matches, or somebody has said why not.
    pub fn is_settled(&self) -> bool {
        self.verdict.matches() || self.verdict.because().is_some()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let tolerance = self.tolerance.map(|tolerance| match tolerance {
            Tolerance::Absolute(by) => serde_json::json!({ "absolute": by }),
            Tolerance::Relative(by) => serde_json::json!({ "relative": by }),
        });
        serde_json::json!({
            "what": self.what,
            "published": self.published.json(),
            "measured": self.measured.json(),
            "tolerance": tolerance,
            "verdict": self.verdict.to_string(),
            "because": self.verdict.because(),
        })
    }
}

impl Tolerance {
    /// How far from `published` a number may be.
    fn around(self, published: f64) -> f64 {
        match self {
            Self::Absolute(by) => by,
            Self::Relative(part) => part * published.abs(),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(by) => write!(f, "±{}", as_printed(*by, digits(*by))),
            Self::Relative(part) => write!(f, "±{} %", as_printed(100.0 * part, 1)),
        }
    }
}

impl Verdict {
    /// The verdict on a comparison that holds or does not; why not is for people to say.
    pub const fn of(holds: bool) -> Self {
        if holds { Self::Matches } else { Self::Differs { because: None } }
    }

    /// Whether measured and published agree.
    pub const fn matches(&self) -> bool {
        matches!(self, Self::Matches)
    }

    /// The reason for anything but a match, if there is one.
    pub fn because(&self) -> Option<&str> {
        match self {
            Self::Matches => None,
            Self::Differs { because } => because.as_deref(),
            Self::CannotBeReproduced { because } => Some(because),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Matches => "matches",
            Self::Differs { .. } => "differs",
            Self::CannotBeReproduced { .. } => "cannot be reproduced",
        })
    }
}

/// More digits say nothing that the eye can use.
const MOST_DIGITS: usize = 6;

/// How many digits show a tenth of `allowed`, so that a reader sees on which side of it a number is.
fn digits(allowed: f64) -> usize {
    (0..MOST_DIGITS)
        .find(|&digits| allowed >= 10f64.powi(1 - i32::try_from(digits).expect("it is small")))
        .unwrap_or(MOST_DIGITS)
}

/// A number as a paper has it, 9.1 and not 9.10; one that was computed, in as many digits as that
/// beside which it stands.
fn as_printed(value: f64, digits: usize) -> Cell {
    let text = format!("{value}");
    let own = text.find('.').map_or(0, |point| text.len() - point - 1);
    Cell::number(value, own.min(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearness_is_decided_by_the_tolerance() {
        let verdict = |measured, tolerance| Claim::near("x", 9.1, measured, tolerance).verdict;
        let differs = Verdict::Differs { because: None };
        assert_eq!(verdict(9.6, Tolerance::Absolute(0.6)), Verdict::Matches);
        assert_eq!(verdict(9.6, Tolerance::Absolute(0.4)), differs);
        assert_eq!(verdict(9.6, Tolerance::Relative(0.1)), Verdict::Matches);
        assert_eq!(verdict(9.6, Tolerance::Relative(0.05)), differs);
        assert_eq!(verdict(8.6, Tolerance::Relative(0.05)), differs);
        assert_eq!(verdict(f64::NAN, Tolerance::Relative(1.0)), differs);
        let limits: [fn(f64) -> Claim; 2] =
            [|it| Claim::at_most("x", 1.5, it), |it| Claim::at_least("x", 1.5, 3.0 - it)];
        for limit in limits {
            let [on, beyond, nothing] = [1.5, 1.51, f64::NAN].map(|it| limit(it).verdict);
            assert_eq!([on, beyond, nothing], [Verdict::Matches, differs.clone(), differs.clone()]);
        }
    }

    #[test]
    fn a_difference_is_settled_by_a_reason() {
        let claim = Claim::near("x", 1.0, 2.0, Tolerance::Absolute(0.1));
        assert!(!claim.is_settled());
        let claim = claim.because("there is one more");
        assert!(claim.is_settled());
        assert_eq!(claim.verdict.because(), Some("there is one more"));
        let claim = Claim::near("x", 1.0, 1.0, Tolerance::Absolute(0.1)).because("no difference");
        assert_eq!(claim.verdict, Verdict::Matches);
        assert!(Claim::cannot_be_reproduced("x", "1", "its trace is lost").is_settled());
    }

    #[test]
    fn numbers_are_shown_to_a_tenth_of_what_is_allowed() {
        let shown = |published, measured, tolerance| {
            let claim = Claim::near("x", published, measured, tolerance);
            let tolerance = claim.tolerance.unwrap();
            format!("{} {} {tolerance}", claim.published, claim.measured)
        };
        assert_eq!(shown(9.1, 9.5772, Tolerance::Absolute(1.3)), "9.1 9.6 ±1.3");
        assert_eq!(shown(4.8, 4.625, Tolerance::Absolute(0.2)), "4.8 4.62 ±0.2");
        assert_eq!(shown(4.605_17, 4.625, Tolerance::Relative(0.05)), "4.61 4.62 ±5 %");
        assert_eq!(
            shown(500_000.0, 499_999.6, Tolerance::Relative(0.001)),
            "500,000 500,000 ±0.1 %"
        );
        assert_eq!(shown(1.0, 1.0, Tolerance::Absolute(0.0)), "1 1.000000 ±0");
        assert_eq!(Claim::at_most("x", 1.5, 1.4).measured.to_string(), "1.400");
        let claim = Claim::at_least("x", 0.25, 0.5);
        assert_eq!(
            (claim.published.to_string(), claim.measured.to_string()),
            ("at least 0.25".to_owned(), "0.5000".to_owned())
        );
    }

    #[test]
    fn scripts_are_told_the_verdict_and_why() {
        let claim = Claim::near("x", 1.0, 2.0, Tolerance::Relative(0.1)).because("of that");
        let expected = serde_json::json!({ "what": "x", "published": 1.0, "measured": 2.0,
            "tolerance": { "relative": 0.1 }, "verdict": "differs", "because": "of that" });
        assert_eq!(claim.json(), expected);
    }
}
