//! What members say to each other, and its bytes.

use bytes::Bytes;
use nigh_base::wire::{Reader, Wire, WireError, write_list};

use super::{Name, record::Record};

/// Bytes of the longest message. A QUIC packet of 1,200 bytes, which every path carries (RFC 9000,
/// section 14), has room for a datagram of 1,160 beside its header, a connection ID of 20, the
/// frame's own three and the tag.
pub const MESSAGE_MAX: usize = 1150;
/// Version and tag.
const HEAD: usize = 2;
/// Bytes of the longest packet of SWIM.
pub(super) const PACKET_MAX: usize = MESSAGE_MAX - HEAD;
/// Records of a page at most; with long names fewer have room.
const RECORDS_MAX: usize = 40;
/// Bytes of the records of a page: the rest is their count.
const PAGE_BYTES: usize = PACKET_MAX - 1;
/// The version of all messages.
const VERSION: u8 = 1;

/// A datagram between members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(pub(super) Body);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A packet of SWIM, which `foca` reads.
    Swim(Bytes),
    /// Asks for records, from this name on in the order of names, and round from the last to the
    /// first.
    Ask { from: Name },
    /// As many of them as have room.
    Records(Vec<Record>),
}

impl Body {
    /// The first of `records` that have room in a message.
    pub(super) fn page(records: impl Iterator<Item = Record>) -> Self {
        let mut left = PAGE_BYTES;
        let fits = |record: &Record| match left.checked_sub(record.encode().len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        Self::Records(records.take(RECORDS_MAX).take_while(fits).collect())
    }
}

impl Message {
    /// How many bytes it has.
    pub(super) fn length(&self) -> usize {
        match &self.0 {
            Body::Swim(packet) => HEAD + packet.len(),
            Body::Ask { .. } | Body::Records(_) => self.encode().len(),
        }
    }
}

impl Wire for Message {
    const MAX: usize = MESSAGE_MAX;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match &self.0 {
            Body::Swim(packet) => {
                out.push(1);
                out.extend_from_slice(packet);
            }
            Body::Ask { from } => {
                out.push(2);
                from.write(out);
            }
            Body::Records(records) => {
                out.push(3);
                write_list(records, out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let version = reader.u8()?;
        if version != VERSION {
            return Err(WireError::Unknown { what: "version", tag: version });
        }
        Ok(Self(match reader.u8()? {
            1 => {
                let length = reader.rest();
                if length > PACKET_MAX {
                    return Err(WireError::TooLong { what: "packet", length, limit: PACKET_MAX });
                }
                Body::Swim(Bytes::copy_from_slice(reader.take(length)?))
            }
            2 => Body::Ask { from: Name::read(reader)? },
            3 => {
                let before = reader.rest();
                let records = reader.list("records", RECORDS_MAX)?;
                let length = before - reader.rest();
                if length > PACKET_MAX {
                    return Err(WireError::TooLong { what: "page", length, limit: PACKET_MAX });
                }
                Body::Records(records)
            }
            tag => return Err(WireError::Unknown { what: "message", tag }),
        }))
    }
}

/// What must hold for any bytes: what reads is written as the same bytes, within the limit.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        let written = message.encode();
        assert_eq!(written, bytes, "one message has one form");
        assert!(written.len() <= Message::MAX);
    }
}

#[cfg(test)]
mod tests {
    use nigh_base::Rng;

    use super::*;
    use crate::membership::Carried;

    fn record(name: &str) -> Record {
        let carried = Carried { capacity: 7, load: u32::MAX, draining: true };
        let name = Name::new(name).unwrap();
        Record { name, generation: u64::MAX, version: 3, carried, leaving: false }
    }

    #[test]
    fn every_message_reads_as_it_was_written_and_the_longest_keeps_the_limit() {
        let long = "n".repeat(Name::LONGEST);
        let bodies = [
            Body::Swim(vec![7; PACKET_MAX].into()),
            Body::Ask { from: Name::new(&long).unwrap() },
            Body::page(std::iter::repeat_n(record(&long), 1000)),
            Body::page(std::iter::repeat_n(record("a"), 1000)),
            Body::Records(Vec::new()),
        ];
        for body in bodies {
            let message = Message(body);
            let written = message.encode();
            assert!(written.len() <= MESSAGE_MAX, "{}", written.len());
            assert_eq!(Message::decode(&written), Ok(message));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_have_one_form() {
        let mut rng = Rng::new(1);
        let page = Message(Body::page(["a", "b-c", "d.e"].map(record).into_iter())).encode();
        let ask = Message(Body::Ask { from: Name::new("edge-1").unwrap() }).encode();
        for _ in 0..20_000 {
            let mut bytes = if rng.chance(0.5) { page.clone() } else { ask.clone() };
            for _ in 0..rng.below(4) {
                let at = rng.index(bytes.len());
                match rng.below(3) {
                    0 => bytes[at] ^= 1 << rng.below(8),
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, u8::try_from(rng.below(256)).unwrap()),
                }
            }
            fuzz(&bytes);
        }
    }
}
