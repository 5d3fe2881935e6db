//! What the last minute was like: the counters as they were a while ago.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use nigh_net::counters::Totals;

/// Time between two samples.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// Samples that are kept: a minute's.
const KEPT: usize = 6;

/// Samples of the counters.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<(Instant, Totals)>>);

impl Recent {
    /// Keeps a sample.
    pub(super) fn keep(&self, now: Instant, totals: Totals) {
        let mut kept = self.0.lock().expect("nobody panics while holding it");
        kept.push_back((now, totals));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// The oldest sample, and its age; `None` in the first seconds.
    pub(super) fn oldest(&self, now: Instant) -> Option<(Duration, Totals)> {
        let kept = self.0.lock().expect("nobody panics while holding it");
        kept.front().map(|(then, totals)| (now.saturating_duration_since(*then), totals.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_sample_is_a_minute_old_at_most() {
        let (recent, start) = (Recent::default(), Instant::now());
        assert!(recent.oldest(start).is_none());
        for n in 0..20_u32 {
            let totals = Totals { hit: n.into(), ..Totals::default() };
            recent.keep(start + EVERY * n, totals);
        }
        let (age, totals) = recent.oldest(start + EVERY * 20).unwrap();
        assert_eq!((age, totals.hit), (Duration::from_secs(60), 14));
    }
}
