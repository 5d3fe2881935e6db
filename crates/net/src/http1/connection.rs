//! A connection without a socket, for tests: bytes come in pieces, requests come out whole.

use super::{
    Body, Framing, Limits, Method, Part, Progress, Refusal, Scratch, Trailers, Version, parse,
};

/// Everything that was read from one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) requests: Vec<Request>,
    pub(super) ending: Ending,
}

/// A request with its content, copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: Version,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, Vec<u8>)>,
    /// Whether its end was read.
    pub(super) whole: bool,
}

/// Why no more was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The bytes are used up.
    Starved,
    /// The client asked for no more, or for a tunnel.
    Closed,
    /// The rest was refused.
    Refused(Refusal),
}

/// Reads `bytes` as they would be read if `piece` of them came at a time.
pub(super) fn read(bytes: &[u8], limits: &Limits, piece: usize) -> Reading {
    let mut connection = Connection::default();
    let mut requests = Vec::new();
    let mut available = 0;
    let ending = loop {
        available = bytes.len().min(available + piece);
        match connection.advance(&bytes[..available], limits, &mut requests) {
            Err(refusal) => break Ending::Refused(refusal),
            Ok(()) if connection.closed => break Ending::Closed,
            Ok(()) if available == bytes.len() => break Ending::Starved,
            Ok(()) => {}
        }
    };
    Reading { requests, ending }
}

#[derive(Default)]
struct Connection {
    used: usize,
    progress: Progress,
    body: Option<Body>,
    last: bool,
    closed: bool,
}

impl Connection {
    /// Goes on until `bytes` give nothing more.
    fn advance(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        requests: &mut Vec<Request>,
    ) -> Result<(), Refusal> {
        while !self.closed {
            let left = &bytes[self.used..];
            let Some(body) = &mut self.body else {
                let mut scratch = Scratch::new();
                let Some(head) = parse(left, limits, &mut self.progress, &mut scratch)? else {
                    return Ok(());
                };
                assert!(head.len <= left.len(), "a head longer than the bytes");
                assert!(!head.expect_continue || head.framing != Framing::None);
                self.used += head.len;
                self.last = !head.persistent || head.method == Method::Connect;
                self.body = Some(Body::new(head.framing, limits));
                requests.push(Request {
                    method: head.method_name.to_owned(),
                    target: head.target.raw.to_owned(),
                    version: head.version,
                    fields: copied(head.fields.iter()),
                    body: Vec::new(),
                    trailers: Vec::new(),
                    whole: false,
                });
                continue;
            };
            let request = requests.last_mut().expect("a body follows a head");
            match body.step(left)? {
                Part::Data(range) => {
                    self.used += range.end;
                    request.body.extend_from_slice(&left[range]);
                }
                Part::More(used) => {
                    self.used += used;
                    return Ok(());
                }
                Part::End { trailers, consumed } => {
                    assert!(body.is_ended());
                    request.trailers = copied(Trailers::new(&left[trailers]));
                    request.whole = true;
                    self.used += consumed;
                    self.body = None;
                    self.closed = self.last;
                }
            }
        }
        Ok(())
    }
}

fn copied<'a>(lines: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, Vec<u8>)> {
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
