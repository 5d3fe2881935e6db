//! Two hours of a ring that changes: who comes, who goes, who looks what up, and what became of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use nigh_base::{Key, Rng, Time, space::clockwise::Circle};
use nigh_overlay::locate::{
    Command, Contact, Event, Hop, Ticket,
    chord::{Node, Routing, Settings, settled::Ring},
};
use nigh_sim::{HostId, Latency, Network, World, churn::Lifetime};

use crate::{lives::Lifetimes, rings};

/// The mean time between two rounds of upkeep; each looks up all fingers.
pub(super) const UPKEEP: Duration = Duration::from_secs(30);
/// The paper names no number here: about the logarithm of the nodes, as its section 4.4 wants.
pub(super) const SUCCESSORS: usize = 8;
const COPIES: u8 = 4;
const LATENCY: Duration = Duration::from_millis(50);
/// Lookups in the whole network come once in this time on average.
const LOOKUP_EVERY: Duration = Duration::from_secs(1);
/// As in the paper; before it, some rounds in which the ring begins to change.
const SPAN: Duration = Duration::from_secs(2 * 3600);
const BEFORE: Duration = Duration::from_secs(120);
/// Who was not let in for so long asks somebody else.
const JOIN_PATIENCE: Duration = Duration::from_secs(20);

/// What became of the lookups of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) joined: u64,
    pub(super) failed: u64,
    /// Those whose asker was there to the end.
    pub(super) lookups: u64,
    /// Nodes on their ways that answered, and the owners.
    pub(super) nodes_on_ways: u64,
    pub(super) timeouts: u64,
    /// Lookups of which a question had no answer.
    pub(super) timed_out: u64,
    /// Lookups that had a time-out, or that named another first than the node responsible.
    pub(super) wrong_with_one_try: u64,
    /// Lookups of which the first node named that is there is not the one responsible.
    pub(super) wrong_with_retries: u64,
    /// Of those, lookups that were given up.
    pub(super) unanswered: u64,
}

/// Runs a ring of `nodes` nodes, of which `rate` fail a second and as many join.
pub(super) fn live(nodes: u32, lifetimes: Lifetimes, rate: f64, mut rng: Rng) -> Counts {
    let mut life = Life::begin(nodes, lifetimes, rate, &mut rng);
    let end = Time::START.after(BEFORE + SPAN);
    loop {
        let (at, what) = life.next();
        if at >= end {
            break;
        }
        life.world.run_until(at);
        life.hear();
        life.happen(what);
    }
    life.world.run_until(end.after(Duration::from_secs(60)));
    life.hear();
    life.counts
}

/// What happens next from outside.
#[derive(Clone, Copy, Debug)]
enum What {
    Join,
    Fail(HostId),
    Lookup,
}

#[derive(Debug)]
struct Life {
    world: World<Node>,
    settings: Arc<Settings>,
    lifetimes: Lifetimes,
    /// Between two joins, and between two failures.
    gap: Lifetime,
    /// How long nodes live on average.
    mean_life: Duration,
    rng: Rng,
    /// The members that are there: the ring as it should be.
    members: BTreeMap<Key, HostId>,
    /// When each host that is no member yet was last told to join, the earliest first.
    joining: VecDeque<(Time, HostId)>,
    /// When each host fails, if that was drawn when it came.
    ends: BTreeMap<Time, HostId>,
    next_join: Time,
    next_failure: Time,
    next_lookup: Time,
    /// Askers of lookups under way.
    open: BTreeMap<u64, HostId>,
    asked: u64,
    counts: Counts,
}

impl Life {
    fn begin(nodes: u32, lifetimes: Lifetimes, rate: f64, rng: &mut Rng) -> Self {
        let settings = Arc::new(Settings {
            circle: Circle::WHOLE,
            successors: SUCCESSORS,
            copies: COPIES,
            routing: Routing::Iterative,
            proximity: 1,
            stabilise_every: UPKEEP,
            fingers_a_round: Circle::WHOLE.bits(),
        });
        let contacts = rings::contacts(nodes);
        let ring = Ring::new(Arc::clone(&settings), contacts.clone());
        let network = Network::new(Latency::Constant(LATENCY));
        let mut world = World::new(rng.next_u64(), network);
        let mut begins = rng.fork(1);
        let first = || Time::START.after(begins.between(Duration::ZERO, UPKEEP));
        rings::settle(&mut world, &ring, &contacts, first, |_, _| 0);
        let mean = Duration::from_secs_f64(f64::from(nodes) / rate);
        let mut life = Self {
            world,
            settings,
            lifetimes,
            gap: Lifetime::Exponential { mean: Duration::from_secs_f64(1.0 / rate) },
            mean_life: mean,
            rng: rng.fork(2),
            members: contacts.iter().map(|&it| (it.key, rings::host(it))).collect(),
            joining: VecDeque::new(),
            ends: BTreeMap::new(),
            next_join: Time::START,
            next_failure: Time::START,
            next_lookup: Time::START.after(BEFORE),
            open: BTreeMap::new(),
            asked: 0,
            counts: Counts::default(),
        };
        life.next_join = life.after_gap();
        life.next_failure = life.after_gap();
        if lifetimes == Lifetimes::Weibull {
            life.next_failure = Time::from_nanos(u64::MAX);
            for host in 0..nodes {
                let left = lifetimes.left(mean, &mut life.rng);
                life.ends.insert(Time::START.after(left), HostId(host));
            }
        }
        life
    }

    fn after_gap(&mut self) -> Time {
        self.world.now().after(self.gap.draw(&mut self.rng))
    }

    fn next(&self) -> (Time, What) {
        let mut next = (self.next_lookup, What::Lookup);
        let drawn = self.ends.first_key_value().map(|(&at, &host)| (at, What::Fail(host)));
        // Who fails in a Poisson process is drawn when it does.
        let failure = (self.next_failure, What::Fail(NOBODY));
        for other in [(self.next_join, What::Join), failure].into_iter().chain(drawn) {
            if other.0 < next.0 {
                next = other;
            }
        }
        next
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Join => {
                self.next_join = self.after_gap();
                self.join();
            }
            What::Fail(NOBODY) => {
                self.next_failure = self.after_gap();
                if let Some(host) = self.anyone() {
                    self.fail(host);
                }
            }
            What::Fail(host) => {
                self.ends.pop_first();
                self.fail(host);
            }
            What::Lookup => {
                let every = Lifetime::Exponential { mean: LOOKUP_EVERY };
                self.next_lookup = self.world.now().after(every.draw(&mut self.rng));
                self.look_up();
            }
        }
    }

    /// A member, each with the same chance.
    fn anyone(&mut self) -> Option<HostId> {
        let count = self.members.len();
        let place = (count > 0).then(|| self.rng.index(count))?;
        self.members.values().nth(place).copied()
    }

    fn join(&mut self) {
        let host = HostId(u32::try_from(self.world.hosts().count()).expect("hosts have numbers"));
        let Contact { key, address } = rings::contact(host.0);
        self.world.add(Node::new(key, address, Arc::clone(&self.settings)));
        if self.lifetimes == Lifetimes::Weibull {
            let life = self.lifetimes.draw(self.mean_life, &mut self.rng);
            let end = self.world.now().after(life);
            self.ends.insert(end, host);
        }
        self.join_through_anyone(host);
    }

    fn join_through_anyone(&mut self, host: HostId) {
        if let Some(via) = self.anyone() {
            self.world.command(host, Command::Join { via: vec![via.address()] });
            self.joining.push_back((self.world.now(), host));
        }
    }

    /// Whom a host asked to be let in may have failed meanwhile: it asks another.
    fn join_again(&mut self) {
        while let Some(&(at, host)) = self.joining.front()
            && self.world.now().since(at) >= JOIN_PATIENCE
        {
            self.joining.pop_front();
            if self.world.machine(host).is_some_and(|node| !node.is_member()) {
                self.join_through_anyone(host);
            }
        }
    }

    fn fail(&mut self, host: HostId) {
        self.counts.failed += 1;
        self.members.remove(&rings::contact(host.0).key);
        self.world.crash(host);
        // Nobody waits for an answer any more.
        self.open.retain(|_, asker| *asker != host);
    }

    fn look_up(&mut self) {
        let Some(by) = self.anyone() else { return };
        let key = rings::random_key(&mut self.rng);
        let ticket = Ticket(self.asked);
        self.asked += 1;
        self.open.insert(ticket.0, by);
        self.world.command(by, Command::Locate { ticket, key, trace: true });
    }

    /// Takes in what was told since the last thing that happened from outside.
    fn hear(&mut self) {
        for told in self.world.take_events() {
            match told.event {
                Event::Joined => {
                    self.counts.joined += 1;
                    self.members.insert(rings::contact(told.host.0).key, told.host);
                }
                Event::Located { ticket, key, holders, route, .. }
                    if self.open.remove(&ticket.0).is_some() =>
                {
                    self.judge(key, &holders, &route);
                }
                Event::Failed { ticket, .. } if self.open.remove(&ticket.0).is_some() => {
                    self.counts.lookups += 1;
                    self.counts.timed_out += 1;
                    self.counts.wrong_with_one_try += 1;
                    self.counts.wrong_with_retries += 1;
                    self.counts.unanswered += 1;
                }
                _ => {}
            }
        }
        self.join_again();
    }

    fn judge(&mut self, key: Key, holders: &[Contact], route: &[Hop]) {
        let behind = self.members.range(key..).next();
        let owner = behind.or_else(|| self.members.first_key_value()).map(|(_, &host)| host);
        let named = holders.first().copied();
        let is_there = |host: HostId| {
            self.members.get(&rings::contact(host.0).key).is_some_and(|&it| it == host)
        };
        let (first, _) = rings::first_there(holders, is_there);
        let is_owner = |it: Option<Contact>| it.map(rings::host) == owner;
        let way = named.map_or(rings::Way { between: 0, timeouts: 0 }, |it| rings::way(route, it));
        let counts = &mut self.counts;
        counts.lookups += 1;
        counts.nodes_on_ways += u64::from(way.between + 1);
        counts.timeouts += u64::from(way.timeouts);
        counts.timed_out += u64::from(way.timeouts > 0);
        counts.wrong_with_one_try += u64::from(way.timeouts > 0 || !is_owner(named));
        counts.wrong_with_retries += u64::from(!is_owner(first));
    }
}

/// Stands for whoever is drawn.
const NOBODY: HostId = HostId(u32::MAX);
