//! The only readings of the machine's clocks: the wall's, and the one that never goes back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nigh_base::{Time, Wall};
use rustix::time::{ClockId, clock_gettime};

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

/// A clock that goes on while the whole machine is suspended, and never goes back: for what others
/// count the time of meanwhile. It costs what the monotonic one does, some tens of nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Boottime {
    /// In nanoseconds since the machine's start.
    start: u64,
}

impl Boottime {
    /// A clock that reads [`Time::START`] now.
    pub fn start() -> Self {
        Self { start: since_boot() }
    }

    /// The time now, never before an earlier one.
    pub fn now(self) -> Time {
        Time::START.after(Duration::from_nanos(since_boot() - self.start))
    }
}

/// Nanoseconds since the machine's start, suspensions included. Centuries fit.
fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let secs = u64::try_from(now.tv_sec).expect("the machine was not started in the future");
    let nanos = u64::try_from(now.tv_nsec).expect("nanoseconds are positive");
    secs * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_a_machine_that_was_never_suspended_goes_as_the_monotonic_one() {
        let (boottime, monotonic) = (Boottime::start(), Monotonic::start());
        let mut before = boottime.now();
        for _ in 0..1000 {
            let now = boottime.now();
            assert!(now >= before);
            before = now;
        }
        // The monotonic one was started later and is read later.
        let passed = monotonic.now();
        assert!(boottime.now() >= passed);
    }

    #[test]
    fn a_time_and_its_instant_are_one() {
        let clock = Monotonic::start();
        let now = clock.now();
        let instant = clock.instant(now).unwrap();
        assert_eq!(Time::START.after(instant.duration_since(clock.start)), now);
        assert!(clock.now() >= now);
    }
}
