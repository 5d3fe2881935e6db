//! HTTP/1 as bytes: what was sent is what the test wrote, what came is looked at as it is.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    ops::Deref,
};

use tokio::net::TcpSocket;

use super::PATIENCE;

/// A connection, and what was read from it too early.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// The first line of a message, and its fields with names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// A final response with its content.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("someone listens there"))
    }

    /// The same, as a client of this address of the machine.
    pub(crate) fn connect_from(own: IpAddr, address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let stream = runtime.expect("a runtime").block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((own, 0).into())?;
            socket.connect(address).await?.into_std()
        });
        let stream = stream.expect("someone listens there");
        stream.set_nonblocking(false).expect("a TCP socket");
        Self::new(stream)
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("the limit is not zero");
        stream.set_nodelay(true).expect("a TCP socket");
        Self::over(stream)
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub(crate) fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }
}

impl<S: Read + Write> Wire<S> {
    pub(crate) const fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the other side takes bytes");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends a request without content; `lines` are more field lines, each with its line end.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, target: &str, lines: &str) {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: www.example\r\n{lines}\r\n"));
    }

    /// Asks with GET and reads the answer.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.get_with(target, "")
    }

    /// Asks with GET and more field lines, and reads the answer.
    #[track_caller]
    pub(crate) fn get_with(&mut self, target: &str, lines: &str) -> Response {
        self.ask("GET", target, lines);
        self.response()
    }

    /// The final response to a request that was not HEAD.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        let head = self.final_head();
        self.content(head)
    }

    /// The head of the final response; interim ones are skipped.
    #[track_caller]
    pub(crate) fn final_head(&mut self) -> Head {
        loop {
            let head = self.head();
            if head.status() >= 200 || head.status() == 101 {
                return head;
            }
        }
    }

    /// The content behind a response's head (RFC 9112, section 6.3).
    #[track_caller]
    pub(crate) fn content(&mut self, head: Head) -> Response {
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if matches!(head.status(), 204 | 304) {
        } else if head.first("transfer-encoding") == "chunked" {
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
            trailers = self.trailers();
        } else if head.has("content-length") {
            body = self.exact(head.first("content-length").parse().expect("a length"));
        } else {
            body = self.rest();
        }
        Response { head, body, trailers }
    }

    /// The content behind a request's head.
    pub(crate) fn request_content(&mut self, head: &Head) -> (Vec<u8>, Vec<(String, String)>) {
        if head.first("transfer-encoding") == "chunked" {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
            return (body, self.trailers());
        }
        let length = head.first("content-length").parse().unwrap_or(0);
        (self.exact(length), Vec::new())
    }

    /// The next head, which must come.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        self.try_head().expect("a head, not the end of the connection")
    }

    /// The next head; `None` if the connection ends instead.
    #[track_caller]
    pub(crate) fn try_head(&mut self) -> Option<Head> {
        let bytes = self.until(b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        Some(Head { start, fields: lines.map(field).collect() })
    }

    /// The next chunk; `None` for the last one.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until(b"\r\n").expect("a chunk size");
        let line = String::from_utf8(line).expect("a chunk size is text");
        let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
        if size == 0 {
            return None;
        }
        let chunk = self.exact(size);
        assert_eq!(self.exact(2), b"\r\n", "a chunk ends with a line end");
        Some(chunk)
    }

    fn trailers(&mut self) -> Vec<(String, String)> {
        let mut trailers = Vec::new();
        loop {
            let line = self.until(b"\r\n").expect("a trailer section ends");
            if line == b"\r\n" {
                return trailers;
            }
            trailers.push(field(String::from_utf8_lossy(&line).trim_end()));
        }
    }

    /// Everything up to and with `end`; `None` if the connection ends before its first byte.
    #[track_caller]
    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|bytes| bytes == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if self.fill() == 0 {
                let left = String::from_utf8_lossy(&self.buffer);
                assert!(left.is_empty(), "the connection ended behind {left:?}");
                return None;
            }
        }
    }

    /// Exactly so many bytes.
    #[track_caller]
    pub(crate) fn exact(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let held = self.buffer.len();
            assert!(self.fill() > 0, "the connection ended after {held} of {count} bytes");
        }
        self.buffer.drain(..count).collect()
    }

    /// Everything until the connection ends, or breaks.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// The connection ends here, without another byte.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Reads some; a connection that breaks has ended.
    #[track_caller]
    fn fill(&mut self) -> usize {
        let mut some = [0; 64 * 1024];
        match self.stream.read(&mut some) {
            Ok(count) => {
                self.buffer.extend_from_slice(&some[..count]);
                count
            }
            Err(error) if is_late(&error) => {
                let held = String::from_utf8_lossy(&self.buffer);
                panic!("nothing comes any more; held is {held:?}")
            }
            Err(_) => 0,
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn field(line: impl AsRef<str>) -> (String, String) {
    let (name, value) = line.as_ref().split_once(':').expect("a field line has a colon");
    (name.to_ascii_lowercase(), value.trim().to_owned())
}

impl Head {
    pub(crate) fn status(&self) -> u16 {
        let word = self.start.split(' ').nth(1).expect("a status line has a status");
        word.parse().expect("a status is a number")
    }

    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first line of a field; empty if there is none.
    pub(crate) fn first(&self, name: &str) -> &str {
        let held = self.fields.iter().find(|(held, _)| held == name);
        held.map_or("", |(_, value)| value)
    }

    /// Every line of a field.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(held, _)| held == name)
    }

    /// Cache-Status without the name of the cache.
    pub(crate) fn cache(&self) -> &str {
        let value = self.first("cache-status");
        value.strip_prefix("nigh").expect("nigh says what it did").trim_start_matches("; ")
    }

    /// Whether Cache-Status has this parameter, such as `hit` or `fwd=stale`.
    pub(crate) fn says(&self, parameter: &str) -> bool {
        self.cache().split("; ").any(|held| held == parameter)
    }

    /// The number behind a parameter of Cache-Status.
    pub(crate) fn number(&self, parameter: &str) -> Option<i64> {
        let mut parts = self.cache().split("; ").filter_map(|part| part.split_once('='));
        parts.find(|(name, _)| *name == parameter)?.1.parse().ok()
    }
}

impl Deref for Response {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl Response {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the content is text")
    }

    /// It is an answer of the edge's own, with a body that says what happened.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(self.first("content-type"), "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("it is JSON");
        assert_eq!(body["status"], status);
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    }
}
