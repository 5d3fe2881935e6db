//! The way to a key beyond the leaf set (sections 3.1 and 3.2 of the paper), and what keeps the pointers true.
//!
//! ```text
//! somebody lies between this node and the imaginary one?  whoever lies last before it
//! else this node stands for it, and goes along an edge:   whoever lies last before the next imaginary one
//! no pointer is left?                                     along the circle, and begin anew there
//! ```

use nigh_base::Key;

use super::{
    Geometry, Settings,
    imaginary::Imaginary,
    message::{Around, Carry, Words},
    pointers::Pointers,
};
use crate::locate::{
    Contact,
    circle::{Repair, Rule, Shortcuts, leaves, message::Errand},
    node::{
        Node,
        geometry::{Cx, Peer, Step},
    },
};

/// Who lies around k times the own key is looked up so often; in between pointers are asked for their leaves.
const LOOKUP_ROUNDS: u32 = 4;

impl Shortcuts for Pointers {
    const NAME: &'static str = "Koorde";
    const RULE: Rule = Rule::Successor;

    type Settings = Settings;
    type Carry = Carry;
    type Words = Words;
    type Errand = Around;

    fn new(me: Contact, settings: &Settings) -> Self {
        settings.check();
        Self::new(me.key, settings)
    }

    fn next_hop(
        node: &Node<Geometry>,
        key: Key,
        carry: Carry,
        without: &[Key],
    ) -> Option<Step<Carry>> {
        let (me, bits) = (node.contact(), node.settings().degree_bits);
        let is_there = |it: &Contact| !without.contains(&it.key);
        let far = &node.geometry.far;
        let Some(next) = node.geometry.leaves.above().find(is_there) else {
            return node.along(key, without);
        };
        let begin = || Imaginary::begin(me.key, next.key.minus(me.key), key, bits);
        // A carry of somebody else's making begins anew, and so does one that has more digits left than a way from
        // here: what is left only falls, whatever was carried.
        let carried = carry.0.filter(|it| it.leads_to(key, bits));
        let nearest = carried.into_iter().chain(begin()).min_by_key(|it| it.left);
        let Some(mut imaginary) = nearest else {
            return Some(Step { contact: next, carry: Carry(None) });
        };
        let has_pointers = far.iter().any(|it| is_there(&it.contact));
        loop {
            if let Some(contact) = node.last_before(imaginary.key, without) {
                return Some(Step { contact, carry: Carry(Some(imaginary)) });
            }
            match imaginary.next(key, bits).filter(|_| has_pointers) {
                Some(next) => imaginary = next,
                None => return node.along(key, without),
            }
        }
    }

    fn peer(&self, key: Key) -> Option<&Peer> {
        self.get(key)
    }

    fn contacts(&self) -> Vec<Contact> {
        self.iter().map(|peer| peer.contact).collect()
    }

    fn acquaintances(&self) -> String {
        format!("{} pointers", self.len())
    }

    fn would_take(node: &Node<Geometry>, key: Key) -> bool {
        node.geometry.far.would_take(key)
    }

    fn take(node: &mut Node<Geometry>, peer: Peer) {
        node.geometry.far.take(peer);
    }

    fn measured(&mut self, contact: Contact, round_trip: std::time::Duration) {
        self.measured(contact, round_trip);
    }

    fn remove(node: &mut Node<Geometry>, contact: Contact, cx: &mut Cx<'_, Geometry>) -> bool {
        let was_here = node.geometry.far.remove(contact);
        if was_here && node.settings().circle.repair == Repair::Reactive && node.is_member() {
            node.ask_around(node.geometry.far.first(), cx);
        }
        was_here
    }

    /// The first round finds the pointers, when this node knows its leaves.
    fn let_in(_: &mut Node<Geometry>, _: Vec<Contact>, _: &mut Cx<'_, Geometry>) {}

    /// The first pointer and one other in turn are asked for their leaves; and now and then it is looked up
    /// who should be the first.
    fn round(node: &mut Node<Geometry>, cx: &mut Cx<'_, Geometry>) {
        let (rounds, far) = (node.rounds(), &node.geometry.far);
        let turn = (far.len() > 0).then(|| rounds as usize % far.len());
        let other = turn.and_then(|turn| far.iter().nth(turn)).map(|peer| peer.contact);
        let (first, point) = (far.first(), far.point());
        node.ask_around(first, cx);
        node.ask_around(other.filter(|_| other != first), cx);
        if rounds % LOOKUP_ROUNDS == 1 || first.is_none() {
            node.look_for(point, cx);
        }
    }

    fn located(node: &mut Node<Geometry>, _: Key, owner: Contact, cx: &mut Cx<'_, Geometry>) {
        if owner == node.contact() {
            let leaves: Vec<Contact> = node.geometry.leaves.contacts().collect();
            leaves.into_iter().for_each(|it| node.consider(it, cx));
        } else {
            node.ask_around(Some(owner), cx);
        }
    }

    fn leaves_are(
        node: &mut Node<Geometry>,
        Around: &Around,
        by: Contact,
        named: &[Contact],
        cx: &mut Cx<'_, Geometry>,
    ) -> bool {
        let known = node.geometry.far.iter().map(|peer| peer.contact);
        let missing = leaves::missing(known, by, named);
        missing.into_iter().for_each(|it| node.suspect(it, cx));
        node.consider(by, cx);
        named.iter().for_each(|&it| node.consider(it, cx));
        true
    }

    fn asked(
        _: &mut Node<Geometry>,
        _: nigh_base::Address,
        _: Option<Contact>,
        words: Words,
        _: &mut Cx<'_, Geometry>,
    ) {
        match words {}
    }

    fn answered(
        _: &mut Node<Geometry>,
        _: &Around,
        _: Contact,
        words: Words,
        _: &mut Cx<'_, Geometry>,
    ) -> bool {
        match words {}
    }

    fn check(node: &Node<Geometry>) {
        node.geometry.far.check();
    }
}

impl Node<Geometry> {
    /// Whoever lies last before `place`, and behind this node, of all whom it knows; none if this node itself
    /// does.
    fn last_before(&self, place: Key, without: &[Key]) -> Option<Contact> {
        let gap = |key: Key| place.minus(key).minus(Key::from(1));
        let (leaves, far) = (self.geometry.leaves.contacts(), self.geometry.far.iter());
        let known = leaves.chain(far.map(|peer| peer.contact));
        let others = known.filter(|it| !without.contains(&it.key));
        let last = others.min_by_key(|it| gap(it.key))?;
        (gap(last.key) < gap(self.contact().key)).then_some(last)
    }

    /// Along the circle, as far as this node sees: the way begins anew there.
    fn along(&self, key: Key, without: &[Key]) -> Option<Step<Carry>> {
        self.last_before(key, without).map(|contact| Step { contact, carry: Carry(None) })
    }

    fn ask_around(&mut self, of: Option<Contact>, cx: &mut Cx<'_, Geometry>) {
        if let Some(of) = of {
            self.ask_leaves(of, Errand::Far(Around), cx);
        }
    }
}
