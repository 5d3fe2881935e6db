//! `/healthz`, and the end: `POST /v1/drain`.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use tokio::sync::Notify;
use utoipa::ToSchema;

use super::{
    Asked, Json,
    events::{Event, Events},
    problem::Problem,
};

/// Whether the edge is ending, or drained.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: AtomicBool,
    drained: AtomicBool,
    asked: Notify,
}

impl Drain {
    /// Waits until somebody wants the end.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// From here on, it is ending.
    pub(crate) fn begin(&self, events: &Events) {
        self.begun.store(true, Ordering::Relaxed);
        events.publish(&Event::Draining);
    }

    /// Whether it is.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Drains it, or takes it back; says whether that changes anything.
    pub(crate) fn set_drained(&self, to: bool) -> bool {
        self.drained.swap(to, Ordering::Relaxed) != to
    }

    /// Whether it is to own nothing, because it is ending or drained.
    pub(crate) fn is_wanted(&self) -> bool {
        self.has_begun() || self.drained.load(Ordering::Relaxed)
    }
}

/// Whether clients should come here: those that come to a drained edge are served all the same.
#[utoipa::path(
    get,
    path = "/healthz",
    responses(
        (status = 200, description = "They are.", body = String, content_type = "text/plain"),
        (status = 503, description = "The edge is ending, or drained.", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn health(State(running): Asked) -> Result<impl IntoResponse, Problem> {
    if running.drain.has_begun() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the edge is ending"));
    }
    if running.drain.is_wanted() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the edge is drained"));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "ok\n"))
}

/// What a drain begins with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Draining {
    draining: bool,
    /// Connections that are waited for.
    connections: usize,
    /// Seconds until what is left is cut.
    limit_seconds: u64,
}

/// Ends the edge as SIGTERM does: nothing new is accepted, requests in flight end.
#[utoipa::path(
    post,
    path = "/v1/drain",
    responses((status = 202, description = "It has begun.", body = Draining))
)]
pub(super) async fn drain(State(running): Asked) -> impl IntoResponse {
    running.drain.asked.notify_one();
    let answer = Draining {
        draining: true,
        connections: running.open.count(),
        limit_seconds: running.now().settings.limits.drain_time.as_secs(),
    };
    (StatusCode::ACCEPTED, Json(answer))
}
