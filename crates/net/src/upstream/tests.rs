//! Several origins that the test plays: who is asked, and who is asked instead.

use bytes::Bytes;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::LocalSet,
};

use super::*;
use crate::body::Part;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn on_a_core(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.unwrap(), test);
}

/// Two origins; each can be reached once, and its end of that connection. A further attempt fails.
fn two() -> (Rc<Upstream>, DuplexStream, DuplexStream) {
    let member = |name: &str| {
        let url = format!("http://{name}.invalid");
        let mut settings = origin::Settings::parse(&url).unwrap();
        settings.connect_limit = Duration::from_millis(1);
        Member { settings, tls: None, weight: 1 }
    };
    let members = vec![member("a"), member("b")];
    let origins: Vec<_> =
        members.iter().map(|member| Origin::new(member.settings.clone(), None)).collect();
    let (a, b) = (origins[0].far_end(), origins[1].far_end());
    let core = crate::board::Board::default().core();
    (Upstream::start(members, None, origins, Some(&core)), a, b)
}

fn request(method: Method, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("www.example"));
    request
}

async fn ask(upstream: &Upstream, method: Method) -> Result<StatusCode, Failure> {
    let sent = upstream.send(request(method, RequestBody::Empty), None).await?;
    Ok(sent.head.status)
}

/// Hears one request, and answers it.
async fn answer(mut far: DuplexStream, answer: &'static [u8]) -> String {
    let mut heard = String::new();
    while !heard.ends_with("\r\n\r\n") {
        heard.push(char::from(far.read_u8().await.unwrap()));
    }
    far.write_all(answer).await.unwrap();
    heard
}

#[test]
fn a_connection_that_fails_unheard_is_made_up_for_by_another_origin() {
    on_a_core(async {
        let (upstream, a, b) = two();
        drop(a);
        let heard = tokio::task::spawn_local(answer(b, OK));
        assert_eq!(ask(&upstream, Method::PUT).await, Ok(StatusCode::OK));
        let heard = heard.await.unwrap();
        assert!(heard.contains("host: b.invalid\r\n"), "{heard}");
    });
}

#[test]
fn what_may_have_had_an_effect_is_not_sent_again() {
    on_a_core(async {
        let (upstream, a, _b) = two();
        drop(a);
        assert!(ask(&upstream, Method::POST).await.is_err());
        let (upstream, a, _b) = two();
        drop(a);
        let (pump, body) = RequestBody::pumped(Some(1));
        tokio::task::spawn_local(async move {
            let data = hyper::body::Frame::data(Bytes::from_static(b"x"));
            let _ = pump.send(Part::Frame(data)).await;
            let _ = pump.send(Part::End).await;
        });
        assert!(upstream.send(request(Method::PUT, body), None).await.is_err());
    });
}

#[test]
fn an_answer_that_began_is_not_asked_for_again() {
    on_a_core(async {
        let (upstream, a, _b) = two();
        tokio::task::spawn_local(answer(a, b"HTTP/1.1 200"));
        assert!(ask(&upstream, Method::GET).await.is_err());
    });
}

#[test]
fn if_every_origin_fails_the_failure_is_told() {
    on_a_core(async {
        let (upstream, a, b) = two();
        drop((a, b));
        assert!(ask(&upstream, Method::GET).await.is_err());
    });
}

#[test]
fn an_origin_is_well_if_it_answers_without_an_error() {
    on_a_core(async {
        let probe = Probe {
            path: "/up?a".into(),
            every: Duration::from_secs(1),
            limit: Duration::from_secs(20),
        };
        for (said, well) in [
            (OK, true),
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", false),
            (b"what?\r\n\r\n", false),
        ] {
            let origin = Origin::new(origin::Settings::parse("http://a.invalid:81").unwrap(), None);
            let heard = tokio::task::spawn_local(answer(origin.far_end(), said));
            assert_eq!(is_well(&origin, &probe).await, well);
            let heard = heard.await.unwrap();
            assert!(heard.starts_with("GET /up?a HTTP/1.1\r\nhost: a.invalid:81\r\n"), "{heard}");
        }
    });
}
