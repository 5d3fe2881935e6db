//! `/v1/drains`: the edges of the cluster that are drained, whichever edge is asked.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use nigh_cluster::control::{Control, Error};
use nigh_net::{cluster::name::Name, siblings::Standing};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::{Asked, Json, problem::Problem, query::Named};
use crate::{drains, edge::Running};

/// How long an answer waits until the ring of the edge that is asked has changed.
pub(crate) const RING_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Set {
    name: String,
    drained: bool,
    /// Whether it was not before.
    changed: bool,
    /// Whether the edge that was asked has it on its ring now.
    on_ring: bool,
    /// How many edges are on that ring; with 0, no edge of the cluster takes clients any more.
    edges_on_ring: usize,
}

/// The edges that are drained, by name.
#[utoipa::path(
    get,
    path = "/v1/drains",
    responses(
        (status = 200, description = "Their names.", body = Vec<String>),
        (status = 409, description = "This edge's settings name no control state.", body = Problem,
         content_type = "application/problem+json"),
        (status = 503, description = "Control state cannot be reached.", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(running): Asked) -> Result<Json<Vec<String>>, Problem> {
    let drained = drains::drained(control(&running)?).await;
    let drained = drained
        .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(Json(drained.iter().map(ToString::to_string).collect()))
}

/// Drains an edge: from now on it is off the rings, and its `/healthz` answers 503, also after a restart.
/// It goes on answering whoever comes, and gives the others what it holds.
#[utoipa::path(
    put,
    path = "/v1/drains/{name}",
    params(("name" = String, Path, description = "An edge of this cluster.")),
    responses(
        (status = 200, description = "It is drained.", body = Set),
        (status = 400, description = "The name is no text in UTF-8.", body = Problem,
         content_type = "application/problem+json"),
        (status = 404, description = "No edge of this cluster is called so.", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "This edge's settings name no control state.", body = Problem,
         content_type = "application/problem+json"),
        (status = 503, description = "Control state cannot be reached: it may be drained.", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(State(running): Asked, Named(name): Named) -> Result<Json<Set>, Problem> {
    set(&running, &name, true).await
}

/// Takes an edge back that was drained.
#[utoipa::path(
    delete,
    path = "/v1/drains/{name}",
    params(("name" = String, Path, description = "An edge that is drained.")),
    responses(
        (status = 200, description = "It is not drained any more.", body = Set),
        (status = 400, description = "The name is no text in UTF-8.", body = Problem,
         content_type = "application/problem+json"),
        (status = 404, description = "No edge of this cluster is called so.", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "This edge's settings name no control state.", body = Problem,
         content_type = "application/problem+json"),
        (status = 503, description = "Control state cannot be reached: it may be taken back.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(running): Asked,
    Named(name): Named,
) -> Result<Json<Set>, Problem> {
    set(&running, &name, false).await
}

async fn set(running: &Running, name: &str, to: bool) -> Result<Json<Set>, Problem> {
    let control = control(running)?;
    let name = known(running, control, name).await?;
    let changed = drains::set(control, &name, to).await.map_err(|error| unreached(&error))?;
    let deadline = Instant::now() + RING_MAX;
    while changed && is_on_ring(running, &name) == to && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
    }
    let (on_ring, edges_on_ring) = (is_on_ring(running, &name), ring(running).len());
    Ok(Json(Set { name: name.to_string(), drained: to, changed, on_ring, edges_on_ring }))
}

/// The edge of this name: one that belongs, or that is drained and belongs no more.
async fn known(running: &Running, control: &dyn Control, name: &str) -> Result<Name, Problem> {
    let members = running.control.server().members();
    let members = members.iter().flat_map(|members| members.iter());
    let mut names: Vec<Name> = members.map(|(member, ..)| member.name.clone()).collect();
    if let Some(found) = names.iter().find(|known| known.as_str() == name) {
        return Ok(found.clone());
    }
    names.extend(drains::drained(control).await.map_err(|error| unreached(&error))?);
    let nearest = nigh_base::nearest(name, names.iter().map(Name::as_str)).map(str::to_owned);
    names.into_iter().find(|known| known.as_str() == name).ok_or_else(|| {
        let nearest = nearest.map(|nearest| format!("; the nearest is {nearest}"));
        let nearest = nearest.unwrap_or_default();
        Problem::not_found(format!("no edge of this cluster is called {name:?}{nearest}"))
    })
}

fn is_on_ring(running: &Running, name: &Name) -> bool {
    ring(running).contains(name)
}

/// Who serves, as the edge that is asked sees it.
fn ring(running: &Running) -> Vec<Name> {
    let members = running.control.server().members();
    let members = members.iter().flat_map(|members| members.iter());
    let serving = members.filter(|(_, standing, _)| *standing == Standing::Serves);
    serving.map(|(member, ..)| member.name.clone()).collect()
}

fn control(running: &Running) -> Result<&dyn Control, Problem> {
    let state = running.state.as_ref().ok_or_else(|| {
        let detail = "this edge's settings name no control state ([cluster.NAME] control): to end one \
                      edge, send it SIGTERM or ask it to POST /v1/drain";
        Problem::new(StatusCode::CONFLICT, detail)
    })?;
    Ok(state.own().as_ref())
}

fn unreached(error: &Error) -> Problem {
    let detail = match error {
        Error::Unavailable { .. } => {
            format!("it is not known whether anything has changed: {error}; ask again")
        }
        Error::Denied { .. } => format!(
            "nothing has changed: {error}; give edges leave to write drains/ there (docs/security.md)"
        ),
        error => format!("nothing has changed: {error}"),
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}
