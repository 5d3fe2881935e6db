//! What clients have seen: counts, and how long answers took.

use std::{fmt, time::Duration};

/// Failures that are kept in words; all are counted.
const WORDS_MAX: usize = 8;

/// Times are counted in classes, a doubling has so many: a quantile is at most a sixteenth too long.
const CLASSES_A_DOUBLING: usize = 1 << CLASS_BITS;
const CLASS_BITS: u32 = 4;

/// Classes of the times from a microsecond to an hour; what takes longer counts as that.
const CLASSES: usize = 30 * CLASSES_A_DOUBLING;

/// Counts of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that have ended, well or not; one that was tried again counts once.
    pub requests: u64,
    /// Those that gave no right answer, though nobody had killed the edge that was asked.
    pub failed: u64,
    /// Bytes of bodies that came and were right.
    pub bytes: u64,
    /// Connections that an edge was killed beneath, or that were refused by one. The client has tried
    /// again elsewhere.
    pub cut: u64,
    /// Connections that the edge had closed before it saw the next request on them, which clients send
    /// again on a new one (RFC 9112, section 9.3.1).
    pub reopened: u64,
    /// The first failures, in words.
    pub words: Vec<String>,
    times: Times,
}

impl Tally {
    /// How long the quickest `share` of the requests took at most, from when each was due. Zero if
    /// there were none.
    pub fn quantile(&self, share: f64) -> Duration {
        self.times.quantile(share)
    }

    pub(crate) fn answered(&mut self, bytes: u64, took: Duration) {
        self.requests += 1;
        self.bytes += bytes;
        self.times.count(took);
    }

    pub(crate) fn note_failure(&mut self, words: String) {
        self.requests += 1;
        self.failed += 1;
        if self.words.len() < WORDS_MAX {
            self.words.push(words);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.cut += other.cut;
        self.reopened += other.reopened;
        let left = WORDS_MAX - self.words.len().min(WORDS_MAX);
        self.words.extend(other.words.iter().take(left).cloned());
        self.times.add(&other.times);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, failed, cut, .. } = self;
        let p99 = self.quantile(0.99).as_secs_f64() * 1e3;
        write!(f, "{requests} requests, {failed} failed, {cut} cut, p99 {p99:.1} ms")
    }
}

/// How many requests took how long, by classes of microseconds: those below 16 each for itself, then
/// sixteen for each doubling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Times(Vec<u64>);

impl Times {
    fn count(&mut self, took: Duration) {
        self.0.resize(CLASSES, 0);
        let class = class_of(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.0[class.min(CLASSES - 1)] += 1;
    }

    fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(own, more)| *own += more);
    }

    fn quantile(&self, share: f64) -> Duration {
        let wanted = share * self.0.iter().sum::<u64>() as f64;
        let mut seen = 0;
        for (class, count) in self.0.iter().enumerate() {
            seen += count;
            if seen > 0 && seen as f64 >= wanted {
                return Duration::from_micros(longest_of(class));
            }
        }
        Duration::ZERO
    }
}

fn class_of(micros: u64) -> usize {
    let shift = (micros | 1).ilog2().saturating_sub(CLASS_BITS);
    let part = usize::try_from(micros >> shift).expect("below 32");
    shift as usize * CLASSES_A_DOUBLING + part
}

/// The longest time of a class, in microseconds.
fn longest_of(class: usize) -> u64 {
    let shift = (class / CLASSES_A_DOUBLING).saturating_sub(1);
    let part = class - shift * CLASSES_A_DOUBLING;
    ((part as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_never_too_short_and_at_most_a_sixteenth_too_long() {
        for micros in (0..5_000).chain([1 << 20, (1 << 31) + 12_345]) {
            let longest = longest_of(class_of(micros));
            assert!(longest >= micros && longest - micros <= micros / 16, "{micros} {longest}");
        }
        let mut tally = Tally::default();
        assert_eq!(tally.quantile(0.99), Duration::ZERO);
        (1..=1000).for_each(|millis| tally.answered(1, Duration::from_millis(millis)));
        let near = |share, millis: u64| {
            let found = tally.quantile(share).as_secs_f64() * 1e3 / millis as f64;
            assert!((1.0..1.07).contains(&found), "{share}: {found}");
        };
        near(0.5, 500);
        near(0.99, 990);
        near(1.0, 1000);
    }

    #[test]
    fn tallies_add_up_and_keep_the_first_words() {
        let (mut all, mut one) = (Tally::default(), Tally::default());
        one.answered(5, Duration::from_millis(1));
        (0..9).for_each(|number| one.note_failure(number.to_string()));
        all.add(&one);
        all.add(&one);
        assert_eq!((all.requests, all.failed, all.bytes), (20, 18, 10));
        assert_eq!(all.words, ["0", "1", "2", "3", "4", "5", "6", "7"]);
        assert!(all.quantile(0.5) >= Duration::from_millis(1));
    }
}
