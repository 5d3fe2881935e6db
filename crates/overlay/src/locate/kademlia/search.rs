//! A lookup: from the nodes that are known to those nearest to a key, several questions at once.
//!
//! Maymounkov, Mazières (IPTPS 2002), section 2.3, and for disjoint paths Baumgart, Mies, "S/Kademlia: a
//! practicable approach towards secure key-based routing", ICPADS 2007, section 4.4: each node is asked
//! on one path only, so that one that lies leads one path astray.
//!
//! Of the k nearest that have not failed, those that were not asked yet are asked, the nearest first,
//! `parallel` at once. A node that takes longer than most leaves its place among them to the next one, as
//! many of those that do are gone. If the k nearest are looked for, the lookup ends when all of them have
//! answered, and late ones that are nearer are awaited. If the nearest alone is, it ends when that has
//! answered, and late ones are not awaited.
//!
//! Of a host one node counts, the first that answers (libtorrent's `restrict_search_ips`): else one machine
//! would be all that a lookup ends with. Only an answer says that a node is there, so whoever names wrong
//! ports of a host keeps nobody out.

use std::time::Duration;

use nigh_base::{Address, Key};
use smallvec::SmallVec;

use super::{
    host::Host,
    krpc::{Response, Token},
};
use crate::locate::{Contact, Hop};

/// Nodes that a path has in mind; the farthest are forgotten.
const CANDIDATES_MAX: usize = 64;
/// Paths at most.
pub const PATHS_MAX: usize = 8;
/// Questions of one lookup at most: what liars can make it ask.
const ASKED_MAX: u32 = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Fresh,
    Asked,
    /// Asked, and slower than most.
    Late,
    Answered,
    /// It has not answered, or another of its host has.
    Failed,
    /// Another path has asked it.
    Taken,
}

/// Somebody who may be near.
#[derive(Clone, Debug, Hash)]
pub(super) struct Candidate {
    /// Not known of an address that a caller gave.
    pub(super) key: Option<Key>,
    pub(super) address: Address,
    state: State,
    /// How many were passed on the way to it, itself among them.
    hops: u32,
    named_by: Option<u32>,
    /// Its place in the route, once it was asked.
    asked_as: u32,
    told: Told,
}

/// What a node has told that counts if something is to be stored with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Told {
    pub(super) token: Option<Token>,
    /// The number of the item or the value that it holds; none if it holds none that has one.
    pub(super) number: Option<i64>,
}

impl Told {
    pub(super) fn of(response: &Response) -> Self {
        let signed = response.item.as_ref().and_then(|it| it.signed.as_ref());
        let number = signed.map(|it| it.number).or(response.number);
        // A value without a number comes before all that have one.
        let number = number.or_else(|| response.value.as_ref().map(|_| 0));
        Self { token: response.token.clone(), number }
    }
}

impl Candidate {
    /// Whether it may still be one of those that a lookup ends with.
    const fn has_place(&self) -> bool {
        !matches!(self.state, State::Late | State::Failed)
    }

    /// Whether no other is there if this one is: of a key, an address and a host one node counts.
    fn rules_out(&self, other: &Self) -> bool {
        let is_of_host = |host| host == Host::of(other.address);
        self.key == other.key
            || self.address == other.address
            || Host::of_one_place(self.address).is_some_and(is_of_host)
    }

    const fn new(key: Option<Key>, address: Address) -> Self {
        let (hops, named_by, asked_as) = (1, None, 0);
        let told = Told { token: None, number: None };
        Self { key, address, state: State::Fresh, hops, named_by, asked_as, told }
    }

    /// Those whose keys are not known come behind all others.
    fn gap(&self, target: Key) -> (bool, Key) {
        (self.key.is_none(), self.key.unwrap_or(target).xor(target))
    }
}

/// Leaves as many as a path has in mind: those who are of no use go first, then the farthest who were not
/// asked. Who has answered stays, however many are named that are nearer and are not there.
fn cut(path: &mut Vec<Candidate>) {
    while path.len() > CANDIDATES_MAX {
        let last = |states: &[State]| path.iter().rposition(|it| states.contains(&it.state));
        let place = last(&[State::Failed, State::Taken]).or_else(|| last(&[State::Fresh]));
        path.remove(place.unwrap_or(CANDIDATES_MAX));
    }
}

/// A node that has answered, as the lookup's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) contact: Contact,
    pub(super) told: Told,
    hops: u32,
}

/// A lookup under way.
#[derive(Clone, Debug, Hash)]
pub(super) struct Search {
    target: Key,
    goal: Goal,
    /// How many nodes it ends with.
    wanted: usize,
    /// Questions at once, on all paths together.
    parallel: usize,
    /// The nearest first on each.
    paths: SmallVec<[Vec<Candidate>; 1]>,
    /// Whose turn it is.
    turn: usize,
    asked: u32,
    /// In the order of the questions, if somebody wants to see it.
    route: Option<Vec<Hop>>,
}

/// Whose answer ends a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Goal {
    /// That of the nearest, which names those behind it.
    Nearest,
    /// Those of all the nearest.
    All,
}

/// How a lookup goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Manner {
    pub(super) goal: Goal,
    pub(super) wanted: usize,
    pub(super) parallel: usize,
    pub(super) paths: usize,
    pub(super) trace: bool,
}

impl Search {
    /// A lookup that begins with those nodes, which are dealt out to its paths, and with those addresses.
    pub(super) fn new(target: Key, manner: Manner, known: &[Contact], via: &[Address]) -> Self {
        let Manner { goal, wanted, parallel, paths, trace } = manner;
        let known = known.iter().map(|it| Candidate::new(Some(it.key), it.address));
        let via = via.iter().map(|&address| Candidate::new(None, address));
        let mut dealt: SmallVec<[Vec<Candidate>; 1]> = (0..paths).map(|_| Vec::new()).collect();
        for (number, candidate) in known.chain(via).enumerate() {
            dealt[number % paths].push(candidate);
        }
        for path in &mut dealt {
            path.sort_by_key(|it| it.gap(target));
            path.truncate(CANDIDATES_MAX);
        }
        let route = trace.then(Vec::new);
        Self { target, goal, wanted, parallel, paths: dealt, turn: 0, asked: 0, route }
    }

    /// Whom to ask now, if anybody: the caller does so.
    pub(super) fn next(&mut self) -> Option<(Option<Key>, Address)> {
        let paths = self.paths.len();
        // Each path has its share of the questions, so that none waits for a path of liars.
        let share = self.parallel.div_ceil(paths);
        for _ in 0..paths {
            let path = self.turn;
            self.turn = (path + 1) % paths;
            let under_way = self.paths[path].iter().filter(|it| it.state == State::Asked).count();
            if under_way >= share || self.asked >= ASKED_MAX {
                continue;
            }
            let Some(place) = self.fresh(path) else { continue };
            let candidate = &mut self.paths[path][place];
            candidate.state = State::Asked;
            candidate.asked_as = self.asked;
            self.asked += 1;
            if let Some(route) = &mut self.route {
                route.push(Hop {
                    key: candidate.key,
                    address: candidate.address,
                    round_trip: None,
                    named_by: candidate.named_by,
                    gap: candidate.key.map(|key| key.xor(self.target)),
                });
            }
            return Some((candidate.key, candidate.address));
        }
        None
    }

    /// The nearest on a path that is to be asked. Those who were named on several paths are of the one that
    /// asks them first: a liar that names them does not keep them from others.
    fn fresh(&mut self, path: usize) -> Option<usize> {
        loop {
            let candidates = self.paths[path].iter().enumerate();
            let mut nearest = candidates.filter(|(_, it)| it.has_place()).take(self.wanted);
            let (place, candidate) = nearest.find(|(_, it)| it.state == State::Fresh)?;
            let is_same =
                |it: &Candidate| it.address == candidate.address && it.state != State::Fresh;
            let is_taken = self.paths.iter().flatten().any(is_same);
            let state = match (is_taken, self.has_answer_of(candidate.address)) {
                (true, _) => State::Taken,
                (false, true) => State::Failed,
                (false, false) => return Some(place),
            };
            self.paths[path][place].state = state;
        }
    }

    /// Whether a node of the host at that address has answered, if a host counts once.
    fn has_answer_of(&self, address: Address) -> bool {
        let Some(host) = Host::of_one_place(address) else { return false };
        let of_host = |it: &Candidate| it.state == State::Answered && Host::of(it.address) == host;
        self.paths.iter().flatten().any(of_host)
    }

    /// Whether nobody is left whose answer would help.
    pub(super) fn is_done(&self) -> bool {
        self.paths.iter().all(|path| self.is_found(path))
    }

    fn is_found(&self, path: &[Candidate]) -> bool {
        let mut left = match self.goal {
            Goal::Nearest => 1,
            Goal::All => self.wanted,
        };
        let mut is_late = false;
        for candidate in path {
            match candidate.state {
                State::Asked => return false,
                State::Fresh if self.asked < ASKED_MAX => return false,
                State::Late => is_late = true,
                State::Failed => {}
                State::Fresh | State::Answered | State::Taken => {
                    left -= 1;
                    if left == 0 {
                        return self.goal == Goal::Nearest || !is_late;
                    }
                }
            }
        }
        !is_late
    }

    /// The candidate that was asked at that address, on which path.
    fn asked_at(&mut self, address: Address) -> Option<(usize, usize)> {
        let is_it = |it: &Candidate| {
            it.address == address && matches!(it.state, State::Asked | State::Late)
        };
        let of_path = |path: &Vec<Candidate>| path.iter().position(is_it);
        self.paths.iter().enumerate().find_map(|(path, it)| Some((path, of_path(it)?)))
    }

    /// A node has answered, and named others.
    pub(super) fn answered(
        &mut self,
        from: Contact,
        round_trip: Duration,
        told: Told,
        named: impl Iterator<Item = Contact>,
        me: Key,
    ) {
        let Some((path, place)) = self.asked_at(from.address) else { return };
        if self.has_answer_of(from.address) {
            return self.failed(from.address);
        }
        let target = self.target;
        let candidate = &mut self.paths[path][place];
        // Only now is it known who is behind an address that the caller gave.
        candidate.key = Some(from.key);
        candidate.state = State::Answered;
        candidate.told = told;
        let (asked_as, hops) = (candidate.asked_as, candidate.hops);
        if let Some(hop) = self.route.as_mut().and_then(|route| route.get_mut(asked_as as usize)) {
            hop.round_trip = Some(round_trip);
            hop.key = Some(from.key);
            hop.gap = Some(from.key.xor(target));
        }
        // Who knows one way in alone deals out to all paths what is named there.
        let is_first = self.paths.iter().any(Vec::is_empty);
        let paths = self.paths.len();
        for (number, contact) in named.enumerate() {
            let path = if is_first { (path + number) % paths } else { path };
            // A wrong address for a key, or a wrong key for an address, keeps nobody out who is named rightly:
            // only an answer says who is there.
            let is_same = |it: &Candidate| {
                let (address, key) = (it.address == contact.address, it.key == Some(contact.key));
                address && key || it.state == State::Answered && (address || key)
            };
            if contact.key != me && !self.paths[path].iter().any(is_same) {
                self.paths[path].push(Candidate {
                    hops: hops + 1,
                    named_by: Some(asked_as),
                    ..Candidate::new(Some(contact.key), contact.address)
                });
            }
        }
        for path in &mut self.paths {
            path.sort_by_key(|it| it.gap(target));
            cut(path);
        }
    }

    /// A node has not answered.
    pub(super) fn failed(&mut self, address: Address) {
        if let Some((path, place)) = self.asked_at(address) {
            self.paths[path][place].state = State::Failed;
        }
    }

    /// A node takes longer than most.
    pub(super) fn is_late(&mut self, address: Address) {
        if let Some((path, place)) = self.asked_at(address) {
            self.paths[path][place].state = State::Late;
        }
    }

    /// The nearest that have answered, and their tokens; the nearest first. Of several paths each has its
    /// turn, the nearest of all first, then the second nearest: else one path of liars, who make ids up that
    /// are nearer than any, would have all places. Where the nearest alone has to answer, those who were named
    /// follow it.
    pub(super) fn holders(&self) -> Vec<Holder> {
        let holder = |it: &Candidate| {
            let contact = Contact { key: it.key?, address: it.address };
            Some(Holder { contact, told: it.told.clone(), hops: it.hops })
        };
        let of_path = |path: &Vec<Candidate>| -> Vec<Holder> {
            self.found(path).into_iter().filter_map(holder).collect()
        };
        let of_paths: Vec<Vec<Holder>> = self.paths.iter().map(of_path).collect();
        let turn = |place: usize| of_paths.iter().filter_map(move |path| path.get(place)).cloned();
        let mut holders: Vec<Holder> = (0..self.wanted).flat_map(turn).take(self.wanted).collect();
        holders.sort_by_key(|it| it.contact.key.xor(self.target));
        holders
    }

    /// Those of a path with whom it ends, the nearest first.
    fn found<'a>(&self, path: &'a [Candidate]) -> Vec<&'a Candidate> {
        let has_answered = |it: &&Candidate| it.state == State::Answered;
        if self.goal == Goal::All {
            return path.iter().filter(has_answered).take(self.wanted).collect();
        }
        let mut found: Vec<&Candidate> = Vec::new();
        for candidate in path.iter().skip_while(|it| !has_answered(it)).filter(|it| it.has_place())
        {
            let mut others = path.iter().filter(has_answered).chain(found.iter().copied());
            if has_answered(&candidate) || !others.any(|it| it.rules_out(candidate)) {
                found.push(candidate);
            }
        }
        found.truncate(self.wanted);
        found
    }

    /// How many nodes were passed on the way to the nearest.
    pub(super) fn hops(&self) -> u32 {
        self.holders().first().map_or(0, |it| it.hops)
    }

    /// Whether that node is the nearest that has answered.
    pub(super) fn leads_to(&self, contact: Contact) -> bool {
        self.holders().first().is_some_and(|it| it.contact == contact)
    }

    pub(super) fn take_route(&mut self) -> Vec<Hop> {
        self.route.take().unwrap_or_default()
    }

    /// What holds at every moment.
    pub(super) fn check(&self) {
        for path in &self.paths {
            assert!(path.len() <= CANDIDATES_MAX, "too many candidates");
            assert!(path.is_sorted_by_key(|it| it.gap(self.target)), "the nearest are first");
        }
        assert!(self.asked <= ASKED_MAX, "too many questions");
    }
}

#[cfg(test)]
mod tests;
