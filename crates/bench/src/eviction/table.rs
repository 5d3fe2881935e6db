//! The figures as Markdown tables that a terminal shows well, or as JSON.

use super::{Row, cost::Cost, replay::Ratios};
use nigh_base::ByteSize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

/// The policy that knows the future; others are weighed against it.
const ORACLE: &str = "Belady";

/// Tables for people.
pub(crate) fn text(rows: &[Row], costs: &[Cost]) -> String {
    let mut out = String::new();
    write_text(&mut out, rows, costs).expect("a string takes what is written to it");
    out
}

fn write_text(out: &mut String, rows: &[Row], costs: &[Cost]) -> fmt::Result {
    ratios(out, "Object hit ratio", rows, |ratios| ratios.objects)?;
    ratios(out, "Byte hit ratio", rows, |ratios| ratios.bytes)?;
    writeln!(out, "Lower-case names are nigh's, the others libcachesim's. Ceiling: a cache")?;
    writeln!(out, "without limit. A size without a unit counts objects.\n")?;
    writeln!(out, "| policy    | bytes a slot | hit, ns | victim and insert, ns |")?;
    writeln!(out, "| --------- | -----------: | ------: | --------------------: |")?;
    for cost in costs {
        let Cost { kind, slot_bytes, hit_ns, turn_ns } = cost;
        writeln!(out, "| {kind:9} | {slot_bytes:12.1} | {hit_ns:7.1} | {turn_ns:21.1} |")?;
    }
    Ok(())
}

fn ratios(out: &mut String, title: &str, rows: &[Row], of: fn(&Ratios) -> f64) -> fmt::Result {
    let Some(first) = rows.first() else { return Ok(()) };
    let names = || first.cells.iter().map(|(name, _)| name.as_str());
    write!(out, "| {title:28} | ceiling |")?;
    names().try_for_each(|name| write!(out, " {name:>9} |"))?;
    write!(out, "\n| {:-<28} | ------: |", "")?;
    names().try_for_each(|_| write!(out, " --------: |"))?;
    writeln!(out)?;
    for row in rows {
        let unsized_ones = row.trace.starts_with("cache2k");
        let size = ByteSize::new(row.capacity).to_string();
        let size = if unsized_ones { row.capacity.to_string() } else { size };
        write!(out, "| {:18} {size:>9} | {:7.4} |", row.trace, of(&row.ceiling))?;
        row.cells.iter().try_for_each(|(_, ratios)| write!(out, " {:9.4} |", of(ratios)))?;
        writeln!(out)?;
    }
    if names().any(|name| name == ORACLE) {
        write!(out, "| {:28} |         |", "mean share of Belady's")?;
        names().try_for_each(|name| write!(out, " {:9.4} |", share(rows, name, of)))?;
        writeln!(out)?;
    }
    writeln!(out)
}

/// Hits over those of the oracle: the mean over each trace's sizes, then over the traces.
#[expect(clippy::cast_precision_loss, reason = "there are few rows")]
fn share(rows: &[Row], name: &str, of: fn(&Ratios) -> f64) -> f64 {
    let mut traces: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let value = |name: &str| {
            let cell = row.cells.iter().find(|(policy, _)| policy == name);
            cell.map_or(0.0, |(_, ratios)| of(ratios))
        };
        traces.entry(&row.trace).or_default().push(value(name) / value(ORACLE));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    mean(&traces.values().map(|shares| mean(shares)).collect::<Vec<_>>())
}

/// One document for programs.
pub(crate) fn json(rows: &[Row], costs: &[Cost]) -> String {
    let ratios = |ratios: &Ratios| json!({ "objects": ratios.objects, "bytes": ratios.bytes });
    let row = |row: &Row| {
        let cells = row.cells.iter().map(|(name, cell)| (name.clone(), ratios(cell)));
        json!({
            "trace": row.trace,
            "capacity_bytes": row.capacity,
            "ceiling": ratios(&row.ceiling),
            "hit_ratios": Value::Object(cells.collect()),
        })
    };
    let cost = |cost: &Cost| {
        json!({
            "policy": cost.kind.to_string(),
            "slot_bytes": cost.slot_bytes,
            "hit_ns": cost.hit_ns,
            "victim_and_insert_ns": cost.turn_ns,
        })
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let costs: Vec<Value> = costs.iter().map(cost).collect();
    format!("{:#}\n", json!({ "rows": rows, "costs": costs }))
}
