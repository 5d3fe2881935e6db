//! How fast a client must move, and how fast it may be served.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{clients::Pace, counters::Counters};

/// How a client's connection is written to.
#[derive(Debug)]
pub(crate) struct Flow {
    /// For each write to make progress.
    pub(crate) limit: Duration,
    /// Bytes a second, on average, without which there is none.
    pub(crate) least: u64,
    /// What its network may take, if that is limited.
    pub(crate) pace: Option<Pace>,
    pub(crate) counters: Arc<Counters>,
}

/// Whether `bytes` in `time` are `least` bytes a second.
pub(crate) fn keeps_up(bytes: u64, time: Duration, least: u64) -> bool {
    const NANOS: u128 = 1_000_000_000;
    u128::from(bytes) * NANOS >= u128::from(least) * time.as_nanos()
}

/// When somebody last had kept up with the least rate, and what has come since. Who drips a byte at a
/// time moves, and does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptUp {
    at: Instant,
    since: u64,
}

impl KeptUp {
    /// From `at` on.
    pub(crate) const fn from(at: Instant) -> Self {
        Self { at, since: 0 }
    }

    /// When that last was.
    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    /// So many bytes have moved; true if that is fast enough.
    pub(crate) fn moved(&mut self, bytes: usize, least: u64, now: Instant) -> bool {
        self.since = self.since.saturating_add(bytes as u64);
        let keeps_up = keeps_up(self.since, now.saturating_duration_since(self.at), least);
        if keeps_up {
            *self = Self::from(now);
        }
        keeps_up
    }

    /// So much time does not count.
    pub(crate) fn excuse(&mut self, time: Duration) {
        self.at += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_is_kept_on_average_since_it_last_was() {
        let begin = Instant::now();
        let mut kept = KeptUp::from(begin);
        assert!(kept.moved(100, 100, begin + SECOND));
        assert!(!kept.moved(100, 100, begin + 3 * SECOND), "a hundred in two seconds");
        assert_eq!(kept.at(), begin + SECOND);
        assert!(kept.moved(200, 100, begin + 4 * SECOND), "it has caught up");
        assert_eq!(kept.at(), begin + 4 * SECOND);
        assert!(!kept.moved(1, 100, begin + 5 * SECOND));
        kept.excuse(SECOND);
        assert!(kept.moved(0, 100, begin + 5 * SECOND));
    }

    #[test]
    fn without_a_least_rate_any_byte_is_progress() {
        let begin = Instant::now();
        assert!(KeptUp::from(begin).moved(1, 0, begin + 1000 * SECOND));
    }
}
