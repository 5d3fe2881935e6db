//! `/v1/settings`: the sites of all edges of a cluster, as they lie in its control state.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use nigh_cache::conditional::meets_if_match;
use nigh_cluster::{
    control::{Entry, Revision, VALUE_MAX},
    family::QualifiedName,
    sharing::Applied,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, Json, body, config, problem::Problem};
use crate::{
    belonging,
    control::apart,
    edge::Running,
    shared_settings::{Failed, Sharing},
};

/// The media type of settings.
const TOML: &str = "application/toml";

/// What came of settings for all.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppliedToAll {
    /// The number of the settings, by which edges say what they run, and the entity tag of
    /// `GET /v1/settings`.
    revision: u64,
    /// Whether every edge that is there runs them.
    done: bool,
    /// The edges of the cluster, and of those that share its control state, by name.
    edges: Vec<Runs>,
}

/// How an edge stands with them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Runs {
    cluster: String,
    name: String,
    state: Standing,
    /// From the request's arrival until that was known; null where nothing was said.
    millis: Option<u64>,
    /// Why it cannot use them.
    problem: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// It runs them.
    Runs,
    /// It cannot use them, and goes on with what it ran.
    Refused,
    /// It is not there: it reads them before it serves.
    Away,
    /// It is there, and has not said a word yet.
    Waiting,
}

impl Runs {
    fn of((edge, applied): (&QualifiedName, &Applied)) -> Self {
        let (state, after, problem) = match applied {
            Applied::Runs(after) => (Standing::Runs, Some(after), None),
            Applied::Refused(after, why) => (Standing::Refused, Some(after), Some(why.clone())),
            Applied::Away => (Standing::Away, None, None),
            Applied::Waiting => (Standing::Waiting, None, None),
        };
        let millis = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        let (cluster, name) = (edge.cluster.to_string(), edge.edge.to_string());
        Self { cluster, name, state, millis, problem }
    }
}

/// The sites of all edges, as whoever applied them wrote them.
#[utoipa::path(
    get,
    path = "/v1/settings",
    responses(
        (status = 200, description = "The [[site]] sections of a settings file.", body = String,
         content_type = "application/toml",
         headers(("etag" = String, description = "Their revision, for If-Match."))),
        (status = 404, description = "Control state has none: edges serve the sites of their own \
         settings files.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "This edge's settings name no control state.", body = Problem,
         content_type = "application/problem+json"),
        (status = 503, description = "Control state cannot be reached.", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn settings(State(running): Asked) -> Result<Response, Problem> {
    let entry = sharing(&running)?
        .read()
        .await
        .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let none = "control state has no settings yet: `nigh apply` brings some";
    let Entry { value, revision, .. } = entry.ok_or_else(|| Problem::not_found(none))?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(TOML));
    let tag = HeaderValue::try_from(tag(revision)).expect("a number in quotes");
    Ok(([kind, (header::ETAG, tag)], value.bytes().to_vec()).into_response())
}

/// Other sites for all edges from now on, if this edge can use them. It waits until every edge that is
/// there runs them, ten seconds at most; the rest follows by itself.
#[utoipa::path(
    put,
    path = "/v1/settings",
    params(("If-Match" = Option<String>, Header,
            description = "The entity tag of the settings that these are to replace: if others are \
                           there by now, nothing changes."),
           ("If-None-Match" = Option<String>, Header,
            description = "With `*`: if there are any by now, nothing changes.")),
    request_body(description = "The [[site]] sections of a settings file, and nothing else.",
                 content((String = "application/toml"), (String = "text/plain"))),
    responses(
        (status = 200, description = "They are in control state; all edges that are there run them if \
         `done` is true.", body = AppliedToAll),
        (status = 409, description = "This edge's settings name no control state.", body = Problem,
         content_type = "application/problem+json"),
        (status = 412, description = "Nothing has changed: others are there by now.", body = Problem,
         content_type = "application/problem+json"),
        (status = 413, description = "Control state takes less.", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "Nothing has changed: these are the mistakes.",
         body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Control state cannot be reached: what stands is said.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(running): Asked,
    fields: HeaderMap,
    content: Body,
) -> Result<Json<AppliedToAll>, Problem> {
    let sharing = sharing(&running)?;
    let text = body::text(content, VALUE_MAX).await?;
    let after = after(sharing, &fields).await?;
    let (checked, asked) = (text.clone(), Arc::clone(&running));
    let is_usable = apart(move || asked.control.check_shared(&checked));
    is_usable.await.map_err(config::problem)?;
    let edges = belonging::known(&running).await.into_iter();
    let applying = sharing.apply(&text, after, edges).await.map_err(problem)?;
    let edges: Vec<_> = applying.edges().map(Runs::of).collect();
    let is_done = applying.edges().all(|(_, it)| matches!(it, Applied::Runs(_) | Applied::Away));
    Ok(Json(AppliedToAll { revision: applying.revision().0, done: is_done, edges }))
}

/// The revision that the settings are to come after, if the request says so.
async fn after(sharing: &Sharing, fields: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let if_none = fields.get(header::IF_NONE_MATCH);
    if if_none.is_some_and(|value| value != "*") {
        let detail = "If-None-Match is `*` here: name what is to be replaced in If-Match";
        return Err(Problem::bad_request(detail));
    }
    if if_none.is_none() && !fields.contains_key(header::IF_MATCH) {
        return Ok(None);
    }
    let entry = sharing.read().await.map_err(|error| problem(Failed::Nowhere(error)))?;
    let revision = entry.map_or(Revision::NONE, |entry| entry.revision);
    // RFC 9110, sections 13.1.1 and 13.1.2: what is not there matches no tag.
    let is_there = revision != Revision::NONE;
    let meets = match if_none {
        Some(_) => !is_there,
        None => is_there && meets_if_match(fields, tag(revision).as_bytes()),
    };
    if meets { Ok(Some(revision)) } else { Err(problem(Failed::Outdated(revision))) }
}

fn sharing(running: &Running) -> Result<&Sharing, Problem> {
    running.sharing.get().ok_or_else(|| {
        let detail = "this edge shares no settings: its own file names no control state \
                      ([cluster.NAME] control)";
        Problem::new(StatusCode::CONFLICT, detail)
    })
}

fn tag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

fn problem(failed: Failed) -> Problem {
    let status = match failed {
        Failed::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Failed::Outdated(_) => StatusCode::PRECONDITION_FAILED,
        Failed::Nowhere(_) | Failed::Perhaps(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, failed.to_string())
}
