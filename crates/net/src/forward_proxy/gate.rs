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

/// Wrong passwords that an address may try in [`ATTEMPTS_IN`], and addresses that are counted.
const ATTEMPTS_MAX: u32 = 10;
const ATTEMPTS_IN: Duration = Duration::from_secs(60);
const ATTEMPTS_FROM_MAX: usize = 4096;

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

/// Who tried passwords lately, and how often.
#[derive(Debug, Default)]
struct Attempts(BTreeMap<IpAddr, (u32, Instant)>);

impl Attempts {
    /// Counts one; false if it is one too many.
    fn count(&mut self, client: IpAddr, now: Instant) -> bool {
        let client = network_of(client);
        if self.0.len() >= ATTEMPTS_FROM_MAX && !self.0.contains_key(&client) {
            self.0.retain(|_, (_, since)| now < *since + ATTEMPTS_IN);
            if self.0.len() >= ATTEMPTS_FROM_MAX {
                self.0.pop_first();
            }
        }
        let (count, since) = self.0.entry(client).or_insert((0, now));
        if now >= *since + ATTEMPTS_IN {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        *count <= ATTEMPTS_MAX
    }

    fn forget(&mut self, client: IpAddr) {
        self.0.remove(&network_of(client));
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
    /// It was not tried: too many were, before.
    Late,
}

/// Who may come in.
#[derive(Debug)]
pub(super) struct Gate {
    users: Arc<Users>,
    proved: Mutex<Proved>,
    attempts: Mutex<Attempts>,
    turns: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(users: Arc<Users>) -> Self {
        Self {
            users,
            proved: Mutex::default(),
            attempts: Mutex::default(),
            turns: Arc::new(Semaphore::new(VERIFIED_AT_ONCE)),
        }
    }

    /// Whether credentials with this tag were found right lately.
    pub(super) fn knows(&self, tag: Tag) -> bool {
        self.proved.lock().holds(tag, Instant::now())
    }

    /// Verifies credentials, in a thread of its own.
    pub(super) async fn verify(
        &self,
        tag: Tag,
        credentials: Credentials,
        client: IpAddr,
    ) -> Verdict {
        if !self.attempts.lock().count(client, Instant::now()) {
            return Verdict::Late;
        }
        let turn = timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(turn) = turn else { return Verdict::Late };
        let users = Arc::clone(&self.users);
        let verifying = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            users.verify(&credentials.name, &credentials.password)
        });
        if !verifying.await.unwrap_or(false) {
            return Verdict::Fails;
        }
        self.attempts.lock().forget(client);
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
        let now = Instant::now();
        let mut attempts = Attempts::default();
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2:1", "192.0.2.1"].map(|text| text.parse().unwrap());
        for _ in 0..ATTEMPTS_MAX {
            assert!(attempts.count(one, now));
        }
        assert!(!attempts.count(same, now) && attempts.count(other, now));
        assert!(attempts.count(one, now + ATTEMPTS_IN));
        attempts.forget(other);
        assert!(!attempts.0.contains_key(&other));
    }

    #[test]
    fn who_is_counted_is_bounded() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        for number in 0..2 * ATTEMPTS_FROM_MAX {
            let address = std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap());
            attempts.count(address.into(), now);
        }
        assert_eq!(attempts.0.len(), ATTEMPTS_FROM_MAX);
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
