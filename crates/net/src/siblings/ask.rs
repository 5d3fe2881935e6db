//! How one core asks its siblings: the owner of a key, and those after it if it fails.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use http::Request;
use nigh_cache::{flight::Interim, key::Scheme};
use nigh_cluster::hashing::Placement;
use nigh_edge::{hop, upstream::Upstream as Turns};
use rustls::ClientConfig;
use tokio::sync::mpsc;
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

    /// Whether this edge is the first that should serve what has this hash.
    pub(crate) fn owns(&self, hash: u64) -> bool {
        self.members.ring.owner(hash) == Some(self.members.own)
    }

    /// Asks the owner of `hash`, and those after it if it fails; `None` if it is for this edge to ask the
    /// origin, because it is the owner's successor, or nobody is left.
    pub(crate) async fn ask(
        &self,
        hash: u64,
        request: &Request<RequestBody>,
        interim: Option<mpsc::Sender<Interim>>,
        counters: &Counters,
    ) -> Option<Fetched> {
        for at in self.members.ring.order(hash) {
            // This edge itself has none.
            let origin = self.origins[at].as_ref()?;
            if !self.turns.borrow().is_available(at, self.members.clock.now()) {
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
        let out = self.turns.borrow_mut().failed(at, self.members.clock.now());
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
