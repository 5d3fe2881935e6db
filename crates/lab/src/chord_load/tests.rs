//! The experiment at a small size: what it says, not how well.

use super::*;
use crate::find;

fn report(seed: u64, nodes: u64) -> Report {
    let options = Options { nodes: Some(nodes), ..Options::new(seed) };
    find("chord-load").unwrap().run(&options, &mut |_| ()).unwrap()
}

#[test]
fn a_small_ring_settles_every_claim_for_each_seed() {
    for seed in 1..=3 {
        let report = report(seed, 500);
        let unsettled: Vec<_> = report.unsettled().collect();
        assert!(unsettled.is_empty(), "{seed}: {unsettled:?}");
    }
}

#[test]
fn loads_do_not_depend_on_how_many_nodes_there_are() {
    // Both have 50 keys a node. The median of 200 rings is within a few parts of the closed form.
    for nodes in [200, 1000] {
        let points = points(nodes);
        let point = points.iter().find(|point| point.keys_a_node == FIGURE_8B).unwrap();
        let found = point.find(&Rng::new(1), &mut || ());
        let predicted = point.theory().quantile(0.99);
        let apart = (found.ninety_ninth / predicted - 1.0).abs();
        assert!(apart < 0.1, "{nodes}: {} {predicted}", found.ninety_ninth);
        assert!((found.bars.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn the_same_seed_gives_the_same_files_and_another_seed_others() {
    let files = |seed| report(seed, 100).files();
    assert_eq!(files(1), files(1));
    assert_ne!(files(1), files(2));
}

#[test]
fn the_report_has_a_row_a_point_and_three_charts() {
    let report = report(1, 100);
    assert_eq!(
        report.files()[0].text.lines().count(),
        1 + FIGURE_8.len() + VIRTUAL_NODES.len() - 1
    );
    let names: Vec<_> = report.files().into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["chord-load.csv", "chord-load.svg", "chord-load-2.svg", "chord-load-3.svg"]);
}

#[test]
fn a_difference_at_another_size_says_that_it_is_another_size() {
    // The fullest of 100 nodes has about ln 100 + 0.4 times the mean, far from 9.1.
    let report = report(1, 100);
    let fullest = &report.claims[0];
    assert!(!fullest.verdict.matches());
    assert_eq!(
        fullest.verdict.because(),
        Some("there are 100 nodes here, and 10,000 in the paper")
    );
}

#[test]
fn progress_grows_to_the_end() {
    let mut told = Vec::new();
    let options = Options { nodes: Some(100), ..Options::new(1) };
    EXPERIMENT.run(&options, &mut |progress| told.push(progress)).unwrap();
    assert!(told.is_sorted_by(|a, b| a.done < b.done));
    assert_eq!(told.last().unwrap().done, 1.0);
    assert_eq!(told[0].text, "1,000 keys");
    assert_eq!(told.last().unwrap().text, "10,000 keys, 20 virtual nodes each");
}

#[test]
fn rings_of_too_few_nodes_are_refused() {
    let options = Options { nodes: Some(99), ..Options::new(1) };
    let error = EXPERIMENT.run(&options, &mut |_| ()).unwrap_err();
    assert_eq!(error, Error::Nodes { asked: 99, least: FEWEST_NODES, most: MOST_NODES });
}
