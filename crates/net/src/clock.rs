//! The only readings of the machine's clocks: the wall's, and the one that never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nigh_base::{Time, Wall};

/// The time now. A clock before 1970 reads as 1970.
pub fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A runner's own clock: it counts from its start and never goes back, whatever is done to the
/// wall's.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    start: Instant,
}

impl Monotonic {
    /// A clock that reads [`Time::START`] now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time now, never before an earlier one.
    pub fn now(self) -> Time {
        Time::START.after(self.start.elapsed())
    }

    /// `time` as the operating system counts; none if it is too far ahead for that.
    pub fn instant(self, time: Time) -> Option<Instant> {
        self.start.checked_add(time.since(Time::START))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_its_instant_are_one() {
        let clock = Monotonic::start();
        let now = clock.now();
        let instant = clock.instant(now).unwrap();
        assert_eq!(Time::START.after(instant.duration_since(clock.start)), now);
        assert!(clock.now() >= now);
    }
}
