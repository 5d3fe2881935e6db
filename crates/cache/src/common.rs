//! Fields that many responses have in common, held once: a site's policies and security fields are
//! the same on every page, and often longer than the page.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use hashbrown::HashTable;
use parking_lot::Mutex;
use triomphe::ThinArc;
use twox_hash::XxHash3_64;

use crate::account::{Account, Charge, allocated};

/// Sets of fields that are held at once. A server has few; what exceeds this is kept by each object
/// for itself.
const SETS_MAX: usize = 4096;

/// Shorter sets are not worth a pointer.
const SET_MIN: usize = 24;

/// Places for the marks of sets that were seen once.
const SEEN: usize = 1 << 12;

/// Packed fields that several objects hold together.
pub(crate) type Shared = ThinArc<Charge, u8>;

/// The sets of fields that are shared now.
#[derive(Debug)]
pub(crate) struct CommonFields {
    /// Marks of sets that came once: only what comes again is worth holding for all.
    seen: Box<[AtomicU32]>,
    sets: Mutex<HashTable<Shared>>,
    seed: u64,
}

impl CommonFields {
    pub(crate) fn new(seed: u64) -> Self {
        let seen = (0..SEEN).map(|_| AtomicU32::new(0)).collect();
        Self { seen, sets: Mutex::default(), seed }
    }

    /// The shared copy of `packed`, made if it has been seen before; `None` if the object had better
    /// keep its own.
    pub(crate) fn share(&self, packed: &[u8], account: &Arc<Account>) -> Option<Shared> {
        if packed.len() < SET_MIN {
            return None;
        }
        let hash = XxHash3_64::oneshot_with_seed(self.seed, packed);
        let mut sets = self.sets.lock();
        if let Some(held) = sets.find(hash, |held| held.slice == *packed) {
            return Some(held.clone());
        }
        let mark = &self.seen[usize::try_from(hash % SEEN as u64).expect("a small number")];
        let tag = u32::try_from(hash >> 32).expect("the upper half") | 1;
        if mark.swap(tag, Ordering::Relaxed) != tag {
            return None;
        }
        if sets.len() >= SETS_MAX {
            sets.retain(|held| ThinArc::strong_count(held) > 1);
            if sets.len() >= SETS_MAX {
                return None;
            }
        }
        let charge = account.charge(allocated(packed.len() + 64) + 32)?;
        let shared = ThinArc::from_header_and_slice(charge, packed);
        sets.insert_unique(hash, shared.clone(), |held| {
            XxHash3_64::oneshot_with_seed(self.seed, &held.slice)
        });
        Some(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_again_is_held_for_all() {
        let (common, account) = (CommonFields::new(1), Account::new(1 << 20, 1));
        let set = b"content-security-policy: default-src 'self'";
        assert!(common.share(set, &account).is_none());
        let first = common.share(set, &account).unwrap();
        let second = common.share(set, &account).unwrap();
        assert_eq!(&first.slice, set);
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert!(common.share(b"short", &account).is_none());
    }

    #[test]
    fn sets_that_nobody_holds_make_room_for_others() {
        let (common, account) = (CommonFields::new(1), Account::new(1 << 30, 1));
        for n in 0..2 * SETS_MAX {
            let set = format!("server: number {n:08} of many");
            let _ = common.share(set.as_bytes(), &account);
            let _ = common.share(set.as_bytes(), &account);
        }
        assert!(common.sets.lock().len() <= SETS_MAX);
        let used = account.used();
        assert!(used > 0 && used < (SETS_MAX * 256) as u64, "{used}");
    }
}
