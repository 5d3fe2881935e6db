//! Named deadlines: what a machine waits for, and which comes first.

use smallvec::SmallVec;

use crate::Time;

/// Deadlines, each with a name. Few at a time: setting and clearing take time in proportion to
/// their number, asking for the first takes none.
#[derive(Clone, Debug, Hash)]
pub struct Timers<K> {
    /// Latest first, so that the next is the last. Most machines have a deadline or two, which lie
    /// in the machine itself: a runner asks for the next after every input.
    deadlines: SmallVec<[(Time, K); 2]>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { deadlines: SmallVec::new() }
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// Sets the deadline of `name`, in place of an earlier one.
    pub fn set(&mut self, name: K, at: Time) {
        self.clear(name);
        let place = self.deadlines.partition_point(|&deadline| deadline > (at, name));
        self.deadlines.insert(place, (at, name));
    }

    /// Forgets the deadline of `name`, if there is one.
    pub fn clear(&mut self, name: K) {
        if let Some(place) = self.deadlines.iter().rposition(|&(_, other)| other == name) {
            self.deadlines.remove(place);
            self.give_back();
        }
    }

    /// Room that was needed for a while: a machine that once waited for many things at once does not
    /// keep it.
    fn give_back(&mut self) {
        if self.deadlines.spilled() && self.deadlines.len() <= self.deadlines.inline_size() {
            self.deadlines.shrink_to_fit();
        }
    }

    /// The first deadline.
    pub fn next(&self) -> Option<Time> {
        self.deadlines.last().map(|&(at, _)| at)
    }

    /// Takes a deadline out that has come by `now`, the earliest first.
    pub fn expired(&mut self, now: Time) -> Option<K> {
        match self.deadlines.last() {
            Some(&(at, _)) if at <= now => {
                let last = self.deadlines.pop();
                self.give_back();
                last.map(|(_, name)| name)
            }
            _ => None,
        }
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether nothing is waited for.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_of_time_then_name() {
        let mut timers = Timers::default();
        timers.set('b', Time::from_nanos(5));
        timers.set('a', Time::from_nanos(5));
        timers.set('c', Time::from_nanos(3));
        timers.set('c', Time::from_nanos(9));
        assert_eq!(timers.next(), Some(Time::from_nanos(5)));
        assert_eq!(timers.expired(Time::from_nanos(4)), None);
        let now = Time::from_nanos(9);
        assert_eq!([(); 4].map(|()| timers.expired(now)), [Some('a'), Some('b'), Some('c'), None]);
    }

    #[test]
    fn a_cleared_deadline_does_not_come() {
        let mut timers = Timers::default();
        timers.set(1, Time::from_nanos(1));
        timers.clear(1);
        timers.clear(2);
        assert!(timers.is_empty() && timers.expired(Time::from_nanos(9)).is_none());
    }
}
