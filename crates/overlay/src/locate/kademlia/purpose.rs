//! What a lookup is for: what is asked on its way, and what is stored with those it ends at.

use bytes::Bytes;
use nigh_base::{Key, machine::Context};

use super::{
    Announce, Event, Node,
    krpc::{Item, Method},
    search::Told,
};
use crate::locate::{self, Failure, Ticket};

#[derive(Clone, Debug, Hash)]
pub(super) enum Purpose {
    /// A way in.
    Join,
    /// To know the nodes of that part of the key space.
    Refresh,
    Locate {
        ticket: Ticket,
        trace: bool,
    },
    /// A value under any key.
    Put(Put),
    Get(Ticket),
    Peers {
        ticket: Ticket,
        announce: Option<Announce>,
        scrape: bool,
    },
    Item {
        ticket: Ticket,
        salt: Bytes,
    },
    PutItem {
        ticket: Ticket,
        item: Box<Item>,
        cas: Option<i64>,
    },
    Samples(Ticket),
}

/// A value that is put.
#[derive(Clone, Debug, Hash)]
pub(super) struct Put {
    pub(super) by: Putter,
    pub(super) value: Bytes,
    pub(super) lifetime: std::time::Duration,
    /// None if it gets the next one.
    pub(super) number: Option<i64>,
}

/// Who has a value put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Putter {
    /// The caller, who waits for an answer.
    Caller(Ticket),
    /// This node, which puts the caller's again.
    Publisher,
    /// This node, since it holds it.
    Holder,
    /// The same, on its way out.
    Leaver,
}

impl Purpose {
    /// What the nodes on the way are asked.
    pub(super) fn question(&self, key: Key) -> Method {
        match self {
            Self::Join | Self::Refresh | Self::Locate { .. } => Method::FindNode { target: key },
            Self::Put(_) | Self::Get(_) => Method::Fetch { target: key },
            Self::Peers { announce, scrape, .. } => Method::GetPeers {
                info_hash: key,
                // Seeds have no use for each other.
                without_seeds: announce.is_some_and(|it| it.seed),
                scrape: *scrape,
            },
            Self::Item { .. } => Method::Get { target: key, newer_than: None },
            Self::PutItem { item, .. } => {
                // Of interest are tokens, numbers and nodes: a value would leave no room for these.
                let newer_than = item.signed.as_ref().map(|it| it.number);
                Method::Get { target: key, newer_than }
            }
            Self::Samples(_) => Method::SampleInfohashes { target: key },
        }
    }

    /// What is stored with a node that it ends at, which has told that.
    pub(super) fn storing(&self, key: Key, told: &Told) -> Option<Method> {
        let token = told.token.clone()?;
        match self {
            Self::Put(Put { value, lifetime, number, .. }) => {
                // A part of a second is one, as none at all is no lifetime.
                let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
                Some(Method::Store {
                    target: key,
                    value: value.clone(),
                    number: number.unwrap_or_default(),
                    lifetime: u32::try_from(seconds).unwrap_or(u32::MAX),
                    token,
                })
            }
            Self::Peers { announce: Some(Announce { port, seed }), .. } => {
                let (port, seed) = (*port, *seed);
                Some(Method::AnnouncePeer { info_hash: key, port, seed, token })
            }
            Self::PutItem { item, cas, .. } => {
                // Where there is nothing yet, nothing is compared.
                let cas = cas.filter(|_| told.number.is_some());
                Some(Method::Put { item: item.clone(), cas, token })
            }
            _ => None,
        }
    }

    /// Whether the caller has asked for it.
    pub(super) const fn is_of_caller(&self) -> bool {
        match self {
            Self::Join | Self::Refresh => false,
            Self::Put(put) => matches!(put.by, Putter::Caller(_)),
            _ => true,
        }
    }

    /// Tells whoever has wanted it that it cannot be done.
    pub(super) fn give_up(&self, why: Failure, cx: &mut Context<'_, Node>) {
        let ticket = match self {
            Self::Locate { ticket, .. }
            | Self::Put(Put { by: Putter::Caller(ticket), .. })
            | Self::Get(ticket)
            | Self::Peers { ticket, .. }
            | Self::Item { ticket, .. }
            | Self::PutItem { ticket, .. }
            | Self::Samples(ticket) => *ticket,
            // Upkeep tries again.
            Self::Join | Self::Refresh | Self::Put(_) => return,
        };
        cx.tell(Event::Locate(locate::Event::Failed { ticket, why }));
    }
}
