//! The settings of a running edge, and the one way in which they change: SIGHUP and the admin API.
//!
//! ```text
//! text --> settings --> prepared: certificates, roots, token --> (the file) --> in effect
//!    mistakes: nothing changes            \--> a failure: nothing changes
//! ```
//! All of it reads files and may wait for them, so it runs apart from the runtime that hears signals.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

use anyhow::Context;
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
    settings::{self, Difference, Mistake, Settings, Site, Unusable},
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
    /// Held by whoever changes something.
    roots: Mutex<Roots>,
}

/// What came of new settings.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) difference: Difference,
    /// Keys that wait for a restart.
    pub(crate) waiting: Vec<String>,
    /// Whether clients see another certificate.
    pub(crate) certificate: bool,
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
    terms: Terms,
    certified: Option<Certified>,
    token: Option<Arc<Token>>,
}

impl Control {
    /// Of an edge that was started with these settings, from a file or from flags.
    pub(crate) fn new(
        settings: Settings,
        file: Option<&Path>,
        roots: Roots,
        token: Option<Token>,
        lines: Lines,
    ) -> Self {
        let said = if file.is_some() { Said::File } else { Said::Flags };
        Self {
            lines,
            file: file.map(Path::to_owned),
            started: settings.clone(),
            now: RwLock::new(Arc::new(Now::new(settings, Vec::new(), said))),
            token: RwLock::new(token.map(Arc::new)),
            roots: Mutex::new(roots),
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
        let mut roots = self.lock();
        let settings = settings::read(file).map_err(|error| match error {
            Unusable::Wrong { mistakes, .. } => Refused::Wrong(mistakes),
            error @ Unusable::Read(_) => Refused::Unusable(error.into()),
        })?;
        let prepared = self.prepare(settings, &mut roots)?;
        Ok(self.put_in_effect(prepared, Said::File))
    }

    /// Has the settings that `text` says take effect; and, if they are to persist, be in the file.
    /// `may` is asked whether the settings with this entity tag may be exchanged.
    pub(crate) fn put(
        &self,
        text: &str,
        persist: bool,
        may: impl FnOnce(&str) -> bool,
    ) -> Result<Applied, Refused> {
        let mut roots = self.lock();
        let etag = self.now().etag.clone();
        if !may(&etag) {
            return Err(Refused::Outdated { etag });
        }
        let prepared = self.prepare(self.parse(text)?, &mut roots)?;
        if !persist {
            return Ok(self.put_in_effect(prepared, Said::Admin));
        }
        let file = self.file().ok_or(Refused::NoFile)?;
        persist::write(file, text)
            .with_context(|| format!("cannot write {}", file.display()))
            .map_err(Refused::Unwritten)?;
        Ok(self.put_in_effect(prepared, Said::File))
    }

    /// What [`Self::put`] would change.
    pub(crate) fn diff(&self, text: &str) -> Result<Applied, Refused> {
        let mut roots = self.lock();
        let Prepared { settings, .. } = self.prepare(self.parse(text)?, &mut roots)?;
        let now = self.now();
        let difference = Difference::between(&now.settings, &settings);
        let waiting = settings::waiting(&self.started, &settings);
        Ok(Applied { difference, waiting, certificate: false, etag: now.etag.clone() })
    }

    fn parse(&self, text: &str) -> Result<Settings, Refused> {
        let beside = self.file().and_then(Path::parent).unwrap_or_else(|| Path::new(""));
        settings::parse(text, beside).map_err(Refused::Wrong)
    }

    fn prepare(&self, settings: Settings, roots: &mut Roots) -> Result<Prepared, Refused> {
        let mut prepare = || {
            let sites = edge::snapshot(&settings.sites, roots)?;
            let terms = Terms { sites, limits: edge::limits(&settings.limits) };
            let certified = settings.tls.as_ref().map(edge::certified).transpose()?;
            let token = edge::token(&settings.node)?;
            anyhow::Ok((terms, certified, token.map(Arc::new)))
        };
        let (terms, certified, token) = prepare().map_err(Refused::Unusable)?;
        Ok(Prepared { settings, terms, certified, token })
    }

    fn put_in_effect(&self, prepared: Prepared, said: Said) -> Applied {
        let Prepared { settings, terms, certified, token } = prepared;
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
        let now = Now::new(settings, waiting.clone(), said);
        let etag = now.etag.clone();
        *self.now.write().expect(HELD) = Arc::new(now);
        Applied { difference, waiting, certificate, etag }
    }

    fn lock(&self) -> MutexGuard<'_, Roots> {
        self.roots.lock().expect(HELD)
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
            if !applied.waiting.is_empty() {
                let keys = applied.waiting.join(", ");
                warn!("{keys} differ from what runs: restart for that");
            }
        }
        Err(Refused::Wrong(mistakes)) => {
            let lines = mistakes.iter().map(|mistake| format!("\n{file}:{mistake}"));
            error!("nothing is changed:{}", lines.collect::<String>());
        }
        Err(error) => {
            let causes = anyhow::Chain::new(error).map(ToString::to_string);
            error!("nothing is changed: {}", causes.collect::<Vec<_>>().join(": "));
        }
    }
}

impl Now {
    fn new(settings: Settings, waiting: Vec<String>, said: Said) -> Self {
        let sites = settings.sites.iter().map(|site| (site.hosts.clone(), site.clone()));
        let sites = site::Sites::new(sites);
        let etag = etag(&settings, &waiting, said);
        Self { settings, sites, waiting, said, etag }
    }
}

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
