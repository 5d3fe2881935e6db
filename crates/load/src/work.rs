//! What a load asks for: objects in an order, and of which edge.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use nigh_base::Rng;

use crate::Object;

/// One request to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// For what.
    pub object: Object,
    /// The number of the edge that is asked first; `None` for each in turn.
    pub edge: Option<usize>,
}

/// What to ask for next. All connections take from one.
pub trait Work: Send + Sync + 'static {
    /// The next request; `None` when all was asked for. `rng` is the connection's own.
    fn next(&self, rng: &mut Rng) -> Option<Ask>;
}

/// The same objects in their order, again and again.
#[derive(Debug)]
pub struct Repeated {
    objects: Vec<Object>,
    requests: u64,
    asked: AtomicU64,
}

impl Repeated {
    /// So many requests in all; `None` for ever.
    ///
    /// # Panics
    /// If there are no objects.
    pub fn new(objects: Vec<Object>, requests: Option<u64>) -> Arc<Self> {
        assert!(!objects.is_empty(), "something is asked for");
        let requests = requests.unwrap_or(u64::MAX);
        Arc::new(Self { objects, requests, asked: AtomicU64::new(0) })
    }
}

impl Work for Repeated {
    fn next(&self, _: &mut Rng) -> Option<Ask> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let place =
            usize::try_from(number % self.objects.len() as u64).expect("less than a length");
        (number < self.requests).then(|| Ask { object: self.objects[place], edge: None })
    }
}

/// Objects drawn by Zipf's law, for ever: the n-th is asked for 1/n times as often as the first, as
/// requests to web sites come close to (Breslau et al., INFOCOM'99).
#[derive(Debug)]
pub struct Popular {
    objects: Vec<Object>,
    /// The share of the requests that go to this object and those before it.
    sums: Vec<f64>,
}

impl Popular {
    /// These, the most popular first.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(objects: Vec<Object>) -> Arc<Self> {
        assert!(!objects.is_empty(), "something is asked for");
        let mut sum = 0.0;
        let mut sums: Vec<f64> = Vec::with_capacity(objects.len());
        let mut rank = 0.0;
        for _ in &objects {
            rank += 1.0;
            sum += 1.0 / rank;
            sums.push(sum);
        }
        sums.iter_mut().for_each(|part| *part /= sum);
        Arc::new(Self { objects, sums })
    }
}

impl Work for Popular {
    fn next(&self, rng: &mut Rng) -> Option<Ask> {
        let drawn = rng.unit();
        let place = self.sums.partition_point(|sum| *sum <= drawn).min(self.objects.len() - 1);
        Some(Ask { object: self.objects[place], edge: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(count: u64) -> Vec<Object> {
        (0..count).map(|number| Object { number, bytes: 1 }).collect()
    }

    #[test]
    fn what_is_repeated_ends_after_so_many_requests() {
        let (work, mut rng) = (Repeated::new(objects(3), Some(5)), Rng::new(1));
        let asked: Vec<u64> =
            std::iter::from_fn(|| work.next(&mut rng)).map(|ask| ask.object.number).collect();
        assert_eq!(asked, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn the_second_is_asked_for_half_as_often_as_the_first() {
        let (work, mut rng) = (Popular::new(objects(100)), Rng::new(1));
        let mut counts = [0.0f64; 100];
        for _ in 0..100_000 {
            counts[usize::try_from(work.next(&mut rng).unwrap().object.number).unwrap()] += 1.0;
        }
        assert!((counts[0] / counts[1] - 2.0).abs() < 0.1, "{counts:?}");
        assert!((counts[0] / counts[9] - 10.0).abs() < 1.0, "{counts:?}");
        assert!(counts[99] > 0.0);
    }
}
