//! All reports on one page, in Markdown.

use std::fmt::Write;

use crate::{
    Report,
    claim::{Claim, Verdict},
    table::markdown_row,
};

/// The page. `folder` is where its charts and tables are, seen from the page.
pub fn page(reports: &[Report], folder: &str) -> String {
    let mut text = PREFACE.to_owned();
    text += &markdown_row(HEADINGS.map(str::to_owned).to_vec());
    text += "| --- | --- | ---: | ---: | ---: | ---: |\n";
    for report in reports {
        let count = |of: fn(&Verdict) -> bool| {
            report.claims.iter().filter(|claim| of(&claim.verdict)).count()
        };
        let (all, name) = (report.claims.len(), report.name);
        let matching = count(Verdict::matches);
        let differing = count(|it| matches!(it, Verdict::Differs { .. }));
        let numbers = [all, matching, differing, all - matching - differing];
        let numbers = numbers.map(|number| number.to_string());
        let cells = [format!("[`{name}`](#{name})"), cell(report.title)].into_iter().chain(numbers);
        text += &markdown_row(cells.collect());
    }
    for report in reports {
        section(&mut text, report, folder).expect("a string takes what is written to it");
    }
    text
}

const HEADINGS: [&str; 6] =
    ["experiment", "shows", "claims", "match", "differ", "cannot be reproduced"];

const PREFACE: &str = "\
# Figures

Published figures, drawn again by nigh's own code, and what became of each claim. \
A tolerance was chosen before the measurement. A claim that differs says why, and one whose \
experiment cannot be repeated says what is missing.

What is drawn are the machines that run in production, in the simulator (in `hashing`, the functions that do), but \
for five experiments. `chord-load` knows no nodes beyond their keys. `geometry`, `constant-degree` (Koorde and \
Viceroy), `can-path` and `kademlia-latency` walk from table to table as all has settled, without machines, by \
rules that are written down a second time; so does one part of `pastry-repair`. Where it says that machines go the \
ways that are walked (`constant-degree`, `can-path`, `pastry-repair`), the same network was also run.

`nigh sim all` writes this page and its pictures, and the same seed writes the same page. \
In the pictures, dashed lines and hollow points were not measured here: they are published or \
follow from a closed form.

";

fn section(text: &mut String, report: &Report, folder: &str) -> std::fmt::Result {
    let name = report.name;
    writeln!(text, "\n## {name}")?;
    writeln!(text, "{}.\n", report.title)?;
    writeln!(text, "- Source: {}", report.source)?;
    writeln!(text, "- Set-up: {}", report.setup)?;
    writeln!(text, "- Again: `{}`\n", report.command())?;
    claims(text, &report.claims)?;
    for (number, chart) in report.charts.iter().enumerate() {
        writeln!(text, "![{}]({folder}/{})\n", chart.title, report.chart_name(number))?;
    }
    for (number, table) in report.tables.iter().enumerate() {
        write!(text, "{}", table.markdown())?;
        writeln!(text, "\nThe same as [CSV]({folder}/{}).\n", report.table_name(number))?;
    }
    text.truncate(text.trim_end().len());
    writeln!(text)
}

fn claims(text: &mut String, claims: &[Claim]) -> std::fmt::Result {
    if claims.is_empty() {
        return Ok(());
    }
    writeln!(text, "| claim | published | tolerance | measured | verdict |")?;
    writeln!(text, "| --- | ---: | ---: | ---: | --- |")?;
    for claim in claims {
        let tolerance = claim.tolerance.map(|tolerance| tolerance.to_string());
        let verdict = match claim.verdict.because() {
            Some(why) => format!("{}: {why}", claim.verdict),
            None => claim.verdict.to_string(),
        };
        let cells = [
            &claim.what,
            &claim.published.to_string(),
            &tolerance.unwrap_or_default(),
            &claim.measured.to_string(),
            &verdict,
        ];
        text.push_str(&markdown_row(cells.map(|words| cell(words)).to_vec()));
    }
    writeln!(text)
}

/// Words that do not end the cell in which they stand.
fn cell(words: &str) -> String {
    words.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_page_links_its_files_and_counts_its_verdicts() {
        let page = page(&[report()], "figures");
        for expected in [
            "| [`ring-size`](#ring-size) | A ring has as many nodes as joined | 4 | 1 | 2 | 1 |\n",
            "\n## ring-size\n",
            "- Source: A paper, section 1\n",
            "- Again: `nigh sim ring-size --nodes 4 --seed 7`\n",
            "| size | 4 | ±0.5 | 5.00 | differs: one joined \\| twice |\n",
            "![Size](figures/ring-size.svg)\n",
            "![Growth](figures/ring-size-2.svg)\n",
            "| joined (nodes) |\n| ---: |\n| 4 |\n",
            "[CSV](figures/ring-size.csv)",
        ] {
            assert!(page.contains(expected), "{expected:?} is not in {page}");
        }
    }

    #[test]
    fn a_page_without_reports_is_still_a_page() {
        assert!(page(&[], "figures").ends_with("| ---: |\n"));
    }
}
