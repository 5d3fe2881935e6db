//! Some members that stop again and again, and what becomes of the others.

use std::{collections::BTreeSet, time::Duration};

use nigh_base::{Rng, Time};
use nigh_cluster::membership::{Event, Settings};
use nigh_sim::HostId;

use super::{losses::window_secs, share};
use crate::clusters;

/// How long a cluster is watched.
pub(super) const SPAN_SECS: u64 = 600;
/// For how long a slow member goes on between two stops: drawn, or all stops would come at the same
/// moment of its periods, and never between a ping and its answer.
const GOES_ON: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slow {
    pub(super) nodes: u32,
    pub(super) count: u32,
    pub(super) pause_secs: u64,
    pub(super) waits_anew: bool,
    pub(super) window_secs: f64,
    /// Lives of slow members that ended.
    slow_deaths: u64,
    /// Lives of the others that ended.
    pub(super) false_deaths: u64,
    /// Of the others, as one of them heard.
    pub(super) suspicions: u64,
}

impl Slow {
    fn hours() -> f64 {
        share(SPAN_SECS, 3600)
    }

    pub(super) fn slow_deaths_an_hour(&self) -> f64 {
        share(self.slow_deaths, self.count.into()) / Self::hours()
    }

    pub(super) fn false_deaths_a_day(&self) -> f64 {
        24.0 * share(self.false_deaths, (self.nodes - self.count).into()) / Self::hours()
    }

    pub(super) fn suspicions_an_hour(&self) -> f64 {
        share(self.suspicions, (self.nodes - self.count).into()) / Self::hours()
    }

    /// Whether a stop is over before the suspicion is.
    pub(super) fn is_short(&self) -> bool {
        share(self.pause_secs, 1) < self.window_secs
    }
}

pub(super) fn find(
    nodes: u32,
    count: u32,
    pause_secs: u64,
    waits_anew: bool,
    rng: &mut Rng,
) -> Slow {
    let settings = Settings { waits_anew, ..Settings::default() };
    let begins = clusters::some_time(&settings);
    let mut world = clusters::settled(nodes, &settings, clusters::network(0.0), rng, begins);
    clusters::run(&mut world, Duration::from_secs(5));
    let pause = Duration::from_secs(pause_secs);
    // The last `count` are slow, so that the first is well.
    let slow: Vec<HostId> = (nodes - count..nodes).map(HostId).collect();
    let mut next: BTreeSet<(Time, HostId, bool)> = slow
        .iter()
        .map(|&host| {
            (world.now().after(rng.between(Duration::ZERO, pause + GOES_ON[1])), host, true)
        })
        .collect();
    let end = world.now().after(Duration::from_secs(SPAN_SECS));
    let window_secs = window_secs(nodes, &settings);
    let mut found = Slow {
        nodes,
        count,
        pause_secs,
        waits_anew,
        window_secs,
        slow_deaths: 0,
        false_deaths: 0,
        suspicions: 0,
    };
    while let Some((at, host, stops)) = next.pop_first() {
        world.run_until(at.min(end));
        for told in world.take_events() {
            let is_slow = |host: HostId| host.0 >= nodes - count;
            match told.event {
                Event::Renewed { .. } if is_slow(told.host) => found.slow_deaths += 1,
                Event::Renewed { .. } => found.false_deaths += 1,
                Event::Suspect(name) if told.host.0 == 0 => {
                    found.suspicions += u64::from(!is_slow(clusters::host(&name)));
                }
                _ => {}
            }
        }
        if at >= end {
            break;
        }
        if stops {
            world.pause(host);
            next.insert((at.after(pause), host, false));
        } else {
            world.resume(host);
            let goes_on = rng.between(GOES_ON[0], GOES_ON[1]);
            next.insert((at.after(goes_on), host, true));
        }
    }
    found
}
