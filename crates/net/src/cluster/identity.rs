//! What a certificate says of the edge that shows it.

use std::{fmt, str::FromStr, time::Duration};

use nigh_base::{Wall, machine::Secrets};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time,
};

use super::name::Name;

/// What all certificates have in common that come of one join: the one that it gave, and those that it
/// was renewed to. Who leaves, or is put out, is revoked by this number: nothing that is renewed at the
/// same moment escapes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinId([u8; HALF]);

/// A certificate's serial number: the join's, and as many bytes of its own. Both are drawn, so that
/// nobody can foresee a certificate that will be signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Serial {
    join: JoinId,
    own: [u8; HALF],
}

/// Bytes of each half of a serial number: 64 drawn bits; both are within the 20 of RFC 5280, section
/// 4.1.2.2.
const HALF: usize = 8;

impl JoinId {
    /// A new one.
    pub fn draw(secrets: &mut dyn Secrets) -> Self {
        let mut bytes = [0; HALF];
        secrets.fill(&mut bytes);
        // As a number it is positive and has all its bytes: so it has one form. RFC 5280, section
        // 4.1.2.2.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes)
    }
}

impl fmt::Display for JoinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for JoinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number of a join has 16 hexadecimal digits")]
pub struct JoinIdError;

impl FromStr for JoinId {
    type Err = JoinIdError;

    fn from_str(text: &str) -> Result<Self, JoinIdError> {
        let is_hex = text.len() == 2 * HALF && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(|number| Self(number.to_be_bytes())).ok_or(JoinIdError)
    }
}

impl Serial {
    /// A new one of this join.
    pub fn draw(join: JoinId, secrets: &mut dyn Secrets) -> Self {
        let mut own = [0; HALF];
        secrets.fill(&mut own);
        Self { join, own }
    }

    /// Which join it comes of.
    pub const fn join(self) -> JoinId {
        self.join
    }

    pub(super) fn bytes(self) -> [u8; 2 * HALF] {
        let mut bytes = [0; 2 * HALF];
        bytes[..HALF].copy_from_slice(&self.join.0);
        bytes[HALF..].copy_from_slice(&self.own);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (join, own) = bytes.split_first_chunk()?;
        Some(Self { join: JoinId(*join), own: own.try_into().ok()? })
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016x}", self.join, u64::from_be_bytes(self.own))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who shows a certificate, and for how long it is good. It says nothing of whether the certificate
/// is: [`super::tls::Trust`] judges that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The edge's name in the cluster.
    pub name: Name,
    /// The certificate's number.
    pub serial: Serial,
    /// From when on it is good.
    pub begins: Wall,
    /// Until when, in whole seconds.
    pub ends: Wall,
}

impl Identity {
    /// What the certificate in `der` says of an edge of `cluster`.
    ///
    /// # Errors
    /// If it is not one that an authority of ours could have made for an edge of this cluster.
    pub fn read(der: &[u8], cluster: &Name) -> Result<Self, IdentityError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Malformed)?;
        if !rest.is_empty() {
            return Err(IdentityError::Malformed);
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        // An edge has one name: with two, it would be a question which of them counts.
        let [GeneralName::DNSName(domain)] = names else { return Err(IdentityError::Name) };
        let name = Name::read_within(domain, cluster).ok_or(IdentityError::Name)?;
        let serial = Serial::read(certificate.raw_serial()).ok_or(IdentityError::Serial)?;
        let validity = certificate.validity();
        Ok(Self {
            name,
            serial,
            begins: wall(validity.not_before)?,
            ends: wall(validity.not_after)?,
        })
    }

    /// Whether the certificate is good at this time, as far as that is a question of time. RFC 5280,
    /// section 4.1.2.5: both ends belong to it.
    pub fn is_current(&self, now: Wall) -> bool {
        self.begins <= now && now.secs() <= self.ends.secs()
    }

    /// Whether it is time to renew: a third of its time is left, or less. Two further thirds of a day
    /// may pass until somebody notices that renewing fails.
    pub fn is_to_renew(&self, now: Wall) -> bool {
        self.ends.since(now) <= self.ends.since(self.begins) / 3
    }

    /// In what time it is to be renewed.
    pub fn renewed_in(&self, now: Wall) -> Duration {
        let last_third = self.ends.since(self.begins) / 3;
        self.ends.since(now).saturating_sub(last_third)
    }
}

/// Why a certificate is none of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is no certificate.
    #[error("it is no X.509 certificate")]
    Malformed,
    /// It has no name of an edge in this cluster, or more than one name.
    #[error("it does not name one edge of this cluster")]
    Name,
    /// Its number is none that an authority of ours draws.
    #[error("its serial number is none of a cluster's authority")]
    Serial,
    /// It begins or ends before 1970.
    #[error("it begins or ends before 1970")]
    Time,
}

fn wall(time: ASN1Time) -> Result<Wall, IdentityError> {
    u64::try_from(time.timestamp()).map(Wall::from_secs).map_err(|_| IdentityError::Time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsSecrets;

    #[test]
    fn a_join_is_read_as_it_is_written_and_serials_of_it_say_so() {
        let mut secrets = OsSecrets::new();
        let join = JoinId::draw(&mut secrets);
        assert_eq!(join.to_string().parse(), Ok(join));
        let [a, b] = [(); 2].map(|()| Serial::draw(join, &mut secrets));
        assert_ne!(a, b);
        assert_eq!((a.join(), b.join()), (join, join));
        assert_eq!(Serial::read(&a.bytes()), Some(a));
        assert!(Serial::read(&a.bytes()[1..]).is_none() && Serial::read(&[1; 17]).is_none());
        for text in ["", "0", "+123456789abcdef", "0123456789abcdef0"] {
            assert_eq!(text.parse::<JoinId>(), Err(JoinIdError), "{text}");
        }
    }

    #[test]
    fn a_certificate_is_to_be_renewed_when_a_third_of_its_time_is_left() {
        let identity = Identity {
            name: "a".parse().unwrap(),
            serial: Serial { join: JoinId([0x40; HALF]), own: [0; HALF] },
            begins: Wall::from_secs(1_000),
            ends: Wall::from_secs(4_000),
        };
        for (now, in_secs) in [(1_000, 2_000), (2_999, 1), (3_000, 0), (5_000, 0)] {
            let now = Wall::from_secs(now);
            assert_eq!(identity.renewed_in(now), Duration::from_secs(in_secs));
            assert_eq!(identity.is_to_renew(now), in_secs == 0);
        }
        let current =
            [999, 1_000, 4_000, 4_001].map(|now| identity.is_current(Wall::from_secs(now)));
        assert_eq!(current, [false, true, true, false]);
    }

    #[test]
    fn what_is_no_certificate_is_no_identity() {
        let cluster = "eu".parse().unwrap();
        for bytes in [&b""[..], b"\x30\x80", &[0; 100]] {
            assert_eq!(Identity::read(bytes, &cluster), Err(IdentityError::Malformed));
        }
    }
}
