//! A node that is honest until it is told to lie: then it names, whatever it is asked, nodes under ids next to
//! what is looked for.

use std::sync::Arc;

use nigh_base::{
    Address, Digest, Key, Machine, Time,
    machine::{Context, Input, Outbox},
};
use nigh_overlay::locate::{
    Contact,
    kademlia::{
        Command, Event, Node,
        krpc::{Body, Message, Method, NODES_SENT, Query, Response},
    },
};

/// A node of the experiment.
#[derive(Debug)]
pub(super) struct Player {
    node: Node,
    /// How it lies, once it does.
    gang: Option<Arc<Gang>>,
    outbox: Outbox<Node>,
}

/// What a node is told.
#[derive(Debug)]
pub(super) enum Order {
    /// What it does as an honest one.
    Honest(Command),
    /// It lies from now on, as one of these.
    Lie(Arc<Gang>),
}

/// Whom liars name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Each other, and each answers to the id that was made up for it.
    EachOther,
    /// Honest nodes, under ids that are not theirs.
    Honest,
    /// Nobody: there is no node at the address.
    Nobody,
}

/// Nodes that lie together.
#[derive(Debug)]
pub(super) struct Gang {
    pub(super) lie: Lie,
    /// The nodes whose addresses they name; of nobody, the first serve to make some up.
    pub(super) named: Vec<Contact>,
}

impl Player {
    pub(super) const fn honest(node: Node) -> Self {
        Self { node, gang: None, outbox: Vec::new() }
    }

    /// A liar's answer.
    fn lie(me: Contact, gang: &Gang, method: &Method) -> Response {
        let target = match method {
            Method::FindNode { target }
            | Method::Get { target, .. }
            | Method::Fetch { target }
            | Method::SampleInfohashes { target } => *target,
            Method::GetPeers { info_hash, .. } => *info_hash,
            _ => return Response::of(me.key),
        };
        // Others for each key.
        let Gang { lie, named } = gang;
        let first = target.top() % named.len() as u64;
        let first = usize::try_from(first).expect("less than a length");
        let made_up = |number: usize| {
            let Contact { address, .. } = named[(first + number) % named.len()];
            let address = if *lie == Lie::Nobody { empty(me.address, address) } else { address };
            Contact { key: beside(target, address), address }
        };
        let nodes: Vec<Contact> = (0..NODES_SENT.min(named.len())).map(made_up).collect();
        // Who is named by the others under an id that is made up answers to that one.
        let named = nodes.iter().find(|it| it.address == me.address);
        let id = named.map_or(me.key, |it| it.key);
        Response { nodes: Some(nodes), ..Response::of(id) }
    }
}

/// An id that nobody has, and that is nearer to `target` than any honest one.
fn beside(target: Key, address: Address) -> Key {
    let low = Key::of(address.to_string().as_bytes()).low(100);
    target.minus(target.low(100)).plus(low)
}

/// An address at which no node is, another for each liar and each of those whose place it takes.
fn empty(liar: Address, instead_of: Address) -> Address {
    let name = format!("{liar} {instead_of}");
    let [a, b, c, ..] = Key::of(name.as_bytes()).bytes();
    // Hosts of the simulator are in 10.0.0.0/8; this is 172.16.0.0/12.
    Address::v4([172, 16 + a % 16, b, c], instead_of.port())
}

impl Machine for Player {
    type Message = Message;
    type Command = Order;
    type Event = Event;

    fn handle(&mut self, input: Input<Message, Order>, cx: &mut Context<'_, Self>) {
        let input = match input {
            Input::Command(Order::Lie(gang)) => {
                self.gang = Some(gang);
                return;
            }
            Input::Command(Order::Honest(command)) => Input::Command(command),
            Input::Message { from, message } => {
                if let (Some(gang), Body::Query(Query { method, .. })) = (&self.gang, &message.body)
                {
                    let response = Self::lie(self.node.contact(), gang, method);
                    let body = Body::Response(Box::new(response));
                    let transaction = message.transaction;
                    return cx.send(from, Message { transaction, version: None, body });
                }
                Input::Message { from, message }
            }
            Input::Wake => Input::Wake,
            // Nodes have neither links nor a disk.
            _ => return,
        };
        self.node.handle(input, &mut cx.part(&mut self.outbox));
        for output in self.outbox.drain(..) {
            cx.emit(output);
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.node.wake_at()
    }

    fn digest(&self, digest: &mut Digest) {
        self.node.digest(digest);
    }
}
