//! Long bodies that stay on the disk: checked each time, piece by piece. docs/disk.md.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use crate::support::{
    Directory, Edge, Head, Origin, Response,
    h2::{Client, empty, request},
    origin::answer,
    process::nigh,
};

const PIECE: usize = 128 * 1024;
/// More than is read at once.
const LENGTH: usize = 9 * PIECE + 1000;

/// A body in which each place differs from the others.
fn body() -> String {
    let mut body: String = (0..LENGTH / 8 + 1).map(|at| format!("{:07}\n", at * 8)).collect();
    body.truncate(LENGTH);
    body
}

/// Confirms what it gave, and may serve ranges.
fn origin() -> Origin {
    let body = body();
    Origin::answering(move |head| match head.first("if-none-match") {
        "\"v\"" => {
            "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nX-Confirmed: yes\r\n\r\n".to_owned()
        }
        _ => {
            let age = if head.target() == "/stale" { 0 } else { 1000 };
            answer(&format!("Cache-Control: max-age={age}\r\nETag: \"v\"\r\n"), &body)
        }
    })
}

fn start(directory: &Directory, origin: &Origin, more: &[&str]) -> Edge {
    let path = directory.argument();
    let flags = ["--disk", path, "--disk-size", "1GiB", "--admin", "127.0.0.1:0"];
    Edge::start(origin, &[&flags, more].concat())
}

/// An edge whose disk holds `target`, and whose memory does not.
fn with_on_disk(directory: &Directory, origin: &Origin, target: &str, more: &[&str]) -> Edge {
    with_all_on_disk(directory, origin, more, 1, |edge| {
        // A request on the same connection is read when the object is stored.
        let mut client = edge.client();
        client.get(target);
        client.get(target);
    })
}

/// The same for so many objects, of each of which `ask` asks twice.
fn with_all_on_disk(
    directory: &Directory,
    origin: &Origin,
    more: &[&str],
    objects: usize,
    ask: impl Fn(&Edge),
) -> Edge {
    let edge = start(directory, origin, more);
    ask(&edge);
    edge.status_until(|status| status["disk"]["objects"] == objects);
    drop(edge);
    let edge = start(directory, origin, more);
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
    edge
}

fn segment(directory: &Directory) -> PathBuf {
    let mut entries = fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.extension().is_some_and(|it| it == "segment")).unwrap()
}

/// Damages the body in its file at byte `at`.
fn rot(directory: &Directory, at: usize) {
    let path = segment(directory);
    let mut bytes = fs::read(&path).unwrap();
    let number = format!("{:07}\n", at / 8 * 8);
    let found = bytes.windows(8).position(|it| it == number.as_bytes()).unwrap();
    bytes[found] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn range(edge: &Edge, range: &str) -> Response {
    edge.client().get_with("/", &format!("Range: bytes={range}\r\n"))
}

fn damaged(edge: &Edge) -> u64 {
    edge.status_until(|_| true)["disk"]["damaged"].as_u64().unwrap()
}

#[test]
fn a_long_body_is_answered_from_the_disk_each_time_it_is_asked_for() {
    let (directory, origin) = (Directory::new("pieces"), origin());
    let edge = with_on_disk(&directory, &origin, "/", &[]);
    for _ in 0..3 {
        let hit = edge.get("/");
        assert!(hit.says("hit") && hit.says("detail=disk"), "{hit:?}");
        assert_eq!(hit.text(), body());
    }
    let mut client = edge.client();
    client.ask("HEAD", "/", "");
    let head = client.final_head();
    assert_eq!((head.status(), head.first("content-length")), (200, &*LENGTH.to_string()));
    let unchanged = client.get_with("/", "If-None-Match: \"v\"\r\n");
    assert_eq!(unchanged.status(), 304);
    let read = edge.status_until(|_| true)["disk"]["read"].as_u64();
    assert_eq!((read, origin.requests()), (Some(3), 1));
}

#[test]
fn a_range_reads_only_the_pieces_that_it_touches() {
    let (directory, origin) = (Directory::new("pieces-range"), origin());
    let edge = with_on_disk(&directory, &origin, "/", &[]);
    rot(&directory, 0);
    rot(&directory, 5 * PIECE + 50);
    let body = body();
    for (first, last) in [(PIECE, PIECE), (2 * PIECE - 5, 5 * PIECE - 1), (6 * PIECE, LENGTH - 1)] {
        let part = range(&edge, &format!("{first}-{last}"));
        assert_eq!((part.status(), part.text()), (206, &body[first..=last]), "{first}-{last}");
        assert!(part.says("hit") && part.says("detail=disk"), "{}", part.cache());
    }
    let parts = range(&edge, &format!("{}-{},-7", 3 * PIECE - 3, 3 * PIECE + 2));
    assert_eq!(parts.status(), 206);
    assert!(parts.text().contains(&body[3 * PIECE - 3..3 * PIECE + 3]));
    assert!(parts.text().contains(&body[LENGTH - 7..]));
    assert_eq!((damaged(&edge), origin.requests()), (0, 1));
    let part = range(&edge, &format!("{}-", 5 * PIECE));
    assert_eq!((part.status(), part.text()), (206, &body[5 * PIECE..]), "from the origin");
    assert_eq!((damaged(&edge), origin.requests()), (1, 2));
}

#[test]
fn a_piece_that_rots_in_the_middle_breaks_the_answer_off_and_the_next_is_right() {
    let (directory, origin) = (Directory::new("pieces-rot"), origin());
    let edge = with_on_disk(&directory, &origin, "/", &[]);
    // Behind what one read takes: something was sent by then.
    rot(&directory, 8 * PIECE);
    let mut torn = edge.client();
    torn.ask("GET", "/", "");
    assert_eq!(torn.final_head().status(), 200);
    let (came, body) = (torn.rest(), body());
    assert!(came.len() <= 8 * PIECE, "{}", came.len());
    assert_eq!(came, body.as_bytes()[..came.len()], "not a wrong byte");
    let next = edge.get("/");
    assert!(next.says("fwd=uri-miss"), "{}", next.cache());
    assert_eq!(next.text(), body);
    assert_eq!((damaged(&edge), origin.requests()), (1, 2));
}

#[test]
fn a_body_that_is_gone_is_fetched_before_anything_is_sent() {
    let (directory, origin) = (Directory::new("pieces-gone"), origin());
    let edge = with_on_disk(&directory, &origin, "/", &[]);
    assert_eq!(edge.get("/").text(), body());
    File::options().write(true).open(segment(&directory)).unwrap().set_len(5_000).unwrap();
    let next = edge.get("/");
    assert_eq!((next.status(), next.text()), (200, &*body()));
    assert!(next.says("fwd=uri-miss"), "{}", next.cache());
    assert_eq!(edge.status_until(|_| true)["disk"]["unreadable"], 1);
}

#[test]
fn http2_and_tls_get_bodies_from_the_disk() {
    let (directory, origin) = (Directory::new("pieces-h2"), origin());
    let clients = |edge: &Edge| [Client::clear(edge.addresses[0]), Client::tls(edge.addresses[1])];
    let edge =
        with_all_on_disk(&directory, &origin, &["--listen", "https://127.0.0.1:0"], 2, |edge| {
            for client in clients(edge) {
                client.get("/");
                client.get("/");
            }
        });
    for client in clients(&edge) {
        assert_eq!(client.get("/").body, body().as_bytes());
        let asked = format!("bytes={}-{}", PIECE - 5, 8 * PIECE);
        let part = client
            .send(request("GET", "/", &[("range", &asked)]).body(empty()).expect("a request"));
        assert_eq!(part.status, 206);
        assert_eq!(part.body, body().as_bytes()[PIECE - 5..=8 * PIECE]);
        let part = client
            .send(request("GET", "/", &[("range", "bytes=9-12")]).body(empty()).expect("one"));
        assert_eq!(part.body, body().as_bytes()[9..13]);
    }
    assert_eq!(origin.requests(), 2, "one a scheme");
}

#[test]
fn a_stale_head_is_confirmed_and_keeps_its_body_on_the_disk() {
    let (directory, origin) = (Directory::new("pieces-confirmed"), origin());
    let edge = with_on_disk(&directory, &origin, "/stale", &[]);
    let asked = origin.requests();
    for number in 1..=2 {
        let confirmed = edge.get("/stale");
        assert!(confirmed.says("fwd-status=304"), "{}", confirmed.cache());
        assert_eq!(confirmed.first("x-confirmed"), "yes");
        assert_eq!(confirmed.text(), body());
        assert_eq!(origin.requests(), asked + number);
    }
}

#[test]
fn what_lies_beneath_is_purged_and_purged_softly() {
    let (directory, origin) = (Directory::new("pieces-purged"), origin());
    let edge = with_on_disk(&directory, &origin, "/", &[]);
    let purge = |words: &[&str]| {
        let admin = edge.admin().to_string();
        let ran = nigh(&[&["purge", "--admin", &admin], words].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    for words in [["--soft", "http://www.example/"], ["--soft", "--all"]] {
        assert_eq!(edge.get("/").text(), body());
        purge(&words);
        let stale = edge.get("/");
        assert!(stale.says("hit") && stale.number("ttl") <= Some(0), "{}", stale.cache());
        assert_eq!(stale.text(), body());
        edge.get_until("/", |answer| answer.first("x-confirmed") == "yes" && answer.says("hit"));
    }
    purge(&["http://www.example/"]);
    let next = edge.get("/");
    assert!(next.says("fwd=uri-miss"), "{}", next.cache());
    assert_eq!(next.text(), body());
}

#[test]
fn a_slice_that_rots_is_fetched_again_and_the_answer_goes_on() {
    let directory = Directory::new("pieces-slice");
    let whole = body();
    let origin = Origin::answering(move |head: &Head| {
        let lines = "Cache-Control: max-age=1000\r\nAccept-Ranges: bytes\r\nETag: \"v\"\r\n";
        let asked = head.first("range").strip_prefix("bytes=").and_then(|it| it.split_once('-'));
        let Some((first, last)) = asked else { return answer(lines, &whole) };
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let lines = format!("{lines}Content-Range: bytes {first}-{last}/{LENGTH}\r\n");
        answer(&lines, &whole[first..=last]).replacen("200 OK", "206 Partial Content", 1)
    });
    let slices = ["--slice", "384KiB", "--slice-above", "512KiB"];
    // The master, and four slices.
    let edge = with_all_on_disk(&directory, &origin, &slices, 5, |edge| {
        assert_eq!([edge.get("/").text(), edge.get("/").text()], [body(), body()]);
    });
    rot(&directory, 4 * PIECE);
    let answer = edge.get("/");
    assert_eq!((answer.status(), answer.text()), (200, &*body()));
    // The first answer, its proof, and the slice.
    assert_eq!((damaged(&edge), origin.requests()), (1, 3));
    let asked = origin.heads().pop().unwrap();
    assert_eq!(asked.first("range"), format!("bytes={}-{}", 3 * PIECE, 6 * PIECE - 1));
}
