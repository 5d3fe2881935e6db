//! Scripts from seeds: what a power cut at any operation, or a disk that fails now and then, may do to
//! objects, masters of slices and purge rules, and what not.

use super::*;

/// What a script does to some keys, and which versions each may have afterwards.
struct Script {
    log: Log<Simulated>,
    /// Its rules are the log's.
    store: Arc<Store>,
    rng: Rng,
    versions: u64,
    /// The version of each key, or none if it was removed.
    now: BTreeMap<u64, Option<u64>>,
    /// What each key may have after a power cut: what was sealed, and what came after.
    allowed: BTreeMap<u64, Vec<Option<u64>>>,
    /// Up to which version a key is stale if it is there: what was purged softly, durably.
    stale: BTreeMap<u64, u64>,
}

/// Operations of a script, at most.
const STEPS: usize = 120;
/// Scripts that are cut at each of their operations.
const SEEDS: u64 = 64;

/// A log on `disk` with a memory whose rules it shares; all is found at once if that is wanted.
fn opened(
    disk: &Simulated,
    settings: Settings,
    seed: u64,
    found: bool,
) -> (Log<Simulated>, Arc<Store>) {
    let store = memory();
    let purges = Arc::clone(store.purges());
    let mut log = Log::open(disk.clone(), settings, purges, Rng::new(seed)).unwrap();
    while found && log.find_more() {}
    (log, store)
}

impl Script {
    fn new(disk: &Simulated, settings: Settings, seed: u64) -> Self {
        let (log, store) = opened(disk, settings, seed, false);
        let none = || (0..KEYS).map(|number| (number, None));
        let allowed = none().map(|(number, none)| (number, vec![none])).collect();
        let (now, stale) = (none().collect(), BTreeMap::new());
        Self { log, store, rng: Rng::new(seed), versions: 0, now, allowed, stale }
    }

    fn set(&mut self, number: u64, version: Option<u64>) {
        self.now.insert(number, version);
        self.allowed.get_mut(&number).unwrap().push(version);
    }

    fn step(&mut self) -> Result<(), DiskError> {
        let number = self.rng.below(KEYS);
        match self.rng.below(18) {
            0..9 => {
                self.versions += 1;
                let version = self.versions;
                self.set(number, Some(version));
                self.log.append(&made(number, version)).map(drop)
            }
            9 | 10 => {
                self.set(number, None);
                self.log.remove(key(number).as_bytes())
            }
            11 => {
                self.set(number, None);
                self.log.remove_variant(key(number).as_bytes(), b"")
            }
            12 if self.rng.one_in(8) => {
                (0..KEYS).for_each(|number| self.set(number, None));
                self.log.remove_all()
            }
            12 | 13 => self.log.flush(),
            14 => {
                self.log.seal()?;
                for (number, allowed) in &mut self.allowed {
                    *allowed = vec![self.now[number]];
                }
                Ok(())
            }
            15 | 16 => self.purge(number),
            _ => {
                self.log.find_more();
                Ok(())
            }
        }
    }

    /// A rule about the keys that begin as that of `number` does, about its tag, or about all.
    fn purge(&mut self, number: u64) -> Result<(), DiskError> {
        let soft = self.rng.one_in(3);
        let what = match self.rng.below(8) {
            0..5 => What::Prefix(key(number).as_bytes().into()),
            5 | 6 => What::Tag(tag(number).as_bytes().into()),
            _ => What::Host(b"example.com"[..].into()),
        };
        let concerned: Vec<u64> = (0..KEYS)
            .filter(|&other| match &what {
                What::Prefix(prefix) => key(other).as_bytes().starts_with(prefix),
                What::Tag(_) => tag(other) == tag(number),
                _ => true,
            })
            .collect();
        if !soft {
            concerned.iter().for_each(|&number| self.set(number, None));
        }
        let (id, rule) = self.store.purge(Rule { what, soft, at: PURGED });
        self.log.purge(id, rule)?;
        // From here on no power cut undoes it.
        for number in concerned {
            match soft {
                true => drop(self.stale.insert(number, self.versions)),
                false => drop(self.allowed.insert(number, vec![None])),
            }
        }
        Ok(())
    }
}

/// What a recovery brought back.
#[derive(Clone, Copy, Debug, Default)]
struct Recovery {
    /// Whether the power failed before the script's end.
    crashed: bool,
    objects: u32,
    /// Of these, masters of slices.
    masters: u32,
    /// Of these, what was made stale by a rule.
    stale: u32,
    /// Rules that are in effect.
    rules: usize,
}

/// Runs a script until the power fails after `point` operations, and looks at what is left.
fn crashes_at(seed: u64, point: u64, settings: Settings) -> Recovery {
    let disk = Simulated::new(seed, 1 << 20);
    let mut script = Script::new(&disk, settings, seed);
    disk.0.borrow_mut().crash_after(point);
    for _ in 0..STEPS {
        let done = script.step();
        if disk.0.borrow().crashed() {
            break;
        }
        assert_eq!(done, Ok(()));
    }
    let mut recovery = Recovery { crashed: disk.0.borrow().crashed(), ..Recovery::default() };
    let evicts = settings.size < 1 << 20;
    disk.0.borrow_mut().crash();
    disk.0.borrow_mut().restart();
    let Script { allowed, stale, .. } = script;
    let (mut log, store) = opened(&disk, settings, seed + 1, true);
    recovery.rules = store.purges().len();
    for (number, allowed) in allowed {
        let found = version_by(&mut log, &store, number);
        let version = found.map(|(version, _)| version);
        // A newer one that was torn stands for the older one, which is outdated.
        let gone = version.is_none() && (evicts || allowed.len() > 1);
        assert!(gone || allowed.contains(&version), "{number}: {version:?} of {allowed:?}");
        let must_be_stale = stale.get(&number).is_some_and(|&up_to| version <= Some(up_to));
        assert!(
            found.is_none_or(|(_, is_stale)| is_stale || !must_be_stale),
            "{number}: {version:?} is fresh, purged softly up to {stale:?}"
        );
        if let Some((version, is_stale)) = found {
            recovery.objects += 1;
            recovery.masters += u32::from(is_master(version));
            recovery.stale += u32::from(is_stale);
        }
    }
    // And it goes on.
    log.append(&made(KEYS, 1)).unwrap();
    log.seal().unwrap();
    let (mut log, store) = opened(&disk, settings, seed + 2, true);
    assert_eq!(version_by(&mut log, &store, KEYS), Some((1, false)));
    recovery
}

#[test]
fn a_power_cut_at_any_operation_loses_only_what_was_not_sealed() {
    let roomy = Settings { size: 1 << 20, segment: 4_000 };
    let tight = Settings { size: 16_000, segment: 4_000 };
    let (mut points, mut all) = (0, Recovery::default());
    for seed in 0..SEEDS {
        for settings in [roomy, tight] {
            for point in 0.. {
                let crashes = || crashes_at(seed, point, settings);
                let recovery = std::panic::catch_unwind(std::panic::AssertUnwindSafe(crashes))
                    .unwrap_or_else(|_| panic!("seed {seed}, crash point {point}, {settings:?}"));
                if !recovery.crashed {
                    break;
                }
                points += 1;
                all.objects += recovery.objects;
                all.masters += recovery.masters;
                all.stale += recovery.stale;
                all.rules += recovery.rules;
            }
        }
    }
    assert!(points > 10_000, "{points} crash points");
    assert!(all.objects > points && all.masters > points / 10, "{points} crash points, {all:?}");
    assert!(all.stale > points / 100 && all.rules > 1_000, "{points} crash points, {all:?}");
}

#[test]
fn a_disk_that_fails_now_and_then_costs_objects_and_never_gives_an_old_one() {
    for seed in 0..60 {
        let settings = Settings { size: 16_000, segment: 4_000 };
        let disk = Simulated::new(seed, 1 << 20);
        let mut script = Script::new(&disk, settings, seed);
        disk.0.borrow_mut().faults_mut().failing = 0.2;
        let mut failed = 0;
        for step in 0..300 {
            failed += u64::from(script.step().is_err());
            let number = script.rng.below(KEYS);
            let found = version_by(&mut script.log, &script.store, number).map(|(it, _)| it);
            let now = script.now[&number];
            assert!(
                found.is_none() || found == now,
                "seed {seed}, step {step}: {found:?}, {now:?}"
            );
        }
        assert!(failed > 0 && script.log.statistics().failed > 0);
        // Once the disk has been well for some segments, what was removed or purged stays so after a
        // restart.
        disk.0.borrow_mut().faults_mut().failing = 0.0;
        for _ in 0..30 {
            script.log.append(&made(KEYS, 1)).unwrap();
            script.log.seal().unwrap();
        }
        let (mut log, store) = opened(&disk, settings, seed + 1, true);
        for (number, now) in &script.now {
            let there = version_by(&mut log, &store, *number).map(|(it, _)| it);
            assert!(there.is_none() || there == *now, "seed {seed}: {there:?} of {now:?}");
        }
        assert_eq!(version(&mut log, KEYS), Some(1));
    }
}
