//! What sites and paths let in: signed URLs, networks, methods, fields; and what they let out.

use std::sync::Arc;

use http::Response;

use crate::support::{Edge, Origin, SettingsFile, h2, ok, origin::answer, process::nigh};

/// An edge with one site for every host, and more lines in it.
fn edge(origin: &Origin, lines: &str) -> (SettingsFile, Edge) {
    let url = origin.url();
    let file = SettingsFile::with(&format!(
        "admin = \"127.0.0.1:0\"\n[[site]]\nhost = \"*\"\norigin = \"{url}\"\n{lines}"
    ));
    let edge = Edge::of(&file);
    (file, edge)
}

fn echo() -> Origin {
    Origin::answering(|head| ok("max-age=100", head.target()))
}

#[track_caller]
fn sign(arguments: &[&str]) -> String {
    let ran = nigh(&[&["sign"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout.trim_end().to_owned()
}

#[test]
fn signed_urls_are_let_in_and_share_what_is_stored() {
    let origin = echo();
    let [old, new] = ["0123456789abcdef-old", "0123456789abcdef-new\n"].map(SettingsFile::saying);
    let (_file, edge) = edge(
        &origin,
        &format!(
            "[[site.path]]\nmatch = \"/private/\"\nsigned = [{{ id = \"new\", file = \"{}\" }}, \
             {{ id = \"old\", file = \"{}\" }}]\n",
            new.argument(),
            old.argument()
        ),
    );
    let target = "/private/a?x=1";
    let by = |id: &'static str, key: &SettingsFile, more: &[&str]| {
        sign(&[&[target, "--id", id, "--key", key.argument()], more].concat())
    };
    let first = edge.fill(&by("new", &new, &[]));
    assert_eq!(first.text(), target, "the origin sees no signature");
    let hit = edge.get(&by("old", &old, &["--expires", "5m"]));
    assert!(hit.says("hit"), "two signatures are for one stored response: {hit:?}");
    let below = by("new", &new, &["--prefix", "/private/", "--network", "127.0.0.0/8"]);
    let (_, token) = below.split_once("&nigh-prefix").unwrap();
    assert_eq!(edge.get(&format!("/private/b?nigh-prefix{token}")).text(), "/private/b");

    let asked = origin.requests();
    let signed = by("new", &new, &[]);
    for (target, word) in [
        (target.to_owned(), "signature-missing"),
        (format!("{signed}0"), "signature-missing"),
        (signed.replace("x=1", "x=2"), "signature-wrong"),
        (by("old", &new, &[]), "signature-wrong"),
        (by("new", &new, &["--expires", "0s"]), "signature-expired"),
        (by("new", &new, &["--network", "192.0.2.0/24"]), "signature-network"),
    ] {
        let refused = edge.get(&target);
        refused.assert_problem(403);
        assert_eq!(refused.cache(), format!("detail={word}"), "{target}");
        let streams = h2::Client::clear(edge.addresses[0]).get(&target);
        assert_eq!(streams.status, 403, "{target}");
    }
    // Which of them an origin takes for the protected one, nobody knows.
    for path in [
        "/%70rivate/a",
        "/x/..//private/../private/a",
        "/pub/a%5cb/../../private/a",
        "/private/..%20/a",
        "/private/..%00/a",
        "/private/%2e%2e;x/a",
        "/private./a",
        "/a%2fb/%2e%2e/private/a",
        "//host/private/a",
        "/%u0070rivate/a",
    ] {
        let refused = edge.get(&format!("{path}?nigh-prefix{token}"));
        refused.assert_problem(400);
        assert_eq!(refused.cache(), "detail=unclear-path", "{path}");
    }
    assert_eq!(origin.requests(), asked);
    assert_eq!(edge.get("/public?nigh-x").text(), "/public?nigh-x");
    assert!(edge.ask_admin("/metrics").text().contains("{by=\"signature\"} 12\n"));
}

#[test]
fn a_signing_key_that_is_missing_or_short_is_named_and_never_shown() {
    let origin = echo();
    let short = SettingsFile::saying("tiny");

    let with = |key: &str| {
        SettingsFile::with(&format!(
            "[[site]]\nhost = \"*\"\norigin = \"{}\"\n[[site.path]]\nmatch = \"/\"\n\
             signed = [{{ id = \"k\", {key} }}]\n",
            origin.url()
        ))
    };
    for (key, said) in [
        (format!("file = \"{}\"", short.argument()), "the key `k` has fewer than 16 bytes"),
        ("file = \"/nowhere/url.key\"".to_owned(), "cannot read /nowhere/url.key"),
        ("env = \"NIGH_IT_NO_KEY\"".to_owned(), "the variable NIGH_IT_NO_KEY holds no key"),
    ] {
        let file = with(&key);
        let ran = nigh(&["run", file.argument()]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(said) && !ran.stderr.contains("tiny"), "{ran:?}");
    }
}

#[test]
fn networks_are_let_in_by_the_longest_that_is_named() {
    let origin = echo();
    let (_file, edge) = edge(
        &origin,
        "deny = [\"192.0.2.0/24\"]\n\
         [[site.path]]\nmatch = \"/none\"\ndeny = \"127.0.0.0/8\"\n\
         [[site.path]]\nmatch = \"/some\"\nallow = \"127.0.0.1\"\ndeny = \"0.0.0.0/0\"\n\
         [[site.path]]\nmatch = \"/others\"\nallow = [\"198.51.100.0/24\"]\n",
    );
    edge.fill("/");
    edge.fill("/some");
    edge.get("/%6eone").assert_problem(400);
    for target in ["/none", "/others"] {
        let refused = edge.get(target);
        refused.assert_problem(403);
        assert_eq!(refused.cache(), "detail=network-refused", "{target}");
    }
    assert_eq!(origin.requests(), 2);
    assert!(edge.ask_admin("/metrics").text().contains("{by=\"network\"} 2\n"));
}

#[test]
fn methods_that_are_not_listed_are_answered_405_with_those_that_are() {
    let origin = echo();
    let (_file, edge) = edge(
        &origin,
        "methods = [\"GET\"]\n[[site.path]]\nmatch = \"/form\"\nmethods = [\"POST\", \"GET\"]\n",
    );
    let mut client = edge.client();
    client.send("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let refused = client.response();
    refused.assert_problem(405);
    assert_eq!(refused.first("allow"), "GET, HEAD");
    assert_eq!(client.response().text(), "/x", "the connection goes on");
    client.send("POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.response().status(), 200);
    client.send("PATCH /form HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().first("allow"), "GET, HEAD, POST");
    assert_eq!(origin.requests(), 2);
}

#[test]
fn options_of_the_server_as_a_whole_are_no_way_round_the_rules_for_paths() {
    let origin = echo();
    let (_file, edge) =
        edge(&origin, "[[site.path]]\nmatch = \"/\"\nmethods = [\"GET\", \"OPTIONS\"]\n");
    let mut client = edge.client();
    for (target, allowed) in [
        ("* HTTP/1.1\r\n", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"),
        ("http://a HTTP/1.1\r\n", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"),
        ("/ HTTP/1.1\r\nMax-Forwards: 0\r\n", "GET, HEAD, OPTIONS"),
    ] {
        client.send(format!("OPTIONS {target}Host: a\r\n\r\n"));
        let own = client.response();
        assert_eq!((own.status(), own.first("allow")), (204, allowed), "{target}");
    }
    let frames = h2::Frames::clear(edge.addresses[0]);
    let (head, _) = frames.ask("OPTIONS", "*", &[], false).answer();
    assert_eq!(head.status, 204);
    assert_eq!(head.headers["cache-status"], "nigh; detail=server-wide");
    assert_eq!(origin.requests(), 0);
    let (_file, edge) = self::edge(&origin, "methods = [\"GET\"]\n");
    let mut client = edge.client();
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let refused = client.response();
    assert_eq!((refused.status(), refused.first("allow")), (405, "GET, HEAD"));
    assert_eq!(origin.requests(), 0);
}

#[test]
fn fields_are_refused_removed_and_set() {
    let origin = Origin::saying(answer(
        "Cache-Control: max-age=100\r\nX-Powered-By: y\r\nVary: X-Debug\r\nSet-Cookie: a=b\r\n",
        "x",
    ));
    let (_file, edge) = edge(
        &origin,
        "refuse_fields = \"X-Original-URL\"\nremove_request_fields = [\"X-Debug\"]\n\
         remove_response_fields = [\"X-Powered-By\"]\n\
         set_response_fields = [\"X-Frame-Options: DENY\"]\n\
         [[site.path]]\nmatch = \"/bare\"\nremove_response_fields = \"Set-Cookie\"\n",
    );
    let mut client = edge.client();
    for name in ["X-Original-URL", "X_Original_Url"] {
        client.get_with("/", &format!("{name}: /admin\r\n")).assert_problem(400);
    }
    let got = client.get_with("/bare", "X-Debug: 1\r\nx_debug: 1\r\n");
    assert!(got.says("stored"), "without the cookie it is for everyone: {got:?}");
    assert!(
        !origin.last().has("x-debug") && !origin.last().has("x_debug") && !got.has("x-powered-by")
    );
    let hit = client.get_with("/bare", "X-Debug: 2\r\n");
    assert!(hit.says("hit"), "a field that is not seen chooses nothing: {hit:?}");
    assert_eq!(hit.first("x-frame-options"), "DENY");
    let kept = client.get("/");
    assert_eq!((kept.first("set-cookie"), kept.first("x-frame-options")), ("a=b", "DENY"));
    assert!(kept.says("detail=set-cookie"));
}

/// What an origin says that a site with [`RULES`] does not pass on, as lines of a head.
const UNWANTED: &str = "X-Powered-By: y\r\nX-Frame-Options: ALLOW\r\nX-Tags: one\r\n\
    Surrogate-Key: two\r\nCache-Tag: three\r\n";

const RULES: &str = "refuse_fields = [\"X-Original-URL\", \"Cookie\"]\nremove_request_fields = \"X-Debug\"\n\
    remove_response_fields = \"X-Powered-By\"\n\
    set_response_fields = [\"X-Frame-Options: DENY\"]\ntag_fields = \"X-Tags\"\n";

#[test]
fn trailers_and_interim_responses_say_no_more_than_heads() {
    let origin = Origin::start();
    let (_file, edge) = edge(&origin, RULES);
    let hints =
        format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nSet-Cookie: a=b\r\n{UNWANTED}\r\n");
    let said = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Sum: 42\r\n{UNWANTED}\r\n"
    );
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let mut asked = origin.asked();
    asked.send(&hints);
    let heard = client.head();
    assert_eq!((heard.status(), heard.first("link")), (103, "</a>"));
    let names =
        ["x-powered-by", "x-frame-options", "x-tags", "surrogate-key", "cache-tag", "set-cookie"];
    assert_eq!(names.map(|name| heard.has(name)), [false; 6], "{heard:?}");
    asked.answer(&said);
    let got = client.response();
    assert_eq!((got.text(), got.first("x-frame-options")), ("body", "DENY"));
    assert_eq!(got.trailers, [("x-sum".to_owned(), "42".to_owned())]);

    let frames = h2::Frames::clear(edge.addresses[0]);
    let mut exchange = frames.ask("GET", "/", &[], false);
    let mut asked = origin.asked();
    asked.send(&hints);
    let heard = exchange.interim().expect("the hints come first");
    assert_eq!(heard.headers()["link"], "</a>");
    assert_eq!(heard.headers().len(), 1, "{heard:?}");
    asked.answer(&said);
    let streams = h2::Client::clear(edge.addresses[0]);
    let asking = std::thread::spawn(move || streams.get("/"));
    origin.asked().answer(&said);
    let trailers = asking.join().unwrap().trailers.expect("the sum");
    assert_eq!((&trailers["x-sum"], trailers.len()), (&"42".parse().unwrap(), 1));
}

#[test]
fn a_switch_of_protocols_says_no_more_than_other_answers() {
    let origin = Origin::start();
    let (_file, edge) = edge(&origin, RULES);
    let mut client = edge.client();
    client.ask("GET", "/", "Connection: upgrade\r\nUpgrade: websocket\r\n");
    origin.asked().send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         {UNWANTED}\r\n"
    ));
    let head = client.head();
    assert_eq!((head.status(), head.first("x-frame-options")), (101, "DENY"));
    let names = ["x-powered-by", "x-tags", "surrogate-key", "cache-tag"];
    assert_eq!(names.map(|name| head.has(name)), [false; 4], "{head:?}");
}

#[test]
fn trailers_of_a_request_are_held_to_what_its_fields_are() {
    let origin = Origin::start();
    let (_file, edge) = edge(&origin, RULES);
    let mut client = edge.client();
    let chunks = |trailers: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Sum, X-Debug, X-Original-URL\r\n\r\n1\r\nx\r\n0\r\n{trailers}\r\n\r\n"
        )
    };
    let address = edge.addresses[0];
    let stream = |name: &'static str| {
        std::thread::spawn(move || {
            let request = h2::request("POST", "/", &[("trailer", name)]);
            h2::Client::clear(address).send(request.body(h2::trailed("x", name, "1")).unwrap())
        })
    };
    client.send(chunks("X-Debug: 1\r\nX-Sum: 42"));
    let mut asked = origin.asked();
    assert_eq!(asked.content(), (b"x".to_vec(), vec![("x-sum".to_owned(), "42".to_owned())]));
    asked.answer(ok("no-store", "x"));
    assert_eq!(client.response().status(), 200);
    let asking = stream("x-debug");
    let mut asked = origin.asked();
    assert_eq!(asked.content(), (b"x".to_vec(), vec![]));
    asked.answer(ok("no-store", "x"));
    assert_eq!(asking.join().unwrap().status, 200);
    // A cookie goes no further from there, and is refused all the same.
    for name in ["x-original-url", "x_original_url", "cookie"] {
        let mut client = edge.client();
        client.send(chunks(&format!("{name}: a")));
        let refused = client.response();
        refused.assert_problem(400);
        assert!(refused.text().contains("a field that is not taken"), "{refused:?}");
        assert_eq!(stream(name).join().unwrap().status, 400, "{name}");
    }
    assert!(edge.ask_admin("/metrics").text().contains("{by=\"field\"} 6\n"));
}

#[test]
fn a_page_under_the_name_of_a_file_is_not_kept_unless_it_says_that_it_is_for_all() {
    let origin = Origin::answering(|head| {
        let kept =
            if head.target().contains("public") { "public, max-age=100" } else { "max-age=100" };
        answer(&format!("Content-Type: text/html\r\nCache-Control: {kept}\r\n"), "my account")
    });
    let (_file, edge) =
        edge(&origin, "[[site.path]]\nmatch = \"/mixed/\"\ndeception_guard = false\n");
    for target in ["/account/x.css", "/account;y.js?z"] {
        for _ in 0..2 {
            let got = edge.get(target);
            assert!(got.says("detail=unexpected-type"), "{target}: {got:?}");
        }
        assert!(edge.held(target).is_none());
    }
    for target in ["/public/x.css", "/mixed/x.css", "/page"] {
        edge.fill(target);
        assert!(edge.get(target).says("hit"), "{target}");
    }
    assert!(edge.ask_admin("/metrics").text().contains("\nnigh_unexpected_types_total 4\n"));
}

#[test]
fn tags_are_read_where_the_operator_says_and_shown_to_no_client() {
    let origin = Origin::saying(answer(
        "Cache-Control: max-age=100\r\nX-Tags: one, two\r\nCache-Tag: three\r\n",
        "x",
    ));
    let (_file, edge) = edge(&origin, "tag_fields = \"X-Tags\"\n");
    let admin = edge.admin().to_string();
    for (tag, goes) in [("three", false), ("two", true)] {
        let got = edge.fill("/");
        for name in ["x-tags", "cache-tag", "surrogate-key"] {
            assert!(!got.has(name), "{name}: {got:?}");
        }
        assert_eq!(nigh(&["purge", "--tag", tag, "--admin", &admin]).code, Some(0));
        assert_eq!(edge.held("/").is_none(), goes, "{tag}");
    }
}

#[test]
fn an_origin_that_asks_for_a_certificate_is_shown_one() {
    let [server, client] =
        [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(client.cert.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        roots.into(),
        Arc::clone(&provider),
    );
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(server.signing_key.serialize_der()).unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![server.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let origin = h2::Origin::start(Some(tls.into()), |_, _| Response::new(h2::full("hello")));
    let [ca, certificate, key, other] = [
        server.cert.pem(),
        client.cert.pem(),
        client.signing_key.serialize_pem(),
        server.signing_key.serialize_pem(),
    ]
    .map(|text| SettingsFile::saying(&text));
    let with = |lines: &str| {
        SettingsFile::with(&format!(
            "[[site]]\nhost = \"*\"\norigin = \"https://localhost:{}\"\norigin_ca = \"{}\"\n{lines}",
            origin.address.port(),
            ca.argument()
        ))
    };
    let shown = |key: &str| {
        with(&format!("origin_cert = \"{}\"\norigin_key = {key}\n", certificate.argument()))
    };
    let file = shown(&format!("\"{}\"", key.argument()));
    assert_eq!(Edge::of(&file).get("/").text(), "hello");
    let file = shown("{ env = \"NIGH_IT_ORIGIN_KEY\" }");
    let pem = client.signing_key.serialize_pem();
    let edge = Edge::with_variable(&file, "NIGH_IT_ORIGIN_KEY", &pem);
    assert_eq!(edge.get("/").text(), "hello");
    let file = with("");
    Edge::of(&file).get("/").assert_problem(502);
    assert_eq!(origin.requests(), 2);
    let file = shown(&format!("\"{}\"", other.argument()));
    let ran = nigh(&["run", file.argument()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("and its key do not fit") && !ran.stderr.contains("PRIVATE"));
}
