//! What an experiment found, and how it is told: in a terminal, to a script, in files.

use serde_json::json;

use crate::{
    Experiment, Options,
    chart::Chart,
    claim::Claim,
    table::{Cell, Column, Table},
};

/// The result of an experiment.
#[derive(Clone, Debug)]
pub struct Report {
    /// The experiment's name.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// Where it was published.
    pub source: &'static str,
    /// What it was run with.
    pub options: Options,
    /// What was done: enough to do it elsewhere, and why the tolerances are what they are.
    pub setup: String,
    /// The figures as numbers.
    pub tables: Vec<Table>,
    /// The figures as pictures.
    pub charts: Vec<Chart>,
    /// What was published, and what became of it.
    pub claims: Vec<Claim>,
}

/// A file that belongs to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, without a folder.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Columns of a terminal that running text fills.
const WIDTH: usize = 100;

impl Report {
    /// A report with neither charts nor claims.
    pub(crate) fn new(
        experiment: &Experiment,
        options: &Options,
        setup: String,
        tables: Vec<Table>,
    ) -> Self {
        let Experiment { name, shows, source, .. } = *experiment;
        let (charts, claims, options) = (Vec::new(), Vec::new(), options.clone());
        Self { name, title: shows, source, options, setup, tables, charts, claims }
    }

    /// The claims that differ, and nobody has said why.
    pub fn unsettled(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(|claim| !claim.is_settled())
    }

    /// The command that makes this report again.
    pub fn command(&self) -> String {
        format!("nigh sim {}{}", self.name, self.options)
    }

    /// For terminals.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.name, self.title);
        text += &wrapped("source", self.source);
        text += &wrapped("set-up", &self.setup);
        for table in &self.tables {
            text += &format!("\n{}", table.text());
        }
        text.push('\n');
        let verdicts = self.verdicts().text();
        let mut lines = verdicts.lines();
        text += &format!("{}\n", lines.next().expect("a table has a heading"));
        for (claim, line) in self.claims.iter().zip(lines) {
            text += &format!("{line}\n");
            if let Some(why) = claim.verdict.because() {
                text += &wrapped("  because", why);
            }
        }
        text
    }

    fn verdicts(&self) -> Table {
        let headings = ["verdict", "published", "tolerance", "measured", "claim"];
        let mut table = Table::new(headings.map(|name| Column::new(name, "")).to_vec());
        for claim in &self.claims {
            let tolerance = claim.tolerance.map(|tolerance| tolerance.to_string());
            let cells = [
                claim.verdict.to_string(),
                claim.published.to_string(),
                tolerance.unwrap_or_default(),
                claim.measured.to_string(),
                claim.what.clone(),
            ];
            table.row(cells.map(Cell::Text).to_vec());
        }
        table
    }

    /// For scripts.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "seed": self.options.seed,
            "nodes": self.options.nodes,
            "setup": self.setup,
            "tables": self.tables.iter().map(Table::json).collect::<Vec<_>>(),
            "charts": self.charts.iter().map(Chart::json).collect::<Vec<_>>(),
            "claims": self.claims.iter().map(Claim::json).collect::<Vec<_>>(),
        })
    }

    /// Each table as a file, and each chart as one.
    pub fn files(&self) -> Vec<File> {
        let table = |(number, table): (usize, &Table)| File {
            name: self.table_name(number),
            text: table.csv(),
        };
        let chart = |(number, chart): (usize, &Chart)| File {
            name: self.chart_name(number),
            text: chart.svg(),
        };
        let tables = self.tables.iter().enumerate().map(table);
        tables.chain(self.charts.iter().enumerate().map(chart)).collect()
    }

    /// The name of a table's file, counted from zero: the first has no number.
    pub(crate) fn table_name(&self, number: usize) -> String {
        self.file_name(number, "csv")
    }

    /// The name of a chart's file.
    pub(crate) fn chart_name(&self, number: usize) -> String {
        self.file_name(number, "svg")
    }

    fn file_name(&self, number: usize, end: &str) -> String {
        match number {
            0 => format!("{}.{end}", self.name),
            _ => format!("{}-{}.{end}", self.name, number + 1),
        }
    }
}

/// Words in lines, behind a heading and indented below it.
fn wrapped(heading: &str, words: &str) -> String {
    let mut text = String::new();
    let mut line = heading.to_owned();
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text += &line;
            text.push('\n');
            line = " ".repeat(heading.chars().count());
        }
        line.push(' ');
        line += word;
    }
    text + &line + "\n"
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        chart::{Axis, Scale, Series, Style},
        claim::Tolerance,
    };

    /// A small report of an experiment that does not exist.
    pub(crate) fn report() -> Report {
        let experiment = Experiment {
            name: "ring-size",
            shows: "A ring has as many nodes as joined",
            source: "A paper, section 1",
            takes: &[],
            run: |_, _| unreachable!("nobody runs it"),
        };
        let mut table = Table::new(vec![Column::new("joined", "nodes")]);
        table.row(vec![Cell::count(4)]);
        let options = Options { nodes: Some(4), ..Options::new(7) };
        let setup = "Four nodes join.".to_owned();
        let mut report = Report::new(&experiment, &options, setup, vec![table]);
        for title in ["Size", "Growth"] {
            let [x, y] = ["joined", "size"].map(|label| Axis::new(label, Scale::Linear));
            let mut chart = Chart::new(title, x, y);
            chart.series.push(Series::new("ring", Style::Line, vec![(0.0, 0.0), (4.0, 4.0)]));
            report.charts.push(chart);
        }
        let near = |measured| Claim::near("size", 4.0, measured, Tolerance::Absolute(0.5));
        let lost = Claim::cannot_be_reproduced("place", "Rome", "its map is lost");
        report.claims = vec![near(4.0), near(5.0).because("one joined | twice"), near(3.0), lost];
        report
    }

    #[test]
    fn a_terminal_shows_source_table_and_verdicts() {
        let expected = "\
            ring-size: A ring has as many nodes as joined\n\
            source A paper, section 1\n\
            set-up Four nodes join.\n\
            \n\
            joined\n nodes\n     4\n\
            \n\
            verdict               published  tolerance  measured  claim\n\
            matches               4          ±0.5       4.00      size\n\
            differs               4          ±0.5       5.00      size\n  \
            because one joined | twice\n\
            differs               4          ±0.5       3.00      size\n\
            cannot be reproduced  Rome                  -         place\n  \
            because its map is lost\n";
        assert_eq!(report().text(), expected);
    }

    #[test]
    fn only_differences_without_a_reason_are_unsettled() {
        let report = report();
        let unsettled: Vec<_> =
            report.unsettled().map(|claim| claim.measured.to_string()).collect();
        assert_eq!(unsettled, ["3.00"]);
    }

    #[test]
    fn the_command_makes_it_again() {
        assert_eq!(report().command(), "nigh sim ring-size --nodes 4 --seed 7");
    }

    #[test]
    fn each_chart_is_a_file_beside_the_table() {
        let files = report().files();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["ring-size.csv", "ring-size.svg", "ring-size-2.svg"]);
        assert_eq!(files[0].text, "joined (nodes)\n4\n");
        assert!(files[1].text.starts_with("<svg"), "{}", files[1].text);
    }

    #[test]
    fn scripts_get_everything() {
        let json = report().json();
        assert_eq!((&json["seed"], &json["nodes"]), (&7.into(), &4.into()));
        assert_eq!(json["tables"][0]["rows"][0][0], 4.0);
        assert_eq!(json["claims"][1]["because"], "one joined | twice");
        assert_eq!(json["charts"][1]["title"], "Growth");
    }

    #[test]
    fn long_lines_are_wrapped_below_their_heading() {
        let text = wrapped("set-up", &"word ".repeat(40));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert!(lines[1].starts_with("       word"), "{text}");
    }
}
