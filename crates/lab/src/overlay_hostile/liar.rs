//! What a liar says of every key that is looked up: that it is the owner.

use nigh_base::Address;
use nigh_overlay::locate::{
    Overlay, chord,
    node::{
        Node,
        geometry::Geometry,
        message::{Body, Datagram, Message},
    },
};

use crate::liars::Liar;

impl Liar for chord::Several {
    type Lie = ();

    fn lie(
        &self,
        (): &(),
        from: Address,
        message: &chord::message::Message,
    ) -> Option<Vec<(Address, chord::message::Message)>> {
        use chord::message::{Body, Message};
        let say = |to, body| (to, Message { to: None, body });
        let contacts = vec![self.contacts()[0]];
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
    type Lie = ();

    fn lie(
        &self,
        (): &(),
        from: Address,
        message: &Message<G>,
    ) -> Option<Vec<(Address, Message<G>)>> {
        let me = self.contact();
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
