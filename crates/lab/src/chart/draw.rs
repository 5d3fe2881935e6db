//! Charts as SVG, by the plotters library. The legend stands beside the plot, where it covers
//! nothing.

use plotters::{
    coord::{Shift, cartesian::Cartesian2d},
    element::DashedPathElement,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{Chart, Series, Style, span::Span};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Context<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Span, Span>>;
type Drawn = Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 460;
const FONT: &str = "sans-serif";
/// The library writes texts smaller than these, by a third.
const TITLE_SIZE: i32 = 21;
const TEXT_SIZE: i32 = 17;

/// About as wide as a letter of the text is on average, since the width of a text depends on fonts
/// that are chosen where it is read.
const LETTER_WIDTH: usize = 8;
const LEGEND_LINE: i32 = 22;
/// The sample of a series before its name, and the gaps around it.
const LEGEND_SAMPLE: i32 = 28;
const LEGEND_GAP: i32 = 8;

const STROKE: u32 = 2;
const DOT: i32 = 3;
const DASH: i32 = 6;
/// A line with more points than these needs no dots to be seen as one.
const MOST_DOTS: usize = 32;

/// Colours that also people with colour-blindness tell apart (Okabe and Ito, 2008), with a grey in the
/// place of the yellow, which is too light on white.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0x99, 0x99, 0x99),
];

/// The picture.
pub(super) fn svg(chart: &Chart) -> String {
    let mut text = String::new();
    draw(chart, &mut text).expect("a string takes whatever is drawn on it");
    text
}

fn draw(chart: &Chart, text: &mut String) -> Drawn {
    let root = SVGBackend::with_string(text, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let below = root.titled(&chart.title, (FONT, TITLE_SIZE))?;
    let colours = colours(&chart.series);
    let width = WIDTH - legend_width(&chart.series);
    let (left, right) = below.split_horizontally(width);
    let mut plot = axes(chart, &left)?;
    for (series, colour) in chart.series.iter().zip(&colours) {
        draw_series(&mut plot, series, *colour)?;
    }
    legend(&right, &chart.series, &colours)?;
    root.present()
}

fn axes<'a, 'b>(
    chart: &Chart,
    area: &'a Area<'b>,
) -> Result<Context<'a, 'b>, DrawingAreaErrorKind<<SVGBackend<'b> as DrawingBackend>::ErrorType>> {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let x = Span::around(points().map(|(x, _)| *x), chart.x.scale);
    let y = Span::around(points().map(|(_, y)| *y), chart.y.scale);
    let mut plot = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(82)
        .build_cartesian_2d(x, y)?;
    plot.configure_mesh()
        .x_desc(chart.x.label.as_str())
        .y_desc(chart.y.label.as_str())
        .x_labels(9)
        .y_labels(9)
        .label_style((FONT, TEXT_SIZE))
        .axis_desc_style((FONT, TEXT_SIZE))
        .bold_line_style(BLACK.mix(0.15))
        .light_line_style(BLACK.mix(0.05))
        .set_all_tick_mark_size(4)
        .draw()?;
    Ok(plot)
}

fn draw_series(plot: &mut Context<'_, '_>, series: &Series, colour: RGBColor) -> Drawn {
    let (x, y) = (*plot.as_coord_spec().x_spec(), *plot.as_coord_spec().y_spec());
    let dotted = match series.style {
        Style::Line => !series.published && series.points.len() <= MOST_DOTS,
        Style::Points => true,
        Style::Steps => false,
    };
    // A point without a place leaves a gap in the line.
    for points in series.points.split(|point| !(x.shows(point.0) && y.shows(point.1))) {
        let path = match series.style {
            Style::Line => points.to_vec(),
            Style::Steps => steps(points),
            Style::Points => Vec::new(),
        };
        if series.published {
            plot.draw_series(DashedLineSeries::new(path, DASH, DASH, line(series, colour)))?;
        } else {
            plot.draw_series(LineSeries::new(path, line(series, colour)))?;
        }
        let dots = points.iter().filter(|_| dotted);
        let style = dot(series, colour);
        plot.draw_series(dots.map(|point| Circle::new(*point, DOT, style)))?;
    }
    Ok(())
}

/// Dashes are darker, so that they are seen on the line to which they are compared.
fn line(series: &Series, colour: RGBColor) -> ShapeStyle {
    let RGBColor(red, green, blue) = colour;
    let colour = if series.published { RGBColor(red / 2, green / 2, blue / 2) } else { colour };
    colour.stroke_width(STROKE)
}

/// The corners of level lines from each point to the next.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let corners = points.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
    corners.chain(points.last().copied()).collect()
}

fn dot(series: &Series, colour: RGBColor) -> ShapeStyle {
    if series.published { colour.stroke_width(STROKE) } else { colour.filled() }
}

/// A colour for each measured series; one that was published has that of the series before it.
fn colours(series: &[Series]) -> Vec<RGBColor> {
    let mut measured = 0usize;
    let colour = |series: &Series| {
        measured += usize::from(!series.published);
        COLOURS[measured.saturating_sub(1) % COLOURS.len()]
    };
    series.iter().map(colour).collect()
}

fn legend_width(series: &[Series]) -> u32 {
    let letters = series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
    let text = u32::try_from(letters * LETTER_WIDTH).unwrap_or(WIDTH);
    // A name that would leave no room for the plot is cut off at the edge.
    (text + (LEGEND_SAMPLE + 2 * LEGEND_GAP).unsigned_abs()).min(WIDTH / 2)
}

fn legend(area: &Area<'_>, series: &[Series], colours: &[RGBColor]) -> Drawn {
    let text = (FONT, TEXT_SIZE).into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
    let mut middle = 2 * LEGEND_GAP + LEGEND_LINE / 2;
    for (series, colour) in series.iter().zip(colours) {
        let line = line(series, *colour);
        let ends = [(0, middle), (LEGEND_SAMPLE, middle)];
        match (series.style, series.published) {
            (Style::Points, _) => {
                let place = (LEGEND_SAMPLE / 2, middle);
                area.draw(&Circle::new(place, DOT, dot(series, *colour)))?;
            }
            (_, true) => area.draw(&DashedPathElement::new(ends, DASH, DASH, line))?,
            (_, false) => area.draw(&PathElement::new(ends, line))?,
        }
        let place = (LEGEND_SAMPLE + LEGEND_GAP, middle);
        area.draw(&Text::new(series.name.as_str(), place, text.clone()))?;
        middle += LEGEND_LINE;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Axis, Scale};

    fn chart(scale: Scale) -> Chart {
        let axis = |label: &str| Axis::new(label, scale);
        let mut chart = Chart::new("Size & <growth>", axis("nodes"), axis("keys of a node"));
        let points = vec![(1.0, 1.0), (2.0, 4.0), (4.0, 3.0)];
        for style in [Style::Line, Style::Points, Style::Steps] {
            chart.series.push(Series::new(format!("{style:?}"), style, points.clone()));
            chart.series.push(Series::published(format!("paper {style:?}"), style, points.clone()));
        }
        chart
    }

    #[test]
    fn the_same_chart_is_drawn_with_the_same_bytes() {
        for scale in [Scale::Linear, Scale::Log2, Scale::Log10] {
            assert_eq!(svg(&chart(scale)), svg(&chart(scale)));
        }
    }

    #[test]
    fn a_picture_names_its_title_axes_and_series_and_escapes_them() {
        let picture = svg(&chart(Scale::Linear));
        for words in ["nodes", "keys of a node", "Line", "paper Points", "&lt;growth&gt;", "&amp;"]
        {
            assert!(picture.contains(words), "{words} is not in {picture}");
        }
        assert!(picture.trim_end().ends_with("</svg>"), "{picture}");
    }

    #[test]
    fn published_series_have_the_colour_of_what_they_are_compared_with() {
        let [blue, red, ..] = COLOURS;
        assert_eq!(colours(&chart(Scale::Linear).series)[..4], [blue, blue, red, red]);
        assert_eq!(colours(&[Series::published("paper", Style::Points, Vec::new())]), [blue]);
    }

    #[test]
    fn published_dots_are_hollow() {
        let picture = svg(&chart(Scale::Linear));
        let hollow = picture.lines().filter(|line| line.starts_with("<circle"));
        let hollow = hollow.filter(|line| line.contains("fill=\"none\"")).count();
        // Three points, and the sample in the legend.
        assert_eq!(hollow, 4, "{picture}");
    }

    #[test]
    fn steps_are_level_until_the_next_point() {
        let corners = steps(&[(0.0, 1.0), (1.0, 3.0), (2.0, 0.0)]);
        assert_eq!(corners, [(0.0, 1.0), (1.0, 1.0), (1.0, 3.0), (2.0, 3.0), (2.0, 0.0)]);
        assert!(steps(&[]).is_empty());
    }

    #[test]
    fn points_without_a_place_and_empty_series_are_left_out() {
        let mut chart = chart(Scale::Log10);
        let circles = |chart: &Chart| svg(chart).matches("<circle").count();
        let before = circles(&chart);
        chart.series[0].points.extend([(0.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)]);
        assert_eq!(circles(&chart), before);
        chart.series.clear();
        assert!(svg(&chart).contains("nodes"));
    }
}
