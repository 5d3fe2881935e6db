//! CAN: keys are points of a torus, each node has a zone of it, and a question goes from neighbour to
//! neighbour towards its point.
//!
//! Ratnasamy, Francis, Handley, Karp, Shenker, "A scalable content-addressable network", SIGCOMM 2001. What
//! was changed, and every timer and limit: docs/can.md. The rest of a node is every [node]'s.
//!
//! ```text
//! zone     pieces of the torus: halves, neighbours, distances
//! claims   whose is which zone, as far as a node knows, and who comes after its owner
//! route    the next node on the way to a key
//! place    zones that change hands: splitting, giving, taking
//! upkeep   neighbours that tell each other how they stand; zones of nodes that are gone
//! relief   who has several zones finds others for them
//! message  what is said about zones
//! settled  a space as it is when all has settled, for simulations
//! ```

mod claims;
pub mod fuzz;
pub mod message;
mod place;
mod relief;
mod route;
pub mod settled;
mod upkeep;
pub mod zone;

use std::{collections::BTreeMap, time::Duration};

use nigh_base::{Address, Key, Time};

use self::{
    claims::Neighbour,
    message::{Errand, Way, Words},
    place::Promise,
    upkeep::{Apart, Gap, Vacancy},
    zone::{DIMENSIONS_MAX, REALITIES_MAX, Space, Zone},
};
use super::{
    Contact,
    node::{
        self,
        geometry::{self, Cx, Peer, Step},
    },
};

/// The most zones of one node: more are left to others.
pub const ZONES_MAX: usize = 16;
/// The most neighbours of one node: more are not known.
const NEIGHBOURS_MAX: usize = 96;

/// How a node behaves. All nodes of an overlay have the same `dimensions` and `realities`; the rest is each node's
/// own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// What every overlay is told.
    pub node: node::Settings,
    /// The paper's d, 1 to 10. More make ways shorter and give nodes more neighbours; with one alone a node has
    /// two, and neighbours that fail together may cut the overlay.
    pub dimensions: usize,
    /// In how many spaces each node has a zone, 1 to 4; all nodes of an overlay have the same. A value lies in each of
    /// them, and who asks for it goes through all at once. Section 3.2 of the paper.
    pub realities: u8,
    /// Whether a question goes to the neighbour by which it comes nearest to its point for each second of the
    /// round trip; else to the one that is nearest. Section 3.3 of the paper.
    pub weighted: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { node: node::Settings::default(), dimensions: 4, realities: 1, weighted: true }
    }
}

impl AsRef<node::Settings> for Settings {
    fn as_ref(&self) -> &node::Settings {
        &self.node
    }
}

/// What a node of CAN has of its own.
#[derive(Debug, Hash)]
pub struct Can {
    me: Contact,
    space: Space,
    realities: u8,
    /// Those of this node, in order, no two of them halves of one.
    zones: Vec<Zone>,
    neighbours: BTreeMap<Key, Neighbour>,
    /// Zones of nodes that are gone.
    vacancies: Vec<Vacancy>,
    /// What is beside the zones of this node and nobody's, as far as it knows.
    gaps: Vec<Gap>,
    /// The zone that somebody may take now.
    offered: Option<Promise>,
    /// Zones that somebody has taken, and has not been heard of with them.
    given: Vec<Promise>,
    /// Zones that a node has said are to be this one's, with its key.
    promised: Vec<(Key, Zone)>,
    /// Nodes that are asked whether they are neighbours.
    meetings: usize,
    /// Nodes that were asked since the last round and are none.
    apart: Apart,
    /// Rounds without a zone in some reality.
    homeless: u32,
}

pub use self::Can as Geometry;

/// One node of CAN, as a machine.
pub type Node = node::Node<Can>;

impl Node {
    /// Its zones: mostly one in each reality.
    pub fn zones(&self) -> &[Zone] {
        &self.geometry.zones
    }
}

impl geometry::Geometry for Can {
    const NAME: &'static str = "CAN";

    type Settings = Settings;
    type Carry = Way;
    type Words = Words;
    type Errand = Errand;

    fn new(me: Contact, settings: &Settings) -> Self {
        assert!((1..=DIMENSIONS_MAX).contains(&settings.dimensions), "1 to 10 dimensions");
        assert!((1..=REALITIES_MAX).contains(&settings.realities), "1 to 4 realities");
        Self {
            me,
            space: Space::new(settings.dimensions),
            realities: settings.realities,
            zones: Vec::new(),
            neighbours: BTreeMap::new(),
            vacancies: Vec::new(),
            gaps: Vec::new(),
            offered: None,
            given: Vec::new(),
            promised: Vec::new(),
            meetings: 0,
            apart: Apart::default(),
            homeless: 0,
        }
    }

    fn next_hop(node: &Node, key: Key, way: Way, without: &[Key]) -> Option<Step<Way>> {
        node.geometry.next_on_way(key, way, without, node.settings().weighted)
    }

    fn is_dead_end(node: &Node, key: Key, way: Way) -> bool {
        node.geometry.leads_nowhere(key, way)
    }

    fn nearest(node: &Node, key: Key, count: usize) -> Vec<Contact> {
        node.geometry.stand_ins(key, count)
    }

    /// A value lies in all realities.
    fn begin_get() -> Way {
        Way::to_any()
    }

    /// This node, if it owns the key in a further reality and holds what is looked for.
    fn pointed(node: &Node, key: Key, way: Way, now: Time) -> Vec<Contact> {
        let can = &node.geometry;
        let is_further = !can.has(key, 0) && can.has_in_any(key);
        let is_any = way.reality == message::ANY_REALITY;
        let holds = is_any && is_further && node.held_value(key, now).is_some();
        holds.then(|| node.contact()).into_iter().collect()
    }

    /// Who is responsible gives a value to the owners in the other realities.
    fn renews(node: &mut Node, key: Key, cx: &mut Cx<'_, Self>) {
        for reality in 1..node.geometry.realities {
            node.take_to(key, Way { reality, ..Way::default() }, cx);
        }
    }

    /// Its zones in the first reality have the key, and those of this node have not. In the others it is given what
    /// it owns with the next round of copies.
    fn is_its(node: &Node, key: Key, other: Contact) -> bool {
        let can = &node.geometry;
        let neighbour = can.neighbours.get(&other.key).filter(|it| it.peer.contact == other);
        let is_its = |zone: &Zone| zone.reality() == 0 && zone.has(key) && !can.has(key, 0);
        neighbour.is_some_and(|it| it.right.iter().any(is_its))
    }

    /// Who owns the key in a further reality stands in for all who do in the first.
    fn stands_in(node: &Node, key: Key, count: usize) -> bool {
        let can = &node.geometry;
        can.has_in_any(key) || can.stand_ins(key, count).contains(&node.contact())
    }

    /// Where a node's zone lies does not follow from its key.
    fn gap(_: Key, _: Key) -> Option<Key> {
        None
    }

    fn peer(&self, key: Key) -> Option<&Peer> {
        self.neighbours.get(&key).map(|it| &it.peer)
    }

    fn neighbours(&self) -> Vec<Contact> {
        self.neighbours.values().map(|it| it.peer.contact).collect()
    }

    fn far(&self) -> Vec<Contact> {
        Vec::new()
    }

    fn acquaintances(&self) -> String {
        let part: u64 = (0..self.realities).map(|it| self.volume(it)).sum();
        let all = zone::VOLUME as f64 * f64::from(self.realities);
        let percent = part as f64 * 100.0 / all;
        format!(
            "{} zones with {percent:.3} %, {} neighbours",
            self.zones.len(),
            self.neighbours.len()
        )
    }

    fn alone(node: &mut Node) {
        node.geometry.begin_alone();
    }

    fn joining(node: &mut Node, owner: Contact, _: Vec<Contact>, cx: &mut Cx<'_, Self>) {
        node.geometry.zones.clear();
        if !node.ask_for_zone(owner, 0, false, cx) {
            node.join_again(cx);
        }
    }

    fn let_in(node: &mut Node, others: &[Contact], cx: &mut Cx<'_, Self>) {
        others.iter().for_each(|&it| node.get_to_know(it, cx));
        if node.geometry.zones.is_empty() {
            others.iter().take(1).for_each(|&it| {
                node.ask_for_zone(it, 0, false, cx);
            });
        } else {
            node.seek_zone(cx);
        }
    }

    fn round(node: &mut Node, cx: &mut Cx<'_, Self>) {
        node.look_after_zones(cx);
    }

    fn due(node: &mut Node, cx: &mut Cx<'_, Self>) {
        node.take_back(cx);
        node.take_over(cx);
    }

    fn parting(node: &mut Node, cx: &mut Cx<'_, Self>) {
        node.bequeath(cx);
    }

    /// Whoever owns the point at which this node comes into a reality, or what lies beside its zone.
    fn seen_near(node: &mut Node, way: Way, contacts: &[Contact], cx: &mut Cx<'_, Self>) {
        let Some(&owner) = contacts.first() else { return };
        if node.geometry.homeless_in().contains(&way.reality) {
            node.ask_for_zone(owner, way.reality, false, cx);
        } else {
            node.get_to_know(owner, cx);
        }
    }

    /// Only those are taken in who have said which zones they have.
    fn would_take(_: &Node, _: Key) -> bool {
        false
    }

    fn take(_: &mut Node, _: Peer, _: &mut Cx<'_, Self>) {}

    fn measured(&mut self, contact: Contact, round_trip: Duration) {
        let known = self.neighbours.get_mut(&contact.key).filter(|it| it.peer.contact == contact);
        known.into_iter().for_each(|it| it.peer.rtt.measured(round_trip));
    }

    fn remove(node: &mut Node, contact: Contact, cx: &mut Cx<'_, Self>) -> bool {
        node.lose_neighbour(contact, cx)
    }

    fn asked(
        node: &mut Node,
        from: Address,
        sender: Option<Contact>,
        words: Words,
        cx: &mut Cx<'_, Self>,
    ) {
        match words {
            Words::State { nonce, zones } => node.tell_state(from, sender, nonce, &zones, cx),
            Words::Split { nonce, key, reality, whole } => {
                node.offer(Contact { key, address: from }, nonce, reality, whole, cx);
            }
            Words::Take { nonce, token } => node.hand_over(from, nonce, token, cx),
            Words::Give(gift) => node.is_given(from, gift, cx),
            Words::Gone(key) => {
                let known = node.geometry.neighbours.get(&key).map(|it| it.peer.contact);
                known.into_iter().for_each(|it| node.suspect(it, cx));
            }
            Words::Relieve { reality } => {
                sender.into_iter().for_each(|it| node.relieve_another(it, reality, cx));
            }
            Words::StateIs { .. } | Words::Offer { .. } | Words::Yours { .. } => {}
        }
    }

    fn answered(
        node: &mut Node,
        errand: &Errand,
        by: Contact,
        words: Words,
        cx: &mut Cx<'_, Self>,
    ) -> bool {
        match (errand, words) {
            (Errand::State(at), Words::StateIs { zones, named, .. }) => {
                node.state_is(by, *at, zones, named, cx);
            }
            (Errand::Meet(at), Words::StateIs { zones, named, .. }) => {
                node.geometry.meetings = node.geometry.meetings.saturating_sub(1);
                node.state_is(by, *at, zones, named, cx);
            }
            (&Errand::Split { reality, whole }, Words::Offer { gift, named, .. }) => {
                node.is_offered(by, (reality, whole), gift, named, cx);
            }
            (Errand::Take(zone, named), Words::Yours { zone: Some(yours), .. })
                if yours == *zone =>
            {
                node.has_taken(by, *zone, named, cx);
            }
            (Errand::Search(inside, left), Words::StateIs { zones, named, .. }) => {
                node.search_on(*inside, *left, by, &zones, named, cx);
            }
            _ => return false,
        }
        true
    }

    fn unanswered(node: &mut Node, errand: Errand, cx: &mut Cx<'_, Self>) {
        match errand {
            Errand::Meet(_) => {
                node.geometry.meetings = node.geometry.meetings.saturating_sub(1);
            }
            Errand::Split { .. } | Errand::Take(..) => node.join_again(cx),
            // Another round asks again.
            Errand::State(_) | Errand::Search(..) => {}
        }
    }

    fn check(node: &Node) {
        node.geometry.check();
    }
}

#[cfg(test)]
mod tests;
