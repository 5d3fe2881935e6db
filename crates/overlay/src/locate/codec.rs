//! What the messages of our own overlays have in common.

use nigh_base::wire::{Reader, Wire, WireError};

use super::Contact;

/// The number of a question: secret, so that nobody else can answer.
pub type Nonce = u64;

/// The most contacts in one datagram: 32 of IPv4 take 864 bytes.
pub const CONTACTS_MAX: usize = 32;

pub(crate) fn contacts(reader: &mut Reader<'_>) -> Result<Vec<Contact>, WireError> {
    reader.list("contacts", CONTACTS_MAX)
}

/// 0, or 1 and the value.
pub(crate) fn option<T: Wire>(value: Option<&T>, out: &mut Vec<u8>) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        value.write(out);
    }
}

/// The same, read.
pub(crate) fn maybe<T>(
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => read(reader).map(Some),
        tag => Err(WireError::Unknown { what: "option", tag }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fmt;

    use nigh_base::{Address, Key, Rng};

    use super::*;
    use crate::locate::fuzz;

    /// Contacts over both families.
    pub(crate) fn contact(number: u64) -> Contact {
        let address = if number.is_multiple_of(2) {
            Address::v4([10, 0, 0, 1], 4000)
        } else {
            "[2001:db8::1]:9".parse::<std::net::SocketAddr>().unwrap().into()
        };
        Contact { key: Key::from(number), address }
    }

    /// Feeds [`fuzz::message`] with examples that were changed a little.
    pub(crate) fn any_bytes_are_refused_or_have_one_form<M: Wire + fmt::Debug>(examples: &[M]) {
        let mut rng = Rng::new(1);
        let seeds: Vec<Vec<u8>> = examples.iter().map(Wire::encode).collect();
        for _ in 0..20_000 {
            let mut bytes = seeds[rng.index(seeds.len())].clone();
            for _ in 0..rng.below(4) {
                let at = rng.index(bytes.len());
                match rng.below(3) {
                    0 => bytes[at] ^= 1 << rng.below(8),
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, u8::try_from(rng.below(256)).unwrap()),
                }
            }
            fuzz::message::<M>(&bytes);
        }
    }

    /// Addresses at which nobody, or more than one, is reached.
    pub(crate) fn addresses_of_nobody_or_of_many() -> impl Iterator<Item = Address> {
        let texts = ["0.0.0.0:4000", "10.0.0.1:0", "224.0.0.1:4000", "[ff02::1]:4000"];
        texts.into_iter().map(|text| text.parse::<std::net::SocketAddr>().unwrap().into())
    }
}
