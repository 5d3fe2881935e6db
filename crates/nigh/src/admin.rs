//! The admin API: what a running edge is asked and told by those who run it. docs/admin.md.
//!
//! ```text
//! listen -> guard: Host, Origin, token -> router -> one file a question
//! ```

mod body;
mod cluster;
mod config;
mod drain;
mod drains;
mod events;
mod explain;
mod guard;
mod listen;
mod metrics;
mod objects;
mod openapi;
mod patient;
mod prefetch;
mod problem;
mod purge;
mod query;
mod recent;
mod settings;
mod status;
mod token;

use std::sync::Arc;

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{Method, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use nigh_net::inherited::Inherited;
use serde::Serialize;
use tracing::info;

use self::{guard::Guard, problem::Problem};
use crate::{edge::Running, settings::AdminAddress};

pub(crate) use self::{
    drain::Drain,
    drains::RING_MAX,
    events::{Event, Events, watch},
    listen::Bound,
    prefetch::{CONCURRENCY_MAX, URLS_MAX},
    purge::forget,
    recent::Recent,
    token::Token,
};

/// Opens the admin address. Whoever connects waits until [`serve`].
pub(crate) fn bind(address: &AdminAddress) -> anyhow::Result<Bound> {
    listen::bind(address).with_context(|| format!("cannot listen on the admin address {address}"))
}

/// The socket of an admin address that somebody else has opened, if it is among `sockets`.
pub(crate) fn inherited(
    address: &AdminAddress,
    sockets: &mut Inherited,
) -> anyhow::Result<Option<Bound>> {
    listen::inherited(address, sockets)
        .with_context(|| format!("cannot listen on the admin address {address}"))
}

/// Answers there from now on, on the runtime that this is called in.
pub(crate) fn serve(bound: &Bound, running: &Arc<Running>) -> anyhow::Result<()> {
    listen::serve(bound, |via| router(running, via))?;
    info!("admin on {}", bound.address().url());
    Ok(())
}

fn router(running: &Arc<Running>, via: guard::Via) -> Router {
    let guard = Guard { running: Arc::clone(running), via };
    Router::new()
        .route("/healthz", get(drain::health))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/v1/status", get(status::status))
        .route("/v1/sites", get(status::sites))
        .route("/v1/objects", get(objects::objects))
        .route("/v1/explain", get(explain::explain))
        .route("/v1/config", get(config::config).put(config::put))
        .route("/v1/config/diff", post(config::diff))
        .route("/v1/settings", get(settings::settings).put(settings::put))
        .route("/v1/purge", post(purge::purge))
        .route("/v1/prefetch", post(prefetch::prefetch))
        .route("/v1/drain", post(drain::drain))
        .route("/v1/drains", get(drains::list))
        .route("/v1/drains/{name}", put(drains::put).delete(drains::delete))
        .route("/v1/events", get(events::events))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(guard, guard::guard))
        .with_state(Arc::clone(running))
}

async fn unknown(uri: Uri) -> Problem {
    let known = openapi::paths();
    let nearest = nigh_base::nearest(uri.path(), known.iter().map(String::as_str));
    Problem::not_found(format!("there is no such path; the nearest is {}", nearest.unwrap_or("/")))
}

/// The router says in Allow what is.
async fn not_allowed(method: Method) -> Problem {
    Problem::method_not_allowed(format!("{method} is none of this path's methods: see Allow"))
}

/// The edge that is asked.
type Asked = State<Arc<Running>>;

/// An answer as JSON.
struct Json<T>(T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let text =
            serde_json::to_string(&self.0).expect("keys are text, and nothing else can fail");
        ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response()
    }
}

#[cfg(test)]
mod tests;
