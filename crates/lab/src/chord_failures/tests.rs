//! Small rings, quickly.

use super::*;

#[test]
fn only_keys_whose_node_failed_are_lost_and_as_many_as_nodes() {
    let mut rng = Rng::new(1);
    for percent in [0, 20, 50] {
        let found = repaired::find(200, percent, &mut rng);
        assert_eq!(found.of_others, 0, "{found:?}");
        // The arcs of 200 nodes differ from one another more than those of 10,000.
        let off = (found.failed_share() - f64::from(percent) / 100.0).abs();
        assert!(off < 0.1, "{found:?}");
        assert!(found.repaired_after < Duration::from_secs(300), "{found:?}");
    }
}

#[test]
fn nobody_is_waited_for_in_a_ring_where_nobody_failed() {
    let found = unrepaired::find(100, 0, &mut Rng::new(2));
    assert_eq!((found.failed, found.timeouts.largest()), (0, 0.0));
    assert!((1.5..2.5).contains(&found.ways.mean()), "{found:?}");
}

#[test]
fn who_failed_is_asked_in_vain_until_somebody_has_noticed() {
    let found = unrepaired::find(100, 20, &mut Rng::new(3));
    assert!(found.timeouts.mean() > 0.2, "{found:?}");
    assert!(found.failed < found.lookups / 4, "{found:?}");
}

#[test]
fn rings_of_too_few_nodes_are_refused() {
    let options = Options { nodes: Some(9), ..Options::new(1) };
    let error = EXPERIMENT.run(&options, &mut |_| ()).unwrap_err();
    assert_eq!(error, Error::Nodes { asked: 9, least: 100, most: 100_000 });
}
