//! The rules of the disk said a second time, as the set of what a crash may leave, and random
//! operations that are held against it.

use super::*;

/// Changes of one file that the model weighs against each other; it tries each subset of them.
const CHANGES_MAX: usize = 8;
const STEPS: u8 = 150;

type Contents = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
enum Operation {
    /// The fill is unlike that of any other write, so that it shows how far a write has come.
    Write {
        file: &'static str,
        offset: usize,
        length: usize,
        fill: u8,
    },
    Truncate {
        file: &'static str,
        length: usize,
    },
    Remove {
        file: &'static str,
    },
    Rename {
        from: &'static str,
        to: &'static str,
    },
    Sync {
        file: &'static str,
    },
    SyncDirectory,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Durable,
    Unsynced,
    /// Unsynced, and a sync that failed may have forgotten it.
    Doubtful,
}

#[derive(Clone, Debug, Default)]
struct ModelFile {
    base: Vec<u8>,
    changes: Vec<(Standing, Change)>,
    visible: Vec<u8>,
}

struct Model {
    files: Vec<ModelFile>,
    /// The directory as it was durable, and after each change since.
    directories: Vec<BTreeMap<String, usize>>,
}

#[test]
fn whatever_a_crash_leaves_is_allowed_by_the_rules() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let mut disk = Disk::new(rng.fork(1), CAPACITY);
        let mut model = Model { files: Vec::new(), directories: vec![BTreeMap::new()] };
        for step in 1..=STEPS {
            disk.faults_mut().failing = if rng.one_in(3) { 0.2 } else { 0.0 };
            if rng.one_in(12) {
                disk.crash_after(rng.below(6));
            }
            let operation = draw(&mut rng, step, &model);
            let result = perform(&mut disk, &operation);
            model.take(&operation, result, &look(&disk));
            if disk.crashed() || rng.one_in(20) || model.is_crowded() {
                restarted(&mut disk);
                model.crash(look(&disk), seed);
            }
            assert_eq!(look(&disk), model.visible(), "seed {seed}, {operation:?}: {result:?}");
        }
    }
}

fn draw(rng: &mut Rng, fill: u8, model: &Model) -> Operation {
    let mut file = || ["a", "b", "c"][rng.index(3)];
    let (file, to) = (file(), file());
    match rng.below(16) {
        0..7 => {
            let most = [10, 1400][rng.index(2)];
            let length = 1 + rng.index(most);
            Operation::Write { file, offset: rng.index(2000), length, fill }
        }
        7..9 => Operation::Truncate { file, length: rng.index(2500) },
        9 => Operation::Remove { file },
        10..12 => Operation::Rename { from: file, to },
        12..15 => Operation::Sync { file },
        _ if model.directories.len() > 1 => Operation::SyncDirectory,
        _ => Operation::Sync { file: to },
    }
}

fn perform(disk: &mut Disk, operation: &Operation) -> Result<(), DiskError> {
    match *operation {
        Operation::Write { file, offset, length, fill } => {
            disk.write_at(file, offset as u64, &vec![fill; length])
        }
        Operation::Truncate { file, length } => disk.truncate(file, length as u64),
        Operation::Remove { file } => disk.remove(file),
        Operation::Rename { from, to } => disk.rename(from, to),
        Operation::Sync { file } => disk.sync(file),
        Operation::SyncDirectory => disk.sync_directory(),
    }
}

/// All that a reader sees, without a trace in the disk itself.
fn look(disk: &Disk) -> Contents {
    let mut disk = disk.clone();
    disk.faults_mut().failing = 0.0;
    disk.crash_after(u64::MAX);
    disk.names().into_iter().map(|name| (name.clone(), content_of(&mut disk, &name))).collect()
}

impl Model {
    fn directory(&self) -> &BTreeMap<String, usize> {
        self.directories.last().unwrap()
    }

    fn visible(&self) -> Contents {
        let content =
            |(name, &file): (&String, &usize)| (name.clone(), self.files[file].visible.clone());
        self.directory().iter().map(content).collect()
    }

    fn is_crowded(&self) -> bool {
        self.files.iter().any(|file| file.changes.len() > CHANGES_MAX)
    }

    /// Takes note of an operation, whose result and whose visible effect are known.
    fn take(&mut self, operation: &Operation, result: Result<(), DiskError>, seen: &Contents) {
        let absent = match *operation {
            Operation::Write { .. } | Operation::SyncDirectory => false,
            Operation::Truncate { file, .. }
            | Operation::Remove { file }
            | Operation::Rename { from: file, .. }
            | Operation::Sync { file } => !self.directory().contains_key(file),
        };
        match result {
            Err(DiskError::Absent) => assert!(absent, "{operation:?} finds no file"),
            Ok(()) => {
                assert!(!absent, "{operation:?} finds a file");
                self.apply(operation);
            }
            // It may have been done before the power failed, and what it did is then unsynced.
            Err(DiskError::Crashed) => {
                if !absent
                    && !matches!(operation, Operation::Sync { .. } | Operation::SyncDirectory)
                {
                    self.apply(operation);
                }
            }
            Err(DiskError::Failed) => {
                if !absent {
                    self.take_failed(operation, seen);
                }
            }
            Err(error) => panic!("{operation:?}: {error}"),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        let mut directory = self.directory().clone();
        match *operation {
            Operation::Write { file, offset, length, fill } => {
                if !directory.contains_key(file) {
                    self.files.push(ModelFile::default());
                    directory.insert(file.to_owned(), self.files.len() - 1);
                    self.directories.push(directory);
                }
                if length > 0 {
                    let change = Change::Write { offset, bytes: vec![fill; length] };
                    self.file(file).change(Standing::Unsynced, change);
                }
            }
            Operation::Truncate { file, length } => {
                self.file(file).change(Standing::Unsynced, Change::Length(length));
            }
            Operation::Remove { file } => {
                directory.remove(file);
                self.directories.push(directory);
            }
            Operation::Rename { from, to } => {
                let file = directory.remove(from).unwrap();
                directory.insert(to.to_owned(), file);
                self.directories.push(directory);
            }
            Operation::Sync { file } => self.file(file).sync(),
            Operation::SyncDirectory => self.directories = vec![directory],
        }
    }

    /// Looks how much of an operation was done that failed.
    fn take_failed(&mut self, operation: &Operation, seen: &Contents) {
        match *operation {
            Operation::Write { file, offset, fill, .. } => {
                let Some(content) = seen.get(file) else { return };
                let written = content.get(offset..).unwrap_or_default();
                let length = written.iter().take_while(|byte| **byte == fill).count();
                self.apply(&Operation::Write { file, offset, length, fill });
            }
            Operation::Truncate { file, length } => {
                // If it was that long before, nobody can tell.
                if seen[file].len() == length {
                    self.file(file).change(Standing::Doubtful, Change::Length(length));
                }
            }
            Operation::Remove { file } | Operation::Rename { from: file, .. } => {
                if !seen.contains_key(file) {
                    self.apply(operation);
                }
            }
            Operation::Sync { file } => {
                for (standing, _) in &mut self.file(file).changes {
                    if *standing == Standing::Unsynced {
                        *standing = Standing::Doubtful;
                    }
                }
            }
            // What part of the journal is durable shows at the crash.
            Operation::SyncDirectory => {}
        }
    }

    fn file(&mut self, name: &str) -> &mut ModelFile {
        let file = self.directory()[name];
        &mut self.files[file]
    }

    /// Holds what a crash has left against the rules, and goes on from there.
    fn crash(&mut self, seen: Contents, seed: u64) {
        let allowed = self.directories.iter().any(|directory| {
            directory.len() == seen.len()
                && directory.iter().all(|(name, &file)| {
                    seen.get(name).is_some_and(|content| self.files[file].allows(content))
                })
        });
        assert!(allowed, "seed {seed}: no rule leaves {:?}", seen.keys());
        self.directories = vec![seen.keys().cloned().zip(0..).collect()];
        let survivor = |content: Vec<u8>| ModelFile {
            base: content.clone(),
            changes: Vec::new(),
            visible: content,
        };
        self.files = seen.into_values().map(survivor).collect();
    }
}

impl ModelFile {
    fn change(&mut self, standing: Standing, change: Change) {
        match &change {
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                self.visible.resize(self.visible.len().max(end), 0);
                self.visible[*offset..end].copy_from_slice(bytes);
            }
            Change::Length(length) => self.visible.resize(*length, 0),
        }
        self.changes.push((standing, change));
    }

    fn sync(&mut self) {
        for (standing, _) in &mut self.changes {
            if *standing == Standing::Unsynced {
                *standing = Standing::Durable;
            }
        }
        if self.changes.iter().all(|(standing, _)| *standing == Standing::Durable) {
            self.base.clone_from(&self.visible);
            self.changes.clear();
        }
    }

    fn allows(&self, content: &[u8]) -> bool {
        self.lengths().contains(&content.len())
            && content
                .chunks(SECTOR)
                .enumerate()
                .all(|(number, sector)| self.allows_sector(number * SECTOR, sector))
    }

    /// The lengths that the file may have.
    fn lengths(&self) -> BTreeSet<usize> {
        let mut lengths = BTreeSet::from([self.base.len()]);
        for (standing, change) in &self.changes {
            let before = lengths.clone();
            if *standing == Standing::Durable {
                lengths.clear();
            }
            match change {
                Change::Length(length) => {
                    lengths.insert(*length);
                }
                Change::Write { offset, bytes } => {
                    let end = offset + bytes.len();
                    lengths.extend(before.iter().map(|length| end.max(*length)));
                    if *standing != Standing::Durable {
                        // The last sector that was kept ends at one of these.
                        for cut in (*offset..end).filter(|cut| cut % SECTOR == 0 && cut > offset) {
                            lengths.extend(before.iter().map(|length| cut.max(*length)));
                        }
                    }
                }
            }
        }
        lengths
    }

    /// Whether some subset of the changes, in order, leads to this sector. Within a hole, which is
    /// `None` here, anything may lie.
    fn allows_sector(&self, start: usize, sector: &[u8]) -> bool {
        let base = (start..start + SECTOR).map(|place| self.base.get(place).copied());
        let mut states = BTreeSet::from([base.collect::<Vec<_>>()]);
        for (standing, change) in &self.changes {
            let changed: Vec<_> = states.iter().map(|state| apply(change, state, start)).collect();
            if *standing == Standing::Durable {
                states.clear();
            }
            states.extend(changed);
        }
        states.iter().any(|state| {
            sector.iter().zip(state).all(|(seen, known)| known.is_none_or(|known| known == *seen))
        })
    }
}

fn apply(change: &Change, state: &[Option<u8>], start: usize) -> Vec<Option<u8>> {
    let place = |(number, known): (usize, &Option<u8>)| match change {
        Change::Write { offset, bytes } => {
            let written = (start + number).checked_sub(*offset).and_then(|place| bytes.get(place));
            written.copied().or(*known)
        }
        Change::Length(length) => known.filter(|_| start + number < *length),
    };
    state.iter().enumerate().map(place).collect()
}
