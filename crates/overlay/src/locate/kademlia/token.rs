//! Tokens: who stores something has asked before from where it says that it is (BEP 5).
//!
//! A token is a hash of the address and of a secret that changes every five minutes; that of the secret
//! before is good as well, so it lives five to ten minutes and nothing is remembered of who was given it.

use std::time::Duration;

use nigh_base::{Address, Key, Time, machine::Secrets};

use super::krpc::Token;

/// How long a secret gives tokens.
const SECRET_LIFE: Duration = Duration::from_secs(5 * 60);
/// Bytes of a token: nobody guesses it in ten minutes.
const BYTES: usize = 8;

/// What makes tokens.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Tokens {
    secret: [u8; 16],
    /// The one before; none in the first five minutes.
    old: Option<[u8; 16]>,
    /// When the secret was drawn.
    since: Option<Time>,
}

impl Tokens {
    /// Draws a new secret if it is time.
    fn turn(&mut self, now: Time, secrets: &mut dyn Secrets) {
        let age = self.since.map(|since| now.since(since));
        if age.is_some_and(|age| age < SECRET_LIFE) {
            return;
        }
        // One that rested for long is not good any more.
        self.old = age.filter(|age| *age < 2 * SECRET_LIFE).map(|_| self.secret);
        secrets.fill(&mut self.secret);
        self.since = Some(now);
    }

    /// The token for an address.
    pub(super) fn give(&mut self, to: Address, now: Time, secrets: &mut dyn Secrets) -> Token {
        self.turn(now, secrets);
        token(&self.secret, to)
    }

    /// Whether an address was given this token.
    pub(super) fn are_right(
        &mut self,
        token_of: &Token,
        from: Address,
        now: Time,
        secrets: &mut dyn Secrets,
    ) -> bool {
        self.turn(now, secrets);
        *token_of == token(&self.secret, from)
            || self.old.is_some_and(|old| *token_of == token(&old, from))
    }
}

/// The port does not count: a NAT may give another one to the next question.
fn token(secret: &[u8; 16], of: Address) -> Token {
    let mut hashed = [0; 32];
    hashed[..16].copy_from_slice(secret);
    hashed[16..].copy_from_slice(&of.ip_bytes());
    Token::from_slice(&Key::of(&hashed).bytes()[..BYTES])
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;

    #[test]
    fn a_token_is_good_for_five_to_ten_minutes_from_any_port_of_its_address_alone() {
        let mut rng = Rng::new(1);
        let (asker, port) = (Address::v4([192, 0, 2, 1], 1), Address::v4([192, 0, 2, 1], 2));
        let other = Address::v4([192, 0, 2, 2], 1);
        for (given, asked, is_good) in
            [(0, 0, true), (0, 599, true), (299, 599, true), (0, 601, false), (0, 10_000, false)]
        {
            let start = Time::from_secs(1000);
            let mut tokens = Tokens::default();
            let at = |seconds| start.after(Duration::from_secs(seconds));
            let token = tokens.give(asker, at(0), &mut rng);
            let token = if given > 0 { tokens.give(asker, at(given), &mut rng) } else { token };
            tokens.give(other, at(asked.min(300)), &mut rng);
            assert_eq!(tokens.are_right(&token, port, at(asked), &mut rng), is_good, "{asked}");
            assert!(!tokens.are_right(&token, other, at(asked), &mut rng));
        }
    }
}
