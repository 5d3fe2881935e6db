//! Messages of the mainline DHT as bytes: every dictionary's keys in order, as BEP 3 wants them.

use nigh_base::{
    Address, Key,
    bencode::{Entries, write_bytes, write_dictionary, write_integer, write_length, write_list},
};

use super::{Body, Item, Message, Method, Query, Response, Want};
use crate::locate::Contact;

/// Bytes of a contact over IPv4, and over IPv6.
pub(in super::super) const CONTACT_V4: usize = Key::BYTES + ADDRESS_V4;
pub(in super::super) const CONTACT_V6: usize = Key::BYTES + ADDRESS_V6;
/// Bytes of an address with its port.
pub(in super::super) const ADDRESS_V4: usize = 4 + 2;
pub(in super::super) const ADDRESS_V6: usize = 16 + 2;

/// Appends a message.
pub(super) fn message(message: &Message, out: &mut Vec<u8>) {
    write_dictionary(out, |top| {
        let kind = match &message.body {
            Body::Query(query) => {
                write_dictionary(top.key("a"), |entries| arguments(query, entries));
                top.bytes("q", name(&query.method).as_bytes());
                if query.read_only {
                    top.integer("ro", 1);
                }
                "q"
            }
            Body::Response(response) => {
                if let Some(address) = response.seen_at {
                    compact(address, top.key("ip"));
                }
                write_dictionary(top.key("r"), |entries| results(response, entries));
                "r"
            }
            Body::Error(error) | Body::Mistaken(error) => {
                write_list(top.key("e"), |out| {
                    write_integer(error.code, out);
                    write_bytes(&error.text, out);
                });
                if let Some(address) = error.seen_at {
                    compact(address, top.key("ip"));
                }
                "e"
            }
        };
        top.bytes("t", &message.transaction);
        if let Some(version) = message.version {
            top.bytes("v", &version);
        }
        top.bytes("y", kind.as_bytes());
    });
}

/// What a question is called.
const fn name(method: &Method) -> &'static str {
    match method {
        Method::Ping => "ping",
        Method::FindNode { .. } => "find_node",
        Method::GetPeers { .. } => "get_peers",
        Method::AnnouncePeer { .. } => "announce_peer",
        Method::Get { .. } => "get",
        Method::Put { .. } => "put",
        Method::SampleInfohashes { .. } => "sample_infohashes",
        Method::Fetch { .. } => "nigh_fetch",
        Method::Store { .. } => "nigh_store",
        // Nobody asks this; its name is not kept.
        Method::Other { .. } => "other",
    }
}

/// `a`: what the method has lies around the asker's `id`, which all have.
fn arguments(query: &Query, entries: &mut Entries<'_, '_>) {
    let id = query.id.bytes();
    match &query.method {
        Method::Ping | Method::Other { target: None } => entries.bytes("id", &id),
        Method::FindNode { target }
        | Method::SampleInfohashes { target }
        | Method::Fetch { target }
        | Method::Other { target: Some(target) } => {
            entries.bytes("id", &id);
            entries.bytes("target", &target.bytes());
        }
        Method::GetPeers { info_hash, without_seeds, scrape } => {
            entries.bytes("id", &id);
            entries.bytes("info_hash", &info_hash.bytes());
            flag("noseed", *without_seeds, entries);
            flag("scrape", *scrape, entries);
        }
        Method::AnnouncePeer { info_hash, port, seed, token } => {
            entries.bytes("id", &id);
            flag("implied_port", port.is_none(), entries);
            entries.bytes("info_hash", &info_hash.bytes());
            // Some refuse a question without a port, even where it does not count.
            entries.integer("port", port.unwrap_or_default().into());
            flag("seed", *seed, entries);
            entries.bytes("token", token);
        }
        Method::Get { target, newer_than } => {
            entries.bytes("id", &id);
            if let Some(number) = newer_than {
                entries.integer("seq", *number);
            }
            entries.bytes("target", &target.bytes());
        }
        Method::Put { item, cas, token } => {
            if let Some(number) = cas {
                entries.integer("cas", *number);
            }
            entries.bytes("id", &id);
            put(item, token, entries);
        }
        Method::Store { target, value, number, lifetime, token } => {
            entries.bytes("id", &id);
            entries.integer("lifetime", (*lifetime).into());
            entries.integer("seq", *number);
            entries.bytes("target", &target.bytes());
            entries.bytes("token", token);
            entries.bytes("value", value);
        }
    }
    if let Some(Want { v4, v6 }) = query.want {
        write_list(entries.key("want"), |out| {
            for family in [v4.then_some("n4"), v6.then_some("n6")].into_iter().flatten() {
                write_bytes(family.as_bytes(), out);
            }
        });
    }
}

fn flag<'k>(key: &'k str, is_set: bool, entries: &mut Entries<'_, 'k>) {
    if is_set {
        entries.integer(key, 1);
    }
}

/// An item that is to be held, and the token that goes with it.
fn put(item: &Item, token: &[u8], entries: &mut Entries<'_, '_>) {
    if let Some(signed) = &item.signed {
        entries.bytes("k", &signed.key);
        if !signed.salt.is_empty() {
            entries.bytes("salt", &signed.salt);
        }
        entries.integer("seq", signed.number);
        entries.bytes("sig", &signed.signature);
    }
    // The item says its own name, but nodes of the crate mainline do not answer a question without it.
    entries.bytes("target", &item.name().bytes());
    entries.bytes("token", token);
    entries.key("v").extend_from_slice(&item.value);
}

/// `r`: whatever the answer has.
fn results(response: &Response, entries: &mut Entries<'_, '_>) {
    if let Some(filters) = &response.filters {
        entries.bytes("BFpe", &filters.peers);
        entries.bytes("BFsd", &filters.seeds);
    }
    entries.bytes("id", &response.id.bytes());
    if let Some(samples) = &response.samples {
        entries.integer("interval", samples.interval.into());
    }
    let signed = response.item.as_ref().and_then(|item| item.signed.as_ref());
    if let Some(signed) = signed {
        entries.bytes("k", &signed.key);
    }
    contacts("nodes", CONTACT_V4, response.nodes.as_deref(), entries);
    contacts("nodes6", CONTACT_V6, response.nodes6.as_deref(), entries);
    if let Some(samples) = &response.samples {
        entries.integer("num", samples.count.into());
        let out = entries.key("samples");
        write_length(samples.some.len() * Key::BYTES, out);
        samples.some.iter().for_each(|name| out.extend_from_slice(&name.bytes()));
    }
    if let Some(number) = signed.map(|signed| signed.number).or(response.number) {
        entries.integer("seq", number);
    }
    if let Some(signed) = signed {
        entries.bytes("sig", &signed.signature);
    }
    if let Some(token) = &response.token {
        entries.bytes("token", token);
    }
    if let Some(item) = &response.item {
        entries.key("v").extend_from_slice(&item.value);
    }
    if let Some(value) = &response.value {
        entries.bytes("value", value);
    }
    if let Some(peers) = &response.peers {
        write_list(entries.key("values"), |out| {
            peers.iter().for_each(|&peer| compact(peer, out));
        });
    }
}

/// Contacts of one family, each of `length` bytes; such of the other have no place there.
fn contacts<'k>(
    key: &'k str,
    length: usize,
    contacts: Option<&[Contact]>,
    entries: &mut Entries<'_, 'k>,
) {
    let Some(contacts) = contacts else { return };
    let of_family =
        contacts.iter().filter(|contact| Key::BYTES + address_length(contact.address) == length);
    let out = entries.key(key);
    write_length(of_family.clone().count() * length, out);
    for contact in of_family {
        out.extend_from_slice(&contact.key.bytes());
        write_address(contact.address, out);
    }
}

/// An address by itself is a byte string.
fn compact(address: Address, out: &mut Vec<u8>) {
    write_length(address_length(address), out);
    write_address(address, out);
}

fn address_length(address: Address) -> usize {
    if address.as_v4().is_some() { ADDRESS_V4 } else { ADDRESS_V6 }
}

/// The bytes of an IP address and its port; their number says the family.
fn write_address(address: Address, out: &mut Vec<u8>) {
    match (address.as_v4(), address.as_v6()) {
        (Some(ip), _) => out.extend_from_slice(&ip),
        (None, ip) => out.extend_from_slice(&ip.expect("of one family or the other")),
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}
