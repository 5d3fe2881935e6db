//! The access log: a line a request, whole, and all of them there when the process has ended.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Edge, Origin, SettingsFile, h2, ok, process::nigh};

/// A file that is gone when the test is over.
struct LogFile(PathBuf);

impl LogFile {
    fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("nigh-it-{}-{name}.log", std::process::id()));
        let _ = std::fs::remove_file(&file);
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a name of letters")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).expect("the edge made it")
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_client_that_goes_away_before_it_is_answered_is_logged_as_499() {
    let file = LogFile::new("gone");
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--access-log", file.path()]);
    let mut client = edge.client();
    client.ask("GET", "/1", "");
    let mut asked = origin.asked();
    // What is left unread when a socket is closed makes a reset of its end.
    asked.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    client.stream.peek(&mut [0]).unwrap();
    drop(client);
    let connection = h2::Frames::clear(edge.addresses[0]);
    let other = connection.ask("GET", "/2", &[], false);
    let _asked = origin.asked();
    drop(other);
    drop(connection);
    edge.status_until(|status| status["connections"] == 0);
    edge.terminate();
    edge.ended();
    for target in ["/1 HTTP/1.1", "/2 HTTP/2.0"] {
        let text = file.text();
        let line = text.lines().find(|line| line.contains(target)).expect("a line");
        assert!(line.contains("\" 499 0 "), "{line}");
    }
}

#[test]
fn combined_lines_are_written_for_every_request_before_the_process_ends() {
    let file = LogFile::new("combined");
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let mut edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--access-log", file.path()]);
    let mut client = edge.client();
    let lines = "User-Agent: a \"quoted\" one\r\nReferer: http://b/\r\n";
    client.get_with("/a?b", lines);
    client.get_with("/a?b", lines);
    client.ask("TRACE", "/", "");
    client.response();
    edge.terminate();
    assert_eq!(edge.ended().code(), Some(0));
    let text = file.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let behind = "\"GET /a?b HTTP/1.1\" 200 5 \"http://b/\" \"a \\\"quoted\\\" one\" \"nigh; ";
    for (line, cache) in lines.iter().zip(["fwd=uri-miss", "hit"]) {
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.contains(&format!("+0000] {behind}{cache}")), "{line}");
    }
    assert!(lines[2].contains("\"TRACE / HTTP/1.1\" 405 "), "{}", lines[2]);
}

#[test]
fn json_lines_tell_the_same_and_strangers_cannot_break_out_of_them() {
    let file = LogFile::new("json");
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let flags = ["--admin", "127.0.0.1:0", "--access-log", file.path(), "--log-format", "json"];
    let mut edge = Edge::start(&origin, &flags);
    let mut client = edge.client();
    client.send(
        b"GET /a\"\\b HTTP/1.1\r\nHost: www.example\r\nUser-Agent: \xff\",\"x\":\"\x09\r\n\r\n",
    );
    client.response();
    h2::Client::clear(edge.addresses[0]).get("/c");
    drop(client);
    edge.terminate();
    assert_eq!(edge.ended().code(), Some(0));
    let text = file.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    let line = |target: &str| lines.iter().find(|line| line["target"] == target).expect("its line");
    let first = line("/a\"\\b");
    assert_eq!((&first["method"], &first["status"]), (&"GET".into(), &200.into()));
    assert_eq!((&first["bytes"], &first["host"]), (&5.into(), &"www.example".into()));
    assert_eq!(first["client"], "127.0.0.1");
    assert!(first["agent"].as_str().unwrap().contains("\",\"x\":\""));
    assert!(first.get("x").is_none());
    assert!(first["cache"].as_str().unwrap().starts_with("nigh; fwd=uri-miss"));
    assert_eq!(line("/c")["version"], "HTTP/2.0");
    assert_eq!(line("/c")["bytes"], 5);
}

#[test]
fn a_signature_that_is_good_is_in_no_log_and_no_event() {
    let file = LogFile::new("signed");
    let key = SettingsFile::saying("0123456789abcdef");
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let settings = SettingsFile::with(&format!(
        "admin = \"127.0.0.1:0\"\naccess_log = \"{}\"\n[[site]]\nhost = \"*\"\norigin = \"{}\"\n\
         [[site.path]]\nmatch = \"/\"\nsigned = [{{ id = \"k\", file = \"{}\" }}]\n",
        file.path(),
        origin.url(),
        key.argument()
    ));
    let mut edge = Edge::of(&settings);
    let signed = nigh(&["sign", "/a?b", "--id", "k", "--key", key.argument()]);
    let target = signed.stdout.trim_end();
    let url = format!("http://www.example{target}");
    let mut client = edge.client();
    for _ in 0..2 {
        assert_eq!(client.get_with(target, &format!("Referer: {url}\r\n")).status(), 200);
    }
    assert_eq!(h2::Client::clear(edge.addresses[0]).get(target).status, 200);
    let mut events = edge.events();
    let admin = edge.admin().to_string();
    assert_eq!(nigh(&["purge", &url, "--admin", &admin]).code, Some(0));
    let event = events.chunk().expect("an event");
    drop((client, events));
    edge.terminate();
    edge.ended();
    let (_, signature) = target.split_once("nigh-signature=").unwrap();
    let log = file.text();
    assert_eq!(log.lines().count(), 3, "{log}");
    assert_eq!(log.matches("&nigh-signature=redacted").count(), 5, "{log}");
    let event = String::from_utf8(event).unwrap();
    assert!(event.contains("www.example/a?b&nigh-key=k"), "{event}");
    assert!(!log.contains(signature) && !event.contains(signature), "{log}{event}");
}

#[test]
fn a_thousand_requests_are_a_thousand_lines() {
    let file = LogFile::new("thousand");
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let mut edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--access-log", file.path()]);
    edge.fill("/");
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: www.example\r\n\r\n".repeat(998));
    for _ in 0..998 {
        client.response();
    }
    edge.terminate();
    assert_eq!(edge.ended().code(), Some(0));
    assert_eq!(file.text().lines().count(), 1000);
}

#[test]
fn a_request_that_cannot_be_read_has_a_line_too() {
    let file = LogFile::new("refused");
    let origin = Origin::saying(ok("max-age=100", "hello"));
    let mut edge = Edge::start(&origin, &["--admin", "127.0.0.1:0", "--access-log", file.path()]);
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    drop(client);
    edge.terminate();
    assert_eq!(edge.ended().code(), Some(0));
    let text = file.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(" 400 "), "{text}");
}
