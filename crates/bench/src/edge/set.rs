//! Clients of our own, who read a set of objects or ranges in an order that is drawn: what is in no
//! cache of a few has to come from a disk.

use super::load::Outcome;
use crate::http1::{Connection, Part};
use nigh_base::Rng;
use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Every peer is asked in the same order.
const SEED: u64 = 1;
/// Clients that fill a cache: some peers let each of them wait.
const FILLERS: usize = 64;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {
    /// Objects of the same size, told apart by their queries.
    Objects {
        /// Without a query.
        path: &'static str,
        /// How many.
        count: u32,
        /// Of each.
        bytes: u32,
    },
    /// Ranges of one object: as many as lie in it one behind another, each moved by something drawn,
    /// so that it begins anywhere.
    Ranges {
        /// Of the object.
        path: &'static str,
        /// Of the object.
        object_bytes: u64,
        /// Of each range.
        bytes: u32,
    },
}

/// One request, and how long a body it is to be answered with.
struct Ask {
    path: String,
    part: Part,
    bytes: u32,
}

impl Set {
    /// All of it once, in an order that is drawn.
    fn asks(&self, rng: &mut Rng) -> Vec<Ask> {
        let mut asks: Vec<Ask> = match *self {
            Self::Objects { bytes, .. } => {
                self.objects().into_iter().map(|path| Ask { path, part: None, bytes }).collect()
            }
            Self::Ranges { path, object_bytes, bytes } => {
                let length = u64::from(bytes);
                let range = |number| {
                    let first = number * length - rng.below(length);
                    Ask { path: path.to_owned(), part: Some((first, first + length - 1)), bytes }
                };
                (1..object_bytes / length).map(range).collect()
            }
        };
        rng.shuffle(&mut asks);
        asks
    }

    /// The paths of its objects.
    pub(super) fn objects(&self) -> Vec<String> {
        match *self {
            Self::Objects { path, count, .. } => {
                (0..count).map(|number| format!("{path}?{number}")).collect()
            }
            Self::Ranges { path, .. } => vec![path.to_owned()],
        }
    }

    /// Reads it over `connections`: once, or again and again for so many seconds.
    pub(crate) fn read(
        &self,
        server: SocketAddr,
        connections: usize,
        seconds: Option<u32>,
    ) -> io::Result<Outcome> {
        let asks = self.asks(&mut Rng::new(SEED));
        let least = Duration::from_secs(seconds.unwrap_or(0).into());
        let (next, began) = (AtomicUsize::new(0), Instant::now());
        let client = || -> io::Result<Vec<Option<Duration>>> {
            let mut connection = Connection::open(server)?;
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= asks.len() && began.elapsed() >= least {
                    return Ok(times);
                }
                let ask = &asks[number % asks.len()];
                let asked = Instant::now();
                let response = connection.get(&ask.path, ask.part)?;
                let right = response.is_success() && response.body_bytes == u64::from(ask.bytes);
                times.push(right.then(|| asked.elapsed()));
            }
        };
        let times: Vec<Option<Duration>> = thread::scope(|scope| {
            let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
            let panicked = |_| Err(io::Error::other("a client panicked"));
            let times = clients.into_iter().map(|it| it.join().unwrap_or_else(panicked));
            times.collect::<io::Result<Vec<_>>>()
        })?
        .concat();
        let bytes = asks.first().map_or(0, |ask| ask.bytes);
        Outcome::of(&times, bytes, began.elapsed()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Asks for all of `paths` of `host` once, with some clients at a time.
pub(crate) fn get_all(server: SocketAddr, host: &str, paths: &[String]) -> io::Result<()> {
    thread::scope(|scope| {
        let client = |number: usize| {
            let mut connection = Connection::open_to(server, host.to_owned())?;
            let mut own = paths.iter().skip(number).step_by(FILLERS);
            own.try_for_each(|path| connection.get(path, None).map(drop))
        };
        let clients: Vec<_> =
            (0..FILLERS).map(|number| scope.spawn(move || client(number))).collect();
        let panicked = |_| Err(io::Error::other("a client panicked"));
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(panicked))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_within_the_object_and_are_drawn_the_same_way_each_time() {
        let set = Set::Ranges { path: "/", object_bytes: 1 << 20, bytes: 1 << 10 };
        let parts =
            || -> Vec<Part> { set.asks(&mut Rng::new(SEED)).iter().map(|ask| ask.part).collect() };
        assert_eq!(parts().len(), 1023);
        assert!(parts().iter().flatten().all(|(first, last)| first + 1023 == *last));
        assert!(parts().iter().flatten().all(|(_, last)| *last < 1 << 20));
        assert_eq!(parts(), parts());
    }
}
