//! `nigh edge`: flags into settings, settings into a running edge, and its end.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Instant};

use anyhow::Context;
use nigh_base::ByteSize;
use nigh_cache::{
    key::Scheme,
    store::{self, Store},
};
use nigh_net::{
    access_log::{Place, Writer},
    counters::Registry,
    disk::{self, Disk},
    entropy, http1,
    listen::Open,
    origin,
    server::{Listen, Server, Settings},
    service::Limits,
    tls,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::{admin, cli};

/// Everything that the admin API looks at.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) open: Open,
    pub(crate) origin: String,
    pub(crate) addresses: Vec<(Scheme, SocketAddr)>,
    pub(crate) since: Instant,
    pub(crate) disk: Option<Arc<Disk>>,
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
    /// Starts an edge.
    pub(crate) fn start(
        mut settings: Settings,
        store: Arc<Store>,
        log: Option<Writer>,
        disk: Option<&disk::Settings>,
    ) -> anyhow::Result<Self> {
        without_huge_pages();
        let (disk, writer) =
            disk.map(|disk| Disk::open(disk, Arc::clone(store.purges()))).transpose()?.unzip();
        settings.disk.clone_from(&disk);
        let registry = Registry::default();
        let open = Open::default();
        let origin =
            format!("{}://{}", settings.origin.scheme.as_str(), settings.origin.authority());
        let server = Server::start(settings, &store, &registry, log.as_ref(), &open)?;
        let addresses = server.addresses.clone();
        let since = Instant::now();
        let running = Running { store, registry, open, origin, addresses, since, disk };
        Ok(Self { running: Arc::new(running), server, log, disk: writer })
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

/// Runs an edge until SIGTERM or Ctrl-C.
pub(crate) fn run(flags: &cli::Edge) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let log = match &flags.access_log {
        None => None,
        Some(path) => Some(open_log(path)?),
    };
    let store = Store::new(store_settings(flags));
    let disk = flags.disk.as_ref().map(|path| disk::Settings {
        path: path.clone(),
        size: flags.disk_size.expect("clap wants both or none"),
    });
    let edge = Edge::start(settings(flags)?, store, log, disk.as_ref())?;
    runtime.block_on(async {
        // Signals are heard from before anyone is told that the edge is there.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        for (scheme, address) in &edge.running.addresses {
            info!("listening on {}://{address} for {}", scheme.as_str(), edge.running.origin);
        }
        if let Some(address) = flags.admin {
            let address = admin::serve(address, Arc::clone(&edge.running))?;
            info!("admin on http://{address}");
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        anyhow::Ok(())
    })?;
    info!(open = edge.running.open.count(), "draining");
    let left = edge.drain(flags.limits.drain_time);
    if left > 0 {
        warn!(connections = left, "the drain time is over: cut what was left");
    }
    Ok(())
}

fn open_log(path: &Path) -> anyhow::Result<Writer> {
    let place = if path == Path::new("-") { Place::Standard } else { Place::File(path.to_owned()) };
    Writer::start(&place).with_context(|| format!("cannot write the access log {}", path.display()))
}

fn store_settings(flags: &cli::Edge) -> store::Settings {
    let mut settings = store::Settings::new(flags.memory, entropy::seed());
    settings.policy = flags.eviction;
    if let Some(max) = flags.max_object {
        settings.object_max = max;
    }
    settings
}

fn settings(flags: &cli::Edge) -> anyhow::Result<Settings> {
    let bytes = |size: ByteSize| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    let server_tls = if flags.listen.iter().all(|listen| listen.scheme == Scheme::Http) {
        None
    } else if let (Some(certificate), Some(key)) = (&flags.tls_cert, &flags.tls_key) {
        Some(tls::server(certificate, key)?)
    } else {
        info!("no certificate was named: made one for localhost that only this machine trusts");
        Some(tls::self_signed()?.0)
    };
    let listen = flags
        .listen
        .iter()
        .map(|listen| Listen {
            address: listen.address,
            tls: server_tls.clone().filter(|_| listen.scheme == Scheme::Https),
        })
        .collect();
    let origin_tls = match flags.to.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(tls::client(flags.origin.origin_ca.as_deref())?),
    };
    let limits = &flags.limits;
    Ok(Settings {
        listen,
        workers: flags.workers.map_or_else(cores, usize::from),
        origin: origin::Settings {
            keep_host: flags.origin.keep_host,
            http2_prior_knowledge: flags.origin.origin_http2 && flags.to.scheme == Scheme::Http,
            connect_limit: flags.origin.origin_connect,
            first_byte_limit: flags.origin.origin_first_byte,
            idle_limit: flags.origin.origin_idle,
            connections: flags.origin.origin_connections,
            ..flags.to.clone()
        },
        origin_tls,
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
        log_format: flags.access_log.as_ref().map(|_| flags.log_format),
        disk: None,
    })
}

/// Tells this process from every other edge in CDN-Loop.
pub(crate) fn nonce() -> u32 {
    u32::try_from(entropy::seed() >> 32).expect("the upper half")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
