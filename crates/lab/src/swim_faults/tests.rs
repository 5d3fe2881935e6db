//! Small clusters, quickly.

use super::*;

#[test]
fn who_is_there_is_suspected_under_loss_and_not_declared_down() {
    let found = losses::find(32, 300, &mut Rng::new(1));
    assert!(found.suspicions > 10, "{found:?}");
    assert_eq!(found.false_deaths, 0);
    assert!(found.longest_secs > 0.0 && found.longest_secs < found.window_secs, "{found:?}");
}

#[test]
fn short_stops_kill_nobody_and_long_ones_those_who_stop() {
    let short = slow::find(32, 4, 1, true, &mut Rng::new(2));
    assert_eq!((short.slow_deaths_an_hour(), short.false_deaths), (0.0, 0));
    let long = slow::find(32, 4, 16, true, &mut Rng::new(3));
    assert!(long.slow_deaths_an_hour() > 50.0, "{long:?}");
}

#[test]
fn a_cut_cluster_heals() {
    let cut = cuts::find(16, &mut Rng::new(4));
    assert!((4.0..20.0).contains(&cut.parted_secs), "{cut:?}");
    assert!(cut.half_secs <= cut.healed_secs && cut.healed_secs < 120.0, "{cut:?}");
}
