//! Random messages survive both ways, and random bytes are read as something or refused.

use nigh_base::{Rng, bencode::Value};

use super::*;

fn bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    (0..rng.index(most + 1)).map(|_| rng.next_u64().to_le_bytes()[0]).collect()
}

fn array<const N: usize>(rng: &mut Rng) -> [u8; N] {
    std::array::from_fn(|_| rng.next_u64().to_le_bytes()[0])
}

fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.one_in(2).then(|| make(rng))
}

fn list<T>(rng: &mut Rng, most: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..rng.index(most + 1)).map(|_| make(rng)).collect()
}

fn number(rng: &mut Rng) -> i64 {
    rng.next_u64().cast_signed() >> rng.below(64)
}

fn small(rng: &mut Rng) -> u32 {
    u32::try_from(rng.next_u64() >> 32).unwrap() >> rng.below(32)
}

fn port(rng: &mut Rng) -> u16 {
    u16::try_from(1 + rng.below(65_535)).unwrap()
}

fn four(rng: &mut Rng) -> Address {
    let [b, c, d] = array(rng);
    Address::v4([10, b, c, d], port(rng))
}

fn six(rng: &mut Rng) -> Address {
    let mut ip: [u8; 16] = array(rng);
    ip[0] = 0x20;
    Address::v6(ip, port(rng))
}

fn key(rng: &mut Rng) -> Key {
    Key::new(array(rng))
}

fn token(rng: &mut Rng) -> Token {
    bytes(rng, TOKEN_MAX).into()
}

/// A value in a form that need not be the canonical one.
fn item(rng: &mut Rng, has_salt: bool) -> Item {
    let text = bytes(rng, 200);
    let value = match rng.below(4) {
        0 => b"i007e".to_vec(),
        1 => [b"d1:bde1:a", &string(&text)[..], b"e"].concat(),
        2 => [b"l", &string(&text)[..], b"e"].concat(),
        _ => string(&text),
    };
    let signed = maybe(rng, |rng| {
        let salt = if has_salt { bytes(rng, SALT_MAX) } else { vec![] };
        Signed { key: array(rng), number: number(rng), salt: salt.into(), signature: array(rng) }
    });
    Item { value: value.into(), signed }
}

fn method(rng: &mut Rng) -> Method {
    match rng.below(10) {
        0 => Method::Ping,
        1 => Method::FindNode { target: key(rng) },
        2 => Method::GetPeers {
            info_hash: key(rng),
            without_seeds: rng.one_in(2),
            scrape: rng.one_in(2),
        },
        3 => Method::AnnouncePeer {
            info_hash: key(rng),
            port: maybe(rng, port),
            seed: rng.one_in(2),
            token: token(rng),
        },
        4 => Method::Get { target: key(rng), newer_than: maybe(rng, number) },
        5 => Method::Put {
            item: Box::new(item(rng, true)),
            cas: maybe(rng, number),
            token: token(rng),
        },
        6 => Method::SampleInfohashes { target: key(rng) },
        7 => Method::Fetch { target: key(rng) },
        8 => Method::Store {
            target: key(rng),
            value: bytes(rng, 300).into(),
            number: number(rng),
            lifetime: small(rng).max(1),
            token: token(rng),
        },
        _ => Method::Other { target: maybe(rng, key) },
    }
}

fn response(rng: &mut Rng) -> Response {
    let item = maybe(rng, |rng| item(rng, false));
    let contacts = |rng: &mut Rng, address: fn(&mut Rng) -> Address| {
        maybe(rng, |rng| {
            list(rng, NODES_SENT, |rng| Contact { key: key(rng), address: address(rng) })
        })
    };
    Response {
        id: key(rng),
        seen_at: maybe(rng, |rng| if rng.one_in(2) { four(rng) } else { six(rng) }),
        nodes: contacts(rng, four),
        nodes6: contacts(rng, six),
        token: maybe(rng, token),
        peers: maybe(rng, |rng| {
            list(rng, 5, |rng| if rng.one_in(2) { four(rng) } else { six(rng) })
        }),
        filters: rng.one_in(8).then(|| Box::new(Filters { seeds: array(rng), peers: array(rng) })),
        number: if item.is_none() { maybe(rng, number) } else { None },
        item,
        samples: rng.one_in(4).then(|| Samples {
            interval: small(rng),
            count: small(rng),
            some: list(rng, 5, key),
        }),
        value: maybe(rng, |rng| bytes(rng, 200).into()),
    }
}

fn message(rng: &mut Rng) -> Message {
    let body = match rng.below(7) {
        0..=2 => Body::Query(Query {
            id: key(rng),
            read_only: rng.one_in(2),
            want: maybe(rng, |rng| Want { v4: rng.one_in(2), v6: rng.one_in(2) }),
            method: method(rng),
        }),
        3..=5 => Body::Response(Box::new(response(rng))),
        _ => Body::Error(Error {
            code: number(rng),
            text: bytes(rng, TEXT_MAX).into(),
            seen_at: maybe(rng, |rng| if rng.one_in(2) { four(rng) } else { six(rng) }),
        }),
    };
    let transaction = bytes(rng, TRANSACTION_MAX).into();
    Message { transaction, version: maybe(rng, array), body }
}

#[test]
fn a_message_reads_as_it_was_written() {
    let mut rng = Rng::new(1);
    for _ in 0..5_000 {
        let message = message(&mut rng);
        let written = message.encode();
        let whole = Value::decode(&written).unwrap();
        assert!(whole.dictionary().is_some());
        assert_eq!(Message::decode(&written).as_ref(), Ok(&message));
        fuzz(&written);
    }
}

#[test]
fn a_message_of_canonical_values_is_canonical() {
    let mut rng = Rng::new(2);
    for _ in 0..2_000 {
        let mut message = message(&mut rng);
        match &mut message.body {
            Body::Query(Query { method: Method::Put { item, .. }, .. }) => {
                item.value = Bytes::from_static(b"le");
            }
            Body::Response(response) => response.item = None,
            _ => {}
        }
        let written = message.encode();
        assert!(Value::decode(&written).unwrap().is_canonical(), "{message:?}");
    }
}

#[test]
fn any_bytes_are_refused_or_read_the_same_again() {
    let mut rng = Rng::new(3);
    let (mut read, mut mistaken, mut refused) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut bytes = message(&mut rng).encode();
        for _ in 0..1 + rng.below(3) {
            let at = rng.index(bytes.len());
            match rng.below(4) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 if rng.one_in(4) => bytes.truncate(at + 1),
                // Lengths and names lie near the front, where most of the sense is.
                2 => bytes[at.min(60)] = b"0123456789:ilde-"[rng.index(16)],
                _ => bytes.insert(at, rng.next_u64().to_le_bytes()[0]),
            }
        }
        match Message::decode(&bytes) {
            Ok(Message { body: Body::Mistaken(_), .. }) => mistaken += 1,
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
        fuzz(&bytes);
    }
    assert!(read > 1000 && mistaken > 100 && refused > 1000, "{read}, {mistaken}, {refused}");
    for _ in 0..20_000 {
        fuzz(&bytes(&mut rng, 100));
    }
}
