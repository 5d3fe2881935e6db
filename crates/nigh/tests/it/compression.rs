//! `compress`: what is compressed here, once, and stored so.

use std::{io::Read, time::Instant};

use crate::support::{
    Directory, Edge, Origin, PATIENCE, Response, SettingsFile, h2, origin::answer, process::nigh,
};

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// A text that compresses well, of about 100 kB.
fn text() -> String {
    (0..4000).map(|n| format!("<p>line {} of many</p>\n", n % 77)).collect()
}

fn html(lines: &str) -> String {
    let lines = format!("Content-Type: text/html\r\nCache-Control: max-age=1000\r\n{lines}");
    answer(&lines, &text())
}

/// An edge before `origin` whose every response may be compressed, with more lines in its rule.
fn edge(origin: &Origin, lines: &str) -> (SettingsFile, Edge) {
    let file = SettingsFile::with(&settings(origin, lines));
    let edge = Edge::of(&file);
    (file, edge)
}

fn settings(origin: &Origin, lines: &str) -> String {
    let url = origin.url();
    format!(
        "[[site]]\nhost = \"*\"\norigin = \"{url}\"\n\
         [[site.path]]\nmatch = \"/\"\ncompress = true\n{lines}"
    )
}

fn decoded(coding: &str, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    // What is cut off gives what there is.
    match coding {
        "zstd" => drop(zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out)),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out)),
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out)),
        _ => out = bytes.to_vec(),
    }
    String::from_utf8(out).unwrap()
}

fn accepting(codings: &str) -> String {
    format!("Accept-Encoding: {codings}\r\n")
}

#[test]
fn each_coding_is_made_once_and_answers_everyone_who_takes_it() {
    let origin = Origin::saying(html("ETag: \"a\"\r\nAccept-Ranges: bytes\r\n"));
    let (_file, edge) = edge(&origin, "");
    let mut client = edge.client();
    for (at, coding) in CODINGS.into_iter().enumerate() {
        let first = client.get_with("/", &accepting(coding));
        assert!(first.says("stored") && !first.has("content-length"), "{:?}", first.head);
        let again = client.get_with("/", &accepting(&format!("{coding};q=0.5, deflate")));
        assert!(again.says("hit"), "{:?}", again.head);
        for got in [&first, &again] {
            assert_eq!(got.first("content-encoding"), coding);
            assert_eq!((got.first("etag"), got.first("vary")), ("W/\"a\"", "Accept-Encoding"));
            assert!(!got.has("accept-ranges"));
            assert!(got.body.len() < text().len() / 10);
            assert_eq!(decoded(coding, &got.body), text());
        }
        assert_eq!(again.first("content-length"), again.body.len().to_string());
        assert_eq!(origin.requests(), at + 1);
        assert_eq!(origin.last().first("accept-encoding"), coding);
    }
    let best = client.get_with("/", &accepting("gzip, deflate, br, zstd"));
    assert!(best.says("hit") && best.first("content-encoding") == "zstd");
    let plain = client.get("/");
    assert!(plain.says("fwd=vary-miss") && !plain.has("content-encoding"), "{:?}", plain.head);
    assert_eq!((plain.first("etag"), plain.text()), ("\"a\"", &*text()));
}

#[test]
fn what_is_stored_as_it_is_is_compressed_without_the_origin() {
    let origin = Origin::saying(html("ETag: \"a\"\r\nAge: 10\r\nCache-Tag: t\r\n"));
    let cache = "admin = \"127.0.0.1:0\"\n";
    let file = SettingsFile::with(&format!("{cache}{}", settings(&origin, "")));
    let edge = Edge::of(&file);
    edge.fill("/");
    let mut client = edge.client();
    for coding in CODINGS {
        let first = client.get_with("/", &accepting(coding));
        assert!(first.says("hit") && first.says("detail=compressed"), "{:?}", first.head);
        let again = client.get_with("/", &accepting(coding));
        assert!(again.says("hit") && !again.says("detail=compressed"), "{:?}", again.head);
        for got in [&first, &again] {
            assert_eq!((got.first("etag"), got.first("content-encoding")), ("W/\"a\"", coding));
            assert!(got.first("age").parse::<u32>().unwrap() >= 10 && got.all("age").count() == 1);
            assert!(!got.has("cache-tag"));
            assert_eq!(decoded(coding, &got.body), text());
        }
    }
    assert_eq!(origin.requests(), 1);
    let unchanged = edge.client().get_with("/", &(accepting("br") + "If-None-Match: W/\"a\"\r\n"));
    assert_eq!(unchanged.status(), 304);
    // Its tag goes with it into every variant.
    let admin = edge.admin().to_string();
    assert_eq!(nigh(&["purge", "--tag", "t", "--admin", &admin]).code, Some(0));
    for coding in CODINGS {
        let held = accepting(coding) + "Cache-Control: only-if-cached\r\n";
        assert_eq!(edge.client().get_with("/", &held).status(), 504, "{coding}");
    }
}

#[test]
fn conditions_and_head_speak_of_the_compressed_response() {
    let origin = Origin::saying(html("ETag: \"a\"\r\n"));
    let (_file, edge) = edge(&origin, "");
    let mut client = edge.client();
    let asked = accepting("br");
    // From the origin, before anything is stored.
    client.ask("HEAD", "/", &asked);
    let missed = client.final_head();
    assert_eq!(missed.first("content-encoding"), "br");
    assert_eq!((missed.first("etag"), missed.has("content-length")), ("W/\"a\"", false));
    let got = client.get_with("/", &asked);
    client.ask("HEAD", "/", &asked);
    let head = client.final_head();
    assert!(head.says("hit"), "{head:?}");
    for name in ["content-encoding", "etag", "vary", "content-type"] {
        assert_eq!(head.first(name), got.first(name), "{name}");
    }
    assert_eq!(head.first("content-length"), got.body.len().to_string());
    let unchanged = client.get_with("/", &format!("{asked}If-None-Match: W/\"a\"\r\n"));
    assert_eq!((unchanged.status(), unchanged.first("etag")), (304, "W/\"a\""));
    // Who holds the content as it is holds the same, as far as a 304 is concerned.
    let unchanged = client.get_with("/", &format!("{asked}If-None-Match: \"a\"\r\n"));
    assert_eq!((unchanged.status(), unchanged.first("vary")), (304, "Accept-Encoding"));
}

#[test]
fn a_range_is_one_of_the_content_as_it_is() {
    let origin =
        Origin::saying(html("ETag: \"a\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    let (_file, edge) = edge(&origin, "");
    edge.client().get_with("/", &accepting("gzip"));
    edge.fill("/");
    let mut client = edge.client();
    let lines = format!("{}Range: bytes=3-6\r\n", accepting("gzip"));
    let part = client.get_with("/", &lines);
    assert_eq!((part.status(), part.text()), (206, &text()[3..7]));
    assert!(!part.has("content-encoding") && part.says("hit"));
    // The date does not tell what this client holds.
    let dated = "If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let whole = client.get_with("/", &format!("{lines}{dated}"));
    assert_eq!((whole.status(), whole.first("content-encoding")), (200, "gzip"));
    assert_eq!(decoded("gzip", &whole.body), text());
}

#[test]
fn what_is_not_to_be_compressed_is_passed_as_it_came() {
    let origin = Origin::answering(|head| {
        let short = |lines: &str| answer(&format!("Cache-Control: max-age=9\r\n{lines}"), "short");
        match head.target() {
            "/no-transform" => html("Cache-Control: no-transform\r\n"),
            "/coded" => html("Content-Encoding: br\r\n"),
            "/short" => short("Content-Type: text/html\r\n"),
            "/image" => html("").replace("text/html", "image/png"),
            _ => short(""),
        }
    });
    let (_file, edge) = edge(&origin, "");
    for (target, coding) in
        [("/no-transform", ""), ("/coded", "br"), ("/short", ""), ("/image", ""), ("/untyped", "")]
    {
        let mut client = edge.client();
        for _ in 0..2 {
            let got = client.get_with(target, &accepting("br, gzip"));
            assert_eq!(got.first("content-encoding"), coding, "{target}");
            assert!(["short", &*text()].contains(&got.text()), "{target}");
        }
    }
    let got = edge.client().get_with("/image", &accepting("gzip"));
    assert!(got.says("hit"), "what has one form has one variant: {:?}", got.head);
    let got = edge.client().get_with("/short", &accepting("gzip, identity;q=0"));
    assert_eq!(got.first("content-encoding"), "gzip", "it was not wanted as it is");
    let wanted = format!("{}Cache-Control: no-transform\r\n", accepting("gzip"));
    assert!(!edge.client().get_with("/short", &wanted).has("content-encoding"));
}

#[test]
fn types_codings_and_size_are_the_operators() {
    let origin = Origin::answering(|head| {
        let kind = head.target().trim_start_matches('/').to_owned();
        answer(&format!("Content-Type: {kind}\r\nCache-Control: max-age=9\r\n"), "0123456789")
    });
    let file = SettingsFile::with(&settings(&origin, "").replace(
        "compress = true",
        "compress = \"gzip\"\ncompress_types = [\"application/x-*\"]\ncompress_min = \"5B\"",
    ));
    let edge = Edge::of(&file);
    for (target, codings, coding) in [
        ("/application/x-ndjson", "br, gzip", "gzip"),
        ("/application/x-ndjson", "br", ""),
        ("/text/html", "gzip", ""),
    ] {
        let got = edge.client().get_with(target, &accepting(codings));
        assert_eq!(got.first("content-encoding"), coding, "{target} {codings}");
    }
}

#[test]
fn the_first_part_is_there_before_the_last_has_come() {
    for coding in CODINGS {
        let origin = Origin::start();
        let (_file, edge) = edge(&origin, "");
        let mut client = edge.client();
        client.ask("GET", "/", &accepting(coding));
        let mut asked = origin.asked();
        asked.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=9\r\n\
             Transfer-Encoding: chunked\r\n\r\nc\r\n<p>first</p>\r\n",
        );
        assert_eq!(client.final_head().first("content-encoding"), coding);
        let mut got = Vec::new();
        while decoded(coding, &got) != "<p>first</p>" {
            got.extend(client.chunk().expect("the rest has not come"));
        }
        asked.answer("b\r\n<p>last</p>\r\n0\r\n\r\n");
        while let Some(chunk) = client.chunk() {
            got.extend(chunk);
        }
        assert_eq!(decoded(coding, &got), "<p>first</p><p>last</p>", "{coding}");
    }
}

#[test]
fn a_body_that_breaks_off_is_not_kept_and_not_ended() {
    let origin = Origin::start();
    let (_file, edge) = edge(&origin, "");
    let mut client = edge.client();
    client.ask("GET", "/", &accepting("zstd"));
    let mut asked = origin.asked();
    asked.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=9\r\n\
         Content-Length: 5000\r\n\r\nonly this",
    );
    assert_eq!(client.final_head().status(), 200);
    drop(asked);
    let rest = client.rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks whole: {rest:?}");
    let held = accepting("zstd") + "Cache-Control: only-if-cached\r\n";
    assert_eq!(edge.client().get_with("/", &held).status(), 504);
}

#[test]
fn a_variant_that_the_origin_confirms_is_not_made_again() {
    let origin = Origin::answering(|head| match head.first("if-none-match") {
        "" => html("ETag: \"a\"\r\nRepr-Digest: x\r\nVary: Cookie\r\n")
            .replace("max-age=1000", "max-age=0"),
        _ => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nCache-Control: max-age=0\r\n\
              Repr-Digest: x\r\nVary: Cookie\r\n\r\n"
            .to_owned(),
    });
    let (_file, edge) = edge(&origin, "");
    let mut client = edge.client();
    client.get_with("/", &accepting("br"));
    for _ in 0..2 {
        let got = client.get_with("/", &accepting("br"));
        assert!(got.says("fwd-status=304") && got.says("stored"), "{:?}", got.head);
        assert_eq!(origin.last().first("if-none-match"), "W/\"a\"");
        assert_eq!((got.first("etag"), got.first("content-encoding")), ("W/\"a\"", "br"));
        assert!(!got.has("repr-digest"), "{:?}", got.head);
        assert_eq!(decoded("br", &got.body), text());
    }
}

#[test]
fn a_variant_on_the_disk_outlives_a_restart() {
    let directory = Directory::new("compressed");
    let origin = Origin::saying(html(""));
    let cache = format!(
        "admin = \"127.0.0.1:0\"\n[cache]\ndisk = {{ path = \"{}\", size = \"64MiB\" }}\n",
        directory.argument()
    );
    let file = SettingsFile::with(&(cache + &settings(&origin, "")));
    let edge = Edge::of(&file);
    let mut client = edge.client();
    (0..2).for_each(|_| drop(client.get_with("/", &accepting("zstd"))));
    edge.status_until(|status| status["disk"]["objects"] == 1);
    drop(edge);
    let edge = Edge::of(&file);
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
    let hit = edge.client().get_with("/", &accepting("zstd"));
    assert!(hit.says("hit") && hit.says("detail=disk"), "{:?}", hit.head);
    assert_eq!(decoded("zstd", &hit.body), text());
    assert_eq!(origin.requests(), 1);
    let metrics = edge.ask_admin("/metrics");
    assert!(metrics.text().contains("\nnigh_compressed_total 0\n"), "nothing was made anew");
}

#[test]
fn many_who_ask_at_once_cost_the_origin_a_request_for_each_coding() {
    let origin = Origin::start();
    let (_file, edge) = edge(&origin, "");
    let mut clients: Vec<_> = ["zstd", "br", "zstd", "br", "br", "gzip, br, zstd"]
        .into_iter()
        .map(|coding| {
            let mut client = edge.client();
            client.ask("GET", "/", &accepting(coding));
            client
        })
        .collect();
    // Each is answered when both were asked: whoever comes later waits, or finds it stored.
    for asked in [origin.asked(), origin.asked()] {
        asked.answer(html(""));
    }
    for client in &mut clients {
        let got = client.final_head();
        let got = client.content(got);
        assert_eq!(decoded(got.first("content-encoding"), &got.body), text());
    }
    assert_eq!(origin.requests(), 2);
}

/// Responses that a worker compresses at once.
const AT_ONCE: usize = 32;

/// An edge of one worker, before `origin`.
fn one_worker(origin: &Origin) -> (SettingsFile, Edge) {
    let node = "[node]\nlisten = \"http://127.0.0.1:0\"\nworkers = 1\nadmin = \"127.0.0.1:0\"\n";
    let file = SettingsFile::saying(&(node.to_owned() + &settings(origin, "")));
    let edge = Edge::of(&file);
    (file, edge)
}

/// Asks until the answer comes in `coding`.
#[track_caller]
fn coded(ask: impl Fn() -> Response, coding: &str) -> Response {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = ask();
        if got.first("content-encoding") == coding {
            return got;
        }
        assert!(Instant::now() < deadline, "it is never compressed: {:?}", got.head);
        std::thread::yield_now();
    }
}

#[test]
fn who_reads_nothing_takes_compression_from_nobody() {
    // More of it waits for one reader than fits, however well it is compressed.
    let mut state = 1_u64;
    let long: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + u8::try_from(state >> 60).unwrap())
    })
    .take(1 << 20)
    .collect();
    let text = long.clone();
    let origin = Origin::answering(move |_| {
        answer("Content-Type: text/html\r\nCache-Control: no-store\r\n", &text)
    });
    let (_file, edge) = one_worker(&origin);
    let frames = h2::Frames::clear(edge.addresses[0]);
    let idle = |_| {
        let (head, content) =
            frames.ask("GET", "/", &[("accept-encoding", "zstd")], false).answer();
        assert_eq!(head.headers["content-encoding"], "zstd");
        content
    };
    let idle: Vec<_> = (0..AT_ONCE).map(idle).collect();
    for coding in CODINGS {
        let got = coded(|| edge.client().get_with("/", &accepting(coding)), coding);
        assert!(decoded(coding, &got.body) == long, "{coding}");
    }
    // What they get when they read on is whole all the same.
    for came in frames.read_all(idle) {
        assert!(decoded("zstd", &came) == long);
    }
}

#[test]
fn what_there_was_no_room_to_compress_is_compressed_when_there_is() {
    let origin = Origin::start();
    let (_file, edge) = one_worker(&origin);
    let mut client = edge.client();
    let asks = accepting("br");
    client.ask("GET", "/plain", "");
    origin.asked().answer(html(""));
    client.response();
    let part = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=9\r\n\
                Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    let busy = |at| {
        let mut client = edge.client();
        client.ask("GET", &format!("/busy/{at}"), &asks);
        let mut asked = origin.asked();
        asked.send(part);
        assert_eq!(client.final_head().first("content-encoding"), "br");
        (client, asked)
    };
    let busy: Vec<_> = (0..AT_ONCE).map(busy).collect();
    let stale = html("ETag: \"a\"\r\n").replace("max-age=1000", "max-age=0");
    for (target, said) in [("/fresh", html("")), ("/checked", stale)] {
        client.ask("GET", target, &asks);
        origin.asked().answer(said);
        let got = client.response();
        assert!(!got.has("content-encoding") && got.says("stored"), "{:?}", got.head);
    }
    for target in ["/fresh", "/plain"] {
        let got = client.get_with(target, &asks);
        assert!(!got.has("content-encoding") && got.says("hit"), "{:?}", got.head);
        assert_eq!(got.text(), text());
    }
    for (mut client, asked) in busy {
        asked.answer("0\r\n\r\n");
        while client.chunk().is_some() {}
    }
    let checked = || {
        let mut client = edge.client();
        client.ask("GET", "/checked", &asks);
        origin
            .asked()
            .answer("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nCache-Control: max-age=0\r\n\r\n");
        client.response()
    };
    let asked = origin.requests();
    for target in ["/fresh", "/plain"] {
        let got = coded(|| edge.client().get_with(target, &asks), "br");
        assert_eq!(decoded("br", &got.body), text(), "{target}");
        assert_eq!(got.first("vary"), "Accept-Encoding");
    }
    assert_eq!(origin.requests(), asked, "what is here is not asked for");
    let got = coded(checked, "br");
    assert!(got.says("fwd-status=304"), "{:?}", got.head);
    assert_eq!((decoded("br", &got.body), got.first("etag")), (text(), "W/\"a\""));
}

#[test]
fn what_is_not_stored_is_compressed_too() {
    let origin = Origin::saying(html("").replace("max-age=1000", "no-store"));
    let (_file, edge) = edge(&origin, "");
    let mut client = edge.client();
    for _ in 0..2 {
        let got = client.get_with("/", &accepting("gzip"));
        assert!(got.says("detail=no-store"), "{:?}", got.head);
        assert_eq!(decoded(got.first("content-encoding"), &got.body), text());
    }
}
