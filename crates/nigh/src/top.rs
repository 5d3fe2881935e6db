//! `nigh top`: a running edge, looked at again and again. In a terminal the view is redrawn; elsewhere
//! there is a line each time.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use crate::{
    cli,
    status::{bytes, percent, up_of_all},
};

/// Sites that are shown: the busiest.
const SITES: usize = 10;

/// What edges of a cluster ask each other, as `/v1/status` and a person call it.
const SIBLINGS: [(&str, &str); 5] = [
    ("asked", "asked"),
    ("served", "served"),
    ("spilled", "spilled"),
    ("hedged", "hedged"),
    ("parent_answers", "from the parent"),
];

/// To the first column of the first line, and clear from there (ECMA-48, CUP and ED).
const REDRAW: &str = "\x1b[H\x1b[J";

/// Asks the edge's admin address until it has been asked often enough.
pub(crate) fn run(flags: &cli::Top) -> anyhow::Result<()> {
    let edge = flags.edge.edge()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let redraw = io::stdout().is_terminal() && !flags.edge.json;
    let mut before: Option<Look> = None;
    let mut left = flags.count.map(std::num::NonZero::get);
    runtime.block_on(async {
        // The first look is what the second is compared with.
        let mut ticks = tokio::time::interval(flags.interval);
        loop {
            ticks.tick().await;
            let look = Look::of(&edge.answer(Method::GET, "/v1/status").await?);
            if let Some(before) = &before {
                let view = View::between(before, &look);
                let mut out = io::stdout().lock();
                if flags.edge.json {
                    writeln!(out, "{}", view.json())?;
                } else if redraw {
                    write!(out, "{REDRAW}{}", view.screen())?;
                } else {
                    writeln!(out, "{}", view.line())?;
                }
                out.flush()?;
                left = left.map(|left| left - 1);
            }
            if left == Some(0) {
                return Ok(());
            }
            before = Some(look);
        }
    })
}

/// What was seen at one moment.
#[derive(Debug)]
struct Look {
    when: Instant,
    status: Value,
    /// Requests by site.
    sites: BTreeMap<String, Counts>,
    all: Counts,
    origin_requests: u64,
    /// In the order of [`SIBLINGS`].
    siblings: [u64; SIBLINGS.len()],
}

/// What is counted for one site, or for all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    hits: u64,
    bytes: u64,
}

impl Look {
    fn of(status: &Value) -> Self {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let requests = &status["requests"];
        let all = Counts {
            requests: ["hit", "forwarded", "own"].map(|name| number(&requests[name])).iter().sum(),
            hits: number(&requests["hit"]),
            bytes: number(&status["bytes"]),
        };
        let counts = |of: &Value| Counts {
            requests: number(&of["requests"]),
            hits: number(&of["hits"]),
            bytes: number(&of["bytes"]),
        };
        let sites = status["sites"].as_array().into_iter().flatten();
        let sites = sites
            .map(|site| (site["hosts"][0].as_str().unwrap_or_default().to_owned(), counts(site)));
        let forward = Some(&status["forward"]).filter(|forward| !forward.is_null());
        let forward = forward.map(|forward| ("[forward]".to_owned(), counts(forward)));
        Self {
            when: Instant::now(),
            sites: sites.chain(forward).collect(),
            all,
            origin_requests: number(&status["origin_requests"]),
            siblings: SIBLINGS.map(|(key, _)| number(&status["cluster"]["siblings"][key])),
            status: status.clone(),
        }
    }
}

impl Counts {
    /// What came since; nothing, if the edge was started anew or the site was.
    const fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            hits: self.hits.saturating_sub(before.hits),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

/// What happened between two looks.
#[derive(Debug)]
struct View<'l> {
    over: Duration,
    status: &'l Value,
    all: Counts,
    origin_requests: u64,
    /// In the order of [`SIBLINGS`].
    siblings: [u64; SIBLINGS.len()],
    /// The busiest first.
    sites: Vec<(&'l str, Counts)>,
}

impl<'l> View<'l> {
    fn between(before: &Look, after: &'l Look) -> Self {
        let mut sites: Vec<(&str, Counts)> = after
            .sites
            .iter()
            .map(|(name, counts)| {
                let then = before.sites.get(name).copied().unwrap_or_default();
                (name.as_str(), counts.since(then))
            })
            .filter(|(_, counts)| counts.requests > 0)
            .collect();
        sites.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.requests));
        sites.truncate(SITES);
        Self {
            over: after.when.saturating_duration_since(before.when),
            status: &after.status,
            all: after.all.since(before.all),
            origin_requests: after.origin_requests.saturating_sub(before.origin_requests),
            siblings: std::array::from_fn(|at| {
                after.siblings[at].saturating_sub(before.siblings[at])
            }),
            sites,
        }
    }

    /// So many a second.
    fn rate(&self, count: u64) -> u64 {
        let millis = self.over.as_millis().max(1);
        u64::try_from(u128::from(count) * 1000 / millis).unwrap_or(u64::MAX)
    }

    fn room(&self, name: &str) -> String {
        let number = |key: &str| self.status[name][key].as_u64().unwrap_or(0);
        let (used, ceiling) = (number("used_bytes"), number("ceiling_bytes"));
        format!("{} of {} ({})", bytes(used), bytes(ceiling), percent(used, ceiling))
    }

    /// What edges ask each other in a second, where this one is in a cluster.
    fn siblings(&self) -> Option<String> {
        let said = SIBLINGS.iter().zip(self.siblings);
        let said = said.map(|((_, what), count)| format!("{} {what}", self.rate(count)));
        let said: Vec<String> = said.collect();
        (!self.status["cluster"].is_null()).then(|| said.join(", "))
    }

    fn line(&self) -> String {
        let Self { all, status, .. } = self;
        let siblings = self
            .siblings()
            .map(|said| format!("; {}; siblings/s: {said}", up_of_all(&status["cluster"])));
        let used = |name: &str| bytes(status[name]["used_bytes"].as_u64().unwrap_or(0));
        format!(
            "{} requests/s, {} hits, {}/s, {} origin requests/s, {} connections, memory {}, disk {}{}",
            self.rate(all.requests),
            percent(all.hits, all.requests),
            bytes(self.rate(all.bytes)),
            self.rate(self.origin_requests),
            status["connections"],
            used("store"),
            used("disk"),
            siblings.unwrap_or_default(),
        )
    }

    fn screen(&self) -> String {
        let Self { all, status, .. } = self;
        let name = status["name"].as_str().unwrap_or_default();
        let mut out = format!(
            "{name}: {} connections, up {} s\n\n",
            status["connections"], status["uptime_seconds"]
        );
        for (what, value) in [
            ("requests/s", self.rate(all.requests).to_string()),
            ("hits", percent(all.hits, all.requests)),
            ("sent/s", bytes(self.rate(all.bytes))),
            ("origin/s", self.rate(self.origin_requests).to_string()),
            ("memory", self.room("store")),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{what:<12} {value}");
        }
        if !status["disk"].is_null() {
            let _ = writeln!(out, "{:<12} {}", "disk", self.room("disk"));
        }
        if let Some(said) = self.siblings() {
            let _ = writeln!(out, "{:<12} {}", "cluster", up_of_all(&status["cluster"]));
            let _ = writeln!(out, "{:<12} {said}", "siblings/s");
        }
        let _ = writeln!(out, "\n{:>12} {:>9} {:>12}  site", "requests/s", "hits", "sent/s");
        for (site, counts) in &self.sites {
            let _ = writeln!(
                out,
                "{:>12} {:>9} {:>12}  {site}",
                self.rate(counts.requests),
                percent(counts.hits, counts.requests),
                bytes(self.rate(counts.bytes)),
            );
        }
        out
    }

    fn json(&self) -> Value {
        let counts = |counts: &Counts| json!({ "requests": counts.requests, "hits": counts.hits, "bytes": counts.bytes });
        let sites = self.sites.iter().map(|(name, of)| ((*name).to_owned(), counts(of)));
        let siblings = SIBLINGS.iter().zip(self.siblings);
        let siblings = siblings.map(|((key, _), count)| ((*key).to_owned(), Value::from(count)));
        let cluster = &self.status["cluster"];
        let cluster = (!cluster.is_null()).then(|| {
            let siblings = siblings.collect::<serde_json::Map<_, _>>();
            json!({ "edges": cluster["edges"], "siblings": siblings })
        });
        json!({
            "milliseconds": u64::try_from(self.over.as_millis()).unwrap_or(u64::MAX),
            "all": counts(&self.all),
            "origin_requests": self.origin_requests,
            "connections": self.status["connections"],
            "memory_bytes": self.status["store"]["used_bytes"],
            "disk_bytes": self.status["disk"]["used_bytes"],
            "cluster": cluster,
            "sites": sites.collect::<serde_json::Map<_, _>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(hits: u64, busy: u64, start: Instant, millis: u64) -> Look {
        let status = json!({
            "name": "eu-1", "connections": 2, "uptime_seconds": 9, "bytes": hits * 1024,
            "requests": { "hit": hits, "forwarded": 1, "own": 0 }, "origin_requests": 1,
            "store": { "used_bytes": 512, "ceiling_bytes": 1024 }, "disk": null,
            "sites": [
                { "hosts": ["idle"], "requests": 5, "hits": 5, "bytes": 0 },
                { "hosts": ["busy"], "requests": busy, "hits": 0, "bytes": 0 },
                { "hosts": ["some"], "requests": hits, "hits": hits, "bytes": hits * 1024 },
            ],
        });
        Look { when: start + Duration::from_millis(millis), ..Look::of(&status) }
    }

    #[test]
    fn rates_are_what_came_between_two_looks_by_the_second() {
        let start = Instant::now();
        let (before, after) = (look(100, 10, start, 0), look(300, 1010, start, 2000));
        let view = View::between(&before, &after);
        assert_eq!(
            view.line(),
            "100 requests/s, 100.0 % hits, 100.0 KiB/s, 0 origin requests/s, 2 connections, \
             memory 512 B, disk 0 B"
        );
        let names: Vec<&str> = view.sites.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["busy", "some"], "the busiest first, and none that is idle");
        let screen = view.screen();
        assert!(screen.contains("memory       512 B of 1.0 KiB (50.0 %)\n"), "{screen}");
        assert!(screen.contains("         500     0.0 %          0 B  busy\n"), "{screen}");
    }

    #[test]
    fn in_a_cluster_what_edges_ask_each_other_is_told_too() {
        let look = |millis: u64| {
            let siblings = json!({ "asked": 10 * millis, "served": millis, "spilled": 1,
                                   "hedged": 2, "parent_answers": millis / 2 });
            let edges =
                json!([{ "name": "us-1", "state": "up" }, { "name": "us-2", "state": "down" }]);
            let status = json!({ "cluster": { "edges": edges, "siblings": siblings } });
            Look::of(&status)
        };
        let (before, after) = (look(0), look(2000));
        let after = Look { when: before.when + Duration::from_secs(2), ..after };
        let view = View::between(&before, &after);
        let said = "10000 asked, 1000 served, 0 spilled, 0 hedged, 500 from the parent";
        assert!(view.line().ends_with(&format!("; 1 of 2 edges up; siblings/s: {said}")));
        let screen = view.screen();
        assert!(screen.contains("cluster      1 of 2 edges up\n"), "{screen}");
        assert!(screen.contains(&format!("siblings/s   {said}\n")), "{screen}");
        let cluster = &view.json()["cluster"];
        assert_eq!(
            (&cluster["siblings"]["asked"], &cluster["edges"][1]["state"]),
            (&json!(20_000), &json!("down"))
        );
    }

    #[test]
    fn an_edge_that_was_started_anew_has_done_nothing_yet() {
        let start = Instant::now();
        let view_of = (look(100, 10, start, 0), look(3, 1, start, 1000));
        let view = View::between(&view_of.0, &view_of.1);
        assert_eq!((view.all.requests, view.sites.len()), (0, 0));
    }
}
