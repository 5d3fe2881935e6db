//! What is different between two settings: by site, by key, and what only a restart makes good.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Settings, Site,
    shown::{name_of, shown, shown_site},
};

/// The keys outside of sites that take effect without a restart.
const LIVE: [&str; 16] = [
    "node.name",
    "node.admin_token.env",
    "node.admin_token.file",
    "tls.cert",
    "tls.key.env",
    "tls.key.file",
    "limits.max_head",
    "limits.max_target",
    "limits.max_fields",
    "limits.max_body",
    "limits.max_connections",
    "limits.head_time",
    "limits.idle_time",
    "limits.stall_time",
    "limits.min_rate",
    "limits.drain_time",
];

/// A difference of which no single key tells.
const SOMETHING: &str = "*";

/// What other settings would add, remove and change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Difference {
    /// Sites that were not there, by the first of their hosts.
    pub(crate) sites_added: Vec<String>,
    /// Sites that are there no more.
    pub(crate) sites_removed: Vec<String>,
    /// Sites that are otherwise.
    pub(crate) sites_changed: Vec<SiteChange>,
    /// Keys of the other sections, such as `limits.max_body`.
    pub(crate) keys: Vec<KeyChange>,
}

/// A site that is otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SiteChange {
    /// The first of its hosts.
    pub(crate) site: String,
    pub(crate) keys: Vec<KeyChange>,
}

/// A key with another value.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct KeyChange {
    /// Its name, behind those of its tables; `*` for something that has no name of its own.
    pub(crate) key: String,
    /// What it was; null for nothing.
    #[schema(value_type = Value)]
    pub(crate) from: Value,
    /// What it is to be.
    #[schema(value_type = Value)]
    pub(crate) to: Value,
    /// Whether that takes a restart.
    pub(crate) restart: bool,
}

impl Difference {
    /// From the ones to the others.
    pub(crate) fn between(before: &Settings, after: &Settings) -> Self {
        let mut difference = Self { keys: keys(before, after), ..Self::default() };
        let mut held = BTreeMap::new();
        for (number, site) in before.sites.iter().enumerate() {
            held.extend(site.hosts.iter().map(|host| (host, number)));
        }
        let mut met = BTreeSet::new();
        for site in &after.sites {
            let same = site.hosts.iter().find_map(|host| held.get(host).copied());
            match same.filter(|number| met.insert(*number)) {
                Some(number) => {
                    difference.sites_changed.extend(change(&before.sites[number], site))
                }
                None => difference.sites_added.push(name_of(site)),
            }
        }
        let gone = before.sites.iter().enumerate().filter(|(number, _)| !met.contains(number));
        difference.sites_removed = gone.map(|(_, site)| name_of(site)).collect();
        difference
    }
}

/// The keys in which `wanted` differs from what the process was `started` with, and which wait for a
/// restart.
pub(crate) fn waiting(started: &Settings, wanted: &Settings) -> Vec<String> {
    let keys = keys(started, wanted).into_iter().filter(|change| change.restart);
    keys.map(|change| change.key).collect()
}

/// What differs outside of sites.
fn keys(before: &Settings, after: &Settings) -> Vec<KeyChange> {
    let (was, is) = (shown(before), shown(after));
    // A reload neither opens an address that asked for a token, nor takes a certificate away.
    let is_lost = |key: &str| {
        after.node.admin_token.is_none() && key.starts_with("node.admin_token.")
            || after.tls.is_none() && key.starts_with("tls.")
            // By its name an edge is known to the others.
            || before.cluster.is_some() && key == "node.name"
    };
    // Who the others are may change; that there are some, and who this one is among them, does not.
    let edges = |name: &dyn Display| format!("cluster.{name}.edges");
    let edges: Vec<_> = after
        .takes_members(before)
        .into_iter()
        .flat_map(|it| [Some(edges(&it.name)), it.parent.as_ref().map(|it| edges(&it.name))])
        .flatten()
        .collect();
    let mut changes = Vec::new();
    let sections = [
        ("node", before.node != after.node),
        ("cache", before.cache != after.cache),
        ("tls", before.tls != after.tls),
        ("limits", before.limits != after.limits),
        ("forward", before.forward != after.forward),
        // All of it is shown.
        ("cluster", false),
    ];
    for (section, differs) in sections {
        let mut found = changed(section, &was[section], &is[section]);
        for change in &mut found {
            let is_live = LIVE.contains(&change.key.as_str()) || edges.contains(&change.key);
            change.restart = !is_live || is_lost(&change.key);
        }
        if found.is_empty() && differs {
            found.push(something(&format!("{section}.{SOMETHING}"), true));
        }
        changes.append(&mut found);
    }
    changes
}

fn change(before: &Site, after: &Site) -> Option<SiteChange> {
    if before == after {
        return None;
    }
    let mut keys = changed("", &shown_site(before), &shown_site(after));
    if keys.is_empty() {
        keys.push(something(SOMETHING, false));
    }
    Some(SiteChange { site: name_of(after), keys })
}

fn something(key: &str, restart: bool) -> KeyChange {
    KeyChange { key: key.to_owned(), from: Value::Null, to: Value::Null, restart }
}

/// The leaves in which two values differ, each under its path.
fn changed(path: &str, was: &Value, is: &Value) -> Vec<KeyChange> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves(path, was, &mut before);
    leaves(path, is, &mut after);
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |side: &BTreeMap<String, Value>, key| side.get(key).cloned().unwrap_or_default();
    let all = keys.into_iter().map(|key| KeyChange {
        key: key.clone(),
        from: value(&before, key),
        to: value(&after, key),
        restart: false,
    });
    all.filter(|change| change.from != change.to).collect()
}

fn leaves(path: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&path, value, out);
            }
        }
        Value::Null => {}
        leaf => drop(out.insert(path.to_owned(), leaf.clone())),
    }
}
