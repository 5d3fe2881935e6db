//! Which object is asked for next, and at which edge.

use nigh_base::Rng;
use nigh_lab::Trace;
use nigh_load::{Ask, Object, Work};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What an object has whose trace says no size.
const UNSIZED_BYTES: u32 = 4 << 10;

/// Clients of those edges that a client keeps to.
const CLIENTS: u64 = 10_000;

/// How the edge is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Each in turn.
    Turn,
    /// By the object: its number's hash, modulo so many.
    Modulo(usize),
    /// By the client, of which traces say nothing: one of many, drawn for each request, has the edge of
    /// its own number.
    Client(usize),
    /// Always this one.
    One(usize),
}

/// Requests in their order, once.
pub(super) struct Listed {
    objects: Vec<Object>,
    choice: Choice,
    asked: AtomicUsize,
}

impl Listed {
    pub(super) fn new(objects: Vec<Object>, choice: Choice) -> Arc<Self> {
        Arc::new(Self { objects, choice, asked: AtomicUsize::new(0) })
    }
}

impl Work for Listed {
    fn next(&self, rng: &mut Rng) -> Option<Ask> {
        let object = *self.objects.get(self.asked.fetch_add(1, Ordering::Relaxed))?;
        let below = |value: u64, count: usize| {
            usize::try_from(value % count as u64).expect("below a number of edges")
        };
        let edge = match self.choice {
            Choice::Turn => None,
            Choice::Modulo(count) => Some(below(Rng::new(object.number).next_u64(), count)),
            Choice::Client(count) => Some(below(rng.below(CLIENTS), count)),
            Choice::One(edge) => Some(edge),
        };
        Some(Ask { object, edge })
    }
}

/// The requests of a trace, the first so many, and the bytes of all their objects together.
pub(super) fn of_trace(trace: &Trace, requests: Option<usize>) -> (Vec<Object>, u64) {
    let is_unsized = trace.requests.iter().all(|request| request.bytes == 1);
    let object = |request: &nigh_lab::Request| Object {
        number: request.object as u64,
        bytes: if is_unsized { UNSIZED_BYTES } else { request.bytes },
    };
    let requests = requests.unwrap_or(usize::MAX);
    let objects: Vec<Object> = trace.requests.iter().take(requests).map(object).collect();
    let mut each = objects.clone();
    each.sort_unstable();
    each.dedup();
    let bytes = each.iter().map(|object| u64::from(object.bytes)).sum();
    (objects, bytes)
}

/// Objects of equal length.
pub(super) fn equal(numbers: std::ops::Range<u64>, bytes: u32) -> Vec<Object> {
    numbers.map(|number| Object { number, bytes }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_by_the_object_is_the_same_each_time_and_spread() {
        let objects: Vec<Object> = equal(0..1_000, 1).repeat(2);
        let work = Listed::new(objects, Choice::Modulo(4));
        let mut rng = Rng::new(1);
        let asked: Vec<Ask> = std::iter::from_fn(|| work.next(&mut rng)).collect();
        assert!(asked[..1_000].iter().eq(&asked[1_000..]));
        for edge in 0..4 {
            let share = asked.iter().filter(|ask| ask.edge == Some(edge)).count();
            assert!((400..600).contains(&share), "{share}");
        }
    }
}
