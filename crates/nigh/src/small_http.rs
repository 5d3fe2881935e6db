//! The small HTTP that the command itself speaks to edges of its own: one request at a time.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 16 << 20;

/// What came back; the whole of the body came too, and was not kept.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
}

/// Asks `address` for `path`, over a connection of its own.
pub(crate) async fn ask(method: Method, address: SocketAddr, path: &str) -> anyhow::Result<Got> {
    ask_of(&address.to_string(), method, address, path).await
}

/// The same, of the site with this host.
pub(crate) async fn ask_of(
    host: &str,
    method: Method,
    address: SocketAddr,
    path: &str,
) -> anyhow::Result<Got> {
    let asking = async {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .body(Empty::<Bytes>::new())
            .context("no valid request")?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
        driver.abort();
        anyhow::Ok(Got { status: head.status, fields: head.headers })
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .with_context(|| format!("{address} does not answer"))?
}
