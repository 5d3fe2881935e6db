//! Several sites on one edge: hosts, paths, origins.

use std::net::TcpListener;

use crate::support::{Edge, Origin, SettingsFile, h2, ok, origin::answer, process::nigh};

/// An origin that says its name, to be kept.
fn named(name: &str) -> Origin {
    Origin::saying(ok("max-age=100", name))
}

fn site(host: &str, origin: &Origin) -> String {
    format!("[[site]]\nhost = \"{host}\"\norigin = \"{}\"\n", origin.url())
}

/// An edge with one site for every host, and more lines under it.
fn edge_with(origin: &Origin, lines: &str) -> (SettingsFile, Edge) {
    let file = SettingsFile::with(&format!("{}{lines}", site("*", origin)));
    let edge = Edge::of(&file);
    (file, edge)
}

#[test]
fn every_host_has_its_own_site_and_an_unknown_one_is_answered_421() {
    let (one, two) = (named("one"), named("two"));
    let sites = [site("www.example.com", &one), site("*.example.org", &two)].concat();
    let file = SettingsFile::with(&sites);
    let edge = Edge::of(&file);
    for (host, name) in
        [("www.example.com", "one"), ("WWW.example.com:81", "one"), ("a.b.example.org", "two")]
    {
        assert_eq!(edge.get_of(host, "/").text(), name, "{host}");
    }
    assert_eq!(one.last().first("host"), one.address.to_string());
    let asked = (one.requests(), two.requests());
    for host in ["example.com", "example.org", "x.www.example.com"] {
        let refused = edge.get_of(host, "/");
        refused.assert_problem(421);
        assert_eq!(refused.cache(), "detail=unknown-host");
    }
    let mut old = edge.client();
    old.send("GET / HTTP/1.0\r\n\r\n");
    old.response().assert_problem(421);
    assert_eq!((one.requests(), two.requests()), asked);
}

#[test]
fn hosts_are_told_apart_on_one_connection_of_either_protocol() {
    let (one, rest) = (named("one"), named("rest"));
    let file = SettingsFile::with(&[site("one.example", &one), site("*", &rest)].concat());
    let edge = Edge::of(&file);
    let mut client = edge.client();
    for (host, name) in [("one.example", "one"), ("two.example", "rest"), ("one.example", "one")] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().text(), name, "{host}");
    }
    // Its requests are for another host than those.
    let got = h2::Client::clear(edge.addresses[0]).get("/");
    assert_eq!(got.body, "rest");
    assert_eq!(one.requests(), 1);
}

#[test]
fn what_of_a_query_does_not_count_is_neither_in_the_key_nor_sent() {
    let origin = named("x");
    let (_file, edge) = edge_with(
        &origin,
        "[[site.path]]\nmatch = \"/sort\"\nquery = \"sort\"\nstrip = [\"utm_*\"]\n\
         [[site.path]]\nmatch = \"*.css\"\nquery = \"strip\"\n",
    );
    for (first, second, sent) in [
        ("/sort?b=1&utm_a=2&a=3", "/sort?a=3&b=1", "/sort?a=3&b=1"),
        ("/a.css?1", "/a.css", "/a.css"),
        ("/kept?b&a", "/kept?b&a", "/kept?b&a"),
    ] {
        edge.fill(first);
        assert_eq!(origin.last().target(), sent);
        assert!(edge.get(second).says("hit"), "{first} {second}");
    }
    assert!(!edge.get("/kept?a&b").says("hit"));
}

#[test]
fn a_time_of_the_operators_makes_fresh_what_says_nothing_of_time() {
    let origin = Origin::answering(|head| match head.target() {
        "/private" => ok("private", "x"),
        "/short" => ok("max-age=1", "x"),
        _ => answer("", "x"),
    });
    let (_file, edge) = edge_with(&origin, "[[site.path]]\nmatch = \"/\"\nttl = \"1h\"\n");
    for target in ["/", "/short"] {
        edge.fill(target);
        let hit = edge.get(target);
        let ttl = hit.number("ttl").unwrap();
        assert!(hit.says("hit") && (3500..=3600).contains(&ttl), "{}", hit.cache());
    }
    assert!(edge.get("/private").says("detail=private"));
    assert!(edge.get("/private").says("fwd=uri-miss"));
}

#[test]
fn what_goes_by_the_cache_is_fetched_each_time() {
    let origin = named("x");
    let (_file, edge) =
        edge_with(&origin, "[[site.path]]\nmatch = \"/account/*\"\nbypass = true\n");
    for _ in 0..2 {
        assert_eq!(edge.get("/account/me").cache(), "fwd=bypass; fwd-status=200");
    }
    assert_eq!(origin.requests(), 2);
    edge.fill("/account");
    assert!(edge.get("/account").says("hit"));
}

#[test]
fn cookies_that_do_not_count_choose_nothing_and_are_not_sent() {
    let origin = Origin::saying(answer("Cache-Control: max-age=100\r\nVary: Cookie\r\n", "x"));
    let (_file, edge) =
        edge_with(&origin, "[[site.path]]\nmatch = \"/\"\nignore_cookies = [\"_ga*\"]\n");
    // On one connection, a request is read when the one before was stored.
    let mut client = edge.client();
    let mut get = |cookies: &str| client.get_with("/", &format!("Cookie: {cookies}\r\n"));
    get("_ga=1; lang=de; _gat=2");
    assert_eq!(origin.last().first("cookie"), "lang=de");
    let hit = get("lang=de; _ga=3");
    assert!(hit.says("hit"), "{}", hit.cache());
    assert!(!get("lang=en; _ga=3").says("hit"));
}

#[test]
fn an_origin_that_is_down_costs_no_answer() {
    let up = Origin::saying(ok("no-store", "x"));
    let down = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = down.local_addr().unwrap();
    drop(down);
    let file = SettingsFile::with(&format!(
        "[[site]]\nhost = \"*\"\norigins = [{{ url = \"http://{nobody}\", weight = 2 }}, \
         {{ url = \"{}\" }}]\n",
        up.url()
    ));
    let edge = Edge::of(&file);
    let mut client = edge.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").status(), 200);
    }
    edge.line("an origin fails: left out for a while");
    assert_eq!(up.requests(), 20);
}

#[test]
fn requests_are_spread_by_weight() {
    let (one, three) = (Origin::saying(ok("no-store", "x")), Origin::saying(ok("no-store", "y")));
    let file = SettingsFile::with(&format!(
        "[[site]]\nhost = \"*\"\norigins = [{{ url = \"{}\" }}, {{ url = \"{}\", weight = 3 }}]\n",
        one.url(),
        three.url()
    ));
    let edge = Edge::of(&file);
    // Each worker counts for itself, and one connection is one worker's.
    let mut client = edge.client();
    (0..40).for_each(|_| drop(client.get("/")));
    assert_eq!((one.requests(), three.requests()), (10, 30));
}

#[test]
fn an_origin_that_fails_its_probes_is_not_asked() {
    let good = Origin::saying(ok("no-store", "good"));
    let sick = Origin::answering(|head| match head.target() {
        "/up" => "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => ok("no-store", "sick"),
    });
    let file = SettingsFile::with(&format!(
        "[[site]]\nhost = \"*\"\norigins = [{{ url = \"{}\" }}, {{ url = \"{}\" }}]\n\
         probe = {{ path = \"/up\", every = \"20ms\" }}\n",
        good.url(),
        sick.url()
    ));
    let edge = Edge::of(&file);
    // Both workers find out.
    (0..2).for_each(|_| drop(edge.line("an origin fails its probes")));
    for _ in 0..8 {
        assert_eq!(edge.get("/").text(), "good");
    }
}

#[test]
fn the_admin_address_knows_the_sites_and_their_rules() {
    let origin = named("x");
    let rules = "[[site.path]]\nmatch = \"/me\"\nbypass = true\n\
                 [[site.path]]\nmatch = \"/\"\nquery = \"sort\"\n";
    let sites = format!("{}{rules}", site("www.example", &origin));
    let file = SettingsFile::with(&format!("name = \"eu-1\"\nadmin = \"127.0.0.1:0\"\n{sites}"));
    let edge = Edge::of(&file);
    edge.fill("/?b&a");
    let status = edge.status_until(|status| status["store"]["objects"] == 1);
    assert_eq!(
        (&status["name"], &status["sites"][0]["hosts"][0]),
        (&"eu-1".into(), &"www.example".into())
    );
    let admin = edge.admin().to_string();
    let explain = |url: &str| nigh(&["explain", url, "--admin", &admin]);
    let told = explain("http://www.example/?a&b");
    assert!(
        told.stdout.contains("key      http://www.example/?a&b\n\nvariant  1 of 1"),
        "{told:?}"
    );
    assert!(explain("http://www.example/me").stdout.contains("its path goes by the cache"));
    let unknown = explain("http://other.example/");
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no site of this edge has the host"), "{unknown:?}");
}
