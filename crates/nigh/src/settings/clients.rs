//! `[limits] per_client`: what a client network may take. And rates, as people write them.

use std::{str::FromStr, time::Duration};

use nigh_base::ByteSize;
use nigh_edge::{
    client::{IPV4_PREFIX, IPV6_PREFIX, Limits, Rate},
    network::Network,
};

use super::document::Section;

/// The largest burst; beyond any use.
const BURST_MAX: u64 = 1_000_000_000;

pub(super) fn read(mut section: Section<'_>) -> Limits {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let requests = section.parsed("requests", requests);
    let burst = section.number("burst", 1..=BURST_MAX).map(small);
    if section.has("burst") && !section.has("requests") {
        section.mistake("burst", "a burst is of requests: say requests = \"100/s\" too");
    }
    let prefix = |number: Option<u64>, default| {
        number.and_then(|bits| u8::try_from(bits).ok()).unwrap_or(default)
    };
    let limits = Limits {
        requests,
        burst: burst.unwrap_or_else(|| requests.map_or(1, in_a_second)),
        connections: section.number("connections", 1..=u64::from(u32::MAX)).map(small),
        bandwidth: section.parsed("bandwidth", bandwidth),
        ipv4_prefix: prefix(section.number("ipv4_prefix", 8..=32), IPV4_PREFIX),
        ipv6_prefix: prefix(section.number("ipv6_prefix", 16..=128), IPV6_PREFIX),
        exempt: section.list("exempt", Network::from_str).unwrap_or_default(),
    };
    section.finish();
    limits
}

/// As many as come in a second, the usual burst.
fn in_a_second(rate: Rate) -> u32 {
    u32::try_from(rate.in_time(Duration::from_secs(1))).unwrap_or(u32::MAX)
}

fn requests(text: &str) -> Result<Rate, String> {
    let wrong = || format!("`{text}` is no rate of requests: write 100/s, 600/m or 5000/h");
    rate(text, |count| count.parse().ok()).ok_or_else(wrong)
}

fn bandwidth(text: &str) -> Result<Rate, String> {
    let wrong = || format!("`{text}` is no bandwidth: write 10MiB/s or 512KiB/s");
    rate(text, |size| ByteSize::from_str(size).ok().map(ByteSize::bytes)).ok_or_else(wrong)
}

/// Bytes a second; 0 for none.
pub(crate) fn min_rate(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    bandwidth(text).map(|rate| rate.in_time(Duration::from_secs(1)))
}

/// So many units in one of a few times.
fn rate(text: &str, units: impl FnOnce(&str) -> Option<u64>) -> Option<Rate> {
    let (count, time) = text.split_once('/')?;
    let seconds = match time.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Rate::new(units(count.trim())?, Duration::from_secs(seconds))
}
