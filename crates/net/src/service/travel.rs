//! How a request travels between the edges of a cluster: from the edge that was asked to the one that
//! owns what is asked for, and no further. `docs/cluster.md` has the whole.

use std::{net::SocketAddr, rc::Rc};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, request::Parts};
use nigh_base::Wall;
use nigh_cache::{
    flight::{Failure, Interim},
    freshness::Terms,
    invalidate,
    pilot::Pilot,
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
    /// To the edge that owns what has this hash.
    Owner(Rc<Siblings>, u64),
}

/// What a sibling wants.
pub(crate) enum Errand {
    /// What this client has asked it for.
    Ask(Client),
    /// It was done at once: to say that this edge is there, or to forget something.
    Done,
    /// Nothing that siblings ask for.
    Nonsense,
}

/// Who gave a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giver {
    /// The origin: it is kept as its rules say.
    Origin,
    /// Another edge, which keeps it.
    Sibling {
        /// It is in demand here, so that a copy is worth its room.
        is_hot: bool,
    },
}

impl Giver {
    /// Whether the response came as a client of another edge would get it: what rules do to responses as
    /// they arrive is done.
    pub(super) const fn is_sibling(self) -> bool {
        matches!(self, Self::Sibling { .. })
    }

    /// Whether what came is for those alone who wait for it.
    pub(super) fn is_passing(self) -> bool {
        self == Self::Sibling { is_hot: false }
    }

    /// The terms of what is kept nevertheless.
    pub(super) fn terms(self, terms: Terms, now: Wall) -> Terms {
        if self.is_sibling() { terms.copied(now, COPY_SECS) } else { terms }
    }
}

impl Service {
    /// What a request is that a sibling sent, where `client` stands for that sibling.
    pub(crate) fn errand(&self, client: Client, head: &Parts) -> Errand {
        match head.method {
            Method::OPTIONS => Errand::Done,
            Method::DELETE if self.forget_for_sibling(head).is_some() => Errand::Done,
            _ => self.asker(client, head).map_or(Errand::Nonsense, Errand::Ask),
        }
    }

    /// The client of a request that a sibling sent on; `None` if it does not say whose it is, or asks for
    /// what siblings do not ask each other for.
    fn asker(&self, client: Client, head: &Parts) -> Option<Client> {
        let Mark { scheme, client: address, slice, purges, .. } =
            self.mark(head).filter(|_| reads(&head.method))?;
        self.counters.sibling_served();
        let address = SocketAddr::new(address, 0);
        Some(Client { address, scheme, sibling: Some(Sibling { slice, purges }), ..client })
    }

    /// Forgets what a sibling's client has changed; `None` if it is not said what that is.
    fn forget_for_sibling(&self, head: &Parts) -> Option<()> {
        let Mark { scheme, .. } = self.mark(head)?;
        let (authority, path) = (head.uri.authority()?.as_str(), head.uri.path_and_query()?);
        // What is no site's here is not held either.
        if let Some(route) = self.sites().route(authority, path.as_str()) {
            let mut key = Vec::new();
            route.write_other_key(scheme, authority, path.as_str(), &mut key);
            self.store.remove(self.store.key(&key));
        }
        Some(())
    }

    /// A sibling's word on a request: one, and by one of the cluster.
    fn mark<'a>(&self, head: &'a Parts) -> Option<Mark<'a>> {
        let siblings = self.siblings()?;
        let mut marks = head.headers.get_all(hop::NAME).iter();
        let mark = marks.next().and_then(|mark| Mark::parse(mark.as_bytes()))?;
        (marks.next().is_none() && siblings.members().has(mark.from)).then_some(mark)
    }

    /// RFC 9111, section 4.4, here and where the others ask for it: when an answer has changed something,
    /// its client sees that wherever it asks next.
    pub(super) async fn invalidate(
        &self,
        pilot: &Pilot,
        ask: &Ask,
        status: StatusCode,
        fields: &HeaderMap,
    ) {
        for path in invalidate::targets(&ask.method, status, &ask.target(), fields) {
            let Ok(path) = std::str::from_utf8(&path) else { continue };
            let mut key = Vec::new();
            ask.route.write_other_key(ask.scheme, &ask.authority, path, &mut key);
            self.store.invalidate(self.store.key(&key), pilot);
            let siblings = self.siblings().filter(|_| !ask.route.is_forward());
            let told = siblings.zip(Uri::try_from(path).ok());
            if let Some((siblings, uri)) = told {
                let mut request = Request::new(RequestBody::Empty);
                (*request.method_mut(), *request.uri_mut()) = (Method::DELETE, uri);
                if let Ok(host) = HeaderValue::try_from(&*ask.authority) {
                    request.headers_mut().insert(header::HOST, host);
                }
                self.add_mark(&mut request, ask, &siblings);
                siblings.forget(hash_of(&key, 0), &request).await;
            }
        }
    }

    /// Where a request goes. To another edge go those for what may be kept, once: a request that came from
    /// one goes to the origin.
    pub(super) fn road(&self, ask: &Ask, manner: Manner, slice: u64) -> Road {
        let Some(siblings) = self.siblings() else { return Road::Origin };
        let reads = reads(&ask.method) && !ask.has_content;
        let is_one_clients =
            manner == Manner::Tunnel || ask.fields.contains_key(header::AUTHORIZATION);
        let travels = ask.sibling.is_none()
            && reads
            && !is_one_clients
            && !ask.route.is_forward()
            && !ask.route.rule().bypass
            && !self.store.refusal(self.store.key(&ask.key)).is_some_and(|why| why.is_lasting());
        let hash = hash_of(&ask.key, slice);
        match travels && !siblings.owns(hash) {
            true => Road::Owner(siblings, hash),
            false => Road::Origin,
        }
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
        if let Road::Owner(siblings, hash) = road {
            let request = self.request_to_sibling(task, &siblings);
            let is_hot = siblings.members().is_hot(hash) && task.manner != Manner::Alone;
            let asking = siblings.ask(hash, &request, interim.clone(), &self.counters);
            if let Some(fetched) = asking.await {
                return Ok((fetched, Giver::Sibling { is_hot }));
            }
        }
        self.counters.origin_request();
        let sent =
            task.ask.route.upstream().send(self.request(task, body, Beyond::Origin), interim).await;
        sent.map(|fetched| (fetched, Giver::Origin))
    }

    /// The request as it goes to another edge: with the mark.
    fn request_to_sibling(&self, task: &Task, siblings: &Siblings) -> Request<RequestBody> {
        let mut request = self.request(task, RequestBody::Empty, Beyond::Sibling);
        self.add_mark(&mut request, &task.ask, siblings);
        request
    }

    fn add_mark(&self, request: &mut Request<RequestBody>, ask: &Ask, siblings: &Siblings) {
        let mark = Mark {
            from: siblings.members().own(),
            scheme: ask.scheme,
            client: ask.client.ip(),
            slice: self.store.slicing().map(|slicing| slicing.size.bytes()),
            purges: self.shared.trusted.reached(),
        };
        let mark = HeaderValue::try_from(mark.to_string()).expect("it is visible ASCII");
        request.headers_mut().insert(hop::NAME, mark);
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
