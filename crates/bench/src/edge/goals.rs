//! What nigh is meant to reach, as ratios to peers in the same run.

use super::{Finding, Row, Test, peer::Kind, rate::Sample};

/// nginx in both its settings: whichever is better counts.
const NGINX: &[Kind] = &[Kind::Nginx, Kind::NginxBuffers];

/// Those who keep large objects on disks: whichever is best counts.
const WITH_DISK: &[Kind] = &[Kind::Nginx, Kind::NginxBuffers, Kind::TrafficServer];

/// What is compared.
#[derive(Clone, Copy, Debug)]
enum Metric {
    /// Processor time a request.
    Cpu,
    /// Processor time a byte.
    CpuByte,
    /// The time within which 99 of 100 answers come.
    P99,
    /// Bytes of memory an object: an absolute figure.
    Bytes,
    /// Seconds from a start with a cold page cache until everything is found: an absolute figure.
    Found,
}

/// A figure of ours over that of the best of `peers`, and how large it may be.
struct Goal {
    test: Test,
    metric: Metric,
    peers: &'static [Kind],
    at_most: f64,
}

const fn goal(test: Test, metric: Metric, peers: &'static [Kind], at_most: f64) -> Goal {
    Goal { test, metric, peers, at_most }
}

const GOALS: [Goal; 25] = [
    goal(Test::Hit1k, Metric::Cpu, &[Kind::Haproxy], 0.83),
    goal(Test::Hit10k, Metric::Cpu, &[Kind::Haproxy], 0.87),
    goal(Test::Hit100k, Metric::Cpu, NGINX, 1.0),
    goal(Test::Hit10m, Metric::Cpu, &[Kind::TrafficServer], 1.0),
    goal(Test::Miss, Metric::Cpu, &[Kind::TrafficServer], 1.0),
    // Under a load that saturates, the percentiles of small hits are the client's: it is the slower.
    goal(Test::Steady1k, Metric::P99, NGINX, 1.0),
    goal(Test::Steady10k, Metric::P99, NGINX, 1.0),
    goal(Test::Hit100k, Metric::P99, NGINX, 1.0),
    goal(Test::Miss, Metric::P99, NGINX, 1.0),
    goal(Test::Memory, Metric::Bytes, &[], 1400.0),
    goal(Test::Http2Many, Metric::Cpu, NGINX, 1.0),
    // The way there is long; it is shown so that it is seen.
    goal(Test::Http2Many, Metric::Cpu, &[Kind::Haproxy], 1.0),
    goal(Test::Disk100k, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Disk100kCold, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Disk1m, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Disk1mCold, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Bulk1g, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Bulk1gDisk, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Range1g, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Range1gDisk, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Range1gCold, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Tls10m, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Tls1g, Metric::CpuByte, WITH_DISK, 1.0),
    goal(Test::Start, Metric::Bytes, &[], 64.0),
    goal(Test::Start, Metric::Found, &[], 3.0),
];

/// A goal, and how near we are.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    /// The peer that the ratio is to; none if the figure is absolute.
    pub(crate) peer: Option<Kind>,
    pub(crate) figure: f64,
    pub(crate) at_most: f64,
}

impl Verdict {
    /// Whether the goal is reached.
    pub(crate) fn is_met(&self) -> bool {
        self.figure <= self.at_most
    }
}

/// The goals about which `rows` say something.
pub(crate) fn judge(rows: &[Row]) -> Vec<Verdict> {
    GOALS.iter().filter_map(|goal| goal.judge(rows)).collect()
}

impl Goal {
    fn judge(&self, rows: &[Row]) -> Option<Verdict> {
        let (_, findings) = rows.iter().find(|(test, _)| *test == self.test)?;
        let figure = |kind: Kind| {
            let finding = findings.iter().find(|(peer, _)| *peer == kind);
            Some((kind, self.metric.of(&finding?.1)?))
        };
        let (_, ours) = figure(Kind::Nigh)?;
        let peers = self.peers.iter().filter_map(|&kind| figure(kind));
        let best = peers.min_by(|(_, a), (_, b)| a.total_cmp(b));
        if best.is_none() && !self.peers.is_empty() {
            return None;
        }
        Some(Verdict {
            what: format!("{}, {}", self.test.name(), self.metric.name()),
            peer: best.map(|(kind, _)| kind),
            figure: best.map_or(ours, |(_, theirs)| ours / theirs),
            at_most: self.at_most,
        })
    }
}

impl Metric {
    fn of(self, finding: &Finding) -> Option<f64> {
        match (self, finding) {
            (Self::Cpu, Finding::Rate(samples)) => {
                Some(median(samples, Sample::cpu_seconds_per_100k))
            }
            (Self::P99, Finding::Rate(samples)) => {
                Some(median(samples, |sample| sample.outcome.p99_ms))
            }
            (Self::CpuByte, Finding::Rate(samples)) => {
                Some(median(samples, Sample::cpu_seconds_per_gib))
            }
            (Self::Bytes, Finding::Memory(fill)) => Some(fill.bytes_per_object()),
            (Self::Bytes, Finding::Start(starts)) => Some(starts.index_bytes_per_object()),
            (Self::Found, Finding::Start(starts)) => {
                let cold = starts.cold.iter().map(|start| start.found.as_secs_f64());
                Some(middle(cold.collect()))
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::CpuByte => "CPU a byte",
            Self::P99 => "p99",
            Self::Bytes => "bytes an object",
            Self::Found => "seconds",
        }
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    middle(samples.iter().map(of).collect())
}

/// The same of bare numbers; there is at least one.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::load::Outcome;

    fn sample(cpu_seconds: f64) -> Finding {
        let outcome = Outcome { requests: 1e5, seconds: 1.0, p99_ms: 2.0, ..Outcome::default() };
        Finding::Rate(vec![Sample {
            outcome,
            cpu_seconds,
            busy: 1.0,
            load_busy: 1.0,
            origin_busy: 0.0,
            others_busy: 0.0,
            origin_requests: 0.0,
            device_bytes: 0.0,
        }])
    }

    #[test]
    fn a_goal_is_judged_against_the_best_of_its_peers() {
        let findings = vec![
            (Kind::Nigh, sample(0.9)),
            (Kind::Nginx, sample(2.0)),
            (Kind::NginxBuffers, sample(1.0)),
        ];
        let verdicts = judge(&[(Test::Hit100k, findings)]);
        assert_eq!(verdicts[0].peer, Some(Kind::NginxBuffers));
        assert!((verdicts[0].figure - 0.9).abs() < 1e-9 && verdicts[0].is_met());
        assert_eq!(verdicts.len(), 2, "processor time and p99");
    }

    #[test]
    fn a_goal_without_its_peer_is_left_out() {
        let findings = vec![(Kind::Nigh, sample(0.9)), (Kind::Varnish, sample(1.0))];
        assert!(judge(&[(Test::Hit1k, findings)]).is_empty());
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(middle(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(middle(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
