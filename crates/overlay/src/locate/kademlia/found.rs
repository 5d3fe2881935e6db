//! What a lookup finds on its way.

use std::collections::BTreeSet;

use bytes::Bytes;
use nigh_base::{Address, Key};

use super::{
    PEERS_FOUND_MAX, filter,
    krpc::{Filters, Item, Response},
    purpose::Purpose,
};
use crate::locate::VALUE_MAX;

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Found {
    pub(super) peers: BTreeSet<Address>,
    pub(super) filters: Option<Box<Filters>>,
    pub(super) item: Option<Item>,
    /// With its number.
    pub(super) value: Option<(i64, Bytes)>,
    pub(super) samples: BTreeSet<Key>,
}

impl Found {
    /// Takes in what a node has said; true if nothing more is wanted.
    pub(super) fn add(&mut self, purpose: &Purpose, key: Key, response: Response) -> bool {
        match purpose {
            Purpose::Get(_) => {
                let value = response.value.filter(|it| it.len() <= VALUE_MAX);
                self.value = value.map(|value| (response.number.unwrap_or_default(), value));
                self.value.is_some()
            }
            Purpose::Peers { .. } => {
                let room = PEERS_FOUND_MAX - self.peers.len();
                self.peers.extend(response.peers.into_iter().flatten().take(room));
                match (&mut self.filters, response.filters) {
                    (Some(all), Some(filters)) => {
                        filter::unite(&mut all.seeds, &filters.seeds);
                        filter::unite(&mut all.peers, &filters.peers);
                    }
                    (all @ None, filters) => *all = filters,
                    (Some(_), None) => {}
                }
                false
            }
            Purpose::Item { salt, .. } => {
                let Some(mut item) = response.item else { return false };
                if let Some(signed) = &mut item.signed {
                    signed.salt = salt[..].into();
                }
                let is_it = item.name() == key && item.is_genuine();
                // What is named by its value cannot be any other; of what is signed there may be newer.
                let is_last = is_it && item.signed.is_none();
                self.item = newer(self.item.take(), Some(item).filter(|_| is_it));
                is_last
            }
            Purpose::Samples(_) => {
                let room = PEERS_FOUND_MAX - self.samples.len();
                let some = response.samples.into_iter().flat_map(|it| it.some);
                self.samples.extend(some.take(room));
                false
            }
            _ => false,
        }
    }
}

/// The one with the higher number.
pub(super) fn newer(one: Option<Item>, other: Option<Item>) -> Option<Item> {
    let number = |it: &Item| it.signed.as_ref().map(|it| it.number);
    match (one, other) {
        (Some(one), Some(other)) if number(&other) > number(&one) => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}
