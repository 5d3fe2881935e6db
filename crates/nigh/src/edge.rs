//! A running edge: from settings to a start, through reloads, to its end. `nigh edge` and `nigh run`.

mod credentials;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::Context;
use nigh_base::ByteSize;
use nigh_cache::{
    key::Scheme,
    store::{self, Store},
};
use nigh_cluster::control::{LeaseId, Revision};
use nigh_edge::site::{self, signed::Key};
use nigh_net::{
    access_log::{Place, Writer},
    board::Board,
    cluster::{name::Name, tls::Revoked},
    counters::Registry,
    disk::{self, Disk},
    entropy,
    forward_proxy::Proxy,
    http1,
    listen::Open,
    server::{self, Bound, Listen, Server, Terms},
    service::{self, Limits},
    siblings,
    sites::{self, Snapshot},
    tls::{self, Certified, Presented},
    trusted::Trusted,
    upstream::Member,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    admin::{self, Drain, Events, Recent, Token},
    belonging, cli,
    control::{self, Control, Lines, Now, Shared, Sources},
    control_state::ControlState,
    drains,
    forget::{self, Forgetting},
    gossip::{self, Gossip},
    handover::{self, Given, Program, Successor},
    lifecycle::{self, End, Signals, Watchdog},
    privileges::Intended,
    settings::{self, Cluster, Forward, PEM_MAX, SECRET_MAX, Secret, Settings, Site},
    shared_settings::{self, Sharing},
    systemd::Manager,
    trust::{self, Certificate},
};

/// Everything that the admin API looks at.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) store: Arc<Store>,
    pub(crate) registry: Registry,
    pub(crate) open: Open,
    pub(crate) shared: service::Shared,
    pub(crate) addresses: Vec<(Scheme, SocketAddr)>,
    pub(crate) since: Instant,
    pub(crate) disk: Option<Arc<Disk>>,
    pub(crate) forward: Option<Arc<Proxy>>,
    pub(crate) board: Board,
    pub(crate) control: Control,
    pub(crate) events: Events,
    pub(crate) recent: Recent,
    pub(crate) drain: Drain,
    /// How the other edges of its cluster reach it, whom it believes and what it shows to them.
    pub(crate) siblings: Option<siblings::Settings>,
    /// What it shows to them.
    pub(crate) certificate: Arc<Certificate>,
    /// What the edges of its cluster agree on, if the settings say where that is kept.
    pub(crate) state: Option<ControlState>,
    /// On which it has said there, before it served, what sites it serves.
    pub(crate) lease: Option<LeaseId>,
    /// Set from when the edge lives, if its cluster forgets together.
    pub(crate) forgetting: OnceLock<Forgetting>,
    /// Likewise, if sites come from control state.
    pub(crate) sharing: OnceLock<Sharing>,
    /// Set from when the edge lives, if it is one of a cluster.
    pub(crate) gossip: OnceLock<Gossip>,
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
    /// Held to the end: with it goes the socket's file.
    admin: Option<admin::Bound>,
}

/// What an edge opens before it serves, as whoever started it: addresses, the log, certificates, keys
/// and the token.
#[derive(Debug)]
pub(crate) struct Opened {
    bound: Bound,
    admin: Option<admin::Bound>,
    log: Option<Writer>,
    roots: Roots,
    presented: Option<Arc<Presented>>,
    forward: Option<Arc<Proxy>>,
    siblings: Option<siblings::Settings>,
    certificate: Certificate,
    token: Option<Token>,
}

impl Opened {
    /// Opens what the settings name, but for the sockets that were given.
    pub(crate) fn new(settings: &Settings, given: &mut Given) -> anyhow::Result<Self> {
        let log = settings.node.access_log.as_deref().map(open_log).transpose()?;
        let mut roots = Roots::default();
        let snapshot = snapshot(&settings.sites, &mut roots)?;
        let presented = presented(settings)?;
        let forward = settings.forward.as_ref().map(Forward::proxy).transpose()?;
        let siblings = settings.cluster.as_ref().map(credentials::siblings).transpose()?;
        let (siblings, certificate) = siblings.unzip();
        let certificate = certificate.unwrap_or_default();
        let parts = (presented.as_ref(), forward.clone(), siblings.clone());
        let server = server_settings(settings, snapshot, parts);
        let bound = Bound::new(server, &mut given.sockets)?;
        let admin = settings.node.admin.as_ref().map(|address| given.admin(address)).transpose()?;
        if let Some((proxy, address)) =
            forward.as_ref().zip(admin.as_ref().and_then(admin::Bound::socket))
        {
            proxy.has_admin_on(address.port());
        }
        let token = token(&settings.node)?;
        Ok(Self { bound, admin, log, roots, presented, forward, siblings, certificate, token })
    }
}

/// What an edge keeps things in. Once it has that, no other process serves in its place.
#[derive(Debug)]
pub(crate) struct Stores {
    memory: Arc<Store>,
    disk: Option<(Arc<Disk>, disk::Writer)>,
}

impl Stores {
    /// Makes them, and takes the place of the process that is replaced, if there is one.
    pub(crate) fn take_over(settings: &Settings, given: Given) -> anyhow::Result<Self> {
        let memory = Store::new(store_settings(&settings.cache));
        let disk = settings.cache.disk.as_ref();
        let disk = handover::disk::take_over(given, disk, memory.purges())?;
        Ok(Self { memory, disk })
    }
}

/// What an edge knows of its cluster before it serves.
#[derive(Debug, Default)]
pub(crate) struct Agreed {
    pub(crate) state: Option<ControlState>,
    /// The sites there, if there are any.
    pub(crate) shared: Option<Shared>,
    /// Whose certificates count no more, in each cluster whose edges this one talks to.
    pub(crate) revoked: BTreeMap<Name, Revoked>,
    /// Who belongs, where the settings do not list it.
    pub(crate) edges: Option<Vec<siblings::Member>>,
    /// The same of the parent.
    pub(crate) parents: Option<Vec<siblings::Member>>,
    /// On which this edge has said that it serves those sites.
    pub(crate) lease: Option<LeaseId>,
}

impl Edge {
    /// Starts an edge with these settings, which stand in `file` if they stand anywhere, and with what
    /// was opened for it.
    pub(crate) fn start(
        mut settings: Settings,
        file: Option<&Path>,
        opened: Opened,
        stores: Stores,
        agreed: Agreed,
    ) -> anyhow::Result<Self> {
        without_huge_pages();
        let Opened {
            mut bound,
            admin,
            log,
            mut roots,
            presented,
            forward,
            siblings,
            certificate,
            token,
        } = opened;
        let Agreed { state, shared, mut revoked, edges, parents, lease } = agreed;
        for trust in siblings.iter().flat_map(|siblings| siblings.trusts()) {
            trust.revoke(&revoked.remove(trust.cluster()).unwrap_or_default());
        }
        let own = settings.sites.clone();
        if let Some(Shared { revision, sites }) = &shared {
            settings.sites.clone_from(sites);
            let snapshot = snapshot(sites, &mut roots);
            bound.set_sites(snapshot.with_context(|| unusable(*revision))?);
        }
        if let (Some(cluster), Some(edges)) = (&mut settings.cluster, &edges) {
            cluster.edges.clone_from(edges);
            bound.set_members(cluster.members());
        }
        let cluster = settings.cluster.as_mut();
        let of_parent = cluster.and_then(|it| it.parent.as_mut()).zip(parents.as_ref());
        if let Some((parent, edges)) = of_parent {
            parent.edges.clone_from(edges);
            bound.set_parent(settings.cluster.as_ref().and_then(Cluster::parents));
        }
        let sources = Sources { roots, own, shared, edges, parents };
        let Stores { memory: store, disk } = stores;
        let (disk, writer) = disk.unzip();
        let (registry, open, board) = (Registry::default(), Open::default(), Board::default());
        let shared = bound.shared().clone();
        let server = bound.start(&store, &registry, log.as_ref(), &open, disk.as_ref(), &board)?;
        let cluster = settings.cluster.as_ref();
        let lines = Lines {
            server: server.handle(),
            presented,
            log: log.as_ref().map(Writer::reopener),
            belongs: cluster.map(|cluster| watch::Sender::new(cluster.edges.clone())),
        };
        let running = Running {
            store,
            registry,
            open,
            shared,
            addresses: server.addresses.clone(),
            since: Instant::now(),
            disk,
            forward,
            board,
            control: Control::new(settings, file, sources, token, lines),
            events: Events::default(),
            recent: Recent::default(),
            drain: Drain::default(),
            siblings,
            certificate: Arc::new(certificate),
            state,
            lease,
            forgetting: OnceLock::new(),
            sharing: OnceLock::new(),
            gossip: OnceLock::new(),
        };
        Ok(Self { running: Arc::new(running), server, log, disk: writer, admin })
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

    /// Copies of its listening sockets, each with its name.
    pub(crate) fn descriptors(&self) -> std::io::Result<Vec<(&'static str, OwnedFd)>> {
        let clients = self.server.sockets();
        let clients = clients.map(|(name, socket)| Ok((name, socket.try_clone()?.into())));
        let admin = self.admin.iter().map(|admin| Ok(("admin", admin.descriptor()?)));
        clients.chain(admin).collect()
    }

    /// Begins what an edge does beside answering clients, on the runtime that this is called in: it
    /// gossips, follows what its cluster agrees on, and answers at the admin address.
    pub(crate) async fn begin(&self) -> anyhow::Result<()> {
        drains::start(&self.running).await;
        gossip::start(&self.running).await?;
        forget::start(&self.running);
        shared_settings::start(&self.running);
        trust::start(&self.running);
        belonging::start(&self.running);
        self.serve_admin()?;
        tokio::spawn(admin::watch(Arc::clone(&self.running)));
        Ok(())
    }

    /// Answers at the admin address from now on, on the runtime that this is called in.
    pub(crate) fn serve_admin(&self) -> anyhow::Result<()> {
        self.admin.iter().try_for_each(|admin| admin::serve(admin, &self.running))
    }

    /// Accepts nothing there any more, and waits for what was asked there, within a limit; whoever
    /// listens to events is sent away.
    pub(crate) async fn finish_admin(&self) {
        let Some(admin) = &self.admin else { return };
        self.running.events.end();
        if !admin.finish().await {
            warn!("what is still in flight at the admin address took too long: it is cut");
        }
    }

    /// Answers at the admin address again, if it was to be another's.
    pub(crate) fn resume_admin(&self) {
        if self.admin.as_ref().is_some_and(admin::Bound::is_finishing)
            && let Err(error) = self.serve_admin()
        {
            error!("the admin address is not answered: {error:#}");
        }
    }

    /// How often each worker has gone round.
    pub(crate) fn beats(&self) -> Vec<u64> {
        self.server.beats()
    }

    /// Whether no connection is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.server.is_empty()
    }

    /// Makes room for another process: nothing is accepted and nothing is asked at the admin address
    /// any more. Connections that are open may ask once more. What writes to the disk store is left.
    fn leave(&mut self) -> Option<disk::Writer> {
        self.server.leave();
        self.admin.iter().for_each(admin::Bound::cut);
        self.disk.take()
    }

    /// Waits until every request of a client that is in flight has ended, or `limit` has passed; says how
    /// many connections are left.
    pub(crate) fn drain(&mut self, limit: Duration) -> usize {
        self.server.drain(limit)
    }

    /// Ends it at once: every connection is cut, and nobody is told.
    pub(crate) fn cut(self) {
        self.server.cut();
    }

    /// Ends it; other edges have so long for what they have asked.
    pub(crate) fn end(self, left: Duration) {
        self.server.end(left);
        if let Some(log) = self.log {
            log.finish();
        }
        if let Some(disk) = self.disk {
            disk.finish();
        }
    }
}

/// A cache that fills touches new memory all the time, and a core that serves would stand still
/// while the kernel clears 2 MiB at once: under misses that quadrupled the time of the slowest of a
/// hundred answers (docs/performance.md). The disk's long buffers turn them on while they are touched first.
fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        warn!(%error, "huge pages stay on: the slowest answers will be slower");
    }
}

/// Runs the edge that the flags describe until SIGTERM, Ctrl-C, or until SIGUSR2 has replaced it.
pub(crate) fn run(flags: &cli::Edge) -> anyhow::Result<()> {
    flags.check();
    serve(Settings::from(flags), None)
}

/// The same for the edge that a file describes; SIGHUP reads the file again.
pub(crate) fn run_file(flags: &cli::Run) -> anyhow::Result<()> {
    if flags.until_eof {
        lifecycle::end_with_input()?;
    }
    serve(settings::read(&flags.file)?, Some(&flags.file))
}

fn serve(settings: Settings, file: Option<&Path>) -> anyhow::Result<()> {
    let mut given = Given::from_environment()?;
    let manager = Manager::from_environment();
    let intended = Intended::of(&settings.node)?;
    let program = Program::this()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Signals are heard from before anyone is told that the edge is there.
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new(file)?
    };
    if settings.forward.as_ref().is_some_and(Forward::is_open) {
        warn!("this forward proxy asks for no password and serves everyone who can reach it");
    }
    let opened = Opened::new(&settings, &mut given)?;
    if let Some(intended) = intended {
        intended.become_it(&settings)?;
    }
    let beside = file.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let mut agree = || {
        let agreeing = shared_settings::agree(&settings, beside, &manager);
        runtime.block_on(async {
            tokio::select! {
                agreed = agreeing => agreed.map(Some),
                () = signals.told_to_end() => Ok(None),
            }
        })
    };
    // The process that is replaced has a file with control state open until this one is ready. What
    // others keep is asked before that: if they do not answer, the old process goes on.
    let is_file = settings.cluster.as_ref().is_some_and(Cluster::keeps_a_file);
    let early = if is_file { None } else { Some(agree()?) };
    if matches!(early, Some(None)) {
        return Ok(());
    }
    let stores = Stores::take_over(&settings, given)?;
    let agreed = early.map_or_else(&mut agree, Ok)?;
    let Some(agreed) = agreed else { return Ok(()) };
    let edge = Edge::start(settings, file, opened, stores, agreed)?;
    let lived = runtime.block_on(live(edge, signals, &manager, &program));
    // Whoever still waits for a file system is not waited for.
    runtime.shutdown_background();
    lived
}

/// Serves until the end, or until another process serves.
async fn live(
    edge: Edge,
    mut signals: Signals,
    manager: &Manager,
    program: &Program,
) -> anyhow::Result<()> {
    let running = Arc::clone(&edge.running);
    let served = served(&running.now().settings);
    for (scheme, address) in &running.addresses {
        info!("listening on {}://{address} for {served}", scheme.as_str());
    }
    if let Some(cluster) = &running.now().settings.cluster {
        let (name, count) = (&cluster.name, cluster.edges.len());
        info!("one of {count} edges of {name}, for the others on {}", cluster.listen);
    }
    for (mode, address) in edge.redirected(running.now().settings.forward.as_ref()) {
        info!("redirected clients on {mode}://{address}");
    }
    edge.begin().await?;
    manager.ready(&lifecycle::status(&edge));
    let mut watchdog = Watchdog::new(manager);
    let reload = || {
        let running = Arc::clone(&running);
        tokio::task::spawn_blocking(move || reload(&running))
    };
    match lifecycle::run(&edge, &mut signals, &mut watchdog, manager, program, reload).await {
        End::Told => finish(edge, manager).await,
        End::Replaced { successor, reload } => {
            make_room(edge, successor, reload, signals, &mut watchdog, manager).await
        }
    }
}

/// Lets what is in flight end; the admin address goes on answering.
async fn finish(mut edge: Edge, manager: &Manager) -> anyhow::Result<()> {
    manager.stopping();
    edge.resume_admin();
    let running = Arc::clone(&edge.running);
    running.drain.begin(&running.events);
    if let Some(gossip) = running.gossip.get() {
        gossip.drain().await;
    }
    edge.server.begin_drain();
    let limit = running.now().settings.limits.drain_time;
    drained(edge, limit).await?;
    leave_cluster(&running).await;
    Ok(())
}

/// Lets whoever takes this edge's place begin, and what is in flight end.
async fn make_room(
    mut edge: Edge,
    successor: Successor,
    reload: bool,
    mut signals: Signals,
    watchdog: &mut Watchdog,
    manager: &Manager,
) -> anyhow::Result<()> {
    // From here on the new process says how far this edge has come.
    leave_cluster(&edge.running).await;
    // And speaks for it: nobody is to hear that it has left.
    if let Some(gossip) = edge.running.gossip.get() {
        gossip.stop().await;
    }
    let writer = edge.leave();
    let letting_go = tokio::task::spawn_blocking(move || {
        writer.into_iter().for_each(handover::disk::let_go);
    });
    let told = lifecycle::told_before(letting_go, &edge, &mut signals, watchdog, manager).await?;
    if told.end {
        drop(successor);
        return finish(edge, manager).await;
    }
    if let Some(admin) = edge.admin.take() {
        admin.leave();
    }
    manager.replaced_by(successor.id());
    // There is no way back from here: what is in flight is finished in any case.
    let went = successor.go(reload || told.reload);
    info!(open = edge.running.open.count(), "the new process serves");
    let limit = edge.running.now().settings.limits.drain_time;
    lifecycle::linger(&edge, &mut signals, limit).await;
    drained(edge, limit).await?;
    went.context("the new process has ended: nobody serves")
}

/// Takes part in what all agree on no more. What is stored is no longer served unvalidated.
async fn leave_cluster(running: &Running) {
    if let Some(sharing) = running.sharing.get() {
        sharing.stop().await;
    }
    if let Some(forgetting) = running.forgetting.get() {
        forgetting.stop().await;
    }
    if let Some(state) = &running.state {
        state.close().await;
    }
}

/// Why an edge cannot serve what its cluster has agreed on.
pub(crate) fn unusable(revision: Revision) -> String {
    format!(
        "revision {revision} of the settings in control state cannot be used here: mend that, or \
         apply others through another edge"
    )
}

/// Waits for clients, then says to the other edges that this one is gone, and ends it.
async fn drained(mut edge: Edge, limit: Duration) -> anyhow::Result<()> {
    info!(open = edge.running.open.clients(), "draining");
    let deadline = Instant::now() + limit;
    let draining = move || (edge.drain(limit), edge);
    let (left, edge) = tokio::task::spawn_blocking(draining).await?;
    if left > 0 {
        warn!(connections = left, "the drain time is over: cut what was left");
    }
    if let Some(gossip) = edge.running.gossip.get() {
        gossip.leave().await;
    }
    let left = deadline.saturating_duration_since(Instant::now());
    Ok(tokio::task::spawn_blocking(move || edge.end(left)).await?)
}

fn reload(running: &Running) {
    let came = running.control.reload();
    control::log(&came, running.now().settings.sites.len(), running.control.file());
    running.events.reloaded(&came);
    running.certificate.read_again();
}

/// What is served in a few words, for the log.
fn served(settings: &Settings) -> String {
    match &settings.sites[..] {
        [] if settings.forward.is_none() => "no site yet: nigh apply brings some".to_owned(),
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
        let of = |key: &str| format!("{key} of site {}", settings::name_of(site));
        let ca = origin_ca.as_ref().map(|path| Pem::read(of("origin_ca"), path)).transpose()?;
        let certificate = shown.as_ref().map(|tls| Pem::read(of("origin_cert"), &tls.certificate));
        let certificate = certificate.transpose()?;
        let key = shown.as_ref().map(|tls| Pem::read_secret(of("origin_key"), &tls.key));
        let key = key.transpose()?;
        let named = format!("{origin_ca:?} {shown:?}");
        let bytes = [&ca, &certificate, &key].into_iter().flatten().map(|pem| pem.bytes.clone());
        let bytes: Vec<_> = bytes.collect();
        if let Some((held, config)) = self.0.get(&named)
            && *held == bytes
        {
            return Ok(Arc::clone(config));
        }
        let ca = ca.as_ref().map(Pem::certificates).transpose()?.unwrap_or_default();
        let shown = certificate.as_ref().zip(key.as_ref());
        let shown = shown
            .map(|(certificate, key)| anyhow::Ok((certificate.certificates()?, key.private_key()?)))
            .transpose()?;
        let config = tls::client(ca, shown).with_context(|| of("origin_cert"))?;
        self.0.insert(named, (bytes, Arc::clone(&config)));
        Ok(config)
    }
}

/// What a key of the settings names, in PEM.
pub(crate) struct Pem {
    key: String,
    place: Secret,
    bytes: Vec<u8>,
}

impl Pem {
    pub(crate) fn read(key: String, path: &Path) -> anyhow::Result<Self> {
        Self::read_secret(key, &Secret::File(path.to_owned()))
    }

    pub(crate) fn read_secret(key: String, place: &Secret) -> anyhow::Result<Self> {
        let bytes = place.read(PEM_MAX).with_context(|| key.clone())?;
        Ok(Self { key, place: place.clone(), bytes })
    }

    pub(crate) fn certificates(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        tls::certificates(&self.bytes).with_context(|| format!("{}: {}", self.key, self.place))
    }

    pub(crate) fn private_key(&self) -> anyhow::Result<PrivateKeyDer<'static>> {
        tls::private_key(&self.bytes).with_context(|| format!("{}: {}", self.key, self.place))
    }

    /// As it lies there.
    #[cfg(feature = "etcd")]
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A site's rules, with the keys of signed URLs.
fn with_keys(site: &Site) -> anyhow::Result<site::Rules> {
    let mut rules = site.rules.clone();
    for (place, keys) in &site.signing {
        let read = |(id, secret): &(String, Secret)| {
            let named = || format!("signed key {id} of site {}", settings::name_of(site));
            let bytes = secret.read(SECRET_MAX).with_context(named)?;
            Key::new(id, &bytes).with_context(named)
        };
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
    let chain = Pem::read("tls.cert".to_owned(), &tls.certificate)?.certificates()?;
    let key = Pem::read_secret("tls.key".to_owned(), &tls.key)?.private_key()?;
    tls::certified(chain, key).context("tls.cert")
}

/// The token that whoever asks at the admin address must show, if these settings name one.
pub(crate) fn token(node: &settings::Node) -> anyhow::Result<Option<Token>> {
    node.admin_token.as_ref().map(Token::read).transpose().context("node.admin_token")
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
        min_rate: limits.min_rate,
        buffers: limits.buffers.bytes(),
        clients: limits.per_client.clone(),
        body_bytes: limits.max_body.map_or(u64::MAX, ByteSize::bytes),
        connections: limits.max_connections,
        ..Limits::default()
    }
}

fn server_settings(
    settings: &Settings,
    sites: Snapshot,
    (presented, forward, cluster): (
        Option<&Arc<Presented>>,
        Option<Arc<Proxy>>,
        Option<siblings::Settings>,
    ),
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
        terms: Terms {
            sites,
            limits: limits(&settings.limits),
            parent: settings.cluster.as_ref().and_then(Cluster::parents),
        },
        forward,
        cluster: cluster.zip(settings.cluster.as_ref().map(Cluster::members)),
        trusted: trusted(settings),
        nonce: nonce(),
        log_format: node.access_log.as_ref().map(|_| node.log_format),
    }
}

/// Without control state an edge forgets by itself, and hears of every purge; with it, it has to hear first.
fn trusted(settings: &Settings) -> Arc<Trusted> {
    match &settings.cluster {
        Some(Cluster { control: Some(_), .. }) => Trusted::not_yet(),
        _ => Trusted::always(),
    }
}

/// Tells this process from every other edge in CDN-Loop.
fn nonce() -> u32 {
    u32::try_from(entropy::seed() >> 32).expect("the upper half")
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
