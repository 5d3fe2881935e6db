//! One site's origins, as one core asks them: whose turn it is, once more elsewhere if a connection
//! fails, and the probes. What is decided is decided by `nigh_edge::upstream`.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Method, Request, header};
use nigh_cache::flight::{Failure, Interim};
use nigh_edge::upstream::{Change, Probe, Tried, Upstream as Turns};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tracing::{info, warn};

use crate::{
    board::{Core, View},
    body::RequestBody,
    clock::Monotonic,
    origin::{self, Failed, Fetched, Origin, copy_if_idempotent},
};

/// One of a site's origins.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where it is.
    pub settings: origin::Settings,
    /// How it is verified, for https.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Its share of the requests, beside the others'.
    pub weight: u32,
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_tls && self.settings == other.settings && self.weight == other.weight
    }
}

/// The origins of one site, on one core.
#[derive(Debug)]
pub(crate) struct Upstream {
    members: Vec<Member>,
    probe: Option<Probe>,
    origins: Vec<Rc<Origin>>,
    /// What this core tells of each; nothing of those that clients chose.
    views: Vec<View>,
    turns: RefCell<Turns>,
    clock: Monotonic,
}

impl Upstream {
    /// Origins behind `members`, in their order; probed from now on, if they are to be.
    pub(crate) fn start(
        members: Vec<Member>,
        probe: Option<Probe>,
        origins: Vec<Rc<Origin>>,
        core: Option<&Core>,
    ) -> Rc<Self> {
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let view = |core: &Core| members.iter().map(|it| core.view(it.settings.url())).collect();
        let views = core.map(view).unwrap_or_default();
        let turns = RefCell::new(Turns::new(&weights));
        let clock = Monotonic::start();
        let upstream = Rc::new(Self { members, probe, origins, views, turns, clock });
        if let Some(probe) = &upstream.probe {
            for (at, member) in upstream.members.iter().enumerate() {
                let probing = probe_on(Rc::downgrade(&upstream), at, prober(member), probe.clone());
                tokio::task::spawn_local(probing);
            }
        }
        upstream
    }

    /// Whether it is what these settings say.
    pub(crate) fn is_of(&self, members: &[Member], probe: Option<&Probe>) -> bool {
        self.members == members && self.probe.as_ref() == probe
    }

    /// Its origins, each with what it is made of.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (&Member, &Rc<Origin>)> {
        self.members.iter().zip(&self.origins)
    }

    /// The first origin's own authority.
    pub(crate) fn authority(&self) -> &str {
        self.origins[0].authority()
    }

    /// How long it may take at most until one of them is connected to and has begun to answer.
    pub(crate) fn limit(&self) -> Duration {
        let limits = self.members.iter().map(|Member { settings, .. }| {
            settings.connect_limit.saturating_add(settings.first_byte_limit)
        });
        limits.max().unwrap_or_default()
    }

    /// Whether each origin has more connections free than in use, once `more` requests have taken
    /// theirs.
    pub(crate) fn has_many_connections(&self, more: usize) -> bool {
        self.origins.iter().all(|origin| origin.has_many_connections(more))
    }

    /// Sends a request to the origin whose turn it is and waits for the head of the response; if the
    /// connection fails before anything was heard, and nothing can have come of the request, to
    /// another.
    ///
    /// # Errors
    /// The last failure, which is the origin's or the request body's.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
    ) -> Result<Fetched, Failure> {
        let since = Instant::now();
        if let [only] = &self.origins[..] {
            address(&mut request, only);
            return match only.send(request, interim).await {
                Ok(fetched) => {
                    self.succeeded(0, since);
                    Ok(fetched)
                }
                Err(Failed { failure, .. }) => {
                    self.note(0, failure);
                    Err(failure)
                }
            };
        }
        self.turns.borrow_mut().count_request(self.clock.now());
        let mut at = self.choose(Tried::default()).expect("there are origins");
        let mut tried = Tried::default();
        loop {
            let since = Instant::now();
            let origin = &self.origins[at];
            let copy = copy_if_idempotent(&request);
            address(&mut request, origin);
            let Failed { failure, unheard } = match origin.send(request, interim.clone()).await {
                Ok(fetched) => {
                    self.succeeded(at, since);
                    return Ok(fetched);
                }
                Err(failed) => failed,
            };
            self.note(at, failure);
            tried = tried.and(at);
            let Some(again) = copy.filter(|_| unheard) else { return Err(failure) };
            let Some(other) = self.choose(tried) else { return Err(failure) };
            if !self.turns.borrow_mut().take_retry(self.clock.now()) {
                return Err(failure);
            }
            (request, at) = (again, other);
        }
    }

    fn choose(&self, tried: Tried) -> Option<usize> {
        self.turns.borrow_mut().choose(tried, self.clock.now())
    }

    /// An answer's head came, to what was asked then.
    fn succeeded(&self, at: usize, since: Instant) {
        self.turns.borrow_mut().succeeded(at);
        if let Some(view) = self.views.get(at) {
            view.took(since.elapsed());
        }
        self.show(at);
    }

    /// Tells the others how this core sees an origin.
    fn show(&self, at: usize) {
        if let Some(view) = self.views.get(at) {
            view.set(self.turns.borrow().is_well(at));
        }
    }

    /// A request failed; whether that says something of the origin is another question.
    fn note(&self, at: usize, failure: Failure) {
        let is_chosen = self.views.is_empty();
        let is_ours =
            matches!(failure, Failure::RequestBroken | Failure::GivenUp | Failure::NoRoom);
        if is_chosen || is_ours {
            return;
        }
        let out = self.turns.borrow_mut().failed(at, self.clock.now());
        if let Some(out) = out {
            let origin = self.origins[at].authority();
            match self.origins.len() {
                1 => warn!(origin, "an origin fails, and there is no other"),
                _ => warn!(origin, secs = out.as_secs(), "an origin fails: left out for a while"),
            }
            self.show(at);
        }
    }

    fn probed(&self, at: usize, good: bool) {
        let change = self.turns.borrow_mut().probed(at, good);
        self.show(at);
        let origin = self.origins[at].authority();
        match change {
            Some(Change::Down) => warn!(origin, "an origin fails its probes: left out"),
            Some(Change::Up) => info!(origin, "an origin answers its probes again"),
            None => {}
        }
    }
}

/// Names the origin as the one that is asked, unless the client's word stands.
fn address(request: &mut Request<RequestBody>, origin: &Origin) {
    if let Some(host) = origin.host() {
        request.headers_mut().insert(header::HOST, host.clone());
    }
}

/// An origin as it is probed: on a connection beside the others, so that one whose connections are
/// all in use does not look ill.
fn prober(member: &Member) -> Rc<Origin> {
    let settings = origin::Settings { connections: 1, ..member.settings.clone() };
    Origin::new(settings, member.tls.clone())
}

/// Probes one origin for as long as its site has it.
async fn probe_on(upstream: Weak<Upstream>, at: usize, origin: Rc<Origin>, probe: Probe) {
    while upstream.strong_count() > 0 {
        let good = is_well(&origin, &probe).await;
        if let Some(upstream) = upstream.upgrade() {
            upstream.probed(at, good);
        }
        tokio::time::sleep(probe.every).await;
    }
}

/// Whether an origin answers a probe well, and in time.
async fn is_well(origin: &Rc<Origin>, probe: &Probe) -> bool {
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = probe.path.parse().expect("a path is checked where it is read");
    let host = HeaderValue::from_str(origin.authority()).expect("a host is visible ASCII");
    request.headers_mut().insert(header::HOST, host);
    let answer = timeout(probe.limit, origin.send(request, None)).await;
    matches!(answer, Ok(Ok(fetched)) if fetched.head.status.as_u16() < 400)
}

#[cfg(test)]
mod tests;
