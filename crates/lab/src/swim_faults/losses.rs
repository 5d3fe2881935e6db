//! Members that are all there, while datagrams are lost.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::{Rng, Time};
use nigh_cluster::membership::{Event, Settings};
use nigh_sim::HostId;

use super::share;
use crate::clusters;

/// The share that is lost.
const LOSS: f64 = 0.1;
/// How long many are watched, and how long a few in each cluster.
pub(super) const MANY_SECS: u64 = 300;
pub(super) const FEW_SECS: u64 = 3600;
/// Members whose view of suspicions is followed.
pub(super) const OBSERVERS: u32 = 8;

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub(super) nodes: u32,
    pub(super) hours: f64,
    /// Of whom somebody heard, by the first observer's count.
    pub(super) suspicions: u64,
    /// The longest time for which an observer suspected somebody.
    pub(super) longest_secs: f64,
    pub(super) window_secs: f64,
    pub(super) false_deaths: u64,
}

impl Loss {
    pub(super) fn add(&mut self, other: &Self) {
        self.hours += other.hours;
        self.suspicions += other.suspicions;
        self.longest_secs = self.longest_secs.max(other.longest_secs);
        self.false_deaths += other.false_deaths;
    }

    fn member_hours(&self) -> f64 {
        self.hours * f64::from(self.nodes)
    }

    pub(super) fn suspicions_an_hour(&self) -> f64 {
        share(self.suspicions, 1) / self.member_hours()
    }

    /// The upper end of what may be, by the rule of three and its like.
    pub(super) fn deaths_a_day_at_most(&self) -> f64 {
        let seen = share(self.false_deaths, 1);
        (seen + 2.0 * seen.sqrt() + 3.0) * 24.0 / self.member_hours()
    }
}

/// How long a suspicion lasts before it is a death.
pub(super) fn window_secs(nodes: u32, settings: &Settings) -> f64 {
    let periods = f64::from(settings.suspicion) * f64::from(nodes).log10().max(1.0);
    periods * settings.probe_every.as_secs_f64()
}

pub(super) fn find(nodes: u32, secs: u64, rng: &mut Rng) -> Loss {
    let settings = Settings::default();
    let begins = clusters::some_time(&settings);
    let mut world = clusters::settled(nodes, &settings, clusters::network(LOSS), rng, begins);
    let mut found = Loss {
        nodes,
        hours: share(secs, 3600),
        suspicions: 0,
        longest_secs: 0.0,
        window_secs: window_secs(nodes, &settings),
        false_deaths: 0,
    };
    let mut since: BTreeMap<(HostId, HostId), Time> = BTreeMap::new();
    for _ in 0..secs.div_ceil(10) {
        clusters::run(&mut world, Duration::from_secs(10));
        for told in world.take_events() {
            match told.event {
                Event::Suspect(name) if told.host.0 < OBSERVERS => {
                    found.suspicions += u64::from(told.host.0 == 0);
                    since.insert((told.host, clusters::host(&name)), told.at);
                }
                Event::Up(member) if told.host.0 < OBSERVERS => {
                    let place = (told.host, clusters::host(&member.name));
                    if let Some(from) = since.remove(&place) {
                        let span = told.at.since(from).as_secs_f64();
                        found.longest_secs = found.longest_secs.max(span);
                    }
                }
                Event::Renewed { .. } => found.false_deaths += 1,
                _ => {}
            }
        }
    }
    found
}
