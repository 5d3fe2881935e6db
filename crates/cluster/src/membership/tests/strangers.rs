//! Whatever bytes come: a node keeps its invariants and its limits.

use nigh_base::{
    Machine, Time,
    machine::{Context, Input},
};

use super::{
    super::{
        MEMBERS_MAX,
        fuzz::{edges, feed},
    },
    *,
};

/// What members of a small cluster say to the first of them in a time of troubles.
fn conversation() -> Vec<Vec<u8>> {
    use nigh_base::wire::Wire;

    /// A node that remembers what it was told.
    struct Tap(Node, Vec<Vec<u8>>);
    impl Machine for Tap {
        type Message = super::super::Message;
        type Command = Command;
        type Event = Event;
        fn handle(&mut self, input: Input<Self::Message, Command>, cx: &mut Context<'_, Self>) {
            if let Input::Message { message, .. } = &input {
                self.1.push(message.encode());
            }
            let mut outbox = Vec::new();
            self.0.handle(input, &mut cx.part(&mut outbox));
            outbox.into_iter().for_each(|output| cx.emit(output));
        }
        fn wake_at(&self) -> Option<Time> {
            self.0.wake_at()
        }
        fn digest(&self, digest: &mut nigh_base::Digest) {
            self.0.digest(digest);
        }
    }
    let mut network = network();
    network.loss = 0.2;
    let mut world = World::new(31, network);
    for contact in edges() {
        let node = Node::new(contact, BORN, Settings::default());
        let host = world.add(Tap(node, Vec::new()));
        let via = edges();
        world.command(host, Command::Join { via });
    }
    world.run_until(Time::from_secs(5));
    world.crash(HostId(7));
    world.command(HostId(8), Command::Leave);
    world.run_until(Time::from_secs(20));
    let hosts = world.hosts().filter_map(|host| world.machine(host));
    hosts.flat_map(|tap| tap.1.iter().take(200).cloned()).collect()
}

#[test]
fn a_node_survives_whatever_it_is_sent() {
    let said = conversation();
    let tags: BTreeSet<u8> = said.iter().map(|it| it[1]).collect();
    assert_eq!(tags, BTreeSet::from([1, 2, 3]), "all kinds of messages");
    let mut rng = Rng::new(1);
    let mut taken = 0;
    for _ in 0..400 {
        let datagrams: Vec<Vec<u8>> = (0..60)
            .map(|_| {
                let mut bytes = said[rng.index(said.len())].clone();
                for _ in 0..rng.below(4) {
                    let at = rng.index(bytes.len());
                    match rng.below(4) {
                        0 => bytes[at] ^= 1 << rng.below(8),
                        1 => bytes.truncate(at + 1),
                        2 => bytes[at] = u8::try_from(rng.below(256)).unwrap(),
                        _ => bytes.insert(at, u8::try_from(rng.below(256)).unwrap()),
                    }
                }
                bytes
            })
            .collect();
        let node = feed(&datagrams);
        taken += 60 - node.refused() - node.machine().counters().refused;
    }
    assert!(taken > 1000, "{taken}: most were refused at the door, which tests the door alone");
}

#[test]
fn names_that_are_made_up_fill_no_memory() {
    use super::super::{
        identity::Identity,
        message::{Body, Message},
    };
    use nigh_base::wire::Wire;

    let all = edges();
    let (to, from) = (Identity::new(all[0].clone(), BORN), Identity::new(all[1].clone(), BORN));
    let packet = |first: u32| {
        let mut out = from.encode();
        out.extend_from_slice(&[0, 0]);
        to.write(&mut out);
        out.push(9);
        out.extend_from_slice(&20u16.to_be_bytes());
        for number in first..first + 20 {
            let name = Name::new(&format!("nobody-{number}")).unwrap();
            Identity::new(Contact { name, ..all[2].clone() }, 1).write(&mut out);
            out.extend_from_slice(&[0, 0, 0]);
        }
        Message(Body::Swim(out.into())).encode()
    };
    let datagrams: Vec<Vec<u8>> = (0..500).map(|it| packet(it * 20)).collect();
    let node = feed(&datagrams);
    let known = node.machine().members().len();
    assert!((MEMBERS_MAX..MEMBERS_MAX + 20).contains(&known), "{known}");
    assert!(node.machine().counters().refused > 200);
}

#[test]
fn an_address_of_nobody_makes_a_packet_void() {
    use super::super::identity::Identity;
    use nigh_base::{Address, wire::Wire};

    let contact = Contact { name: name(HostId(1)), address: Address::v4([224, 0, 0, 1], 4000) };
    let written = Identity::new(contact, 1).encode();
    assert!(Identity::decode(&written).is_err());
}
