//! A lookup that the asker walks itself: whom it asks next, and whom it has asked.
//!
//! A node that does not answer is gone round: the one that named it is asked again, for a way without it.

use std::time::Duration;

use nigh_base::{Address, Key};

use super::{geometry::Step, message::WITHOUT_MAX};
use crate::locate::{Contact, Hop};

/// Nodes that a walk has yet to ask; the last named are forgotten.
const CANDIDATES_MAX: usize = 32;
/// A walk is given up after so many questions. The longest ways are CAN's: with two dimensions and 10^4
/// nodes 50 steps in the mean.
pub(super) const HOPS_MAX: u32 = 240;

/// And after so many who knew no way. They are round one hole: others round it know none either.
const DEAD_ENDS_MAX: u32 = 8;

/// Somebody who may know the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidate<C> {
    /// Not known of an address that a caller gave.
    pub(super) key: Option<Key>,
    pub(super) address: Address,
    /// What it is told of the way.
    pub(super) carry: C,
    /// Who has named it; nobody if the asker knows it.
    namer: Option<Namer<C>>,
}

/// Who has named a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Namer<C> {
    contact: Contact,
    /// What it was told of the way.
    carry: C,
    /// Its place in the route, if that is written down.
    place: Option<u32>,
}

impl<C: Copy + Default> Candidate<C> {
    /// Whoever is at an address, where a way begins.
    pub(super) const fn at(address: Address, carry: C) -> Self {
        Self { key: None, address, carry, namer: None }
    }

    /// The next on a way.
    pub(super) const fn next(step: Step<C>) -> Self {
        let Contact { key, address } = step.contact;
        Self { key: Some(key), address, carry: step.carry, namer: None }
    }
}

/// The state of a walk. Most lookups are passed on by others and have none.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Walk<C> {
    /// The next last.
    candidates: Vec<Candidate<C>>,
    asking: Option<Candidate<C>>,
    /// Those who have answered, and what each was told of the way.
    passed: Vec<Step<C>>,
    /// Nodes that are gone round: they have not answered.
    pub(super) without: Vec<Key>,
    asked: u32,
    /// How many have answered, each counted once.
    pub(super) hops: u32,
    /// How many have answered that they know no way.
    dead_ends: u32,
    /// How often it has begun anew.
    pub(super) restarts: u32,
    /// The way so far, if somebody wants to see it.
    pub(super) route: Option<Vec<Hop>>,
}

impl<C: Copy + Default + PartialEq> Walk<C> {
    /// A walk that has yet to begin, with its route written down or not.
    pub(super) fn new(trace: bool) -> Self {
        Self { route: trace.then(Vec::new), ..Self::default() }
    }

    /// Begins, or begins anew, with those whom the asker knows, the next last.
    pub(super) fn begin(&mut self, known: Vec<Candidate<C>>) {
        self.candidates = known;
        self.passed.clear();
    }

    pub(super) const fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Those who have answered.
    pub(super) fn passed(&self) -> Vec<Contact> {
        self.passed.iter().map(|step| step.contact).collect()
    }

    /// Whom to ask next; nobody if nobody is left, or it has gone on for too long. `gap` says how far a
    /// node lies before the target.
    pub(super) fn next(&mut self, gap: impl Fn(Key) -> Option<Key>) -> Option<Candidate<C>> {
        if self.asked >= HOPS_MAX || self.dead_ends >= DEAD_ENDS_MAX {
            return None;
        }
        let candidate = self.candidates.pop()?;
        self.asked += 1;
        if let Some(route) = &mut self.route {
            route.push(Hop {
                key: candidate.key,
                address: candidate.address,
                round_trip: None,
                named_by: candidate.namer.and_then(|namer| namer.place),
                gap: candidate.key.and_then(gap),
            });
        }
        self.asking = Some(candidate);
        Some(candidate)
    }

    /// `by`, who was asked, has answered.
    pub(super) fn answered(&mut self, by: Contact, round_trip: Duration) {
        let carry = self.asking.take().map_or_else(C::default, |it| it.carry);
        self.hops += 1;
        self.passed.push(Step { contact: by, carry });
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
        if let Some(Namer { contact, carry, .. }) = missed.namer
            && let Some(place) = self.passed.iter().position(|it| *it == Step { contact, carry })
        {
            self.passed.remove(place);
            self.hops -= 1;
            self.candidates.push(Candidate::next(Step { contact, carry }));
        }
    }

    /// `by`, who has just answered, has named these, the best first; nobody if it knows no way.
    pub(super) fn named(&mut self, by: Contact, steps: &[Step<C>], me: Address) {
        self.dead_ends += u32::from(steps.is_empty());
        let place = self.route.as_ref().and_then(|route| {
            let place = route.iter().rposition(|hop| hop.address == by.address)?;
            u32::try_from(place).ok()
        });
        let carry = self.passed.last().map_or_else(C::default, |step| step.carry);
        for step in steps.iter().rev() {
            let contact = step.contact;
            // A node may be passed twice on its way, with other things to know of it.
            let is_passed = self
                .passed
                .iter()
                .any(|it| it.contact.address == contact.address && it.carry == step.carry);
            let is_out = self.without.contains(&contact.key) || contact.address == me;
            if is_passed || is_out {
                continue;
            }
            self.candidates.retain(|it| it.address != contact.address || it.carry != step.carry);
            if self.candidates.len() == CANDIDATES_MAX {
                self.candidates.remove(0);
            }
            let namer = Some(Namer { contact: by, carry, place });
            self.candidates.push(Candidate { namer, ..Candidate::next(*step) });
        }
    }

    /// Panics if it has outgrown its limits.
    pub(super) fn check(&self) {
        assert!(self.candidates.len() <= CANDIDATES_MAX, "too many candidates");
        assert!(self.without.len() <= WITHOUT_MAX, "too many to go round");
        assert!(self.asked <= HOPS_MAX && self.hops <= HOPS_MAX, "a way without end");
    }
}
