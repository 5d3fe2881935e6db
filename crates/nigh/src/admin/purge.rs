//! What is to be forgotten: `POST /v1/purge?url=|prefix=|host=|tag=|all[&soft]`. docs/purge.md.

use std::time::Instant;

use axum::{extract::State, http::Uri};
use nigh_base::machine::DiskError;
use nigh_cache::{
    disk::Queue,
    purge::{Rule, TEXT_MAX, What},
};
use nigh_edge::site::signed::redacted;
use nigh_net::clock;
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::{
    Asked, Json,
    events::Event,
    explain::{key_of, prefix_of},
    problem::Problem,
    query::Query,
};
use crate::edge::Running;

/// Letters of a host or a tag. Other caches take no longer ones either.
const NAME_MAX: usize = 1024;

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Purged {
    /// The rule's number; null for URLs.
    id: Option<u32>,
    soft: bool,
    /// Variants of the URLs that were in memory; null for a rule.
    variants: Option<usize>,
    /// Whether it survives a crash; null without a disk.
    durable: Option<bool>,
    /// Why it is not durable.
    problem: Option<String>,
    /// How long it took.
    micros: u64,
}

/// What a query asks to be forgotten.
#[derive(Debug)]
enum Wanted {
    Urls(Vec<String>),
    Rule(What),
}

/// Has something forgotten: URLs with all their variants, or all that begins with a prefix, is of a
/// host, carries a tag, or is there. One of them at a time. It is in effect before the answer comes.
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
        (status = 200, description = "It is in effect.", body = Purged),
        (status = 404, description = "No site of this edge has the host.", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn purge(State(running): Asked, uri: Uri) -> Result<Json<Purged>, Problem> {
    let began = Instant::now();
    let (wanted, soft) = parse(uri.query())?;
    let (what, id, variants, durable) = match wanted {
        Wanted::Rule(what) => {
            let text = shown(&describe(&what));
            let (id, durable) = by_rule(&running, what, soft).await;
            (text, Some(id), None, durable)
        }
        Wanted::Urls(urls) => {
            let (count, durable) = by_url(&running, &urls, soft).await?;
            (shown(&urls.join(" ")), None, Some(count), durable)
        }
    };
    running.events.publish(&Event::Purged { what, soft, id, variants });
    Ok(Json(Purged {
        id,
        soft,
        variants,
        durable: durable.as_ref().map(Result::is_ok),
        problem: durable.and_then(Result::err),
        micros: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    }))
}

fn parse(query: Option<&str>) -> Result<(Wanted, bool), Problem> {
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
                "prefix" => {
                    let prefix = prefix_of(value)?;
                    if prefix.len() > TEXT_MAX {
                        return Err(bad(format!("`{name}` is longer than {TEXT_MAX} bytes")));
                    }
                    What::Prefix(prefix.into())
                }
                "host" => What::Host(value.as_bytes().into()),
                _ => What::Tag(value.as_bytes().into()),
            });
        }
    }
    if query.is_on("all")? {
        rules.push(What::All);
    }
    let soft = query.is_on("soft")?;
    match (rules.len(), urls.is_empty()) {
        (0, false) => Ok((Wanted::Urls(urls), soft)),
        (1, true) => Ok((Wanted::Rule(rules.remove(0)), soft)),
        (0 | 1, _) => Err(bad("say what: URLs, or a prefix, a host, a tag, or all".to_owned())),
        _ => Err(bad("one prefix, host or tag at a time".to_owned())),
    }
}

/// A text as everybody who hears of events may read it.
fn shown(text: &str) -> String {
    String::from_utf8_lossy(&redacted(text.as_bytes())).into_owned()
}

fn describe(what: &What) -> String {
    let named = |name: &str, text: &[u8]| format!("{name} {}", String::from_utf8_lossy(text));
    match what {
        What::All => "all".to_owned(),
        What::Prefix(text) => named("prefix", text),
        What::Host(text) => named("host", text),
        What::Tag(text) => named("tag", text),
    }
}

async fn by_rule(running: &Running, what: What, soft: bool) -> (u32, Durable) {
    let (number, rule) = running.store.purge(Rule { what, soft, at: clock::now() });
    let durable = match &running.disk {
        Some(disk) => Some(until_durable(|done| disk.queue().purge(number, rule, done)).await),
        None => None,
    };
    (number, durable)
}

async fn by_url(
    running: &Running,
    urls: &[String],
    soft: bool,
) -> Result<(usize, Durable), Problem> {
    let now = clock::now();
    // All of them are looked at before the first is forgotten.
    let keys = urls.iter().map(|url| key_of(running, url));
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    let mut count = 0;
    for (bytes, _) in keys {
        let key = running.store.key(&bytes);
        if let Some(disk) = running.disk.as_ref().filter(|_| soft) {
            disk.load(&running.store, key, || false).await;
        }
        count += running.store.purge_key(key, soft.then_some(now));
    }
    let durable = match &running.disk {
        Some(disk) => Some(until_durable(|done| Queue::sync(disk.queue(), done)).await),
        None => None,
    };
    Ok((count, durable))
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
