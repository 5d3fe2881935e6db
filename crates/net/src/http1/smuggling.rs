//! Messages that two readers have been known to read in two ways, each with the one reading that we
//! give it: a refusal, or these requests. It must be the same for every way the bytes are cut.

use super::{
    Limits, Refusal,
    connection::{Ending, Reading, read},
};

/// A name, a message in which `|` stands for CRLF, and its one reading.
type Case = (&'static str, &'static str, Expected);

enum Expected {
    Refused(Refusal),
    /// Method, target and content of each request.
    Requests(&'static [&'static str]),
}

use Expected::{Refused, Requests};

const HEADS: &[Case] = &[
    ("plain", "GET /a HTTP/1.1|Host: x||", Requests(&["GET /a "])),
    (
        "pipelined",
        "GET /a HTTP/1.1|Host: x||GET /b HTTP/1.1|Host: x||",
        Requests(&["GET /a ", "GET /b "]),
    ),
    ("one empty line first", "|GET /a HTTP/1.1|Host: x||", Requests(&["GET /a "])),
    (
        "an empty line between requests",
        "POST /a HTTP/1.1|Host: x|Content-Length: 1||z|GET /b HTTP/1.1|Host: x||",
        Requests(&["POST /a z", "GET /b "]),
    ),
    ("two empty lines first", "||GET /a HTTP/1.1|Host: x||", Refused(Refusal::BlankLines)),
    ("bare LF first", "\nGET /a HTTP/1.1|Host: x||", Refused(Refusal::BareLf)),
    ("space first", " GET /a HTTP/1.1|Host: x||", Refused(Refusal::Method)),
    ("bare LF after the request line", "GET /a HTTP/1.1\nHost: x||", Refused(Refusal::BareLf)),
    ("bare LF after a field", "GET /a HTTP/1.1|Host: x\nA: b||", Refused(Refusal::BareLf)),
    ("bare LF as the empty line", "GET /a HTTP/1.1|Host: x|\n", Refused(Refusal::BareLf)),
    ("bare LFs only", "GET /a HTTP/1.1\nHost: x\n\n", Refused(Refusal::BareLf)),
    ("bare CR in a value", "GET /a HTTP/1.1|Host: x|A: b\rC: d||", Refused(Refusal::BareCr)),
    ("bare CR before a line end", "GET /a HTTP/1.1|Host: x\r||", Refused(Refusal::BareCr)),
    ("bare CR in a name", "GET /a HTTP/1.1|Ho\rst: x||", Refused(Refusal::BareCr)),
    ("bare CR before the colon", "GET /a HTTP/1.1|Host\r: x||", Refused(Refusal::BareCr)),
    ("bare CR in the target", "GET /a\rb HTTP/1.1|Host: x||", Refused(Refusal::BareCr)),
    ("bare CR as the empty line", "GET /a HTTP/1.1|Host: x|\rA: b||", Refused(Refusal::BareCr)),
    ("folded", "GET /a HTTP/1.1|Host: x|A: b| c||", Refused(Refusal::LineFolded)),
    ("folded by a tab", "GET /a HTTP/1.1|Host: x|\tA: b||", Refused(Refusal::LineFolded)),
    ("space before the fields", "GET /a HTTP/1.1| Host: x||", Refused(Refusal::SpaceBeforeFields)),
    ("space before a colon", "GET /a HTTP/1.1|Host : x||", Refused(Refusal::SpaceBeforeColon)),
    ("tab before a colon", "GET /a HTTP/1.1|Host\t: x||", Refused(Refusal::SpaceBeforeColon)),
    ("no colon", "GET /a HTTP/1.1|Host: x|A||", Refused(Refusal::FieldName)),
    ("no name", "GET /a HTTP/1.1|Host: x|: b||", Refused(Refusal::FieldName)),
    ("a colon in disguise", "GET /a HTTP/1.1|Host: x|A\u{ff1a} b||", Refused(Refusal::FieldName)),
    ("NUL in a name", "GET /a HTTP/1.1|Host: x|A\0: b||", Refused(Refusal::FieldName)),
    ("NUL in a value", "GET /a HTTP/1.1|Host: x|A: b\0c||", Refused(Refusal::FieldValue)),
    ("DEL in a value", "GET /a HTTP/1.1|Host: x|A: b\x7fc||", Refused(Refusal::FieldValue)),
    ("form feed in a value", "GET /a HTTP/1.1|Host: x|A: \x0cb||", Refused(Refusal::FieldValue)),
    ("empty method", " /a HTTP/1.1|Host: x||", Refused(Refusal::Method)),
    ("a method in brackets", "(GET) /a HTTP/1.1|Host: x||", Refused(Refusal::Method)),
    ("a tab after the method", "GET\t/a HTTP/1.1|Host: x||", Refused(Refusal::Method)),
    ("two spaces after the method", "GET  /a HTTP/1.1|Host: x||", Refused(Refusal::TargetBytes)),
    ("a space in the target", "GET /a b HTTP/1.1|Host: x||", Refused(Refusal::VersionMalformed)),
    (
        "two spaces after the target",
        "GET /a  HTTP/1.1|Host: x||",
        Refused(Refusal::VersionMalformed),
    ),
    ("a space after the version", "GET /a HTTP/1.1 |Host: x||", Refused(Refusal::VersionMalformed)),
    ("a request inside a target", "GET /a\0 HTTP/1.1|Host: x||", Refused(Refusal::TargetBytes)),
    ("HTTP/0.9", "GET /a|", Refused(Refusal::VersionMissing)),
    ("HTTP/2.0", "GET /a HTTP/2.0|Host: x||", Refused(Refusal::VersionUnsupported)),
    ("HTTP/1.2", "GET /a HTTP/1.2|Host: x||", Requests(&["GET /a "])),
    ("HTTP/1.10", "GET /a HTTP/1.10|Host: x||", Refused(Refusal::VersionMalformed)),
    ("http/1.1", "GET /a http/1.1|Host: x||", Refused(Refusal::VersionMalformed)),
    ("no Host", "GET /a HTTP/1.1|A: b||", Refused(Refusal::HostMissing)),
    ("no Host in HTTP/1.0", "GET /a HTTP/1.0||", Requests(&["GET /a "])),
    ("two Hosts", "GET /a HTTP/1.1|Host: x|Host: y||", Refused(Refusal::HostRepeated)),
    ("two equal Hosts", "GET /a HTTP/1.1|Host: x|hOST: x||", Refused(Refusal::HostRepeated)),
    ("two Hosts in one", "GET /a HTTP/1.1|Host: x, y||", Refused(Refusal::HostInvalid)),
    ("a path in Host", "GET /a HTTP/1.1|Host: x/y||", Refused(Refusal::HostInvalid)),
    ("a user in Host", "GET /a HTTP/1.1|Host: y@x||", Refused(Refusal::Userinfo)),
    ("a fragment", "GET /a#b HTTP/1.1|Host: x||", Refused(Refusal::TargetFragment)),
    ("a bad port", "GET http://x:y/ HTTP/1.1|Host: x||", Refused(Refusal::HostInvalid)),
];

/// Each stands behind `POST /a HTTP/1.1|Host: x|`, but for the few that say otherwise.
const FRAMES: &[Case] = &[
    (
        "CL.TE",
        "Content-Length: 6|Transfer-Encoding: chunked||0||G",
        Refused(Refusal::LengthBesideCoding),
    ),
    (
        "TE.CL",
        "Transfer-Encoding: chunked|Content-Length: 4||5c|GPOST / HTTP/1.1||",
        Refused(Refusal::LengthBesideCoding),
    ),
    (
        "CL.0",
        "Content-Length: 0|Transfer-Encoding: chunked||",
        Refused(Refusal::LengthBesideCoding),
    ),
    (
        "a bad length beside a coding",
        "Content-Length: x|Transfer-Encoding: chunked||",
        Refused(Refusal::LengthBesideCoding),
    ),
    (
        "two codings",
        "Transfer-Encoding: chunked|Transfer-Encoding: cow||",
        Refused(Refusal::CodingInvalid),
    ),
    (
        "cow first",
        "Transfer-Encoding: cow|Transfer-Encoding: chunked||",
        Refused(Refusal::CodingUnsupported),
    ),
    ("gzip, chunked", "Transfer-Encoding: gzip, chunked||", Refused(Refusal::CodingUnsupported)),
    ("chunked, gzip", "Transfer-Encoding: chunked, gzip||", Refused(Refusal::CodingInvalid)),
    ("chunked, chunked", "Transfer-Encoding: chunked, chunked||", Refused(Refusal::CodingInvalid)),
    (
        "chunked, identity",
        "Transfer-Encoding: chunked, identity||",
        Refused(Refusal::CodingInvalid),
    ),
    ("identity", "Transfer-Encoding: identity||", Refused(Refusal::CodingInvalid)),
    ("xchunked", "Transfer-Encoding: xchunked||", Refused(Refusal::CodingInvalid)),
    ("chunkedx", "Transfer-Encoding: chunkedx||", Refused(Refusal::CodingInvalid)),
    ("quoted", "Transfer-Encoding: \"chunked\"||", Refused(Refusal::CodingInvalid)),
    ("with a parameter", "Transfer-Encoding: chunked;a=b||", Refused(Refusal::CodingInvalid)),
    ("empty elements", "Transfer-Encoding: ,chunked||", Refused(Refusal::CodingInvalid)),
    ("empty", "Transfer-Encoding:||", Refused(Refusal::CodingInvalid)),
    ("vertical tab", "Transfer-Encoding: \x0bchunked||", Refused(Refusal::FieldValue)),
    ("form feed", "Transfer-Encoding: chunked\x0c||", Refused(Refusal::FieldValue)),
    ("no-break space", "Transfer-Encoding: \u{a0}chunked||", Refused(Refusal::CodingInvalid)),
    ("NUL", "Transfer-Encoding: chunked\0||", Refused(Refusal::FieldValue)),
    ("folded coding", "Transfer-Encoding:| chunked||", Refused(Refusal::LineFolded)),
    ("space in the name", "Transfer Encoding: chunked||", Refused(Refusal::SpaceBeforeColon)),
    ("space before the colon", "Transfer-Encoding : chunked||", Refused(Refusal::SpaceBeforeColon)),
    ("bare LF before it", "A: b\nTransfer-Encoding: chunked||", Refused(Refusal::BareLf)),
    ("bare CR before it", "A: b\rTransfer-Encoding: chunked||", Refused(Refusal::BareCr)),
    ("an underscore is another field", "Transfer_Encoding: chunked||", Requests(&["POST /a "])),
    ("an underscore in length too", "Content_Length: 3||", Requests(&["POST /a "])),
    (
        "white space around it is allowed",
        "Transfer-Encoding:\t chunked \t||0||",
        Requests(&["POST /a "]),
    ),
    ("case does not matter", "TRANSFER-encoding: ChUnKeD||1|z|0||", Requests(&["POST /a z"])),
    ("equal lengths", "Content-Length: 1|Content-Length: 1||z", Refused(Refusal::LengthRepeated)),
    (
        "differing lengths",
        "Content-Length: 1|Content-Length: 2||zz",
        Refused(Refusal::LengthRepeated),
    ),
    ("a list of lengths", "Content-Length: 1, 1||z", Refused(Refusal::LengthInvalid)),
    ("a signed length", "Content-Length: +1||z", Refused(Refusal::LengthInvalid)),
    ("a negative length", "Content-Length: -1||z", Refused(Refusal::LengthInvalid)),
    ("a hexadecimal length", "Content-Length: 0x1||z", Refused(Refusal::LengthInvalid)),
    ("an empty length", "Content-Length: ||", Refused(Refusal::LengthInvalid)),
    (
        "an overflowing length",
        "Content-Length: 18446744073709551617||",
        Refused(Refusal::LengthInvalid),
    ),
    ("leading zeros are digits", "Content-Length: 01||z", Requests(&["POST /a z"])),
];

/// Each stands behind `POST /a HTTP/1.1|Host: x|Transfer-Encoding: chunked||`.
const CHUNKS: &[Case] = &[
    ("plain", "3|abc|0||", Requests(&["POST /a abc"])),
    (
        "a request behind it",
        "3|abc|00||GET /b HTTP/1.1|Host: x||",
        Requests(&["POST /a abc", "GET /b "]),
    ),
    ("extensions", "3;a;b=c;d=\"e\\\"|;0\"|abc|0||", Refused(Refusal::ChunkExtension)),
    ("a quoted semicolon", "3;d=\"e\\\";\t0\"|abc|0;x||", Requests(&["POST /a abc"])),
    ("bad white space", "3 ; a = b\t;c|abc|0||", Requests(&["POST /a abc"])),
    ("space after the size", "3 |abc|0||", Refused(Refusal::ChunkExtension)),
    ("space before the size", " 3|abc|0||", Refused(Refusal::ChunkSize)),
    ("0x", "0x3|abc|0||", Refused(Refusal::ChunkSize)),
    ("a sign", "+3|abc|0||", Refused(Refusal::ChunkSize)),
    ("an underscore", "0_3|abc|0||", Refused(Refusal::ChunkSize)),
    ("no size", "|abc|0||", Refused(Refusal::ChunkSize)),
    ("no size but an extension", ";a|abc|0||", Refused(Refusal::ChunkSize)),
    ("an overflowing size", "10000000000000003|abc|0||", Refused(Refusal::ChunkSizeTooLarge)),
    ("endless zeros", "00000000000000003|abc|0||", Refused(Refusal::ChunkSizeTooLarge)),
    ("bare LF after the size", "3\nabc|0||", Refused(Refusal::BareLf)),
    ("bare CR after the size", "3\rabc|0||", Refused(Refusal::BareCr)),
    ("bare LF in an extension", "3;a\nabc|0||", Refused(Refusal::BareLf)),
    ("bare LF in a quoted extension", "3;a=\"\n\"|abc|0||", Refused(Refusal::BareLf)),
    ("bare CR in an extension", "3;a\rb|abc|0||", Refused(Refusal::BareCr)),
    ("an empty extension", "3;|abc|0||", Refused(Refusal::ChunkExtension)),
    ("NUL in an extension", "3;a\0|abc|0||", Refused(Refusal::ChunkExtension)),
    ("bare LF after the data", "3|abc\n0||", Refused(Refusal::ChunkEnd)),
    ("bare CR after the data", "3|abc\r0||", Refused(Refusal::ChunkEnd)),
    ("data longer than its size", "3|abcd|0||", Refused(Refusal::ChunkEnd)),
    ("data shorter than its size", "4|abc|0||", Refused(Refusal::ChunkEnd)),
    ("bare LF at the end", "3|abc|0|\n", Refused(Refusal::BareLf)),
    ("bare CR at the end", "3|abc|0|\r\r\n", Refused(Refusal::BareCr)),
    ("trailers", "0|A: b|C:||", Requests(&["POST /a "])),
    ("bare LF in trailers", "0|A: b\nC: d||", Refused(Refusal::BareLf)),
    ("folded trailers", "0|A: b| c||", Refused(Refusal::LineFolded)),
    ("white space before trailers", "0| A: b||", Refused(Refusal::SpaceBeforeFields)),
    ("a length in the trailers", "0|Content-Length: 5||", Refused(Refusal::TrailerForbidden)),
    ("a coding in the trailers", "0|Transfer-Encoding: x||", Refused(Refusal::TrailerForbidden)),
    ("a request for trailers", "0|GET /b HTTP/1.1|Host: x||", Refused(Refusal::SpaceBeforeColon)),
];

/// Each table with what stands before its cases.
const TABLES: &[(&str, &[Case])] = &[
    ("", HEADS),
    ("POST /a HTTP/1.1|Host: x|", FRAMES),
    ("POST /a HTTP/1.1|Host: x|Transfer-Encoding: chunked||", CHUNKS),
    (
        "POST /a HTTP/1.0|Host: x|",
        &[("in 1.0", "Transfer-Encoding: chunked||0||", Refused(Refusal::CodingInOldVersion))],
    ),
];

/// Every message of the corpus that is accepted, or refused, for the fuzzer to start from.
pub(super) fn corpus(accepted: bool) -> Vec<Vec<u8>> {
    let cases =
        TABLES.iter().flat_map(|(start, cases)| cases.iter().map(move |case| (start, case)));
    cases
        .filter(|(_, case)| matches!(case.2, Requests(_)) == accepted)
        .map(|(start, case)| message(start, case.1))
        .collect()
}

#[test]
fn every_message_of_the_corpus_has_one_reading_however_it_is_cut() {
    for (start, cases) in TABLES {
        check(start, cases);
    }
}

fn message(start: &str, text: &str) -> Vec<u8> {
    format!("{start}{text}").replace('|', "\r\n").into_bytes()
}

fn check(start: &str, cases: &[Case]) {
    for (name, text, expected) in cases {
        let bytes = message(start, text);
        let whole = read(&bytes, &Limits::default(), usize::MAX >> 1);
        let requests: Vec<_> = whole.requests.iter().map(shown).collect();
        match expected {
            Refused(refusal) => assert_eq!(whole.ending, Ending::Refused(*refusal), "{name}"),
            Requests(expected) => {
                assert_eq!(requests, *expected, "{name}: {:?}", whole.ending);
                assert!(whole.requests.iter().all(|request| request.whole), "{name}");
            }
        }
        for piece in 1..8 {
            assert_eq!(read(&bytes, &Limits::default(), piece), whole, "{name} by {piece}");
        }
        for len in 0..bytes.len() {
            is_a_beginning(&read(&bytes[..len], &Limits::default(), bytes.len()), &whole, name);
        }
    }
}

fn shown(request: &super::connection::Request) -> String {
    format!("{} {} {}", request.method, request.target, String::from_utf8_lossy(&request.body))
}

/// A prefix of a message waits for more, or is refused as the whole is.
fn is_a_beginning(prefix: &Reading, whole: &Reading, name: &str) {
    assert!(prefix.requests.len() <= whole.requests.len(), "{name}");
    if prefix.ending != Ending::Starved {
        assert_eq!(prefix.ending, whole.ending, "{name}");
    }
}
