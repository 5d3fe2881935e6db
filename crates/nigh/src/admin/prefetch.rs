//! `POST /v1/prefetch`: the edge asks itself for URLs as clients would, so that they are stored when
//! clients come.
//!
//! Each is asked for with GET and no field but Host, over a connection inside the process: collapsing,
//! rules, keys and limits are those of every request, and Cache-Status says what became of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{body::Body, extract::State, http::header, response::Response};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use utoipa::ToSchema;

use super::{
    Asked, body,
    explain::{Parts, unknown_host},
    problem::Problem,
};
use crate::edge::Running;

/// URLs in one request.
pub(crate) const URLS_MAX: usize = 1000;

/// Bytes of one request: so many URLs, each of the length that clients' targets have.
const BODY_MAX: usize = 8 << 20;

/// Fetches of one request at once, if it does not say how many, and at most.
const CONCURRENCY: usize = 8;
pub(crate) const CONCURRENCY_MAX: usize = 64;

/// Fetches of all requests at once: clients' misses come first.
const FETCHES_MAX: usize = 64;

/// Bytes of an answer that are kept: the edge's own say in so many what happened.
const PROBLEM_MAX: usize = 1024;

/// What became of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It was fetched, or found to be still right, and is stored.
    Stored,
    /// It was there already, and fresh.
    Fresh,
    /// It was there, stale, and is being revalidated.
    Stale,
    /// It was fetched, and may not or could not be stored.
    NotStored,
    /// It could not be fetched.
    Failed,
}

/// One URL, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fetched {
    url: String,
    outcome: Outcome,
    /// The response's status, if there was one.
    status: Option<u16>,
    /// Bytes of content.
    bytes: u64,
    /// Why it is not stored, or has failed.
    why: Option<String>,
    micros: u64,
}

/// What is to be fetched.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// As clients ask for them.
    #[schema(min_items = 1, max_items = 1000)]
    urls: Vec<String>,
    /// So many at once; 8 if it is not said.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 64)]
    concurrency: Option<Number>,
}

/// Fetches URLs into the store. The answer is a line of JSON for each, as it is done.
#[utoipa::path(
    post,
    path = "/v1/prefetch",
    request_body = inline(Wanted),
    responses((status = 200, description = "A line for each URL, in the order in which they end.",
               body = Fetched, content_type = "application/x-ndjson"))
)]
pub(super) async fn prefetch(State(running): Asked, content: Body) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&body::text(content, BODY_MAX).await?)?;
    let (out, pieces) = mpsc::channel(1);
    tokio::spawn(fetch_all(running, wanted, out));
    Ok(body::pieces("application/x-ndjson", pieces))
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Problem> {
        let wanted: Self = serde_json::from_str(text).map_err(|error| {
            let form = "write {\"urls\": [\"http://...\"], \"concurrency\": 8}";
            Problem::bad_request(format!("{error}: {form}"))
        })?;
        if wanted.urls.is_empty() || wanted.urls.len() > URLS_MAX {
            return Err(Problem::bad_request(format!("`urls` lists 1 to {URLS_MAX} URLs")));
        }
        wanted.at_once()?;
        Ok(wanted)
    }

    /// How many are fetched at once.
    fn at_once(&self) -> Result<usize, Problem> {
        let Some(number) = self.concurrency.as_ref() else { return Ok(CONCURRENCY) };
        // To JSON, 8.0 is as whole a number as 8.
        let same = |whole: &usize| number.as_f64() == u32::try_from(*whole).ok().map(f64::from);
        let whole = (1..=CONCURRENCY_MAX).find(same);
        let wrong = format!("`concurrency` is a number from 1 to {CONCURRENCY_MAX}");
        whole.ok_or_else(|| Problem::bad_request(wrong))
    }
}

/// Fetches, a few at once, for as long as somebody reads the results.
async fn fetch_all(running: Arc<Running>, wanted: Wanted, out: mpsc::Sender<Bytes>) {
    let mut fetching = JoinSet::new();
    let mut left = wanted.at_once().unwrap_or(CONCURRENCY);
    let mut urls = wanted.urls.into_iter();
    loop {
        while left > 0
            && let Some(url) = urls.next()
        {
            left -= 1;
            fetching.spawn(fetch_one(Arc::clone(&running), url));
        }
        let fetched = tokio::select! {
            fetched = fetching.join_next() => fetched,
            () = out.closed() => return,
        };
        let Some(Ok(fetched)) = fetched else { return };
        left += 1;
        let line = serde_json::to_string(&fetched).expect("text and numbers can be written");
        if out.send((line + "\n").into()).await.is_err() {
            return;
        }
    }
}

async fn fetch_one(running: Arc<Running>, url: String) -> Fetched {
    static ROOM: OnceLock<Semaphore> = OnceLock::new();
    let room = ROOM.get_or_init(|| Semaphore::new(FETCHES_MAX));
    let _place = room.acquire().await.expect("nobody closes it");
    let began = Instant::now();
    let mut fetched =
        Fetched { url, outcome: Outcome::Failed, status: None, bytes: 0, why: None, micros: 0 };
    if let Err(why) = fetched.fetch(&running).await {
        (fetched.outcome, fetched.why) = (Outcome::Failed, Some(why));
    }
    fetched.micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    fetched
}

impl Fetched {
    /// Asks for it, and reads the answer to its end.
    async fn fetch(&mut self, running: &Running) -> Result<(), String> {
        let Parts { scheme, authority, path } =
            Parts::of(&self.url).map_err(|problem| problem.detail().to_owned())?;
        let target = match running.now().sites.find(&authority) {
            Some(_) => path,
            // As one asks a proxy (RFC 9112, section 3.2.2).
            None if running.passes_on(scheme) => format!("http://{authority}{path}"),
            None => return Err(unknown_host(&authority).detail().to_owned()),
        };
        let stream = running.control.server().connect(scheme);
        let stream = stream.ok_or("the edge has too much to do, or is ending")?;
        let broken = |error: hyper::Error| format!("the answer broke off: {error}");
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let driver = tokio::spawn(connection);
        let request = Request::get(target).header(header::HOST, authority);
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let (head, mut content) = sender.send_request(request).await.map_err(broken)?.into_parts();
        self.status = Some(head.status.as_u16());
        let mut beginning = Vec::new();
        while let Some(frame) = content.frame().await {
            let frame = frame.map_err(broken)?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            self.bytes += data.len() as u64;
            let room = PROBLEM_MAX - beginning.len();
            beginning.extend_from_slice(&data[..data.len().min(room)]);
        }
        driver.abort();
        (self.outcome, self.why) = judge(head.status, &head.headers, &beginning);
        Ok(())
    }
}

/// What became of a URL, by what the edge says of its answer (RFC 9211), or in it.
fn judge(status: StatusCode, fields: &HeaderMap, content: &[u8]) -> (Outcome, Option<String>) {
    // The last cache in the list is the nearest: this edge.
    let said = fields.get_all("cache-status").iter().next_back();
    let said = said.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.rsplit(", ").next().unwrap_or_default();
    let parameters = said.split(';').skip(1).map(|part| {
        let part = part.trim();
        part.split_once('=').unwrap_or((part, ""))
    });
    let parameters: BTreeMap<&str, &str> = parameters.collect();
    let has = |name| parameters.contains_key(name);
    let detail = parameters.get("detail").map(|text| text.trim_matches('"').to_owned());
    let ttl = parameters.get("ttl").and_then(|number| number.parse::<i64>().ok());
    if has("hit") {
        return match detail.as_deref() {
            Some("stale-origin-failed") => (Outcome::Failed, detail),
            _ if ttl.is_some_and(|ttl| ttl <= 0) => (Outcome::Stale, None),
            _ => (Outcome::Fresh, None),
        };
    }
    if has("stored") {
        return (Outcome::Stored, None);
    }
    if has("fwd-status") {
        return match status.is_server_error() {
            true => (Outcome::Failed, Some(format!("the origin answered {status}"))),
            false => {
                let why = detail.unwrap_or_else(|| "its path goes by the cache".to_owned());
                (Outcome::NotStored, Some(why))
            }
        };
    }
    // The edge's own word.
    let problem: Value = serde_json::from_slice(content).unwrap_or_default();
    let why = problem["detail"].as_str().map(str::to_owned).or(detail);
    (Outcome::Failed, why.or_else(|| Some(status.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_edge_says_of_its_answer_is_what_became_of_the_url() {
        for (status, said, outcome, why) in [
            (200, "nigh; fwd=uri-miss; fwd-status=200; ttl=60; stored", Outcome::Stored, None),
            (200, "nigh; fwd=stale; fwd-status=304; stored; collapsed", Outcome::Stored, None),
            (200, "nigh; hit; ttl=9", Outcome::Fresh, None),
            (200, "nigh; hit; ttl=-3", Outcome::Stale, None),
            (
                200,
                "o; hit, nigh; fwd=uri-miss; fwd-status=200; detail=private",
                Outcome::NotStored,
                Some("private"),
            ),
            (
                200,
                "nigh; fwd=bypass; fwd-status=200",
                Outcome::NotStored,
                Some("its path goes by the cache"),
            ),
            (
                503,
                "nigh; fwd=uri-miss; fwd-status=503; detail=no-freshness",
                Outcome::Failed,
                Some("the origin answered 503 Service Unavailable"),
            ),
            (
                200,
                "nigh; hit; ttl=-3; detail=stale-origin-failed",
                Outcome::Failed,
                Some("stale-origin-failed"),
            ),
            (502, "nigh; fwd=uri-miss", Outcome::Failed, Some("said so")),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert("cache-status", said.parse().unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            let judged = judge(status, &fields, b"{\"detail\":\"said so\"}");
            assert_eq!(judged, (outcome, why.map(str::to_owned)), "{said}");
        }
    }

    #[test]
    fn wrong_wishes_are_refused_with_what_is_right() {
        for number in ["1", "64", "8.0", "null"] {
            let text = format!("{{\"urls\": [\"http://a/\"], \"concurrency\": {number}}}");
            assert!(Wanted::parse(&text).is_ok(), "{text}");
        }
        for text in [
            "",
            "[]",
            "{}",
            "{\"urls\": []}",
            "{\"urls\": \"http://a/\"}",
            "{\"urls\": [1]}",
            "{\"urls\": [\"x\"], \"concurrency\": 0}",
            "{\"urls\": [\"x\"], \"concurrency\": 65}",
            "{\"urls\": [\"x\"], \"concurrency\": 1.5}",
            "{\"urls\": [\"x\"], \"more\": 1}",
        ] {
            assert!(Wanted::parse(text).is_err(), "{text}");
        }
        let many = format!("{{\"urls\": [{}\"x\"]}}", "\"x\",".repeat(URLS_MAX));
        assert!(Wanted::parse(&many).is_err());
    }
}
