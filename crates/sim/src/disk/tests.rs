//! What a disk must keep, and that it does lose all that it may.

mod log;
mod model;

use std::collections::BTreeSet;

use super::*;

const CAPACITY: u64 = 1 << 16;
const SEEDS: u64 = 200;

/// A disk with the file `a` of `bytes`, durable by content and by name.
fn disk_with(seed: u64, bytes: &[u8]) -> Disk {
    let mut disk = Disk::new(Rng::new(seed), CAPACITY);
    disk.write_at("a", 0, bytes).unwrap();
    disk.sync("a").unwrap();
    disk.sync_directory().unwrap();
    disk
}

fn content_of(disk: &mut Disk, file: &str) -> Vec<u8> {
    disk.read_at(file, 0, usize::MAX).unwrap()
}

fn restarted(disk: &mut Disk) -> &mut Disk {
    disk.crash();
    disk.restart();
    disk
}

/// What `a` holds after `script` and a crash, for each seed, on a disk where it held `bytes`.
fn remains(bytes: &[u8], script: impl Fn(&mut Disk)) -> Vec<Vec<u8>> {
    let remains = |seed| {
        let mut disk = disk_with(seed, bytes);
        script(&mut disk);
        content_of(restarted(&mut disk), "a")
    };
    (0..SEEDS).map(remains).collect()
}

fn digest_of(disk: &Disk) -> u64 {
    let mut digest = Digest::default();
    disk.digest(&mut digest);
    digest.value()
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..SEEDS {
        let mut disk = disk_with(seed, b"kept");
        disk.write_at("a", 2000, b"far").unwrap();
        disk.truncate("a", 2002).unwrap();
        disk.sync("a").unwrap();
        let before = content_of(&mut disk, "a");
        for _ in 0..3 {
            assert_eq!(content_of(restarted(&mut disk), "a"), before, "seed {seed}");
        }
    }
}

#[test]
fn an_unsynced_write_never_alters_what_lies_around_it() {
    let after = remains(&[1; 4000], |disk| disk.write_at("a", 700, &[2; 1500]).unwrap());
    for content in &after {
        assert_eq!(content.len(), 4000);
        assert!(content[..700].iter().chain(&content[2200..]).all(|&byte| byte == 1));
    }
    assert!(after.iter().any(|content| content[700..2200] == [1; 1500]), "none is lost");
    assert!(after.iter().any(|content| content[700..2200] == [2; 1500]), "none is kept");
}

#[test]
fn a_crash_keeps_loses_cuts_and_scatters_a_write() {
    let after = remains(&[1; 4 * SECTOR], |disk| disk.write_at("a", 0, &[2; 4 * SECTOR]).unwrap());
    let mut seen = BTreeSet::new();
    for content in after {
        let sectors = content.chunks(SECTOR).map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
            sector[0]
        });
        seen.insert(sectors.collect::<Vec<_>>());
    }
    for outcome in [[2, 2, 2, 2], [1, 1, 1, 1], [2, 2, 1, 1], [1, 2, 1, 2], [1, 1, 2, 2]] {
        assert!(seen.contains(&outcome[..]), "{outcome:?} is not among {seen:?}");
    }
}

#[test]
fn a_later_write_may_survive_an_earlier_one() {
    let after = remains(&[1; 2 * SECTOR], |disk| {
        disk.write_at("a", 0, b"2").unwrap();
        disk.write_at("a", SECTOR as u64, b"3").unwrap();
    });
    let seen: BTreeSet<_> = after.iter().map(|content| (content[0], content[SECTOR])).collect();
    assert_eq!(seen, BTreeSet::from([(1, 1), (b'2', 1), (1, b'3'), (b'2', b'3')]));
}

/// What a crash shows behind the tenth byte of `a`, where nothing was written before the end.
fn holes(bytes: &[u8], script: impl Fn(&mut Disk)) -> BTreeSet<Vec<u8>> {
    let after = remains(bytes, |disk| {
        script(disk);
        disk.write_at("a", 1000, b"end").unwrap();
        assert_eq!(content_of(disk, "a")[10..1000], [0; 990]);
    });
    assert!(after.iter().any(|content| content.len() == 10), "the length always grows");
    let grown = after.iter().filter(|content| content.len() > 10);
    grown.map(|content| content[10..100].to_vec()).collect()
}

#[test]
fn a_hole_shows_zeros_noise_or_what_a_removed_file_had_there() {
    let holes = holes(&[1; 10], |disk| {
        disk.write_at("b", 0, &[2; 100]).unwrap();
        disk.sync("b").unwrap();
        disk.sync_directory().unwrap();
        disk.remove("b").unwrap();
        disk.sync_directory().unwrap();
    });
    assert!(holes.contains(&vec![0; 90]), "none shows zeros");
    assert!(holes.contains(&vec![2; 90]), "none shows the removed file");
    assert!(holes.len() > 10, "none shows noise");
}

#[test]
fn a_hole_may_show_what_was_cut_off() {
    let holes = holes(&[1; 100], |disk| {
        disk.truncate("a", 10).unwrap();
        disk.sync("a").unwrap();
    });
    assert!(holes.contains(&vec![1; 90]));
}

#[test]
fn an_unsynced_length_is_kept_or_lost() {
    let cut = remains(b"abcd", |disk| disk.truncate("a", 2).unwrap());
    assert_eq!(
        cut.into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["ab", "abcd"].map(Vec::from))
    );
    let grown = remains(b"abcd", |disk| disk.truncate("a", 9).unwrap());
    assert!(grown.iter().all(|content| content.starts_with(b"abcd")));
    let lengths: BTreeSet<_> = grown.iter().map(Vec::len).collect();
    assert_eq!(lengths, BTreeSet::from([4, 9]));
}

#[test]
fn the_length_of_a_write_may_arrive_without_its_data() {
    let after = remains(b"", |disk| disk.write_at("a", 0, &[1; 100]).unwrap());
    for content in [vec![], vec![0; 100], vec![1; 100]] {
        assert!(after.contains(&content), "no seed leaves {content:?}");
    }
}

#[test]
fn a_file_whose_directory_was_not_synced_may_be_lost_though_it_was_synced_itself() {
    let mut there = 0;
    for seed in 0..SEEDS {
        let mut disk = Disk::new(Rng::new(seed), CAPACITY);
        disk.write_at("a", 0, b"content").unwrap();
        disk.sync("a").unwrap();
        match restarted(&mut disk).read_at("a", 0, 10) {
            Ok(content) => {
                assert_eq!(content, b"content");
                there += 1;
            }
            Err(error) => assert_eq!(error, DiskError::Absent),
        }
    }
    assert!((1..SEEDS).contains(&there), "{there} of {SEEDS} were kept");
}

#[test]
fn the_directory_keeps_the_first_of_its_changes() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut disk = disk_with(seed, b"");
        disk.write_at("b", 0, b"").unwrap();
        disk.rename("a", "c").unwrap();
        disk.remove("b").unwrap();
        seen.insert(restarted(&mut disk).names().concat());
    }
    assert_eq!(seen, BTreeSet::from(["a", "ab", "bc", "c"].map(str::to_owned)));
}

#[test]
fn a_sync_of_the_directory_that_failed_takes_nothing_away() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut disk = disk_with(seed, b"kept");
        disk.remove("a").unwrap();
        disk.write_at("b", 0, b"").unwrap();
        disk.faults_mut().failing = 1.0;
        assert_eq!(disk.sync_directory(), Err(DiskError::Failed));
        disk.faults_mut().failing = 0.0;
        let names = restarted(&mut disk).names().concat();
        if names == "a" {
            assert_eq!(content_of(&mut disk, "a"), b"kept");
        }
        seen.insert(names);
    }
    assert_eq!(seen, BTreeSet::from(["a", "", "b"].map(str::to_owned)));
}

/// Replaces `a` by writing beside it, as careful programs do, or without the sync of the new file.
fn replace(disk: &mut Disk, new: &[u8], synced: bool) -> Result<(), DiskError> {
    disk.write_at("b", 0, new)?;
    if synced {
        disk.sync("b")?;
    }
    disk.rename("b", "a")?;
    disk.sync_directory()
}

/// What `a` holds after a crash at each point of a replacement, for each seed.
fn replaced(old: &[u8], new: &[u8], synced: bool) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        for n in 0.. {
            let mut disk = disk_with(seed, old);
            disk.crash_after(n);
            let done = replace(&mut disk, new, synced);
            let ended = !disk.crashed();
            let after = content_of(restarted(&mut disk), "a");
            assert!(
                done.is_err() || !synced || after == new,
                "an acknowledged replacement is lost"
            );
            seen.insert(after);
            if ended {
                break;
            }
        }
    }
    seen
}

#[test]
fn a_rename_replaces_a_file_as_a_whole() {
    let [old, new] = [vec![1; 1500], vec![2; 2500]];
    assert_eq!(replaced(&old, &new, true), BTreeSet::from([old, new]));
}

#[test]
fn a_rename_of_what_was_not_synced_may_show_an_empty_or_a_torn_file() {
    let [old, new] = [vec![1; 1500], vec![2; 2500]];
    let seen = replaced(&old, &new, false);
    assert!(seen.contains(&vec![]), "no seed shows an empty file");
    assert!(seen.contains(&vec![2; 2 * SECTOR]), "no seed shows a torn file");
}

#[test]
fn a_full_disk_keeps_what_it_holds_and_may_take_a_part() {
    let mut taken = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut disk = disk_with(seed, b"kept");
        disk.write_at("b", 0, &vec![1; in_memory(CAPACITY) - 14]).unwrap();
        assert_eq!(disk.free(), 10);
        assert_eq!(disk.write_at("c", 5, &[2; 6]), Err(DiskError::Full));
        assert_eq!(disk.truncate("b", CAPACITY), Err(DiskError::Full));
        assert_eq!(content_of(&mut disk, "a"), b"kept");
        taken.insert(disk.length("c").unwrap());
        assert!(disk.free() <= 10);
        disk.remove("b").unwrap();
        disk.write_at("c", 5, &[2; 6]).unwrap();
    }
    assert_eq!(taken, BTreeSet::from([0, 6, 7, 8, 9, 10]), "a write is cut where the room ends");
}

#[test]
fn a_filled_disk_still_overwrites_and_is_relieved() {
    let mut disk = disk_with(1, b"old");
    disk.fill();
    assert_eq!(disk.free(), 0);
    disk.write_at("a", 0, b"new").unwrap();
    assert_eq!(disk.write_at("a", u64::MAX, b"far"), Err(DiskError::Full));
    assert_eq!(disk.write_at("a", 3, b"er"), Err(DiskError::Full));
    assert_eq!(content_of(&mut disk, "a"), b"new");
    disk.relieve();
    assert_eq!(disk.free(), CAPACITY - 3);
}

#[test]
fn a_failed_operation_has_been_done_not_at_all_in_part_or_as_a_whole() {
    let mut written = BTreeSet::new();
    let mut renamed = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut disk = disk_with(seed, b"");
        disk.faults_mut().failing = 1.0;
        assert_eq!(disk.write_at("a", 0, b"abc"), Err(DiskError::Failed));
        assert_eq!(disk.rename("a", "b"), Err(DiskError::Failed));
        disk.faults_mut().failing = 0.0;
        let file = disk.names().concat();
        written.insert(content_of(&mut disk, &file));
        renamed.insert(file);
    }
    assert_eq!(written, BTreeSet::from(["", "a", "ab", "abc"].map(Vec::from)));
    assert_eq!(renamed, BTreeSet::from(["a", "b"].map(str::to_owned)));
}

#[test]
fn a_sync_that_failed_may_have_forgotten_what_the_next_one_will_not_write() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let mut disk = disk_with(seed, b"old");
        disk.write_at("a", 0, b"new").unwrap();
        disk.faults_mut().failing = 1.0;
        assert_eq!(disk.sync("a"), Err(DiskError::Failed));
        disk.faults_mut().failing = 0.0;
        disk.sync("a").unwrap();
        assert_eq!(content_of(&mut disk, "a"), b"new", "memory has it, whatever the disk has");
        let after = content_of(restarted(&mut disk), "a");
        assert!([&b"old"[..], b"new"].contains(&&after[..]));
        lost += u64::from(after == b"old");
    }
    assert!((1..SEEDS / 2).contains(&lost), "{lost} of {SEEDS} were lost");
}

#[test]
fn rot_is_seen_by_reads_and_outlives_a_crash() {
    let mut disk = disk_with(1, b"abc");
    disk.rot_at("a", 1, 0);
    assert_eq!(content_of(&mut disk, "a"), b"acc");
    assert_eq!(content_of(restarted(&mut disk), "a"), b"acc");
    assert_eq!(disk.read_at("a", 1, 1).unwrap(), b"c");
}

#[test]
fn rot_is_not_seen_through_an_unsynced_write_which_then_mends_it() {
    let mut disk = disk_with(1, b"abc");
    disk.write_at("a", 1, b"b").unwrap();
    disk.rot_at("a", 1, 0);
    assert_eq!(content_of(&mut disk, "a"), b"abc");
    disk.sync("a").unwrap();
    assert_eq!(content_of(restarted(&mut disk), "a"), b"abc");
}

#[test]
fn rot_flips_so_many_bits_and_no_more_than_there_are() {
    for (asked, flipped) in [(0, 0), (1, 1), (50, 50), (1000, 240)] {
        let mut disk = disk_with(asked, &[0; 20]);
        disk.write_at("b", 0, &[0; 10]).unwrap();
        disk.sync("b").unwrap();
        disk.rot(asked);
        let rotten = [content_of(&mut disk, "a"), content_of(&mut disk, "b")].concat();
        assert_eq!(rotten.iter().map(|byte| byte.count_ones()).sum::<u32>(), flipped);
    }
    Disk::new(Rng::new(1), CAPACITY).rot(1);
}

#[test]
fn a_disk_that_vanished_fails_each_operation_until_the_restart() {
    let mut disk = disk_with(1, b"kept");
    disk.vanish();
    assert_eq!(disk.read_at("a", 0, 4), Err(DiskError::Failed));
    assert_eq!(disk.write_at("b", 0, b"x"), Err(DiskError::Failed));
    assert_eq!((disk.names(), disk.free(), disk.crashed()), (vec![], 0, false));
    disk.restart();
    assert_eq!(content_of(&mut disk, "a"), b"kept");
    assert_eq!(disk.names(), ["a"]);
}

#[test]
fn a_disk_crashes_at_the_operation_that_it_was_told() {
    for n in 0..5 {
        let mut disk = disk_with(n, b"kept");
        let before = disk.operations();
        disk.crash_after(n);
        for _ in 0..n {
            disk.length("a").unwrap();
        }
        assert!(!disk.crashed());
        assert_eq!(disk.length("a"), Err(DiskError::Crashed));
        assert!(disk.crashed());
        assert_eq!(disk.write_at("a", 0, b"lost"), Err(DiskError::Crashed));
        assert_eq!(disk.operations(), before + n + 1);
        assert!(disk.names().is_empty());
        disk.restart();
        assert_eq!(content_of(&mut disk, "a"), b"kept");
    }
}

#[test]
fn the_operation_at_which_a_disk_crashes_may_have_been_done() {
    let after = remains(b"old", |disk| {
        disk.write_at("a", 0, b"new").unwrap();
        disk.crash_after(1);
        disk.length("a").unwrap();
        assert_eq!(disk.truncate("a", 1), Err(DiskError::Crashed));
    });
    let after: BTreeSet<_> = after.into_iter().collect();
    assert_eq!(after, BTreeSet::from(["old", "new", "o", "n"].map(Vec::from)));
}

#[test]
fn what_is_never_synced_is_written_back_in_the_end() {
    for content in remains(b"old", |disk| {
        disk.write_at("a", 0, b"new").unwrap();
        for _ in 0..UNSYNCED_MAX {
            disk.write_at("a", 5000, b"x").unwrap();
        }
    }) {
        assert_eq!(content[..3], *b"new");
    }
}

#[test]
fn one_seed_gives_one_result() {
    let run = |seed| {
        let mut disk = Disk::new(Rng::new(seed), CAPACITY);
        disk.faults_mut().failing = 0.1;
        let mut seen = Digest::default();
        let mut rng = Rng::new(1);
        for step in 0..100 {
            let file = ["a", "b"][rng.index(2)];
            disk.write_at(file, rng.below(2000), &[step; 700]).hash(&mut seen);
            match rng.below(5) {
                0 => disk.sync(file).hash(&mut seen),
                1 => disk.sync_directory().hash(&mut seen),
                2 => disk.crash(),
                3 => disk.rot(2),
                _ => disk.restart(),
            }
        }
        (digest_of(&disk), seen)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_digest_tells_what_is_durable_from_what_is_not() {
    let mut disk = disk_with(1, b"a");
    disk.write_at("a", 0, b"b").unwrap();
    let mut unsynced = disk.clone();
    // Both have done as many operations and drawn as many numbers.
    disk.sync("a").unwrap();
    unsynced.length("a").unwrap();
    assert_ne!(digest_of(&disk), digest_of(&unsynced));
    // What they will draw is a part of the state.
    assert_ne!(digest_of(&disk_with(1, b"a")), digest_of(&disk_with(2, b"a")));
}
