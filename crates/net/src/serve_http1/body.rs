//! A request's body: read as the codec says, passed on as fast as the origin takes it.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use hyper::body::Frame;
use nigh_edge::{problem::Problem, respond, site::Rule};
use tokio::{io::AsyncRead, sync::Notify, time::Instant};

use super::io::Input;
use crate::{
    body::{Part, Pump},
    flow::keeps_up,
    http1::{self, Refusal, Trailers, trailers},
    service::Limits,
};

/// Bytes that one read makes room for.
const BODY_READ: usize = 32 * 1024;

/// Why a body was not passed on to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyRefused {
    Malformed(Refusal),
    Field,
    TooLong,
    Late,
    Gone,
}

impl BodyRefused {
    pub(super) fn problem(self) -> Problem {
        Problem::Body(match self {
            Self::Field => return Problem::FieldRefused,
            Self::Malformed(refusal) => refusal.status(),
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Gone => StatusCode::BAD_REQUEST,
        })
    }
}

/// Reads a request's body and passes it on as fast as the origin takes it, and its trailers as far as
/// the rule of its request lets them in.
pub(super) async fn pump_body<R: AsyncRead + Unpin>(
    reader: &mut R,
    input: &mut Input,
    body: &mut http1::Body,
    pump: Pump,
    go: &Notify,
    limits: &Limits,
    rule: &Rule,
) -> Result<(), BodyRefused> {
    go.notified().await;
    let refuse = async |pump: &Pump, why| {
        // The origin must see a broken request, not a short one.
        let _ = pump.send(Part::Broken).await;
        Err(why)
    };
    let mut passed = 0;
    // Since the client last kept up: what has come, and how long it was waited for.
    let (mut came, mut waited) = (0, Duration::ZERO);
    loop {
        let step = match body.step(input.unread()) {
            Ok(step) => step,
            Err(refusal) => return refuse(&pump, BodyRefused::Malformed(refusal)).await,
        };
        match step {
            http1::Part::Data(range) => {
                passed += range.len() as u64;
                if passed > limits.body_bytes {
                    return refuse(&pump, BodyRefused::TooLong).await;
                }
                let data = Bytes::copy_from_slice(&input.unread()[range.clone()]);
                input.consume(range.end);
                // When nobody takes it any more, it is read and thrown away: the answer may be on its
                // way, and the next request lies behind.
                let _ = pump.send(Part::Frame(Frame::data(data))).await;
            }
            http1::Part::More(used) => {
                input.consume(used);
                let since = Instant::now();
                let left = limits.body_time.saturating_sub(waited);
                match tokio::time::timeout(left, input.fill(reader, BODY_READ)).await {
                    Ok(Ok(n)) if n > 0 => {
                        came += n as u64;
                        waited += since.elapsed();
                        if keeps_up(came, waited, limits.min_rate) {
                            (came, waited) = (0, Duration::ZERO);
                        }
                    }
                    Ok(_) => return refuse(&pump, BodyRefused::Gone).await,
                    Err(_) => return refuse(&pump, BodyRefused::Late).await,
                }
            }
            http1::Part::End { trailers, consumed } => {
                let section = &input.unread()[trailers];
                let lines = Trailers::new(section).all();
                let mut map = respond::to_map(lines.map(|(name, value)| (name.as_bytes(), value)));
                input.consume(consumed);
                // What goes no further is refused as what would.
                if rule.admit_trailers(&mut map).is_err() {
                    return refuse(&pump, BodyRefused::Field).await;
                }
                let map = trailers::admissible(&map);
                if !map.is_empty() {
                    let _ = pump.send(Part::Frame(Frame::trailers(map))).await;
                }
                let _ = pump.send(Part::End).await;
                return Ok(());
            }
        }
    }
}
