//! Passwords are dear to verify: what was found right is remembered for a while by a keyed hash, who
//! guesses has to wait, and the work is done beside the cores that serve.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand::SystemRandom};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

use super::users::{Credentials, Users};

/// How long right credentials, and hosts that were found where they said, are remembered; and how
/// many: a tag and a time each, half a megabyte in all.
pub(super) const PROVED_FOR: Duration = Duration::from_secs(300);
const PROVED_MAX: usize = 4096;

/// Passwords that are verified at once, over all cores, and how long one waits for its turn.
const VERIFIED_AT_ONCE: usize = 2;
const TURN_WAIT: Duration = Duration::from_secs(10);

/// The time in which wrong passwords are counted together; how many a client network may try in it,
/// and all networks for one name, so that many guess no better than one; and how many networks, and
/// names, are counted: a tag, a number and a time each, half a megabyte for either.
const FAILURES_IN: Duration = Duration::from_secs(60);
const FAILURES_FROM_MAX: u32 = 10;
const FAILURES_FOR_MAX: u32 = 100;
const COUNTED_MAX: usize = 4096;

/// What stands for a value that is remembered: nobody who does not have the key can tell it, or make
/// another value with the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag([u8; 32]);

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tag")
    }
}

/// Makes tags, with a key that this process alone has.
#[derive(Debug)]
pub(super) struct Tags(hmac::Key);

impl Tags {
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self(key.expect("the kernel gives randomness"))
    }

    /// The tag of `parts`; other parts have another, however they are cut.
    pub(super) fn of(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Tag(context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// Tags of what was found true, each for a while.
#[derive(Debug, Default)]
pub(super) struct Proved(BTreeMap<Tag, Instant>);

impl Proved {
    pub(super) fn holds(&self, tag: Tag, now: Instant) -> bool {
        self.0.get(&tag).is_some_and(|until| now < *until)
    }

    pub(super) fn remember(&mut self, tag: Tag, until: Instant, now: Instant) {
        if self.0.len() >= PROVED_MAX {
            self.0.retain(|_, until| now < *until);
        }
        if self.0.len() >= PROVED_MAX {
            // Tags are as good as random, and so is who has to prove it again.
            self.0.pop_first();
        }
        self.0.insert(tag, until);
    }
}

/// How often passwords were wrong lately, for each of some tags.
#[derive(Debug)]
struct Failures {
    max: u32,
    counted: BTreeMap<Tag, (u32, Instant)>,
}

impl Failures {
    const fn new(max: u32) -> Self {
        Self { max, counted: BTreeMap::new() }
    }

    /// How long it is until one more may be tried; nothing if it may be tried now.
    fn wait(&self, tag: Tag, now: Instant) -> Option<Duration> {
        let (count, since) = self.counted.get(&tag)?;
        (*count >= self.max && !is_over(*since, now)).then(|| *since + FAILURES_IN - now)
    }

    /// Counts one, which is tried now; says since when they are counted.
    fn count(&mut self, tag: Tag, now: Instant) -> Instant {
        if self.counted.len() >= COUNTED_MAX && !self.counted.contains_key(&tag) {
            self.counted.retain(|_, (_, since)| !is_over(*since, now));
            if self.counted.len() >= COUNTED_MAX {
                // Tags are as good as random, and so is who is forgotten.
                self.counted.pop_first();
            }
        }
        let (count, since) = self.counted.entry(tag).or_insert((0, now));
        if is_over(*since, now) {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        *since
    }

    /// One that was counted was no failure. It takes back itself and no other: who knows one password
    /// may guess at others.
    fn take_back(&mut self, tag: Tag, counted_since: Instant) {
        if let Some((count, since)) = self.counted.get_mut(&tag)
            && *since == counted_since
        {
            *count = count.saturating_sub(1);
        }
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now >= since + FAILURES_IN
}

/// Passwords that are tried: each counts for its client's network and for its name.
#[derive(Debug)]
struct Attempts {
    from: Failures,
    on: Failures,
}

/// Whose an attempt is.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    network: Tag,
    name: Tag,
}

impl Attempts {
    const fn new() -> Self {
        Self { from: Failures::new(FAILURES_FROM_MAX), on: Failures::new(FAILURES_FOR_MAX) }
    }

    fn wait(&self, attempt: Attempt, now: Instant) -> Option<Duration> {
        self.from.wait(attempt.network, now).max(self.on.wait(attempt.name, now))
    }

    /// Counts one as failed; says since when are counted those of its network and those of its name.
    ///
    /// # Errors
    /// How long it has to wait, if it is one too many.
    fn begin(&mut self, attempt: Attempt, now: Instant) -> Result<[Instant; 2], Duration> {
        match self.wait(attempt, now) {
            Some(wait) => Err(wait),
            None => Ok([self.from.count(attempt.network, now), self.on.count(attempt.name, now)]),
        }
    }

    fn succeeded(&mut self, attempt: Attempt, [from, on]: [Instant; 2]) {
        self.from.take_back(attempt.network, from);
        self.on.take_back(attempt.name, on);
    }
}

/// An address as it counts: whoever has an IPv6 address has 2^64 of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    Fails,
    /// It was not tried: too many were, before. After so long it may be.
    Late(Duration),
}

/// Who may come in.
#[derive(Debug)]
pub(super) struct Gate {
    users: Users,
    tags: Tags,
    proved: Mutex<Proved>,
    attempts: Mutex<Attempts>,
    turns: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(users: Users) -> Arc<Self> {
        Arc::new(Self {
            users,
            tags: Tags::new(),
            proved: Mutex::default(),
            attempts: Mutex::new(Attempts::new()),
            turns: Arc::new(Semaphore::new(VERIFIED_AT_ONCE)),
        })
    }

    /// What credentials are known by, however the field was written that had them.
    pub(super) fn tag(&self, credentials: &Credentials) -> Tag {
        self.tags.of(&[b"credentials", credentials.name.as_bytes(), &credentials.password])
    }

    /// Whether credentials with this tag were found right lately.
    pub(super) fn knows(&self, tag: Tag) -> bool {
        self.proved.lock().holds(tag, Instant::now())
    }

    /// Verifies credentials, in a thread of its own. Who has to wait is told so before and after its
    /// turn has come, and costs nothing more.
    pub(super) async fn verify(
        self: &Arc<Self>,
        tag: Tag,
        credentials: Credentials,
        client: IpAddr,
    ) -> Verdict {
        let attempt = Attempt {
            network: self.tags.of(&[b"network", network_of(client).to_string().as_bytes()]),
            name: self.tags.of(&[b"name", credentials.name.as_bytes()]),
        };
        if let Some(wait) = self.attempts.lock().wait(attempt, Instant::now()) {
            return Verdict::Late(wait);
        }
        let turn = timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(turn) = turn else { return Verdict::Late(TURN_WAIT) };
        if self.knows(tag) {
            return Verdict::Holds;
        }
        let gate = Arc::clone(self);
        // It counts there, whether or not somebody still waits for the outcome.
        let verifying = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            gate.try_password(tag, &credentials, attempt)
        });
        verifying.await.unwrap_or(Verdict::Fails)
    }

    fn try_password(&self, tag: Tag, credentials: &Credentials, attempt: Attempt) -> Verdict {
        // While it waited, others of its network may have failed.
        let begun = match self.attempts.lock().begin(attempt, Instant::now()) {
            Ok(begun) => begun,
            Err(wait) => return Verdict::Late(wait),
        };
        if !self.users.verify(&credentials.name, &credentials.password) {
            return Verdict::Fails;
        }
        self.attempts.lock().succeeded(attempt, begun);
        let now = Instant::now();
        self.proved.lock().remember(tag, now + PROVED_FOR, now);
        Verdict::Holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_too_often_has_to_wait() {
        let (now, tags) = (Instant::now(), Tags::new());
        let [one, other] = [b"one", b"two"].map(|name| tags.of(&[name]));
        let mut failures = Failures::new(FAILURES_FROM_MAX);
        for _ in 0..FAILURES_FROM_MAX {
            assert_eq!(failures.wait(one, now), None);
            failures.count(one, now);
        }
        assert_eq!((failures.wait(one, now), failures.wait(other, now)), (Some(FAILURES_IN), None));
        let (second, later) = (Duration::from_secs(1), now + FAILURES_IN);
        assert_eq!(failures.wait(one, later - second), Some(second));
        assert_eq!(failures.wait(one, later), None);
        assert_eq!(failures.count(one, later), later);
        assert_eq!(failures.counted[&one], (1, later));
    }

    #[test]
    fn a_success_takes_back_its_own_attempt_and_no_other() {
        let (now, tags) = (Instant::now(), Tags::new());
        let tag = tags.of(&[b"one"]);
        let mut failures = Failures::new(FAILURES_FROM_MAX);
        failures.count(tag, now);
        let begun = failures.count(tag, now);
        failures.take_back(tag, begun);
        assert_eq!(failures.counted[&tag].0, 1);
        // Its time is over: it is counted no more.
        let begun = failures.count(tag, now);
        failures.count(tag, now + FAILURES_IN);
        failures.take_back(tag, begun);
        assert_eq!(failures.counted[&tag].0, 1);
    }

    #[test]
    fn a_client_is_counted_with_its_network() {
        let [one, same, other, four] =
            ["2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1", "::ffff:192.0.2.1"]
                .map(|text| network_of(text.parse().unwrap()));
        assert!(one == same && one != other);
        assert_eq!(four, network_of("192.0.2.1".parse().unwrap()));
        assert_ne!(four, network_of("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn who_is_counted_is_bounded() {
        let (now, tags) = (Instant::now(), Tags::new());
        let mut failures = Failures::new(FAILURES_FROM_MAX);
        for number in 0..2 * COUNTED_MAX {
            failures.count(tags.of(&[&number.to_be_bytes()]), now);
        }
        assert_eq!(failures.counted.len(), COUNTED_MAX);
    }

    #[test]
    fn what_was_proved_is_remembered_for_a_while_and_not_without_end() {
        let (now, tags) = (Instant::now(), Tags::new());
        let mut proved = Proved::default();
        let tag = tags.of(&[b"a", b"b"]);
        proved.remember(tag, now + PROVED_FOR, now);
        assert!(proved.holds(tag, now) && !proved.holds(tag, now + PROVED_FOR));
        assert!(!proved.holds(tags.of(&[b"ab"]), now));
        for number in 0..2 * PROVED_MAX {
            proved.remember(tags.of(&[&number.to_be_bytes()]), now + PROVED_FOR, now);
        }
        assert_eq!(proved.0.len(), PROVED_MAX);
        assert_ne!(tag, Tags::new().of(&[b"a", b"b"]), "another process has another key");
    }
}
