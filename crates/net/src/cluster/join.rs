//! Joining a cluster and renewing what one got: a small HTTP/1.1 over TLS 1.3, under the authority's own
//! name.
//!
//! ```text
//! POST /v1/join?name=EDGE   Authorization: Bearer TOKEN, no certificate   a request (PKCS #10, PEM)
//! POST /v1/renew            the certificate that is to be renewed         the same
//! -> 200, the edge's certificate and the authority's, PEM; or a refusal, a line of text
//! ```
//! The edge's key never leaves it. Who joins believes one authority, which its token names; who renews
//! is named by the certificate that it shows.

mod ask;
mod serve;

use std::time::Duration;

pub use ask::{JoinError, join, renew};
pub use serve::JoinServer;

/// How long one connection may take, from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of the longest head of a request or an answer: a token and a handful of fields.
const HEAD_MAX: usize = 16 * 1024;

/// Bytes of the longest answer: two certificates take some 1,700.
const ANSWER_MAX: usize = 16 * 1024;

/// The paths.
const JOIN: &str = "/v1/join";
const RENEW: &str = "/v1/renew";
