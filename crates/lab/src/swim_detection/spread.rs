//! How long a word takes until the last member has heard it.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::{Rng, Time};
use nigh_cluster::membership::{Carried, Command, Event, Settings};
use nigh_sim::HostId;

use super::PERIOD;
use crate::{clusters, sample::Sample};

/// Words that are said, each by another member, and what lies between two.
const WORDS: usize = 12;
const APART: Duration = Duration::from_secs(25);

/// What became of words.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    pub(super) nodes: u32,
    pub(super) gossip: bool,
    /// Until the last one had heard it, for each word.
    pub(super) periods: Sample,
}

impl Spread {
    /// The closed form for pings alone.
    pub(super) fn expected(&self) -> f64 {
        f64::from(self.nodes).ln()
    }
}

pub(super) fn find(nodes: u32, gossip: bool, rng: &mut Rng) -> Spread {
    let mut settings = Settings { probe_every: PERIOD, ..Settings::default() };
    if !gossip {
        settings.gossip_every = None;
    }
    let begins = clusters::some_time(&settings);
    let network = clusters::network(0.0);
    let mut world = clusters::settled(nodes, &settings, network, rng, begins);
    clusters::run(&mut world, 3 * PERIOD);
    let mut periods = Vec::new();
    for speaker in clusters::some(&world, WORDS, rng) {
        world.take_events();
        let said = world.now();
        world.command(speaker, Command::Carry(Carried { capacity: 2, load: 0, draining: false }));
        clusters::run(&mut world, APART);
        let mut heard: BTreeMap<HostId, Time> = BTreeMap::new();
        for told in world.take_events() {
            if let Event::Carries { name, .. } = told.event
                && clusters::host(&name) == speaker
            {
                heard.insert(told.host, told.at);
            }
        }
        // A word may miss somebody, who learns it from a page, sooner or later.
        let last = heard.values().max().filter(|_| heard.len() == nodes as usize - 1);
        let last = last.copied().unwrap_or_else(|| said.after(APART));
        periods.push(last.since(said).as_secs_f64() / PERIOD.as_secs_f64());
    }
    Spread { nodes, gossip, periods: Sample::new(periods) }
}
