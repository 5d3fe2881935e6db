//! `nigh dht`: what BitTorrent's DHT does beside what every overlay does, asked from outside.

mod secret;

use std::{io::Write, path::Path, time::Duration};

use anyhow::{anyhow, bail};
use bytes::Bytes;
use clap::error::ErrorKind;
use nigh_base::{
    Key,
    bencode::{self, write_bytes},
};
use nigh_net::entropy;
use nigh_overlay::locate::kademlia::{
    Announce, Command, Event,
    krpc::{ITEM_MAX, Item, Signed, code},
};
use serde_json::{Value, json};

use super::{
    given, hex, milliseconds, unless_closed,
    visitor::{TICKET, ask_dht},
};
use crate::cli;

/// Does what a verb says.
pub(crate) fn run(flags: &cli::Dht) -> anyhow::Result<()> {
    unless_closed(match &flags.verb {
        cli::DhtVerb::Peers(flags) => peers(flags),
        cli::DhtVerb::Get(flags) => get(flags),
        cli::DhtVerb::Put(flags) => put(flags),
        cli::DhtVerb::Sample(flags) => sample(flags),
    })
}

/// Prints who is in a swarm.
fn peers(flags: &cli::Peers) -> anyhow::Result<()> {
    let cli::Peers { info_hash, seed, scrape, .. } = *flags;
    // A visitor's own port is nobody's once it has gone.
    let announce = flags.announce.map(|port| Announce { port: Some(port.get()), seed });
    let command = Command::Peers { ticket: TICKET, info_hash, announce, scrape };
    let doing = format!("find peers of {info_hash}");
    let answer = ask_dht("dht peers", &flags.visit, &doing, command)?;
    let (Event::Peers { peers, announced, counts, .. }, took) = answer else {
        return Err(another_answer(&answer.0));
    };
    let mut out = std::io::stdout().lock();
    if flags.visit.json {
        let addresses: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let line = json!({ "info_hash": info_hash.to_string(), "peers": addresses,
            "announced": announce.map(|_| announced),
            "seeds": counts.map(|it| whole(it.0)), "others": counts.map(|it| whole(it.1)),
            "milliseconds": milliseconds(took) });
        writeln!(out, "{line}")?;
    } else {
        for peer in &peers {
            writeln!(out, "{peer}")?;
        }
        if announce.is_some() && announced > 0 {
            writeln!(out, "announced to {}", nodes(announced))?;
        }
        if let Some((seeds, others)) = counts {
            let (seeds, others) = (whole(seeds), whole(others));
            writeln!(out, "about {seeds} seeds and {others} other peers")?;
        }
    }
    out.flush()?;
    if announce.is_some() && announced == 0 {
        bail!("no node has taken the announcement; name others with --via");
    }
    if scrape && counts.is_none() && announce.is_none() {
        bail!("no node has counted peers of {info_hash}: it knows none, or not how (BEP 33)");
    }
    if peers.is_empty() && announce.is_none() && !scrape {
        bail!("nobody has announced to be a peer of {info_hash}; --announce PORT does");
    }
    Ok(())
}

/// Prints an item.
fn get(flags: &cli::GetItem) -> anyhow::Result<()> {
    let target = flags.name.target(&flags.salt);
    let (item, took) = held("dht get", &flags.visit, "get", target, &flags.salt)?;
    let mut out = std::io::stdout().lock();
    if flags.visit.json {
        let mut line = described(target, item.as_ref());
        line["milliseconds"] = milliseconds(took).into();
        writeln!(out, "{line}")?;
    }
    let Some(item) = item else {
        let salt = if flags.salt.is_empty() { "; one with a salt is had with --salt" } else { "" };
        bail!("nothing is held under {target}: it was never put, or not in the last hours{salt}");
    };
    if !flags.visit.json {
        let string = text(&item.value).filter(|_| !flags.bencoded);
        out.write_all(string.unwrap_or(&item.value))?;
    }
    Ok(out.flush()?)
}

/// Has an item held.
fn put(flags: &cli::PutItem) -> anyhow::Result<()> {
    let value = value(flags)?;
    let item = match &flags.secret {
        Some(path) => signed(path, value, flags)?,
        None => Item::of(value),
    };
    let (name, line) = (item.name(), described(item.name(), Some(&item)));
    let number = item.signed.as_ref().map(|it| it.number);
    let command = Command::PutItem { ticket: TICKET, item: Box::new(item), cas: flags.cas };
    let answer = ask_dht("dht put", &flags.visit, &format!("put {name}"), command)?;
    let (Event::ItemStored { copies, refused, .. }, took) = answer else {
        return Err(another_answer(&answer.0));
    };
    let mut out = std::io::stdout().lock();
    if flags.visit.json {
        let mut line = line;
        line["copies"] = copies.into();
        line["refused"] = refused.into();
        line["milliseconds"] = milliseconds(took).into();
        writeln!(out, "{line}")?;
    } else if copies > 0 {
        writeln!(out, "name      {name}")?;
        if let (Some(number), Some(key)) = (number, line["key"].as_str()) {
            writeln!(out, "key       {key}\nnumber    {number}")?;
        }
        writeln!(out, "held      by {}, for 2h", nodes(copies))?;
    }
    out.flush()?;
    match refused {
        _ if copies > 0 => Ok(()),
        Some(code::CAS_MISMATCH) => Err(anyhow!(
            "the held item has another number than --cas says; `nigh dht get {name} --json{}` shows it",
            flags.visit.via.first().map(|via| format!(" --via {via}")).unwrap_or_default()
        )),
        Some(code::NUMBER_TOO_LOW) => Err(anyhow!(
            "the held item has a higher number, or this one with another value; leave --number out \
             to have one more"
        )),
        Some(code) => Err(anyhow!("no node has taken it: they answer with error {code}")),
        None => Err(anyhow!("no node has taken it; name others with --via")),
    }
}

/// Prints the names of some swarms.
fn sample(flags: &cli::Sample) -> anyhow::Result<()> {
    let target = flags.near.unwrap_or_else(|| Key::of(&entropy::seed().to_be_bytes()));
    let command = Command::Samples { ticket: TICKET, target };
    let doing = format!("find swarms near {target}");
    let answer = ask_dht("dht sample", &flags.visit, &doing, command)?;
    let (Event::Samples { info_hashes, .. }, took) = answer else {
        return Err(another_answer(&answer.0));
    };
    let mut out = std::io::stdout().lock();
    if flags.visit.json {
        let names: Vec<String> = info_hashes.iter().map(ToString::to_string).collect();
        let line = json!({ "near": target.to_string(), "info_hashes": names,
            "milliseconds": milliseconds(took) });
        writeln!(out, "{line}")?;
    } else {
        for name in &info_hashes {
            writeln!(out, "{name}")?;
        }
    }
    out.flush()?;
    if info_hashes.is_empty() {
        bail!("no node near {target} knows a swarm, or tells (BEP 51); name another key as NEAR");
    }
    Ok(())
}

/// The item that is held under a name, and how long finding it took.
fn held(
    verb: &str,
    visit: &cli::Visit,
    what: &str,
    target: Key,
    salt: &str,
) -> anyhow::Result<(Option<Item>, Duration)> {
    let salt = Bytes::copy_from_slice(salt.as_bytes());
    let command = Command::Item { ticket: TICKET, target, salt };
    match ask_dht(verb, visit, &format!("{what} {target}"), command)? {
        (Event::Item { item, .. }, took) => Ok((item, took)),
        (other, _) => Err(another_answer(&other)),
    }
}

/// The value, signed with the secret in a file. Without a number it gets one more than the held one has.
fn signed(path: &Path, value: Bytes, flags: &cli::PutItem) -> anyhow::Result<Item> {
    let secret = secret::read_or_make(path)?;
    let salt = &flags.salt;
    let sign = |number| Item::sign(&secret, salt.as_bytes(), number, value.clone());
    if let Some(number) = flags.number {
        return Ok(sign(number));
    }
    let (held, _) = held("dht put", &flags.visit, "put", sign(0).name(), salt)?;
    let number = held.and_then(|it| it.signed).map_or(0, |it| it.number);
    let Some(next) = number.checked_add(1) else {
        bail!("the held item has the highest number that there is: use another --salt");
    };
    Ok(sign(next))
}

/// The bencoded value that is meant. Ends with 2 if there is no such item: nothing is sent then.
fn value(flags: &cli::PutItem) -> anyhow::Result<Bytes> {
    let wrong =
        |message: &str| -> ! { cli::used_wrongly("dht put", ErrorKind::ValueValidation, message) };
    let given = given(&flags.value, ITEM_MAX)?;
    let value = if flags.bencoded {
        match bencode::Value::decode(&given) {
            Ok(value) if value.is_canonical() => given,
            Ok(_) => wrong("keys are in order, and numbers have no zeros before them"),
            Err(error) => wrong(&format!("VALUE is not bencoded: {error}")),
        }
    } else {
        let mut value = Vec::new();
        write_bytes(&given, &mut value);
        value
    };
    if value.len() > ITEM_MAX {
        wrong(&format!("an item has at most {ITEM_MAX} bytes, bencoded, and this one is longer"));
    }
    Ok(value.into())
}

/// What is said of an item for scripts.
fn described(name: Key, item: Option<&Item>) -> Value {
    let signed = |it: &Item| it.signed.clone();
    let signed: Option<Signed> = item.and_then(signed);
    let text = item.and_then(|it| text(&it.value)).and_then(|it| str::from_utf8(it).ok());
    json!({ "name": name.to_string(), "key": signed.as_ref().map(|it| hex(&it.key)),
        "number": signed.as_ref().map(|it| it.number),
        "bencoded_bytes": item.map(|it| it.value.len()),
        "bencoded_hex": item.map(|it| hex(&it.value)), "value_text": text })
}

/// The byte string, if it is one.
fn text(value: &[u8]) -> Option<&[u8]> {
    bencode::Value::decode(value).ok()?.bytes()
}

/// A count that was estimated (BEP 33): there are no parts of peers.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7,800")]
fn whole(count: f64) -> u64 {
    count.round() as u64
}

fn nodes(count: u8) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

/// The machine answers each command in its way; another answer is our mistake.
fn another_answer(event: &Event) -> anyhow::Error {
    anyhow!("the answer is none to the question: {event:?}")
}
