//! A table of figures: columns with units, and cells that say with how many digits they are meant.

use std::fmt;

/// Rows of cells under columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What it shows; empty if it is the only one of its report.
    title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// What its numbers count; empty if they are pure, or if it holds text.
    pub unit: String,
}

/// A number that is meant with so many digits, a text, or nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number.
    Number {
        /// Its value.
        value: f64,
        /// How many digits behind the point are shown.
        digits: usize,
    },
    /// Words.
    Text(String),
    /// Nothing: in this row there is no such number.
    Empty,
}

impl Column {
    /// A column with this heading and this unit.
    pub fn new(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { name: name.into(), unit: unit.into() }
    }
}

impl Cell {
    /// A number with so many digits behind the point.
    pub const fn number(value: f64, digits: usize) -> Self {
        Self::Number { value, digits }
    }

    /// How many there are of something.
    #[expect(clippy::cast_precision_loss, reason = "what is counted here is far below 2^53")]
    pub const fn count(count: u64) -> Self {
        Self::Number { value: count as f64, digits: 0 }
    }

    /// Words.
    pub fn text(words: impl Into<String>) -> Self {
        Self::Text(words.into())
    }

    /// As a column of numbers has it.
    fn is_numeric(&self) -> bool {
        matches!(self, Self::Number { .. } | Self::Empty)
    }

    /// As another program reads it: no commas between the digits.
    fn plain(&self) -> String {
        match self {
            Self::Number { value, digits } => rounded(*value, *digits),
            Self::Text(words) => words.clone(),
            Self::Empty => String::new(),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            // The text that was rounded is read again, so that no digits come back that nobody meant.
            Self::Number { .. } => self.plain().parse::<f64>().ok().into(),
            Self::Text(words) => words.as_str().into(),
            Self::Empty => serde_json::Value::Null,
        }
    }
}

/// As people read it: with commas between thousands.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { value, digits } => f.pad(&grouped(&rounded(*value, *digits))),
            Self::Text(words) => f.pad(words),
            Self::Empty => f.pad(""),
        }
    }
}

impl Table {
    /// A table without rows.
    pub const fn new(columns: Vec<Column>) -> Self {
        Self { title: String::new(), columns, rows: Vec::new() }
    }

    /// The same with a heading: for a report that has several.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not one cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// For terminals: columns that line up, units below the headings.
    pub(crate) fn text(&self) -> String {
        let headings = self.columns.iter().map(|column| column.name.clone()).collect();
        let units = self.columns.iter().map(|column| column.unit.clone()).collect();
        let mut lines: Vec<Vec<String>> = vec![headings];
        if self.columns.iter().any(|column| !column.unit.is_empty()) {
            lines.push(units);
        }
        lines.extend(self.rows.iter().map(|row| row.iter().map(Cell::to_string).collect()));
        let widths = widths(&lines);
        let mut text = String::new();
        if !self.title.is_empty() {
            text += &format!("{}\n", self.title);
        }
        for line in &lines {
            let mut padded = String::new();
            for (number, (cell, width)) in line.iter().zip(&widths).enumerate() {
                padded += &if self.is_numeric(number) {
                    format!("{cell:>width$}  ")
                } else {
                    format!("{cell:<width$}  ")
                };
            }
            text += padded.trim_end();
            text.push('\n');
        }
        text
    }

    /// For pages.
    pub(crate) fn markdown(&self) -> String {
        let mut rules = Vec::new();
        for number in 0..self.columns.len() {
            rules.push(if self.is_numeric(number) { "---:" } else { "---" }.to_owned());
        }
        let headings = self.columns.iter().map(Column::heading).collect();
        let mut text = String::new();
        if !self.title.is_empty() {
            text += &format!("{}:\n\n", self.title);
        }
        text += &markdown_row(headings);
        text += &markdown_row(rules);
        for row in &self.rows {
            text += &markdown_row(row.iter().map(Cell::to_string).collect());
        }
        text
    }

    /// For spreadsheets (RFC 4180, with the line ends of Unix).
    pub(crate) fn csv(&self) -> String {
        let mut text = csv_row(self.columns.iter().map(Column::heading));
        for row in &self.rows {
            text += &csv_row(row.iter().map(Cell::plain));
        }
        text
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let column =
            |column: &Column| serde_json::json!({"name": column.name, "unit": column.unit});
        let row = |row: &Vec<Cell>| row.iter().map(Cell::json).collect::<serde_json::Value>();
        serde_json::json!({
            "title": self.title,
            "columns": self.columns.iter().map(column).collect::<Vec<_>>(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// Columns of numbers are aligned at their ends, columns of words at their beginnings.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().all(|row| row[column].is_numeric())
    }
}

impl Column {
    /// The name with its unit, for where both share a line.
    fn heading(&self) -> String {
        match self.unit.as_str() {
            "" => self.name.clone(),
            unit => format!("{} ({unit})", self.name),
        }
    }
}

fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let column = |number: usize| lines.iter().map(move |line| line[number].chars().count());
    (0..lines[0].len()).map(|number| column(number).max().unwrap_or(0)).collect()
}

/// A line of a Markdown table.
pub(crate) fn markdown_row(cells: Vec<String>) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn csv_row(cells: impl Iterator<Item = String>) -> String {
    let quoted = |cell: String| {
        if cell.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// A number with so many digits behind the point. Nothing is ever "-0".
fn rounded(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if !rest.contains(|c: char| ('1'..='9').contains(&c)) => rest.to_owned(),
        _ => text,
    }
}

/// A printed number with commas between thousands.
pub(crate) fn grouped(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, part) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = sign.to_owned();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![
            Column::new("overlay", ""),
            Column::new("nodes", ""),
            Column::new("hops", "messages"),
        ]);
        table.row(vec![Cell::text("chord, \"plain\""), Cell::count(16_384), Cell::number(7.0, 2)]);
        table.row(vec![Cell::text("can"), Cell::count(100), Cell::number(12.25, 1)]);
        table.row(vec![Cell::text("none"), Cell::count(0), Cell::Empty]);
        table
    }

    #[test]
    fn columns_line_up_in_a_terminal() {
        let expected = [
            "overlay          nodes      hops",
            "                        messages",
            "chord, \"plain\"  16,384      7.00",
            "can                100      12.2",
            "none                 0",
        ];
        assert_eq!(table().text().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn units_stand_in_the_headings_of_pages() {
        let expected = "\
            | overlay | nodes | hops (messages) |\n\
            | --- | ---: | ---: |\n\
            | chord, \"plain\" | 16,384 | 7.00 |\n\
            | can | 100 | 12.2 |\n\
            | none | 0 |  |\n";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn spreadsheets_get_plain_numbers_and_quoted_commas() {
        let csv = table().csv();
        let expected = "overlay,nodes,hops (messages)\n\"chord, \"\"plain\"\"\",16384,7.00\n";
        assert!(csv.starts_with(expected), "{csv}");
        assert!(csv.ends_with("\nnone,0,\n"), "{csv}");
    }

    #[test]
    fn json_has_the_digits_that_are_meant() {
        let json = table().json();
        assert_eq!(json["rows"][0], serde_json::json!(["chord, \"plain\"", 16384.0, 7.0]));
        assert_eq!(json["columns"][2]["unit"], "messages");
        assert_eq!(Cell::number(1.0 / 3.0, 2).json(), serde_json::json!(0.33));
        assert_eq!(json["rows"][2][2], serde_json::Value::Null);
    }

    #[test]
    fn thousands_are_set_apart_and_zero_has_no_sign() {
        for (value, digits, text) in [
            (1_234_567.0, 0, "1,234,567"),
            (123.0, 0, "123"),
            (-1234.5, 1, "-1,234.5"),
            (-0.001, 2, "0.00"),
            (0.1234, 3, "0.123"),
        ] {
            assert_eq!(Cell::number(value, digits).to_string(), text);
        }
    }

    #[test]
    #[should_panic(expected = "a cell for each column")]
    fn a_row_has_a_cell_for_each_column() {
        table().row(vec![Cell::count(1)]);
    }
}
