//! The access log: one line a request, written off the hot path.
//!
//! A core formats its lines into a buffer of its own; full or old buffers go through a bounded queue
//! to one thread that writes. When the disk cannot keep up, whole buffers are dropped and their
//! lines counted: a slow log never slows an answer. The signatures of signed URLs are left out: who
//! reads a log is not let in by it.

use std::{
    cell::RefCell,
    fs::OpenOptions,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use http::StatusCode;
use nigh_base::Wall;
use nigh_edge::{
    cache_status::{CacheStatus, NAME, write_number},
    site::signed::redacted,
};
use tracing::error;

/// Bytes of lines that a core gathers before it hands them over.
const GATHERED: usize = 32 * 1024;

/// Gathered buffers that may wait for the disk, for all cores.
const WAITING_BUFFERS: usize = 256;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache's combined format, and what the cache did behind it.
    Combined,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Its name, as [`FromStr`] reads it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Json => "json",
        }
    }
}

/// There is no such format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no log format: use combined or json")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard output.
    Standard,
    /// The end of a file.
    File(PathBuf),
}

impl Place {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::Standard => Box::new(io::stdout()),
            Self::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        })
    }
}

/// What one line says.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When the request had been read.
    pub when: Wall,
    /// Who asked.
    pub client: SocketAddr,
    /// How.
    pub method: &'a str,
    /// For what host.
    pub authority: &'a str,
    /// For what there.
    pub target: &'a str,
    /// The version's name, as in `HTTP/1.1`.
    pub version: &'a str,
    /// Referer.
    pub referer: &'a [u8],
    /// User-Agent.
    pub agent: &'a [u8],
    /// What the client got.
    pub status: StatusCode,
    /// Bytes of content sent.
    pub bytes: u64,
    /// What the cache did.
    pub cache: CacheStatus,
    /// From the end of the head to the end of the answer, in microseconds; zero for an answer that
    /// was there at once.
    pub micros: u64,
}

/// The status of a request whose client went away before it was answered: no HTTP, but what nginx
/// writes.
pub(crate) fn client_gone() -> StatusCode {
    StatusCode::from_u16(499).expect("three digits")
}

/// The thread that writes, and the queue to it.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<Order>,
    reopen: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    /// Look whether the file is to be opened anew.
    Look,
    End,
}

/// Has the log's file opened anew.
#[derive(Clone, Debug)]
pub struct Reopener {
    queue: SyncSender<Order>,
    reopen: Arc<AtomicBool>,
}

impl Reopener {
    /// Lines that are handed over from now on go to the file that has the log's name then: whoever
    /// rotates logs has renamed the old one. If there can be none, they go where they went.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // So that a writer that has nothing to do does it at once; a full queue keeps it awake anyway.
        let _ = self.queue.try_send(Order::Look);
    }
}

impl Writer {
    /// Opens the place and starts the thread.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn start(place: &Place) -> io::Result<Self> {
        let place = place.clone();
        let mut out = place.open()?;
        let reopen = Arc::new(AtomicBool::new(false));
        let wanted = Arc::clone(&reopen);
        let (queue, lines) = sync_channel(WAITING_BUFFERS);
        let thread =
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
                for order in lines {
                    if wanted.swap(false, Ordering::Acquire) {
                        match place.open() {
                            Ok(new) => out = new,
                            Err(error) => error!(%error, "the access log cannot be opened anew"),
                        }
                    }
                    let buffer = match order {
                        Order::Write(buffer) => buffer,
                        Order::Look => continue,
                        Order::End => return,
                    };
                    if let Err(error) = out.write_all(&buffer).and_then(|()| out.flush()) {
                        error!(%error, "access log lines were lost");
                    }
                }
            })?;
        Ok(Self { queue, reopen, thread })
    }

    /// What has its file opened anew.
    pub fn reopener(&self) -> Reopener {
        Reopener { queue: self.queue.clone(), reopen: Arc::clone(&self.reopen) }
    }

    /// One core's end of the log.
    pub fn log(&self, format: Format) -> Log {
        Log { format, queue: self.queue.clone(), buffer: RefCell::default() }
    }

    /// Waits until everything that was handed over is written. Every [`Log`] must be gone.
    pub fn finish(self) {
        // A thread that is gone has nothing left to write.
        let _ = self.queue.send(Order::End);
        drop(self.thread.join());
    }
}

/// One core's end of the access log.
#[derive(Debug)]
pub struct Log {
    format: Format,
    queue: SyncSender<Order>,
    buffer: RefCell<Buffer>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lines: u64,
}

impl Log {
    /// Adds a line; says how many lines were dropped for want of room.
    pub fn add(&self, line: &Line<'_>) -> u64 {
        let mut buffer = self.buffer.borrow_mut();
        match self.format {
            Format::Combined => combined(line, &mut buffer.bytes),
            Format::Json => json(line, &mut buffer.bytes),
        }
        buffer.lines += 1;
        if buffer.bytes.len() >= GATHERED { self.hand_over(&mut buffer) } else { 0 }
    }

    /// Hands over what was gathered; says how many lines were dropped for want of room.
    pub fn flush(&self) -> u64 {
        self.hand_over(&mut self.buffer.borrow_mut())
    }

    fn hand_over(&self, buffer: &mut Buffer) -> u64 {
        let lines = std::mem::take(&mut buffer.lines);
        if lines == 0 {
            return 0;
        }
        match self.queue.try_send(Order::Write(std::mem::take(&mut buffer.bytes))) {
            Ok(()) => 0,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => lines,
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

fn combined(line: &Line<'_>, out: &mut Vec<u8>) {
    let referer = redacted(line.referer);
    out.extend_from_slice(line.client.ip().to_string().as_bytes());
    out.extend_from_slice(b" - - [");
    calendar(line.when, out);
    out.extend_from_slice(b"] \"");
    escape(line.method.as_bytes(), out);
    out.push(b' ');
    escape(&redacted(line.target.as_bytes()), out);
    out.push(b' ');
    out.extend_from_slice(line.version.as_bytes());
    out.extend_from_slice(b"\" ");
    out.extend_from_slice(line.status.as_str().as_bytes());
    out.push(b' ');
    write_number(i64::try_from(line.bytes).unwrap_or(i64::MAX), out);
    out.extend_from_slice(b" \"");
    escape(if line.referer.is_empty() { b"-" } else { &referer }, out);
    out.extend_from_slice(b"\" \"");
    let agent = redacted(line.agent);
    escape(if agent.is_empty() { b"-" } else { &agent }, out);
    out.extend_from_slice(b"\" \"");
    line.cache.write(NAME.as_bytes(), out);
    out.extend_from_slice(b"\"\n");
}

fn json(line: &Line<'_>, out: &mut Vec<u8>) {
    let number = |name: &str, number: u64, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        write_number(i64::try_from(number).unwrap_or(i64::MAX), out);
    };
    let text = |name: &str, text: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
        escape_json(text, out);
        out.push(b'"');
    };
    number("{\"time_ms\":", line.when.millis(), out);
    text(",\"client\":", line.client.ip().to_string().as_bytes(), out);
    text(",\"method\":", line.method.as_bytes(), out);
    text(",\"host\":", line.authority.as_bytes(), out);
    text(",\"target\":", &redacted(line.target.as_bytes()), out);
    text(",\"version\":", line.version.as_bytes(), out);
    number(",\"status\":", u64::from(line.status.as_u16()), out);
    number(",\"bytes\":", line.bytes, out);
    number(",\"micros\":", line.micros, out);
    text(",\"referer\":", &redacted(line.referer), out);
    text(",\"agent\":", &redacted(line.agent), out);
    let mut cache = Vec::new();
    line.cache.write(NAME.as_bytes(), &mut cache);
    text(",\"cache\":", &cache, out);
    out.extend_from_slice(b"}\n");
}

/// `22/Nov/2026:14:37:00 +0000`, made from the same calendar as Date.
fn calendar(when: Wall, out: &mut Vec<u8>) {
    let date = nigh_cache::date::format(when);
    // Sun, 22 Nov 2026 14:37:00 GMT
    for (part, behind) in [(5..7, b'/'), (8..11, b'/'), (12..16, b':'), (17..25, b' ')] {
        out.extend_from_slice(&date[part]);
        out.push(behind);
    }
    out.extend_from_slice(b"+0000");
}

/// Strangers' bytes between quotes: nothing in them ends the quotes or the line, or commands a
/// terminal.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
}

fn escape_json(bytes: &[u8], out: &mut Vec<u8>) {
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(format!("\\{character}").as_bytes()),
            '\0'..' ' | '\x7f' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line<'static> {
        Line {
            when: Wall::from_secs(1_795_358_220),
            client: "192.0.2.1:5000".parse().unwrap(),
            method: "GET",
            authority: "a.example",
            target: "/x?y",
            version: "HTTP/1.1",
            referer: b"",
            agent: b"a \"quoted\" \n agent \xff",
            status: StatusCode::OK,
            bytes: 12,
            cache: CacheStatus::hit(5),
            micros: 0,
        }
    }

    #[test]
    fn a_combined_line_cannot_be_broken_out_of() {
        let mut out = Vec::new();
        combined(&line(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "192.0.2.1 - - [22/Nov/2026:14:37:00 +0000] \"GET /x?y HTTP/1.1\" 200 12 \"-\" \
             \"a \\\"quoted\\\" \\x0a agent \\xff\" \"nigh; hit; ttl=5\"\n"
        );
    }

    #[test]
    fn no_line_has_a_signature_that_lets_its_reader_in() {
        let line = Line {
            target: "/a?nigh-signature=0123",
            referer: b"https://a.example/?nigh-signature=4567&x",
            agent: b"bot (+https://a.example/?nigh-signature=89ab)",
            ..line()
        };
        for write in [combined, json] {
            let mut out = Vec::new();
            write(&line, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.matches("nigh-signature=redacted").count(), 3, "{text}");
            assert!(
                !text.contains("0123") && !text.contains("4567") && !text.contains("89ab"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_json_line_is_json_whatever_the_client_sent() {
        let mut out = Vec::new();
        json(&line(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("}\n"), "{text}");
        assert!(text.contains("\"agent\":\"a \\\"quoted\\\" \\u000a agent \u{fffd}\""), "{text}");
        assert!(text.contains("\"status\":200,\"bytes\":12"), "{text}");
    }

    #[test]
    fn lines_after_a_rotation_go_to_the_new_file() {
        let path = std::env::temp_dir().join(format!("nigh-log-turned-{}", std::process::id()));
        let old = path.with_extension("1");
        let writer = Writer::start(&Place::File(path.clone())).unwrap();
        let (log, reopener) = (writer.log(Format::Combined), writer.reopener());
        log.add(&line());
        log.flush();
        // In the old one until it is opened anew, though it has another name already.
        std::fs::rename(&path, &old).unwrap();
        reopener.reopen();
        log.add(&line());
        log.add(&line());
        drop((log, reopener));
        writer.finish();
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        let counts = (lines(&old), lines(&path));
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&old).unwrap();
        assert_eq!(counts.0 + counts.1, 3);
        assert!(counts.1 >= 2, "{counts:?}");
    }

    #[test]
    fn lines_reach_the_file_when_a_core_ends() {
        let path = std::env::temp_dir().join(format!("nigh-log-{}", std::process::id()));
        let writer = Writer::start(&Place::File(path.clone())).unwrap();
        let log = writer.log(Format::Combined);
        assert_eq!(log.add(&line()), 0);
        drop(log);
        writer.finish();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 1);
    }
}
