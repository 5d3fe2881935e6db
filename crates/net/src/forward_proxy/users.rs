//! Who may use a proxy: names with the hashes of their passwords, as `htpasswd -B` writes them. RFC
//! 7617 (Basic), section 2; N. Provos, D. Mazieres, "A Future-Adaptable Password Scheme", 1999 (bcrypt).

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::constant_time;
use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

/// Names in one file.
const USERS_MAX: usize = 10_000;

/// The dearest hash: 2^14 rounds take a core for about a second, and a proxy has other work.
const COST_MAX: u32 = 14;

/// Bytes of a password that bcrypt takes in, the zero at its end included.
const PASSWORD_MAX: usize = 72;

/// Base64 as bcrypt writes it: 22 letters for a salt's 16 bytes leave four bits over.
const BCRYPT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Names, each with the hash of a password.
pub struct Users {
    hashes: BTreeMap<Box<str>, Hash>,
    /// Every cost that a hash has.
    costs: BTreeSet<u32>,
    /// What a name that there is not is held against.
    nobody: Hash,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("names", &self.hashes.len()).finish_non_exhaustive()
    }
}

/// What is wrong with a line of a file of users. The line itself is not repeated: it is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// There is no name at all.
    #[error("the file names no user: write one with htpasswd -B")]
    Empty,
    /// More names than are kept.
    #[error("the file names more than {USERS_MAX} users")]
    TooMany,
    /// A line without a name and a hash.
    #[error("line {0} is no NAME:HASH")]
    Line(usize),
    /// Another hash, or one that is cut short.
    #[error("line {0} has no bcrypt hash ($2y$...): write it with htpasswd -B")]
    Hash(usize),
    /// A hash that would take too long.
    #[error(
        "the hash in line {0} is too dear: write it with htpasswd -B -C 10; {COST_MAX} is the most"
    )]
    Cost(usize),
    /// The same name again.
    #[error("line {0} names a user again")]
    Again(usize),
}

/// A password's hash.
#[derive(Clone, Copy)]
struct Hash {
    cost: u32,
    salt: [u8; 16],
    /// bcrypt computes 24 bytes and writes down 23.
    hash: [u8; 23],
}

impl Users {
    /// Reads a file: a line a user, `NAME:HASH`; empty lines and those that begin with `#` say
    /// nothing.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut hashes = BTreeMap::new();
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').ok_or(UsersError::Line(number))?;
            if name.is_empty() {
                return Err(UsersError::Line(number));
            }
            let hash = Hash::parse(hash).ok_or(UsersError::Hash(number))?;
            if hash.cost > COST_MAX {
                return Err(UsersError::Cost(number));
            }
            if hashes.insert(name.into(), hash).is_some() {
                return Err(UsersError::Again(number));
            }
            if hashes.len() > USERS_MAX {
                return Err(UsersError::TooMany);
            }
        }
        let costs = hashes.values().map(|hash| hash.cost).collect();
        let nobody = *hashes.values().next().ok_or(UsersError::Empty)?;
        Ok(Self { hashes, costs, nobody })
    }

    /// Whether a password is a user's. Takes as long for every name, whether or not there is such a
    /// user and whatever the hash costs: at most twice as long as the dearest hash.
    pub(super) fn verify(&self, name: &str, password: &[u8]) -> bool {
        self.verify_by(name, password, bcrypt::bcrypt)
    }

    /// The same, by `bcrypt`: once for each cost, so that the time says nothing of which one counts.
    fn verify_by(
        &self,
        name: &str,
        password: &[u8],
        mut bcrypt: impl FnMut(u32, [u8; 16], &[u8]) -> [u8; 24],
    ) -> bool {
        let held = self.hashes.get(name);
        let hash = held.unwrap_or(&self.nobody);
        let mut ended = [0; PASSWORD_MAX];
        let length = password.len().min(PASSWORD_MAX);
        ended[..length].copy_from_slice(&password[..length]);
        let ended = &ended[..(length + 1).min(PASSWORD_MAX)];
        let mut same = false;
        for &cost in &self.costs {
            let found = bcrypt(cost, hash.salt, ended);
            let equal = constant_time::verify_slices_are_equal(&found[..23], &hash.hash).is_ok();
            same |= equal && cost == hash.cost;
        }
        // A zero would end it early, and be another password with the same hash.
        same && held.is_some() && !password.contains(&0)
    }
}

impl Hash {
    /// `$2y$`, two digits of cost, `$`, 22 letters of salt and 31 of hash; `2a` and `2b` mean the same
    /// here.
    fn parse(text: &str) -> Option<Self> {
        let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|kind| text.strip_prefix(kind))?;
        let (cost, rest) = rest.split_once('$')?;
        let is_cost = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        let cost = cost.parse().ok().filter(|cost| is_cost && (4..=31).contains(cost))?;
        let (salt, hash) = rest.split_at_checked(22)?;
        Some(Self {
            cost,
            salt: BCRYPT.decode(salt).ok()?.try_into().ok()?,
            hash: BCRYPT.decode(hash).ok()?.try_into().ok()?,
        })
    }
}

/// A name and a password, as a field's value has them; of the password as much as counts, so that it
/// is the same one however it goes on.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) name: Box<str>,
    pub(super) password: Box<[u8]>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Reads the value of Proxy-Authorization; nothing if it is not Basic, or malformed.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (scheme, token) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = STANDARD.decode(token.trim_matches(' ')).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        let name = std::str::from_utf8(&decoded[..colon]).ok()?.into();
        let password = &decoded[colon + 1..];
        Some(Self { name, password: password[..password.len().min(PASSWORD_MAX)].into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the test vectors of Openwall's crypt_blowfish.
    const U_U: &str = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    #[test]
    fn a_password_is_known_by_its_hash() {
        let users = Users::parse(&format!("# people\n\nann:{U_U}\n")).unwrap();
        assert!(users.verify("ann", b"U*U"));
        for (name, password) in
            [("ann", &b"U*V"[..]), ("ann", b""), ("bob", b"U*U"), ("ann", b"U*U\0")]
        {
            assert!(!users.verify(name, password), "{name}");
        }
        assert!(!users.verify("ann", &[b'x'; 200]));
    }

    #[test]
    fn the_time_that_a_password_takes_does_not_tell_whose_it_is() {
        // The same salt and hash stand for other costs: what is done is counted, not what comes of it.
        let dearer = U_U.replace("$05$", "$07$");
        let users = Users::parse(&format!("ann:{U_U}\nbob:{dearer}\ncat:{U_U}")).unwrap();
        let done = |name: &str| {
            let mut costs = Vec::new();
            let holds = users.verify_by(name, b"U*U", |cost, salt, password| {
                costs.push(cost);
                bcrypt::bcrypt(cost, salt, password)
            });
            (costs, holds)
        };
        assert_eq!(done("ann"), (vec![5, 7], true));
        assert_eq!(done("bob"), (vec![5, 7], false));
        assert_eq!(done("nobody"), (vec![5, 7], false));
    }

    #[test]
    fn a_file_that_cannot_be_used_says_where_and_never_what() {
        let twice = format!("a:{U_U}\na:{U_U}");
        let dear = U_U.replace("$05$", "$15$");
        for (text, error) in [
            ("", UsersError::Empty),
            ("# only words", UsersError::Empty),
            ("\nsecret", UsersError::Line(2)),
            (":$2y$", UsersError::Line(1)),
            ("a:secret", UsersError::Hash(1)),
            ("a:$apr1$secret$secret", UsersError::Hash(1)),
            (&format!("a:{}", &U_U[..59]), UsersError::Hash(1)),
            (&format!("a:{dear}"), UsersError::Cost(1)),
            (&twice, UsersError::Again(2)),
        ] {
            let found = Users::parse(text).unwrap_err();
            assert_eq!(found, error);
            assert!(!found.to_string().contains("secret"));
        }
    }

    #[test]
    fn credentials_are_read_from_basic_alone() {
        let read = |value: &str| {
            let read = Credentials::parse(value.as_bytes())?;
            Some((read.name.to_string(), String::from_utf8(read.password.into()).unwrap()))
        };
        let ann = Some(("ann".to_owned(), "a:b".to_owned()));
        assert_eq!(read("Basic YW5uOmE6Yg=="), ann);
        assert_eq!(read("bAsIc YW5uOmE6Yg=="), ann);
        let long = |count: usize| {
            let token = STANDARD.encode(format!("ann:{}", "x".repeat(count)));
            Credentials::parse(format!("Basic {token}").as_bytes())
        };
        assert!(long(PASSWORD_MAX) == long(PASSWORD_MAX + 1) && long(71) != long(PASSWORD_MAX));
        for value in ["Basic", "Basic !", "Basic YW5u", "Bearer YW5uOmE6Yg==", ""] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
