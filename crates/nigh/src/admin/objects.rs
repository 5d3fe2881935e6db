//! What is stored in memory, page by page: `/v1/objects?prefix=&limit=&cursor=`.
//!
//! The disk is not listed: its index holds hashes of keys, and no keys (docs/disk.md).

use axum::{extract::State, http::Uri};
use nigh_base::Wall;
use nigh_cache::{object::Object, store::Position};
use nigh_net::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, Json, explain::prefix_of, problem::Problem, query::Query};

/// Objects on a page, if nobody says how many, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// Slots that one question may look at: some ten milliseconds.
const LOOKED_AT_MAX: usize = 100_000;

/// A page of what is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page {
    objects: Vec<Stored>,
    /// Where the next page begins; null if this is the last. A page may be empty and not the last.
    next: Option<String>,
}

/// One stored response.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stored {
    key: String,
    status: u16,
    length: Option<u64>,
    /// Whether all of it is there.
    whole: bool,
    charged_bytes: u64,
    vary: Vec<String>,
    age: u32,
    /// Seconds for which it is fresh; negative once it is stale.
    ttl: i64,
}

/// What is stored in memory under keys that begin so, in no order.
#[utoipa::path(
    get,
    path = "/v1/objects",
    params(
        ("prefix" = Option<String>, Query, description = "How the URL begins.",
         pattern = "^https?://[a-z0-9.]+(:[0-9]{1,4})?(/[a-z0-9/.]*)?$"),
        ("limit" = Option<u16>, Query, description = "Objects on the page; 100 if it is not said.",
         minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before.",
         pattern = "^[0-9]{1,9}-[0-9]{1,9}$"),
    ),
    responses((status = 200, description = "A page.", body = Page))
)]
pub(super) async fn objects(State(running): Asked, uri: Uri) -> Result<Json<Page>, Problem> {
    let query = Query::parse(uri.query(), &["prefix", "limit", "cursor"])?;
    let prefix = query.one("prefix")?.map(prefix_of).transpose()?.unwrap_or_default();
    let limit = query.number("limit", 1..=PAGE_MAX)?.unwrap_or(PAGE);
    let from = query.one("cursor")?.map(position).transpose()?.unwrap_or_default();
    let (page, next) = running.store.page(from, &prefix, limit, LOOKED_AT_MAX);
    let now = clock::now();
    Ok(Json(Page {
        objects: page.iter().map(|object| Stored::of(object, now)).collect(),
        next: next.map(|Position { shard, slot }| format!("{shard}-{slot}")),
    }))
}

fn position(text: &str) -> Result<Position, Problem> {
    let numbers = text.split_once('-').and_then(|(shard, slot)| {
        Some(Position { shard: shard.parse().ok()?, slot: slot.parse().ok()? })
    });
    numbers.ok_or_else(|| Problem::bad_request("a cursor is the `next` of the page before"))
}

impl Stored {
    fn of(object: &Object, now: Wall) -> Self {
        let sum = object.terms().explain(&object.fields(), now);
        Self {
            key: String::from_utf8_lossy(object.key()).into_owned(),
            status: object.status().as_u16(),
            length: object.length(),
            whole: object.is_whole(),
            charged_bytes: object.charged(),
            vary: object.vary().iter().map(ToString::to_string).collect(),
            age: sum.age,
            ttl: sum.ttl,
        }
    }
}
