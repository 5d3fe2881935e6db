//! How one core asks its siblings: the owner of a key, and those after it if it fails.

mod watch;

use std::{
    cell::{Cell, RefCell},
    future::pending,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use http::{Method, Request, Uri};
use nigh_cache::{
    flight::{Failure, Interim},
    key::Scheme,
};
use nigh_edge::{hop, upstream::Upstream as Turns};
use rustls::ClientConfig;
use tokio::{
    select,
    sync::{Mutex, mpsc},
    time::{Instant, sleep, timeout},
};
use tracing::warn;

pub(crate) use self::watch::Watch;
use super::{Member, Members};
use crate::{
    body::RequestBody,
    clock::Monotonic,
    cluster::name::Name,
    counters::Counters,
    origin::{self, Failed, Fetched, Origin, copy_if_idempotent},
};

/// Time to connect to a sibling. It is near, and if it is not there, its successor is.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Time to the head of its answer beyond what the origin has to connect and to answer: what fails there is
/// said by the edge that asks it.
const MARGIN: Duration = Duration::from_secs(5);

/// A year, and thus no limit: each request has one of its own.
const FIRST_BYTE_MAX: Duration = Duration::from_hours(24 * 365);

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

/// The same for a parent, which may be on the other side of the earth, and for a body that was begun: its
/// rest costs more than to wait out a short pause.
const FAR: Patience =
    Patience { quiet: Duration::from_millis(500), silence: Duration::from_secs(1) };

/// Time in which others are told something. The client whose request changed something waits for it.
const TELLING: Duration = Duration::from_secs(1);

/// One core's connections to its siblings, and how it sees them.
#[derive(Debug)]
pub(crate) struct Siblings {
    members: Arc<Members>,
    /// In their order; `None` in this edge's own place.
    list: Vec<Option<Rc<Sibling>>>,
    patience: Patience,
    hedges: Rc<RefCell<Hedges>>,
}

/// Another edge, as one core sees it in one view after the other.
#[derive(Debug)]
struct Sibling {
    name: Name,
    origin: Rc<Origin>,
    /// Of it alone: whether it fails and is left out.
    turns: RefCell<Turns>,
    clock: Monotonic,
    presence: Presence,
}

/// Whether another edge says that it is there. It is asked once at a time, for all who wait for it.
#[derive(Debug, Default)]
struct Presence {
    asking: Mutex<()>,
    /// When it last said so.
    lived: Cell<Option<Instant>>,
    /// When it last was asked and said nothing, unless it has said something since.
    missed: Cell<Option<Instant>>,
}

impl Sibling {
    fn new(name: Name, origin: Rc<Origin>) -> Rc<Self> {
        let (turns, clock) = (RefCell::new(Turns::new(&[1])), Monotonic::start());
        Rc::new(Self { name, origin, turns, clock, presence: Presence::default() })
    }

    fn is_available(&self) -> bool {
        self.turns.borrow().is_available(0, self.clock.now())
    }

    fn succeeded(&self) {
        self.turns.borrow_mut().succeeded(0);
    }

    fn failed(&self) {
        let out = self.turns.borrow_mut().failed(0, self.clock.now());
        if let Some(out) = out {
            let edge = &self.name;
            warn!(%edge, secs = out.as_secs(), "an edge of the cluster fails: left out for a while");
        }
    }

    /// What it answers, within `limit`.
    async fn send(
        &self,
        request: Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
        limit: Duration,
    ) -> Result<Fetched, Failed> {
        let sent = timeout(limit, self.origin.send(request, interim)).await;
        sent.unwrap_or(Err(Failed { failure: Failure::TimedOut, unheard: false }))
    }

    /// Ends when it says nothing, though all it is asked is whether it is there, or when it is left out and
    /// cannot be connected to. What it brings from an origin may take its time.
    async fn silent(&self, Patience { quiet, silence }: Patience, counters: &Counters) {
        let Presence { asking, lived, missed } = &self.presence;
        loop {
            sleep(quiet).await;
            // How long it may take to connect has a limit of its own; but not how many wait for that, one
            // after the other.
            if !self.origin.is_connected() {
                if self.is_available() {
                    continue;
                }
                return;
            }
            let began = Instant::now();
            let _asking = asking.lock().await;
            // Others have asked it meanwhile, or not long ago.
            if missed.get().is_some_and(|missed| missed + silence >= began) {
                return;
            }
            if lived.get().is_some_and(|lived| lived.elapsed() < quiet) {
                continue;
            }
            if self.send(presence(), None, silence).await.is_err() {
                missed.set(Some(Instant::now()));
                return;
            }
            counters.sibling_presence();
            lived.set(Some(Instant::now()));
            missed.set(None);
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

impl Siblings {
    /// Connections to `members`, none of them open. Those that `before` had too go on, with what is known
    /// of their ends, and so does what may be asked twice.
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
            before.list[at].clone()
        };
        let reach = |(at, member): (usize, &Member)| {
            let dial = || {
                let origin = Origin::new(dial(member, &members.cluster), Some(Arc::clone(client)));
                Sibling::new(member.name.clone(), origin)
            };
            (Some(at) != members.own).then(|| known(member).unwrap_or_else(dial))
        };
        let list = members.list.iter().enumerate().map(reach).collect();
        let patience = if members.own.is_some() { NEAR } else { FAR };
        let hedges = before.map_or_else(Rc::default, |before| Rc::clone(&before.hedges));
        Rc::new(Self { members, list, patience, hedges })
    }

    pub(crate) const fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// What the edge in this place holds; `None` if that is nothing, or it says nothing in time.
    pub(crate) async fn ask_for_held(
        &self,
        at: usize,
        request: Request<RequestBody>,
        counters: &Arc<Counters>,
    ) -> Option<Fetched> {
        let sibling = self.list.get(at)?.as_ref().filter(|sibling| sibling.is_available())?;
        match sibling.send(request, None, HELD_LIMIT).await {
            Ok(fetched) => {
                sibling.succeeded();
                let fetched = fetched.watched(Watch::new(self, sibling, counters));
                // What is no hit is an answer of its own: 504 (RFC 9111, section 5.2.1.7), or a refusal.
                Some(fetched).filter(is_hit)
            }
            Err(_) => {
                sibling.failed();
                None
            }
        }
    }

    /// Asks the edge in the first of `places`, and those after it if it fails; `None` if it
    /// is for this edge to ask the origin, because its turn has come, or nobody is left. One that says
    /// nothing for long is raced by the next in order, if the budget has it; `origins_limit` is how long
    /// the origin may take.
    pub(crate) async fn ask(
        &self,
        places: impl Iterator<Item = usize>,
        (request, origins_limit): (&Request<RequestBody>, Duration),
        interim: Option<mpsc::Sender<Interim>>,
        counters: &Arc<Counters>,
    ) -> Option<Fetched> {
        self.hedges.borrow_mut().count_request();
        let mut race = Race { siblings: self, counters, slow: None };
        for at in places {
            let Some(sibling) = &self.list[at] else {
                // It is this edge itself.
                race.give_up();
                return None;
            };
            if !sibling.is_available() {
                continue;
            }
            let copy = copy_if_idempotent(request)?;
            counters.sibling_request();
            let limit = origins_limit.saturating_add(MARGIN);
            let sending = Box::pin(sibling.send(copy, interim.clone(), limit));
            let answer = race.run(Attempt { sibling, sending }).await;
            if answer.is_some() {
                return answer;
            }
        }
        race.rest().await
    }

    /// Tells all of them something, this edge aside; whoever is left out here may serve others.
    pub(crate) fn tell(&self, request: &Request<RequestBody>, telling: &Telling) {
        for sibling in self.list.iter().flatten() {
            let Some(copy) = copy_if_idempotent(request) else { return };
            let (sibling, told) = (Rc::clone(sibling), telling.told.clone());
            tokio::task::spawn_local(async move {
                // Who does not hear it has copies that are too old until those end.
                drop(sibling.send(copy, None, TELLING).await);
                drop(told);
            });
        }
    }
}

/// A request that one sibling was sent.
struct Attempt<'a> {
    sibling: &'a Rc<Sibling>,
    sending: Pin<Box<dyn Future<Output = Result<Fetched, Failed>> + 'a>>,
}

/// What siblings do with one request: one of them, or a slow one and another that is asked in its stead.
struct Race<'a> {
    siblings: &'a Siblings,
    counters: &'a Arc<Counters>,
    slow: Option<Attempt<'a>>,
}

impl<'a> Race<'a> {
    /// Waits for an answer of `attempt`, or of the slow one before it. `None` if it is the turn of the
    /// next, because this one failed or is slow.
    async fn run(&mut self, mut attempt: Attempt<'a>) -> Option<Fetched> {
        let (siblings, sibling) = (self.siblings, attempt.sibling);
        let mut silent = pin!(sibling.silent(siblings.patience, self.counters));
        loop {
            // Two are enough at a time.
            let is_watched = self.slow.is_none();
            select! {
                biased;
                sent = &mut attempt.sending => {
                    let answer = self.heard(sibling, sent);
                    if answer.is_some() {
                        self.give_up();
                    }
                    return answer;
                }
                (slow, sent) = finished(&mut self.slow) => {
                    self.slow = None;
                    let answer = self.heard(slow, sent);
                    if answer.is_some() {
                        return answer;
                    }
                }
                () = &mut silent, if is_watched => {
                    if !sibling.is_available() {
                        // Others have found that out.
                        self.counters.sibling_failure();
                        return None;
                    }
                    if siblings.hedges.borrow_mut().take() {
                        self.counters.sibling_hedge();
                        self.slow = Some(attempt);
                        return None;
                    }
                    silent.set(sibling.silent(siblings.patience, self.counters));
                }
            }
        }
    }

    /// Nobody else is left: waits for the slow one.
    async fn rest(mut self) -> Option<Fetched> {
        self.slow.as_ref()?;
        let (slow, sent) = finished(&mut self.slow).await;
        self.slow = None;
        self.heard(slow, sent)
    }

    /// Whoever was asked first is not waited for any more: it fails.
    fn give_up(&mut self) {
        if let Some(slow) = self.slow.take() {
            self.counters.sibling_failure();
            slow.sibling.failed();
        }
    }

    /// What an attempt brought, if that is an answer.
    fn heard(&self, sibling: &Rc<Sibling>, sent: Result<Fetched, Failed>) -> Option<Fetched> {
        match sent {
            Ok(fetched) if is_declined(&fetched) => self.counters.sibling_failure(),
            Ok(fetched) => {
                sibling.succeeded();
                self.counters.sibling_answer();
                return Some(fetched.watched(Watch::new(self.siblings, sibling, self.counters)));
            }
            // Whatever it heard of the request: asking for it twice does no harm.
            Err(_) => {
                self.counters.sibling_failure();
                sibling.failed();
            }
        }
        None
    }
}

/// The attempt's end; never, if there is none.
async fn finished<'a>(
    attempt: &mut Option<Attempt<'a>>,
) -> (&'a Rc<Sibling>, Result<Fetched, Failed>) {
    match attempt {
        Some(Attempt { sibling, sending }) => (*sibling, sending.await),
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
        first_byte_limit: FIRST_BYTE_MAX,
        stream_window: STREAM_WINDOW,
        certified_as: Some(member.name.within(cluster)),
        ping: Some(PING),
        ..origin::Settings::of(Scheme::Https, &member.address.ip().to_string())
    }
}

#[cfg(test)]
mod tests;
