//! The client's end of HTTP/1.1, as little of it as a load needs: GET for an object whose length the
//! answer announces, and the whole of its body held against what it has to be.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::Object;

/// A response whose head is longer is none to what we ask for.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// What is read at once.
const READ_BYTES: usize = 64 << 10;

/// An edge that is silent for longer has failed: longer than an edge gives another one to answer.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a connection may take to be there.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Why there was no right answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no connection: {0}")]
    Unconnected(#[source] io::Error),
    /// The connection, which had answered before, ended before a byte of this answer came.
    #[error("the connection was closed while it was idle")]
    Idle,
    #[error("the answer broke off: {0}")]
    Broken(#[source] io::Error),
    #[error("the answer cannot be read")]
    Unreadable,
    #[error("the status was {0}")]
    Status(u16),
    #[error("the body has {0} bytes")]
    Length(u64),
    #[error("it is edition {0}, and {1} had been purged everywhere")]
    Old(u32, u32),
    #[error("byte {0} of the body is wrong")]
    Wrong(usize),
}

impl Failure {
    /// Whether it is what a client sees of an edge that is gone.
    pub(crate) const fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Unconnected(_) | Self::Idle | Self::Broken(_))
    }
}

/// A persistent connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    /// What was read and not yet used.
    buffer: Vec<u8>,
    chunk: Box<[u8]>,
    has_answered: bool,
    /// The server has said that it closes.
    is_last: bool,
}

impl Connection {
    pub(crate) fn open(server: SocketAddr) -> Result<Self, Failure> {
        let open = || {
            let stream = TcpStream::connect_timeout(&server, CONNECT_MAX)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(SILENCE_MAX))?;
            Ok(stream)
        };
        Ok(Self {
            stream: open().map_err(Failure::Unconnected)?,
            // The same at all edges: it is a part of the key.
            host: "www.example".to_owned(),
            buffer: Vec::new(),
            chunk: vec![0; READ_BYTES].into(),
            has_answered: false,
            is_last: false,
        })
    }

    /// Whether another request may be sent.
    pub(crate) const fn goes_on(&self) -> bool {
        !self.is_last
    }

    /// Asks for an object, which has to be of `oldest` or a later edition.
    pub(crate) fn get(&mut self, object: Object, oldest: u32) -> Result<(), Failure> {
        let (path, host) = (object.path(), &self.host);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let sent = self.stream.write_all(request.as_bytes());
        sent.map_err(|error| self.ended(error))?;
        let head = self.head()?;
        self.is_last = head.is_last;
        if head.status != 200 {
            return Err(Failure::Status(head.status));
        }
        if head.length != u64::from(object.bytes) {
            return Err(Failure::Length(head.length));
        }
        let edition = head.edition.ok_or(Failure::Unreadable)?;
        if edition < oldest {
            return Err(Failure::Old(edition, oldest));
        }
        let mut at = 0;
        while at < object.bytes as usize {
            if self.buffer.is_empty() {
                self.read().map_err(Failure::Broken)?;
            }
            let part = self.buffer.len().min(object.bytes as usize - at);
            if let Some(place) = object.differs(edition, at, &self.buffer[..part]) {
                return Err(Failure::Wrong(place));
            }
            self.buffer.drain(..part);
            at += part;
        }
        self.has_answered = true;
        Ok(())
    }

    /// An end of the connection at which no byte of an answer had come.
    fn ended(&self, error: io::Error) -> Failure {
        match self.has_answered && is_end(&error) {
            true => Failure::Idle,
            false => Failure::Broken(error),
        }
    }

    fn head(&mut self) -> Result<Head, Failure> {
        loop {
            while let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let text = String::from_utf8(head).map_err(|_| Failure::Unreadable)?;
                let head = Head::parse(&text).ok_or(Failure::Unreadable)?;
                // What begins with 1 only announces a response.
                if head.status >= 200 {
                    return Ok(head);
                }
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(Failure::Unreadable);
            }
            let is_first = self.buffer.is_empty();
            self.read().map_err(|error| match is_first {
                true => self.ended(error),
                false => Failure::Broken(error),
            })?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let read = self.stream.read(&mut self.chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&self.chunk[..read]);
        Ok(())
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// What a load reads of a head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: u64,
    /// From the entity-tag.
    edition: Option<u32>,
    is_last: bool,
}

impl Head {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut head = Self { status, length: 0, edition: None, is_last: false };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().ok()?,
                "etag" => head.edition = edition_of(value),
                "connection" => head.is_last = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        Some(head)
    }
}

/// The entity-tag of an edition: `"e3"`.
pub(crate) fn tag_of(edition: u32) -> String {
    format!("\"e{edition}\"")
}

fn edition_of(tag: &str) -> Option<u32> {
    tag.strip_prefix("\"e")?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_long_which_edition_and_whether_more_may_come() {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nETag: \"e3\"\r\nConnection: close\r\n\r\n";
        let head = Head { status: 200, length: 12, edition: Some(3), is_last: true };
        assert_eq!(Head::parse(text), Some(head));
        assert_eq!(edition_of(&tag_of(77)), Some(77));
        for text in ["", "HTTP/1.1 2", "HTTP/2 200", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n"] {
            assert_eq!(Head::parse(text), None, "{text}");
        }
    }
}
