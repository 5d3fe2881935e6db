//! Large objects in slices: docs/slices.md.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{
    Directory, Edge, Head, Origin, Response, Wire,
    h2::{Client, empty, request},
    origin::answer,
};

const SLICE: usize = 64 * 1024;
/// Ten slices and a half.
const LENGTH: usize = SLICE * 10 + SLICE / 2;
/// What a large response is proven by.
const PROOF: &str = "bytes=0-0";
const FLAGS: [&str; 4] = ["--slice", "64KiB", "--slice-above", "256KiB"];

/// An object of so many bytes, another one for each version.
fn object(version: usize) -> String {
    let numbers = (0..LENGTH / 8 + 1).map(|at| format!("{:07}{version}", at * 8));
    let mut object: String = numbers.collect();
    object.truncate(LENGTH);
    object
}

/// What an origin that serves ranges answers.
fn serve(head: &Head, body: &str, lines: &str) -> String {
    let lines = format!("Cache-Control: max-age=1000\r\nAccept-Ranges: bytes\r\n{lines}");
    let range = head.first("range").strip_prefix("bytes=").and_then(|it| it.split_once('-'));
    let Some((first, last)) = range else { return answer(&lines, body) };
    let first: usize = first.parse().unwrap();
    let end = last.parse().map_or(body.len(), |last: usize| (last + 1).min(body.len()));
    if first >= body.len() {
        return format!(
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\n\r\n",
            body.len()
        );
    }
    let lines = format!("{lines}Content-Range: bytes {first}-{}/{}\r\n", end - 1, body.len());
    answer(&lines, &body[first..end]).replacen("200 OK", "206 Partial Content", 1)
}

/// An origin whose object has a strong tag, and the version that it has then.
fn versions() -> (Origin, Arc<AtomicUsize>) {
    let version = Arc::new(AtomicUsize::new(1));
    let served = Arc::clone(&version);
    let bodies = [object(1), object(2)];
    let origin = Origin::answering(move |head| {
        let version = served.load(Ordering::SeqCst);
        serve(head, &bodies[version - 1], &format!("ETag: \"v{version}\"\r\n"))
    });
    (origin, version)
}

fn range(client: &mut Wire, range: &str) -> Response {
    client.get_with("/", &format!("Range: bytes={range}\r\n"))
}

/// The ranges that the origin was asked for, sorted.
fn asked(origin: &Origin) -> Vec<String> {
    let mut ranges: Vec<String> =
        origin.heads().iter().map(|head| head.first("range").to_owned()).collect();
    ranges.sort();
    ranges
}

fn slice(index: usize) -> String {
    format!("bytes={}-{}", index * SLICE, (index + 1) * SLICE - 1)
}

/// The range of a slice as it is asked for once the length is known.
fn known(index: usize) -> String {
    format!("bytes={}-{}", index * SLICE, ((index + 1) * SLICE).min(LENGTH) - 1)
}

#[test]
fn a_range_of_a_cold_object_fetches_the_slices_that_it_needs_and_no_other() {
    let (origin, _) = versions();
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    let (first, last) = (3 * SLICE - 5, 5 * SLICE + 6);
    let part = range(&mut client, &format!("{first}-{last}"));
    assert_eq!((part.status(), part.text()), (206, &object(1)[first..=last]));
    assert_eq!(part.first("content-range"), format!("bytes {first}-{last}/{LENGTH}"));
    assert!(part.says("fwd=uri-miss") && part.says("stored"), "{}", part.cache());
    let mut wanted = vec![slice(2), known(3), known(4), known(5)];
    wanted.sort();
    assert_eq!(asked(&origin), wanted);
    let again = range(&mut client, &format!("{}-{}", first + 1, last - 1));
    assert!(again.says("hit"), "{}", again.cache());
    assert_eq!(again.text(), &object(1)[first + 1..last]);
    assert_eq!(origin.requests(), 4);
    let partly = range(&mut client, &format!("{}-", 6 * SLICE));
    assert!(partly.says("fwd=partial"), "{}", partly.cache());
    assert_eq!(partly.text(), &object(1)[6 * SLICE..]);
}

#[test]
fn a_large_response_is_kept_in_slices_and_answers_as_a_whole() {
    let (origin, _) = versions();
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    let first = client.get("/");
    assert_eq!((first.status(), first.text()), (200, &*object(1)));
    assert_eq!(first.first("content-length"), LENGTH.to_string());
    assert_eq!(asked(&origin), ["", PROOF], "one request brings all slices");
    let second = client.get("/");
    assert!(second.says("hit"), "{}", second.cache());
    assert_eq!(second.text(), &*object(1));
    client.ask("HEAD", "/", "");
    let head = client.final_head();
    assert_eq!((head.status(), head.first("content-length")), (200, &*LENGTH.to_string()));
    let unchanged = client.get_with("/", "If-None-Match: \"v1\"\r\n");
    assert_eq!(unchanged.status(), 304);
    let tail = range(&mut client, "-10");
    assert_eq!((tail.status(), tail.text()), (206, &object(1)[LENGTH - 10..]));
    assert_eq!(range(&mut client, &format!("{LENGTH}-")).status(), 416);
    let other = client.get_with("/", "Range: bytes=0-9\r\nIf-Range: \"other\"\r\n");
    assert_eq!((other.status(), other.text()), (200, &*object(1)));
    assert_eq!(origin.requests(), 2);
}

#[test]
fn the_last_bytes_of_a_cold_object_are_asked_for_as_they_are() {
    let body = object(1);
    let last = format!("bytes={}-", LENGTH - 10);
    let origin = Origin::answering(move |head| {
        let mut head = head.clone();
        for (name, value) in &mut head.fields {
            if name == "range" && value == "bytes=-10" {
                value.clone_from(&last);
            }
        }
        serve(&head, &body, "ETag: \"a\"\r\n")
    });
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    let tail = range(&mut client, "-10");
    assert_eq!((tail.status(), tail.text()), (206, &object(1)[LENGTH - 10..]));
    let part = range(&mut client, &format!("{}-{}", LENGTH - 20, LENGTH - 15));
    assert_eq!((part.status(), part.text()), (206, &object(1)[LENGTH - 20..LENGTH - 14]));
}

#[test]
fn what_a_slice_holds_all_of_is_kept_as_a_whole() {
    let origin = Origin::answering(|head| serve(head, "abcdefghij", "ETag: \"a\"\r\n"));
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    let part = range(&mut client, "2-4");
    assert_eq!((part.status(), part.text()), (206, "cde"));
    assert_eq!(part.first("content-range"), "bytes 2-4/10");
    let whole = client.get("/");
    assert!(whole.says("hit"), "{}", whole.cache());
    assert_eq!((whole.status(), whole.text()), (200, "abcdefghij"));
    assert!(!whole.has("content-range"));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn many_clients_at_different_places_cost_the_origin_each_slice_once() {
    const CLIENTS: usize = 50;
    let (origin, _) = versions();
    let edge = Edge::start(&origin, &FLAGS);
    // The length is known; nothing else is.
    range(&mut edge.client(), "0-0");
    let start = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (mut client, start) = (edge.client(), &start);
            scope.spawn(move || {
                start.wait();
                let first = number * 13_007;
                let part = range(&mut client, &format!("{first}-"));
                assert_eq!((part.status(), part.text()), (206, &object(1)[first..]));
            });
        }
    });
    let mut wanted: Vec<String> = (1..=10).map(known).collect();
    wanted.push(slice(0));
    wanted.sort();
    assert_eq!(asked(&origin), wanted);
}

#[test]
fn nobody_gets_a_mix_when_the_object_changes_in_between() {
    let (origin, version) = versions();
    let edge = Edge::start(&origin, &[&FLAGS[..], &["--admin", "127.0.0.1:0"]].concat());
    let mut client = edge.client();
    assert_eq!(range(&mut client, "0-9").text(), &object(1)[..10]);
    version.store(2, Ordering::SeqCst);
    // The head was sent, of a slice that is there: it can only end in an error.
    let mut torn = edge.client();
    torn.ask("GET", "/", "");
    let head = torn.final_head();
    assert_eq!((head.status(), head.first("etag")), (200, "\"v1\""));
    let came = torn.rest();
    assert!(came.len() < LENGTH);
    assert_eq!(came, object(1).as_bytes()[..came.len()], "not a byte of the other version");
    let whole = edge.get("/");
    assert_eq!((whole.first("etag"), whole.text()), ("\"v2\"", &*object(2)));
    // The new one is kept in slices as the old one was.
    let part = range(&mut edge.client(), &format!("{}-", 8 * SLICE));
    assert!(part.says("hit"), "{}", part.cache());
    edge.status_until(|status| status["store"]["objects"] == 12);
}

#[test]
fn an_answer_that_has_not_begun_begins_anew_when_the_object_has_changed() {
    let (origin, version) = versions();
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    range(&mut client, "0-9");
    version.store(2, Ordering::SeqCst);
    let first = 5 * SLICE;
    let part = range(&mut client, &format!("{first}-{}", first + 9));
    assert_eq!((part.status(), part.first("etag")), (206, "\"v2\""));
    assert_eq!(part.text(), &object(2)[first..first + 10]);
}

#[test]
fn a_range_is_cut_from_the_answer_of_an_origin_that_ignores_ranges() {
    let origin =
        Origin::answering(|_| answer("Cache-Control: max-age=1000\r\nETag: \"a\"\r\n", &object(1)));
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    let (first, last) = (2 * SLICE + 1, 4 * SLICE);
    let part = range(&mut client, &format!("{first}-{last}"));
    assert_eq!((part.status(), part.text()), (206, &object(1)[first..=last]));
    assert_eq!(part.first("content-range"), format!("bytes {first}-{last}/{LENGTH}"));
    assert_eq!(origin.requests(), 1);
}

#[test]
fn parts_that_nothing_ties_together_are_not_put_together() {
    let origin = Origin::answering(|head| serve(head, &object(1), "ETag: W/\"a\"\r\n"));
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    for _ in 0..2 {
        let part = range(&mut client, "5-9");
        assert_eq!((part.status(), part.text()), (206, &object(1)[5..10]));
    }
    assert_eq!(asked(&origin)[1..], ["bytes=5-9"], "the second time it is known");
    assert_eq!(client.get("/").text(), &*object(1));
}

#[test]
fn what_may_not_be_shared_is_fetched_as_the_client_asked() {
    let body = object(1);
    let origin = Origin::answering(move |head| {
        serve(head, &body, "ETag: \"a\"\r\n").replacen("max-age=1000", "private", 1)
    });
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    for _ in 0..2 {
        let part = range(&mut client, "5-100000");
        assert_eq!((part.status(), part.text()), (206, &object(1)[5..=100_000]));
        assert!(!part.says("stored") && !part.says("hit"), "{}", part.cache());
    }
    assert_eq!(origin.requests(), 3);
}

#[test]
fn a_slice_that_breaks_off_is_begun_again_where_it_broke() {
    let (origin, body) = (Origin::start(), object(1));
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    client.ask("GET", "/", &format!("Range: bytes=10-{}\r\n", SLICE - 1));
    let mut first = origin.asked();
    let whole = serve(&first.head, &body, "ETag: \"v1\"\r\n");
    let head_length = whole.find("\r\n\r\n").unwrap() + 4;
    // Its first bytes leave as they come.
    first.send(&whole[..head_length + 1000]);
    let head = client.final_head();
    assert_eq!(head.status(), 206);
    assert_eq!(client.exact(990), body.as_bytes()[10..1000]);
    drop(first);
    let again = origin.asked();
    assert_eq!(again.head.first("range"), slice(0));
    let whole = serve(&again.head, &body, "ETag: \"v1\"\r\n");
    again.answer(whole);
    assert_eq!(client.exact(SLICE - 1000), body.as_bytes()[1000..SLICE]);
}

#[test]
fn a_purge_puts_all_slices_out_of_reach() {
    let (origin, version) = versions();
    let edge = Edge::start(&origin, &[&FLAGS[..], &["--admin", "127.0.0.1:0"]].concat());
    assert_eq!(edge.get("/").text(), &*object(1));
    version.store(2, Ordering::SeqCst);
    assert!(edge.get("/").says("hit"));
    let url = format!("/v1/purge?url=http://{}/", "www.example");
    let mut admin = Wire::connect(edge.admin());
    admin.send(format!("POST {url} HTTP/1.1\r\nHost: {}\r\n\r\n", edge.admin()));
    assert_eq!(admin.response().status(), 200);
    assert_eq!(edge.get("/").text(), &*object(2));
}

#[test]
fn slices_outlive_a_restart_on_the_disk() {
    let directory = Directory::new("slices");
    let (origin, _) = versions();
    let disk = ["--disk", directory.argument(), "--disk-size", "64MiB", "--admin", "127.0.0.1:0"];
    let flags = [&FLAGS[..], &disk].concat();
    let edge = Edge::start(&origin, &flags);
    for _ in 0..2 {
        assert_eq!(edge.get("/").text(), &*object(1));
    }
    edge.status_until(|status| status["disk"]["objects"] == 12);
    let before = origin.requests();
    drop(edge);
    let edge = Edge::start(&origin, &flags);
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
    let part = range(&mut edge.client(), &format!("{}-", 9 * SLICE));
    assert_eq!((part.status(), part.text()), (206, &object(1)[9 * SLICE..]));
    assert!(part.says("hit"), "{}", part.cache());
    assert_eq!(edge.get("/").text(), &*object(1));
    assert_eq!(origin.requests(), before);
}

#[test]
fn http2_gets_slices_too() {
    let (origin, _) = versions();
    let edge = Edge::start(&origin, &FLAGS);
    let client = Client::clear(edge.addresses[0]);
    for _ in 0..2 {
        let (first, last) = (SLICE + 1, 9 * SLICE);
        let asked = format!("bytes={first}-{last}");
        let part = client
            .send(request("GET", "/", &[("range", &asked)]).body(empty()).expect("a request"));
        assert_eq!(part.status, 206);
        assert_eq!(part.body, object(1)[first..=last]);
    }
    assert_eq!(client.get("/").body, object(1));
}

#[test]
fn stale_slices_are_confirmed_with_one_question() {
    let body = object(1);
    let origin = Origin::answering(move |head| match head.first("if-none-match") {
        "\"a\"" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned(),
        _ => serve(head, &body, "ETag: \"a\"\r\n").replacen("max-age=1000", "max-age=0", 1),
    });
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    assert_eq!(client.get("/").text(), &*object(1));
    let part = range(&mut client, &format!("{}-", SLICE + 7));
    assert!(part.says("fwd=stale") && part.says("fwd-status=304"), "{}", part.cache());
    assert_eq!((part.status(), part.text()), (206, &object(1)[SLICE + 7..]));
    assert_eq!(origin.requests(), 3);
}

#[test]
fn an_object_whose_ranges_have_no_tag_is_kept_as_a_whole() {
    let body = object(1);
    let origin = Origin::answering(move |head| {
        serve(head, &body, if head.has("range") { "" } else { "ETag: \"a\"\r\n" })
    });
    let edge = Edge::start(&origin, &FLAGS);
    for _ in 0..2 {
        assert_eq!(edge.get("/").text(), &*object(1));
    }
    assert_eq!(asked(&origin), ["", PROOF]);
    let part = range(&mut edge.client(), "70000-");
    assert!(part.says("hit"), "{}", part.cache());
    assert_eq!((part.status(), part.text()), (206, &object(1)[70_000..]));
}

#[test]
fn an_object_whose_slices_have_tags_of_their_own_breaks_off_once_and_is_then_kept_as_a_whole() {
    let body = object(1);
    let origin = Origin::answering(move |head| {
        let tag = if head.first("range") == known(4) { "\"b\"" } else { "\"a\"" };
        serve(head, &body, &format!("ETag: {tag}\r\n"))
    });
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    assert_eq!(range(&mut client, "0-9").text(), &object(1)[..10]);
    let mut torn = edge.client();
    torn.ask("GET", "/", "");
    torn.final_head();
    let came = torn.rest();
    assert_eq!(came, object(1).as_bytes()[..came.len()]);
    for _ in 0..3 {
        assert_eq!(edge.get("/").text(), &*object(1));
    }
}

#[test]
fn a_client_whose_condition_fails_gets_the_whole_and_no_range() {
    let body = object(1);
    let origin = Origin::answering(move |head| {
        let lines = "ETag: W/\"new\"\r\n";
        if head.has("if-range") {
            let whole = Head { start: head.start.clone(), fields: Vec::new() };
            return serve(&whole, &body, lines);
        }
        serve(head, &body, lines)
    });
    let edge = Edge::start(&origin, &FLAGS);
    let lines = format!("Range: {}\r\nIf-Range: \"old\"\r\n", known(10));
    let whole = edge.client().get_with("/", &lines);
    assert_eq!((whole.status(), whole.text()), (200, &*object(1)));
}

#[test]
fn a_part_that_is_shorter_than_it_says_is_never_kept_as_the_whole() {
    let origin = Origin::answering(|head| {
        if head.has("range") {
            let lines = "Cache-Control: max-age=1000\r\nETag: \"a\"\r\nContent-Range: bytes 0-9/10\r\n\
                         Transfer-Encoding: chunked\r\n";
            return format!("HTTP/1.1 206 Partial Content\r\n{lines}\r\n4\r\nabcd\r\n0\r\n\r\n");
        }
        answer("Cache-Control: max-age=1000\r\nETag: \"a\"\r\n", "abcdefghij")
    });
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    range(&mut client, "0-2");
    let whole = edge.get("/");
    assert_eq!((whole.status(), whole.text()), (200, "abcdefghij"));
}

#[test]
fn several_ranges_of_stale_slices_go_to_the_origin_as_they_came() {
    let body = object(1);
    let origin = Origin::answering(move |head| {
        let mut head = head.clone();
        if head.first("range").contains(',') {
            // It may answer with the whole (RFC 9110, section 14.2).
            head.fields.retain(|(name, _)| name != "range");
        }
        match head.first("if-none-match") {
            "\"a\"" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned(),
            _ => serve(&head, &body, "ETag: \"a\"\r\n").replacen("max-age=1000", "max-age=0", 1),
        }
    });
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    assert_eq!(client.get("/").text(), &*object(1));
    let whole = range(&mut client, "0-9,200000-200009");
    assert_eq!((whole.status(), whole.text()), (200, &*object(1)));
}

#[test]
fn what_one_client_is_refused_stays_there_for_the_others() {
    let body = object(1);
    let origin = Origin::answering(move |head| {
        if head.has("x-stranger") {
            return "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned();
        }
        serve(head, &body, "ETag: \"a\"\r\n")
    });
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    assert_eq!(range(&mut client, "0-9").text(), &object(1)[..10]);
    let refused = client.get_with("/", "Range: bytes=400000-400009\r\nX-Stranger: 1\r\n");
    assert_eq!((refused.status(), refused.text()), (403, "no"));
    let held = range(&mut client, "10-19");
    assert!(held.says("hit"), "{}", held.cache());
}

#[test]
fn a_new_answer_about_the_same_object_keeps_its_slices() {
    let (origin, _) = versions();
    let edge = Edge::start(&origin, &FLAGS);
    let mut client = edge.client();
    assert_eq!(client.get("/").text(), &*object(1));
    let before = origin.requests();
    // The origin knows no conditions, and answers with all of it.
    let again = client.get_with("/", "Cache-Control: max-age=0\r\n");
    assert_eq!(again.text(), &*object(1));
    assert_eq!(asked(&origin).len() - before, 2, "the answer and its proof: {:?}", asked(&origin));
}

#[test]
fn purged_slices_give_their_memory_back() {
    let (origin, _) = versions();
    let edge = Edge::start(&origin, &[&FLAGS[..], &["--admin", "127.0.0.1:0"]].concat());
    assert_eq!(edge.get("/").text(), &*object(1));
    edge.status_until(|status| status["store"]["objects"] == 12);
    let mut admin = Wire::connect(edge.admin());
    let url = "/v1/purge?url=http://www.example/";
    admin.send(format!("POST {url} HTTP/1.1\r\nHost: {}\r\n\r\n", edge.admin()));
    assert_eq!(admin.response().status(), 200);
    edge.status_until(|status| status["store"]["objects"] == 0);
}

#[test]
fn who_waits_for_a_later_slice_does_not_wait_for_those_before_it() {
    let (origin, body) = (Origin::start(), object(1));
    let edge = Edge::start(&origin, &FLAGS);
    let mut slow = edge.client();
    slow.ask("GET", "/", "");
    let mut first = origin.asked();
    let whole = serve(&first.head, &body, "ETag: \"v1\"\r\n");
    let head_length = whole.find("\r\n\r\n").unwrap() + 4;
    // The rest never comes.
    first.send(&whole[..head_length + 10]);
    let proof = origin.asked();
    assert_eq!(proof.head.first("range"), PROOF);
    let answered = serve(&proof.head, &body, "ETag: \"v1\"\r\n");
    proof.answer(answered);
    assert_eq!(slow.final_head().status(), 200);
    let mut seeker = edge.client();
    seeker.ask("GET", "/", &format!("Range: bytes={}-{}\r\n", 3 * SLICE, 4 * SLICE - 1));
    let third = loop {
        // The one that is read first may look ahead meanwhile.
        let asked = origin.asked();
        if asked.head.first("range") == known(3) {
            break asked;
        }
        let answered = serve(&asked.head, &body, "ETag: \"v1\"\r\n");
        asked.answer(answered);
    };
    let answered = serve(&third.head, &body, "ETag: \"v1\"\r\n");
    third.answer(answered);
    assert_eq!(seeker.response().text(), &body[3 * SLICE..4 * SLICE]);
}

#[test]
fn an_origin_that_could_not_say_is_asked_again_for_the_next_one() {
    let (body, asked_for) = (object(1), Arc::new(AtomicUsize::new(0)));
    let proofs = Arc::clone(&asked_for);
    let origin = Origin::answering(move |head| {
        if head.first("range") == PROOF && proofs.fetch_add(1, Ordering::SeqCst) == 0 {
            return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned();
        }
        serve(head, &body, "ETag: \"a\"\r\n").replacen("max-age=1000", "max-age=0", 1)
    });
    let flags = [&FLAGS[..], &["--admin", "127.0.0.1:0"]].concat();
    let edge = Edge::start(&origin, &flags);
    for objects in [1, 12] {
        assert_eq!(edge.get("/").text(), &*object(1));
        edge.status_until(|status| status["store"]["objects"] == objects);
    }
    assert_eq!(asked_for.load(Ordering::SeqCst), 2);
}
