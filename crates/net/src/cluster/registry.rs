//! What an authority has to remember: tokens that were not used, who belongs, and who no longer does.
//!
//! A cluster of several machines keeps this in its control state ([`Entries`]), so that edges hear of
//! revocations. [`Files`] keeps it in a directory beside the authority's key, where one machine holds
//! both. Both write the same lines.

mod entries;

use std::{
    collections::BTreeSet,
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    str::FromStr,
    time::Duration,
};

use nigh_base::Wall;

use super::{
    files::Directory,
    identity::{Identity, JoinId},
    name::Name,
    token::{Kept, Token, TokenId},
};

pub use entries::{Entries, revoked, revoked_in, unless_revoked};

/// Tokens that were not used, at most: who needs more edges at once makes tokens as they come.
pub const TOKENS_MAX: usize = 256;

/// Edges that belong to a cluster, at most.
pub const MEMBERS_MAX: usize = 1024;

/// An edge that belongs to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Name,
    /// By which it came in.
    pub join: JoinId,
    /// Until when the last of its certificates is good. After that it belongs no more, and its name is
    /// free.
    pub ends: Wall,
}

/// Why somebody is not let in, or is not renewed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The token is not known: its secret is wrong, it was used, or there never was one.
    #[error("the token is not known here, or was used already: ask for another")]
    Token,
    /// The token was good once, and nobody used it.
    #[error("the token has expired: ask for another")]
    Expired,
    /// Another edge has the name.
    #[error(
        "an edge of this name belongs to the cluster: choose another, or revoke that one first"
    )]
    NameTaken,
    /// There is no place for one more.
    #[error("the cluster has {MEMBERS_MAX} edges, which is as many as it may have")]
    Full,
    /// The edge does not belong to the cluster, or does no more.
    #[error("the edge does not belong to the cluster any more: join with a new token")]
    NotMember,
    /// What is remembered cannot be read or written; trying again may help.
    #[error("the authority cannot reach what it has written down")]
    Unavailable(#[from] io::Error),
}

/// What an authority asks of its memory. Each call takes effect as a whole or not at all, also beside
/// others that come at the same moment.
pub trait Registry: Send + Sync + 'static {
    /// Takes the token, for ever, and notes that the member belongs. A token that is refused is left
    /// as it was: who guesses cannot use one up.
    fn admit(
        &self,
        token: &Token,
        member: Member,
        now: Wall,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Notes that a member's new certificate ends at `ends`, if it still belongs by that join.
    fn renew(
        &self,
        identity: &Identity,
        ends: Wall,
        now: Wall,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// Tokens, members and revocations, each in a file. Several processes may use a directory at once.
#[derive(Clone, Debug)]
pub struct Files {
    root: Directory,
    tokens: Directory,
    members: Directory,
    revoked: Directory,
}

impl Files {
    /// The registry in the directory at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let within = |name: &str| Directory::make(&path.join(name));
        Ok(Self {
            root: Directory::make(path)?,
            tokens: within("tokens")?,
            members: within("members")?,
            revoked: within("revoked")?,
        })
    }

    /// Notes a token. Those that have expired are forgotten.
    ///
    /// # Errors
    /// If there are too many, or files cannot be written.
    pub fn add_token(&self, id: TokenId, kept: &Kept, now: Wall) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut count = 0;
        for name in self.tokens.names()? {
            match self.token(&name)? {
                Some(kept) if now <= kept.expires => count += 1,
                _ => drop(self.tokens.remove(&name)?),
            }
        }
        if count >= TOKENS_MAX {
            return Err(too_many_tokens());
        }
        self.tokens.write(&id.to_string(), &token_line(kept))
    }

    /// Who belongs.
    ///
    /// # Errors
    /// If files cannot be read.
    pub fn members(&self, now: Wall) -> io::Result<Vec<Member>> {
        let mut members = Vec::new();
        for name in self.members.names()? {
            let member = name.parse().ok().map(|name| self.member(&name, now)).transpose()?;
            members.extend(member.flatten());
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(members)
    }

    /// Puts an edge out: none of its certificates counts any more. Says whether it belonged.
    ///
    /// # Errors
    /// If files cannot be written.
    pub fn revoke(&self, name: &Name, now: Wall) -> io::Result<bool> {
        let _lock = self.lock()?;
        let Some(member) = self.member(name, now)? else { return Ok(false) };
        self.revoked.write(&member.join.to_string(), &revoked_line(&member))?;
        self.members.remove(name.as_str())
    }

    /// The joins that count no more. What would have ended anyway is forgotten.
    ///
    /// # Errors
    /// If files cannot be read.
    pub fn revoked(&self, now: Wall) -> io::Result<BTreeSet<JoinId>> {
        let mut revoked = BTreeSet::new();
        for name in self.revoked.names()? {
            let Ok(join) = name.parse::<JoinId>() else { continue };
            match self.revoked.read(&name)?.is_some_and(|text| is_over(&text, now)) {
                true => drop(self.revoked.remove(&name)?),
                false => drop(revoked.insert(join)),
            }
        }
        Ok(revoked)
    }

    fn admit_now(&self, token: &Token, member: &Member, now: Wall) -> Result<(), Refusal> {
        let _lock = self.lock()?;
        let id = token.id.to_string();
        let kept = self.token(&id)?.filter(|kept| token.is(kept)).ok_or(Refusal::Token)?;
        if now > kept.expires {
            return Err(Refusal::Expired);
        }
        let members = self.members(now)?;
        if members.iter().any(|other| other.name == member.name) {
            return Err(Refusal::NameTaken);
        }
        if members.len() >= MEMBERS_MAX {
            return Err(Refusal::Full);
        }
        // First the token goes: if the power does too, somebody has to ask for another.
        if !self.tokens.remove(&id)? {
            return Err(Refusal::Token);
        }
        Ok(self.note(member)?)
    }

    fn renew_now(&self, identity: &Identity, ends: Wall, now: Wall) -> Result<(), Refusal> {
        let _lock = self.lock()?;
        let join = identity.serial.join();
        let member = self.member(&identity.name, now)?.filter(|member| member.join == join);
        let member = member.ok_or(Refusal::NotMember)?;
        Ok(self.note(&Member { ends: ends.max(member.ends), ..member })?)
    }

    fn note(&self, member: &Member) -> io::Result<()> {
        self.members.write(member.name.as_str(), &member_line(member))
    }

    fn member(&self, name: &Name, now: Wall) -> io::Result<Option<Member>> {
        let text = self.members.read(name.as_str())?;
        Ok(text.and_then(|text| member_of(name, &text)).filter(|member| now <= member.ends))
    }

    fn token(&self, name: &str) -> io::Result<Option<Kept>> {
        Ok(self.tokens.read(name)?.and_then(|text| token_of(&text)))
    }

    /// Nobody else changes anything until this is dropped.
    fn lock(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(self.root.path_of("lock"))?;
        lock.lock()?;
        Ok(lock)
    }
}

impl Registry for Files {
    async fn admit(&self, token: &Token, member: Member, now: Wall) -> Result<(), Refusal> {
        self.admit_now(token, &member, now)
    }

    async fn renew(&self, identity: &Identity, ends: Wall, now: Wall) -> Result<(), Refusal> {
        self.renew_now(identity, ends, now)
    }
}

/// For how long a revocation is kept after the certificate's end: nobody's clock is so far behind.
const REMEMBERED: Duration = Duration::from_hours(24);

fn too_many_tokens() -> io::Error {
    let message =
        format!("{TOKENS_MAX} tokens wait to be used: use some, or wait until they expire");
    io::Error::new(io::ErrorKind::QuotaExceeded, message)
}

fn token_line(kept: &Kept) -> String {
    let hash: String = kept.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hash} {}\n", kept.expires.secs())
}

fn token_of(line: &str) -> Option<Kept> {
    let (Hash(hash), expires) = pair(line)?;
    Some(Kept { hash, expires: Wall::from_secs(expires) })
}

fn member_line(member: &Member) -> String {
    format!("{} {}\n", member.join, member.ends.secs())
}

fn member_of(name: &Name, line: &str) -> Option<Member> {
    let (join, ends) = pair(line)?;
    Some(Member { name: name.clone(), join, ends: Wall::from_secs(ends) })
}

/// Until when it is remembered that the member was put out.
fn revoked_line(member: &Member) -> String {
    format!("{}\n", member.ends.after(REMEMBERED).secs())
}

/// Whether what the line says need not be remembered any more; what cannot be read is.
fn is_over(line: &str, now: Wall) -> bool {
    line.trim().parse::<u64>().is_ok_and(|ends| ends < now.secs())
}

/// Two words of a line.
fn pair<A: FromStr>(text: &str) -> Option<(A, u64)> {
    let (first, second) = text.trim_end().split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

struct Hash([u8; 32]);

impl FromStr for Hash {
    type Err = fmt::Error;

    fn from_str(text: &str) -> Result<Self, fmt::Error> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let bytes: &[u8; 64] = text.as_bytes().try_into().map_err(|_| fmt::Error)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(bytes.as_chunks::<2>().0) {
            let [high, low] = pair.map(digit);
            *byte = high.ok_or(fmt::Error)? << 4 | low.ok_or(fmt::Error)?;
        }
        Ok(Self(hash))
    }
}
