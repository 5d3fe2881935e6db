//! What holds for every policy, tried with random calls against a plain model.

use super::*;
use nigh_base::Rng;
use std::collections::BTreeMap;

/// A store of nothing but sizes, beside the policy that it must agree with.
struct Model {
    evictor: Evictor,
    held: BTreeMap<Slot, u64>,
    free: Vec<u32>,
    fresh: u32,
}

impl Model {
    fn new(kind: Kind, capacity: u64) -> Self {
        let evictor = Evictor::new(kind, capacity);
        Self { evictor, held: BTreeMap::new(), free: Vec::new(), fresh: 0 }
    }

    fn insert(&mut self, hash: u64, bytes: u64) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        });
        self.evictor.insert(Slot(number), hash, bytes);
        assert_eq!(self.held.insert(Slot(number), bytes), None);
    }

    fn victim(&mut self) -> Option<Slot> {
        let victim = self.evictor.victim();
        match victim {
            Some(slot) => self.forget(slot),
            None => assert!(self.held.is_empty(), "{:?} are held, none is named", self.held),
        }
        victim
    }

    fn forget(&mut self, slot: Slot) {
        assert!(self.held.remove(&slot).is_some(), "{slot:?} is not held");
        self.free.push(slot.0);
    }

    fn any(&self, rng: &mut Rng) -> Option<Slot> {
        let at = rng.index(self.held.len().max(1));
        self.held.keys().nth(at).copied()
    }
}

/// Random calls, then all out.
fn check(kind: Kind, seed: u64) {
    let mut rng = Rng::new(seed);
    let capacity = [10, 1_000, 1 << 20, u64::MAX][rng.index(4)];
    let largest = [1, 100, 1 << 18, 1 << 42][rng.index(4)];
    let mut model = Model::new(kind, capacity);
    for _ in 0..1_000 {
        let hash = rng.below(300);
        let bytes = rng.below(largest + 1);
        let slot = model.any(&mut rng);
        match (rng.below(10), slot) {
            (0..4, _) => model.insert(hash, bytes),
            (4..7, Some(slot)) => model.evictor.hit(slot),
            (7, Some(slot)) => {
                model.evictor.remove(slot);
                model.forget(slot);
            }
            (8, Some(slot)) => model.evictor.resize(slot, bytes),
            _ => {
                model.victim();
            }
        }
    }
    let held = model.held.len();
    assert_eq!((0..held).filter_map(|_| model.victim()).count(), held, "each is named once");
    assert_eq!(model.victim(), None);
}

#[test]
fn every_policy_names_only_slots_that_it_holds_and_each_of_them_once() {
    for kind in Kind::ALL {
        (0..30).for_each(|seed| check(kind, seed));
    }
}

#[test]
fn no_policy_grows_while_the_number_of_slots_stays() {
    for kind in Kind::ALL {
        let mut model = Model::new(kind, 100_000);
        let mut rng = Rng::new(1);
        let mut turn = |model: &mut Model| {
            if model.held.len() == 1_000 {
                model.victim();
            }
            model.insert(rng.next_u64(), 100);
        };
        (0..10_000).for_each(|_| turn(&mut model));
        let footprint = model.evictor.footprint();
        (0..10_000).for_each(|_| turn(&mut model));
        assert_eq!(model.evictor.footprint(), footprint, "{kind}");
        assert!(footprint <= 64 * 1_000, "{kind} takes {footprint} bytes for 1000 slots");
    }
}

#[test]
fn what_is_asked_for_all_the_time_stays_whoever_else_comes() {
    for kind in Kind::ALL {
        let mut model = Model::new(kind, 10_000);
        (0..100).for_each(|n| model.insert(n, 100));
        for turn in 0..5_000 {
            let favourite = Slot(50);
            model.evictor.hit(favourite);
            model.evictor.hit(favourite);
            assert_ne!(model.victim(), Some(favourite), "{kind} in turn {turn}");
            model.insert(1_000 + turn, 100);
        }
    }
}

#[test]
fn a_policy_is_known_by_the_name_that_it_prints() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!("fifo".parse::<Kind>(), Err(UnknownKind("fifo".to_owned())));
}
