//! Asking a running edge at its admin address: what `nigh status`, `top`, `explain`, `purge` and
//! `prefetch` have in common.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use nigh_net::cluster::name::Name;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::{
    admin::Token,
    demo::{self, place::admin_of},
    settings::Secret,
};

/// The variable that holds the token, if no file does.
const TOKEN_VARIABLE: &str = "NIGH_ADMIN_TOKEN";

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 << 20;

/// Where an edge is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A host and a port.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a socket has a name: write unix:/run/nigh.sock".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let is_authority = authority.parse::<http::uri::Authority>().is_ok();
        if text.starts_with("https://") || port.is_none() || !is_authority {
            return Err(format!(
                "`{text}` is no admin address: write 127.0.0.1:9000, http://HOST:PORT or unix:PATH"
            ));
        }
        Ok(Self::Tcp(authority.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How whoever asks says where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By an address.
    At(Address),
    /// By the name of an edge of the demo that runs on this machine.
    Demo(Name),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A name has neither a colon nor a dot, and an address has one.
        text.parse().map(Self::Demo).or_else(|_| text.parse().map(Self::At))
    }
}

impl Place {
    /// Looks who has the name, if that is what was said.
    fn address(self) -> anyhow::Result<Address> {
        Ok(match self {
            Self::At(address) => address,
            Self::Demo(name) => Address::Tcp(admin_of(name.as_str())?.to_string()),
        })
    }
}

/// An edge that is asked, and by which right.
#[derive(Debug)]
pub(crate) struct Edge {
    address: Address,
    token: Option<Token>,
}

impl Edge {
    /// The edge at a place; the token lies in a file, or in the environment, if it wants one.
    pub(crate) fn at(place: Place, token_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let variable = || Secret::Environment(TOKEN_VARIABLE.to_owned());
        let there = || std::env::var_os(TOKEN_VARIABLE).map(|_| variable());
        let secret = token_file.map(Secret::File).or_else(there);
        let address = place.address()?;
        Ok(Self { address, token: secret.as_ref().map(Token::read).transpose()? })
    }

    /// What it answers to a question.
    pub(crate) fn ask(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        self.ask_within(PATIENCE, method, path)
    }

    /// The same, to a question that may take longer than others.
    pub(crate) fn ask_within(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
    ) -> anyhow::Result<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.answer_within(patience, method, path))
    }

    /// What it answers, within a runtime.
    pub(crate) async fn answer(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        self.answer_within(PATIENCE, method, path).await
    }

    async fn answer_within(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
    ) -> anyhow::Result<Value> {
        self.answer_to(patience, self.send(method, path, Bytes::new())).await
    }

    /// Puts settings there, under a condition if there is one; what it answers.
    pub(crate) fn put_within(
        &self,
        patience: Duration,
        path: &str,
        settings: String,
        condition: Option<(HeaderName, HeaderValue)>,
    ) -> anyhow::Result<Value> {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/toml"));
        let fields = [Some(kind), condition].into_iter().flatten().collect();
        let sending = self.send_with(Method::PUT, path, fields, settings.into());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.answer_to(patience, sending))
    }

    async fn answer_to(
        &self,
        patience: Duration,
        sending: impl Future<Output = anyhow::Result<Response<Incoming>>>,
    ) -> anyhow::Result<Value> {
        let asking = async {
            let response = sending.await?;
            let content = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            content.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))
        };
        let content = timeout(patience, asking).await;
        let content = content.with_context(|| format!("{} does not answer", self.address))??;
        serde_json::from_slice(&content.to_bytes()).context("that is no nigh edge")
    }

    /// Sends a question; its answer has a good status, and is still to be read.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        self.send_with(method, path, HeaderMap::new(), content).await
    }

    async fn send_with(
        &self,
        method: Method,
        path: &str,
        fields: HeaderMap,
        content: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let Self { address, token } = self;
        let stream = timeout(PATIENCE, self.connect()).await.map_err(io::Error::from);
        let stream = stream.and_then(|connected| connected).with_context(|| nobody(address))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = match address {
            Address::Tcp(authority) => authority,
            Address::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .body(Full::<Bytes>::from(content))
            .context("no valid request")?;
        request.headers_mut().extend(fields);
        if let Some(token) = token {
            let mut shown = HeaderValue::try_from(token.shown()).context("the token is no text")?;
            shown.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, shown);
        }
        let response = sender.send_request(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let content = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let content = content.map(|content| content.to_bytes()).unwrap_or_default();
        let problem: Value = serde_json::from_slice(&content).unwrap_or_default();
        ensure!(
            status != StatusCode::UNAUTHORIZED,
            "the edge wants its token: give --token-file, or set {TOKEN_VARIABLE}"
        );
        let mut detail =
            problem["detail"].as_str().unwrap_or("the edge refused the question").to_owned();
        for mistake in problem["mistakes"].as_array().into_iter().flatten() {
            let message = mistake["message"].as_str().unwrap_or_default();
            detail += &match (mistake["line"].as_u64(), mistake["column"].as_u64()) {
                (Some(line), Some(column)) => format!("\n{line}:{column}: {message}"),
                _ => format!("\n{message}"),
            };
        }
        bail!(detail)
    }

    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        Ok(match &self.address {
            Address::Tcp(authority) => Box::new(TcpStream::connect(authority).await?),
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

/// What is said where no edge answers.
fn nobody(address: &Address) -> String {
    let said = format!("no edge answers: is it running with --admin {address}?");
    match demo::place::find(None) {
        Ok((found, _)) => match found.edges.iter().find(|edge| edge.lives) {
            Some(edge) => format!("{said} The edges of the demo have names: --admin {}", edge.name),
            None => said,
        },
        Err(_) => said,
    }
}

/// What both kinds of addresses give.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// Undoes percent-encoding; what is malformed stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                out.push(decoded);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes what cannot stand in a query as it is.
pub(crate) fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:?=".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_the_query_it_travels_in() {
        for url in ["http://a/b?c=d&e=%20f", "http://a/%", "http://a/ü+%zz"] {
            assert_eq!(percent_decode(&percent_encode(url)), url);
        }
    }

    #[test]
    fn an_edge_of_the_demo_is_said_by_its_name() {
        let name = |text: &str| Ok(Place::Demo(text.parse().unwrap()));
        assert_eq!("eu-2".parse(), name("eu-2"));
        assert_eq!("127.0.0.1:9".parse(), Ok(Place::At(Address::Tcp("127.0.0.1:9".to_owned()))));
        assert!("eu_2".parse::<Place>().is_err());
    }

    #[test]
    fn an_admin_address_is_a_host_with_a_port_or_a_socket() {
        for (text, address) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://edge.example:9000/", "edge.example:9000"),
            ("[::1]:9000", "[::1]:9000"),
            ("unix:/run/nigh.sock", "unix:/run/nigh.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), address);
        }
        for text in ["", "unix:", "127.0.0.1", "https://a:1", "a:b", "http://a:1/x", "a:70000"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
