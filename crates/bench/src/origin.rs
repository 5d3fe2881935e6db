//! A small origin: objects that may be kept, after a delay, one thread a connection. It is for
//! measurements in which the origin's speed plays no part.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// What an origin answers with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) body_bytes: usize,
    pub(crate) delay: Duration,
}

/// An origin that serves until the process ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    requests: Arc<Mutex<HashMap<String, u64>>>,
}

impl Origin {
    /// Serves on `listener`; `answer` says what a path is answered with.
    pub(crate) fn start(
        listener: TcpListener,
        answer: fn(&str) -> Answer,
    ) -> (Self, thread::JoinHandle<()>) {
        let origin = Self::default();
        let shared = origin.clone();
        let accept = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that leaves, or that we do not understand, is no business of others.
                thread::spawn(move || shared.serve(&stream, answer));
            }
        });
        (origin, accept)
    }

    /// How often `path` has been asked for.
    pub(crate) fn requests_for(&self, path: &str) -> u64 {
        self.lock().get(path).copied().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: &TcpStream, answer: fn(&str) -> Answer) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut range = None;
            loop {
                line.clear();
                if reader.read_line(&mut line)? <= 2 {
                    break;
                }
                range = parse_range(&line).or(range);
            }
            *self.lock().entry(path.clone()).or_default() += 1;
            let answer = answer(&path);
            thread::sleep(answer.delay);
            stream.write_all(&response(answer.body_bytes, range))?;
        }
    }
}

fn response(all_bytes: usize, range: Option<(usize, usize)>) -> Vec<u8> {
    let (status, body_bytes, content_range) = match range {
        Some((first, last)) if first <= last && last < all_bytes => {
            let field = format!("Content-Range: bytes {first}-{last}/{all_bytes}\r\n");
            ("206 Partial Content", last - first + 1, field)
        }
        _ => ("200 OK", all_bytes, String::new()),
    };
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {body_bytes}\r\n{content_range}Cache-Control: max-age=3600\r\n\
         ETag: \"1\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n"
    )
    .into_bytes();
    bytes.resize(bytes.len() + body_bytes, b'x');
    bytes
}

/// RFC 9110, section 14.2, of which caches send the simplest form: `Range: bytes=0-99`.
fn parse_range(line: &str) -> Option<(usize, usize)> {
    let (name, value) = line.split_once(':')?;
    if !name.eq_ignore_ascii_case("range") {
        return None;
    }
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Connection, Response};

    #[test]
    fn it_answers_whole_and_in_part_and_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answer = |_: &str| Answer { body_bytes: 1000, delay: Duration::ZERO };
        let address = listener.local_addr().unwrap();
        let (origin, _) = Origin::start(listener, answer);
        let mut connection = Connection::open(address).unwrap();
        let whole = connection.get("/a", None).unwrap();
        assert_eq!(whole, Response { status: 200, body_bytes: 1000 });
        let part = connection.get("/a", Some((10, 19))).unwrap();
        assert_eq!(part, Response { status: 206, body_bytes: 10 });
        assert_eq!((origin.requests_for("/a"), origin.requests_for("/b")), (2, 0));
    }
}
