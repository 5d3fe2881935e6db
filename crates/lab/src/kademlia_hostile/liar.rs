//! What a liar names, whatever it is asked: nodes under ids next to what is looked for.

use std::sync::Arc;

use nigh_base::{Address, Key};
use nigh_overlay::locate::{
    Contact,
    kademlia::{
        Node,
        krpc::{Body, Message, Method, NODES_SENT, Query, Response},
    },
};

use crate::liars::Liar;

/// Whom liars name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Each other, and each answers to the id that was made up for it.
    EachOther,
    /// Honest nodes, under ids that are not theirs.
    Honest,
    /// Nobody: there is no node at the address.
    Nobody,
}

/// Nodes that lie together.
#[derive(Debug)]
pub(crate) struct Gang {
    pub(super) lie: Lie,
    /// The nodes whose addresses they name; of nobody, the first serve to make some up.
    pub(super) named: Vec<Contact>,
}

impl Gang {
    /// A liar that works with nobody: it says that it is the nearest itself, and names no other.
    pub(crate) fn alone(me: Contact) -> Arc<Self> {
        Arc::new(Self { lie: Lie::EachOther, named: vec![me] })
    }

    /// A liar's answer.
    fn answer(&self, me: Contact, method: &Method) -> Response {
        let target = match method {
            Method::FindNode { target }
            | Method::Get { target, .. }
            | Method::Fetch { target }
            | Method::SampleInfohashes { target } => *target,
            Method::GetPeers { info_hash, .. } => *info_hash,
            _ => return Response::of(me.key),
        };
        // Others for each key.
        let Self { lie, named } = self;
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

impl Liar for Node {
    type Lie = Arc<Gang>;

    fn lie(
        &self,
        gang: &Arc<Gang>,
        from: Address,
        message: &Message,
    ) -> Option<Vec<(Address, Message)>> {
        let Body::Query(Query { method, .. }) = &message.body else { return None };
        let body = Body::Response(Box::new(gang.answer(self.contact(), method)));
        let transaction = message.transaction.clone();
        Some(vec![(from, Message { transaction, version: None, body })])
    }
}
