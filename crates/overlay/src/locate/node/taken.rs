//! Lookups of others that this node has taken: one that comes again, since its asker has not heard that, or the
//! network has doubled it, is not passed on again. Else each loss would double a lookup at each hop.

use std::collections::VecDeque;

use nigh_base::Address;

use crate::locate::codec::Nonce;

/// So many are remembered, the latest: a question comes again after a wait or two, which are 200 ms mostly.
const TAKEN_MAX: usize = 128;

/// From whom they came, and the numbers of the questions, the latest last.
#[derive(Debug, Default, Hash)]
pub(super) struct Taken(VecDeque<(Address, Nonce)>);

impl Taken {
    pub(super) fn has(&self, from: Address, nonce: Nonce) -> bool {
        self.0.contains(&(from, nonce))
    }

    pub(super) fn remember(&mut self, from: Address, nonce: Nonce) {
        if self.has(from, nonce) {
            return;
        }
        if self.0.len() == TAKEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back((from, nonce));
    }

    pub(super) fn check(&self) {
        assert!(self.0.len() <= TAKEN_MAX, "too many are remembered");
    }
}
