//! The origin of all objects, which counts what it is asked.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{Object, client::tag_of};

/// Bytes of the longest line of a head that is read, and how many lines.
const LINE_BYTES_MAX: u64 = 16 << 10;
const LINES_MAX: usize = 200;

/// How an origin answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// For how long objects are fresh.
    pub fresh: Duration,
    /// The same of pages: all paths that are no object's.
    pub page_fresh: Duration,
    /// How long it thinks about each answer.
    pub thinking: Duration,
}

impl Default for Terms {
    /// An hour for everything, at once.
    fn default() -> Self {
        let hour = Duration::from_hours(1);
        Self { fresh: hour, page_fresh: hour, thinking: Duration::ZERO }
    }
}

/// An origin, one thread a connection; dropped, it closes them all.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    terms: Terms,
    edition: AtomicU32,
    requests: AtomicU64,
    bytes: AtomicU64,
    is_over: AtomicBool,
    /// Those that are open, and some that were.
    open: Mutex<Vec<TcpStream>>,
}

impl Origin {
    /// Answers at an address, with edition 1 of everything; port 0 is any free one.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub fn start(address: SocketAddr, terms: Terms) -> io::Result<Self> {
        Self::of(
            address,
            Arc::new(Shared {
                terms,
                edition: AtomicU32::new(1),
                requests: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                is_over: AtomicBool::new(false),
                open: Mutex::default(),
            }),
        )
    }

    fn of(address: SocketAddr, shared: Arc<Shared>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let held = Arc::clone(&shared);
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if held.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(copy) = stream.try_clone() else { continue };
                held.add(copy);
                let held = Arc::clone(&held);
                // A client that leaves, or that we do not understand, is no business of others.
                thread::spawn(move || {
                    drop(held.serve(&stream));
                    // Its copy would keep it open.
                    drop(stream.shutdown(Shutdown::Both));
                });
            }
        };
        Ok(Self { address, shared, accepting: Some(thread::spawn(accept)) })
    }

    /// Where it answers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Bytes of the bodies that it has sent.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }

    /// Makes a new edition of everything, which is what it answers with from now on.
    pub fn publish(&self) -> u32 {
        self.shared.edition.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Dies: its port and every connection are closed.
    pub fn stop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Whoever accepts sees it when somebody comes.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        for stream in self.shared.open().drain(..) {
            // One that is closed already is as good.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Answers again where it did, and counts on.
    ///
    /// # Errors
    /// If somebody else listens there.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.stop();
        self.shared.is_over.store(false, Ordering::SeqCst);
        *self = Self::of(self.address, Arc::clone(&self.shared))?;
        Ok(())
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.stop();
        }
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, stream: TcpStream) {
        let mut open = self.open();
        // Those that have ended go when there are twice as many as before.
        if open.len() == open.capacity() {
            open.retain(|stream| stream.peer_addr().is_ok());
        }
        open.push(stream);
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(asked) = Asked::read(&mut reader)? {
            self.requests.fetch_add(1, Ordering::SeqCst);
            thread::sleep(self.terms.thinking);
            let edition = self.edition.load(Ordering::SeqCst);
            let (head, body) = self.answer(&asked, edition);
            let mut bytes = head.into_bytes();
            if !asked.is_head {
                self.bytes.fetch_add(body.len() as u64, Ordering::SeqCst);
                bytes.extend_from_slice(&body);
            }
            stream.write_all(&bytes)?;
        }
        Ok(())
    }

    fn answer(&self, asked: &Asked, edition: u32) -> (String, Vec<u8>) {
        let object = Object::parse(&asked.path);
        let fresh = if object.is_some() { self.terms.fresh } else { self.terms.page_fresh };
        let (tag, fresh) = (tag_of(edition), fresh.as_secs());
        let lines = format!("ETag: {tag}\r\nCache-Control: max-age={fresh}\r\n");
        if asked.held.as_deref() == Some(&tag) {
            return (format!("HTTP/1.1 304 Not Modified\r\n{lines}\r\n"), Vec::new());
        }
        let Some(object) = object else {
            let text = format!("Hello from far away: {}, edition {edition}\n", asked.path);
            let kind = "Content-Type: text/plain\r\n";
            let length = text.len();
            let head = format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: {length}\r\n{lines}\r\n");
            return (head, text.into_bytes());
        };
        let all = object.bytes as usize;
        let part = asked.part.map(|(first, last)| (first, (last + 1).min(all)));
        let part = part.filter(|(first, end)| first < end);
        let (first, end) = part.unwrap_or((0, all));
        let mut body = vec![0; end - first];
        object.write(edition, first, &mut body);
        let (status, range) = match part {
            Some(_) => {
                let range = format!("Content-Range: bytes {first}-{}/{all}\r\n", end - 1);
                ("206 Partial Content", range)
            }
            None => ("200 OK", String::new()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n{range}{lines}\r\n"
        );
        (head, body)
    }
}

/// What an origin reads of a request.
#[derive(Debug, Default)]
struct Asked {
    path: String,
    is_head: bool,
    /// The entity-tag that the client holds.
    held: Option<String>,
    /// The first and the last byte of a range, if one with both ends is asked for, and if it is of the
    /// edition that the client means: one that names another gets everything.
    part: Option<(usize, usize)>,
}

impl Asked {
    /// The next request; `None` where the connection ends.
    fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Self>> {
        let first = line(reader)?;
        let mut words = first.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
        let mut asked =
            Self { path: path.to_owned(), is_head: method == "HEAD", ..Self::default() };
        for _ in 0..LINES_MAX {
            let line = line(reader)?;
            let Some((name, value)) = line.split_once(':') else { return Ok(Some(asked)) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "if-none-match" => asked.held = Some(value.to_owned()),
                "range" => asked.part = part(value),
                _ => {}
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn line(reader: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    io::Read::take(reader, LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// RFC 9110, section 14.2, of which caches send the simplest form: `bytes=0-99`, or without an end.
fn part(value: &str) -> Option<(usize, usize)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let last = if last.is_empty() { usize::MAX - 1 } else { last.parse().ok()? };
    Some((first.parse().ok()?, last))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const ANYWHERE: &str = "127.0.0.1:0";

    fn ask(origin: &Origin, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(origin.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let body = bytes.split_off(end);
        (String::from_utf8(bytes).unwrap(), body)
    }

    #[test]
    fn it_answers_whole_in_part_and_with_what_is_held_and_counts() {
        let mut origin = Origin::start(ANYWHERE.parse().unwrap(), Terms::default()).unwrap();
        let object = Object { number: 1, bytes: 100 };
        let get = format!("GET {} HTTP/1.1\r\n", object.path());
        let (head, body) = ask(&origin, &format!("{get}\r\n"));
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("max-age=3600"), "{head}");
        assert_eq!((body.len(), object.differs(1, 0, &body)), (100, None));
        let (head, body) = ask(&origin, &format!("{get}Range: bytes=90-\r\n\r\n"));
        assert!(head.contains("Content-Range: bytes 90-99/100"), "{head}");
        assert_eq!((body.len(), object.differs(1, 90, &body)), (10, None));
        let (head, _) = ask(&origin, &format!("{get}If-None-Match: \"e1\"\r\n\r\n"));
        assert!(head.starts_with("HTTP/1.1 304"), "{head}");
        assert_eq!(origin.publish(), 2);
        let (_, body) = ask(&origin, &format!("{get}If-None-Match: \"e1\"\r\n\r\n"));
        assert_eq!(object.differs(2, 0, &body), None);
        assert_eq!((origin.requests(), origin.bytes()), (4, 210));
        origin.stop();
        assert!(TcpStream::connect(origin.address()).is_err());
        origin.start_again().unwrap();
        let (_, page) = ask(&origin, "GET / HTTP/1.1\r\n\r\n");
        assert_eq!(page, b"Hello from far away: /, edition 2\n");
        assert_eq!(origin.requests(), 5);
    }
}
