//! Power that is cut at any operation of a simulated disk, which then keeps of what was not synced
//! whatever the seed says; and disks whose operations fail.

use nigh_base::{Rng, Time};
use nigh_cluster::control::{
    Change, LeaseId, Transaction, Ttl,
    model::{LeaseStep, State, Step},
};
use nigh_sim::disk::Disk;

use super::{
    super::durable::Durable,
    simulated::{BOUNDS, CAPACITY, Plugged, content},
    *,
};

const CHANGES: usize = 8;

/// What the engine has acknowledged, and what it was last asked for.
struct Witness {
    acknowledged: State,
    /// What the state would be with the change that got no answer.
    in_doubt: Option<State>,
    leases: Vec<LeaseId>,
}

impl Witness {
    fn new() -> Self {
        Self { acknowledged: State::new(BOUNDS), in_doubt: None, leases: Vec::new() }
    }

    /// Asks for a drawn change. Says whether it was acknowledged.
    fn change(&mut self, engine: &Durable, rng: &mut Rng) -> bool {
        let (planned, outcome) = match (rng.index(6), self.leases.pop()) {
            (0, held) => {
                self.leases.extend(held);
                let ttl = Ttl::new(TTL_MIN).unwrap();
                let planned = self.acknowledged.plan_grant(ttl).map(|(_, step)| step);
                (planned, engine.grant(ttl, Time::START).map(drop))
            }
            (1, Some(lease)) => {
                let planned = self.acknowledged.plan_revoke(lease);
                (planned, engine.revoke(lease, Time::START))
            }
            (_, held) => {
                self.leases.extend(held);
                let transaction = self.draw(rng);
                let planned = self.acknowledged.plan(&transaction, Time::START);
                (planned, engine.commit(&transaction, Time::START).map(drop))
            }
        };
        let step = planned.unwrap();
        let mut after = self.acknowledged.clone();
        after.apply(step.clone(), Time::START);
        if outcome.is_ok() {
            self.learn(&step);
            self.acknowledged = after;
        } else {
            self.in_doubt = Some(after);
        }
        outcome.is_ok()
    }

    fn learn(&mut self, step: &Step) {
        if let Some(LeaseStep::Granted(lease)) = step.lease {
            self.leases.push(lease.id);
        }
    }

    fn draw(&self, rng: &mut Rng) -> Transaction {
        let names = ["a", "b", "c", "d"];
        let start = rng.index(names.len());
        let changes = (start..start + rng.index(3) + 1).map(|number| {
            let name = key(names[number % names.len()]);
            if rng.one_in(4) {
                return (name, Change::Delete);
            }
            let value = vec![u8::try_from(rng.below(256)).unwrap(); rng.index(6000)];
            let lease = self.leases.last().copied().filter(|_| rng.one_in(2));
            (name, Change::Put { value: Value::new(value).unwrap(), lease })
        });
        let changes: Vec<_> = changes.collect();
        Transaction::new([], changes).unwrap()
    }

    /// Holds what the engine has against what it may have: all that was acknowledged, and the last
    /// change as a whole or not at all.
    fn judge(&mut self, engine: &Durable, when: &str) {
        let found = engine.local().ask(content);
        let made = self.in_doubt.take();
        if found == content(&self.acknowledged) {
            return;
        }
        let made = made.unwrap_or_else(|| panic!("{when}: not what was acknowledged: {found:?}"));
        assert_eq!(found, content(&made), "{when}: neither with nor without the last change");
        self.acknowledged = made;
    }

    /// After a change to leases that is in doubt, only the engine knows.
    fn ask_for_leases(&mut self, engine: &Durable) {
        self.acknowledged = engine.local().ask(State::clone);
        self.leases.retain(|lease| self.acknowledged.plan_revoke(*lease).is_ok());
    }
}

/// A script that is cut after `n` operations, and then again while it recovers and goes on. Says
/// whether it ended before the first cut.
fn run_cut(seed: u64, n: u64) -> bool {
    let mut rng = Rng::new(seed).fork(n);
    let plugged = Plugged::new(Disk::new(rng.fork(1), CAPACITY));
    plugged.0.lock().crash_after(n);
    let mut witness = Witness::new();
    let mut unharmed = true;
    for life in 0..3 {
        let when = format!("seed {seed}, cut {n}, life {life}");
        let ended = plugged.open().is_ok_and(|engine| {
            if life > 0 {
                witness.judge(&engine, &when);
                witness.ask_for_leases(&engine);
            }
            (0..CHANGES).all(|_| witness.change(&engine, &mut rng))
        });
        let mut disk = plugged.0.lock();
        assert!(ended || disk.crashed(), "{when}: it fails for another reason");
        unharmed &= life > 0 || !disk.crashed();
        if !disk.crashed() {
            disk.crash();
        }
        disk.restart();
        if life == 0 {
            let next = rng.below(60);
            disk.crash_after(next);
        }
    }
    let engine = plugged.open().unwrap_or_else(|error| panic!("seed {seed}, cut {n}: {error:?}"));
    witness.judge(&engine, &format!("seed {seed}, cut {n}, at the end"));
    unharmed
}

#[test]
fn whenever_the_power_is_cut_acknowledged_changes_are_there_and_none_is_by_half() {
    let mut cuts = 0;
    for seed in 0..4 {
        for n in (seed..).step_by(4) {
            cuts += 1;
            if run_cut(seed, n) {
                break;
            }
        }
    }
    assert!(cuts > 100, "{cuts} cuts");
}

#[test]
fn after_operations_of_the_disk_have_failed_the_engine_goes_on() {
    let (mut failed, mut made) = (0, 0);
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let plugged = Plugged::new(Disk::new(rng.fork(1), CAPACITY));
        let mut witness = Witness::new();
        let engine = plugged.open().unwrap();
        for round in 0..30 {
            plugged.0.lock().faults_mut().failing = if round % 3 == 0 { 0.08 } else { 0.0 };
            if witness.change(&engine, &mut rng) {
                made += 1;
                continue;
            }
            failed += 1;
            plugged.0.lock().faults_mut().failing = 0.0;
            // What it makes of the doubt shows with the next change, which changes nothing here.
            let nothing = Transaction::new([], []).unwrap();
            engine.commit(&nothing, Time::START).unwrap();
            witness.judge(&engine, &format!("seed {seed}, round {round}"));
            witness.ask_for_leases(&engine);
        }
        drop(engine);
        witness.judge(&plugged.open().unwrap(), &format!("seed {seed}, opened again"));
    }
    assert!(failed > 20 && made > 200, "{failed} failed, {made} made");
}
