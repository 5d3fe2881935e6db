//! What is to be forgotten: `POST /v1/purge?url=|prefix=|host=|tag=|all[&soft]`. docs/purge.md.

use std::time::Instant;

use axum::{
    extract::State,
    http::{StatusCode, Uri},
};
use nigh_base::machine::DiskError;
use nigh_cache::{
    disk::Queue,
    key,
    purge::{Rule, TEXT_MAX, What as Rules},
};
use nigh_cluster::{family::QualifiedName, forgetting::Reached};
use nigh_edge::site::signed::redacted;
use nigh_net::clock;
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{
    Asked, Json,
    events::Event,
    explain::{Parts, key_of, prefix_of},
    problem::Problem,
    query::Query,
};
use crate::{
    belonging,
    edge::Running,
    forget::{Failed, Named, What},
};

/// Letters of a host or a tag. Other caches take no longer ones either.
const NAME_MAX: usize = 1024;

/// What was done.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Purged {
    /// The rule's number, or in a cluster that forgets together that of its purge; null for URLs on one
    /// edge.
    id: Option<u64>,
    soft: bool,
    /// Variants of the URLs that were in memory; null for a rule, and in a cluster.
    variants: Option<usize>,
    /// Whether it survives a crash; null without a disk, and in a cluster.
    durable: Option<bool>,
    /// Why it is not durable.
    problem: Option<String>,
    /// Whether no edge of the cluster serves it any more; false if some are still waited for. Null where
    /// each edge forgets by itself.
    done: Option<bool>,
    /// The edges of the cluster, and of those that share its control state, by name. Null where each edge forgets by itself.
    edges: Option<Vec<At>>,
    /// How long it took.
    micros: u64,
}

/// How an edge stands with a purge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct At {
    cluster: String,
    name: String,
    state: Standing,
    /// From the purge's begin until that was known; null while it is waited for.
    millis: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// It has forgotten.
    Forgotten,
    /// It is not there: it validates what it has before it serves it, and forgets when it is back.
    Lapsed,
    /// It has not said a word yet, and may serve what was purged.
    Waiting,
}

impl At {
    fn of((edge, reached): (&QualifiedName, Reached)) -> Self {
        let (state, after) = match reached {
            Reached::Forgotten(after) => (Standing::Forgotten, Some(after)),
            Reached::Lapsed(after) => (Standing::Lapsed, Some(after)),
            Reached::Waiting => (Standing::Waiting, None),
        };
        let millis = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        let (cluster, name) = (edge.cluster.to_string(), edge.edge.to_string());
        Self { cluster, name, state, millis }
    }
}

/// Has something forgotten: URLs with all their variants, or all that begins with a prefix, is of a
/// host, carries a tag, or is there. One of them at a time. It is in effect before the answer comes. In a cluster that
/// forgets together it is so on all edges, or those that are waited for are named.
#[utoipa::path(
    post,
    path = "/v1/purge",
    params(
        ("url" = Option<Vec<String>>, Query, description = "A URL; may stand several times."),
        ("prefix" = Option<String>, Query, description = "How URLs begin.",
         pattern = "^https?://[a-z0-9.]+(:[0-9]{1,4})?(/[a-z0-9/.]*)?$"),
        ("host" = Option<String>, Query, description = "A host, with its port if it has one.",
         min_length = 1, max_length = 1024),
        ("tag" = Option<String>, Query, description = "Of Cache-Tag or Surrogate-Key.",
         min_length = 1, max_length = 1024),
        ("all" = Option<bool>, Query, description = "Everything."),
        ("soft" = Option<bool>, Query, description = "Make it stale instead of removing it."),
    ),
    responses(
        (status = 200, description = "It is in effect; in a cluster that forgets together, on all edges \
         if `done` is true.", body = Purged),
        (status = 404, description = "No site of this edge has the host.", body = Problem,
         content_type = "application/problem+json"),
        (status = 413, description = "It names too much for one purge of a cluster.", body = Problem,
         content_type = "application/problem+json"),
        (status = 503, description = "The cluster's control state cannot be reached: what stands is said.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn purge(State(running): Asked, uri: Uri) -> Result<Json<Purged>, Problem> {
    let began = Instant::now();
    let named = parse(uri.query())?;
    let soft = named.soft;
    let purged = match &running.now().settings.cluster {
        Some(cluster) if cluster.control.is_some() => together(&running, &named).await?,
        _ => alone(&running, named).await?,
    };
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Json(Purged { soft, micros, ..purged }))
}

/// On this edge.
async fn alone(running: &Running, Named { what, soft }: Named) -> Result<Purged, Problem> {
    // What other edges hold is forgotten when they are told to, and is not to come back from there.
    let members = running.control.server().members();
    let (id, variants, durable) = match rule_of(&what)? {
        Some(rule) => {
            if let Some(members) = &members {
                members.forgot_all();
            }
            let (id, durable) = by_rule(running, rule, soft).await;
            (Some(id), None, durable)
        }
        None => {
            let keys = keys_of(running, &what)?;
            if let Some(members) = &members {
                keys.iter().for_each(|key| members.forgot(key));
            }
            let (count, durable) = by_key(running, &keys, soft).await;
            (None, Some(count), durable)
        }
    };
    running.events.publish(&Event::Purged { what: shown(&what), soft, id, variants });
    Ok(Purged {
        id: id.map(u64::from),
        variants,
        durable: durable.as_ref().map(Result::is_ok),
        problem: durable.and_then(Result::err),
        ..Purged::default()
    })
}

/// On all edges of the cluster, this one among them.
async fn together(running: &Running, named: &Named) -> Result<Purged, Problem> {
    // What this edge could not forget is nobody's.
    if rule_of(&named.what)?.is_none() {
        keys_of(running, &named.what)?;
    }
    let unavailable = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let Some(forgetting) = running.forgetting.get() else {
        let detail =
            "nothing is purged: this edge does not forget with its cluster before a restart";
        return Err(unavailable(detail.to_owned()));
    };
    let value = named.to_value().map_err(Failed::from);
    let edges = belonging::known(running).await.into_iter();
    let purging = async { forgetting.purge(&value?, edges).await };
    let purge = purging.await.map_err(|failed| match failed {
        Failed::TooLong(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, failed.to_string()),
        _ => unavailable(failed.to_string()),
    })?;
    Ok(Purged {
        id: Some(purge.number()),
        done: Some(purge.is_done()),
        edges: Some(purge.edges().map(At::of).collect()),
        ..Purged::default()
    })
}

/// Forgets on this edge what a purge of its cluster names, and waits until that is durable where there is
/// a disk. It is in effect in any case: what this edge cannot make out of it counts for more.
///
/// # Errors
/// Why it is not durable.
pub(crate) async fn forget(running: &Running, named: &Named) -> Result<(), String> {
    let Named { what, soft } = named;
    let mut rules = Vec::new();
    let mut keys = Vec::new();
    match (rule_of(what), what) {
        (Ok(Some(rule)), _) => rules.push((rule, *soft)),
        (Ok(None), What::Urls(urls)) => {
            for url in urls {
                match key_of(running, url) {
                    Ok((key, _)) => keys.push(key),
                    Err(_) => rules.push((all_of_its_host(url), false)),
                }
            }
        }
        _ => rules.push((Rules::All, false)),
    }
    let mut durable = Ok(());
    let (mut id, mut variants) = (None, None);
    for (rule, soft) in rules {
        let (number, is_durable) = by_rule(running, rule, soft).await;
        id = Some(number);
        let is_durable = is_durable.unwrap_or(Ok(()));
        durable = durable.and(is_durable);
    }
    if !keys.is_empty() {
        let (count, is_durable) = by_key(running, &keys, *soft).await;
        variants = Some(count);
        let is_durable = is_durable.unwrap_or(Ok(()));
        durable = durable.and(is_durable);
    }
    running.events.publish(&Event::Purged { what: shown(what), soft: *soft, id, variants });
    durable
}

/// What a URL is forgotten with that no site of this edge has now: it may have had one, and have it again.
fn all_of_its_host(url: &str) -> Rules {
    let Ok(parts) = Parts::of(url) else { return Rules::All };
    let mut bytes = Vec::new();
    key::write(parts.scheme, &parts.authority, "/", &mut bytes);
    Rules::Prefix(bytes.into())
}

fn parse(query: Option<&str>) -> Result<Named, Problem> {
    let bad = |detail: String| Problem::bad_request(detail);
    let query = Query::parse(query, &["url", "prefix", "host", "tag", "all", "soft"])?;
    let urls: Vec<String> = query.all("url").map(str::to_owned).collect();
    let mut rules = Vec::new();
    for name in ["prefix", "host", "tag"] {
        for value in query.all(name) {
            if value.is_empty() {
                return Err(bad(format!("`{name}` wants a value")));
            }
            if name != "prefix" && value.chars().count() > NAME_MAX {
                return Err(bad(format!("`{name}` has more than {NAME_MAX} letters")));
            }
            rules.push(match name {
                "prefix" => What::Prefix(value.to_owned()),
                "host" => What::Host(value.to_owned()),
                _ => What::Tag(value.to_owned()),
            });
        }
    }
    if query.is_on("all")? {
        rules.push(What::All);
    }
    let soft = query.is_on("soft")?;
    for rule in &rules {
        rule_of(rule)?;
    }
    let what = match (rules.len(), urls.is_empty()) {
        (0, false) => What::Urls(urls),
        (1, true) => rules.remove(0),
        (0 | 1, _) => {
            return Err(bad("say what: URLs, or a prefix, a host, a tag, or all".to_owned()));
        }
        _ => return Err(bad("one prefix, host or tag at a time".to_owned())),
    };
    Ok(Named { what, soft })
}

/// The rule that forgets this; `None` for URLs.
fn rule_of(what: &What) -> Result<Option<Rules>, Problem> {
    Ok(Some(match what {
        What::Urls(_) => return Ok(None),
        What::Prefix(text) => {
            let prefix = prefix_of(text)?;
            if prefix.len() > TEXT_MAX {
                let detail = format!("`prefix` is longer than {TEXT_MAX} bytes");
                return Err(Problem::bad_request(detail));
            }
            Rules::Prefix(prefix.into())
        }
        What::Host(text) => Rules::Host(text.as_bytes().into()),
        What::Tag(text) => Rules::Tag(text.as_bytes().into()),
        What::All => Rules::All,
    }))
}

/// The keys of URLs: all of them are looked at before the first is forgotten.
fn keys_of(running: &Running, what: &What) -> Result<Vec<Vec<u8>>, Problem> {
    let What::Urls(urls) = what else { return Ok(Vec::new()) };
    urls.iter().map(|url| Ok(key_of(running, url)?.0)).collect()
}

/// What was purged, as everybody who hears of events may read it.
fn shown(what: &What) -> String {
    let text = match what {
        What::Urls(urls) => urls.join(" "),
        What::Prefix(text) => format!("prefix {text}"),
        What::Host(text) => format!("host {text}"),
        What::Tag(text) => format!("tag {text}"),
        What::All => "all".to_owned(),
    };
    String::from_utf8_lossy(&redacted(text.as_bytes())).into_owned()
}

async fn by_rule(running: &Running, what: Rules, soft: bool) -> (u32, Durable) {
    let (number, rule) = running.store.purge(Rule { what, soft, at: clock::now() });
    let durable = match &running.disk {
        Some(disk) => Some(until_durable(|done| disk.queue().purge(number, rule, done)).await),
        None => None,
    };
    (number, durable)
}

async fn by_key(running: &Running, keys: &[Vec<u8>], soft: bool) -> (usize, Durable) {
    let now = clock::now();
    let mut count = 0;
    for bytes in keys {
        let key = running.store.key(bytes);
        if let Some(disk) = running.disk.as_ref().filter(|_| soft) {
            disk.load(&running.store, key, || false).await;
        }
        count += running.store.purge_key(key, soft.then_some(now));
    }
    let durable = match &running.disk {
        Some(disk) => Some(until_durable(|done| Queue::sync(disk.queue(), done)).await),
        None => None,
    };
    (count, durable)
}

/// Whether it is durable, or why not; `None` without a disk.
type Durable = Option<Result<(), String>>;

type Done = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

/// Waits until the disk's writer has made it durable.
async fn until_durable(work: impl FnOnce(Done)) -> Result<(), String> {
    let (sender, receiver) = oneshot::channel();
    work(Box::new(move |result| {
        // Who has stopped waiting need not know.
        let _ = sender.send(result);
    }));
    match receiver.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!(
            "it is in effect, but {error}: a restart before the disk can be written may undo it"
        )),
        Err(_) => Err("the edge is ending".to_owned()),
    }
}
