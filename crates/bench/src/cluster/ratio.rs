//! Hit ratios on traces: the same requests to so many edges, in several ways, with the same memory in sum.

use super::{
    Arguments, Error,
    fleet::{Bond, Fleet, Lab},
    peers::{Balanced, Kind},
    work::{Choice, Listed, of_trace},
};
use crate::host::{check_interrupt, progress};
use nigh_lab::Trace;
use nigh_load::{Load, Object, Pace, Tally};
use std::{net::SocketAddr, time::Duration};

/// Clients at once: few, so that the order of the requests is nearly the trace's; but enough that bounds
/// on what one of eight may have under way are no matter of single requests.
const CLIENTS: usize = 16;

/// All of them have no less than this: beneath, the tables of eight would count.
const ALL_BYTES_MIN: u64 = 16 << 20;

/// Who serves, and how an edge is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Way {
    /// nigh's edges as a cluster, asked in turn
    Ring,
    /// nigh's edges without each other, the client choosing by hash mod N
    Modulo,
    /// nigh's edges without each other, each client keeping to one
    Client,
    /// nginx's caches behind nginx with `hash $uri consistent`
    Nginx,
    /// Varnish behind HAProxy with `hash-type consistent` and `hash-balance-factor`
    Varnish,
}

impl Way {
    pub(super) const ALL: [Self; 5] =
        [Self::Ring, Self::Modulo, Self::Client, Self::Nginx, Self::Varnish];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ring => "nigh, ring",
            Self::Modulo => "nigh, hash mod N",
            Self::Client => "nigh, client's edge",
            Self::Nginx => "nginx, consistent",
            Self::Varnish => "haproxy + varnish",
        }
    }
}

/// One replay.
pub(super) struct Found {
    pub(super) trace: String,
    pub(super) way: Way,
    pub(super) edges: usize,
    pub(super) requests: u64,
    pub(super) origin_requests: u64,
    /// Of edges and balancers, for 100,000 requests.
    pub(super) cpu_seconds: f64,
    pub(super) p99: Duration,
}

impl Found {
    pub(super) fn hit_ratio(&self) -> f64 {
        1.0 - self.origin_requests as f64 / self.requests as f64
    }
}

/// Replays every trace in every way.
pub(super) fn measure(
    lab: &Lab<'_>,
    traces: &[Trace],
    arguments: &Arguments,
) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for trace in traces {
        let (objects, bytes) = of_trace(trace, arguments.requests);
        let all = (bytes * u64::from(arguments.percent) / 100).max(ALL_BYTES_MIN);
        for &edges in &arguments.edges {
            for &way in &arguments.ways {
                check_interrupt()?;
                let edges = usize::from(edges);
                let each = all / edges as u64;
                let one = replay(lab, &trace.name, &objects, way, edges, each)?;
                let (ratio, name) = (one.hit_ratio() * 100.0, way.name());
                progress(&format!("{}, {edges} edges, {name}: {ratio:.2} % hits", trace.name));
                found.push(one);
            }
        }
    }
    Ok(found)
}

fn replay(
    lab: &Lab<'_>,
    trace: &str,
    objects: &[Object],
    way: Way,
    edges: usize,
    each: u64,
) -> Result<Found, Error> {
    // All of them, asked when they have started.
    let run = |addresses, choice, cpu: &dyn Fn() -> f64| -> Result<_, Error> {
        let (cpu_before, before) = (cpu(), lab.origin.requests());
        let tally = load(way.name(), addresses, objects, choice, CLIENTS)?;
        Ok((tally, lab.origin.requests() - before, cpu() - cpu_before))
    };
    let nigh = |bond, choice| {
        let fleet = Fleet::start(lab, bond, (edges, edges), each)?;
        run(fleet.addresses(), choice, &|| fleet.cpu_seconds())
    };
    let balanced = |kind| {
        let peers = Balanced::start(lab, kind, edges, each)?;
        run(vec![peers.address()], Choice::Turn, &|| peers.cpu_seconds())
    };
    let (tally, origin_requests, cpu_seconds) = match way {
        Way::Ring => nigh(Bond::Ring, Choice::Turn)?,
        Way::Modulo => nigh(Bond::Alone, Choice::Modulo(edges))?,
        Way::Client => nigh(Bond::Alone, Choice::Client(edges))?,
        Way::Nginx => balanced(Kind::Nginx)?,
        Way::Varnish => balanced(Kind::Varnish)?,
    };
    Ok(Found {
        trace: trace.to_owned(),
        way,
        edges,
        requests: tally.requests,
        origin_requests,
        cpu_seconds: cpu_seconds / tally.requests as f64 * 1e5,
        p99: tally.quantile(0.99),
    })
}

/// Asks for all of it, and fails if one answer was wrong.
pub(super) fn load(
    whom: &str,
    edges: Vec<SocketAddr>,
    objects: &[Object],
    choice: Choice,
    connections: usize,
) -> Result<Tally, Error> {
    let pace = Pace { connections, rate: None };
    let load = Load::start(edges, Listed::new(objects.to_vec(), choice), pace, 1);
    let load = load.map_err(|error| Error::Unusable("no threads for clients".into(), error))?;
    let tally = load.finish();
    if tally.failed > 0 {
        return Err(Error::Failed(whom.to_owned(), tally.words.join("; ")));
    }
    Ok(tally)
}
