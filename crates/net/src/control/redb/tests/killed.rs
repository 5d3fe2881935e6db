//! A process that writes and is killed, again and again: what it said to have written is there.
//!
//! The process is this test binary, told by a variable in its environment to write.

use std::{
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use nigh_base::{Rng, Time};

use super::{super::durable::Durable, *};

const ROUNDS: u64 = 15;
const VARIABLE: &str = "NIGH_TEST_CONTROL_FILE";
const ITSELF: &str = concat!(
    "control::redb::tests::killed::",
    "whoever_is_killed_while_writing_has_written_what_it_said_and_nothing_by_half"
);

fn open(file: PathBuf) -> Durable {
    Durable::open(file, Bounds::default(), Time::START).unwrap()
}

/// The number that both keys of a commit carry.
fn number_in(engine: &Durable) -> u64 {
    let number = |name: &str| {
        let entry = engine.local().ask(|state| state.get(&key(name)).cloned());
        entry.map_or(0, |entry| {
            let text = std::str::from_utf8(entry.value.bytes()).unwrap();
            text.trim_end_matches('.').parse().unwrap()
        })
    };
    assert_eq!(number("one"), number("other"), "a commit is there by half");
    number("one")
}

/// Commits numbers, and says each when it is acknowledged, until it is killed.
fn write(file: PathBuf) {
    let engine = open(file);
    for number in number_in(&engine) + 1.. {
        let text = format!("{number}{}", ".".repeat(3000));
        let both = [(key("one"), change(&text, None)), (key("other"), change(&text, None))];
        engine.commit(&Transaction::new([], both).unwrap(), Time::START).unwrap();
        println!("\nacknowledged {number}");
    }
}

#[test]
fn whoever_is_killed_while_writing_has_written_what_it_said_and_nothing_by_half() {
    if let Some(file) = env::var_os(VARIABLE) {
        return write(file.into());
    }
    let folder = Folder::new();
    let mut rng = Rng::new(9);
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", ITSELF, "--nocapture", "--test-threads=1"])
            .env(VARIABLE, folder.file())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until = last + 1 + rng.below(12);
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut acknowledged = said.filter_map(|line| {
            line.strip_prefix("acknowledged ").map(|number| number.parse::<u64>().unwrap())
        });
        last = acknowledged.find(|number| *number >= until).expect("it writes until it is killed");
        child.kill().unwrap();
        // What it said while the signal was on its way counts as well.
        last = acknowledged.last().unwrap_or(last);
        child.wait().unwrap();

        let engine = open(folder.file());
        let found = number_in(&engine);
        assert!(found == last || found == last + 1, "round {round}: {found} after {last}");
        last = found;
    }
}
