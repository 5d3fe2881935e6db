//! What a policy costs by itself: bytes a slot, and nanoseconds a call, at the size of one shard.

use nigh_base::Rng;
use nigh_cache::evict::{Evictor, Kind, Policy, Slot};
use std::{hint::black_box, time::Instant};

/// Objects in the shard that is measured.
const SLOTS: u32 = 100_000;
const OBJECT_BYTES: u64 = 1_000;
/// Calls that are timed, and how often: the best counts.
const CALLS: usize = 2_000_000;
const ROUNDS: usize = 5;
/// Who is hit is drawn beforehand, a few times over.
const DRAWN: usize = 1 << 16;

/// The costs of one policy.
pub(crate) struct Cost {
    pub(crate) kind: Kind,
    pub(crate) slot_bytes: f64,
    pub(crate) hit_ns: f64,
    /// One `victim` and one `insert`.
    pub(crate) turn_ns: f64,
}

/// The costs of every policy.
pub(crate) fn measure() -> Vec<Cost> {
    Kind::ALL.into_iter().map(of).collect()
}

fn of(kind: Kind) -> Cost {
    let mut rng = Rng::new(7);
    let mut evictor = Evictor::new(kind, u64::from(SLOTS) * OBJECT_BYTES);
    (0..SLOTS).for_each(|n| evictor.insert(Slot(n), rng.next_u64(), OBJECT_BYTES));
    // Skewed: a quarter of the slots takes half of the hits, and so on downwards.
    let drawn: Vec<Slot> = (0..DRAWN)
        .map(|_| {
            let (a, b) = (rng.below(u64::from(SLOTS)), rng.below(u64::from(SLOTS)));
            let skewed = a * b / u64::from(SLOTS);
            Slot(u32::try_from(skewed).expect("below the number of slots"))
        })
        .collect();
    let turn_ns = best(|_| {
        let victim = evictor.victim().expect("the shard is full");
        evictor.insert(victim, rng.next_u64(), OBJECT_BYTES);
        // A few come back, so that there is something to spare.
        if rng.one_in(4) {
            evictor.hit(victim);
        }
    });
    let hit_ns = best(|call| evictor.hit(black_box(drawn[call % DRAWN])));
    #[expect(clippy::cast_precision_loss, reason = "a ratio to one digit")]
    let slot_bytes = evictor.footprint() as f64 / f64::from(SLOTS);
    Cost { kind, slot_bytes, hit_ns, turn_ns }
}

/// Nanoseconds a call, in the best round.
#[expect(clippy::cast_precision_loss, reason = "a mean to one digit")]
fn best(mut call: impl FnMut(usize)) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..CALLS).for_each(&mut call);
        start.elapsed().as_nanos() as f64 / CALLS as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}
