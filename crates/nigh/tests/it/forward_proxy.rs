//! The edge as a forward proxy: absolute targets, CONNECT, rules, passwords, and what browsers are
//! told. RFC 9110, sections 3.7 and 9.3.6.

use crate::support::{
    Directory, Edge, Origin, Response, SettingsFile, Wire, edge::summary, h2, ok, process::nigh,
};

const FAR: &str = "max-age=100";

/// A proxy that may reach the origins of these tests, which are on loopback.
fn proxy(flags: &[&str]) -> Edge {
    Edge::forward(&[&["--proxy-allow", "127.0.0.0/8"][..], flags].concat())
}

/// Asks a proxy for a URL, with more field lines.
#[track_caller]
fn fetch(client: &mut Wire, url: &str, lines: &str) -> Response {
    let authority = url.split('/').nth(2).unwrap();
    client.send(format!("GET {url} HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n"));
    client.response()
}

/// Asks for a tunnel; says what the answer was.
#[track_caller]
fn connect(client: &mut Wire, authority: &str, lines: &str) -> u16 {
    client.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n"));
    client.head().status()
}

/// Base64 of ann and her password U*U, and of another password; the hash is from the test vectors of
/// Openwall's crypt_blowfish.
const RIGHT: &str = "YW5uOlUqVQ==";
const WRONG: &str = "YW5uOlUqVg==";
const USERS: &str = "ann:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";

fn credentials(token: &str) -> String {
    format!("Proxy-Authorization: Basic {token}\r\n")
}

#[test]
fn what_one_client_fetched_through_a_proxy_another_gets_from_the_store() {
    let origin = Origin::saying(ok(FAR, "page"));
    let edge = proxy(&[]);
    let url = format!("{}/a?b", origin.url());
    let mut client = edge.client();
    let first = fetch(&mut client, &url, "");
    assert_eq!(
        (first.text(), first.head.cache()),
        ("page", "fwd=uri-miss; fwd-status=200; ttl=100; stored")
    );
    assert!(first.head.first("via").contains("nigh"));
    let second = fetch(&mut edge.client(), &url, "");
    assert!(second.head.cache().starts_with("hit"), "{second:?}");
    assert_eq!(origin.requests(), 1);
    let head = origin.last();
    assert_eq!((head.target(), head.first("host")), ("/a?b", &*origin.address.to_string()));
    // The origin learns that there is a proxy, and not who is behind it.
    assert!(head.first("via").contains("nigh"));
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "proxy-connection"] {
        assert!(!head.has(name), "{name}");
    }
}

#[test]
fn options_for_the_whole_of_a_destination_reach_it_as_such() {
    let origin = Origin::saying(ok(FAR, "x"));
    let edge = proxy(&[]);
    let mut client = edge.client();
    for (limit, status) in [("1", 200), ("0", 204)] {
        let url = origin.url();
        client.send(format!("OPTIONS {url} HTTP/1.1\r\nHost: a\r\nMax-Forwards: {limit}\r\n\r\n"));
        assert_eq!(client.response().status(), status, "{limit}");
    }
    // RFC 9112, section 3.2.4.
    assert_eq!(origin.last().start, "OPTIONS * HTTP/1.1");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_request_for_no_destination_is_told_what_this_is() {
    let edge = proxy(&[]);
    let own = edge.client().get("/");
    assert_eq!(own.status(), 421);
    assert!(own.text().contains("this is a forward proxy"), "{}", own.text());
    let tls = fetch(&mut edge.client(), "https://www.example/", "");
    assert_eq!(tls.status(), 400);
    assert!(tls.text().contains("ask for a tunnel with CONNECT"), "{}", tls.text());
    // Over HTTP/2 that is how the proxy itself would be asked.
    let get = http::Request::get("https://www.example/").body(h2::empty()).unwrap();
    let answer = h2::Client::clear(edge.addresses[0]).send(get);
    assert_eq!(answer.status, 421);
    assert!(String::from_utf8_lossy(&answer.body).contains("this is a forward proxy"));
}

#[test]
fn what_a_proxy_refuses_is_in_the_log_as_it_was_asked_for() {
    let directory = Directory::new("proxy-refusals");
    std::fs::create_dir_all(&directory.0).unwrap();
    let log = directory.0.join("log");
    let mut edge = proxy(&["--access-log", log.to_str().unwrap()]);
    let url = "http://127.0.0.1:22/a?b";
    assert_eq!(connect(&mut edge.client(), "127.0.0.1:1", ""), 403);
    assert_eq!(fetch(&mut edge.client(), url, "").status(), 403);
    assert_eq!(h2::Frames::clear(edge.addresses[0]).tunnel("127.0.0.1:1", "").0, 403);
    let get = http::Request::get(url).body(h2::empty()).unwrap();
    assert_eq!(h2::Client::clear(edge.addresses[0]).send(get).status, 403);
    edge.terminate();
    edge.ended();
    let log = std::fs::read_to_string(log).unwrap();
    for asked in ["CONNECT 127.0.0.1:1", &format!("GET {url}")] {
        for version in ["1.1", "2.0"] {
            assert!(log.contains(&format!("\"{asked} HTTP/{version}\" 403 ")), "{asked}: {log}");
        }
    }
}

#[test]
fn the_inside_is_refused_by_address_and_by_name() {
    let origin = Origin::saying(ok(FAR, "secret"));
    let edge = Edge::forward(&["--admin", "127.0.0.1:0"]);
    let port = origin.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0", "2130706433"] {
        let refused = fetch(&mut edge.client(), &format!("http://{host}:{port}/"), "");
        assert_eq!(refused.status(), 403, "{host}: {refused:?}");
        assert!(refused.text().contains("`allow` of [forward]"), "{}", refused.text());
        let mut client = edge.client();
        assert_eq!(connect(&mut client, &format!("{host}:443"), ""), 403, "{host}");
    }
    let cloud = fetch(&mut edge.client(), "http://169.254.169.254/latest/meta-data/", "");
    assert_eq!(cloud.status(), 403);
    assert_eq!(origin.connections(), 0);
    let page = edge.ask_admin("/metrics");
    assert!(page.text().contains("nigh_proxy_refusals_total{reason=\"destination\"} 13"));
}

#[test]
fn a_proxy_does_not_lead_to_itself() {
    let edge = proxy(&["--connect-port", "443"]);
    let own = edge.addresses[0];
    let refused = fetch(&mut edge.client(), &format!("http://{own}/"), "");
    assert_eq!(refused.status(), 403, "{refused:?}");
}

#[test]
fn names_and_networks_can_be_denied() {
    let edge = proxy(&["--proxy-deny", "*.ads.example", "--proxy-deny", "127.0.0.9"]);
    for url in ["http://x.ads.example/", "http://127.0.0.9/"] {
        assert_eq!(fetch(&mut edge.client(), url, "").status(), 403, "{url}");
    }
}

#[test]
fn http_is_fetched_from_the_ports_that_are_meant_for_it_alone() {
    let origin = Origin::saying(ok(FAR, "page"));
    let refused = fetch(&mut proxy(&[]).client(), "http://127.0.0.1:22/", "");
    assert_eq!(refused.status(), 403, "{refused:?}");
    assert!(refused.text().contains("`http_ports` of [forward]"), "{}", refused.text());
    let port = origin.address.port();
    let (others, own) = (format!("{}-65535", port + 1), format!("{port}-{port}"));
    let url = format!("{}/", origin.url());
    for (ports, status) in [(others, 403), (own, 200)] {
        let edge = proxy(&["--http-port", "80", "--http-port", &ports]);
        assert_eq!(fetch(&mut edge.client(), &url, "").status(), status, "{ports}");
        let client = h2::Client::clear(edge.addresses[0]);
        let get = http::Request::get(&url).body(h2::empty()).unwrap();
        assert_eq!(client.send(get).status, status, "{ports}");
    }
}

#[test]
fn a_destination_cannot_ask_for_the_password_of_a_proxy() {
    let challenge = "HTTP/1.1 407 Proxy Authentication Required\r\nCache-Control: max-age=100\r\n\
                     Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 1\r\n\r\nx";
    let origin = Origin::saying(challenge);
    let edge = proxy(&[]);
    let url = format!("{}/", origin.url());
    for asked in [1, 2] {
        let answer = fetch(&mut edge.client(), &url, "");
        answer.assert_problem(502);
        assert!(answer.text().contains("as a proxy would"), "{}", answer.text());
        assert_eq!(origin.requests(), asked);
    }
    // What a site's origin says is the site's word, and is kept no more than a challenge is.
    let edge = Edge::start(&origin, &[]);
    for _ in 0..2 {
        let answer = edge.get("/");
        assert_eq!((answer.status(), answer.has("proxy-authenticate")), (407, false));
        assert!(answer.says("detail=status-never-stored"), "{answer:?}");
    }
    assert_eq!(origin.requests(), 4);
}

#[test]
fn clients_of_other_networks_are_refused() {
    let edge = Edge::forward(&["--proxy-clients", "10.0.0.0/8"]);
    let mut client = edge.client();
    let refused = fetch(&mut client, "http://www.example/", "");
    assert_eq!(refused.status(), 403);
    assert!(refused.text().contains("`clients` of [forward]"));
    assert_eq!(edge.client().get("/proxy.pac").status(), 403);
    assert_eq!(connect(&mut edge.client(), "www.example:443", ""), 403);
}

#[test]
fn a_tunnel_carries_bytes_both_ways_until_both_sides_have_ended() {
    let origin = Origin::start();
    let port = origin.address.port().to_string();
    let edge = proxy(&["--connect-port", &port, "--admin", "127.0.0.1:0"]);
    let mut client = edge.client();
    // What comes with the request is the tunnel's already.
    let address = origin.address;
    client
        .send(format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\nGET /a HTTP/1.1\r\n"));
    let head = client.head();
    assert_eq!(head.status(), 200);
    assert!(!head.has("content-length") && !head.has("transfer-encoding"), "{head:?}");
    client.send("Host: a\r\n\r\nlast words");
    let mut asked = origin.asked();
    assert_eq!(asked.head.target(), "/a");
    assert!(edge.ask_admin("/metrics").text().contains("\nnigh_tunnels 1\n"));
    client.finish_sending();
    assert_eq!(asked.wire.rest(), b"last words");
    asked.send("farewell");
    drop(asked);
    assert_eq!(client.rest(), b"farewell");
    drop(client);
    edge.status_until(|status| status["connections"] == 0);
    let page = edge.ask_admin("/metrics");
    for line in [
        "nigh_tunnels 0",
        "nigh_tunnels_total 1",
        "nigh_tunnel_bytes_total{direction=\"up\"} 38",
        "nigh_tunnel_bytes_total{direction=\"down\"} 8",
    ] {
        assert!(page.text().contains(line), "{line} is not in {}", page.text());
    }
}

#[test]
fn a_tunnel_may_follow_requests_that_came_before_it() {
    let origin = Origin::start();
    let port = origin.address.port().to_string();
    let edge = proxy(&["--connect-port", &port]);
    let address = origin.address;
    let mut client = edge.client();
    client.send(format!(
        "GET http://{address}/1 HTTP/1.1\r\nHost: {address}\r\n\r\n\
         CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    ));
    let first = origin.asked();
    assert_eq!(first.head.target(), "/1");
    first.answer(ok("no-store", "one"));
    assert_eq!(client.response().text(), "one");
    assert_eq!(client.head().status(), 200);
    let second = origin.asked();
    assert_eq!(second.head.target(), "/2");
    second.answer(ok("no-store", "two"));
    assert_eq!(client.response().text(), "two");
}

#[test]
fn a_tunnel_goes_to_the_ports_that_are_meant_for_it_alone() {
    let origin = Origin::start();
    let edge = proxy(&[]);
    let mut client = edge.client();
    assert_eq!(connect(&mut client, &origin.address.to_string(), ""), 403);
    let problem = String::from_utf8(client.rest()).unwrap();
    assert!(problem.contains("`connect_ports` of [forward]"), "{problem}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_tunnel_to_where_nobody_listens_is_a_bad_gateway() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let edge = proxy(&["--connect-port", &address.port().to_string()]);
    assert_eq!(connect(&mut edge.client(), &address.to_string(), ""), 502);
}

#[test]
fn an_http2_client_fetches_and_tunnels_through_a_proxy() {
    let origin = Origin::answering(|head| match head.target() {
        "/tunnelled" => {
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nin".to_owned()
        }
        _ => ok(FAR, "page"),
    });
    let (address, port) = (origin.address, origin.address.port().to_string());
    let edge = proxy(&["--connect-port", &port]);
    let client = h2::Client::clear(edge.addresses[0]);
    for expected in ["nigh; fwd=uri-miss", "nigh; hit"] {
        let get = http::Request::get(format!("http://{address}/")).body(h2::empty()).unwrap();
        let got = client.send(get);
        assert_eq!((got.status.as_u16(), &*got.body), (200, &b"page"[..]));
        assert!(got.cache().starts_with(expected), "{got:?}");
    }
    let frames = h2::Frames::clear(edge.addresses[0]);
    let asking = "GET /tunnelled HTTP/1.1\r\nHost: a\r\n\r\n";
    let (status, came) = frames.tunnel(&address.to_string(), asking);
    assert_eq!(status, 200);
    assert!(came.ends_with("\r\n\r\nin"), "{came}");
    let (status, came) = frames.tunnel("127.0.0.1:1", asking);
    assert_eq!(status, 403);
    assert!(came.contains("connect_ports"), "{came}");
}

/// The first frame that answers a request of these fields over HTTP/2: its type and its content. Fields
/// are written as literals (RFC 7541, section 6.2.2).
fn first_frame(edge: &Edge, fields: &[(&str, &str)]) -> (u8, Vec<u8>) {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len().try_into().unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut client = edge.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // HEADERS with END_HEADERS, on stream 1.
    client.send([&[0, 0, block.len().try_into().unwrap(), 1, 4, 0, 0, 0, 1], &block[..]].concat());
    loop {
        let head = client.exact(9);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let content = client.exact(length.try_into().unwrap());
        if head[5..] == [0, 0, 0, 1] && matches!(head[3], HEADERS | RST_STREAM) {
            return (head[3], content);
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

#[test]
fn an_http2_client_asks_for_a_tunnel_in_one_way() {
    let origin = Origin::start();
    let (address, port) = (origin.address.to_string(), origin.address.port().to_string());
    let edge = proxy(&["--connect-port", &port, "--connect-port", "80"]);
    let (method, authority) = ((":method", "CONNECT"), (":authority", &*address));
    // `:status` of 200 and of 400 have indexes of their own (RFC 7541, appendix A).
    let (kind, content) = first_frame(&edge, &[method, authority]);
    assert_eq!((kind, content[0]), (HEADERS, 0x88));
    for fields in [
        &[method, ("host", &*address)][..],
        &[method, (":authority", "127.0.0.1")],
        &[method, authority, ("host", "127.0.0.1:80")],
    ] {
        let (kind, content) = first_frame(&edge, fields);
        assert_eq!((kind, content[0]), (HEADERS, 0x8c), "{fields:?}");
    }
    let (scheme, path) = ((":scheme", "http"), (":path", "/"));
    for fields in [
        &[method, scheme, authority][..],
        &[method, path, authority],
        &[method, scheme, path, authority],
        // A protocol inside, which was not offered (RFC 8441, section 3).
        &[method, (":protocol", "websocket"), scheme, path, authority],
    ] {
        let (kind, content) = first_frame(&edge, fields);
        // PROTOCOL_ERROR.
        assert_eq!((kind, &content[..]), (RST_STREAM, &[0, 0, 0, 1][..]), "{fields:?}");
    }
}

#[test]
fn a_tunnel_that_stands_when_the_process_ends_is_in_the_log() {
    let directory = Directory::new("proxy-tunnels");
    std::fs::create_dir_all(&directory.0).unwrap();
    let log = directory.0.join("log");
    let origin = Origin::start();
    let (address, port) = (origin.address.to_string(), origin.address.port().to_string());
    let flags = ["--connect-port", &port, "--drain-time", "0s", "--access-log"];
    let mut edge = proxy(&[&flags[..], &[log.to_str().unwrap()]].concat());
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = edge.client();
        assert_eq!(connect(&mut client, &address, "User-Agent: a\r\n"), 200);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        origin.asked().answer(ok("no-store", "through"));
        assert_eq!(client.response().text(), "through");
        clients.push(client);
    }
    drop(clients.pop());
    edge.terminate();
    edge.ended();
    let log = std::fs::read_to_string(log).unwrap();
    let line = format!(
        "\"CONNECT {address} HTTP/1.1\" 200 {} \"-\" \"a\"",
        ok("no-store", "through").len()
    );
    assert_eq!(log.lines().filter(|told| told.contains(&line)).count(), 2, "{log}");
}

#[test]
fn a_password_is_asked_for_and_goes_no_further() {
    let directory = Directory::new("proxy-users");
    std::fs::create_dir_all(&directory.0).unwrap();
    let (users, log) = (directory.0.join("users"), directory.0.join("log"));
    std::fs::write(&users, USERS).unwrap();
    let origin = Origin::saying(ok(FAR, "page"));
    let port = origin.address.port().to_string();
    let (users, log) = (users.to_str().unwrap(), log.to_str().unwrap());
    let flags = ["--proxy-users", users, "--connect-port", &port, "--access-log", log];
    let mut edge = proxy(&flags);
    let url = format!("{}/", origin.url());
    let mut client = edge.client();
    let none = fetch(&mut client, &url, "");
    assert_eq!(none.status(), 407);
    assert_eq!(none.head.first("proxy-authenticate"), "Basic realm=\"nigh\", charset=\"UTF-8\"");
    assert_eq!(fetch(&mut client, &url, &credentials(WRONG)).status(), 407);
    assert_eq!(fetch(&mut client, &url, &credentials("?")).status(), 407);
    assert_eq!(origin.connections(), 0);
    // On the connection that was refused before.
    assert_eq!(fetch(&mut client, &url, &credentials(RIGHT)).text(), "page");
    assert!(!origin.last().has("proxy-authorization"));
    assert_eq!(fetch(&mut edge.client(), &url, &credentials(RIGHT)).text(), "page");
    // What is stored is for those who may come in.
    assert_eq!(fetch(&mut edge.client(), &url, "").status(), 407);

    let address = origin.address.to_string();
    assert_eq!(connect(&mut edge.client(), &address, ""), 407);
    assert_eq!(connect(&mut edge.client(), &address, &credentials(RIGHT)), 200);
    assert_eq!(edge.client().get("/proxy.pac").status(), 200);

    let client = h2::Client::clear(edge.addresses[0]);
    for (token, status) in [(WRONG, 407), (RIGHT, 200)] {
        let token = format!("Basic {token}");
        let get = http::Request::get(&url).header("proxy-authorization", token);
        assert_eq!(client.send(get.body(h2::empty()).unwrap()).status, status);
    }
    let get = http::Request::get(format!("https://{}/proxy.pac", edge.addresses[0]));
    assert_eq!(client.send(get.body(h2::empty()).unwrap()).status, 200);
    drop(client);
    edge.terminate();
    edge.ended();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(&format!("\"CONNECT {address} HTTP/1.1\" 200 ")), "{log}");
    assert!(log.contains(&format!("\"GET {url} HTTP/1.1\" 407 ")), "{log}");
    assert!(log.contains(&format!("\"GET {url} HTTP/2.0\" 200 ")), "{log}");
    for version in ["1.1", "2.0"] {
        assert!(log.contains(&format!("\"GET /proxy.pac HTTP/{version}\" 200 ")), "{log}");
    }
    assert!(!log.contains(RIGHT) && !log.contains(WRONG) && !log.contains("ann"), "{log}");
}

#[test]
fn who_guesses_is_told_how_long_to_wait_and_does_not_have_to_come_again_on_another_connection() {
    let directory = Directory::new("proxy-guesses");
    std::fs::create_dir_all(&directory.0).unwrap();
    let users = directory.0.join("users");
    std::fs::write(&users, USERS).unwrap();
    let origin = Origin::saying(ok(FAR, "page"));
    let edge = proxy(&["--proxy-users", users.to_str().unwrap()]);
    let url = format!("{}/", origin.url());
    for _ in 0..10 {
        assert_eq!(fetch(&mut edge.client(), &url, &credentials(WRONG)).status(), 407);
    }
    let mut client = edge.client();
    let refused = fetch(&mut client, &url, &credentials(RIGHT));
    assert_eq!(refused.status(), 429);
    let seconds = refused.first("retry-after").parse::<u64>().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let get = http::Request::get(&url).header("proxy-authorization", format!("Basic {RIGHT}"));
    let refused = h2::Client::clear(edge.addresses[0]).send(get.body(h2::empty()).unwrap());
    assert!(refused.status == 429 && refused.fields.contains_key("retry-after"), "{refused:?}");
    // Somebody else says the same elsewhere, so that it is known from then on.
    let mut other = Wire::connect_from([127, 0, 0, 2].into(), edge.addresses[0]);
    assert_eq!(fetch(&mut other, &url, &credentials(RIGHT)).status(), 200);
    assert_eq!(fetch(&mut client, &url, &credentials(RIGHT)).status(), 200);
}

#[test]
fn browsers_are_told_how_to_reach_the_proxy() {
    let edge = Edge::forward(&[]);
    for path in ["/proxy.pac", "/wpad.dat"] {
        let file = edge.get_of("proxy.example:3128", path);
        assert_eq!(file.head.first("content-type"), "application/x-ns-proxy-autoconfig");
        assert!(file.text().contains("return \"PROXY proxy.example:3128\";"), "{}", file.text());
        assert!(file.text().contains("isInNet(host, \"10.0.0.0\", \"255.0.0.0\")"));
    }
    let mut client = edge.client();
    client.send(
        "HEAD /proxy.pac HTTP/1.1\r\nHost: a\r\n\r\nGET /wpad.dat HTTP/1.1\r\nHost: b\r\n\r\n",
    );
    assert_eq!(client.head().status(), 200);
    assert!(client.response().text().contains("PROXY b:80"));
}

#[test]
fn a_site_and_a_proxy_stand_side_by_side() {
    let (site, elsewhere) = (Origin::saying(ok(FAR, "site")), Origin::saying(ok(FAR, "elsewhere")));
    let file = SettingsFile::with(&format!(
        "[forward]\nallow = \"127.0.0.0/8\"\nno_proxy = [\"*.intra.example\"]\n\
         [[site]]\nhost = \"www.example\"\norigin = \"{}\"\n",
        site.url()
    ));
    let edge = Edge::of(&file);
    assert_eq!(edge.get("/").text(), "site");
    assert_eq!(fetch(&mut edge.client(), "http://www.example/", "").text(), "site");
    let url = format!("{}/", elsewhere.url());
    assert_eq!(fetch(&mut edge.client(), &url, "").text(), "elsewhere");
    let pac = edge.get_of("proxy.example", "/proxy.pac");
    assert!(pac.text().contains("dnsDomainIs(host, \".intra.example\")"), "{}", pac.text());
    // A reload leaves the proxy as it was.
    file.rewrite(&SettingsFile::listening(&format!(
        "[forward]\nallow = \"127.0.0.0/8\"\n[[site]]\nhost = \"other.example\"\norigin = \"{}\"\n",
        site.url()
    )));
    edge.hang_up();
    edge.line("forward.no_proxy differ from what runs");
    assert_eq!(fetch(&mut edge.client(), &url, "").text(), "elsewhere");
    assert_eq!(summary(&edge.get("/").head).0, 421);
}

#[test]
fn what_a_proxy_keeps_is_explained_and_purged_by_its_url() {
    let origin = Origin::saying(ok(FAR, "page"));
    let edge = proxy(&["--admin", "127.0.0.1:0"]);
    let url = format!("{}/", origin.url());
    fetch(&mut edge.client(), &url, "");
    fetch(&mut edge.client(), &url, "");
    let explained = edge.ask_admin(&format!("/v1/explain?url={url}"));
    assert!(explained.text().contains("\"stored\":true"), "{}", explained.text());
}

#[test]
fn what_clients_will_ask_a_proxy_for_is_prefetched_and_counted_as_one_line() {
    let origin = Origin::saying(ok(FAR, "page"));
    let edge = proxy(&["--admin", "127.0.0.1:0"]);
    let (url, admin) = (format!("{}/", origin.url()), edge.admin().to_string());
    let fetched = nigh(&["prefetch", &url, "--admin", &admin]);
    assert!(fetched.stdout.starts_with("stored"), "{} {}", fetched.stdout, fetched.stderr);
    let answer = fetch(&mut edge.client(), &url, "");
    assert!(answer.says("hit"), "{answer:?}");
    let refused = nigh(&["prefetch", "https://127.0.0.1/", "--admin", &admin]);
    assert!(refused.stdout.contains("no site of this edge"), "{}", refused.stdout);
    let status = edge.status_until(|status| status["forward"]["requests"] == 2);
    assert_eq!(status["forward"]["hits"], 1);
    assert_eq!(status["sites"].as_array().map(Vec::len), Some(0));
    let page = edge.ask_admin("/metrics");
    assert!(page.text().contains("nigh_site_requests_total{site=\"[forward]\",cache=\"hit\"} 1"));
    assert!(!page.text().contains("nigh_origin_up{"), "clients' choices are nobody's origins");
}

#[test]
fn a_connection_that_was_not_redirected_is_closed() {
    let edge = Edge::forward(&["--transparent", "127.0.0.1:0"]);
    let line = edge.line("redirected clients on redirect://");
    let address = line.rsplit("://").next().unwrap().trim().parse().unwrap();
    let mut client = Wire::connect(address);
    // Whether or not the kernel keeps track of connections here, it leads to the proxy itself.
    drop(client.try_send("GET / HTTP/1.1\r\nHost: www.example\r\n\r\n"));
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn a_file_of_users_that_cannot_be_read_ends_the_start() {
    let directory = Directory::new("proxy-no-users");
    std::fs::create_dir_all(&directory.0).unwrap();
    let users = directory.0.join("users");
    std::fs::write(&users, "ann:secret\n").unwrap();
    let nigh = std::process::Command::new(env!("CARGO_BIN_EXE_nigh"))
        .args(["edge", "--forward", "--listen", "http://127.0.0.1:0", "--proxy-users"])
        .arg(&users)
        .output()
        .unwrap();
    let said = String::from_utf8(nigh.stderr).unwrap();
    assert_eq!(nigh.status.code(), Some(1), "{said}");
    assert!(said.contains("line 1 has no bcrypt hash") && !said.contains("secret"), "{said}");
}
