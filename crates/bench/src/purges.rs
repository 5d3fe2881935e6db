//! What a purge rule costs in a store of millions of objects: the call that adds it, the look-ups that
//! find out, and the steps that sweep out what it concerns. `cargo xtask bench purges`.
//!
//! The store alone, within this process: `bench edge --tests purge` has the whole way with fewer.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use nigh_base::{ByteSize, Wall};
use nigh_cache::{
    directives::ResponseDirectives,
    flight::Head,
    freshness::Terms,
    key::{self, Scheme},
    purge::{Rule, What},
    store::{Boarding, Course, SWEPT, Settings, Store, Sweep},
};

use crate::{
    host::{check_interrupt, progress},
    markdown::Table,
};

/// Bytes of a body, and what an object takes at most with all that belongs to it.
const BODY: usize = 64;
const OBJECT_MAX: u64 = 1024;

/// Objects between two lines of progress.
const PROGRESS: u32 = 1_000_000;

/// Look-ups after each rule, the longest of which counts.
const LOOKUPS: u32 = 10_000;

const HOSTS: [&str; 4] = ["prefixed.example", "host.example", "tagged.example", "rest.example"];

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Objects in the store
    #[arg(long, default_value_t = 10_000_000)]
    objects: u32,
}

/// Fills a store, purges a quarter of it by prefix, by host and by tag, and then all of it.
pub(crate) fn run(arguments: &Arguments) -> Result<String, Box<dyn Error>> {
    let ceiling = ByteSize::new(u64::from(arguments.objects) * OBJECT_MAX);
    let store = Store::new(Settings::new(ceiling, 1));
    let mut quarters = HOSTS.iter().cycle();
    for number in 0..arguments.objects {
        put(&store, quarters.next().expect("it goes round"), number);
        if (number + 1) % PROGRESS == 0 {
            check_interrupt()?;
            progress(&format!("purges: {} objects are stored", number + 1));
        }
    }
    let rules = [
        ("a prefix that nothing has", What::Prefix(b"http://rest.example/nothing/"[..].into())),
        ("a prefix", What::Prefix(b"http://prefixed.example/o/"[..].into())),
        ("a host", What::Host(b"host.example"[..].into())),
        ("a tag", What::Tag(b"tagged"[..].into())),
        ("all", What::All),
    ];
    let mut table =
        Table::new(["rule", "objects", "call us", "look-up us", "step us", "longest", "steps"]);
    for (name, what) in rules {
        check_interrupt()?;
        let objects = store.statistics().objects;
        let began = Instant::now();
        store.purge(Rule { what, soft: false, at: now() });
        let call = began.elapsed();
        let lookup = (0..LOOKUPS).map(|number| look_up(&store, number)).max().unwrap_or_default();
        let mut sweep = Sweep::default();
        let mut steps = Vec::new();
        let mut done = false;
        while !done {
            let began = Instant::now();
            done = store.sweep(&mut sweep, SWEPT);
            steps.push(began.elapsed());
        }
        steps.sort_unstable();
        let (median, longest) = (steps[steps.len() / 2], steps[steps.len() - 1]);
        let micros = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e6);
        let times = [call, lookup, median, longest].map(micros);
        let counts = [vec![name.to_owned(), objects.to_string()], vec![steps.len().to_string()]];
        table.row([&counts[0], &times[..], &counts[1]].concat());
    }
    let left = store.statistics().objects;
    Ok(format!("{}\n{left} objects are left.\n", table.text()))
}

fn now() -> Wall {
    Wall::from_secs(1_000)
}

fn write_key(host: &str, number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    key::write(Scheme::Http, host, &format!("/o/{number}"), &mut out);
    out
}

fn put(store: &Arc<Store>, host: &str, number: u32) {
    let mut fields = HeaderMap::new();
    fields.insert("cache-control", HeaderValue::from_static("max-age=86400"));
    if host == "tagged.example" {
        fields.insert("cache-tag", HeaderValue::from_static("tagged"));
    }
    let directives = ResponseDirectives::parse(&fields);
    let key = write_key(host, number);
    if let Boarding::First(reader, mut pilot) =
        store.board(store.key(&key), b"", None, Course::Onward)
    {
        pilot.head(Head {
            status: StatusCode::OK,
            terms: Terms::new(now(), now(), StatusCode::OK, &fields, &directives),
            fields,
            for_first: HeaderMap::new(),
            length: Some(BODY as u64),
            announced: None,
            stored: Ok(()),
            vary: [].into(),
            selecting: [].into(),
            from_store: false,
            passing: false,
        });
        pilot.push(&Bytes::from_static(&[b'x'; BODY]));
        pilot.land(None);
        drop(reader);
    }
}

/// One look-up, of an object of each host in turn.
fn look_up(store: &Arc<Store>, number: u32) -> Duration {
    let host = HOSTS[number as usize % HOSTS.len()];
    let key = write_key(host, number);
    let none = HeaderMap::new();
    let began = Instant::now();
    std::hint::black_box(store.find(store.key(&key), &none, &mut Vec::new()));
    began.elapsed()
}
