//! Runs a scenario, and looks at what is left of the ring.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use bytes::Bytes;
use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{Command, Contact, Event, Ticket, chord::Node};
use nigh_sim::{
    HostId, Latency, Network, World,
    plan::{self, Fault, Step},
};

use super::scenario::{Ask, Broken, Happening, Held, JOINED, MENDED, Scenario};
use crate::rings;

const LATENCY: Duration = Duration::from_millis(30);
const JITTER: Duration = Duration::from_millis(20);
/// What nodes tell is heard so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A host that nobody has let in for so long asks others.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);
/// A ring is whole so long after the last fault: many times what most take.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);
/// In a whole ring without faults, an answer has come after this.
const ANSWERED: Duration = Duration::from_secs(30);
/// A copy whose owner is silent goes to the new one after two minutes, and at the next of its
/// rounds; then it is with the owner.
const SETTLED: Duration = Duration::from_secs(240);
/// Values live longer than all this.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Where a host asks for a way in.
const VIA: usize = 3;
/// The host with which the ring begins.
const FIRST: HostId = HostId(0);

/// Runs `scenario` with these of its faults.
pub(super) fn run(scenario: &Scenario, steps: &[Step]) -> Result<Held, Broken> {
    let torture = || Torture::new(scenario).run(steps);
    catch_unwind(AssertUnwindSafe(torture)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()));
        Err(Broken::Invariant(words.unwrap_or_else(|| "a panic without words".to_owned())))
    })
}

/// What was asked and is not answered yet.
#[derive(Clone, Debug)]
struct Open {
    by: HostId,
    what: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    /// Whoever is responsible, right or wrong: faults are going on.
    Anything,
    Owner(Contact),
    Store(Key),
    Value(Bytes),
}

/// A value that somebody wanted held.
#[derive(Clone, Debug)]
struct Value {
    key: Key,
    bytes: Bytes,
    /// How many hold it, once that is known.
    copies: Option<u8>,
    /// Who has failed since it was asked for: at worst one holder each.
    failed: BTreeSet<HostId>,
}

struct Torture<'a> {
    scenario: &'a Scenario,
    world: World<Node>,
    /// When each host was last told to join.
    joins: BTreeMap<HostId, Time>,
    rng: Rng,
    open: BTreeMap<u64, Open>,
    asked: u64,
    values: Vec<Value>,
    held: Held,
}

impl<'a> Torture<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut network = Network::new(Latency::Constant(LATENCY));
        network.jitter = JITTER;
        let mut world = World::new(scenario.seed, network);
        world.check_always();
        for number in 0..scenario.nodes {
            world.add(node(scenario, HostId(number)));
        }
        let rng = Rng::new(scenario.seed).fork(3);
        let (joins, open, values) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { scenario, world, joins, rng, open, asked: 0, values, held: Held::default() }
    }

    fn run(mut self, steps: &[Step]) -> Result<Held, Broken> {
        for (at, happening) in self.scenario.timeline(steps) {
            self.go_on_until(at)?;
            self.happen(happening);
        }
        self.go_on_until(MENDED)?;
        self.mend();
        self.become_whole()?;
        self.go_on(ANSWERED)?;
        if let Some((ticket, open)) = self.open.first_key_value() {
            return Err(Broken::NoAnswer(format!("{:?} to question {ticket}: {open:?}", open.by)));
        }
        self.look_up_everywhere()?;
        if self.scenario.with_values {
            self.go_on(SETTLED)?;
            self.look_for_values()?;
        }
        self.held.inputs = self.world.counts().inputs;
        Ok(self.held)
    }

    fn go_on(&mut self, span: Duration) -> Result<(), Broken> {
        self.go_on_until(self.world.now().after(span))
    }

    fn go_on_until(&mut self, at: Time) -> Result<(), Broken> {
        while self.world.now() < at {
            let next = self.world.now().after(LOOK_EVERY).min(at);
            self.world.run_until(next);
            self.hear()?;
            self.join_again();
        }
        Ok(())
    }

    /// Those whom a host asked to be let in may be down, or outside themselves: it asks others.
    fn join_again(&mut self) {
        let now = self.world.now();
        let late = self.joins.iter().filter(|(_, at)| now.since(**at) >= JOIN_PATIENCE);
        let late: Vec<HostId> = late.map(|(&host, _)| host).collect();
        for host in late {
            self.joins.remove(&host);
            self.join(host);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Join(host) => self.join(host),
            Happening::Ask(ask) => self.ask(ask),
            Happening::Fault(fault) => self.fault(&fault),
        }
    }

    /// Lets a host in through some that are up, be they members or not; the first one begins.
    fn join(&mut self, host: HostId) {
        if self.world.machine(host).is_none_or(Node::is_member) {
            return;
        }
        let mut via = self.others_up(host);
        self.rng.shuffle(&mut via);
        via.truncate(VIA);
        if self.world.now() < JOINED {
            // It is known where the ring began.
            via.insert(0, FIRST);
        }
        if host == FIRST && self.world.now() == Time::START {
            via.clear();
        }
        self.joins.insert(host, self.world.now());
        let via = via.into_iter().map(HostId::address).collect();
        self.world.command(host, Command::Join { via });
    }

    fn others_up(&self, host: HostId) -> Vec<HostId> {
        self.world.hosts().filter(|&it| it != host && self.world.is_up(it)).collect()
    }

    /// Whether the ring would have no member left without this host: then nobody could join again.
    fn is_last(&self, host: HostId) -> bool {
        let is_member = |it: &HostId| self.world.machine(*it).is_some_and(Node::is_member);
        !self.others_up(host).iter().any(is_member)
    }

    fn ask(&mut self, ask: Ask) {
        let Ask { by, key, value } = ask;
        if !self.world.is_up(by) {
            return;
        }
        match value {
            None => self.question(by, Wanted::Anything, |ticket| Command::Locate {
                ticket,
                key,
                trace: false,
            }),
            Some(value) => {
                let (bytes, failed) = (value.clone(), BTreeSet::new());
                self.values.push(Value { key, bytes, copies: None, failed });
                self.question(by, Wanted::Store(key), |ticket| Command::Put {
                    ticket,
                    key,
                    value,
                    lifetime: LIFETIME,
                    refresh: false,
                });
            }
        }
    }

    fn question(&mut self, by: HostId, what: Wanted, command: impl FnOnce(Ticket) -> Command) {
        let ticket = self.asked;
        self.asked += 1;
        self.open.insert(ticket, Open { by, what });
        self.world.command(by, command(Ticket(ticket)));
    }

    fn fault(&mut self, fault: &Fault) {
        if let Fault::Crash(host) = fault {
            if self.is_last(*host) {
                return;
            }
            self.open.retain(|_, open| open.by != *host);
            self.values.iter_mut().for_each(|value| {
                value.failed.insert(*host);
            });
        }
        let scenario = self.scenario;
        let was_down = matches!(fault, Fault::Restart(host) if !self.world.is_up(*host));
        plan::apply(&mut self.world, fault, &mut |host| node(scenario, host));
        if let (Fault::Restart(host), true) = (fault, was_down) {
            self.join(*host);
        }
    }

    /// Nothing is wrong any more.
    fn mend(&mut self) {
        let hosts: Vec<HostId> = self.world.hosts().collect();
        let each = hosts.iter().flat_map(|&host| [Fault::Resume(host), Fault::Restart(host)]);
        for fault in [Fault::Weather(0.0), Fault::Heal].into_iter().chain(each) {
            self.fault(&fault);
        }
    }

    fn hear(&mut self) -> Result<(), Broken> {
        for told in self.world.take_events() {
            let ticket = match &told.event {
                Event::Joined | Event::JoinFailed(_) | Event::Left { .. } => continue,
                Event::Located { ticket, .. }
                | Event::Stored { ticket, .. }
                | Event::Value { ticket, .. }
                | Event::Failed { ticket, .. } => ticket.0,
            };
            match self.open.remove(&ticket) {
                Some(open) => self.answered(&open, &told.event)?,
                // Its asker has failed since, or it is the second answer.
                None if self.world.is_up(told.host) => self.answered_again(ticket, told.host)?,
                None => {}
            }
        }
        Ok(())
    }

    fn answered(&mut self, open: &Open, event: &Event) -> Result<(), Broken> {
        self.held.answers += 1;
        match (&open.what, event) {
            (Wanted::Owner(owner), Event::Located { holders, .. })
                if holders.first() == Some(owner) => {}
            (Wanted::Owner(owner), event) => {
                return Err(Broken::WrongLookup(format!("{owner:?} is the owner: {event:?}")));
            }
            (Wanted::Value(bytes), Event::Value { value, .. }) if value.as_ref() == Some(bytes) => {
                self.held.values += 1;
            }
            (Wanted::Value(bytes), event) => {
                return Err(Broken::ValueLost(format!("{bytes:?} was held: {event:?}")));
            }
            (Wanted::Store(key), Event::Stored { copies, .. }) => {
                let value = self.values.iter_mut().find(|value| value.key == *key);
                value.expect("it was asked for").copies = Some(*copies);
            }
            (Wanted::Store(_) | Wanted::Anything, _) => {}
        }
        Ok(())
    }

    /// An asker that failed and came up again asks nothing more until all is mended.
    fn answered_again(&self, ticket: u64, host: HostId) -> Result<(), Broken> {
        Err(Broken::NoAnswer(format!("{host:?} answered question {ticket} twice")))
    }

    /// Waits until every host is a member and knows its neighbours.
    fn become_whole(&mut self) -> Result<(), Broken> {
        loop {
            let (now, missing) = (self.world.now(), self.missing());
            match missing {
                None => {
                    self.held.whole_after = now.since(MENDED);
                    return Ok(());
                }
                Some(words) if now.since(MENDED) >= PATIENCE => {
                    return Err(Broken::NotWhole(words));
                }
                Some(_) => self.go_on(LOOK_EVERY)?,
            }
        }
    }

    /// All nodes, in the order of their keys.
    fn contacts(&self) -> Vec<Contact> {
        let mut contacts = rings::contacts(self.scenario.nodes);
        contacts.sort_unstable();
        contacts
    }

    /// What is missing for the ring to be whole.
    fn missing(&self) -> Option<String> {
        let all = self.contacts();
        all.iter().enumerate().find_map(|(place, &me)| {
            let host = rings::host(me);
            let node = self.world.machine(host).expect("all hosts are up");
            if !node.is_member() {
                return Some(format!("{host:?} is no member"));
            }
            let behind: Vec<Contact> = (1..all.len())
                .take(self.scenario.settings.successors)
                .map(|step| all[(place + step) % all.len()])
                .collect();
            if node.successors() != behind {
                let hosts =
                    |of: &[Contact]| of.iter().map(|it| rings::host(*it).0).collect::<Vec<_>>();
                let (has, wanted) = (hosts(node.successors()), hosts(&behind));
                return Some(format!("{host:?} has successors {has:?} instead of {wanted:?}"));
            }
            let before = all[(place + all.len() - 1) % all.len()];
            let has = node.predecessor().map(rings::host);
            (node.predecessor() != Some(before)).then(|| {
                format!("{host:?} has predecessor {has:?} instead of {:?}", rings::host(before))
            })
        })
    }

    /// Every node looks up a key, and finds its owner.
    fn look_up_everywhere(&mut self) -> Result<(), Broken> {
        let all = self.contacts();
        for host in self.world.hosts().collect::<Vec<_>>() {
            let key = rings::random_key(&mut self.rng);
            let owner = all[all.partition_point(|it| it.key < key) % all.len()];
            self.question(host, Wanted::Owner(owner), |ticket| Command::Locate {
                ticket,
                key,
                trace: false,
            });
        }
        self.all_answered()
    }

    /// Values of whose holders one never failed are there.
    fn look_for_values(&mut self) -> Result<(), Broken> {
        let hosts: Vec<HostId> = self.world.hosts().collect();
        for value in self.values.clone() {
            let copies = value.copies.map_or(0, usize::from);
            if value.failed.len() >= copies {
                continue;
            }
            let (by, key) = (hosts[self.rng.index(hosts.len())], value.key);
            self.question(by, Wanted::Value(value.bytes), |ticket| Command::Get { ticket, key });
        }
        self.all_answered()
    }

    fn all_answered(&mut self) -> Result<(), Broken> {
        self.go_on(ANSWERED)?;
        match self.open.first_key_value() {
            None => Ok(()),
            Some((ticket, open)) => {
                Err(Broken::NoAnswer(format!("{:?} to question {ticket}: {open:?}", open.by)))
            }
        }
    }
}

fn node(scenario: &Scenario, host: HostId) -> Node {
    let Contact { key, address } = rings::contact(host.0);
    Node::new(key, address, scenario.settings.clone())
}
