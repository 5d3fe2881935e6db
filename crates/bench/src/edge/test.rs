//! The questions: what each asks of a peer, who takes part, and where objects are kept for it.

use super::{
    load::Load,
    origin::LARGEST_BYTES,
    peer::{Keeping, Kind},
    set::Set,
};

/// One question that is put to all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Test {
    /// Hits of 1 KiB, 64 connections
    #[value(name = "hit-1k")]
    Hit1k,
    /// Hits of 10 KiB, 64 connections
    #[value(name = "hit-10k")]
    Hit10k,
    /// Hits of 100 KiB, 64 connections
    #[value(name = "hit-100k")]
    Hit100k,
    /// Hits of 10 MiB, 8 connections
    #[value(name = "hit-10m")]
    Hit10m,
    /// Hits of 1 KiB at a rate that all keep up with: 64 connections, 320 requests a second on each
    #[value(name = "steady-1k")]
    Steady1k,
    /// Hits of 10 KiB at that rate
    #[value(name = "steady-10k")]
    Steady10k,
    /// Misses: 1 KiB, each key once, 64 connections
    Miss,
    /// HTTP/2 over TLS, hits of 1 KiB, 64 clients of 10 streams
    #[value(name = "h2-10")]
    Http2Many,
    /// HTTP/2 over TLS, hits of 1 KiB, 64 clients of one stream
    #[value(name = "h2-1")]
    Http2One,
    /// HTTP/1.1 over TLS, hits of 10 MiB, 8 connections
    #[value(name = "tls-10m")]
    Tls10m,
    /// HTTP/1.1 over TLS, one object of 1 GiB, 4 clients who get it once each
    #[value(name = "tls-1g")]
    Tls1g,
    /// One object of 1 GiB, 4 clients who get it once each
    #[value(name = "bulk-1g")]
    Bulk1g,
    /// The same from a disk, pages warm
    #[value(name = "bulk-1g-disk")]
    Bulk1gDisk,
    /// Ranges of 1 MiB of that object, anywhere, 8 connections
    #[value(name = "range-1g")]
    Range1g,
    /// The same from a disk, pages warm
    #[value(name = "range-1g-disk")]
    Range1gDisk,
    /// The same, each byte read from the device, once
    #[value(name = "range-1g-cold")]
    Range1gCold,
    /// 10,000 objects of 100 KiB on a disk, an eighth of them in memory, pages warm, 16 connections
    #[value(name = "disk-100k")]
    Disk100k,
    /// The same, each once, from the device
    #[value(name = "disk-100k-cold")]
    Disk100kCold,
    /// 1,000 objects of 1 MiB on a disk, an eighth of them in memory, pages warm, 8 connections
    #[value(name = "disk-1m")]
    Disk1m,
    /// The same, each once, from the device
    #[value(name = "disk-1m-cold")]
    Disk1mCold,
    /// 200 clients at once on one cold object that the origin takes a second for
    Collapse,
    /// Bytes of memory for each of many objects of 1 KiB
    Memory,
    /// nigh alone: starts with many objects on its disk, and what its index takes
    Start,
    /// nigh alone: what purging costs while many objects are stored, and what a client notices of it
    Purge,
}

/// Those who keep large objects, and on a disk.
const WITH_DISK: [Kind; 4] = [Kind::Nigh, Kind::Nginx, Kind::NginxBuffers, Kind::TrafficServer];

impl Test {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 24] = [
        Self::Hit1k,
        Self::Hit10k,
        Self::Hit100k,
        Self::Hit10m,
        Self::Steady1k,
        Self::Steady10k,
        Self::Miss,
        Self::Http2Many,
        Self::Http2One,
        Self::Tls10m,
        Self::Tls1g,
        Self::Bulk1g,
        Self::Bulk1gDisk,
        Self::Range1g,
        Self::Range1gDisk,
        Self::Range1gCold,
        Self::Disk100k,
        Self::Disk100kCold,
        Self::Disk1m,
        Self::Disk1mCold,
        Self::Collapse,
        Self::Memory,
        Self::Start,
        Self::Purge,
    ];

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self).expect("no test is hidden");
        value.get_name().to_owned()
    }

    /// The load, if the test is of that kind.
    pub(crate) fn load(self) -> Option<Load> {
        let hits = |path, connections| Load::Http1 { path, connections };
        let steady =
            |path| Load::Steady { path, connections: CONNECTIONS, each_per_second: STEADY };
        let http2 = |streams| Load::Http2 { path: "/o/1k", connections: CONNECTIONS, streams };
        let bulk = |tls| Load::Bulk { path: LARGEST, clients: CLIENTS_LARGEST, tls };
        let ranges = Set::Ranges { path: LARGEST, object_bytes: LARGEST_BYTES, bytes: 1 << 20 };
        let objects = |path, count, bytes| Set::Objects { path, count, bytes };
        let set = |set, connections| Load::Set { set, connections, once: self.is_cold() };
        Some(match self {
            Self::Hit1k => hits("/o/1k", CONNECTIONS),
            Self::Hit10k => hits("/o/10k", CONNECTIONS),
            Self::Hit100k => hits("/o/100k", CONNECTIONS),
            Self::Hit10m => hits("/o/10m", CONNECTIONS_BULK),
            Self::Steady1k => steady("/o/1k"),
            Self::Steady10k => steady("/o/10k"),
            Self::Miss => Load::Scripted {
                connections: CONNECTIONS,
                script: include_str!("../../lua/distinct.lua"),
            },
            Self::Http2Many => http2(10),
            Self::Http2One => http2(1),
            Self::Tls10m => Load::Tls { path: "/o/10m", connections: CONNECTIONS_BULK },
            Self::Tls1g => bulk(true),
            Self::Bulk1g | Self::Bulk1gDisk => bulk(false),
            Self::Range1g | Self::Range1gDisk | Self::Range1gCold => set(ranges, CONNECTIONS_BULK),
            Self::Disk100k | Self::Disk100kCold => {
                set(objects("/o/100k", 10_000, 100 << 10), CONNECTIONS_DISK)
            }
            Self::Disk1m | Self::Disk1mCold => {
                set(objects("/o/1m", 1_000, 1 << 20), CONNECTIONS_BULK)
            }
            Self::Collapse | Self::Memory | Self::Start | Self::Purge => return None,
        })
    }

    /// Where objects are kept for it.
    pub(crate) fn keeping(self) -> Keeping {
        match self {
            Self::Bulk1gDisk
            | Self::Range1gDisk
            | Self::Range1gCold
            | Self::Disk100k
            | Self::Disk100kCold
            | Self::Disk1m
            | Self::Disk1mCold
            | Self::Start => Keeping::DISK,
            Self::Purge => Keeping::BOTH,
            _ => Keeping::MEMORY,
        }
    }

    /// Whether the device has to read what is asked for.
    pub(crate) fn is_cold(self) -> bool {
        matches!(self, Self::Range1gCold | Self::Disk100kCold | Self::Disk1mCold)
    }

    /// Whether the origin has to have its largest object.
    pub(crate) fn needs_largest(self) -> bool {
        matches!(
            self,
            Self::Tls1g
                | Self::Bulk1g
                | Self::Bulk1gDisk
                | Self::Range1g
                | Self::Range1gDisk
                | Self::Range1gCold
        )
    }

    /// Whether a peer takes part.
    pub(crate) fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Http2Many | Self::Http2One | Self::Tls10m => kind.has_tls(),
            Self::Start | Self::Purge => kind == Kind::Nigh,
            _ if self.needs_largest() || self.keeping().on_disk => WITH_DISK.contains(&kind),
            _ => true,
        }
    }
}

const CONNECTIONS: usize = 64;
const CONNECTIONS_DISK: usize = 16;
const CONNECTIONS_BULK: usize = 8;
const CLIENTS_LARGEST: usize = 4;
const LARGEST: &str = "/o/1g";
/// Requests a second on each connection, about a third of what nginx serves here: latency under a
/// load that saturates neither the peer nor the client that measures.
const STEADY: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_can_be_named_is_in_the_report() {
        assert_eq!(Test::ALL, <Test as clap::ValueEnum>::value_variants());
    }
}
