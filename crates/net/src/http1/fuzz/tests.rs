//! The harnesses over seeded mutations of the smuggling corpus.

use nigh_base::Rng;

use super::{super::smuggling::corpus, against_hyper, against_ourselves};

/// Bytes and words on which readers differ, put in anywhere.
const WORDS: &[&str] = &[
    "\r", "\n", "\r\n", "\r\n\r\n", "\0", " ", "\t", ":", ";", ",", "=", "\"", "\\", "0", "1", "5",
    "f", "\x0b", "\x7f", "ä", "#", "?", "/", "*", "@", "http://y", "chunked", "gzip", "HTTP/1.1",
];

/// Lines put in where a line begins.
const LINES: &[&str] = &[
    "",
    "A: b",
    "a:b\t",
    "A:",
    "Ä: ä",
    "A: ä",
    "Host: y",
    "Cookie: a=b; c",
    "Expect: 100-continue",
    "Connection: close",
    "Connection: keep-alive, a",
    "Connection: ä, close",
    "Upgrade: x",
    "Connection: upgrade",
    "Content-Length: 1",
    "Content-Length: 3",
    "Content-Length: 03",
    "Content-Length: +3",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked ",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Trailer: A",
    " b",
    "\tb",
    "0",
    "3",
    "3;a=b",
    "3;a=\"b;\"",
    "3 ;a",
    "abc",
    "00000000000000003",
    "GET /c HTTP/1.1",
    "GET /c HTTP/1.0",
    "GET http://z:8/c?d HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "OPTIONS http://z HTTP/1.1",
    "PUT /d HTTP/1.2",
    "CONNECT z:443 HTTP/1.1",
    "HEAD / HTTP/1.1",
    "get // HTTP/1.1",
    "PURGE /? HTTP/1.1",
    "GET c HTTP/1.1",
];

/// One step away from `bytes`.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.index(bytes.len() + 1);
    let end = (at + rng.index(12)).min(bytes.len());
    match rng.below(16) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let piece = bytes[at..end].to_vec();
            let to = rng.index(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        2 if at < bytes.len() => bytes[at] = u8::try_from(rng.below(256)).unwrap(),
        3 => bytes.splice(at..end, WORDS[rng.index(WORDS.len())].bytes()).for_each(drop),
        4 => bytes.splice(at..at, WORDS[rng.index(WORDS.len())].bytes()).for_each(drop),
        5..=7 => bytes.extend_from_slice(&others[rng.index(others.len())]),
        _ => {
            // Lines are put in, or replaced, whole: heads stay well-formed, and mean other things.
            let begins = |at: &usize| *at == 0 || bytes[..*at].ends_with(b"\r\n");
            let starts: Vec<_> = (0..=bytes.len()).filter(begins).collect();
            let which = rng.index(starts.len());
            let at = starts[which];
            let end = starts.get(which + 1).copied().unwrap_or(bytes.len());
            let line = LINES[rng.index(LINES.len())].bytes().chain(*b"\r\n");
            bytes.splice(at..if rng.one_in(3) { end } else { at }, line);
        }
    }
}

#[test]
fn twenty_thousand_mutations_find_no_second_reading() {
    const CASES: usize = 20_000;
    let (accepted, refused) = (corpus(true), corpus(false));
    let mut rng = Rng::new(9112);
    let mut agreed = 0;
    for _ in 0..CASES {
        // Mutations of what is refused are mostly refused: start from the others mostly.
        let corpus = if rng.one_in(5) { &refused } else { &accepted };
        let mut bytes = corpus[rng.index(corpus.len())].clone();
        for _ in 0..=rng.below(3) {
            mutate(&mut bytes, if rng.one_in(2) { &accepted } else { &refused }, &mut rng);
        }
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let outcome = std::panic::catch_unwind(|| {
            against_ourselves(&bytes);
            against_hyper(&bytes)
        });
        match outcome {
            Ok(requests) => agreed += requests,
            Err(_) => panic!("a property fails for {shown:?}"),
        }
    }
    assert!(agreed > CASES / 4, "only {agreed} requests were read by both: too few to mean much");
}
