//! HTTP/2 clients and origins, as hyper speaks it; in clear and over TLS.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Runtime,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::PATIENCE;

/// What goes out as content.
pub(crate) type Content = BoxBody<Bytes, Infallible>;

/// An HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) runtime: Runtime,
    pub(crate) sender: SendRequest<Content>,
}

/// A response, whole.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Client {
    /// In clear, without asking first.
    pub(crate) fn clear(address: SocketAddr) -> Self {
        let runtime = runtime();
        let sender = runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.expect("someone listens");
            handshake(tcp).await
        });
        Self { runtime, sender }
    }

    /// Over TLS, as ALPN decides.
    pub(crate) fn tls(address: SocketAddr) -> Self {
        let runtime = runtime();
        let sender = runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.expect("someone listens");
            let connector = TlsConnector::from(tls(&[b"h2", b"http/1.1"]));
            let name = ServerName::try_from("localhost").expect("a name");
            let stream = connector.connect(name, tcp).await.expect("it speaks TLS");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            handshake(stream).await
        });
        Self { runtime, sender }
    }

    pub(crate) fn get(&self, path: &str) -> Got {
        self.send(request("GET", path, &[]).body(empty()).expect("a request"))
    }

    pub(crate) fn send(&self, request: Request<Content>) -> Got {
        self.runtime.block_on(exchange(self.sender.clone(), request)).expect("an answer")
    }
}

/// The certificate that is shown at an address, over TLS.
pub(crate) fn certificate(address: SocketAddr) -> Vec<u8> {
    runtime().block_on(async {
        let tcp = TcpStream::connect(address).await.expect("someone listens");
        let connector = TlsConnector::from(tls(&[b"http/1.1"]));
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connector.connect(name, tcp).await.expect("it speaks TLS");
        let shown = stream.get_ref().1.peer_certificates().expect("it shows one");
        shown[0].to_vec()
    })
}

async fn handshake<S>(stream: S) -> SendRequest<Content>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

/// An HTTP/2 connection frame by frame: hyper's client hears no interim responses, and reads on
/// whatever the test wants.
pub(crate) struct Frames {
    runtime: Runtime,
    sender: h2::client::SendRequest<Bytes>,
}

impl Frames {
    pub(crate) fn clear(address: SocketAddr) -> Self {
        let runtime = runtime();
        let sender = runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.expect("someone listens");
            let (sender, connection) = h2::client::handshake(tcp).await.expect("it speaks HTTP/2");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Sends a request; its content, if it has any, is left to [`Exchange::send`].
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        has_content: bool,
    ) -> Exchange<'_> {
        let runtime = &self.runtime;
        let (response, content) = runtime.block_on(async {
            let mut sender = self.sender.clone().ready().await.expect("it takes a request");
            let request = request(method, path, fields).body(()).expect("a request");
            sender.send_request(request, !has_content).expect("it is sent")
        });
        Exchange { runtime, response, content }
    }

    /// Asks for a tunnel with CONNECT, says `words` in it and no more, and hears the other side out.
    pub(crate) fn tunnel(&self, authority: &str, words: &'static str) -> (StatusCode, String) {
        let talking = async {
            let mut sender = self.sender.clone().ready().await.expect("it takes a request");
            let request = Request::connect(authority).body(()).expect("a request");
            let (response, mut content) = sender.send_request(request, false).expect("it is sent");
            let (head, mut body) = response.await.expect("an answer").into_parts();
            // One that was refused has ended already.
            drop(content.send_data(Bytes::from_static(words.as_bytes()), true));
            let mut came = Vec::new();
            while let Some(bytes) = body.data().await {
                came.extend(bytes.expect("it is whole"));
            }
            (head.status, String::from_utf8(came).expect("text"))
        };
        self.runtime.block_on(async { timeout(PATIENCE, talking).await }).expect("an end in time")
    }

    /// Reads all of these to their ends, side by side.
    pub(crate) fn read_all(&self, contents: Vec<h2::RecvStream>) -> Vec<Vec<u8>> {
        let reading = contents.into_iter().map(|mut content| {
            self.runtime.spawn(async move {
                let mut came = Vec::new();
                while let Some(bytes) = content.data().await {
                    let bytes = bytes.expect("it is whole");
                    drop(content.flow_control().release_capacity(bytes.len()));
                    came.extend(bytes);
                }
                came
            })
        });
        let reading: Vec<_> = reading.collect();
        let all = async {
            let mut came = Vec::new();
            for one in reading {
                came.push(one.await.expect("it is read"));
            }
            came
        };
        self.runtime.block_on(async { timeout(PATIENCE, all).await }).expect("an end in time")
    }

    /// Reads, without making room for more, until the stream is reset.
    pub(crate) fn until_reset(&self, content: &mut h2::RecvStream) -> h2::Error {
        let reading = async {
            loop {
                match content.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("it is whole"),
                }
            }
        };
        self.runtime.block_on(async { timeout(PATIENCE, reading).await }).expect("a reset in time")
    }
}

/// One request, and what comes back.
pub(crate) struct Exchange<'a> {
    runtime: &'a Runtime,
    response: h2::client::ResponseFuture,
    content: h2::SendStream<Bytes>,
}

impl Exchange<'_> {
    /// Sends all of the request's content.
    pub(crate) fn send(&mut self, content: &'static str) {
        let _runtime = self.runtime.enter();
        self.content.send_data(Bytes::from_static(content.as_bytes()), true).expect("it is wanted");
    }

    /// Sends a byte of content each time this much has passed, until the answer is there.
    pub(crate) fn answer_while_dripping(self, every: Duration) -> http::response::Parts {
        let Self { runtime, mut response, mut content } = self;
        let dripping = async {
            let mut ticks = tokio::time::interval(every);
            loop {
                tokio::select! {
                    answer = &mut response => break answer,
                    _ = ticks.tick() => {
                        content.send_data(Bytes::from_static(b"x"), false).expect("it is wanted");
                    }
                }
            }
        };
        let answer = runtime.block_on(async { timeout(PATIENCE, dripping).await });
        answer.expect("a response in time").expect("an answer").into_parts().0
    }

    /// The next interim response; `None` if the answer itself is next.
    pub(crate) fn interim(&mut self) -> Option<Response<()>> {
        let next = poll_fn(|cx| self.response.poll_informational(cx));
        let next = self.runtime.block_on(async { timeout(PATIENCE, next).await });
        next.expect("a response in time").map(|interim| interim.expect("an interim response"))
    }

    /// The answer, with its content still to be read.
    pub(crate) fn answer(self) -> (http::response::Parts, h2::RecvStream) {
        let response = self.runtime.block_on(async { timeout(PATIENCE, self.response).await });
        response.expect("a response in time").expect("an answer").into_parts()
    }
}

/// Sends a request and reads the answer whole; an error if it breaks off.
pub(crate) async fn exchange(
    mut sender: SendRequest<Content>,
    request: Request<Content>,
) -> Result<Got, hyper::Error> {
    let exchange = async {
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        let body = collected.to_bytes();
        Ok(Got { status: head.status, fields: head.headers, body, trailers })
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

/// A request of the authority that every test asks for.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> http::request::Builder {
    let uri = Uri::builder().scheme("http").authority("www.example").path_and_query(path);
    let builder = Request::builder().method(method).uri(uri.build().expect("a target"));
    fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value))
}

pub(crate) fn empty() -> Content {
    full("")
}

pub(crate) fn full(text: impl Into<Bytes>) -> Content {
    Full::new(text.into()).boxed()
}

/// Content of a length that nobody says, and trailers behind it.
pub(crate) fn trailed(text: &str, name: &str, value: &str) -> Content {
    let name = http::HeaderName::try_from(name).expect("a name");
    let trailers = HeaderMap::from_iter([(name, value.parse().expect("a value"))]);
    let unsized_content = Full::new(Bytes::from(text.to_owned())).map_frame(|frame| frame);
    unsized_content.with_trailers(async move { Some(Ok(trailers)) }).boxed()
}

impl Got {
    pub(crate) fn cache(&self) -> &str {
        self.fields["cache-status"].to_str().expect("it is text")
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// TLS that takes any certificate, as `curl -k` does: nigh made its own a moment ago.
pub(crate) fn tls(protocols: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    let mut config = tls_showing(None);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// The same for HTTP/2 alone, showing a certificate if there is one.
pub(crate) fn tls_showing(
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> rustls::ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(TakesAny(Arc::clone(&provider)));
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("they fit"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// The answer to a request over HTTP/2 and this TLS; `None` if the other end wants nothing to do with it.
pub(crate) fn ask_over(
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    request: Request<Content>,
) -> Option<Got> {
    runtime().block_on(async {
        let tcp = TcpStream::connect(address).await.expect("someone listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(tls).connect(name, tcp).await.ok()?;
        let (executor, io) = (TokioExecutor::new(), TokioIo::new(stream));
        let shaken = hyper::client::conn::http2::handshake(executor, io).await;
        let (sender, connection) = shaken.ok()?;
        tokio::spawn(connection);
        exchange(sender, request).await.ok()
    })
}

#[derive(Debug)]
struct TakesAny(Arc<CryptoProvider>);

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An origin that speaks HTTP/2 and nothing else, over TLS if it was given a certificate.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Origin {
    /// Answers each request, whose content was read whole, with what `answer` makes of it.
    pub(crate) fn start<A>(tls: Option<Arc<rustls::ServerConfig>>, answer: A) -> Self
    where
        A: Fn(Request<Bytes>, Option<HeaderMap>) -> Response<Content> + Clone + Send + 'static,
    {
        let runtime = runtime();
        let (requests, connections) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let (asked, opened) = (Arc::clone(&requests), Arc::clone(&connections));
        let acceptor = tls.map(tokio_rustls::TlsAcceptor::from);
        runtime.spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("connections are accepted");
                opened.fetch_add(1, Ordering::SeqCst);
                let (answer, asked) = (answer.clone(), Arc::clone(&asked));
                let service = hyper::service::service_fn(move |request: Request<_>| {
                    let (answer, asked) = (answer.clone(), Arc::clone(&asked));
                    async move { reply(request, &asked, answer).await }
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // An edge that breaks off, or distrusts us, is what some tests want.
                    match acceptor {
                        None => drop(builder.serve_connection(TokioIo::new(tcp), service).await),
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(tcp).await {
                                drop(builder.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests, connections, _runtime: runtime }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn reply(
    request: Request<hyper::body::Incoming>,
    asked: &AtomicUsize,
    answer: impl Fn(Request<Bytes>, Option<HeaderMap>) -> Response<Content>,
) -> Result<Response<Content>, hyper::Error> {
    asked.fetch_add(1, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(answer(Request::from_parts(head, collected.to_bytes()), trailers))
}
