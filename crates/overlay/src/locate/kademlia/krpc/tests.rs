//! Messages of the mainline DHT: what the BEPs show, what strangers send, and what fits.

mod beps;
mod limits;
mod random;
mod strangers;

use super::*;

/// The message in `text`.
fn read(text: impl AsRef<[u8]>) -> Message {
    let bytes = text.as_ref();
    Message::decode(bytes).unwrap_or_else(|error| panic!("{}: {error}", bytes.escape_ascii()))
}

fn query(text: impl AsRef<[u8]>) -> Query {
    match read(text).body {
        Body::Query(query) => query,
        other => panic!("{other:?}"),
    }
}

fn response(text: impl AsRef<[u8]>) -> Response {
    match read(text).body {
        Body::Response(response) => *response,
        other => panic!("{other:?}"),
    }
}

/// The code of the error that answers a question.
fn mistake(text: impl AsRef<[u8]>) -> i64 {
    match read(text).body {
        Body::Mistaken(error) => error.code,
        other => panic!("{other:?}"),
    }
}

/// A question with these arguments beside the asker's name.
fn asked(method: &str, arguments: &str) -> String {
    let length = method.len();
    format!("d1:ad2:id20:abcdefghij0123456789{arguments}e1:q{length}:{method}1:t2:aa1:y1:qe")
}

/// An answer with these results beside the name of who answers.
fn answered(results: &[u8]) -> Vec<u8> {
    [b"d1:rd2:id20:mnopqrstuvwxyz123456", results, b"e1:t2:aa1:y1:re"].concat()
}

/// A byte string.
fn string(bytes: &[u8]) -> Vec<u8> {
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}

/// An answer with nothing in it.
fn empty(id: Key) -> Response {
    Response {
        id,
        seen_at: None,
        nodes: None,
        nodes6: None,
        token: None,
        peers: None,
        filters: None,
        item: None,
        number: None,
        samples: None,
        value: None,
    }
}

const ASKER: Key = Key::new(*b"abcdefghij0123456789");
const OTHER: Key = Key::new(*b"mnopqrstuvwxyz123456");
