//! So much a time, and the generic cell rate algorithm on one number.

use std::time::Duration;

use nigh_base::Time;

/// The most that a rate allows a second; more is no limit on any machine.
pub const PER_SECOND_MAX: u64 = 1 << 50;

const NANOS: u128 = 1_000_000_000;

/// So many units in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    units: u64,
    time: Duration,
}

impl Rate {
    /// `units` in `time`; `None` if either is zero or the rate is above [`PER_SECOND_MAX`].
    pub fn new(units: u64, time: Duration) -> Option<Self> {
        let rate = Self { units, time };
        let is_one = units > 0 && !time.is_zero();
        (is_one && rate.in_time(Duration::from_secs(1)) <= PER_SECOND_MAX).then_some(rate)
    }

    /// Units, in as much time as [`Self::time`] says.
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// The time in which so many units come.
    pub const fn time(&self) -> Duration {
        self.time
    }

    /// Units in `time`, rounded up.
    pub fn in_time(&self, time: Duration) -> u64 {
        let units = (u128::from(self.units) * time.as_nanos()).div_ceil(self.time.as_nanos());
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// The time in which `units` come, in nanoseconds.
    pub(super) fn nanos_for(&self, units: u64) -> u64 {
        let nanos = u128::from(units) * self.time.as_nanos() / u128::from(self.units);
        u64::try_from(nanos.min(NANOS * u128::from(u32::MAX))).unwrap_or(u64::MAX)
    }
}

/// When what was taken will have been paid for, if nothing more is: the "theoretical arrival time".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Paid(Time);

impl Paid {
    /// Takes what costs `cost`, unless that would be more than `burst` ahead of time; says how long to
    /// wait then. Both are nanoseconds.
    pub(super) fn take(&mut self, cost: u64, burst: u64, now: Time) -> Result<(), Duration> {
        let paid = self.0.max(now).after(Duration::from_nanos(cost));
        let ahead = paid.since(now);
        match ahead.checked_sub(Duration::from_nanos(burst.max(cost))) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                self.0 = paid;
                Ok(())
            }
        }
    }

    /// Takes what costs `cost` in any case; says how long to wait before it is used, so that nobody is
    /// more than `burst` ahead of time.
    pub(super) fn reserve(&mut self, cost: u64, burst: u64, now: Time) -> Duration {
        let wait = self.0.since(now).saturating_sub(Duration::from_nanos(burst));
        self.0 = self.0.max(now).after(Duration::from_nanos(cost));
        wait
    }

    /// Gives back what was reserved and not used.
    pub(super) fn give_back(&mut self, cost: u64) {
        self.0 = Time::from_nanos(self.0.nanos().saturating_sub(cost));
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_rate_counts_both_ways() {
        let rate = Rate::new(100, SECOND).unwrap();
        assert_eq!((rate.nanos_for(1), rate.in_time(SECOND * 60)), (10_000_000, 6000));
        let slow = Rate::new(1, SECOND * 60).unwrap();
        assert_eq!((slow.nanos_for(1), slow.in_time(SECOND)), (60_000_000_000, 1));
        assert!(Rate::new(0, SECOND).is_none() && Rate::new(1, Duration::ZERO).is_none());
        assert!(Rate::new(u64::MAX, Duration::from_nanos(1)).is_none());
    }

    #[test]
    fn a_burst_is_let_through_then_one_as_each_is_paid() {
        let (cost, burst) = (100_000_000, 300_000_000);
        let mut paid = Paid::default();
        let mut take = |millis: u64| paid.take(cost, burst, at(1000 + millis));
        assert_eq!([take(0), take(0), take(0)], [Ok(()); 3]);
        assert_eq!(take(0), Err(Duration::from_millis(100)));
        assert_eq!(take(60), Err(Duration::from_millis(40)));
        assert_eq!(take(100), Ok(()));
        assert_eq!(take(100), Err(Duration::from_millis(100)));
        // Being away for long earns one burst, not more.
        assert_eq!([take(9000), take(9000), take(9000)], [Ok(()); 3]);
        assert!(take(9000).is_err());
    }

    #[test]
    fn whatever_comes_when_no_more_passes_than_the_rate_and_one_burst() {
        let mut rng = Rng::new(1);
        for _ in 0..200 {
            let rate = Rate::new(1 + rng.below(1000), SECOND).unwrap();
            let size = 1 + rng.below(50);
            let (mut paid, mut now, mut passed) = (Paid::default(), at(rng.below(5000)), 0);
            let begin = now;
            for _ in 0..2000 {
                now = now.after(Duration::from_micros(rng.below(5000)));
                let (cost, burst) = (rate.nanos_for(1), rate.nanos_for(size));
                match paid.take(cost, burst, now) {
                    Ok(()) => passed += 1,
                    // Whoever waits as long as is said is let through.
                    Err(wait) => {
                        now = now.after(wait);
                        assert_eq!(paid.take(cost, burst, now), Ok(()));
                        passed += 1;
                    }
                }
                // Cost and burst are cut to whole nanoseconds: one request's worth at most.
                assert!(passed <= rate.in_time(now.since(begin)) + size + 1, "{rate:?} {size}");
            }
        }
    }

    #[test]
    fn who_reserves_waits_for_those_before_and_gets_back_what_was_not_used() {
        let mut paid = Paid::default();
        let ms = 1_000_000;
        assert_eq!(paid.reserve(500 * ms, 100 * ms, at(0)), Duration::ZERO);
        assert_eq!(paid.reserve(500 * ms, 100 * ms, at(0)), Duration::from_millis(400));
        assert_eq!(paid.reserve(500 * ms, 100 * ms, at(0)), Duration::from_millis(900));
        paid.give_back(500 * ms);
        assert_eq!(paid.reserve(1, 100 * ms, at(0)), Duration::from_millis(900));
    }
}
