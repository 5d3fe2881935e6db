//! How one core asks its siblings: the owner of a key, and those after it if it fails.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use http::Request;
use nigh_cache::{flight::Interim, key::Scheme};
use nigh_edge::{hop, upstream::Upstream as Turns};
use rustls::ClientConfig;
use tokio::{sync::mpsc, time::timeout};
use tracing::warn;

use super::{Member, Members};
use crate::{
    body::RequestBody,
    cluster::name::Name,
    counters::Counters,
    origin::{self, Fetched, Origin, copy_if_idempotent},
};

/// Time to connect to a sibling. It is near, and if it is not there, its successor is.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Time to the head of its answer. Longer than an origin usually has: the sibling waits for that.
const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(40);

/// Time to the head of what a sibling holds: it has it, or says at once that it does not.
const HELD_LIMIT: Duration = Duration::from_secs(1);

/// How often a sibling is asked whether it is still there while an answer is awaited, and how long it has
/// to say so.
const PING: Duration = Duration::from_secs(2);

/// One core's connections to its siblings, and how it sees them.
#[derive(Debug)]
pub(crate) struct Siblings {
    members: Arc<Members>,
    /// `None` in this edge's own place.
    origins: Vec<Option<Rc<Origin>>>,
    turns: RefCell<Turns>,
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
            (at != members.own).then(|| known(member).unwrap_or_else(dial))
        };
        let origins = members.list.iter().enumerate().map(reach).collect();
        let turns = RefCell::new(Turns::new(&vec![1; members.list.len()]));
        Rc::new(Self { members, origins, turns })
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
        if !self.turns.borrow().is_available(at, self.members.now()) {
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
    /// is for this edge to ask the origin, because its turn has come, or nobody is left.
    pub(crate) async fn ask(
        &self,
        hash: u64,
        passed_by: usize,
        request: &Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
        counters: &Counters,
    ) -> Option<Fetched> {
        for at in self.members.places(hash).skip(passed_by) {
            // This edge itself has none.
            let origin = self.origins[at].as_ref()?;
            if !self.turns.borrow().is_available(at, self.members.now()) {
                continue;
            }
            let copy = copy_if_idempotent(request)?;
            counters.sibling_request();
            match origin.send(copy, interim.clone()).await {
                Ok(fetched) if is_declined(&fetched) => counters.sibling_failure(),
                Ok(fetched) => {
                    self.turns.borrow_mut().succeeded(at);
                    counters.sibling_answer();
                    return Some(fetched);
                }
                // Whatever it heard of the request: asking for it twice does no harm.
                Err(_) => {
                    counters.sibling_failure();
                    self.failed(at);
                }
            }
        }
        None
    }

    fn failed(&self, at: usize) {
        let out = self.turns.borrow_mut().failed(at, self.members.now());
        if let Some(out) = out {
            let edge = &self.members.list[at].name;
            warn!(%edge, secs = out.as_secs(), "an edge of the cluster fails: left out for a while");
        }
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
        certified_as: Some(member.name.within(cluster)),
        ping: Some(PING),
        ..origin::Settings::of(Scheme::Https, &member.address.ip().to_string())
    }
}
