//! A ring of real nodes on loopback, of which a third dies at once.
//!
//! The test asks them as a peer would, with datagrams, who their neighbours are, and so knows when the
//! ring is whole. Their keys are fixed, so it is the same ring and the same deaths in every run.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use nigh_base::{Key, Rng, wire::Wire};
use nigh_overlay::locate::{
    Command, Contact, Event,
    chord::{
        Settings, Several,
        message::{Body, Message, Neighbours},
    },
    codec::Nonce,
};
use tokio::{net::UdpSocket, task::LocalSet, time::timeout};

use crate::support::{
    PATIENCE,
    driven::{
        Driven, EARLY, KILLED, LOOKUPS, NODES, TICKET, UPKEEP, VALUES, ask_all, kill, put_values,
    },
};

const SUCCESSORS: usize = 8;
const COPIES: u8 = 3;
/// An answer over loopback takes microseconds; so long after a question it is asked again.
const ANSWER_TIME: Duration = Duration::from_millis(500);

type Node = Driven<Several>;

fn start(number: usize) -> Node {
    let key = Key::of(format!("node {number}").as_bytes());
    let ring = Settings {
        successors: SUCCESSORS,
        copies: COPIES,
        stabilise_every: UPKEEP,
        ..Settings::default()
    };
    Node::start(|bound| Several::new(&[key], bound.into(), &Arc::new(ring)))
}

/// The nodes of `ring`, from the one that is responsible for `key` on.
fn holders(ring: &[Contact], key: Key) -> impl Iterator<Item = Contact> {
    let place = ring.partition_point(|it| it.key < key);
    ring.iter().cycle().skip(place).take(ring.len()).copied()
}

/// The ring that nodes should be: all of them, in the order of their keys.
fn ring_of(nodes: &[Node]) -> Vec<Contact> {
    let mut ring: Vec<Contact> = nodes.iter().map(|node| node.contact).collect();
    ring.sort_unstable();
    ring
}

/// A peer that asks nodes for their neighbours.
struct Witness {
    socket: UdpSocket,
    nonce: Nonce,
}

impl Witness {
    async fn new() -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), nonce: 0 }
    }

    /// The predecessor and the successors of `node`, as it tells everybody.
    async fn neighbours(&mut self, node: Contact) -> Neighbours {
        loop {
            self.nonce += 1;
            let body = Body::Neighbours { nonce: self.nonce };
            let question = Message { to: Some(node.key), body }.encode();
            let address = SocketAddr::from(node.address);
            self.socket.send_to(&question, address).await.unwrap();
            let Ok(answer) = timeout(ANSWER_TIME, self.answer()).await else { continue };
            return answer;
        }
    }

    async fn answer(&self) -> Neighbours {
        let mut datagram = [0; 2048];
        loop {
            let length = self.socket.recv(&mut datagram).await.unwrap();
            match Message::decode(&datagram[..length]).unwrap().body {
                Body::NeighboursAre { nonce, neighbours } if nonce == self.nonce => {
                    return *neighbours;
                }
                late => drop(late),
            }
        }
    }

    /// Waits until each node of `ring` knows its predecessor and its next successors, as many as
    /// `depth`.
    async fn until_whole(&mut self, ring: &[Contact], depth: usize) {
        let begun = Instant::now();
        for (at, &node) in ring.iter().enumerate() {
            let before = ring[(at + ring.len() - 1) % ring.len()];
            let behind: Vec<Contact> =
                ring.iter().cycle().skip(at + 1).take(depth).copied().collect();
            loop {
                let Neighbours { predecessor, successors } = self.neighbours(node).await;
                if predecessor == Some(before) && successors.starts_with(&behind) {
                    break;
                }
                let long = begun.elapsed() > PATIENCE;
                assert!(
                    !long,
                    "node {at}, {node:?}: {predecessor:?}, {successors:?}, not {behind:?}"
                );
                // Nothing tells when this changes: it is asked again in a moment.
                tokio::time::sleep(UPKEEP / 10).await;
            }
        }
    }
}

/// Of `keys`, how many are looked up and not found to be with the right one of `ring`.
async fn lost(nodes: &mut Vec<Node>, ring: &[Contact], keys: &[Key]) -> usize {
    let locate = |&key| Command::Locate { ticket: TICKET, key, trace: false };
    let answers = ask_all(nodes, keys.iter().map(locate).collect()).await;
    let right = |(&key, answer): (&Key, &Event)| match answer {
        Event::Located { holders: named, .. } => {
            named.first() == holders(ring, key).next().as_ref()
        }
        Event::Failed { .. } => false,
        other => panic!("{other:?}"),
    };
    keys.len() - keys.iter().zip(&answers).filter(|it| right(*it)).count()
}

/// All the nodes, each joined through another, once they are a ring.
async fn joined(witness: &mut Witness) -> Vec<Node> {
    let mut rng = Rng::new(1);
    let mut nodes: Vec<Node> = (0..NODES).map(start).collect();
    nodes[0].join(None).await;
    for number in 1..NODES {
        let via = nodes[rng.index(number)].contact;
        nodes[number].join(Some(via)).await;
        // A ring of which most have just come takes as many rounds as it has nodes; one that doubles
        // takes few.
        if (number + 1).is_power_of_two() {
            witness.until_whole(&ring_of(&nodes[..=number]), 1).await;
        }
    }
    witness.until_whole(&ring_of(&nodes), SUCCESSORS).await;
    nodes
}

#[test]
fn a_third_of_64_nodes_dies_at_once_and_no_lookup_is_lost() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut witness = Witness::new().await;
        let begun = Instant::now();
        let mut nodes = joined(&mut witness).await;
        println!("{NODES} nodes join, and the ring is whole after {:.2?}", begun.elapsed());
        let ring = ring_of(&nodes);
        let values = put_values(&mut nodes, &[COPIES]).await;

        let mut rng = Rng::new(1);
        kill(&mut nodes, &mut rng);
        let killed = Instant::now();
        let left = ring_of(&nodes);
        let keys: Vec<Key> = (0..LOOKUPS).map(|number| Key::of(&number.to_be_bytes())).collect();
        println!("{KILLED} of them die at once");
        let asking = async {
            let missed = lost(&mut nodes, &left, &keys[..EARLY]).await;
            println!(
                "of {EARLY} lookups meanwhile {missed} find the wrong node or none, the last \
                 after {:.2?}",
                killed.elapsed()
            );
        };
        let mending = async {
            witness.until_whole(&left, 1).await;
            println!("successors and predecessors are right after {:.2?}", killed.elapsed());
            witness.until_whole(&left, SUCCESSORS).await;
            println!("lists of {SUCCESSORS} are right after {:.2?}", killed.elapsed());
        };
        tokio::join!(asking, mending);
        assert_eq!(lost(&mut nodes, &left, &keys).await, 0, "of {LOOKUPS} lookups after repair");
        println!("of {LOOKUPS} lookups then none is lost, the last after {:.2?}", killed.elapsed());

        let get = |&key| Command::Get { ticket: TICKET, key };
        let got = ask_all(&mut nodes, values.keys().map(get).collect()).await;
        let mut gone = 0;
        for ((&key, value), got) in values.iter().zip(got) {
            let is_held = holders(&ring, key).take(COPIES.into()).any(|it| left.contains(&it));
            let value = is_held.then(|| value.clone());
            assert_eq!(got, Event::Value { ticket: TICKET, value }, "{key}");
            gone += usize::from(!is_held);
        }
        println!(
            "of {VALUES} values {gone} are gone with all {COPIES} that held them, the rest had after \
             {:.2?}",
            killed.elapsed()
        );
    });
}
