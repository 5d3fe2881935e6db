//! Which of the objects that others own are asked for again and again: those alone are worth a copy.
//!
//! A table of marks of a fixed size, one a place: who comes to a place that is taken takes it over. A
//! mark that is lost so delays a copy by one request, and two keys with the same place and mark, one in
//! 2^32, cost a copy too many.

use std::time::Duration;

use nigh_base::Time;

/// What was asked for twice within this time is hot. Longer than copies are kept, so that one that is
/// in demand is renewed.
pub const WINDOW: Duration = Duration::from_secs(20);

/// Marks of what was fetched from others of late: 384 KiB for a table.
const MARKS: usize = 1 << 14;

/// When what was last fetched from others.
#[derive(Debug)]
pub struct Marks(Box<[Option<(u32, Time)>]>);

impl Default for Marks {
    fn default() -> Self {
        Self(vec![None; MARKS].into())
    }
}

impl Marks {
    /// Marks that a key of this hash is fetched; whether it is hot.
    pub fn is_hot(&mut self, hash: u64, now: Time) -> bool {
        let place = usize::try_from(hash % MARKS as u64).expect("a small number");
        let mark = u32::try_from(hash >> 32).expect("the upper half");
        let before = self.0[place].replace((mark, now));
        before.is_some_and(|(held, at)| held == mark && now.since(at) < WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_twice_within_the_window_is_hot() {
        let mut marks = Marks::default();
        let start = Time::START;
        assert!(!marks.is_hot(7, start));
        assert!(marks.is_hot(7, start.after(WINDOW - Duration::from_millis(1))));
        assert!(!marks.is_hot(7, start.after(WINDOW * 3)));
        assert!(!marks.is_hot(8, start.after(WINDOW * 3)));
    }

    #[test]
    fn a_key_in_the_place_of_another_is_not_taken_for_it() {
        let mut marks = Marks::default();
        let (one, other) = (7, 7 | 1 << 40);
        assert!(!marks.is_hot(one, Time::START));
        assert!(!marks.is_hot(other, Time::START));
        assert!(!marks.is_hot(one, Time::START));
    }
}
