//! What one set-up each measures: the hop, the join, the hot object, and purges.

use super::{
    ETCD_LIMIT, Error, OTHER_CORE,
    fleet::{Bond, Fleet, Lab},
    last_words,
    ratio::load,
    report::{self, Goal},
    work::{Choice, equal},
};
use crate::{
    edge::free_ports,
    host::check_interrupt,
    http1::Connection,
    markdown::Table,
    process::{Place, Process},
};
use nigh_base::Rng;
use nigh_load::Object;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

/// The length of each object: more than a packet, far less than a slice.
const OBJECT_BYTES: u32 = 10_000;

/// More than all of them take.
const ENOUGH: u64 = 512 << 20;

/// Longer than copies live.
const COPIES_GONE: Duration = Duration::from_secs(11);

/// Clients at once, where edges are to be busy.
const BUSY: usize = 64;
const FEW: usize = 4;

/// What an object costs that its owner is asked for, and what it costs by way of another edge.
pub(super) fn hop(lab: &Lab<'_>, objects: u64) -> Result<String, Error> {
    let fleet = Fleet::start(lab, Bond::Ring, (2, 2), ENOUGH)?;
    let all = equal(0..objects, OBJECT_BYTES);
    load("eu-2", fleet.addresses(), &all, Choice::One(1), FEW)?;
    let mut owned = Vec::new();
    for object in all {
        if holder(&fleet, object)? == "eu-2" {
            owned.push(object);
        }
    }
    let mut table =
        Table::new(["asked", "requests", "CPU-s/100k, both edges", "p50, ms", "p99, ms"]);
    let before = lab.origin.requests();
    for (who, edge) in [("the owner", 1), ("the other edge", 0)] {
        let began = fleet.cpu_seconds();
        let tally = load(who, fleet.addresses(), &owned, Choice::One(edge), FEW)?;
        let cpu = (fleet.cpu_seconds() - began) / tally.requests as f64 * 1e5;
        let millis = |share| format!("{:.2}", tally.quantile(share).as_secs_f64() * 1e3);
        let requests = tally.requests.to_string();
        table.row(vec![who.into(), requests, format!("{cpu:.2}"), millis(0.5), millis(0.99)]);
    }
    let asked = lab.origin.requests() - before;
    Ok(format!("The hop ({asked} requests to the origin meanwhile):\n\n{}", table.text()))
}

/// The edge that owns an object.
fn holder(fleet: &Fleet<'_>, object: Object) -> Result<String, Error> {
    let explained = explain(fleet, 0, object)?;
    let owner = explained["edges"][0].as_str();
    owner.map(str::to_owned).ok_or_else(|| Error::Unreadable("eu-1".into()))
}

fn explain(fleet: &Fleet<'_>, edge: usize, object: Object) -> Result<serde_json::Value, Error> {
    fleet.ask(edge, &format!("/v1/explain?url=http://www.example{}", object.path()))
}

/// How a tenth edge begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// As edges do: what it owns from now on, it takes from those that owned it before.
    Warm,
    /// As if it knew nothing of the rings before.
    Cold,
}

/// What the origin is asked for when a tenth edge comes.
struct Joined {
    empty: u64,
    again: u64,
    after: u64,
    /// Objects that the tenth owns.
    owned: u64,
}

/// What the origin is asked when a tenth edge comes, warm and cold.
///
/// Goal: warm nothing, and cold 1.5 times the tenth's share of all at most. What no edge that is asked has
/// in its store counts as a miss, and each object was stored before.
pub(super) fn join(lab: &Lab<'_>, objects: u64) -> Result<String, Error> {
    const EDGES: usize = 10;
    const SHARES_MAX: f64 = 1.5;
    let [warm, cold] = [Start::Warm, Start::Cold].map(|start| joined(lab, objects, EDGES, start));
    let (warm, cold) = (warm?, cold?);
    let mut table = Table::new(["to the origin, each object asked for once", "warm", "cold"]);
    for (when, count) in [
        ("at nine, empty", [warm.empty, cold.empty]),
        ("again", [warm.again, cold.again]),
        ("a tenth has come", [warm.after, cold.after]),
    ] {
        let [warm, cold] = count.map(|count| count.to_string());
        table.row(vec![when.into(), warm, cold]);
    }
    let shares = |joined: &Joined| {
        let more = joined.after.saturating_sub(joined.again);
        more as f64 / (objects as f64 / EDGES as f64)
    };
    let goals = [
        Goal::new("misses when a tenth has come, in shares of a tenth: warm", shares(&warm), 0.0),
        Goal::new("cold", shares(&cold), SHARES_MAX),
    ];
    Ok(format!(
        "One more of ten edges, {objects} objects, of which it owns {}:\n\n{}\n{}",
        warm.owned,
        table.text(),
        report::goals(&goals)
    ))
}

fn joined(lab: &Lab<'_>, objects: u64, edges: usize, start: Start) -> Result<Joined, Error> {
    let mut fleet = Fleet::start(lab, Bond::Ring, (edges, edges - 1), ENOUGH)?;
    let all = equal(0..objects, OBJECT_BYTES);
    let asked = |fleet: &Fleet<'_>| -> Result<u64, Error> {
        let before = lab.origin.requests();
        load("the cluster", fleet.addresses(), &all, Choice::Turn, FEW)?;
        Ok(lab.origin.requests() - before)
    };
    let empty = asked(&fleet)?;
    let again = asked(&fleet)?;
    thread::sleep(COPIES_GONE);
    fleet.add()?;
    let newcomer = edges - 1;
    if start == Start::Cold {
        // A purge on one edge, of what nobody has: from now on it does not take what others hold.
        fleet.tell(newcomer, "/v1/purge?tag=nothing")?;
    }
    let after = asked(&fleet)?;
    let mut owned = 0;
    for &object in &all {
        owned += u64::from(holder(&fleet, object)? == format!("eu-{edges}"));
    }
    Ok(Joined { empty, again, after, owned })
}

/// An object that is asked for a hundred times as often as the mean, at eight edges that have room for
/// half of all.
pub(super) fn hot(lab: &Lab<'_>, objects: u64) -> Result<String, Error> {
    const EDGES: usize = 8;
    /// Requests for each object, in the mean, and how many times as many there are for the hot one.
    const MEAN: u64 = 10;
    const TIMES: u64 = 100;
    /// Points of their hit ratio that the others may lose.
    const LOST_MAX: f64 = 2.0;
    let cold = drawn(objects, objects * MEAN);
    let hottest = Object { number: objects, bytes: OBJECT_BYTES };
    // One among so many of the others.
    let every = usize::try_from(objects / TIMES).expect("objects that fit into memory");
    let with_hot = cold.iter().enumerate().flat_map(|(at, object)| {
        std::iter::once(*object).chain(at.is_multiple_of(every).then_some(hottest))
    });
    let with_hot: Vec<Object> = with_hot.collect();
    let each = objects * u64::from(OBJECT_BYTES) / 2 / EDGES as u64;
    let mut table =
        Table::new(["", "requests", "to the origin", "hits of the others, %", "p99, ms"]);
    let (mut hits, mut holders) = (Vec::new(), 0);
    for (name, asked_for) in [("without", &cold), ("with the hot object", &with_hot)] {
        let fleet = Fleet::start(lab, Bond::Ring, (EDGES, EDGES), each)?;
        let before = lab.origin.requests();
        let tally = load(name, fleet.addresses(), asked_for, Choice::Turn, BUSY)?;
        let asked = lab.origin.requests() - before;
        let ratio = (1.0 - asked as f64 / cold.len() as f64) * 100.0;
        hits.push(ratio);
        holders = 0;
        for edge in 0..EDGES {
            let variants = &explain(&fleet, edge, hottest)?["variants"];
            holders += usize::from(variants.as_array().is_some_and(|found| !found.is_empty()));
        }
        let p99 = format!("{:.2}", tally.quantile(0.99).as_secs_f64() * 1e3);
        let (requests, asked) = (tally.requests.to_string(), asked.to_string());
        table.row(vec![name.into(), requests, asked, format!("{ratio:.2}"), p99]);
    }
    let goal = Goal::new("points of their hits that the others lose", hits[0] - hits[1], LOST_MAX);
    Ok(format!(
        "A hot object, {TIMES} times the mean: {holders} of {EDGES} edges hold it at the end:\n\n{}\n{}",
        table.text(),
        report::goals(&[goal])
    ))
}

/// Requests for objects of which the first are asked for more than the last: the number is the product of
/// two equal draws, so that its density falls as the logarithm does.
fn drawn(objects: u64, requests: u64) -> Vec<Object> {
    let mut rng = Rng::new(1);
    let object = |_| {
        let number = rng.below(objects) * rng.below(objects) / objects;
        Object { number, bytes: OBJECT_BYTES }
    };
    (0..requests).map(object).collect()
}

/// How long purges take to reach all edges through an etcd.
pub(super) fn purge(lab: &Lab<'_>, edges: u16) -> Result<String, Error> {
    const PURGES: u64 = 20;
    /// At the 99th percentile, a purge has reached an edge by then.
    const MILLIS_MAX: f64 = 100.0;
    let edges = usize::from(edges);
    let (_etcd, port) = start_etcd(lab)?;
    let fleet = Fleet::start(lab, Bond::Forgetting(port), (edges, edges), 16 << 20)?;
    let (mut millis, mut whole) = (Vec::new(), Vec::new());
    for number in 0..PURGES {
        check_interrupt()?;
        let path = Object { number, bytes: OBJECT_BYTES }.path();
        let began = Instant::now();
        let said = fleet.tell(0, &format!("/v1/purge?url=http://www.example{path}"))?;
        whole.push(began.elapsed().as_secs_f64() * 1e3);
        let unreadable = || Error::Unreadable("eu-1".into());
        let reached = said["edges"].as_array().ok_or_else(unreadable)?;
        if said["done"] != true || reached.len() != edges {
            let count = reached.len();
            return Err(Error::Failed("a purge".into(), format!("it has reached {count} edges")));
        }
        let each = reached.iter().map(|edge| edge["millis"].as_f64().ok_or_else(unreadable));
        millis.extend(each.collect::<Result<Vec<f64>, Error>>()?);
    }
    let mut table = Table::new(["of", "p50, ms", "p99, ms", "longest, ms"]);
    millis.sort_unstable_by(f64::total_cmp);
    whole.sort_unstable_by(f64::total_cmp);
    let goal = Goal::new("p99 of an edge, ms", quantile(&millis, 0.99), MILLIS_MAX);
    for (what, times) in [("an edge", millis), ("the command", whole)] {
        let at = |share| format!("{:.1}", quantile(&times, share));
        table.row(vec![what.into(), at(0.5), at(0.99), at(1.0)]);
    }
    Ok(format!(
        "{PURGES} purges through etcd, {edges} edges:\n\n{}\n{}",
        table.text(),
        report::goals(&[goal])
    ))
}

/// What so large a share of sorted times does not exceed.
fn quantile(times: &[f64], share: f64) -> f64 {
    let wanted = share * times.len() as f64;
    let mut ranked = (1..).zip(times);
    ranked.find(|(rank, _)| f64::from(*rank) >= wanted).map_or(0.0, |(_, time)| *time)
}

fn start_etcd(lab: &Lab<'_>) -> Result<(Process, u16), Error> {
    let unusable = |error| Error::Unusable("etcd cannot be started".into(), error);
    let folder = lab.scratch.memory.join("etcd");
    fs::create_dir_all(&folder).map_err(unusable)?;
    let [client, peer] = free_ports().map_err(unusable)?;
    let (client_url, peer_url) =
        (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    // A fleet's etcd has a machine of its own; on the edges' core it would stand behind a hundred others.
    let mut command = Place::core(OTHER_CORE).command("etcd");
    command.args(["--name", "one", "--listen-client-urls", &client_url]);
    command.args(["--advertise-client-urls", &client_url, "--listen-peer-urls", &peer_url]);
    command.args(["--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &format!("one={peer_url}"), "--data-dir"]);
    command.arg(folder.join("data"));
    let log = folder.join("etcd.log");
    let mut process = Process::start(command, &log).map_err(unusable)?;
    let deadline = Instant::now() + ETCD_LIMIT;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, client));
    while Connection::open(address).and_then(|mut it| it.text("/health")).is_err() {
        if !process.is_running() || Instant::now() > deadline {
            return Err(Error::Silent { name: "etcd".into(), said: last_words(&log) });
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok((process, client))
}
