//! Small rings.

use super::*;

#[test]
fn more_churn_costs_more_lookups_and_retries_save_most_of_them() {
    let [calm, wild] =
        [0.001, 0.02].map(|rate| life::live(50, Lifetimes::Exponential, rate, Rng::new(1)));
    for counts in [calm, wild] {
        assert!(counts.lookups > 6500, "{counts:?}");
        assert!(counts.timed_out <= counts.wrong_with_one_try, "{counts:?}");
        assert!(counts.wrong_with_retries <= counts.wrong_with_one_try, "{counts:?}");
    }
    assert!(calm.wrong_with_one_try < wild.wrong_with_one_try, "{calm:?} {wild:?}");
    assert!(3 * wild.wrong_with_retries < wild.wrong_with_one_try, "{wild:?}");
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let live = |seed| life::live(50, Lifetimes::Weibull, 0.01, Rng::new(seed));
    assert_eq!(live(3), live(3));
    assert_ne!(live(3), live(4));
}

#[test]
fn the_papers_estimate_is_one_percent_for_each_failure_in_a_round() {
    let point = Point { rate: 0.1, lifetimes: Lifetimes::Exponential, runs: Vec::new() };
    assert!((point.expected(500) - 0.03).abs() < 1e-12);
}
