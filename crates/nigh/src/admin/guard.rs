//! Who may ask: this machine's own users, and whoever shows the token; never a page in a browser.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::Problem;
use crate::edge::Running;

/// How a question came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Over the network: of this machine alone, or of others too.
    Tcp,
    /// Over a socket whose file only its owner may open.
    Unix,
}

/// What stands before the router.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) running: Arc<Running>,
    pub(super) via: Via,
}

/// Lets a request through, or says why not.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.refusal(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

impl Guard {
    fn refusal(&self, request: &Request) -> Option<Problem> {
        let fields = request.headers();
        // A page in a browser may not write: its requests carry its origin along.
        let is_a_pages = fields.get("sec-fetch-site").is_some_and(|site| site != "none");
        if fields.contains_key(header::ORIGIN) || is_a_pages {
            let detail = "this API is not for pages in browsers";
            return Some(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        match (self.running.control.token(), self.via) {
            (Some(token), _) if token.is_shown_by(fields) => None,
            (Some(_), _) => {
                let detail = "show the token: Authorization: Bearer TOKEN";
                Some(Problem::new(StatusCode::UNAUTHORIZED, detail))
            }
            (None, Via::Unix) => None,
            // Nor may it read, by a name of its own for this machine (DNS rebinding).
            (None, Via::Tcp) => {
                let host = fields.get(header::HOST).and_then(|host| host.to_str().ok());
                let detail = "ask by a loopback address";
                (!host.is_some_and(is_loopback))
                    .then(|| Problem::new(StatusCode::FORBIDDEN, detail))
            }
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
