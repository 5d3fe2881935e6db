//! The admin API, on loopback: `/metrics`, `/healthz`, `/v1/status`, `/v1/explain?url=`, and
//! `POST /v1/purge?…`.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{ask, edge::Running, metrics, purge, settings, small_http};

/// Answers on a socket from now on, on the runtime that this is called in; says where. The socket must
/// not block.
pub(crate) fn serve(
    socket: std::net::TcpListener,
    running: Arc<Running>,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::from_std(socket)?;
    let address = listener.local_addr()?;
    tokio::spawn(small_http::serve(listener, move |request| {
        let running = Arc::clone(&running);
        async move { answer(&request, &running).await }
    }));
    Ok(address)
}

/// What a running edge answers to a question at its admin address.
pub(crate) fn ask(method: Method, address: SocketAddr, path: &str) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let got = runtime
        .block_on(small_http::ask(method, address, path))
        .with_context(|| format!("no edge answers: is it running with --admin {address}?"))?;
    let answer: Value = serde_json::from_slice(&got.body).context("that is no nigh edge")?;
    if !got.status.is_success() {
        bail!("{}", answer["detail"].as_str().unwrap_or("the edge refused the question"));
    }
    Ok(answer)
}

async fn answer(request: &Request<Incoming>, running: &Running) -> Response<Full<Bytes>> {
    let problem = |status, detail: &str| {
        small_http::text(
            status,
            nigh_edge::problem::CONTENT_TYPE,
            nigh_edge::problem::body(status, detail),
        )
    };
    // A page in a browser on this machine must not read this by a name of its own (DNS rebinding).
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_loopback) {
        return problem(StatusCode::FORBIDDEN, "ask by a loopback address");
    }
    let path = request.uri().path();
    // Nor may one write: a form of its own would carry its origin along.
    if request.headers().contains_key(http::header::ORIGIN) {
        return problem(StatusCode::FORBIDDEN, "this API is not for pages in browsers");
    }
    if *request.method() == Method::POST && path == "/v1/purge" {
        let query = request.uri().query().unwrap_or_default();
        return match purge::answer(running, query).await {
            Ok(answer) => json_text(&answer),
            Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        };
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) || path == "/v1/purge" {
        return problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "this API is read by GET, and POST is for /v1/purge",
        );
    }
    match path {
        "/healthz" => small_http::text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/metrics" => {
            small_http::text(StatusCode::OK, metrics::CONTENT_TYPE, metrics::page(running))
        }
        "/v1/status" => json_text(&status(running)),
        "/v1/explain" => {
            let url = request.uri().query().and_then(|query| {
                query.split('&').find_map(|pair| pair.strip_prefix("url=")).map(ask::percent_decode)
            });
            match url.as_deref().map(|url| ask::explain(running, url, nigh_net::clock::now())) {
                Some(Ok(answer)) => json_text(&answer),
                Some(Err(error)) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
                None => problem(StatusCode::BAD_REQUEST, "say which: /v1/explain?url=URL"),
            }
        }
        _ => problem(
            StatusCode::NOT_FOUND,
            "there are /healthz, /metrics, /v1/status, /v1/explain?url=URL and /v1/purge",
        ),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn json_text(value: &Value) -> Response<Full<Bytes>> {
    small_http::text(StatusCode::OK, "application/json", format!("{value}\n"))
}

fn site(site: &settings::Site) -> Value {
    let hosts: Vec<_> = site.hosts.iter().map(ToString::to_string).collect();
    let origins: Vec<_> = site.origins.iter().map(|origin| origin.settings.url()).collect();
    json!({ "hosts": hosts, "origins": origins })
}

fn status(running: &Running) -> Value {
    let store = running.store.statistics();
    let totals = running.registry.totals();
    let listen: Vec<String> = running
        .addresses
        .iter()
        .map(|(scheme, address)| format!("{}://{address}", scheme.as_str()))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": running.since.elapsed().as_secs(),
        "name": running.name,
        "sites": running.sites().iter().map(site).collect::<Vec<_>>(),
        "listen": listen,
        "connections": running.open.count(),
        "requests": { "hit": totals.hit, "forwarded": totals.forwarded, "own": totals.own },
        "collapsed": totals.collapsed,
        "stale": totals.stale,
        "origin_requests": totals.origin_request,
        "origin_failures": totals.origin_failure,
        "store": {
            "objects": store.objects,
            "used_bytes": store.used,
            "ceiling_bytes": store.ceiling,
            "inserted": store.inserted,
            "evicted": store.evicted,
            "removed": store.removed,
            "refused": store.refused,
            "purge_rules": running.store.purges().len(),
        },
        "disk": running.disk.as_ref().map(|disk| {
            let numbers = disk.numbers();
            json!({
                "objects": numbers.objects,
                "used_bytes": numbers.log.used,
                "ceiling_bytes": numbers.size,
                "unread_segments": numbers.log.unread,
                "read": numbers.read,
                "written": numbers.log.written,
                "rewritten": numbers.log.rewritten,
                "evicted": numbers.log.evicted,
                "lost": numbers.log.lost,
                "dropped": numbers.dropped,
                "unreadable": numbers.unreadable,
                "damaged": numbers.damaged,
                "failures": numbers.log.failed,
            })
        }),
    })
}
