//! The client of a page, run in a network namespace of its own: says how many microseconds passed
//! from the first packet of the first connection to the last byte of the last object.

use crate::http1::{Connection, Part, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

/// Objects of the page.
pub(crate) const SMALL_COUNT: usize = 60;
/// Bytes of each.
pub(crate) const SMALL_BYTES: usize = 10 << 10;
/// Bytes of the large object.
pub(crate) const LARGE_BYTES: usize = 10 << 20;
/// Where the large object is.
pub(crate) const LARGE_PATH: &str = "/large";
/// What browsers open to one host.
pub(crate) const PARALLEL: usize = 6;
/// Larger than any object: it is TCP that is measured, not our own window.
const WINDOW_BYTES: u32 = 32 << 20;

/// What to fetch, from where and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address and port
    #[arg(long)]
    server: SocketAddr,
    /// What
    #[arg(long, value_enum)]
    goods: Goods,
    /// How
    #[arg(long, value_enum)]
    strategy: Strategy,
}

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Goods {
    /// 60 objects of 10 KiB
    Page,
    /// One object of 10 MiB
    Large,
}

impl Goods {
    pub(crate) const ALL: [Self; 2] = [Self::Page, Self::Large];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Large => "large",
        }
    }

    /// What there is to choose from.
    pub(crate) fn strategies(self) -> &'static [Strategy] {
        match self {
            Self::Page => &[
                Strategy::Separate,
                Strategy::Persistent,
                Strategy::Pipelined,
                Strategy::Parallel,
                Strategy::Http2,
            ],
            // With one object, one connection is one connection.
            Self::Large => &[Strategy::Persistent, Strategy::Parallel, Strategy::Http2],
        }
    }
}

/// How objects are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Strategy {
    /// A connection for each object, one after the other
    Separate,
    /// One connection, one object after the other
    Persistent,
    /// One connection, all requests at once
    Pipelined,
    /// Six persistent connections; the large object in six parts
    Parallel,
    /// HTTP/2: one connection, all requests at once, in clear
    Http2,
}

impl Strategy {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Separate => "separate",
            Self::Persistent => "persistent",
            Self::Pipelined => "pipelined",
            Self::Parallel => "parallel",
            Self::Http2 => "http2",
        }
    }

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Separate => "one connection per object",
            Self::Persistent => "one persistent connection",
            Self::Pipelined => "one connection, pipelined",
            Self::Parallel => "six persistent connections",
            Self::Http2 => "HTTP/2, one connection",
        }
    }
}

/// One request, and the length that its answer must have.
#[derive(Clone, Debug)]
struct Want {
    path: String,
    part: Part,
    bytes: usize,
}

/// Why the goods did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The connection failed.
    #[error("the server does not answer")]
    Connection(#[from] io::Error),
    /// HTTP/2 failed.
    #[error("HTTP/2 failed")]
    Http2(#[from] hyper::Error),
    /// What was asked for is no URI.
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
    /// Something came, but not what was asked for.
    #[error("{path} came with status {status} and {bytes} bytes")]
    Wrong {
        /// What was asked for.
        path: String,
        /// Its status.
        status: u16,
        /// How long it was.
        bytes: u64,
    },
}

/// Fetches, and returns the microseconds that it took.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let (server, strategy) = (arguments.server, arguments.strategy);
    let wants = wants(arguments.goods, strategy);
    let start = Instant::now();
    match strategy {
        Strategy::Separate => {
            wants.iter().try_for_each(|want| one(&mut Connection::open(server)?, want))?;
        }
        Strategy::Persistent => {
            let mut connection = Connection::open(server)?;
            wants.iter().try_for_each(|want| one(&mut connection, want))?;
        }
        Strategy::Pipelined => {
            let mut connection = Connection::open(server)?;
            connection.send(wants.iter().map(|want| (want.path.as_str(), want.part)))?;
            wants.iter().try_for_each(|want| check(want, connection.receive()?))?;
        }
        Strategy::Parallel => parallel(server, &wants)?,
        Strategy::Http2 => http2(server, wants)?,
    }
    Ok(format!("{}\n", start.elapsed().as_micros()))
}

fn wants(goods: Goods, strategy: Strategy) -> Vec<Want> {
    let small = |number| Want { path: format!("/page/{number}"), part: None, bytes: SMALL_BYTES };
    let part = |number| {
        let (first, end) = (LARGE_BYTES * number / PARALLEL, LARGE_BYTES * (number + 1) / PARALLEL);
        let part = Some((first as u64, end as u64 - 1));
        Want { path: LARGE_PATH.to_owned(), part, bytes: end - first }
    };
    match (goods, strategy) {
        (Goods::Page, _) => (0..SMALL_COUNT).map(small).collect(),
        (Goods::Large, Strategy::Parallel) => (0..PARALLEL).map(part).collect(),
        (Goods::Large, _) => {
            vec![Want { path: LARGE_PATH.to_owned(), part: None, bytes: LARGE_BYTES }]
        }
    }
}

fn one(connection: &mut Connection, want: &Want) -> Result<(), Error> {
    check(want, connection.get(&want.path, want.part)?)
}

fn check(want: &Want, came: Response) -> Result<(), Error> {
    if came.is_success() && came.body_bytes == want.bytes as u64 {
        return Ok(());
    }
    Err(Error::Wrong { path: want.path.clone(), status: came.status, bytes: came.body_bytes })
}

/// Each connection takes the next object when it is done with the one before.
fn parallel(server: SocketAddr, wants: &[Want]) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let fetch = || {
        let mut connection = Connection::open(server)?;
        while let Some(want) = wants.get(next.fetch_add(1, Ordering::Relaxed)) {
            one(&mut connection, want)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(fetch)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })
}

fn http2(server: SocketAddr, wants: Vec<Want>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        let fetches: Vec<_> = wants
            .into_iter()
            .map(|want| {
                let mut sender = sender.clone();
                tokio::spawn(async move {
                    let request = http::Request::get(format!("http://{server}{}", want.path))
                        .body(Empty::<Bytes>::new())?;
                    let response = sender.send_request(request).await?;
                    let status = response.status().as_u16();
                    let mut body = response.into_body();
                    let mut body_bytes = 0;
                    while let Some(frame) = body.frame().await {
                        body_bytes += frame?.data_ref().map_or(0, Bytes::len) as u64;
                    }
                    check(&want, Response { status, body_bytes })
                })
            })
            .collect();
        for fetch in fetches {
            fetch.await.map_err(io::Error::other)??;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Answer, Origin};
    use std::{net::TcpListener, time::Duration};

    #[test]
    fn the_parts_of_the_large_object_make_it_whole() {
        let parts = wants(Goods::Large, Strategy::Parallel);
        assert_eq!(parts.iter().map(|part| part.bytes).sum::<usize>(), LARGE_BYTES);
        let mut next = 0;
        for part in parts {
            let (first, last) = part.part.unwrap();
            assert_eq!(first, next);
            next = last + 1;
        }
    }

    #[test]
    fn every_strategy_over_http1_gets_the_whole_page() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answer = |path: &str| Answer {
            body_bytes: if path == LARGE_PATH { LARGE_BYTES } else { SMALL_BYTES },
            delay: Duration::ZERO,
        };
        let server = listener.local_addr().unwrap();
        let (origin, _) = Origin::start(listener, answer);
        for goods in Goods::ALL {
            for &strategy in goods.strategies() {
                if strategy == Strategy::Http2 {
                    continue;
                }
                let arguments = Arguments { server, goods, strategy };
                let took = run(&arguments).unwrap();
                assert!(took.trim().parse::<u64>().unwrap() > 0, "{strategy:?}");
            }
        }
        assert_eq!(origin.requests_for("/page/59"), 4);
        assert_eq!(origin.requests_for(LARGE_PATH), 7);
    }
}
