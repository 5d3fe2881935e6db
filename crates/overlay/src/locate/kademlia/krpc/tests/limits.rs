//! Whatever a node sends fits into a datagram, with everything at its limit.

use super::*;
use crate::locate::VALUE_MAX;

fn message(body: Body) -> Message {
    let transaction = [0xff; TRANSACTION_MAX][..].into();
    Message { transaction, version: Some(*b"NH01"), body }
}

const SIX: Address = Address::v6([0x20; 16], 9);

fn token() -> Token {
    [0xff; TOKEN_MAX][..].into()
}

fn item() -> Item {
    let signed = Signed {
        key: [0xff; 32],
        number: i64::MIN,
        salt: [0xff; SALT_MAX][..].into(),
        signature: [0xff; 64],
    };
    let mut value = b"996:".to_vec();
    value.resize(ITEM_MAX, 0xff);
    Item { value: value.into(), signed: Some(signed) }
}

/// An answer with all that goes with the nodes near a key.
fn near() -> Response {
    let contact = |address| Contact { key: Key::MAX, address };
    Response {
        seen_at: Some(SIX),
        nodes: Some(vec![contact(Address::v4([10, 0, 0, 1], 9)); NODES_SENT]),
        nodes6: Some(vec![contact(SIX); NODES_SENT]),
        token: Some(token()),
        ..empty(Key::MAX)
    }
}

/// It fits, and reads back.
fn fits(message: &Message) -> usize {
    let written = message.encode();
    assert!(written.len() <= MESSAGE_MAX, "{} bytes: {message:?}", written.len());
    assert_eq!(Message::decode(&written).as_ref(), Ok(message));
    written.len()
}

#[test]
fn every_answer_fits_with_everything_at_its_limit() {
    let filters = Filters { seeds: [1; FILTER_BYTES], peers: [2; FILTER_BYTES] };
    let peers = Some(vec![SIX; PEERS_SENT]);
    let peers = Response { peers, filters: Some(Box::new(filters)), ..near() };
    let mut held = item();
    held.signed.as_mut().unwrap().salt.clear();
    let some = vec![Key::MAX; SAMPLES_MAX];
    let samples = Some(Samples { interval: u32::MAX, count: u32::MAX, some });
    let value = Some(vec![0xff; VALUE_MAX].into());
    let lengths = [
        peers,
        Response { item: Some(held), ..near() },
        Response { samples, ..near() },
        Response { value, ..near() },
    ]
    .map(|response| fits(&message(Body::Response(Box::new(response)))));
    // Nor are the limits so narrow that much more would fit.
    assert!(lengths[0] + 2 * string(&[0; 18]).len() > MESSAGE_MAX, "{lengths:?}");
}

#[test]
fn every_question_fits_with_everything_at_its_limit() {
    let (item, key, value) = (Box::new(item()), Key::MAX, vec![0xff; VALUE_MAX]);
    for method in [
        Method::Put { item, cas: Some(i64::MIN), token: token() },
        Method::Store {
            target: key,
            value: value.into(),
            number: i64::MIN,
            lifetime: u32::MAX,
            token: token(),
        },
        Method::AnnouncePeer { info_hash: key, port: None, seed: true, token: token() },
        Method::GetPeers { info_hash: key, without_seeds: true, scrape: true },
        Method::Get { target: key, newer_than: Some(i64::MIN) },
    ] {
        let want = Some(Want { v4: true, v6: true });
        fits(&message(Body::Query(Query { id: key, read_only: true, want, method })));
    }
    let error = Error { code: i64::MIN, text: [0xff; TEXT_MAX][..].into(), seen_at: Some(SIX) };
    fits(&message(Body::Error(error)));
}
