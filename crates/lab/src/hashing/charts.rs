//! The figures as charts.

use super::{
    Found, Way,
    addition::{Addition, PIECES},
    hot,
};
use crate::chart::{Axis, Chart, Scale, Series, Style};

pub(super) fn charts(found: &Found) -> Vec<Chart> {
    let mut charts = vec![spread(found), hot_loads(found), hot_homes(found), clients(found)];
    charts.extend(found.additions.chunk_by(|a, b| a.stream == b.stream).map(addition));
    charts
}

fn spread(found: &Found) -> Chart {
    let mut chart = Chart::new(
        "Shares of the circle that edges own, by their points",
        Axis::new("points of an edge", Scale::Log10),
        Axis::new("share of an edge, 1 being the mean", Scale::Linear),
    );
    let line = |of: fn(&super::spread::Spread) -> f64| {
        found.spread.iter().map(|it| (f64::from(it.points), of(it))).collect()
    };
    chart.series = vec![
        Series::new("fullest", Style::Line, line(|it| it.fullest)),
        Series::new("emptiest", Style::Line, line(|it| it.emptiest)),
        Series::new("standard deviation", Style::Line, line(|it| it.deviation)),
        Series::published("predicted", Style::Line, line(|it| it.predicted)),
    ];
    chart
}

fn hot_loads(found: &Found) -> Chart {
    of_hot(found, "A hot object: the fullest edge", "largest load, 1 being the mean", |it| {
        it.fullest
    })
}

fn hot_homes(found: &Found) -> Chart {
    of_hot(found, "A hot object: its homes", "edges that serve it", |it| it.homes)
}

fn of_hot(found: &Found, title: &str, y: &str, of: fn(&hot::Hot) -> f64) -> Chart {
    let x = Axis::new("asked for so many times as often as the others", Scale::Log10);
    let mut chart = Chart::new(title, x, Axis::new(y, Scale::Linear));
    for factor in hot::FACTORS {
        let name = factor.map_or_else(|| "no spill".to_owned(), |it| format!("spill above {it}"));
        let of_factor = found.hot.iter().filter(|it| it.factor == factor);
        let points = of_factor.map(|it| (f64::from(it.heat), of(it))).collect();
        chart.series.push(Series::new(name, Style::Line, points));
    }
    chart
}

fn clients(found: &Found) -> Chart {
    let mut chart = Chart::new(
        "Misses of a URL, by who chooses the server",
        Axis::new("requests for the URL", Scale::Log10),
        Axis::new("misses", Scale::Linear),
    );
    let line = |of: fn(&super::clients::Misses) -> f64| {
        found.clients.iter().map(|it| (f64::from(it.requests), of(it))).collect()
    };
    chart.series = vec![
        Series::new("the client's address", Style::Line, line(|it| it.by_client)),
        Series::published("predicted", Style::Line, line(|it| it.predicted)),
        Series::new("the URL", Style::Line, line(|it| it.by_url)),
    ];
    chart
}

/// One stream, in every way.
fn addition(of_stream: &[Addition]) -> Chart {
    let mut chart = Chart::new(
        format!("An edge more after half of the requests ({})", of_stream[0].stream),
        Axis::new("requests so far, %", Scale::Linear),
        Axis::new("hits, %", Scale::Linear),
    );
    let line = |pieces: &[f64]| {
        let middle = |piece: usize| (super::float(piece) + 0.5) * 100.0 / super::float(PIECES);
        pieces.iter().enumerate().map(|(piece, share)| (middle(piece), 100.0 * share)).collect()
    };
    for it in of_stream {
        chart.series.push(Series::new(it.way.name(), Style::Line, line(&it.pieces)));
        if it.way == Way::Ring {
            let name = "ring, without the edge";
            chart.series.push(Series::published(name, Style::Line, line(&it.unchanged)));
        }
    }
    chart
}
