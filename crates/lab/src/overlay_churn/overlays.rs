//! The overlays that are compared, each with several combinations of its parameters.
//!
//! A further geometry of [`Node`] is a line in [`variants`].

use std::{sync::Arc, time::Duration};

use nigh_base::{Rng, space::prefix::Digits};
use nigh_overlay::locate::{
    Contact, Overlay, can,
    chord::{self, Several},
    circle::{self, Repair, Rule},
    kademlia, koorde,
    node::{self, Node, Routing, geometry::Geometry},
    pastry, tapestry, viceroy,
};

use super::life::{self, Counts, Owner, Scene};
use crate::lives::Lifetimes;

/// The mean times between two rounds of upkeep, in seconds.
pub(super) const INTERVALS: [u64; 4] = [20, 60, 180, 540];
/// Those of them with which an overlay's first combination lives through the other lifetimes too.
pub(super) const OF_OTHER_LIVES: [u64; 2] = [60, 180];

/// Parameters that claims are about.
pub(super) const RECURSIVE: &str = "recursive";
pub(super) const ITERATIVE: &str = "iterative";
pub(super) const ONE_AT_ONCE: &str = "k 8, 1 at once";
pub(super) const FOUR_AT_ONCE: &str = "k 8, 4 at once";
pub(super) const FOUR_WANTED: &str = "k 4, 4 at once";
pub(super) const FEW_CELLS: &str = "b 1, L 16, recursive";
pub(super) const MANY_CELLS: &str = "b 4, L 16, recursive";
pub(super) const SHORT_DIGITS: &str = "b 1, c 3";
pub(super) const LONG_DIGITS: &str = "b 4, c 3";
pub(super) const FEW_POINTERS: &str = "k 2, L 16";
pub(super) const MANY_POINTERS: &str = "k 8, L 16";
pub(super) const FEW_DIMENSIONS: &str = "d 2";
pub(super) const MANY_DIMENSIONS: &str = "d 4";

/// Lives through a scene.
type Live = Box<dyn Fn(&Scene, &Rng) -> Counts + Send + Sync>;

/// An overlay with one combination of parameters.
pub(super) struct Variant {
    pub(super) overlay: &'static str,
    /// All but the interval, in a few words.
    pub(super) parameters: &'static str,
    pub(super) interval: Duration,
    /// Whether it is what others of the overlay are compared with.
    pub(super) is_first: bool,
    /// Whether a lookup ends with word from the owner itself.
    pub(super) owner_answers: bool,
    live: Live,
}

impl Variant {
    /// All live through exponential lifetimes, some through others too.
    pub(super) fn lives_through(&self, lifetimes: Lifetimes) -> bool {
        let lives_more = self.is_first && OF_OTHER_LIVES.contains(&self.interval.as_secs());
        lifetimes == Lifetimes::Exponential || lives_more
    }

    pub(super) fn live(&self, scene: &Scene, rng: &Rng) -> Counts {
        (self.live)(scene, rng)
    }
}

/// All that are compared.
pub(super) fn variants() -> Vec<Variant> {
    let mut all = chord();
    all.extend(kademlia());
    all.extend(pastry());
    all.extend(tapestry());
    all.extend(koorde());
    all.extend(viceroy());
    all.extend(can());
    all
}

/// Variants that differ in the interval alone. `make` has a node of it.
fn at_all_intervals<T>(
    overlay: &'static str,
    parameters: &'static str,
    owner: Owner<T>,
    make: impl Fn(Contact, Duration) -> T + Clone + Send + Sync + 'static,
) -> impl Iterator<Item = Variant>
where
    T: Overlay + Send + 'static,
    T::Message: Clone + Send,
    T::Command: Send,
    T::Event: Send,
{
    INTERVALS.into_iter().map(move |seconds| {
        let (interval, make) = (Duration::from_secs(seconds), make.clone());
        let live =
            move |scene: &Scene, rng: &Rng| life::live(scene, owner, &|me| make(me, interval), rng);
        Variant {
            overlay,
            parameters,
            interval,
            is_first: false,
            owner_answers: true,
            live: Box::new(live),
        }
    })
}

/// Marks those of the first combination.
fn with_first(mut variants: Vec<Variant>) -> Vec<Variant> {
    let first = variants.first().map(|it| it.parameters);
    variants.iter_mut().for_each(|it| it.is_first = Some(it.parameters) == first);
    variants
}

fn chord() -> Vec<Variant> {
    let plain = chord::Settings { routing: chord::Routing::Recursive, ..Default::default() };
    let near = chord::Settings { proximity: 8, ..plain.clone() };
    let combinations = [
        (RECURSIVE, plain.clone()),
        (ITERATIVE, chord::Settings { routing: chord::Routing::Iterative, ..plain }),
        ("recursive, near fingers", near.clone()),
        (
            "recursive, near fingers, 16 successors, 4 fingers a round",
            chord::Settings { successors: 16, fingers_a_round: 4, ..near },
        ),
    ];
    let variants = combinations.into_iter().flat_map(|(parameters, settings)| {
        let make = move |me: Contact, stabilise_every| {
            let settings = chord::Settings { stabilise_every, ..settings.clone() };
            Several::new(&[me.key], me.address, &Arc::new(settings))
        };
        at_all_intervals("Chord", parameters, Owner::Circle(Rule::Successor), make)
    });
    // Whoever is before the key names its owner.
    with_first(variants.map(|it| Variant { owner_answers: false, ..it }).collect())
}

fn kademlia() -> Vec<Variant> {
    let plain = kademlia::Settings {
        questions_a_second: None,
        fits_address: false,
        ..kademlia::Settings::default()
    };
    let with = |bucket, parallel, by_proximity| kademlia::Settings {
        bucket,
        parallel,
        by_proximity,
        ..plain.clone()
    };
    let combinations = [
        (FOUR_AT_ONCE, with(8, 4, false)),
        (ONE_AT_ONCE, with(8, 1, false)),
        ("k 8, 8 at once", with(8, 8, false)),
        ("k 8, 4 at once, near ones", with(8, 4, true)),
        (FOUR_WANTED, with(4, 4, false)),
    ];
    let variants = combinations.into_iter().flat_map(|(parameters, settings)| {
        let make = move |me: Contact, upkeep_every| {
            let settings = kademlia::Settings { upkeep_every, ..settings.clone() };
            kademlia::Node::new(me.key, me.address, Arc::new(settings))
        };
        at_all_intervals("Kademlia", parameters, Owner::Xor, make)
    });
    with_first(variants.collect())
}

fn pastry() -> Vec<Variant> {
    nodes::<pastry::Geometry>(
        Owner::Circle(Rule::Nearest),
        &[
            (MANY_CELLS, |node| of_pastry(node, 4, 16)),
            ("b 4, L 16, iterative", |node| of_pastry(iterative(node), 4, 16)),
            (FEW_CELLS, |node| of_pastry(node, 1, 16)),
            ("b 4, L 8, recursive", |node| of_pastry(node, 4, 8)),
            ("b 4, L 16, recursive, reactive", |node| {
                let mut settings = of_pastry(node, 4, 16);
                settings.circle.repair = Repair::Reactive;
                settings
            }),
        ],
    )
}

fn of_pastry(node: node::Settings, digit_bits: u32, leaves: usize) -> pastry::Settings {
    pastry::Settings { circle: of_circle(node, leaves), digit_bits, locality: true }
}

fn of_circle(node: node::Settings, leaves: usize) -> circle::Settings {
    circle::Settings { node, leaves, repair: Repair::Periodic }
}

/// The owner depends on how long a digit is.
fn tapestry() -> Vec<Variant> {
    let of = |digit_bits, combination: (&'static str, With<tapestry::Geometry>)| {
        nodes::<tapestry::Geometry>(Owner::Surrogate(Digits::new(digit_bits)), &[combination])
    };
    let mut variants = of(4, (LONG_DIGITS, |node| of_tapestry(node, 4)));
    variants.extend(of(1, (SHORT_DIGITS, |node| of_tapestry(node, 1))));
    with_first(variants)
}

fn of_tapestry(node: node::Settings, digit_bits: u32) -> tapestry::Settings {
    tapestry::Settings { node, digit_bits, ..tapestry::Settings::default() }
}

fn koorde() -> Vec<Variant> {
    nodes::<koorde::Geometry>(
        Owner::Circle(Rule::Successor),
        &[(MANY_POINTERS, |node| of_koorde(node, 3)), (FEW_POINTERS, |node| of_koorde(node, 1))],
    )
}

fn of_koorde(node: node::Settings, degree_bits: u32) -> koorde::Settings {
    let circle = of_circle(node, 16);
    koorde::Settings { circle, degree_bits, ..koorde::Settings::default() }
}

fn viceroy() -> Vec<Variant> {
    nodes::<viceroy::Geometry>(
        Owner::Circle(Rule::Successor),
        &[("L 16", |node| of_viceroy(node, 16)), ("L 32", |node| of_viceroy(node, 32))],
    )
}

fn of_viceroy(node: node::Settings, leaves: usize) -> viceroy::Settings {
    viceroy::Settings { circle: of_circle(node, leaves) }
}

/// Who owns a key follows from who has joined when, and not from the keys of those who are there: the
/// zones say it.
fn can() -> Vec<Variant> {
    nodes::<can::Geometry>(
        Owner::Claimed(|node, key| node.zones().iter().any(|it| it.has(key))),
        &[(MANY_DIMENSIONS, |node| of_can(node, 4)), (FEW_DIMENSIONS, |node| of_can(node, 2))],
    )
}

fn of_can(node: node::Settings, dimensions: usize) -> can::Settings {
    can::Settings { node, dimensions, ..can::Settings::default() }
}

fn iterative(node: node::Settings) -> node::Settings {
    node::Settings { routing: Routing::Iterative, ..node }
}

/// The settings of an overlay with these for what every overlay is told.
type With<G> = fn(node::Settings) -> <G as Geometry>::Settings;

/// An overlay of [`Node`]s. What every overlay is told is recursive routing and the interval; each
/// combination adds what is its geometry's.
fn nodes<G>(owner: Owner<Node<G>>, combinations: &[(&'static str, With<G>)]) -> Vec<Variant>
where
    G: Geometry + 'static,
{
    let variants = combinations.iter().flat_map(|&(parameters, with)| {
        let make = move |me: Contact, upkeep_every| {
            let node = node::Settings { upkeep_every, ..node::Settings::default() };
            Node::<G>::new(me.key, me.address, Arc::new(with(node)))
        };
        at_all_intervals(G::NAME, parameters, owner, make)
    });
    with_first(variants.collect())
}
