//! Hours of an overlay whose nodes come and go: who is there, who looks what up, what became of it, and
//! what all of it cost.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use nigh_base::{Key, Rng, Time, space::prefix::Digits};
use nigh_overlay::locate::{
    Command, Contact, Event, Overlay, Ticket, circle::Rule, tapestry::surrogacy,
};
use nigh_sim::{HostId, Latency, Network, World, churn::Lifetime};

use super::counted::{Counted, Traffic};
use crate::{lives::Lifetimes, rings};

/// How long a node is there on average, and away as long.
pub(super) const LIFE: Duration = Duration::from_secs(3600);
/// Each node looks up a random key once in this time on average.
pub(super) const LOOKUP_EVERY: Duration = Duration::from_secs(600);
/// A lookup that has not found the owner by then has failed, and counts as long.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);
/// In which the first nodes come, one behind the other.
const GATHERING: Duration = Duration::from_secs(120);
/// Who was not let in for so long asks somebody else.
const JOIN_PATIENCE: Duration = Duration::from_secs(20);

/// Where an overlay lives, and how long.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    /// Hosts, of which about half are there at a time.
    pub(super) nodes: u32,
    pub(super) latency: Latency,
    pub(super) lifetimes: Lifetimes,
    /// Before anything is measured.
    pub(super) before: Duration,
    pub(super) measured: Duration,
}

/// How a key's owner follows from who is there.
pub(super) enum Owner<T> {
    /// By a rule on the circle.
    Circle(Rule),
    /// Whoever is nearest by XOR.
    Xor,
    /// The root that Tapestry finds in the place of the key, digit by digit.
    Surrogate(Digits),
    /// The only member of whom this holds; nobody, while it holds of several.
    Claimed(fn(&T, Key) -> bool),
}

impl<T> Clone for Owner<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Owner<T> {}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Those whose asker was there to the end.
    pub(super) lookups: u64,
    /// Lookups that did not name the owner first, or not in time.
    pub(super) failed: u64,
    /// All other lookups together.
    pub(super) took: Duration,
    /// Of these, lookups that took less than a round trip between the asker and the owner.
    pub(super) sooner: u64,
    pub(super) sent: Traffic,
    /// How long nodes were there, all together.
    pub(super) lived: Duration,
}

/// Lives through `scene` with nodes that `make` makes.
pub(super) fn live<T>(
    scene: &Scene,
    owner: Owner<T>,
    make: &dyn Fn(Contact) -> T,
    rng: &Rng,
) -> Counts
where
    T: Overlay + Send,
    T::Message: Clone + Send,
    T::Command: Send,
    T::Event: Send,
{
    let mut life = Life::begin(scene, owner, make, rng);
    let begin = Time::START.after(GATHERING + scene.before);
    life.go_on(begin);
    let (sent, lived) = (life.sent(), life.lived);
    life.measured_from = begin;
    let end = begin.after(scene.measured);
    life.go_on(end);
    life.counts.sent = life.sent().since(sent);
    life.counts.lived = life.lived.saturating_sub(lived);
    life.run_until(end.after(2 * PATIENCE));
    let unanswered = life.open.values().filter(|it| it.at >= begin).count() as u64;
    life.counts.lookups += unanswered;
    life.counts.failed += unanswered;
    life.counts
}

/// A lookup under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    by: HostId,
    at: Time,
}

struct Life<'a, T: Overlay> {
    world: World<Counted<T>>,
    scene: &'a Scene,
    owner: Owner<T>,
    make: &'a dyn Fn(Contact) -> T,
    contacts: Vec<Contact>,
    /// Who comes and goes when does not depend on what else is drawn: all overlays live through the
    /// same.
    lives: Rng,
    /// The same of who looks what up.
    questions: Rng,
    rng: Rng,
    /// When each host comes or goes.
    turns: BTreeSet<(Time, HostId)>,
    next_lookup: Time,
    members: BTreeMap<Key, HostId>,
    /// When each host that is no member yet was last told to join, the earliest first.
    joining: VecDeque<(Time, HostId)>,
    open: BTreeMap<u64, Open>,
    asked: u64,
    /// Of nodes that are gone.
    sent_before: Traffic,
    /// How many are there.
    up: u32,
    lived: Duration,
    measured_from: Time,
    counts: Counts,
}

impl<'a, T> Life<'a, T>
where
    T: Overlay + Send,
    T::Message: Clone + Send,
    T::Command: Send,
    T::Event: Send,
{
    /// Half of all hosts, drawn, come together.
    fn begin(scene: &'a Scene, owner: Owner<T>, make: &'a dyn Fn(Contact) -> T, rng: &Rng) -> Self {
        let network = Network::new(scene.latency.clone());
        let mut life = Self {
            world: World::new(rng.fork(1).next_u64(), network),
            scene,
            owner,
            make,
            contacts: rings::contacts(scene.nodes),
            lives: rng.fork(2),
            questions: rng.fork(3),
            rng: rng.fork(4),
            turns: BTreeSet::new(),
            next_lookup: Time::START.after(GATHERING),
            members: BTreeMap::new(),
            joining: VecDeque::new(),
            open: BTreeMap::new(),
            asked: 0,
            sent_before: Traffic::default(),
            up: 0,
            lived: Duration::ZERO,
            measured_from: Time::from_nanos(u64::MAX),
            counts: Counts::default(),
        };
        let gathered = Time::START.after(GATHERING);
        for number in 0..scene.nodes {
            let host = life.world.add(life.machine(HostId(number)));
            let left = scene.lifetimes.left(LIFE, &mut life.lives);
            life.turns.insert((gathered.after(left), host));
            if life.lives.chance(0.5) {
                life.up += 1;
                life.join_through_anyone(host);
            } else {
                life.world.crash(host);
            }
            life.run_until(Time::START.after(GATHERING * (number + 1) / scene.nodes));
        }
        life
    }

    fn machine(&self, host: HostId) -> Counted<T> {
        Counted::new((self.make)(self.contacts[host.index()]))
    }

    /// Lets happen all that happens before `end`.
    fn go_on(&mut self, end: Time) {
        loop {
            let turn = self.turns.first().copied().filter(|it| it.0 <= self.next_lookup);
            let next = turn.map_or(self.next_lookup, |it| it.0);
            self.run_until(next.min(end));
            if next >= end {
                return;
            }
            match turn {
                Some(turn) => self.turn(turn),
                None => self.look_up(),
            }
        }
    }

    fn run_until(&mut self, end: Time) {
        self.lived += end.since(self.world.now()) * self.up;
        self.world.run_until(end);
        self.hear();
    }

    /// A host comes or goes.
    fn turn(&mut self, turn: (Time, HostId)) {
        let (at, host) = turn;
        self.turns.remove(&turn);
        let span = self.scene.lifetimes.draw(LIFE, &mut self.lives);
        self.turns.insert((at.after(span), host));
        let Some(machine) = self.world.machine(host) else {
            let machine = self.machine(host);
            self.world.restart(host, machine);
            self.up += 1;
            return self.join_through_anyone(host);
        };
        self.sent_before = self.sent_before.plus(machine.sent());
        self.members.remove(&self.contacts[host.index()].key);
        self.joining.retain(|it| it.1 != host);
        // Nobody waits for an answer any more.
        self.open.retain(|_, it| it.by != host);
        self.world.crash(host);
        self.up -= 1;
    }

    /// A host looks a key up, if it is a member now.
    fn look_up(&mut self) {
        let every = Lifetime::Exponential { mean: LOOKUP_EVERY / self.scene.nodes };
        self.next_lookup = self.next_lookup.after(every.draw(&mut self.questions));
        let by = self.questions.below(self.scene.nodes.into());
        let by = HostId(u32::try_from(by).expect("a host's number"));
        let key = rings::random_key(&mut self.questions);
        if self.members.contains_key(&self.contacts[by.index()].key) {
            let ticket = Ticket(self.asked);
            self.asked += 1;
            self.open.insert(ticket.0, Open { by, at: self.world.now() });
            self.world.command(by, Command::Locate { ticket, key, trace: false }.into());
        }
    }

    /// Through a member that is drawn; the first of all begins.
    fn join_through_anyone(&mut self, host: HostId) {
        let count = self.members.len();
        let place = (count > 0).then(|| self.rng.index(count));
        let via = place.and_then(|place| self.members.values().nth(place));
        let via = via.map(|it| it.address()).into_iter().collect();
        self.world.command(host, Command::Join { via }.into());
        self.joining.push_back((self.world.now(), host));
    }

    /// Whom a host asked to be let in may be gone meanwhile: it asks another.
    fn join_again(&mut self) {
        while let Some(&(at, host)) = self.joining.front()
            && self.world.now().since(at) >= JOIN_PATIENCE
        {
            self.joining.pop_front();
            if !self.members.contains_key(&self.contacts[host.index()].key) {
                self.join_through_anyone(host);
            }
        }
    }

    /// Takes in what was told.
    fn hear(&mut self) {
        for told in self.world.take_events() {
            match T::told(told.event) {
                Some(Event::Joined) if self.world.is_up(told.host) => {
                    self.members.insert(self.contacts[told.host.index()].key, told.host);
                }
                Some(Event::Located { ticket, key, holders, .. }) => {
                    self.judge(ticket, told.at, key, holders.first().copied());
                }
                Some(Event::Failed { ticket, .. }) => {
                    self.judge(ticket, told.at, Key::default(), None);
                }
                _ => {}
            }
        }
        self.join_again();
    }

    fn judge(&mut self, ticket: Ticket, at: Time, key: Key, named: Option<Contact>) {
        let Some(Open { by, at: asked }) = self.open.remove(&ticket.0) else { return };
        if asked < self.measured_from {
            return;
        }
        self.counts.lookups += 1;
        let took = at.since(asked);
        let Some(owner) = named.filter(|it| took <= PATIENCE && self.is_owner(*it, key)) else {
            self.counts.failed += 1;
            return;
        };
        self.counts.took += took;
        let (there, latency) = (rings::host(owner), &self.scene.latency);
        let direct = latency.between(by, there) + latency.between(there, by);
        self.counts.sooner += u64::from(there != by && took < direct);
    }

    /// Whether it is a member, and responsible for the key now.
    fn is_owner(&self, named: Contact, key: Key) -> bool {
        self.members.get(&named.key) == Some(&rings::host(named))
            && self.owner_of(key) == Some(named.key)
    }

    fn owner_of(&self, key: Key) -> Option<Key> {
        let all = self.members.keys().copied();
        match self.owner {
            Owner::Circle(rule) => all.min_by_key(|&it| rule.order(it, key)),
            Owner::Xor => all.min_by_key(|it| it.xor(key)),
            Owner::Surrogate(digits) => all.min_by_key(|&it| surrogacy(digits, it, key)),
            Owner::Claimed(claims) => {
                let mut all = self.members.iter().filter(|(_, host)| {
                    self.world.machine(**host).is_some_and(|it| claims(it.node(), key))
                });
                all.next().filter(|_| all.next().is_none()).map(|it| *it.0)
            }
        }
    }

    fn sent(&self) -> Traffic {
        let there = self.world.hosts().filter_map(|host| self.world.machine(host));
        there.fold(self.sent_before, |sum, machine| sum.plus(machine.sent()))
    }
}
