//! The client's end of HTTP/1.1, as little of it as measuring needs: GET, and bodies whose length
//! is announced.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A response whose head is longer is not one that we asked for.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What is read at once.
const READ_BYTES: usize = 64 << 10;
/// A server that is silent for longer has failed.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// Which part of an object is asked for: offsets of its first and last byte, if not all of it.
pub(crate) type Part = Option<(u64, u64)>;

/// A response, but for its fields; the body is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body_bytes: u64,
}

impl Response {
    /// Whether it is the object, or the part of it that was asked for.
    pub(crate) fn is_success(self) -> bool {
        matches!(self.status, 200 | 206)
    }
}

/// A persistent connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What requests name as their host.
    host: String,
    /// What was read and not yet used.
    buffer: Vec<u8>,
    chunk: Box<[u8]>,
}

impl Connection {
    /// Connects, and asks the server by its address.
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        Self::open_to(server, server.to_string())
    }

    /// Connects, and asks for `host`.
    pub(crate) fn open_to(server: SocketAddr, host: String) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, SILENCE_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        let chunk = vec![0; READ_BYTES].into();
        Ok(Self { stream, host, buffer: Vec::new(), chunk })
    }

    /// One request and its response.
    pub(crate) fn get(&mut self, path: &str, part: Part) -> io::Result<Response> {
        self.send([(path, part)])?;
        self.receive()
    }

    /// Sends requests, at once; each is to be followed by a `receive`.
    pub(crate) fn send<'a>(
        &mut self,
        requests: impl IntoIterator<Item = (&'a str, Part)>,
    ) -> io::Result<()> {
        let mut text = String::new();
        for (path, part) in requests {
            text.push_str(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host));
            if let Some((first, last)) = part {
                text.push_str(&format!("Range: bytes={first}-{last}\r\n"));
            }
            text.push_str("\r\n");
        }
        self.stream.write_all(text.as_bytes())
    }

    /// The response to the earliest request that has none yet.
    pub(crate) fn receive(&mut self) -> io::Result<Response> {
        let response = self.read_head()?;
        let mut left = response.body_bytes;
        let held = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.drain(..held);
        left -= held as u64;
        // What is only counted need not be gathered.
        while left > 0 {
            let read = self.read()?;
            let own = usize::try_from(left).unwrap_or(usize::MAX).min(read);
            self.buffer.extend_from_slice(&self.chunk[own..read]);
            left -= own as u64;
        }
        Ok(response)
    }

    /// One request and the text of its response's body.
    pub(crate) fn text(&mut self, path: &str) -> io::Result<String> {
        self.send([(path, None)])?;
        self.receive_text()
    }

    /// A request without a body that has something done, and what was said of it.
    pub(crate) fn post(&mut self, path: &str) -> io::Result<String> {
        let host = &self.host;
        let text = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        self.stream.write_all(text.as_bytes())?;
        self.receive_text()
    }

    fn receive_text(&mut self) -> io::Result<String> {
        let response = self.read_head()?;
        let length = usize::try_from(response.body_bytes).map_err(io::Error::other)?;
        while self.buffer.len() < length {
            self.read_more()?;
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Takes the next head out of the buffer.
    fn read_head(&mut self) -> io::Result<Response> {
        loop {
            while let Some(end) = head_end(&self.buffer) {
                let head: Vec<u8> = self.buffer.drain(..end).collect();
                let response =
                    parse_head(&String::from_utf8_lossy(&head)).ok_or_else(unreadable)?;
                // What begins with 1 only announces a response.
                if response.status >= 200 {
                    return Ok(response);
                }
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(unreadable());
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let read = self.read()?;
        self.buffer.extend_from_slice(&self.chunk[..read]);
        Ok(())
    }

    /// Reads into the chunk, and says how much; never nothing.
    fn read(&mut self) -> io::Result<usize> {
        match self.stream.read(&mut self.chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no response whose length is announced")
}

/// Where the head ends, behind its empty line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn parse_head(head: &str) -> Option<Response> {
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let mut body_bytes = if status < 200 { Some(0) } else { None };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.trim().parse().ok();
        }
    }
    Some(Response { status, body_bytes: body_bytes? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_status_and_a_length() {
        let parse = |text: &str| parse_head(text).map(|head| (head.status, head.body_bytes));
        assert_eq!(parse("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n"), Some((200, 12)));
        assert_eq!(parse("HTTP/1.1 206\r\nContent-Length:7\r\n\r\n"), Some((206, 7)));
        assert_eq!(parse("HTTP/1.1 103 Early Hints\r\n\r\n"), Some((103, 0)));
        assert_eq!(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), None);
        assert_eq!(parse("SSH-2.0\r\n\r\n"), None);
    }

    #[test]
    fn responses_to_pipelined_requests_are_told_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let text = "HTTP/1.1 103 \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
                        HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(text.as_bytes()).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        });
        let mut connection = Connection::open(server).unwrap();
        connection.send([("/a", None), ("/b", Some((0, 9)))]).unwrap();
        assert_eq!(connection.receive().unwrap(), Response { status: 200, body_bytes: 3 });
        assert_eq!(connection.receive().unwrap(), Response { status: 404, body_bytes: 0 });
    }
}
