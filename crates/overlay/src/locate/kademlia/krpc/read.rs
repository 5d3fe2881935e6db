//! Messages of the mainline DHT from bytes, as leniently as its programs need it: in any order, with
//! fields that nobody knows, with optional ones that make no sense (they are not there), with lists
//! that are too long (they are cut).

use bytes::Bytes;
use nigh_base::{
    Address, Key,
    bencode::{Dictionary, Value},
    wire::{Reader, WireError},
};

use super::{
    Body, Error, FILTER_BYTES, Filters, ITEM_MAX, Item, MESSAGE_MAX, Message, Method, NODES_MAX,
    PEERS_MAX, Query, Response, SALT_MAX, SAMPLES_MAX, Samples, Signed, TEXT_MAX, TOKEN_MAX,
    TRANSACTION_MAX, Token, Want, code,
    write::{ADDRESS_V4, ADDRESS_V6, CONTACT_V4, CONTACT_V6},
};
use crate::locate::{Contact, VALUE_MAX};

/// Reads a message.
pub(super) fn message(reader: &mut Reader<'_>) -> Result<Message, WireError> {
    let length = reader.rest();
    if length > MESSAGE_MAX {
        return Err(WireError::TooLong { what: "message", length, limit: MESSAGE_MAX });
    }
    let top = Value::read(reader)?.dictionary();
    let top = top.ok_or(WireError::Impossible { what: "message that is no dictionary" })?;
    let [transaction, kind, version, name, arguments, read_only, results, seen_at, error] =
        top.pick(["t", "y", "v", "q", "a", "ro", "r", "ip", "e"]);
    let transaction = transaction.and_then(Value::bytes);
    let transaction =
        transaction.ok_or(WireError::Impossible { what: "message without a transaction" })?;
    if transaction.len() > TRANSACTION_MAX {
        let (length, limit) = (transaction.len(), TRANSACTION_MAX);
        return Err(WireError::TooLong { what: "transaction", length, limit });
    }
    let body = match kind.and_then(Value::bytes) {
        Some(b"q") => match query(name, arguments, flag(read_only)) {
            Ok(query) => Body::Query(query),
            Err(error) => Body::Mistaken(error),
        },
        Some(b"r") => Body::Response(Box::new(response(results, seen_at)?)),
        Some(b"e") => Body::Error(self::error(error, seen_at)),
        _ => return Err(WireError::Impossible { what: "message that is of no kind" }),
    };
    let transaction = transaction.into();
    Ok(Message { transaction, version: array(version), body })
}

/// A question, or what is wrong with it.
fn query(
    name: Option<Value<'_>>,
    arguments: Option<Value<'_>>,
    read_only: bool,
) -> Result<Query, Error> {
    let name = name.and_then(Value::bytes).ok_or_else(|| wrong("no method"))?;
    let arguments = arguments.and_then(Value::dictionary).ok_or_else(|| wrong("no arguments"))?;
    let [id, target, info_hash, want] =
        arguments.clone().pick(["id", "target", "info_hash", "want"]);
    let id = key(id).ok_or_else(|| wrong("id is not 20 bytes"))?;
    let known_target = || key(target).ok_or_else(|| wrong("target is not 20 bytes"));
    let known_hash = || key(info_hash).ok_or_else(|| wrong("info_hash is not 20 bytes"));
    let method = match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: known_target()? },
        b"get_peers" => {
            let [without_seeds, scrape] = arguments.pick(["noseed", "scrape"]).map(flag);
            Method::GetPeers { info_hash: known_hash()?, without_seeds, scrape }
        }
        b"announce_peer" => announce(known_hash()?, arguments)?,
        b"get" => {
            let newer_than = arguments.get("seq").and_then(Value::integer);
            Method::Get { target: known_target()?, newer_than }
        }
        b"put" => put(arguments)?,
        b"sample_infohashes" => Method::SampleInfohashes { target: known_target()? },
        b"nigh_fetch" => Method::Fetch { target: known_target()? },
        b"nigh_store" => store(known_target()?, arguments)?,
        _ => Method::Other { target: key(target).or_else(|| key(info_hash)) },
    };
    Ok(Query { id, read_only, want: want.and_then(self::want), method })
}

fn announce(info_hash: Key, arguments: Dictionary<'_>) -> Result<Method, Error> {
    let [implied, port, seed, token] = arguments.pick(["implied_port", "port", "seed", "token"]);
    // Any number but zero, says BEP 5; the other flags are one.
    let port = if implied.and_then(Value::integer).is_some_and(|implied| implied != 0) {
        None
    } else {
        let port = port.and_then(Value::integer).and_then(|port| u16::try_from(port).ok());
        Some(port.filter(|&port| port != 0).ok_or_else(|| wrong("port is not 1 to 65535"))?)
    };
    Ok(Method::AnnouncePeer { info_hash, port, seed: flag(seed), token: known_token(token)? })
}

fn put(arguments: Dictionary<'_>) -> Result<Method, Error> {
    let [value, key, salt, number, signature, cas, token] =
        arguments.pick(["v", "k", "salt", "seq", "sig", "cas", "token"]);
    let token = known_token(token)?;
    let value = value.ok_or_else(|| wrong("no value"))?.raw();
    if value.len() > ITEM_MAX {
        return Err(mistake(code::VALUE_TOO_LONG, "v is longer than 1000 bytes"));
    }
    let signed = match key {
        None => None,
        Some(_) => {
            let salt = salt.map_or(Some(&[][..]), Value::bytes);
            let salt = salt.ok_or_else(|| wrong("salt is no string"))?;
            if salt.len() > SALT_MAX {
                return Err(mistake(code::SALT_TOO_LONG, "salt is longer than 64 bytes"));
            }
            let signed = signed(key, number, signature);
            let signed = signed.ok_or_else(|| wrong("k, seq or sig is not what it should be"))?;
            Some(Signed { salt: salt.into(), ..signed })
        }
    };
    let cas = match cas {
        None => None,
        Some(cas) => Some(cas.integer().ok_or_else(|| wrong("cas is no number"))?),
    };
    let item = Box::new(Item { value: Bytes::copy_from_slice(value), signed });
    Ok(Method::Put { item, cas, token })
}

fn store(target: Key, arguments: Dictionary<'_>) -> Result<Method, Error> {
    let [value, lifetime, number, token] = arguments.pick(["value", "lifetime", "seq", "token"]);
    let token = known_token(token)?;
    let value = value.and_then(Value::bytes).ok_or_else(|| wrong("no value"))?;
    if value.len() > VALUE_MAX {
        return Err(mistake(code::VALUE_TOO_LONG, "value is longer than 1024 bytes"));
    }
    let lifetime = self::number(lifetime).filter(|&seconds| seconds > 0);
    let lifetime = lifetime.ok_or_else(|| wrong("lifetime is no number of seconds"))?;
    let number = number.and_then(Value::integer).unwrap_or_default();
    Ok(Method::Store { target, value: Bytes::copy_from_slice(value), number, lifetime, token })
}

/// What is in a question's `want`; families that nobody knows do not count (BEP 32).
fn want(value: Value<'_>) -> Option<Want> {
    let mut want = Want::default();
    for family in value.list()?.filter_map(Value::bytes) {
        want.v4 |= family == b"n4";
        want.v6 |= family == b"n6";
    }
    Some(want)
}

fn response(results: Option<Value<'_>>, seen_at: Option<Value<'_>>) -> Result<Response, WireError> {
    let results = results.and_then(Value::dictionary);
    let results = results.ok_or(WireError::Impossible { what: "answer without results" })?;
    let [id, nodes, nodes6, token, peers, seeds_filter, peers_filter] =
        results.clone().pick(["id", "nodes", "nodes6", "token", "values", "BFsd", "BFpe"]);
    // Seldom there.
    let [item, key, number, signature, interval, count, samples, value] =
        results.pick(["v", "k", "seq", "sig", "interval", "num", "samples", "value"]);
    let id = self::key(id).ok_or(WireError::Impossible { what: "answer without an id" })?;
    let filters = array(seeds_filter).zip(array(peers_filter));
    let filters: Option<([u8; FILTER_BYTES], [u8; FILTER_BYTES])> = filters;
    let samples =
        samples.and_then(Value::bytes).zip(self::number(interval)).zip(self::number(count));
    Ok(Response {
        id,
        seen_at: seen_at.and_then(Value::bytes).and_then(address),
        nodes: contacts::<CONTACT_V4>(nodes),
        nodes6: contacts::<CONTACT_V6>(nodes6),
        token: self::token(token),
        peers: peers.and_then(Value::list).map(|peers| {
            peers.filter_map(Value::bytes).filter_map(address).take(PEERS_MAX).collect()
        }),
        filters: filters.map(|(seeds, peers)| Box::new(Filters { seeds, peers })),
        number: if item.is_none() { number.and_then(Value::integer) } else { None },
        item: item.map(Value::raw).filter(|value| value.len() <= ITEM_MAX).map(|value| Item {
            value: Bytes::copy_from_slice(value),
            signed: signed(key, number, signature),
        }),
        samples: samples.map(|((names, interval), count)| {
            let names = names.chunks_exact(Key::BYTES).take(SAMPLES_MAX);
            let some = names.filter_map(|name| name.try_into().ok()).map(Key::new).collect();
            Samples { interval, count, some }
        }),
        value: value
            .and_then(Value::bytes)
            .filter(|value| value.len() <= VALUE_MAX)
            .map(Bytes::copy_from_slice),
    })
}

/// What goes with an item that can be changed, but for its salt.
fn signed(
    key: Option<Value<'_>>,
    number: Option<Value<'_>>,
    signature: Option<Value<'_>>,
) -> Option<Signed> {
    let number = number?.integer()?;
    Some(Signed { key: array(key)?, number, salt: [][..].into(), signature: array(signature)? })
}

/// An error; one that does not say which is a general one.
fn error(value: Option<Value<'_>>, seen_at: Option<Value<'_>>) -> Error {
    let mut list = value.and_then(Value::list).into_iter().flatten();
    let code = list.next().and_then(Value::integer).unwrap_or(code::GENERIC);
    let text = list.next().and_then(Value::bytes).unwrap_or_default();
    let seen_at = seen_at.and_then(Value::bytes).and_then(address);
    Error { code, text: text[..text.len().min(TEXT_MAX)].into(), seen_at }
}

/// Contacts of `N` bytes each. What is left behind the last is none.
fn contacts<const N: usize>(value: Option<Value<'_>>) -> Option<Vec<Contact>> {
    let contacts = value?.bytes()?.chunks_exact(N).filter_map(|bytes| {
        let (key, address) = bytes.split_first_chunk()?;
        let address = self::address(address)?;
        // An IPv4 address in the guise of an IPv6 one could not be written back there.
        let is_of_family = address.as_v4().is_some() == (N == CONTACT_V4);
        is_of_family.then_some(Contact { key: Key::new(*key), address })
    });
    Some(contacts.take(NODES_MAX).collect())
}

/// An address of one machine; its length says its family.
fn address(bytes: &[u8]) -> Option<Address> {
    let (ip, port) = bytes.split_last_chunk()?;
    let port = u16::from_be_bytes(*port);
    let address = match bytes.len() {
        ADDRESS_V4 => Address::v4(ip.try_into().ok()?, port),
        ADDRESS_V6 => Address::v6(ip.try_into().ok()?, port),
        _ => return None,
    };
    address.is_of_one().then_some(address)
}

fn key(value: Option<Value<'_>>) -> Option<Key> {
    array(value).map(Key::new)
}

fn array<const N: usize>(value: Option<Value<'_>>) -> Option<[u8; N]> {
    value?.bytes()?.try_into().ok()
}

fn number(value: Option<Value<'_>>) -> Option<u32> {
    u32::try_from(value?.integer()?).ok()
}

fn flag(value: Option<Value<'_>>) -> bool {
    value.and_then(Value::integer) == Some(1)
}

fn token(value: Option<Value<'_>>) -> Option<Token> {
    value?.bytes().filter(|token| token.len() <= TOKEN_MAX).map(Token::from)
}

/// The token without which a node holds nothing. One that is too long is none that a node has given.
fn known_token(value: Option<Value<'_>>) -> Result<Token, Error> {
    token(value).ok_or_else(|| wrong("no token, or none of mine"))
}

fn wrong(text: &str) -> Error {
    mistake(code::PROTOCOL, text)
}

fn mistake(code: i64, text: &str) -> Error {
    Error { code, text: text.as_bytes().into(), seen_at: None }
}
