//! Answers that pass every link uncut: as long as they may be, and no longer.

use nigh_base::{Key, wire::Wire as _};

use super::krpc::{
    Body, Message, Response,
    write::{ADDRESS_V4, ADDRESS_V6, CONTACT_V4, CONTACT_V6},
};

/// The longest answer (BEP 32, for IPv6; of IPv4 no more is asked).
pub(super) const ANSWER_MAX: usize = 1024;
/// The longest one with an item or a value, which cannot be cut: what Ethernet carries over IPv6 in one
/// piece, 1,500 bytes without the headers of IPv6 and UDP.
pub(super) const HOLDING_MAX: usize = 1500 - 40 - 8;

/// Leaves things out of an answer until it is no longer than it may be: of its peers, samples and nodes of
/// either family what takes the most bytes has one less each time, the last.
pub(super) fn fit(message: &mut Message) {
    let Body::Response(response) = &message.body else { return };
    // Nodes of one family alone are always short enough.
    let is_holding = response.item.is_some() || response.value.is_some();
    let has_more = response.peers.is_some()
        || response.samples.is_some()
        || response.filters.is_some()
        || response.nodes.is_some() && response.nodes6.is_some();
    if !is_holding && !has_more {
        return;
    }
    let most = if is_holding { HOLDING_MAX } else { ANSWER_MAX };
    let mut length = message.encode().len();
    let Body::Response(response) = &mut message.body else { return };
    while length > most {
        let cut = cut(response);
        if cut == 0 {
            return;
        }
        length -= cut;
    }
}

/// Leaves one thing out; how many bytes shorter the answer is at least.
fn cut(response: &mut Response) -> usize {
    let of_peers = |response: &Response| -> usize {
        response.peers.iter().flatten().map(|it| peer(it.as_v4().is_some())).sum()
    };
    let count = |nodes: &Option<Vec<_>>| nodes.as_ref().map_or(0, Vec::len);
    let samples = response.samples.as_ref().map_or(0, |it| it.some.len());
    let lists = [
        of_peers(response),
        samples * Key::BYTES,
        count(&response.nodes) * CONTACT_V4,
        count(&response.nodes6) * CONTACT_V6,
    ];
    let most = lists.into_iter().max().filter(|it| *it > 0);
    let longest = most.and_then(|most| lists.iter().position(|it| *it == most));
    match longest {
        Some(0) => {
            let cut = response.peers.as_mut().and_then(Vec::pop);
            cut.map_or(0, |it| peer(it.as_v4().is_some()))
        }
        Some(1) => {
            let cut = response.samples.as_mut().and_then(|it| it.some.pop());
            cut.map_or(0, |_| Key::BYTES)
        }
        Some(2) => response.nodes.as_mut().and_then(Vec::pop).map_or(0, |_| CONTACT_V4),
        Some(_) => response.nodes6.as_mut().and_then(Vec::pop).map_or(0, |_| CONTACT_V6),
        None => 0,
    }
}

/// Bytes of a peer, which is a string by itself.
const fn peer(is_v4: bool) -> usize {
    if is_v4 { 2 + ADDRESS_V4 } else { 3 + ADDRESS_V6 }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nigh_base::Address;

    use super::*;
    use crate::locate::{
        Contact, VALUE_MAX,
        kademlia::krpc::{
            FILTER_BYTES, Filters, ITEM_MAX, Item, NODES_SENT, PEERS_SENT, SAMPLES_MAX, Samples,
            TRANSACTION_MAX,
        },
    };

    const FOUR: Address = Address::v4([198, 51, 100, 1], 6881);
    const SIX: Address = Address::v6([0x20; 16], 6881);

    /// An answer to a node at that address, with nodes of both families and the longest name that a question
    /// may have.
    fn answer(to: Address, change: impl FnOnce(&mut Response)) -> Message {
        let contact = |address| Contact { key: Key::MAX, address };
        let mut response = Response {
            seen_at: Some(to),
            nodes: Some(vec![contact(FOUR); NODES_SENT]),
            nodes6: Some(vec![contact(SIX); NODES_SENT]),
            token: Some([0xff; 8][..].into()),
            ..Response::of(Key::MAX)
        };
        change(&mut response);
        let transaction = [0xff; TRANSACTION_MAX][..].into();
        let body = Body::Response(Box::new(response));
        Message { transaction, version: Some(*b"Ng01"), body }
    }

    fn fitted(mut message: Message) -> (usize, Response) {
        fit(&mut message);
        let length = message.encode().len();
        match message.body {
            Body::Response(response) => (length, *response),
            other => panic!("{other:?}"),
        }
    }

    fn filters() -> Option<Box<Filters>> {
        Some(Box::new(Filters { seeds: [1; FILTER_BYTES], peers: [2; FILTER_BYTES] }))
    }

    #[test]
    fn every_answer_is_as_long_as_bep_32_allows_and_uses_that() {
        let samples = |it: &mut Response| {
            let some = vec![Key::MAX; SAMPLES_MAX];
            it.samples = Some(Samples { interval: u32::MAX, count: u32::MAX, some });
        };
        let six = |it: &mut Response| it.peers = Some(vec![SIX; PEERS_SENT]);
        let scrape = |it: &mut Response| {
            it.peers = Some(vec![SIX; PEERS_SENT]);
            it.filters = filters();
        };
        for message in [answer(SIX, samples), answer(SIX, six), answer(SIX, scrape)] {
            assert!(message.encode().len() > ANSWER_MAX);
            let (length, response) = fitted(message);
            assert!((ANSWER_MAX - 50..=ANSWER_MAX).contains(&length), "{length}");
            let left = response.peers.as_ref().map(Vec::len);
            let left = left.or_else(|| response.samples.as_ref().map(|it| it.some.len()));
            assert!(left.is_some_and(|it| it >= 5), "{response:?}");
            assert!(response.nodes6.is_some_and(|it| it.len() >= 3));
        }
        // What fits is left as it is.
        let message = answer(FOUR, |it| it.peers = Some(vec![FOUR; 4]));
        assert_eq!(fitted(message.clone()).0, message.encode().len());
    }

    #[test]
    fn what_is_held_is_not_cut_and_passes_a_link_with_the_nodes_for_which_there_is_room() {
        let signed = Item::sign(&[7; 32], b"", i64::MAX, Bytes::from(vec![b'1'; ITEM_MAX]));
        for message in [
            answer(SIX, |it| it.item = Some(signed)),
            answer(SIX, |it| it.value = Some(Bytes::from(vec![1; VALUE_MAX]))),
        ] {
            let (length, response) = fitted(message);
            assert!((HOLDING_MAX - 50..=HOLDING_MAX).contains(&length), "{length}");
            assert!(response.nodes.is_some_and(|it| it.len() >= 2));
            assert!(response.nodes6.is_some_and(|it| it.len() >= 2));
        }
    }
}
