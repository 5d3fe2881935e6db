//! An edge as a whole: its cores, from the first socket to the last answer.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nigh_cache::{
    key::Scheme,
    store::{SWEPT, Store, Sweep},
};
use nigh_edge::forward::Identity;
use tokio::{
    io::DuplexStream,
    net::TcpListener,
    runtime::Runtime,
    sync::{mpsc, watch},
    task::LocalSet,
    time::MissedTickBehavior,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    access_log::{Format, Writer},
    board::{Board, Core},
    counters::Registry,
    disk::Disk,
    forward_proxy::{Forward, Mode, Proxy, Redirected},
    inherited::Inherited,
    listen::{self, Door, Open},
    service::{Limits, Phase, Service, Shared, Whose},
    siblings::{self, Members, Siblings},
    sites::{Sites, Snapshot},
    trusted::Trusted,
};

/// How often a worker goes round at least, and hands over its log lines, however few.
pub const BEAT: Duration = Duration::from_millis(500);

/// How often a part of the memory is held against purge rules, if there are any.
const SWEEP: Duration = Duration::from_millis(50);

/// Connections of the edge to itself that may wait for one core to take them.
const INWARD_MAX: usize = 64;

/// Bytes on their way on such a connection, in each direction.
const INWARD_BUFFER: usize = 64 * 1024;

/// How often the end of the last connection is looked for.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How long requests of other edges may take at the end of this one. They go on at another edge.
const SIBLINGS_LIMIT: Duration = Duration::from_secs(2);

/// By which another process finds the sockets again that siblings come in through.
const SIBLINGS: &str = "cluster";

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 is any free one.
    pub address: SocketAddr,
    /// The certificate, for https.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Listen {
    fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

/// What an edge is made of.
#[derive(Debug)]
pub struct Settings {
    /// Where clients come in.
    pub listen: Vec<Listen>,
    /// Threads that serve, each with sockets of its own.
    pub workers: usize,
    /// What can be exchanged while it runs.
    pub terms: Terms,
    /// What takes requests for other hosts, if anything does.
    pub forward: Option<Arc<Proxy>>,
    /// The cluster that this edge is one of, if it is, and how it stands at first.
    pub cluster: Option<(siblings::Settings, Arc<Members>)>,
    /// Whether what is stored may be served.
    pub trusted: Arc<Trusted>,
    /// Tells this edge from every other in CDN-Loop.
    pub nonce: u32,
    /// How the access log looks, if there is one.
    pub log_format: Option<Format>,
}

impl Settings {
    /// Who this edge is to those that it passes things on to.
    fn identity(&self) -> Identity {
        let identity = Identity::new(self.nonce);
        match &self.cluster {
            Some((cluster, _)) => identity.named(cluster.name.as_str()),
            None => identity,
        }
    }
}

/// Whom an edge serves, and on which terms: all that can be exchanged while it runs.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whose requests are answered, and where their misses go.
    pub sites: Snapshot,
    /// What one client may take.
    pub limits: Limits,
    /// The edges of the parent of this edge's cluster, if it has one.
    pub parent: Option<Arc<Members>>,
}

/// Terms, and how many there were before.
#[derive(Debug)]
struct Numbered {
    number: u64,
    terms: Terms,
}

/// What can be told to a running edge, from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    terms: watch::Sender<Arc<Numbered>>,
    /// The number of the last that each worker has taken.
    taken: Arc<[Arc<AtomicU64>]>,
    members: watch::Sender<Option<Arc<Members>>>,
    inward: Arc<[mpsc::Sender<(Scheme, DuplexStream)>]>,
    turn: Arc<AtomicUsize>,
}

impl Handle {
    /// From now on, requests are these sites', on these terms; what is on its way ends as it began.
    pub fn exchange(&self, terms: Terms) {
        self.terms.send_modify(|held| {
            let number = held.number + 1;
            *held = Arc::new(Numbered { number, terms });
        });
    }

    /// Whether every worker has taken what was exchanged last: before, some requests are still under the
    /// terms before. It takes a moment, unless a worker stands still.
    pub fn is_taken(&self) -> bool {
        let number = self.terms.borrow().number;
        self.taken.iter().all(|taken| taken.load(Ordering::Acquire) >= number)
    }

    /// From now on, others are asked as this view of the cluster says.
    pub fn exchange_members(&self, members: Arc<Members>) {
        self.members.send_replace(Some(members));
    }

    /// The edges of the cluster as they are seen now; `None` without one.
    pub fn members(&self) -> Option<Arc<Members>> {
        self.members.borrow().clone()
    }

    /// A connection to the edge from inside, to one core after the other: what a client that speaks
    /// HTTP/1 by `scheme` would get. `None` if that core has too many to take, or has ended.
    pub fn connect(&self, scheme: Scheme) -> Option<DuplexStream> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.inward.len();
        let (near, far) = tokio::io::duplex(INWARD_BUFFER);
        self.inward[turn].try_send((scheme, far)).ok()?;
        Some(near)
    }
}

/// The sockets of one address.
#[derive(Debug)]
struct Listening {
    /// By which another process finds them again.
    name: &'static str,
    address: SocketAddr,
    /// At least one a worker. Those that were inherited may be more.
    sockets: Vec<std::net::TcpListener>,
}

/// Whom a socket is for, and so how it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Public,
    Redirected(Mode),
    Siblings,
}

impl Kind {
    fn assert_free(self, address: SocketAddr) -> io::Result<()> {
        match self {
            Self::Public | Self::Siblings => listen::assert_free(address),
            Self::Redirected(_) => listen::assert_redirected_free(address),
        }
    }

    fn bind(self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        match self {
            Self::Public | Self::Siblings => listen::bind(address),
            Self::Redirected(mode) => listen::bind_redirected(Redirected { address, mode }),
        }
    }
}

/// An edge whose sockets are bound and whose workers are about to be started.
#[derive(Debug)]
pub struct Bound {
    settings: Settings,
    /// The public addresses, then those of redirected clients, and then the one for siblings.
    listening: Vec<Listening>,
    runtimes: Vec<Runtime>,
    shared: Shared,
}

/// A running edge.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, with the ports that were chosen.
    pub addresses: Vec<(Scheme, SocketAddr)>,
    /// Where redirected clients come in.
    pub redirected: Vec<SocketAddr>,
    /// Each socket once more, to be handed over.
    sockets: Vec<(&'static str, std::net::TcpListener)>,
    phase: watch::Sender<Phase>,
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    beats: Vec<Arc<AtomicU64>>,
    open: Open,
}

/// Why an edge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The port is not for this user.
    #[error(
        "cannot listen on {address}: a port below 1024 is for root, for CAP_NET_BIND_SERVICE, or \
         for sockets that systemd opens"
    )]
    NotAllowed {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start a worker thread")]
    Thread(#[from] io::Error),
}

impl Bound {
    /// What all cores count together.
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Binds every socket that is not among those that were inherited.
    ///
    /// # Errors
    /// If an address cannot be bound or a worker's runtime cannot be made.
    pub fn new(settings: Settings, inherited: &mut Inherited) -> Result<Self, StartError> {
        let mut listening = Vec::new();
        let workers = settings.workers;
        for one in &settings.listen {
            let name = one.scheme().as_str();
            let sockets = inherited.take(name, one.address);
            listening.push(Listening::new(name, Kind::Public, one.address, sockets, workers)?);
        }
        for one in settings.forward.iter().flat_map(|proxy| proxy.redirected()) {
            let (name, kind) = (one.mode.as_str(), Kind::Redirected(one.mode));
            let sockets = inherited.take_named(name, one.address);
            listening.push(Listening::new(name, kind, one.address, sockets, workers)?);
        }
        if let Some((cluster, _)) = &settings.cluster {
            let address = cluster.listen;
            let sockets = inherited.take_named(SIBLINGS, address);
            listening.push(Listening::new(SIBLINGS, Kind::Siblings, address, sockets, workers)?);
        }
        if let Some(proxy) = &settings.forward {
            proxy.listens_on(listening.iter().map(|one| one.address.port()).collect());
        }
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtimes = (0..workers).map(|_| runtime()).collect::<Result<_, _>>()?;
        let shared = Shared::new(settings.terms.limits.clone(), Arc::clone(&settings.trusted));
        Ok(Self { settings, listening, runtimes, shared })
    }

    /// Serves these sites from the first request on, instead of those that it was made with.
    pub fn set_sites(&mut self, sites: Snapshot) {
        self.settings.terms.sites = sites;
    }

    /// Sees the cluster so at first, if it is in one.
    pub fn set_members(&mut self, members: Arc<Members>) {
        if let Some((_, held)) = &mut self.settings.cluster {
            *held = members;
        }
    }

    /// Asks these edges of its parent at first, if it has one.
    pub fn set_parent(&mut self, parent: Option<Arc<Members>>) {
        self.settings.terms.parent = parent;
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// If a thread cannot be made.
    pub fn start(
        self,
        store: &Arc<Store>,
        registry: &Registry,
        log: Option<&Writer>,
        open: &Open,
        disk: Option<&Arc<Disk>>,
        board: &Board,
    ) -> Result<Server, StartError> {
        let Self { settings, listening, runtimes, shared } = self;
        let settings = Arc::new(settings);
        if let Some(disk) = disk {
            store.put_beneath(Arc::clone(disk.queue()));
        }
        let (phase, phases) = watch::channel(Phase::Serving);
        let (terms_out, terms) =
            watch::channel(Arc::new(Numbered { number: 0, terms: settings.terms.clone() }));
        let seen = settings.cluster.as_ref().map(|(_, members)| Arc::clone(members));
        let (members_out, members) = watch::channel(seen);
        let (public, inner) = listening.split_at(settings.listen.len());
        let with_scheme = settings.listen.iter().zip(public);
        let addresses = with_scheme.map(|(one, held)| (one.scheme(), held.address)).collect();
        let redirected = settings.forward.iter().flat_map(|proxy| proxy.redirected()).zip(inner);
        let redirected = redirected.map(|(_, held)| held.address).collect();
        let mut copies = Vec::new();
        for one in &listening {
            for socket in &one.sockets {
                copies.push((one.name, socket.try_clone()?));
            }
        }
        let mut shares = shares(listening, settings.workers);
        let (mut threads, mut beats, mut inward) = (Vec::new(), Vec::new(), Vec::new());
        let taken: Arc<[_]> = (0..settings.workers).map(|_| Arc::new(AtomicU64::new(0))).collect();
        for (number, runtime) in runtimes.into_iter().enumerate() {
            let beat = Arc::new(AtomicU64::new(0));
            beats.push(Arc::clone(&beat));
            let (inward_out, inward_in) = mpsc::channel(INWARD_MAX);
            inward.push(inward_out);
            let worker = Worker {
                settings: Arc::clone(&settings),
                sockets: std::mem::take(&mut shares[number]),
                store: Arc::clone(store),
                counters: registry.register(),
                log: log.zip(settings.log_format).map(|(log, format)| log.log(format)),
                open: open.clone(),
                phases: phases.clone(),
                disk: disk.cloned(),
                sweeps: number == 0,
                terms: terms.clone(),
                taken: Arc::clone(&taken[number]),
                members: members.clone(),
                inward: inward_in,
                board: board.core(),
                beat,
                shared: shared.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("edge-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(worker.run()))?);
        }
        let (inward, turn) = (inward.into(), Arc::default());
        let handle = Handle { terms: terms_out, taken, members: members_out, inward, turn };
        let (sockets, open) = (copies, open.clone());
        Ok(Server { addresses, redirected, sockets, phase, handle, threads, beats, open })
    }
}

impl Listening {
    /// The sockets of `address`: `inherited` ones, each of which is accepted from whatever their
    /// number, and further ones up to one a worker.
    fn new(
        name: &'static str,
        kind: Kind,
        address: SocketAddr,
        inherited: Vec<std::net::TcpListener>,
        workers: usize,
    ) -> Result<Self, StartError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied if kind == Kind::Public => {
                StartError::NotAllowed { address, source }
            }
            _ => StartError::Bind { address, source },
        };
        let mut sockets = inherited;
        let were_inherited = !sockets.is_empty();
        if !were_inherited {
            kind.assert_free(address).map_err(failed)?;
            sockets.push(kind.bind(address).map_err(failed)?);
        }
        let address = sockets[0].local_addr()?;
        while sockets.len() < workers {
            let further = kind.bind(address);
            // Whoever opened the inherited ones need not have allowed others on the port, and was
            // perhaps allowed what this process is not: workers then accept from the same socket.
            let further = match further {
                Err(_) if were_inherited => sockets[0].try_clone(),
                further => further,
            };
            sockets.push(further.map_err(failed)?);
        }
        Ok(Self { name, address, sockets })
    }
}

/// What each worker accepts from: numbers of addresses, and sockets.
fn shares(listening: Vec<Listening>, workers: usize) -> Vec<Vec<(usize, std::net::TcpListener)>> {
    let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for (place, one) in listening.into_iter().enumerate() {
        for (number, socket) in one.sockets.into_iter().enumerate() {
            shares[number % workers].push((place, socket));
        }
    }
    shares
}

impl Server {
    /// The way to tell it something while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops accepting clients; idle connections end, and requests in flight are the last of theirs. Other
    /// edges of the cluster are answered until [`Server::end`].
    pub fn begin_drain(&mut self) {
        self.phase.send_replace(Phase::Draining);
        self.sockets.clear();
    }

    /// Its listening sockets with their names, for another process to accept from.
    pub fn sockets(&self) -> impl Iterator<Item = (&'static str, &std::net::TcpListener)> {
        self.sockets.iter().map(|(name, socket)| (*name, socket))
    }

    /// How often each worker has gone round, which each that is well does once in [`BEAT`] at least.
    pub fn beats(&self) -> Vec<u64> {
        self.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).collect()
    }

    /// Stops accepting. Connections stay open for one more request each, whose answer says that it is
    /// the last.
    pub fn leave(&mut self) {
        self.phase.send_replace(Phase::Leaving);
        self.sockets.clear();
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.open.count() == 0
    }

    /// Stops accepting clients, lets every request of theirs that is in flight end, and waits for it; says
    /// how many connections were left when `limit` had passed.
    pub fn drain(&mut self, limit: Duration) -> usize {
        self.begin_drain();
        self.wait_while(Open::clients, limit)
    }

    /// Ends it: other edges' requests in flight have what is left of the time to drain, a moment at least,
    /// and whatever is left then is cut.
    pub fn end(self, left: Duration) {
        self.phase.send_replace(Phase::Ending);
        self.wait_while(|open| open.count() - open.clients(), left.max(SIBLINGS_LIMIT));
        drop(self.phase);
        for thread in self.threads {
            drop(thread.join());
        }
    }

    /// Ends it at once, as the death of its process would: every connection is cut.
    pub fn cut(self) {
        drop(self.sockets);
        drop(self.phase);
        for thread in self.threads {
            drop(thread.join());
        }
    }

    /// Waits until there are none of these connections any more; says how many are left.
    fn wait_while(&self, count: impl Fn(&Open) -> usize, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        while count(&self.open) > 0 && Instant::now() < deadline {
            std::thread::sleep(DRAIN_LOOK);
        }
        count(&self.open)
    }
}

struct Worker {
    settings: Arc<Settings>,
    /// Each with the number of its address.
    sockets: Vec<(usize, std::net::TcpListener)>,
    store: Arc<Store>,
    counters: Arc<crate::counters::Counters>,
    log: Option<crate::access_log::Log>,
    open: Open,
    phases: watch::Receiver<Phase>,
    disk: Option<Arc<Disk>>,
    /// Whether it is the one who holds the memory against purge rules.
    sweeps: bool,
    terms: watch::Receiver<Arc<Numbered>>,
    taken: Arc<AtomicU64>,
    members: watch::Receiver<Option<Arc<Members>>>,
    inward: mpsc::Receiver<(Scheme, DuplexStream)>,
    board: Core,
    beat: Arc<AtomicU64>,
    shared: Shared,
}

impl Worker {
    async fn run(mut self) {
        let local = LocalSet::new();
        local.run_until(self.serve()).await;
    }

    /// From here on, what others own is asked of these.
    fn exchange_members(&mut self, service: &Service, connections: Connections) {
        let members = self.members.borrow_and_update().clone();
        let Some(((cluster, _), members)) = self.settings.cluster.as_ref().zip(members) else {
            return;
        };
        let before = service.siblings().filter(|_| connections == Connections::Kept);
        let siblings = Siblings::new(members, &cluster.client, before.as_deref());
        service.exchange_siblings(siblings);
    }

    /// The same of the parent's edges.
    fn exchange_parent(&self, service: &Service, connections: Connections) {
        let terms = Arc::clone(&self.terms.borrow());
        let parent = self.settings.cluster.as_ref().and_then(|(it, _)| it.parent.as_ref());
        let parent = terms.terms.parent.as_ref().zip(parent).map(|(members, parent)| {
            let before = service.parent().filter(|_| connections == Connections::Kept);
            Siblings::new(Arc::clone(members), &parent.client, before.as_deref())
        });
        service.exchange_parent(parent);
    }

    async fn serve(&mut self) {
        let settings = Arc::clone(&self.settings);
        let taken = Arc::clone(&self.terms.borrow_and_update());
        let terms = &taken.terms;
        let forward = settings.forward.as_ref().map(|proxy| {
            Forward::start(Arc::clone(proxy), Arc::clone(&self.counters), &self.board)
        });
        let service = Service::new(
            Arc::clone(&self.store),
            Sites::new(&terms.sites, None, forward.clone(), &self.board),
            settings.identity(),
            self.shared.clone(),
            Arc::clone(&self.counters),
            self.log.take(),
            self.disk.take(),
        );
        service.exchange_limits(terms.limits.clone());
        self.exchange_members(&service, Connections::Kept);
        self.exchange_parent(&service, Connections::Kept);
        self.taken.store(taken.number, Ordering::Release);
        let mut revoked = settings.cluster.as_ref().map(|(cluster, _)| cluster.trust.changes());
        let parent = settings.cluster.as_ref().and_then(|(cluster, _)| cluster.parent.as_ref());
        let mut revoked_above = parent.map(|parent| parent.trust.changes());
        let mut renewed = settings.cluster.as_ref().map(|(cluster, _)| cluster.shown.changes());
        let mut accepting = Vec::new();
        let asked = settings.listen.iter().map(|listen| match &listen.tls {
            Some(tls) => Door::Tls(TlsAcceptor::from(Arc::clone(tls))),
            None => Door::Clear,
        });
        let redirected = settings.forward.iter().flat_map(|proxy| proxy.redirected());
        let redirected = redirected.map(|one| Door::Redirected(one.mode));
        let siblings = settings.cluster.iter().map(|(it, _)| {
            Door::Siblings(TlsAcceptor::from(Arc::clone(&it.server)), Arc::clone(&it.guests))
        });
        let doors: Vec<Door> = asked.chain(redirected).chain(siblings).collect();
        for (place, socket) in self.sockets.drain(..) {
            let listener = TcpListener::from_std(socket).expect("the socket was made non-blocking");
            let whose = doors[place].whose();
            let accept = listen::accept(
                listener,
                doors[place].clone(),
                Rc::clone(&service),
                self.open.clone(),
            );
            accepting.push((whose, tokio::task::spawn_local(accept)));
        }
        let mut flush = tokio::time::interval(BEAT);
        let (mut sweeps, mut sweep) = (tokio::time::interval(SWEEP), Sweep::default());
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = flush.tick() => {
                    self.beat.fetch_add(1, Ordering::Relaxed);
                    service.make_room_if_wanted();
                    service.flush_log();
                }
                _ = sweeps.tick(), if self.sweeps => {
                    if !self.store.purges().is_empty() {
                        self.store.sweep(&mut sweep, SWEPT);
                    }
                }
                Ok(()) = self.terms.changed() => {
                    let taken = Arc::clone(&self.terms.borrow_and_update());
                    let terms = &taken.terms;
                    let before = service.sites();
                    let sites =
                        Sites::new(&terms.sites, Some(&before), forward.clone(), &self.board);
                    service.exchange_sites(sites);
                    service.exchange_limits(terms.limits.clone());
                    self.exchange_parent(&service, Connections::Kept);
                    drop(before);
                    self.board.forget_sites();
                    self.taken.store(taken.number, Ordering::Release);
                }
                Ok(()) = self.members.changed() => {
                    self.exchange_members(&service, Connections::Kept);
                }
                () = changed(&mut revoked) => {
                    self.exchange_members(&service, Connections::Anew);
                }
                () = changed(&mut revoked_above) => {
                    self.exchange_parent(&service, Connections::Anew);
                }
                () = changed(&mut renewed) => {
                    self.exchange_members(&service, Connections::Anew);
                    self.exchange_parent(&service, Connections::Anew);
                }
                Some((scheme, stream)) = self.inward.recv() => {
                    let (service, open) = (Rc::clone(&service), self.open.clone());
                    tokio::task::spawn_local(listen::serve_inward(stream, scheme, service, open));
                }
                changed = self.phases.changed() => {
                    let phase = *self.phases.borrow_and_update();
                    accepting.retain(|(whose, task)| {
                        let goes_on = phase == Phase::Draining && *whose == Whose::Sibling;
                        if !goes_on {
                            task.abort();
                        }
                        goes_on
                    });
                    service.enter(phase);
                    // The server lets go of its end when every connection is gone, or late.
                    if changed.is_err() {
                        service.flush_log();
                        return;
                    }
                }
            }
        }
    }
}

/// Whether connections to other edges go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connections {
    Kept,
    /// Whoever is at their other ends is judged again: somebody was revoked, or this edge was certified
    /// anew.
    Anew,
}

/// Waits until other edges are believed than before, if any are.
async fn changed<T>(seen: &mut Option<watch::Receiver<T>>) {
    match seen {
        Some(seen) => seen.changed().await.expect("the settings hold on to the sender"),
        None => pending().await,
    }
}
