//! Clients at work.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nigh_base::Rng;

use crate::{
    Ask, Tally, Work,
    client::{Connection, Failure},
};

/// How long a client passes by an edge that it could not reach.
const AVOIDED: Duration = Duration::from_millis(250);

/// How often a client that asks nothing looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// How fast a load is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Clients that ask at once, each with a thread of its own and a connection to each edge.
    pub connections: usize,
    /// Requests a second of all of them; `None` for as many as go. Where edges are too slow for it,
    /// the time that a request was late counts as its own.
    pub rate: Option<f64>,
}

/// Clients that ask until they are stopped or the work is done.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    edges: Vec<Edge>,
    work: Arc<dyn Work>,
    pace: Pace,
    began: Instant,
    is_over: AtomicBool,
    /// The edition of which, or of a later one, every answer has to be.
    oldest: AtomicU32,
    /// Requests that were begun, by which the next one's time is known.
    begun: AtomicU64,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// One for each client, so that none waits for another.
    tallies: Vec<Mutex<Tally>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("edges", &self.edges).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Edge {
    address: SocketAddr,
    is_killed: AtomicBool,
}

impl Load {
    /// Begins to ask these edges for what `work` says.
    ///
    /// # Errors
    /// If no thread can be had.
    ///
    /// # Panics
    /// If there is no edge.
    pub fn start(
        edges: Vec<SocketAddr>,
        work: Arc<dyn Work>,
        pace: Pace,
        seed: u64,
    ) -> io::Result<Self> {
        assert!(!edges.is_empty(), "somebody is asked");
        let edge = |address| Edge { address, is_killed: AtomicBool::new(false) };
        let shared = Arc::new(Shared {
            edges: edges.into_iter().map(edge).collect(),
            work,
            pace,
            began: Instant::now(),
            is_over: AtomicBool::new(false),
            oldest: AtomicU32::new(1),
            begun: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            tallies: (0..pace.connections).map(|_| Mutex::default()).collect(),
        });
        let mut load = Self { shared, clients: Vec::new() };
        for number in 0..pace.connections {
            let client = Client::new(Arc::clone(&load.shared), number, seed);
            let thread = thread::Builder::new().name(format!("client {number}"));
            load.clients.push(thread.spawn(move || client.run())?);
        }
        Ok(load)
    }

    /// Says that an edge is about to be killed, or told to end: what fails there from now on is the
    /// client's to try again elsewhere.
    pub fn killed(&self, edge: usize) {
        self.shared.edges[edge].is_killed.store(true, Ordering::SeqCst);
    }

    /// Says that it serves again.
    pub fn back(&self, edge: usize) {
        self.shared.edges[edge].is_killed.store(false, Ordering::SeqCst);
    }

    /// Says that what is older than an edition was purged everywhere: who is asked for from now on and
    /// gives it, has failed.
    pub fn purged(&self, edition: u32) {
        self.shared.oldest.store(edition, Ordering::SeqCst);
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        let mut all = Tally::default();
        for tally in &self.shared.tallies {
            all.add(&tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
        all
    }

    /// Waits until the work is done.
    pub fn finish(mut self) -> Tally {
        self.join();
        self.tally()
    }

    /// Ends when each client has the answer that it waits for.
    pub fn stop(self) -> Tally {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.finish()
    }

    fn join(&mut self) {
        for client in self.clients.drain(..) {
            client.join().expect("a client does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.clients.drain(..).for_each(|client| drop(client.join()));
    }
}

struct Client {
    shared: Arc<Shared>,
    number: usize,
    rng: Rng,
    /// By edge.
    connections: Vec<Option<Connection>>,
    avoided_until: Vec<Option<Instant>>,
}

impl Client {
    fn new(shared: Arc<Shared>, number: usize, seed: u64) -> Self {
        let count = shared.edges.len();
        let connections = std::iter::repeat_with(|| None).take(count).collect();
        let rng = Rng::new(seed).fork(number as u64);
        Self { shared, number, rng, connections, avoided_until: vec![None; count] }
    }

    fn run(mut self) {
        while let Some(due) = self.wait() {
            let Some(ask) = self.shared.work.next(&mut self.rng) else { return };
            let answered = self.ask(ask);
            let mut tally =
                self.shared.tallies[self.number].lock().unwrap_or_else(PoisonError::into_inner);
            match answered {
                Ok(()) => tally.answered(u64::from(ask.object.bytes), due.elapsed()),
                Err(words) => tally.note_failure(words),
            }
        }
    }

    /// Waits until the next request is due; `None` if there is none any more.
    fn wait(&self) -> Option<Instant> {
        let is_over = || self.shared.is_over.load(Ordering::SeqCst);
        let Some(rate) = self.shared.pace.rate else {
            return (!is_over()).then(Instant::now);
        };
        let number = self.shared.begun.fetch_add(1, Ordering::SeqCst);
        let due = self.shared.began + Duration::from_secs_f64(number as f64 / rate);
        while !is_over() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(due);
            }
            thread::sleep(left.min(LOOK));
        }
        None
    }

    /// Asks until there is a right answer, or a failure that nothing excuses, in words.
    fn ask(&mut self, ask: Ask) -> Result<(), String> {
        let count = self.shared.edges.len();
        let turn = || self.shared.turn.fetch_add(1, Ordering::SeqCst);
        let first = ask.edge.unwrap_or_else(turn) % count;
        let mut last = String::new();
        // Those that could not be reached lately are asked if nobody else is left.
        let order: Vec<usize> = (0..count).map(|step| (first + step) % count).collect();
        let (near, far): (Vec<_>, Vec<_>) = order.into_iter().partition(|edge| self.is_near(*edge));
        for edge in near.into_iter().chain(far) {
            // It may be killed while it is asked, or come back.
            let was_killed = self.shared.edges[edge].is_killed.load(Ordering::SeqCst);
            let Err(failure) = self.ask_edge(edge, ask) else { return Ok(()) };
            let address = self.shared.edges[edge].address;
            last = format!("{} of {address}: {failure}", ask.object.path());
            let is_excused = was_killed || self.shared.edges[edge].is_killed.load(Ordering::SeqCst);
            if !is_excused || !failure.is_of_the_connection() {
                return Err(last);
            }
            self.avoided_until[edge] = Some(Instant::now() + AVOIDED);
            self.count(|tally| tally.cut += 1);
        }
        Err(last)
    }

    fn is_near(&self, edge: usize) -> bool {
        self.avoided_until[edge].is_none_or(|until| until <= Instant::now())
    }

    /// Asks one edge, once more if it had closed the connection beforehand.
    fn ask_edge(&mut self, edge: usize, ask: Ask) -> Result<(), Failure> {
        // Whether it has to be new follows from what was purged before it is sent.
        let oldest = self.shared.oldest.load(Ordering::SeqCst);
        if let Some(connection) = self.connections[edge].take() {
            match self.ask_over(edge, connection, ask, oldest) {
                Err(Failure::Idle) => self.count(|tally| tally.reopened += 1),
                answered => return answered,
            }
        }
        let connection = Connection::open(self.shared.edges[edge].address)?;
        self.ask_over(edge, connection, ask, oldest)
    }

    /// Asks, and keeps the connection if it may be used again.
    fn ask_over(
        &mut self,
        edge: usize,
        mut connection: Connection,
        ask: Ask,
        oldest: u32,
    ) -> Result<(), Failure> {
        connection.get(ask.object, oldest)?;
        self.connections[edge] = Some(connection).filter(Connection::goes_on);
        Ok(())
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        let tally = &self.shared.tallies[self.number];
        count(&mut tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;
    use crate::{Object, Origin, Repeated, Terms};

    fn origin() -> Origin {
        Origin::start("127.0.0.1:0".parse().unwrap(), Terms::default()).unwrap()
    }

    fn objects() -> Vec<Object> {
        (0..20).map(|number| Object { number, bytes: 30_000 }).collect()
    }

    const PACE: Pace = Pace { connections: 2, rate: None };

    /// Somebody who answers each connection's first request with these bytes.
    fn answering(bytes: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                drop(stream.read(&mut [0; 1000]));
                drop(stream.write_all(&bytes));
            }
        });
        address
    }

    fn said(bytes: &[u8]) -> Tally {
        let work = Repeated::new(vec![Object { number: 1, bytes: 4 }], Some(1));
        Load::start(vec![answering(bytes.to_vec())], work, PACE, 1).unwrap().finish()
    }

    #[test]
    fn what_is_not_the_object_is_a_failure_and_said_in_words() {
        let head = "HTTP/1.1 200 OK\r\nETag: \"e1\"\r\nContent-Length: 4\r\n\r\n";
        for (answer, words) in [
            (String::new(), "broke off"),
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_owned(), "status was 502"),
            (format!("{head}abcd"), "byte 0 of the body is wrong"),
            (head.to_owned(), "broke off"),
            (head.replace('4', "5"), "the body has 5 bytes"),
            (head.replace("e1", "e0"), "it is edition 0"),
            ("no head\r\n\r\n".to_owned(), "cannot be read"),
        ] {
            let tally = said(answer.as_bytes());
            assert_eq!((tally.requests, tally.failed, tally.bytes), (1, 1, 0), "{answer:?}");
            assert!(tally.words[0].contains(words), "{words:?} is not in {:?}", tally.words);
        }
    }

    #[test]
    fn what_breaks_at_an_edge_that_was_killed_is_asked_for_elsewhere() {
        let (mut dies, lives) = (origin(), origin());
        let edges = vec![dies.address(), lives.address()];
        let load = Load::start(edges, Repeated::new(objects(), None), PACE, 1).unwrap();
        while dies.requests() < 10 || lives.requests() < 10 {
            thread::yield_now();
        }
        load.killed(0);
        dies.stop();
        let asked = lives.requests();
        while lives.requests() < asked + 50 {
            thread::yield_now();
        }
        let tally = load.stop();
        assert_eq!(tally.failed, 0, "{:?}", tally.words);
        assert!(tally.cut > 0 && tally.requests > 50, "{tally}");
    }

    #[test]
    fn what_breaks_at_an_edge_that_nobody_killed_is_a_failure() {
        let (mut dies, lives) = (origin(), origin());
        dies.stop();
        let edges = vec![dies.address(), lives.address()];
        let load = Load::start(edges, Repeated::new(objects(), Some(10)), PACE, 1).unwrap();
        let tally = load.finish();
        assert_eq!((tally.requests, tally.failed), (10, 5), "{:?}", tally.words);
    }

    #[test]
    fn an_edition_that_was_purged_is_not_to_be_seen_again() {
        let origin = origin();
        let edges = vec![origin.address()];
        let load = Load::start(edges, Repeated::new(objects(), None), PACE, 1).unwrap();
        while load.tally().requests < 10 {
            thread::yield_now();
        }
        load.purged(2);
        while load.tally().failed == 0 {
            thread::yield_now();
        }
        assert!(load.stop().words[0].contains("edition 1"));
    }

    #[test]
    fn a_steady_rate_is_kept() {
        let origin = origin();
        let pace = Pace { connections: 4, rate: Some(200.0) };
        let began = Instant::now();
        let work = Repeated::new(objects(), Some(100));
        let tally = Load::start(vec![origin.address()], work, pace, 1).unwrap().finish();
        assert_eq!((tally.requests, tally.failed), (100, 0));
        // The last of them is due after 99 pauses.
        assert!(began.elapsed() >= Duration::from_millis(495));
    }
}
