//! The figures as bars, in SVG: time on a logarithmic scale, and a mark where arithmetic ends.

use super::{
    Figure, Source,
    report::{Panel, panels},
};
use std::{fmt::Write, time::Duration};

const WIDTH: f64 = 860.0;
const LABEL_WIDTH: f64 = 210.0;
const VALUE_WIDTH: f64 = 70.0;
const BAR_HEIGHT: f64 = 11.0;
const ROW_GAP: f64 = 9.0;
const TITLE_HEIGHT: f64 = 30.0;
const LEGEND_HEIGHT: f64 = 34.0;
/// The left end of every scale.
const SHORTEST_MS: f64 = 10.0;

/// A picture of all figures.
pub(crate) fn svg(figures: &[Figure]) -> String {
    let longest = figures.iter().map(|figure| figure.took).max().unwrap_or_default();
    let scale = Scale { longest_ms: (longest.as_secs_f64() * 1e3).max(SHORTEST_MS * 10.0) };
    let mut bars = String::new();
    let mut y = LEGEND_HEIGHT;
    legend(&mut bars);
    for panel in panels(figures) {
        draw(&mut bars, &panel, &scale, &mut y);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" \
         height=\"{y}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{bars}</svg>\n"
    )
}

struct Scale {
    longest_ms: f64,
}

impl Scale {
    /// How long a bar is.
    fn width(&self, time: Duration) -> f64 {
        let milliseconds = (time.as_secs_f64() * 1e3).max(SHORTEST_MS);
        let share = (milliseconds / SHORTEST_MS).ln() / (self.longest_ms / SHORTEST_MS).ln();
        share * (WIDTH - LABEL_WIDTH - VALUE_WIDTH)
    }
}

fn color(source: Source) -> &'static str {
    match source {
        Source::Direct => "#b0413e",
        Source::Cold => "#d9a441",
        Source::Cached => "#3b7a57",
    }
}

fn legend(out: &mut String) {
    let mut x = LABEL_WIDTH;
    for source in Source::ALL {
        rectangle(out, [x, 10.0, 12.0, 12.0], color(source));
        text(out, [x + 17.0, 20.0], "start", source.name());
        x += 80.0;
    }
    rectangle(out, [x, 8.0, 2.0, 16.0], "black");
    text(out, [x + 7.0, 20.0], "start", "least; milliseconds, logarithmic");
}

fn draw(out: &mut String, panel: &Panel<'_>, scale: &Scale, y: &mut f64) {
    let title = format!("{} of round trip to the site", panel.title());
    text(out, [10.0, *y + 18.0], "start", &title);
    *y += TITLE_HEIGHT;
    for row in &panel.rows {
        text(out, [LABEL_WIDTH - 8.0, *y + BAR_HEIGHT * 1.9], "end", row[0].strategy.title());
        for figure in *row {
            let (width, least) = (scale.width(figure.took), scale.width(figure.floor));
            let height = BAR_HEIGHT - 1.0;
            rectangle(out, [LABEL_WIDTH, *y, width, height], color(figure.source));
            rectangle(out, [LABEL_WIDTH + least - 1.0, *y, 2.0, height], "black");
            let value = format!("{:.0}", figure.took.as_secs_f64() * 1e3);
            text(out, [LABEL_WIDTH + width.max(least) + 5.0, *y + height - 1.0], "start", &value);
            *y += BAR_HEIGHT;
        }
        *y += ROW_GAP;
    }
}

fn rectangle(out: &mut String, [x, y, width, height]: [f64; 4], fill: &str) {
    writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
    )
    .expect("a string takes what is written to it");
}

fn text(out: &mut String, [x, y]: [f64; 2], anchor: &str, words: &str) {
    writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
        .expect("a string takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::client::{Goods, Strategy};

    #[test]
    fn a_bar_for_each_figure_and_a_mark_for_each_least() {
        let figure = |source| Figure {
            rtt: Duration::from_millis(40),
            goods: Goods::Page,
            strategy: Strategy::Http2,
            source,
            took: Duration::from_millis(300),
            floor: Duration::from_millis(280),
        };
        let picture = svg(&Source::ALL.map(figure));
        let (bars, legend, ground) = (3 * 2, 4, 1);
        assert_eq!(picture.matches("<rect").count(), bars + legend + ground);
        assert!(picture.contains("60 objects of 10 KiB, 40 ms of round trip"), "{picture}");
    }
}
