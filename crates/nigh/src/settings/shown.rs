//! Settings as data, under the names that the file has for them. A secret is shown by where it lies.

use std::{path::Path, time::Duration};

use nigh_base::ByteSize;
use nigh_edge::{
    client::{self, Rate},
    forward_proxy::{PRIVATE, pac},
    site::{FieldRules, Guard, Name, Order, Pattern, Rule, signed},
};
use nigh_net::{forward_proxy::Redirected, siblings::Member};
use serde_json::{Map, Value, json};

use super::{
    Cache, Cluster, Forward, Kept, Limits, Node, Other, Secret, Settings, SigningKeys, Site, Tls,
};
use crate::cli::in_units;

/// Everything that is in effect, defaults included.
pub(crate) fn shown(settings: &Settings) -> Value {
    let Settings { node, cache, tls, limits, forward, cluster, sites } = settings;
    json!({
        "node": shown_node(node),
        "cache": shown_cache(cache),
        "tls": tls.as_ref().map(shown_tls),
        "limits": shown_limits(limits),
        "forward": forward.as_ref().map(shown_forward),
        "cluster": cluster.as_ref().map(shown_cluster),
        "site": sites.iter().map(shown_site).collect::<Vec<_>>(),
    })
}

/// What a site is called: the first of its hosts.
pub(crate) fn name_of(site: &Site) -> String {
    site.hosts.first().map(ToString::to_string).unwrap_or_default()
}

fn shown_node(node: &Node) -> Value {
    let listen = node.listen.iter();
    let listen = listen.map(|one| format!("{}://{}", one.scheme.as_str(), one.address));
    json!({
        "name": node.name,
        "listen": listen.collect::<Vec<_>>(),
        "admin": node.admin.as_ref().map(ToString::to_string),
        "admin_token": node.admin_token.as_ref().map(shown_secret),
        "user": node.user,
        "group": node.group,
        "workers": node.workers,
        "access_log": node.access_log.as_deref().map(path),
        "log_format": node.log_format.as_str(),
    })
}

fn shown_cache(cache: &Cache) -> Value {
    let (disk, slicing) = (cache.disk.as_ref(), cache.slicing.as_ref());
    json!({
        "memory": cache.memory.to_string(),
        "max_object": cache.max_object.map(|size| size.to_string()),
        "slice": slicing.map_or_else(|| "none".to_owned(), |slicing| slicing.size.to_string()),
        "slice_above": slicing.map(|slicing| slicing.above.to_string()),
        "eviction": cache.eviction.to_string(),
        "disk": disk.map(|disk| json!({ "path": path(&disk.path), "size": disk.size.to_string() })),
    })
}

fn shown_tls(tls: &Tls) -> Value {
    json!({ "cert": path(&tls.certificate), "key": shown_secret(&tls.key) })
}

fn shown_limits(limits: &Limits) -> Value {
    json!({
        "max_head": limits.max_head.to_string(),
        "max_target": limits.max_target.to_string(),
        "max_fields": limits.max_fields,
        "max_body": limits.max_body.map(|size| size.to_string()),
        "max_connections": limits.max_connections,
        "head_time": in_units(limits.head_time),
        "idle_time": in_units(limits.idle_time),
        "stall_time": in_units(limits.stall_time),
        "min_rate": per_second(limits.min_rate),
        "drain_time": in_units(limits.drain_time),
        "buffers": limits.buffers.to_string(),
        "per_client": shown_clients(&limits.per_client),
    })
}

fn shown_clients(limits: &client::Limits) -> Value {
    let rate = |rate: &Rate, units: fn(u64) -> String| {
        let time = match rate.time().as_secs() {
            1 => "s".to_owned(),
            60 => "m".to_owned(),
            3600 => "h".to_owned(),
            seconds => format!("{seconds}s"),
        };
        format!("{}/{time}", units(rate.units()))
    };
    let bytes = |bytes| ByteSize::new(bytes).to_string();
    json!({
        "requests": limits.requests.as_ref().map(|it| rate(it, |count| count.to_string())),
        "burst": limits.burst,
        "connections": limits.connections,
        "bandwidth": limits.bandwidth.as_ref().map(|it| rate(it, bytes)),
        "ipv4_prefix": limits.ipv4_prefix,
        "ipv6_prefix": limits.ipv6_prefix,
        "exempt": texts(&limits.exempt),
    })
}

fn per_second(bytes: u64) -> String {
    if bytes == 0 { "0".to_owned() } else { format!("{}/s", ByteSize::new(bytes)) }
}

fn shown_forward(forward: &Forward) -> Value {
    let no_proxy = forward.no_proxy.as_deref().map_or_else(|| texts(&pac::private()), texts);
    let transparent = |one: &Redirected| format!("{}://{}", one.mode.as_str(), one.address);
    json!({
        "clients": forward.clients.as_deref().map_or_else(|| texts(&PRIVATE), texts),
        "allow": texts(&forward.allow),
        "deny": texts(&forward.deny),
        "connect_ports": texts(&forward.connect_ports),
        "http_ports": texts(&forward.http_ports),
        "users": forward.users.as_deref().map(path),
        "max_tunnels": forward.max_tunnels,
        "tunnel_idle": in_units(forward.tunnel_idle),
        "tunnel_time": in_units(forward.tunnel_time),
        "connect_time": in_units(forward.connect_time),
        "no_proxy": no_proxy,
        "transparent": forward.transparent.iter().map(transparent).collect::<Vec<_>>(),
    })
}

/// The cluster under its name, as the file has it.
fn shown_cluster(cluster: &Cluster) -> Value {
    let edge = |edge: &Member| {
        let Member { name, address, capacity } = edge;
        match capacity {
            1 => format!("{name}={address}"),
            more => format!("{name}={address}*{more}"),
        }
    };
    let edges = |edges: &[Member]| edges.iter().map(edge).collect::<Vec<_>>();
    let tls = cluster.control.as_ref().and_then(Kept::tls);
    let tls_shown = tls.and_then(|tls| tls.shown.as_ref());
    let shown = json!({
        "edges": edges(&cluster.edges),
        "spill_above": cluster.spill_above,
        "listen": cluster.listen.to_string(),
        "dir": path(&cluster.dir),
        "ca": cluster.authority.as_deref().map(path),
        "control": cluster.control.as_ref().map(ToString::to_string),
        "control_ca": tls.and_then(|tls| tls.authority.as_deref()).map(path),
        "control_cert": tls_shown.map(|shown| path(&shown.certificate)),
        "control_key": tls_shown.map(|shown| shown_secret(&shown.key)),
        "parent": cluster.parent.as_ref().map(|parent| parent.name.as_str()),
    });
    let parent = cluster.parent.iter().map(|Other { name, edges: of, authority, .. }| {
        (name.to_string(), json!({ "edges": edges(of), "ca": path(authority) }))
    });
    let children = cluster.children.iter().map(|Other { name, authority, .. }| {
        let shown = json!({ "ca": path(authority), "parent": cluster.name.as_str() });
        (name.to_string(), shown)
    });
    let own = (cluster.name.to_string(), shown);
    Value::Object(parent.chain(children).chain([own]).collect())
}

/// One site.
pub(super) fn shown_site(site: &Site) -> Value {
    let origins = site.origins.iter();
    let origins = origins.map(|one| json!({ "url": one.settings.url(), "weight": one.weight }));
    let to = site.origins.first().map(|origin| &origin.settings);
    let time = |of: fn(&nigh_net::origin::Settings) -> Duration| to.map(|to| in_units(of(to)));
    let keys = |place| site.signing.iter().find(|(held, _)| *held == place).map(|(_, keys)| keys);
    let paths = site.rules.iter().enumerate();
    let paths = paths.map(|(place, rule)| shown_rule(rule, site.rules.rest(), keys(place)));
    let probe = site.probe.as_ref().map(|probe| {
        json!({
            "path": probe.path,
            "every": in_units(probe.every),
            "timeout": in_units(probe.limit),
        })
    });
    let mut shown = json!({
        "host": site.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "origins": origins.collect::<Vec<_>>(),
        "keep_host": to.map(|to| to.keep_host),
        "http2": to.map(|to| to.http2_prior_knowledge),
        "origin_ca": site.origin_ca.as_deref().map(path),
        "origin_cert": site.shown.as_ref().map(|shown| path(&shown.certificate)),
        "origin_key": site.shown.as_ref().map(|shown| shown_secret(&shown.key)),
        "connections": to.map(|to| to.connections),
        "timeouts": {
            "connect": time(|to| to.connect_limit),
            "first_byte": time(|to| to.first_byte_limit),
            "idle": time(|to| to.idle_limit),
        },
        "probe": probe,
        "path": paths.collect::<Vec<_>>(),
    });
    let said = shown.as_object_mut().expect("it was made as one");
    protection(said, site.rules.rest(), &Rule::default());
    shown
}

/// One rule, as far as it says more than its site.
fn shown_rule((pattern, rule): &(Pattern, Rule), site: &Rule, keys: Option<&SigningKeys>) -> Value {
    let (Pattern::Prefix(pattern) | Pattern::Glob(pattern)) = pattern;
    let names = |names: &[Name]| -> Vec<String> {
        let name = |name: &Name| match name {
            Name::Exact(name) => name.to_string(),
            Name::Prefix(start) => format!("{start}*"),
        };
        names.iter().map(name).collect()
    };
    let mut shown = Map::new();
    shown.insert("match".to_owned(), json!(pattern));
    if let Some(ttl) = rule.ttl {
        shown.insert("ttl".to_owned(), json!(in_units(ttl)));
    }
    if rule.bypass {
        shown.insert("bypass".to_owned(), json!(true));
    }
    let query = match rule.query.order {
        Order::Keep => None,
        Order::Sort => Some("sort"),
        Order::Strip => Some("strip"),
    };
    if let Some(query) = query {
        shown.insert("query".to_owned(), json!(query));
    }
    // What signatures stand in is taken out because of `signed`.
    let strip = match rule.query.strip.split_last() {
        Some((Name::Prefix(last), before)) if keys.is_some() && **last == *signed::PARAMETERS => {
            before
        }
        _ => &rule.query.strip[..],
    };
    for (key, list) in [("strip", strip), ("ignore_cookies", &rule.ignore_cookies)] {
        if !list.is_empty() {
            shown.insert(key.to_owned(), json!(names(list)));
        }
    }
    if let Some(keys) = keys {
        shown.insert("signed".to_owned(), keys.iter().map(shown_key).collect());
    }
    protection(&mut shown, rule, site);
    if let Some(compress) = &rule.compress {
        let codings: Vec<_> = compress.codings().iter().map(|coding| coding.as_str()).collect();
        shown.insert("compress".to_owned(), json!(codings));
        shown.insert("compress_types".to_owned(), json!(compress.types()));
        let least = ByteSize::new(compress.least()).to_string();
        shown.insert("compress_min".to_owned(), json!(least));
    }
    if rule.mixed_types {
        shown.insert("deception_guard".to_owned(), json!(false));
    }
    if rule.follow_links {
        shown.insert("follow_links".to_owned(), json!(true));
    }
    shown.into()
}

/// Whom a rule lets in and what it does to fields, beyond what `site` does: the lists of both hold.
fn protection(out: &mut Map<String, Value>, rule: &Rule, site: &Rule) {
    let (open, nothing) = (Guard::default(), FieldRules::default());
    let guard = |rule: &Rule| rule.guard.as_deref().cloned().unwrap_or_else(|| open.clone());
    let (held, of_site) = (guard(rule), guard(site));
    let own = held.admissions.get(of_site.admissions.len()..).unwrap_or_default();
    let allow: Vec<String> = own.iter().flat_map(|lists| &lists.allow).map(text).collect();
    let deny: Vec<String> = own.iter().flat_map(|lists| &lists.deny).map(text).collect();
    let fields = |rule: &Rule| rule.fields.as_deref().cloned().unwrap_or_else(|| nothing.clone());
    let (does, site_does) = (fields(rule), fields(site));
    let set = does
        .response_set
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    let set: Vec<String> = set.skip(site_does.response_set.len()).collect();
    for (key, list) in [
        ("allow", allow),
        ("deny", deny),
        ("refuse_fields", beyond(&held.refused_fields, &of_site.refused_fields)),
        ("remove_request_fields", beyond(&does.request_remove, &site_does.request_remove)),
        ("remove_response_fields", beyond(&does.response_remove, &site_does.response_remove)),
        ("set_response_fields", set),
    ] {
        if !list.is_empty() {
            out.insert(key.to_owned(), json!(list));
        }
    }
    if let Some(methods) = held.methods.filter(|methods| of_site.methods != Some(*methods)) {
        let allow = methods.allow();
        out.insert("methods".to_owned(), allow.split(", ").collect());
    }
    if let Some(tags) = does.tags.as_deref().filter(|tags| site_does.tags.as_deref() != Some(tags))
    {
        out.insert("tag_fields".to_owned(), texts(tags));
    }
}

/// What `list` has behind what its site's has: fields add up.
fn beyond<T: ToString>(list: &[T], site: &[T]) -> Vec<String> {
    list.iter().skip(site.len()).map(text).collect()
}

fn shown_key((id, secret): &(String, Secret)) -> Value {
    let mut shown = shown_secret(secret);
    shown["id"] = json!(id);
    shown
}

fn texts<T: ToString>(list: &[T]) -> Value {
    list.iter().map(text).collect()
}

fn text<T: ToString>(value: &T) -> String {
    value.to_string()
}

fn shown_secret(secret: &Secret) -> Value {
    match secret {
        Secret::File(file) => json!({ "file": path(file) }),
        Secret::Environment(name) => json!({ "env": name }),
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
