//! Many clients at once on one cold object: how many of them reach the origin?

use super::{origin::EdgeOrigin, peer::Peer, rate::unique};
use crate::http1::Connection;
use std::{
    io,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// How many clients ask at once.
pub(crate) const CLIENTS: usize = 200;

/// One cold object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    pub(crate) origin_requests: u64,
    /// Clients who got it.
    pub(crate) served: usize,
    /// When the first and the last of them had it.
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

/// Lets `CLIENTS` clients ask `peer` for an object that nobody has asked for before.
pub(crate) fn attempt(peer: &Peer, origin: &EdgeOrigin, number: u32) -> io::Result<Try> {
    let path = format!("/slow/{}-{number}-{}", peer.kind, unique());
    let address = peer.server.address();
    let connections: Vec<Connection> =
        (0..CLIENTS).map(|_| Connection::open(address)).collect::<io::Result<_>>()?;
    let together = Barrier::new(CLIENTS + 1);
    let (start, mut times) = thread::scope(|scope| {
        let clients: Vec<_> = connections
            .into_iter()
            .map(|mut connection| {
                let (path, together) = (&path, &together);
                scope.spawn(move || {
                    together.wait();
                    let response = connection.get(path, None);
                    response.is_ok_and(|response| response.is_success()).then(Instant::now)
                })
            })
            .collect();
        together.wait();
        let start = Instant::now();
        let times = clients.into_iter().filter_map(|client| client.join().ok().flatten());
        (start, times.collect::<Vec<Instant>>())
    });
    times.sort_unstable();
    let since = |time: Option<&Instant>| time.map_or(Duration::ZERO, |&time| time - start);
    Ok(Try {
        origin_requests: origin.slow_requests(&path),
        served: times.len(),
        first: since(times.first()),
        last: since(times.last()),
    })
}
