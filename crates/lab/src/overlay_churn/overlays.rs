//! The overlays that are compared, each with several combinations of its parameters.
//!
//! A further geometry of [`Node`] is a line in [`variants`].

use std::{sync::Arc, time::Duration};

use nigh_base::Rng;
use nigh_overlay::locate::{
    Contact, Overlay,
    chord::{self, Several},
    circle::{self, Repair, Rule},
    kademlia,
    node::{self, Node, Routing, geometry::Geometry},
    pastry,
};

use super::life::{self, Counts, Owner, Scene};

/// The mean times between two rounds of upkeep, in seconds.
pub(super) const INTERVALS: [u64; 4] = [20, 60, 180, 540];

/// Parameters that claims are about.
pub(super) const RECURSIVE: &str = "recursive";
pub(super) const ITERATIVE: &str = "iterative";
pub(super) const ONE_AT_ONCE: &str = "k 8, 1 at once";
pub(super) const FOUR_AT_ONCE: &str = "k 8, 4 at once";
pub(super) const FOUR_WANTED: &str = "k 4, 4 at once";
pub(super) const FEW_CELLS: &str = "b 1, L 16, recursive";
pub(super) const MANY_CELLS: &str = "b 4, L 16, recursive";

/// Lives through a scene.
type Live = Box<dyn Fn(&Scene, &Rng) -> Counts + Send + Sync>;

/// An overlay with one combination of parameters.
pub(super) struct Variant {
    pub(super) overlay: &'static str,
    /// All but the interval, in a few words.
    pub(super) parameters: &'static str,
    pub(super) interval: Duration,
    /// Whether it is what others of the overlay are compared with, and lives through both kinds of
    /// lifetimes.
    pub(super) is_first: bool,
    /// Whether a lookup ends with word from the owner itself.
    pub(super) owner_answers: bool,
    live: Live,
}

impl Variant {
    pub(super) fn live(&self, scene: &Scene, rng: &Rng) -> Counts {
        (self.live)(scene, rng)
    }
}

/// All that are compared.
pub(super) fn variants() -> Vec<Variant> {
    let mut all = chord();
    all.extend(kademlia());
    all.extend(pastry());
    all
}

/// Variants that differ in the interval alone. `make` has a node of it.
fn at_all_intervals<T>(
    overlay: &'static str,
    parameters: &'static str,
    owner: Option<Owner>,
    make: impl Fn(Contact, Duration) -> T + Clone + Send + Sync + 'static,
) -> impl Iterator<Item = Variant>
where
    T: Overlay + Send,
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
        at_all_intervals("Chord", parameters, Some(Owner::Circle(Rule::Successor)), make)
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
        at_all_intervals("Kademlia", parameters, Some(Owner::Xor), make)
    });
    with_first(variants.collect())
}

fn pastry() -> Vec<Variant> {
    nodes::<pastry::Geometry>(
        Some(Owner::Circle(Rule::Nearest)),
        &[
            (MANY_CELLS, |node| of_pastry(node, 4, 16)),
            ("b 4, L 16, iterative", |node| of_pastry(iterative(node), 4, 16)),
            (FEW_CELLS, |node| of_pastry(node, 1, 16)),
            ("b 4, L 8, recursive", |node| of_pastry(node, 4, 8)),
            ("b 4, L 16, recursive, any cells", |node| pastry::Settings {
                locality: false,
                ..of_pastry(node, 4, 16)
            }),
            ("b 4, L 16, recursive, reactive", |node| {
                let mut settings = of_pastry(node, 4, 16);
                settings.circle.repair = Repair::Reactive;
                settings
            }),
        ],
    )
}

fn of_pastry(node: node::Settings, digit_bits: u32, leaves: usize) -> pastry::Settings {
    let circle = circle::Settings { node, leaves, repair: Repair::Periodic };
    pastry::Settings { circle, digit_bits, locality: true }
}

fn iterative(node: node::Settings) -> node::Settings {
    node::Settings { routing: Routing::Iterative, ..node }
}

/// The settings of an overlay with these for what every overlay is told.
type With<G> = fn(node::Settings) -> <G as Geometry>::Settings;

/// An overlay of [`Node`]s. What every overlay is told is recursive routing and the interval; each
/// combination adds what is its geometry's. Without a rule for owners, any member is taken for one.
fn nodes<G>(owner: Option<Owner>, combinations: &[(&'static str, With<G>)]) -> Vec<Variant>
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
