//! The only readings of the machine's wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use nigh_base::Wall;

/// The time now. A clock before 1970 reads as 1970.
pub fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
