//! What is stored, page by page, for people who ask.

use super::Store;
use crate::object::Object;

/// Slots that a listing looks at while it holds a shard's lock.
const LOOKED_AT_ONCE: usize = 1000;

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Of the shard.
    pub shard: usize,
    /// Of the slot in it.
    pub slot: usize,
}

impl Store {
    /// Up to `limit` objects whose keys begin with `prefix`, from a position on, and where the next
    /// ones are; `None` if there are no more. At most `budget` slots are looked at: a page may have
    /// fewer, or none, and others follow. What comes or goes meanwhile may be missed; what stays is
    /// listed once.
    pub fn page(
        &self,
        from: Position,
        prefix: &[u8],
        limit: usize,
        mut budget: usize,
    ) -> (Vec<Object>, Option<Position>) {
        let (mut page, mut at) = (Vec::new(), from);
        loop {
            let Some(shard) = self.shards.get(at.shard) else { return (self.left(page), None) };
            if page.len() >= limit || budget == 0 {
                return (self.left(page), Some(at));
            }
            let shard = shard.lock();
            let cells = shard.cells.get(at.slot..).unwrap_or_default();
            if cells.is_empty() {
                at = Position { shard: at.shard + 1, slot: 0 };
                continue;
            }
            for cell in &cells[..cells.len().min(budget).min(LOOKED_AT_ONCE)] {
                if page.len() >= limit {
                    break;
                }
                (at.slot, budget) = (at.slot + 1, budget - 1);
                let object = cell.object.as_ref().filter(|it| it.key().starts_with(prefix));
                page.extend(object.cloned());
            }
        }
    }

    /// What the purge rules leave.
    fn left(&self, page: Vec<Object>) -> Vec<Object> {
        let left = page.into_iter().filter_map(|object| {
            let key = object.clone();
            self.unless_purged(self.key(key.key()), object)
        });
        left.collect()
    }
}
