//! What it costs to choose the server by the client: every server has to fetch every URL.

use nigh_base::Rng;

use super::{Way, edges, float};
use crate::table::{Cell, Column, Table};

/// Requests for a URL, from as many clients.
const REQUESTS: [u32; 8] = [1, 3, 10, 30, 100, 300, 1000, 3000];
/// URLs of each.
const URLS: usize = 200;

/// Misses of a URL, on average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misses {
    pub(super) requests: u32,
    pub(super) by_client: f64,
    /// The closed form of it.
    pub(super) predicted: f64,
    pub(super) by_url: f64,
}

pub(super) fn find(count: usize, rng: &Rng) -> Vec<Misses> {
    let owner = Way::Ring.place(edges(count, 0));
    let by_number = Way::Modulo.place(edges(count, 0));
    REQUESTS
        .into_iter()
        .map(|requests| {
            let mut rng = rng.fork(requests.into());
            // How many caches are asked for a URL whose requests `choose` distributes.
            let mut misses = |choose: &dyn Fn(u64, u64) -> usize| {
                let mut missed = 0;
                for _ in 0..URLS {
                    let url = rng.next_u64();
                    let mut has = vec![false; count];
                    (0..requests).for_each(|_| has[choose(url, rng.next_u64())] = true);
                    missed += has.into_iter().filter(|&has| has).count();
                }
                float(missed) / float(URLS)
            };
            let passed_by = 1.0 - 1.0 / float(count);
            Misses {
                requests,
                by_client: misses(&|_, client| by_number(client)),
                predicted: float(count) * (1.0 - libm::pow(passed_by, requests.into())),
                by_url: misses(&|url, _| owner(url)),
            }
        })
        .collect()
}

pub(super) fn table(found: &[Misses]) -> Table {
    let mut table = Table::new(vec![
        Column::new("requests", "a URL"),
        Column::new("server chosen by the client", "misses a URL"),
        Column::new("predicted", "misses a URL"),
        Column::new("server chosen by the URL", "misses a URL"),
    ])
    .titled("Misses where caches keep all");
    for misses in found {
        let number = |value| Cell::number(value, 2);
        table.row(vec![
            Cell::count(misses.requests.into()),
            number(misses.by_client),
            number(misses.predicted),
            number(misses.by_url),
        ]);
    }
    table
}
