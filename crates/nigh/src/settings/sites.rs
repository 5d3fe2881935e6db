//! `[[site]]` and `[[site.path]]`: which hosts there are, where their origins are, and what the paths
//! are told apart by.

use std::{collections::BTreeSet, path::Path, str::FromStr, time::Duration};

use nigh_cache::key::Scheme;
use nigh_edge::{
    site::{Host, Name, Order, Pattern, Query, Rule, Rules, signed},
    upstream::{ORIGINS_MAX, Probe},
};
use nigh_net::origin;

use super::{
    Origin, SigningKeys, Site, Tls, compression,
    document::Section,
    file::{beside, secret},
    protection::{self, Protection},
};
use crate::cli::duration;

/// The greatest weight of an origin.
const WEIGHT_MAX: u64 = 1000;

/// Rules that one site may have: each request is held against them one by one.
const RULES_MAX: usize = 1000;

/// Names that one rule may list: each parameter or cookie is held against them one by one.
const NAMES_MAX: usize = 100;

/// Time between two probes, and time for an answer to one, where they are not said.
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// What there is beside sites.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    /// A forward proxy, which takes what no site has.
    pub(super) forward: bool,
    /// Something that makes an edge of use without a site.
    pub(super) may_be_none: bool,
}

/// Reads every site.
pub(super) fn read(root: &mut Section<'_>, folder: &Path, others: Others) -> Vec<Site> {
    let Others { forward, may_be_none } = others;
    if !root.has("site") && !may_be_none {
        root.mistake("", "there is no site: write [[site]], and under it host and origin");
    }
    let mut taken = BTreeSet::new();
    let sections = root.sections("site", "[[site]]", "[[site]]");
    let sites = sections.into_iter().filter_map(|section| site(section, folder, &mut taken));
    let sites: Vec<_> = sites.collect();
    if forward && taken.contains(&Host::Any) {
        let message = "the site for every host leaves [forward] nothing to do: leave one out";
        root.mistake("forward", message);
    }
    sites
}

fn site(mut section: Section<'_>, folder: &Path, taken: &mut BTreeSet<Host>) -> Option<Site> {
    let hosts = section.list("host", Host::from_str);
    if !section.has("host") || hosts.as_ref().is_some_and(Vec::is_empty) {
        section.mistake("host", "a site has a host: write host = \"www.example.com\"");
    }
    for (number, host) in hosts.iter().flatten().enumerate() {
        if !taken.insert(host.clone()) {
            let message = format!("the host `{host}` was named before: a host belongs to one site");
            section.mistake_in("host", number, message);
        }
    }
    let origins = origins(&mut section);
    let origin_ca = section.parsed("origin_ca", beside(folder));
    let shown = shown(&mut section, folder);
    let probe = probe(&mut section);
    let protection = protection::read(&mut section);
    let (rules, signing) = rules(&mut section, &protection, folder);
    section.finish();
    Some(Site { hosts: hosts?, origins: origins?, origin_ca, shown, probe, rules, signing })
}

/// The certificate that is shown to the origins.
fn shown(section: &mut Section<'_>, folder: &Path) -> Option<Tls> {
    let certificate = section.parsed("origin_cert", beside(folder));
    let key = secret(section, "origin_key", folder);
    for (there, other) in [("origin_cert", "origin_key"), ("origin_key", "origin_cert")] {
        if section.has(there) && !section.has(other) {
            section.mistake(there, format!("`{there}` is of no use without `{other}`"));
        }
    }
    Some(Tls { certificate: certificate?, key: key? })
}

fn origins(section: &mut Section<'_>) -> Option<Vec<Origin>> {
    let one = section.parsed("origin", origin::Settings::parse);
    let mut origins = Vec::new();
    let several = section.sections("origins", "an origin", "[{ url = \"https://...\" }]");
    let several: Vec<_> = several.into_iter().map(weighted).collect();
    match (section.has("origin"), section.has("origins")) {
        (true, true) => section.mistake("origins", "a site has `origin` or `origins`, not both"),
        (false, false) => section
            .mistake("", "a site has an origin: write origin = \"https://origin.example.com\""),
        (true, false) => origins.push(one.map(|settings| Origin { settings, weight: 1 })),
        (false, true) => origins = several,
    }
    if origins.len() > ORIGINS_MAX {
        section.mistake("origins", format!("a site has at most {ORIGINS_MAX} origins"));
    }
    let keep_host = section.truth("keep_host");
    let http2 = section.truth("http2");
    let connections = section.number("connections", 1..=1_000_000);
    let mut timeouts = section.inline("timeouts");
    let connect = timeouts.parsed("connect", duration);
    let first_byte = timeouts.parsed("first_byte", duration);
    let idle = timeouts.parsed("idle", duration);
    timeouts.finish();
    for origin in origins.iter_mut().flatten() {
        let Origin { settings, .. } = origin;
        settings.keep_host = keep_host.unwrap_or(settings.keep_host);
        settings.http2_prior_knowledge = http2 == Some(true) && settings.scheme == Scheme::Http;
        settings.connections =
            connections.and_then(|count| count.try_into().ok()).unwrap_or(settings.connections);
        settings.connect_limit = connect.unwrap_or(settings.connect_limit);
        settings.first_byte_limit = first_byte.unwrap_or(settings.first_byte_limit);
        settings.idle_limit = idle.unwrap_or(settings.idle_limit);
    }
    // Each that is none was reported, and so was that there is none.
    origins.into_iter().collect::<Option<Vec<_>>>().filter(|origins| !origins.is_empty())
}

fn weighted(mut section: Section<'_>) -> Option<Origin> {
    let settings = section.parsed("url", origin::Settings::parse);
    if !section.has("url") {
        section.mistake("", "an origin has a URL: write { url = \"https://origin.example.com\" }");
    }
    let weight = section.number("weight", 1..=WEIGHT_MAX);
    section.finish();
    let weight = weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1);
    Some(Origin { settings: settings?, weight })
}

fn probe(section: &mut Section<'_>) -> Option<Probe> {
    let mut probe = section.inline("probe");
    let path = probe.parsed("path", path);
    let every = probe.parsed("every", positive);
    let limit = probe.parsed("timeout", positive);
    if probe.is_there() && !probe.has("path") {
        probe.mistake("", "a probe asks for something: write probe = { path = \"/healthz\" }");
    }
    probe.finish();
    Some(Probe {
        path: path?,
        every: every.unwrap_or(PROBE_EVERY),
        limit: limit.unwrap_or(PROBE_LIMIT),
    })
}

fn path(text: &str) -> Result<Box<str>, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_path.then(|| text.into()).ok_or_else(|| format!("`{text}` is no path, such as /healthz"))
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must take some time: write 5s".to_owned()),
        time => Ok(time),
    }
}

/// A site's rules, and the signing keys of those that have some, by their places.
fn rules(
    section: &mut Section<'_>,
    site: &Protection,
    folder: &Path,
) -> (Rules, Vec<(usize, SigningKeys)>) {
    let sections = section.sections("path", "[[site.path]]", "[[site.path]]");
    if sections.len() > RULES_MAX {
        section.mistake("path", format!("a site has at most {RULES_MAX} rules"));
    }
    let (mut list, mut signing) = (Vec::new(), Vec::new());
    for section in sections {
        if let Some((pattern, rule, keys)) = rule(section, site, folder) {
            signing.extend(keys.map(|keys| (list.len(), keys)));
            list.push((pattern, rule));
        }
    }
    let rest = Rule { guard: site.guard(None, false), fields: site.fields(), ..Rule::default() };
    (Rules::new(list, rest), signing)
}

fn rule(
    mut section: Section<'_>,
    site: &Protection,
    folder: &Path,
) -> Option<(Pattern, Rule, Option<SigningKeys>)> {
    let pattern = section.parsed("match", Pattern::from_str);
    if !section.has("match") {
        section.mistake("", "a rule is for some paths: write match = \"/static/\"");
    }
    let protection = site.with(protection::read(&mut section));
    let keys = protection::signed(&mut section, folder);
    let guard = protection.guard(Some(site), keys.is_some());
    let compress = compression::read(&mut section);
    let mixed_types = !section.truth("deception_guard").unwrap_or(true);
    let follow_links = section.truth("follow_links").unwrap_or_default();
    let ttl = section.parsed("ttl", duration);
    let bypass = section.truth("bypass").unwrap_or_default();
    let order = section.parsed("query", order).unwrap_or_default();
    let mut strip = names(&mut section, "strip");
    let ignore_cookies = names(&mut section, "ignore_cookies");
    if order == Order::Strip && section.has("strip") {
        section.mistake("strip", "query = \"strip\" leaves no parameters: leave out one of them");
    }
    for other in ["ttl", "query", "strip", "ignore_cookies", "deception_guard"] {
        if bypass && section.has(other) {
            section.mistake(other, format!("bypass leaves `{other}` nothing to do: leave one out"));
        }
    }
    if keys.is_some() {
        // One URL has as many signatures as clients.
        strip = strip.into_iter().chain([Name::Prefix(signed::PARAMETERS.into())]).collect();
    }
    section.finish();
    let query = Query { order, strip };
    let fields = protection.fields();
    let rule = Rule {
        ttl,
        bypass,
        query,
        ignore_cookies,
        guard,
        compress,
        fields,
        mixed_types,
        follow_links,
    };
    Some((pattern?, rule, keys))
}

fn order(text: &str) -> Result<Order, String> {
    match text {
        "keep" => Ok(Order::Keep),
        "sort" => Ok(Order::Sort),
        "strip" => Ok(Order::Strip),
        other => Err(format!("`{other}` can be done to no query: write keep, sort or strip")),
    }
}

fn names(section: &mut Section<'_>, key: &'static str) -> Box<[Name]> {
    let name = |text: &str| match text {
        "" | "*" => Err("write a name, or how names begin with a star behind: utm_*"),
        text => Ok(Name::new(text)),
    };
    let names = section.list(key, name).unwrap_or_default();
    if names.len() > NAMES_MAX {
        section.mistake(key, format!("`{key}` lists at most {NAMES_MAX} names"));
    }
    names.into()
}
