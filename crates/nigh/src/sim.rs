//! `nigh sim`: experiments run, reports printed, their files written.
//!
//! What is written depends on the seed alone, so that a page in the repository changes only when
//! what it says does.

use std::{
    fs,
    io::{IsTerminal, Write},
    panic,
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use nigh_lab::{Choice, Experiment, File, Options, Report, RoundTrips, Trace, experiments};
use nigh_sim::Matrix;
use serde_json::json;

use crate::cli::{self, Figures};

/// The folder of the pictures, beside the page that shows them.
const FOLDER: &str = "figures";
/// The page.
const PAGE: &str = "figures.md";
/// Where `all` writes if nothing else was said: where the repository has its pages.
const PAGES: &str = "docs";

/// Does what is asked for.
pub(crate) fn run(flags: &cli::Sim) -> anyhow::Result<()> {
    let options = Options {
        seed: flags.seed,
        nodes: flags.nodes,
        seeds: flags.seeds.clone(),
        only: flags.only.clone(),
        round_trips: flags.matrix.as_deref().map(round_trips).transpose()?,
        traces: flags.trace.iter().map(|path| trace(path)).collect::<anyhow::Result<_>>()?,
    };
    quieten_experiments();
    match flags.figures {
        Figures::List => list(flags),
        Figures::One(experiment) => {
            if let Some(choice) = options.refused(experiment.takes) {
                let message = format!("{} takes no {}", experiment.name, flag(choice));
                cli::used_wrongly("sim", ErrorKind::ArgumentConflict, &message);
            }
            let report = report(flags, &options, experiment)?;
            if let Some(folder) = &flags.out {
                write_files(folder, &report.files())?;
                written(flags, folder)?;
            }
            judged(&[report])
        }
        Figures::All => {
            let reports: Result<Vec<_>, _> =
                experiments().iter().map(|it| report(flags, &options, it)).collect();
            let reports = reports?;
            let pages = flags.out.as_deref().unwrap_or_else(|| Path::new(PAGES));
            for report in &reports {
                write_files(&pages.join(FOLDER), &report.files())?;
            }
            let text = nigh_lab::page(&reports, FOLDER);
            write_files(pages, &[File { name: PAGE.to_owned(), text }])?;
            written(flags, &pages.join(PAGE))?;
            judged(&reports)
        }
    }
}

/// The option of the command with which a choice is made.
const fn flag(choice: Choice) -> &'static str {
    match choice {
        Choice::Seeds => "--seeds",
        Choice::Steps => "--only",
        Choice::RoundTrips => "--matrix",
        Choice::Traces => "--trace",
    }
}

/// Reads a table of round trips.
fn round_trips(path: &Path) -> anyhow::Result<RoundTrips> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    if bytes.starts_with(&GZIP) {
        bail!("{shown} is compressed: gunzip it first");
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{shown} is no text"))?;
    let matrix = Matrix::parse(&text).with_context(|| format!("{shown} is no table of times"))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(RoundTrips { name, matrix: Arc::new(matrix) })
}

/// Reads a trace of requests.
fn trace(path: &Path) -> anyhow::Result<Arc<Trace>> {
    let shown = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    if bytes.starts_with(&XZ) {
        bail!("{shown} is compressed: unxz it first");
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let trace = Trace::parse(&name, &bytes);
    Ok(Arc::new(trace.with_context(|| format!("{shown} is no trace of requests"))?))
}

/// How a file begins that xz has written (The .xz File Format 1.2.1, section 2.1.1.1).
const XZ: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// How a file begins that gzip has written (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An experiment may look for what makes a machine panic, a hundred times over: the report says what
/// it found, and the threads on which it tries are silent.
fn quieten_experiments() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name() != Some(nigh_lab::THREAD) {
            usual(info);
        }
    }));
}

fn list(flags: &cli::Sim) -> anyhow::Result<()> {
    if flags.out.is_some() || flags.nodes.is_some() {
        cli::used_wrongly(
            "sim",
            ErrorKind::ArgumentConflict,
            "`list` runs nothing: leave out --nodes and --out",
        );
    }
    let mut out = std::io::stdout().lock();
    let width = experiments().iter().map(|experiment| experiment.name.len()).max().unwrap_or(0);
    for Experiment { name, shows, source, .. } in experiments() {
        if flags.json {
            writeln!(out, "{}", json!({ "name": name, "shows": shows, "source": source }))?;
        } else {
            writeln!(out, "{name:width$}  {shows}")?;
            writeln!(out, "{:width$}  {source}", "")?;
        }
    }
    Ok(())
}

/// Runs an experiment and prints what it found.
fn report(flags: &cli::Sim, options: &Options, experiment: &Experiment) -> anyhow::Result<Report> {
    let mut line = ProgressLine::new(experiment.name);
    let report = experiment.run(options, &mut |progress| line.show(&progress));
    line.clear();
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let message = format!("{}: {error}", experiment.name);
            cli::used_wrongly("sim", ErrorKind::ValueValidation, &message)
        }
    };
    let mut out = std::io::stdout().lock();
    if flags.json {
        writeln!(out, "{}", report.json())?;
    } else {
        writeln!(out, "{}", report.text())?;
    }
    Ok(report)
}

fn write_files(folder: &Path, files: &[File]) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for file in files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Tells people where to look.
fn written(flags: &cli::Sim, place: &Path) -> anyhow::Result<()> {
    if !flags.json {
        writeln!(std::io::stdout().lock(), "written to {}", place.display())?;
    }
    Ok(())
}

/// An error, if a claim differs and nobody has said why.
fn judged(reports: &[Report]) -> anyhow::Result<()> {
    let unsettled = reports.iter().flat_map(Report::unsettled).count();
    if unsettled > 0 {
        bail!("of the claims, {unsettled} differ from what was published, for no known reason");
    }
    Ok(())
}

/// How far an experiment is: a line of standard error that is written over and over, if somebody
/// looks at it.
struct ProgressLine {
    name: &'static str,
    watched: bool,
    shown: String,
}

/// To the line's beginning, and clear it (ECMA-48, EL).
const FROM_THE_START: &str = "\r\x1b[K";

impl ProgressLine {
    fn new(name: &'static str) -> Self {
        Self { name, watched: std::io::stderr().is_terminal(), shown: String::new() }
    }

    #[expect(clippy::print_stderr, reason = "this is where the command speaks to people")]
    fn show(&mut self, progress: &nigh_lab::Progress) {
        let line = line(self.name, progress);
        if self.watched && line != self.shown {
            eprint!("{FROM_THE_START}{line}");
            self.shown = line;
        }
    }

    #[expect(clippy::print_stderr, reason = "this is where the command speaks to people")]
    fn clear(&self) {
        if !self.shown.is_empty() {
            eprint!("{FROM_THE_START}");
        }
    }
}

fn line(name: &str, progress: &nigh_lab::Progress) -> String {
    format!("{name} {:3.0} %  {}", 100.0 * progress.done, progress.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_short_line() {
        let progress = nigh_lab::Progress { done: 0.426, text: "1,000 keys".to_owned() };
        assert_eq!(line("chord-load", &progress), "chord-load  43 %  1,000 keys");
    }

    #[test]
    fn files_are_written_into_a_folder_that_is_made() {
        let folder = std::env::temp_dir().join(format!("nigh-sim-{}", std::process::id()));
        let inner = folder.join("figures");
        write_files(&inner, &[File { name: "a.csv".to_owned(), text: "1\n".to_owned() }]).unwrap();
        assert_eq!(fs::read_to_string(inner.join("a.csv")).unwrap(), "1\n");
        // A file stands where the folder should be.
        let error = write_files(&inner.join("a.csv"), &[]).unwrap_err();
        assert!(error.to_string().contains("a.csv"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_trace_that_cannot_be_read_says_why() {
        let folder = std::env::temp_dir().join(format!("nigh-trace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let said = |name: &str, bytes: &[u8]| {
            fs::write(folder.join(name), bytes).unwrap();
            format!("{:#}", trace(&folder.join(name)).unwrap_err())
        };
        assert!(said("web.trace.xz", &XZ).ends_with("is compressed: unxz it first"));
        let broken = said("web.trace", &[0, 0, 0]);
        assert!(broken.ends_with("is no trace of requests: record 0 is broken"), "{broken}");
        fs::write(folder.join("web.trace"), [0, 0, 0, 7]).unwrap();
        assert_eq!(trace(&folder.join("web.trace")).unwrap().objects, 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
