//! Figures 8(a), 8(b) and 9 as charts: what was measured, and dashed what closed forms predict.

use super::{BAR_KEYS, FIGURE_8B, FIGURE_9, Found, at, ratio, verdicts};
use crate::{
    chart::{Axis, Chart, Scale, Series, Style},
    table::Cell,
};

pub(super) fn charts(found: &[Found]) -> Vec<Chart> {
    vec![figure_8(found), figure_8b(found), figure_9(found)]
}

fn figure_8(found: &[Found]) -> Chart {
    let found = found.iter().filter(|found| found.point.virtual_nodes == 1);
    let keys = |found: &Found| ratio(found.point.keys(), 1);
    let mut chart = Chart::new(
        "Figure 8(a): keys of a node as their number grows",
        Axis::new("keys on the ring", Scale::Linear),
        Axis::new("keys of a node", Scale::Linear),
    );
    let predicted =
        |share: f64| line(found.clone(), keys, |found| found.point.theory().quantile(share));
    chart.series = vec![
        Series::new("99th percentile", Style::Line, line(found.clone(), keys, |f| f.ninety_ninth)),
        Series::published("predicted", Style::Line, predicted(0.99)),
        Series::new("mean", Style::Line, line(found.clone(), keys, |f| f.point.theory().mean)),
        Series::new("1st percentile", Style::Line, line(found.clone(), keys, |f| f.first)),
        Series::published("predicted", Style::Line, predicted(0.01)),
    ];
    chart
}

fn figure_8b(found: &[Found]) -> Chart {
    let found = at(found, FIGURE_8B, 1);
    let width = usize::from(BAR_KEYS);
    // Behind the first empty bar there are single nodes, which say little and have no logarithm.
    let shown = found.bars.iter().take_while(|&&share| share > 0.0).count();
    let bars = |share: &dyn Fn(usize) -> f64| {
        let bar = |(number, left): (usize, u16)| (left.into(), share(number));
        (0..shown).zip((0..).step_by(width)).map(bar).collect()
    };
    let theory = found.point.theory();
    let mut chart = Chart::new(
        format!("Figure 8(b): shares of the nodes, {} keys", Cell::count(found.point.keys())),
        Axis::new("keys of a node, ten a step", Scale::Linear),
        Axis::new("share of the nodes", Scale::Log10),
    );
    chart.series = vec![
        Series::new("measured", Style::Steps, bars(&|bar| found.bars[bar])),
        Series::published(
            "predicted",
            Style::Steps,
            bars(&|bar| theory.within(bar * width, (bar + 1) * width)),
        ),
    ];
    chart
}

fn figure_9(found: &[Found]) -> Chart {
    let found = found.iter().filter(|found| found.point.keys_a_node == FIGURE_9);
    let virtual_nodes = |found: &Found| f64::from(found.point.virtual_nodes);
    let mut chart = Chart::new(
        "Figure 9: keys of a node as it takes more places on the circle",
        Axis::new("virtual nodes of each node", Scale::Linear),
        Axis::new("keys of a node, 1 being the mean", Scale::Linear),
    );
    let measured = |of: fn(&Found) -> f64| {
        line(found.clone(), virtual_nodes, |found| found.in_means(of(found)))
    };
    let predicted = |share: f64| {
        let keys = |found: &Found| found.in_means(found.point.theory().quantile(share));
        line(found.clone(), virtual_nodes, keys)
    };
    let paper = |ends: [f64; 2]| [1.0, 20.0].into_iter().zip(ends).collect();
    let [low, high] = verdicts::FIGURE_9_ENDS;
    chart.series = vec![
        Series::new("99th percentile", Style::Line, measured(|found| found.ninety_ninth)),
        Series::published("predicted", Style::Line, predicted(0.99)),
        Series::published("in the paper's text", Style::Points, paper(high)),
        Series::new("1st percentile", Style::Line, measured(|found| found.first)),
        Series::published("predicted", Style::Line, predicted(0.01)),
        Series::published("in the paper's text", Style::Points, paper(low)),
    ];
    chart
}

/// Points of a line: what `y` says of each finding.
fn line<'a>(
    found: impl Iterator<Item = &'a Found> + Clone,
    x: impl Fn(&Found) -> f64 + Copy,
    y: impl Fn(&Found) -> f64,
) -> Vec<(f64, f64)> {
    found.map(|found| (x(found), y(found))).collect()
}
