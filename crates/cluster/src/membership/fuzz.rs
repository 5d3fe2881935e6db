//! A member and whatever bytes it is sent: it keeps its invariants and its limits.
//!
//! Plain functions, so that a fuzzer, or the seeded tests, can drive them.

use std::time::Duration;

use nigh_base::{
    Address, Machine, Rng, Time,
    machine::{Coded, Context, Input, Output},
};

use super::{Command, Contact, Name, Node, Settings};

/// The life of every member at the start.
pub(super) const BORN: u64 = 1_000_000;
/// Datagrams that one input may cause: a word to a few, questions to others, answers.
const OUTPUTS_MAX: usize = 40;

/// The edges of a small cluster.
pub(super) fn edges() -> Vec<Contact> {
    let edge = |number: u8| Contact {
        name: Name::new(&format!("edge-{number:03}")).expect("letters, a hyphen and digits"),
        address: Address::v4([10, 0, 0, number], 4000),
    };
    (0..12).map(edge).collect()
}

/// Feeds a member with pieces of `bytes`, each as long as its first two bytes say.
///
/// # Panics
/// If the member breaks an invariant, or answers one input with more than it may.
pub fn node(bytes: &[u8]) {
    let (mut datagrams, mut rest) = (Vec::new(), bytes);
    while let [low, high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (piece, after) = after.split_at(after.len().min(length));
        datagrams.push(piece.to_vec());
        rest = after;
    }
    feed(&datagrams);
}

/// Feeds the first of the edges with `datagrams` from all of them, with time passing in between.
pub(super) fn feed(datagrams: &[Vec<u8>]) -> Coded<Node> {
    let all = edges();
    let mut node = Coded::new(Node::settled(all[0].clone(), BORN, &all, Settings::default()));
    let (mut rng, mut secrets, mut outbox) = (Rng::new(1), Rng::new(2), Vec::new());
    let mut now = Time::START;
    let join = Input::Command(Command::Join { via: Vec::new() });
    let inputs = datagrams.iter().zip(all.iter().cycle()).flat_map(|(datagram, edge)| {
        [Input::Message { from: edge.address, message: datagram.clone().into() }, Input::Wake]
    });
    for input in std::iter::once(join).chain(inputs) {
        now = now.after(Duration::from_millis(37));
        let is_wake = input == Input::Wake;
        node.handle(input, &mut Context::new(now, &mut rng, &mut secrets, &mut outbox));
        node.check();
        assert!(!is_wake || node.wake_at().is_none_or(|at| at > now), "a wake makes progress");
        let sent = outbox.iter().filter(|it| matches!(it, Output::Message { .. })).count();
        assert!(sent <= OUTPUTS_MAX, "{sent} datagrams of one input");
        outbox.clear();
    }
    node
}
