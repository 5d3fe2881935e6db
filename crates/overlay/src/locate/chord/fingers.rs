//! The finger table: entry i is the first node at least 2^i behind this one, or, by proximity, the
//! nearest of several in [2^i, 2^(i+1)).
//!
//! SIGCOMM 2001, section 4.3; proximity neighbour selection: Dabek et al., "Designing a DHT for low
//! latency and high throughput", NSDI 2004, section 4.2 (there PNS(x)).

use std::time::Duration;

use nigh_base::{Key, machine::Context, space::clockwise::Circle};

use super::{Node, lookup::Purpose, message::Body, request::For};
use crate::locate::Contact;

/// Bits of a set of numbers.
const WORD: u32 = u64::BITS;
const WORDS: usize = (Key::BITS / WORD + 1) as usize;

/// Entries by number. Those that the next successor covers are not here: in a ring of N nodes all
/// but about log2 N of them.
#[derive(Debug, Default, Hash)]
pub(super) struct Fingers {
    /// Which numbers have an entry, a bit each. It lies with the node itself: an entry is found
    /// without going through those before it, which lie elsewhere in memory.
    numbers: [u64; WORDS],
    /// In ascending order of numbers.
    entries: Vec<Contact>,
    /// The number from which the next round goes on, downwards.
    next: u32,
}

/// The candidates for one finger, being asked for their round trip.
#[derive(Debug, Hash)]
pub(super) struct Choice {
    exponent: u32,
    waiting: Vec<Contact>,
    best: Option<(Duration, Contact)>,
    /// Who becomes the finger if no candidate is there.
    otherwise: Option<Contact>,
}

impl Fingers {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many entries have a lower number, and whether that number has one.
    fn place(&self, exponent: u32) -> Result<usize, usize> {
        let word = (exponent / WORD) as usize;
        let bit = 1 << (exponent % WORD);
        let before: u32 = self.numbers[..word].iter().map(|word| word.count_ones()).sum();
        let place = (before + (self.numbers[word] & (bit - 1)).count_ones()) as usize;
        if self.numbers[word] & bit == 0 { Err(place) } else { Ok(place) }
    }

    /// The numbers that have an entry, in ascending order.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        (0..Key::BITS).filter(|&exponent| self.place(exponent).is_ok())
    }

    pub(super) fn at(&self, exponent: u32) -> Option<Contact> {
        self.place(exponent).ok().map(|place| self.entries[place])
    }

    pub(super) fn set(&mut self, exponent: u32, contact: Contact) {
        match self.place(exponent) {
            Ok(place) => self.entries[place] = contact,
            Err(place) => {
                // Tables grow to their size once: no room is kept beyond it.
                self.entries.reserve_exact(1);
                self.entries.insert(place, contact);
                self.numbers[(exponent / WORD) as usize] |= 1 << (exponent % WORD);
            }
        }
    }

    fn unset(&mut self, exponent: u32) {
        if let Ok(place) = self.place(exponent) {
            self.entries.remove(place);
            self.numbers[(exponent / WORD) as usize] &= !(1 << (exponent % WORD));
        }
    }

    pub(super) fn has(&self, contact: Contact) -> bool {
        self.entries.contains(&contact)
    }

    pub(super) fn remove(&mut self, contact: Contact) {
        for exponent in 0..Key::BITS {
            if self.at(exponent) == Some(contact) {
                self.unset(exponent);
            }
        }
    }

    /// Forgets the entries below `exponent`, which the next successor covers.
    fn forget_below(&mut self, exponent: u32) {
        let (Ok(first) | Err(first)) = self.place(exponent);
        self.entries.drain(..first);
        for (word, lowest) in self.numbers.iter_mut().zip((0..).step_by(WORD as usize)) {
            *word &= u64::MAX.checked_shl(exponent.saturating_sub(lowest)).unwrap_or(0);
        }
    }

    /// The entry that lies last before `distance`, and those before it: from the number that
    /// `distance` itself has, downwards.
    pub(super) fn before(&self, distance: Key) -> impl Iterator<Item = Contact> {
        let exponent = (Key::BITS - 1).saturating_sub(distance.leading_zeros());
        let end = match self.place(exponent) {
            Ok(place) => place + 1,
            Err(place) => place,
        };
        self.entries[..end].iter().rev().copied()
    }

    /// All of them, the farthest last; one node may stand several times.
    pub(super) fn all(&self) -> impl Iterator<Item = Contact> {
        self.entries.iter().copied()
    }

    pub(super) fn check(&self, circle: Circle, me: Key) {
        assert!(self.entries.len() <= circle.bits() as usize, "too many fingers");
        assert_eq!(self.numbers().count(), self.entries.len(), "fingers without a number");
        for (number, contact) in self.numbers().zip(self.all()) {
            let least = Key::power(number);
            let distance = circle.distance(me, contact.key);
            assert!(distance >= least, "{me:?}: finger {number} is {contact:?}");
        }
    }
}

impl Node {
    /// The lowest number of which the next successor is not the finger.
    pub(super) fn lowest_finger(&self) -> u32 {
        match self.successors.first() {
            None => self.settings.circle.bits(),
            Some(near) => Key::BITS - self.distance(near.key).leading_zeros(),
        }
    }

    /// Looks up the fingers of this round.
    pub(super) fn fix_fingers(&mut self, cx: &mut Context<'_, Self>) {
        let lowest = self.lowest_finger();
        self.fingers.forget_below(lowest);
        let bits = self.settings.circle.bits();
        if lowest >= bits {
            return;
        }
        for _ in 0..self.settings.fingers_a_round.min(bits - lowest) {
            let next = self.fingers.next;
            let exponent = if (lowest..bits).contains(&next) { next } else { bits - 1 };
            // The far ones first: they shorten ways the most.
            self.fingers.next = if exponent == lowest { bits } else { exponent - 1 };
            let start = self.settings.circle.finger_start(self.me.key, exponent);
            self.look_up(start, Purpose::Finger(exponent), false, cx);
        }
    }

    /// The nodes at and behind the start of a finger are known.
    pub(super) fn finger_found(
        &mut self,
        exponent: u32,
        contacts: &[Contact],
        cx: &mut Context<'_, Self>,
    ) {
        let (circle, me) = (self.settings.circle, self.me.key);
        let least = Key::power(exponent);
        let distance = |contact: &Contact| circle.distance(me, contact.key);
        let others = || contacts.iter().filter(|it| it.key != me && distance(it) >= least);
        let Some(&first) = others().next() else {
            // Only this node lies behind the start, or somebody lies: the old one is there, or it is not.
            if let Some(old) = self.fingers.at(exponent) {
                self.suspect(old, cx);
            }
            return;
        };
        let end = exponent + 1;
        let inside = |it: &&Contact| end == circle.bits() || distance(it) < Key::power(end);
        let mut candidates: Vec<Contact> =
            others().filter(inside).take(self.settings.proximity).copied().collect();
        let old = self.fingers.at(exponent);
        if candidates.len() < 2 || self.settings.proximity < 2 {
            // Whoever says that nobody lies before `first` is wrong, or lies, if the old one is there.
            match old.filter(|old| distance(old) < distance(&first)) {
                Some(old) => self.choose(exponent, vec![old], Some(first), cx),
                None => self.set_finger(exponent, first),
            }
            return;
        }
        candidates.extend(old.filter(|it| inside(&it) && !contacts.contains(it)));
        self.choose(exponent, candidates, None, cx);
    }

    /// Makes the nearest of the candidates the finger, and `otherwise` if none of them is there.
    fn choose(
        &mut self,
        exponent: u32,
        candidates: Vec<Contact>,
        otherwise: Option<Contact>,
        cx: &mut Context<'_, Self>,
    ) {
        let choices = &mut self.more().choices;
        // At most one a finger.
        choices.retain(|choice| choice.exponent != exponent);
        choices.push(Choice { exponent, waiting: candidates.clone(), best: None, otherwise });
        for candidate in candidates {
            let what = For::Candidate(exponent);
            if !self.ask(candidate, what, |nonce| Body::Ping { nonce }, cx) {
                self.candidate(exponent, Some(candidate.key), None);
            }
        }
    }

    /// Sets a finger, unless the next successor covers it by now.
    fn set_finger(&mut self, exponent: u32, contact: Contact) {
        if exponent >= self.lowest_finger() {
            self.fingers.set(exponent, contact);
        }
    }

    /// The round trip of a candidate is known, or that it has none.
    pub(super) fn candidate(
        &mut self,
        exponent: u32,
        key: Option<Key>,
        round_trip: Option<Duration>,
    ) {
        let Some(more) = &mut self.more else { return };
        let choices = &mut more.choices;
        let Some(index) = choices.iter().position(|it| it.exponent == exponent) else { return };
        let choice = &mut choices[index];
        let Some(place) = choice.waiting.iter().position(|it| Some(it.key) == key) else { return };
        let contact = choice.waiting.swap_remove(place);
        if let Some(round_trip) = round_trip
            && choice.best.is_none_or(|(best, _)| round_trip < best)
        {
            choice.best = Some((round_trip, contact));
        }
        if choice.waiting.is_empty() {
            let choice = choices.swap_remove(index);
            if let Some(contact) = choice.best.map(|it| it.1).or(choice.otherwise) {
                self.set_finger(exponent, contact);
            }
        }
    }
}
