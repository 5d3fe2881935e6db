//! Files that are not as they were written: what is found is right, or an error, never something
//! else.

use nigh_base::{Rng, Time};
use nigh_sim::disk::Disk;

use super::{
    simulated::{CAPACITY, Content, FILE, Plugged, content},
    *,
};

/// A disk with some commits on it, and what it holds.
fn written() -> (Disk, Content) {
    let plugged = Plugged::new(Disk::new(Rng::new(1), CAPACITY));
    let engine = plugged.open().unwrap();
    engine.grant(Ttl::new(TTL_MIN).unwrap(), Time::START).unwrap();
    for number in 0..12 {
        let text = number.to_string().repeat(700);
        let transaction = put(&format!("k/{}", number % 5), &text, Some(LeaseId(1)));
        engine.commit(&transaction, Time::START).unwrap();
    }
    let content = engine.local().ask(content);
    engine.close();
    drop(engine);
    let disk = plugged.0.lock().clone();
    (disk, content)
}

#[derive(Debug, PartialEq)]
enum Found {
    Right,
    Refused,
}

fn judge(disk: Disk, right: &Content, what: &str) -> Found {
    match Plugged::new(disk).open() {
        Ok(engine) => {
            assert_eq!(engine.local().ask(content), *right, "{what}");
            Found::Right
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Found::Refused
        }
    }
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let (disk, right) = written();
    assert_eq!(judge(disk.clone(), &right, "as it was written"), Found::Right);
    let mut rng = Rng::new(2);
    let length = disk.clone().length(FILE).unwrap();
    let pages = disk.clone().read_at(FILE, 0, usize::try_from(length).unwrap()).unwrap();
    let mut places: Vec<u64> = (0..320).collect();
    for (number, page) in (0..).zip(pages.chunks(4096)).skip(1) {
        if page.iter().any(|byte| *byte != 0) {
            places.extend((0..8).map(|_| 4096 * number + rng.below(4096)));
        }
    }
    let mut refused = 0;
    for place in places {
        let mut disk = disk.clone();
        disk.rot_at(FILE, place, rng.below(8));
        let found = judge(disk, &right, &format!("a bit of byte {place}"));
        refused += u32::from(found == Found::Refused);
    }
    assert!(refused > 50, "{refused} were noticed");
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let (disk, right) = written();
    let length = disk.clone().length(FILE).unwrap();
    for cut in [1, 512, 4095, 4096, 8192, length / 2, length - 4096, length - 1] {
        let mut disk = disk.clone();
        disk.truncate(FILE, cut).unwrap();
        disk.sync(FILE).unwrap();
        assert_eq!(judge(disk, &right, &format!("{cut} bytes")), Found::Refused, "{cut} bytes");
    }
}
