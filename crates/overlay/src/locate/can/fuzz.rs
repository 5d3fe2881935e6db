//! A node of CAN and whatever bytes strangers send it: it keeps its invariants and its limits.

use std::sync::Arc;

use nigh_base::{Address, Key, Time};

use super::{Settings, settled::Settled};
use crate::locate::{Contact, fuzz};

/// Datagrams that one input may cause: a wake may find as much due as there are questions.
const OUTPUTS_MAX: usize = 1000;

/// Feeds a node with pieces of `bytes`, each as long as its first byte says: from one whom it knows, with time
/// passing in between and lookups of its own under way.
///
/// # Panics
/// If the node breaks an invariant, or answers one input with more than it may.
pub fn node(bytes: &[u8]) {
    let contact = |number: u8| Contact {
        key: Key::of(&[number]),
        address: Address::v4([10, 0, 0, number], 4000),
    };
    let contacts: Vec<Contact> = (0..24).map(contact).collect();
    let settings = Settings { realities: 2, ..Settings::default() };
    let all = Settled::new(Arc::new(settings), &contacts);
    let node = all.node(contacts[0], Time::from_secs(1));
    fuzz::node(node, &contacts, OUTPUTS_MAX, bytes);
}

#[cfg(test)]
mod tests {
    use nigh_base::wire::Wire as _;

    use super::{super::message::tests::all, *};

    #[test]
    fn a_node_survives_whatever_it_is_sent() {
        fuzz::with_examples(all().iter().map(|it| it.encode()), node);
    }
}
