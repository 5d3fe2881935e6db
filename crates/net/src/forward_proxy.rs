//! A forward proxy: clients name the destination, in an absolute target, with CONNECT, or by being
//! redirected here on their way to it. What is allowed is decided by `nigh_edge::forward_proxy`; here
//! are the sockets. RFC 9110, sections 3.7 and 9.3.6; RFC 9112, section 3.2.2; docs/forward.md.

mod destinations;
mod egress;
mod gate;
mod transparent;
mod tunnelling;
mod users;

use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    rc::{Rc, Weak},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use nigh_cache::{flight::Failure, key::Scheme};
use nigh_edge::{
    client,
    forward_proxy::{
        Refusal, Rules,
        pac::{self, Exception},
    },
    problem::Problem,
};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

pub use transparent::{Mode, Redirected};
pub use users::{Users, UsersError};

pub(crate) use egress::Egress;
pub(crate) use gate::{Tag, Verdict};
pub(crate) use transparent::serve as serve_redirected;
pub(crate) use tunnelling::{TunnelAsked, Tunnelling};

use self::{
    destinations::{Caching, Destinations},
    gate::{Gate, Proved, Tags},
    users::Credentials,
};
use crate::{
    board::{Core, FORWARD},
    buffers::{Account, Reserved, TUNNEL},
    counters::Counters,
    serve_http1::Client,
    sites::{Route, Sites},
    tunnel,
};

/// Names that are looked up at once, over all cores: each takes a thread, for as long as the machine's
/// resolver takes.
const LOOKUPS_AT_ONCE: usize = 64;

/// How long a host that was found at an address, or at others only, is taken to be there still.
const HOST_FOUND_FOR: Duration = Duration::from_secs(30);

/// How often destinations that nobody asks for are looked for.
const SWEEP: Duration = Duration::from_secs(15);

/// What a forward proxy is made of.
#[derive(Debug)]
pub struct Settings {
    /// Who may use it, and where it may go.
    pub rules: Rules,
    /// Who has to say a password; `None` asks nobody.
    pub users: Option<Users>,
    /// Tunnels at once, over all cores.
    pub tunnels: usize,
    /// How long a tunnel may stand without a byte in either direction.
    pub tunnel_idle: Duration,
    /// How long a tunnel may stand.
    pub tunnel_time: Duration,
    /// Time to find a destination's addresses and to connect to one.
    pub connect_time: Duration,
    /// What browsers are told to ask for themselves.
    pub exceptions: Vec<Exception>,
    /// Where redirected clients come in.
    pub redirected: Vec<Redirected>,
}

/// A forward proxy, for all cores.
#[derive(Debug)]
pub struct Proxy {
    settings: Settings,
    gate: Option<Arc<Gate>>,
    tags: Tags,
    lookups: Arc<Semaphore>,
    tunnels: Arc<AtomicUsize>,
    own_ports: OnceLock<Vec<u16>>,
    admin_port: OnceLock<u16>,
}

impl Proxy {
    /// A proxy that nobody has come to yet.
    pub fn new(mut settings: Settings) -> Arc<Self> {
        let users = settings.users.take();
        Arc::new(Self {
            settings,
            gate: users.map(Gate::new),
            tags: Tags::new(),
            lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            tunnels: Arc::default(),
            own_ports: OnceLock::new(),
            admin_port: OnceLock::new(),
        })
    }

    /// Tunnels that are open.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Where redirected clients come in.
    pub(crate) fn redirected(&self) -> &[Redirected] {
        &self.settings.redirected
    }

    /// Says where this process listens, so that it is not led to itself. The first word counts.
    pub(crate) fn listens_on(&self, ports: Vec<u16>) {
        self.own_ports.get_or_init(|| ports);
    }

    /// Says where its admin API listens, which nobody is led to either. The first word counts.
    pub fn has_admin_on(&self, port: u16) {
        self.admin_port.get_or_init(|| port);
    }

    fn own_ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.own_ports.get().into_iter().flatten().chain(self.admin_port.get()).copied()
    }

    /// A place among the tunnels, given up when it is dropped.
    fn enter_tunnel(&self) -> Option<Place> {
        let before = self.tunnels.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.tunnels));
        (before < self.settings.tunnels).then_some(place)
    }
}

/// A tunnel's place among those that may be open.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One core's half of it.
#[derive(Debug)]
pub(crate) struct Forward {
    proxy: Arc<Proxy>,
    egress: Rc<Egress>,
    destinations: Destinations,
    /// Hosts that were found where clients were going.
    found: RefCell<Proved>,
    /// Hosts that were found elsewhere only.
    elsewhere: RefCell<Proved>,
    counters: Arc<Counters>,
}

/// A request as the rules see it.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) form: Form,
    /// Empty if the client names none.
    pub(crate) authority: &'a str,
    pub(crate) path_and_query: &'a str,
    /// Proxy-Authorization.
    pub(crate) credentials: Option<&'a [u8]>,
    pub(crate) client: &'a Client,
}

/// Whether a request's target says where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It does not: the client takes this for a site.
    Origin,
    /// It does, with a scheme.
    Absolute(Scheme),
    /// It asks for a tunnel.
    Connect,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Way {
    /// Plan it along this route.
    Follow(Route),
    /// Answer in our own name.
    Refuse(Problem),
    /// Open a tunnel.
    Tunnel(Destination),
    /// Tell a browser what to ask for.
    Pac,
    /// First find out whether something holds; then ask again.
    Prove(Box<Proving>),
}

/// Where a tunnel ends.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// Without brackets.
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
}

/// What has to be found out.
#[derive(Debug)]
pub(crate) struct Proving {
    tag: Tag,
    what: Claim,
}

#[derive(Debug)]
enum Claim {
    /// The client knows a user's password.
    Credentials(Credentials, IpAddr),
    /// The host has the address that the client was going to.
    Host(Box<str>, SocketAddr),
}

/// What was found out for a request, and holds for that one alone: what may be taken to hold for others
/// is remembered apart, for as long as it may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    tag: Tag,
    verdict: Verdict,
}

impl Forward {
    /// One core's half; its idle destinations are let go of for as long as it lives.
    pub(crate) fn start(proxy: Arc<Proxy>, counters: Arc<Counters>, core: &Core) -> Rc<Self> {
        let egress = Rc::new(Egress::new(Arc::clone(&proxy), Arc::clone(&counters)));
        let connect_limit = proxy.settings.connect_time;
        let forward = Rc::new(Self {
            destinations: Destinations::new(Rc::clone(&egress), connect_limit, core.tally(FORWARD)),
            proxy,
            egress,
            found: RefCell::default(),
            elsewhere: RefCell::default(),
            counters,
        });
        tokio::task::spawn_local(sweep(Rc::downgrade(&forward)));
        forward
    }

    /// What is to be done with a request. `sites` have theirs first, unless its client was redirected.
    pub(crate) fn judge(&self, asked: &Asked<'_>, sites: &Sites) -> Way {
        let refuse = |refusal| Way::Refuse(Problem::Proxy(refusal));
        if let Some(original) = asked.client.original {
            return self.judge_redirected(asked, original).unwrap_or_else(refuse);
        }
        let Asked { form, authority, path_and_query, .. } = *asked;
        if form != Form::Connect
            && let Some(route) = sites.route(authority, path_and_query)
        {
            return Way::Follow(route);
        }
        self.judge_asked(asked).unwrap_or_else(refuse)
    }

    fn judge_asked(&self, asked: &Asked<'_>) -> Result<Way, Refusal> {
        let rules = &self.proxy.settings.rules;
        match asked.form {
            Form::Origin if pac::PATHS.contains(&asked.path_and_query) => {
                let reads = matches!(*asked.method, Method::GET | Method::HEAD);
                self.admit(asked)?;
                return if reads { Ok(Way::Pac) } else { Err(Refusal::NotASite) };
            }
            Form::Origin => return Err(Refusal::NotASite),
            Form::Absolute(Scheme::Https) => return Err(Refusal::Scheme),
            Form::Absolute(Scheme::Http) | Form::Connect => {}
        }
        self.admit(asked)?;
        if let Some(gate) = &self.proxy.gate
            && let Some(proving) = self.wants_proof(gate, asked)?
        {
            return Ok(Way::Prove(Box::new(proving)));
        }
        let (host, port) = host_and_port(asked.authority).ok_or(Refusal::NoHost)?;
        self.admit_host(host, port)?;
        if asked.form == Form::Connect {
            return match rules.connects_to(port) {
                true => Ok(Way::Tunnel(Destination { host: host.into(), port })),
                false => Err(Refusal::ConnectPort),
            };
        }
        if !rules.fetches_from(port) {
            return Err(Refusal::HttpPort);
        }
        let site = self.destinations.find(host, port, Caching::Shared, Instant::now());
        Ok(Way::Follow(Route::chosen(site)))
    }

    /// A request whose client was going to `original`. If the host that it names is there, it is as if
    /// the client had named it to a proxy. If not, the request goes where the client was going, and
    /// nothing of the answer is kept: a client that names another host cannot put its words into it.
    fn judge_redirected(&self, asked: &Asked<'_>, original: SocketAddr) -> Result<Way, Refusal> {
        if asked.form == Form::Connect {
            return Err(Refusal::NotASite);
        }
        self.admit(asked)?;
        if !self.egress.reaches(original) {
            return Err(Refusal::Destination);
        }
        let (host, port) = host_and_port(asked.authority).ok_or(Refusal::NoHost)?;
        if self.proxy.settings.rules.denies_host(host) {
            return Err(Refusal::Destination);
        }
        let now = Instant::now();
        let tag = self.proxy.tags.of(&[b"host", host.as_bytes(), original.to_string().as_bytes()]);
        let known = match asked.client.proof {
            Some(proof) if proof.tag == tag => Some(proof.verdict == Verdict::Holds),
            _ if self.found.borrow().holds(tag, now) => Some(true),
            _ => self.elsewhere.borrow().holds(tag, now).then_some(false),
        };
        let is_there = match host.parse::<IpAddr>() {
            _ if port != original.port() => false,
            Ok(address) => address.to_canonical() == original.ip().to_canonical(),
            Err(_) => match known {
                Some(known) => known,
                None => {
                    let what = Claim::Host(host.into(), original);
                    return Ok(Way::Prove(Box::new(Proving { tag, what })));
                }
            },
        };
        if is_there {
            let site = self.destinations.find(host, port, Caching::Shared, now);
            return Ok(Way::Follow(Route::chosen(site)));
        }
        let (ip, port) = (original.ip().to_string(), original.port());
        let site = self.destinations.find(&ip, port, Caching::Never, now);
        Ok(Way::Follow(Route::redirected(site, original)))
    }

    fn admit(&self, asked: &Asked<'_>) -> Result<(), Refusal> {
        let served = self.proxy.settings.rules.serves(asked.client.address.ip());
        if served { Ok(()) } else { Err(Refusal::Client) }
    }

    /// What can be said of a host before it is looked up: also of what is stored already.
    fn admit_host(&self, host: &str, port: u16) -> Result<(), Refusal> {
        let out_of_reach = match host.parse::<IpAddr>() {
            Ok(address) => !self.egress.reaches((address, port).into()),
            Err(_) => self.proxy.settings.rules.denies_host(host),
        };
        if out_of_reach { Err(Refusal::Destination) } else { Ok(()) }
    }

    /// What must be found out before a request is let in; nothing if it was.
    fn wants_proof(&self, gate: &Gate, asked: &Asked<'_>) -> Result<Option<Proving>, Refusal> {
        let credentials = asked.credentials.and_then(Credentials::parse);
        let credentials = credentials.ok_or(Refusal::Credentials)?;
        let tag = gate.tag(&credentials);
        if let Some(proof) = asked.client.proof.filter(|proof| proof.tag == tag) {
            return match proof.verdict {
                Verdict::Holds => Ok(None),
                Verdict::Fails => Err(Refusal::Credentials),
                Verdict::Late(wait) => Err(Refusal::Attempts(client::retry_after(wait))),
            };
        }
        if gate.knows(tag) {
            return Ok(None);
        }
        let what = Claim::Credentials(credentials, asked.client.address.ip());
        Ok(Some(Proving { tag, what }))
    }

    /// Finds out whether a claim holds. A host that cannot be found in time is not there.
    pub(crate) async fn prove(&self, proving: Proving) -> Proof {
        let Proving { tag, what } = proving;
        let verdict = match what {
            Claim::Credentials(credentials, client) => match &self.proxy.gate {
                Some(gate) => gate.verify(tag, credentials, client).await,
                None => Verdict::Holds,
            },
            Claim::Host(host, original) => {
                let looking = self.egress.resolve(&host, original.port());
                let found = timeout(self.proxy.settings.connect_time, looking).await;
                let ip = original.ip().to_canonical();
                let remember = |known: &RefCell<Proved>| {
                    let now = Instant::now();
                    known.borrow_mut().remember(tag, now + HOST_FOUND_FOR, now);
                };
                match found {
                    Ok(Ok(found)) if found.iter().any(|one| one.ip().to_canonical() == ip) => {
                        remember(&self.found);
                        Verdict::Holds
                    }
                    found => {
                        // Where nothing came of the lookup, the next may find it.
                        if let Ok(Ok(_)) = found {
                            remember(&self.elsewhere);
                        }
                        self.counters.host_elsewhere();
                        Verdict::Fails
                    }
                }
            }
        };
        Proof { tag, verdict }
    }

    /// Opens a tunnel, for which there must be room in `buffers`.
    ///
    /// # Errors
    /// The problem that tells the client why there is none.
    pub(crate) async fn open_tunnel(
        &self,
        to: &Destination,
        buffers: &Arc<Account>,
    ) -> Result<Opened, Problem> {
        let Some(reserved) = buffers.reserve(TUNNEL) else {
            self.counters.no_room();
            return Err(Failure::NoRoom.into());
        };
        let place = self.proxy.enter_tunnel().ok_or(Problem::Proxy(Refusal::Tunnels))?;
        let connecting = self.egress.connect(&to.host, to.port);
        let stream = match timeout(self.proxy.settings.connect_time, connecting).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Failure::TimedOut.into()),
        };
        self.counters.tunnel();
        let Settings { tunnel_idle, tunnel_time, .. } = self.proxy.settings;
        let limits = tunnel::Limits { idle: tunnel_idle, total: Some(tunnel_time) };
        Ok(Opened { stream, limits, _held: (place, reserved) })
    }

    /// The file for a browser that reached this proxy as `authority`.
    pub(crate) fn pac(&self, authority: &str, client: &Client) -> String {
        let kind = match client.scheme {
            Scheme::Http => pac::Kind::Clear,
            Scheme::Https => pac::Kind::Tls,
        };
        let port = host_and_port(authority).map(|(_, port)| port);
        let named =
            authority.rsplit_once(':').is_some_and(|(_, digits)| digits.parse::<u16>().is_ok());
        let authority = match (named, port) {
            // Without a port a browser would take another than it came to.
            (false, Some(_)) => {
                let host = authority.trim_end_matches(':');
                format!("{host}:{}", client.scheme.default_port())
            }
            _ => authority.to_owned(),
        };
        pac::file(kind, &authority, &self.proxy.settings.exceptions)
    }
}

async fn sweep(forward: Weak<Forward>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(forward) = forward.upgrade() else { return };
        forward.destinations.drop_idle(Instant::now());
    }
}

/// A tunnel that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    stream: TcpStream,
    limits: tunnel::Limits,
    /// Its place among those that may be open, and what it takes.
    _held: (Place, Reserved),
}

/// The host of an authority that was found valid, without brackets, and its port, for http.
fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match rest.strip_prefix(':') {
        None | Some("") => Scheme::Http.default_port(),
        Some(digits) => digits.parse().ok()?,
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests;
