//! The edges that are there: gossip with all that belong to the cluster, and the view that comes of it.
//! docs/cluster.md.
//!
//! ```text
//! who belongs (settings, control state) --.
//! membership, over QUIC datagrams --------+--> a view --> all workers
//! load, draining -------------------------'--> told to the others
//! ```

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use nigh_base::{Address, machine::Coded};
use nigh_cluster::membership::{
    self, Carried, Command, Contact, Event, Name as Gossiper, Node, State,
};
use nigh_net::{
    clock,
    cluster::{
        datagrams::{self, Book, Datagrams},
        name::Name,
    },
    driver::{Driver, HandleOf},
    entropy,
    siblings::{Member, Settings, Standing},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{info, warn};

use crate::edge::Running;

/// For how long an edge that has just begun takes those for well of whom it has not heard: a ring that is
/// too small would send everything to the origin.
const SETTLED: Duration = Duration::from_secs(5);

/// How often the load is measured, and told if it has changed.
const LOAD_EVERY: Duration = Duration::from_secs(1);

/// Of a load, the part that is new each time: what is told is smoothed over some four seconds.
const LOAD_NEW: f64 = 0.25;

/// How long the word that this edge drains takes to all others: two seconds are twice what it takes among
/// fifteen edges (docs/membership.md).
const HEARD: Duration = Duration::from_secs(2);

/// How long leaving may take: two seconds, in which its word goes round, and what the machine is late.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

/// How long the address may be another process' at the start: one that this one replaces lets go of it
/// when it has closed its connections.
const BIND_LIMIT: Duration = Duration::from_secs(5);
const BIND_AGAIN: Duration = Duration::from_millis(20);

/// Orders that wait.
const ORDERS: usize = 4;

/// What is known of an edge by gossip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) state: State,
    /// What it said of itself last, if anything was heard.
    pub(crate) carried: Option<Carried>,
}

/// The gossip of a running edge.
#[derive(Debug)]
pub(crate) struct Gossip {
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<BTreeMap<Name, Known>>,
    rings: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Look,
    Drain,
    Leave,
    Stop,
}

/// Gossips from now on, if this edge is one of a cluster.
///
/// # Errors
/// If the address cannot be had.
pub(crate) async fn start(running: &Arc<Running>) -> anyhow::Result<()> {
    let Some((siblings, belongs)) = running.siblings.as_ref().zip(running.control.belongs()) else {
        return Ok(());
    };
    let book = Arc::new(Book::default());
    let datagrams = bind(siblings, &book).await;
    let datagrams = datagrams.with_context(|| {
        format!("cannot gossip on the UDP port of cluster.listen, {}", siblings.listen)
    })?;
    let list = belongs.borrow().clone();
    let own = list.iter().find(|member| member.name == siblings.name);
    let me = contact(own.expect("settings list this edge"));
    let settings = membership::Settings { load_every: LOAD_EVERY, ..Default::default() };
    // Later lives of this edge outdo earlier ones.
    let node = Node::new(me, clock::now().millis(), settings);
    let (driver, handle) = Driver::over(datagrams, Coded::new(node), None, entropy::seed())?;
    let (orders, ordered) = mpsc::channel(ORDERS);
    let shared = Arc::new(Shared::default());
    let mut talk = Talk {
        running: Arc::clone(running),
        own: siblings.name.clone(),
        book,
        belongs: belongs.subscribe(),
        list,
        handle,
        shared: Arc::clone(&shared),
        load: 0.0,
        begun: Instant::now(),
        is_settled: false,
    };
    talk.follow();
    tokio::spawn(talk.run(tokio::spawn(driver.run()), ordered));
    running.gossip.set(Gossip { orders, shared }).expect("it is started once");
    Ok(())
}

async fn bind(siblings: &Settings, book: &Arc<Book>) -> io::Result<Datagrams> {
    let begun = Instant::now();
    loop {
        let bound = Datagrams::bind(datagrams::Settings {
            listen: siblings.listen,
            trust: Arc::clone(&siblings.trust),
            shown: Arc::clone(&siblings.shown),
            book: Arc::clone(book),
        });
        match bound {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < BIND_LIMIT =>
            {
                sleep(BIND_AGAIN).await;
            }
            bound => return bound,
        }
    }
}

impl Gossip {
    /// What is known of the others, by their names.
    pub(crate) fn known(&self) -> BTreeMap<Name, Known> {
        self.shared.lock().clone()
    }

    /// How often another ring took the place of the one before.
    pub(crate) fn rings(&self) -> u64 {
        self.shared.rings.load(Ordering::Relaxed)
    }

    /// Looks whether this edge is drained, and says so.
    pub(crate) async fn look_at_drain(&self) {
        self.order(Order::Look).await;
    }

    /// Says that this edge drains, and waits until the others have heard.
    pub(crate) async fn drain(&self) {
        self.order(Order::Drain).await;
    }

    /// Says that this edge goes, and gossips no more.
    pub(crate) async fn leave(&self) {
        if timeout(LEAVE_LIMIT, self.order(Order::Leave)).await.is_err() {
            warn!("ending without having left the cluster");
        }
    }

    /// Gossips no more, and says nothing: another process speaks for this edge. The address is free then.
    pub(crate) async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    async fn order(&self, order: Order) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send((order, done)).await.is_ok() {
            // Nobody answers where it has stopped already.
            drop(is_done.await);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that listens to the machine.
struct Talk {
    running: Arc<Running>,
    own: Name,
    book: Arc<Book>,
    belongs: watch::Receiver<Vec<Member>>,
    /// Who belongs, as far as that could be used.
    list: Vec<Member>,
    handle: HandleOf<Coded<Node>>,
    shared: Arc<Shared>,
    load: f64,
    begun: Instant,
    is_settled: bool,
}

impl Talk {
    async fn run(
        mut self,
        driving: JoinHandle<Coded<Node>>,
        mut orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>,
    ) {
        let mut ticks = interval(LOAD_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving = None;
        let last = loop {
            let is_changed = tokio::select! {
                event = self.handle.events.recv() => match event {
                    Some(Event::Gone) | None => break leaving,
                    Some(event) => self.note(event),
                },
                Ok(()) = self.belongs.changed() => self.follow(),
                _ = ticks.tick() => self.tick(),
                Some((order, done)) = orders.recv() => match order {
                    Order::Stop => break Some(done),
                    Order::Leave => {
                        leaving = Some(done);
                        self.command(Command::Leave);
                        false
                    }
                    Order::Look => {
                        self.carry();
                        tell(done);
                        true
                    }
                    Order::Drain => {
                        self.drain(done);
                        true
                    }
                },
            };
            if is_changed {
                self.look();
            }
        };
        drop(orders);
        drop(self.handle);
        if let Err(error) = driving.await {
            warn!(%error, "gossip has ended");
        }
        if let Some(done) = last {
            tell(done);
        }
    }

    /// Takes up who belongs; says whether there is another view.
    fn follow(&mut self) -> bool {
        let list = self.belongs.borrow_and_update().clone();
        let has_own = list.iter().any(|member| member.name == self.own);
        if !has_own || !Member::make_a_cluster(&list) {
            let edges = list.len();
            warn!(edges, "a list of edges without this one, too long, or with one twice: not used");
            return false;
        }
        let addresses = list.iter().map(|it| (it.name.clone(), Address::from(it.address)));
        self.book.set(addresses).expect("the book has room for more than that");
        let others = list.iter().filter(|member| member.name != self.own);
        self.command(Command::Join { via: others.map(contact).collect() });
        self.list = list;
        true
    }

    /// Writes down what was heard; says whether there is another view.
    fn note(&self, event: Event) -> bool {
        let (of, state, carried) = match event {
            Event::Up(member) => (member.name, Some(State::Up), member.carried),
            Event::Suspect(name) => (name, Some(State::Suspect), None),
            Event::Down(name) => (name, Some(State::Down), None),
            Event::Left(name) => (name, Some(State::Left), None),
            Event::Carries { name, carried } => (name, None, Some(carried)),
            Event::Joined | Event::Alone | Event::Renewed { .. } | Event::Gone => return false,
        };
        let Ok(name) = of.as_str().parse::<Name>() else { return false };
        let mut known = self.shared.lock();
        let before = known.get(&name).copied();
        let state = state.or_else(|| Some(before?.state)).unwrap_or(State::Up);
        let carried = carried.or_else(|| before?.carried);
        let now = Known { state, carried };
        known.insert(name.clone(), now);
        drop(known);
        if let Some((load, members)) = carried.map(|it| it.load).zip(self.server().members()) {
            members.told_load(&name, load);
        }
        if before.map(|it| it.state) != Some(state) {
            match state {
                State::Up => info!(edge = %name, "an edge of the cluster is there"),
                State::Suspect => info!(edge = %name, "an edge of the cluster does not answer"),
                State::Down => warn!(edge = %name, "an edge of the cluster is down"),
                State::Left => info!(edge = %name, "an edge of the cluster has left"),
            }
        }
        before.map(standing) != Some(standing(now))
    }

    /// Measures the load, and tells it; says whether there is another view.
    fn tick(&mut self) -> bool {
        if let Some(members) = self.server().members() {
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 are under way")]
            let now = members.under_way() as f64;
            self.load += (now - self.load) * LOAD_NEW;
            members.told_load(&self.own, self.rounded_load());
        }
        self.carry();
        let is_settled = self.begun.elapsed() >= SETTLED;
        std::mem::replace(&mut self.is_settled, is_settled) != is_settled
    }

    /// Says that this edge drains; `done` hears of it when the others have.
    fn drain(&self, done: oneshot::Sender<()>) {
        self.carry();
        let is_there = |known: &Known| matches!(known.state, State::Up | State::Suspect);
        if !self.shared.lock().values().any(is_there) {
            tell(done);
            return;
        }
        info!("this edge drains: the others are told");
        tokio::spawn(async move {
            sleep(HEARD).await;
            tell(done);
        });
    }

    fn carry(&self) {
        let own = self.list.iter().find(|member| member.name == self.own);
        let capacity = own.map_or(1, |own| own.capacity);
        let load = self.rounded_load();
        self.command(Command::Carry(Carried { capacity, load, draining: self.drains() }));
    }

    fn drains(&self) -> bool {
        self.running.drain.is_wanted()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a mean of counts"
    )]
    fn rounded_load(&self) -> u32 {
        self.load.round() as u32
    }

    /// A command that there is no room for is lost: loads and joins are said again.
    fn command(&self, command: Command) {
        if self.handle.commands.try_send(command).is_err() {
            warn!("gossip takes no commands");
        }
    }

    /// Has all workers see the cluster as it is now.
    fn look(&self) {
        let Some(view) = self.server().members() else { return };
        let known = self.shared.lock().clone();
        let standing = |name: &Name| {
            if *name == self.own {
                return if self.drains() { Standing::Drains } else { Standing::Serves };
            }
            match known.get(name) {
                Some(known) => standing(*known),
                None if self.is_settled => Standing::Away,
                None => Standing::Serves,
            }
        };
        let Some(next) = view.next(self.list.clone(), standing) else { return };
        if !next.has_ring_of(&view) {
            self.shared.rings.fetch_add(1, Ordering::Relaxed);
            let serve = next.iter().filter(|(_, standing, _)| *standing == Standing::Serves);
            info!(edges = serve.count(), "the ring of the cluster is another");
        }
        self.server().exchange_members(next);
    }

    fn server(&self) -> &nigh_net::server::Handle {
        self.running.control.server()
    }
}

/// What an edge of which this is known is asked for.
fn standing(known: Known) -> Standing {
    let drains = known.carried.is_some_and(|carried| carried.draining);
    match known.state {
        State::Up | State::Suspect if drains => Standing::Drains,
        State::Up | State::Suspect => Standing::Serves,
        State::Down | State::Left => Standing::Away,
    }
}

/// Whoever waits may have gone.
fn tell(done: oneshot::Sender<()>) {
    let _ = done.send(());
}

fn contact(member: &Member) -> Contact {
    let name = Gossiper::new(member.name.as_str()).expect("its names are a few more");
    Contact { name, address: member.address.into() }
}
