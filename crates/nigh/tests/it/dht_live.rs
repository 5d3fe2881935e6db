//! A DHT of real nodes on loopback, of which a third dies at once.
//!
//! Their keys are fixed, so it is the same DHT and the same deaths in every run.

use std::{sync::Arc, time::Instant};

use nigh_base::{Key, Rng};
use nigh_overlay::locate::{
    Command, Contact, Event,
    kademlia::{Node as Kademlia, Settings},
};
use tokio::task::LocalSet;

use crate::support::{
    PATIENCE,
    driven::{
        Driven, EARLY, KILLED, LOOKUPS, NODES, TICKET, UPKEEP, VALUES, ask_all, keys, kill,
        put_values,
    },
};

const BUCKET: usize = 8;
/// A value is held by those of a bucket, and by the one that puts it if that is one of the nearest.
const COPIES: [u8; 2] = [8, 9];

type Node = Driven<Kademlia>;

fn start(number: usize) -> Node {
    let key = Key::of(format!("node {number}").as_bytes());
    let settings = Settings {
        bucket: BUCKET,
        // All of them have one address.
        questions_a_second: None,
        upkeep_every: UPKEEP,
        ..Settings::default()
    };
    Node::start(|bound| Kademlia::new(key, bound.into(), Arc::new(settings)))
}

/// The nodes that are there, the nearest to `key` first.
fn nearest(nodes: &[Contact], key: Key) -> Vec<Contact> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable_by_key(|it| it.key.xor(key));
    nodes
}

fn contacts(nodes: &[Node]) -> Vec<Contact> {
    nodes.iter().map(|it| it.contact).collect()
}

/// Of lookups of `keys`, each of which ends: how many do not name the nearest node first, and how many not
/// all of the nearest ones.
async fn lost(nodes: &mut Vec<Node>, keys: &[Key]) -> (usize, usize) {
    let there = contacts(nodes);
    let locate = |&key| Command::Locate { ticket: TICKET, key, trace: false };
    let (mut first, mut whole) = (0, 0);
    for (&key, answer) in keys.iter().zip(ask_all(nodes, keys.iter().map(locate).collect()).await) {
        let Event::Located { holders, .. } = answer else { panic!("{answer:?}") };
        let right = nearest(&there, key);
        first += usize::from(holders.first() != right.first());
        whole += usize::from(holders.get(..BUCKET) != Some(&right[..BUCKET]));
    }
    (first, whole)
}

/// Asks for other keys until the nearest are found, and nearly always those behind them, which are as far as the
/// nearest know: nothing else tells when tables are right.
async fn until_whole(nodes: &mut Vec<Node>) {
    let begun = Instant::now();
    for seed in 100.. {
        let (first, whole) = lost(nodes, &keys(seed, NODES)).await;
        if first == 0 && whole <= NODES / 8 {
            return;
        }
        let long = begun.elapsed() > PATIENCE;
        assert!(!long, "of {NODES} lookups {first} miss the nearest node, {whole} one of {BUCKET}");
    }
}

/// All the nodes, each joined through another, once they find each other.
async fn joined() -> Vec<Node> {
    let mut rng = Rng::new(1);
    let mut nodes: Vec<Node> = (0..NODES).map(start).collect();
    nodes[0].join(None).await;
    for number in 1..NODES {
        let via = nodes[rng.index(number)].contact;
        nodes[number].join(Some(via)).await;
    }
    until_whole(&mut nodes).await;
    nodes
}

#[test]
fn a_third_of_64_nodes_dies_at_once_and_lookups_find_what_is_left() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let begun = Instant::now();
        let mut nodes = joined().await;
        println!("{NODES} nodes join and find each other after {:.2?}", begun.elapsed());
        let all = contacts(&nodes);
        let values = put_values(&mut nodes, &COPIES).await;

        let mut rng = Rng::new(1);
        kill(&mut nodes, &mut rng);
        let killed = Instant::now();
        println!("{KILLED} of them die at once");
        let (first, whole) = lost(&mut nodes, &keys(2, EARLY)).await;
        println!(
            "of {EARLY} lookups at once {first} miss the nearest node, {whole} one of the {BUCKET} \
             nearest; the last ends after {:.2?}",
            killed.elapsed()
        );
        assert!(first <= 1, "of {EARLY} lookups {first} miss the nearest node");
        let (first, whole) = lost(&mut nodes, &keys(3, LOOKUPS)).await;
        println!(
            "of {LOOKUPS} lookups then {first} miss the nearest node, {whole} one of the {BUCKET} \
             nearest; the last ends after {:.2?}",
            killed.elapsed()
        );
        assert_eq!(first, 0, "of {LOOKUPS} lookups so many miss the nearest node");

        let left = contacts(&nodes);
        let get = |&key| Command::Get { ticket: TICKET, key };
        let got = ask_all(&mut nodes, values.keys().map(get).collect()).await;
        let mut gone = 0;
        for ((&key, value), got) in values.iter().zip(got) {
            let is_held = nearest(&all, key)[..BUCKET].iter().any(|it| left.contains(it));
            let value = Some(value.clone());
            if is_held {
                assert_eq!(got, Event::Value { ticket: TICKET, value }, "{key}");
            }
            gone += usize::from(!is_held);
        }
        println!(
            "of {VALUES} values {gone} are gone with all that held them, the rest had after {:.2?}",
            killed.elapsed()
        );
        assert!(gone < VALUES / 10, "{gone} of {VALUES} values had no holder that lives");
    });
}
