//! Charts: what is drawn, as values. How it is drawn is in `draw`, how axes are divided in `span`.

mod draw;
mod span;

use serde_json::{Value, json};

/// Points in a plane, in a few series.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it shows, in a line.
    pub title: String,
    /// What goes to the right.
    pub x: Axis,
    /// What goes up.
    pub y: Axis,
    /// What is drawn, the first below the others.
    pub series: Vec<Series>,
}

/// A direction of a chart. It reaches as far as the points do; a linear one begins at zero, if that
/// is not far from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// What its numbers are, with their unit.
    pub label: String,
    /// How they are spaced.
    pub scale: Scale,
}

/// How the numbers of an axis are spaced. Zero and less have no logarithm: they are left out, and a
/// line has a gap there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Each step doubles.
    Log2,
    /// Each step is ten times the one before.
    Log10,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// How the points are shown.
    pub style: Style,
    /// Where they are, from left to right.
    pub points: Vec<(f64, f64)>,
    /// Whether it was not measured here, but published or worked out: then it is dashed or hollow,
    /// and has the colour of the measured series before it, with which it is to be compared.
    pub published: bool,
}

/// How the points of a series are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Joined by lines.
    Line,
    /// As dots.
    Points,
    /// Each as a level line to the next: for histograms.
    Steps,
}

impl Chart {
    /// A chart without series.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, series: Vec::new() }
    }

    /// The chart as SVG: it needs no other file, and the same chart gives the same bytes.
    pub fn svg(&self) -> String {
        draw::svg(self)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "title": self.title,
            "x": self.x.label,
            "y": self.y.label,
            "series": self.series.iter().map(Series::json).collect::<Vec<_>>(),
        })
    }
}

impl Axis {
    /// An axis.
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        Self { label: label.into(), scale }
    }
}

impl Series {
    /// A measured series.
    pub fn new(name: impl Into<String>, style: Style, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), style, points, published: false }
    }

    /// A series that was published, or follows from a closed form.
    pub fn published(name: impl Into<String>, style: Style, points: Vec<(f64, f64)>) -> Self {
        Self { published: true, ..Self::new(name, style, points) }
    }

    fn json(&self) -> Value {
        let points: Vec<[f64; 2]> = self.points.iter().map(|&(x, y)| [x, y]).collect();
        json!({ "name": self.name, "published": self.published, "points": points })
    }
}
