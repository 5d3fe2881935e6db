//! nigh for minutes on end: objects of all sizes that come and go, twice as many bytes as its memory
//! may hold, a disk beneath, slices, purges, clients who hang up, and HTTP/2; and what its memory does
//! meanwhile.
//!
//! Two things are judged: the process stays below the ceiling and a constant, and it does not creep.

use super::{
    Error, LOAD_CORE, NGINX, PEER_CORE, TOOLS,
    goals::middle,
    load::{self, Load},
    origin::EdgeOrigin,
    peer::{self, Keeping, Kind, Peer, Site},
    pin_to_load_core,
};
use crate::{
    host::{self, Scratch, Turn, check_interrupt, progress},
    http1::Connection,
    markdown::Table,
    process::memory_bytes,
};
use nigh_base::Rng;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// For how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long, in minutes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// The release binary of nigh, instead of one that cargo builds now
    #[arg(long, value_name = "PATH")]
    nigh: Option<PathBuf>,
}

const MEMORY_MIB: u32 = 64;
/// The disk holds the working set once, so that segments leave.
const KEEPING: Keeping = Keeping { memory_mib: MEMORY_MIB, on_disk: true, disk_mib: 512 };
/// What the process may take beside the ceiling: the program (30 MiB), marks and index of the disk
/// store (10 MiB), its writer's buffer and what is being read (20 MiB), windows of what passes
/// through (256 KiB for each of 40 clients), and what an allocator holds back.
const BESIDE_MIB: f64 = 96.0;
/// How much the last quarter's median may lie above the second's; the first is for filling.
const CREEP_MIB: f64 = 4.0;
/// Objects of each size at any time: 128 MiB, twice the memory.
const SIZES: [(&str, u64); 5] =
    [("1k", 11_000), ("10k", 1_500), ("100k", 300), ("1m", 32), ("10m", 4)];
const LARGE: (&str, u64) = SIZES[4];
const LARGE_BYTES: u64 = 10 << 20;
/// After so long every object has been replaced by another.
const LIFE: Duration = Duration::from_secs(40);
const READERS: u64 = 8;
const SEEKERS: u64 = 2;
const QUITTERS: u64 = 2;
/// How long who hangs up has waited, at most.
const PATIENCE: Duration = Duration::from_millis(20);
const PURGE_EVERY: Duration = Duration::from_millis(500);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const HTTP2_SECONDS: u32 = 5;
/// Errors of so many kinds are told apart.
const ERRORS_MAX: usize = 16;

/// What all clients share.
struct Crowd {
    server: SocketAddr,
    began: Instant,
    over: AtomicBool,
    answers: AtomicU64,
    /// Answers that are no success, and connections that broke: how often each.
    errors: Mutex<BTreeMap<String, u64>>,
}

/// What was seen at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident_mib: f64,
    store_mib: f64,
    disk_mib: f64,
}

/// Soaks, and returns what is to be printed.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Error> {
    let mut programs = vec![load::H2LOAD, NGINX];
    programs.extend(TOOLS);
    host::need(&programs)?;
    let nigh = host::nigh(arguments.nigh.as_deref())?;
    host::watch_signals();
    pin_to_load_core();
    let scratch = Scratch::new()?;
    let silent = |error| Error::Silent("nigh".to_owned(), error);
    let [origin_port] = peer::free_ports().map_err(silent)?;
    let site = Site { scratch: &scratch, nigh: &nigh, core: PEER_CORE, origin_port };
    site.write_certificate()?;
    // It takes the whole machine, ports and all.
    let _turn = Turn::take()?;
    let _origin = EdgeOrigin::start(&site, LOAD_CORE)?;
    let peer = Peer::start(Kind::Nigh, &site, KEEPING)?;
    let crowd = Crowd {
        server: peer.server.address(),
        began: Instant::now(),
        over: AtomicBool::new(false),
        answers: AtomicU64::new(0),
        errors: Mutex::default(),
    };
    let length = Duration::from_secs(u64::from(arguments.minutes) * 60);
    let samples = thread::scope(|scope| {
        for number in 0..READERS {
            let crowd = &crowd;
            scope.spawn(move || crowd.stay(number, Crowd::read));
        }
        for number in 0..SEEKERS {
            let crowd = &crowd;
            scope.spawn(move || crowd.stay(100 + number, Crowd::seek));
        }
        for number in 0..QUITTERS {
            let crowd = &crowd;
            scope.spawn(move || crowd.quit(200 + number));
        }
        scope.spawn(|| crowd.purge(peer.admin()));
        let samples = watch(&peer, &crowd, length, &scratch);
        crowd.over.store(true, Ordering::Relaxed);
        samples
    })?;
    Ok(report(&samples, &crowd))
}

/// Samples once a second, with HTTP/2 beside it, which programs of others speak.
fn watch(
    peer: &Peer,
    crowd: &Crowd,
    length: Duration,
    scratch: &Scratch,
) -> Result<Vec<Sample>, Error> {
    let silent = |error| Error::Silent("nigh".to_owned(), error);
    let failed = |error| Error::Load(Kind::Nigh, error);
    let http2 = Load::Http2 { path: "/o/10k", connections: 8, streams: 10 };
    let mut samples = Vec::new();
    thread::scope(|scope| {
        while crowd.began.elapsed() < length {
            check_interrupt()?;
            let sampler = scope.spawn(|| sample_for(peer, HTTP2_SECONDS));
            // Programs are started by this thread alone: they end when it does.
            let outcome = http2.run(peer, HTTP2_SECONDS, LOAD_CORE, &scratch.memory);
            let sampled = sampler.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
            samples.extend(sampled.map_err(silent)?);
            if outcome.map_err(failed)?.errors > 0.0 {
                crowd.note("an error over HTTP/2");
            }
            if let Some(last) = samples.last() {
                progress(&format!(
                    "soak, {} s: {:.0} MiB resident, {:.0} MiB stored, {:.0} MiB on the disk",
                    crowd.began.elapsed().as_secs(),
                    last.resident_mib,
                    last.store_mib,
                    last.disk_mib,
                ));
            }
        }
        Ok(samples)
    })
}

fn sample_for(peer: &Peer, times: u32) -> io::Result<Vec<Sample>> {
    const MIB: f64 = 1024.0 * 1024.0;
    let one = |_| {
        thread::sleep(SAMPLE_EVERY);
        Ok(Sample {
            resident_mib: memory_bytes(&peer.server.processes()) / MIB,
            store_mib: peer.metric("nigh_store_bytes")? / MIB,
            disk_mib: peer.metric("nigh_disk_bytes")? / MIB,
        })
    };
    (0..times).map(one).collect()
}

impl Crowd {
    /// Something went wrong.
    fn note(&self, what: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < ERRORS_MAX || errors.contains_key(what) {
            *errors.entry(what.to_owned()).or_default() += 1;
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A path of an object of this size; which there are, changes all the time.
    fn path(&self, rng: &mut Rng, (name, count): (&str, u64)) -> String {
        let passed = self.began.elapsed().as_millis() * u128::from(count) / LIFE.as_millis();
        let number = u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(rng.below(count));
        // A part of them has a tag.
        let folder = if number.is_multiple_of(4) { "tagged" } else { "o" };
        format!("/{folder}/{name}?{number}")
    }

    /// Asks over connections that are kept until they break.
    fn stay(&self, seed: u64, ask: fn(&Self, &mut Rng, &mut Connection) -> io::Result<()>) {
        let mut rng = Rng::new(seed);
        while !self.is_over() {
            let answers = Connection::open(self.server).and_then(|mut connection| {
                while !self.is_over() {
                    ask(self, &mut rng, &mut connection)?;
                    self.answers.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
            if let Err(error) = answers {
                self.note(&error.to_string());
            }
        }
    }

    fn read(&self, rng: &mut Rng, connection: &mut Connection) -> io::Result<()> {
        let (name, count) = SIZES[rng.index(SIZES.len())];
        let path = self.path(rng, (name, count));
        let response = connection.get(&path, None);
        let response = response.map_err(|error| named(name, &error))?;
        if !response.is_success() {
            self.note(&format!("{name}: {}", response.status));
        }
        Ok(())
    }

    /// A part of a large object.
    fn seek(&self, rng: &mut Rng, connection: &mut Connection) -> io::Result<()> {
        let first = rng.below(LARGE_BYTES);
        let last = (first + rng.below(2 << 20)).min(LARGE_BYTES - 1);
        let path = self.path(rng, LARGE);
        let response = connection.get(&path, Some((first, last)));
        let response = response.map_err(|error| named("a range", &error))?;
        if response.status != 206 || response.body_bytes != last - first + 1 {
            self.note(&format!("a range: {}", response.status));
        }
        Ok(())
    }

    /// Asks for something and hangs up before it is there.
    fn quit(&self, seed: u64) {
        let mut rng = Rng::new(seed);
        while !self.is_over() {
            let size = SIZES[2 + rng.index(3)];
            let path = self.path(&mut rng, size);
            let asked = Connection::open(self.server).and_then(|mut connection| {
                connection.send([(&*path, None)])?;
                thread::sleep(rng.between(Duration::ZERO, PATIENCE));
                Ok(())
            });
            if let Err(error) = asked {
                self.note(&error.to_string());
            }
        }
    }

    /// Purges a little of everything.
    fn purge(&self, admin: SocketAddr) {
        let mut rng = Rng::new(300);
        let base = format!("http://{}", self.server);
        while !self.is_over() {
            thread::sleep(PURGE_EVERY);
            let size = SIZES[rng.index(SIZES.len())];
            let path = self.path(&mut rng, size).replace('?', "%3F");
            let what = match rng.below(20) {
                0 => "tag=tagged".to_owned(),
                1 => "tag=tagged&soft".to_owned(),
                2 => format!("prefix={base}/o/{}", size.0),
                3 => "all".to_owned(),
                4..8 => format!("url={base}{path}&soft"),
                _ => format!("url={base}{path}"),
            };
            let said = Connection::open(admin)
                .and_then(|mut admin| admin.post(&format!("/v1/purge?{what}")));
            match said {
                Ok(said) if said.contains("\"durable\":true") => {}
                Ok(said) => self.note(&format!("a purge: {said}")),
                Err(error) => self.note(&named("a purge", &error).to_string()),
            }
        }
    }
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn report(samples: &[Sample], crowd: &Crowd) -> String {
    let mut table =
        Table::new(["quarter", "resident MiB, median", "most", "stored MiB", "disk MiB"]);
    let quarter = samples.len().div_ceil(4).max(1);
    let mut medians = Vec::new();
    for (number, samples) in samples.chunks(quarter).enumerate() {
        let median = |of: fn(&Sample) -> f64| middle(samples.iter().map(of).collect());
        medians.push(median(|it| it.resident_mib));
        table.row(vec![
            (number + 1).to_string(),
            format!("{:.1}", median(|it| it.resident_mib)),
            format!("{:.1}", most(samples)),
            format!("{:.1}", median(|it| it.store_mib)),
            format!("{:.1}", median(|it| it.disk_mib)),
        ]);
    }
    let ceiling = f64::from(MEMORY_MIB) + BESIDE_MIB;
    let creep = medians.last().zip(medians.get(1)).map_or(0.0, |(last, second)| last - second);
    let errors = crowd.errors.lock().unwrap_or_else(PoisonError::into_inner);
    let errors_all: u64 = errors.values().sum();
    let mut goals = Table::new(["goal", "figure", "at most", "met"]);
    let mut goal = |what: &str, figure: f64, at_most: f64| {
        let met = if figure <= at_most { "yes" } else { "no" };
        let cells = [what, &format!("{figure:.1}"), &format!("{at_most:.0}"), met];
        goals.row(cells.map(str::to_owned).to_vec());
    };
    goal("the process, MiB", most(samples), ceiling);
    goal("the last quarter above the second, MiB", creep, CREEP_MIB);
    goal("errors", f64::from(u32::try_from(errors_all).unwrap_or(u32::MAX)), 0.0);
    let answers = crowd.answers.load(Ordering::Relaxed);
    let mut text = format!("{}\n{}\n{answers} answers over HTTP/1.1\n", table.text(), goals.text());
    for (what, times) in errors.iter() {
        text.push_str(&format!("{times} times: {what}\n"));
    }
    text
}

fn most(samples: &[Sample]) -> f64 {
    samples.iter().map(|sample| sample.resident_mib).fold(0.0, f64::max)
}
