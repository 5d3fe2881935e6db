//! Small networks.

use super::*;

fn network(neighbours: Neighbours) -> Network {
    let places = Places::spread(300, MEAN_ONE_WAY, &mut Rng::new(1));
    Network::new(300, neighbours, &Latency::Placed(Arc::new(places)), &mut Rng::new(2))
}

#[test]
fn every_way_ends_at_the_owner_after_its_round_trip_at_least() {
    for way in ways() {
        let network = network(way.neighbours);
        let mut rng = Rng::new(3);
        for _ in 0..500 {
            let (from, target) = (rng.index(300), network::place(&mut rng));
            let owner = (0..300).min_by_key(|it| network.place(*it) ^ target).unwrap();
            assert_eq!(network.owner(target), owner);
            if owner != from {
                let end = walk::walk(&network, way, from, target);
                let direct = network.between(from, owner) + network.between(owner, from);
                assert_eq!(end.node, owner, "{way:?}");
                assert!((1..12).contains(&end.hops), "{way:?} {end:?}");
                // Each way is rounded to a nanosecond.
                assert!(end.at + Duration::from_micros(1) >= direct, "{way:?} {end:?} {direct:?}");
            }
        }
    }
}

#[test]
fn a_bucket_has_only_those_who_fit_and_the_near_ones_are_near() {
    let networks = [Neighbours::Any, Neighbours::Near].map(network);
    let mean = networks.map(|network| {
        let (mut sum, mut count) = (Duration::ZERO, 0);
        for node in 0..300 {
            let target = !network.place(node);
            let bucket = network.towards(node, target);
            assert_eq!(bucket.len(), BUCKET);
            for &other in bucket {
                let other = other as usize;
                assert!(network.place(other) ^ target < u32::MAX / 2);
                sum += network.between(node, other);
                count += 1;
            }
        }
        sum / count
    });
    assert!(mean[1] < mean[0] / 2, "{mean:?}");
}

#[test]
fn a_small_report_has_no_claim_without_a_reason() {
    let options = Options { nodes: Some(300), ..Options::new(1) };
    let report = EXPERIMENT.run(&options, &mut |_| ()).unwrap();
    assert_eq!(report.unsettled().collect::<Vec<_>>(), Vec::<&crate::Claim>::new());
    assert_eq!(report.charts.len(), 2);
}
