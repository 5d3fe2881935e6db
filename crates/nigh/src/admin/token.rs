//! The token that whoever asks must show: `Authorization: Bearer TOKEN`. RFC 6750, section 2.1.

use std::fmt;

use anyhow::{Context, ensure};
use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::settings::{SECRET_MAX, Secret};

/// Bytes of the shortest token: with fewer, it could be guessed.
const LENGTH_MIN: usize = 16;

/// Bytes of the longest token: a field line's worth.
const LENGTH_MAX: usize = 4096;

/// A token. Nothing repeats it.
pub(crate) struct Token(Box<str>);

impl Token {
    /// Reads the token that lies there.
    pub(crate) fn read(secret: &Secret) -> anyhow::Result<Self> {
        let bytes = secret.read(SECRET_MAX)?;
        String::from_utf8(bytes)
            .map_err(anyhow::Error::from)
            .and_then(|text| Self::new(&text))
            .with_context(|| format!("{secret} holds no token"))
    }

    /// The token that `text` is, but for spaces and line ends around it.
    pub(crate) fn new(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        let lengths = LENGTH_MIN..=LENGTH_MAX;
        ensure!(
            lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()),
            "a token has {LENGTH_MIN} to {LENGTH_MAX} letters, digits and signs, and no spaces: \
             `openssl rand -hex 32` makes a good one"
        );
        Ok(Self(text.into()))
    }

    /// The field's value that shows it.
    pub(crate) fn shown(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether a request shows it. The time that this takes says nothing but the length.
    pub(super) fn is_shown_by(&self, fields: &HeaderMap) -> bool {
        let given = fields.get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let Some((scheme, token)) = given.split_at_checked(b"Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.ct_eq(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef";

    #[test]
    fn a_token_is_shown_by_bearer_and_by_nothing_else() {
        let token = Token::new(&format!(" {TEXT}\n")).unwrap();
        assert!(!format!("{token:?}").contains(TEXT));
        for (value, shown) in [
            (token.shown(), true),
            (format!("bearer {TEXT}"), true),
            (format!("Bearer {TEXT}0"), false),
            (format!("Bearer {}", &TEXT[1..]), false),
            ("Bearer 0123456789abcdeF".to_owned(), false),
            (format!("Basic {TEXT}"), false),
            (TEXT.to_owned(), false),
            (String::new(), false),
        ] {
            let fields = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(token.is_shown_by(&fields), shown, "{value}");
        }
        assert!(!token.is_shown_by(&HeaderMap::new()));
    }

    #[test]
    fn what_could_be_guessed_or_cannot_be_sent_is_no_token() {
        for text in ["", "short", "with some spaces in it", &"x".repeat(5000)] {
            assert!(Token::new(text).is_err(), "{text}");
        }
    }
}
