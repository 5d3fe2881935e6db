//! What must hold of our own overlays for any bytes. Plain functions, so that a fuzzer, or a seeded test, can
//! drive them.

use std::{fmt, ops::Range, time::Duration};

use bytes::Bytes;
use nigh_base::{
    Address, Key, Machine, Rng, Time,
    machine::{Coded, Context, Input, Output},
    wire::Wire,
};

use super::{Command, Contact, Ticket};

/// Questions of a node that are kept, to be answered.
const ASKED_MAX: usize = 64;

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

/// Feeds a node with pieces of `bytes`, each as long as its first byte says: from one of `others`, and once
/// more as an answer to what the node has asked last, from whom it has asked; with time passing in between and
/// commands of its own under way.
///
/// # Panics
/// If the node breaks an invariant, or one input causes more than `outputs_max` outputs.
pub(crate) fn node<T>(node: T, others: &[Contact], outputs_max: usize, bytes: &[u8])
where
    T: Machine<Message: Wire, Command = Command>,
{
    let (rng, secrets) = (Rng::new(1), Rng::new(2));
    let (now, asked) = (Time::START, Vec::new());
    let mut fuzzed = Fuzzed { node: Coded::new(node), outputs_max, rng, secrets, now, asked };
    let (mut rest, mut number) = (bytes, 0);
    while let [length, after @ ..] = rest {
        let (piece, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let from = others[usize::from(*length) % others.len()].address;
        fuzzed.now = fuzzed.now.after(Duration::from_millis(u64::from(*length) * 10));
        number += 1;
        fuzzed.take(Input::Wake);
        fuzzed.take(Input::Message { from, message: Bytes::copy_from_slice(piece) });
        if let Some((from, asked)) = fuzzed.asked.pop()
            && let Some(place) = number_of(piece)
        {
            let mut answer = piece.to_vec();
            answer[place].copy_from_slice(&asked);
            fuzzed.take(Input::Message { from, message: answer.into() });
        }
        let (ticket, key) = (Ticket(number), Key::of(piece));
        let (value, lifetime) = (Bytes::from_static(b"value"), Duration::from_secs(60));
        fuzzed.take(Input::Command(match number % 32 {
            30 => Command::Leave,
            31 => Command::Join { via: vec![others[1].address] },
            it if it % 3 == 0 => {
                Command::Put { ticket, key, value, lifetime, refresh: it % 2 == 0 }
            }
            it if it % 3 == 1 => Command::Get { ticket, key },
            it => Command::Locate { ticket, key, trace: it % 2 == 0 },
        }));
    }
}

/// The number of a question or an answer: it stands behind the version, the key of the sender or of whom it is
/// for, if there is one, and the tag.
fn number_of(message: &[u8]) -> Option<Range<usize>> {
    let start = match message.get(1)? {
        0 => 3,
        _ => 3 + Key::BYTES,
    };
    (message.len() >= start + 8).then_some(start..start + 8)
}

struct Fuzzed<T: Machine> {
    node: Coded<T>,
    outputs_max: usize,
    rng: Rng,
    secrets: Rng,
    now: Time,
    /// The numbers of what it has sent, each to whom, the latest last.
    asked: Vec<(Address, [u8; 8])>,
}

impl<T: Machine<Message: Wire>> Fuzzed<T> {
    fn take(&mut self, input: Input<Bytes, T::Command>) {
        let mut outbox = Vec::new();
        let (rng, secrets) = (&mut self.rng, &mut self.secrets);
        self.node.handle(input, &mut Context::new(self.now, rng, secrets, &mut outbox));
        self.node.check();
        assert!(outbox.len() <= self.outputs_max, "{} outputs of one input", outbox.len());
        for output in outbox {
            if let Output::Message { to, message } = output
                && let Some(place) = number_of(&message)
            {
                self.asked.push((to, message[place].try_into().expect("eight bytes")));
            }
        }
        self.asked.drain(..self.asked.len().saturating_sub(ASKED_MAX));
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
