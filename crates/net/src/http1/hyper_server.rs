//! hyper's server over bytes in memory: a second reader, for tests.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};

use super::{Version, connection::Request};

/// The requests that hyper's server reads from `bytes`, if no more ever come.
pub(super) fn read(bytes: &[u8]) -> Vec<Request> {
    let requests = Mutex::new(Vec::new());
    let service = service_fn(|request: http::Request<Incoming>| async {
        let (head, mut body) = request.into_parts();
        requests.lock().expect("no reader has panicked").push(Request {
            method: head.method.as_str().to_owned(),
            target: head.uri.to_string(),
            version: match head.version {
                http::Version::HTTP_10 => Version::Http10,
                _ => Version::Http11,
            },
            fields: copied(&head.headers),
            body: Vec::new(),
            trailers: Vec::new(),
            whole: false,
        });
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let mut requests = requests.lock().expect("no reader has panicked");
            let last = requests.last_mut().expect("its head was read");
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => last.body.extend_from_slice(&data),
                Ok(Err(frame)) => {
                    last.trailers = copied(frame.trailers_ref().expect("no data, then trailers"))
                }
                Err(_) => return Ok::<_, Infallible>(http::Response::new(Nothing)),
            }
        }
        requests
            .lock()
            .expect("no reader has panicked")
            .last_mut()
            .expect("its head was read")
            .whole = true;
        Ok(http::Response::new(Nothing))
    });
    {
        let mut connection =
            pin!(http1::Builder::new().serve_connection(Memory(bytes.to_vec()), service));
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        while woken.0.swap(false, Ordering::Relaxed) {
            if connection.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                break;
            }
        }
    }
    requests.into_inner().expect("no reader has panicked")
}

fn copied(fields: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Gives its bytes, then waits for ever; swallows what is written.
struct Memory(Vec<u8>);

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let len = self.0.len().min(room.remaining());
        room.put_slice(&self.0[..len]);
        self.0.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An empty body.
struct Nothing;

impl http_body::Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(0)
    }
}
