//! The pool against origins that the test plays: who gets a connection, and what is sent twice.

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::LocalSet,
};

use super::*;
use crate::body::Part;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn on_a_core(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.unwrap(), test);
}

impl Origin {
    /// The origin's end of a connection to come.
    pub(crate) fn far_end(&self) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        self.dials.borrow_mut().push_back(near);
        far
    }
}

/// An origin that can be reached `N` times, and its ends of those connections. Any further attempt
/// fails.
fn origin<const N: usize>(connections: usize) -> (Rc<Origin>, [Far; N]) {
    let mut settings = Settings::parse("http://origin.invalid").unwrap();
    settings.connections = connections;
    settings.connect_limit = Duration::from_millis(1);
    let origin = Origin::new(settings, None);
    let fars = [(); N].map(|()| Far(origin.far_end()));
    (origin, fars)
}

/// The origin's end of a connection.
struct Far(DuplexStream);

impl Far {
    /// Reads up to and with `end`.
    async fn hear(&mut self, end: &str) -> String {
        let mut heard = String::new();
        while !heard.ends_with(end) {
            heard.push(char::from(self.0.read_u8().await.unwrap()));
        }
        heard
    }

    /// Answers each request, up to `count`, then waits for one more and closes without a word.
    async fn answer(mut self, count: usize) {
        for _ in 0..count {
            self.hear("\r\n\r\n").await;
            tokio::task::yield_now().await;
            self.0.write_all(OK).await.unwrap();
        }
        self.hear("\r\n\r\n").await;
    }
}

fn request(method: Method, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static("/a");
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("x"));
    request
}

/// Sends a request without a body and reads the whole response.
async fn ask(origin: &Rc<Origin>, method: Method) -> Result<(StatusCode, String), Failure> {
    read(origin.send(request(method, RequestBody::Empty), None).await?).await
}

async fn read(mut fetched: Fetched) -> Result<(StatusCode, String), Failure> {
    let mut content = Vec::new();
    while let Some(frame) = fetched.frame().await? {
        content.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    Ok((fetched.head.status, String::from_utf8(content).unwrap()))
}

fn fine() -> Result<(StatusCode, String), Failure> {
    Ok((StatusCode::OK, "ok".to_owned()))
}

/// Waits until as many connections are kept.
async fn kept(origin: &Origin, count: usize) {
    while origin.idle.borrow().len() != count {
        tokio::task::yield_now().await;
    }
}

#[test]
fn requests_above_the_limit_wait_for_a_connection_to_be_given_back() {
    on_a_core(async {
        let (origin, [far]) = origin(1);
        let server = tokio::task::spawn_local(far.answer(3));
        let ask = || ask(&origin, Method::GET);
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!([a, b, c], [fine(), fine(), fine()]);
        kept(&origin, 1).await;
        server.abort();
    });
}

#[test]
fn a_request_that_a_kept_connection_failed_goes_out_on_a_new_one() {
    on_a_core(async {
        let (origin, [one, two, three]) = origin(2);
        tokio::task::spawn_local(one.answer(1));
        tokio::task::spawn_local(two.answer(1));
        let (a, b) = tokio::join!(ask(&origin, Method::GET), ask(&origin, Method::GET));
        assert_eq!([a, b], [fine(), fine()]);
        kept(&origin, 2).await;
        // Both close at the next request. The new connection makes room for itself.
        tokio::task::spawn_local(three.answer(1));
        assert_eq!(ask(&origin, Method::GET).await, fine());
        assert!(origin.idle.borrow().len() <= 2);
        assert!(origin.dials.borrow().is_empty());
    });
}

#[test]
fn a_request_that_a_new_connection_failed_is_not_repeated() {
    on_a_core(async {
        let (origin, [one, _two]) = origin(2);
        tokio::task::spawn_local(one.answer(0));
        assert_eq!(ask(&origin, Method::GET).await, Err(Failure::Closed));
        assert_eq!(origin.dials.borrow().len(), 1);
    });
}

#[test]
fn a_request_that_may_have_done_something_is_not_repeated() {
    on_a_core(async {
        let (origin, [one, _two]) = origin(2);
        tokio::task::spawn_local(one.answer(1));
        assert_eq!(ask(&origin, Method::GET).await, fine());
        kept(&origin, 1).await;
        assert_eq!(ask(&origin, Method::POST).await, Err(Failure::Closed));
        assert_eq!(origin.dials.borrow().len(), 1);
    });
}

#[test]
fn a_request_that_was_half_answered_is_not_repeated() {
    on_a_core(async {
        let (origin, [mut one, _two]) = origin(2);
        tokio::task::spawn_local(async move {
            one.hear("\r\n\r\n").await;
            one.0.write_all(OK).await.unwrap();
            one.hear("\r\n\r\n").await;
            one.0.write_all(b"HTTP/1.1 200").await.unwrap();
        });
        assert_eq!(ask(&origin, Method::GET).await, fine());
        kept(&origin, 1).await;
        assert!(ask(&origin, Method::GET).await.is_err());
        assert_eq!(origin.dials.borrow().len(), 1);
    });
}

/// What comes of a response that is followed by the connection's end.
async fn hearing(response: &'static str) -> Result<(StatusCode, String), Failure> {
    let (origin, [mut far]) = origin(1);
    tokio::task::spawn_local(async move {
        far.hear("\r\n\r\n").await;
        far.0.write_all(response.as_bytes()).await.unwrap();
    });
    ask(&origin, Method::GET).await
}

#[test]
fn a_response_whose_end_is_doubtful_is_refused() {
    on_a_core(async {
        let chunks = "2\r\nok\r\n0\r\n\r\n";
        for coding in ["chunked", "Chunked ", "CHUNKED"] {
            let response =
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n{chunks}");
            assert_eq!(hearing(response.leak()).await, fine(), "{coding}");
        }
        // Nobody can take this for chunks: it ends with the connection.
        let unknown = "HTTP/1.1 200 OK\r\nTransfer-Encoding: abcdefgh\r\n\r\nok";
        assert_eq!(hearing(unknown).await, fine());
        for codings in [
            "gzip, chunked",
            "chunked, gzip",
            "chunked,",
            "chunked, chunked",
            "chunked\r\nTransfer-Encoding: chunked",
            "gzip\r\nTransfer-Encoding: chunked",
            "chunked;a=b",
            "xchunked",
        ] {
            let response =
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n\r\n{chunks}");
            assert_eq!(hearing(response.leak()).await, Err(Failure::Garbage), "{codings:?}");
        }
    });
}

#[test]
fn a_length_beside_chunks_is_not_believed() {
    on_a_core(async {
        let (origin, [mut far]) = origin(1);
        tokio::task::spawn_local(async move {
            far.hear("\r\n\r\n").await;
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n";
            far.0.write_all(head).await.unwrap();
            far.0.write_all(b"2\r\nok\r\n0\r\n\r\n").await.unwrap();
        });
        let sent = origin.send(request(Method::GET, RequestBody::Empty), None).await.unwrap();
        assert!(!sent.head.headers.contains_key(header::CONTENT_LENGTH));
        assert_eq!(read(sent).await, fine());
    });
}

#[test]
fn nobody_switches_protocols_unasked() {
    on_a_core(async {
        let switching =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n";
        assert_eq!(hearing(switching).await, Err(Failure::Garbage));
    });
}

#[test]
fn content_that_is_absent_is_said_to_be_where_it_would_mean_something() {
    on_a_core(async {
        for (method, says) in [(Method::POST, true), (Method::GET, false), (Method::DELETE, false)]
        {
            let (origin, [mut far]) = origin(1);
            let heard = tokio::task::spawn_local(async move {
                let heard = far.hear("\r\n\r\n").await;
                far.0.write_all(OK).await.unwrap();
                heard
            });
            assert_eq!(ask(&origin, method.clone()).await, fine());
            let heard = heard.await.unwrap();
            assert_eq!(heard.contains("content-length: 0\r\n"), says, "{heard}");
            assert!(!heard.contains("transfer-encoding"), "{heard}");
        }
    });
}

#[test]
fn content_of_unknown_length_and_its_trailers_arrive_whatever_the_method() {
    on_a_core(async {
        for method in [Method::POST, Method::GET] {
            let (origin, [mut far]) = origin(1);
            let heard = tokio::task::spawn_local(async move {
                let heard = far.hear("0\r\nx-sum: 1\r\n\r\n").await;
                far.0.write_all(OK).await.unwrap();
                heard
            });
            let (pump, body) = RequestBody::pumped(None);
            tokio::task::spawn_local(async move {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("1"));
                trailers.insert("x-more", HeaderValue::from_static("2"));
                let data = Frame::data(Bytes::from_static(b"abc"));
                pump.send(Part::Frame(data)).await.unwrap();
                pump.send(Part::Frame(Frame::trailers(trailers))).await.unwrap();
                let _ = pump.send(Part::End).await;
            });
            let mut request = request(method, body);
            request.headers_mut().insert(header::TRAILER, HeaderValue::from_static("X-Sum"));
            let sent = origin.send(request, None).await.unwrap();
            assert_eq!(read(sent).await, fine());
            let heard = heard.await.unwrap();
            assert!(heard.contains("transfer-encoding: chunked\r\n"), "{heard}");
            assert!(heard.contains("\r\n3\r\nabc\r\n"), "{heard}");
        }
    });
}

#[test]
fn a_body_that_breaks_off_is_not_the_origins_fault() {
    on_a_core(async {
        let (origin, [far]) = origin(1);
        let (pump, body) = RequestBody::pumped(Some(5));
        drop(pump);
        let sent = origin.send(request(Method::POST, body), None).await;
        assert_eq!(sent.err().map(Failure::from), Some(Failure::RequestBroken));
        drop(far);
    });
}
