//! A site's origins: whose turn it is, who is left out because it fails, and whether a request that
//! failed may be sent to another.
//!
//! Smooth weighted round robin: each choice adds to every origin its weight, takes the one that has
//! most, and takes the sum of all weights from it. Origins with the weights 5, 1 and 1 come as
//! a a b a c a a, not as a a a a a b c.

use std::time::Duration;

use nigh_base::Time;

/// Origins that one site may have: so many bits has [`Tried`].
pub const ORIGINS_MAX: usize = 256;

/// Failures in a row that put an origin out. One may be chance, and three cost little.
pub const FAILURES_MAX: u32 = 3;

/// For how long an origin is out at first.
pub const OUT_FIRST: Duration = Duration::from_secs(1);

/// For how long at most: an origin that is back is noticed within a minute.
pub const OUT_MAX: Duration = Duration::from_secs(60);

/// Probes in a row that must fail until an origin is down, and succeed until it is up again.
pub const PROBES: u32 = 2;

/// Of so many requests, one may be sent twice.
pub const REQUESTS_A_RETRY: u32 = 5;

/// Retries that are allowed in a second however few the requests are.
pub const RETRIES_FLOOR: u32 = 3;

/// Retries that may be saved up: a burst of failures after a long calm does not double the load for
/// long.
pub const RETRIES_SAVED: u32 = 100;

/// How origins are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked for, with GET; a status of 400 and more is no good answer.
    pub path: Box<str>,
    /// Time from one probe to the next.
    pub every: Duration,
    /// Time for an answer, connecting included.
    pub limit: Duration,
}

/// The origins of one site, as one who asks them sees them.
#[derive(Debug)]
pub struct Upstream {
    members: Vec<Member>,
    budget: Budget,
}

/// One origin.
#[derive(Debug)]
struct Member {
    weight: i64,
    /// What it has saved up towards its turn.
    turn: i64,
    /// Failures since the last success.
    failures: u32,
    /// Times that it was put out since the last success.
    outs: u32,
    out_until: Time,
    /// What the probes say, and how many in a row say otherwise.
    down: bool,
    against: u32,
}

/// Which origins a request was sent to already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried([u64; ORIGINS_MAX / 64]);

impl Tried {
    /// The same, and this one.
    #[must_use]
    pub const fn and(mut self, origin: usize) -> Self {
        self.0[origin / 64] |= 1 << (origin % 64);
        self
    }

    const fn has(self, origin: usize) -> bool {
        self.0[origin / 64] >> (origin % 64) & 1 == 1
    }
}

/// What a probe changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is asked no more.
    Down,
    /// It is asked again.
    Up,
}

impl Upstream {
    /// Origins with these weights, all of them up.
    ///
    /// # Panics
    /// If there are none or more than [`ORIGINS_MAX`], or one has no weight.
    pub fn new(weights: &[u32]) -> Self {
        assert!(!weights.is_empty(), "a site has an origin");
        assert!(weights.len() <= ORIGINS_MAX, "a site has at most {ORIGINS_MAX} origins");
        assert!(!weights.contains(&0), "an origin without weight would never be asked");
        Self { members: weights.iter().copied().map(Member::new).collect(), budget: Budget::new() }
    }

    /// The origin whose turn it is, of those that were not tried; `None` if all were. If all are out,
    /// the one that is due first.
    pub fn choose(&mut self, tried: Tried, now: Time) -> Option<usize> {
        let mut sum = 0;
        let mut best: Option<usize> = None;
        for at in 0..self.members.len() {
            if tried.has(at) || !self.members[at].is_available(now) {
                continue;
            }
            let member = &mut self.members[at];
            member.turn += member.weight;
            sum += member.weight;
            if best.is_none_or(|best| self.members[at].turn > self.members[best].turn) {
                best = Some(at);
            }
        }
        if let Some(best) = best {
            self.members[best].turn -= sum;
            return Some(best);
        }
        let left = (0..self.members.len()).filter(|at| !tried.has(*at));
        left.min_by_key(|at| (self.members[*at].down, self.members[*at].out_until))
    }

    /// It answered, be it with an error of its own.
    pub fn succeeded(&mut self, origin: usize) {
        let member = &mut self.members[origin];
        member.failures = 0;
        member.outs = 0;
    }

    /// It did not answer. Says for how long it is out, if this put it out.
    pub fn failed(&mut self, origin: usize, now: Time) -> Option<Duration> {
        let member = &mut self.members[origin];
        if now < member.out_until {
            // It was asked before it was out, or for want of another.
            return None;
        }
        member.failures = member.failures.saturating_add(1);
        // Whoever comes back is on trial: one failure is enough.
        if member.failures < FAILURES_MAX && member.outs == 0 {
            return None;
        }
        let out = OUT_FIRST.saturating_mul(1 << member.outs.min(16)).min(OUT_MAX);
        member.outs = member.outs.saturating_add(1);
        member.out_until = now.after(out);
        Some(out)
    }

    /// A probe was answered well, or not.
    pub fn probed(&mut self, origin: usize, good: bool) -> Option<Change> {
        let member = &mut self.members[origin];
        if good != member.down {
            member.against = 0;
            return None;
        }
        member.against += 1;
        if member.against < PROBES {
            return None;
        }
        member.against = 0;
        member.down = !member.down;
        Some(if member.down { Change::Down } else { Change::Up })
    }

    /// Whether it would be asked now.
    pub fn is_available(&self, origin: usize, now: Time) -> bool {
        self.members[origin].is_available(now)
    }

    /// Whether nothing is known against it: the probes, if any, say that it is up, and it has answered
    /// since it was last put out. One that is on trial is available, and not well.
    pub fn is_well(&self, origin: usize) -> bool {
        let member = &self.members[origin];
        !member.down && member.outs == 0
    }

    /// A request comes: retries are a share of these.
    pub fn count_request(&mut self, now: Time) {
        self.budget.count_request(now);
    }

    /// Takes leave to send a request once more.
    pub fn take_retry(&mut self, now: Time) -> bool {
        self.budget.take_retry(now)
    }
}

impl Member {
    fn new(weight: u32) -> Self {
        Self {
            weight: weight.into(),
            turn: 0,
            failures: 0,
            outs: 0,
            out_until: Time::START,
            down: false,
            against: 0,
        }
    }

    fn is_available(&self, now: Time) -> bool {
        !self.down && now >= self.out_until
    }
}

/// How many retries are still allowed, in parts: [`REQUESTS_A_RETRY`] of them are one. Without it, an
/// origin that fails under load would get twice the load.
#[derive(Debug)]
struct Budget {
    parts: u32,
    /// Up to when the floor was paid.
    paid: Time,
}

impl Budget {
    const FULL: u32 = RETRIES_SAVED * REQUESTS_A_RETRY;

    const fn new() -> Self {
        Self { parts: RETRIES_FLOOR * REQUESTS_A_RETRY, paid: Time::START }
    }

    fn count_request(&mut self, now: Time) {
        self.pay_floor(now);
        self.parts = (self.parts + 1).min(Self::FULL);
    }

    fn take_retry(&mut self, now: Time) -> bool {
        self.pay_floor(now);
        let left = self.parts.checked_sub(REQUESTS_A_RETRY);
        self.parts = left.unwrap_or(self.parts);
        left.is_some()
    }

    /// Each second brings at least the floor.
    fn pay_floor(&mut self, now: Time) {
        let secs = now.since(self.paid).as_secs();
        if secs > 0 {
            self.paid = self.paid.after(Duration::from_secs(secs));
            let floor = RETRIES_FLOOR * REQUESTS_A_RETRY;
            let due = u32::try_from(secs).unwrap_or(u32::MAX).saturating_mul(floor);
            self.parts = self.parts.saturating_add(due).min(Self::FULL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::START.after(Duration::from_millis(millis))
    }

    fn chosen(upstream: &mut Upstream, times: usize, now: Time) -> Vec<usize> {
        (0..times).map(|_| upstream.choose(Tried::default(), now).unwrap()).collect()
    }

    fn put_out(upstream: &mut Upstream, origin: usize, now: Time) {
        let outs = [(); FAILURES_MAX as usize].map(|()| upstream.failed(origin, now));
        assert!(outs.last().is_some_and(Option::is_some));
    }

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        let mut upstream = Upstream::new(&[5, 1, 1]);
        let turns = chosen(&mut upstream, 14, at(0));
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn who_fails_again_and_again_is_out_for_longer_and_longer() {
        let mut upstream = Upstream::new(&[1, 1]);
        assert_eq!(upstream.failed(0, at(0)), None);
        assert_eq!(upstream.failed(0, at(0)), None);
        assert_eq!(upstream.failed(0, at(0)), Some(OUT_FIRST));
        // What was on its way then counts no more.
        assert_eq!(upstream.failed(0, at(500)), None);
        assert_eq!(chosen(&mut upstream, 3, at(999)), [1, 1, 1]);
        assert!(chosen(&mut upstream, 2, at(1000)).contains(&0));
        assert_eq!(upstream.failed(0, at(1000)), Some(OUT_FIRST * 2));
        let mut now = at(3000);
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            last = upstream.failed(0, now).unwrap();
            now = now.after(last);
        }
        assert_eq!(last, OUT_MAX);
    }

    #[test]
    fn one_success_makes_up_for_all_failures() {
        let mut upstream = Upstream::new(&[1, 1]);
        put_out(&mut upstream, 0, at(0));
        upstream.succeeded(0);
        assert_eq!(upstream.failed(0, at(5000)), None);
        assert_eq!(upstream.failed(0, at(5000)), None);
        upstream.succeeded(0);
        assert_eq!(upstream.failed(0, at(5000)), None);
    }

    #[test]
    fn if_all_are_out_the_one_that_is_due_first_is_asked() {
        let mut upstream = Upstream::new(&[1, 1]);
        put_out(&mut upstream, 1, at(0));
        put_out(&mut upstream, 0, at(100));
        assert_eq!(chosen(&mut upstream, 2, at(200)), [1, 1]);
        let tried = Tried::default().and(1);
        assert_eq!(upstream.choose(tried, at(200)), Some(0));
        assert_eq!(upstream.choose(tried.and(0), at(200)), None);
    }

    #[test]
    fn a_retry_goes_to_another_origin() {
        let mut upstream = Upstream::new(&[9, 1]);
        for origin in [0, 1] {
            let other = upstream.choose(Tried::default().and(origin), at(0));
            assert_eq!(other, Some(1 - origin));
        }
    }

    #[test]
    fn two_probes_in_a_row_change_what_is_thought_of_an_origin() {
        let mut upstream = Upstream::new(&[1, 1]);
        for (good, change) in [
            (false, None),
            (true, None),
            (false, None),
            (false, Some(Change::Down)),
            (true, None),
            (false, None),
            (true, None),
            (true, Some(Change::Up)),
        ] {
            assert_eq!(upstream.probed(0, good), change);
        }
        let changes = [(); PROBES as usize].map(|()| upstream.probed(0, false));
        assert_eq!(changes, [None, Some(Change::Down)]);
        assert!(!upstream.is_available(0, at(0)));
        assert_eq!(chosen(&mut upstream, 2, at(0)), [1, 1]);
    }

    #[test]
    fn retries_are_a_share_of_the_requests_and_never_fewer_than_the_floor() {
        let mut upstream = Upstream::new(&[1, 1]);
        let taken = |upstream: &mut Upstream, now| {
            std::iter::repeat_with(|| upstream.take_retry(now)).take_while(|taken| *taken).count()
        };
        assert_eq!(taken(&mut upstream, at(0)), 3);
        (0..50).for_each(|_| upstream.count_request(at(0)));
        assert_eq!(taken(&mut upstream, at(0)), 10);
        assert_eq!(taken(&mut upstream, at(999)), 0);
        assert_eq!(taken(&mut upstream, at(2000)), 6);
        assert_eq!(taken(&mut upstream, at(10_000_000)), RETRIES_SAVED as usize);
    }
}
