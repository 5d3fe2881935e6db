//! Why a question gets no answer: a status and `application/problem+json`. RFC 9457.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::settings::Mistake;

/// What went wrong, and who can act.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says which kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status's own phrase.
    title: &'static str,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, and what to do.
    detail: String,
    /// What is wrong with settings that were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Place>,
}

/// A mistake in settings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Place {
    /// From 1 on; null where it is not the text that is wrong, but a file that it names.
    line: Option<usize>,
    /// Characters, from 1 on.
    column: Option<usize>,
    /// What is wrong, and what to write instead.
    message: String,
}

impl From<Mistake> for Place {
    fn from(Mistake { line, column, message }: Mistake) -> Self {
        Self { line: Some(line), column: Some(column), message }
    }
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            mistakes: Vec::new(),
        }
    }

    /// The question is none.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Nothing is there.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The path has other methods.
    pub(super) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// What happened, and what to do.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Settings that cannot be taken, and everything that is wrong with them.
    pub(super) fn wrong_settings(mistakes: Vec<Mistake>) -> Self {
        let count = match mistakes.len() {
            1 => "a mistake".to_owned(),
            count => format!("{count} mistakes"),
        };
        let detail = format!("nothing is changed: the settings have {count}");
        let mistakes = mistakes.into_iter().map(Place::from).collect();
        Self { mistakes, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// Settings that name what cannot be used.
    pub(super) fn unusable_settings(message: String) -> Self {
        let detail = "nothing is changed: what the settings name cannot be used";
        let mistakes = vec![Place { line: None, column: None, message }];
        Self { mistakes, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("it was made of one");
        let text = serde_json::to_string(&self).expect("text and numbers can be written");
        let mut response = (status, text + "\n").into_response();
        let kind = HeaderValue::from_static(nigh_edge::problem::CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, section 11.6.1; RFC 6750, section 3.
            let challenge = HeaderValue::from_static("Bearer realm=\"nigh\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
