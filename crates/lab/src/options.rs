//! What one may choose when an experiment is run, and why it may be refused.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use nigh_sim::Matrix;

use crate::Trace;

/// What one may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where all randomness comes from.
    pub seed: u64,
    /// How many nodes, if not as many as in the paper.
    pub nodes: Option<u64>,
    /// Which seeds an experiment of many runs goes through ([`Choice::Seeds`]).
    pub seeds: Option<RangeInclusive<u64>>,
    /// Which steps of the plan of one seed are taken, by place ([`Choice::Steps`]).
    pub only: Option<Vec<usize>>,
    /// Round trips that were measured between real hosts ([`Choice::RoundTrips`]).
    pub round_trips: Option<RoundTrips>,
    /// Requests that real clients made ([`Choice::Traces`]).
    pub traces: Vec<Arc<Trace>>,
}

/// What only some experiments let one choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Several seeds, a run each.
    Seeds,
    /// Some steps of a plan.
    Steps,
    /// A file of round trips.
    RoundTrips,
    /// Files of requests.
    Traces,
}

/// Round trips, and the name of the file that they were read from.
#[derive(Clone, Debug)]
pub struct RoundTrips {
    /// Without its folder.
    pub name: String,
    /// What was in it.
    pub matrix: Arc<Matrix>,
}

impl Options {
    /// As in the paper, from this seed.
    pub const fn new(seed: u64) -> Self {
        let traces = Vec::new();
        Self { seed, nodes: None, seeds: None, only: None, round_trips: None, traces }
    }

    /// Without what an experiment does not take.
    pub(crate) fn cut_to(&self, takes: &[Choice]) -> Self {
        let mut options = self.clone();
        for choice in [Choice::Seeds, Choice::Steps, Choice::RoundTrips, Choice::Traces] {
            match choice {
                _ if takes.contains(&choice) => {}
                Choice::Seeds => options.seeds = None,
                Choice::Steps => options.only = None,
                Choice::RoundTrips => options.round_trips = None,
                Choice::Traces => options.traces.clear(),
            }
        }
        options
    }

    /// The first choice made that is not among those that an experiment `takes`.
    pub fn refused(&self, takes: &[Choice]) -> Option<Choice> {
        let made = [
            (Choice::Seeds, self.seeds.is_some()),
            (Choice::Steps, self.only.is_some()),
            (Choice::RoundTrips, self.round_trips.is_some()),
            (Choice::Traces, !self.traces.is_empty()),
        ];
        made.into_iter().find(|(choice, made)| *made && !takes.contains(choice)).map(|it| it.0)
    }

    /// How many nodes: those of the paper, or as many as were asked for, within limits that the
    /// experiment sets.
    pub(crate) fn nodes_within(&self, paper: u64, least: u64, most: u64) -> Result<u64, Error> {
        match self.nodes {
            None => Ok(paper),
            Some(asked) if (least..=most).contains(&asked) => Ok(asked),
            Some(asked) => Err(Error::Nodes { asked, least, most }),
        }
    }

    /// Networks of how many nodes: those of the paper, in ascending order, up to as many as were asked for.
    pub(crate) fn sizes(&self, paper: &[u32]) -> Result<Vec<u32>, Error> {
        let at = |place: Option<&u32>| u64::from(*place.expect("a paper has a network"));
        let (least, most) = (at(paper.first()), at(paper.last()));
        let most = self.nodes_within(most, least, most)?;
        Ok(paper.iter().copied().filter(|&size| u64::from(size) <= most).collect())
    }

    /// The seeds of an experiment that makes `count` runs if nothing else is asked for.
    pub(crate) fn seeds_or(&self, count: u64) -> Result<Vec<u64>, Error> {
        let own = self.seed..=self.seed.saturating_add(count - 1);
        let seeds = self.seeds.clone().unwrap_or(own);
        let runs = seeds.end().checked_sub(*seeds.start()).map_or(0, |span| span.saturating_add(1));
        if runs == 0 || runs > SEEDS_MAX {
            return Err(Error::Seeds { asked: runs, most: SEEDS_MAX });
        }
        Ok(seeds.collect())
    }
}

/// More runs than these in one report are a mistake at the keyboard: they would take days.
const SEEDS_MAX: u64 = 10_000_000;

/// As the options of the command.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nodes) = self.nodes {
            write!(f, " --nodes {nodes}")?;
        }
        match &self.seeds {
            None => write!(f, " --seed {}", self.seed)?,
            Some(seeds) if seeds.start() == seeds.end() => write!(f, " --seeds {}", seeds.start())?,
            Some(seeds) => write!(f, " --seeds {}..{}", seeds.start(), seeds.end())?,
        }
        if let Some(only) = &self.only {
            let only: Vec<String> = only.iter().map(usize::to_string).collect();
            write!(f, " --only {}", only.join(","))?;
        }
        if let Some(round_trips) = &self.round_trips {
            write!(f, " --matrix {}", round_trips.name)?;
        }
        self.traces.iter().try_for_each(|trace| write!(f, " --trace {}", trace.file))
    }
}

/// Why there is no report. All are the asker's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No experiment has this name.
    #[error("no experiment is called `{name}`; the nearest is `{nearest}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name that is least unlike it.
        nearest: &'static str,
    },
    /// The experiment does not work with so many nodes.
    #[error("{asked} nodes are outside of {least} to {most}")]
    Nodes {
        /// What was asked for.
        asked: u64,
        /// The fewest that it takes.
        least: u64,
        /// The most that it takes.
        most: u64,
    },
    /// There are no seeds, or more than anybody waits for.
    #[error("{asked} seeds are outside of 1 to {most}")]
    Seeds {
        /// How many were asked for.
        asked: u64,
        /// The most that are taken.
        most: u64,
    },
    /// Steps are places in the plan of one seed.
    #[error("--only chooses among the steps of one seed, and {seeds} are asked for")]
    StepsOfMany {
        /// How many seeds were asked for.
        seeds: usize,
    },
    /// The plan has no such step.
    #[error("step {asked} is asked for, and the plan's last is {last}")]
    NoStep {
        /// What was asked for.
        asked: usize,
        /// The place of the last one.
        last: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_outside_of_the_limits_are_refused() {
        let nodes = |nodes| Options { nodes, ..Options::new(1) }.nodes_within(10_000, 100, 20_000);
        assert_eq!(nodes(None), Ok(10_000));
        assert_eq!(nodes(Some(100)), Ok(100));
        assert_eq!(
            nodes(Some(99)).unwrap_err().to_string(),
            "99 nodes are outside of 100 to 20000"
        );
    }

    #[test]
    fn seeds_are_those_asked_for_or_follow_the_seed() {
        let seeds = |seeds| Options { seeds, ..Options::new(5) }.seeds_or(3);
        assert_eq!(seeds(None), Ok(vec![5, 6, 7]));
        assert_eq!(seeds(Some(8..=9)), Ok(vec![8, 9]));
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        let none = seeds(Some(9..=8));
        assert_eq!(none, Err(Error::Seeds { asked: 0, most: SEEDS_MAX }));
        assert!(seeds(Some(0..=u64::MAX)).is_err());
    }

    #[test]
    fn choices_read_as_they_are_typed_and_those_not_taken_are_named() {
        let mut options = Options::new(7);
        assert_eq!(options.to_string(), " --seed 7");
        options.seeds = Some(3..=3);
        options.only = Some(vec![2, 9]);
        assert_eq!(options.to_string(), " --seeds 3 --only 2,9");
        assert_eq!(options.refused(&[Choice::Seeds]), Some(Choice::Steps));
        assert_eq!(options.refused(&[Choice::Seeds, Choice::Steps]), None);
        assert_eq!(options.cut_to(&[Choice::Seeds]).to_string(), " --seeds 3");
        options.seeds = Some(3..=4);
        assert_eq!(options.cut_to(&[Choice::Seeds]).to_string(), " --seeds 3..4");
    }
}
