//! A lookup that the asker walks itself: whom it asks next, and whom it has asked.
//!
//! The paper passes questions on; here an asker can also go itself, as in other overlays. A node that
//! does not answer is gone round: the one that named it is asked again, for a way without it.

use std::time::Duration;

use nigh_base::{Address, Key};

use super::{leaves::distance, message::WITHOUT_MAX};
use crate::locate::{Contact, Hop};

/// Nodes that a walk has yet to ask; the last named are forgotten.
const CANDIDATES_MAX: usize = 32;
/// A walk is given up after so many questions. With 10^5 nodes it takes about five.
pub(super) const HOPS_MAX: u32 = 64;

/// Somebody who may know the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    /// Not known of an address that a caller gave.
    pub(super) key: Option<Key>,
    pub(super) address: Address,
    /// Who has named it, and the place of that one in the route; nobody if the asker knows it.
    namer: Option<(Contact, Option<u32>)>,
}

impl Candidate {
    pub(super) const fn new(key: Option<Key>, address: Address) -> Self {
        Self { key, address, namer: None }
    }
}

/// The state of a walk. Most lookups are passed on by others and have none.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Walk {
    /// The next last.
    candidates: Vec<Candidate>,
    asking: Option<Candidate>,
    /// Those who have answered.
    pub(super) passed: Vec<Contact>,
    /// Nodes that are gone round: they have not answered.
    pub(super) without: Vec<Key>,
    asked: u32,
    /// How many have answered, each counted once.
    pub(super) hops: u32,
    /// How often it has begun anew.
    pub(super) restarts: u32,
    /// The way so far, if somebody wants to see it.
    pub(super) route: Option<Vec<Hop>>,
}

impl Walk {
    /// A walk that has yet to begin, with its route written down or not.
    pub(super) fn new(trace: bool) -> Self {
        Self { route: trace.then(Vec::new), ..Self::default() }
    }

    /// Begins, or begins anew, with those whom the asker knows, the next last.
    pub(super) fn begin(&mut self, known: Vec<Candidate>) {
        self.candidates = known;
        self.passed.clear();
    }

    pub(super) const fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Whom to ask next on the way to `target`; nobody if nobody is left, or it has gone on for too
    /// long.
    pub(super) fn next(&mut self, target: Key) -> Option<Candidate> {
        if self.asked >= HOPS_MAX {
            return None;
        }
        let candidate = self.candidates.pop()?;
        self.asked += 1;
        if let Some(route) = &mut self.route {
            route.push(Hop {
                key: candidate.key,
                address: candidate.address,
                round_trip: None,
                named_by: candidate.namer.and_then(|(_, place)| place),
                gap: candidate.key.map(|key| distance(key, target)),
            });
        }
        self.asking = Some(candidate);
        Some(candidate)
    }

    /// `by`, who was asked, has answered.
    pub(super) fn answered(&mut self, by: Contact, round_trip: Duration) {
        self.asking = None;
        self.hops += 1;
        self.passed.push(by);
        let hop = self.route.iter_mut().flatten().rfind(|hop| hop.address == by.address);
        if let Some(hop) = hop {
            (hop.key, hop.round_trip) = (Some(by.key), Some(round_trip));
        }
    }

    /// The one that was asked has not answered.
    pub(super) fn missed(&mut self) {
        let Some(missed) = self.asking.take() else { return };
        if let Some(key) = missed.key
            && !self.without.contains(&key)
        {
            // The asker's own key, which may be first, stays.
            if self.without.len() == WITHOUT_MAX {
                self.without.remove(1);
            }
            self.without.push(key);
        }
        if let Some((namer, _)) = missed.namer
            && let Some(place) = self.passed.iter().position(|it| *it == namer)
        {
            self.passed.remove(place);
            self.hops -= 1;
            self.candidates.push(Candidate::new(Some(namer.key), namer.address));
        }
    }

    /// `by`, who has just answered, has named these, the best first.
    pub(super) fn named(&mut self, by: Contact, contacts: &[Contact], me: Address) {
        let place = self.route.as_ref().and_then(|route| {
            let place = route.iter().rposition(|hop| hop.address == by.address)?;
            u32::try_from(place).ok()
        });
        for contact in contacts.iter().rev() {
            let is_passed = self.passed.iter().any(|it| it.address == contact.address);
            let is_out = self.without.contains(&contact.key) || contact.address == me;
            if is_passed || is_out {
                continue;
            }
            self.candidates.retain(|it| it.address != contact.address);
            if self.candidates.len() == CANDIDATES_MAX {
                self.candidates.remove(0);
            }
            let namer = Some((by, place));
            self.candidates
                .push(Candidate { namer, ..Candidate::new(Some(contact.key), contact.address) });
        }
    }

    /// Panics if it has outgrown its limits.
    pub(super) fn check(&self) {
        assert!(self.candidates.len() <= CANDIDATES_MAX, "too many candidates");
        assert!(self.without.len() <= WITHOUT_MAX, "too many to go round");
        assert!(self.asked <= HOPS_MAX && self.hops <= HOPS_MAX, "a way without end");
    }
}
