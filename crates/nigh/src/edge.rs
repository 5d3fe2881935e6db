//! A running edge: from settings to a start, through reloads, to its end. `nigh edge` and `nigh run`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Instant,
};

use anyhow::Context;
use nigh_base::ByteSize;
use nigh_cache::{
    key::Scheme,
    store::{self, Store},
};
use nigh_edge::site::{self, signed::Key};
use nigh_net::{
    access_log::{Place, Writer},
    counters::Registry,
    disk::{self, Disk},
    entropy,
    forward_proxy::{Mode, Proxy},
    http1,
    listen::Open,
    server::{self, Listen, Server},
    service::Limits,
    sites::{self, Snapshot},
    tls,
    upstream::Member,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::{
    admin, cli,
    settings::{self, Forward, Secret, Settings, Site},
};

/// Everything that the admin API looks at.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) open: Open,
    pub(crate) name: String,
    pub(crate) addresses: Vec<(Scheme, SocketAddr)>,
    pub(crate) since: Instant,
    pub(crate) disk: Option<Arc<Disk>>,
    pub(crate) forward: Option<Arc<Proxy>>,
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
}

impl Edge {
    /// Starts an edge; `sites` are those of `settings`, as the admin API shows them.
    pub(crate) fn start(
        name: &str,
        sites: Vec<Site>,
        settings: server::Settings,
        store: Arc<Store>,
        log: Option<Writer>,
        disk: Option<&disk::Settings>,
    ) -> anyhow::Result<Self> {
        without_huge_pages();
        let (disk, writer) =
            disk.map(|disk| Disk::open(disk, Arc::clone(store.purges()))).transpose()?.unzip();
        let registry = Registry::default();
        let open = Open::default();
        let forward = settings.forward.clone();
        let server =
            Server::start(settings, &store, &registry, log.as_ref(), &open, disk.as_ref())?;
        let addresses = server.addresses.clone();
        let (name, since) = (name.to_owned(), Instant::now());
        let sites = RwLock::new(by_host(sites));
        let running =
            Running { store, registry, open, name, addresses, since, disk, forward, sites };
        Ok(Self { running: Arc::new(running), server, log, disk: writer })
    }

    /// From here on, requests are these sites'.
    fn exchange_sites(&self, sites: Vec<Site>, snapshot: Snapshot) {
        self.server.exchange_sites(snapshot);
        *self.running.sites.write().expect("nobody panics while holding it") = by_host(sites);
    }

    /// Where redirected clients come in, and how.
    fn redirected(&self, settings: &Settings) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let modes = settings.forward.iter().flat_map(|forward| &forward.transparent);
        let modes = modes.map(|one| match one.mode {
            Mode::Redirect => "redirect",
            Mode::Tproxy => "tproxy",
        });
        modes.zip(self.server.redirected.iter().copied())
    }

    /// Ends it when every request in flight has ended, or after `limit`.
    pub(crate) fn drain(self, limit: std::time::Duration) -> usize {
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

/// Runs the edge that the flags describe until SIGTERM or Ctrl-C.
pub(crate) fn run(flags: &cli::Edge) -> anyhow::Result<()> {
    serve(&Settings::from(flags), None)
}

/// Runs the edge that a file describes until SIGTERM or Ctrl-C; SIGHUP reads the file again.
pub(crate) fn run_file(file: &Path) -> anyhow::Result<()> {
    serve(&settings::read(file)?, Some(file))
}

fn serve(settings: &Settings, file: Option<&Path>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let log = match &settings.node.access_log {
        None => None,
        Some(path) => Some(open_log(path)?),
    };
    let mut roots = Roots::default();
    let snapshot = snapshot(&settings.sites, &mut roots)?;
    if settings.forward.as_ref().is_some_and(Forward::is_open) {
        warn!("this forward proxy asks for no password and serves everyone who can reach it");
    }
    let store = Store::new(store_settings(&settings.cache));
    let name = &settings.node.name;
    let server = server_settings(settings, snapshot)?;
    let edge = Edge::start(
        name,
        settings.sites.clone(),
        server,
        store,
        log,
        settings.cache.disk.as_ref(),
    )?;
    runtime.block_on(async {
        // Signals are heard from before anyone is told that the edge is there.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Without a file there is nothing to read again, and the signal ends the process as ever.
        let mut hangup = match file {
            Some(file) => Some((signal(SignalKind::hangup())?, file)),
            None => None,
        };
        for (scheme, address) in &edge.running.addresses {
            info!("listening on {}://{address} for {}", scheme.as_str(), served(settings));
        }
        for (mode, address) in edge.redirected(settings) {
            info!("redirected clients on {mode}://{address}");
        }
        if let Some(address) = settings.node.admin {
            let address = admin::serve(address, Arc::clone(&edge.running))?;
            info!("admin on http://{address}");
        }
        loop {
            tokio::select! {
                _ = terminate.recv() => return anyhow::Ok(()),
                _ = interrupt.recv() => return Ok(()),
                file = hung_up(&mut hangup) => reload(&edge, file, settings, &mut roots),
            }
        }
    })?;
    info!(open = edge.running.open.count(), "draining");
    let left = edge.drain(settings.limits.drain_time);
    if left > 0 {
        warn!(connections = left, "the drain time is over: cut what was left");
    }
    Ok(())
}

/// Waits for SIGHUP, and says which file is meant.
async fn hung_up<'f>(hangup: &mut Option<(Signal, &'f Path)>) -> &'f Path {
    match hangup {
        Some((signal, file)) => {
            signal.recv().await;
            file
        }
        None => std::future::pending().await,
    }
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

/// What is served in a few words, for the log.
fn served(settings: &Settings) -> String {
    match &settings.sites[..] {
        [] => "clients of a forward proxy".to_owned(),
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
    settings.slicing = cache.slicing;
    if let Some(max) = cache.max_object {
        settings.object_max = max;
    }
    settings
}

/// Whom https origins are held to, and what is shown to them, by the files that say so. What was read
/// before and is the same keeps its connections over a reload.
#[derive(Debug, Default)]
pub(crate) struct Roots(BTreeMap<String, (Vec<Vec<u8>>, Arc<rustls::ClientConfig>)>);

impl Roots {
    fn of(&mut self, site: &Site) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let Site { origin_ca, shown, .. } = site;
        // A file that cannot be read is reported by whoever reads it next.
        let read = |path: &PathBuf| std::fs::read(path).unwrap_or_default();
        let certificate = shown.iter().map(|shown| read(&shown.certificate));
        let key = shown.iter().map(|shown| shown.key.read().unwrap_or_default());
        let bytes: Vec<_> = origin_ca.iter().map(read).chain(certificate).chain(key).collect();
        let named = format!("{origin_ca:?} {shown:?}");
        if let Some((held, config)) = self.0.get(&named)
            && *held == bytes
        {
            return Ok(Arc::clone(config));
        }
        let shown = shown.as_ref().map(|shown| (&*shown.certificate, private_key(&shown.key)));
        let config = tls::client(origin_ca.as_deref(), shown)?;
        self.0.insert(named, (bytes, Arc::clone(&config)));
        Ok(config)
    }
}

fn private_key(key: &Secret) -> tls::PrivateKey<'_> {
    match key {
        Secret::File(path) => tls::PrivateKey::File(path),
        Secret::Environment(name) => tls::PrivateKey::Variable(name),
    }
}

/// A site's rules, with the keys of signed URLs.
fn with_keys(site: &Site) -> anyhow::Result<site::Rules> {
    let mut rules = site.rules.clone();
    for (place, keys) in &site.signing {
        let read = |(id, secret): &(String, Secret)| anyhow::Ok(Key::new(id, &secret.read()?)?);
        rules = rules.with_keys(*place, keys.iter().map(read).collect::<anyhow::Result<_>>()?);
    }
    Ok(rules)
}

/// The sites as the server takes them.
pub(crate) fn snapshot(sites: &[Site], roots: &mut Roots) -> anyhow::Result<Snapshot> {
    let mut snapshot = Vec::new();
    for site in sites {
        let mut origins = Vec::new();
        for settings::Origin { settings, weight } in &site.origins {
            let tls = match settings.scheme {
                Scheme::Http => None,
                Scheme::Https => Some(roots.of(site)?),
            };
            origins.push(Member { settings: settings.clone(), tls, weight: *weight });
        }
        snapshot.push(sites::Settings {
            hosts: site.hosts.clone(),
            rules: with_keys(site)?,
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
        Some(tls::server(certificate, private_key(key))?)
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
        forward: settings.forward.as_ref().map(Forward::proxy).transpose()?,
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
