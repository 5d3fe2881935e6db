//! Load from wrk, h2load, curl and clients of our own, and what they say about it.

use super::{bulk, peer::Peer, rate::unique, set::Set};
use crate::{host::Program, process::Place};
use std::{fs, io, path::Path, process::Output, time::Duration};

/// wrk, for HTTP/1.1.
pub(crate) const WRK: Program = Program { name: "wrk", package: "wrk" };
/// h2load, for HTTP/2 and for HTTP/1.1 over TLS.
pub(crate) const H2LOAD: Program = Program { name: "h2load", package: "nghttp2-client" };
/// An answer that takes longer is an error.
const TIMEOUT: &str = "20s";
/// Servers differ in what they prefer; the client's choice makes the work the same.
pub(super) const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// What to do to a server.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// Requests over persistent connections, one at a time on each.
    Http1 {
        /// What is asked for.
        path: &'static str,
        /// How many connections.
        connections: usize,
    },
    /// The same over TLS.
    Tls {
        /// What is asked for.
        path: &'static str,
        /// How many connections.
        connections: usize,
    },
    /// The same at a fixed rate, however fast the answers come.
    Steady {
        /// What is asked for.
        path: &'static str,
        /// How many connections.
        connections: usize,
        /// Requests a second on each.
        each_per_second: usize,
    },
    /// The same, with a wrk script, which is given a word that no other run has.
    Scripted {
        /// How many connections.
        connections: usize,
        /// In Lua.
        script: &'static str,
    },
    /// HTTP/2 over TLS.
    Http2 {
        /// What is asked for.
        path: &'static str,
        /// How many connections.
        connections: usize,
        /// Requests at a time on each.
        streams: usize,
    },
    /// Clients of our own, over persistent connections.
    Set {
        /// What is asked for.
        set: Set,
        /// How many connections.
        connections: usize,
        /// All of it once, instead of again and again.
        once: bool,
    },
    /// Clients who get one large object once.
    Bulk {
        /// The object.
        path: &'static str,
        /// How many clients.
        clients: usize,
        /// Over TLS.
        tls: bool,
    },
}

/// What the load saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) bytes: f64,
    /// Requests that failed or timed out, or whose answer was no success.
    pub(crate) errors: f64,
}

impl Outcome {
    /// Of requests that took so long, or failed; each brought `bytes`. None if all failed.
    pub(super) fn of(times: &[Option<Duration>], bytes: u32, wall: Duration) -> Option<Self> {
        let mut sorted: Vec<Duration> = times.iter().flatten().copied().collect();
        sorted.sort_unstable();
        let bytes = f64::from(bytes);
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let percentile = |percent: usize| {
            let index = (sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?);
            Some(sorted[index].as_secs_f64() * 1e3)
        };
        Some(Self {
            requests: count(sorted.len()),
            seconds: wall.as_secs_f64(),
            p50_ms: percentile(50)?,
            p99_ms: percentile(99)?,
            bytes: count(sorted.len()) * bytes,
            errors: count(times.len() - sorted.len()),
        })
    }
}

/// Why the load says nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It could not be run, or its files could not be used.
    #[error("the load cannot be run")]
    Unusable(#[source] io::Error),
    /// It ran, but not to its end.
    #[error("the load gave no figures; it said: {0}")]
    Silent(String),
}

impl Load {
    /// Applies the load to `peer` from `core`: for so many seconds, or once. `scratch` is on a tmpfs.
    pub(crate) fn run(
        &self,
        peer: &Peer,
        seconds: u32,
        core: usize,
        scratch: &Path,
    ) -> Result<Outcome, Error> {
        match *self {
            Self::Http1 { path, connections } => {
                wrk(&peer.http(path), connections, seconds, core, None)
            }
            Self::Scripted { connections, script } => {
                let path = scratch.join("script.lua");
                fs::write(&path, script).map_err(Error::Unusable)?;
                wrk(&peer.http("/"), connections, seconds, core, Some((&path, &unique())))
            }
            Self::Steady { path, connections, each_per_second } => {
                let rate = format!("--rps={each_per_second}");
                h2load(&peer.http(path), connections, &["--h1", &rate], seconds, core, scratch)
            }
            Self::Tls { path, connections } => {
                h2load(&peer.https(path), connections, &["--h1"], seconds, core, scratch)
            }
            Self::Http2 { path, connections, streams } => {
                let streams = format!("--max-concurrent-streams={streams}");
                h2load(&peer.https(path), connections, &[&streams], seconds, core, scratch)
            }
            Self::Set { set, connections, once } => {
                let seconds = (!once).then_some(seconds);
                set.read(peer.server.address(), connections, seconds).map_err(Error::Unusable)
            }
            Self::Bulk { path, clients, tls } => {
                let url = if tls { peer.https(path) } else { peer.http(path) };
                bulk::read(&url, clients, core)
            }
        }
    }

    /// The objects that have to be stored before, if a second of the load is not enough for that.
    pub(crate) fn objects(&self) -> Option<Vec<String>> {
        match *self {
            Self::Set { set, .. } => Some(set.objects()),
            Self::Bulk { path, .. } => Some(vec![path.to_owned()]),
            _ => None,
        }
    }
}

fn wrk(
    url: &str,
    connections: usize,
    seconds: u32,
    core: usize,
    script: Option<(&Path, &str)>,
) -> Result<Outcome, Error> {
    let mut command = Place::core(core).command(WRK.name);
    command.args(["--threads", "1", "--latency", "--timeout", TIMEOUT]);
    command.arg("--connections").arg(connections.to_string());
    command.arg("--duration").arg(format!("{seconds}s"));
    if let Some((path, _)) = script {
        command.arg("--script").arg(path);
    }
    command.arg(url);
    if let Some((_, argument)) = script {
        command.arg("--").arg(argument);
    }
    let output = command.output().map_err(Error::Unusable)?;
    parse_wrk(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| silent(&output))
}

fn h2load(
    url: &str,
    connections: usize,
    manner: &[&str],
    seconds: u32,
    core: usize,
    scratch: &Path,
) -> Result<Outcome, Error> {
    let log = &scratch.join("h2load.log");
    // It adds to a file that is there.
    let _ = fs::remove_file(log);
    let mut command = Place::core(core).command(H2LOAD.name);
    command.arg("--threads=1").arg(format!("--clients={connections}"));
    command.args(manner);
    command.arg(format!("--duration={seconds}")).arg(format!("--tls13-ciphers={CIPHER}"));
    command.arg(format!("--log-file={}", log.display())).arg(url);
    let output = command.output().map_err(Error::Unusable)?;
    let requests = fs::read_to_string(log).map_err(|_| silent(&output))?;
    let _ = fs::remove_file(log);
    let text = String::from_utf8_lossy(&output.stdout);
    parse_h2load(&text, &requests).ok_or_else(|| silent(&output))
}

fn silent(output: &Output) -> Error {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    Error::Silent(lines[lines.len().saturating_sub(3)..].join("; "))
}

/// What wrk prints: latencies by percentile, "N requests in S, B read", and errors if there are.
fn parse_wrk(text: &str) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["50%", value] => outcome.p50_ms = seconds(value)? * 1e3,
            ["99%", value] => outcome.p99_ms = seconds(value)? * 1e3,
            [requests, "requests", "in", time, bytes, "read"] => {
                outcome.requests = requests.parse().ok()?;
                outcome.seconds = seconds(time.trim_end_matches(','))?;
                outcome.bytes = size(bytes)?;
            }
            ["Socket", "errors:", "connect", a, "read", b, "write", c, "timeout", d] => {
                for count in [a, b, c, d] {
                    outcome.errors += count.trim_end_matches(',').parse::<f64>().ok()?;
                }
            }
            ["Non-2xx", "or", "3xx", "responses:", count] => {
                outcome.errors += count.parse::<f64>().ok()?;
            }
            _ => {}
        }
    }
    (outcome.requests > 0.0 && outcome.seconds > 0.0).then_some(outcome)
}

/// What h2load prints, and its log: start in microseconds, status and microseconds of each request.
fn parse_h2load(text: &str, log: &str) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("finished in ") {
            let mut parts = rest.split(", ");
            outcome.seconds = seconds(parts.next()?)?;
            outcome.bytes = size(parts.nth(1)?.strip_suffix("/s")?)? * outcome.seconds;
        } else if let Some(rest) = line.strip_prefix("requests: ") {
            let count = |label: &str| {
                let part = rest.split(", ").find_map(|part| part.strip_suffix(label));
                part?.trim().parse::<f64>().ok()
            };
            outcome.requests = count("succeeded")?;
            // Those that failed include the ones that ended in an error or too late.
            outcome.errors = count("failed")?;
        }
    }
    let mut times_us: Vec<u64> = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t').skip(1);
        if fields.next()? == "200" {
            times_us.push(fields.next()?.parse().ok()?);
        }
    }
    times_us.sort_unstable();
    let percentile = |percent: usize| {
        let index = (times_us.len() * percent / 100).min(times_us.len().checked_sub(1)?);
        Some(Duration::from_micros(times_us[index]).as_secs_f64() * 1e3)
    };
    (outcome.p50_ms, outcome.p99_ms) = (percentile(50)?, percentile(99)?);
    (outcome.requests > 0.0 && outcome.seconds > 0.0).then_some(outcome)
}

/// `1.5ms` in seconds.
fn seconds(text: &str) -> Option<f64> {
    scaled(text, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)])
}

/// `1.5MB` in bytes; both programs mean powers of 1024.
fn size(text: &str) -> Option<f64> {
    let (kib, mib, gib) = (1024.0, 1024.0 * 1024.0, 1024.0 * 1024.0 * 1024.0);
    scaled(text, &[("KB", kib), ("MB", mib), ("GB", gib), ("TB", gib * kib), ("B", 1.0)])
}

fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK_OUTPUT: &str = "\
Running 2s test @ http://127.0.0.1:18000/o/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   651.08us  144.11us   5.52ms   92.34%
    Req/Sec    97.15k     2.34k  101.50k    85.00%
  Latency Distribution
     50%  632.00us
     75%  668.00us
     90%  727.00us
     99%    1.21ms
  193405 requests in 2.00s, 238.10MB read
";
    const H2LOAD_OUTPUT: &str = "\
starting benchmark...
TLS Protocol: TLSv1.3
Application protocol: h2

finished in 3.00s, 70000.50 req/s, 72.50MB/s
requests: 210002 total, 210642 started, 210002 done, 210001 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 210001 2xx, 0 3xx, 0 4xx, 1 5xx
";

    #[test]
    fn wrk_is_understood() {
        let outcome = parse_wrk(WRK_OUTPUT).unwrap();
        assert_eq!((outcome.requests, outcome.seconds), (193_405.0, 2.0));
        assert!((outcome.p50_ms - 0.632).abs() < 1e-9 && (outcome.p99_ms - 1.21).abs() < 1e-9);
        assert!((outcome.bytes - 238.10 * 1024.0 * 1024.0).abs() < 1.0);
        assert_eq!(outcome.errors, 0.0);
    }

    #[test]
    fn errors_of_every_kind_count() {
        let errors = "  Socket errors: connect 1, read 2, write 0, timeout 4\n  \
                      Non-2xx or 3xx responses: 10\n";
        assert_eq!(parse_wrk(&format!("{WRK_OUTPUT}{errors}")).unwrap().errors, 17.0);
    }

    #[test]
    fn h2load_is_understood_with_its_log() {
        let log: String = (1..=200).map(|us| format!("1700000000000000\t200\t{us}\n")).collect();
        let outcome = parse_h2load(H2LOAD_OUTPUT, &(log + "1700000000000000\t502\t9\n")).unwrap();
        assert_eq!((outcome.requests, outcome.errors), (210_001.0, 1.0));
        assert!((outcome.p50_ms - 0.101).abs() < 1e-9, "{}", outcome.p50_ms);
        assert!((outcome.p99_ms - 0.199).abs() < 1e-9, "{}", outcome.p99_ms);
        assert!((outcome.bytes - 217.5 * 1024.0 * 1024.0).abs() < 1.0);
    }

    #[test]
    fn what_broke_off_has_no_figures() {
        assert_eq!(parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
        assert_eq!(parse_h2load("", ""), None);
        assert_eq!(parse_h2load(H2LOAD_OUTPUT, ""), None);
    }

    #[test]
    fn units_are_those_of_both_programs() {
        assert_eq!(seconds("1.50m"), Some(90.0));
        assert_eq!(seconds("250us"), Some(0.000_25));
        assert_eq!(size("1.50KB"), Some(1536.0));
        assert_eq!((size("12B"), size("12"), seconds("x")), (Some(12.0), None, None));
    }
}
