//! A small cluster in the simulator: an origin whose object changes, control state, and edges that
//! serve, purge, and are cut off. After "done", nobody serves what was purged.

mod world;

use std::time::Duration;

use nigh_base::{Rng, Time};
use nigh_sim::{
    HostId,
    plan::{self, Mix},
};

use self::world::{Cluster, Doing, Happened};
use super::*;
use crate::{
    control::{
        Change, Commit, Listing, Revision, Transaction,
        model::{Bounds, State},
    },
    membership::Name,
};

const EDGES: u32 = 4;

fn edge(cluster: &str, edge: &str) -> QualifiedName {
    let name = |text| Name::new(text).unwrap();
    QualifiedName { cluster: name(cluster), edge: name(edge) }
}

/// Runs a cluster under faults drawn from `seed`, and says how many purges were done, and how many
/// answers came from a store.
///
/// # Panics
/// If an answer that was begun after a purge was done is older than what was there when it was asked.
fn run(seed: u64) -> (usize, usize) {
    let mut cluster = Cluster::new(seed, EDGES);
    let mut rng = Rng::new(seed).fork(7);
    let mix = Mix {
        from: Time::from_secs(3),
        until: Time::from_secs(22),
        every: Duration::from_secs(2),
        down_max: 2,
        loss_max: 0.2,
        parting: true,
    };
    let edges: Vec<HostId> = cluster.edges().collect();
    let faults = plan::draw(mix, &edges, &mut rng);
    for tick in 0..200 {
        let at = Time::from_secs(2).after(Duration::from_millis(rng.below(28_000)));
        let edge = edges[rng.index(edges.len())];
        let doing = if tick % 25 == 0 { Doing::ChangeAndPurge } else { Doing::Serve };
        cluster.at(at, edge, doing);
    }
    cluster.run(&faults, Time::from_secs(38));
    let (mut done, mut from_store) = (Vec::new(), 0);
    for (at, happened) in cluster.happened() {
        match happened {
            Happened::Purged { version } => done.push((at, version)),
            Happened::Served { version, began, stored } => {
                from_store += usize::from(stored);
                let least = done.iter().filter(|(at, _)| *at < began).map(|(_, it)| *it).max();
                assert!(
                    least.is_none_or(|least| version >= least),
                    "seed {seed}: version {version} was served at {began:?}, after {least:?} was done"
                );
            }
        }
    }
    (done.len(), from_store)
}

/// Ten thousand clusters, in as many tests as keep one short.
const SEEDS: u64 = 2_000;

/// Runs the clusters of one of these tests.
fn nobody_serves_what_was_purged(part: u64) {
    let runs: Vec<_> = (part * SEEDS..(part + 1) * SEEDS).map(run).collect();
    let done: usize = runs.iter().map(|run| run.0).sum();
    let from_store: usize = runs.iter().map(|run| run.1).sum();
    // Otherwise it would say nothing.
    assert!(done as u64 > SEEDS * 5, "{done} purges of {} were done", SEEDS * 8);
    assert!(from_store as u64 > SEEDS * 50, "{from_store} answers of {} were stored", SEEDS * 192);
}

#[test]
fn after_a_purge_is_done_nobody_serves_what_was_purged_in_the_first_clusters() {
    nobody_serves_what_was_purged(0);
}

#[test]
fn after_a_purge_is_done_nobody_serves_what_was_purged_in_the_second_clusters() {
    nobody_serves_what_was_purged(1);
}

#[test]
fn after_a_purge_is_done_nobody_serves_what_was_purged_in_the_third_clusters() {
    nobody_serves_what_was_purged(2);
}

#[test]
fn after_a_purge_is_done_nobody_serves_what_was_purged_in_the_fourth_clusters() {
    nobody_serves_what_was_purged(3);
}

#[test]
fn after_a_purge_is_done_nobody_serves_what_was_purged_in_the_fifth_clusters() {
    nobody_serves_what_was_purged(4);
}

#[test]
fn purges_have_numbers_without_gaps_whoever_comes_first() {
    let mut state = State::new(Bounds::default());
    let value = Value::new("all").unwrap();
    let empty = state.list(&purges());
    let (first, commit) = purging(&empty, value.clone()).unwrap();
    state.commit(&commit, Time::START).unwrap();
    assert!(state.commit(&commit, Time::START).is_err(), "both saw an empty list");
    let (second, commit) = purging(&state.list(&purges()), value).unwrap();
    state.commit(&commit, Time::START).unwrap();
    assert_eq!((first, second), (1, 2));
}

#[test]
fn the_log_is_bounded_and_who_missed_a_part_of_it_validates_everything() {
    let mut state = State::new(Bounds::default());
    for _ in 0..=LOG_MAX {
        let value = Value::new("x").unwrap();
        let (_, commit) = purging(&state.list(&purges()), value).unwrap();
        state.commit(&commit, Time::START).unwrap();
    }
    let listing = state.list(&purges());
    assert_eq!(listing.entries.len() as u64, LOG_MAX);
    let told = |reached| {
        let mut holder = Holder::new(&edge("eu", "a"), reached, Revision::NONE);
        assert_eq!(holder.ask(Time::START), Some(Ask::List));
        holder.answered(Time::START, Ok(Answered::Listed(listing.clone())))
    };
    assert_eq!(told(0)[0], Forget::Everything);
    assert_eq!(told(1).len() as u64, LOG_MAX);
    assert_ne!(told(1)[0], Forget::Everything);
    assert_eq!(told(LOG_MAX + 1), []);
    // Control state that knows less than the edge is not the one that it knew.
    assert_eq!(told(LOG_MAX + 2), [Forget::Everything]);
}

#[test]
fn a_log_that_was_lost_and_has_grown_again_is_told_by_the_commits_of_its_purges() {
    let log = |purges: u64, others: u64| {
        let mut state = State::new(Bounds::default());
        for _ in 0..others {
            let put = Change::Put { value: Value::new("x").unwrap(), lease: None };
            let put = [(reached_key(&edge("eu", "b")), put)];
            state.commit(&Transaction::new([], put).unwrap(), Time::START).unwrap();
        }
        for _ in 0..purges {
            let (_, commit) =
                purging(&state.list(&super::purges()), Value::new("x").unwrap()).unwrap();
            state.commit(&commit, Time::START).unwrap();
        }
        state.list(&super::purges())
    };
    let told = |holder: &mut Holder, listing: &Listing| {
        assert_eq!(holder.ask(Time::START), Some(Ask::List));
        holder.answered(Time::START, Ok(Answered::Listed(listing.clone())))
    };
    let (before, first) = (log(3, 0), Holder::new(&edge("eu", "a"), 0, Revision::NONE));
    let mut holder = first;
    assert_eq!(told(&mut holder, &before).len(), 3);
    assert_eq!((holder.reached(), holder.at()), (3, Revision(3)));
    // A next process, at the log that goes on.
    let next = || Holder::new(&edge("eu", "a"), holder.reached(), holder.at());
    assert_eq!(told(&mut next(), &before), []);
    assert_eq!(told(&mut next(), &log(5, 0)).len(), 2);
    // As many purges are in the one that was begun anew, or more: it has seen none of them.
    for purges in [3, 5] {
        let mut holder = next();
        assert_eq!(told(&mut holder, &log(purges, 2)), [Forget::Everything]);
        assert_eq!((holder.reached(), holder.at()), (purges, Revision(purges + 2)));
    }
}

#[test]
fn an_edge_that_came_since_is_waited_for_whatever_a_watch_from_before_the_purge_saw() {
    let saying = |revision, change| {
        let changes = vec![(reached_key(&edge("eu", "a")), change)];
        Commit { revision: Revision(revision), changes }
    };
    let mut state = State::new(Bounds::default());
    let put = |number| Change::Put { value: number_value(number), lease: None };
    let come = Transaction::new([], [(reached_key(&edge("eu", "a")), put(0))]).unwrap();
    state.commit(&come, Time::START).unwrap();
    let (number, commit) = purging(&state.list(&purges()), Value::new("x").unwrap()).unwrap();
    let revision = state.commit(&commit, Time::START).unwrap();
    let mut purge = Purge::new(number, Time::START, std::iter::empty());
    purge.listed(Time::START, &state.list(&reached()));
    purge.saw(Time::START, &saying(revision.0, Change::Delete));
    assert!(!purge.is_done(), "it had left, and come again");
    purge.saw(Time::START, &saying(revision.0 + 1, put(number)));
    assert!(purge.is_done());
}

#[test]
fn an_edge_trusts_its_store_no_longer_than_its_lease_lasts_and_no_sibling_that_has_come_farther() {
    let mut holder = Holder::new(&edge("eu", "a"), 0, Revision::NONE);
    let at = |millis| Time::START.after(Duration::from_millis(millis));
    let state = State::new(Bounds::default());
    let mut tell = |now, answer| {
        holder.ask(now).unwrap();
        holder.answered(now, Ok(answer));
        holder.trust(now, 0)
    };
    assert_eq!(tell(at(0), Answered::Listed(state.list(&purges()))), Trust::Validated);
    let ttl = crate::control::Ttl::new(LEASE).unwrap();
    let lease = crate::control::Lease { id: crate::control::LeaseId(1), ttl };
    assert_eq!(tell(at(10), Answered::Granted(lease)), Trust::Validated);
    assert_eq!(tell(at(20), Answered::Done), Trust::Stored);
    assert_eq!(holder.trust(at(20), 1), Trust::Validated);
    // The lease counts from when it was asked for, and by a clock that may be slow.
    let end = at(10).after(LEASE);
    assert_eq!(holder.trust(at(4_000), 0), Trust::Stored);
    assert_eq!(holder.trust(end, 0), Trust::Validated);
    assert_eq!(holder.trust(at(4_961), 0), Trust::Validated);
}

#[test]
fn edges_of_one_name_in_two_clusters_are_waited_for_both() {
    let (parent, child) = (edge("eu", "edge-1"), edge("us", "edge-1"));
    let mut state = State::new(Bounds::default());
    let mut say = |edge, number| {
        let put = Change::Put { value: number_value(number), lease: None };
        let put = Transaction::new([], [(reached_key(edge), put)]).unwrap();
        state.commit(&put, Time::START).unwrap();
        state.list(&reached())
    };
    say(&child, 6);
    // Only the parent's are listed where the purge was asked for.
    let mut purge = Purge::new(7, Time::START, [parent.clone()].into_iter());
    purge.listed(Time::START, &say(&parent, 7));
    let forgotten = Reached::Forgotten(Duration::ZERO);
    assert!(purge.edges().eq([(&parent, forgotten), (&child, Reached::Waiting)]));
    assert!(!purge.is_done());
    purge.listed(Time::START, &say(&child, 7));
    assert!(purge.is_done());
}
