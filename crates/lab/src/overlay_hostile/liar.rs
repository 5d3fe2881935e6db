//! A node that is honest until it is told to lie: then it says of every key that is looked up that it is the
//! owner.

use nigh_base::{
    Address, Digest, Machine, Time,
    machine::{Context, Input, Outbox},
};
use nigh_overlay::locate::{
    Command, Contact, Overlay, chord,
    node::{
        Node,
        geometry::Geometry,
        message::{Body, Datagram},
    },
};

/// An overlay whose nodes can lie.
pub(super) trait Liar: Overlay<Command = Command> {
    /// What a liar answers to `message`, each to whom; none if it does as honest nodes do.
    fn lie(
        me: Contact,
        from: Address,
        message: &Self::Message,
    ) -> Option<Vec<(Address, Self::Message)>>;
}

impl Liar for chord::Several {
    fn lie(
        me: Contact,
        from: Address,
        message: &chord::message::Message,
    ) -> Option<Vec<(Address, chord::message::Message)>> {
        use chord::message::{Body, Message};
        let say = |to, body| (to, Message { to: None, body });
        let contacts = vec![me];
        Some(match message.body {
            Body::Next { nonce, .. } => vec![say(from, Body::Owner { nonce, contacts })],
            Body::Route { nonce, lookup, origin, hops, .. } => vec![
                say(from, Body::Taken { nonce }),
                say(origin.unwrap_or(from), Body::Found { lookup, hops, contacts }),
            ],
            _ => return None,
        })
    }
}

impl<G: Geometry> Liar for Node<G> {
    fn lie(
        me: Contact,
        from: Address,
        message: &Self::Message,
    ) -> Option<Vec<(Address, Self::Message)>> {
        let say = |to, body| (to, Datagram { from: Some(me.key), body });
        let contacts = vec![me];
        Some(match message.body {
            Body::Next { nonce, .. } => vec![say(from, Body::Owner { nonce, contacts })],
            Body::Route { nonce, lookup, origin, hops, .. } => vec![
                say(from, Body::Taken { nonce }),
                say(origin.unwrap_or(from), Body::Found { lookup, hops, contacts }),
            ],
            _ => return None,
        })
    }
}

/// A node of the experiment.
#[derive(Debug)]
pub(super) struct Player<T: Machine> {
    node: T,
    lies: bool,
    outbox: Outbox<T>,
}

/// What a node is told.
#[derive(Debug)]
pub(super) enum Order {
    /// What it does as an honest one.
    Honest(Command),
    /// Whether it lies from now on.
    Lie(bool),
}

impl<T: Machine> Player<T> {
    pub(super) const fn honest(node: T) -> Self {
        Self { node, lies: false, outbox: Vec::new() }
    }
}

impl<T: Liar> Machine for Player<T> {
    type Message = T::Message;
    type Command = Order;
    type Event = T::Event;

    fn handle(&mut self, input: Input<T::Message, Order>, cx: &mut Context<'_, Self>) {
        let input = match input {
            Input::Command(Order::Lie(lies)) => {
                self.lies = lies;
                return;
            }
            Input::Command(Order::Honest(command)) => Input::Command(command),
            Input::Message { from, message } => {
                let me = self.node.contacts()[0];
                let answers = self.lies.then(|| T::lie(me, from, &message)).flatten();
                if let Some(answers) = answers {
                    answers.into_iter().for_each(|(to, message)| cx.send(to, message));
                    return;
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
