//! The settings of a running edge, and the one way in which they change: SIGHUP, the admin API, and
//! what its cluster's control state says of sites.
//!
//! ```text
//! text --> settings --> prepared: certificates, roots, token --> (the file) --> in effect
//!    mistakes: nothing changes            \--> a failure: nothing changes
//! ```
//! Where control state has sites, they take the place of the file's own.
//!
//! All of it reads files and may wait for them, so it runs apart from the runtime that hears signals.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

use anyhow::Context;
use nigh_cluster::control::Revision;
use nigh_edge::site;
use nigh_net::{
    access_log::Reopener,
    server::{Handle, Terms},
    siblings::Member,
    tls::{Certified, Presented},
};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    admin::Token,
    edge::{self, Roots},
    persist,
    settings::{self, Cluster, Difference, Mistake, Settings, Site, Unusable},
};

/// Settings as they are in effect.
#[derive(Debug)]
pub(crate) struct Now {
    pub(crate) settings: Settings,
    /// The sites by their hosts.
    pub(crate) sites: site::Sites<Site>,
    /// Keys that wait for a restart.
    pub(crate) waiting: Vec<String>,
    /// Where they were said.
    pub(crate) said: Said,
    /// The revision of the sites, if they are those of control state.
    pub(crate) revision: Option<Revision>,
    /// Whether sites of this edge's own are passed by for those.
    pub(crate) passed_by: bool,
    /// A strong entity tag of all this (RFC 9110, section 8.8.3).
    pub(crate) etag: String,
}

/// Where settings were said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// In flags.
    Flags,
    /// In the settings file.
    File,
    /// At the admin address alone: a reload or a restart ends them.
    Admin,
}

/// What a running edge is told through.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) server: Handle,
    /// The certificate, where anybody listens for https.
    pub(crate) presented: Option<Arc<Presented>>,
    pub(crate) log: Option<Reopener>,
    /// Who belongs to the cluster, where this edge is one of any.
    pub(crate) belongs: Option<watch::Sender<Vec<Member>>>,
}

/// The settings of a running edge.
#[derive(Debug)]
pub(crate) struct Control {
    lines: Lines,
    file: Option<PathBuf>,
    /// What the process was started with.
    started: Settings,
    now: RwLock<Arc<Now>>,
    token: RwLock<Option<Arc<Token>>>,
    /// Sites of control state that this edge cannot use, and why.
    refused: RwLock<Option<(Revision, String)>>,
    /// Held by whoever changes something.
    sources: Mutex<Sources>,
}

/// What settings are made of.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) roots: Roots,
    /// The sites that this edge has by itself.
    pub(crate) own: Vec<Site>,
    /// Those of control state, which come first.
    pub(crate) shared: Option<Shared>,
    /// The edges that have said in control state that they belong, where the settings list none.
    pub(crate) edges: Option<Vec<Member>>,
    /// The same of the parent's edges.
    pub(crate) parents: Option<Vec<Member>>,
}

/// Sites of control state.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) revision: Revision,
    pub(crate) sites: Vec<Site>,
}

impl Sources {
    fn revision(&self) -> Option<Revision> {
        self.shared.as_ref().map(|shared| shared.revision)
    }

    const fn pass_by(&self) -> bool {
        self.shared.is_some() && !self.own.is_empty()
    }
}

/// What came of new settings.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) difference: Difference,
    /// Keys that wait for a restart.
    pub(crate) waiting: Vec<String>,
    /// Whether clients see another certificate.
    pub(crate) certificate: bool,
    /// Whether sites of this edge's own are passed by, since control state has others.
    pub(crate) passed_by: bool,
    /// The entity tag of what is in effect now.
    pub(crate) etag: String,
}

/// Why settings were not taken. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Whoever sent them had others before their eyes than these, which are in effect.
    #[error("the settings in effect are others by now, with the entity tag {etag}")]
    Outdated { etag: String },
    /// They are wrong in themselves.
    #[error("the settings have mistakes")]
    Wrong(Vec<Mistake>),
    /// What they name cannot be used.
    #[error("the settings cannot be used")]
    Unusable(#[source] anyhow::Error),
    /// There is no file that they could be written to.
    #[error("this edge was started from flags: there is no settings file to write to")]
    NoFile,
    /// They could not be written.
    #[error("the settings file cannot be written")]
    Unwritten(#[source] anyhow::Error),
}

/// Settings with everything that they name in hand: from here on nothing can fail.
struct Prepared {
    settings: Settings,
    own: Vec<Site>,
    shared: Option<Shared>,
    terms: Terms,
    certified: Option<Certified>,
    token: Option<Arc<Token>>,
}

impl Control {
    /// Of an edge that was started with these settings, from a file or from flags.
    pub(crate) fn new(
        settings: Settings,
        file: Option<&Path>,
        sources: Sources,
        token: Option<Token>,
        lines: Lines,
    ) -> Self {
        let said = if file.is_some() { Said::File } else { Said::Flags };
        Self {
            lines,
            file: file.map(Path::to_owned),
            started: settings.clone(),
            now: RwLock::new(Arc::new(Now::new(settings, Vec::new(), said, &sources))),
            token: RwLock::new(token.map(Arc::new)),
            refused: RwLock::default(),
            sources: Mutex::new(sources),
        }
    }

    /// The settings in effect.
    pub(crate) fn now(&self) -> Arc<Now> {
        Arc::clone(&self.now.read().expect(HELD))
    }

    /// Who belongs to the cluster: what is sent here is followed at once. `None` without one.
    pub(crate) const fn belongs(&self) -> Option<&watch::Sender<Vec<Member>>> {
        self.lines.belongs.as_ref()
    }

    /// The cluster whose edges these settings make known to one that was started with others.
    fn cluster_in<'a>(&'a self, settings: &'a Settings) -> Option<&'a Cluster> {
        settings.takes_members(&self.started).or(self.started.cluster.as_ref())
    }

    /// What whoever asks at the admin address must show.
    pub(crate) fn token(&self) -> Option<Arc<Token>> {
        self.token.read().expect(HELD).clone()
    }

    /// The settings file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What came in at the admin address was told through this.
    pub(crate) fn server(&self) -> &Handle {
        &self.lines.server
    }

    /// Reads the file again, and has the access log opened anew.
    pub(crate) fn reload(&self) -> Result<Applied, Refused> {
        if let Some(log) = &self.lines.log {
            log.reopen();
        }
        let file = self.file().ok_or(Refused::NoFile)?;
        let mut sources = self.lock();
        let settings = settings::read(file).map_err(|error| match error {
            Unusable::Wrong { mistakes, .. } => Refused::Wrong(mistakes),
            error @ Unusable::Read(_) => Refused::Unusable(error.into()),
        })?;
        let prepared = self.prepare(settings, &mut sources)?;
        Ok(self.put_in_effect(prepared, Said::File, &mut sources))
    }

    /// Has these sites of control state take effect.
    pub(crate) fn share(&self, revision: Revision, text: &[u8]) -> Result<Applied, Refused> {
        let mut sources = self.lock();
        let now = self.now();
        let mut settings = now.settings.clone();
        let own = sources.own.clone();
        let read = self.parse_shared(text, settings.forward.is_some());
        let came = read.and_then(|sites| {
            settings.sites.clone_from(&sites);
            let shared = Some(Shared { revision, sites });
            self.prepare_all(settings, own, shared, &mut sources.roots)
        });
        let refused = came.as_ref().err().map(|refused| (revision, refused.in_full()));
        *self.refused.write().expect(HELD) = refused;
        Ok(self.put_in_effect(came?, now.said, &mut sources))
    }

    /// Goes on with the sites that control state had, which are of none of its revisions any more. Says
    /// whether there are any.
    pub(crate) fn keep_shared(&self) -> bool {
        let mut sources = self.lock();
        *self.refused.write().expect(HELD) = None;
        let Some(shared) = sources.shared.as_mut().filter(|it| it.revision != Revision::NONE)
        else {
            return false;
        };
        shared.revision = Revision::NONE;
        let now = self.now();
        let now = Now::new(now.settings.clone(), now.waiting.clone(), now.said, &sources);
        *self.now.write().expect(HELD) = Arc::new(now);
        true
    }

    /// Has these edges belong to the cluster from now on, this one among them.
    pub(crate) fn belong(&self, edges: Vec<Member>) {
        let mut sources = self.lock();
        let now = self.now();
        let mut settings = now.settings.clone();
        let Some(cluster) = &mut settings.cluster else { return };
        if cluster.is_listed || cluster.edges == edges {
            return;
        }
        cluster.edges.clone_from(&edges);
        sources.edges = Some(edges.clone());
        if let Some(belongs) = self.belongs() {
            belongs.send_replace(edges);
        }
        let now = Now::new(settings, now.waiting.clone(), now.said, &sources);
        *self.now.write().expect(HELD) = Arc::new(now);
    }

    /// Has these edges be the parent's from now on; says whether others were before.
    ///
    /// # Errors
    /// If what the settings name cannot be used any more: then they are not.
    pub(crate) fn belong_to_parent(&self, edges: Vec<Member>) -> Result<bool, Refused> {
        let mut sources = self.lock();
        let now = self.now();
        let mut settings = now.settings.clone();
        let Some(parent) = settings.cluster.as_mut().and_then(|it| it.parent.as_mut()) else {
            return Ok(false);
        };
        if parent.is_listed || parent.edges == edges {
            return Ok(false);
        }
        parent.edges.clone_from(&edges);
        let (own, shared) = (sources.own.clone(), sources.shared.clone());
        let prepared = self.prepare_all(settings, own, shared, &mut sources.roots)?;
        sources.parents = Some(edges);
        self.put_in_effect(prepared, now.said, &mut sources);
        Ok(true)
    }

    /// Whether an edge with the settings in effect could use these sites.
    pub(crate) fn check_shared(&self, text: &str) -> Result<(), Refused> {
        let mut sources = self.lock();
        let mut settings = self.now().settings.clone();
        settings.sites = self.parse_shared(text.as_bytes(), settings.forward.is_some())?;
        self.prepare_all(settings, Vec::new(), None, &mut sources.roots)?;
        Ok(())
    }

    /// Sites of control state that this edge cannot use, and why.
    pub(crate) fn refused(&self) -> Option<(Revision, String)> {
        self.refused.read().expect(HELD).clone()
    }

    /// Has the settings that `text` says take effect; and, if they are to persist, be in the file.
    /// `may` is asked whether the settings with this entity tag may be exchanged.
    pub(crate) fn put(
        &self,
        text: &str,
        persist: bool,
        may: impl FnOnce(&str) -> bool,
    ) -> Result<Applied, Refused> {
        let mut sources = self.lock();
        let etag = self.now().etag.clone();
        if !may(&etag) {
            return Err(Refused::Outdated { etag });
        }
        let prepared = self.prepare(self.parse(text)?, &mut sources)?;
        if !persist {
            return Ok(self.put_in_effect(prepared, Said::Admin, &mut sources));
        }
        let file = self.file().ok_or(Refused::NoFile)?;
        persist::write(file, text)
            .with_context(|| format!("cannot write {}", file.display()))
            .map_err(Refused::Unwritten)?;
        Ok(self.put_in_effect(prepared, Said::File, &mut sources))
    }

    /// What [`Self::put`] would change.
    pub(crate) fn diff(&self, text: &str) -> Result<Applied, Refused> {
        let mut sources = self.lock();
        let prepared = self.prepare(self.parse(text)?, &mut sources)?;
        let passed_by = prepared.shared.is_some() && !prepared.own.is_empty();
        let (now, settings) = (self.now(), prepared.settings);
        let difference = Difference::between(&now.settings, &settings);
        let waiting = settings::waiting(&self.started, &settings);
        Ok(Applied { difference, waiting, certificate: false, passed_by, etag: now.etag.clone() })
    }

    fn parse(&self, text: &str) -> Result<Settings, Refused> {
        settings::parse(text, self.beside()).map_err(Refused::Wrong)
    }

    fn parse_shared(&self, text: &[u8], forward: bool) -> Result<Vec<Site>, Refused> {
        let text = std::str::from_utf8(text).context("they are no text in UTF-8");
        let text = text.map_err(Refused::Unusable)?;
        settings::shared(text, self.beside(), forward).map_err(Refused::Wrong)
    }

    /// Where files lie that settings name without saying where.
    fn beside(&self) -> &Path {
        self.file().and_then(Path::parent).unwrap_or_else(|| Path::new(""))
    }

    /// What is said of sites in `settings` counts where control state has none.
    fn prepare(&self, settings: Settings, sources: &mut Sources) -> Result<Prepared, Refused> {
        let (own, shared) = (settings.sites.clone(), sources.shared.clone());
        let mut chosen = settings;
        if let Some(shared) = &shared {
            chosen.sites.clone_from(&shared.sites);
        }
        if let (Some(cluster), Some(edges)) = (&mut chosen.cluster, &sources.edges)
            && !cluster.is_listed
        {
            cluster.edges.clone_from(edges);
        }
        let parent = chosen.cluster.as_mut().and_then(|cluster| cluster.parent.as_mut());
        if let Some((parent, edges)) =
            parent.filter(|it| !it.is_listed).zip(sources.parents.as_ref())
        {
            parent.edges.clone_from(edges);
        }
        self.prepare_all(chosen, own, shared, &mut sources.roots)
    }

    fn prepare_all(
        &self,
        settings: Settings,
        own: Vec<Site>,
        shared: Option<Shared>,
        roots: &mut Roots,
    ) -> Result<Prepared, Refused> {
        let mut prepare = || {
            let sites = edge::snapshot(&settings.sites, roots)?;
            let parent = self.cluster_in(&settings).and_then(Cluster::parents);
            let terms = Terms { sites, limits: edge::limits(&settings.limits), parent };
            let certified = settings.tls.as_ref().map(edge::certified).transpose()?;
            let token = edge::token(&settings.node)?;
            anyhow::Ok((terms, certified, token.map(Arc::new)))
        };
        let (terms, certified, token) = prepare().map_err(Refused::Unusable)?;
        Ok(Prepared { settings, own, shared, terms, certified, token })
    }

    fn put_in_effect(&self, prepared: Prepared, said: Said, sources: &mut Sources) -> Applied {
        let Prepared { settings, own, shared, terms, certified, token } = prepared;
        (sources.own, sources.shared) = (own, shared);
        self.lines.server.exchange(terms);
        if let Some((cluster, belongs)) = settings.takes_members(&self.started).zip(self.belongs())
        {
            belongs.send_replace(cluster.edges.clone());
        }
        let certificate = match (&self.lines.presented, certified) {
            (Some(presented), Some(certified)) => presented.exchange(certified),
            _ => false,
        };
        // An address that was to be open with a token does not become open without one.
        if token.is_some() {
            *self.token.write().expect(HELD) = token;
        }
        let difference = Difference::between(&self.now().settings, &settings);
        let waiting = settings::waiting(&self.started, &settings);
        let now = Now::new(settings, waiting.clone(), said, sources);
        let (passed_by, etag) = (now.passed_by, now.etag.clone());
        *self.now.write().expect(HELD) = Arc::new(now);
        Applied { difference, waiting, certificate, passed_by, etag }
    }

    fn lock(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().expect(HELD)
    }
}

impl Refused {
    /// All of it, in one line.
    pub(crate) fn in_full(&self) -> String {
        if let Self::Wrong(mistakes) = self {
            let mistakes = mistakes.iter().map(ToString::to_string);
            return mistakes.collect::<Vec<_>>().join("; ");
        }
        let causes = anyhow::Chain::new(self).map(ToString::to_string);
        causes.collect::<Vec<_>>().join(": ")
    }
}

/// Says in the log what came of a reload.
pub(crate) fn log(came: &Result<Applied, Refused>, sites: usize, file: Option<&Path>) {
    let file = file.map(|file| file.display().to_string()).unwrap_or_default();
    match came {
        Ok(applied) => {
            info!(sites, "the settings were read again: the sites are new");
            if applied.certificate {
                info!("new connections see a new certificate");
            }
            if applied.passed_by {
                warn!("{PASSED_BY}");
            }
            if !applied.waiting.is_empty() {
                let keys = applied.waiting.join(", ");
                warn!("{keys} differ from what runs: restart for that");
            }
        }
        Err(Refused::Wrong(mistakes)) => {
            let lines = mistakes.iter().map(|mistake| format!("\n{file}:{mistake}"));
            error!("nothing is changed:{}", lines.collect::<String>());
        }
        Err(error) => error!("nothing is changed: {}", error.in_full()),
    }
}

impl Now {
    fn new(settings: Settings, waiting: Vec<String>, said: Said, sources: &Sources) -> Self {
        let (revision, passed_by) = (sources.revision(), sources.pass_by());
        let sites = settings.sites.iter().map(|site| (site.hosts.clone(), site.clone()));
        let sites = site::Sites::new(sites);
        let etag = etag(&settings, &waiting, said);
        Self { settings, sites, waiting, said, revision, passed_by, etag }
    }
}

/// What is said to whoever wrote sites that are not served.
pub(crate) const PASSED_BY: &str = "this edge's own sites are passed by, since control state has others: \
                                    leave them out of its settings";

/// Two are the same if everything is that `GET /v1/config` shows of them; the file never changes.
fn etag(settings: &Settings, waiting: &[String], said: Said) -> String {
    let text = format!("{said:?} {waiting:?} {}", settings::shown(settings));
    let digest = Sha256::digest(text);
    let digits = digest[..ETAG_BYTES].iter().map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", digits.collect::<String>())
}

/// Runs what may wait for a file system on a thread that may.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic, and is not aborted")
}

/// Bytes of a digest that make an entity tag: no two settings of one edge share them by chance.
const ETAG_BYTES: usize = 16;

/// Why a lock can be taken.
const HELD: &str = "nobody panics while holding it";
