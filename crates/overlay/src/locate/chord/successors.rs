//! The nodes behind this one, the nearest first: what keeps the ring together.

use std::ops::Deref;

use nigh_base::{Key, space::clockwise::Circle};

use crate::locate::Contact;

/// Successors in order of their distance, with the distances of the first and of the last beside
/// them: most lookups go farther, and need not look at the list itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Successors {
    list: Vec<Contact>,
    /// Upper 64 bits.
    near: u64,
    far: u64,
}

impl Deref for Successors {
    type Target = [Contact];

    fn deref(&self) -> &[Contact] {
        &self.list
    }
}

/// Where distances are measured from, and how many successors are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) circle: Circle,
    pub(super) me: Key,
    pub(super) limit: usize,
}

impl Frame {
    fn distance(self, contact: &Contact) -> Key {
        self.circle.distance(self.me, contact.key)
    }
}

impl Successors {
    /// Takes a node in, if it belongs among the nearest.
    pub(super) fn adopt(&mut self, contact: Contact, frame: Frame) {
        let distance = frame.distance(&contact);
        if distance == Key::default() {
            return;
        }
        let place = self.list.partition_point(|it| frame.distance(it) < distance);
        if self.list.get(place).is_some_and(|it| it.key == contact.key) {
            // It may have come back at another address.
            self.list[place] = contact;
        } else if place < frame.limit {
            if self.list.capacity() < frame.limit {
                self.list.reserve_exact(frame.limit - self.list.len());
            }
            self.list.truncate(frame.limit - 1);
            self.list.insert(place, contact);
        }
        self.measure(frame);
    }

    /// Takes a node out.
    pub(super) fn remove(&mut self, contact: Contact, frame: Frame) {
        self.list.retain(|it| *it != contact);
        self.measure(frame);
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        (self.near, self.far) = (0, 0);
    }

    fn measure(&mut self, frame: Frame) {
        let top = |contact: Option<&Contact>| contact.map_or(0, |it| frame.distance(it).top());
        (self.near, self.far) = (top(self.list.first()), top(self.list.last()));
    }

    /// Whether what lies `distance` away is the first successor's, or before it.
    pub(super) fn cover(&self, distance: Key, frame: Frame) -> bool {
        match distance.top() {
            top if top > self.near => false,
            _ => self.list.first().is_some_and(|first| distance <= frame.distance(first)),
        }
    }

    /// Whether all of them lie nearer than `distance`.
    pub(super) fn end_before(&self, distance: Key, frame: Frame) -> bool {
        match distance.top() {
            top if top > self.far => true,
            _ => self.list.last().is_none_or(|last| frame.distance(last) < distance),
        }
    }

    /// Panics if they are out of order, too many, or miscounted.
    pub(super) fn check(&self, frame: Frame) {
        assert!(self.list.len() <= frame.limit, "too many successors");
        let mut last = Key::default();
        for contact in &self.list {
            let distance = frame.distance(contact);
            assert!(distance > last, "{:?}: successors out of order: {:?}", frame.me, self.list);
            last = distance;
        }
        let mut measured = self.clone();
        measured.measure(frame);
        assert_eq!(&measured, self, "distances are stale");
    }
}
