//! What arithmetic allows: round trips, slow start, and the bits of the link. No server's time, no
//! loss; a figure below it would be an error of ours.

use super::{
    Source,
    client::{Goods, LARGE_BYTES, PARALLEL, SMALL_BYTES, SMALL_COUNT, Strategy},
};
use std::time::Duration;

/// RFC 6928: what a sender may send before it has heard anything, in segments.
const INITIAL_SEGMENTS: usize = 10;
/// A packet of 1500 bytes without its IPv4 and TCP headers, with timestamps.
const SEGMENT_BYTES: usize = 1448;

/// The links between client, edge and site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paths {
    pub(crate) near: Duration,
    pub(crate) far: Duration,
    pub(crate) bits_per_second: u32,
}

impl Paths {
    /// The least time that the goods can take.
    pub(crate) fn floor(&self, source: Source, goods: Goods, strategy: Strategy) -> Duration {
        match source {
            Source::Direct => self.fetch(self.far, goods, strategy),
            Source::Cached => self.fetch(self.near, goods, strategy),
            Source::Cold => self.cold(goods, strategy),
        }
    }

    /// From a server that has everything.
    fn fetch(&self, rtt: Duration, goods: Goods, strategy: Strategy) -> Duration {
        let connect = rtt;
        let count = u32::try_from(SMALL_COUNT).expect("a page has few objects");
        let in_turn = |count: u32| (rtt + self.bits(SMALL_BYTES)) * count;
        match (goods, strategy) {
            (Goods::Page, Strategy::Separate) => {
                (connect + self.slow_start(rtt, SMALL_BYTES)) * count
            }
            (Goods::Page, Strategy::Persistent) => connect + in_turn(count),
            (Goods::Page, Strategy::Pipelined | Strategy::Http2) => {
                connect + self.slow_start(rtt, SMALL_BYTES * SMALL_COUNT)
            }
            (Goods::Page, Strategy::Parallel) => {
                let link = rtt + self.bits(SMALL_BYTES * SMALL_COUNT);
                connect + in_turn(rounds()).max(link)
            }
            (Goods::Large, Strategy::Parallel) => {
                let link = rtt + self.bits(LARGE_BYTES);
                connect + self.slow_start(rtt, LARGE_BYTES / PARALLEL).max(link)
            }
            (Goods::Large, _) => connect + self.slow_start(rtt, LARGE_BYTES),
        }
    }

    /// By way of an edge that has nothing: what the client waits for, and what the edge waits for
    /// in between; its connections to the origin stay open.
    fn cold(&self, goods: Goods, strategy: Strategy) -> Duration {
        let near = self.fetch(self.near, goods, strategy);
        let connect = self.far;
        let count = u32::try_from(SMALL_COUNT).expect("a page has few objects");
        match (goods, strategy) {
            (Goods::Page, Strategy::Separate | Strategy::Persistent) => {
                near + connect + self.far * count
            }
            (Goods::Page, Strategy::Parallel) => near + connect + self.far * rounds(),
            // All of them can be fetched at once.
            (Goods::Page, _) => near + connect + self.far,
            // It streams: the far link's pace, and two short round trips more.
            (Goods::Large, _) => self.near * 2 + self.fetch(self.far, goods, strategy),
        }
    }

    /// From the request to the last byte of so many, on a new connection: the window doubles with
    /// each round trip until the link is full.
    fn slow_start(&self, rtt: Duration, bytes: usize) -> Duration {
        let mut left = bytes;
        let mut window = INITIAL_SEGMENTS * SEGMENT_BYTES;
        let mut time = rtt;
        while left > window && self.bits(window) < rtt {
            left -= window;
            window *= 2;
            time += rtt;
        }
        time + self.bits(left)
    }

    fn bits(&self, bytes: usize) -> Duration {
        let bits = u32::try_from(bytes * 8).expect("objects are far smaller than 512 MiB");
        Duration::from_secs_f64(f64::from(bits) / f64::from(self.bits_per_second))
    }
}

/// How many objects each of the parallel connections fetches, one after the other.
fn rounds() -> u32 {
    u32::try_from(SMALL_COUNT.div_ceil(PARALLEL)).expect("a page has few objects")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(bits_per_second: u32) -> Paths {
        let ms = Duration::from_millis;
        Paths { near: ms(10), far: ms(100), bits_per_second }
    }

    #[test]
    fn round_trips_are_counted() {
        let wide = paths(u32::MAX);
        let trips = |source, strategy| {
            let floor = wide.floor(source, Goods::Page, strategy);
            (floor.as_secs_f64() / 0.1).round()
        };
        assert_eq!(trips(Source::Direct, Strategy::Separate), 120.0);
        assert_eq!(trips(Source::Direct, Strategy::Persistent), 61.0);
        assert_eq!(trips(Source::Direct, Strategy::Parallel), 11.0);
        // 425 segments: 10, 20, 40, 80, 160 and the rest, and one to connect.
        assert_eq!(trips(Source::Direct, Strategy::Http2), 7.0);
        assert_eq!(trips(Source::Cold, Strategy::Persistent), 67.0);
    }

    #[test]
    fn a_narrow_link_is_full_from_the_start() {
        let narrow = paths(1_000_000);
        let floor = narrow.floor(Source::Direct, Goods::Large, Strategy::Http2);
        let bits = LARGE_BYTES as f64 * 8.0 / 1e6;
        assert!((floor.as_secs_f64() - bits - 0.2).abs() < 1e-6, "{floor:?}");
    }
}
