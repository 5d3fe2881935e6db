//! Links in a world: byte streams that arrive in order, or break.
//!
//! A link that a partition cuts does not come back, as if TCP had given up: its ends learn of it
//! after [`BROKEN_AFTER`]. That is harsher than a short outage would be, and never kinder.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use nigh_base::{
    Time,
    machine::{LINK_QUEUE_FULL, LINK_QUEUE_MAX, Link},
};

use crate::HostId;

/// How long a host dials somebody who does not answer at all.
pub(crate) const DIAL_LIMIT: Duration = Duration::from_secs(3);
/// How long the ends of a cut link wait before they give up.
pub(crate) const BROKEN_AFTER: Duration = Duration::from_secs(20);

/// What the ends of links tell each other.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Somebody dials; `theirs` is the link's number there.
    Dial { theirs: Link },
    /// The dialled host has accepted.
    Accepted { mine: Link, theirs: Link },
    /// The next bytes.
    Data { mine: Link, bytes: Bytes },
    /// So many bytes have been handed to the machine at the other end.
    Taken { mine: Link, count: usize },
    /// The link has ended, or never was.
    End { mine: Link },
}

/// The links of one host.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    accepted: u64,
    pub(crate) open: BTreeMap<Link, Stream>,
}

/// One end of a link.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) peer: HostId,
    /// The link's number at the other end; none while it is dialled.
    pub(crate) theirs: Option<Link>,
    /// When the last thing that was sent arrives: nothing arrives earlier.
    last: Time,
    in_flight: usize,
    /// Bytes sent since the machine last heard that there is room.
    since_room: usize,
    /// Whether the machine waits for room.
    full: bool,
    /// Whether its end has been set down already, though the machine does not know yet.
    pub(crate) broken: bool,
}

/// What a link's queue has become by a change of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// The machine may go on.
    Again,
    /// The machine did not stop where it should have.
    Exceeded,
}

impl Streams {
    pub(crate) fn dialled(&mut self, link: Link, peer: HostId) {
        assert!(link.0 % 2 == 1, "a machine dials odd links, {link:?} is even");
        let stream = Stream::new(peer, None);
        assert!(self.open.insert(link, stream).is_none(), "{link:?} was used before");
    }

    pub(crate) fn accepted(&mut self, peer: HostId, theirs: Link) -> Link {
        self.accepted += 2;
        let link = Link(self.accepted);
        self.open.insert(link, Stream::new(peer, Some(theirs)));
        link
    }
}

impl Stream {
    const fn new(peer: HostId, theirs: Option<Link>) -> Self {
        Self {
            peer,
            theirs,
            last: Time::START,
            in_flight: 0,
            since_room: 0,
            full: false,
            broken: false,
        }
    }

    /// When something arrives that would arrive at `at` if it were alone.
    pub(crate) fn in_order(&mut self, at: Time) -> Time {
        self.last = self.last.max(at);
        self.last
    }

    pub(crate) fn sent(&mut self, count: usize) -> Room {
        self.in_flight += count;
        self.since_room += count;
        self.full |= self.in_flight.max(self.since_room) >= LINK_QUEUE_FULL;
        if self.in_flight > LINK_QUEUE_MAX { Room::Exceeded } else { Room::Enough }
    }

    pub(crate) fn taken(&mut self, count: usize) -> Room {
        self.in_flight = self.in_flight.saturating_sub(count);
        if self.full && self.in_flight < LINK_QUEUE_FULL {
            (self.full, self.since_room) = (false, 0);
            return Room::Again;
        }
        Room::Enough
    }
}
