//! Some dozens of seeds, and those that once broke a ring.

use super::*;

/// The seeds that are tried in every run of the tests.
const FEW: u64 = 80;

fn report(options: &Options) -> Report {
    EXPERIMENT.run(options, &mut |_| ()).unwrap()
}

#[test]
fn rings_hold_and_mend() {
    let report = report(&Options { seeds: Some(1..=FEW), ..Options::new(1) });
    assert_eq!(report.unsettled().count(), 0, "{}", report.text());
}

#[test]
fn the_same_seed_breaks_or_holds_the_same() {
    for seed in [1, 2, 4] {
        let text = |_| format!("{:?}", outcome(seed, NODES, None));
        assert_eq!(text(0), text(1));
    }
}

#[test]
fn steps_are_those_of_one_plan() {
    let refused = |seeds, only: &[usize]| {
        let options = Options { seeds: Some(seeds), only: Some(only.to_vec()), ..Options::new(1) };
        EXPERIMENT.run(&options, &mut |_| ()).unwrap_err()
    };
    assert_eq!(refused(1..=2, &[0]), Error::StepsOfMany { seeds: 2 });
    assert!(matches!(refused(1..=1, &[0, 999]), Error::NoStep { asked: 999, .. }));
    let options = Options { seeds: Some(1..=1), only: Some(vec![0, 2]), ..Options::new(1) };
    assert_eq!(report(&options).command(), "nigh sim chord-faults --seeds 1 --only 0,2");
    assert_eq!(outcome(1, NODES, Some(&[0, 2])).faults.values().sum::<u64>(), 2);
}

#[test]
fn a_seed_that_breaks_is_cut_down_and_printed_as_the_command_that_runs_it_again() {
    let (seed, needed) = (7, [2, 5]);
    let steps = Scenario::draw(seed, NODES).steps;
    let breaks = |_: &Scenario, some: &[Step]| match needed
        .iter()
        .all(|&place| some.contains(&steps[place]))
    {
        true => Err(Broken::NotWhole("two rings".to_owned())),
        false => Ok(Held::default()),
    };
    let shrunk = shrink(seed, NODES, None, breaks);
    assert_eq!(shrunk.kept, needed);
    let text = broken_table(&[shrunk], &Options::new(1)).text();
    assert!(text.contains("nigh sim chord-faults --seeds 7 --only 2,5"), "{text}");
    assert!(text.contains("Whole: two rings"), "{text}");
}

/// A seed that once broke a ring, with the faults that it took.
#[track_caller]
fn assert_holds(seed: u64, only: &[usize]) {
    let found = outcome(seed, NODES, Some(only)).result;
    assert!(found.is_ok(), "{found:?}");
    let found = outcome(seed, NODES, None).result;
    assert!(found.is_ok(), "with all faults: {found:?}");
}

#[test]
fn seed_6638_two_rings_meet_though_those_between_whom_they_meet_remember_nothing() {
    // Of three nodes that are cut off one fails and comes back to the other two, and so does one of
    // the six others. Those two alone lie next to the other ring, and they have forgotten it.
    assert_holds(6638, &[1, 3, 6, 9, 10, 11]);
}

#[test]
fn seed_626_a_ring_of_two_is_found_again() {
    assert_holds(626, &[1, 4, 5, 6, 8, 9, 10, 11, 14, 15]);
}

#[test]
fn seed_8018_a_ring_of_three_is_found_again_by_many() {
    assert_holds(8018, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 17, 20, 22]);
}

#[test]
fn seed_9662_two_who_know_only_each_other_are_found_again() {
    assert_holds(9662, &[2, 3, 5, 6, 7, 8, 9, 14, 15]);
}
