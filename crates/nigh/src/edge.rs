//! A running edge: from settings to a start, through reloads, to its end. `nigh edge` and `nigh run`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
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
    board::Board,
    counters::Registry,
    disk::{self, Disk},
    entropy,
    forward_proxy::Proxy,
    http1,
    listen::Open,
    server::{self, Listen, Server, Terms},
    service::Limits,
    sites::{self, Snapshot},
    tls::{self, Certified, Presented},
    upstream::Member,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::{
    admin::{self, Drain, Events, Recent},
    cli,
    control::{self, Control, Lines, Now},
    settings::{self, Forward, Secret, Settings, Site},
};

/// Everything that the admin API looks at.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) open: Open,
    pub(crate) addresses: Vec<(Scheme, SocketAddr)>,
    pub(crate) since: Instant,
    pub(crate) disk: Option<Arc<Disk>>,
    pub(crate) forward: Option<Arc<Proxy>>,
    pub(crate) board: Board,
    pub(crate) control: Control,
    pub(crate) events: Events,
    pub(crate) recent: Recent,
    pub(crate) drain: Drain,
}

impl Running {
    /// The settings as they are now.
    pub(crate) fn now(&self) -> Arc<Now> {
        self.control.now()
    }

    /// Whether what is no site's may be asked for: http, where there is a forward proxy.
    pub(crate) fn passes_on(&self, scheme: Scheme) -> bool {
        self.forward.is_some() && scheme == Scheme::Http
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
    /// Starts an edge with these settings, which stand in `file` if they stand anywhere.
    pub(crate) fn start(settings: Settings, file: Option<&Path>) -> anyhow::Result<Self> {
        without_huge_pages();
        let log = settings.node.access_log.as_deref().map(open_log).transpose()?;
        let mut roots = Roots::default();
        let snapshot = snapshot(&settings.sites, &mut roots)?;
        let presented = presented(&settings)?;
        let store = Store::new(store_settings(&settings.cache));
        let disk = settings.cache.disk.as_ref();
        let (disk, writer) =
            disk.map(|disk| Disk::open(disk, Arc::clone(store.purges()))).transpose()?.unzip();
        let (registry, open, board) = (Registry::default(), Open::default(), Board::default());
        let forward = settings.forward.as_ref().map(Forward::proxy).transpose()?;
        let server = Server::start(
            server_settings(&settings, snapshot, presented.as_ref(), forward.clone()),
            &store,
            &registry,
            log.as_ref(),
            &open,
            disk.as_ref(),
            &board,
        )?;
        let lines =
            Lines { server: server.handle(), presented, log: log.as_ref().map(Writer::reopener) };
        let running = Running {
            store,
            registry,
            open,
            addresses: server.addresses.clone(),
            since: Instant::now(),
            disk,
            forward,
            board,
            control: Control::new(settings, file, roots, lines)?,
            events: Events::default(),
            recent: Recent::default(),
            drain: Drain::default(),
        };
        Ok(Self { running: Arc::new(running), server, log, disk: writer })
    }

    /// Where redirected clients come in, and how.
    fn redirected(
        &self,
        forward: Option<&Forward>,
    ) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let modes = forward.into_iter().flat_map(|forward| &forward.transparent);
        let modes = modes.map(|one| one.mode.as_str());
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
    flags.check();
    serve(Settings::from(flags), None)
}

/// Runs the edge that a file describes until SIGTERM or Ctrl-C; SIGHUP reads the file again.
pub(crate) fn run_file(file: &Path) -> anyhow::Result<()> {
    serve(settings::read(file)?, Some(file))
}

fn serve(settings: Settings, file: Option<&Path>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if settings.forward.as_ref().is_some_and(Forward::is_open) {
        warn!("this forward proxy asks for no password and serves everyone who can reach it");
    }
    let served = served(&settings);
    // Held to the end: with it goes the socket's file.
    let admin = settings.node.admin.as_ref().map(admin::bind).transpose()?;
    let edge = Edge::start(settings, file)?;
    let running = Arc::clone(&edge.running);
    runtime.block_on(async {
        // Signals are heard from before anyone is told that the edge is there.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Without a file there is nothing to read again, and the signal ends the process as ever.
        let mut hangup = match file {
            Some(_) => Some(signal(SignalKind::hangup())?),
            None => None,
        };
        for (scheme, address) in &running.addresses {
            info!("listening on {}://{address} for {served}", scheme.as_str());
        }
        for (mode, address) in edge.redirected(running.now().settings.forward.as_ref()) {
            info!("redirected clients on {mode}://{address}");
        }
        if let Some(admin) = &admin {
            admin::serve(admin, &running)?;
        }
        tokio::spawn(admin::watch(Arc::clone(&running)));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = running.drain.asked() => break,
                () = hung_up(&mut hangup) => reload(&running),
            }
        }
        edge.server.begin_drain();
        running.drain.begin(&running.events);
        info!(open = running.open.count(), "draining");
        let limit = running.now().settings.limits.drain_time;
        // Elsewhere, so that the admin address goes on answering.
        let left = tokio::task::spawn_blocking(move || edge.drain(limit)).await?;
        if left > 0 {
            warn!(connections = left, "the drain time is over: cut what was left");
        }
        Ok(())
    })
}

/// Waits for SIGHUP.
async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn reload(running: &Running) {
    let came = running.control.reload();
    control::log(&came, running.now().settings.sites.len(), running.control.file());
    running.events.reloaded(&came);
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

/// The certificate with its key that these settings name.
pub(crate) fn certified(tls: &settings::Tls) -> anyhow::Result<Certified> {
    Ok(tls::certified(&tls.certificate, private_key(&tls.key))?)
}

/// What clients see over https, if anybody listens for it.
fn presented(settings: &Settings) -> anyhow::Result<Option<Arc<Presented>>> {
    if settings.node.listen.iter().all(|listen| listen.scheme == Scheme::Http) {
        return Ok(None);
    }
    let certified = match &settings.tls {
        Some(tls) => certified(tls)?,
        None => {
            info!("no certificate was named: made one for localhost that only this machine trusts");
            tls::self_signed()?
        }
    };
    Ok(Some(Presented::new(certified)))
}

/// The limits as the server takes them.
pub(crate) fn limits(limits: &settings::Limits) -> Limits {
    let bytes = |size: ByteSize| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    Limits {
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
    }
}

fn server_settings(
    settings: &Settings,
    sites: Snapshot,
    presented: Option<&Arc<Presented>>,
    forward: Option<Arc<Proxy>>,
) -> server::Settings {
    let node = &settings.node;
    let server_tls = presented.map(|presented| tls::server(Arc::clone(presented)));
    let listen = node.listen.iter().map(|listen| Listen {
        address: listen.address,
        tls: server_tls.clone().filter(|_| listen.scheme == Scheme::Https),
    });
    server::Settings {
        listen: listen.collect(),
        workers: node.workers.map_or_else(cores, usize::from),
        terms: Terms { sites, limits: limits(&settings.limits) },
        forward,
        nonce: nonce(),
        log_format: node.access_log.as_ref().map(|_| node.log_format),
    }
}

/// Tells this process from every other edge in CDN-Loop.
fn nonce() -> u32 {
    u32::try_from(entropy::seed() >> 32).expect("the upper half")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
