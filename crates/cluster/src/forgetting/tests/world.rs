//! The cluster that the tests run: machines around [`Holder`] and [`Purge`], and what they exchange.

use std::{
    collections::BTreeMap,
    hash::Hash,
    sync::{Arc, Mutex},
    time::Duration,
};

use nigh_base::{
    Address, Digest, Machine, Time,
    machine::{Context, Input},
    wire::{Reader, Wire, WireError},
};
use nigh_sim::{
    HostId, Latency, Network, World,
    plan::{Step, apply},
};

use super::{super::*, edge};
use crate::control::{
    Listing, Revision,
    model::{Bounds, Seen, State},
};

/// How often control state is asked for what is new: a simulated watch.
const LOOK: Duration = Duration::from_millis(100);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(900);

const CONTROL: HostId = HostId(0);
const ORIGIN: HostId = HostId(1);

/// What an edge is told to do.
#[derive(Clone, Debug)]
pub(super) enum Doing {
    Serve,
    ChangeAndPurge,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) enum Happened {
    /// A purge is done: what is served from now on has at least this version.
    Purged {
        version: u64,
    },
    Served {
        version: u64,
        began: Time,
        stored: bool,
    },
}

/// Questions and answers, by number. Lost ones are not asked again: the asker's patience ends.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Control(u64, Ask),
    Next(u64, Prefix, Revision),
    Reached(u64),
    Answered(u64, Result<Answered, Refused>),
    Saw(u64, Option<Seen>),
    /// To the origin, to change the object; or what it is.
    Change(u64),
    Fetch(u64),
    Version(u64, u64),
    /// To a sibling: what it has, for one who has come so far.
    Sibling(u64, u64),
}

impl Wire for Message {
    const MAX: usize = 0;
    fn write(&self, _out: &mut Vec<u8>) {}
    fn read(_reader: &mut Reader<'_>) -> Result<Self, WireError> {
        unreachable!("this world passes values")
    }
}

/// What survives an edge's crash: its disk.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Stored {
    version: Option<u64>,
    reached: u64,
    at: Revision,
    /// How often it was started: answers to an earlier life are not taken for its own.
    lives: u64,
}

type Disks = Arc<Mutex<BTreeMap<u32, Stored>>>;

#[derive(Debug)]
pub(super) enum Node {
    Control(State),
    Origin(u64),
    Edge(Box<Edge>),
}

/// What an edge waits for.
#[derive(Clone, Debug, Hash)]
enum Waiting {
    Holder,
    Watch,
    /// An answer to a client, from the origin or a sibling; the purge that was reached when it began.
    Client {
        began: Time,
        reached: u64,
        stored: bool,
    },
    /// For a sibling, which knows it by this number.
    Sibling {
        asker: Address,
        number: u64,
        reached: u64,
    },
    Changed,
    PurgeList {
        version: u64,
    },
    PurgeCommit {
        version: u64,
        number: u64,
    },
    PurgeReached {
        version: u64,
        number: u64,
    },
}

#[derive(Debug)]
pub(super) struct Edge {
    id: u32,
    siblings: u32,
    holder: Holder,
    disks: Disks,
    stored: Stored,
    watched: Revision,
    watching: bool,
    look_at: Time,
    next: u64,
    waiting: BTreeMap<u64, (Time, Waiting)>,
    purging: Vec<(u64, Purge)>,
}

fn named(id: u32) -> QualifiedName {
    edge("eu", &format!("edge-{id}"))
}

fn control() -> Address {
    CONTROL.address()
}

impl Edge {
    fn new(id: u32, siblings: u32, disks: Disks) -> Self {
        let mut stored = disks.lock().unwrap().get(&id).copied().unwrap_or_default();
        stored.lives += 1;
        disks.lock().unwrap().insert(id, stored);
        Self {
            id,
            siblings,
            holder: Holder::new(&named(id), stored.reached, stored.at),
            disks,
            stored,
            watched: Revision::NONE,
            watching: false,
            look_at: Time::START,
            next: stored.lives << 32,
            waiting: BTreeMap::new(),
            purging: Vec::new(),
        }
    }

    fn wait(&mut self, now: Time, what: Waiting) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, (now, what));
        self.next
    }

    /// What was purged is gone from the disk before anything is said.
    fn forget(&mut self, forgets: &[Forget]) {
        if !forgets.is_empty() {
            self.stored.version = None;
        }
        (self.stored.reached, self.stored.at) = (self.holder.reached(), self.holder.at());
        self.keep();
    }

    fn keep(&self) {
        self.disks.lock().unwrap().insert(self.id, self.stored);
    }

    fn store(&mut self, version: u64, reached: u64) {
        // What was purged since it was asked for is not kept.
        if reached == self.holder.reached() {
            self.stored.version = Some(version);
            self.keep();
        }
    }

    fn go_on(&mut self, cx: &mut Context<'_, Node>) {
        if let Some(ask) = self.holder.ask(cx.now) {
            let number = self.wait(cx.now, Waiting::Holder);
            cx.send(control(), Message::Control(number, ask));
        }
        if self.watching && cx.now >= self.look_at {
            self.look_at = cx.now.after(LOOK);
            if !self.waiting.values().any(|(_, it)| matches!(it, Waiting::Watch)) {
                let number = self.wait(cx.now, Waiting::Watch);
                cx.send(control(), Message::Next(number, purges(), self.watched));
            }
        }
        for (version, purge) in std::mem::take(&mut self.purging) {
            if purge.is_done() {
                cx.tell(Happened::Purged { version });
            } else {
                self.purging.push((version, purge));
            }
        }
    }

    fn serve(&mut self, cx: &mut Context<'_, Node>) {
        let began = cx.now;
        let trusted = self.holder.trust(cx.now, 0) == Trust::Stored;
        if let Some(version) = self.stored.version.filter(|_| trusted) {
            return cx.tell(Happened::Served { version, began, stored: true });
        }
        let reached = self.holder.reached();
        let owner = HostId(2 + (self.id + 1) % self.siblings);
        let asks_owner = cx.rng.one_in(2);
        let number = self.wait(cx.now, Waiting::Client { began, reached, stored: asks_owner });
        match asks_owner {
            true => cx.send(owner.address(), Message::Sibling(number, reached)),
            false => cx.send(ORIGIN.address(), Message::Fetch(number)),
        }
    }

    /// A sibling that has come farther than we have gets nothing from our store.
    fn serve_sibling(&mut self, cx: &mut Context<'_, Node>, asker: Address, number: u64, its: u64) {
        let trusted = self.holder.trust(cx.now, its) == Trust::Stored;
        if let Some(version) = self.stored.version.filter(|_| trusted) {
            return cx.send(asker, Message::Version(number, version));
        }
        let reached = self.holder.reached();
        let ours = self.wait(cx.now, Waiting::Sibling { asker, number, reached });
        cx.send(ORIGIN.address(), Message::Fetch(ours));
    }

    fn version(&mut self, cx: &mut Context<'_, Node>, waiting: Waiting, version: u64) {
        match waiting {
            Waiting::Client { began, reached, stored } => {
                self.store(version, reached);
                cx.tell(Happened::Served { version, began, stored });
            }
            Waiting::Sibling { asker, number, reached } => {
                self.store(version, reached);
                cx.send(asker, Message::Version(number, version));
            }
            Waiting::Changed => {
                let number = self.wait(cx.now, Waiting::PurgeList { version });
                cx.send(control(), Message::Control(number, Ask::List));
            }
            other => panic!("{other:?} is no wait for a version"),
        }
    }

    fn answered(
        &mut self,
        cx: &mut Context<'_, Node>,
        waiting: Waiting,
        answer: Result<Answered, Refused>,
    ) {
        match (waiting, answer) {
            (Waiting::Holder, answer) => {
                if let Ok(Answered::Listed(listing)) = &answer {
                    (self.watched, self.watching) = (listing.revision, true);
                }
                let forgets = self.holder.answered(cx.now, answer);
                self.forget(&forgets);
            }
            (Waiting::PurgeList { version }, Ok(Answered::Listed(listing))) => {
                self.commit_purge(cx, version, &listing);
            }
            (Waiting::PurgeCommit { version, number }, Ok(Answered::Done)) => {
                let ours = self.wait(cx.now, Waiting::PurgeReached { version, number });
                cx.send(control(), Message::Reached(ours));
            }
            // Another purge came first.
            (Waiting::PurgeCommit { version, .. }, Err(Refused::Conflict)) => {
                let number = self.wait(cx.now, Waiting::PurgeList { version });
                cx.send(control(), Message::Control(number, Ask::List));
            }
            (Waiting::PurgeReached { version, number }, Ok(Answered::Listed(listing))) => {
                let mut purge = Purge::new(number, cx.now, (0..self.siblings).map(named));
                purge.listed(cx.now, &listing);
                if !purge.is_done() {
                    // Looked at again, until it is: control state is asked anew.
                    let ours = self.wait(cx.now, Waiting::PurgeReached { version, number });
                    cx.send(control(), Message::Reached(ours));
                }
                self.purging.push((version, purge));
                self.purging.retain(|(_, purge)| purge.is_done());
            }
            _ => {}
        }
    }

    fn commit_purge(&mut self, cx: &mut Context<'_, Node>, version: u64, listing: &Listing) {
        let (number, commit) = purging(listing, Value::new("all").unwrap()).unwrap();
        let ours = self.wait(cx.now, Waiting::PurgeCommit { version, number });
        cx.send(control(), Message::Control(ours, Ask::Commit(commit)));
    }

    fn saw(&mut self, seen: Option<Seen>) {
        let Some(seen) = seen else {
            self.watching = false;
            return self.holder.lost_sight();
        };
        self.watched = seen.after;
        if let Some(commit) = seen.commit {
            let forgets = self.holder.saw(&commit);
            self.forget(&forgets);
        }
    }

    fn give_up(&mut self, cx: &mut Context<'_, Node>) {
        let late = |since: Time| cx.now.since(since) >= PATIENCE;
        let overdue: Vec<u64> =
            self.waiting.iter().filter(|(_, (since, _))| late(*since)).map(|(n, _)| *n).collect();
        for number in overdue {
            let (_, waiting) = self.waiting.remove(&number).unwrap();
            match waiting {
                Waiting::Holder => {
                    let forgets = self.holder.answered(cx.now, Err(Refused::Unavailable));
                    self.forget(&forgets);
                }
                Waiting::PurgeReached { version, number } => {
                    let ours = self.wait(cx.now, Waiting::PurgeReached { version, number });
                    cx.send(control(), Message::Reached(ours));
                }
                // Who asked is told that it is not known what came of it.
                _ => {}
            }
        }
    }
}

fn answer_as_control(
    state: &mut State,
    cx: &mut Context<'_, Node>,
    from: Address,
    message: Message,
) {
    while let Some(step) = state.plan_lapse(cx.now) {
        state.apply(step, cx.now);
    }
    let answer = match message {
        Message::Control(number, ask) => {
            let answer = match ask {
                Ask::List => Ok(Answered::Listed(state.list(&purges()))),
                Ask::Grant(ttl) => state
                    .plan_grant(ttl)
                    .map(|(lease, step)| {
                        state.apply(step, cx.now);
                        Answered::Granted(lease)
                    })
                    .map_err(refused),
                Ask::Commit(commit) => {
                    state.commit(&commit, cx.now).map(|_| Answered::Done).map_err(refused)
                }
                Ask::KeepAlive(lease) => {
                    state.keep_alive(lease, cx.now).map(|()| Answered::Done).map_err(refused)
                }
            };
            Message::Answered(number, answer)
        }
        Message::Reached(number) => {
            Message::Answered(number, Ok(Answered::Listed(state.list(&reached()))))
        }
        Message::Next(number, prefix, after) => {
            Message::Saw(number, state.next(&prefix, after).ok())
        }
        other => panic!("control state is not asked {other:?}"),
    };
    cx.send(from, answer);
}

fn refused(error: crate::control::Error) -> Refused {
    match error {
        crate::control::Error::Conflict => Refused::Conflict,
        crate::control::Error::LeaseLost => Refused::LeaseLost,
        _ => Refused::Unavailable,
    }
}

impl Machine for Node {
    type Message = Message;
    type Command = Doing;
    type Event = Happened;

    fn handle(&mut self, input: Input<Message, Doing>, cx: &mut Context<'_, Self>) {
        let edge = match (self, input) {
            (Self::Control(state), Input::Message { from, message }) => {
                return answer_as_control(state, cx, from, message);
            }
            (Self::Origin(version), Input::Message { from, message }) => {
                return match message {
                    Message::Fetch(number) => cx.send(from, Message::Version(number, *version)),
                    Message::Change(number) => {
                        *version += 1;
                        cx.send(from, Message::Version(number, *version));
                    }
                    other => panic!("an origin is not asked {other:?}"),
                };
            }
            (Self::Control(_) | Self::Origin(_), _) => return,
            (Self::Edge(edge), input) => {
                match input {
                    Input::Command(Doing::Serve) => edge.serve(cx),
                    Input::Command(Doing::ChangeAndPurge) => {
                        let number = edge.wait(cx.now, Waiting::Changed);
                        cx.send(ORIGIN.address(), Message::Change(number));
                    }
                    Input::Message { from, message: Message::Sibling(number, its) } => {
                        edge.serve_sibling(cx, from, number, its);
                    }
                    Input::Message { message: Message::Answered(number, answer), .. } => {
                        if let Some((_, waiting)) = edge.waiting.remove(&number) {
                            edge.answered(cx, waiting, answer);
                        }
                    }
                    Input::Message { message: Message::Saw(number, seen), .. } => {
                        let waiting = edge.waiting.remove(&number);
                        if waiting.is_some() {
                            edge.saw(seen);
                        }
                    }
                    Input::Message { message: Message::Version(number, version), .. } => {
                        if let Some((_, waiting)) = edge.waiting.remove(&number) {
                            edge.version(cx, waiting, version);
                        }
                    }
                    _ => {}
                }
                edge
            }
        };
        edge.give_up(cx);
        edge.go_on(cx);
    }

    fn wake_at(&self) -> Option<Time> {
        let Self::Edge(edge) = self else { return None };
        let patience = edge.waiting.values().map(|(since, _)| since.after(PATIENCE));
        let look = edge.watching.then_some(edge.look_at);
        patience.chain(look).chain(edge.holder.wake_at()).min()
    }

    fn digest(&self, digest: &mut Digest) {
        match self {
            Self::Control(state) => state.hash(digest),
            Self::Origin(version) => version.hash(digest),
            Self::Edge(edge) => {
                edge.holder.hash(digest);
                edge.stored.hash(digest);
                edge.waiting.hash(digest);
            }
        }
    }
}

/// The world, and what the tests do with it.
pub(super) struct Cluster {
    world: World<Node>,
    edges: u32,
    disks: Disks,
}

impl Cluster {
    pub(super) fn new(seed: u64, edges: u32) -> Self {
        let mut network = Network::new(Latency::Constant(Duration::from_millis(10)));
        network.jitter = Duration::from_millis(30);
        let mut world = World::new(seed, network);
        let disks = Disks::default();
        assert_eq!(world.add(Node::Control(State::new(Bounds::default()))), CONTROL);
        assert_eq!(world.add(Node::Origin(1)), ORIGIN);
        for id in 0..edges {
            world.add(Node::Edge(Box::new(Edge::new(id, edges, Arc::clone(&disks)))));
        }
        Self { world, edges, disks }
    }

    pub(super) fn edges(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.edges).map(|id| HostId(2 + id))
    }

    pub(super) fn at(&mut self, at: Time, edge: HostId, doing: Doing) {
        self.world.command_at(at, edge, doing);
    }

    pub(super) fn run(&mut self, faults: &[Step], until: Time) {
        let (edges, disks) = (self.edges, Arc::clone(&self.disks));
        let mut build =
            |host: HostId| Node::Edge(Box::new(Edge::new(host.0 - 2, edges, Arc::clone(&disks))));
        for step in faults {
            self.world.run_until(step.at);
            apply(&mut self.world, &step.fault, &mut build);
        }
        self.world.run_until(until);
    }

    pub(super) fn happened(&mut self) -> Vec<(Time, Happened)> {
        self.world.take_events().into_iter().map(|told| (told.at, told.event)).collect()
    }
}
