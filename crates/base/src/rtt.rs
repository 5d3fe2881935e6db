//! How long an answer may take: an estimate from round trips that were measured. RFC 6298.

use std::time::Duration;

/// No answer is waited for less: RFC 6298, section 2.4 has a second, for TCP's delayed
/// acknowledgements; a datagram protocol has none.
const WAIT_MIN: Duration = Duration::from_millis(200);
/// None is waited for longer, however often it was asked for.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The wait before anything was measured (section 2.1).
const WAIT_FIRST: Duration = Duration::from_secs(1);

/// A smoothed round trip and its variation, in microseconds; eight bytes, since tables hold many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rtt {
    smoothed: u32,
    variation: u32,
}

impl Rtt {
    /// Takes a measurement in (section 2.2 and 2.3). Not one of a request that was repeated: its
    /// answer may be to either (Karn's algorithm, section 3). What took longer than any wait counts as that: the
    /// process was stopped while the answer lay there.
    pub fn measured(&mut self, round_trip: Duration) {
        let sample = round_trip.min(WAIT_MAX).as_micros();
        let sample = u32::try_from(sample).expect("ten seconds are few").max(1);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (sample, sample / 2);
        } else {
            let off = self.smoothed.abs_diff(sample);
            self.variation = self.variation - self.variation / 4 + off / 4;
            self.smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
        }
    }

    /// The smoothed round trip, if any was measured.
    pub fn estimate(self) -> Option<Duration> {
        (self.smoothed > 0).then(|| Duration::from_micros(self.smoothed.into()))
    }

    /// How long to wait for an answer at the `attempt`th asking, counted from zero: twice as long
    /// each time (section 5.5).
    pub fn wait(self, attempt: u32) -> Duration {
        let first = match self.estimate() {
            None => WAIT_FIRST,
            Some(smoothed) => {
                let variation = Duration::from_micros(self.variation.into());
                (smoothed + 4 * variation).clamp(WAIT_MIN, WAIT_MAX)
            }
        };
        first.saturating_mul(1 << attempt.min(16)).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_what_was_measured() {
        let mut rtt = Rtt::default();
        assert_eq!((rtt.estimate(), rtt.wait(0)), (None, WAIT_FIRST));
        rtt.measured(Duration::from_millis(100));
        assert_eq!(rtt.wait(0), Duration::from_millis(300));
        for _ in 0..100 {
            rtt.measured(Duration::from_millis(100));
        }
        assert!(rtt.estimate().unwrap().abs_diff(Duration::from_millis(100)).as_micros() < 100);
        assert_eq!(rtt.wait(0), WAIT_MIN);
    }

    #[test]
    fn the_wait_doubles_and_has_an_end() {
        let mut rtt = Rtt::default();
        rtt.measured(Duration::from_millis(200));
        assert_eq!(rtt.wait(1), 2 * rtt.wait(0));
        assert_eq!(rtt.wait(40), WAIT_MAX);
        rtt.measured(Duration::from_secs(100_000));
        assert_eq!(rtt.wait(0), WAIT_MAX);
    }

    #[test]
    fn one_answer_of_an_hour_ago_is_soon_outweighed() {
        let mut rtt = Rtt::default();
        let usual = Duration::from_millis(50);
        (0..100).for_each(|_| rtt.measured(usual));
        // The process was stopped while the answer lay in its socket.
        rtt.measured(Duration::from_secs(3600));
        (0..20).for_each(|_| rtt.measured(usual));
        assert!(rtt.wait(0) < Duration::from_secs(1), "{:?}", rtt.wait(0));
    }
}
