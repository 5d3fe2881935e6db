//! A running edge: from settings to a start, through reloads, to its end. `nigh edge` and `nigh run`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use anyhow::Context;
use nigh_base::ByteSize;
use nigh_cache::{
    key::Scheme,
    store::{self, Store},
};
use nigh_edge::site;
use nigh_net::{
    access_log::{Place, Writer},
    counters::Registry,
    disk::{self, Disk},
    entropy, http1,
    listen::Open,
    server::{self, Bound, Listen, Server},
    service::{Limits, Shared},
    sites::{self, Snapshot},
    tls,
    upstream::Member,
};
use tracing::{error, info, warn};

use crate::{
    admin, cli,
    handover::{self, Given, Program},
    lifecycle::{self, End, Signals},
    privileges::Intended,
    settings::{self, Secret, Settings, Site},
    systemd::Manager,
};

/// Everything that the admin API looks at.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) open: Open,
    pub(crate) shared: Shared,
    pub(crate) name: String,
    pub(crate) addresses: Vec<(Scheme, SocketAddr)>,
    pub(crate) since: Instant,
    pub(crate) disk: Option<Arc<Disk>>,
    sites: RwLock<Arc<site::Sites<Site>>>,
}

impl Running {
    /// The sites as they are now.
    pub(crate) fn sites(&self) -> Arc<site::Sites<Site>> {
        Arc::clone(&self.sites.read().expect("nobody panics while holding it"))
    }
}

/// An edge that was started, with the parts that must outlive it.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) running: Arc<Running>,
    server: Server,
    log: Option<Writer>,
    disk: Option<disk::Writer>,
    /// The admin address' socket, to be handed over.
    admin: Option<std::net::TcpListener>,
}

impl Edge {
    /// Starts an edge; `sites` are those that `bound` was given, as the admin API shows them.
    pub(crate) fn start(
        name: &str,
        sites: Vec<Site>,
        bound: Bound,
        store: Arc<Store>,
        log: Option<Writer>,
        disk: Option<&disk::Settings>,
        given: Given,
    ) -> anyhow::Result<Self> {
        without_huge_pages();
        let (disk, writer) = handover::disk::take_over(given, disk, store.purges())?.unzip();
        let registry = Registry::default();
        let open = Open::default();
        let shared = bound.shared().clone();
        let server = bound.start(&store, &registry, log.as_ref(), &open, disk.as_ref())?;
        let addresses = server.addresses.clone();
        let (name, since) = (name.to_owned(), Instant::now());
        let sites = RwLock::new(by_host(sites));
        let running =
            Running { store, registry, open, shared, name, addresses, since, disk, sites };
        Ok(Self { running: Arc::new(running), server, log, disk: writer, admin: None })
    }

    /// From here on, requests are these sites'.
    fn exchange_sites(&self, sites: Vec<Site>, snapshot: Snapshot) {
        self.server.exchange_sites(snapshot);
        *self.running.sites.write().expect("nobody panics while holding it") = by_host(sites);
    }

    /// Copies of its listening sockets, each with its name.
    pub(crate) fn descriptors(&self) -> std::io::Result<Vec<(&'static str, OwnedFd)>> {
        let public = self.server.sockets().map(|(scheme, socket)| (scheme.as_str(), socket));
        let admin = self.admin.iter().map(|socket| ("admin", socket));
        public.chain(admin).map(|(name, socket)| Ok((name, socket.try_clone()?.into()))).collect()
    }

    /// How often each worker has gone round.
    pub(crate) fn beats(&self) -> Vec<u64> {
        self.server.beats()
    }

    /// Whether no connection is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.server.is_empty()
    }

    /// Makes room for another process: nothing is accepted and nothing is written to the disk store
    /// any more. Connections that are open may ask once more.
    fn leave(&mut self) {
        self.server.leave();
        self.admin = None;
        if let Some(disk) = self.disk.take() {
            handover::disk::let_go(disk);
        }
    }

    /// Ends it when every request in flight has ended, or after `limit`.
    pub(crate) fn drain(self, limit: Duration) -> usize {
        let left = self.server.drain(limit);
        if let Some(log) = self.log {
            log.finish();
        }
        if let Some(disk) = self.disk {
            disk.finish();
        }
        left
    }
}

fn by_host(sites: Vec<Site>) -> Arc<site::Sites<Site>> {
    Arc::new(site::Sites::new(sites.into_iter().map(|site| (site.hosts.clone(), site))))
}

/// A cache that fills touches new memory all the time, and a core that serves would stand still
/// while the kernel clears 2 MiB at once: under misses that quadrupled the time of the slowest of a
/// hundred answers (docs/performance.md).
fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        warn!(%error, "huge pages stay on: the slowest answers will be slower");
    }
}

/// Runs the edge that the flags describe until SIGTERM, Ctrl-C, or until SIGUSR2 has replaced it.
pub(crate) fn run(flags: &cli::Edge) -> anyhow::Result<()> {
    serve(&Settings::from(flags), None)
}

/// The same for the edge that a file describes; SIGHUP reads the file again.
pub(crate) fn run_file(file: &Path) -> anyhow::Result<()> {
    serve(&settings::read(file)?, Some(file))
}

fn serve(settings: &Settings, file: Option<&Path>) -> anyhow::Result<()> {
    let mut given = Given::from_environment()?;
    let manager = Manager::from_environment();
    let intended = Intended::of(&settings.node)?;
    let program = Program::this()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Signals are heard from before anyone is told that the edge is there.
    let signals = {
        let _entered = runtime.enter();
        Signals::new(file)?
    };
    let log = match &settings.node.access_log {
        None => None,
        Some(path) => Some(open_log(path)?),
    };
    let mut roots = Roots::default();
    let snapshot = snapshot(&settings.sites, &mut roots)?;
    let store = Store::new(store_settings(&settings.cache));
    let name = &settings.node.name;
    let bound = Bound::new(server_settings(settings, snapshot)?, &mut given.sockets)?;
    let admin = settings.node.admin.map(|address| given.admin(address)).transpose()?;
    if let Some(intended) = intended {
        intended.become_it(settings)?;
    }
    let mut edge = Edge::start(
        name,
        settings.sites.clone(),
        bound,
        store,
        log,
        settings.cache.disk.as_ref(),
        given,
    )?;
    let end = runtime.block_on(async {
        for (scheme, address) in &edge.running.addresses {
            info!("listening on {}://{address} for {}", scheme.as_str(), served(&settings.sites));
        }
        if let Some(socket) = admin {
            edge.admin = Some(socket.try_clone()?);
            let address = admin::serve(socket, Arc::clone(&edge.running))?;
            info!("admin on http://{address}");
        }
        manager.ready(&lifecycle::status(&edge));
        let reload = || {
            if let Some(file) = file {
                reload(&edge, file, settings, &mut roots);
            }
        };
        anyhow::Ok(lifecycle::run(&edge, signals, &manager, &program, reload).await)
    })?;
    // The admin API ends here: what it answered is done, and the next process knows of it.
    drop(runtime);
    finish(edge, end, &manager, settings.limits.drain_time)
}

/// Lets an edge that is to serve no more end, and whoever takes its place begin.
fn finish(mut edge: Edge, end: End, manager: &Manager, drain_time: Duration) -> anyhow::Result<()> {
    let mut went = Ok(());
    match end {
        End::Told => manager.stopping(),
        End::Replaced(successor) => {
            edge.leave();
            manager.replaced_by(successor.id());
            // There is no way back from here: what is in flight is finished in any case.
            went = successor.go();
            info!(open = edge.running.open.count(), "the new process serves");
            lifecycle::linger(&edge, drain_time)?;
        }
    }
    info!(open = edge.running.open.count(), "draining");
    let left = edge.drain(drain_time);
    if left > 0 {
        warn!(connections = left, "the drain time is over: cut what was left");
    }
    went.context("the new process has ended: nobody serves")
}

/// Reads the file again, and exchanges the sites if nothing is wrong. `started` is what the edge was
/// started with.
fn reload(edge: &Edge, file: &Path, started: &Settings, roots: &mut Roots) {
    let mut read = || {
        let settings = settings::read(file)?;
        let snapshot = snapshot(&settings.sites, roots)?;
        anyhow::Ok((settings, snapshot))
    };
    match read() {
        Ok((settings, snapshot)) => {
            let differences = started.fixed_differences(&settings);
            let sites = settings.sites.len();
            edge.exchange_sites(settings.sites, snapshot);
            info!(sites, "the settings were read again: the sites are new");
            if !differences.is_empty() {
                warn!("{} differ from what runs: restart for that", differences.join(", "));
            }
        }
        Err(error) => error!("nothing is changed: {error:#}"),
    }
}

/// The sites in a few words, for the log.
fn served(sites: &[Site]) -> String {
    match sites {
        [Site { origins, .. }] if origins.len() == 1 => origins[0].settings.url(),
        sites => format!("{} sites", sites.len()),
    }
}

fn open_log(path: &Path) -> anyhow::Result<Writer> {
    let place = if path == Path::new("-") { Place::Standard } else { Place::File(path.to_owned()) };
    Writer::start(&place).with_context(|| format!("cannot write the access log {}", path.display()))
}

fn store_settings(cache: &settings::Cache) -> store::Settings {
    let mut settings = store::Settings::new(cache.memory, entropy::seed());
    settings.policy = cache.eviction;
    if let Some(max) = cache.max_object {
        settings.object_max = max;
    }
    settings
}

/// Whom https origins are held to, by the file that names more than this machine's roots. What was
/// read before and is the same keeps its connections over a reload.
#[derive(Debug, Default)]
pub(crate) struct Roots(BTreeMap<Option<PathBuf>, (Vec<u8>, Arc<rustls::ClientConfig>)>);

impl Roots {
    fn of(&mut self, extra: Option<&Path>) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        // A file that cannot be read is reported by whoever reads it next.
        let bytes = extra.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        let key = extra.map(Path::to_owned);
        if let Some((held, config)) = self.0.get(&key)
            && *held == bytes
        {
            return Ok(Arc::clone(config));
        }
        let config = tls::client(extra)?;
        self.0.insert(key, (bytes, Arc::clone(&config)));
        Ok(config)
    }
}

/// The sites as the server takes them.
pub(crate) fn snapshot(sites: &[Site], roots: &mut Roots) -> anyhow::Result<Snapshot> {
    let mut snapshot = Vec::new();
    for site in sites {
        let mut origins = Vec::new();
        for settings::Origin { settings, weight } in &site.origins {
            let tls = match settings.scheme {
                Scheme::Http => None,
                Scheme::Https => Some(roots.of(site.origin_ca.as_deref())?),
            };
            origins.push(Member { settings: settings.clone(), tls, weight: *weight });
        }
        snapshot.push(sites::Settings {
            hosts: site.hosts.clone(),
            rules: site.rules.clone(),
            origins,
            probe: site.probe.clone(),
        });
    }
    Ok(snapshot.into())
}

fn server_settings(settings: &Settings, sites: Snapshot) -> anyhow::Result<server::Settings> {
    let Settings { node, limits, .. } = settings;
    let bytes = |size: ByteSize| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    let server_tls = if node.listen.iter().all(|listen| listen.scheme == Scheme::Http) {
        None
    } else if let Some(settings::Tls { certificate, key }) = &settings.tls {
        let key = match key {
            Secret::File(path) => tls::PrivateKey::File(path),
            Secret::Environment(name) => tls::PrivateKey::Variable(name),
        };
        Some(tls::server(certificate, key)?)
    } else {
        info!("no certificate was named: made one for localhost that only this machine trusts");
        Some(tls::self_signed()?.0)
    };
    let listen = node
        .listen
        .iter()
        .map(|listen| Listen {
            address: listen.address,
            tls: server_tls.clone().filter(|_| listen.scheme == Scheme::Https),
        })
        .collect();
    Ok(server::Settings {
        listen,
        workers: node.workers.map_or_else(cores, usize::from),
        sites,
        limits: Limits {
            http1: http1::Limits {
                head_bytes: bytes(limits.max_head),
                target_bytes: bytes(limits.max_target),
                fields: usize::from(limits.max_fields),
                ..http1::Limits::default()
            },
            head_time: limits.head_time,
            idle_time: limits.idle_time,
            write_time: limits.stall_time,
            body_time: limits.stall_time,
            min_rate: limits.min_rate,
            buffers: limits.buffers.bytes(),
            clients: limits.per_client.clone(),
            body_bytes: limits.max_body.map_or(u64::MAX, ByteSize::bytes),
            connections: limits.max_connections,
            ..Limits::default()
        },
        nonce: nonce(),
        log_format: node.access_log.as_ref().map(|_| node.log_format),
    })
}

/// Tells this process from every other edge in CDN-Loop.
pub(crate) fn nonce() -> u32 {
    u32::try_from(entropy::seed() >> 32).expect("the upper half")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
