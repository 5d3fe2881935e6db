//! What lies between hosts: how long a datagram takes, and whether it arrives.
//!
//! The fate of a datagram is drawn from its sender, its number and the world's seed alone. So one
//! host more, or one draw more somewhere else, changes nobody else's luck; and it does not matter
//! which thread works it out.

use std::{fmt, sync::Arc, time::Duration};

use nigh_base::{Rng, Time};

use crate::HostId;

/// The way from each host to each other.
#[derive(Clone, Debug)]
pub struct Network {
    /// Without a load and without luck.
    pub latency: Latency,
    /// What a datagram takes longer than that, at most; evenly spread. Datagrams overtake each
    /// other as it allows. Streams do not have it: they are in order.
    pub jitter: Duration,
    /// The share of datagrams that are lost.
    pub loss: f64,
    /// The share that arrive twice.
    pub duplication: f64,
    /// The share that arrive later by up to [`Network::REORDERED_BY`].
    pub reordering: f64,
    /// What each host can send and take, if that is limited.
    pub bandwidth: Option<Bandwidth>,
    cuts: Vec<Cut>,
}

/// Bytes a second of one host's line, either way.
#[derive(Clone, Copy, Debug)]
pub struct Bandwidth {
    /// From the host.
    pub up: u64,
    /// To the host.
    pub down: u64,
    /// What waits longer than this for the line is lost.
    pub queue: Duration,
}

/// How long a datagram takes, one way.
#[derive(Clone, Debug)]
pub enum Latency {
    /// The same everywhere.
    Constant(Duration),
    /// As measured between real hosts.
    Measured(Arc<Matrix>),
    /// As far as places in a made-up world are apart.
    Placed(Arc<Places>),
}

/// Who does not reach whom.
#[derive(Clone, Debug)]
struct Cut {
    from: Vec<HostId>,
    to: Vec<HostId>,
}

impl Network {
    /// What a datagram that falls behind is late by, at most.
    pub const REORDERED_BY: Duration = Duration::from_millis(500);

    /// A perfect network with this latency.
    pub const fn new(latency: Latency) -> Self {
        Self {
            latency,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            bandwidth: None,
            cuts: Vec::new(),
        }
    }

    /// From now on nothing that one of `from` sends reaches one of `to`. What is on its way
    /// arrives.
    pub fn cut(&mut self, from: &[HostId], to: &[HostId]) {
        let sorted = |hosts: &[HostId]| {
            let mut hosts = hosts.to_vec();
            hosts.sort_unstable();
            hosts
        };
        self.cuts.push(Cut { from: sorted(from), to: sorted(to) });
    }

    /// From now on nothing passes between the two sides, in either direction.
    pub fn part(&mut self, side: &[HostId], other: &[HostId]) {
        self.cut(side, other);
        self.cut(other, side);
    }

    /// Undoes every cut.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Whether something sent now would reach its end at all.
    pub fn reaches(&self, from: HostId, to: HostId) -> bool {
        let among = |hosts: &[HostId], host| hosts.binary_search(&host).is_ok();
        !self.cuts.iter().any(|cut| among(&cut.from, from) && among(&cut.to, to))
    }

    /// The least time between a cause at one host and its effect at another.
    pub(crate) fn lookahead(&self) -> Duration {
        self.latency.least().max(Duration::from_nanos(1))
    }

    /// When the copies of a datagram arrive: none, one or two of them.
    pub(crate) fn arrivals(
        &self,
        seed: u64,
        from: HostId,
        to: HostId,
        number: u32,
        leaves: Time,
    ) -> Arrivals {
        if !self.cuts.is_empty() && !self.reaches(from, to) {
            return Arrivals([None, None]);
        }
        let base = self.latency.between(from, to);
        if self.is_lucky() {
            return Arrivals([Some(leaves.after(base)), None]);
        }
        let mut rng = luck(seed, from, number);
        if rng.chance(self.loss) {
            return Arrivals([None, None]);
        }
        let mut once = || {
            let mut late = rng.between(Duration::ZERO, self.jitter);
            if rng.chance(self.reordering) {
                late += rng.between(Duration::ZERO, Self::REORDERED_BY);
            }
            Some(leaves.after(base + late))
        };
        let first = once();
        let second = once();
        Arrivals([first, second.filter(|_| rng.chance(self.duplication))])
    }

    fn is_lucky(&self) -> bool {
        self.loss + self.duplication + self.reordering == 0.0 && self.jitter.is_zero()
    }
}

/// When the copies of one datagram arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals(pub(crate) [Option<Time>; 2]);

fn luck(seed: u64, from: HostId, number: u32) -> Rng {
    Rng::new(seed ^ u64::from(from.0) << 32 ^ u64::from(number))
}

impl Latency {
    /// From one host to another.
    pub fn between(&self, from: HostId, to: HostId) -> Duration {
        match self {
            Self::Constant(delay) => *delay,
            Self::Measured(matrix) => matrix.one_way(from.index(), to.index()),
            Self::Placed(places) => places.one_way(from.index(), to.index()),
        }
    }

    fn least(&self) -> Duration {
        match self {
            Self::Constant(delay) => *delay,
            Self::Measured(matrix) => matrix.least,
            Self::Placed(_) => Places::LEAST,
        }
    }
}

/// Round trips that were measured between real hosts.
///
/// A world with more hosts than the matrix has several hosts at each place: host i stands where
/// host i modulo the matrix's size was measured.
#[derive(Clone)]
pub struct Matrix {
    size: usize,
    /// One way, in nanoseconds: half of the round trip.
    delays: Vec<u32>,
    least: Duration,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Why a text is no matrix of round trips.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// There is nothing in it.
    #[error("there are no rows")]
    Empty,
    /// A row is longer or shorter than the first.
    #[error("row {row} has {found} values, {wanted} are wanted: the matrix must be square")]
    NotSquare {
        /// Counted from 1.
        row: usize,
        /// Its length.
        found: usize,
        /// The number of rows.
        wanted: usize,
    },
    /// A value is no time.
    #[error("row {row}, column {column}: no number of milliseconds from 0 to 8000")]
    NoTime {
        /// Counted from 1.
        row: usize,
        /// Counted from 1.
        column: usize,
    },
}

/// The largest round trip that a matrix holds, in milliseconds: its half fits into 32 bits.
const ROUND_TRIP_MAX_MS: f64 = 8000.0;

impl Matrix {
    /// Two hosts are never nearer than this, one way: what is nearer was one machine, or one room.
    pub const LEAST: Duration = Duration::from_micros(250);

    /// Reads round trips in milliseconds, a row a line, separated by white space.
    ///
    /// # Errors
    /// If it is not square or a value is no time.
    pub fn parse(text: &str) -> Result<Self, MatrixError> {
        let rows: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let size = rows.len();
        if size == 0 {
            return Err(MatrixError::Empty);
        }
        let mut delays = Vec::with_capacity(size * size);
        for (row, line) in rows.iter().enumerate() {
            let mut found = 0;
            for (column, value) in line.split_whitespace().enumerate() {
                let no_time = MatrixError::NoTime { row: row + 1, column: column + 1 };
                let round_trip = value.parse::<f64>().map_err(|_| no_time.clone())?;
                if !(0.0..=ROUND_TRIP_MAX_MS).contains(&round_trip) {
                    return Err(no_time);
                }
                let one_way = Duration::from_secs_f64(round_trip / 2e3).max(Self::LEAST);
                delays.push(u32::try_from(one_way.as_nanos()).map_err(|_| no_time)?);
                found += 1;
            }
            if found != size {
                return Err(MatrixError::NotSquare { row: row + 1, found, wanted: size });
            }
        }
        Ok(Self { size, delays, least: Self::LEAST })
    }

    /// How many places there are.
    pub const fn len(&self) -> usize {
        self.size
    }

    /// Whether there are none; never so.
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    fn one_way(&self, from: usize, to: usize) -> Duration {
        let (from, to) = (from % self.size, to % self.size);
        if from == to {
            return Self::LEAST;
        }
        Duration::from_nanos(self.delays[from * self.size + to].into())
    }

    /// The median round trip between two different places.
    pub fn median_round_trip(&self) -> Duration {
        let pairs = (0..self.size).flat_map(|a| (0..self.size).map(move |b| (a, b)));
        let mut delays: Vec<Duration> =
            pairs.filter(|(a, b)| a != b).map(|(a, b)| 2 * self.one_way(a, b)).collect();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied().unwrap_or(2 * Self::LEAST)
    }
}

/// Places on a square whose edges meet, and a height above it for each host's own line, as in
/// network coordinates (Dabek et al., "Vivaldi", SIGCOMM 2004, section 2.6).
#[derive(Clone, Debug)]
pub struct Places {
    /// Microseconds, on a square of `side`.
    at: Vec<[u32; 2]>,
    height: Vec<u32>,
    side: u32,
}

impl Places {
    /// Two hosts are never nearer than this, one way.
    pub const LEAST: Duration = Duration::from_millis(1);

    /// `count` hosts, spread evenly, so that the mean way is about `mean`; a tenth of it is the
    /// hosts' own lines.
    pub fn spread(count: usize, mean: Duration, rng: &mut Rng) -> Self {
        // On a unit torus two points are 0.3826 apart on average.
        let micros = u32::try_from(mean.as_micros()).unwrap_or(u32::MAX / 8);
        let side = micros / 100 * 90 * 1000 / 383;
        let below = |bound: u32, rng: &mut Rng| {
            u32::try_from(rng.below(u64::from(bound.max(1)))).expect("below 32 bits")
        };
        let at = (0..count).map(|_| [below(side, rng), below(side, rng)]).collect();
        let height = (0..count).map(|_| below(micros / 10, rng)).collect();
        Self { at, height, side }
    }

    fn one_way(&self, from: usize, to: usize) -> Duration {
        let axis = |a: u32, b: u32| {
            let apart = a.abs_diff(b);
            f64::from(apart.min(self.side - apart))
        };
        // As with a matrix, further hosts stand where others do.
        let (from, to) = (from % self.at.len(), to % self.at.len());
        let ([ax, ay], [bx, by]) = (self.at[from], self.at[to]);
        let flat = libm::hypot(axis(ax, bx), axis(ay, by));
        let micros = flat + f64::from(self.height[from]) + f64::from(self.height[to]);
        Duration::from_secs_f64(micros / 1e6).max(Self::LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(network: &Network, number: u32) -> Vec<Time> {
        let arrivals = network.arrivals(1, HostId(0), HostId(1), number, Time::from_secs(1));
        arrivals.0.into_iter().flatten().collect()
    }

    #[test]
    fn shares_of_datagrams_are_lost_doubled_and_late() {
        let mut network = Network::new(Latency::Constant(Duration::from_millis(10)));
        (network.loss, network.duplication, network.reordering) = (0.1, 0.2, 0.3);
        let fates: Vec<_> = (0..10_000).map(|number| between(&network, number)).collect();
        let share = |of: fn(&Vec<Time>) -> bool| {
            f64::from(u32::try_from(fates.iter().filter(|fate| of(fate)).count()).unwrap()) / 1e4
        };
        assert!((share(|fate| fate.is_empty()) - 0.1).abs() < 0.02);
        assert!((share(|fate| fate.len() == 2) - 0.9 * 0.2).abs() < 0.02);
        let on_time = Time::from_secs(1).after(Duration::from_millis(10));
        assert!(fates.iter().flatten().all(|&at| at >= on_time));
        assert!(fates.iter().flatten().any(|&at| at > on_time));
    }

    #[test]
    fn a_cut_has_a_direction_and_can_be_healed() {
        let mut network = Network::new(Latency::Constant(Duration::from_millis(10)));
        network.cut(&[HostId(1)], &[HostId(0)]);
        assert!(network.reaches(HostId(0), HostId(1)) && !network.reaches(HostId(1), HostId(0)));
        network.part(&[HostId(0)], &[HostId(1)]);
        assert!(between(&network, 0).is_empty());
        network.heal();
        assert_eq!(between(&network, 0).len(), 1);
    }

    #[test]
    fn a_matrix_is_read_strictly() {
        let matrix = Matrix::parse("0 100\t20\n100 0 7.5\n20 7.5 0\n").unwrap();
        assert_eq!(matrix.one_way(0, 1), Duration::from_millis(50));
        assert_eq!(matrix.one_way(4, 5), Duration::from_micros(3750));
        assert_eq!(matrix.one_way(0, 3), Matrix::LEAST);
        assert_eq!(matrix.median_round_trip(), Duration::from_millis(20));
        for (text, error) in [
            ("", MatrixError::Empty),
            ("0 1\n1\n", MatrixError::NotSquare { row: 2, found: 1, wanted: 2 }),
            ("0 -1\n1 0", MatrixError::NoTime { row: 1, column: 2 }),
            ("0 NaN\n1 0", MatrixError::NoTime { row: 1, column: 2 }),
        ] {
            assert_eq!(Matrix::parse(text).unwrap_err(), error);
        }
    }

    #[test]
    fn made_up_places_are_as_far_apart_on_average_as_was_asked() {
        let places = Places::spread(2000, Duration::from_millis(70), &mut Rng::new(1));
        let pairs = (0..1000).map(|i| places.one_way(i, i + 1000));
        let mean = pairs.sum::<Duration>() / 1000;
        assert!(mean.abs_diff(Duration::from_millis(70)) < Duration::from_millis(5), "{mean:?}");
        assert_eq!(places.one_way(3, 4), places.one_way(4, 3));
    }
}
