//! An edge as a whole: its cores, from the first socket to the last answer.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
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
    io::DuplexStream,
    net::TcpListener,
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
    forward_proxy::{Forward, Proxy, Redirected},
    listen::{self, Door, Open},
    service::{Limits, Service},
    sites::{Sites, Snapshot},
};

/// How often a core hands over its log lines, however few.
const LOG_FLUSH: Duration = Duration::from_millis(500);

/// How often a part of the memory is held against purge rules, if there are any, and how many
/// objects each time: a fifth of a millisecond's work.
const SWEEP: Duration = Duration::from_millis(50);
const SWEPT: usize = 1000;

/// Connections of the edge to itself that may wait for one core to take them.
const INWARD_MAX: usize = 64;

/// Bytes on their way on such a connection, in each direction.
const INWARD_BUFFER: usize = 64 * 1024;

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
    /// What can be exchanged while it runs.
    pub terms: Terms,
    /// What takes requests for other hosts, if anything does.
    pub forward: Option<Arc<Proxy>>,
    /// Tells this edge from every other in CDN-Loop.
    pub nonce: u32,
    /// How the access log looks, if there is one.
    pub log_format: Option<Format>,
}

/// Whom an edge serves, and on which terms: all that can be exchanged while it runs.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whose requests are answered, and where their misses go.
    pub sites: Snapshot,
    /// What one client may take.
    pub limits: Limits,
}

/// What can be told to a running edge, from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    terms: watch::Sender<Arc<Terms>>,
    inward: Arc<[mpsc::Sender<(Scheme, DuplexStream)>]>,
    turn: Arc<AtomicUsize>,
}

impl Handle {
    /// From now on, requests are these sites', on these terms; what is on its way ends as it began.
    pub fn exchange(&self, terms: Terms) {
        self.terms.send_replace(Arc::new(terms));
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

/// A running edge.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, with the ports that were chosen.
    pub addresses: Vec<(Scheme, SocketAddr)>,
    /// Where redirected clients come in.
    pub redirected: Vec<SocketAddr>,
    drain: watch::Sender<bool>,
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
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
    /// A thread or its runtime could not be made.
    #[error("cannot start a worker thread")]
    Thread(#[from] io::Error),
}

impl Server {
    /// Binds every socket, then starts the workers.
    ///
    /// # Errors
    /// If an address cannot be bound or a thread cannot be made.
    pub fn start(
        settings: Settings,
        store: &Arc<Store>,
        registry: &Registry,
        log: Option<&Writer>,
        open: &Open,
        disk: Option<&Arc<Disk>>,
        board: &Board,
    ) -> Result<Self, StartError> {
        if let Some(disk) = disk {
            store.put_beneath(Arc::clone(disk.queue()));
        }
        let (drain, draining) = watch::channel(false);
        let (terms_out, terms) = watch::channel(Arc::new(settings.terms.clone()));
        let mut sockets: Vec<Vec<std::net::TcpListener>> = Vec::new();
        let mut addresses = Vec::new();
        let settings = Arc::new(settings);
        for one in &settings.listen {
            let taken = |source| StartError::Bind { address: one.address, source };
            listen::assert_free(one.address).map_err(taken)?;
            let bind = |address| {
                listen::bind(address).map_err(|source| StartError::Bind { address, source })
            };
            let first = bind(one.address)?;
            let address = first.local_addr()?;
            let rest = (1..settings.workers).map(|_| bind(address));
            sockets.push(std::iter::once(Ok(first)).chain(rest).collect::<Result<_, _>>()?);
            let scheme = if one.tls.is_some() { Scheme::Https } else { Scheme::Http };
            addresses.push((scheme, address));
        }
        let mut redirected = Vec::new();
        if let Some(proxy) = &settings.forward {
            for one in proxy.redirected() {
                let taken = |source| StartError::Bind { address: one.address, source };
                listen::assert_redirected_free(one.address).map_err(taken)?;
                let first = listen::bind_redirected(*one).map_err(taken)?;
                let to = Redirected { address: first.local_addr()?, ..*one };
                let rest =
                    (1..settings.workers).map(|_| listen::bind_redirected(to).map_err(taken));
                sockets.push(std::iter::once(Ok(first)).chain(rest).collect::<Result<_, _>>()?);
                redirected.push(to.address);
            }
            let listening = addresses.iter().map(|(_, address)| address).chain(&redirected);
            proxy.listens_on(listening.map(SocketAddr::port).collect());
        }
        let (mut threads, mut inward) = (Vec::new(), Vec::new());
        for number in 0..settings.workers {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (inward_out, inward_in) = mpsc::channel(INWARD_MAX);
            inward.push(inward_out);
            let mine: Vec<_> = sockets.iter_mut().filter_map(Vec::pop).collect();
            let worker = Worker {
                settings: Arc::clone(&settings),
                sockets: mine,
                store: Arc::clone(store),
                counters: registry.register(),
                log: log.zip(settings.log_format).map(|(log, format)| log.log(format)),
                open: open.clone(),
                draining: draining.clone(),
                disk: disk.cloned(),
                sweeps: number == 0,
                terms: terms.clone(),
                inward: inward_in,
                board: board.core(),
            };
            let thread = std::thread::Builder::new().name(format!("edge-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(worker.run()))?);
        }
        let handle = Handle { terms: terms_out, inward: inward.into(), turn: Arc::default() };
        Ok(Self { addresses, redirected, drain, handle, threads, open: open.clone() })
    }

    /// The way to tell it something while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops accepting; idle connections end, and requests in flight are the last of theirs.
    pub fn begin_drain(&self) {
        // Workers that are gone have nothing to end.
        let _ = self.drain.send(true);
    }

    /// Stops accepting, lets every request in flight end, and waits for it; says how many
    /// connections were left when `limit` had passed.
    pub fn drain(self, limit: Duration) -> usize {
        self.begin_drain();
        let deadline = Instant::now() + limit;
        while self.open.count() > 0 && Instant::now() < deadline {
            std::thread::sleep(DRAIN_LOOK);
        }
        let left = self.open.count();
        drop(self.drain);
        for thread in self.threads {
            drop(thread.join());
        }
        left
    }
}

struct Worker {
    settings: Arc<Settings>,
    sockets: Vec<std::net::TcpListener>,
    store: Arc<Store>,
    counters: Arc<crate::counters::Counters>,
    log: Option<crate::access_log::Log>,
    open: Open,
    draining: watch::Receiver<bool>,
    disk: Option<Arc<Disk>>,
    /// Whether it is the one who holds the memory against purge rules.
    sweeps: bool,
    terms: watch::Receiver<Arc<Terms>>,
    inward: mpsc::Receiver<(Scheme, DuplexStream)>,
    board: Core,
}

impl Worker {
    async fn run(mut self) {
        let local = LocalSet::new();
        local.run_until(self.serve()).await;
    }

    async fn serve(&mut self) {
        let settings = Arc::clone(&self.settings);
        let terms = Arc::clone(&self.terms.borrow_and_update());
        let forward = settings.forward.as_ref().map(|proxy| {
            Forward::start(Arc::clone(proxy), Arc::clone(&self.counters), &self.board)
        });
        let service = Service::new(
            Arc::clone(&self.store),
            Sites::new(&terms.sites, None, forward.clone(), &self.board),
            Identity::new(settings.nonce),
            terms.limits.clone(),
            Arc::clone(&self.counters),
            self.log.take(),
            self.disk.take(),
        );
        let mut accepting = Vec::new();
        let asked = settings.listen.iter().map(|listen| match &listen.tls {
            Some(tls) => Door::Tls(TlsAcceptor::from(Arc::clone(tls))),
            None => Door::Clear,
        });
        let redirected = settings.forward.iter().flat_map(|proxy| proxy.redirected());
        let doors = asked.chain(redirected.map(|one| Door::Redirected(one.mode)));
        for (socket, door) in self.sockets.drain(..).zip(doors) {
            let listener = TcpListener::from_std(socket).expect("the socket was made non-blocking");
            let accept = listen::accept(listener, door, service.clone(), self.open.clone());
            accepting.push(tokio::task::spawn_local(accept));
        }
        let mut flush = tokio::time::interval(LOG_FLUSH);
        let (mut sweeps, mut sweep) = (tokio::time::interval(SWEEP), Sweep::default());
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = flush.tick() => service.flush_log(),
                _ = sweeps.tick(), if self.sweeps => {
                    if !self.store.purges().is_empty() {
                        self.store.sweep(&mut sweep, SWEPT);
                    }
                }
                Ok(()) = self.terms.changed() => {
                    let terms = Arc::clone(&self.terms.borrow_and_update());
                    let before = service.sites();
                    let sites =
                        Sites::new(&terms.sites, Some(&before), forward.clone(), &self.board);
                    service.exchange_sites(sites);
                    service.exchange_limits(terms.limits.clone());
                    drop(before);
                    self.board.forget_sites();
                }
                Some((scheme, stream)) = self.inward.recv() => {
                    let (service, open) = (Rc::clone(&service), self.open.clone());
                    tokio::task::spawn_local(listen::serve_inward(stream, scheme, service, open));
                }
                changed = self.draining.changed() => {
                    accepting.drain(..).for_each(|task| task.abort());
                    service.drain();
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
