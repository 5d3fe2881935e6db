//! The way to a key beyond the leaf set. PODC 2002, section 5.
//!
//! ```text
//! up     to the first level, along links up
//! down   left if the key is nearer than 2^-level of the circle, else right; until the key is passed, or
//!        there is no level below
//! about  of all links to whoever is nearest to the key
//! ```

use std::time::Duration;

use nigh_base::{Address, Key};

use super::{
    Geometry, Settings,
    links::{Butterfly, Kind},
    message::{Errand, Phase, Words},
};
use crate::locate::{
    Contact,
    circle::{Repair, Rule, Shortcuts, leaves::distance},
    node::{
        Node,
        geometry::{Cx, Peer, Step},
    },
};

/// So near to the lowest level a way without a link down goes on about: there are few nodes on it.
const LOWEST: u8 = 3;

impl Shortcuts for Butterfly {
    const NAME: &'static str = "Viceroy";
    const RULE: Rule = Rule::Successor;

    type Settings = Settings;
    type Carry = Phase;
    type Words = Words;
    type Errand = Errand;

    fn new(me: Contact, _: &Settings) -> Self {
        Self::new(me.key)
    }

    fn next_hop(
        node: &Node<Geometry>,
        key: Key,
        phase: Phase,
        without: &[Key],
    ) -> Option<Step<Phase>> {
        let butterfly = &node.geometry.far;
        let link = |kind| butterfly.link(kind).filter(|it| !without.contains(&it.key));
        let step = |contact, carry| Some(Step { contact, carry });
        if phase == Phase::About {
            return node.about(key, without);
        }
        if phase == Phase::Up && butterfly.level > 1 {
            return link(Kind::Up)
                .and_then(|up| step(up, Phase::Up))
                .or_else(|| node.anew(key, without));
        }
        if butterfly.level >= butterfly.levels {
            return node.about(key, without);
        }
        let ahead = key.minus(node.contact().key);
        let kind = if ahead < butterfly.reach() { Kind::Left } else { Kind::Right };
        match link(kind) {
            Some(down) => {
                let is_passed = down.key.minus(node.contact().key) > ahead;
                step(down, if is_passed { Phase::About } else { Phase::Down })
            }
            None if butterfly.level + LOWEST >= butterfly.levels => node.about(key, without),
            None => node.anew(key, without),
        }
    }

    fn peer(&self, key: Key) -> Option<&Peer> {
        self.get(key)
    }

    fn contacts(&self) -> Vec<Contact> {
        let mut contacts: Vec<Contact> = self.iter().map(|peer| peer.contact).collect();
        contacts.sort_unstable();
        contacts.dedup();
        contacts
    }

    fn acquaintances(&self) -> String {
        format!("{} links from level {} of {}", self.iter().count(), self.level, self.levels)
    }

    /// Only whoever is asked for its level is linked.
    fn would_take(_: &Node<Geometry>, _: Key) -> bool {
        false
    }

    fn take(_: &mut Node<Geometry>, _: Peer) {}

    fn measured(&mut self, contact: Contact, round_trip: Duration) {
        self.measured(contact, round_trip);
    }

    fn remove(node: &mut Node<Geometry>, contact: Contact, cx: &mut Cx<'_, Geometry>) -> bool {
        let gone = node.geometry.far.remove(contact);
        if node.settings().circle.repair == Repair::Reactive && node.is_member() {
            gone.iter().for_each(|&kind| node.find(kind, cx));
        }
        !gone.is_empty()
    }

    /// The first rounds find the links, when this node knows its leaves.
    fn let_in(_: &mut Node<Geometry>, _: Vec<Contact>, _: &mut Cx<'_, Geometry>) {}

    fn round(node: &mut Node<Geometry>, cx: &mut Cx<'_, Geometry>) {
        node.look_after_links(cx);
    }

    fn located(node: &mut Node<Geometry>, place: Key, owner: Contact, cx: &mut Cx<'_, Geometry>) {
        // The level may be another by now.
        if node.geometry.far.place(Kind::Right) == place {
            node.find_from(Kind::Right, owner, cx);
        }
    }

    fn asked(
        node: &mut Node<Geometry>,
        from: Address,
        sender: Option<Contact>,
        words: Words,
        cx: &mut Cx<'_, Geometry>,
    ) {
        node.name(from, sender, words, cx);
    }

    fn answered(
        node: &mut Node<Geometry>,
        errand: &Errand,
        by: Contact,
        words: Words,
        cx: &mut Cx<'_, Geometry>,
    ) -> bool {
        node.named(*errand, by, words, cx)
    }

    fn unanswered(node: &mut Node<Geometry>, errand: Errand) {
        if let Errand::Claim(_) = errand {
            node.geometry.far.end_claim();
        }
    }

    fn check(node: &Node<Geometry>) {
        node.geometry.far.check();
    }
}

impl Node<Geometry> {
    /// To whoever of all whom this node knows is nearest to the key.
    fn about(&self, key: Key, without: &[Key]) -> Option<Step<Phase>> {
        let far = self.geometry.far.iter().map(|peer| peer.contact);
        let known = self.geometry.leaves.contacts().chain(far);
        let others = known.filter(|it| !without.contains(&it.key));
        let contact = others.min_by_key(|it| distance(it.key, key))?;
        let is_nearer = distance(contact.key, key) < distance(self.contact().key, key);
        is_nearer.then_some(Step { contact, carry: Phase::About })
    }

    /// A link is missing: along the circle, as far as this node sees, and the way begins anew there.
    fn anew(&self, key: Key, without: &[Key]) -> Option<Step<Phase>> {
        let is_there = |it: &Contact| !without.contains(&it.key);
        let last = self.geometry.leaves.above().rfind(is_there);
        let along = last.map(|contact| Step { contact, carry: Phase::Up });
        along.or_else(|| self.about(key, without))
    }
}
