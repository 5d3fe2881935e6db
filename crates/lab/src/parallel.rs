//! Runs that know nothing of each other, on all processors. What they find does not depend on how
//! many there are.

use std::{
    num::NonZero,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// The name of the threads on which experiments run.
pub const THREAD: &str = "nigh-lab";

/// More threads than these would want more memory than many machines have: each holds a world.
const THREADS_MAX: usize = 16;

/// The results of `work` on `0..count`, in that order. `done` hears on this thread how many there
/// are so far.
///
/// # Panics
/// If `work` does.
pub(crate) fn map<T: Send>(
    count: usize,
    work: impl Fn(usize) -> T + Sync,
    mut done: impl FnMut(usize),
) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads.min(count) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            let run = move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count || sender.send((index, work(index))).is_err() {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name(THREAD.to_owned());
            thread.spawn_scoped(scope, run).expect("the system has room for a thread");
        }
        drop(sender);
        for (number, (index, result)) in receiver.iter().enumerate() {
            results[index] = Some(result);
            done(number + 1);
        }
    });
    results.into_iter().map(|result| result.expect("each was worked on")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_each_is_told_of() {
        let mut told = Vec::new();
        let squares = map(100, |number| number * number, |done| told.push(done));
        assert_eq!(squares, (0..100).map(|number| number * number).collect::<Vec<_>>());
        assert_eq!(told, (1..=100).collect::<Vec<_>>());
        assert!(map(0, |_| (), |_| ()).is_empty());
    }
}
