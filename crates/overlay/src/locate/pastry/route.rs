//! The way to a key beyond the leaf set (Middleware 2001, section 2.3, table 1), and what keeps the routing
//! table true.
//!
//! ```text
//! a node in the key's cell?   that one: it shares one digit more
//! else, rarely                whoever is nearer, and shares no fewer digits
//! ```

use nigh_base::{Address, Key};

use super::{
    Geometry, Settings,
    message::{Row, Words},
    table::Table,
};
use crate::locate::{
    Contact,
    circle::{Repair, Rule, Shortcuts, leaves::nearness, message as circle},
    node::{
        For, Node,
        geometry::{Bare, Cx, Geometry as _, Peer, Step},
        message::Body,
    },
};

impl Shortcuts for Table {
    const NAME: &'static str = "Pastry";
    const RULE: Rule = Rule::Nearest;

    type Settings = Settings;
    type Carry = Bare;
    type Words = Words;
    type Errand = Row;

    fn new(me: Contact, settings: &Settings) -> Self {
        Self::new(me.key, settings.digits())
    }

    fn next_hop(
        node: &Node<Geometry>,
        key: Key,
        carry: Bare,
        without: &[Key],
    ) -> Option<Step<Bare>> {
        let (me, table, leaves) = (node.contact(), &node.geometry.far, &node.geometry.leaves);
        let next = |contact| Step { contact, carry };
        let cell = table.at(key).map(|cell| cell.contact);
        if let Some(cell) = cell.filter(|it| !without.contains(&it.key)) {
            return Some(next(cell));
        }
        let row = table.row_of(key);
        let mine = nearness(me.key, key);
        let digits = node.settings().digits();
        let shares = |it: &Contact| digits.shared(it.key, key);
        let fits = |it: &Contact| {
            !without.contains(&it.key) && shares(it) >= row && nearness(it.key, key) < mine
        };
        let rare = leaves.iter().chain(table.iter()).map(|it| it.contact).filter(fits);
        let best = rare.min_by_key(|it| (std::cmp::Reverse(shares(it)), nearness(it.key, key)));
        best.map(next)
    }

    fn peer(&self, key: Key) -> Option<&Peer> {
        self.get(key)
    }

    fn contacts(&self) -> Vec<Contact> {
        self.iter().map(|peer| peer.contact).collect()
    }

    fn acquaintances(&self) -> String {
        format!("{} cells", self.len())
    }

    fn would_take(node: &Node<Geometry>, key: Key) -> bool {
        node.geometry.far.at(key).is_none()
    }

    fn take(node: &mut Node<Geometry>, peer: Peer) {
        let has_locality = node.settings().locality;
        let table = &mut node.geometry.far;
        if has_locality || table.at(peer.contact.key).is_none() {
            table.take(peer);
        }
    }

    fn measured(&mut self, contact: Contact, round_trip: std::time::Duration) {
        self.measured(contact, round_trip);
    }

    fn remove(node: &mut Node<Geometry>, contact: Contact, cx: &mut Cx<'_, Geometry>) -> bool {
        let was_here = node.geometry.far.remove(contact);
        if was_here && node.settings().circle.repair == Repair::Reactive && node.is_member() {
            let table = &node.geometry.far;
            let mate = table.row(table.row_of(contact.key)).next();
            mate.into_iter().for_each(|it| node.ask_row(it, cx));
        }
        was_here
    }

    /// Each node on the way has a row that fits this one (section 2.4).
    fn let_in(node: &mut Node<Geometry>, way: Vec<Contact>, cx: &mut Cx<'_, Geometry>) {
        way.into_iter().for_each(|it| node.ask_row(it, cx));
    }

    /// Asks a node of the table, which is drawn, for the others of its row as it knows them: some may
    /// be nearer than those here, or fill a hole.
    fn round(node: &mut Node<Geometry>, cx: &mut Cx<'_, Geometry>) {
        let table = &node.geometry.far;
        if table.len() > 0 {
            let drawn = table.iter().nth(cx.rng.index(table.len())).map(|peer| peer.contact);
            drawn.into_iter().for_each(|it| node.ask_row(it, cx));
        }
    }

    fn asked(
        node: &mut Node<Geometry>,
        from: Address,
        _: Option<Contact>,
        words: Words,
        cx: &mut Cx<'_, Geometry>,
    ) {
        if let Words::Row { nonce, row } = words {
            let contacts = node.geometry.far.row(row.into()).collect();
            let answer = Words::RowIs { nonce, contacts };
            node.say(from, Body::Own(circle::Words::Far(answer)), cx);
        }
    }

    /// A row of another's table: with locality, whoever might be nearer than those known is measured.
    fn answered(
        node: &mut Node<Geometry>,
        Row: &Row,
        _: Contact,
        words: Words,
        cx: &mut Cx<'_, Geometry>,
    ) -> bool {
        let Words::RowIs { contacts, .. } = words else { return false };
        for contact in contacts {
            if node.settings().locality && node.geometry.peer(contact.key).is_none() {
                node.meet_if_there(contact, cx);
            } else {
                node.consider(contact, cx);
            }
        }
        true
    }

    fn check(node: &Node<Geometry>) {
        node.geometry.far.check();
    }
}

impl Node<Geometry> {
    /// Asks a node for the row in which it would stand here: all of it fits this node as well.
    fn ask_row(&mut self, of: Contact, cx: &mut Cx<'_, Geometry>) {
        if let Ok(row) = u8::try_from(self.geometry.far.row_of(of.key)) {
            let body = |nonce| Body::Own(circle::Words::Far(Words::Row { nonce, row }));
            self.ask(of, For::Own(circle::Errand::Far(Row)), body, cx);
        }
    }
}
