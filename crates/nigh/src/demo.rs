//! `nigh demo`: a sample site and an edge on loopback, and what the one does for the other.

use std::{
    future::ready,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use nigh_base::ByteSize;
use nigh_cache::key::Scheme;
use nigh_net::origin;
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::{
    admin,
    cli::{self, ListenAddress},
    edge::{Agreed, Edge, Opened, Stores},
    handover::Given,
    settings::{self, AdminAddress, Settings},
    small_http as small,
};

/// Any free port of this machine's own address.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long the sample site thinks about each answer: what a hit saves.
const THINKING: Duration = Duration::from_millis(80);

/// How long its page is fresh, in seconds; short, so that the show need not wait, but more than the
/// second that Date may have been cut by.
const FRESH: u64 = 2;

/// The memory of the demo's edge.
const MEMORY: ByteSize = ByteSize::mib(64);

/// Runs the show.
pub(crate) fn run(flags: &cli::Demo) -> anyhow::Result<()> {
    let site = Site::start()?;
    let address = site.address;
    let runtime = Runtime::new()?;
    let to = origin::Settings::parse(&format!("http://{address}"))?;
    let settings = Settings {
        node: settings::Node {
            name: "demo".to_owned(),
            listen: vec![ListenAddress { scheme: Scheme::Http, address: ANYWHERE }],
            admin: Some(AdminAddress::Tcp(ANYWHERE)),
            workers: Some(1),
            ..settings::Node::default()
        },
        cache: settings::Cache { memory: MEMORY, ..settings::Cache::default() },
        tls: None,
        limits: settings::Limits::default(),
        forward: None,
        cluster: None,
        sites: vec![settings::Site::for_every_host(to)],
    };
    let mut given = Given::default();
    let opened = Opened::new(&settings, &mut given)?;
    let stores = Stores::take_over(&settings, given)?;
    let mut edge = Edge::start(settings, None, opened, stores, Agreed::default())?;
    let (_, front) = edge.running.addresses[0];
    let admin = {
        let _entered = runtime.enter();
        edge.serve_admin()?;
        edge.admin().and_then(admin::Bound::socket).expect("it is an address")
    };
    let mut stage = Stage { json: flags.json, front, asked: Arc::clone(&site.asked) };
    stage.say("site", &format!("a slow site answers on http://{address}"))?;
    stage.say("edge", &format!("an edge stands in front of it on http://{front}"))?;

    runtime.block_on(stage.ask("the first request is a miss", "fwd=uri-miss"))?;
    runtime.block_on(stage.ask("the second is a hit: the site is not asked", "hit"))?;
    site.stop();
    stage.say("dead", "the site has died")?;
    std::thread::sleep(Duration::from_secs(FRESH + 1));
    let detail = "its page is stale by now, and nobody notices";
    runtime.block_on(stage.ask(detail, "detail=stale-origin-failed"))?;
    let _alive = Site::start_on(address, stage.asked.clone())?;
    stage.say("back", "the site is back")?;
    runtime.block_on(stage.ask("the edge asks it again: nothing has changed", "fwd-status=304"))?;

    if !flags.once {
        stage.say("edge", &format!("try it:  curl -si http://{front}/"))?;
        stage.say("admin", &format!("look in: curl -s http://{admin}/v1/status"))?;
        stage.say("why", &format!("ask why: nigh explain http://{front}/ --admin {admin}"))?;
        stage.say("end", "Ctrl-C ends the demo")?;
        runtime.block_on(tokio::signal::ctrl_c())?;
    }
    edge.drain(Duration::from_secs(2));
    edge.end();
    Ok(())
}

/// Where the show is seen.
struct Stage {
    json: bool,
    front: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Stage {
    fn say(&mut self, what: &str, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "what": what, "text": text }))?;
        } else {
            writeln!(out, "{what:>6}  {text}")?;
        }
        Ok(out.flush()?)
    }

    /// Asks the edge for the page, prints what came, and fails if it is not what was announced.
    async fn ask(&mut self, text: &str, expected: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        let got = small::ask(Method::GET, self.front, "/").await?;
        let took = started.elapsed();
        let status = got.fields.get("cache-status").and_then(|value| value.to_str().ok());
        let status = status.context("the edge sent no Cache-Status")?;
        ensure!(got.status == StatusCode::OK, "the edge answered {}", got.status);
        ensure!(!got.body.is_empty(), "the edge sent no page");
        ensure!(status.contains(expected), "expected {expected}, and the edge said: {status}");
        let asked = self.asked.load(Ordering::Relaxed);
        let millis = took.as_secs_f64() * 1e3;
        let mut out = std::io::stdout().lock();
        if self.json {
            let line = json!({ "what": "request", "text": text, "status": got.status.as_u16(),
                "milliseconds": millis, "cache_status": status, "site_asked": asked });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "   GET  {text}")?;
            writeln!(
                out,
                "        {} in {millis:.1} ms; requests to the site so far: {asked}",
                got.status
            )?;
            writeln!(out, "        Cache-Status: {status}")?;
        }
        Ok(out.flush()?)
    }
}

/// A site with one page, on a thread of its own so that it can die.
struct Site {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
    runtime: Runtime,
}

impl Site {
    fn start() -> anyhow::Result<Self> {
        Self::start_on(ANYWHERE, Arc::default())
    }

    fn start_on(address: SocketAddr, asked: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .with_context(|| format!("the sample site cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let count = Arc::clone(&asked);
        runtime.spawn(small::serve(listener, move |request| ready(page(&request, &count))));
        Ok(Self { address, asked, runtime })
    }

    /// Dies: the port is closed, and so is every connection.
    fn stop(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

fn page(request: &Request<Incoming>, asked: &AtomicU64) -> Response<Full<Bytes>> {
    std::thread::sleep(THINKING);
    asked.fetch_add(1, Ordering::Relaxed);
    let tag = "\"one\"";
    let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|held| held == tag);
    let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let body =
        if known { "" } else { "<!doctype html><title>nigh</title><p>Hello from far away.\n" };
    let mut response = small::text(status, "text/html; charset=utf-8", body.to_owned());
    let fields = response.headers_mut();
    fields.insert(header::ETAG, header::HeaderValue::from_static("\"one\""));
    fields.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::try_from(format!("max-age={FRESH}")).expect("a number"),
    );
    response
}
