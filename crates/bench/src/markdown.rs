//! Tables in Markdown whose columns also line up in a terminal.

/// A table that grows by rows.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one with these headings. The first column is text, the others are numbers.
    pub(crate) fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![headings.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.rows[0].len(), "a cell for each heading");
        self.rows.push(cells);
    }

    /// The text, with a line break at its end.
    pub(crate) fn text(&self) -> String {
        let width = |column: usize| {
            let widths = self.rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            line(&mut text, row, &widths);
            if number == 0 {
                let rule = |(column, width): (usize, &usize)| {
                    if column == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" }
                };
                let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
                line(&mut text, &rules, &widths);
            }
        }
        text
    }
}

fn line(text: &mut String, cells: &[String], widths: &[usize]) {
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        text.push_str(&if column == 0 {
            format!("| {cell:width$} |")
        } else {
            format!(" {cell:>width$} |")
        });
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["peer", "req/s"]);
        table.row(vec!["nginx".into(), "1".into()]);
        table.row(vec!["x".into(), "123456".into()]);
        let expected = "\
            | peer  |  req/s |\n\
            | ----- | -----: |\n\
            | nginx |      1 |\n\
            | x     | 123456 |\n";
        assert_eq!(table.text(), expected);
    }
}
