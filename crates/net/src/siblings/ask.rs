//! How one core asks its siblings: the owner of a key, and those after it if it fails.

use std::{
    cell::{Cell, RefCell},
    future::pending,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, Uri};
use nigh_cache::{flight::Interim, key::Scheme};
use nigh_edge::{hop, upstream::Upstream as Turns};
use rustls::ClientConfig;
use tokio::{
    select,
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::warn;

use super::{Member, Members};
use crate::{
    body::RequestBody,
    cluster::name::Name,
    counters::Counters,
    origin::{self, Failed, Fetched, Origin, copy_if_idempotent},
};

/// Time to connect to a sibling. It is near, and if it is not there, its successor is.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Time to the head of its answer. Longer than an origin usually has: the sibling waits for that.
const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(40);

/// Bytes of a body that come before somebody wants them: what a flight has for those who read slowly. The
/// way is short, so that more would bring nothing.
const STREAM_WINDOW: u32 = 256 << 10;

/// Time to the head of what a sibling holds: it has it, or says at once that it does not.
const HELD_LIMIT: Duration = Duration::from_secs(1);

/// How often a sibling is asked whether it is still there while an answer is awaited, and how long it has
/// to say so.
const PING: Duration = Duration::from_secs(2);

/// How long a request may go without a head until its sibling is asked whether it is there, and how long
/// that may take: edges are in one place, and an answer takes a millisecond there.
#[derive(Clone, Copy, Debug)]
struct Patience {
    quiet: Duration,
    silence: Duration,
}

const NEAR: Patience =
    Patience { quiet: Duration::from_millis(50), silence: Duration::from_millis(250) };

/// The same for a parent, which may be on the other side of the earth.
const FAR: Patience =
    Patience { quiet: Duration::from_millis(500), silence: Duration::from_secs(1) };

/// Time in which others are told something. The client whose request changed something waits for it.
const TELLING: Duration = Duration::from_secs(1);

/// One core's connections to its siblings, and how it sees them.
#[derive(Debug)]
pub(crate) struct Siblings {
    members: Arc<Members>,
    /// `None` in this edge's own place.
    origins: Vec<Option<Rc<Origin>>>,
    turns: RefCell<Turns>,
    /// When each last said that it is there.
    lived: Vec<Cell<Option<Instant>>>,
    patience: Patience,
    hedges: RefCell<Hedges>,
}

impl Siblings {
    /// Connections to `members`, none of them open. Those that `before` had too go on, with what is known
    /// of their ends.
    pub(crate) fn new(
        members: Arc<Members>,
        client: &Arc<ClientConfig>,
        before: Option<&Self>,
    ) -> Rc<Self> {
        let known = |member: &Member| {
            let before = before?;
            let at = before
                .members
                .list
                .iter()
                .position(|it| it.name == member.name && it.address == member.address)?;
            before.origins[at].clone()
        };
        let reach = |(at, member): (usize, &Member)| {
            let dial = || Origin::new(dial(member, &members.cluster), Some(Arc::clone(client)));
            (Some(at) != members.own).then(|| known(member).unwrap_or_else(dial))
        };
        let origins = members.list.iter().enumerate().map(reach).collect();
        let turns = RefCell::new(Turns::new(&vec![1; members.list.len()]));
        let lived = members.list.iter().map(|_| Cell::default()).collect();
        let patience = if members.own.is_some() { NEAR } else { FAR };
        let hedges = RefCell::default();
        Rc::new(Self { members, origins, turns, lived, patience, hedges })
    }

    pub(crate) const fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// What the edge in this place holds; `None` if that is nothing, or it says nothing in time.
    pub(crate) async fn ask_for_held(
        &self,
        at: usize,
        request: Request<RequestBody>,
    ) -> Option<Fetched> {
        let origin = self.origins.get(at)?.as_ref()?;
        if !self.is_available(at) {
            return None;
        }
        match timeout(HELD_LIMIT, origin.send(request, None)).await {
            Ok(Ok(fetched)) => {
                self.turns.borrow_mut().succeeded(at);
                // What is no hit is an answer of its own: 504 (RFC 9111, section 5.2.1.7), or a refusal.
                Some(fetched).filter(is_hit)
            }
            Ok(Err(_)) | Err(_) => {
                self.failed(at);
                None
            }
        }
    }

    /// Asks the owner of `hash`, but for `passed_by` of them, and those after it if it fails; `None` if it
    /// is for this edge to ask the origin, because its turn has come, or nobody is left. One that says
    /// nothing for long is raced by the next in order, if the budget has it.
    pub(crate) async fn ask(
        &self,
        (hash, passed_by): (u64, usize),
        request: &Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
        counters: &Counters,
    ) -> Option<Fetched> {
        self.hedges.borrow_mut().count_request();
        let mut race = Race { siblings: self, counters, slow: None };
        for at in self.members.places(hash).skip(passed_by) {
            let Some(origin) = &self.origins[at] else {
                // It is this edge itself.
                race.give_up();
                return None;
            };
            if !self.is_available(at) {
                continue;
            }
            let copy = copy_if_idempotent(request)?;
            counters.sibling_request();
            let sending = Box::pin(origin.send(copy, interim.clone()));
            let answer = race.run(Attempt { at, sending }).await;
            if answer.is_some() {
                return answer;
            }
        }
        race.rest().await
    }

    /// Tells all of them something, this edge aside; whoever is left out here may serve others.
    pub(crate) fn tell(&self, request: &Request<RequestBody>, telling: &Telling) {
        for origin in self.origins.iter().flatten() {
            let Some(copy) = copy_if_idempotent(request) else { return };
            let (origin, told) = (Rc::clone(origin), telling.told.clone());
            tokio::task::spawn_local(async move {
                // Who does not hear it has copies that are too old until those end.
                drop(timeout(TELLING, origin.send(copy, None)).await);
                drop(told);
            });
        }
    }

    /// Ends when a sibling says nothing, though all it is asked is whether it is there, or when it is left
    /// out and cannot be connected to. What it brings from an origin may take its time.
    async fn silent(&self, at: usize, counters: &Counters) {
        let Some(origin) = &self.origins[at] else { return pending().await };
        let Patience { quiet, silence } = self.patience;
        loop {
            sleep(quiet).await;
            // How long it may take to connect has a limit of its own; but not how many wait for that, one
            // after the other.
            if !origin.is_connected() {
                if self.is_available(at) {
                    continue;
                }
                return;
            }
            // Others wait for the same one.
            if self.lived[at].get().is_some_and(|lived| lived.elapsed() < quiet) {
                continue;
            }
            match timeout(silence, origin.send(Self::presence(), None)).await {
                Ok(Ok(_)) => {
                    counters.sibling_presence();
                    self.lived[at].set(Some(Instant::now()));
                }
                _ => return,
            }
        }
    }

    /// What asks a sibling whether it is there.
    fn presence() -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = Uri::from_static("/");
        request
    }

    fn is_available(&self, at: usize) -> bool {
        self.turns.borrow().is_available(at, self.members.now())
    }

    fn failed(&self, at: usize) {
        let out = self.turns.borrow_mut().failed(at, self.members.now());
        if let Some(out) = out {
            let edge = &self.members.list[at].name;
            warn!(%edge, secs = out.as_secs(), "an edge of the cluster fails: left out for a while");
        }
    }
}

/// A request that one sibling was sent.
struct Attempt<'a> {
    at: usize,
    sending: Pin<Box<dyn Future<Output = Result<Fetched, Failed>> + 'a>>,
}

/// What siblings do with one request: one of them, or a slow one and another that is asked in its stead.
struct Race<'a> {
    siblings: &'a Siblings,
    counters: &'a Counters,
    slow: Option<Attempt<'a>>,
}

impl<'a> Race<'a> {
    /// Waits for an answer of `attempt`, or of the slow one before it. `None` if it is the turn of the
    /// next, because this one failed or is slow.
    async fn run(&mut self, mut attempt: Attempt<'a>) -> Option<Fetched> {
        let siblings = self.siblings;
        let mut silent = pin!(siblings.silent(attempt.at, self.counters));
        loop {
            // Two are enough at a time.
            let is_watched = self.slow.is_none();
            select! {
                biased;
                sent = &mut attempt.sending => {
                    let answer = self.heard(attempt.at, sent);
                    if answer.is_some() {
                        self.give_up();
                    }
                    return answer;
                }
                (at, sent) = finished(&mut self.slow) => {
                    self.slow = None;
                    let answer = self.heard(at, sent);
                    if answer.is_some() {
                        return answer;
                    }
                }
                () = &mut silent, if is_watched => {
                    if !siblings.is_available(attempt.at) {
                        // Others have found that out.
                        self.counters.sibling_failure();
                        return None;
                    }
                    if siblings.hedges.borrow_mut().take() {
                        self.counters.sibling_hedge();
                        self.slow = Some(attempt);
                        return None;
                    }
                    silent.set(siblings.silent(attempt.at, self.counters));
                }
            }
        }
    }

    /// Nobody else is left: waits for the slow one.
    async fn rest(mut self) -> Option<Fetched> {
        self.slow.as_ref()?;
        let (at, sent) = finished(&mut self.slow).await;
        self.slow = None;
        self.heard(at, sent)
    }

    /// Whoever was asked first is not waited for any more: it fails.
    fn give_up(&mut self) {
        if let Some(slow) = self.slow.take() {
            self.counters.sibling_failure();
            self.siblings.failed(slow.at);
        }
    }

    /// What an attempt brought, if that is an answer.
    fn heard(&self, at: usize, sent: Result<Fetched, Failed>) -> Option<Fetched> {
        match sent {
            Ok(fetched) if is_declined(&fetched) => self.counters.sibling_failure(),
            Ok(fetched) => {
                self.siblings.turns.borrow_mut().succeeded(at);
                self.counters.sibling_answer();
                return Some(fetched);
            }
            // Whatever it heard of the request: asking for it twice does no harm.
            Err(_) => {
                self.counters.sibling_failure();
                self.siblings.failed(at);
            }
        }
        None
    }
}

/// The attempt's end; never, if there is none.
async fn finished(attempt: &mut Option<Attempt<'_>>) -> (usize, Result<Fetched, Failed>) {
    match attempt {
        Some(Attempt { at, sending }) => (*at, sending.await),
        None => pending().await,
    }
}

/// Words that are on their way to other edges.
pub(crate) struct Telling {
    told: mpsc::Sender<()>,
    all_told: mpsc::Receiver<()>,
}

impl Default for Telling {
    fn default() -> Self {
        let (told, all_told) = mpsc::channel(1);
        Self { told, all_told }
    }
}

impl Telling {
    /// Waits until all have arrived or are lost, for [`TELLING`] at most.
    pub(crate) async fn wait(self) {
        let Self { told, mut all_told } = self;
        drop(told);
        // Nothing is sent: it ends when the last of those who tell has gone.
        let _ = all_told.recv().await;
    }
}

/// Leave to ask a second sibling what a first one is slow with: so few of the requests that a cluster
/// which is slow as a whole is not asked twice for everything. Dean and Barroso, "The Tail at Scale",
/// CACM 2013, hedge one in twenty.
#[derive(Debug)]
struct Hedges {
    /// In shares of a request.
    saved: u32,
}

impl Hedges {
    /// Requests for each hedge.
    const REQUESTS: u32 = 20;
    /// Hedges that may be saved up.
    const SAVED: u32 = 10;

    fn count_request(&mut self) {
        self.saved = (self.saved + 1).min(Self::SAVED * Self::REQUESTS);
    }

    fn take(&mut self) -> bool {
        let left = self.saved.checked_sub(Self::REQUESTS);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

impl Default for Hedges {
    fn default() -> Self {
        Self { saved: Self::SAVED * Self::REQUESTS }
    }
}

/// Whether a sibling says that another edge is to be asked.
fn is_declined(fetched: &Fetched) -> bool {
    fetched.head.headers.get(hop::NAME).is_some_and(|said| said == hop::DECLINED)
}

/// Whether what a sibling gives is what it holds (RFC 9211, section 2.1): it names itself last.
fn is_hit(fetched: &Fetched) -> bool {
    let said = fetched.head.headers.get_all("cache-status").iter().next_back();
    let last = said.and_then(|said| said.to_str().ok()?.rsplit(", ").next());
    last.is_some_and(|last| last.split("; ").any(|word| word == "hit"))
}

/// How a sibling is reached: at an address, under another name.
fn dial(member: &Member, cluster: &Name) -> origin::Settings {
    origin::Settings {
        port: member.address.port(),
        keep_host: true,
        http2_prior_knowledge: true,
        connect_limit: CONNECT_LIMIT,
        first_byte_limit: FIRST_BYTE_LIMIT,
        stream_window: STREAM_WINDOW,
        certified_as: Some(member.name.within(cluster)),
        ping: Some(PING),
        ..origin::Settings::of(Scheme::Https, &member.address.ip().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_twenty_is_hedged_and_ten_at_once() {
        let mut hedges = Hedges::default();
        assert_eq!((0..100).filter(|_| hedges.take()).count(), 10);
        let taken = (0..1000).filter(|_| {
            hedges.count_request();
            hedges.take()
        });
        assert_eq!(taken.count(), 50);
    }
}
