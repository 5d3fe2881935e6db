//! One seed: a small ring, what is asked of it, what goes wrong, and what must hold afterwards.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use nigh_base::{Key, Rng, Time, space::clockwise::Circle};
use nigh_overlay::locate::chord::{Routing, Settings};
use nigh_sim::{
    HostId,
    plan::{self, Mix, Step},
};

/// The smallest ring.
pub(super) const FEWEST: u64 = 8;
/// The mean time between two rounds of upkeep: short, so that little simulated time shows much.
const UPKEEP: Duration = Duration::from_secs(1);
/// Nodes come within this time; the ring has not settled when the faults begin.
const JOINING: Duration = Duration::from_secs(10);
pub(super) const JOINED: Time = Time::from_secs(10);
/// When faults come, and how often.
const FAULTS_FROM: Time = Time::from_secs(12);
const FAULTS_UNTIL: Time = Time::from_secs(60);
const FAULT_EVERY: Duration = Duration::from_secs(2);
/// The largest share of datagrams that is lost, and doubled.
const LOSS_MAX: f64 = 0.2;
/// What is asked for meanwhile.
const LOOKUPS: usize = 8;
const VALUES: usize = 4;
/// Of so many seeds one waits for values to come to rest with their owners, which takes as long as
/// all else.
const WITH_VALUES: u64 = 4;

/// A ring and its troubles, all of it from one seed.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) settings: Arc<Settings>,
    pub(super) nodes: u32,
    /// When each host comes; the first begins the ring.
    pub(super) joins: Vec<(Time, HostId)>,
    pub(super) asks: Vec<(Time, Ask)>,
    pub(super) steps: Vec<Step>,
    /// Whether values are looked for at the end.
    pub(super) with_values: bool,
}

/// Something that is asked of a host.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) by: HostId,
    pub(super) key: Key,
    /// What is to be held; none for a lookup.
    pub(super) value: Option<Bytes>,
}

/// When all is mended.
pub(super) const MENDED: Time = FAULTS_UNTIL;

impl Scenario {
    /// A ring of [`FEWEST`] to `most` nodes.
    pub(super) fn draw(seed: u64, most: u64) -> Self {
        let rng = Rng::new(seed);
        let mut draw = rng.fork(1);
        let nodes = u32::try_from(FEWEST + draw.below(most - FEWEST + 1)).expect("rings are small");
        let hosts: Vec<HostId> = (0..nodes).map(HostId).collect();
        let successors = 4 + draw.index(5);
        let settings = Settings {
            circle: Circle::WHOLE,
            successors,
            copies: 3,
            routing: [Routing::Iterative, Routing::Recursive, Routing::Blind][draw.index(3)],
            proximity: if draw.one_in(2) { 1 } else { successors },
            stabilise_every: UPKEEP,
            fingers_a_round: 1 + u32::from(draw.one_in(2)),
        };
        let within = |span, draw: &mut Rng| Time::START.after(draw.between(Duration::ZERO, span));
        let mut joins: Vec<(Time, HostId)> =
            hosts[1..].iter().map(|&host| (within(JOINING, &mut draw), host)).collect();
        joins.push((Time::START, hosts[0]));
        joins.sort_unstable();
        let mut asks = Vec::new();
        for number in 0..LOOKUPS + VALUES {
            let span = FAULTS_UNTIL.since(FAULTS_FROM);
            let at = FAULTS_FROM.after(draw.between(Duration::ZERO, span));
            let by = hosts[draw.index(hosts.len())];
            let value = (number >= LOOKUPS).then(|| Bytes::from(format!("value {number}")));
            asks.push((at, Ask { by, key: Key::of(&draw.next_u64().to_be_bytes()), value }));
        }
        // Fewer than a node knows successors, so that the ring holds together.
        let down_max = (successors - 1).min(hosts.len() / 3);
        let mix = Mix {
            from: FAULTS_FROM,
            until: FAULTS_UNTIL,
            every: FAULT_EVERY,
            down_max,
            loss_max: LOSS_MAX,
            parting: true,
        };
        let mut steps = plan::draw(mix, &hosts, &mut rng.fork(2));
        // What mends everything at the end is no part of what may be left out.
        steps.retain(|step| step.at < FAULTS_UNTIL);
        let with_values = seed.is_multiple_of(WITH_VALUES);
        let settings = Arc::new(settings);
        Self { seed, settings, nodes, joins, asks, steps, with_values }
    }

    /// All that happens from outside, in order.
    pub(super) fn timeline(&self, steps: &[Step]) -> Vec<(Time, Happening)> {
        let joins = self.joins.iter().map(|&(at, host)| (at, Happening::Join(host)));
        let asks = self.asks.iter().map(|(at, ask)| (*at, Happening::Ask(ask.clone())));
        let faults = steps.iter().map(|step| (step.at, Happening::Fault(step.fault.clone())));
        let mut all: Vec<(Time, Happening)> = joins.chain(asks).chain(faults).collect();
        all.sort_by_key(|&(at, _)| at);
        all
    }
}

/// What happens from outside.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Join(HostId),
    Ask(Ask),
    Fault(plan::Fault),
}

/// What was found in a ring that held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// From the last fault until every node knew its successors and its predecessor.
    pub(super) whole_after: Duration,
    /// Inputs, after each of which the node's invariants were checked.
    pub(super) inputs: u64,
    /// Questions that were answered.
    pub(super) answers: u64,
    /// Values that must be there still, and are.
    pub(super) values: u64,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// A machine's own invariants.
    Invariant(String),
    /// The ring was not whole in time.
    NotWhole(String),
    /// A lookup in the whole ring found another than the owner, or nobody.
    WrongLookup(String),
    /// A question was never answered, or twice.
    NoAnswer(String),
    /// A value is gone, though one of its holders never failed.
    ValueLost(String),
}

impl Broken {
    /// Which rule was broken.
    pub(super) const fn rule(&self) -> Rule {
        match self {
            Self::Invariant(_) => Rule::Invariants,
            Self::NotWhole(_) => Rule::Whole,
            Self::WrongLookup(_) => Rule::Lookups,
            Self::NoAnswer(_) => Rule::Answers,
            Self::ValueLost(_) => Rule::Values,
        }
    }

    /// What was seen.
    pub(super) fn words(&self) -> &str {
        let (Self::Invariant(words)
        | Self::NotWhole(words)
        | Self::WrongLookup(words)
        | Self::NoAnswer(words)
        | Self::ValueLost(words)) = self;
        words
    }
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    Invariants,
    Answers,
    Whole,
    Lookups,
    Values,
}

impl Rule {
    pub(super) const ALL: [Self; 5] =
        [Self::Invariants, Self::Answers, Self::Whole, Self::Lookups, Self::Values];
}

/// Faults by kind, for the table.
pub(super) fn count_faults(steps: &[Step], counts: &mut BTreeMap<&'static str, u64>) {
    for step in steps {
        let kind = match step.fault {
            plan::Fault::Crash(_) => "crashes",
            plan::Fault::Restart(_) => "restarts",
            plan::Fault::Pause(_) => "pauses",
            plan::Fault::Resume(_) => "resumes",
            plan::Fault::Part(_) => "partitions",
            plan::Fault::Mute(_) => "one-way partitions",
            plan::Fault::Heal => "healed",
            plan::Fault::Weather(_) => "changes of weather",
        };
        *counts.entry(kind).or_default() += 1;
    }
}
