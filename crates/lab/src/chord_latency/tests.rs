//! Small rings, quickly.

use nigh_sim::Matrix;

use super::*;
use crate::RoundTrips;

fn report(nodes: u64, round_trips: Option<RoundTrips>) -> Report {
    let options = Options { nodes: Some(nodes), round_trips, ..Options::new(1) };
    EXPERIMENT.run(&options, &mut |_| ()).unwrap()
}

#[test]
fn near_fingers_and_passing_on_each_save_time() {
    let terrain = terrains(400, &Options::new(1), &Rng::new(1)).remove(0);
    let [slow, near, recursive, both] = WAYS.map(|way| {
        let found = look_up(400, &terrain, way, Rng::new(2));
        assert_eq!(found.wrong, 0, "{found:?}");
        found.stretch()
    });
    assert!(near < 0.9 * slow, "{near} {slow}");
    assert!(recursive < 0.8 * slow, "{recursive} {slow}");
    assert!(both < 0.9 * near.min(recursive), "{both} {near} {recursive}");
}

#[test]
fn round_trips_from_a_file_make_a_second_half_of_the_report() {
    let matrix = Matrix::parse("0 40 80\n40 0 60\n80 60 0\n").unwrap();
    let round_trips = RoundTrips { name: "three.txt".to_owned(), matrix: Arc::new(matrix) };
    let report = report(100, Some(round_trips));
    assert_eq!(report.charts.len(), 2);
    assert!(report.text().contains("three.txt"), "{}", report.text());
    assert_eq!(report.command(), "nigh sim chord-latency --nodes 100 --seed 1 --matrix three.txt");
}

#[test]
fn who_answers_late_is_asked_again_and_waited_for_longer() {
    // Most nodes are near one another and answer at once, and so nobody is waited for longer than a
    // fifth of a second at first; a third of all are half a second away.
    let matrix = Matrix::parse("0 5 500\n5 0 500\n500 500 0\n").unwrap();
    let latency = Latency::Measured(Arc::new(matrix));
    let terrain = Terrain { name: "far".to_owned(), latency };
    for way in WAYS {
        let found = look_up(200, &terrain, way, Rng::new(3));
        assert_eq!(found.wrong, 0, "{}", way.name());
        assert!(
            found.hops < 7.0,
            "{}: nodes are asked again and again, {}",
            way.name(),
            found.hops
        );
    }
}
