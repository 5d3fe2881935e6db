//! Sweeps: all of the memory is held against the purge rules, piece by piece, so that they can go.

use parking_lot::Mutex;

use super::{Shard, Store};
use crate::{object::Object, purge};

/// Objects that are held against purge rules at a time: a fifth of a millisecond's work.
pub const SWEPT: usize = 1000;

/// Where a sweep stands that holds the memory against purge rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    shard: usize,
    slot: usize,
    /// The newest rule when it began.
    number: u32,
}

impl Store {
    /// Holds up to `budget` objects against the purge rules, from where `sweep` stands; true when all
    /// have been that were there when it began.
    pub fn sweep(&self, sweep: &mut Sweep, budget: usize) -> bool {
        if sweep.shard == 0 && sweep.slot == 0 {
            sweep.number = self.swept_up_to();
        }
        let Some(shard) = self.shards.get(sweep.shard) else { return true };
        let behind: Vec<Object> = {
            let shard = shard.lock();
            let end = (sweep.slot + budget).min(shard.cells.len());
            let cells = shard.cells.get(sweep.slot..end).unwrap_or_default();
            sweep.slot = end;
            if end == shard.cells.len() {
                (sweep.shard, sweep.slot) = (sweep.shard + 1, 0);
            }
            let objects = cells.iter().filter_map(|cell| cell.object.as_ref());
            objects.filter(|object| object.purged_up_to() < sweep.number).cloned().collect()
        };
        for object in behind {
            self.unless_purged(self.key(object.key()), object.clone());
        }
        if sweep.shard < self.shards.len() {
            return false;
        }
        let oldest = self.disk.get().and_then(|disk| disk.oldest());
        self.purges.forget(sweep.number, oldest);
        *sweep = Sweep::default();
        true
    }

    /// The newest rule that a sweep which begins now makes needless: what is on its way and began before a
    /// rule is held against it when it is there.
    fn swept_up_to(&self) -> u32 {
        let newest = self.purges.newest();
        if self.purges.len() > purge::WAITING_MAX {
            return newest;
        }
        let began =
            |shard: &Mutex<Shard>| shard.lock().board.iter().map(|it| it.purged_up_to).min();
        self.shards.iter().filter_map(began).fold(newest, u32::min)
    }
}
