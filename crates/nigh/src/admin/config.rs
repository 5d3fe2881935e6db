//! The settings: what is in effect, what others would change, and other ones from now on.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::IntoResponse,
};
use nigh_cache::conditional::meets_if_match;
use serde::Serialize;
use serde_json::Value;
use tracing::info;
use utoipa::ToSchema;

use super::{Asked, Json, body, problem::Problem, query::Query};
use crate::{
    control::{Applied, Refused, Said, apart},
    settings::{self, Difference, FILE_MAX},
};

/// The shortest settings.
const EXAMPLE: &str = "[[site]]\nhost = \"*\"\norigin = \"https://origin.example.com\"\n";

/// The settings that are in effect.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Config {
    /// Where they were said.
    #[schema(value_type = String, example = "file")]
    said: &'static str,
    /// The settings file, if the edge was started from one.
    file: Option<String>,
    /// Keys that differ from what runs, and wait for a restart.
    waiting_for_restart: Vec<String>,
    /// The revision of the sites, if they are those of control state.
    revision: Option<u64>,
    /// Every key, defaults included. A secret is shown by where it lies.
    #[schema(value_type = Object)]
    settings: Value,
}

/// What other settings have changed, or would change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed {
    /// Whether they are in effect.
    applied: bool,
    /// Whether they are in the settings file. If not, the next reload or restart ends them.
    persisted: bool,
    /// Whether clients see another certificate.
    certificate_renewed: bool,
    /// Whether the sites in them count for nothing, since control state has others: `PUT /v1/settings`.
    sites_passed_by: bool,
    difference: Difference,
    /// Keys that differ from what runs, and wait for a restart.
    waiting_for_restart: Vec<String>,
    /// The entity tag of what is in effect now, for If-Match. It stands here and in no field: what was
    /// put is not what GET answers (RFC 9110, section 9.3.4).
    etag: String,
}

/// The settings in effect.
#[utoipa::path(
    get,
    path = "/v1/config",
    responses((status = 200, description = "Secrets are shown by where they lie.", body = Config,
               headers(("etag" = String, description = "Of what is in effect, for If-Match."))))
)]
pub(super) async fn config(State(running): Asked) -> impl IntoResponse {
    let now = running.now();
    let config = Json(Config {
        said: match now.said {
            Said::Flags => "flags",
            Said::File => "file",
            Said::Admin => "admin",
        },
        file: running.control.file().map(|file| file.display().to_string()),
        waiting_for_restart: now.waiting.clone(),
        revision: now.revision.map(|revision| revision.0),
        settings: settings::shown(&now.settings),
    });
    ([(header::ETAG, now.etag.clone())], config)
}

/// Other settings from now on: all of them, or, if anything is wrong with them, none.
#[utoipa::path(
    put,
    path = "/v1/config",
    params(("persist" = Option<bool>, Query,
            description = "Write them to the settings file too. Otherwise the next reload or \
                           restart ends them."),
           ("If-Match" = Option<String>, Header,
            description = "The entity tag of the settings that these are to replace: if others are \
                           in effect by now, nothing changes.")),
    request_body(description = "A settings file.",
                 content((String = "application/toml"), (String = "text/plain"))),
    responses(
        (status = 200, description = "They are in effect.", body = Changed),
        (status = 409, description = "There is no settings file to write to.", body = Problem,
         content_type = "application/problem+json"),
        (status = 412, description = "Nothing has changed: other settings are in effect by now.",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Nothing has changed: these are the mistakes.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(running): Asked,
    uri: Uri,
    fields: HeaderMap,
    content: Body,
) -> Result<Json<Changed>, Problem> {
    let persist = Query::parse(uri.query(), &["persist"])?.is_on("persist")?;
    let text = read(content).await?;
    // To the end, whether or not anybody still waits for the answer.
    let came = apart(move || {
        let may = |etag: &str| meets_if_match(&fields, etag.as_bytes());
        let came = running.control.put(&text, persist, may);
        running.events.reloaded(&came);
        if came.is_ok() {
            info!(persist, "the settings were put at the admin address");
        }
        came
    });
    let applied = came.await.map_err(problem)?;
    Ok(Json(changed(applied, true, persist)))
}

/// What other settings would change; nothing is.
#[utoipa::path(
    post,
    path = "/v1/config/diff",
    request_body(description = "A settings file.",
                 content((String = "application/toml"),
                         (String = "text/plain", example = json!(EXAMPLE)))),
    responses(
        (status = 200, description = "What they would change.", body = Changed),
        (status = 422, description = "They would be refused: these are the mistakes.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn diff(State(running): Asked, content: Body) -> Result<Json<Changed>, Problem> {
    let text = read(content).await?;
    let applied = apart(move || running.control.diff(&text)).await.map_err(problem)?;
    Ok(Json(changed(applied, false, false)))
}

async fn read(content: Body) -> Result<String, Problem> {
    body::text(content, usize::try_from(FILE_MAX.bytes()).unwrap_or(usize::MAX)).await
}

fn changed(came: Applied, applied: bool, persisted: bool) -> Changed {
    let Applied { difference, waiting, certificate, passed_by, etag } = came;
    Changed {
        applied,
        persisted,
        certificate_renewed: certificate,
        sites_passed_by: passed_by,
        difference,
        waiting_for_restart: waiting,
        etag,
    }
}

pub(super) fn problem(refused: Refused) -> Problem {
    match refused {
        refused @ Refused::Outdated { .. } => {
            let detail = format!("nothing is changed: {refused}");
            Problem::new(StatusCode::PRECONDITION_FAILED, detail)
        }
        Refused::Wrong(mistakes) => Problem::wrong_settings(mistakes),
        Refused::Unusable(error) => Problem::unusable_settings(format!("{error:#}")),
        refused @ Refused::NoFile => Problem::new(StatusCode::CONFLICT, refused.to_string()),
        Refused::Unwritten(error) => {
            let detail = format!("nothing is changed: {error:#}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
    }
}
