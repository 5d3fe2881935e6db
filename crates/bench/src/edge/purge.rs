//! What a purge costs while many objects are stored: the call itself, and the longest answer that a
//! client sees while it takes effect and while what it concerns is swept out of memory.

use super::{peer::Peer, rate::unique, set::get_all};
use crate::{host::progress, http1::Connection};
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// For how long the client is watched after the call: the sweep is done by then.
const AFTER: Duration = Duration::from_secs(3);
/// Whose objects are purged.
const HOST: &str = "purged.example";
const PREFIXED: &str = "prefixed.example";
const TAGGED: &str = "tagged.example";
const REST: &str = "rest.example";
/// What the client asks for meanwhile.
const WATCHED: &str = "watched.example";

/// One purge.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    /// What was purged.
    pub(crate) what: &'static str,
    /// Objects in memory before.
    pub(crate) objects: f64,
    /// How many of them it concerned.
    pub(crate) gone: f64,
    /// The call, from the request to its answer.
    pub(crate) call: Duration,
    /// The longest of the client's requests from the call's beginning to the sweep's end.
    pub(crate) longest: Duration,
    /// How many it made.
    pub(crate) requests: u32,
}

/// Fills `peer`, which is nigh, with `objects`, and purges them in every way: what none concerns, one
/// URL, and a quarter of them each by prefix, host and tag; then all.
pub(crate) fn measure(peer: &Peer, objects: u32) -> io::Result<Vec<Pause>> {
    let server = peer.server.address();
    let seed = unique();
    let quarter = objects / 4;
    for (host, folder) in [(PREFIXED, "o"), (HOST, "o"), (TAGGED, "tagged"), (REST, "o")] {
        let paths: Vec<String> =
            (0..quarter).map(|number| format!("/{folder}/1k?{seed}-{number}")).collect();
        get_all(server, host, &paths)?;
        progress(&format!("purge: {quarter} objects of {host} are stored"));
    }
    get_all(server, WATCHED, &["/o/1k".to_owned()])?;
    [
        ("a URL that is not there", format!("url=http://{REST}/nothing")),
        ("a prefix that nothing has", format!("prefix=http://{REST}/nothing/")),
        ("a URL", format!("url=http://{REST}/o/1k?{seed}-0")),
        ("a prefix", format!("prefix=http://{PREFIXED}/o/")),
        ("a host", format!("host={HOST}")),
        ("a tag", "tag=tagged".to_owned()),
        ("all", "all".to_owned()),
    ]
    .iter()
    .map(|(what, query)| purge(peer, what, query))
    .collect()
}

fn purge(peer: &Peer, what: &'static str, query: &str) -> io::Result<Pause> {
    let server = peer.server.address();
    let objects = || peer.metric("nigh_store_objects");
    let before = objects()?;
    let done = AtomicBool::new(false);
    let mut admin = Connection::open(peer.admin())?;
    let path = format!("/v1/purge?{}", query.replace('?', "%3F"));
    let (call, longest, requests) = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut connection = Connection::open_to(server, WATCHED.to_owned())?;
            let (mut longest, mut requests) = (Duration::ZERO, 0_u32);
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                connection.get("/o/1k", None)?;
                longest = longest.max(asked.elapsed());
                requests += 1;
            }
            io::Result::Ok((longest, requests))
        });
        let began = Instant::now();
        let said = admin.post(&path);
        let call = began.elapsed();
        thread::sleep(AFTER);
        done.store(true, Ordering::Relaxed);
        let (longest, requests) =
            client.join().unwrap_or_else(|_| Err(io::Error::other("a client panicked")))?;
        let said = said?;
        if !said.contains("\"durable\"") {
            return Err(io::Error::other(format!("no purge: {said}")));
        }
        io::Result::Ok((call, longest, requests))
    })?;
    Ok(Pause { what, objects: before, gone: before - objects()?, call, longest, requests })
}
