//! `--disk`: what was asked for again outlives the memory, restarts and kill -9.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Directory, Edge, Origin, ok, process::nigh};

fn start(directory: &Directory, origin: &Origin, more: &[&str]) -> Edge {
    let path = directory.argument();
    let flags = ["--disk", path, "--disk-size", "64MiB", "--admin", "127.0.0.1:0"];
    Edge::start(origin, &[&flags, more].concat())
}

fn segments(directory: &Directory) -> Vec<PathBuf> {
    let entries = fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|it| it == "segment")).collect()
}

fn until_written(edge: &Edge, objects: u64) {
    edge.status_until(|status| status["disk"]["objects"] == objects);
}

fn until_found(edge: &Edge) {
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
}

/// Asks twice: once it is a hit, it goes to the disk.
fn ask_again(edge: &Edge, target: &str) {
    edge.fill(target);
    assert!(edge.get(target).says("hit"));
}

#[test]
fn what_was_asked_for_again_is_answered_after_kill_9_without_the_origin() {
    let directory = Directory::new("disk-again");
    let origin = Origin::answering(|head| ok("max-age=1000", head.target()));
    let edge = start(&directory, &origin, &[]);
    for target in ["/a", "/b"] {
        ask_again(&edge, target);
    }
    edge.get("/once");
    until_written(&edge, 2);
    let asked = origin.requests();
    drop(edge);

    let edge = start(&directory, &origin, &[]);
    until_found(&edge);
    for target in ["/a", "/b"] {
        let hit = edge.get(target);
        assert!(hit.says("hit") && hit.says("detail=disk"), "{hit:?}");
        assert_eq!(hit.text(), target);
        let hit = edge.get(target);
        assert!(hit.says("hit") && !hit.says("detail=disk"), "in memory again: {hit:?}");
    }
    assert_eq!(origin.requests(), asked);
}

#[test]
fn what_was_invalidated_does_not_come_back() {
    let directory = Directory::new("disk-invalidated");
    let origin = Origin::answering(|head| ok("max-age=1000", head.target()));
    let edge = start(&directory, &origin, &[]);
    ask_again(&edge, "/a");
    until_written(&edge, 1);
    let mut client = edge.client();
    client.ask("DELETE", "/a", "");
    client.response();
    until_written(&edge, 0);
    drop(edge);
    let edge = start(&directory, &origin, &[]);
    until_found(&edge);
    assert!(edge.get("/a").says("fwd=uri-miss"));
}

#[test]
fn a_disk_holds_more_than_the_memory() {
    let directory = Directory::new("disk-more");
    let body = "x".repeat(100_000);
    let origin =
        Origin::answering(move |head| ok("max-age=1000", &format!("{}{body}", head.target())));
    let edge = start(&directory, &origin, &["--memory", "2MiB", "--max-object", "1MiB"]);
    let targets: Vec<String> = (0..60).map(|number| format!("/{number}/")).collect();
    for (target, written) in targets.iter().zip(1..) {
        ask_again(&edge, target);
        until_written(&edge, written);
    }
    assert_eq!(origin.requests(), 60);
    let mut from_disk = 0;
    for target in &targets {
        let hit = edge.get(target);
        assert!(hit.says("hit"), "{target}: {hit:?}");
        assert!(hit.text().starts_with(target) && hit.body.len() == 100_000 + target.len());
        from_disk += usize::from(hit.says("detail=disk"));
    }
    assert!(from_disk > 30, "{from_disk}");
    assert_eq!(origin.requests(), 60);
}

#[test]
fn variants_ranges_and_conditions_are_answered_from_the_disk() {
    let directory = Directory::new("disk-variants");
    let origin = Origin::answering(|head| {
        let language = head.first("accept-language");
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=1000\r\nVary: Accept-Language\r\n\
             ETag: \"{language}\"\r\nContent-Length: 8\r\n\r\nhello {language}"
        )
    });
    let ask = |edge: &Edge, fields: &str| edge.client().get_with("/", fields);
    let edge = start(&directory, &origin, &[]);
    for language in ["de", "en"] {
        let fields = format!("Accept-Language: {language}\r\n");
        while !ask(&edge, &fields).says("hit") {}
    }
    until_written(&edge, 2);
    let asked = origin.requests();
    drop(edge);
    for (fields, status, body) in [
        ("Accept-Language: de\r\n", 200, "hello de"),
        ("Accept-Language: en\r\nRange: bytes=6-7\r\n", 206, "en"),
        ("Accept-Language: de\r\nIf-None-Match: \"de\"\r\n", 304, ""),
        ("Accept-Language: en\r\nCache-Control: only-if-cached\r\n", 200, "hello en"),
    ] {
        let edge = start(&directory, &origin, &[]);
        until_found(&edge);
        let answer = ask(&edge, fields);
        assert_eq!((answer.status(), answer.text()), (status, body), "{fields}");
        assert!(answer.says("detail=disk"), "{answer:?}");
    }
    assert_eq!(origin.requests(), asked);
}

#[test]
fn a_damaged_record_is_a_miss_and_counted() {
    let directory = Directory::new("disk-damaged");
    let origin = Origin::saying(ok("max-age=1000", "a body that is looked for in the file"));
    let edge = start(&directory, &origin, &[]);
    ask_again(&edge, "/a");
    until_written(&edge, 1);
    drop(edge);
    let damage = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.windows(6).position(|window| window == b"looked").unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    segments(&directory).iter().for_each(|path| damage(path));
    let edge = start(&directory, &origin, &[]);
    until_found(&edge);
    let answer = edge.get("/a");
    assert!(answer.says("fwd=uri-miss"), "{answer:?}");
    assert_eq!(answer.text(), "a body that is looked for in the file");
    let status = edge.status_until(|_| true);
    assert_eq!(status["disk"]["damaged"], 1);
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_directory_that_cannot_be_used_ends_the_start() {
    let directory = Directory::new("disk-used");
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let edge = start(&directory, &origin, &[]);
    let path = directory.argument();
    for (path, size, words) in [
        (path, "64MiB", "is in use by another process"),
        ("/dev/null/x", "64MiB", "name a directory that this user may write"),
        ("/dev/null/x", "64KiB", "is too small"),
    ] {
        let url = origin.url();
        let flags = ["edge", "--to", &url, "--listen", "http://127.0.0.1:0", "--disk", path];
        let ran = nigh(&[&flags[..], &["--disk-size", size]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    drop(edge);
    assert_eq!(nigh(&["edge", "--to", "http://a", "--disk", path]).code, Some(2));
}
