//! A small log with checksums on the disk, crashed at each of its operations: the disk against a
//! program that syncs as it should, and against one that does not.

use std::hash::Hash;

use super::*;

const RECORDS: u64 = 6;
/// Where the length of a record stands, and its checksum.
const HEAD: usize = 16;
const FILE: &str = "log";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syncing {
    Careful,
    /// Says that a record is safe when it is written.
    NoFile,
    /// Does not make the log's name durable.
    NoDirectory,
}

struct Log {
    end: u64,
    records: Vec<Vec<u8>>,
}

impl Log {
    /// Reads the records that are whole, cuts off what follows them, and makes the log if there is
    /// none.
    fn open(disk: &mut Disk, syncing: Syncing) -> Result<Self, DiskError> {
        if !disk.names().iter().any(|name| name == FILE) {
            disk.write_at(FILE, 0, &[])?;
            if syncing != Syncing::NoDirectory {
                disk.sync_directory()?;
            }
        }
        let length = disk.length(FILE)?;
        let content = disk.read_at(FILE, 0, in_memory(length))?;
        let mut records = Vec::new();
        let mut rest = &content[..];
        while let Some((record, behind)) = parse(rest, records.len()) {
            records.push(record.to_vec());
            rest = behind;
        }
        let end = length - rest.len() as u64;
        if !rest.is_empty() {
            disk.truncate(FILE, end)?;
            disk.sync(FILE)?;
        }
        Ok(Self { end, records })
    }

    fn append(&mut self, disk: &mut Disk, text: &[u8], syncing: Syncing) -> Result<(), DiskError> {
        let checksum = checksum(text, self.records.len());
        let bytes = [&text.len().to_le_bytes()[..], &checksum.to_le_bytes(), text].concat();
        disk.write_at(FILE, self.end, &bytes)?;
        if syncing != Syncing::NoFile {
            disk.sync(FILE)?;
        }
        self.end += bytes.len() as u64;
        self.records.push(text.to_vec());
        Ok(())
    }
}

fn parse(bytes: &[u8], number: usize) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = u64::from_le_bytes(head[..8].try_into().unwrap());
    let (text, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    (head[8..] == checksum(text, number).to_le_bytes()).then_some((text, behind))
}

fn checksum(text: &[u8], number: usize) -> u64 {
    let mut digest = Digest::default();
    (text, number).hash(&mut digest);
    digest.value()
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    /// A record that was acknowledged is gone, or another stands in its place.
    Lost,
    /// A record is there that nobody wrote.
    Invented,
}

/// Appends records to a log that crashes after `n` operations, and then again at random while it
/// recovers and goes on. Also says whether the script ended before the first crash.
fn run(seed: u64, n: u64, syncing: Syncing) -> (bool, Verdict) {
    let mut rng = Rng::new(seed).fork(n);
    let mut disk = Disk::new(rng.fork(1), CAPACITY);
    disk.crash_after(n);
    let mut written = BTreeSet::new();
    let mut acknowledged = Vec::new();
    let mut unharmed = true;
    for life in 0.. {
        let ended = live(&mut disk, &mut rng, syncing, &mut written, &mut acknowledged);
        unharmed &= !disk.crashed();
        restarted(&mut disk);
        let Ok(log) = Log::open(&mut disk, syncing) else {
            unreachable!("no fault is left");
        };
        if log
            .records
            .iter()
            .enumerate()
            .any(|record| !written.contains(&(record.0, record.1.clone())))
        {
            return (unharmed, Verdict::Invented);
        }
        if !log.records.starts_with(&acknowledged) {
            return (unharmed, Verdict::Lost);
        }
        if ended.is_ok() {
            return (unharmed, Verdict::Right);
        }
        if life < 3 {
            disk.crash_after(rng.below(8));
        }
    }
    unreachable!("the last life has no crash");
}

fn live(
    disk: &mut Disk,
    rng: &mut Rng,
    syncing: Syncing,
    written: &mut BTreeSet<(usize, Vec<u8>)>,
    acknowledged: &mut Vec<Vec<u8>>,
) -> Result<(), DiskError> {
    let mut log = Log::open(disk, syncing)?;
    // Whoever reads a record after a crash may rely on it: nothing unsynced is left then.
    acknowledged.clone_from(&log.records);
    while (log.records.len() as u64) < RECORDS {
        let text = vec![u8::try_from(rng.below(256)).unwrap(); rng.index(1500)];
        written.insert((log.records.len(), text.clone()));
        log.append(disk, &text, syncing)?;
        acknowledged.push(text);
    }
    Ok(())
}

/// The verdicts over each crash point of many seeds.
fn verdicts(syncing: Syncing) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for seed in 0..60 {
        for n in 0.. {
            let (unharmed, verdict) = run(seed, n, syncing);
            verdicts.push(verdict);
            if unharmed {
                break;
            }
        }
    }
    verdicts
}

#[test]
fn a_log_that_syncs_has_each_acknowledged_record_after_a_crash_at_any_point() {
    let verdicts = verdicts(Syncing::Careful);
    // Two operations open an empty log, two more make it, and two append each record.
    assert_eq!(verdicts.len() as u64, 60 * (2 * RECORDS + 5));
    assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Right));
}

#[test]
fn a_log_that_leaves_out_a_sync_loses_records_but_invents_none() {
    for syncing in [Syncing::NoFile, Syncing::NoDirectory] {
        let verdicts = verdicts(syncing);
        assert!(verdicts.contains(&Verdict::Lost), "{syncing:?} loses nothing");
        assert!(!verdicts.contains(&Verdict::Invented), "{syncing:?} invents a record");
    }
}
