//! How a request travels between the edges of a cluster: from the edge that was asked to the one that
//! owns what is asked for, and no further. `docs/cluster.md` has the whole.

use std::{net::SocketAddr, rc::Rc};

use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use nigh_base::Wall;
use nigh_cache::{
    flight::{Failure, Interim},
    freshness::Terms,
    range::Span,
};
use nigh_edge::{
    hop::{self, Mark},
    plan::{Hit, Manner},
    problem::Problem,
    respond::Audience,
};
use tokio::sync::mpsc;

use super::{Ask, Service, fetch::Task, outgoing::Beyond};
use crate::{
    body::RequestBody,
    origin::Fetched,
    serve_http1::{Client, Sibling},
    siblings::{Siblings, hash_of},
};

/// For how long a copy of what another edge serves is fresh, in seconds: so late an edge notices at
/// worst what the owner knows already.
const COPY_SECS: u32 = 10;

/// Where a request is sent that the store could not answer.
pub(super) enum Road {
    /// To the origin: it is this edge's to ask it.
    Origin,
    /// To the origin likewise; but first to the edge in this place, which may hold it.
    Held(Rc<Siblings>, usize),
    /// To the edge that owns what has this hash.
    Owner(Rc<Siblings>, u64),
}

/// Who gave a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giver {
    /// The origin: it is kept as its rules say.
    Origin,
    /// Another edge.
    Sibling(Kept),
}

/// What becomes of what another edge gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is for those alone who wait for it: the other one keeps it.
    There,
    /// It is in demand here, so that a copy is worth its room for a short while.
    Copied,
    /// It is this edge's to keep, as if the origin had given it.
    Here,
}

impl Giver {
    /// Whether the response came as a client of another edge would get it: what rules do to responses as
    /// they arrive is done.
    pub(super) const fn is_sibling(self) -> bool {
        matches!(self, Self::Sibling(_))
    }

    /// Whether what came is for those alone who wait for it.
    pub(super) fn is_passing(self) -> bool {
        self == Self::Sibling(Kept::There)
    }

    /// The terms of what is kept nevertheless.
    pub(super) fn terms(self, terms: Terms, now: Wall) -> Terms {
        match self {
            Self::Sibling(Kept::There | Kept::Copied) => terms.copied(now, COPY_SECS),
            Self::Sibling(Kept::Here) | Self::Origin => terms,
        }
    }
}

impl Service {
    /// The client of a request that a sibling sent on; `None` if it does not say whose it is, or asks for
    /// what siblings do not ask each other for.
    pub(crate) fn asker(&self, client: Client, head: &Parts) -> Option<Client> {
        let siblings = self.siblings().filter(|_| reads(&head.method))?;
        let mut marks = head.headers.get_all(hop::NAME).iter();
        let mark = marks.next().and_then(|mark| Mark::parse(mark.as_bytes()))?;
        let place = siblings.members().place(mark.from).filter(|_| marks.next().is_none())?;
        self.counters.sibling_served();
        let Mark { scheme, client: address, slice, purges, .. } = mark;
        let address = SocketAddr::new(address, 0);
        let sibling = Some(Sibling { place, slice, purges });
        Some(Client { address, scheme, sibling, ..client })
    }

    /// Where a request goes. To another edge go those for what may be kept, once: a request that came from
    /// one goes to the origin, at most by way of what yet another one holds.
    pub(super) fn road(&self, ask: &Ask, manner: Manner, slice: u64) -> Road {
        let Some(siblings) = self.siblings() else { return Road::Origin };
        let reads = reads(&ask.method) && !ask.has_content;
        let is_one_clients =
            manner == Manner::Tunnel || ask.fields.contains_key(header::AUTHORIZATION);
        let may_be_kept = reads
            && !is_one_clients
            && !ask.route.is_forward()
            && !ask.route.rule().bypass
            && !self.store.refusal(self.store.key(&ask.key)).is_some_and(|why| why.is_lasting());
        if !may_be_kept {
            return Road::Origin;
        }
        let hash = hash_of(&ask.key, slice);
        let members = siblings.members();
        let held_by = match (members.owns(hash), ask.sibling) {
            (false, None) => return Road::Owner(siblings, hash),
            (true, _) => members.former_owner(hash),
            // The owner was passed by, or who asks sees another ring.
            (false, Some(_)) => members.owner(hash),
        };
        // Who asks has looked at home.
        let held_by = held_by.filter(|at| ask.sibling.is_none_or(|sibling| sibling.place != *at));
        held_by.map_or(Road::Origin, |at| Road::Held(siblings, at))
    }

    /// Sends a task's request where `road` leads, and in the end to the origin.
    ///
    /// # Errors
    /// The origin's failure, or the request body's.
    pub(super) async fn send(
        &self,
        task: &Task,
        body: RequestBody,
        road: Road,
        interim: Option<mpsc::Sender<Interim>>,
    ) -> Result<(Fetched, Giver), Failure> {
        let held = match road {
            Road::Origin => None,
            Road::Held(siblings, at) => Some((siblings, at)),
            Road::Owner(siblings, hash) => {
                let members = siblings.members();
                let is_hot = members.is_hot(hash) && task.manner != Manner::Alone;
                let passed_by = if is_hot { members.passed_by(hash) } else { 0 };
                if passed_by > 0 {
                    self.counters.spilled();
                }
                let request = self.request_to_sibling(task, &siblings);
                let asking =
                    siblings.ask(hash, passed_by, &request, interim.clone(), &self.counters);
                if let Some(fetched) = asking.await {
                    let kept = if is_hot { Kept::Copied } else { Kept::There };
                    return Ok((fetched, Giver::Sibling(kept)));
                }
                // The one that has room is this edge itself.
                let owner = members.owner(hash).filter(|_| passed_by > 0);
                owner.map(|owner| (siblings, owner))
            }
        };
        if let Some((siblings, at)) = held
            && let Some(fetched) = self.ask_for_held(task, &siblings, at).await
        {
            return Ok((fetched, Giver::Sibling(Kept::Here)));
        }
        self.counters.origin_request();
        let sent =
            task.ask.route.upstream().send(self.request(task, body, Beyond::Origin), interim).await;
        sent.map(|fetched| (fetched, Giver::Origin))
    }

    /// What the edge in this place holds of what a task asks for; `None` if it is to be asked for elsewhere.
    async fn ask_for_held(&self, task: &Task, siblings: &Siblings, at: usize) -> Option<Fetched> {
        let fields = &task.ask.fields;
        // Who says more of what it wants is answered by the origin.
        let is_plain =
            !fields.contains_key(header::CACHE_CONTROL) && !fields.contains_key(header::PRAGMA);
        if task.manner == Manner::Alone || !is_plain {
            return None;
        }
        let mut request = self.request_to_sibling(task, siblings);
        let only_if_cached = HeaderValue::from_static("only-if-cached");
        request.headers_mut().insert(header::CACHE_CONTROL, only_if_cached);
        self.counters.held_request();
        let held = siblings.ask_for_held(at, request).await;
        siblings.members().asked_for_held(held.is_some());
        if held.is_some() {
            self.counters.held_answer();
        }
        held
    }

    /// The request as it goes to another edge: with the mark.
    fn request_to_sibling(&self, task: &Task, siblings: &Siblings) -> Request<RequestBody> {
        let mut request = self.request(task, RequestBody::Empty, Beyond::Sibling);
        let ask = &task.ask;
        let mark = Mark {
            from: siblings.members().own(),
            scheme: ask.scheme,
            client: ask.client.ip(),
            slice: self.store.slicing().map(|slicing| slicing.size.bytes()),
            purges: self.shared.trusted.reached(),
        };
        let mark = HeaderValue::try_from(mark.to_string()).expect("it is visible ASCII");
        request.headers_mut().insert(hop::NAME, mark);
        request
    }

    /// Bytes of the first slice of what a sibling has sliced: it gives that alone where the whole was
    /// asked for.
    pub(super) fn first_of_all(
        &self,
        giver: Giver,
        manner: Manner,
        status: StatusCode,
    ) -> Option<Span> {
        let is_first =
            giver.is_sibling() && manner == Manner::Shared && status == StatusCode::PARTIAL_CONTENT;
        let size = self.store.slicing().filter(|_| is_first)?.size.bytes();
        Span::new(0, size)
    }
}

impl Ask {
    /// Whom the answer is for.
    pub(crate) fn audience(&self) -> Audience {
        audience(self.sibling)
    }

    /// The same, for an answer that the origin confirms, whatever other edges hold.
    pub(super) fn validated(&self) -> Rc<Self> {
        let mut fields = self.fields.clone();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Rc::new(Self { fields, ..self.clone() })
    }

    /// What a sibling gets of a stored response: of one in slices the first, where it brings together the
    /// others itself.
    pub(super) fn narrowed(&self, hit: Hit) -> Hit {
        let wanted = self.sibling.and_then(|sibling| sibling.slice);
        let sliced = hit.object.sliced().filter(|sliced| Some(sliced.size) == wanted);
        match sliced {
            Some(sliced) => hit.narrowed(sliced.span(0)),
            None => hit,
        }
    }
}

impl Client {
    /// Whom answers are for.
    pub(crate) fn audience(&self) -> Audience {
        audience(self.sibling)
    }
}

/// Whether a method only reads what may be stored.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn audience(sibling: Option<Sibling>) -> Audience {
    if sibling.is_some() { Audience::Sibling } else { Audience::Client }
}

/// Whether an answer of our own to a sibling says that another edge is to be asked: this one does not
/// serve the site (yet), takes less than the others, or has no room.
pub(crate) const fn is_declined(problem: Problem) -> bool {
    matches!(
        problem,
        Problem::UnknownHost
            | Problem::TooManyFields
            | Problem::TargetTooLong
            | Problem::Origin(Failure::NoRoom)
    )
}
