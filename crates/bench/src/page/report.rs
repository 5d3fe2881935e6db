//! The figures as tables for people, or as one JSON document.

use super::{Figure, Source, client::Goods};
use crate::markdown::Table;
use serde_json::{Value, json};
use std::time::Duration;

/// What the namespaces take over from the machine.
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// A table for each kind of goods and each distance.
pub(crate) fn text(figures: &[Figure]) -> String {
    let mut text = String::new();
    for panel in panels(figures) {
        let mut headings = vec![panel.title()];
        for source in Source::ALL {
            headings.extend([source.name().to_owned(), "least".to_owned()]);
        }
        let mut table = Table::new(headings.iter().map(String::as_str));
        for row in &panel.rows {
            let mut cells = vec![row[0].strategy.title().to_owned()];
            for figure in *row {
                cells.extend([milliseconds(figure.took), milliseconds(figure.floor)]);
            }
            table.row(cells);
        }
        text.push_str(&table.text());
        text.push('\n');
    }
    text.push_str("Milliseconds. Direct: from the site's own server, that far away. Cold: by way of an edge\n");
    text.push_str(
        "near the client that has nothing; cached: the same again. Least: what round trips, slow\n",
    );
    let control = std::fs::read_to_string(CONGESTION_CONTROL).unwrap_or_default();
    text.push_str(&format!(
        "start and the link's bits take by themselves. Congestion control: {}.\n",
        control.trim()
    ));
    text
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e3)
}

/// What is compared in one table, or in one part of the picture.
pub(crate) struct Panel<'a> {
    pub(crate) goods: Goods,
    pub(crate) rtt: Duration,
    /// One for each strategy, with a figure for each source.
    pub(crate) rows: Vec<&'a [Figure]>,
}

impl Panel<'_> {
    /// What it is about.
    pub(crate) fn title(&self) -> String {
        let goods = match self.goods {
            Goods::Page => "60 objects of 10 KiB",
            Goods::Large => "one object of 10 MiB",
        };
        format!("{goods}, {} ms", self.rtt.as_millis())
    }
}

/// Figures come by distance, goods and strategy, with the sources together.
pub(crate) fn panels(figures: &[Figure]) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for row in figures.chunks(Source::ALL.len()) {
        let (goods, rtt) = (row[0].goods, row[0].rtt);
        match panels.last_mut() {
            Some(panel) if (panel.goods, panel.rtt) == (goods, rtt) => panel.rows.push(row),
            _ => panels.push(Panel { goods, rtt, rows: vec![row] }),
        }
    }
    panels
}

/// One document for programs.
pub(crate) fn json(figures: &[Figure]) -> String {
    let one = |figure: &Figure| {
        json!({
            "rtt_ms": figure.rtt.as_secs_f64() * 1e3,
            "goods": figure.goods.name(),
            "strategy": figure.strategy.name(),
            "source": figure.source.name(),
            "ms": figure.took.as_secs_f64() * 1e3,
            "least_ms": figure.floor.as_secs_f64() * 1e3,
        })
    };
    let figures: Vec<Value> = figures.iter().map(one).collect();
    format!("{:#}\n", json!({ "figures": figures }))
}
