//! The sites as one core has them: each with its rules and its origins. A snapshot never changes; a
//! reload is another one, and what is on its way goes on with that under which it began.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, rc::Rc, sync::Arc};

use http::{HeaderMap, Method, header};
use nigh_cache::key::Scheme;
use nigh_edge::{
    cache_status::CacheStatus,
    forward,
    site::{self, Host, Rule, RuleNumber, Rules},
    upstream::Probe,
};

use crate::{
    board::{Core, Tally},
    forward_proxy::Forward,
    origin::Origin,
    upstream::{Member, Upstream},
};

/// One site, as it was set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which hosts it answers for.
    pub hosts: Vec<Host>,
    /// What it says of some of its paths.
    pub rules: Rules,
    /// Where its misses go; one at least.
    pub origins: Vec<Member>,
    /// How the origins are probed, if they are.
    pub probe: Option<Probe>,
}

/// Every site of an edge; no two have the same host.
pub type Snapshot = Arc<[Settings]>;

/// One core's sites.
#[derive(Debug)]
pub(crate) struct Sites {
    table: site::Sites<Rc<Site>>,
    /// Where requests for other hosts go, if anywhere.
    forward: Option<Rc<Forward>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Site {
    rules: Rules,
    upstream: Rc<Upstream>,
    tally: Arc<Tally>,
}

/// Whose a request is, and under which rule.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    site: Rc<Site>,
    rule: RuleNumber,
    reach: Reach,
}

/// Who chose where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The operator: it is a site's.
    Site,
    /// The client of a forward proxy, by the authority.
    Chosen,
    /// The client, by the address that it was going to; the authority may say something else.
    Redirected(SocketAddr),
}

impl Site {
    pub(crate) const fn new(rules: Rules, upstream: Rc<Upstream>, tally: Arc<Tally>) -> Self {
        Self { rules, upstream, tally }
    }
}

impl Sites {
    /// The sites of a snapshot. Origins that `before` had too keep their connections, and what is
    /// known of their health. `forward` takes what is no site's. What they do shows on the board,
    /// through `core`.
    pub(crate) fn new(
        snapshot: &[Settings],
        before: Option<&Self>,
        forward: Option<Rc<Forward>>,
        core: &Core,
    ) -> Rc<Self> {
        let mut held = Held::default();
        before.into_iter().flat_map(|before| before.table.iter()).for_each(|site| {
            held.take(&site.upstream);
        });
        let sites = snapshot.iter().map(|settings| {
            let upstream = held.upstream(settings, core);
            let name = settings.hosts.first().map(ToString::to_string).unwrap_or_default();
            let tally = core.tally(&name);
            let site = Site { rules: settings.rules.clone(), upstream, tally };
            (settings.hosts.clone(), Rc::new(site))
        });
        let table = site::Sites::new(sites);
        Rc::new(Self { table, forward })
    }

    /// The forward proxy, if there is one.
    pub(crate) const fn forward(&self) -> Option<&Rc<Forward>> {
        self.forward.as_ref()
    }

    /// Whose a request for this authority and path is.
    pub(crate) fn route(&self, authority: &str, path_and_query: &str) -> Option<Route> {
        let site = self.table.find(authority)?;
        let rule = site.rules.find(path_and_query);
        Some(Route { site: Rc::clone(site), rule, reach: Reach::Site })
    }

    /// The authority of a request that names none (HTTP/1.0 without Host): the origin's own, where
    /// there is a site for every host.
    pub(crate) fn nameless(&self) -> &str {
        self.table.any().map_or("", |site| site.upstream.authority())
    }

    /// One site for every host, before `origin`.
    #[cfg(test)]
    pub(crate) fn before(origin: Rc<Origin>) -> Rc<Self> {
        Self::under(Rule::default(), origin)
    }

    /// The same, with a rule for all its paths.
    #[cfg(test)]
    pub(crate) fn under(rule: Rule, origin: Rc<Origin>) -> Rc<Self> {
        let settings = crate::origin::Settings::parse("http://origin.invalid").unwrap();
        let member = Member { settings, tls: None, weight: 1 };
        let core = crate::board::Board::default().core();
        let upstream = Upstream::start(vec![member], None, vec![origin], Some(&core));
        let tally = core.tally("*");
        let site = Rc::new(Site { rules: Rules::everywhere(rule), upstream, tally });
        Rc::new(Self { table: site::Sites::new([(vec![Host::Any], site)]), forward: None })
    }
}

impl Route {
    /// To a destination that a client named.
    pub(crate) fn chosen(site: Rc<Site>) -> Self {
        Self { rule: site.rules.find("/"), site, reach: Reach::Chosen }
    }

    /// To the address that a client was going to, whatever host it names.
    pub(crate) fn redirected(site: Rc<Site>, original: SocketAddr) -> Self {
        Self { rule: site.rules.find("/"), site, reach: Reach::Redirected(original) }
    }

    /// Whether the client chose where it goes.
    pub(crate) fn is_forward(&self) -> bool {
        self.reach != Reach::Site
    }

    /// The scheme of what is asked for, by a client that came with `scheme`: with another, perhaps,
    /// than it asks a proxy for.
    pub(crate) fn scheme(&self, scheme: Scheme) -> Scheme {
        if self.is_forward() { Scheme::Http } else { scheme }
    }

    /// What keeps a key apart from that of the authority: who answers may be somebody else. No
    /// authority has an `@`.
    pub(crate) const fn key_suffix(&self) -> Option<SocketAddr> {
        match self.reach {
            Reach::Redirected(original) => Some(original),
            Reach::Site | Reach::Chosen => None,
        }
    }

    /// The target as the log has it: with its authority, where that is not the operator's.
    pub(crate) fn logged<'a>(&self, authority: &str, path_and_query: &'a str) -> Cow<'a, str> {
        if self.is_forward() {
            Cow::Owned(format!("http://{authority}{path_and_query}"))
        } else {
            Cow::Borrowed(path_and_query)
        }
    }

    /// Takes out of a request's fields what neither the origin nor the store may see.
    pub(crate) fn clean(&self, method: &Method, fields: &mut HeaderMap) {
        self.rule().rewrite(method, fields);
        // A response that varies on it would have it kept.
        fields.remove(header::PROXY_AUTHORIZATION);
        // Read already where it may be believed; elsewhere somebody plays an edge.
        forward::remove_hop_mark(fields);
    }

    /// Writes the key of a request that takes this route.
    pub(crate) fn write_key(
        &self,
        scheme: Scheme,
        authority: &str,
        path_and_query: &str,
        out: &mut Vec<u8>,
    ) {
        self.write(self.rule(), scheme, authority, path_and_query, out);
    }

    fn write(
        &self,
        rule: &Rule,
        scheme: Scheme,
        authority: &str,
        path_and_query: &str,
        out: &mut Vec<u8>,
    ) {
        match self.key_suffix() {
            None => rule.write_key(self.scheme(scheme), authority, path_and_query, out),
            Some(original) => {
                let authority = format!("{authority}@{original}");
                rule.write_key(self.scheme(scheme), &authority, path_and_query, out);
            }
        }
    }

    /// The rule.
    pub(crate) fn rule(&self) -> &Rule {
        self.site.rules.rule(self.rule)
    }

    /// The site's route for another of its targets.
    pub(crate) fn to(&self, path_and_query: &str) -> Self {
        Self { rule: self.site.rules.find(path_and_query), ..self.clone() }
    }

    /// An answer was given, with so many bytes of content.
    pub(crate) fn answered(&self, status: &CacheStatus, bytes: u64) {
        self.site.tally.answered(status.outcome(), bytes);
    }

    /// The origins.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.site.upstream
    }

    /// Writes the key of another target of the same site, under the rule that it has.
    pub(crate) fn write_other_key(
        &self,
        scheme: Scheme,
        authority: &str,
        path_and_query: &str,
        out: &mut Vec<u8>,
    ) {
        let rules = &self.site.rules;
        let rule = rules.rule(rules.find(path_and_query));
        self.write(rule, scheme, authority, path_and_query, out);
    }
}

/// What there is already, by the URLs of the origins.
#[derive(Default)]
struct Held {
    upstreams: BTreeMap<String, Vec<Rc<Upstream>>>,
    origins: BTreeMap<String, Vec<(Member, Rc<Origin>)>>,
}

impl Held {
    fn take(&mut self, upstream: &Rc<Upstream>) {
        for (member, origin) in upstream.origins() {
            let pools = self.origins.entry(url(member)).or_default();
            if !pools.iter().any(|(_, held)| Rc::ptr_eq(held, origin)) {
                pools.push((member.clone(), Rc::clone(origin)));
            }
        }
        let all = urls(upstream.origins().map(|(member, _)| member));
        self.upstreams.entry(all).or_default().push(Rc::clone(upstream));
    }

    fn upstream(&mut self, settings: &Settings, core: &Core) -> Rc<Upstream> {
        let Settings { origins: members, probe, .. } = settings;
        let held = self.upstreams.get(&urls(members.iter()));
        let same = held.into_iter().flatten().find(|held| held.is_of(members, probe.as_ref()));
        if let Some(same) = same {
            return Rc::clone(same);
        }
        let origins = members.iter().map(|member| self.origin(member)).collect();
        let upstream = Upstream::start(members.clone(), probe.clone(), origins, Some(core));
        self.take(&upstream);
        upstream
    }

    fn origin(&self, member: &Member) -> Rc<Origin> {
        let held = self.origins.get(&url(member)).into_iter().flatten();
        let wanted = |held: &Member| Member { weight: member.weight, ..held.clone() } == *member;
        let mut same = held.filter(|(held, _)| wanted(held)).map(|(_, origin)| Rc::clone(origin));
        same.next().unwrap_or_else(|| Origin::new(member.settings.clone(), member.tls.clone()))
    }
}

fn url(member: &Member) -> String {
    member.settings.url()
}

fn urls<'a>(members: impl Iterator<Item = &'a Member>) -> String {
    members.map(url).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    fn settings(host: &str, urls: &[&str]) -> Settings {
        let origin = |url: &&str| Member {
            settings: crate::origin::Settings::parse(url).unwrap(),
            tls: None,
            weight: 1,
        };
        let origins = urls.iter().map(origin).collect();
        let hosts = vec![host.parse().unwrap()];
        Settings { hosts, rules: Rules::default(), origins, probe: None }
    }

    fn upstream(sites: &Sites, host: &str) -> Rc<Upstream> {
        Rc::clone(&sites.route(host, "/").unwrap().site.upstream)
    }

    #[test]
    fn a_reload_keeps_the_connections_of_origins_that_stay() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (a, b) = ("http://a.example", "http://b.example");
            let core = crate::board::Board::default().core();
            let before =
                Sites::new(&[settings("x", &[a, b]), settings("y", &[a])], None, None, &core);
            let new = [settings("z", &[a, b]), settings("y", &[b])];
            let after = Sites::new(&new, Some(&before), None, &core);
            assert!(before.route("z", "/").is_none() && after.route("x", "/").is_none());
            assert!(Rc::ptr_eq(&upstream(&before, "x"), &upstream(&after, "z")));
            let origins = |sites: &Sites, host: &str| -> Vec<Rc<Origin>> {
                upstream(sites, host).origins().map(|(_, origin)| Rc::clone(origin)).collect()
            };
            let (x, y) = (origins(&before, "x"), origins(&after, "y"));
            assert!(Rc::ptr_eq(&x[0], &origins(&before, "y")[0]), "two sites share an origin");
            assert!(Rc::ptr_eq(&x[1], &y[0]));
        });
    }

    #[test]
    fn an_origin_that_is_spoken_to_otherwise_is_another() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let core = crate::board::Board::default().core();
            let before = Sites::new(&[settings("x", &["http://a.example"])], None, None, &core);
            let mut other = settings("x", &["http://a.example"]);
            other.origins[0].settings.keep_host = true;
            let after = Sites::new(&[other], Some(&before), None, &core);
            assert!(!Rc::ptr_eq(&upstream(&before, "x"), &upstream(&after, "x")));
        });
    }
}
