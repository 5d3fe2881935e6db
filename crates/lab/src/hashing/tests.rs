//! The experiment at a small size: what it says, not how well.

use super::*;
use crate::find;

fn report(options: &Options) -> Report {
    find("hashing").unwrap().run(options, &mut |_| ()).unwrap()
}

fn small(seed: u64) -> Options {
    Options { nodes: Some(20), ..Options::new(seed) }
}

#[test]
fn a_small_cluster_settles_every_claim_for_each_seed() {
    for seed in [1, 2] {
        let report = report(&small(seed));
        let unsettled: Vec<_> = report.unsettled().collect();
        assert!(unsettled.is_empty(), "{seed}: {unsettled:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_files_and_another_seed_others() {
    let files = |seed| report(&small(seed)).files();
    assert_eq!(files(1), files(1));
    assert_ne!(files(1), files(2));
}

#[test]
fn streams_that_are_given_are_used_and_named() {
    let requests: Vec<u8> =
        (0..20_000u32).flat_map(|number| (number * number % 4_099).to_be_bytes()).collect();
    let trace = Arc::new(Trace::parse("web.trace", &requests).unwrap());
    let report = report(&Options { traces: vec![trace], ..small(1) });
    assert_eq!(report.command(), "nigh sim hashing --nodes 20 --seed 1 --trace web.trace");
    let charts: Vec<_> = report.charts.iter().map(|chart| chart.title.as_str()).collect();
    assert_eq!(charts.last(), Some(&"An edge more after half of the requests (web)"));
    assert!(report.setup.contains("published traces"));
}

#[test]
fn after_an_addition_modulo_misses_and_a_ring_hardly() {
    let trace = Arc::new(Trace::drawn(10_000, 50_000, &mut Rng::new(3)));
    let found = addition::find(20, &[trace]);
    let of = |way| found.iter().find(|it| it.way == way).unwrap();
    let [ring, modulo] = [of(Way::Ring), of(Way::Modulo)];
    // Before the change both runs are the same.
    assert_eq!(ring.pieces[..addition::PIECES / 2], ring.unchanged[..addition::PIECES / 2]);
    let fall = |it: &addition::Addition| it.first_piece()[1] - it.first_piece()[0];
    assert!(fall(modulo) > 0.1, "{modulo:?}");
    assert!(fall(ring) < 0.03, "{ring:?}");
    assert!(modulo.misses > 100 && ring.misses < 50, "{} {}", modulo.misses, ring.misses);
}

#[test]
fn a_hot_object_fills_its_owner_without_spill_and_no_edge_with_it() {
    let found = hot::find(20, &Rng::new(1));
    let of = |factor| found.iter().find(|it| it.heat == 1000 && it.factor == factor).unwrap();
    assert!(of(None).fullest > 5.0, "{:?}", of(None));
    assert_eq!(of(None).homes, 1.0);
    assert!(of(Some(1.25)).fullest <= 1.25, "{:?}", of(Some(1.25)));
    assert!(of(Some(1.25)).homes > 3.0);
}

#[test]
fn clusters_of_too_few_edges_are_refused() {
    let options = Options { nodes: Some(19), ..Options::new(1) };
    let error = EXPERIMENT.run(&options, &mut |_| ()).unwrap_err();
    assert_eq!(error, Error::Nodes { asked: 19, least: FEWEST_EDGES, most: MOST_EDGES });
}

#[test]
fn progress_grows_to_the_end() {
    let mut told = Vec::new();
    EXPERIMENT.run(&small(1), &mut |progress| told.push(progress.done)).unwrap();
    assert!(told.is_sorted() && told.last() == Some(&1.0), "{told:?}");
}
