//! The bounds of the state, and how it is kept; what every engine does is in `conformance`.

use std::time::Duration;

use nigh_base::Rng;

use super::{super::Value, *};

const SMALL: Bounds =
    Bounds { keys: 3, bytes: 40, leases: 2, history_commits: 4, history_bytes: 60 };

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn put(name: &str, length: usize) -> Transaction {
    leased(name, length, None)
}

fn leased(name: &str, length: usize, lease: Option<LeaseId>) -> Transaction {
    let value = Value::new(vec![1; length]).unwrap();
    Transaction::new([], [(key(name), Change::Put { value, lease })]).unwrap()
}

fn delete(name: &str) -> Transaction {
    Transaction::new([], [(key(name), Change::Delete)]).unwrap()
}

fn ttl() -> Ttl {
    Ttl::new(Duration::from_secs(10)).unwrap()
}

fn grant(state: &mut State, now: Time) -> LeaseId {
    let (lease, step) = state.plan_grant(ttl()).unwrap();
    state.apply(step, now);
    lease.id
}

/// As an engine that has kept all of it gives it back.
fn saved(state: &State) -> Saved {
    Saved {
        revision: state.revision,
        forgotten: state.forgotten,
        next_lease: state.next_lease,
        entries: state.list(&Prefix::ALL).entries,
        leases: state.leases.iter().map(|(id, held)| Lease { id: *id, ttl: held.ttl }).collect(),
        history: state.history.iter().cloned().collect(),
    }
}

#[test]
fn there_is_room_for_so_many_keys_and_bytes_and_deletes_make_some() {
    let mut state = State::new(SMALL);
    for name in ["a", "b", "c"] {
        state.commit(&put(name, 5), Time::START).unwrap();
    }
    let error = state.commit(&put("d", 1), Time::START).unwrap_err();
    assert!(matches!(error, Error::Full { what: Bound::Keys }), "{error:?}");
    let error = state.commit(&put("a", 28), Time::START).unwrap_err();
    assert!(matches!(error, Error::Full { what: Bound::Bytes }), "{error:?}");
    state.commit(&put("a", 27), Time::START).unwrap();
    state.commit(&delete("b"), Time::START).unwrap();
    state.commit(&put("d", 5), Time::START).unwrap();
}

#[test]
fn there_is_room_for_so_many_leases() {
    let mut state = State::new(SMALL);
    let first = grant(&mut state, Time::START);
    grant(&mut state, Time::START);
    let error = state.plan_grant(ttl()).unwrap_err();
    assert!(matches!(error, Error::Full { what: Bound::Leases }), "{error:?}");
    let step = state.plan_revoke(first).unwrap();
    state.apply(step, Time::START);
    assert_ne!(grant(&mut state, Time::START), first, "a number is given once");
}

#[test]
fn the_history_holds_so_many_commits() {
    let mut state = State::new(SMALL);
    for _ in 0..6 {
        state.commit(&put("a", 1), Time::START).unwrap();
    }
    assert!(matches!(state.next(&Prefix::ALL, Revision(1)), Err(Error::Compacted)));
    let seen = state.next(&Prefix::ALL, Revision(2)).unwrap();
    assert_eq!(seen.after, Revision(3));
    assert!(matches!(state.next(&Prefix::ALL, Revision(7)), Err(Error::Ahead { .. })));
}

#[test]
fn the_history_holds_so_many_bytes_and_the_latest_commit_always() {
    let mut state = State::new(Bounds { bytes: 1000, ..SMALL });
    state.commit(&put("a", 20), Time::START).unwrap();
    state.commit(&put("a", 37), Time::START).unwrap();
    assert!(state.next(&Prefix::ALL, Revision(0)).is_ok(), "59 bytes");
    state.commit(&put("a", 1), Time::START).unwrap();
    assert!(state.next(&Prefix::ALL, Revision(0)).is_err(), "61 bytes");
    state.commit(&put("a", 500), Time::START).unwrap();
    let seen = state.next(&Prefix::ALL, Revision(3)).unwrap();
    assert_eq!(seen.after, Revision(4));
    assert!(state.next(&Prefix::ALL, Revision(2)).is_err());
}

#[test]
fn a_lease_lapses_at_its_time_and_not_before() {
    let mut state = State::new(SMALL);
    let lease = grant(&mut state, Time::START);
    state.commit(&leased("a", 1, Some(lease)), Time::START).unwrap();
    let before = Time::from_nanos(Time::from_secs(10).nanos() - 1);
    assert_eq!(state.next_lapse(), Some(Time::from_secs(10)));
    assert_eq!(state.plan_lapse(before), None);
    assert!(state.plan_lapse(Time::from_secs(10)).is_some());
    let late = Time::from_secs(10);
    assert!(matches!(state.keep_alive(lease, late), Err(Error::LeaseLost)));
    assert!(matches!(state.plan(&leased("b", 1, Some(lease)), late), Err(Error::LeaseLost)));
    state.keep_alive(lease, before).unwrap();
    assert_eq!(state.plan_lapse(Time::from_secs(10)), None);
    let step = state.plan_lapse(Time::from_secs(20)).unwrap();
    assert_eq!(step.lease, Some(LeaseStep::Ended(lease)));
    state.apply(step, Time::from_secs(20));
    assert!(state.get(&key("a")).is_none());
}

#[test]
fn a_state_that_was_kept_goes_on_alike() {
    let mut rng = Rng::new(5);
    let mut state = State::new(SMALL);
    for round in 0..500 {
        let name = ["a", "b", "c", "d"][rng.index(4)];
        let leases: Vec<_> = state.leases.keys().copied().collect();
        match rng.index(5) {
            0 => drop(state.commit(&delete(name), Time::START)),
            1 if leases.len() < 2 => drop(grant(&mut state, Time::START)),
            2 if !leases.is_empty() => {
                let step = state.plan_revoke(leases[rng.index(leases.len())]).unwrap();
                state.apply(step, Time::START);
            }
            3 if !leases.is_empty() => {
                let lease = leases[rng.index(leases.len())];
                drop(state.commit(&leased(name, rng.index(15), Some(lease)), Time::START));
            }
            _ => drop(state.commit(&put(name, rng.index(15)), Time::START)),
        }
        let again = State::restore(SMALL, saved(&state), Time::START).unwrap();
        assert_eq!(format!("{again:?}"), format!("{state:?}"), "round {round}");
    }
}

#[test]
fn what_does_not_fit_together_is_found() {
    let mut state = State::new(SMALL);
    let lease = grant(&mut state, Time::START);
    state.commit(&leased("a", 1, Some(lease)), Time::START).unwrap();
    state.commit(&put("b", 1), Time::START).unwrap();
    let misfit = |change: fn(&mut Saved)| {
        let mut saved = saved(&state);
        change(&mut saved);
        State::restore(SMALL, saved, Time::START).err()
    };
    assert_eq!(misfit(|_| {}), None);
    assert_eq!(misfit(|saved| saved.leases.clear()), Some(Misfit::Lease));
    assert_eq!(misfit(|saved| saved.next_lease = 1), Some(Misfit::Lease));
    assert_eq!(misfit(|saved| saved.revision = Revision(1)), Some(Misfit::Entry));
    assert_eq!(misfit(|saved| drop(saved.history.pop())), Some(Misfit::History));
    assert_eq!(misfit(|saved| drop(saved.history.remove(0))), Some(Misfit::History));
}
