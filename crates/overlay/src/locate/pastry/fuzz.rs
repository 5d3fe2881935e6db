//! A node of Pastry and whatever bytes strangers send it: it keeps its invariants and its limits.
//!
//! A plain function, so that a fuzzer, or the seeded test below, can drive it.

use std::{sync::Arc, time::Duration};

use nigh_base::{
    Address, Key, Machine, Rng, Time,
    machine::{Coded, Context, Input},
};

use super::{Settings, settled::Settled};
use crate::locate::{Command, Contact, Ticket};

/// Datagrams that one input may cause: a wake may find as much due as there are questions.
const OUTPUTS_MAX: usize = 700;

/// Feeds a node with pieces of `bytes`, each as long as its first byte says: from a neighbour or a
/// stranger, with time passing in between and lookups of its own under way.
///
/// # Panics
/// If the node breaks an invariant, or answers one input with more than it may.
pub fn node(bytes: &[u8]) {
    let contact = |number: u8| Contact {
        key: Key::of(&[number]),
        address: Address::v4([10, 0, 0, number], 4000),
    };
    let contacts: Vec<Contact> = (0..24).map(contact).collect();
    let all = Settled::new(Arc::new(Settings::default()), contacts.clone());
    let mut node = Coded::new(all.node(contacts[0], Time::from_secs(1), |_| 0));
    let (mut rng, mut secrets, mut outbox) = (Rng::new(1), Rng::new(2), Vec::new());
    let (mut now, mut rest, mut number) = (Time::START, bytes, 0);
    while let [length, after @ ..] = rest {
        let (piece, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let from = contacts[usize::from(*length) % contacts.len()].address;
        now = now.after(Duration::from_millis(u64::from(*length) * 10));
        number += 1;
        let key = Key::of(piece);
        let locate = Command::Locate { ticket: Ticket(number), key, trace: number % 2 == 0 };
        for input in [
            Input::Wake,
            Input::Message { from, message: bytes::Bytes::copy_from_slice(piece) },
            Input::Command(locate),
        ] {
            node.handle(input, &mut Context::new(now, &mut rng, &mut secrets, &mut outbox));
            node.check();
            assert!(outbox.len() <= OUTPUTS_MAX, "{} outputs of one input", outbox.len());
            outbox.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::wire::Wire;

    use super::{super::message::tests::examples, *};

    #[test]
    fn a_node_survives_whatever_it_is_sent() {
        let mut rng = Rng::new(1);
        let messages: Vec<Vec<u8>> =
            examples().iter().map(Wire::encode).filter(|bytes| bytes.len() < 256).collect();
        for _ in 0..300 {
            let mut bytes = Vec::new();
            for _ in 0..rng.below(60) {
                let mut message = messages[rng.index(messages.len())].clone();
                if rng.one_in(3) {
                    let place = rng.index(message.len());
                    message[place] = rng.next_u64().to_le_bytes()[0];
                }
                bytes.push(u8::try_from(message.len()).unwrap());
                bytes.extend(message);
            }
            node(&bytes);
        }
    }
}
