//! The command line: what can be said, and what it means when it is not.

mod cluster;
mod dht;
mod forward;
mod overlay;
mod sign;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use nigh_base::ByteSize;
use nigh_cache::{
    evict,
    key::Scheme,
    slices::{SLICE_MAX, SLICE_MIN, Slicing},
};
use nigh_lab::Experiment;
use nigh_net::{access_log, origin};

use crate::{
    admin::CONCURRENCY_MAX,
    ask,
    settings::{self, AdminAddress},
};

pub(crate) use cluster::{Cluster, ClusterVerb, Init, Join, Place, Renew, Revoke, Serve, Token};
pub(crate) use dht::{Dht, DhtVerb, GetItem, Peers, PutItem, Sample, bytes_of_32};
pub(crate) use forward::{ForwardFlags, redirected};
pub(crate) use overlay::{Fetch, Locate, Node, Overlay, Put, Sought, Visit, Way};
pub(crate) use sign::Sign;

/// A content delivery network that you run yourself.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Edge(Box<Edge>),
    Run(Run),
    Check(Check),
    Explain(Explain),
    Apply(Apply),
    /// Have a running edge forget what it has stored, by URL, prefix, host or tag.
    Purge(Purge),
    Drain(Drain),
    Sign(Sign),
    Prefetch(Prefetch),
    Status(Status),
    Top(Top),
    Demo(Demo),
    /// Kill an edge of the demo that runs, as kill -9 does.
    Kill(OfDemo),
    /// Start an edge of the demo again that was killed.
    Revive(OfDemo),
    Cluster(Cluster),
    Node(Box<Node>),
    Locate(Locate),
    Put(Put),
    Fetch(Fetch),
    Dht(Dht),
    Sim(Sim),
}

/// A caching reverse proxy in front of a site, or a caching forward proxy for your own clients.
///
/// Answers from memory what may be answered from memory (RFC 9111), fetches the rest from the origin
/// once for everyone who asks at the same time, and goes on answering while the origin is down, as far
/// as the site allows. Cache-Status on every response says what happened and why.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh edge --to https://origin.example.com
  nigh edge --to http://127.0.0.1:3000 --listen http://0.0.0.0:80 --listen https://0.0.0.0:443 \\
            --tls-cert site.pem --tls-key site.key --memory 4GiB --admin 127.0.0.1:9000
  nigh edge --forward --listen http://192.168.1.1:3128
  curl -x http://192.168.1.1:3128 http://example.com/
  curl -sI http://127.0.0.1:8080/ | grep -i cache-status
  nigh explain http://127.0.0.1:8080/ --admin 127.0.0.1:9000")]
pub(crate) struct Edge {
    /// The origin: `http://HOST:PORT` or `https://HOST:PORT`; the port may be left out.
    #[arg(long, value_name = "URL", value_parser = origin::Settings::parse,
          required_unless_present = "forward")]
    pub(crate) to: Option<origin::Settings>,
    /// Where clients come in; may be given several times. Port 0 is any free one.
    #[arg(long, value_name = "[SCHEME://]ADDR:PORT", default_value = "http://127.0.0.1:8080",
          value_parser = ListenAddress::parse)]
    pub(crate) listen: Vec<ListenAddress>,
    /// The certificate chain for https, in PEM, leaf first. Without it, one for localhost is made
    /// that nobody else trusts.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Memory for the cache, metadata and bodies on their way into it included: never exceeded. What
    /// only passes through counts for `--buffers`.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) memory: ByteSize,
    /// A directory for what is asked for again: it outlives restarts, and may be larger than the
    /// memory. It belongs to one edge alone.
    #[arg(long, value_name = "DIR", requires = "disk_size")]
    pub(crate) disk: Option<PathBuf>,
    /// Bytes that the directory may take, never exceeded.
    #[arg(long, value_name = "SIZE", requires = "disk")]
    pub(crate) disk_size: Option<ByteSize>,
    /// The longest body that is kept in one piece [default: an eighth of the memory]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_object: Option<ByteSize>,
    /// Bytes of the slices that large objects are kept in, or none to keep them as a whole.
    #[arg(long, value_name = "SIZE", default_value_t)]
    pub(crate) slice: SliceSize,
    /// Bodies of more than this are kept in slices, if the origin serves ranges of them.
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    pub(crate) slice_above: ByteSize,
    /// Who leaves first when the memory is full.
    #[arg(long, value_name = "POLICY", default_value_t)]
    pub(crate) eviction: evict::Kind,
    /// Threads that serve [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Where the admin API is served: a loopback address, `unix:PATH` for a socket that only this
    /// user may open, or any address with --admin-token-file.
    #[arg(long, value_name = "ADDR:PORT|unix:PATH")]
    pub(crate) admin: Option<AdminAddress>,
    /// The token that whoever asks there must show, in a file.
    #[arg(long, value_name = "FILE", requires = "admin")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Write a line a request to FILE, or to standard output with `-`.
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// How these lines look: combined or json.
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    pub(crate) log_format: access_log::Format,
    #[command(flatten)]
    pub(crate) origin: OriginFlags,
    #[command(flatten)]
    pub(crate) forward: ForwardFlags,
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
}

impl Edge {
    /// Ends with 2 if the admin address would be open to everybody.
    pub(crate) fn check(&self) {
        let open = self.admin.as_ref().is_some_and(AdminAddress::is_open);
        if open && self.admin_token_file.is_none() {
            let message = "others can reach it: the admin address must be loopback or unix:PATH, or \
                           have a --admin-token-file";
            used_wrongly("edge", ErrorKind::ValueValidation, message);
        }
    }
}

/// A running edge that is asked.
#[derive(Debug, Args)]
pub(crate) struct AskedEdge {
    /// The edge's admin address, or the name of an edge of the demo that runs.
    #[arg(long, value_name = "ADDR:PORT|unix:PATH|NAME", default_value = "127.0.0.1:9000")]
    admin: ask::Place,
    /// The token that the edge wants, in a file; otherwise it is taken from NIGH_ADMIN_TOKEN, if that
    /// is set.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

impl AskedEdge {
    /// The edge, and the token to show it.
    pub(crate) fn edge(&self) -> anyhow::Result<ask::Edge> {
        ask::Edge::at(self.admin.clone(), self.token_file.clone())
    }
}

/// How the origin is spoken to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Origin")]
pub(crate) struct OriginFlags {
    /// Send the client's Host to the origin instead of the origin's own name.
    #[arg(long)]
    pub(crate) keep_host: bool,
    /// Trust the certificates in FILE for the origin, besides this machine's roots.
    #[arg(long, value_name = "FILE")]
    pub(crate) origin_ca: Option<PathBuf>,
    /// Show the origin this certificate, if it asks for one: the chain in PEM, leaf first.
    #[arg(long, value_name = "FILE", requires = "origin_key")]
    pub(crate) origin_cert: Option<PathBuf>,
    /// That certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "origin_cert")]
    pub(crate) origin_key: Option<PathBuf>,
    /// Speak HTTP/2 to an http:// origin without asking; https:// negotiates it.
    #[arg(long)]
    pub(crate) origin_http2: bool,
    /// Time to connect, TLS included.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) origin_connect: Duration,
    /// Time to the first byte of the answer.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) origin_first_byte: Duration,
    /// Time without a byte in the middle of the answer.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) origin_idle: Duration,
    /// Connections to the origin at once, a worker.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) origin_connections: usize,
}

/// What one client may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitFlags {
    /// Bytes of a request's head; more is answered 431.
    #[arg(long, value_name = "SIZE", default_value = "64KiB")]
    pub(crate) max_head: ByteSize,
    /// Bytes of a request's target, at most 63KiB; more is answered 414.
    #[arg(long, value_name = "SIZE", default_value = "16KiB", value_parser = target_size)]
    pub(crate) max_target: ByteSize,
    /// Field lines of a request; more is answered 431.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) max_fields: u16,
    /// Bytes of a request's body; more is answered 413 [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_body: Option<ByteSize>,
    /// Connections at once, in all; more wait in the kernel's queue. (Listeners that accept at the
    /// same moment may exceed it by their number.)
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) max_connections: usize,
    /// Time for a head to arrive whole; a later one is answered 408.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) head_time: Duration,
    /// Time between two requests on a connection.
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = duration)]
    pub(crate) idle_time: Duration,
    /// Time without progress while an answer is sent or a body is read.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) stall_time: Duration,
    /// Bytes a second, on average over the time above, below which a client is too slow; 0 for none.
    #[arg(long, value_name = "RATE", default_value = "256B/s", value_parser = settings::min_rate)]
    pub(crate) min_rate: u64,
    /// Memory for the buffers of all connections and for what only passes through, never exceeded:
    /// at the ceiling accepting pauses, and what would need more is answered 503.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = settings::buffers)]
    pub(crate) buffers: ByteSize,
    /// Time that requests in flight have to end after SIGTERM.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) drain_time: Duration,
}

/// An edge as a settings file describes it: several sites, several origins each, rules for paths.
///
/// SIGHUP reads the file again, and exchanges the sites without losing a request; a file with mistakes
/// changes nothing. What can be written: docs/settings.md.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The settings file.
    #[arg(value_name = "FILE", default_value = "nigh.toml")]
    pub(crate) file: PathBuf,
    /// End at once when standard input does: `nigh demo` holds its other end, however it ends itself.
    #[arg(long, hide = true)]
    pub(crate) until_eof: bool,
}

/// Say what is wrong with a settings file: each mistake with its line, its column and what to write
/// instead.
///
/// Ends with 0 if nothing is wrong and with 1 if something is.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The settings file.
    #[arg(value_name = "FILE", default_value = "nigh.toml")]
    pub(crate) file: PathBuf,
    /// Print JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say what a running edge knows of a URL: its key, its variants, how fresh they are and why, or why
/// nothing was stored.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The URL as a client would ask the edge for it.
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) edge: AskedEdge,
}

/// Say how a running edge is: its addresses, its sites and how their origins are, its memory and disk,
/// and how many requests the cache answers.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) edge: AskedEdge,
}

/// Watch a running edge: requests, hits, bytes, what the origins are asked, and the busiest sites.
///
/// In a terminal the view is redrawn; elsewhere there is a line each time.
#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) edge: AskedEdge,
    /// Time from one look to the next.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = positive)]
    pub(crate) interval: Duration,
    /// End after so many looks [default: never]
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
}

/// Have a running edge fetch URLs into its store before clients ask for them.
///
/// Each is fetched as if a client had asked for it with GET and no special fields. Ends with 0 if all
/// are stored, and with 1 if one is not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh prefetch https://example.com/a https://example.com/b
  nigh prefetch --from urls.txt --concurrency 32
  sort -u access.urls | nigh prefetch --from - --json")]
pub(crate) struct Prefetch {
    /// URLs as clients ask the edge for them.
    #[arg(value_name = "URL", required_unless_present = "from")]
    pub(crate) urls: Vec<String>,
    /// Read URLs from a file, or from standard input with `-`: one a line; empty lines, and lines that
    /// begin with #, do not count.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// So many at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = concurrency)]
    pub(crate) concurrency: usize,
    #[command(flatten)]
    pub(crate) edge: AskedEdge,
}

/// An origin and two clusters of three edges on this machine, `eu` and `us`, to look at, to ask and to
/// break. They live until Ctrl-C.
///
/// What it prints says what to try: edges are reached by name, as in `nigh status --admin eu-2`, and
/// `nigh kill eu-2` kills one.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Run each edge as a process of its own, as `nigh run`.
    #[arg(long)]
    pub(crate) processes: bool,
    /// Have clients ask all edges, kill one and bring it back, have one join, purge, let the origin die; print what
    /// clients and the origin saw, and end.
    #[arg(long)]
    pub(crate) tour: bool,
    /// The directory for settings, certificates and logs, which go when the demo ends [default:
    /// nigh-demo in the user's runtime directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print JSON lines, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Give all edges of a cluster the sites of a settings file, through the control state that they share.
///
/// The file is checked here and by the edge that is asked; what is wrong changes nothing anywhere. Only
/// the `[[site]]` sections are taken. It waits until every edge that is there runs them, 10s at most, and
/// ends with 1 if one does not; that one is named.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh apply sites.toml --admin unix:/run/nigh.sock
  nigh apply sites.toml --after 41        only if nobody has applied others since revision 41
  curl --unix-socket /run/nigh.sock http://localhost/v1/settings      what is applied now")]
pub(crate) struct Apply {
    /// The settings file.
    #[arg(value_name = "FILE", default_value = "nigh.toml")]
    pub(crate) file: PathBuf,
    /// Change nothing if the settings are others by now than those of this revision; 0 if there are to
    /// be none yet.
    #[arg(long, value_name = "REVISION")]
    pub(crate) after: Option<u64>,
    #[command(flatten)]
    pub(crate) edge: AskedEdge,
}

/// An edge of a running demo.
#[derive(Debug, Args)]
pub(crate) struct OfDemo {
    /// Its name, such as eu-2.
    #[arg(value_name = "EDGE")]
    pub(crate) edge: String,
    /// The demo's --dir, if it was given one.
    #[arg(long, value_name = "DIR")]
    pub(crate) demo: Option<PathBuf>,
}

/// Take an edge off the rings of its cluster for as long as you like, and back.
///
/// A drained edge owns nothing: the others take its share over from it, not from the origin, and its
/// /healthz answers 503, so that whoever spreads clients sends none there. Those that come are served all
/// the same. It stays so over restarts, since control state remembers it. Any edge of the cluster can be
/// asked; without EDGE it says which are drained.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh drain eu-2
  nigh drain
  nigh drain eu-2 --undo")]
pub(crate) struct Drain {
    /// The edge's name.
    #[arg(value_name = "EDGE")]
    pub(crate) edge: Option<String>,
    /// Take it back.
    #[arg(long, requires = "edge")]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) asked: AskedEdge,
}

/// Have a running edge forget what it has stored: URLs with all their variants, everything that
/// begins with a prefix, a host, a tag (of Cache-Tag or Surrogate-Key), or all. It takes effect at
/// once, and survives a restart; what is soft becomes stale, and is served for a minute while it is
/// revalidated.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh purge https://example.com/a https://example.com/b
  nigh purge --prefix https://example.com/news/ --soft
  nigh purge --host example.com
  nigh purge --tag article-17
  nigh purge --all")]
pub(crate) struct Purge {
    #[command(flatten)]
    pub(crate) what: Purged,
    /// Make it stale instead of removing it.
    #[arg(long)]
    pub(crate) soft: bool,
    #[command(flatten)]
    pub(crate) edge: AskedEdge,
}

/// What is to be forgotten.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Purged {
    /// URLs as clients ask the edge for them.
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// Everything whose URL begins with this.
    #[arg(long, value_name = "URL")]
    pub(crate) prefix: Option<String>,
    /// Everything of a host, with its port if it is not the scheme's own.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) host: Option<String>,
    /// Everything that carries a tag.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Everything.
    #[arg(long)]
    pub(crate) all: bool,
}

/// Redraw a published figure in the simulator, and judge each of its claims.
///
/// An experiment repeats what a paper did and prints a table and, for each claim, what was published,
/// what was measured here, and whether the two agree. The same seed prints the same. Ends with 0 if
/// every claim matches or has a reason not to, and with 1 if one differs for no known reason.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nigh sim list
  nigh sim chord-load
  nigh sim chord-load --nodes 500 --seed 7 --json
  nigh sim chord-load --out pictures
  nigh sim chord-faults --seeds 1..500
  nigh sim chord-latency --matrix round-trips.txt
  nigh sim hashing --trace web.trace
  nigh sim all")]
pub(crate) struct Sim {
    /// An experiment, or `list` for what there is, or `all` to run them all and write them down:
    /// a page figures.md, and pictures and tables in a folder beside it.
    #[arg(value_name = "list|all|NAME", value_parser = Figures::parse)]
    pub(crate) figures: Figures,
    /// Run with so many nodes instead of as many as in the paper.
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<u64>,
    /// Where all randomness comes from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// For experiments of many runs: the seeds of all of them, A and B among them, or one.
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "seed")]
    pub(crate) seeds: Option<RangeInclusive<u64>>,
    /// Of the faults that one seed plans, take only those at these places.
    #[arg(long, value_name = "STEPS", value_delimiter = ',', requires = "seeds")]
    pub(crate) only: Option<Vec<usize>>,
    /// Round trips between real hosts, for experiments that measure times: milliseconds, a row a
    /// line, as in a square table.
    #[arg(long, value_name = "FILE")]
    pub(crate) matrix: Option<PathBuf>,
    /// Requests of real clients, for experiments that replay some: *.oracleGeneral.bin or *.trace,
    /// as published. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Vec<PathBuf>,
    /// Write the charts (SVG) and the table (CSV) into DIR [default: none, and docs for `all`]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON lines, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which figures are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figures {
    List,
    All,
    One(&'static Experiment),
}

impl Figures {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "list" => Ok(Self::List),
            "all" => Ok(Self::All),
            name => match nigh_lab::find(name) {
                Ok(experiment) => Ok(Self::One(experiment)),
                Err(error) => Err(format!("{error}; `nigh sim list` names them all")),
            },
        }
    }
}

/// An address to listen on, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    pub(crate) scheme: Scheme,
    pub(crate) address: SocketAddr,
}

impl Default for ListenAddress {
    fn default() -> Self {
        Self { scheme: Scheme::Http, address: (Ipv4Addr::LOCALHOST, 8080).into() }
    }
}

impl ListenAddress {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Http, text),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some((other, _)) => return Err(format!("`{other}` is neither http nor https")),
        };
        // `:80` is every address of this machine.
        let rest =
            rest.strip_prefix(':').map_or_else(|| rest.to_owned(), |port| format!("[::]:{port}"));
        let address = rest.trim_end_matches('/').parse().map_err(|_| {
            format!("`{rest}` is no address and port, such as 127.0.0.1:8080, [::1]:8080 or :8080")
        })?;
        Ok(Self { scheme, address })
    }
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must take some time: write 1s".to_owned()),
        time => Ok(time),
    }
}

fn concurrency(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=CONCURRENCY_MAX).contains(number));
    number.ok_or_else(|| format!("`{text}` is no number from 1 to {CONCURRENCY_MAX}"))
}

/// `A..B`, both included, or one number.
fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("`{text}` names no seeds: use 77, or 1..10000")),
    }
}

/// The parser of URIs that the origin's side stands on takes 65,534 bytes.
pub(crate) fn target_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize =
        text.parse().map_err(|error: nigh_base::ByteSizeError| error.to_string())?;
    if size > ByteSize::kib(63) { Err("a target has at most 63KiB".to_owned()) } else { Ok(size) }
}

/// Bytes of a slice; `None` where nothing is sliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SliceSize(pub(crate) Option<ByteSize>);

impl Default for SliceSize {
    fn default() -> Self {
        Self(Some(Slicing::default().size))
    }
}

impl FromStr for SliceSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let size = ByteSize::from_str(text).map_err(|error| error.to_string())?;
        match (SLICE_MIN..=SLICE_MAX).contains(&size) {
            true => Ok(Self(Some(size))),
            false => Err(format!("a slice has {SLICE_MIN} to {SLICE_MAX}; `none` slices nothing")),
        }
    }
}

impl fmt::Display for SliceSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(size) => size.fmt(f),
            None => f.write_str("none"),
        }
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("`{unit}` is no unit of time: use ms, s, m, h or d")),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is no time, such as 500ms or 10s"))?;
    Ok(Duration::from_millis(number.saturating_mul(factor)))
}

/// A time as [`duration`] reads it, in the largest unit that divides it.
pub(crate) fn in_units(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(factor, _)| millis > 0 && millis.is_multiple_of(*factor));
    let (factor, unit) = whole.unwrap_or((1, "ms"));
    format!("{}{unit}", millis / factor)
}

/// Says what was wrong with the words after `verb` and how they go, and ends with 2. A verb of a verb
/// stands behind it: `dht put`.
pub(crate) fn used_wrongly(verb: &str, kind: ErrorKind, message: &str) -> ! {
    let mut command = Cli::command();
    // Built, the verb's usage line begins with the program's name.
    command.build();
    let mut verb_of = &mut command;
    for word in verb.split(' ') {
        verb_of = verb_of.find_subcommand_mut(word).expect("it is one of the verbs");
    }
    verb_of.error(kind, message).exit()
}

/// Prints an error and what caused it, one line each.
#[expect(clippy::print_stderr, reason = "this is where the command speaks to people")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("nigh: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_read_as_people_write_them() {
        for (text, scheme, address) in [
            ("127.0.0.1:80", Scheme::Http, "127.0.0.1:80"),
            ("https://[::1]:8443/", Scheme::Https, "[::1]:8443"),
            (":8080", Scheme::Http, "[::]:8080"),
        ] {
            let parsed = ListenAddress::parse(text).unwrap();
            assert_eq!((parsed.scheme, parsed.address.to_string()), (scheme, address.to_owned()));
        }
        assert!(ListenAddress::parse("ftp://127.0.0.1:21").is_err());
        assert!(ListenAddress::parse("localhost").is_err());
    }

    #[test]
    fn an_admin_address_is_open_unless_it_stays_on_this_machine() {
        let is_open = |text: &str| text.parse::<AdminAddress>().map(|address| address.is_open());
        assert_eq!(is_open("127.0.0.1:9000"), Ok(false));
        assert_eq!(is_open("[::1]:9000"), Ok(false));
        assert_eq!(is_open("unix:/run/nigh.sock"), Ok(false));
        assert_eq!(is_open("0.0.0.0:9000"), Ok(true));
        assert!(is_open("unix:").is_err() && is_open("localhost:9000").is_err());
    }

    #[test]
    fn figures_are_found_by_name_and_a_wrong_name_says_what_there_is() {
        assert!(matches!(Figures::parse("list"), Ok(Figures::List)));
        assert!(matches!(Figures::parse("all"), Ok(Figures::All)));
        assert!(matches!(Figures::parse("chord-load"), Ok(Figures::One(_))));
        let said = Figures::parse("chord-loads").unwrap_err();
        assert!(said.contains("the nearest is `chord-load`; `nigh sim list` names"), "{said}");
    }

    #[test]
    fn seeds_are_one_or_from_one_to_another() {
        assert_eq!(seeds("77"), Ok(77..=77));
        assert_eq!(seeds("1..10000"), Ok(1..=10_000));
        for text in ["", "..", "9..8", "1..", "x", "1..=2"] {
            assert!(seeds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("soon").is_err());
        assert_eq!(duration("5d"), Ok(Duration::from_secs(432_000)));
        assert!(duration("5w").is_err());
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["1ms", "1500ms", "2s", "90s", "2m", "36h", "7d", "0ms"] {
            assert_eq!(in_units(duration(text).unwrap()), text);
        }
        assert_eq!(in_units(Duration::from_secs(3600)), "1h");
    }
}
