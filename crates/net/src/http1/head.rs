//! One request's head: from bytes to what the edge asks about. RFC 9112, sections 2 to 6 and 9.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use super::{
    FIELDS, Framing, Limits, Lines, Name, Refusal, Target,
    framing::Framed,
    grammar::{self, End, Plain},
};

/// A request's head, borrowed from the bytes it was read from; it owns nothing.
#[derive(Clone, Debug)]
pub struct Head<'b> {
    /// The method, told from others.
    pub method: Method,
    /// The method's name; case matters.
    pub method_name: &'b str,
    /// The version to answer by.
    pub version: Version,
    /// What is asked for, and of whom.
    pub target: Target<'b>,
    /// The field lines.
    pub fields: Lines<'b>,
    /// How the content is delimited.
    pub framing: Framing,
    /// Whether the client wants the connection to stay open for another request (section 9.3).
    pub persistent: bool,
    /// Whether the client waits for 100 (Continue) before it sends content (RFC 9110, section
    /// 10.1.1). False if there is no content, and for HTTP/1.0.
    pub expect_continue: bool,
    /// Whether the client offers another protocol: Connection lists `upgrade`, and Upgrade says
    /// which (RFC 9110, section 7.8). False for HTTP/1.0.
    pub upgrade: bool,
    /// How many bytes the head takes at the front of what was given, an empty line before it
    /// included. The content begins behind them.
    pub len: usize,
}

/// A method, as far as nigh tells them apart (RFC 9110, section 9; PATCH is RFC 5789's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other; its name says which.
    Other,
}

impl Method {
    fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// A version of HTTP/1. Minor versions from 2 on are treated as 1 (RFC 9110, section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// Room for the field lines of one head. It is not cleared when made, so make a new one on the
/// stack for each head; it takes about 3 KiB there.
pub struct Scratch<'b> {
    fast: [MaybeUninit<Header<'b>>; FIELDS],
    /// Used when the fast reader gives up.
    plain: Vec<Header<'b>>,
}

impl Scratch<'_> {
    /// Room for one head. Allocates nothing.
    #[inline]
    pub const fn new() -> Self {
        Self { fast: [const { MaybeUninit::uninit() }; FIELDS], plain: Vec::new() }
    }
}

impl Default for Scratch<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Scratch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// How far a head that arrives in pieces was searched already, so that a sender of single bytes
/// costs as many steps as bytes, not their square. One per connection; [`parse`] resets it when it
/// answers a head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    searched: usize,
    lines: u8,
}

impl Progress {
    /// Lines that are read as soon as they end, because a request line alone can be refused; the
    /// other may be an empty one before it.
    const EARLY_LINES: u8 = 2;

    /// Whether bytes have come that [`parse`] answered nothing for yet.
    pub fn begun(self) -> bool {
        self.searched > 0
    }

    /// Whether there is a reason to read the head again: its end came, or the request line's, or a
    /// byte that is no part of a head. Looks at what is new only.
    fn worth_reading(&mut self, bytes: &[u8]) -> bool {
        (self.searched..bytes.len()).any(|at| {
            let after_cr = at > 0 && bytes[at - 1] == b'\r';
            match bytes[at] {
                b'\n' if self.lines < Self::EARLY_LINES => {
                    self.lines += 1;
                    true
                }
                b'\n' => !after_cr || bytes[..at - 1].ends_with(b"\r\n"),
                b'\t' | b'\r' | b' '..=b'~' | 0x80.. => after_cr,
                _ => true,
            }
        })
    }
}

/// Reads the request's head at the front of `bytes`; nothing yet if all is well so far and more is
/// needed. Give the same bytes again, with more behind them.
///
/// At most one empty line before the head is passed over (section 2.2). Allocates only on the way
/// to a refusal, for heads that come in pieces, and for HTTP/1.2 to 1.9.
///
/// # Errors
/// The first thing that is wrong, in the order in which the bytes arrived; what the fields say
/// together (Host, framing) is judged once the head is whole.
pub fn parse<'s, 'b: 's>(
    bytes: &'b [u8],
    limits: &Limits,
    progress: &mut Progress,
    scratch: &'s mut Scratch<'b>,
) -> Result<Option<Head<'s>>, Refusal> {
    if progress.searched > 0 && !progress.worth_reading(bytes) {
        return incomplete(bytes, limits, progress);
    }
    let Some(blank) = blank_line(bytes)? else { return incomplete(bytes, limits, progress) };
    let room = bytes.len().min(limits.head_bytes.saturating_add(blank));
    let window = &bytes[blank..room];
    let Scratch { fast, plain } = scratch;
    let mut request = httparse::Request::new(&mut []);
    let lines = limits.fields.min(FIELDS);
    let status = request.parse_with_uninit_headers(window, &mut fast[..lines]);
    let read = if let (Ok(Status::Complete(len)), Some(method), Some(target), Some(minor)) =
        (status, request.method, request.path, request.version)
        && method.len() <= limits.method_bytes
        && target.len() <= limits.target_bytes
        && lines_end_with_crlf(&window[..len], request.headers)
    {
        (Plain { method, target, minor, len }, &*request.headers)
    } else {
        match grammar::head(window, limits, plain)? {
            None => return incomplete(bytes, limits, progress),
            Some(head) => (head, &**plain),
        }
    };
    *progress = Progress::default();
    let mut head = judge(read.0, read.1)?;
    head.len += blank;
    Ok(Some(head))
}

/// More bytes are needed, if there is room for them.
fn incomplete<'b>(
    bytes: &[u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Option<Head<'b>>, Refusal> {
    progress.searched = bytes.len();
    // An empty line before the head is not counted, but is never more than its two bytes.
    let blank = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    if bytes.len() - blank >= limits.head_bytes { Err(Refusal::HeadTooLarge) } else { Ok(None) }
}

/// How many bytes to pass over before the request line: none, or one CRLF, which some old clients
/// sent behind the content of a POST (section 2.2).
fn blank_line(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    match grammar::line_end(bytes) {
        End::Other => return Ok(Some(0)),
        End::Unknown => return Ok(None),
        End::Bare(refusal) => return Err(refusal),
        End::Crlf => {}
    }
    match bytes.get(2) {
        None => Ok(None),
        Some(b'\r' | b'\n') => Err(Refusal::BlankLines),
        Some(_) => Ok(Some(2)),
    }
}

/// Whether every line of a head that `httparse` took ends with CRLF: it takes a bare LF as well. A
/// line's name stands right behind the line before it, and the last line before the empty one.
#[inline]
fn lines_end_with_crlf(head: &[u8], lines: &[Header<'_>]) -> bool {
    let start = head.as_ptr().addr();
    head.ends_with(b"\r\n\r\n")
        && lines.iter().all(|line| {
            let at = line.name.as_ptr().addr() - start;
            head[..at].ends_with(b"\r\n")
        })
}

/// What the fields say together.
fn judge<'b>(plain: Plain<'b>, lines: &'b [Header<'b>]) -> Result<Head<'b>, Refusal> {
    let version = if plain.minor == 0 { Version::Http10 } else { Version::Http11 };
    let method = Method::of(plain.method);
    let mut framed = Framed::default();
    let mut connection = Connection::default();
    let mut continues = false;
    let fields = Lines::index(lines, |name, value| match name {
        Name::ContentLength => framed.length(value),
        Name::TransferEncoding => framed.coding(value),
        Name::Connection => connection.read(value),
        Name::Expect => continues |= value.eq_ignore_ascii_case(b"100-continue"),
        _ => {}
    });
    let framing = framed.decide(version)?;
    // Section 3.2: one Host for HTTP/1.1, never several, and valid.
    if fields.repeated().has(Name::Host) {
        return Err(Refusal::HostRepeated);
    }
    let host = fields.named(Name::Host);
    if host.is_none() && version == Version::Http11 {
        return Err(Refusal::HostMissing);
    }
    let new = version == Version::Http11;
    Ok(Head {
        method,
        method_name: plain.method,
        version,
        target: Target::read(method, plain.target, host)?,
        framing,
        // Section 9.3. It forbids a proxy to keep an HTTP/1.0 connection; an edge stands in for the
        // origin, and is asked as one.
        persistent: !connection.close && (new || connection.keep_alive),
        expect_continue: continues && new && !matches!(framing, Framing::None | Framing::Length(0)),
        upgrade: connection.upgrade && new && fields.present().has(Name::Upgrade),
        fields,
        len: plain.len,
    })
}

/// What the lines of Connection list, as far as it concerns this side (RFC 9110, section 7.6.1).
#[derive(Debug, Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Connection {
    fn read(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(grammar::trimmed) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }
}

#[cfg(test)]
mod tests;
