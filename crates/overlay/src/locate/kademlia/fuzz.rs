//! A node of a DHT and whatever bytes strangers send it: it keeps its invariants and its limits.
//!
//! A plain function, so that a fuzzer, or the seeded test below, can drive it.

use std::{sync::Arc, time::Duration};

use nigh_base::{
    Address, Key, Machine as _, Rng, Time,
    machine::{Coded, Context, Input, Output},
    wire::Wire as _,
};

use super::{
    Announce, Command, Node, Settings,
    krpc::{Body, Message},
};
use crate::locate::{self, Ticket};

/// Datagrams that one input may cause: a wake may find as much due as there are questions.
const OUTPUTS_MAX: usize = 2048;

/// Feeds a node with pieces of `bytes`, each as long as its first two bytes say. Each comes from one of some
/// addresses, as it is and, if the node has asked something there, with the name of that question too;
/// time passes in between, and lookups of its own are under way.
///
/// # Panics
/// If the node breaks an invariant, or answers one input with more than it may.
pub fn node(bytes: &[u8]) {
    let address = |number: u8| Address::v4([192, 0, number % 16, 1], 6881);
    let settings = Settings { v6: true, ..Settings::default() };
    let node = Node::new(Key::of(b"fuzzed"), address(0), Arc::new(settings));
    let mut fuzzed = Fuzzed {
        node: Coded::new(node),
        rng: Rng::new(1),
        secrets: Rng::new(2),
        now: Time::from_secs(1000),
        asked: Vec::new(),
    };
    fuzzed.take(Input::Command(locate::Command::Join { via: vec![] }.into()));
    let (mut rest, mut number) = (bytes, 0u64);
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]) % 2100);
        let (piece, after) = after.split_at(after.len().min(length));
        rest = after;
        number += 1;
        let from = address(*low);
        fuzzed.now = fuzzed.now.after(Duration::from_millis(u64::from(*low) * 20));
        fuzzed.take(Input::Wake);
        fuzzed.take(Input::Message { from, message: bytes::Bytes::copy_from_slice(piece) });
        if let Some((from, question)) = fuzzed.asked.pop()
            && let Ok(mut message) = Message::decode(piece)
        {
            message.transaction = question.transaction;
            fuzzed.take(Input::Message { from, message: message.encode().into() });
        }
        let (ticket, key) = (Ticket(number), Key::of(piece));
        fuzzed.take(Input::Command(match number % 4 {
            0 => locate::Command::Locate { ticket, key, trace: true }.into(),
            1 => Command::Peers {
                ticket,
                info_hash: key,
                announce: Some(Announce { port: None, seed: false }),
                scrape: true,
            },
            2 => Command::Item { ticket, target: key, salt: bytes::Bytes::new() },
            _ => Command::Samples { ticket, target: key },
        }));
    }
}

struct Fuzzed {
    node: Coded<Node>,
    rng: Rng,
    secrets: Rng,
    now: Time,
    /// Questions of the node, the latest last.
    asked: Vec<(Address, Message)>,
}

impl Fuzzed {
    fn take(&mut self, input: Input<bytes::Bytes, Command>) {
        let mut outbox = Vec::new();
        let (rng, secrets) = (&mut self.rng, &mut self.secrets);
        self.node.handle(input, &mut Context::new(self.now, rng, secrets, &mut outbox));
        self.node.check();
        assert!(outbox.len() <= OUTPUTS_MAX, "{} outputs of one input", outbox.len());
        for output in outbox {
            if let Output::Message { to, message } = output {
                let message = Message::decode(&message).expect("a node writes what can be read");
                if matches!(message.body, Body::Query(_)) && self.asked.len() < OUTPUTS_MAX {
                    self.asked.push((to, message));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::krpc::{Method, Query, Response, Transaction},
        *,
    };
    use crate::locate::Contact;

    /// Questions and answers as a stranger may make them.
    fn drawn(rng: &mut Rng) -> Message {
        let key = |rng: &mut Rng| Key::of(&[rng.next_u64().to_le_bytes()[0] % 32]);
        let contact = |rng: &mut Rng| {
            let number = rng.next_u64().to_le_bytes()[0];
            Contact { key: key(rng), address: Address::v4([192, 0, number % 16, 1], 6881) }
        };
        let token = || b"12345678"[..].into();
        let body = if rng.one_in(2) {
            let target = key(rng);
            let method = match rng.below(5) {
                0 => Method::Ping,
                1 => Method::FindNode { target },
                2 => Method::GetPeers { info_hash: target, without_seeds: true, scrape: true },
                3 => Method::Fetch { target },
                _ => Method::AnnouncePeer {
                    info_hash: target,
                    port: None,
                    seed: true,
                    token: token(),
                },
            };
            Body::Query(Query { id: key(rng), read_only: rng.one_in(4), want: None, method })
        } else {
            let nodes = (0..rng.below(8)).map(|_| contact(rng)).collect();
            let seen_at = Some(Address::v4([203, 0, 113, 7], 1)).filter(|_| rng.one_in(2));
            let (nodes, token) = (Some(nodes), Some(token()));
            Body::Response(Box::new(Response { nodes, token, seen_at, ..Response::of(key(rng)) }))
        };
        Message { transaction: Transaction::from_slice(b"aa"), version: None, body }
    }

    #[test]
    fn a_node_survives_whatever_it_is_sent() {
        let mut rng = Rng::new(1);
        for _ in 0..200 {
            let mut bytes = Vec::new();
            for _ in 0..rng.below(80) {
                let mut message = drawn(&mut rng).encode();
                if rng.one_in(3) {
                    let place = rng.index(message.len());
                    message[place] = rng.next_u64().to_le_bytes()[0];
                }
                bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
                bytes.extend(message);
            }
            node(&bytes);
        }
    }
}
