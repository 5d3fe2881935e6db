//! Experiments: published figures, redrawn by the cores, each with its source, its set-up, its
//! tolerances and a verdict.
//!
//! A number of our own says little until it stands beside somebody else's. An [`Experiment`] repeats
//! what a paper did and makes a [`Report`]: a table, charts, and [`Claim`]s that hold what was
//! published against what was measured. A figure that cannot be matched says why; it is not tuned
//! until it looks right. Where a closed form exists, it is a judge beside the paper.
//!
//! Nothing here reads a clock or writes a file: the same seed gives the same report, to the byte.
//!
//! ```
//! use nigh_lab::{Options, find};
//! let experiment = find("chord-load").unwrap();
//! let options = Options { nodes: Some(100), ..Options::new(1) };
//! let report = experiment.run(&options, &mut |_| ()).unwrap();
//! assert!(report.text().contains("99th percentile"));
//! assert!(report.files().iter().any(|file| file.name == "chord-load.svg"));
//! ```

mod can_path;
mod chart;
mod chord_churn;
mod chord_failures;
mod chord_faults;
mod chord_latency;
mod chord_load;
mod chord_path;
mod claim;
mod clusters;
mod constant_degree;
mod distribution;
mod geometry;
mod hashing;
mod kademlia_hostile;
mod kademlia_latency;
mod liars;
mod lives;
mod options;
mod overlay_churn;
mod overlay_hostile;
mod page;
mod parallel;
mod pastry_locality;
mod pastry_path;
mod pastry_repair;
mod report;
mod rings;
mod sample;
mod settled;
mod swim_detection;
mod swim_faults;
mod table;
mod trace;

use nigh_base::nearest;

pub use chart::{Axis, Chart, Scale, Series, Style};
pub use claim::{Claim, Tolerance, Verdict};
pub use options::{Choice, Error, Options, RoundTrips};
pub use page::page;
pub use parallel::THREAD;
pub use report::{File, Report};
pub use table::{Cell, Column, Table};
pub use trace::{Request, Trace, TraceError};

/// One figure, or a few that belong together, that can be drawn again.
#[derive(Debug)]
pub struct Experiment {
    /// What it is asked for by; says the figure.
    pub name: &'static str,
    /// What it shows, in a line.
    pub shows: &'static str,
    /// Where it was published: the paper, the section, the figure.
    pub source: &'static str,
    /// What it lets one choose beside seed and nodes.
    pub takes: &'static [Choice],
    run: Run,
}

/// What each experiment's file provides. Called with an option that the experiment cannot take, it
/// returns an error and has done nothing.
type Run = fn(&Options, &mut dyn FnMut(Progress)) -> Result<Report, Error>;

impl Experiment {
    /// Runs it; choices that it does not take are as if they had not been made. `told` hears how far
    /// it is, often enough for somebody who waits.
    pub fn run(&self, options: &Options, told: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
        (self.run)(&options.cut_to(self.takes), told)
    }
}

/// How far an experiment is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The part that is done, from 0 to 1.
    pub done: f64,
    /// What it is at, in a few words.
    pub text: String,
}

/// All experiments, in the order of the page that shows them. A further one is a file with an
/// `EXPERIMENT`, and a line here.
pub fn experiments() -> &'static [Experiment] {
    static ALL: [Experiment; 19] = [
        chord_load::EXPERIMENT,
        chord_path::EXPERIMENT,
        chord_failures::EXPERIMENT,
        chord_churn::EXPERIMENT,
        chord_latency::EXPERIMENT,
        chord_faults::EXPERIMENT,
        geometry::EXPERIMENT,
        kademlia_hostile::EXPERIMENT,
        overlay_hostile::EXPERIMENT,
        pastry_path::EXPERIMENT,
        pastry_repair::EXPERIMENT,
        pastry_locality::EXPERIMENT,
        constant_degree::EXPERIMENT,
        can_path::EXPERIMENT,
        kademlia_latency::EXPERIMENT,
        overlay_churn::EXPERIMENT,
        hashing::EXPERIMENT,
        swim_detection::EXPERIMENT,
        swim_faults::EXPERIMENT,
    ];
    &ALL
}

/// The experiment of this name.
pub fn find(name: &str) -> Result<&'static Experiment, Error> {
    let all = experiments();
    all.iter().find(|experiment| experiment.name == name).ok_or_else(|| {
        let nearest = nearest(name, all.iter().map(|experiment| experiment.name));
        Error::Unknown { name: name.to_owned(), nearest: nearest.expect("there are experiments") }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_fit_for_files() {
        let names: BTreeSet<_> = experiments().iter().map(|experiment| experiment.name).collect();
        assert_eq!(names.len(), experiments().len());
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
            assert!(!["list", "all"].contains(&name), "these mean something else to `nigh sim`");
        }
    }

    #[test]
    fn an_experiment_is_found_by_its_name_and_a_wrong_one_names_the_nearest() {
        assert_eq!(find("chord-load").unwrap().name, "chord-load");
        let error = find("chord-loads").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no experiment is called `chord-loads`; the nearest is `chord-load`"
        );
    }
}
