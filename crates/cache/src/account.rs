//! The one number that a store's ceiling is held against: bytes charged before they are allocated,
//! returned when the last holder lets go.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use twox_hash::XxHash3_64;

/// What an allocation of `bytes` really takes. The common allocators round up to one of four classes
/// between two powers of two (mimalloc's and jemalloc's bins), so up to a quarter more than was asked.
pub(crate) const fn allocated(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    if bytes <= 64 {
        return bytes.next_multiple_of(8);
    }
    bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2))
}

/// What a store may use and what it uses, in bytes. Shared by everything that is charged to it.
#[derive(Debug)]
pub(crate) struct Account {
    used: AtomicU64,
    ceiling: u64,
    secret: u64,
    drawn: AtomicU64,
}

impl Account {
    pub(crate) fn new(ceiling: u64, secret: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), ceiling, secret, drawn: AtomicU64::new(0) })
    }

    /// Bytes charged now; never above the ceiling.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) const fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Charges `bytes`, or says that they do not fit now.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= self.ceiling)
            })
            .ok()
            .map(|_| Charge { account: Arc::clone(self), bytes })
    }
}

/// Bytes charged to an account until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

impl Charge {
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A number that nobody outside can guess, another one each time.
    pub(crate) fn nonce(&self, salt: u64) -> u64 {
        let drawn = self.account.drawn.fetch_add(1, Ordering::Relaxed);
        let secret = self.account.secret.rotate_left(32);
        XxHash3_64::oneshot_with_seed(secret, &[salt.to_le_bytes(), drawn.to_le_bytes()].concat())
    }

    /// Adds another charge to the same account to this one.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back what exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        if let Some(excess) = self.bytes.checked_sub(bytes) {
            self.account.used.fetch_sub(excess, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_beyond_the_ceiling_is_refused_and_changes_nothing() {
        let account = Account::new(100, 1);
        let held = account.charge(60);
        assert!(held.is_some());
        assert!(account.charge(41).is_none());
        assert!(account.charge(u64::MAX).is_none());
        assert_eq!(account.used(), 60);
    }

    #[test]
    fn allocations_are_rounded_to_classes() {
        for (asked, taken) in [(1, 8), (64, 64), (65, 80), (1024, 1024), (1025, 1280), (1300, 1536)]
        {
            assert_eq!(allocated(asked), taken, "{asked}");
        }
    }

    #[test]
    fn what_is_dropped_or_shrunk_comes_back() {
        let account = Account::new(100, 1);
        let mut held = account.charge(60).unwrap();
        held.merge(account.charge(10).unwrap());
        assert_eq!(held.bytes(), 70);
        held.shrink_to(25);
        assert_eq!(account.used(), 25);
        drop(held);
        assert_eq!(account.used(), 0);
    }
}
