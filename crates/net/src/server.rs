//! An edge as a whole: its cores, from the first socket to the last answer.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nigh_cache::{
    key::Scheme,
    store::{Store, Sweep},
};
use nigh_edge::forward::Identity;
use tokio::{
    net::TcpListener, runtime::Runtime, sync::watch, task::LocalSet, time::MissedTickBehavior,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    access_log::{Format, Writer},
    counters::Registry,
    disk::Disk,
    inherited::Inherited,
    listen::{self, Open},
    service::{Limits, Phase, Service, Shared},
    sites::{Sites, Snapshot},
};

/// How often a worker goes round at least, and hands over its log lines, however few.
pub const BEAT: Duration = Duration::from_millis(500);

/// How often a part of the memory is held against purge rules, if there are any, and how many
/// objects each time: a fifth of a millisecond's work.
const SWEEP: Duration = Duration::from_millis(50);
const SWEPT: usize = 1000;

/// How often the end of the last connection is looked for.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address; port 0 is any free one.
    pub address: SocketAddr,
    /// The certificate, for https.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// What an edge is made of.
#[derive(Debug)]
pub struct Settings {
    /// Where clients come in.
    pub listen: Vec<Listen>,
    /// Threads that serve, each with sockets of its own.
    pub workers: usize,
    /// Whose requests are answered, and where their misses go.
    pub sites: Snapshot,
    /// What one client may take.
    pub limits: Limits,
    /// Tells this edge from every other in CDN-Loop.
    pub nonce: u32,
    /// How the access log looks, if there is one.
    pub log_format: Option<Format>,
}

/// The sockets of one address.
#[derive(Debug)]
struct Listening {
    scheme: Scheme,
    address: SocketAddr,
    /// At least one a worker. Those that were inherited may be more.
    sockets: Vec<std::net::TcpListener>,
}

/// An edge whose sockets are bound and whose workers are about to be started.
#[derive(Debug)]
pub struct Bound {
    settings: Arc<Settings>,
    listening: Vec<Listening>,
    runtimes: Vec<Runtime>,
    shared: Shared,
}

/// A running edge.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, with the ports that were chosen.
    pub addresses: Vec<(Scheme, SocketAddr)>,
    /// Each socket once more, to be handed over.
    sockets: Vec<(Scheme, std::net::TcpListener)>,
    phase: watch::Sender<Phase>,
    sites: watch::Sender<Snapshot>,
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
        for one in &settings.listen {
            let scheme = if one.tls.is_some() { Scheme::Https } else { Scheme::Http };
            let sockets = inherited.take(scheme.as_str(), one.address);
            listening.push(Listening::new(scheme, one.address, sockets, settings.workers)?);
        }
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtimes = (0..settings.workers).map(|_| runtime()).collect::<Result<_, _>>()?;
        let shared = Shared::new(settings.limits.clone());
        Ok(Self { settings: Arc::new(settings), listening, runtimes, shared })
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
    ) -> Result<Server, StartError> {
        let Self { settings, listening, runtimes, shared } = self;
        if let Some(disk) = disk {
            store.put_beneath(Arc::clone(disk.queue()));
        }
        let (phase, phases) = watch::channel(Phase::Serving);
        let (sites_out, sites) = watch::channel(Arc::clone(&settings.sites));
        let addresses = listening.iter().map(|one| (one.scheme, one.address)).collect();
        let mut copies = Vec::new();
        for one in &listening {
            for socket in &one.sockets {
                copies.push((one.scheme, socket.try_clone()?));
            }
        }
        let mut shares = shares(listening, settings.workers);
        let (mut threads, mut beats) = (Vec::new(), Vec::new());
        for (number, runtime) in runtimes.into_iter().enumerate() {
            let beat = Arc::new(AtomicU64::new(0));
            beats.push(Arc::clone(&beat));
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
                sites: sites.clone(),
                beat,
                shared: shared.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("edge-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(worker.run()))?);
        }
        let open = open.clone();
        Ok(Server { addresses, sockets: copies, phase, sites: sites_out, threads, beats, open })
    }
}

impl Listening {
    /// The sockets of `address`: `inherited` ones, each of which is accepted from whatever their
    /// number, and further ones up to one a worker.
    fn new(
        scheme: Scheme,
        address: SocketAddr,
        inherited: Vec<std::net::TcpListener>,
        workers: usize,
    ) -> Result<Self, StartError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => StartError::NotAllowed { address, source },
            _ => StartError::Bind { address, source },
        };
        let mut sockets = inherited;
        let were_inherited = !sockets.is_empty();
        if !were_inherited {
            listen::assert_free(address).map_err(failed)?;
            sockets.push(listen::bind(address).map_err(failed)?);
        }
        let address = sockets[0].local_addr()?;
        while sockets.len() < workers {
            let further = listen::bind(address);
            // Whoever opened the inherited ones need not have allowed others on the port, and was
            // perhaps allowed what this process is not: workers then accept from the same socket.
            let further = match further {
                Err(_) if were_inherited => sockets[0].try_clone(),
                further => further,
            };
            sockets.push(further.map_err(failed)?);
        }
        Ok(Self { scheme, address, sockets })
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
    /// From now on, requests are these sites'; what is on its way ends as it began.
    pub fn exchange_sites(&self, sites: Snapshot) {
        self.sites.send_replace(sites);
    }

    /// Its listening sockets, for another process to accept from.
    pub fn sockets(&self) -> impl Iterator<Item = (Scheme, &std::net::TcpListener)> {
        self.sockets.iter().map(|(scheme, socket)| (*scheme, socket))
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

    /// Stops accepting, lets every request in flight end, and waits for it; says how many
    /// connections were left when `limit` had passed.
    pub fn drain(mut self, limit: Duration) -> usize {
        self.phase.send_replace(Phase::Ending);
        self.sockets.clear();
        let deadline = Instant::now() + limit;
        while self.open.count() > 0 && Instant::now() < deadline {
            std::thread::sleep(DRAIN_LOOK);
        }
        let left = self.open.count();
        drop(self.phase);
        for thread in self.threads {
            drop(thread.join());
        }
        left
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
    sites: watch::Receiver<Snapshot>,
    beat: Arc<AtomicU64>,
    shared: Shared,
}

impl Worker {
    async fn run(mut self) {
        let local = LocalSet::new();
        local.run_until(self.serve()).await;
    }

    async fn serve(&mut self) {
        let settings = Arc::clone(&self.settings);
        let sites = Arc::clone(&self.sites.borrow_and_update());
        let service = Service::new(
            Arc::clone(&self.store),
            Sites::new(&sites, None),
            Identity::new(settings.nonce),
            self.shared.clone(),
            Arc::clone(&self.counters),
            self.log.take(),
            self.disk.take(),
        );
        let mut accepting = Vec::new();
        for (place, socket) in self.sockets.drain(..) {
            let listener = TcpListener::from_std(socket).expect("the socket was made non-blocking");
            let tls = settings.listen[place].tls.clone().map(TlsAcceptor::from);
            let accept = listen::accept(listener, tls, service.clone(), self.open.clone());
            accepting.push(tokio::task::spawn_local(accept));
        }
        let mut flush = tokio::time::interval(BEAT);
        let (mut sweeps, mut sweep) = (tokio::time::interval(SWEEP), Sweep::default());
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = flush.tick() => {
                    self.beat.fetch_add(1, Ordering::Relaxed);
                    service.flush_log();
                }
                _ = sweeps.tick(), if self.sweeps => {
                    if !self.store.purges().is_empty() {
                        self.store.sweep(&mut sweep, SWEPT);
                    }
                }
                Ok(()) = self.sites.changed() => {
                    let sites = Arc::clone(&self.sites.borrow_and_update());
                    service.exchange_sites(Sites::new(&sites, Some(&service.sites())));
                }
                changed = self.phases.changed() => {
                    accepting.drain(..).for_each(|task| task.abort());
                    service.enter(*self.phases.borrow_and_update());
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
