//! A node that is honest until it is told to lie: then it names, whatever it is asked, others of its kind
//! under ids next to what is looked for.

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
    /// All who lie, once it does.
    gang: Option<Arc<[Contact]>>,
    outbox: Outbox<Node>,
}

/// What a node is told.
#[derive(Debug)]
pub(super) enum Order {
    /// What it does as an honest one.
    Honest(Command),
    /// It lies from now on, together with these.
    Lie(Arc<[Contact]>),
}

impl Player {
    pub(super) const fn honest(node: Node) -> Self {
        Self { node, gang: None, outbox: Vec::new() }
    }

    /// A liar's answer.
    fn lie(me: Contact, gang: &[Contact], method: &Method) -> Response {
        let target = match method {
            Method::FindNode { target }
            | Method::Get { target, .. }
            | Method::Fetch { target }
            | Method::SampleInfohashes { target } => *target,
            Method::GetPeers { info_hash, .. } => *info_hash,
            _ => return Response::of(me.key),
        };
        // Others for each key.
        let first = target.top() % gang.len() as u64;
        let first = usize::try_from(first).expect("less than a length");
        let made_up = |number: usize| {
            let Contact { address, .. } = gang[(first + number) % gang.len()];
            Contact { key: beside(target, address), address }
        };
        let nodes: Vec<Contact> = (0..NODES_SENT.min(gang.len())).map(made_up).collect();
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
