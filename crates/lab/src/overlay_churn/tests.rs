//! Few nodes, for an hour.

use nigh_base::Key;
use nigh_overlay::locate::{Contact, can};

use super::{life::Owner, *};

const SHORT: Hours =
    Hours { before: Duration::from_secs(600), measured: Duration::from_secs(3600) };

fn scene(lifetimes: Lifetimes) -> Scene {
    let nodes = 32;
    let latency = Latency::Placed(Arc::new(places(nodes, &Rng::new(1))));
    let Hours { before, measured } = SHORT;
    Scene { nodes, latency, lifetimes, before, measured }
}

/// The first combination of each overlay, at all intervals.
fn firsts() -> Vec<Vec<Variant>> {
    let mut variants = overlays::variants();
    variants.retain(|it| it.is_first);
    let mut overlays: Vec<Vec<Variant>> = Vec::new();
    for variant in variants {
        match overlays.last_mut() {
            Some(last) if last[0].overlay == variant.overlay => last.push(variant),
            _ => overlays.push(vec![variant]),
        }
    }
    overlays
}

#[test]
fn lookups_of_every_overlay_mostly_succeed_and_seldom_upkeep_costs_less() {
    let overlays = firsts();
    assert_eq!(overlays.len(), 7);
    for variants in overlays {
        let [often, _, seldom, ..] = &variants[..] else { panic!("several intervals") };
        let points = [(often, 0.1), (seldom, 0.4)].map(|(variant, fails)| {
            let exponential = Lifetimes::Exponential;
            let counts = variant.live(&scene(exponential), &Rng::new(1));
            let point = Point::of(variant, exponential, counts);
            assert!(counts.lookups > 60, "{point:?}");
            assert!(point.failed() < fails, "{point:?}");
            assert!(point.latency_found() > 50.0, "{point:?}");
            assert!(!point.owner_answers || counts.sooner == 0, "{point:?}");
            point
        });
        let [often, seldom] = points;
        // Kademlia's rounds spare lookups as many questions to nodes that are gone as they ask.
        let most = if often.overlay == "Kademlia" { 1.1 } else { 0.5 };
        assert!(seldom.cost() < most * often.cost(), "{often:?} {seldom:?}");
    }
}

#[test]
fn while_several_or_none_claim_a_key_nobody_is_its_owner() {
    let settings = Arc::new(can::Settings::default());
    let make = |me: Contact| can::Node::new(me.key, me.address, Arc::clone(&settings));
    let scene = Scene { measured: Duration::from_secs(600), ..scene(Lifetimes::Exponential) };
    let failed = |claims: fn(&can::Node, Key) -> bool| {
        let counts = life::live(&scene, Owner::Claimed(claims), &make, &Rng::new(1));
        assert!(counts.lookups > 5, "{counts:?}");
        ratio(counts.failed, counts.lookups)
    };
    assert!(failed(|node, key| node.zones().iter().any(|it| it.has(key))) < 0.2);
    assert!(failed(|_, _| true) > 0.99);
    assert!(failed(|_, _| false) > 0.99);
}

#[test]
fn all_overlays_live_through_the_same_and_each_lives_the_same_again() {
    for lifetimes in [Lifetimes::Exponential, Lifetimes::Weibull] {
        let scene = scene(lifetimes);
        let overlays = firsts();
        let live = |overlay: &[Variant], seed| overlay[0].live(&scene, &Rng::new(seed));
        let counts: Vec<Counts> = overlays.iter().map(|it| live(it, 1)).collect();
        assert!(counts.iter().all(|it| it.lived == counts[0].lived), "{counts:?}");
        assert_eq!(live(&overlays[0], 1), counts[0]);
        assert_ne!(live(&overlays[0], 2), counts[0]);
    }
}

#[test]
fn places_have_the_median_round_trip_of_the_papers_hosts() {
    for nodes in [64, 1024] {
        let median = median_round_trip(nodes, places(nodes, &Rng::new(3)));
        assert!((median - 0.156).abs() < 0.001, "{nodes}: {median}");
    }
}

#[test]
fn a_report_names_each_overlay_once_and_marks_its_hull() {
    let mut variants = overlays::variants();
    variants.retain(|it| it.is_first && it.interval.as_secs() >= 180);
    let options = Options { nodes: Some(64), ..Options::new(1) };
    let hours = Hours { before: Duration::from_secs(60), measured: Duration::from_secs(600) };
    let report = report(&options, 32, hours, &variants, &mut |_| ());
    assert_eq!(report.charts[0].series.len(), 7);
    assert_eq!(report.charts.len(), 8);
    let text = report.text();
    assert!(text.contains("Weibull") && text.contains("yes"), "{text}");
}
