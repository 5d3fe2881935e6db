//! What nodes of the mainline DHT say to each other: KRPC, one bencoded dictionary a datagram.
//!
//! ```text
//! BEP 5    ping, find_node, get_peers, announce_peer; tokens, errors
//! BEP 32   IPv6: `nodes6`, `want`
//! BEP 33   scrapes: `noseed`, `scrape`, `seed`, and the filters in `BFsd` and `BFpe`
//! BEP 42   `ip`: where the asker is seen
//! BEP 43   `ro`: who only asks
//! BEP 44   get and put of items that cannot be changed, or are signed
//! BEP 51   sample_infohashes
//! ```
//! Beside them `nigh_fetch` and `nigh_store` hold a value under any key, as the Kademlia paper's
//! FIND_VALUE and STORE do and BEP 44 does not; nodes that are not nigh's answer that they do not know
//! them.

mod read;
#[cfg(test)]
mod tests;
pub(super) mod write;

use bytes::Bytes;
use nigh_base::{
    Address, Key,
    wire::{Reader, Wire, WireError},
};
use smallvec::SmallVec;

use crate::locate::Contact;

/// The longest datagram that is read: more than the longest that anybody sends. Of ours answers have 1,024
/// bytes at most (BEP 32), and 1,452 with an item or a value.
pub const MESSAGE_MAX: usize = 2048;
/// Bytes of a transaction's name. BEP 5 has two; other programs take up to this many.
pub const TRANSACTION_MAX: usize = 20;
/// Bytes of a token.
pub const TOKEN_MAX: usize = 64;
/// Bytes of an item's value, bencoded (BEP 44).
pub const ITEM_MAX: usize = 1000;
/// Bytes of an item's salt (BEP 44).
pub const SALT_MAX: usize = 64;
/// Nodes of one family in an answer, as they are read. BEP 5 has eight; some send twice that.
pub const NODES_MAX: usize = 16;
/// Nodes of one family in an answer of ours.
pub const NODES_SENT: usize = 8;
/// Peers in an answer, as they are read.
pub const PEERS_MAX: usize = 100;
/// Peers in an answer of ours; fewer if they do not fit.
pub const PEERS_SENT: usize = 36;
/// Samples in an answer (BEP 51), as they are read and sent; fewer if they do not fit.
pub const SAMPLES_MAX: usize = 40;
/// Bytes of an error's text that are read.
pub const TEXT_MAX: usize = 128;
/// Bytes of a filter (BEP 33).
pub const FILTER_BYTES: usize = 256;

/// The asker's name for a question, given back with the answer.
pub type Transaction = SmallVec<[u8; 8]>;
/// What proves that whoever stores something is reached where it says: drawn by the node that gave it.
pub type Token = SmallVec<[u8; 16]>;

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `t`
    pub transaction: Transaction,
    /// `v`: the program, two letters, and its version.
    pub version: Option<[u8; 4]>,
    /// `y`, and what goes with it.
    pub body: Body,
}

/// What a datagram is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `q`
    Query(Query),
    /// `r`
    Response(Box<Response>),
    /// `e`
    Error(Error),
    /// A question that cannot be read: it is answered with this error. What is no question and cannot be
    /// read is no message.
    Mistaken(Error),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who asks.
    pub id: Key,
    /// `ro` (BEP 43): the asker answers no questions, so nobody shall remember it.
    pub read_only: bool,
    /// `want` (BEP 32), if it is there: nodes of which families.
    pub want: Option<Want>,
    /// What is asked.
    pub method: Method,
}

/// Families of addresses (BEP 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Want {
    /// `n4`
    pub v4: bool,
    /// `n6`
    pub v6: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Whether somebody is there.
    Ping,
    /// The nodes nearest to `target`.
    FindNode {
        /// To what.
        target: Key,
    },
    /// The peers of a swarm, and the nodes nearest to its name.
    GetPeers {
        /// The swarm.
        info_hash: Key,
        /// `noseed` (BEP 33): peers that have all of it are of no use.
        without_seeds: bool,
        /// `scrape` (BEP 33): how many there are is of interest, not who.
        scrape: bool,
    },
    /// The asker is a peer of a swarm.
    AnnouncePeer {
        /// The swarm.
        info_hash: Key,
        /// Where it listens; none if that is where the question comes from (`implied_port`).
        port: Option<u16>,
        /// `seed` (BEP 33): it has all of it.
        seed: bool,
        /// From the answer to [`GetPeers`](Self::GetPeers).
        token: Token,
    },
    /// The item of that name (BEP 44).
    Get {
        /// Its name.
        target: Key,
        /// Only one with a higher number is of interest.
        newer_than: Option<i64>,
    },
    /// Hold an item (BEP 44).
    Put {
        /// Which; boxed, since it is long.
        item: Box<Item>,
        /// The number that the held one must have.
        cas: Option<i64>,
        /// From the answer to [`Get`](Self::Get).
        token: Token,
    },
    /// Some of the swarms whose peers the node knows (BEP 51), and the nodes nearest to `target`.
    SampleInfohashes {
        /// To what.
        target: Key,
    },
    /// The value that is held under a key, or the nodes nearest to it; ours.
    Fetch {
        /// The key.
        target: Key,
    },
    /// Hold a value under a key; ours.
    Store {
        /// The key.
        target: Key,
        /// At most [`VALUE_MAX`](crate::locate::VALUE_MAX) bytes.
        value: Bytes,
        /// `seq`: of the values of a key, the one with the highest number counts.
        number: i64,
        /// Seconds, of which there is one at least.
        lifetime: u32,
        /// From the answer to [`Fetch`](Self::Fetch).
        token: Token,
    },
    /// Something else. If it is about a key (`target` or `info_hash`), the nodes nearest to it are the
    /// answer, so that what is to come works through nodes of today.
    Other {
        /// About which.
        target: Option<Key>,
    },
}

/// An item (BEP 44), as its name does not yet say whether it is right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// `v`: one bencoded value, at most [`ITEM_MAX`] bytes, as it came.
    pub value: Bytes,
    /// Who has signed it; none if its name is that of the value.
    pub signed: Option<Signed>,
}

/// What goes with an item that can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signed {
    /// `k`: the public key (Ed25519).
    pub key: [u8; 32],
    /// `seq`
    pub number: i64,
    /// `salt`: one of many items of a key; at most [`SALT_MAX`] bytes. Answers do not have it: the name
    /// says it to who asks.
    pub salt: SmallVec<[u8; 16]>,
    /// `sig`
    pub signature: [u8; 64],
}

/// An answer. What it has depends on the question, which the asker knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Who answers.
    pub id: Key,
    /// `ip` (BEP 42): where the asker is seen.
    pub seen_at: Option<Address>,
    /// `nodes`, if there is such a field: at most [`NODES_MAX`], over IPv4.
    pub nodes: Option<Vec<Contact>>,
    /// `nodes6`, over IPv6.
    pub nodes6: Option<Vec<Contact>>,
    /// `token`
    pub token: Option<Token>,
    /// `values`: peers, at most [`PEERS_MAX`].
    pub peers: Option<Vec<Address>>,
    /// `BFsd` and `BFpe` (BEP 33): filters of the seeds and of the other peers.
    pub filters: Option<Box<Filters>>,
    /// `v`, `k`, `seq`, `sig`
    pub item: Option<Item>,
    /// `seq` alone: the item's number, where its value is not newer than what the asker has; or that of
    /// the value that is held under the key.
    pub number: Option<i64>,
    /// `samples` and what goes with them (BEP 51).
    pub samples: Option<Samples>,
    /// `value`: what is held under the key; ours.
    pub value: Option<Bytes>,
}

/// Sets of addresses in which one can ask, and count roughly (BEP 33).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filters {
    /// Those who have all.
    pub seeds: [u8; FILTER_BYTES],
    /// Those who have not.
    pub peers: [u8; FILTER_BYTES],
}

/// Some names of swarms (BEP 51).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Seconds until there are others.
    pub interval: u32,
    /// How many there are.
    pub count: u32,
    /// Some of them, at most [`SAMPLES_MAX`].
    pub some: Vec<Key>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which kind.
    pub code: i64,
    /// For people; at most [`TEXT_MAX`] bytes.
    pub text: SmallVec<[u8; 32]>,
    /// `ip` (BEP 42): where the asker is seen.
    pub seen_at: Option<Address>,
}

/// Kinds of errors (BEP 5, BEP 44).
pub mod code {
    /// Anything else.
    pub const GENERIC: i64 = 201;
    /// The node's own fault.
    pub const SERVER: i64 = 202;
    /// What came is no question, or has a wrong token.
    pub const PROTOCOL: i64 = 203;
    /// There is no such question.
    pub const METHOD_UNKNOWN: i64 = 204;
    /// The value is too long.
    pub const VALUE_TOO_LONG: i64 = 205;
    /// The signature is not that of key, salt, number and value.
    pub const SIGNATURE_WRONG: i64 = 206;
    /// The salt is too long.
    pub const SALT_TOO_LONG: i64 = 207;
    /// The held one has another number than `cas`.
    pub const CAS_MISMATCH: i64 = 301;
    /// The held one has a higher number.
    pub const NUMBER_TOO_LOW: i64 = 302;
}

/// Reading is lenient, so that a message has many forms; it is written in one of them, with keys in
/// order. What was read, and is written, reads as the same, but for [`Body::Mistaken`]: it is written
/// as the error that answers it.
impl Wire for Message {
    /// What is within the limits by which a node sends ([`NODES_SENT`], [`PEERS_SENT`]) keeps this one,
    /// before it is made to fit.
    const MAX: usize = MESSAGE_MAX;

    fn write(&self, out: &mut Vec<u8>) {
        write::message(self, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        read::message(reader)
    }
}

/// What must hold for any bytes: what reads is written as something that reads as the same and is
/// written so again.
///
/// # Panics
/// If it does not.
pub fn fuzz(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    let written = message.encode();
    assert!(written.len() <= Message::MAX, "reading makes no message longer than it may be");
    let again = Message::decode(&written).expect("what is written can be read");
    assert_eq!(again.encode(), written, "what we write has one form");
    let body = match message.body {
        Body::Mistaken(error) => Body::Error(error),
        body => body,
    };
    assert_eq!(again, Message { body, ..message }, "what is written says the same");
}
