//! What `foca` is given: the form of its packets in bytes, a listener for what members carry, and
//! its randomness.

use std::convert::Infallible;

use bytes::{Buf, BufMut, Bytes};
use foca::{Header, Incarnation, Invalidates, Member, Message, State};
use nigh_base::{
    Rng,
    wire::{Reader, Wire, WireError},
};

use super::{MEMBERS_MAX, Name, identity::Identity, ledger::Shared, record::Record};

/// Reads and writes packets. `foca` writes each change that it accepts once, before it passes it
/// on: that is where the ledger learns of it.
#[derive(Debug)]
pub(super) struct Codec(pub(super) Shared);

impl Codec {
    /// More members than a table holds are not believed in.
    fn admit(&self, identity: Identity) -> Result<Identity, WireError> {
        let ledger = self.0.lock();
        let length = ledger.len();
        if length >= MEMBERS_MAX && !ledger.has(&identity.name) {
            return Err(WireError::TooLong { what: "members", length, limit: MEMBERS_MAX });
        }
        Ok(identity)
    }
}

impl foca::Codec<Identity> for Codec {
    type Error = WireError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buf: impl BufMut,
    ) -> Result<(), WireError> {
        let mut out = Vec::with_capacity(2 * Identity::MAX);
        header.src.write(&mut out);
        out.extend_from_slice(&header.src_incarnation.to_be_bytes());
        header.dst.write(&mut out);
        write_message(&header.message, &mut out);
        put(&out, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, WireError> {
        take(buf, |reader| {
            let src = self.admit(Identity::read(reader)?)?;
            let src_incarnation = reader.u16()?;
            let dst = Identity::read(reader)?;
            Ok(Header { src, src_incarnation, dst, message: read_message(reader)? })
        })
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buf: impl BufMut,
    ) -> Result<(), WireError> {
        self.0.lock().note(member);
        let mut out = Vec::with_capacity(Identity::MAX);
        write_member(member, &mut out);
        put(&out, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, WireError> {
        take(buf, |reader| {
            let identity = self.admit(Identity::read(reader)?)?;
            let incarnation: Incarnation = reader.u16()?;
            let state = match reader.u8()? {
                0 => State::Alive,
                1 => State::Suspect,
                2 => State::Down,
                tag => return Err(WireError::Unknown { what: "state", tag }),
            };
            Ok(Member::new(identity, incarnation, state))
        })
    }
}

/// A ping with nothing in it but that the member is suspected. Its answer shows the incarnation that
/// it has by then, so it refutes by it. The own incarnation is not known here; the lowest tells
/// nobody anything.
pub(super) fn reminder(me: &Identity, suspect: &Identity, incarnation: Incarnation) -> Bytes {
    let mut out = Vec::with_capacity(3 * Identity::MAX);
    me.write(&mut out);
    out.extend_from_slice(&0u16.to_be_bytes());
    suspect.write(&mut out);
    write_message(&Message::Ping(0), &mut out);
    out.extend_from_slice(&1u16.to_be_bytes());
    write_member(&Member::new(suspect.clone(), incarnation, State::Suspect), &mut out);
    out.into()
}

fn write_member(member: &Member<Identity>, out: &mut Vec<u8>) {
    member.id().write(out);
    out.extend_from_slice(&member.incarnation().to_be_bytes());
    out.push(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
}

/// Writes all of `bytes`, or nothing if there is no room.
fn put(bytes: &[u8], mut buf: impl BufMut) -> Result<(), WireError> {
    let limit = buf.remaining_mut();
    if bytes.len() > limit {
        return Err(WireError::TooLong { what: "packet", length: bytes.len(), limit });
    }
    buf.put_slice(bytes);
    Ok(())
}

/// Reads one value from the front.
fn take<T>(
    mut buf: impl Buf,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<T, WireError> {
    // What `foca` reads is one slice.
    let mut reader = Reader::new(buf.chunk());
    let before = reader.rest();
    let value = read(&mut reader)?;
    let taken = before - reader.rest();
    buf.advance(taken);
    Ok(value)
}

fn write_message(message: &Message<Identity>, out: &mut Vec<u8>) {
    let mut about = |tag, number: u8, identity: Option<&Identity>| {
        out.extend_from_slice(&[tag, number]);
        if let Some(identity) = identity {
            identity.write(out);
        }
    };
    match message {
        Message::Ping(number) => about(1, *number, None),
        Message::Ack(number) => about(2, *number, None),
        Message::PingReq { target, probe_number } => about(3, *probe_number, Some(target)),
        Message::IndirectPing { origin, probe_number } => about(4, *probe_number, Some(origin)),
        Message::IndirectAck { target, probe_number } => about(5, *probe_number, Some(target)),
        Message::ForwardedAck { origin, probe_number } => about(6, *probe_number, Some(origin)),
        Message::Announce => out.push(7),
        Message::Feed => out.push(8),
        Message::Gossip => out.push(9),
        Message::Broadcast => out.push(10),
        Message::TurnUndead => out.push(11),
    }
}

fn read_message(reader: &mut Reader<'_>) -> Result<Message<Identity>, WireError> {
    Ok(match reader.u8()? {
        1 => Message::Ping(reader.u8()?),
        2 => Message::Ack(reader.u8()?),
        3 => {
            let probe_number = reader.u8()?;
            Message::PingReq { target: Identity::read(reader)?, probe_number }
        }
        4 => {
            let probe_number = reader.u8()?;
            Message::IndirectPing { origin: Identity::read(reader)?, probe_number }
        }
        5 => {
            let probe_number = reader.u8()?;
            Message::IndirectAck { target: Identity::read(reader)?, probe_number }
        }
        6 => {
            let probe_number = reader.u8()?;
            Message::ForwardedAck { origin: Identity::read(reader)?, probe_number }
        }
        7 => Message::Announce,
        8 => Message::Feed,
        9 => Message::Gossip,
        10 => Message::Broadcast,
        11 => Message::TurnUndead,
        tag => return Err(WireError::Unknown { what: "packet", tag }),
    })
}

/// Takes what members say of themselves out of packets.
#[derive(Debug)]
pub(super) struct Listener(pub(super) Shared);

/// Whose word it is: a newer one takes the place of one that is still being passed on.
#[derive(Debug)]
pub(super) struct Speaker(Name);

impl Invalidates for Speaker {
    fn invalidates(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl foca::BroadcastHandler<Identity> for Listener {
    type Key = Speaker;
    type Error = WireError;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&Identity>,
    ) -> Result<Option<Speaker>, WireError> {
        let record = Record::decode(data)?;
        let speaker = Speaker(record.name.clone());
        // Without a sender it is this node's own word.
        let news = sender.is_none() || self.0.lock().take(record);
        Ok(news.then_some(speaker))
    }
}

/// The randomness of `foca`: a stream of ours.
#[derive(Debug)]
pub(super) struct Stream(pub(super) Rng);

impl rand_core::TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let upper = self.0.next_u64() >> 32;
        Ok(u32::try_from(upper).expect("the upper half of 64 bits has 32"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}
