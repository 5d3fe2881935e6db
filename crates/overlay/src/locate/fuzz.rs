//! What must hold of our own overlays for any bytes. Plain functions, so that a fuzzer, or a seeded test, can
//! drive them.

use std::{fmt, time::Duration};

use nigh_base::{
    Key, Machine, Rng, Time,
    machine::{Coded, Context, Input},
    wire::Wire,
};

use super::{Command, Contact, Ticket};

/// What must hold of a message: what reads is written as the same bytes, within the limit.
///
/// # Panics
/// If it does not.
pub fn message<M: Wire + fmt::Debug>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let written = message.encode();
        assert_eq!(written, bytes, "one message has one form");
        assert!(written.len() <= M::MAX, "{message:?} is too long");
    }
}

/// Feeds a node with pieces of `bytes`, each as long as its first byte says: from one of `others`, with time
/// passing in between and lookups of its own under way.
///
/// # Panics
/// If the node breaks an invariant, or one input causes more than `outputs_max` outputs.
pub(crate) fn node<T>(node: T, others: &[Contact], outputs_max: usize, bytes: &[u8])
where
    T: Machine<Message: Wire, Command = Command>,
{
    let mut node = Coded::new(node);
    let (mut rng, mut secrets, mut outbox) = (Rng::new(1), Rng::new(2), Vec::new());
    let (mut now, mut rest, mut number) = (Time::START, bytes, 0);
    while let [length, after @ ..] = rest {
        let (piece, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let from = others[usize::from(*length) % others.len()].address;
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
            assert!(outbox.len() <= outputs_max, "{} outputs of one input", outbox.len());
            outbox.clear();
        }
    }
}

/// Feeds `node` with examples of messages, some of them changed a little, one behind the other.
#[cfg(test)]
pub(crate) fn with_examples(examples: impl Iterator<Item = Vec<u8>>, node: fn(&[u8])) {
    let mut rng = Rng::new(1);
    // A length has one byte.
    let messages: Vec<Vec<u8>> = examples.filter(|bytes| bytes.len() < 256).collect();
    for _ in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..rng.below(60) {
            let mut message = messages[rng.index(messages.len())].clone();
            if rng.one_in(3) {
                let place = rng.index(message.len());
                message[place] = rng.next_u64().to_le_bytes()[0];
            }
            bytes.push(u8::try_from(message.len()).expect("shorter than 256"));
            bytes.extend(message);
        }
        node(&bytes);
    }
}
