//! The routing table: nodes in buckets by how many leading bits they share with this one.
//!
//! Maymounkov, Mazières, "Kademlia: a peer-to-peer information system based on the XOR metric", IPTPS
//! 2002, sections 2.2 to 2.4 and 4.1; BEP 5, "Routing Table". The last bucket holds all who share as
//! many bits as its number or more; it is cut in two when it is full, so that there are about as many
//! buckets as the logarithm of the number of nodes.

use std::{mem, time::Duration};

use nigh_base::{Key, Time};
use smallvec::SmallVec;

use super::host::Host;
use crate::locate::Contact;

/// A node that was heard of so long ago may be gone (BEP 5).
const FRESH: Duration = Duration::from_secs(15 * 60);
/// A node that has left so many questions in a row unanswered is gone as soon as there is another one.
const MISSES_MAX: u8 = 2;
/// Buckets at most: one for each number of bits that can be shared.
const BUCKETS_MAX: usize = Key::BITS as usize;

/// A node of the table.
#[derive(Clone, Debug, Hash)]
pub(super) struct Known {
    pub(super) contact: Contact,
    /// When it last answered a question, or asked one after it had answered.
    pub(super) heard: Time,
    /// When it last answered, or did not.
    tried: Time,
    /// How many questions in a row it has left unanswered.
    misses: u8,
    /// Whether its key is one that its address may have (BEP 42).
    fits: bool,
    /// Its last round trip.
    round_trip: Duration,
}

impl Known {
    pub(super) const fn is_bad(&self) -> bool {
        self.misses >= MISSES_MAX
    }

    /// Whether it has left the last question unanswered.
    pub(super) const fn is_missing(&self) -> bool {
        self.misses > 0
    }

    fn is_questionable(&self, now: Time) -> bool {
        self.is_missing() || now.since(self.heard) >= FRESH
    }

    /// Whether it is to be asked whether it is there. One that is gone is asked now and then: it may have
    /// been the network.
    fn is_due(&self, now: Time) -> bool {
        match self.misses {
            0 => now.since(self.heard) >= FRESH,
            1 => true,
            _ => now.since(self.tried) >= FRESH,
        }
    }
}

/// Nodes that share a number of bits with this one.
#[derive(Clone, Debug, Default, Hash)]
struct Bucket {
    /// Those who are asked and named, by when they came.
    nodes: SmallVec<[Known; 0]>,
    /// Those who take the place of one that is gone, the latest last: the replacement cache.
    spares: SmallVec<[Known; 0]>,
    /// When a node in it was last looked for or answered.
    touched: Time,
}

/// How a table is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Nodes of a bucket: k.
    pub(super) bucket: usize,
    /// Whether, of the nodes that would do, those with the shortest round trips are kept.
    pub(super) by_proximity: bool,
}

/// What became of a node that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is in the table, and was not before.
    New,
    /// It is in the table, as it was.
    Kept,
    /// There is no place for it, but this one may be gone: it is to be asked.
    Doubt(Contact),
    /// There is no place for it.
    Spare,
}

/// The nodes of one family of addresses that this one knows.
#[derive(Clone, Debug, Hash)]
pub(super) struct Table {
    me: Key,
    shape: Shape,
    buckets: Vec<Bucket>,
}

impl Table {
    pub(super) fn new(me: Key, shape: Shape) -> Self {
        Self { me, shape, buckets: vec![Bucket::default()] }
    }

    /// In which bucket a node of that key belongs.
    fn place(&self, key: Key) -> usize {
        let shared = self.me.xor(key).leading_zeros() as usize;
        shared.min(self.buckets.len() - 1)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Known> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.nodes.len()).sum()
    }

    /// How many of them are not known to be gone.
    pub(super) fn living(&self) -> usize {
        self.nodes().filter(|it| !it.is_bad()).count()
    }

    /// Another node of the host at that address, if a host may have no more than one place.
    fn other_of_host(&self, contact: Contact) -> Option<&Known> {
        let host = Host::of_one_place(contact.address)?;
        let is_other = |it: &&Known| it.contact != contact && Host::of(it.contact.address) == host;
        self.nodes().find(is_other)
    }

    pub(super) fn get(&self, contact: Contact) -> Option<&Known> {
        self.buckets[self.place(contact.key)].nodes.iter().find(|it| it.contact == contact)
    }

    /// A node has answered in that time.
    pub(super) fn answered(
        &mut self,
        contact: Contact,
        round_trip: Duration,
        fits: bool,
        now: Time,
    ) -> Heard {
        if contact.key == self.me {
            return Heard::Spare;
        }
        // Many ports are one host: else one machine would fill the table.
        if let Some(other) = self.other_of_host(contact) {
            let (other, is_doubtful) = (other.clone(), other.is_questionable(now));
            if !other.is_bad() {
                return if is_doubtful { Heard::Doubt(other.contact) } else { Heard::Spare };
            }
            self.remove(other.contact);
            let heard = self.admit(contact, round_trip, fits, now);
            self.fill(self.place(other.contact.key));
            return heard;
        }
        self.admit(contact, round_trip, fits, now)
    }

    /// The same, where no other of its host has a place.
    fn admit(&mut self, contact: Contact, round_trip: Duration, fits: bool, now: Time) -> Heard {
        loop {
            let place = self.place(contact.key);
            let is_cut = place + 1 == self.buckets.len() && self.buckets.len() < BUCKETS_MAX;
            let known = Known { contact, heard: now, tried: now, misses: 0, fits, round_trip };
            let bucket = &mut self.buckets[place];
            bucket.touched = now;
            if let Some(kept) = bucket.nodes.iter_mut().find(|it| it.contact == contact) {
                *kept = known;
                return Heard::Kept;
            }
            // One key is one node, and who was there first and still answers stays: a stranger could
            // take its place otherwise. The same holds for one address with two keys.
            let is_same =
                |it: &Known| it.contact.key == contact.key || it.contact.address == contact.address;
            if let Some(other) = bucket.nodes.iter_mut().find(|it| is_same(it)) {
                if other.is_bad() {
                    *other = known;
                    return Heard::New;
                }
                let is_doubtful = other.is_questionable(now);
                return if is_doubtful { Heard::Doubt(other.contact) } else { Heard::Spare };
            }
            if bucket.nodes.len() < self.shape.bucket {
                bucket.nodes.push(known);
                bucket.spares.retain(|it| it.contact != contact);
                return Heard::New;
            }
            if is_cut {
                self.split();
                continue;
            }
            return bucket.compete(known, &self.shape, now);
        }
    }

    /// A node that has answered before has asked something.
    pub(super) fn asked(&mut self, contact: Contact, now: Time) {
        let place = self.place(contact.key);
        let mut nodes = self.buckets[place].nodes.iter_mut();
        if let Some(known) = nodes.find(|it| it.contact == contact) {
            known.heard = now;
        }
    }

    /// Whether a node that is not in the table would have a place, if it answered.
    pub(super) fn has_place(&self, contact: Contact) -> bool {
        let place = self.place(contact.key);
        let bucket = &self.buckets[place];
        let is_cut = place + 1 == self.buckets.len() && self.buckets.len() < BUCKETS_MAX;
        let is_free = bucket.nodes.len() < self.shape.bucket || is_cut;
        let is_same =
            |it: &&Known| it.contact.key == contact.key || it.contact.address == contact.address;
        (is_free || bucket.nodes.iter().any(Known::is_bad))
            && bucket.nodes.iter().find(is_same).is_none()
            && self.other_of_host(contact).is_none_or(Known::is_bad)
    }

    /// This node has another key now: all whom it knows are sorted anew, and what is known of them stays. Those
    /// who are gone come last.
    pub(super) fn rekey(&mut self, me: Key) {
        let shape = self.shape.clone();
        let old = mem::replace(self, Self::new(me, shape));
        let (mut nodes, mut spares) = (Vec::new(), Vec::new());
        for bucket in old.buckets {
            nodes.extend(bucket.nodes);
            spares.extend(bucket.spares);
        }
        let (gone, there): (Vec<Known>, Vec<Known>) = nodes.into_iter().partition(Known::is_bad);
        for known in there.into_iter().chain(spares).chain(gone) {
            self.put_back(known);
        }
    }

    fn put_back(&mut self, known: Known) {
        if known.contact.key == self.me {
            return;
        }
        let is_one_more = self.other_of_host(known.contact).is_some();
        loop {
            let place = self.place(known.contact.key);
            let is_cut = place + 1 == self.buckets.len() && self.buckets.len() < BUCKETS_MAX;
            let bucket = &mut self.buckets[place];
            bucket.touched = bucket.touched.max(known.heard);
            if !is_one_more && bucket.nodes.len() < self.shape.bucket {
                return bucket.nodes.push(known);
            }
            if is_one_more || !is_cut {
                // Who is gone is no spare.
                if !known.is_bad() {
                    bucket.spare(known, &self.shape);
                }
                return;
            }
            self.split();
        }
    }

    /// A node has not answered.
    pub(super) fn missed(&mut self, contact: Contact, now: Time) {
        let place = self.place(contact.key);
        let bucket = &mut self.buckets[place];
        bucket.spares.retain(|it| it.contact != contact);
        let Some(at) = bucket.nodes.iter().position(|it| it.contact == contact) else { return };
        let known = &mut bucket.nodes[at];
        known.tried = now;
        known.misses = known.misses.saturating_add(1);
        if known.is_bad()
            && let Some(spare) = self.take_spare(place, Some(contact))
        {
            self.buckets[place].nodes[at] = spare;
        }
    }

    /// The latest spare of a bucket, but for those whose host has a place, `without` that node.
    fn take_spare(&mut self, place: usize, without: Option<Contact>) -> Option<Known> {
        let may_be = |it: &Known| {
            let other = self.other_of_host(it.contact);
            other.is_none_or(|other| Some(other.contact) == without)
        };
        let at = self.buckets[place].spares.iter().rposition(may_be)?;
        Some(self.buckets[place].spares.remove(at))
    }

    /// Has spares take the places that are free in a bucket.
    fn fill(&mut self, place: usize) {
        while self.buckets[place].nodes.len() < self.shape.bucket
            && let Some(spare) = self.take_spare(place, None)
        {
            self.buckets[place].nodes.push(spare);
        }
    }

    /// Cuts the last bucket in two.
    fn split(&mut self) {
        let last = self.buckets.len() - 1;
        let me = self.me;
        let shares_more = |it: &Known| me.xor(it.contact.key).leading_zeros() as usize > last;
        let Bucket { nodes, spares, touched } = mem::take(&mut self.buckets[last]);
        let (deep_nodes, nodes) = nodes.into_iter().partition(shares_more);
        let (deep_spares, spares) = spares.into_iter().partition(shares_more);
        self.buckets[last] = Bucket { nodes, spares, touched };
        self.buckets.push(Bucket { nodes: deep_nodes, spares: deep_spares, touched });
        self.fill(last);
        self.fill(last + 1);
    }

    /// The `count` nodes nearest to `target` that are not known to be gone, the nearest first. It sorts
    /// those of one or a few buckets.
    pub(super) fn nearest(&self, target: Key, count: usize) -> SmallVec<[Contact; 16]> {
        let mut found: SmallVec<[Contact; 16]> = SmallVec::new();
        let place = self.place(target);
        // In its own bucket lie those who share with the target what this node does not; then come, in
        // any order, those who share more bits with this node; then those who share fewer, bucket by
        // bucket.
        self.append(place..place + 1, target, count, &mut found);
        self.append(place + 1..self.buckets.len(), target, count, &mut found);
        for place in (0..place).rev() {
            self.append(place..place + 1, target, count, &mut found);
        }
        found
    }

    /// Appends the nearest of those buckets, up to `count` in all.
    fn append(
        &self,
        places: std::ops::Range<usize>,
        target: Key,
        count: usize,
        found: &mut SmallVec<[Contact; 16]>,
    ) {
        let from = found.len();
        if from >= count {
            return;
        }
        let nodes = self.buckets[places].iter().flat_map(|bucket| &bucket.nodes);
        found.extend(nodes.filter(|it| !it.is_bad()).map(|it| it.contact));
        found[from..].sort_unstable_by_key(|it| it.key.xor(target));
        found.truncate(count);
    }

    /// Of those who are to be asked whether they are there, the one that was tried first.
    pub(super) fn silent(&self, now: Time) -> Option<Contact> {
        let due = self.nodes().filter(|it| it.is_due(now));
        due.min_by_key(|it| it.tried).map(|it| it.contact)
    }

    /// A bucket in which nothing was looked for in [`FRESH`], by its number; it counts as looked for now.
    pub(super) fn stale(&mut self, now: Time) -> Option<usize> {
        let is_stale = |bucket: &Bucket| now.since(bucket.touched) >= FRESH;
        let place = self.buckets.iter().position(is_stale)?;
        self.buckets[place].touched = now;
        Some(place)
    }

    /// `drawn` with as many bits in front as nodes of that bucket share with this one, and one that they
    /// do not.
    pub(super) fn key_in(&self, place: usize, drawn: Key) -> Key {
        let bits = u32::try_from(place).expect("160 buckets");
        let is_last = place + 1 == self.buckets.len();
        let below = Key::BITS - bits;
        let front = self.me.minus(self.me.low(below)).plus(drawn.low(below));
        if is_last || below == 0 {
            return front;
        }
        let bit = Key::power(below - 1);
        let differs = front.xor(self.me).leading_zeros() == bits;
        if differs { front } else { front.xor(bit) }
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Forgets a node at once: a spare takes its place.
    pub(super) fn forget(&mut self, contact: Contact) {
        self.remove(contact);
        self.fill(self.place(contact.key));
    }

    fn remove(&mut self, contact: Contact) {
        let place = self.place(contact.key);
        let bucket = &mut self.buckets[place];
        bucket.nodes.retain(|it| it.contact != contact);
        bucket.spares.retain(|it| it.contact != contact);
    }

    /// What holds at every moment.
    pub(super) fn check(&self) {
        assert!((1..=BUCKETS_MAX).contains(&self.buckets.len()), "buckets");
        let hosts: Vec<Host> =
            self.nodes().filter_map(|it| Host::of_one_place(it.contact.address)).collect();
        let different: std::collections::BTreeSet<&Host> = hosts.iter().collect();
        assert_eq!(different.len(), hosts.len(), "a host has two places");
        for (place, bucket) in self.buckets.iter().enumerate() {
            assert!(bucket.nodes.len() <= self.shape.bucket, "too many in a bucket");
            assert!(bucket.spares.len() <= self.shape.bucket, "too many spares");
            for known in bucket.nodes.iter().chain(&bucket.spares) {
                assert_eq!(self.place(known.contact.key), place, "in another's bucket");
                assert!(known.contact.key != self.me, "this node in its own table");
            }
        }
    }
}

impl Bucket {
    /// A node for which there is no place: it takes that of one who is gone or worse, or waits.
    fn compete(&mut self, new: Known, shape: &Shape, now: Time) -> Heard {
        let is_worse = |it: &Known| {
            it.is_bad()
                || new.fits && !it.fits
                || shape.by_proximity && new.fits == it.fits && new.round_trip < it.round_trip
        };
        let worst = |it: &(usize, &Known)| (it.1.is_bad(), !it.1.fits, it.1.round_trip);
        let found = self.nodes.iter().enumerate().filter(|it| is_worse(it.1)).max_by_key(worst);
        if let Some((at, _)) = found {
            let old = mem::replace(&mut self.nodes[at], new);
            if !old.is_bad() {
                self.spare(old, shape);
            }
            return Heard::New;
        }
        self.spare(new, shape);
        let doubtful = self.nodes.iter().filter(|it| it.is_questionable(now));
        match doubtful.min_by_key(|it| it.heard) {
            Some(known) => Heard::Doubt(known.contact),
            None => Heard::Spare,
        }
    }

    fn spare(&mut self, known: Known, shape: &Shape) {
        // A host is one spare of a bucket, as it would have one place.
        let host = Host::of_one_place(known.contact.address);
        let is_same = |it: &Known| {
            it.contact == known.contact
                || host.is_some_and(|host| Host::of(it.contact.address) == host)
        };
        self.spares.retain(|it| !is_same(it));
        if self.spares.len() == shape.bucket {
            self.spares.remove(0);
        }
        self.spares.push(known);
    }
}

#[cfg(test)]
mod tests;
