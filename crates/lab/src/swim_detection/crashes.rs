//! Members that crash, and when others notice.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::{Rng, Time};
use nigh_cluster::membership::{Event, Node, Settings};
use nigh_sim::{HostId, World};

use super::PERIOD;
use crate::clusters;

/// Members that crash in one cluster.
pub(super) const CRASHES: usize = 16;
/// How long a cluster goes on before and behind.
const BEFORE: Duration = Duration::from_secs(10);
pub(super) const BEHIND: Duration = Duration::from_secs(40);

/// What became of crashes, in seconds since each.
#[derive(Clone, Debug)]
pub(super) struct Crashes {
    pub(super) loss: f64,
    pub(super) suspected: Vec<f64>,
    pub(super) declared: Vec<f64>,
    /// Until the last one knew of those who ever did.
    pub(super) known: Vec<f64>,
    /// How often one did not hear of one: a word misses a member now and then, which then finds out
    /// by its own pings.
    pub(super) missed: u64,
    /// Lives of members that were there and were declared down.
    pub(super) false_deaths: u64,
}

impl Crashes {
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.loss.total_cmp(&other.loss).is_eq()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.suspected.extend(other.suspected);
        self.declared.extend(other.declared);
        self.known.extend(other.known);
        self.missed += other.missed;
        self.false_deaths += other.false_deaths;
    }

    /// From the first who knew to the last.
    pub(super) fn passed_on(&self) -> Vec<f64> {
        self.known.iter().zip(&self.declared).map(|(last, first)| last - first).collect()
    }
}

/// Periods until the first detection of each crash, where all periods begin at once.
pub(super) fn in_lockstep(nodes: u32, rng: &mut Rng) -> Vec<f64> {
    let settings = Settings { gossip_every: None, probe_every: PERIOD, ..Settings::default() };
    let network = clusters::network(0.0);
    let mut world = clusters::settled(nodes, &settings, network, rng, |_| Duration::ZERO);
    clusters::run(&mut world, BEFORE + PERIOD / 2);
    let crashed = clusters::some(&world, CRASHES, rng);
    crashed.iter().for_each(|&host| world.crash(host));
    // The next periods begin half a period later.
    let start = world.now().after(PERIOD / 2);
    world.take_events();
    let mut first: BTreeMap<HostId, f64> = BTreeMap::new();
    while first.len() < crashed.len() {
        clusters::run(&mut world, PERIOD);
        for told in world.take_events() {
            if let Event::Suspect(name) = told.event {
                let periods = told.at.since(start).as_secs_f64() / PERIOD.as_secs_f64();
                let whole = periods.round();
                first.entry(clusters::host(&name)).or_insert(whole);
            }
        }
    }
    crashed.iter().map(|host| first[host]).collect()
}

pub(super) fn find(nodes: u32, loss: f64, rng: &mut Rng) -> Crashes {
    let settings = Settings { probe_every: PERIOD, ..Settings::default() };
    let begins = clusters::some_time(&settings);
    let network = clusters::network(loss);
    let mut world = clusters::settled(nodes, &settings, network, rng, begins);
    clusters::run(&mut world, BEFORE);
    world.take_events();
    let mut times: BTreeMap<HostId, Time> = BTreeMap::new();
    for host in clusters::some(&world, CRASHES, rng) {
        clusters::run(&mut world, rng.between(Duration::ZERO, PERIOD));
        world.crash(host);
        times.insert(host, world.now());
    }
    let mut found = Crashes {
        loss,
        suspected: Vec::new(),
        declared: Vec::new(),
        known: Vec::new(),
        missed: 0,
        false_deaths: 0,
    };
    let mut watch = Watch { suspected: BTreeMap::new(), declared: BTreeMap::new() };
    let end = world.now().after(BEHIND);
    while world.now() < end {
        clusters::run(&mut world, PERIOD);
        found.false_deaths += watch.read(&mut world);
    }
    for (host, at) in times {
        let since = |then: Time| then.since(at).as_secs_f64();
        found.suspected.push(since(watch.suspected[&host]));
        let (first, last, count) = watch.declared[&host];
        found.missed += u64::from(nodes).saturating_sub(CRASHES as u64 + u64::from(count));
        found.declared.push(since(first));
        found.known.push(since(last));
    }
    found
}

/// When somebody was first heard of.
#[derive(Debug)]
struct Watch {
    suspected: BTreeMap<HostId, Time>,
    /// By the first and by the last, and by how many.
    declared: BTreeMap<HostId, (Time, Time, u32)>,
}

impl Watch {
    /// Reads what was told; returns how many lives ended that were none of the dead.
    fn read(&mut self, world: &mut World<Node>) -> u64 {
        let mut false_deaths = 0;
        for told in world.take_events() {
            let is_up = world.is_up(told.host);
            match told.event {
                Event::Suspect(name) => {
                    let host = clusters::host(&name);
                    if !world.is_up(host) {
                        self.suspected.entry(host).or_insert(told.at);
                    }
                }
                Event::Down(name) if is_up => {
                    let entry = self.declared.entry(clusters::host(&name));
                    let entry = entry.or_insert((told.at, told.at, 0));
                    (entry.1, entry.2) = (told.at, entry.2 + 1);
                }
                Event::Renewed { .. } => false_deaths += 1,
                _ => {}
            }
        }
        false_deaths
    }
}
