//! HTTP/2 towards clients. RFC 9113.
//!
//! `h2` keeps the streams, their windows and the header tables. It is used without hyper, whose server
//! makes a task of every stream, sends each answer on its own, and cannot send interim responses.

mod answer;
mod connect;
mod content;
mod cork;
mod request;
mod streams;

use std::{pin::pin, rc::Rc, task::Poll};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use self::{
    answer::Answering,
    content::Piece,
    cork::Cork,
    streams::{Step, Streams},
};
use crate::{
    buffers,
    cluster::name::Name,
    serve_http1::{Buffers, Client},
    service::{Phase, Service, Whose},
};

/// Bytes of a stream, and of a connection, that a client may send ahead of what is read.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of a stream that may wait to be sent.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that a client may reset in the same breath as it opens them; `streams` counts later resets.
const PENDING_RESETS: usize = 32;

/// Requests of a connection that `h2` finds malformed: it resets them without a word to us, so that they
/// do not count against what their client may ask. With one more the connection ends.
const MALFORMED_MAX: usize = 32;

/// Streams at once on a connection of another edge of the cluster, which asks for all of its clients.
const SIBLING_STREAMS: u32 = 4096;

/// Requests that are answered before other connections have their turn.
const TURN: usize = 64;

/// Serves an HTTP/2 connection until it ends; when the draining begins or nothing was asked for too
/// long, until its streams have. `certified` is the name of a sibling in its certificate.
pub(crate) async fn serve<S>(
    stream: S,
    client: Client,
    certified: Option<Name>,
    service: Rc<Service>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = service.limits();
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(match client.sibling {
            Some(_) => SIBLING_STREAMS,
            None => limits.http2_streams,
        })
        .max_header_list_size(u32::try_from(limits.http1.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(MALFORMED_MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    // One that there is no room for is closed: nothing was promised to it.
    let Some(_reserved) = service.reserve(buffers::HTTP2) else { return };
    let place = service.place(client.sibling.map_or(Whose::Client, |_| Whose::Sibling));
    let flow = service.flow(&client);
    // What nigh itself makes slow is not held against the client.
    let least = if flow.pace.is_some() { 0 } else { flow.least };
    let cork = Cork::new(stream, flow);
    let mut timer = pin!(tokio::time::sleep(limits.head_time));
    let mut handshake = pin!(builder.handshake::<_, Piece>(cork.clone()));
    let shaken = std::future::poll_fn(|cx| {
        let shaken = handshake.as_mut().poll(cx);
        if cork.is_broken(cx) || place.is_over(cx) || timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        shaken.map(Result::ok)
    });
    let Some(mut connection) = shaken.await else { return };
    let streams = Streams::new(least);
    let mut answering = Answering {
        service: Rc::clone(&service),
        client,
        certified,
        streams: Rc::clone(&streams),
        buffers: Buffers::default(),
    };
    place.go_on();
    let (mut told, mut cut) = (None, false);
    std::future::poll_fn(|cx| {
        loop {
            // Being told is no harm here: the client's streams end as they began.
            if told.is_none() && place.has_come(Phase::Leaving, cx) {
                told = Some(Instant::now());
                connection.graceful_shutdown();
            }
            let mut left = TURN;
            let is_over = loop {
                match connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => answering.begin(request, respond),
                    // An error is the client's doing, or its going away: there is nobody to tell.
                    Poll::Ready(_) => break true,
                    Poll::Pending => break false,
                }
                left -= 1;
                if left == 0 {
                    cx.waker().wake_by_ref();
                    break false;
                }
            };
            if cork.is_broken(cx) || is_over {
                return Poll::Ready(());
            }
            let makes_room = streams.is_quiet() && place.wait(cx);
            if !streams.is_quiet() {
                place.go_on();
            }
            let reason = match streams.is_abused() {
                true => h2::Reason::ENHANCE_YOUR_CALM,
                false => h2::Reason::NO_ERROR,
            };
            if (streams.is_abused() || makes_room) && !cut {
                cut = true;
                told.get_or_insert_with(Instant::now);
                connection.abrupt_shutdown(reason);
                continue;
            }
            if left == 0 {
                return Poll::Pending;
            }
            let now = Instant::now();
            let due = match streams.next(told, cork.stuck(), &limits) {
                Some((due, Step::End)) if due <= now => {
                    if streams.are_waited_for() || cork.stuck().is_some() {
                        service.counters().slow_client();
                    }
                    return Poll::Ready(());
                }
                Some((due, Step::Goodbye)) if due <= now => {
                    told = Some(now);
                    connection.graceful_shutdown();
                    continue;
                }
                Some((due, _)) => due,
                None => now + limits.idle_time,
            };
            // Most that happens postpones; a timer that is early looks again.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nigh_base::ByteSize;
    use nigh_cache::{
        key::Scheme,
        store::{self, Store},
    };
    use nigh_edge::{client, forward::Identity, problem::Problem};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::LocalSet,
    };

    use super::*;
    use crate::{
        clients::Guest,
        counters::Registry,
        origin::{self, Origin},
        service::{Limits, Shared},
        sites::Sites,
        trusted::Trusted,
    };

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;

    const SOON: Duration = Duration::from_millis(10);

    /// The client's end of a connection.
    struct Wire(DuplexStream);

    impl Wire {
        async fn send(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
            let length = u8::try_from(payload.len()).unwrap();
            let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
            self.0.write_all(&[&head, payload].concat()).await.unwrap();
        }

        /// Speaks first, and lets so many bytes of each stream come.
        async fn begin(&mut self, window: u8) {
            self.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
            self.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]).await;
        }

        /// `GET /` without an authority, which is answered 400 and a few words.
        async fn ask(&mut self) {
            self.send(HEADERS, 5, 1, &[0x82, 0x86, 0x84]).await;
        }

        /// Reads up to a frame of this kind, and answers its payload.
        async fn until(&mut self, kind: u8) -> Vec<u8> {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; usize::try_from(length).unwrap()];
                self.0.read_exact(&mut payload).await.unwrap();
                if head[3] == kind {
                    return payload;
                }
            }
        }
    }

    /// Serves one connection while `test` is its client; true if the serving ended.
    fn serving(limits: Limits, test: impl AsyncFnOnce(&mut Wire)) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.unwrap(), async {
            let service = Service::new(
                Store::new(store::Settings::new(ByteSize::new(1 << 20), 1)),
                Sites::before(Origin::new(
                    origin::Settings::parse("http://origin.invalid").unwrap(),
                    None,
                )),
                Identity::new(1),
                Shared::new(limits, Trusted::always()),
                Registry::default().register(),
                None,
                None,
            );
            let (near, far) = duplex(64 * 1024);
            let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
            let clients = service.shared().clients.clone();
            let guest = clients.and_then(|clients| clients.open(address.ip()).unwrap());
            let network = guest.as_ref().map(Guest::network);
            let client = Client { network, ..Client::new(address, Scheme::Http) };
            let serving = tokio::task::spawn_local(serve(far, client, None, service));
            test(&mut Wire(near)).await;
            serving.is_finished()
        })
    }

    #[test]
    fn a_connection_on_which_nothing_is_asked_is_told_to_end() {
        serving(Limits { head_time: SOON, ..Limits::default() }, async |client| {
            client.begin(255).await;
            client.until(GOAWAY).await;
        });
    }

    #[test]
    fn a_connection_that_was_asked_once_is_told_to_end_when_it_is_idle() {
        serving(Limits { idle_time: SOON, ..Limits::default() }, async |client| {
            client.begin(255).await;
            client.ask().await;
            // The status is 400, from the table of RFC 7541.
            assert_eq!(client.until(HEADERS).await[0], 0x8c);
            assert!(client.until(DATA).await.starts_with(b"{"));
            client.until(GOAWAY).await;
        });
    }

    #[test]
    fn a_request_of_two_lengths_is_no_request() {
        serving(Limits::default(), async |client| {
            client.begin(255).await;
            let (one, two) = ([0x0f, 0x0d, 1, b'1'], [0x0f, 0x0d, 1, b'2']);
            client.send(HEADERS, 4, 1, &[&[0x83, 0x86, 0x84][..], &one, &two].concat()).await;
            let protocol_error = [0, 0, 0, 1];
            assert_eq!(client.until(RST_STREAM).await, protocol_error);
        });
    }

    #[test]
    fn what_is_no_request_counts_like_one() {
        let clients = client::Limits {
            requests: client::Rate::new(1, Duration::from_secs(3600)),
            ..client::Limits::default()
        };
        serving(Limits { clients, ..Limits::default() }, async |client| {
            client.begin(255).await;
            // `a: x`, with a space too many.
            let spaced = [0, 1, b'a', 2, b' ', b'x'];
            client.send(HEADERS, 5, 1, &[&[0x82, 0x86, 0x84][..], &spaced].concat()).await;
            client.until(RST_STREAM).await;
            client.send(HEADERS, 5, 3, &[0x82, 0x86, 0x84]).await;
            let head = client.until(HEADERS).await;
            // The status is one that RFC 7541's table does not have: three digits, Huffman-coded.
            assert_eq!(head[..5], [0x48, 0x83, 0x68, 0x4f, 0xff]);
        });
    }

    #[test]
    fn content_that_a_client_does_not_let_come_ends_the_connection() {
        let limits = Limits { write_time: SOON, ..Limits::default() };
        let ended = serving(limits, async |client| {
            client.begin(0).await;
            client.ask().await;
            client.until(HEADERS).await;
            let mut rest = Vec::new();
            client.0.read_to_end(&mut rest).await.unwrap();
        });
        assert!(ended);
    }

    #[test]
    fn content_that_a_client_lets_come_in_drops_ends_the_connection() {
        let limits = Limits { write_time: SOON, min_rate: 1 << 40, ..Limits::default() };
        let ended = serving(limits, async |client| {
            client.begin(0).await;
            client.ask().await;
            client.until(HEADERS).await;
            // Each is progress within the limit, and all together are not enough.
            let one_more = [0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 1, 0, 0, 0, 1];
            for _ in 0..400 {
                if client.0.write_all(&one_more).await.is_err() {
                    return;
                }
                tokio::time::sleep(SOON / 4).await;
            }
        });
        assert!(ended);
    }

    #[test]
    fn content_that_a_client_lets_come_slowly_arrives() {
        serving(Limits::default(), async |client| {
            client.begin(1).await;
            client.ask().await;
            let mut content = Vec::new();
            while content.last() != Some(&b'\n') {
                content.extend(client.until(DATA).await);
                client.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).await;
            }
            assert_eq!(content, Problem::BadTarget.body().into_bytes());
        });
    }
}
