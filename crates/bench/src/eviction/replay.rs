//! One trace through one policy: a store of sizes alone, which makes room before a newcomer enters.

use super::trace::{Request, Trace};
use nigh_base::Rng;
use nigh_cache::evict::{Evictor, Kind, Policy, Slot};

/// Keys are hashed as strangers would find them: by a seed.
const HASH_SEED: u64 = 1;

/// Hits over requests.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ratios {
    /// By number.
    pub(crate) objects: f64,
    /// By bytes.
    pub(crate) bytes: f64,
}

/// What `kind` reaches on `trace` in a cache of `capacity` bytes that charges `overhead` for each
/// object.
pub(crate) fn replay(trace: &Trace, kind: Kind, capacity: u64, overhead: u64) -> Ratios {
    let mut store = Store {
        evictor: Evictor::new(kind, capacity),
        slots: vec![None; trace.objects],
        slab: Vec::new(),
        free: Vec::new(),
        used: 0,
    };
    let hashes = Rng::new(HASH_SEED);
    ratios(trace, |request| {
        if let Some(slot) = store.slots[request.object] {
            store.evictor.hit(slot);
            return true;
        }
        let bytes = u64::from(request.bytes) + overhead;
        if bytes <= capacity {
            store.make_room(capacity - bytes);
            let hash = hashes.fork(request.object as u64).next_u64();
            store.insert(request.object, hash, bytes);
        }
        false
    })
}

/// What a cache without limit reaches.
pub(crate) fn ceiling(trace: &Trace) -> Ratios {
    let mut seen = vec![false; trace.objects];
    ratios(trace, |request| std::mem::replace(&mut seen[request.object], true))
}

/// The bytes of all objects, each once.
pub(crate) fn unique_bytes(trace: &Trace) -> u64 {
    let mut sizes = vec![0; trace.objects];
    trace.requests.iter().for_each(|request| sizes[request.object] = u64::from(request.bytes));
    sizes.iter().sum()
}

struct Store {
    evictor: Evictor,
    /// By object.
    slots: Vec<Option<Slot>>,
    /// By slot: object and bytes.
    slab: Vec<(usize, u64)>,
    free: Vec<Slot>,
    used: u64,
}

impl Store {
    fn make_room(&mut self, most: u64) {
        while self.used > most {
            let victim = self.evictor.victim().expect("a store in use has a victim");
            let (object, bytes) = self.slab[victim.index()];
            assert_eq!(self.slots[object].take(), Some(victim), "the victim is held");
            self.used -= bytes;
            self.free.push(victim);
        }
    }

    fn insert(&mut self, object: usize, hash: u64, bytes: u64) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slab.push((0, 0));
            Slot(u32::try_from(self.slab.len() - 1).expect("fewer objects than slots"))
        });
        self.slab[slot.index()] = (object, bytes);
        self.slots[object] = Some(slot);
        self.used += bytes;
        self.evictor.insert(slot, hash, bytes);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to four digits")]
fn ratios(trace: &Trace, mut hit: impl FnMut(&Request) -> bool) -> Ratios {
    let (mut hits, mut hit_bytes, mut bytes) = (0u64, 0u64, 0u64);
    for request in &trace.requests {
        bytes += u64::from(request.bytes);
        if hit(request) {
            hits += 1;
            hit_bytes += u64::from(request.bytes);
        }
    }
    Ratios {
        objects: hits as f64 / trace.requests.len().max(1) as f64,
        bytes: hit_bytes as f64 / bytes.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(objects: &[usize]) -> Trace {
        let requests = objects.iter().map(|&object| Request { object, bytes: 1 }).collect();
        let objects = objects.iter().max().unwrap() + 1;
        Trace { file: String::new(), name: String::new(), requests, objects }
    }

    #[test]
    fn lru_hits_what_was_among_the_last_asked_for() {
        let ratios = replay(&trace(&[0, 1, 0, 2, 1, 0]), Kind::Lru, 2, 0);
        assert!((ratios.objects - 1.0 / 6.0).abs() < 1e-9, "{}", ratios.objects);
    }

    #[test]
    fn the_ceiling_misses_each_object_once() {
        assert!((ceiling(&trace(&[0, 1, 0, 2, 1, 0])).objects - 0.5).abs() < 1e-9);
    }

    #[test]
    fn overhead_is_charged_for_each_object() {
        let ratios = replay(&trace(&[0, 1, 0, 1]), Kind::Lru, 3, 1);
        assert!(ratios.objects.abs() < 1e-9, "only one fits");
    }
}
