//! How a request travels between the edges of a cluster: from the edge that was asked to the one that
//! owns what is asked for, and no further. `docs/cluster.md` has the whole.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, request::Parts};
use nigh_base::Wall;
use nigh_cache::{
    flight::{Failure, Interim},
    freshness::Terms,
    invalidate,
    pilot::Pilot,
    range::Span,
    store::Course,
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
    cluster::name::Name,
    origin::Fetched,
    serve_http1::{Client, Sibling},
    siblings::{Siblings, Telling, hash_of},
};

/// For how long a copy of what another edge serves is fresh, in seconds: so late an edge notices at
/// worst what the owner knows already.
const COPY_SECS: u32 = 10;

/// Where a request is sent that the store could not answer, in the end to the origin.
#[derive(Default)]
pub(super) struct Road {
    /// The other edges, where one of them owns it.
    owner: Option<Rc<Siblings>>,
    /// One that may hold it, though it is this edge's to bring.
    held: Option<Holder>,
    /// Those of the parent, if there is one.
    parent: Option<Rc<Siblings>>,
    /// Where it lies among them.
    hash: u64,
}

/// An edge that is asked before the origin is.
struct Holder {
    siblings: Rc<Siblings>,
    at: usize,
    /// This edge, if the other one owns it and brings it if need be. Otherwise it is asked for what it
    /// holds.
    owns_before: Option<usize>,
}

impl Road {
    /// Whether it is not for another edge of this cluster to bring it.
    pub(super) const fn is_own(&self) -> bool {
        self.owner.is_none()
    }
}

/// What a sibling wants.
pub(crate) enum Errand {
    /// What its client has asked it for.
    Ask,
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
    /// What a request is that the sibling of the name `certified` sent, where `client` stands for it; from
    /// then on, for the client that has asked it.
    pub(crate) fn errand(&self, client: &mut Client, certified: &Name, head: &Parts) -> Errand {
        match head.method {
            Method::OPTIONS => return Errand::Done,
            Method::DELETE if self.forget_for_sibling(client, certified, head).is_some() => {
                return Errand::Done;
            }
            _ => {}
        }
        let Some(asker) = self.asker(client, certified, head) else { return Errand::Nonsense };
        *client = asker;
        Errand::Ask
    }

    /// The client of a request that a sibling sent on; `None` if it does not say whose it is, or asks for
    /// what siblings do not ask each other for.
    fn asker(&self, client: &Client, certified: &Name, head: &Parts) -> Option<Client> {
        let Mark { from, scheme, client: address, slice, purges } =
            self.mark(client, certified, head).filter(|_| reads(&head.method))?;
        self.counters.sibling_served();
        let address = SocketAddr::new(address, 0);
        let is_child = client.sibling.is_some_and(|sibling| sibling.is_child);
        let place = self.siblings()?.members().place(from).filter(|_| !is_child);
        let sibling = Some(Sibling { place, slice, purges, is_child });
        Some(Client { address, scheme, sibling, ..*client })
    }

    /// Forgets what a sibling's client has changed; `None` if it is not said what that is.
    fn forget_for_sibling(&self, client: &Client, certified: &Name, head: &Parts) -> Option<()> {
        let Mark { scheme, .. } = self.mark(client, certified, head)?;
        let (authority, path) = (head.uri.authority()?.as_str(), head.uri.path_and_query()?);
        // What is no site's here is not held either.
        if let Some(route) = self.sites().route(authority, path.as_str()) {
            let mut key = Vec::new();
            route.write_other_key(scheme, authority, path.as_str(), &mut key);
            self.store.remove(self.store.key(&key));
            self.siblings()?.members().forgot(&key);
        }
        Some(())
    }

    /// A sibling's word on a request: one, and in its own name, which is of the cluster, or of one whose
    /// parent this is.
    fn mark<'a>(&self, client: &Client, certified: &Name, head: &'a Parts) -> Option<Mark<'a>> {
        let siblings = self.siblings()?;
        let is_child = client.sibling.is_some_and(|sibling| sibling.is_child);
        let mut marks = head.headers.get_all(hop::NAME).iter();
        let mark = marks.next().and_then(|mark| Mark::parse(mark.as_bytes()))?;
        let is_one = is_child || siblings.members().place(mark.from).is_some();
        (marks.next().is_none() && is_one && mark.from == certified.as_str()).then_some(mark)
    }

    /// RFC 9111, section 4.4, here and at all other edges: when an answer has changed something, its client
    /// sees that wherever it asks next.
    pub(super) async fn invalidate(
        &self,
        pilot: &Pilot,
        ask: &Ask,
        status: StatusCode,
        fields: &HeaderMap,
    ) {
        let targets = invalidate::targets(&ask.method, status, &ask.target(), fields);
        self.invalidate_here(pilot, ask, &targets);
        let others = [self.parent(), self.siblings()].into_iter().flatten();
        let others: Vec<_> = others.filter(|_| !ask.route.is_forward()).collect();
        if targets.is_empty() || others.is_empty() {
            return;
        }
        let telling = Telling::default();
        for (edges, path) in
            others.iter().flat_map(|edges| targets.iter().map(move |it| (edges, it)))
        {
            let Ok(uri) = Uri::try_from(path.as_slice()) else { continue };
            let mut request = Request::new(RequestBody::Empty);
            (*request.method_mut(), *request.uri_mut()) = (Method::DELETE, uri);
            if let Ok(host) = HeaderValue::try_from(&*ask.authority) {
                request.headers_mut().insert(header::HOST, host);
            }
            self.add_mark(&mut request, ask, edges);
            edges.tell(&request, &telling);
        }
        telling.wait().await;
        // What was fetched here from one that had not heard of it yet is no better than what was held.
        self.invalidate_here(pilot, ask, &targets);
    }

    fn invalidate_here(&self, pilot: &Pilot, ask: &Ask, paths: &[Vec<u8>]) {
        let mut key = Vec::new();
        for path in paths.iter().filter_map(|path| std::str::from_utf8(path).ok()) {
            ask.route.write_other_key(ask.scheme, &ask.authority, path, &mut key);
            self.store.invalidate(self.store.key(&key), pilot);
            if let Some(siblings) = self.siblings() {
                siblings.members().forgot(&key);
            }
        }
    }

    /// Where a request goes. To another edge go those for what may be kept: what came from an edge of this
    /// cluster goes to the owner alone, which is an earlier one in the key's order, or to what an earlier
    /// owner holds, and then to the parent or the origin.
    pub(super) fn road(&self, ask: &Ask, manner: Manner, slice: u64) -> Road {
        let Some(siblings) = self.siblings() else { return Road::default() };
        let reads = reads(&ask.method) && !ask.has_content;
        let is_one_clients =
            manner == Manner::Tunnel || ask.fields.contains_key(header::AUTHORIZATION);
        let may_be_kept = reads
            && !is_one_clients
            && !ask.route.is_forward()
            && !ask.route.rule().bypass
            && !self.store.refusal(self.store.key(&ask.key)).is_some_and(|why| why.is_lasting());
        if !may_be_kept {
            return Road::default();
        }
        let (hash, parent) = (hash_of(&ask.key, slice), self.parent());
        let members = siblings.members();
        let asker = ask.sibling.filter(|sibling| !sibling.is_child);
        let (held_by, owns_before) = match (members.owns(hash), asker) {
            (false, None) => return Road { owner: Some(siblings), held: None, parent, hash },
            (true, _) => (members.former_owner(hash), None),
            // The owner was passed by, or who asks sees another ring. One that is on no ring has no place
            // in the order, so that it might ask in a circle.
            (false, Some(_)) => (members.owner(hash), members.own_on_ring()),
        };
        // Who asks has looked at home.
        let held_by = held_by.filter(|at| asker.is_none_or(|sibling| sibling.place != Some(*at)));
        let held = held_by.map(|at| Holder { siblings, at, owns_before });
        Road { owner: None, held, parent, hash }
    }

    /// Whom what goes on the road may wait for: an owner, which may be asking here for the same.
    pub(super) fn course(&self, ask: &Ask, manner: Manner, slice: u64) -> Course {
        match self.road(ask, manner, slice).owner {
            Some(_) => Course::Across,
            None => Course::Onward,
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
        let Road { owner, mut held, parent, hash } = road;
        let limit = task.ask.route.upstream().limit();
        if let Some(siblings) = owner {
            let members = siblings.members();
            let is_hot = members.is_hot(hash) && task.manner != Manner::Alone;
            let passed_by = if is_hot { members.passed_by(hash) } else { 0 };
            if passed_by > 0 {
                self.counters.spilled();
            }
            let request = self.request_to_edge(task, &siblings);
            let places = members.places(hash).skip(passed_by);
            let asking = siblings.ask(places, (&request, limit), interim.clone(), &self.counters);
            if let Some(fetched) = asking.await {
                let kept = if is_hot { Kept::Copied } else { Kept::There };
                return Ok((fetched, Giver::Sibling(kept)));
            }
            // The one that has room is this edge itself.
            let owner = members.owner(hash).filter(|_| passed_by > 0);
            let owns_before = members.own_on_ring();
            held = owner.map(|at| Holder { siblings: Rc::clone(&siblings), at, owns_before });
        }
        if let Some(holder) = held
            && let Some(fetched) = self.ask_holder(task, &holder, limit, interim.clone()).await
        {
            return Ok((fetched, Giver::Sibling(Kept::Here)));
        }
        if let Some(parent) = parent {
            let request = self.request_to_edge(task, &parent);
            let places = parent.members().places(hash);
            let asking = parent.ask(places, (&request, limit), interim.clone(), &self.counters);
            if let Some(fetched) = asking.await {
                self.counters.parent_answer();
                return Ok((fetched, Giver::Sibling(Kept::Here)));
            }
        }
        self.counters.origin_request();
        let sent =
            task.ask.route.upstream().send(self.request(task, body, Beyond::Origin), interim).await;
        sent.map(|fetched| (fetched, Giver::Origin))
    }

    /// What another edge holds, or brings, of what a task asks for; `None` if it is to be asked for
    /// elsewhere.
    async fn ask_holder(
        &self,
        task: &Task,
        Holder { siblings, at, owns_before }: &Holder,
        limit: Duration,
        interim: Option<mpsc::Sender<Interim>>,
    ) -> Option<Fetched> {
        let fields = &task.ask.fields;
        // Who says more of what it wants is answered by the origin.
        let is_plain =
            !fields.contains_key(header::CACHE_CONTROL) && !fields.contains_key(header::PRAGMA);
        if task.manner == Manner::Alone || !is_plain {
            return None;
        }
        let mut request = self.request_to_edge(task, siblings);
        if let Some(own) = owns_before {
            let places = [*at, *own].into_iter();
            return siblings.ask(places, (&request, limit), interim, &self.counters).await;
        }
        // What is stale there would be given and fetched anew, where that is allowed.
        let only_if_cached = HeaderValue::from_static("only-if-cached, min-fresh=1");
        request.headers_mut().insert(header::CACHE_CONTROL, only_if_cached);
        self.counters.held_request();
        let held = siblings.ask_for_held(*at, request, &self.counters).await;
        siblings.members().asked_for_held(held.is_some());
        if held.is_some() {
            self.counters.held_answer();
        }
        held
    }

    /// The request as it goes to another edge: with the mark.
    fn request_to_edge(&self, task: &Task, siblings: &Siblings) -> Request<RequestBody> {
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
            // Who has asked this edge may know of more.
            purges: self.shared.trusted.heard().max(ask.sibling.map_or(0, |it| it.purges)),
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
