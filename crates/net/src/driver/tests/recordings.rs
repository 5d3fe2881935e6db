//! A run on sockets, recorded, and played again without any.

use std::fs;

use bytes::Bytes;
use nigh_base::{
    Digest, Machine,
    machine::{Coded, Input},
    record::{Recording, Replayed, replay, replay_with},
};

use super::{Ask, Folder, Node, SLOT, Told, in_time, on_loopback, probe::Manner, probe::Probe};

/// A recording of a probe that pings, pours, is poured to, saves and loads; and its state at the
/// end.
async fn recorded(folder: &Folder) -> (Vec<u8>, u64) {
    let file = folder.path().join("recording");
    let mut a = Node::start(Some(&folder.path().join("slots")), Some(&file));
    let b = Node::new();
    assert_eq!(a.until_answer(&b).await, [Told::Answered(b.address())]);
    let bytes = 2 << 20;
    a.ask(Ask::Pour { to: b.address(), bytes, manner: Manner::Patient }).await;
    b.ask(Ask::Pour { to: a.address(), bytes, manner: Manner::Patient }).await;
    a.ask(Ask::Save { slot: SLOT, bytes: Bytes::from_static(b"content") }).await;
    a.ask(Ask::Load { slot: SLOT }).await;
    // Two links, each opened and closed by one end; a save and a load.
    let mut told = Vec::new();
    while told.len() < 7 {
        told.push(a.next().await);
    }
    let state = state_of(&a.stop().await);
    (fs::read(file).unwrap(), state)
}

fn state_of(machine: &Coded<Probe>) -> u64 {
    let mut digest = Digest::default();
    machine.digest(&mut digest);
    digest.value()
}

fn fresh() -> Coded<Probe> {
    Coded::new(Probe::default())
}

#[test]
fn a_run_on_sockets_replays_to_the_same_state() {
    on_loopback(async {
        let folder = Folder::new();
        let (recording, state) = recorded(&folder).await;
        let replayed: Replayed<_> = replay(&recording, fresh()).unwrap();
        assert!(replayed.agrees(), "{replayed:?}");
        assert_eq!((replayed.digest, state_of(&replayed.machine)), (state, state));
        assert!(replayed.inputs > 20 && replayed.machine.machine().drained > 0);
    });
}

#[test]
fn a_replay_with_one_input_altered_does_not() {
    on_loopback(async {
        let folder = Folder::new();
        let (recording, state) = recorded(&folder).await;
        let mut altered = None;
        let replayed = replay_with(&recording, fresh(), |number, entry| {
            if let Input::Message { message, .. } = &mut entry.input
                && altered.is_none()
            {
                // The number of an answer: it answers nothing that was asked.
                let mut bytes = message.to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                *message = bytes.into();
                altered = Some(number);
            }
        });
        let replayed = replayed.unwrap();
        assert!(!replayed.agrees() && replayed.digest != state);
        assert!(replayed.departed >= altered && altered.is_some());
    });
}

#[test]
fn the_input_that_made_a_machine_panic_is_the_last_one_recorded() {
    on_loopback(async {
        let folder = Folder::new();
        let file = folder.path().join("recording");
        let mut a = Node::start(None, Some(&file));
        let b = Node::new();
        a.until_answer(&b).await;
        a.ask(Ask::Panic).await;
        assert!(in_time(a.running).await.unwrap_err().is_panic());
        let bytes = fs::read(file).unwrap();
        let mut recording = Recording::open(&bytes).unwrap();
        let mut last = None;
        while let Some(entry) = recording.next_entry::<Bytes, Ask>().unwrap() {
            last = Some(entry.input);
        }
        assert_eq!(last, Some(Input::Command(Ask::Panic)));
        assert_eq!(recording.end(), None);
    });
}

#[test]
fn a_recording_is_not_written_over() {
    on_loopback(async {
        let folder = Folder::new();
        let file = folder.path().join("recording");
        fs::write(&file, b"an older one").unwrap();
        let (mut driver, _handle) = super::Driver::bind(fresh(), super::settings()).unwrap();
        assert!(matches!(driver.record(&file), Err(super::super::BindError::Record { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"an older one");
    });
}
