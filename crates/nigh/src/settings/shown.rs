//! Settings as data, under the names that the file has for them. A secret is shown by where it lies.

use std::{path::Path, time::Duration};

use nigh_edge::site::{Name, Order, Pattern, Rule};
use serde_json::{Map, Value, json};

use super::{Cache, Limits, Node, Secret, Settings, Site, Tls};
use crate::cli::in_units;

/// Everything that is in effect, defaults included.
pub(crate) fn shown(settings: &Settings) -> Value {
    let Settings { node, cache, tls, limits, sites } = settings;
    json!({
        "node": shown_node(node),
        "cache": shown_cache(cache),
        "tls": tls.as_ref().map(shown_tls),
        "limits": shown_limits(limits),
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
        "workers": node.workers,
        "access_log": node.access_log.as_deref().map(path),
        "log_format": node.log_format.as_str(),
    })
}

fn shown_cache(cache: &Cache) -> Value {
    let disk = cache.disk.as_ref();
    json!({
        "memory": cache.memory.to_string(),
        "max_object": cache.max_object.map(|size| size.to_string()),
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
        "drain_time": in_units(limits.drain_time),
    })
}

/// One site.
pub(super) fn shown_site(site: &Site) -> Value {
    let origins = site.origins.iter();
    let origins = origins.map(|one| json!({ "url": one.settings.url(), "weight": one.weight }));
    let to = site.origins.first().map(|origin| &origin.settings);
    let time = |of: fn(&nigh_net::origin::Settings) -> Duration| to.map(|to| in_units(of(to)));
    let probe = site.probe.as_ref().map(|probe| {
        json!({
            "path": probe.path,
            "every": in_units(probe.every),
            "timeout": in_units(probe.limit),
        })
    });
    json!({
        "host": site.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "origins": origins.collect::<Vec<_>>(),
        "keep_host": to.map(|to| to.keep_host),
        "http2": to.map(|to| to.http2_prior_knowledge),
        "origin_ca": site.origin_ca.as_deref().map(path),
        "connections": to.map(|to| to.connections),
        "timeouts": {
            "connect": time(|to| to.connect_limit),
            "first_byte": time(|to| to.first_byte_limit),
            "idle": time(|to| to.idle_limit),
        },
        "probe": probe,
        "path": site.rules.iter().map(shown_rule).collect::<Vec<_>>(),
    })
}

fn shown_rule((pattern, rule): &(Pattern, Rule)) -> Value {
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
    for (key, list) in [("strip", &rule.query.strip), ("ignore_cookies", &rule.ignore_cookies)] {
        if !list.is_empty() {
            shown.insert(key.to_owned(), json!(names(list)));
        }
    }
    shown.into()
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
