//! A machine that uses all that a driver has: it pings, pours bytes over links, saves and loads.

use std::{collections::BTreeMap, hash::Hasher, marker::PhantomData, rc::Rc, time::Duration};

use bytes::Bytes;
use nigh_base::{
    Address, Digest, Machine, Time,
    machine::{Context, DiskError, Input, LINK_QUEUE_FULL, LINK_QUEUE_MAX, Link, Output, Slot},
    wire::{Reader, Wire, WireError},
};

/// How long it waits for an answer before it asks again.
const WAIT: Duration = Duration::from_millis(50);

/// The machine. On a link, who dials says a length and as many bytes, and gets one back.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pings: BTreeMap<u64, Ping>,
    dialled: u64,
    pours: BTreeMap<Link, Pour>,
    sinks: BTreeMap<Link, Sink>,
    pub(super) answers: u64,
    pub(super) drained: u64,
    /// Not `Send`, as machines need not be.
    _here: PhantomData<Rc<()>>,
}

#[derive(Debug)]
struct Ping {
    to: Address,
    tries_left: u64,
    due: Time,
}

#[derive(Debug)]
struct Pour {
    total: u64,
    poured: u64,
    /// Since it was last told that there is room.
    unanswered: usize,
    manner: Manner,
}

#[derive(Debug, Default)]
struct Sink {
    length: Vec<u8>,
    seen: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Stops when the link is full and goes on when it has drained.
    Patient = 0,
    /// Sends everything and closes at once.
    Hasty = 1,
    /// Sends more than a link may hold.
    Rude = 2,
    /// Sends nothing.
    Silent = 3,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Say {
    Ping(u64),
    Pong(u64),
    /// Longer than any datagram.
    Shout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The number is how often it asks before it gives up.
    Ping(Address, u64),
    Shout(Address),
    Pour {
        to: Address,
        bytes: u64,
        manner: Manner,
    },
    Save {
        slot: Slot,
        bytes: Bytes,
    },
    Load {
        slot: Slot,
    },
    Count(u32),
    Panic,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Answered(Address),
    Lost(Address),
    Opened(Link),
    Poured(Link),
    Sunk { link: Link, bytes: u64 },
    Closed(Link),
    Saved(Slot),
    Loaded(Slot, Option<Bytes>),
    Failed(Slot, DiskError),
    Number(u32),
}

impl Machine for Probe {
    type Message = Say;
    type Command = Ask;
    type Event = Told;

    fn handle(&mut self, input: Input<Say, Ask>, cx: &mut Context<'_, Self>) {
        match input {
            Input::Wake => self.wake(cx),
            Input::Command(ask) => self.ask(ask, cx),
            Input::Message { from, message: Say::Ping(number) } => {
                cx.send(from, Say::Pong(number));
            }
            Input::Message { message: Say::Pong(number), .. } => {
                if let Some(ping) = self.pings.remove(&number) {
                    self.answers += 1;
                    cx.tell(Told::Answered(ping.to));
                }
            }
            Input::Message { message: Say::Shout, .. } => unreachable!("it cannot be sent"),
            Input::Opened { link, .. } => {
                cx.tell(Told::Opened(link));
                match self.pours.get(&link) {
                    Some(pour) if pour.manner != Manner::Silent => {
                        let bytes = pour.total.to_be_bytes().to_vec().into();
                        cx.emit(Output::Send { link, bytes });
                        self.pour(link, cx);
                    }
                    Some(_) => {}
                    None => drop(self.sinks.insert(link, Sink::default())),
                }
            }
            Input::Received { link, bytes } => self.received(link, &bytes, cx),
            Input::Drained { link } => {
                self.drained += 1;
                if let Some(pour) = self.pours.get_mut(&link) {
                    pour.unanswered = 0;
                    self.pour(link, cx);
                }
            }
            Input::Closed { link } => {
                self.pours.remove(&link);
                self.sinks.remove(&link);
                cx.tell(Told::Closed(link));
            }
            Input::Saved { slot } => cx.tell(Told::Saved(slot)),
            Input::Loaded { slot, bytes } => cx.tell(Told::Loaded(slot, bytes)),
            Input::Failed { slot, cause } => cx.tell(Told::Failed(slot, cause)),
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.pings.values().map(|ping| ping.due).min()
    }

    fn digest(&self, digest: &mut Digest) {
        for (&number, ping) in &self.pings {
            digest.write_u64(number);
            digest.write(&ping.to.encode());
            digest.write_u64(ping.tries_left);
            digest.write_u64(ping.due.nanos());
        }
        for (link, pour) in &self.pours {
            digest.write_u64(link.0);
            digest.write_u64(pour.poured);
            digest.write_usize(pour.unanswered);
        }
        for (link, sink) in &self.sinks {
            digest.write_u64(link.0);
            digest.write(&sink.length);
            digest.write_u64(sink.seen);
        }
        digest.write_u64(self.answers);
        digest.write_u64(self.drained);
    }
}

impl Probe {
    fn ask(&mut self, ask: Ask, cx: &mut Context<'_, Self>) {
        match ask {
            Ask::Ping(to, tries) => {
                let number = cx.secrets.number();
                let ping = Ping { to, tries_left: tries - 1, due: cx.now.after(WAIT) };
                self.pings.insert(number, ping);
                cx.send(to, Say::Ping(number));
            }
            Ask::Shout(to) => cx.send(to, Say::Shout),
            Ask::Pour { to: peer, bytes, manner } => {
                let link = Link(2 * self.dialled + 1);
                self.dialled += 1;
                let pour = Pour { total: bytes, poured: 0, unanswered: 0, manner };
                self.pours.insert(link, pour);
                cx.emit(Output::Open { link, peer });
            }
            Ask::Save { slot, bytes } => cx.emit(Output::Save { slot, bytes }),
            Ask::Load { slot } => cx.emit(Output::Load { slot }),
            Ask::Count(count) => (0..count).for_each(|number| cx.tell(Told::Number(number))),
            Ask::Panic => panic!("the machine was asked to"),
        }
    }

    fn wake(&mut self, cx: &mut Context<'_, Self>) {
        self.pings.retain(|&number, ping| {
            if ping.due > cx.now {
                return true;
            }
            if ping.tries_left == 0 {
                cx.tell(Told::Lost(ping.to));
                return false;
            }
            ping.tries_left -= 1;
            ping.due = cx.now.after(WAIT);
            cx.send(ping.to, Say::Ping(number));
            true
        });
    }

    fn pour(&mut self, link: Link, cx: &mut Context<'_, Self>) {
        let pour = self.pours.get_mut(&link).expect("it is poured");
        while pour.poured < pour.total
            && (pour.manner != Manner::Patient || pour.unanswered < LINK_QUEUE_FULL)
        {
            // Pieces of all sizes, small and large.
            let most = 1 << (1 + cx.rng.below(16));
            let length = (1 + cx.rng.below(most)).min(pour.total - pour.poured);
            let bytes: Bytes = (pour.poured..pour.poured + length).map(byte).collect();
            pour.poured += length;
            pour.unanswered += bytes.len();
            cx.emit(Output::Send { link, bytes });
        }
        if pour.manner == Manner::Hasty {
            self.pours.remove(&link);
            cx.emit(Output::Close { link });
        }
    }

    fn received(&mut self, link: Link, bytes: &[u8], cx: &mut Context<'_, Self>) {
        let Some(sink) = self.sinks.get_mut(&link) else {
            assert!(self.pours.remove(&link).is_some(), "{link:?} is one of ours");
            cx.emit(Output::Close { link });
            return cx.tell(Told::Poured(link));
        };
        let (length, content) = bytes.split_at(bytes.len().min(8 - sink.length.len()));
        sink.length.extend_from_slice(length);
        for &found in content {
            assert_eq!(found, byte(sink.seen), "byte {}", sink.seen);
            sink.seen += 1;
        }
        if let Ok(total) = sink.length[..].try_into()
            && sink.seen == u64::from_be_bytes(total)
        {
            cx.tell(Told::Sunk { link, bytes: sink.seen });
            cx.emit(Output::Send { link, bytes: Bytes::from_static(b".") });
        }
    }
}

/// What is poured at `place`: not the same at any two places near each other.
pub(super) fn byte(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]
}

/// More than a link may hold.
pub(super) const RUDE_BYTES: u64 = LINK_QUEUE_MAX as u64 + 1_000_000;

impl Wire for Say {
    const MAX: usize = 70_000;

    fn write(&self, out: &mut Vec<u8>) {
        let (tag, number) = match self {
            Self::Ping(number) => (1, *number),
            Self::Pong(number) => (2, *number),
            Self::Shout => {
                out.resize(out.len() + Self::MAX, 0);
                return;
            }
        };
        out.push(tag);
        out.extend_from_slice(&number.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.u8()? {
            1 => reader.u64().map(Self::Ping),
            2 => reader.u64().map(Self::Pong),
            tag => Err(WireError::Unknown { what: "message", tag }),
        }
    }
}

impl Wire for Ask {
    const MAX: usize = 1024;

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ping(to, tries) => {
                out.push(1);
                to.write(out);
                out.extend_from_slice(&tries.to_be_bytes());
            }
            Self::Shout(to) => {
                out.push(2);
                to.write(out);
            }
            Self::Pour { to, bytes, manner } => {
                out.extend_from_slice(&[3, *manner as u8]);
                to.write(out);
                out.extend_from_slice(&bytes.to_be_bytes());
            }
            Self::Save { slot, bytes } => {
                out.push(4);
                out.extend_from_slice(&slot.0.to_be_bytes());
                bytes.write(out);
            }
            Self::Load { slot } => {
                out.push(5);
                out.extend_from_slice(&slot.0.to_be_bytes());
            }
            Self::Count(count) => {
                out.push(6);
                out.extend_from_slice(&count.to_be_bytes());
            }
            Self::Panic => out.push(7),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            1 => Self::Ping(Address::read(reader)?, reader.u64()?),
            2 => Self::Shout(Address::read(reader)?),
            3 => {
                let manner = match reader.u8()? {
                    0 => Manner::Patient,
                    1 => Manner::Hasty,
                    2 => Manner::Rude,
                    3 => Manner::Silent,
                    tag => return Err(WireError::Unknown { what: "manner", tag }),
                };
                Self::Pour { to: Address::read(reader)?, bytes: reader.u64()?, manner }
            }
            4 => Self::Save { slot: Slot(reader.u64()?), bytes: Bytes::read(reader)? },
            5 => Self::Load { slot: Slot(reader.u64()?) },
            6 => Self::Count(reader.u32()?),
            7 => Self::Panic,
            tag => return Err(WireError::Unknown { what: "command", tag }),
        })
    }
}
