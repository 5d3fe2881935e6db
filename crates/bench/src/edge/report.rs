//! The findings as tables for people, or as one JSON document.

use super::{
    Finding, Row, Test,
    collapse::{CLIENTS, Try},
    goals::{Verdict, judge, median, middle},
    memory::Fill,
    peer::Kind,
    purge::Pause,
    rate::Sample,
    start::{Start, Starts},
};
use crate::markdown::Table;
use serde_json::{Value, json};
use std::time::Duration;

const RATE_HEADINGS: [&str; 16] = [
    "CPU-s/100k",
    "min-max",
    "CPU-s/GiB",
    "req/s",
    "p50 ms",
    "p99 ms",
    "Gbit/s",
    "peer CPU",
    "load CPU",
    "origin CPU",
    "other CPU",
    "origin reqs",
    "device MiB",
    "errors",
    "CPU/nigh",
    "runs",
];
const COLLAPSE_HEADINGS: [&str; 4] = ["origin requests", "served", "first s", "last s"];
const MEMORY_HEADINGS: [&str; 5] =
    ["before, MiB", "after, MiB", "bytes an object", "tmpfs and kernel", "lost"];
const START_HEADINGS: [&str; 6] = [
    "objects",
    "index bytes an object",
    "first answer ms, warm/cold/killed",
    "all found s, warm",
    "cold",
    "killed",
];
const PURGE_HEADINGS: [&str; 6] =
    ["purge of", "objects", "swept in 3 s", "call ms", "longest answer ms", "answers"];

/// Tables for people.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for (test, findings) in rows {
        let name = test.name();
        let headings: &[&str] = match test {
            Test::Collapse => &COLLAPSE_HEADINGS,
            Test::Memory => &MEMORY_HEADINGS,
            Test::Start => &START_HEADINGS,
            Test::Purge => &PURGE_HEADINGS,
            _ => &RATE_HEADINGS,
        };
        let mut table = Table::new([name.as_str()].into_iter().chain(headings.iter().copied()));
        for (kind, finding) in findings {
            let lines = match finding {
                Finding::Rate(samples) => vec![rate(samples, nigh_cpu(findings))],
                Finding::Collapse(tries) => vec![collapse(tries)],
                Finding::Memory(fill) => vec![memory(fill)],
                Finding::Start(starts) => vec![start(starts)],
                Finding::Purge(pauses) => pauses.iter().map(purge).collect(),
                Finding::Failed(_) => vec![vec!["failed".to_owned()]],
            };
            for line in lines {
                let mut cells = vec![kind.to_string()];
                cells.extend(line);
                cells.resize(headings.len() + 1, String::new());
                table.row(cells);
            }
        }
        text.push_str(&table.text());
        for (kind, finding) in findings {
            if let Finding::Failed(reason) = finding {
                text.push_str(&format!("{kind}: {reason}\n"));
            }
        }
        text.push('\n');
    }
    let verdicts = judge(rows);
    if !verdicts.is_empty() {
        text.push_str(&goals(&verdicts));
    }
    text
}

fn nigh_cpu(findings: &[(Kind, Finding)]) -> Option<f64> {
    let nigh = findings.iter().find(|(kind, _)| *kind == Kind::Nigh)?;
    let Finding::Rate(samples) = &nigh.1 else { return None };
    Some(median(samples, Sample::cpu_seconds_per_100k))
}

fn rate(samples: &[Sample], nigh: Option<f64>) -> Vec<String> {
    let costs = || samples.iter().map(Sample::cpu_seconds_per_100k);
    let (least, most) = (costs().fold(f64::MAX, f64::min), costs().fold(0.0, f64::max));
    let cost = median(samples, Sample::cpu_seconds_per_100k);
    let percent = |of: fn(&Sample) -> f64| format!("{:.0}%", median(samples, of) * 100.0);
    vec![
        figure(cost),
        format!("{}-{}", figure(least), figure(most)),
        format!("{:.3}", median(samples, Sample::cpu_seconds_per_gib)),
        format!("{:.0}", median(samples, Sample::rate)),
        format!("{:.2}", median(samples, |sample| sample.outcome.p50_ms)),
        format!("{:.2}", median(samples, |sample| sample.outcome.p99_ms)),
        format!("{:.2}", median(samples, Sample::gigabits_per_second)),
        percent(|sample| sample.busy),
        percent(|sample| sample.load_busy),
        percent(|sample| sample.origin_busy),
        percent(|sample| sample.others_busy),
        format!("{:.0}", median(samples, |sample| sample.origin_requests)),
        format!("{:.0}", median(samples, |sample| sample.device_bytes / 1024.0 / 1024.0)),
        format!("{:.0}", samples.iter().map(|sample| sample.outcome.errors).sum::<f64>()),
        nigh.map_or_else(String::new, |nigh| format!("{:.2}", cost / nigh)),
        samples.len().to_string(),
    ]
}

/// Three digits at least.
fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn collapse(tries: &[Try]) -> Vec<String> {
    let all = |of: fn(&Try) -> String| tries.iter().map(of).collect::<Vec<_>>().join(" ");
    let seconds = |of: fn(&Try) -> f64| format!("{:.2}", middle(tries.iter().map(of).collect()));
    vec![
        all(|it| it.origin_requests.to_string()),
        all(|it| it.served.to_string()),
        seconds(|it| it.first.as_secs_f64()),
        seconds(|it| it.last.as_secs_f64()),
    ]
}

fn memory(fill: &Fill) -> Vec<String> {
    let mib = |bytes: f64| format!("{:.0}", bytes / 1024.0 / 1024.0);
    // Who grows by less than the bodies has taken its memory at its start: nothing is seen.
    let holds = fill.own_bytes - fill.own_bytes_before + fill.shared_bytes > fill.objects * 1024.0;
    vec![
        mib(fill.own_bytes_before),
        mib(fill.own_bytes),
        if holds { format!("{:.0}", fill.bytes_per_object()) } else { "-".to_owned() },
        format!("{:.0}", fill.shared_bytes / fill.objects),
        format!("{:.0} of {:.0}", fill.lost, fill.checked),
    ]
}

fn start(starts: &Starts) -> Vec<String> {
    let ways = [&starts.warm, &starts.cold, &starts.killed];
    let seconds = |starts: &[Start], of: fn(&Start) -> Duration| {
        middle(starts.iter().map(|start| of(start).as_secs_f64()).collect())
    };
    let first = ways.map(|it| format!("{:.0}", seconds(it, |start| start.first) * 1e3));
    let found = ways.map(|it| format!("{:.2}", seconds(it, |start| start.found)));
    let mut cells = vec![
        format!("{:.0}", starts.objects),
        format!("{:.1}", starts.index_bytes_per_object()),
        first.join("/"),
    ];
    cells.extend(found);
    cells
}

fn purge(pause: &Pause) -> Vec<String> {
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    vec![
        pause.what.to_owned(),
        format!("{:.0}", pause.objects),
        format!("{:.0}", pause.gone),
        ms(pause.call),
        ms(pause.longest),
        pause.requests.to_string(),
    ]
}

fn goals(verdicts: &[Verdict]) -> String {
    let mut table = Table::new(["goal", "peer", "ratio", "at most", "met"]);
    for verdict in verdicts {
        let digits = if verdict.at_most < 10.0 { 2 } else { 0 };
        table.row(vec![
            verdict.what.clone(),
            verdict.peer.map_or_else(|| "(absolute)".to_owned(), |kind| kind.to_string()),
            format!("{:.digits$}", verdict.figure),
            format!("{:.digits$}", verdict.at_most),
            if verdict.is_met() { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table.text()
}

/// One document for programs.
pub(crate) fn json(rows: &[Row]) -> String {
    let tests = rows.iter().map(|(test, findings)| {
        let peers =
            findings.iter().map(|(kind, finding)| (kind.to_string(), finding_json(finding)));
        (test.name(), Value::Object(peers.collect()))
    });
    let goals: Vec<Value> = judge(rows)
        .iter()
        .map(|verdict| {
            json!({
                "goal": verdict.what,
                "peer": verdict.peer.map(|kind| kind.to_string()),
                "figure": verdict.figure,
                "at_most": verdict.at_most,
                "met": verdict.is_met(),
            })
        })
        .collect();
    format!("{:#}\n", json!({ "tests": Value::Object(tests.collect()), "goals": goals }))
}

fn finding_json(finding: &Finding) -> Value {
    match finding {
        Finding::Failed(reason) => json!({ "failed": reason }),
        Finding::Memory(fill) => json!({
            "objects": fill.objects,
            "own_bytes_before": fill.own_bytes_before,
            "own_bytes": fill.own_bytes,
            "bytes_per_object": fill.bytes_per_object(),
            "tmpfs_and_kernel_bytes": fill.shared_bytes,
            "lost": fill.lost,
            "checked": fill.checked,
        }),
        Finding::Collapse(tries) => {
            let one = |it: &Try| {
                json!({
                    "clients": CLIENTS,
                    "origin_requests": it.origin_requests,
                    "served": it.served,
                    "first_s": it.first.as_secs_f64(),
                    "last_s": it.last.as_secs_f64(),
                })
            };
            json!({ "runs": tries.iter().map(one).collect::<Vec<_>>() })
        }
        Finding::Start(starts) => {
            let one = |start: &Start| {
                json!({
                    "first_s": start.first.as_secs_f64(),
                    "found_s": start.found.as_secs_f64(),
                    "objects": start.objects,
                })
            };
            let all = |starts: &[Start]| starts.iter().map(one).collect::<Vec<_>>();
            json!({
                "objects": starts.objects,
                "index_bytes_per_object": starts.index_bytes_per_object(),
                "warm": all(&starts.warm),
                "cold": all(&starts.cold),
                "killed": all(&starts.killed),
            })
        }
        Finding::Purge(pauses) => {
            let one = |pause: &Pause| {
                json!({
                    "what": pause.what,
                    "objects": pause.objects,
                    "gone": pause.gone,
                    "call_s": pause.call.as_secs_f64(),
                    "longest_s": pause.longest.as_secs_f64(),
                    "requests": pause.requests,
                })
            };
            json!({ "purges": pauses.iter().map(one).collect::<Vec<_>>() })
        }
        Finding::Rate(samples) => {
            let one = |sample: &Sample| {
                json!({
                    "cpu_s_per_100k": sample.cpu_seconds_per_100k(),
                    "cpu_s_per_gib": sample.cpu_seconds_per_gib(),
                    "requests": sample.outcome.requests,
                    "requests_per_s": sample.rate(),
                    "p50_ms": sample.outcome.p50_ms,
                    "p99_ms": sample.outcome.p99_ms,
                    "gbit_per_s": sample.gigabits_per_second(),
                    "peer_cpu": sample.busy,
                    "load_cpu": sample.load_busy,
                    "origin_cpu": sample.origin_busy,
                    "other_cpu": sample.others_busy,
                    "origin_requests": sample.origin_requests,
                    "device_bytes": sample.device_bytes,
                    "errors": sample.outcome.errors,
                })
            };
            json!({
                "cpu_s_per_100k": median(samples, Sample::cpu_seconds_per_100k),
                "requests_per_s": median(samples, Sample::rate),
                "p99_ms": median(samples, |sample| sample.outcome.p99_ms),
                "runs": samples.iter().map(one).collect::<Vec<_>>(),
            })
        }
    }
}
