//! `nigh status`: how a running edge is, in words.

use std::{fmt::Write as _, io::Write};

use http::Method;
use nigh_base::ByteSize;
use serde_json::Value;

use crate::cli;

/// Asks the edge's admin address and prints what it says.
pub(crate) fn run(flags: &cli::Status) -> anyhow::Result<()> {
    let status = flags.edge.edge()?.ask(Method::GET, "/v1/status")?;
    let mut out = std::io::stdout().lock();
    if flags.edge.json {
        writeln!(out, "{status}")?;
    } else {
        out.write_all(in_words(&status).as_bytes())?;
    }
    Ok(())
}

fn in_words(status: &Value) -> String {
    let mut out = String::new();
    let version = status["version"].as_str().unwrap_or_default();
    let name = status["name"].as_str().unwrap_or_default();
    let ending = if status["draining"] == true { ", ending" } else { "" };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name}: nigh {version}, up {}{ending}", up(&status["uptime_seconds"]));
    let listen: Vec<&str> =
        status["listen"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let _ = writeln!(out, "listens   {}", listen.join(", "));
    let _ = writeln!(out, "clients   {} connections", status["connections"]);
    let _ = writeln!(out, "requests  {}", requests(&status["requests"], "since the start"));
    let recent = &status["recent"];
    if let Some(seconds) = recent["seconds"].as_u64() {
        let over = format!("in the last {seconds} s");
        let _ = writeln!(out, "          {}", requests(&recent["requests"], &over));
    }
    let failures = &status["origin_failures"];
    let _ = writeln!(out, "origins   {} requests, {failures} failed", status["origin_requests"]);
    let _ = writeln!(out, "memory    {}", room(&status["store"]));
    if !status["disk"].is_null() {
        let _ = writeln!(out, "disk      {}", room(&status["disk"]));
    }
    for site in status["sites"].as_array().into_iter().flatten() {
        out += &self::site(site);
    }
    let forward = &status["forward"];
    if !forward.is_null() {
        let hits = percent(number(&forward["hits"]), number(&forward["requests"]));
        let (requests, tunnels) = (&forward["requests"], &forward["tunnels"]);
        let _ = writeln!(out, "forward   {requests} requests, {hits} hits; {tunnels} tunnels");
    }
    out += &cluster(&status["cluster"]);
    let waiting: Vec<&str> = status["waiting_for_restart"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !waiting.is_empty() {
        let _ = writeln!(out, "restart   for {}", waiting.join(", "));
    }
    out + &shared(&status["shared"])
}

/// The settings of all edges, where there is control state.
fn shared(shared: &Value) -> String {
    if shared.is_null() {
        return String::new();
    }
    let mut out = match shared["revision"].as_u64() {
        Some(revision) => format!("settings  revision {revision} of control state\n"),
        None => "settings  this edge's own: control state has none\n".to_owned(),
    };
    if shared["passes_by_own"] == true {
        out += "          its own sites are passed by\n";
    }
    if let Some(problem) = shared["problem"].as_str() {
        let revision = &shared["refused_revision"];
        let _ = writeln!(out, "          CANNOT USE revision {revision}: {problem}");
    }
    out
}

/// The edges of a cluster, what they have asked each other, and how this one stands with control state.
fn cluster(cluster: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = String::new();
    let Some(name) = cluster["name"].as_str() else { return out };
    let parent = cluster["parent"].as_str().map(|parent| format!(", parent {parent}"));
    let (parent, up) = (parent.unwrap_or_default(), up_of_all(cluster));
    let changes = &cluster["ring_changes"];
    let _ = writeln!(out, "cluster   {name}{parent}: {up}, {changes} changes of the ring");
    for edge in edges(cluster) {
        let own = if edge["own"] == true { " (this one)" } else { "" };
        let ring = match edge["on_ring"] == true {
            true => format!("{:.1} % of the ring", 100.0 * edge["share"].as_f64().unwrap_or(0.0)),
            false => "not on the ring".to_owned(),
        };
        let (name, state, load) = (text(&edge["name"]), text(&edge["state"]), &edge["load"]);
        let _ = writeln!(out, "  edge    {name}{own} {state}, {ring}, load {load}");
    }
    let of = |key: &str| number(&cluster["siblings"][key]);
    let _ = writeln!(
        out,
        "siblings  {} asked, {} failed, {} hedged; {} spilled; {} served; {} from the parent",
        of("asked"),
        of("failed"),
        of("hedged"),
        of("spilled"),
        of("served"),
        of("parent_answers")
    );
    let control = &cluster["control"];
    if !control.is_null() {
        let heard = match control["heard"] == true {
            true => "heard",
            false => "NOT HEARD, so what is stored is validated",
        };
        let _ = writeln!(out, "control   {heard}; purges up to {}", control["purge"]);
    }
    out
}

fn edges(cluster: &Value) -> impl Iterator<Item = &Value> {
    cluster["edges"].as_array().into_iter().flatten()
}

/// How many edges of a cluster are up, in words.
pub(crate) fn up_of_all(cluster: &Value) -> String {
    let up = edges(cluster).filter(|edge| edge["state"] == "up").count();
    format!("{up} of {} edges up", edges(cluster).count())
}

fn site(site: &Value) -> String {
    let hosts: Vec<&str> =
        site["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let hits = percent(number(&site["hits"]), number(&site["requests"]));
    let mut out =
        format!("site      {}: {} requests, {hits} hits\n", hosts.join(" "), site["requests"]);
    for origin in site["origins"].as_array().into_iter().flatten() {
        let state = if origin["up"] == true { "up" } else { "DOWN" };
        let url = origin["url"].as_str().unwrap_or_default();
        let (up, all) = (&origin["workers_up"], &origin["workers"]);
        let _ = writeln!(out, "  origin  {url} {state} ({up} of {all} workers see it up)");
    }
    out
}

fn requests(requests: &Value, over: &str) -> String {
    let of = |name: &str| number(&requests[name]);
    let all = of("hit") + of("forwarded") + of("own");
    format!("{all} {over}, {} hits", percent(of("hit"), all))
}

fn room(room: &Value) -> String {
    let (used, ceiling) = (number(&room["used_bytes"]), number(&room["ceiling_bytes"]));
    let objects = &room["objects"];
    format!("{} of {}, {objects} objects", bytes(used), ByteSize::new(ceiling))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A share, with one digit behind the point; `-` of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => {
            let tenths = u128::from(part) * 1000 / u128::from(whole);
            format!("{}.{} %", tenths / 10, tenths % 10)
        }
    }
}

/// Bytes in the largest unit of which there is one, with one digit behind the point.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

fn up(seconds: &Value) -> String {
    let seconds = number(seconds);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_told_in_words() {
        let status = json!({
            "version": "1", "name": "eu-1", "uptime_seconds": 3_700, "draining": false,
            "listen": ["http://127.0.0.1:80"], "connections": 3,
            "requests": { "hit": 997, "forwarded": 2, "own": 1 },
            "recent": { "seconds": 60, "requests": { "hit": 0, "forwarded": 0, "own": 0 } },
            "origin_requests": 2, "origin_failures": 1,
            "store": { "objects": 7, "used_bytes": 1_600, "ceiling_bytes": 1 << 30 }, "disk": null,
            "sites": [{ "hosts": ["a", "b"], "requests": 9, "hits": 3, "origins": [
                { "url": "http://o", "up": false, "workers": 4, "workers_up": 1 }] }],
            "forward": { "requests": 4, "hits": 1, "bytes": 9, "tunnels": 2 },
            "cluster": { "name": "eu", "parent": null, "ring_changes": 3, "edges": [
                { "name": "eu-1", "own": true, "state": "up", "on_ring": true, "share": 1.0,
                  "load": 7 },
                { "name": "eu-2", "own": false, "state": "down", "on_ring": false, "share": 0.0,
                  "load": 0 }],
                "siblings": { "asked": 9, "failed": 1, "hedged": 2, "spilled": 3, "served": 4,
                              "parent_answers": 0 },
                "control": null },
            "waiting_for_restart": ["cache.memory"],
        });
        assert_eq!(
            in_words(&status),
            "eu-1: nigh 1, up 1 h 1 min\n\
             listens   http://127.0.0.1:80\n\
             clients   3 connections\n\
             requests  1000 since the start, 99.7 % hits\n\
             \x20         0 in the last 60 s, - hits\n\
             origins   2 requests, 1 failed\n\
             memory    1.5 KiB of 1GiB, 7 objects\n\
             site      a b: 9 requests, 33.3 % hits\n\
             \x20 origin  http://o DOWN (1 of 4 workers see it up)\n\
             forward   4 requests, 25.0 % hits; 2 tunnels\n\
             cluster   eu: 1 of 2 edges up, 3 changes of the ring\n\
             \x20 edge    eu-1 (this one) up, 100.0 % of the ring, load 7\n\
             \x20 edge    eu-2 down, not on the ring, load 0\n\
             siblings  9 asked, 1 failed, 2 hedged; 3 spilled; 4 served; 0 from the parent\n\
             restart   for cache.memory\n"
        );
    }

    #[test]
    fn of_a_cluster_the_parent_is_told_and_whether_control_state_is_heard() {
        let said = |heard| {
            cluster(&json!({
                "name": "us", "parent": "eu", "ring_changes": 0, "edges": [
                    { "name": "us-1", "own": true, "state": "draining", "on_ring": false },
                    { "name": "us-2", "own": false, "state": "suspect", "on_ring": true,
                      "share": 0.334, "load": 2 }],
                "siblings": { "asked": 1, "parent_answers": 5 },
                "control": { "heard": heard, "purge": 17 },
            }))
        };
        let heard = said(true);
        assert!(
            heard.starts_with("cluster   us, parent eu: 0 of 2 edges up, 0 changes"),
            "{heard}"
        );
        assert!(heard.contains("  edge    us-2 suspect, 33.4 % of the ring, load 2\n"), "{heard}");
        assert!(heard.contains("; 5 from the parent\n"), "{heard}");
        assert!(heard.ends_with("control   heard; purges up to 17\n"), "{heard}");
        let not = "control   NOT HEARD, so what is stored is validated; purges up to 17\n";
        assert!(said(false).ends_with(not));
    }

    #[test]
    fn the_settings_of_all_are_told_where_there_are_some() {
        assert_eq!(shared(&Value::Null), "");
        let runs = json!({ "revision": 7, "passes_by_own": false, "problem": null });
        assert_eq!(shared(&runs), "settings  revision 7 of control state\n");
        let refuses = json!({ "revision": null, "passes_by_own": true, "refused_revision": 8,
                              "problem": "no key" });
        assert_eq!(
            shared(&refuses),
            "settings  this edge's own: control state has none\n\
             \x20         its own sites are passed by\n\
             \x20         CANNOT USE revision 8: no key\n"
        );
    }

    #[test]
    fn shares_and_sizes_have_one_digit_behind_the_point() {
        assert_eq!([percent(1, 3), percent(0, 0), percent(5, 5)], ["33.3 %", "-", "100.0 %"]);
        assert_eq!([bytes(0), bytes(1023), bytes(1536)], ["0 B", "1023 B", "1.5 KiB"]);
        assert_eq!([bytes(u64::MAX), bytes(3 << 20)], ["16777215.9 TiB", "3.0 MiB"]);
    }
}
