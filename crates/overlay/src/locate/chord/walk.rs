//! A lookup that the asker walks itself: whom it has yet to ask, and whom it has asked.
//!
//! SIGCOMM 2001, section 4.3, leaves open what an asker does when a node on the way is silent. Here
//! it goes round it by the others that were named, comes back to it, and, when all that are nearer
//! are silent, asks a few that lie farther and may know a way round.

use std::time::Duration;

use nigh_base::{Address, Key, space::clockwise::Circle};

use crate::locate::{Contact, Hop};

/// Nodes that a walk has yet to ask; the farthest are forgotten.
const CANDIDATES_MAX: usize = 16;
/// A way is given up after so many nodes: in a ring without fingers it visits all of them.
pub(super) const HOPS_MAX: u32 = 200;
/// So often a node is asked for the next in one walk.
const MISSES_MAX: u32 = 3;
/// So many nodes are asked that lie farther from the key than one that has answered.
const DETOURS_MAX: u32 = 16;

/// Somebody who may know the way.
#[derive(Clone, Debug, Hash)]
pub(super) struct Candidate {
    /// Not known of an address that a caller gave.
    pub(super) key: Option<Key>,
    pub(super) address: Address,
    pub(super) named_by: Option<u32>,
    /// How often it was asked and did not answer.
    pub(super) misses: u32,
}

impl Candidate {
    pub(super) const fn new(key: Option<Key>, address: Address) -> Self {
        Self { key, address, named_by: None, misses: 0 }
    }

    /// How far before `target` it lies.
    fn gap(&self, circle: Circle, target: Key) -> Option<Key> {
        self.key.map(|key| circle.distance(key, target))
    }
}

/// The state of a walk. Most lookups are passed on by others and have none.
#[derive(Clone, Debug, Hash)]
pub(super) struct Walk {
    /// The nearest before the key last.
    candidates: Vec<Candidate>,
    /// Those who were asked and did not answer: asked again when nobody nearer is left, since a
    /// datagram may have been lost.
    missed: Vec<Candidate>,
    /// Who is being asked.
    asking: Option<Candidate>,
    /// Those who have answered: nobody is asked again what it has answered.
    passed: Vec<Key>,
    /// How far before the key the nearest of them lies.
    reached: Option<Key>,
    /// How often somebody was asked who lies farther.
    detours: u32,
    /// How many have answered.
    pub(super) hops: u32,
    /// How often it has begun anew.
    pub(super) restarts: u32,
    /// The way so far, if somebody wants to see it.
    pub(super) route: Option<Vec<Hop>>,
}

impl Walk {
    /// A walk that has yet to begin, with its route written down or not.
    pub(super) fn new(trace: bool) -> Self {
        Self {
            candidates: Vec::new(),
            missed: Vec::new(),
            asking: None,
            passed: Vec::new(),
            reached: None,
            detours: 0,
            hops: 0,
            restarts: 0,
            route: trace.then(Vec::new),
        }
    }

    /// Begins, or begins anew, with those whom the asker knows, the nearest last.
    pub(super) fn begin(&mut self, known: Vec<Candidate>) {
        self.candidates = known;
        self.missed.clear();
        self.passed.clear();
        (self.reached, self.detours) = (None, 0);
    }

    pub(super) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Whom to ask next on the way to `target`: the nearest that was not asked yet, if it lies nearer
    /// than all who have answered; then, again, those that do and did not answer; then the others.
    pub(super) fn next(&mut self, circle: Circle, target: Key) -> Option<Candidate> {
        let candidate = self.next_candidate(circle, target)?;
        if let Some(route) = &mut self.route {
            route.push(Hop {
                key: candidate.key,
                address: candidate.address,
                round_trip: None,
                named_by: candidate.named_by,
                gap: candidate.gap(circle, target),
            });
        }
        self.asking = Some(candidate.clone());
        Some(candidate)
    }

    fn next_candidate(&mut self, circle: Circle, target: Key) -> Option<Candidate> {
        let reached = self.reached;
        let nearer = |it: &Candidate| {
            it.gap(circle, target).zip(reached).is_none_or(|(gap, reached)| gap < reached)
        };
        if let Some(candidate) = self.candidates.pop_if(|it| nearer(it)) {
            return Some(candidate);
        }
        let again = |it: &Candidate| it.misses < MISSES_MAX;
        if let Some(place) = self.missed.iter().rposition(|it| again(it) && nearer(it)) {
            return Some(self.missed.remove(place));
        }
        if self.detours < DETOURS_MAX
            && let Some(candidate) = self.candidates.pop()
        {
            self.detours += 1;
            return Some(candidate);
        }
        let place = self.missed.iter().rposition(again)?;
        Some(self.missed.remove(place))
    }

    /// The one that was asked has answered.
    pub(super) fn answered(&mut self, address: Address, round_trip: Duration) {
        self.hops += 1;
        self.asking = None;
        let hop = self.route.iter_mut().flatten().rfind(|hop| hop.address == address);
        if let Some(hop) = hop {
            hop.round_trip = Some(round_trip);
        }
    }

    /// The one that was asked has not answered.
    pub(super) fn missed(&mut self) {
        if let Some(mut asked) = self.asking.take() {
            asked.misses += 1;
            // The latest missed is the nearest before the key.
            if self.missed.len() < CANDIDATES_MAX {
                self.missed.push(asked);
            }
        }
    }

    /// `asked`, who has just answered, has named these. Those count that lie nearer to `target` than
    /// it does, and are not `me`.
    pub(super) fn named(
        &mut self,
        asked: Option<Key>,
        contacts: &[Contact],
        circle: Circle,
        target: Key,
        me: Key,
    ) {
        let gap = |from: Key| circle.distance(from, target);
        self.passed.extend(asked);
        self.reached = self.reached.into_iter().chain(asked.map(gap)).min();
        let named_by = self.last_hop();
        for contact in contacts {
            let nearer = asked.is_none_or(|asked| gap(contact.key) < gap(asked));
            let passed = self.passed.contains(&contact.key);
            let mut known = self.candidates.iter().chain(&self.missed);
            // Several nodes of one host share its address.
            let known = known.any(|it| {
                it.address == contact.address && it.key.is_none_or(|key| key == contact.key)
            });
            if !nearer || passed || known || contact.key == me {
                continue;
            }
            let candidate =
                Candidate { named_by, ..Candidate::new(Some(contact.key), contact.address) };
            let farther = |it: &Candidate| {
                it.gap(circle, target).is_none_or(|other| other > gap(contact.key))
            };
            let place = self.candidates.partition_point(farther);
            self.candidates.insert(place, candidate);
            if self.candidates.len() > CANDIDATES_MAX {
                self.candidates.remove(0);
            }
        }
    }

    /// The owner, who was named and not asked, ends the way.
    pub(super) fn ends_at(&mut self, owner: Contact, gap: Key) {
        let named_by = self.last_hop();
        if let Some(route) = &mut self.route {
            let Contact { key, address } = owner;
            route.push(Hop { key: Some(key), address, round_trip: None, named_by, gap: Some(gap) });
        }
    }

    /// The place of the latest hop that answered.
    fn last_hop(&self) -> Option<u32> {
        let route = self.route.as_ref()?;
        let place = route.iter().rposition(|hop| hop.round_trip.is_some())?;
        u32::try_from(place).ok()
    }

    /// Panics if it has outgrown its limits.
    pub(super) fn check(&self) {
        assert!(self.candidates.len() <= CANDIDATES_MAX, "too many candidates");
        assert!(self.missed.len() <= CANDIDATES_MAX, "too many who have missed");
        assert!(self.hops <= HOPS_MAX, "a way without end");
    }
}
