//! Content of questions and answers: read whole, within limits; or sent piece by piece.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{sync::mpsc, time::timeout};

use super::problem::Problem;

/// How long a question's content may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question's content, as text.
pub(super) async fn text(body: Body, bytes_max: usize) -> Result<String, Problem> {
    let reading = timeout(PATIENCE, Limited::new(body, bytes_max).collect());
    let read = reading.await.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "the content took too long to arrive")
    })?;
    let content = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => {
            let detail = format!("the content has more than {bytes_max} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        false => Problem::bad_request("the content broke off"),
    })?;
    String::from_utf8(content.to_bytes().into())
        .map_err(|_| Problem::bad_request("the content is no text in UTF-8"))
}

/// An answer whose pieces come from elsewhere, one by one; whoever brings them hears when nobody
/// reads any more.
pub(super) fn pieces(kind: &'static str, pieces: mpsc::Receiver<Bytes>) -> Response {
    let fields = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    (fields, Body::new(Pieces(pieces))).into_response()
}

struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
