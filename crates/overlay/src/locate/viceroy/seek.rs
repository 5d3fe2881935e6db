//! What finds the links and keeps them true.
//!
//! ```text
//! a round  the level fits the number of nodes; some leaves are asked for their level; each missing link, and
//!          one of the others in turn, is found
//! found    by whoever is linked: it may know one that is nearer; by the leaves whose level is known; else
//!          along the circle, from leaf set to leaf set. Down and right: from the owner of the place, which is
//!          looked up
//! heard    whoever asks says its level: a leaf may have another one than before, anybody may be a better link than
//!          the one there is. That may be forged: it is asked itself
//! ```
//! Whoever is linked has answered on which level it is.

use nigh_base::Address;

use super::{
    Geometry,
    links::Kind,
    message::{Errand, NAMED_MAX, Side, Words},
};
use crate::locate::{
    Contact,
    circle::{Circle, message as circle},
    codec::Nonce,
    node::{
        For, Node,
        geometry::{Cx, Peer},
        message::Body,
    },
};

/// So many nodes are asked along the circle for one link, each of which knows eight more: with 2^20 nodes one
/// in twenty is of a level, and of 64 nodes none is with a chance of 4 %.
const ALONG_MAX: u8 = 8;
/// So many leaves are asked in a round for their level, if it is not known; else one.
const LEVELS_A_ROUND: usize = 4;

impl Node<Geometry> {
    pub(super) fn look_after_links(&mut self, cx: &mut Cx<'_, Geometry>) {
        let nodes = self.nodes();
        if self.geometry.far.fit(nodes, cx.rng) {
            self.geometry.far.forget_links();
        }
        for kind in Kind::ALL {
            if self.geometry.far.level_of(kind).is_none() {
                self.geometry.far.set(kind, None);
            }
        }
        self.ask_levels(cx);
        let turn = Kind::ALL[self.rounds() as usize % Kind::ALL.len()];
        for kind in Kind::ALL {
            if kind == turn || self.geometry.far.link(kind).is_none() {
                self.find(kind, cx);
            }
        }
    }

    /// Asks leaves on which level they are: those of which it does not know, and one in turn, since that may
    /// change.
    fn ask_levels(&mut self, cx: &mut Cx<'_, Geometry>) {
        let leaves: Vec<Contact> = self.geometry.leaves.contacts().collect();
        let is_unknown = |it: &&Contact| self.geometry.far.known_level_of(**it).is_none();
        let mut due: Vec<Contact> =
            leaves.iter().filter(is_unknown).take(LEVELS_A_ROUND).copied().collect();
        if due.is_empty() && !leaves.is_empty() {
            due.push(leaves[self.rounds() as usize % leaves.len()]);
        }
        for leaf in due {
            self.seek(leaf, Kind::Next, Errand::Level, cx);
        }
    }

    /// Asks for a link of that kind; false if that cannot be asked.
    fn seek(&mut self, of: Contact, kind: Kind, errand: Errand, cx: &mut Cx<'_, Geometry>) -> bool {
        let butterfly = &self.geometry.far;
        let Some(level) = butterfly.level_of(kind) else { return false };
        let (mine, place, side) = (butterfly.level, butterfly.place(kind), kind.side());
        let words = |nonce| Words::Seek { nonce, mine, level, place, side };
        let body = |nonce: Nonce| Body::Own(circle::Words::Far(words(nonce)));
        self.ask(of, For::Own(circle::Errand::Far(errand)), body, cx)
    }

    /// Finds a link, or one that is nearer than the one there is.
    pub(super) fn find(&mut self, kind: Kind, cx: &mut Cx<'_, Geometry>) {
        if self.geometry.far.level_of(kind).is_none() {
            return;
        }
        if let Some(link) = self.geometry.far.link(kind) {
            self.seek(link, kind, Errand::Link(kind, ALONG_MAX), cx);
        }
        match kind {
            Kind::Right => self.look_for(self.geometry.far.place(kind), cx),
            _ => self.find_from(kind, self.contact(), cx),
        }
    }

    /// Finds a link, beginning at a node that lies where it is wanted.
    pub(super) fn find_from(&mut self, kind: Kind, start: Contact, cx: &mut Cx<'_, Geometry>) {
        if start != self.contact() {
            self.seek(start, kind, Errand::Link(kind, 0), cx);
            return;
        }
        let butterfly = &self.geometry.far;
        let (Some(level), place) = (butterfly.level_of(kind), butterfly.place(kind)) else {
            return;
        };
        let (contacts, beyond) = self.nearest_on(level, place, kind.side(), None);
        self.choose(kind, &contacts, beyond, 0, cx);
    }

    /// Of those on a level whom this node knows the nearest to a place; and its farthest leaf on that side.
    fn nearest_on(
        &self,
        level: u8,
        place: nigh_base::Key,
        side: Side,
        asker: Option<Contact>,
    ) -> (Vec<Contact>, Option<Contact>) {
        let mut contacts = self.geometry.far.on(level);
        contacts.retain(|it| Some(*it) != asker);
        contacts.sort_by_key(|it| side.distance(place, it.key));
        contacts.truncate(NAMED_MAX);
        let leaves = &self.geometry.leaves;
        let farthest = match side {
            Side::Behind => leaves.above().next_back(),
            Side::Before => leaves.below().next_back(),
        };
        (contacts, farthest.filter(|_| !leaves.are_all()))
    }

    /// Answers a question for nodes of a level. Whoever asks may be a better link than the one there is.
    pub(super) fn name(
        &mut self,
        to: Address,
        sender: Option<Contact>,
        words: Words,
        cx: &mut Cx<'_, Geometry>,
    ) {
        let Words::Seek { nonce, mine, level, place, side } = words else { return };
        let (contacts, beyond) = self.nearest_on(level, place, side, sender);
        let own = self.geometry.far.level;
        let answer = Words::Found { nonce, mine: own, contacts, beyond };
        self.say(to, Body::Own(circle::Words::Far(answer)), cx);
        if let Some(sender) = sender.filter(|it| it.key != self.contact().key) {
            self.examine(sender, mine, cx);
        }
    }

    /// Somebody has said on which level it is, or somebody else in its name: it is asked, if that matters.
    fn examine(&mut self, who: Contact, level: u8, cx: &mut Cx<'_, Geometry>) {
        let Circle { leaves, far: butterfly, .. } = &self.geometry;
        let is_news =
            leaves.contacts().any(|it| it == who) && butterfly.known_level_of(who) != Some(level);
        let better = Kind::ALL.into_iter().find(|&kind| {
            butterfly.level_of(kind) == Some(level) && butterfly.is_better(kind, who.key)
        });
        let Some(kind) = better.or_else(|| is_news.then_some(Kind::Next)) else { return };
        if butterfly.has_room_for_claim()
            && !self.is_asking(who.address)
            && self.seek(who, kind, Errand::Claim(kind), cx)
        {
            self.geometry.far.begin_claim();
        }
    }

    fn note_level(&mut self, of: Contact, level: u8) {
        let leaves: Vec<Contact> = self.geometry.leaves.contacts().collect();
        self.geometry.far.note(of, level, &leaves);
    }

    /// A node has named others of a level, and said on which it is itself.
    pub(super) fn named(
        &mut self,
        errand: Errand,
        by: Contact,
        words: Words,
        cx: &mut Cx<'_, Geometry>,
    ) -> bool {
        let Words::Found { mine, contacts, beyond, .. } = words else { return false };
        if let Errand::Claim(_) = errand {
            self.geometry.far.end_claim();
        }
        self.note_level(by, mine);
        // Who has another level now is no link any more.
        for kind in Kind::ALL {
            let butterfly = &mut self.geometry.far;
            if butterfly.link(kind) == Some(by) && butterfly.level_of(kind) != Some(mine) {
                butterfly.set(kind, None);
            }
        }
        let (Errand::Link(kind, _) | Errand::Fits(kind) | Errand::Claim(kind)) = errand else {
            return true;
        };
        let butterfly = &mut self.geometry.far;
        let fits = butterfly.level_of(kind) == Some(mine);
        if fits && butterfly.is_better(kind, by.key) {
            butterfly.set(kind, Some(Peer::unmeasured(by)));
        }
        if let Errand::Link(kind, asked) = errand {
            // What lies on the other side of it than where the link is wanted is no way on.
            let from = self.geometry.far.distance(kind, by.key);
            let leads_on = |it: &Contact| self.geometry.far.distance(kind, it.key) > from;
            let beyond = beyond.filter(|it| !fits && leads_on(it));
            self.choose(kind, &contacts, beyond, asked, cx);
        }
        true
    }

    /// Asks the nearest of these whether it fits as a link; or, if it lies farther away than `beyond`, goes on
    /// there, unless `asked` are enough.
    fn choose(
        &mut self,
        kind: Kind,
        contacts: &[Contact],
        beyond: Option<Contact>,
        asked: u8,
        cx: &mut Cx<'_, Geometry>,
    ) {
        let butterfly = &self.geometry.far;
        let distance = |it: &Contact| butterfly.distance(kind, it.key);
        let others = contacts.iter().filter(|it| it.key != self.contact().key);
        let best = others.min_by_key(|it| distance(it)).copied();
        let beyond = beyond.filter(|it| it.key != self.contact().key && asked < ALONG_MAX);
        let goes_on = match (&best, &beyond) {
            (Some(best), Some(beyond)) => distance(best) > distance(beyond),
            (None, _) => true,
            (Some(_), None) => false,
        };
        if goes_on {
            // Not beyond the link that there is.
            if let Some(next) = beyond.filter(|it| butterfly.is_better(kind, it.key)) {
                self.seek(next, kind, Errand::Link(kind, asked + 1), cx);
            }
        } else if let Some(best) = best.filter(|it| butterfly.is_better(kind, it.key)) {
            self.seek(best, kind, Errand::Fits(kind), cx);
        }
    }
}
