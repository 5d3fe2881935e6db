//! Answers that nigh gives in its own name when it cannot give the origin's: a status and a short
//! `application/problem+json` body. RFC 9457.

use http::StatusCode;
use nigh_cache::flight::Failure;

use crate::{
    forward_proxy,
    site::{Methods, signed::Refusal},
};

/// The media type of the body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request gets no answer from the origin or the store. Each variant names who can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The client's: TRACE shows a request's secrets to scripts, so it stops here.
    #[error("TRACE is not passed on")]
    TraceRefused,
    /// The client's: `only-if-cached`, and nothing stored may be used.
    #[error("the request asked for a stored response, and none can be used")]
    OnlyIfCached,
    /// The operator's: the request has been here before.
    #[error("the request has passed through here before: the origin leads back to this edge")]
    Loop,
    /// The client's: the body is longer than the edge was told to accept.
    #[error("the request's body is longer than this edge accepts")]
    BodyTooLarge,
    /// The client's: the target is longer than the edge was told to accept.
    #[error("the request's target is longer than this edge accepts")]
    TargetTooLong,
    /// The client's: the target or the authority is none.
    #[error("the request's target or its authority is malformed")]
    BadTarget,
    /// A site protects some paths, and this one may be one of them or not, as its origin reads it.
    #[error(
        "the path can be read in several ways: write it without backslashes, dot segments, semicolons, dots at a name's end and doubled encoding"
    )]
    UnclearPath,
    /// The client's: more field lines than the edge was told to accept.
    #[error("the request has more fields than this edge accepts")]
    TooManyFields,
    /// The origin's: what is stored must be validated before it is used, and it cannot be.
    #[error("what is stored must be validated first, and the origin does not answer")]
    CannotValidate,
    /// The client's: CONNECT asks for a forward proxy.
    #[error("this is no forward proxy: CONNECT is refused")]
    ConnectRefused,
    /// The client's, or the operator's who sent it here: no site of this edge has the host (RFC 9110,
    /// section 15.5.20).
    #[error("this edge serves no site of this name")]
    UnknownHost,
    /// The client's: its network is not let in.
    #[error("requests from this network are not let in")]
    NetworkRefused,
    /// The client's: the path is asked with these methods.
    #[error("this is not asked with this method")]
    MethodRefused(Methods),
    /// The client's: a field that is not taken.
    #[error("the request has a field that is not taken")]
    FieldRefused,
    /// The client's, or whose who gave it the URL.
    #[error("the request has no signature that lets it in")]
    Signature(#[source] Refusal),
    /// Nobody's: `Max-Forwards: 0` asks what this edge itself would do (RFC 9110, section 7.6.2), which
    /// is to allow these methods.
    #[error("the request was not to be passed on")]
    LastHop(Methods),
    /// Nobody's: `*` asks the same, of the server as a whole (RFC 9110, section 9.3.7).
    #[error("the request is about this edge")]
    ServerWide(Methods),
    /// The client's: its body was malformed, late, too long or broken off.
    #[error("the request's body was refused")]
    Body(StatusCode),
    /// A forward proxy's word; who can act is in it.
    #[error(transparent)]
    Proxy(#[from] forward_proxy::Refusal),
    /// The client's: its network asks for more than it may; after so many seconds it may again (RFC
    /// 6585, section 4).
    #[error("too many requests from your network")]
    TooManyRequests(u32),
    /// The origin's.
    #[error("the origin gave no usable answer")]
    Origin(#[from] Failure),
}

impl Problem {
    /// The status that tells the client.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TraceRefused | Self::ConnectRefused | Self::MethodRefused(_) => {
                StatusCode::METHOD_NOT_ALLOWED
            }
            Self::NetworkRefused | Self::Signature(_) => StatusCode::FORBIDDEN,
            Self::FieldRefused => StatusCode::BAD_REQUEST,
            Self::OnlyIfCached | Self::CannotValidate | Self::Origin(Failure::TimedOut) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::LastHop(_) | Self::ServerWide(_) => StatusCode::NO_CONTENT,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Body(status) => status,
            Self::Proxy(refusal) => refusal.status(),
            Self::Origin(Failure::OutOfReach) => forward_proxy::Refusal::Destination.status(),
            Self::BadTarget | Self::UnclearPath | Self::Origin(Failure::RequestBroken) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Origin(Failure::NoRoom) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Origin(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The seconds after which the same request may be answered, where that is known: Retry-After (RFC
    /// 9110, section 10.2.3).
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::TooManyRequests(seconds)
            | Self::Proxy(forward_proxy::Refusal::Attempts(seconds)) => Some(seconds),
            Self::Origin(Failure::NoRoom) => Some(1),
            _ => None,
        }
    }

    /// A stable word for logs and for Cache-Status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TraceRefused => "trace-refused",
            Self::OnlyIfCached => "only-if-cached",
            Self::Loop => "loop",
            Self::BodyTooLarge => "body-too-large",
            Self::TargetTooLong => "target-too-long",
            Self::BadTarget => "bad-target",
            Self::UnclearPath => "unclear-path",
            Self::TooManyFields => "too-many-fields",
            Self::CannotValidate => "cannot-validate",
            Self::ConnectRefused => "connect-refused",
            Self::UnknownHost => "unknown-host",
            Self::NetworkRefused => "network-refused",
            Self::MethodRefused(_) => "method-refused",
            Self::FieldRefused => "field-refused",
            Self::Signature(Refusal::Missing) => "signature-missing",
            Self::Signature(Refusal::Wrong) => "signature-wrong",
            Self::Signature(Refusal::Expired) => "signature-expired",
            Self::Signature(Refusal::Network) => "signature-network",
            Self::LastHop(_) => "max-forwards",
            Self::ServerWide(_) => "server-wide",
            Self::Body(_) => "body-refused",
            Self::Proxy(refusal) => refusal.word(),
            Self::Origin(Failure::OutOfReach) => forward_proxy::Refusal::Destination.word(),
            Self::Origin(Failure::Unreachable) => "origin-unreachable",
            Self::Origin(Failure::TimedOut) => "origin-timed-out",
            Self::Origin(Failure::Closed) => "origin-closed",
            Self::Origin(Failure::Garbage) => "origin-garbage",
            Self::Origin(Failure::Challenge) => "origin-challenge",
            Self::Origin(Failure::RequestBroken) => "request-broken",
            Self::Origin(Failure::GivenUp) => "given-up",
            Self::Origin(Failure::Changed) => "origin-changed",
            Self::Origin(Failure::Withheld) => "origin-withheld",
            Self::Origin(Failure::NoRoom) => "no-room",
            Self::TooManyRequests(_) => "too-many-requests",
        }
    }
}

/// The body for `status`: `title` is the status's own phrase, `detail` says what happened.
pub fn body(status: StatusCode, detail: &str) -> String {
    // The details are our own sentences, without quotes or control characters.
    format!(
        "{{\"type\":\"about:blank\",\"title\":\"{}\",\"status\":{},\"detail\":\"{detail}\"}}\n",
        status.canonical_reason().unwrap_or("Error"),
        status.as_u16(),
    )
}

impl Problem {
    /// What may be asked instead, where that is what is wrong or was the question.
    pub const fn allowed(self) -> Methods {
        match self {
            Self::MethodRefused(methods) | Self::LastHop(methods) | Self::ServerWide(methods) => {
                methods
            }
            _ => Methods::USUAL,
        }
    }

    /// The body that tells the client.
    pub fn body(self) -> String {
        match self {
            Self::LastHop(_) | Self::ServerWide(_) => String::new(),
            Self::Origin(Failure::OutOfReach) => {
                Self::Proxy(forward_proxy::Refusal::Destination).body()
            }
            Self::Origin(failure) => body(self.status(), &failure.to_string()),
            Self::Signature(refusal) => body(self.status(), &refusal.to_string()),
            other => body(other.status(), &other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_is_late_is_told_from_one_that_is_wrong() {
        assert_eq!(Problem::Origin(Failure::TimedOut).status(), 504);
        assert_eq!(Problem::Origin(Failure::Garbage).status(), 502);
        assert_eq!(
            Problem::Origin(Failure::Unreachable).body(),
            "{\"type\":\"about:blank\",\"title\":\"Bad Gateway\",\"status\":502,\
             \"detail\":\"the origin cannot be reached\"}\n"
        );
    }
}
